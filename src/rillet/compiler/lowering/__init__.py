"""The ops in arrays, by topic. Importing this package registers all rules."""

from rillet.compiler.lowering import (
    contractions,
    control,
    convolution,
    elementwise,
    gathering,
    lists,
    losses,
    normalization,
    pooling,
    reductions,
    row_updates,
    scattering,
    segments,
    shapes,
    slicing,
    variables,
)

__all__ = [
    "contractions",
    "control",
    "convolution",
    "elementwise",
    "gathering",
    "lists",
    "losses",
    "normalization",
    "pooling",
    "reductions",
    "row_updates",
    "scattering",
    "segments",
    "shapes",
    "slicing",
    "variables",
]
