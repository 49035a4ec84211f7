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
