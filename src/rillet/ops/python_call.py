"""Python functions as ops: what tf.py_function and tf.numpy_function become in a graph."""

from __future__ import annotations

import itertools
import traceback
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet import errors
from rillet.core import context as modes
from rillet.core import dtypes
from rillet.core.dispatch import convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.graph import Graph, Operation
from rillet.core.opdef import NO_GRADIENT, define
from rillet.core.tensor import EagerTensor, Tensor
from rillet.ops.families import unknown_shape

# ---- functions by token ---------------------------------------------------------------------------------------------


class _Holder:
    """A function that a graph calls. The graph keeps it alive."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function


_HOLDERS: weakref.WeakValueDictionary[str, _Holder] = weakref.WeakValueDictionary()
_NUMBERS = itertools.count()


def register(function: Callable[..., Any], graph: Graph) -> str:
    """The token by which ops of `graph` call `function`."""
    token = f"pyfunc_{next(_NUMBERS)}"
    holder = _HOLDERS[token] = _Holder(function)
    graph.__dict__.setdefault("_python_functions", []).append(holder)
    return token


def function_of(token: str) -> Callable[..., Any]:
    """NotFoundError where the function is gone, as in another process."""
    holder = _HOLDERS.get(token)
    if holder is None:
        raise errors.NotFoundError(
            None, None, f"the Python function {token!r} belongs to another program: it cannot be called"
        )
    return holder.function


# ---- calling --------------------------------------------------------------------------------------------------------

_KINDS: tuple[tuple[type[Exception], type[errors.OpError]], ...] = (
    (StopIteration, errors.OutOfRangeError),
    (MemoryError, errors.ResourceExhaustedError),
    (NotImplementedError, errors.UnimplementedError),
    (ValueError, errors.InvalidArgumentError),
    (TypeError, errors.InvalidArgumentError),
)


def as_op_error(error: Exception) -> errors.OpError:
    """What a failing Python function means for the graph that called it."""
    if isinstance(error, errors.OpError):
        return error
    kind = next((kind for base, kind in _KINDS if isinstance(error, base)), errors.UnknownError)
    lines = "".join(traceback.format_tb(error.__traceback__))
    return kind(None, None, f"{type(error).__name__}: {error}\nTraceback (most recent call last):\n\n{lines}")


def _call_on_arrays(*arrays: Any, token: str, Tout: Sequence[DType]) -> tuple[Any, ...]:
    function = function_of(token)
    try:
        returned = function(*[_given(array) for array in arrays])
    except Exception as error:  # whatever the user's code raises
        raise as_op_error(error) from error
    values = list(returned) if isinstance(returned, (list, tuple)) else [] if returned is None else [returned]
    if len(values) != len(Tout):
        raise ValueError(f"{token} returns {len(values)} values, but expects to see {len(Tout)} values.")
    return tuple(
        _returned(value, dtype, place, token) for place, (value, dtype) in enumerate(zip(values, Tout, strict=True))
    )


def _given(array: Any) -> Any:
    """A value as the function gets it: an array of its own, or a scalar."""
    if isinstance(array, np.ndarray):
        return array.copy() if array.ndim else array[()]
    return array


def _returned(value: Any, dtype: DType, place: int, token: str) -> Any:
    array = np.asarray(value)
    if dtype is dtypes.string:
        return convert_to_tensor(array, dtypes.string)._array
    if array.dtype != dtype.numpy_dtype:
        raise ValueError(
            f"{place}-th value returned by {token} is {_c_name(array.dtype)}, but expects {_c_name(dtype.numpy_dtype)}"
        )
    return array.copy()


def _c_name(dtype: Any) -> str:
    return {"float32": "float", "float64": "double", "float16": "half"}.get(dtype.name, dtype.name)


def call_eagerly(function: Callable[..., Any], tensors: Sequence[Any], wanted: Sequence[DType]) -> list[Any]:
    """What `function` returns for concrete tensors, as tensors of these dtypes. Fails as an op does."""
    try:
        with modes.use_graph(None):
            returned = function(*tensors)
            values = list(returned) if isinstance(returned, (list, tuple)) else [] if returned is None else [returned]
            return [_as_tensor(value, dtype) for value, dtype in zip(values, wanted, strict=False)]
    except Exception as error:  # whatever the user's code raises
        raise as_op_error(error) from error


def _as_tensor(value: Any, dtype: DType) -> Any:
    if not dtype.is_numpy_compatible:
        return value if isinstance(value, Tensor) else EagerTensor(value, dtype)
    return convert_to_tensor(value, dtype)


def _call_on_tensors(*arrays: Any, token: str, Tin: Sequence[DType], Tout: Sequence[DType]) -> tuple[Any, ...]:
    tensors = [EagerTensor(array, dtype) for array, dtype in zip(arrays, Tin, strict=True)]
    with modes.without_recording():
        results = call_eagerly(function_of(token), tensors, Tout)
    if len(results) != len(Tout):
        raise ValueError(f"{token} returns {len(results)} values, but expects to see {len(Tout)} values.")
    return tuple(result._array for result in results)


def _unknown_shapes(op: Operation) -> list[Any]:
    return list(unknown_shape(op))


_SIGNATURE = ("input: Tin... -> output: Tout...", "token: string, Tin: list(type), Tout: list(type)")
PY_FUNC = define(
    "PyFunc", *_SIGNATURE, reference=_call_on_arrays, shape=_unknown_shapes, gradient=NO_GRADIENT, is_stateful=True
)
PY_FUNC_STATELESS = define(
    "PyFuncStateless", *_SIGNATURE, reference=_call_on_arrays, shape=_unknown_shapes, gradient=NO_GRADIENT
)
EAGER_PY_FUNC = define(
    "EagerPyFunc", _SIGNATURE[0], f"{_SIGNATURE[1]}, is_async: bool = False",
    reference=_call_on_tensors, shape=_unknown_shapes, is_stateful=True,
)  # fmt: skip
