"""What random ops share: the shape they are asked for, scalar bounds, and checks of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.execution import LARGE, run_large
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import Dimension, TensorShape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.core.tensor import Tensor
from rillet.errors import ShapeError, format_shape
from rillet.ops import philox
from rillet.ops.arrays import sizes as sizes_in

# ---- in kernels -----------------------------------------------------------------------------------------------------


def wanted_sizes(shape: Any) -> tuple[int, ...]:
    """The shape that a kernel's shape input asks for. ValueError when it is no vector, or a size is negative."""
    if np.ndim(shape) != 1:
        raise ValueError(_no_vector(np.shape(shape)))
    wanted = sizes_in(shape)
    for size in wanted:
        if size < 0:
            raise ValueError(f"Dimension {size} must be >= 0")
    return wanted


def _no_vector(shape: Any) -> str:
    return f"shape must be a vector of {{int32,int64}}, got shape {format_shape(shape)}"


def leading_sizes(shape: Any, batch: tuple[int, ...]) -> tuple[int, ...]:
    """What precedes `batch`, the shape of the parameters, in the shape that a kernel is asked for.

    ValueError when it doesn't end with that.
    """
    wanted = wanted_sizes(shape)
    leading = wanted[: len(wanted) - len(batch)]
    if (*leading, *batch) != wanted:
        raise ValueError("Shape passed in must end with broadcasted shape.")
    return leading


def scalar(name: str, value: Any) -> int:
    """A whole number that an op takes as an input. ValueError when it is no scalar."""
    if np.ndim(value):
        raise ValueError(f"{name} must be 0-D, got shape {format_shape(np.shape(value))}")
    return int(value)


# ---- in static inference --------------------------------------------------------------------------------------------


def check_rank(op: Operation, index: int, rank: int, complaint: str) -> TensorShape:
    """The shape of input `index`, which must have `rank` dimensions. ShapeError, `complaint` when it runs, otherwise."""
    found = op.inputs[index].shape
    if found.rank not in (None, rank):
        raise ShapeError(
            f"Shape must be rank {rank} but is rank {found.rank}",
            f"{complaint}, got shape {format_shape(found.dimensions)}",
            {index: range(found.rank)},
        )
    return found


def requested_shape(op: Operation, index: int = 0) -> TensorShape:
    """The shape that input `index` of an op asks for, as far as it is known."""
    found = op.inputs[index].shape
    if found.rank not in (None, 1):
        raise ShapeError(f"Shape must be rank 1 but is rank {found.rank}", _no_vector(found.dimensions))
    value = constant_value(op.inputs[index])
    if value is not None:
        for size in np.ravel(value).tolist():
            if size < 0:
                raise ShapeError(f"Invalid value in tensor used for shape: {size}", f"Dimension {size} must be >= 0")
    return constant_value_as_shape(op.inputs[index])


def requested_then(op: Operation, parameter: int) -> TensorShape:
    """The static shape of an op that draws what input 0 asks for, for each element of input `parameter`."""
    return requested_shape(op).concatenate(op.inputs[parameter].shape)


# ---- in public functions --------------------------------------------------------------------------------------------


def shape_tensor(shape: Any) -> Any:
    """The shape input of a random op: int32, unless a tensor or array has another dtype, or a size is too large."""
    if isinstance(shape, TensorShape):
        shape = shape.as_list()
    if isinstance(shape, (tuple, list)):
        plain = [int(size) if isinstance(size, Dimension) else size for size in shape]
        large = any(isinstance(size, (int, np.integer)) and size >= 2**31 for size in plain)
        tensors = [size for size in plain if isinstance(size, Tensor)]
        wanted = tensors[0].dtype.base_dtype if tensors else dtypes.int64 if large else None if plain else dtypes.int32
        return convert_to_tensor(plain, wanted, name="shape")
    return convert_to_tensor(shape, name="shape")


def draw(op_type: str, sample: Callable[..., Any], source: philox.Source, shape: Any, dtype: DType) -> Any:
    """sample(source, sizes, dtype) for a shape given as an array.

    Many numbers are drawn by a kernel of the engine's own, if it has one for the op `op_type`; they are the same.
    """
    sizes = wanted_sizes(shape)
    count = philox.element_count(sizes)
    if op_type and count >= LARGE:
        source = source.reserve(count * philox.RESERVED)
        state = np.array([*philox.split_counter(source.counter), source.key], np.uint64)
        found = run_large(REGISTRY[op_type], {"dtype": dtype}, (state, sizes))
        if found is not None:
            return found
    return sample(source, sizes, dtype.numpy_dtype)
