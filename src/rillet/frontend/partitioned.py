"""Variables kept in parts: PartitionedVariable, and the partitioners that say how many parts there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape


def make_partitioned(
    make: Callable[..., Any], partitioner: Any, name: str, shape: TensorShape, dtype: dtypes.DType, initializer: Any
) -> PartitionedVariable:
    """The variable `name` in as many parts along an axis as `partitioner` says; make(name, shape, dtype, initializer)
    makes one. ValueError when the partitioner divides more than one axis."""
    counts = [int(count) for count in partitioner(shape=shape, dtype=dtype)]
    sizes = [int(size or 0) for size in shape.as_list()]
    if len(counts) != len(sizes) or any(count < 1 for count in counts):
        raise ValueError(
            f"Partitioner returned a partition list that does not match the Variable's rank: {counts} vs. {shape}"
        )
    divided = [axis for axis, count in enumerate(counts) if count > 1]
    if len(divided) > 1:
        raise ValueError(f"Can only slice a variable along one dimension: shape: {shape}, partitioning: {counts}")
    axis = divided[0] if divided else 0
    parts, start = [], 0
    for index, size in enumerate(_shares(sizes[axis], counts[axis])):
        part_shape = [*sizes[:axis], size, *sizes[axis + 1 :]]
        part_name = f"{name}/part_{index}"
        if initializer is not None and not callable(initializer):
            value = np.take(np.asarray(initializer), range(start, start + size), axis)
            parts.append(make(part_name, None, dtype, value))
        else:
            parts.append(make(part_name, TensorShape(part_shape), dtype, initializer))
        offset = [start if place == axis else 0 for place in range(len(sizes))]
        parts[-1].save_slice = (name, sizes, offset, part_shape)  # what it is in a checkpoint: a part of `name`
        start += size
    return PartitionedVariable(name, shape, dtype, parts, axis)


def _shares(length: int, count: int) -> list[int]:
    """`length` in `count` nearly equal parts, the larger ones first."""
    small, larger = divmod(length, count)
    return [small + 1] * larger + [small] * (count - larger)


class PartitionedVariable:
    """A variable kept as several, divided along one axis; as a tensor it is their concatenation."""

    def __init__(self, name: str, shape: TensorShape, dtype: dtypes.DType, parts: Sequence[Any], axis: int) -> None:
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self._parts = list(parts)
        self._axis = axis

    def get_shape(self) -> TensorShape:
        return self.shape

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def graph(self) -> Any:
        return self._parts[0].graph

    @property
    def _defined_at(self) -> Any:
        return self._parts[0]._defined_at

    def as_tensor(self) -> Any:
        """All parts, joined."""
        graph = self.graph
        values = [part.value() for part in self._parts]
        if graph is None:
            return apply_op(REGISTRY["ConcatV2"], (values, self._axis))
        if len(values) == 1:
            with graph.name_scope(None):
                return apply_op(REGISTRY["Identity"], (values[0],), name=self.name)
        with graph.name_scope(self.name + "/ConcatPartitions/"):
            joined = apply_op(REGISTRY["ConcatV2"], (values, self._axis), name="concat")
        with graph.name_scope(None):
            return apply_op(REGISTRY["Identity"], (joined,), name=self.name)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return convert_to_tensor(self.as_tensor(), dtype)

    def assign(self, value: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True) -> Any:
        """Sets every part to its share of `value`."""
        return self._update("assign", value, read_value)

    def assign_add(
        self, value: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True
    ) -> Any:
        return self._update("assign_add", value, read_value)

    def assign_sub(
        self, value: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True
    ) -> Any:
        return self._update("assign_sub", value, read_value)

    def _update(self, kind: str, value: Any, read_value: bool) -> list[Any]:
        sizes = [part.shape.as_list()[self._axis] for part in self._parts]
        pieces = apply_op(REGISTRY["SplitV"], (value, sizes, self._axis), {"num_split": len(sizes)})
        return [
            getattr(part, kind)(piece, read_value=read_value) for part, piece in zip(self._parts, pieces, strict=True)
        ]


Partitioner = Callable[..., list[int]]


@public(v1=["fixed_size_partitioner"])
def fixed_size_partitioner(num_shards: int, axis: int = 0) -> Partitioner:
    """A partitioner that divides `axis` into `num_shards` (fewer where there are not as many elements)."""

    def partitioner(shape: Any, **unused: Any) -> list[int]:
        counts = [1] * len(shape)
        counts[axis] = min(num_shards, int(shape[axis]))
        return counts

    return partitioner


@public(v1=["variable_axis_size_partitioner"])
def variable_axis_size_partitioner(
    max_shard_bytes: int, axis: int = 0, bytes_per_string_element: int = 16, max_shards: int | None = None
) -> Partitioner:
    """A partitioner that makes parts of at most `max_shard_bytes` along `axis`.

    ValueError when max_shard_bytes or bytes_per_string_element is not positive.
    """
    if max_shard_bytes < 1 or bytes_per_string_element < 1:
        raise ValueError(
            f"Both max_shard_bytes and bytes_per_string_element must be positive. Currently: {max_shard_bytes}"
        )
    if max_shards is not None and max_shards < 1:
        raise ValueError("max_shards must be positive.")

    def partitioner(shape: Any, dtype: Any, **unused: Any) -> list[int]:
        sizes = [int(size) for size in shape]
        slice_bytes = _element_bytes(dtype, bytes_per_string_element) * int(np.prod(sizes)) / sizes[axis]
        rows = max(1, int(max_shard_bytes // slice_bytes))
        count = -(-sizes[axis] // rows)
        counts = [1] * len(sizes)
        counts[axis] = count if max_shards is None else min(max_shards, count)
        return counts

    return partitioner


@public(v1=["min_max_variable_partitioner"])
def min_max_variable_partitioner(
    max_partitions: int = 1, axis: int = 0, min_slice_size: int = 256 << 10, bytes_per_string_element: int = 16
) -> Partitioner:
    """A partitioner that makes at most `max_partitions` parts, each of at least `min_slice_size` bytes."""

    def partitioner(shape: Any, dtype: Any, **unused: Any) -> list[int]:
        sizes = [int(size) for size in shape]
        total = _element_bytes(dtype, bytes_per_string_element) * int(np.prod(sizes))
        counts = [1] * len(sizes)
        counts[axis] = max(1, min(sizes[axis], max_partitions, -(-total // min_slice_size)))
        return counts

    return partitioner


def _element_bytes(dtype: Any, of_string: int) -> int:
    wanted = dtypes.as_dtype(dtype)
    return of_string if wanted is dtypes.string else wanted.size
