"""Models that are written to files, by rillet and by Keras alike: `k` is tf.keras of any of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

ENDINGS = ("h5", "keras", "weights.h5")


def functional(k: Any) -> Any:
    """Two branches with a shared layer, and a model inside."""
    inputs = k.Input((4,), name="first")
    shared = k.layers.Dense(4, activation="relu", name="shared")
    left = shared(inputs)
    right = shared(left)
    added = k.layers.Add(name="added")([left, right])
    inside = k.Sequential([k.Input((4,)), k.layers.Dense(3), k.layers.BatchNormalization()], name="inside")
    return k.Model(inputs, k.layers.Dense(2, name="last")(inside(added)), name="whole")


def sequential(k: Any) -> Any:
    return k.Sequential([k.Input((4,)), k.layers.Dense(3, activation="tanh"), k.layers.Dropout(0.5), k.layers.Dense(2)])


def recurrent(k: Any) -> Any:
    """Layers that hold layers: cells, wrappers, attention."""
    layers = k.layers
    inputs = k.Input((3, 2))
    x = layers.Bidirectional(layers.GRU(2, return_sequences=True))(inputs)
    x = layers.MultiHeadAttention(1, 2)(x, x)
    return k.Model(inputs, layers.TimeDistributed(layers.Dense(2))(x))


MODELS: dict[str, Callable[[Any], Any]] = {
    "functional": functional, "sequential": sequential, "recurrent": recurrent,
}  # fmt: skip
_SHAPES = {"functional": (3, 4), "sequential": (3, 4), "recurrent": (3, 3, 2)}


def inputs(name: str) -> Any:
    return np.random.default_rng(3).normal(size=_SHAPES[name]).astype(np.float32)


def optimizer(k: Any, name: str) -> Any:
    """One with two slots for each weight, save where the model has many weights."""
    return k.optimizers.SGD(0.1) if name == "recurrent" else k.optimizers.Adam(0.01)
