"""Derivatives in letters: an op's gradient rule, run on symbols and read back as a formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from rillet.autodiff.isolated import FAILURES, Isolated, Known, bodies
from rillet.core import context
from rillet.core.dispatch import constant_in
from rillet.core.graph import Operation
from rillet.core.tensor import SymbolicTensor
from rillet.draw.algebra import Expression, constant, symbol
from rillet.draw.notation import INFIX, function_name

FLOWING = "δ"
_LONGEST = 40
_DEEPEST = 40


def partial_formulas(operation: Operation, names: Sequence[str], result: str, known: Known) -> dict[int, Expression]:
    """The derivative of the operation's first output with respect to each of its inputs, by place, where it can be told.

    names: what the inputs are called. result: what the outputs are called. known: the value of an input, or None.
    """
    if not operation.outputs or not operation.definition.differentiable or bodies(operation):
        return {}
    elementwise = operation.definition.elementwise
    try:
        isolated = Isolated(operation, scalars=elementwise, known=known)
        first = isolated.operation.outputs[0]
        flowing: dict[int, SymbolicTensor] = {}

        def flow(tensor: SymbolicTensor) -> Any:
            if tensor is not first:
                return None
            flowing[0] = (
                _one(isolated, tensor) if elementwise or tensor.shape.rank == 0 else isolated.placeholder(tensor)
            )
            return flowing[0]

        found = isolated.gradients(flow)
    except FAILURES:  # a formula is an extra: the rule may not work on symbols alone
        return {}
    reader = _Reader()
    for place, tensor in enumerate(isolated.inputs):
        value = known(operation.inputs[place])
        is_number = value is not None and np.size(value) == 1 and np.asarray(value).dtype.kind in "fiu"
        is_constant = is_number and names[place] == ""
        reader.known[id(tensor)] = (
            constant(float(np.asarray(value).reshape(()))) if is_constant else symbol(names[place] or "·")
        )
    for tensor in isolated.operation.outputs:
        reader.known[id(tensor)] = symbol(result)
    if flowing[0].op.type == "Placeholder":
        reader.known[id(flowing[0])] = symbol(FLOWING)
    formulas = {}
    for place, gradient in found.items():
        expression = reader.read(gradient)
        if expression is not None and len(expression.text()) <= _LONGEST:
            formulas[place] = constant(1) if expression.text() == FLOWING else expression  # passed on as it is
    return formulas


def _one(isolated: Isolated, tensor: SymbolicTensor) -> SymbolicTensor:
    with isolated.graph.as_default(), context.without_recording():
        dtype = tensor.dtype.base_dtype
        return constant_in(isolated.graph, np.ones((), dtype.numpy_dtype), dtype)


class _Reader:
    """Reads the tensors of a graph as expressions. `known`: those that have a name."""

    def __init__(self) -> None:
        self.known: dict[int, Expression | None] = {}
        self._depth = 0

    def read(self, tensor: Any) -> Expression | None:
        """None for what is written in no short way."""
        if not isinstance(tensor, SymbolicTensor) or self._depth > _DEEPEST:
            return None
        if id(tensor) not in self.known:
            self._depth += 1
            self.known[id(tensor)] = self._read(tensor)
            self._depth -= 1
        return self.known[id(tensor)]

    def _read(self, tensor: SymbolicTensor) -> Expression | None:
        operation = tensor.op
        if operation.type == "Const":
            return _uniform(operation.attrs["value"])
        if operation.type in _SAME:
            return self.read(operation.inputs[_SAME[operation.type]])
        if operation.type == "ZerosLike":
            return constant(0)
        if operation.type == "OnesLike":
            return constant(1)
        write = _WRITTEN.get(operation.type)
        parts = [self.read(part) for part in operation.inputs]
        if any(part is None for part in parts):
            return None
        if operation.type in _PRODUCTS:
            return _matrix_product(operation, parts)
        if write is not None:
            return write(*parts)
        if not operation.definition.elementwise or len(parts) > 3:
            return None
        return symbol(f"{operation.type.lower()}({', '.join(part.text() for part in parts if part is not None)})")


def _uniform(value: Any) -> Expression | None:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.size == 0:
        return None
    first = array.reshape(-1)[0]
    return constant(float(first)) if (array == first).all() else None


def _matrix_product(operation: Operation, parts: Sequence[Any]) -> Expression:
    first, second = _PRODUCTS[operation.type]
    turned = [operation.attrs.get(first), operation.attrs.get(second)]
    texts = []
    for part, is_turned in zip(parts, turned, strict=True):
        text = part.text()
        if is_turned:
            text = f"({text})ᵀ" if " " in text or "·" in text else f"{text}ᵀ"
        texts.append(text)
    return symbol(" @ ".join(texts))


def _half_power(value: Expression) -> Expression:
    return value.power(Fraction(1, 2))


def _pow(base: Expression, exponent: Expression) -> Expression:
    power = exponent.as_number
    if isinstance(power, Fraction) and abs(power) < 100:
        return base.power(power) if power else constant(1)
    text = exponent.text()
    return symbol(f"{_in_brackets(base)}^{text if text.isalnum() else f'({text})'}")


def _in_brackets(value: Expression) -> str:
    text = value.text()
    return text if text.isalnum() else f"({text})"


def _add_all(*parts: Expression) -> Expression:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _gate(gradient: Expression, features: Expression) -> Expression:
    return gradient * symbol(f"[{features.text()} > 0]")


def _select(condition: Expression, first: Expression, second: Expression) -> Expression:
    if second.as_number == 0:
        return first * condition
    if first.as_number == 0:
        return second * symbol(f"[not {condition.text()}]")
    return symbol(f"({first.text()} if {condition.text()} else {second.text()})")


def _comparison(sign: str) -> Callable[..., Expression]:
    return lambda left, right: symbol(f"[{left.text()} {sign} {right.text()}]")


# Ops that change a tensor's form or dtype, not its numbers: the place of the input that is passed on.
_SAME = dict.fromkeys(
    (
        "Identity",
        "Reshape",
        "Cast",
        "BroadcastTo",
        "Tile",
        "ExpandDims",
        "Squeeze",
        "Snapshot",
        "PreventGradient",
        "Conj",
    ),
    0,
) | {"Fill": 1}
_PRODUCTS = {"MatMul": ("transpose_a", "transpose_b"), "BatchMatMulV2": ("adj_x", "adj_y")}
_WRITTEN: dict[str, Callable[..., Expression]] = {
    "Add": lambda x, y: x + y,
    "AddV2": lambda x, y: x + y,
    "AddN": _add_all,
    "Sub": lambda x, y: x - y,
    "Mul": lambda x, y: x * y,
    "MulNoNan": lambda x, y: x * y,
    "RealDiv": lambda x, y: x / y,
    "Div": lambda x, y: x / y,
    "DivNoNan": lambda x, y: x / y,
    "Neg": lambda x: -x,
    "Square": lambda x: x.power(Fraction(2)),
    "Reciprocal": lambda x: x.power(Fraction(-1)),
    "Inv": lambda x: x.power(Fraction(-1)),
    "Sqrt": _half_power,
    "Rsqrt": lambda x: x.power(Fraction(-1, 2)),
    "Pow": _pow,
    "Abs": lambda x: symbol(f"|{x.text()}|"),
    "SigmoidGrad": lambda y, dy: dy * y * (constant(1) - y),
    "TanhGrad": lambda y, dy: dy * (constant(1) - y.power(Fraction(2))),
    "SqrtGrad": lambda y, dy: dy / (constant(2) * y),
    "RsqrtGrad": lambda y, dy: -dy * y.power(Fraction(3)) / constant(2),
    "ReciprocalGrad": lambda y, dy: -dy * y.power(Fraction(2)),
    "BiasAddGrad": lambda x: symbol(f"Σ {x.text()}"),
    "ReluGrad": _gate,
    "SelectV2": _select,
    "Select": _select,
    "Greater": _comparison(">"),
    "GreaterEqual": _comparison("≥"),
    "Less": _comparison("<"),
    "LessEqual": _comparison("≤"),
    "Equal": _comparison("="),
}


def value_formula(operation: Operation, parts: Sequence[str]) -> str:
    """What an operation computes of its inputs, as written: "a·b", "σ(z)". An input without a name is left out."""
    named = [part for part in parts if part]
    if operation.type in INFIX and len(named) == 2 == len(parts):
        sides = [
            f"({part})" if " " in part or (part.startswith("−") and place) else part for place, part in enumerate(named)
        ]
        return INFIX[operation.type].join(sides)
    if operation.type == "Square" and named:
        return f"{named[0]}²" if named[0].isidentifier() or named[0].isdigit() else f"({named[0]})²"
    if operation.type == "Neg" and named:
        return f"−{named[0]}"
    return f"{function_name(operation.type)}({', '.join(named)})"
