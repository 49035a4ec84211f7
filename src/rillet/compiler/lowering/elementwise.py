"""Elementwise ops whose reference kernels cannot be followed, or have a better compiled form.

All others need no rule: what is marked elementwise is lowered by following its NumPy kernel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from rillet.compiler.arrays import Array, Arrays
from rillet.compiler.numpy_like import checked_division
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType


def _unary(type_: str, name: str) -> None:
    @lowering(type_)
    def rule(call: Call, x: Array) -> Array:
        return call.program.elementwise(name, x.dtype, x)


for _type, _name in {
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Rsqrt": "rsqrt",
    "Erf": "erf",
    "Erfc": "erfc",
    "Erfinv": "erfinv",
    "Ndtri": "ndtri",
    "Lgamma": "lgamma",
    "Digamma": "digamma",
    "Round": "round",
}.items():
    _unary(_type, _name)


_QUOTIENTS = {
    "FloorDiv": "floordiv",
    "TruncateDiv": "div",
    "Div": "div",
    "FloorMod": "mod",
    "TruncateMod": "truncmod",
    "Mod": "truncmod",
}


_ROUNDINGS = {"FloorDiv": "floor", "TruncateDiv": "trunc"}


def _short_quotient(program: Arrays, name: str, x: Array, y: Array) -> Array:
    """Of 16-bit floats: what is computed between two operations has 32 bits, but a quotient like 4.9999 counts as 5."""
    dtype = x.dtype

    def divide(left: Scalar, right: Scalar) -> Scalar:
        quotient = program.make("cast", dtype, program.make("div", dtype, left, right))
        return program.make(name, dtype, quotient)

    return program.combine(dtype, divide, x, y, cost=6)


@lowering(*_QUOTIENTS)
def quotient(call: Call, x: Array, y: Array) -> Array:
    if x.dtype.is_integer:
        return checked_division(call.program, _QUOTIENTS[call.operation.type], x.dtype, x, y)
    if x.dtype.size == 2 and call.operation.type in _ROUNDINGS:
        return _short_quotient(call.program, _ROUNDINGS[call.operation.type], x, y)
    return call.lowering.trace(call.operation, (x, y))  # type: ignore[no-any-return]


@lowering("Pow")
def power(call: Call, x: Array, y: Array) -> Array:
    if x.dtype.is_integer:
        function = functools.partial(_integer_power, call.program)
        return call.program.combine(x.dtype, function, x, y, cost=3 * 8 * x.dtype.size)
    return call.lowering.trace(call.operation, (x, y))  # type: ignore[no-any-return]


def _integer_power(program: Arrays, base: Scalar, exponent: Scalar) -> Scalar:
    """By squaring: a factor for each bit of the exponent. It is the program's error if that is negative."""
    dtype = base.dtype
    one, zero = program.number(1, dtype), program.number(0, dtype)
    is_fine = program.compare("ge", exponent, zero)
    known = exponent.data if exponent.operation == "const" else None
    result = (
        one if known is not None and known >= 0 else program.make("nonzero", dtype, program.where(is_fine, one, zero))
    )
    for bit in range(8 * dtype.size - 1 if known is None else known.bit_length()):
        if bit:
            base = program.make("mul", dtype, base, base)
        product = program.make("mul", dtype, result, base)
        if known is None:
            picked = program.make("and", dtype, exponent, program.number(1 << bit, dtype))
            result = program.where(program.compare("eq", picked, zero), result, product)
        elif known >> bit & 1:
            result = product
    return result


@lowering("PopulationCount")
def population_count(call: Call, x: Array) -> Array:
    return call.program.cast(call.program.elementwise("popcount", x.dtype, x), dtypes.uint8)


@lowering("Relu")
def relu(call: Call, x: Array) -> Array:
    return call.program.elementwise("max", x.dtype, x, call.program.constant(0, x.dtype))


@lowering("ReluGrad")
def relu_grad(call: Call, gradients: Array, features: Array) -> Array:
    program = call.program

    def masked(gradient: Scalar, feature: Scalar) -> Scalar:
        zero = program.number(0, feature.dtype)
        return program.where(program.compare("gt", feature, zero), gradient, program.number(0, gradient.dtype))

    return program.combine(gradients.dtype, masked, gradients, features, cost=2)


@lowering(
    "Identity", "StopGradient", "PreventGradient", "Snapshot", "DeepCopy", "GuaranteeConst", "PlaceholderWithDefault"
)
def identity(call: Call, x: Array) -> Array:
    return x


@lowering("IdentityN")
def identities(call: Call, *arrays: Array) -> list[Array]:
    return list(arrays)


@lowering("Cast")
def cast(call: Call, x: Array) -> Array:
    return call.program.cast(x, call.dtype())


@lowering("AddN", "AccumulateNV2")
def add_n(call: Call, *arrays: Array) -> Array:
    total = arrays[0]
    for array in arrays[1:]:
        total = call.program.elementwise("add", total.dtype, total, array)
    return total


@lowering("SelectV2")
def select(call: Call, condition: Array, x: Array, y: Array) -> Array:
    return call.program.combine(x.dtype, lambda c, a, b: call.program.where(c, a, b), condition, x, y)


@lowering("Select")
def select_rows(call: Call, condition: Array, x: Array, y: Array) -> Array:
    if condition.rank == 1 and x.rank > 1:
        condition = call.program.reshape(condition, (condition.shape[0], *[1] * (x.rank - 1)))
    result: Array = select(call, condition, x, y)
    return result


@lowering("BiasAdd", "BiasAddV1")
def bias_add(call: Call, value: Array, bias: Array) -> Array:
    if call.attrs.get("data_format", "NHWC") in ("NCHW", b"NCHW") and value.rank > 2:
        bias = call.program.reshape(bias, (bias.shape[0], *[1] * (value.rank - 2)))
    return call.program.elementwise("add", value.dtype, value, bias)


@lowering("ZerosLike", "OnesLike")
def filled_like(call: Call, x: Array) -> Array:
    number = 0 if call.operation.type == "ZerosLike" else 1
    return call.program.broadcast(call.program.constant(number, x.dtype), x.shape)


@lowering("IsNan", "IsInf", "IsFinite")
def classify(call: Call, x: Array) -> Array:
    name = {"IsNan": "is_nan", "IsInf": "is_inf", "IsFinite": "is_finite"}[call.operation.type]
    return call.program.elementwise(name, dtypes.bool, x)


def _derivative(type_: str, formula: Callable[[Arrays, DType, Scalar], Scalar]) -> None:
    """dy * formula(y), and 0 where dy is 0 (whatever the formula gives)."""

    @lowering(type_, unless=lambda op: op.outputs[0].dtype.is_complex)
    def rule(call: Call, y: Array, dy: Array) -> Array:
        program, dtype = call.program, y.dtype

        def compute(value: Scalar, gradient: Scalar) -> Scalar:
            zero = program.number(0, dtype)
            product = program.make("mul", dtype, gradient, formula(program, dtype, value))
            return program.where(program.compare("eq", gradient, zero), zero, product)

        return program.combine(dtype, compute, y, dy, cost=6)


def _minus_half_cube(program: Arrays, dtype: DType, y: Scalar) -> Scalar:
    cube = program.make("mul", dtype, program.make("mul", dtype, y, y), y)
    return program.make("mul", dtype, cube, program.number(-0.5, dtype))


def _half_over(program: Arrays, dtype: DType, y: Scalar) -> Scalar:
    return program.make("div", dtype, program.number(0.5, dtype), y)


def _minus_square(program: Arrays, dtype: DType, y: Scalar) -> Scalar:
    return program.make("neg", dtype, program.make("mul", dtype, y, y))


_derivative("RsqrtGrad", _minus_half_cube)
_derivative("SqrtGrad", _half_over)
_derivative("ReciprocalGrad", _minus_square)
_derivative("InvGrad", _minus_square)
