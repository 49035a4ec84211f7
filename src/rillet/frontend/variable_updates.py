"""Updates of parts of a variable: its scatter methods."""

from __future__ import annotations

from typing import Any

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import REGISTRY


class SparseUpdates:
    """The scatter methods of variables, over `_sparse_update(suffix, indices, updates, name, use_locking)`.

    Each returns what an assignment returns. InvalidArgumentError for indices outside the variable.
    """

    shape: Any

    def _sparse_update(
        self, suffix: str, indices: Any, updates: Any, name: str | None, use_locking: bool = False
    ) -> Any:
        raise NotImplementedError

    def _by_slices(self, suffix: str, sparse_delta: Any, use_locking: bool, name: str | None) -> Any:
        if not isinstance(sparse_delta, IndexedSlices):
            raise TypeError(f"Argument `sparse_delta` must be a `tf.IndexedSlices`. Received arg: {sparse_delta}")
        return self._sparse_update(suffix, sparse_delta.indices, sparse_delta.values, name, use_locking)

    def scatter_update(self, sparse_delta: Any, use_locking: bool = False, name: str | None = None) -> Any:
        """Sets the rows of `sparse_delta`, which is IndexedSlices."""
        return self._by_slices("Update", sparse_delta, use_locking, name)

    def scatter_add(self, sparse_delta: Any, use_locking: bool = False, name: str | None = None) -> Any:
        """Adds to rows; a row named twice receives both."""
        return self._by_slices("Add", sparse_delta, use_locking, name)

    def scatter_sub(self, sparse_delta: Any, use_locking: bool = False, name: str | None = None) -> Any:
        """Subtracts from rows."""
        return self._by_slices("Sub", sparse_delta, use_locking, name)

    def scatter_mul(self, sparse_delta: Any, use_locking: bool = False, name: str | None = None) -> Any:
        """Multiplies rows."""
        return self._by_slices("Mul", sparse_delta, use_locking, name)

    def scatter_div(self, sparse_delta: Any, use_locking: bool = False, name: str | None = None) -> Any:
        """Divides rows."""
        return self._by_slices("Div", sparse_delta, use_locking, name)

    def scatter_min(self, sparse_delta: Any, use_locking: bool = False, name: str | None = None) -> Any:
        """Takes the smaller, element by element."""
        return self._by_slices("Min", sparse_delta, use_locking, name)

    def scatter_max(self, sparse_delta: Any, use_locking: bool = False, name: str | None = None) -> Any:
        """Takes the larger, element by element."""
        return self._by_slices("Max", sparse_delta, use_locking, name)

    def batch_scatter_update(self, sparse_delta: Any, use_locking: bool = False, name: str | None = None) -> Any:
        """Sets rows of each of a batch: self[b..., sparse_delta.indices[b..., i]] = sparse_delta.values[b..., i]."""
        if not isinstance(sparse_delta, IndexedSlices):
            raise TypeError(f"Argument `sparse_delta` must be a `tf.IndexedSlices`. Received arg: {sparse_delta}")
        coordinates = batch_coordinates(convert_to_tensor(sparse_delta.indices))
        return self._sparse_update("NdUpdate", coordinates, sparse_delta.values, name)

    def scatter_nd_update(self, indices: Any, updates: Any, name: str | None = None) -> Any:
        """Sets the slices at coordinates `indices` [..., depth] to `updates` [..., *shape[depth:]]."""
        return self._sparse_update("NdUpdate", indices, updates, name)

    def scatter_nd_add(self, indices: Any, updates: Any, name: str | None = None) -> Any:
        return self._sparse_update("NdAdd", indices, updates, name)

    def scatter_nd_sub(self, indices: Any, updates: Any, name: str | None = None) -> Any:
        return self._sparse_update("NdSub", indices, updates, name)

    def scatter_nd_min(self, indices: Any, updates: Any, name: str | None = None) -> Any:
        return self._sparse_update("NdMin", indices, updates, name)

    def scatter_nd_max(self, indices: Any, updates: Any, name: str | None = None) -> Any:
        return self._sparse_update("NdMax", indices, updates, name)


def batch_coordinates(indices: Any) -> Any:
    """Indices [b0, b1, ..., n] into the axis after the batch axes, as coordinates [b0, b1, ..., n, rank].

    ValueError where the rank of `indices` is unknown.
    """
    rank = indices.shape.rank
    if rank is None:
        raise ValueError("batch_scatter_update needs indices of known rank")
    sizes = apply_op(REGISTRY["Shape"], (indices,), {"out_type": indices.dtype})
    parts = []
    for axis in range(rank - 1):
        size = apply_op(REGISTRY["GatherV2"], (sizes, axis, 0))
        steps = apply_op(REGISTRY["Range"], (_as(0, indices), size, _as(1, indices)))
        column = apply_op(REGISTRY["Reshape"], (steps, [-1 if other == axis else 1 for other in range(rank)]))
        parts.append(apply_op(REGISTRY["BroadcastTo"], (column, sizes)))
    return apply_op(REGISTRY["Pack"], ([*parts, indices],), {"axis": rank})


def _as(number: int, like: Any) -> Any:
    return convert_to_tensor(number, like.dtype)
