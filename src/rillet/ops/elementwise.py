"""Elementwise arithmetic and functions: one value in, one value out, with NumPy broadcasting where there are two.

A gradient rule reads as the formula: `dy` is the gradient of the output; for complex inputs the derivative is
conjugated (`conj` is the identity on real tensors). Rules make the nodes that TensorFlow's make, in its order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import REGISTRY, OpDef, define
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, Tensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.broadcasting import broadcast_derivatives, broadcast_gradient, unbroadcast
from rillet.ops.cast import cast
from rillet.ops.constants import identity
from rillet.ops.creation import ones_like_v1 as ones_like
from rillet.ops.creation import zeros_like_v1 as zeros_like
from rillet.ops.families import binary, broadcast_shapes, no_gradient_rule, same_shape, unary
from rillet.ops.scope import scope

Function = Callable[..., Any]

# What TensorFlow's kernels take, where it is none of the groups of opdef.TYPE_GROUPS.
SIGNED = "{bfloat16, float16, float32, float64, int8, int16, int32, int64}"
SIGNED_OR_COMPLEX = "{bfloat16, float16, float32, float64, int8, int16, int32, int64, complex64, complex128}"


def constant_like(value: float, tensor: Any) -> Any:
    """The scalar `value` in the dtype of `tensor`: in a graph, a node named Const."""
    return convert_to_tensor(value, tensor.dtype, "Const")


# ---- complex numbers ------------------------------------------------------------------------------------------------

CONJ = define(
    "Conj", "input: T -> output: T", "T: {complex64, complex128, variant} = complex64",
    reference=np.conj, shape=same_shape, gradient=lambda op, dy: conj(dy), elementwise=True,
)  # fmt: skip


def conj(x: Any) -> Any:
    """The complex conjugate of a tensor; a real tensor is returned as it is."""
    return apply_op(CONJ, (x,)) if x.dtype.is_complex else x


@public("math.conj", v1=["conj"])
def conj_public(x: Any, name: str | None = None) -> Any:
    """The complex conjugate of each element; a real tensor is returned as it is."""
    with scope(name or "Conj", x) as full_name:
        x = convert_to_tensor(x, name="x")
        return apply_op(CONJ, (x,), name=full_name) if x.dtype.is_complex else x


def _complex_kernel(real: Any, imag: Any) -> Any:
    result = np.empty(np.broadcast_shapes(np.shape(real), np.shape(imag)), np.result_type(real, np.complex64))
    result.real, result.imag = real, imag
    return result


def _complex_partials(op: Operation, dz: Any) -> tuple[Any, Any]:
    return real(dz), imag(dz)


def _real_gradient(op: Operation, dy: Any) -> Any:
    return complex(dy, constant_like(0, dy))


def _imag_gradient(op: Operation, dy: Any) -> Any:
    return complex(constant_like(0, dy), dy)


def _complex_abs_gradient(op: Operation, dy: Any) -> Any:
    return divide_no_nan(_as_complex(dy) * op.inputs[0], _as_complex(op.outputs[0]))


COMPLEX = define(
    "Complex", "real: T, imag: T -> out: Tout", "T: {float32, float64} = float32, Tout: complex = complex64",
    reference=_complex_kernel, shape=broadcast_shapes, elementwise=True,
    gradient=broadcast_gradient(_complex_partials),
)  # fmt: skip
_PART = "T: complex = complex64, Tout: {float32, float64} = float32"
REAL = define(
    "Real", "input: T -> output: Tout", _PART, reference=np.real, shape=same_shape, elementwise=True,
    gradient=_real_gradient,
)  # fmt: skip
IMAG = define(
    "Imag", "input: T -> output: Tout", _PART, reference=np.imag, shape=same_shape, elementwise=True,
    gradient=_imag_gradient,
)  # fmt: skip


def _angle_gradient(op: Operation, dy: Any) -> Any:
    x, y = real(op.inputs[0]), imag(op.inputs[0])
    inverse = reciprocal(complex(y, x))
    return -complex(dy, constant_like(0, dy)) * inverse


ANGLE = define(
    "Angle", "input: T -> output: Tout", _PART, reference=np.angle, shape=same_shape, elementwise=True,
    gradient=_angle_gradient,
)  # fmt: skip
COMPLEX_ABS = define(
    "ComplexAbs", "x: T -> y: Tout", _PART, reference=np.abs, shape=same_shape, elementwise=True,
    gradient=_complex_abs_gradient,
)  # fmt: skip


def _as_complex(x: Any) -> Any:
    return complex(x, zeros_like(x))


@public("complex", "dtypes.complex")
def complex(real: Any, imag: Any, name: str | None = None) -> Any:
    """real + i imag, broadcast. TypeError unless both are float32, or both float64."""
    real = convert_to_tensor(real, name="real")
    imag = convert_to_tensor(imag, name="imag")
    pair = (real.dtype.base_dtype, imag.dtype.base_dtype)
    if pair[0] is not pair[1] or pair[0] not in (dtypes.float32, dtypes.float64):
        raise TypeError(
            f"The `real` and `imag` components have incorrect types: {pair[0].name} {pair[1].name}. They must be "
            f"consistent, and one of {[dtypes.float32, dtypes.float64]}"
        )
    wanted = dtypes.complex64 if pair[0] is dtypes.float32 else dtypes.complex128
    return apply_op(COMPLEX, (real, imag), {"Tout": wanted}, name)


@public("math.real", v1=["real"])
def real(input: Any, name: str | None = None) -> Any:
    """The real part of each element; a real tensor is returned as it is."""
    with scope(name or "Real", input) as full_name:
        value = convert_to_tensor(input, name="input")
        if not value.dtype.is_complex:
            return value
        return apply_op(REAL, (value,), {"Tout": value.dtype.real_dtype}, full_name)


@public("math.imag", v1=["imag"])
def imag(input: Any, name: str | None = None) -> Any:
    """The imaginary part of each element: zeros for a real tensor."""
    with scope(name or "Imag", input) as full_name:
        value = convert_to_tensor(input, name="input")
        if not value.dtype.is_complex:
            return zeros_like(value)
        return apply_op(IMAG, (value,), {"Tout": value.dtype.real_dtype}, full_name)


@public("math.angle", v1=["angle"])
def angle(input: Any, name: str | None = None) -> Any:
    """The argument of each complex element, atan2(imag, real); for real elements pi where they are negative, else 0."""
    with scope(name or "Angle", input) as full_name:
        value = convert_to_tensor(input, name="input")
        if value.dtype.is_complex:
            return apply_op(ANGLE, (value,), {"Tout": value.dtype.real_dtype}, full_name)
        is_negative = apply_op(REGISTRY["Less"], (value, 0))
        half_turn = math.pi * ones_like(value)
        return apply_op(REGISTRY["Select"], (is_negative, half_turn, zeros_like(value)))


# ---- sums and products ----------------------------------------------------------------------------------------------


def _is_plain(op: Operation, dz: Any) -> bool:
    """Whether both inputs and the gradient are known to have one shape: nothing was broadcast."""
    x, y = op.inputs
    if type(x) is EagerTensor and type(y) is EagerTensor and type(dz) is EagerTensor:
        return bool(x._array.shape == y._array.shape == dz._array.shape)
    return x.shape.is_fully_defined() and x.shape.dimensions == y.shape.dimensions == dz.shape.dimensions


def _add_gradient(op: Operation, dz: Any) -> list[Any]:
    return [dz, dz] if _is_plain(op, dz) else unbroadcast(op.inputs, (dz, dz))


def _subtract_gradient(op: Operation, dz: Any) -> list[Any]:
    partials = [dz, -dz]
    return partials if _is_plain(op, dz) else unbroadcast(op.inputs, partials)


def _multiply_gradient(op: Operation, dz: Any) -> list[Any]:
    x, y = op.inputs
    if dz.dtype is dtypes.float32 and _is_plain(op, dz):
        return [multiply(dz, y), multiply(dz, x)]
    partial = multiply(dz, conj(y))
    return unbroadcast(op.inputs, (partial, multiply(conj(x), dz)))


def _join_or_add(x: Any, y: Any) -> Any:
    return np.add(x, y)  # bytes are joined


ADD = define(
    "Add", "x: T, y: T -> z: T",
    "T: {bfloat16, float16, float32, float64, uint8, int8, int16, int32, int64, complex64, complex128, string}",
    reference=_join_or_add, shape=broadcast_shapes, gradient=_add_gradient, elementwise=True,
)  # fmt: skip
add_v2 = binary("AddV2", np.add, "numeric", _add_gradient, doc="x + y of numbers, element by element, broadcast.")


@public("add", "math.add")
def add(x: Any, y: Any, name: str | None = None) -> Any:
    """x + y, element by element, broadcast. Strings are joined."""
    if type(x) is type(y) and isinstance(x, Tensor) and x.dtype is not dtypes.string:
        return add_v2(x, y, name or "Add")
    with scope(name or "Add", x, y) as full_name:
        x = convert_to_tensor(x, name="x")
        y = convert_to_tensor(y, name="y", dtype_hint=x.dtype.base_dtype)
        return apply_op(ADD if x.dtype is dtypes.string else REGISTRY["AddV2"], (x, y), name=full_name)


subtract = binary("Sub", np.subtract, "numeric", _subtract_gradient, names=["subtract", "math.subtract"], v1=["sub"])
multiply = binary("Mul", np.multiply, "numeric", _multiply_gradient, names=["multiply", "math.multiply"], v1=["mul"])
negative = unary(
    "Neg", np.negative, SIGNED_OR_COMPLEX, lambda op, dy: -dy, names=["negative", "math.negative"], v1=["neg"]
)
square = unary(
    "Square", np.square, "numeric", lambda op, dy: multiply(dy, multiply(conj(op.inputs[0]), constant_like(2.0, dy))),
    names=["square", "math.square"], doc="x * x",
)  # fmt: skip


def _multiply_no_nan_kernel(x: Any, y: Any) -> Any:
    return np.where(y == 0, y.dtype.type(0), np.multiply(x, y))


def _multiply_no_nan_gradient(op: Operation, dz: Any) -> list[Any]:
    x, y = op.inputs
    partials = [apply_op(REGISTRY["MulNoNan"], (dz, y)), apply_op(REGISTRY["MulNoNan"], (x, dz))]
    return partials if _is_plain(op, dz) else unbroadcast(op.inputs, partials)


MULTIPLY_NO_NAN = define(
    "MulNoNan", "x: T, y: T -> z: T", "T: floating_or_complex", reference=_multiply_no_nan_kernel,
    shape=broadcast_shapes, gradient=_multiply_no_nan_gradient, elementwise=True,
)  # fmt: skip


@public("math.multiply_no_nan")
def multiply_no_nan(x: Any, y: Any, name: str | None = None) -> Any:
    """x * y, and 0 where y is 0, even if x is infinite or nan."""
    with scope(name or "multiply_no_nan", x, y) as full_name:
        x = convert_to_tensor(x, name="x")
        return apply_op(MULTIPLY_NO_NAN, (x, convert_to_tensor(y, x.dtype.base_dtype, "y")), name=full_name)


def _squared_difference_kernel(x: Any, y: Any) -> Any:
    difference = np.subtract(x, y)
    return difference * np.conj(difference) if difference.dtype.kind == "c" else np.square(difference)


def _squared_difference_gradient(op: Operation, dz: Any) -> list[Any]:
    partial = scalar_mul(2.0, dz) * subtract(op.inputs[0], op.inputs[1], "sub")
    partials = [partial, -partial]
    return partials if _is_plain(op, dz) else unbroadcast(op.inputs, partials)


squared_difference = binary(
    "SquaredDifference", _squared_difference_kernel,
    "{bfloat16, float16, float32, float64, int32, int64, complex64, complex128}",
    _squared_difference_gradient,
    names=["math.squared_difference"], v1=["squared_difference"], doc="(x - y) times its conjugate, broadcast.",
)  # fmt: skip


@public("scalar_mul", "math.scalar_mul")
def scalar_mul(scalar: Any, x: Any, name: str | None = None) -> Any:
    """`x` (a tensor or IndexedSlices) times a scalar of its dtype. ValueError when `scalar` is no scalar."""
    factor = convert_to_tensor(scalar, x.dtype.base_dtype if hasattr(x, "dtype") else None, "scalar")
    if factor.shape.rank not in (0, None):
        raise ValueError(f"The input scalar must be a 0-D value. Received shape {factor.shape}.")
    if isinstance(x, IndexedSlices):
        return IndexedSlices(multiply(factor, x.values, name), x.indices, x.dense_shape)
    return multiply(factor, x, name)


# ---- quotients and remainders ---------------------------------------------------------------------------------------


def _check_divisor(x: Any, y: Any) -> None:
    if y.dtype.kind in "iu" and not np.all(y) and x.size:
        raise ZeroDivisionError("Integer division by zero")


def _floor_divide_kernel(x: Any, y: Any) -> Any:
    if x.dtype.kind in "iu":
        _check_divisor(x, y)
        return np.floor_divide(x, y)
    return np.floor(np.true_divide(x, y))


def _floor_mod_kernel(x: Any, y: Any) -> Any:
    _check_divisor(x, y)
    return np.mod(x, y)


def _truncate_divide_kernel(x: Any, y: Any) -> Any:
    if x.dtype.kind in "iu":
        _check_divisor(x, y)
        quotient = np.floor_divide(x, y)
        is_rounded = (np.multiply(quotient, y) != x) & ((x < 0) != (y < 0))
        return np.add(quotient, is_rounded, dtype=quotient.dtype)
    return np.trunc(np.true_divide(x, y))


def _truncate_mod_kernel(x: Any, y: Any) -> Any:
    _check_divisor(x, y)
    return np.fmod(x, y)


def _divide_kernel(x: Any, y: Any) -> Any:
    return _truncate_divide_kernel(x, y) if x.dtype.kind in "iu" else np.true_divide(x, y)


def _quotient_gradient(divide: Callable[[Any, Any], Any]) -> Callable[[Operation, Any], list[Any]]:
    """dz / y and dz * (-x / y / y), where `divide` does the divisions."""

    def partials(op: Operation, dz: Any) -> tuple[Any, Any]:
        x, y = conj(op.inputs[0]), conj(op.inputs[1])
        return divide(dz, y), dz * divide(divide(-x, y), y)

    return broadcast_gradient(partials)


def _divide_no_nan_kernel(x: Any, y: Any) -> Any:
    return np.where(y == 0, y.dtype.type(0), np.true_divide(x, y))


def _no_partials(op: Operation, dz: Any) -> list[None]:
    return [None, None]  # constant almost everywhere: nothing flows


real_div: Function = binary(
    "RealDiv", np.true_divide, "floating_or_complex", _quotient_gradient(lambda x, y: real_div(x, y)), names=["realdiv"]
)
define(
    "Div", "x: T, y: T -> z: T", "T: numeric", reference=_divide_kernel, shape=broadcast_shapes,
    gradient=_quotient_gradient(lambda x, y: x / y), elementwise=True,
)  # fmt: skip


def _over_no_nan(x: Any, y: Any) -> Any:
    return divide_no_nan(x, y)


DIVIDE_NO_NAN = define(
    "DivNoNan", "x: T, y: T -> z: T", "T: floating_or_complex", reference=_divide_no_nan_kernel,
    shape=broadcast_shapes, gradient=_quotient_gradient(_over_no_nan), elementwise=True,
)  # fmt: skip
floor_div = binary("FloorDiv", _floor_divide_kernel, "real", _no_partials, v1=["floor_div"])
floor_mod = binary(
    "FloorMod", _floor_mod_kernel, "real",
    broadcast_gradient(lambda op, dz: (dz, dz * negative(floor_div(op.inputs[0], op.inputs[1])))),
    names=["math.floormod", "math.mod"], v1=["floormod", "mod"], doc="x - floor(x / y) * y: it has the sign of y.",
)  # fmt: skip
truncate_div = binary("TruncateDiv", _truncate_divide_kernel, "real", _no_partials, names=["truncatediv"])
truncate_mod = binary(
    "TruncateMod", _truncate_mod_kernel, "{int32, int64, bfloat16, float16, float32, float64}", no_gradient_rule,
    names=["truncatemod"], doc="The remainder of division rounded towards zero: it has the sign of x.",
)  # fmt: skip
define(
    "Mod", "x: T, y: T -> z: T", "T: {int32, int64, bfloat16, float16, float32, float64}",
    reference=_truncate_mod_kernel, shape=broadcast_shapes, gradient=no_gradient_rule, elementwise=True,
)  # fmt: skip


def _as_quotient(x: Any, y: Any) -> tuple[Any, Any]:
    """Two tensors as they are divided: integers as floating-point numbers. TypeError when that cannot be."""
    dtype = x.dtype.base_dtype
    if dtype is not y.dtype.base_dtype:
        raise TypeError(f"`x` and `y` must have the same dtype, got {x.dtype!r} != {y.dtype!r}.")
    if dtype.is_floating or dtype.is_complex:
        return x, y
    if not dtype.is_integer:
        raise TypeError(f"Invalid dtype {dtype!r} in __truediv__: it is no number.")
    wanted = dtypes.float32 if dtype.size < 4 else dtypes.float64
    return cast(x, wanted), cast(y, wanted)


@public("truediv", "math.truediv")
def truediv(x: Any, y: Any, name: str | None = None) -> Any:
    """x / y as in Python 3. Integers of 8 and 16 bits give float32, wider ones float64.

    Raises TypeError when the dtypes differ or cannot be divided.
    """
    with scope(name or "truediv", x, y) as full_name:
        x = convert_to_tensor(x, name="x")
        y = convert_to_tensor(y, name="y", dtype_hint=x.dtype.base_dtype)
        return real_div(*_as_quotient(x, y), full_name)


@public("divide", "math.divide")
def divide(x: Any, y: Any, name: str | None = None) -> Any:
    """x / y as in Python 3: `truediv`."""
    if name is not None:
        return truediv(x, y, name)
    hint = y.dtype.base_dtype if isinstance(y, Tensor) else None
    return convert_to_tensor(x, dtype_hint=hint) / y


@public(v1=["div"])
def div(x: Any, y: Any, name: str | None = None) -> Any:
    """x / y as in Python 2: integers are divided rounding down, floating-point numbers exactly."""
    with scope(name or "div", x, y) as full_name:
        x = convert_to_tensor(x, name="x")
        y = convert_to_tensor(y, x.dtype.base_dtype, "y")
        return (real_div if x.dtype.is_floating or x.dtype.is_complex else floor_div)(x, y, full_name)


@public("math.floordiv", v1=["floordiv"])
def floordiv(x: Any, y: Any, name: str | None = None) -> Any:
    """x / y rounded towards minus infinity. InvalidArgumentError when an integer is divided by zero."""
    return floor_div(x, y, name or "floordiv")


@public("math.divide_no_nan", v1=["div_no_nan"])
def divide_no_nan(x: Any, y: Any, name: str | None = None) -> Any:
    """x / y, and 0 where y is 0. Integers give float32 or float64, as with `truediv`."""
    with scope(name or "div_no_nan", x, y) as full_name:
        x = convert_to_tensor(x, name="x", dtype_hint=y.dtype.base_dtype if isinstance(y, Tensor) else None)
        y = convert_to_tensor(y, name="y", dtype_hint=x.dtype.base_dtype)
        return apply_op(DIVIDE_NO_NAN, _as_quotient(x, y), name=full_name)


@public("math.reciprocal_no_nan")
def reciprocal_no_nan(x: Any, name: str | None = None) -> Any:
    """1 / x, and 0 where x is 0."""
    with scope(name or "reciprocal_no_nan", x) as full_name:
        x = convert_to_tensor(x, name="x")
        one = convert_to_tensor(1, x.dtype.base_dtype, "one")
        return apply_op(DIVIDE_NO_NAN, (one, x), name=full_name)


# ---- the larger, the smaller ----------------------------------------------------------------------------------------


def _extremum_gradient(comparison: str) -> Callable[[Operation, Any], list[Any]]:
    """All goes to x where it won (or is equal), else to y."""

    def partials(op: Operation, dz: Any) -> tuple[Any, Any]:
        zeros = zeros_like(dz)
        x_won = apply_op(REGISTRY[comparison], op.inputs)
        select = REGISTRY["SelectV2"]
        return apply_op(select, (x_won, dz, zeros)), apply_op(select, (x_won, zeros, dz))

    return broadcast_gradient(partials)


maximum = binary(
    "Maximum", np.maximum, "real", _extremum_gradient("GreaterEqual"), names=["maximum", "math.maximum"],
    doc="The larger of x and y, element by element, broadcast; nan where one is nan.",
)  # fmt: skip
minimum = binary(
    "Minimum", np.minimum, "real", _extremum_gradient("LessEqual"), names=["minimum", "math.minimum"],
    doc="The smaller of x and y, element by element, broadcast; nan where one is nan.",
)  # fmt: skip

# ---- sign and rounding ----------------------------------------------------------------------------------------------

SIGN = define(
    "Sign", "x: T -> y: T", f"T: {SIGNED_OR_COMPLEX}", reference=np.sign, shape=same_shape, elementwise=True,
    gradient=lambda op, dy: zeros_like(op.inputs[0]),
)  # fmt: skip


@public("sign", "math.sign")
def sign(x: Any, name: str | None = None) -> Any:
    """-1, 0 or 1 for each real element; x / abs(x) (0 at 0) for complex ones."""
    x = convert_to_tensor(x)
    if not x.dtype.is_complex:
        return apply_op(SIGN, (x,), name=name)
    modulus = apply_op(COMPLEX_ABS, (x,), {"Tout": x.dtype.real_dtype})
    return apply_op(DIVIDE_NO_NAN, (x, cast(modulus, x.dtype)), name=name)


ABS = define(
    "Abs", "x: T -> y: T", f"T: {SIGNED}", reference=np.abs, shape=same_shape, elementwise=True,
    gradient=lambda op, dy: dy * sign(op.inputs[0]),
)  # fmt: skip


@public("abs", "math.abs")
def abs(x: Any, name: str | None = None) -> Any:
    """The absolute value of each element: for complex elements a float, their modulus."""
    if isinstance(x, Tensor) and not x.dtype.is_complex:
        return apply_op(ABS, (x,), name=name)
    with scope(name or "Abs", x) as full_name:
        x = convert_to_tensor(x, name="x")
        if x.dtype.is_complex:
            return apply_op(COMPLEX_ABS, (x,), {"Tout": x.dtype.real_dtype}, full_name)
        return apply_op(ABS, (x,), name=full_name)


floor = unary("Floor", np.floor, "floating", lambda op, dy: None, names=["floor", "math.floor"])
ceil = unary("Ceil", np.ceil, "floating", lambda op, dy: None, names=["math.ceil"], v1=["ceil"])
rint = unary(
    "Rint", np.rint, "floating", lambda op, dy: None, names=["math.rint"], v1=["rint"],
    doc="The nearest integer to each element; halves go to the even one.",
)  # fmt: skip


def _round_kernel(x: Any) -> Any:
    return x if x.dtype.kind in "iu" else np.rint(x)


ROUND = define(
    "Round", "x: T -> y: T", "T: real", reference=_round_kernel, shape=same_shape, elementwise=True,
    gradient=lambda op, dy: None,
)  # fmt: skip


@public("round", "math.round")
def round(x: Any, name: str | None = None) -> Any:
    """The nearest integer to each element, in x's dtype; halves go to the even one. Integers stay as they are."""
    x = convert_to_tensor(x, name="x")
    return x if x.dtype.is_integer else apply_op(ROUND, (x,), name=name)


# ---- powers, exponentials, logarithms -------------------------------------------------------------------------------


def _power_gradient(op: Operation, dz: Any) -> tuple[Any, Any]:
    x, y = conj(op.inputs[0]), conj(op.inputs[1])
    partial_x = dz * y * power(x, y - 1)
    is_safe = apply_op(REGISTRY["NotEqual"], (x, 0)) if x.dtype.is_complex else x > 0
    logarithm = log(apply_op(REGISTRY["Select"], (is_safe, x, ones_like(x))))
    logarithm = apply_op(REGISTRY["Select"], (is_safe, logarithm, zeros_like(x)))
    return partial_x, dz * conj(op.outputs[0]) * logarithm


power = binary(
    "Pow", np.power, "{bfloat16, float16, float32, float64, int8, int16, int32, int64, complex64, complex128}",
    broadcast_gradient(_power_gradient), names=["pow", "math.pow"],
    doc="x to the power of y, broadcast. InvalidArgumentError for an integer to a negative integer power.",
)  # fmt: skip
exp = unary("Exp", np.exp, "floating_or_complex", lambda op, dy: dy * conj(op.outputs[0]), names=["exp", "math.exp"])
expm1 = unary(
    "Expm1", np.expm1, "floating_or_complex", lambda op, dy: dy * exp(conj(op.inputs[0])),
    names=["math.expm1"], v1=["expm1"], doc="exp(x) - 1, accurate near 0.",
)  # fmt: skip
log = unary(
    "Log", np.log, "floating_or_complex", lambda op, dy: dy * reciprocal(conj(op.inputs[0])),
    names=["math.log"], v1=["log"], doc="The natural logarithm of each element.",
)  # fmt: skip
log1p = unary(
    "Log1p", np.log1p, "floating_or_complex", lambda op, dy: dy * reciprocal(1 + conj(op.inputs[0])),
    names=["math.log1p"], v1=["log1p"], doc="log(1 + x), accurate near 0.",
)  # fmt: skip
sqrt = unary(
    "Sqrt", np.sqrt, "floating_or_complex", lambda op, dy: sqrt_grad(op.outputs[0], dy), names=["sqrt", "math.sqrt"]
)
rsqrt = unary(
    "Rsqrt", lambda x: np.reciprocal(np.sqrt(x)), "floating_or_complex",
    lambda op, dy: rsqrt_grad(op.outputs[0], dy), names=["math.rsqrt"], v1=["rsqrt"], doc="1 / sqrt(x).",
)  # fmt: skip
reciprocal: Function = unary(
    "Reciprocal", np.reciprocal, "floating_or_complex", lambda op, dy: reciprocal_grad(op.outputs[0], dy),
    names=["math.reciprocal"], v1=["reciprocal"], doc="1 / x.",
)  # fmt: skip
unary("Inv", np.reciprocal, "floating_or_complex", lambda op, dy: reciprocal_grad(op.outputs[0], dy))


def _x_times(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """The kernel of x * function(y), which is 0 where x is 0."""

    def kernel(x: Any, y: Any) -> Any:
        return np.where(x == 0, x.dtype.type(0), x * function(y))

    return kernel


def _is_nonzero(x: Any) -> Any:
    """1 where `x` is not 0, else 0, in x's dtype."""
    return cast(apply_op(REGISTRY["NotEqual"], (x, cast(0.0, x.dtype))), x.dtype)


xlogy: Function = binary(
    "Xlogy", _x_times(np.log), "floating_or_complex",
    broadcast_derivatives(lambda x, y: (xlogy(_is_nonzero(x), y), apply_op(XDIVY, (x, y)))),
    names=["math.xlogy"], doc="x * log(y), and 0 where x is 0.",
)  # fmt: skip


def _xlog1py_derivatives(x: Any, y: Any) -> tuple[Any, Any]:
    return apply_op(XLOG1PY, (_is_nonzero(x), y)), apply_op(XDIVY, (x, y + 1.0))


def _xdivy_derivatives(x: Any, y: Any) -> tuple[Any, Any]:
    return apply_op(XDIVY, (_is_nonzero(x), y)), apply_op(XDIVY, (negative(x), y**2))


XLOG1PY = define(
    "Xlog1py", "x: T, y: T -> z: T", "T: floating_or_complex", reference=_x_times(np.log1p), shape=broadcast_shapes,
    gradient=broadcast_derivatives(_xlog1py_derivatives), elementwise=True,
)  # fmt: skip
XDIVY: OpDef = define(
    "Xdivy", "x: T, y: T -> z: T", "T: floating_or_complex", reference=_x_times(np.reciprocal), shape=broadcast_shapes,
    gradient=broadcast_derivatives(_xdivy_derivatives), elementwise=True,
)  # fmt: skip


@public("math.xlog1py")
def xlog1py(x: Any, y: Any, name: str | None = None) -> Any:
    """x * log1p(y), and 0 where x is 0."""
    with scope(name or "xlog1py", x, y):
        return apply_op(XLOG1PY, (x, y))


@public("math.xdivy")
def xdivy(x: Any, y: Any, name: str | None = None) -> Any:
    """x / y, and 0 where x is 0."""
    with scope(name or "xdivy", x, y):
        return apply_op(XDIVY, (x, y))


# ---- trigonometric and hyperbolic functions -------------------------------------------------------------------------


def _elementary(name: str, kernel: Any, gradient: Any) -> Callable[..., Any]:
    """A function known by its name alone, in tf and in tf.math."""
    public_name = name.lower()
    return unary(name, kernel, "floating_or_complex", gradient, names=[public_name, f"math.{public_name}"])


def _atan_gradient(op: Operation, dy: Any) -> Any:
    squared = square(conj(op.inputs[0]))
    return dy * reciprocal(add(constant_like(1, dy), squared))


def _atanh_gradient(op: Operation, dy: Any) -> Any:
    squared = square(conj(op.inputs[0]))
    return dy * reciprocal(subtract(constant_like(1, dy), squared))


def _inverse_cosine(op: Operation, dy: Any) -> Any:
    """1 / sqrt(1 - x^2)."""
    squared = square(conj(op.inputs[0]))
    return reciprocal(sqrt(subtract(constant_like(1, dy), squared)))


def _acos_gradient(op: Operation, dy: Any) -> Any:
    slope = _inverse_cosine(op, dy)
    return -dy * slope


def _cos_gradient(op: Operation, dy: Any) -> Any:
    x = conj(op.inputs[0])
    return -dy * sin(x)


sin = _elementary("Sin", np.sin, lambda op, dy: dy * cos(conj(op.inputs[0])))
cos: Function = _elementary("Cos", np.cos, _cos_gradient)
tan = _elementary("Tan", np.tan, lambda op, dy: square(reciprocal(cos(conj(op.inputs[0])))) * dy)
asin = _elementary("Asin", np.arcsin, lambda op, dy: dy * _inverse_cosine(op, dy))
acos = _elementary("Acos", np.arccos, _acos_gradient)
atan = _elementary("Atan", np.arctan, _atan_gradient)
sinh: Function = _elementary("Sinh", np.sinh, lambda op, dy: dy * cosh(conj(op.inputs[0])))
cosh: Function = _elementary("Cosh", np.cosh, lambda op, dy: dy * sinh(conj(op.inputs[0])))
asinh = _elementary("Asinh", np.arcsinh, lambda op, dy: dy / cosh(conj(op.outputs[0])))
acosh = _elementary("Acosh", np.arccosh, lambda op, dy: dy / sinh(conj(op.outputs[0])))
atanh = _elementary("Atanh", np.arctanh, _atanh_gradient)
tanh = unary(
    "Tanh", np.tanh, "floating_or_complex", lambda op, dy: tanh_grad(conj(op.outputs[0]), dy),
    names=["tanh", "math.tanh", "nn.tanh"],
)  # fmt: skip


def _atan2_gradient(op: Operation, dz: Any) -> tuple[Any, Any]:
    y, x = op.inputs
    scaled = dz / (square(y) + square(x))
    return x * scaled, -y * scaled


ATAN2 = define(
    "Atan2", "y: T, x: T -> z: T", "T: floating", reference=np.arctan2, shape=broadcast_shapes, elementwise=True,
    gradient=broadcast_gradient(_atan2_gradient),
)  # fmt: skip


@public("atan2", "math.atan2")
def atan2(y: Any, x: Any, name: str | None = None) -> Any:
    """The angle of the point (x, y), between -pi and pi, element by element, broadcast."""
    return apply_op(ATAN2, (y, x), name=name)


# ---- sigmoid --------------------------------------------------------------------------------------------------------


def _sigmoid_kernel(x: Any) -> Any:
    if x.dtype.kind == "c":
        return np.reciprocal(1 + np.exp(-x))
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, x.dtype.type(1)) / (1 + small)


sigmoid = unary(
    "Sigmoid", _sigmoid_kernel, "floating_or_complex", lambda op, dy: sigmoid_grad(conj(op.outputs[0]), dy),
    names=["sigmoid", "math.sigmoid", "nn.sigmoid"], doc="1 / (1 + exp(-x)).",
)  # fmt: skip


@public("math.log_sigmoid", v1=["log_sigmoid"])
def log_sigmoid(x: Any, name: str | None = None) -> Any:
    """log(1 / (1 + exp(-x))), computed as -softplus(-x)."""
    with scope(name or "LogSigmoid", x) as full_name:
        x = convert_to_tensor(x, name="x")
        return negative(apply_op(REGISTRY["Softplus"], (-x,)), full_name)


# ---- gradients that are ops of their own: of the function at which it took the value y, given dy -------------------


def _gradient_op(op_type: str, kernel: Callable[[Any, Any], Any], gradient: Any) -> Callable[[Any, Any], Any]:
    definition = define(
        op_type, "y: T, dy: T -> z: T", "T: floating_or_complex", reference=kernel, shape=same_shape,
        gradient=gradient, elementwise=True,
    )  # fmt: skip
    return lambda y, dy: apply_op(definition, (y, dy))


def _tanh_grad_gradient(op: Operation, dz: Any) -> list[Any]:
    y, dy = conj(op.inputs[0]), conj(op.inputs[1])
    return [dz * -2.0 * dy * y, tanh_grad(y, dz)]


def _sigmoid_grad_gradient(op: Operation, dz: Any) -> list[Any]:
    y, dy = conj(op.inputs[0]), conj(op.inputs[1])
    both = dz * dy
    return [both - 2.0 * both * y, sigmoid_grad(y, dz)]


def _sqrt_grad_gradient(op: Operation, dz: Any) -> list[Any]:
    quotient = dz / op.inputs[0]
    return [-conj(quotient) * op.outputs[0], 0.5 * quotient]


def _rsqrt_grad_gradient(op: Operation, dz: Any) -> list[Any]:
    y = conj(op.inputs[0])
    return [-1.5 * conj(dz) * op.inputs[1] * square(y), rsqrt_grad(y, dz)]


def _reciprocal_grad_gradient(op: Operation, dz: Any) -> list[Any]:
    y = conj(op.inputs[0])
    return [conj(dz) * -2.0 * op.inputs[1] * y, reciprocal_grad(y, dz)]


def _zero_stays_zero(kernel: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The kernel, but dy = 0 gives 0 wherever y is infinite or NaN: tf.where sends 0 to the branch not taken."""

    def guarded(y: Any, dy: Any) -> Any:
        result = kernel(y, dy)
        return np.where(dy == 0, np.zeros((), result.dtype), result)

    return guarded


def _reciprocal_grad_kernel(y: Any, dy: Any) -> Any:
    return -dy * np.conj(y * y)


tanh_grad: Function = _gradient_op("TanhGrad", lambda y, dy: dy * (1 - y * y), _tanh_grad_gradient)
sigmoid_grad: Function = _gradient_op("SigmoidGrad", lambda y, dy: dy * y * (1 - y), _sigmoid_grad_gradient)
sqrt_grad: Function = _gradient_op(
    "SqrtGrad", _zero_stays_zero(lambda y, dy: dy / (2 * np.conj(y))), _sqrt_grad_gradient
)
rsqrt_grad: Function = _gradient_op(
    "RsqrtGrad", _zero_stays_zero(lambda y, dy: dy * (np.conj(y * y * y) / -2)), _rsqrt_grad_gradient
)
reciprocal_grad: Function = _gradient_op(
    "ReciprocalGrad", _zero_stays_zero(_reciprocal_grad_kernel), _reciprocal_grad_gradient
)
_gradient_op("InvGrad", _zero_stays_zero(_reciprocal_grad_kernel), _reciprocal_grad_gradient)


# ---- neighbours in the floating-point numbers ----------------------------------------------------------------------


NEXT_AFTER = define(
    "NextAfter", "x1: T, x2: T -> output: T", "T: {float64, float32} = float32", reference=np.nextafter,
    shape=broadcast_shapes, gradient=broadcast_derivatives(lambda x1, x2: (ones_like(x1), zeros_like(x2))),
    elementwise=True,
)  # fmt: skip


@public("math.nextafter")
def nextafter(x1: Any, x2: Any, name: str | None = None) -> Any:
    """The floating-point number next to x1 in the direction of x2, element by element, broadcast."""
    return apply_op(NEXT_AFTER, (x1, x2), name=name)


# ---- sums of many ---------------------------------------------------------------------------------------------------


def _add_n_kernel(*values: Any) -> Any:
    total = values[0]
    for value in values[1:]:
        total = total + value  # arrays, or lists of them
    return total


def _equal_shapes(op: Operation) -> TensorShape:
    merged = op.inputs[0].shape
    for index, tensor in enumerate(op.inputs):
        if not merged.is_compatible_with(tensor.shape):
            first, other = format_shape(merged.dimensions), format_shape(tensor.shape.dimensions)
            raise ShapeError(
                f"Shapes must be equal for '{op.type}': {first} and {other}.",
                f"Inputs to operation {op.type} must have the same size and shape. "
                f"Input 0: {first} != input {index}: {other}",
                {0: range(merged.rank or 0), index: range(tensor.shape.rank or 0)},
            )
        merged = merged.merge_with(tensor.shape)
    return merged


_SUMMED = (
    "N: int, T: {float16, bfloat16, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64, "
    "complex64, complex128, variant}"
)
ADD_N = define(
    "AddN", "inputs: N*T -> sum: T", _SUMMED, reference=_add_n_kernel, shape=_equal_shapes,
    gradient=lambda op, dy: [dy] * len(op.inputs), elementwise=True,
)  # fmt: skip
define(
    "AccumulateNV2", "inputs: N*T -> sum: T", f"{_SUMMED}, shape: shape", reference=_add_n_kernel,
    shape=lambda op: _equal_shapes(op).merge_with(op.attrs["shape"]),
    gradient=lambda op, dy: [dy] * len(op.inputs), elementwise=True,
)  # fmt: skip


@public("add_n", "math.add_n")
def add_n(inputs: Any, name: str | None = None) -> Any:
    """The sum of a list of tensors (or IndexedSlices) of one shape and dtype. ValueError when the list is empty."""
    values = list(inputs)
    if not values:
        raise ValueError(
            "Inputs must be an iterable of at least one Tensor/IndexedSlices with the same dtype and shape."
        )
    tensors = [convert_to_tensor(value) for value in values]
    if len(tensors) == 1:
        return tensors[0] if name is None else identity(tensors[0], name)
    return apply_op(ADD_N, (tensors,), name=name)


@public("math.accumulate_n", v1=["accumulate_n"])
def accumulate_n(inputs: Any, shape: Any = None, tensor_dtype: Any = None, name: str | None = None) -> Any:
    """The sum of a list of tensors of one shape and dtype.

    shape, tensor_dtype: what they are known to be. ValueError when the list is empty, or shapes or dtypes differ.
    """
    if not inputs or not isinstance(inputs, (list, tuple)):
        raise ValueError("inputs must be a list of at least one Tensor with the same dtype and shape")
    tensors = [convert_to_tensor(value) for value in inputs]
    dtype = tensors[0].dtype if tensor_dtype is None else dtypes.as_dtype(tensor_dtype)
    if any(tensor.dtype.base_dtype is not dtype.base_dtype for tensor in tensors):
        raise ValueError("inputs must be a list of at least one Tensor with the same dtype and shape")
    merged = TensorShape(shape)
    for tensor in tensors:
        merged = merged.merge_with(tensor.shape)
    return add_n(tensors, name)


# ---- polynomials ----------------------------------------------------------------------------------------------------


@public("math.polyval")
def polyval(coeffs: Any, x: Any, name: str | None = None) -> Any:
    """The polynomial with coefficients `coeffs` (a list of tensors, highest power first) at x.

    No coefficients give zeros. ValueError when `coeffs` is no list.
    """
    if not isinstance(coeffs, list):
        raise ValueError(f"Argument coeffs must be list type. Received type {type(coeffs)}.")
    with scope(name or "polyval", x):
        x = convert_to_tensor(x, name="x")
        if not coeffs:
            return zeros_like(x)
        terms = [convert_to_tensor(value, name=f"coeff_{index}") for index, value in enumerate(coeffs)]
        total = terms[0]
        for term in terms[1:]:
            total = term + total * x
        return total
