"""Tensors made from a shape: fill, zeros, ones, their like, identity matrices, uninitialised memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, constant_in, convert_to_tensor, graph_for
from rillet.core.dtypes import DType
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, OpDef, define
from rillet.core.shapes import Dimension, TensorShape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.core.tensor import EagerTensor, Tensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.arrays import as_array, is_concrete, size_of, sizes
from rillet.ops.families import same_shape
from rillet.ops.scope import scope

# ---- fill -----------------------------------------------------------------------------------------------------------


def _fill_kernel(dims: Any, value: Any) -> Any:
    value, wanted = as_array(value), sizes(dims)
    if np.ndim(dims) != 1:
        raise ValueError(f"dims must represent a vector, got shape {format_shape(np.shape(dims))}")
    if value.ndim:
        raise ValueError(f"value must represent a scalar, got shape {format_shape(value.shape)}")
    for size in wanted:
        if size < 0:
            raise ValueError(f"Dimension {size} must be >= 0")
    return np.full(wanted, value, value.dtype)


def _fill_shape(op: Operation) -> TensorShape:
    for index, rank, label in ((0, 1, "dims"), (1, 0, "value")):
        found = op.inputs[index].shape
        if found.rank not in (None, rank):
            wanted = "vector" if rank else "scalar"
            raise ShapeError(
                f"Shape must be rank {rank} but is rank {found.rank}: {label} is a {wanted}.",
                f"{label} must represent a {wanted}, got shape {format_shape(found.dimensions)}",
            )
    value = constant_value(op.inputs[0])
    if value is not None and (np.ravel(value) < 0).any():
        raise ShapeError("Fill dimensions must be >= 0", f"Dimension {int(np.min(value))} must be >= 0")
    return constant_value_as_shape(op.inputs[0])


def _fill_gradient(op: Operation, dy: Any) -> list[Any]:
    rank = dy.shape.rank
    if rank is None:
        axes = apply_op(REGISTRY["Range"], (0, apply_op(REGISTRY["Rank"], (dy,)), 1))
    else:
        axes = convert_to_tensor(np.arange(rank, dtype=np.int32), name="Const")
    return [None, apply_op(REGISTRY["Sum"], (dy, axes), {"keep_dims": False})]


FILL = define(
    "Fill", "dims: index_type, value: T -> output: T", "T: type, index_type: index = int32",
    reference=_fill_kernel, shape=_fill_shape, gradient=_fill_gradient,
)  # fmt: skip


@public("fill")
def fill(dims: Any, value: Any, name: str | None = None) -> Any:
    """A tensor of shape `dims` in which every element is the scalar `value`.

    Raises InvalidArgumentError when a size is negative or `value` is no scalar.
    """
    return apply_op(FILL, (dims, value), name=name)


# ---- zeros and ones -------------------------------------------------------------------------------------------------

_LARGEST_CONSTANT = 1000  # a smaller tensor of known shape is a constant of the graph, a larger one is filled


def _filled(shape: Any, dtype: Any, value: int, name: str) -> Any:
    """A tensor full of zeros or ones."""
    wanted = dtypes.as_dtype(dtype).base_dtype
    element: Any = value
    if wanted is dtypes.bool:
        element = bool(value)
    elif wanted is dtypes.string and not value:
        element = b""
    known = _known_sizes(shape)
    if graph_for((shape,)) is None:
        if known is None or wanted is dtypes.string or any(size < 0 for size in known):
            return fill(_as_vector(shape), convert_to_tensor(element, wanted), name)
        return EagerTensor(
            np.full(known, element, wanted.numpy_dtype) if value else np.zeros(known, wanted.numpy_dtype), wanted
        )
    with scope(name, shape) as full_name:
        if known is not None and min(known, default=0) < 0:
            raise ValueError("Fill dimensions must be >= 0")
        is_list = known is not None and not isinstance(shape, (int, np.integer, Dimension, Tensor))
        if is_list and size_of(known or ()) < _LARGEST_CONSTANT:
            return constant_in(
                graph_for((shape,)), np.full(known or (), element, wanted.numpy_dtype), wanted, full_name
            )
        dims = _as_vector(shape)
        return apply_op(FILL, (dims, convert_to_tensor(element, wanted, name="Const")), name=full_name)


def _known_sizes(shape: Any) -> tuple[int, ...] | None:
    """The sizes that `shape` names without being a symbolic tensor or holding one."""
    if isinstance(shape, EagerTensor):
        return sizes(shape._array) if shape.dtype.is_integer and shape.ndim < 2 else None
    if isinstance(shape, Tensor) or hasattr(shape, "__tf_tensor__"):
        return None
    if isinstance(shape, TensorShape):
        if not shape.is_fully_defined():
            raise ValueError(f"Cannot convert a partially known TensorShape {shape} to a Tensor.")
        return tuple(shape.as_list())  # type: ignore[arg-type]
    if isinstance(shape, np.ndarray):
        return sizes(shape) if shape.dtype.kind in "iu" and shape.ndim < 2 else None
    found: list[int] = []
    for size in shape if isinstance(shape, (list, tuple, range)) else [shape]:
        if (isinstance(size, EagerTensor) and size.dtype.is_integer and size.ndim == 0) or (
            isinstance(size, (int, np.integer, Dimension)) and not isinstance(size, bool)
        ):
            found.append(int(size))
        else:
            return None
    return tuple(found)


def _as_vector(shape: Any) -> Any:
    """The dims input of Fill: a vector, also for one size."""
    known = _known_sizes(shape)
    if known is not None and not isinstance(shape, Tensor):
        return convert_to_tensor(np.array(known, np.int32), name="shape_as_tensor")
    tensor = convert_to_tensor(shape, None if isinstance(shape, Tensor) else dtypes.int32)
    if tensor.shape.rank in (0, None):
        return apply_op(REGISTRY["Reshape"], (tensor, [-1]))
    return tensor


@public("zeros")
def zeros(shape: Any, dtype: Any = dtypes.float32, name: str | None = None, layout: Any = None) -> Any:
    """A tensor of zeros (False, empty strings). shape: a list of sizes, one size, or an integer vector."""
    return _filled(shape, dtype, 0, name or "zeros")


@public("ones")
def ones(shape: Any, dtype: Any = dtypes.float32, name: str | None = None, layout: Any = None) -> Any:
    """A tensor of ones (True). shape: a list of sizes, one size, or an integer vector. TypeError for strings."""
    return _filled(shape, dtype, 1, name or "ones")


def _like(constant: int) -> Any:
    def kernel(value: Any) -> Any:
        if constant == 0 and hasattr(value, "zeros_like"):  # a list of tensors
            return value.zeros_like()
        value = as_array(value)
        if value.dtype == object:
            return np.full(value.shape, b"" if constant == 0 else b"1", object)
        return np.zeros(value.shape, value.dtype) if constant == 0 else np.full(value.shape, constant, value.dtype)

    return kernel


ZEROS_LIKE = define(
    "ZerosLike", "x: T -> y: T", "T: type", reference=_like(0), shape=same_shape, gradient=NO_GRADIENT,
)  # fmt: skip
ONES_LIKE = define(
    "OnesLike", "x: T -> y: T", "T: {bfloat16, float16, float32, float64, int8, uint8, int16, uint16, int32, uint32, int64, "
    "uint64, complex64, complex128, bool}",
    reference=_like(1), shape=same_shape, gradient=NO_GRADIENT,
)  # fmt: skip


def _filled_like(definition: OpDef, value: int, source: Any, dtype: Any, name: str) -> Any:
    """Zeros or ones in the shape of `source`: a constant where the shape is known and small."""
    if isinstance(source, EagerTensor) and graph_for((source,)) is None:
        return _eager_like(definition, value, source, dtype)
    with scope(name, source) as full_name:
        tensor = convert_to_tensor(source, name="tensor")
        if full_name is None:
            return _eager_like(definition, value, tensor, dtype)
        wanted = tensor.dtype.base_dtype if dtype is None else dtypes.as_dtype(dtype).base_dtype
        if tensor.shape.is_fully_defined() and wanted is not dtypes.variant:
            return _filled(tensor.shape, wanted, value, full_name)
        if wanted is tensor.dtype.base_dtype and value == 0:
            return apply_op(definition, (tensor,), name=full_name)
        return _filled(apply_op(REGISTRY["Shape"], (tensor,)), wanted, value, full_name)


def _eager_like(definition: OpDef, value: int, tensor: EagerTensor, dtype: Any) -> Any:
    wanted = tensor.dtype.base_dtype if dtype is None else dtypes.as_dtype(dtype).base_dtype
    if wanted is tensor.dtype.base_dtype:
        return apply_op(definition, (tensor,))
    return _filled(tensor.shape, wanted, value, "like")


@public(v2=["zeros_like"])
def zeros_like(input: Any, dtype: Any = None, name: str | None = None, layout: Any = None) -> Any:
    """Zeros in the shape (and dtype, unless given) of `input`."""
    return _filled_like(ZEROS_LIKE, 0, input, dtype, name or "zeros_like")


@public(v2=["ones_like"])
def ones_like(input: Any, dtype: Any = None, name: str | None = None, layout: Any = None) -> Any:
    """Ones in the shape (and dtype, unless given) of `input`."""
    return _filled_like(ONES_LIKE, 1, input, dtype, name or "ones_like")


@public(v1=["zeros_like"])
def zeros_like_v1(tensor: Any, dtype: Any = None, name: str | None = None, optimize: bool = True) -> Any:
    """As tf.zeros_like."""
    return _filled_like(ZEROS_LIKE, 0, tensor, dtype, name or "zeros_like")


@public(v1=["ones_like"])
def ones_like_v1(tensor: Any, dtype: Any = None, name: str | None = None, optimize: bool = True) -> Any:
    """As tf.ones_like; in a graph it is always a Fill of the shape."""
    if is_concrete(tensor):
        return _filled_like(ONES_LIKE, 1, tensor, dtype, name or "ones_like")
    with scope(name or "ones_like", tensor) as full_name:
        tensor = convert_to_tensor(tensor, name="tensor")
        wanted = tensor.dtype.base_dtype if dtype is None else dtypes.as_dtype(dtype).base_dtype
        extents = _shape_of(tensor)
        one = convert_to_tensor(True if wanted is dtypes.bool else 1, wanted, name="Const")
        return apply_op(FILL, (extents, one), name=full_name)


def _shape_of(tensor: Any) -> Any:
    if not tensor.shape.is_fully_defined():
        return apply_op(REGISTRY["Shape"], (tensor,))
    with scope("Shape", tensor):
        return convert_to_tensor(np.array(tensor.shape.as_list(), np.int32), name="shape_as_tensor")


def _empty_kernel(shape: Any, *, dtype: DType) -> Any:
    if dtype is dtypes.string:
        return np.full(sizes(shape), b"", object)
    return np.zeros(sizes(shape), dtype.numpy_dtype)


define(
    "Empty", "shape: int32 -> output: dtype", "dtype: type, init: bool = False",
    reference=_empty_kernel, shape=lambda op: constant_value_as_shape(op.inputs[0]),
    gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip

# ---- identity matrices ----------------------------------------------------------------------------------------------


@public("eye", "linalg.eye")
def eye(
    num_rows: Any,
    num_columns: Any = None,
    batch_shape: Any = None,
    dtype: Any = dtypes.float32,
    name: str | None = None,
) -> Any:
    """An identity matrix [*batch_shape, num_rows, num_columns]: ones on the main diagonal, zeros elsewhere.

    num_columns: num_rows where None. batch_shape: a list of ints or an integer vector. All may be tensors.
    """
    if is_concrete(num_rows, num_columns, batch_shape):
        batch = () if batch_shape is None else _known_sizes(batch_shape)
        counts = [int(num_rows), int(num_rows if num_columns is None else num_columns)]
        if batch is not None and min(counts) >= 0:
            wanted = dtypes.as_dtype(dtype).base_dtype
            matrix = np.eye(*counts, dtype=wanted.numpy_dtype)
            return EagerTensor(np.array(np.broadcast_to(matrix, (*batch, *counts))), wanted)
    with scope(name or "eye", num_rows, num_columns, batch_shape):
        return _eye(num_rows, num_columns, batch_shape, dtype)


def _eye(num_rows: Any, num_columns: Any, batch_shape: Any, dtype: Any) -> Any:
    is_square = num_columns is None
    columns = num_rows if is_square else num_columns
    batch = [] if batch_shape is None else batch_shape
    if _known_sizes([num_rows, columns]) is not None and _known_sizes(batch) is not None:
        known = _known_sizes(batch) or ()
        diagonal: Any = (*known, min(int(num_rows), int(columns)))
        whole: Any = (*known, int(num_rows), int(columns))
    else:
        shortest = apply_op(REGISTRY["Minimum"], (num_rows, columns))
        batch = convert_to_tensor(np.array(batch, np.int32) if not isinstance(batch, Tensor) else batch, name="shape")
        diagonal = _joined(batch, [shortest])
        whole = None if is_square else _joined(batch, [num_rows, columns])
    ones_vector = ones(diagonal, dtype)
    if is_square:
        padding = False if ones_vector.dtype is dtypes.bool else 0
        return apply_op(REGISTRY["MatrixDiagV3"], (ones_vector, 0, -1, -1, padding), name="diag")
    return apply_op(REGISTRY["MatrixSetDiagV3"], (zeros(whole, dtype), ones_vector, 0), name="set_diag")


def _joined(first: Any, second: Any) -> Any:
    return apply_op(REGISTRY["ConcatV2"], ([first, second], 0), name="concat")
