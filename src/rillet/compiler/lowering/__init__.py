"""The ops in arrays, by topic. Importing this package registers all rules."""

from rillet.compiler.lowering import contractions, elementwise, losses, reductions, shapes, variables

__all__ = ["contractions", "elementwise", "losses", "reductions", "shapes", "variables"]
