"""The ops in arrays, by topic. Importing this package registers all rules."""

from rillet.compiler.lowering import (
    contractions,
    convolution,
    elementwise,
    gathering,
    losses,
    normalization,
    pooling,
    reductions,
    scattering,
    segments,
    shapes,
    slicing,
    variables,
)

__all__ = [
    "contractions",
    "convolution",
    "elementwise",
    "gathering",
    "losses",
    "normalization",
    "pooling",
    "reductions",
    "scattering",
    "segments",
    "shapes",
    "slicing",
    "variables",
]
