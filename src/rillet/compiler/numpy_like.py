"""Arrays of the compiler that NumPy code can compute with.

The reference kernel of an elementwise op, and the update rule of an optimizer, is a formula in NumPy. Given these arrays
instead of NumPy's, the formula builds the compiled form: it is written once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.compiler.arrays import Array, Arrays
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType


class Untraceable(Exception):
    """The code does with its arrays what has no compiled form."""


_SAME = {
    np.add: "add", np.subtract: "sub", np.multiply: "mul", np.negative: "neg", np.absolute: "abs", np.sign: "sign",
    np.maximum: "max", np.minimum: "min", np.floor_divide: "floordiv", np.remainder: "mod", np.fmod: "truncmod",
    np.bitwise_and: "and", np.bitwise_or: "or", np.bitwise_xor: "xor", np.invert: "not", np.left_shift: "shl",
    np.right_shift: "shr", np.positive: "same",
}  # fmt: skip
_FLOAT = {
    np.true_divide: "div", np.sqrt: "sqrt", np.exp: "exp", np.expm1: "expm1", np.log: "log", np.log1p: "log1p",
    np.sin: "sin", np.cos: "cos", np.tan: "tan", np.arcsin: "asin", np.arccos: "acos", np.arctan: "atan",
    np.sinh: "sinh", np.cosh: "cosh", np.tanh: "tanh", np.arcsinh: "asinh", np.arccosh: "acosh", np.arctanh: "atanh",
    np.arctan2: "atan2", np.power: "pow", np.floor: "floor", np.ceil: "ceil", np.rint: "round", np.trunc: "trunc",
    np.copysign: "copysign", np.float_power: "pow",
}  # fmt: skip
_COMPARE = {
    np.equal: "eq", np.not_equal: "ne", np.less: "lt", np.less_equal: "le", np.greater: "gt", np.greater_equal: "ge",
}  # fmt: skip
_TEST = {np.isnan: "is_nan", np.isinf: "is_inf", np.isfinite: "is_finite"}
_LOGICAL = {np.logical_and: "and", np.logical_or: "or", np.logical_xor: "xor"}


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """An Array in the clothes of an ndarray."""

    __array_priority__ = 1000

    def __init__(self, array: Array) -> None:
        self.array = array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def ndim(self) -> int:
        return len(self.array.shape)

    @property
    def size(self) -> int:
        return self.array.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.array.dtype.numpy_dtype)

    def __bool__(self) -> bool:
        raise Untraceable("a decision on a value")

    def __len__(self) -> int:
        return self.array.shape[0]

    def __getitem__(self, key: Any) -> Any:
        raise Untraceable("indexing")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise Untraceable("a conversion to an array")

    def astype(self, dtype: Any, copy: bool = True) -> Traced:
        return Traced(self.array.program.cast(self.array, dtypes.as_dtype(np.dtype(dtype))))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or any(value is not None for name, value in options.items() if name != "dtype"):
            raise Untraceable(f"{ufunc.__name__}.{method}")
        return Traced(apply_ufunc(self.array.program, ufunc, inputs))

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function is np.where and len(args) == 3 and not options:
            return Traced(_where(self.array.program, *args))
        if function in (np.zeros_like, np.ones_like) and not options:
            value = 0 if function is np.zeros_like else 1
            array = args[0].array
            return Traced(array.program.broadcast(array.program.constant(value, array.dtype), array.shape))
        if function is np.clip and len(args) == 3:
            return np.minimum(np.maximum(args[0], args[1]), args[2])
        if function is np.shape:
            return args[0].shape
        if function is np.ndim:
            return args[0].ndim
        if function is np.size:
            return args[0].size
        raise Untraceable(f"np.{getattr(function, '__name__', function)}")


def _dtype_of(inputs: tuple[Any, ...]) -> DType:
    """The common dtype, by NumPy's rules (Python numbers adapt)."""
    found = []
    for value in inputs:
        if isinstance(value, Traced):
            found.append(np.dtype(value.array.dtype.numpy_dtype))
        elif isinstance(value, (bool, int, float)):
            found.append(value)  # type: ignore[arg-type]
        else:
            found.append(np.asarray(value).dtype)
    return dtypes.as_dtype(np.result_type(*found))


def as_array(program: Arrays, value: Any, dtype: DType) -> Array:
    """A traced array, a number or a NumPy array, as an Array of `dtype`."""
    if isinstance(value, Traced):
        return program.cast(value.array, dtype)
    return program.constant(np.asarray(value).astype(dtype.numpy_dtype), dtype)


def apply_ufunc(program: Arrays, ufunc: np.ufunc, inputs: tuple[Any, ...]) -> Array:
    """What the ufunc computes. Untraceable where there is no such operation."""
    dtype = _dtype_of(inputs)
    if ufunc in _LOGICAL or ufunc is np.logical_not:
        parts = [as_array(program, value, dtypes.bool) for value in inputs]
        logical: dict[Any, str] = {**_LOGICAL}
        return program.elementwise(logical.get(ufunc, "not"), dtypes.bool, *parts)
    if ufunc in _TEST:
        parts = [as_array(program, value, dtype) for value in inputs]
        if not dtype.is_floating:
            return program.broadcast(program.constant(ufunc is np.isfinite, dtypes.bool), parts[0].shape)
        return program.elementwise(_TEST[ufunc], dtypes.bool, *parts)
    if ufunc in _FLOAT and not dtype.is_floating:
        if ufunc in (np.floor, np.ceil, np.rint, np.trunc):
            return as_array(program, inputs[0], dtype)
        if ufunc is np.power:
            raise Untraceable("integer powers")
        dtype = dtypes.float64
    parts = [as_array(program, value, dtype) for value in inputs]
    if ufunc in _COMPARE:
        return program.elementwise(_COMPARE[ufunc], dtypes.bool, *parts)
    if ufunc is np.square:
        return program.elementwise("mul", dtype, parts[0], parts[0])
    if ufunc is np.reciprocal and dtype.is_floating:
        return program.elementwise("div", dtype, program.constant(1, dtype), parts[0])
    if dtype.is_bool and ufunc in (np.maximum, np.minimum, np.add, np.multiply):
        return program.elementwise("or" if ufunc in (np.maximum, np.add) else "and", dtype, *parts)
    if dtype.is_integer and ufunc in (np.floor_divide, np.remainder, np.fmod):
        return checked_division(program, _SAME[ufunc], dtype, *parts)
    name = _SAME.get(ufunc) or _FLOAT.get(ufunc)
    if name is None:
        raise Untraceable(f"np.{ufunc.__name__}")
    return parts[0] if name == "same" else program.elementwise(name, dtype, *parts)


def checked_division(program: Arrays, name: str, dtype: DType, x: Array, y: Array) -> Array:
    """Division of integers (floordiv, div, mod or truncmod); by 0 it is the program's error."""

    def divide(left: Scalar, right: Scalar) -> Scalar:
        if right.operation != "const" or right.data == 0:
            right = program.make("nonzero", dtype, right)
        return program.make(name, dtype, left, right)

    return program.combine(dtype, divide, x, y, cost=10)


def _where(program: Arrays, condition: Any, x: Any, y: Any) -> Array:
    dtype = _dtype_of((x, y))
    return select(
        program, as_array(program, condition, dtypes.bool), as_array(program, x, dtype), as_array(program, y, dtype)
    )


def select(program: Arrays, condition: Array, x: Array, y: Array) -> Array:
    """x where the condition holds, else y; all broadcast."""
    return program.combine(x.dtype, lambda c, a, b: program.where(c, a, b), condition, x, y)


def traced(program: Arrays, function: Callable[..., Any], arrays: tuple[Array, ...], options: dict[str, Any]) -> Any:
    """function(*arrays, **options), where the function is NumPy code. Untraceable if it cannot be followed."""
    try:
        return function(*[Traced(array) for array in arrays], **options)
    except (TypeError, AttributeError, ValueError, KeyError) as error:
        raise Untraceable(str(error)) from error
