"""Records files of models that Keras 2 and Keras 3 write, and what those models predict: run with a Python that has TensorFlow,
tf_keras and keras.

    python tools/record_keras_files.py

Writes tests/data/keras_files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

import keras

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.keras import file_models  # noqa: E402 - after the path

FOLDER = ROOT / "tests" / "data" / "keras_files"


def record(library: Any, version: str, name: str) -> np.ndarray:
    """Trains a model for one step and writes it in every format; returns its predictions."""
    model = file_models.MODELS[name](library)
    inputs = file_models.inputs(name)
    model.compile(optimizer=file_models.optimizer(library, name), loss="mse", metrics=["mae"])
    model.fit(inputs, np.ones_like(model.predict(inputs, verbose=0)), verbose=0)
    for ending in file_models.ENDINGS:
        path = FOLDER / f"{name}_{version}.{ending}"
        (model.save_weights if ending == "weights.h5" else model.save)(str(path))
    return np.asarray(model.predict(inputs, verbose=0))


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    predictions = {
        f"{name}_{version}": record(library, version, name)
        for version, library in (("keras2", tf_keras), ("keras3", keras))
        for name in file_models.MODELS
    }
    np.savez(FOLDER / "predictions.npz", **predictions)


if __name__ == "__main__":
    main()
