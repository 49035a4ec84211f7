"""The recorded files (tools/record_saving.py makes them in TensorFlow)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

FOLDER = Path(__file__).parents[1] / "data" / "saving"


def expected() -> dict[str, Any]:
    with np.load(FOLDER / "expected.npz") as file:
        return dict(file)


def tensors() -> dict[str, Any]:
    """What the checkpoint `types` holds, in the order in which it was written."""
    random = np.random.default_rng(0)
    found = {
        "adam/m": random.normal(size=(3, 4)).astype(np.float32),
        "bfloat": np.arange(3).astype(ml_dtypes.bfloat16),
        "complex": np.array(1 + 2j),
        "empty": np.zeros((0, 3), np.float32),
        "flag": np.array([True, False]),
        "half": np.arange(3).astype(np.float16),
        "int8": np.arange(-3, 3, dtype=np.int8),
        "text": np.array([b"abc", "ü".encode(), b""], object),
        "text0": np.array(b"x" * 300, object),
        "uint64": np.array(2**63, np.uint64),
    }
    found.update({f"w{number:03d}": np.float32([number]) for number in range(40)})
    return found


def model_class(tf: Any) -> Any:
    """The class of the model that is saved, made of `tf`: rillet or TensorFlow."""

    class Model(tf.Module):
        def __init__(self) -> None:
            super().__init__(name="m")
            self.w = tf.Variable([[1.0, 2.0], [3.0, 4.0]], name="w")
            self.parts = [tf.Variable(1.0), {"a": tf.Variable(2.0)}]
            self.c = tf.constant(np.arange(300.0, dtype=np.float32))

        @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
        def f(self, x: Any) -> Any:
            y = tf.cond(tf.reduce_sum(x) > 0, lambda: x @ self.w, lambda: x * 2)
            _, y = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, tf.tanh(y)), [0, y])
            return y + self.parts[0] + self.parts[1]["a"] + self.c[1]

        @tf.function(autograph=False)
        def g(self, x: Any, flag: bool = True, *, k: float = 2.0) -> Any:
            return {"o": x * k * self.parts[0] if flag else x, "p": (x,)}

    return Model
