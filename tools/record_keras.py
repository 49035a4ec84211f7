"""Record what Keras 2 gives for the trainings of tests/keras/scenarios.py and the models of tests/keras/models.py.

Run with a Python that has TensorFlow and tf_keras: `python tools/record_keras.py`. Writes tests/data/keras_training.json.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tensorflow as tf
import tf_keras
from tests.keras.models import MODELS
from tests.keras.scenarios import SCENARIOS

FILE = Path(__file__).resolve().parents[1] / "tests/data/keras_training.json"


def summary(model: tf_keras.Model) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        model.summary()
    return text.getvalue()


def main() -> None:
    trainings = {name: function(tf, tf_keras) for name, function in SCENARIOS.items()}
    summaries, names = {}, {}
    for name, make in MODELS.items():
        tf_keras.backend.clear_session()
        model = make(tf, tf_keras)
        summaries[name] = summary(model)
        names[name] = [weight.name for weight in model.weights]
    recorded = {"trainings": trainings, "summaries": summaries, "weights": names}
    FILE.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
