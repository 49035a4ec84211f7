"""Divisions by the same number: one division for all, and a product for each.

A quotient x / y that is computed as x * (1 / y) is within 1.5 ulp. Where 1 / y is out of range while x / y is not, it would be
wrong; so that is done for divisors that are made by square roots only (standard deviations, norms, the steps of optimizers),
which are never extreme: from 1e-23 to 1e20 in float32, unless they are 0, infinite or NaN, for which both ways agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rillet.compiler.scalar import Scalar, Scalars, in_order
from rillet.core import dtypes

_MODERATE = 1e-20, 1e15


def share_reciprocals(scalars: Scalars, expressions: Mapping[int, Scalar]) -> dict[int, Scalar]:
    """The expressions of one kernel, by the numbers of their arrays, with the divisions by such divisors shared."""
    nodes = in_order(list(expressions.values()))
    counts = Counter(node.arguments[1] for node in nodes if _is_division(node))
    shared = {divisor for divisor, count in counts.items() if count > 1 and _is_moderate(divisor, expressions)}
    if not shared:
        return dict(expressions)
    made: dict[Scalar, Scalar] = {}
    for node in nodes:
        arguments = tuple(made.get(part, part) for part in node.arguments)
        if _is_division(node) and node.arguments[1] in shared:
            one = scalars.constant(1, node.dtype)
            inverse = scalars.raw("div", node.dtype, (one, arguments[1]))
            made[node] = scalars.make("mul", node.dtype, arguments[0], inverse)
        elif arguments != node.arguments:
            made[node] = scalars.raw(node.operation, node.dtype, arguments, node.data)
    return {number: made.get(node, node) for number, node in expressions.items()}


def _is_division(node: Scalar) -> bool:
    return node.operation == "div" and node.dtype in (dtypes.float32, dtypes.float64)


def _is_moderate(node: Scalar, expressions: Mapping[int, Scalar]) -> bool:
    """Whether it is a square root, or one and something positive, of moderate size."""
    if node.operation == "load" and node.data[0].number in expressions:
        return _is_moderate(expressions[node.data[0].number], expressions)
    if node.operation in ("add", "max"):
        return any(_is_moderate(part, expressions) for part in node.arguments) and all(
            _is_moderate(part, expressions) or _is_moderate_number(part) for part in node.arguments
        )
    return node.operation == "sqrt"


def _is_moderate_number(node: Scalar) -> bool:
    return node.operation == "const" and _MODERATE[0] < node.data < _MODERATE[1]
