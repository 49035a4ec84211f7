"""Dealing rows out to groups, and putting them together again."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value
from rillet.errors import ShapeError
from rillet.ops.arrays import as_array, check_indices, is_concrete, text
from rillet.ops.gather import gather
from rillet.ops.sequences import range_
from rillet.ops.shape import reshape, shape_of

# ---- partition ------------------------------------------------------------------------------------------------------


def _partition_kernel(data: Any, partitions: Any, *, num_partitions: int) -> tuple[Any, ...]:
    data, groups = as_array(data), as_array(partitions)
    if data.shape[: groups.ndim] != groups.shape:
        raise ValueError(
            f"data.shape must start with partitions.shape, got data.shape = {text(TensorShape(data.shape))}, "
            f"partitions.shape = {text(TensorShape(groups.shape))}"
        )
    check_indices(groups, num_partitions, "partitions")
    rows = data.reshape(groups.size, *data.shape[groups.ndim :])
    flat = groups.reshape(-1)
    return tuple(rows[flat == group] for group in range(num_partitions))


def _partition_shape(op: Operation) -> list[TensorShape]:
    data, groups, count = op.inputs[0].shape, op.inputs[1].shape, op.attrs["num_partitions"]
    if data.dimensions is None or groups.dimensions is None:
        return [UNKNOWN] * count
    if not TensorShape(data.dimensions[: len(groups.dimensions)]).is_compatible_with(groups):
        raise ShapeError(
            f"Dimensions must be equal: partitions {text(groups)} is no prefix of data {text(data)}",
            f"data.shape must start with partitions.shape, got data.shape = {text(data)}, partitions.shape = {text(groups)}",
            {0: range(min(len(groups.dimensions), len(data.dimensions))), 1: range(len(groups.dimensions))},
        )
    return [TensorShape([None, *data.dimensions[len(groups.dimensions) :]])] * count


def _partition_gradient(op: Operation, *dys: Any) -> list[Any]:
    data, groups = op.inputs
    prefix = shape_of(groups)
    count = _product(prefix)
    original = reshape(range_(0, count), prefix)
    places = dynamic_partition(original, groups, op.attrs["num_partitions"])
    whole = apply_op(REGISTRY["ParallelDynamicStitch"], (list(places), list(dys)))
    return [reshape(whole, shape_of(data)), None]


def _product(vector: Any) -> Any:
    axes = [0] if is_concrete(vector) else convert_to_tensor([0], dtypes.int32, name="Const")
    return apply_op(REGISTRY["Prod"], (vector, axes), {"keep_dims": False})


define(
    "DynamicPartition", "data: T, partitions: int32 -> outputs: num_partitions*T", "num_partitions: int, T: type",
    reference=_partition_kernel, shape=_partition_shape, gradient=_partition_gradient,
)  # fmt: skip


@public("dynamic_partition")
def dynamic_partition(data: Any, partitions: Any, num_partitions: int, name: str | None = None) -> list[Any]:
    """The rows of `data` dealt out to `num_partitions` groups, as a list of tensors; the order is kept.

    partitions: int32, the group of each row; its shape is the beginning of data's.
    Raises InvalidArgumentError for a group outside [0, num_partitions).
    """
    attrs = {"num_partitions": int(num_partitions)}
    return list(apply_op(REGISTRY["DynamicPartition"], (data, partitions), attrs, name))


# ---- stitch ---------------------------------------------------------------------------------------------------------


def _stitch_kernel(*indices_and_data: Any) -> Any:
    count = len(indices_and_data) // 2
    indices = [as_array(value) for value in indices_and_data[:count]]
    data = [as_array(value) for value in indices_and_data[count:]]
    row = data[0].shape[indices[0].ndim :]
    for places, values in zip(indices, data, strict=True):
        if values.shape != (*places.shape, *row):
            raise ValueError(
                f"data.shape must start with indices.shape and go on as the others: indices {places.shape}, data {values.shape}"
            )
    size = max((int(places.max()) + 1 for places in indices if places.size), default=0)
    result = np.zeros((size, *row), data[0].dtype)
    for places, values in zip(indices, data, strict=True):
        if places.size and int(places.min()) < 0:
            raise ValueError(f"indices are not negative, got {int(places.min())}")
        result[places.reshape(-1)] = values.reshape(places.size, *row)
    return result


def _stitch_shape(op: Operation) -> TensorShape:
    count = op.attrs["N"]
    row: TensorShape = UNKNOWN
    for places, values in zip(op.inputs[:count], op.inputs[count:], strict=True):
        if places.shape.dimensions is None or values.shape.dimensions is None:
            continue
        depth = len(places.shape.dimensions)
        rest = TensorShape(values.shape.dimensions[depth:])
        if not TensorShape(values.shape.dimensions[:depth]).is_compatible_with(places.shape):
            raise ShapeError(
                f"Shapes must have the same prefix: indices {text(places.shape)}, data {text(values.shape)}"
            )
        if not rest.is_compatible_with(row):
            raise ShapeError(f"Shapes must be equal: rows of {text(row)} and {text(rest)}")
        row = row.merge_with(rest)
    known = [constant_value(places) for places in op.inputs[:count]]
    size = None
    if all(value is not None for value in known):
        size = max((int(np.max(value)) + 1 for value in known if np.size(value)), default=0)
    return UNKNOWN if row.dimensions is None else TensorShape([size, *row.dimensions])


def _stitch_gradient(op: Operation, dy: Any) -> list[Any]:
    count = op.attrs["N"]
    dense = convert_to_tensor(dy)
    return [*[None] * count, *(gather(dense, places) for places in op.inputs[:count])]


for _op_type in ("DynamicStitch", "ParallelDynamicStitch"):
    define(
        _op_type, "indices: N*int32, data: N*T -> merged: T", "N: int, T: type",
        reference=_stitch_kernel, shape=_stitch_shape, gradient=_stitch_gradient,
    )  # fmt: skip


@public("dynamic_stitch")
def dynamic_stitch(indices: Any, data: Any, name: str | None = None) -> Any:
    """One tensor of rows from several: merged[indices[m][i]] = data[m][i]; where a place is named twice the last wins.

    The result has max(indices) + 1 rows. The inverse of tf.dynamic_partition.
    """
    return apply_op(REGISTRY["DynamicStitch"], (list(indices), list(data)), name=name)
