"""The ops in arrays, by topic. Importing this package registers all rules."""

from rillet.compiler.lowering import contractions, convolution, elementwise, losses, pooling, reductions, shapes, variables

__all__ = ["contractions", "convolution", "elementwise", "losses", "pooling", "reductions", "shapes", "variables"]
