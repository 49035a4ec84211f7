"""From Python values to arrays, by TensorFlow's rules: float -> float32, int -> int32, NumPy keeps its dtype."""

from __future__ import annotations

import array as python_array
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.buffers import own_copy
from rillet.core.dtypes import DType
from rillet.core.shapes import Dimension, TensorShape

_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1
_TAKES_BOOLS = (dtypes.int32, dtypes.int64, dtypes.uint64, dtypes.float16, dtypes.float32, dtypes.float64)


def to_array(value: Any, dtype: DType | None = None, preferred: DType | None = None) -> tuple[Any, DType]:
    """`value` as (array, dtype).

    value: a Python number, bool, str, bytes, a shape or size, nested lists of those, a NumPy array or scalar,
        `array.array`, or anything with `__array__`. (The array may be a NumPy array itself, or share its memory.)
    dtype: the dtype asked for; None infers it. `preferred` is used where the value fits it.
    Raises TypeError when the elements don't fit `dtype`, ValueError when the lists are ragged.
    """
    kind = type(value)
    if kind is float:
        return _scalar(value, dtype or _fits(preferred, floating=True) or dtypes.float32, value)
    if kind is int:
        return _scalar(value, dtype or _fits(preferred, floating=False) or _integer_dtype(value, value), value)
    if isinstance(value, np.ndarray | np.generic):
        return _from_numpy(value, dtype)
    if (kind is list or kind is tuple) and value and preferred is None:
        quickly = _integers(value, dtype)
        if quickly is not None:
            return quickly
    if isinstance(value, python_array.array):
        return _from_numpy(np.array(value), dtype)
    if hasattr(value, "__array__"):
        return _from_numpy(np.asarray(value), dtype)
    return _from_python(value, dtype, preferred)


def to_own_array(value: Any, dtype: DType | None = None, preferred: DType | None = None) -> tuple[Any, DType]:
    """As to_array, but an array that is nobody else's: a later change of `value` does not change it."""
    array, found = to_array(value, dtype, preferred)
    is_lent = array is value or (type(value) not in _FRESH and hasattr(value, "__array__"))
    return (own_copy(array) if is_lent and isinstance(array, np.ndarray) else array), found


_FRESH = frozenset((int, float, bool, complex, str, bytes, list, tuple, range))  # their arrays are made of them


def _integers(values: Any, dtype: DType | None) -> tuple[Any, DType] | None:
    """A list of plain ints, as shapes and axes are: the common case, found out at little cost. None for other lists."""
    if dtype is not None and dtype is not dtypes.int32 and dtype is not dtypes.int64:
        return None
    for element in values:
        if type(element) is not int:
            return None
    found = _integer_dtype(min(values), max(values))
    if dtype is dtypes.int32 and found is not dtype:
        return None  # it is refused where the reason is given
    found = dtype or found
    try:
        return np.array(values, found.numpy_dtype), found
    except OverflowError:
        return None


def _fits(preferred: DType | None, floating: bool) -> DType | None:
    if preferred is None or not preferred.is_numeric:
        return None
    return preferred if not floating or preferred.is_floating or preferred.is_complex else None


def _integer_dtype(smallest: int, largest: int) -> DType:
    if smallest >= _INT32_MIN and largest <= _INT32_MAX:
        return dtypes.int32
    return dtypes.int64


def hinted(value: Any, preferred: DType) -> DType | None:
    """`preferred` where `value` is cast to it for the asking: NumPy's numbers and Python's bools; else None."""
    if isinstance(value, bool):
        return preferred if preferred in _TAKES_BOOLS else None
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind not in "SUO" and preferred.is_numeric:
        return preferred
    return None


def _scalar(value: Any, dtype: DType, original: Any) -> tuple[Any, DType]:
    _check_elements([value], dtype, original)
    if dtype is dtypes.string:
        raise TypeError(f"Cannot convert {original!r} to EagerTensor of dtype string")
    if dtype.is_quantized:
        return np.asarray(value, dtype.numpy_dtype), dtype
    return dtype.as_numpy_dtype(value), dtype


def _from_numpy(value: Any, dtype: DType | None) -> tuple[Any, DType]:
    if value.dtype.kind in "SUO":
        return _strings(value, dtype)
    if dtype is None:
        return value, dtypes.as_dtype(value.dtype)
    if not dtype.is_numpy_compatible or dtype is dtypes.string:
        raise TypeError(f"Cannot convert a value of dtype {value.dtype} to a tensor of dtype {dtype.name}")
    return value.astype(dtype.numpy_dtype, copy=False), dtype


def _strings(value: Any, dtype: DType | None) -> tuple[Any, DType]:
    flat = [_as_bytes(element) for element in np.asarray(value, object).ravel()]
    if any(element is None for element in flat):
        elements = np.asarray(value, object).ravel().tolist()
        return _from_python(np.array(elements).tolist(), dtype, None)
    if dtype is not None and dtype is not dtypes.string:
        raise TypeError(f"Cannot convert strings to a tensor of dtype {dtype.name}")
    result = np.empty(np.shape(value), object)
    result.ravel()[:] = flat
    return (result if result.ndim else result.reshape(())), dtypes.string


def _as_bytes(element: Any) -> bytes | None:
    if isinstance(element, bytes):
        return bytes(element)
    return element.encode() if isinstance(element, str) else None


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        result: list[Any] = []
        for element in value:
            result.extend(_leaves(element))
        return result
    if isinstance(value, np.ndarray):
        return value.ravel().tolist() if value.dtype.kind in "SUO" else [value.dtype.type(0)] if value.size else []
    return [value]


def _from_python(value: Any, dtype: DType | None, preferred: DType | None) -> tuple[Any, DType]:
    if isinstance(value, range):
        value = list(value)
    leaves = _leaves(value)
    if any(isinstance(leaf, TensorShape | Dimension) for leaf in leaves):
        numbers = _sizes_as_numbers(value, dtype)
        return _from_python(numbers, dtype or (None if _leaves(numbers) else dtypes.int32), None)
    if any(leaf is None for leaf in leaves):
        raise ValueError("None values not supported.")
    if any(isinstance(leaf, str | bytes) for leaf in leaves):
        if not all(isinstance(leaf, str | bytes) for leaf in leaves):
            raise ValueError("Can't convert Python sequence with mixed types to Tensor.")
        return _strings(_object_array(value), dtype)
    if dtype is dtypes.string:
        raise TypeError(f"Cannot convert {value!r} to EagerTensor of dtype string")
    if dtype is None:
        dtype = _infer(leaves, value, preferred)
    else:
        _check_elements(leaves, dtype, value)
    try:
        return np.array(value, dtype=dtype.numpy_dtype), dtype
    except OverflowError as error:
        raise ValueError(f"Cannot convert {_short(value)} to a tensor of dtype {dtype.name}: {error}") from None
    except ValueError as error:
        if "inhomogeneous" in str(error):
            raise ValueError("Can't convert non-rectangular Python sequence to Tensor.") from None
        raise ValueError(f"Cannot convert {_short(value)} to a tensor of dtype {dtype.name}: {error}") from None


def _sizes_as_numbers(value: Any, dtype: DType | None) -> Any:
    """`value` with shapes as lists and sizes as numbers. ValueError for those that aren't known."""
    if isinstance(value, list | tuple):
        return [_sizes_as_numbers(element, dtype) for element in value]
    if not isinstance(value, TensorShape | Dimension):
        return value
    kind = type(value).__name__
    if dtype is not None and dtype not in dtypes.INDEX:
        raise TypeError(f"Cannot convert {kind} {value} to dtype {dtype!r}. Allowed dtypes are tf.int32 and tf.int64.")
    if isinstance(value, Dimension):
        if value.value is None:
            raise ValueError(f"Cannot convert unknown Dimension {value} to a Tensor.")
        return value.value
    if not value.is_fully_defined():
        raise ValueError(f"Cannot convert a partially known TensorShape {value} to a Tensor.")
    return value.as_list()


def _object_array(value: Any) -> Any:
    if isinstance(value, str | bytes):
        result = np.empty((), object)
        result[()] = value
        return result
    array = np.array(value, dtype=object)
    if array.size and isinstance(array.flat[0], list | tuple):
        raise ValueError("Can't convert non-rectangular Python sequence to Tensor.")
    return array


def _infer(leaves: list[Any], value: Any, preferred: DType | None) -> DType:
    """The dtype of a nested Python sequence, decided by all its leaves."""
    scalars = [leaf for leaf in leaves if isinstance(leaf, np.generic)]
    if scalars and len(scalars) == len(leaves):
        return dtypes.as_dtype(np.result_type(*{leaf.dtype for leaf in scalars}))
    found: DType | None = None
    for kind, dtype in ((complex, dtypes.complex128), (float, dtypes.float32)):
        if any(type(leaf) is kind or (isinstance(leaf, kind) and not isinstance(leaf, np.generic)) for leaf in leaves):
            found = dtype
            break
    if found is None and scalars:
        found = dtypes.as_dtype(np.result_type(*{leaf.dtype for leaf in scalars}))
    if any(isinstance(leaf, bool | np.bool_) for leaf in leaves):
        if all(isinstance(leaf, bool | np.bool_) for leaf in leaves):
            return dtypes.bool_
        raise ValueError("Can't convert Python sequence with mixed types to Tensor.")
    if found is dtypes.complex128:
        return preferred if preferred is not None and preferred.is_complex else found
    if found is not None:
        return _fits(preferred, floating=True) or found
    if leaves and all(isinstance(leaf, int) for leaf in leaves):
        return _fits(preferred, floating=False) or _integer_dtype(min(leaves), max(leaves))
    if not leaves:
        return preferred or dtypes.float32
    odd = next(leaf for leaf in leaves if not isinstance(leaf, int))
    raise ValueError(f"Attempt to convert a value ({_short(odd)}) with an unsupported type ({type(odd)}) to a Tensor.")


def _check_elements(leaves: list[Any], dtype: DType, original: Any) -> None:
    """A float is no int, and a bool is a number for some dtypes only: TypeError, as in TensorFlow."""
    for leaf in leaves:
        is_bool = isinstance(leaf, bool | np.bool_)
        if is_bool:
            fits = dtype.is_bool or dtype in _TAKES_BOOLS
        elif isinstance(leaf, int | np.integer):
            fits = dtype.is_numeric or dtype.is_quantized
        elif isinstance(leaf, float | np.floating):
            fits = dtype.is_floating or dtype.is_complex
        elif isinstance(leaf, complex | np.complexfloating):
            fits = dtype.is_complex
        elif hasattr(leaf, "__array__"):
            fits = True
        else:
            raise ValueError(
                f"Attempt to convert a value ({_short(leaf)}) with an unsupported type ({type(leaf)}) to a Tensor."
            )
        if not fits:
            raise TypeError(f"Cannot convert {_short(original)} to EagerTensor of dtype {dtype.name}")
        if dtype.is_integer and not is_bool and not hasattr(leaf, "__array__") and not dtype.min <= leaf <= dtype.max:
            raise ValueError(
                f"Cannot convert {_short(original)} to a tensor of dtype {dtype.name}: {leaf} is out of range"
            )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
