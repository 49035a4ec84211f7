"""Reading at indices: gather and gather_nd, of tensors and of variables."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape, unknown_shape
from rillet.core.static import constant_value
from rillet.core.tensor import handle_data
from rillet.errors import ShapeError
from rillet.ops.arrays import as_array, check_indices, size_of, sizes, text
from rillet.ops.join import concat
from rillet.ops.scatter import SCATTER_ND, flat_rows
from rillet.ops.shape import expand_dims, reshape, shape_of, size_of_tensor
from rillet.ops.state import read_state

# ---- along one axis -------------------------------------------------------------------------------------------------


def gather_kernel(params: Any, indices: Any, axis: int, batch_dims: int) -> Any:
    """Slices of `params` along `axis`; the first `batch_dims` axes of both go together."""
    params, indices = as_array(params), as_array(indices)
    if batch_dims < 0:
        batch_dims += indices.ndim
    if axis < 0:
        axis += params.ndim
    if not 0 <= axis < params.ndim:
        raise ValueError(f"Shape must be at least rank {axis + 1} but is rank {params.ndim}")
    check_indices(indices, params.shape[axis])
    if batch_dims == 0:
        return np.take(params, indices, axis)
    shape = params.shape
    if shape[:batch_dims] != indices.shape[:batch_dims]:
        place = next(i for i in range(batch_dims) if shape[i] != indices.shape[i])
        raise ValueError(
            f"params.shape[{place}]: {shape[place]} should be equal to indices.shape[{place}]: {indices.shape[place]}"
        )
    batch, outer = size_of(shape[:batch_dims]), size_of(shape[batch_dims:axis])
    whole = params.reshape(batch, outer, shape[axis], size_of(shape[axis + 1 :]))
    chosen = indices.reshape(batch, 1, size_of(indices.shape[batch_dims:]))
    result = whole[np.arange(batch)[:, None, None], np.arange(outer)[:, None], chosen]
    return result.reshape(shape[:axis] + indices.shape[batch_dims:] + shape[axis + 1 :])


def gathered_shape(params: TensorShape, indices: TensorShape, axis: int | None, batch_dims: int) -> TensorShape:
    """The static shape of a gather. ShapeError when axis or batch axes are not there or don't fit."""
    if batch_dims < 0:
        if indices.rank is None:
            return UNKNOWN
        batch_dims += indices.rank
    if indices.rank is not None and batch_dims > indices.rank:
        raise ShapeError(f"Shape must be at least rank {batch_dims} but is rank {indices.rank}", marks={})
    if params.dimensions is None:
        return UNKNOWN
    if axis is None:
        return (
            UNKNOWN if indices.rank is None else unknown_shape(len(params.dimensions) - 1 + indices.rank - batch_dims)
        )
    count = len(params.dimensions)
    if not -count <= axis < count or batch_dims > count:
        least = max(axis + 1 if axis >= 0 else -axis, batch_dims + 1)
        raise ShapeError(f"Shape must be at least rank {least} but is rank {count}", marks={0: range(count)})
    axis %= count
    if indices.dimensions is None:
        return UNKNOWN
    for place in range(batch_dims):
        pair = (params.dimensions[place], indices.dimensions[place])
        if None not in pair and pair[0] != pair[1]:
            raise ShapeError(
                f"Dimensions must be equal, but are {pair[0]} and {pair[1]}: batch dimension {place} of params "
                f"{text(params)} and indices {text(indices)}.",
                f"params.shape[{place}]: {pair[0]} should be equal to indices.shape[{place}]: {pair[1]}",
                marks={0: [place], 1: [place]},
            )
    return TensorShape([*params.dimensions[:axis], *indices.dimensions[batch_dims:], *params.dimensions[axis + 1 :]])


def _gather_v2_shape(op: Operation) -> TensorShape:
    axis = constant_value(op.inputs[2])
    known = None if axis is None else int(axis)
    return gathered_shape(op.inputs[0].shape, op.inputs[1].shape, known, op.attrs["batch_dims"])


def _row_gradient(shape: Any, indices: Any, dy: Any) -> IndexedSlices:
    """The gradient of rows taken from a tensor of `shape`."""
    count = expand_dims(size_of_tensor(indices), 0)
    values = reshape(dy, concat([count, shape[1:]], 0))
    return IndexedSlices(values, reshape(indices, count), shape)


def _gather_v2_gradient(op: Operation, dy: Any) -> list[Any]:
    params, indices, axis = op.inputs
    batch_dims = op.attrs["batch_dims"]
    shape = shape_of(params)
    known_axis = constant_value(axis)
    if known_axis is not None and int(known_axis) == 0 and batch_dims == 0:
        return [_row_gradient(shape, indices, dy), None, None]
    if batch_dims < 0:
        batch_dims += indices.shape.rank
    return [_axis_gradient(op, shape, batch_dims, dy), None, None]


def _axis_gradient(op: Operation, shape: Any, batch_dims: int, dy: Any) -> Any:
    """The gathered axis comes first (after the batch axes), slices of equal index are added up, and it goes back."""
    params, indices = op.inputs[0], op.inputs[1]
    axis: Any = op.inputs[2]
    known_axis = constant_value(axis)
    if known_axis is not None and int(known_axis) < 0 and params.shape.rank is not None:
        axis = int(known_axis) + params.shape.rank
    count = expand_dims(size_of_tensor(indices), 0)
    outer, inner = shape[:axis], shape[axis:][1:]
    gathered = expand_dims(_product(shape_of(indices)[batch_dims:]), 0) if batch_dims else count
    values_shape = concat([outer, gathered, inner], 0)
    order_size, outer_size = size_of_tensor(values_shape), size_of_tensor(outer)
    batch_axes = _range(0, batch_dims)
    outer_axes, inner_axes = _range(batch_dims, outer_size), _range(outer_size + 1, order_size)
    forward = concat([batch_axes, [outer_size], outer_axes, inner_axes], 0)
    slices = _transpose(reshape(dy, values_shape), forward)
    length = shape[axis]
    if batch_dims == 0:
        sums = _segment_sum(slices, reshape(indices, count), length)
    else:
        sums = _batch_segment_sum(slices, indices, batch_dims, length)
    back = concat([batch_axes, outer_axes + 1, [batch_dims], inner_axes], 0)
    return reshape(_transpose(sums, back), shape)


def _range(start: Any, limit: Any) -> Any:
    return apply_op(REGISTRY["Range"], (start, limit, 1), name="range")


def _product(vector: Any) -> Any:
    return apply_op(REGISTRY["Prod"], (vector, [0]), {"keep_dims": False})


def _transpose(value: Any, order: Any) -> Any:
    return apply_op(REGISTRY["Transpose"], (value, order), name="transpose")


def _segment_sum(values: Any, segments: Any, count: Any) -> Any:
    return apply_op(REGISTRY["UnsortedSegmentSum"], (values, segments, count))


def _batch_segment_sum(values: Any, indices: Any, batch_dims: int, length: Any) -> Any:
    """Segment sums of each batch entry: all of them at once, each with its own range of segment numbers."""
    batch_shape, inner_shape = shape_of(values)[:batch_dims], shape_of(values)[batch_dims + 1 :]
    batches = _product(batch_shape)
    offsets = expand_dims(_range(0, batches) * length, 1)
    numbers = (
        apply_op(REGISTRY["Cast"], (indices,), {"DstT": dtypes.int32}) if indices.dtype is not dtypes.int32 else indices
    )
    segments = reshape(numbers, apply_op(REGISTRY["Pack"], ([batches, -1],))) + offsets
    flat_values = reshape(values, concat([[-1], inner_shape], 0))
    sums = _segment_sum(flat_values, reshape(segments, [-1]), batches * length)
    return reshape(sums, concat([batch_shape, [length], inner_shape], 0))


GATHER_V2 = define(
    "GatherV2", "params: Tparams, indices: Tindices, axis: Taxis -> output: Tparams",
    "batch_dims: int = 0, Tparams: type, Tindices: {int16, int32, int64}, Taxis: index",
    reference=lambda params, indices, axis, *, batch_dims: gather_kernel(params, indices, int(axis), batch_dims),
    shape=_gather_v2_shape,
    gradient=_gather_v2_gradient,
)  # fmt: skip
define(
    "Gather", "params: Tparams, indices: Tindices -> output: Tparams",
    "validate_indices: bool = True, Tparams: type, Tindices: index",
    reference=lambda params, indices: gather_kernel(params, indices, 0, 0),
    shape=lambda op: gathered_shape(op.inputs[0].shape, op.inputs[1].shape, 0, 0),
    gradient=lambda op, dy: [_row_gradient(shape_of(op.inputs[0]), op.inputs[1], dy), None],
)  # fmt: skip


def _resource_gather_shape(op: Operation) -> TensorShape:
    data = handle_data(op.inputs[0])
    return gathered_shape(
        UNKNOWN if data is None else data[1], op.inputs[1].shape, op.attrs["batch_dims"], op.attrs["batch_dims"]
    )


def variable_shape(handle: Any) -> Any:
    """The shape of the variable behind a handle: a constant where it is known."""
    data = handle_data(handle)
    if data is not None and data[1].is_fully_defined():
        return convert_to_tensor(np.array(data[1].as_list(), np.int32), name="Const")
    return apply_op(VARIABLE_SHAPE, (handle,))


def _variable_shape_value(op: Operation) -> Any:
    data = handle_data(op.inputs[0])
    if data is None or not data[1].is_fully_defined():
        return None
    return np.array(data[1].as_list(), op.attrs["out_type"].numpy_dtype)


def _variable_rank(op: Operation) -> TensorShape:
    data = handle_data(op.inputs[0])
    return TensorShape([None if data is None else data[1].rank])


VARIABLE_SHAPE = define(
    "VariableShape", "input: resource -> output: out_type", "out_type: index = int32",
    reference=lambda state, *, out_type: np.array(np.shape(read_state(state)), out_type.numpy_dtype),
    shape=_variable_rank,
    fold=_variable_shape_value, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
RESOURCE_GATHER = define(
    "ResourceGather", "resource: resource, indices: Tindices -> output: dtype",
    "batch_dims: int = 0, validate_indices: bool = True, dtype: type, Tindices: index",
    reference=lambda state, indices, *, batch_dims: gather_kernel(read_state(state), indices, batch_dims, batch_dims),
    shape=_resource_gather_shape,
    gradient=lambda op, dy: [_row_gradient(variable_shape(op.inputs[0]), op.inputs[1], dy), None],
    is_stateful=True,
)  # fmt: skip


def _gather(params: Any, indices: Any, axis: Any, batch_dims: int, name: str | None) -> Any:
    if axis is None:
        axis = batch_dims
    if _is_zero(axis):  # which means that there are no batch axes
        batch_dims = 0
        sparse_read = getattr(params, "sparse_read", None)
        if sparse_read is not None:
            return sparse_read(indices, name=name or "Gather")
    return apply_op(GATHER_V2, (params, indices, axis), {"batch_dims": batch_dims}, name)


def _is_zero(axis: Any) -> bool:
    value = constant_value(axis)
    return value is not None and int(value) == 0


@public(v2=["gather"])
def gather(
    params: Any,
    indices: Any,
    validate_indices: Any = None,
    axis: Any = None,
    batch_dims: int = 0,
    name: str | None = None,
) -> Any:
    """Slices of `params` along `axis` (default: `batch_dims`), picked by `indices`.

    indices: int32 or int64, of any shape, which takes the place of the axis in the result. batch_dims: the number of
    leading axes that params and indices have in common; each batch entry is gathered on its own.
    Raises InvalidArgumentError for an index outside [0, params.shape[axis]).
    """
    return _gather(params, indices, axis, batch_dims, name)


@public(v1=["gather"])
def gather_v1(
    params: Any,
    indices: Any,
    validate_indices: Any = None,
    name: str | None = None,
    axis: Any = None,
    batch_dims: int = 0,
) -> Any:
    """As tf.gather."""
    return _gather(params, indices, axis, batch_dims, name)


@public(v1=["batch_gather"])
def batch_gather(params: Any, indices: Any, name: str | None = None) -> Any:
    """tf.gather along the last axis of `indices`, the axes before which are batch axes of both."""
    indices = convert_to_tensor(indices, name="indices")
    params = convert_to_tensor(params, name="params")
    if indices.shape.rank is None:
        raise ValueError("batch_gather does not allow indices with unknown shape.")
    return _gather(params, indices, None, indices.shape.rank - 1, name)


# ---- at coordinates -------------------------------------------------------------------------------------------------


def gather_nd_kernel(params: Any, indices: Any) -> Any:
    """Slices of `params` at coordinates `indices` [..., depth]."""
    params, indices = as_array(params), as_array(indices)
    if indices.ndim == 0:
        raise ValueError("indices must be at least a vector")
    depth = indices.shape[-1]
    if depth > params.ndim:
        raise ValueError(f"index innermost dimension length must be <= params rank; saw: {depth} vs. {params.ndim}")
    inner = params.shape[depth:]
    rows = flat_rows(indices, params.shape, "param shape")
    flat = params.reshape(size_of(params.shape[:depth]), *inner)
    return flat[rows].reshape(indices.shape[:-1] + inner)


def gathered_nd_shape(params: TensorShape, indices: TensorShape) -> TensorShape:
    if indices.rank == 0:
        raise ShapeError(
            "Shape must be at least rank 1 but is rank 0: indices hold coordinate vectors.",
            "indices must be at least a vector",
        )
    if params.dimensions is None or indices.dimensions is None or indices.dimensions[-1] is None:
        return UNKNOWN
    depth = indices.dimensions[-1]
    if depth > len(params.dimensions):
        raise ShapeError(
            f"indices.shape[-1] must be <= params.rank, but saw indices shape: {text(indices)} and params shape: "
            f"{text(params)}",
            f"index innermost dimension length must be <= params rank; saw: {depth} vs. {len(params.dimensions)}",
            {1: [-1]},
        )
    return TensorShape([*indices.dimensions[:-1], *params.dimensions[depth:]])


def _are_rows(indices: Any) -> bool:
    """Whether the coordinates name whole rows, a matrix of one column."""
    return indices.shape.rank == 2 and indices.shape.dimensions[-1] == 1


def _gather_nd_gradient(op: Operation, dy: Any) -> list[Any]:
    params, indices = op.inputs
    shape = shape_of(params, indices.dtype if indices.dtype is not dtypes.int16 else dtypes.int32)
    if _are_rows(indices):
        flat = apply_op(REGISTRY["Squeeze"], (indices,), {"squeeze_dims": (-1,)})
        return [IndexedSlices(convert_to_tensor(dy), flat, shape), None]
    return [apply_op(SCATTER_ND, (indices, dy, shape)), None]


GATHER_ND = define(
    "GatherNd", "params: Tparams, indices: Tindices -> output: Tparams",
    "Tparams: type, Tindices: {int16, int32, int64}",
    reference=gather_nd_kernel,
    shape=lambda op: gathered_nd_shape(op.inputs[0].shape, op.inputs[1].shape),
    gradient=_gather_nd_gradient,
)  # fmt: skip


def _resource_gather_nd_shape(op: Operation) -> TensorShape:
    data = handle_data(op.inputs[0])
    return gathered_nd_shape(UNKNOWN if data is None else data[1], op.inputs[1].shape)


def _resource_gather_nd_gradient(op: Operation, dy: Any) -> list[Any]:
    handle, indices = op.inputs
    shape = apply_op(VARIABLE_SHAPE, (handle,))
    if _are_rows(indices):
        flat = apply_op(REGISTRY["Squeeze"], (indices,), {"squeeze_dims": (-1,)})
        return [IndexedSlices(convert_to_tensor(dy), flat, shape), None]
    if shape.dtype is not indices.dtype:
        shape = apply_op(REGISTRY["Cast"], (shape,), {"DstT": indices.dtype})
    return [apply_op(SCATTER_ND, (indices, dy, shape)), None]


define(
    "ResourceGatherNd", "resource: resource, indices: Tindices -> output: dtype", "dtype: type, Tindices: index",
    reference=lambda state, indices: gather_nd_kernel(read_state(state), indices),
    shape=_resource_gather_nd_shape, gradient=_resource_gather_nd_gradient, is_stateful=True,
)  # fmt: skip


def _gather_nd(params: Any, indices: Any, batch_dims: Any, name: str | None) -> Any:
    known = constant_value(batch_dims)
    if known is None or int(known) == 0:
        reader = getattr(params, "gather_nd", None)
        if reader is not None:
            return reader(indices, name=name)
        return apply_op(GATHER_ND, (params, indices), name=name)
    return _batch_gather_nd(params, indices, int(known), name)


def _batch_gather_nd(params: Any, indices: Any, batch_dims: int, name: str | None) -> Any:
    """Coordinates completed by those of their batch entry, for one plain gather_nd."""
    params, indices = convert_to_tensor(params, name="params"), convert_to_tensor(indices, name="indices")
    if indices.shape.rank is None:
        raise ValueError("batch_gather_nd does not allow indices with unknown shape.")
    if batch_dims < 0 or batch_dims >= indices.shape.rank:
        raise ValueError(
            f"Argument `batch_dims` = {batch_dims} must be less than rank(`indices`) = {indices.shape.rank}"
        )
    shape = shape_of(indices, indices.dtype)
    prefix = shape[:-1]
    columns = []
    for axis in range(batch_dims):
        numbers = apply_op(REGISTRY["Range"], (_like(0, indices), shape[axis], _like(1, indices)))
        aligned = reshape(numbers, [-1 if place == axis else 1 for place in range(indices.shape.rank - 1)])
        columns.append(expand_dims(apply_op(REGISTRY["BroadcastTo"], (aligned, prefix)), -1))
    return apply_op(GATHER_ND, (params, concat([*columns, indices], -1)), name=name)


def _like(number: int, tensor: Any) -> Any:
    return tensor.dtype.as_numpy_dtype(number)


@public(v2=["gather_nd"])
def gather_nd(params: Any, indices: Any, batch_dims: Any = 0, name: str | None = None) -> Any:
    """Slices of `params` at coordinates: result[..., *] = params[indices[..., 0], indices[..., 1], ..., *].

    indices: integers [..., depth]; depth at most the rank of params. batch_dims: leading axes in common.
    Raises InvalidArgumentError for coordinates outside.
    """
    return _gather_nd(params, indices, batch_dims, name)


@public(v1=["gather_nd", "manip.gather_nd"])
def gather_nd_v1(params: Any, indices: Any, name: str | None = None, batch_dims: Any = 0) -> Any:
    """As tf.gather_nd."""
    return _gather_nd(params, indices, batch_dims, name)


# ---- from flat indices to coordinates -------------------------------------------------------------------------------


def _unravel_kernel(indices: Any, dims: Any) -> Any:
    indices, shape = as_array(indices), sizes(dims)
    if indices.size and (int(indices.max()) >= size_of(shape) or int(indices.min()) < 0):
        raise ValueError("index is out of bound as with dims")
    coordinates = np.unravel_index(indices.reshape(-1), shape)
    return np.array(coordinates, indices.dtype).reshape(len(shape), *indices.shape)


def _unravel_shape(op: Operation) -> TensorShape:
    indices, dims = op.inputs[0].shape, op.inputs[1].shape
    if indices.rank not in (None, 0, 1) or dims.rank not in (None, 1):
        raise ShapeError("The indices can only be scalar or vector, and dims a vector.")
    count = None if dims.dimensions is None else dims.dimensions[0]
    return UNKNOWN if indices.dimensions is None else TensorShape([count, *indices.dimensions])


define(
    "UnravelIndex", "indices: Tidx, dims: Tidx -> output: Tidx", "Tidx: index = int32",
    reference=_unravel_kernel, shape=_unravel_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public("unravel_index")
def unravel_index(indices: Any, dims: Any, name: str | None = None) -> Any:
    """The coordinates, in a tensor of shape `dims`, of flat `indices` (a scalar or vector): [len(dims), *indices.shape].

    Raises InvalidArgumentError for an index outside.
    """
    return apply_op(REGISTRY["UnravelIndex"], (indices, dims), name=name)
