"""One row an activation, initializer, regularizer and constraint. `make` is given tf.keras, whoever's it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.keras.rows_training import Row

POINTS = np.array([[-7.0, -2.5, -1.0, -0.4], [0.0, 0.3, 1.0, 6.5]], "float32")
WEIGHTS = np.random.RandomState(2).standard_normal((3, 4)).astype("float32")
SHAPES = ((3, 4), (2, 3, 2, 5))

# By name: what both versions of Keras have, and what Keras 3 alone has.
ACTIVATIONS = [
    "linear", "relu", "sigmoid", "tanh", "softmax", "elu", "selu", "gelu", "softplus", "softsign", "swish", "exponential",
    "mish",
]  # fmt: skip
ACTIVATIONS_OF_3 = [
    "relu6", "leaky_relu", "log_sigmoid", "log_softmax", "silu", "hard_silu", "hard_swish", "hard_tanh", "hard_shrink",
    "soft_shrink", "tanh_shrink", "celu", "glu", "squareplus", "sparse_plus", "sparse_sigmoid",
]  # fmt: skip
CALLS = [
    Row("relu with all", lambda k: lambda x: k.activations.relu(x, 0.1, 2.0, 0.5)),
    Row("relu with a slope", lambda k: lambda x: k.activations.relu(x, alpha=0.3)),
    Row("relu above a threshold", lambda k: lambda x: k.activations.relu(x, threshold=0.35)),
    Row("elu with alpha", lambda k: lambda x: k.activations.elu(x, 0.3)),
    Row("gelu approximate", lambda k: lambda x: k.activations.gelu(x, True)),
    Row("hard_sigmoid", lambda k: k.activations.hard_sigmoid),
    Row("softmax by columns", lambda k: lambda x: k.activations.softmax(x, axis=0)),
]
INITIALIZERS = [
    Row("Zeros", lambda k: k.initializers.Zeros()),
    Row("Ones", lambda k: k.initializers.Ones()),
    Row("Constant", lambda k: k.initializers.Constant(0.3)),
    Row("RandomNormal", lambda k: k.initializers.RandomNormal(1.0, 2.0, seed=4)),
    Row("RandomUniform", lambda k: k.initializers.RandomUniform(-1.0, 2.0, seed=4)),
    Row("TruncatedNormal", lambda k: k.initializers.TruncatedNormal(1.0, 2.0, seed=4)),
    Row("VarianceScaling", lambda k: k.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=4)),
    Row("GlorotUniform", lambda k: k.initializers.GlorotUniform(seed=4)),
    Row("GlorotNormal", lambda k: k.initializers.GlorotNormal(seed=4)),
    Row("LecunUniform", lambda k: k.initializers.LecunUniform(seed=4)),
    Row("LecunNormal", lambda k: k.initializers.LecunNormal(seed=4)),
    Row("HeUniform", lambda k: k.initializers.HeUniform(seed=4)),
    Row("HeNormal", lambda k: k.initializers.HeNormal(seed=4)),
    Row("Orthogonal", lambda k: k.initializers.Orthogonal(2.0, seed=4)),
    Row("Identity", lambda k: k.initializers.Identity(3.0)),
]
REGULARIZERS = [
    Row("L1", lambda k: k.regularizers.L1(0.1)),
    Row("L2", lambda k: k.regularizers.l2(0.1)),
    Row("L1L2", lambda k: k.regularizers.L1L2(0.1, 0.2)),
    Row("l1_l2", lambda k: k.regularizers.get("l1_l2")),
    Row("OrthogonalRegularizer", lambda k: k.regularizers.OrthogonalRegularizer(0.1)),
    Row("OrthogonalRegularizer columns", lambda k: k.regularizers.OrthogonalRegularizer(0.1, "columns")),
]
CONSTRAINTS = [
    Row("MaxNorm", lambda k: k.constraints.MaxNorm(1.0)),
    Row("MaxNorm of rows", lambda k: k.constraints.max_norm(1.0, axis=1)),
    Row("NonNeg", lambda k: k.constraints.NonNeg()),
    Row("UnitNorm", lambda k: k.constraints.UnitNorm(1)),
    Row("MinMaxNorm", lambda k: k.constraints.MinMaxNorm(0.8, 1.2, 0.5)),
]


def shapes(name: str) -> list[tuple[int, ...]]:
    """The shapes that an initializer is asked for."""
    return [SHAPES[0]] if name == "Identity" else list(SHAPES)


def both(keras: Any, keras3: Any) -> list[tuple[str, Any]]:
    """(name, function) of the activations, from the version of Keras that has them."""
    named = [(name, keras.activations.get(name)) for name in ACTIVATIONS]
    named += [(name, keras3.activations.get(name)) for name in ACTIVATIONS_OF_3]
    return named + [(row.name, row.make(keras)) for row in CALLS]
