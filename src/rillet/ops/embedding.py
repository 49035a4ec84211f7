"""Embeddings: rows of a table looked up by number, from one table or from one cut into parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import V2, public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.ops.cast import cast
from rillet.ops.clip import clip_by_norm
from rillet.ops.creation import ones, zeros_like_v1
from rillet.ops.gather import gather
from rillet.ops.join import concat, stack
from rillet.ops.partition import dynamic_partition
from rillet.ops.precision import is_low
from rillet.ops.reduce import reduce_sum
from rillet.ops.scope import scope
from rillet.ops.shape import expand_dims, rank, reshape, shape_of, size_of_tensor

# ---- dense ids ------------------------------------------------------------------------------------------------------


def _rows(table: Any, ids: Any, name: str | None) -> Any:
    """The rows `ids` of a tensor or variable."""
    read = getattr(table, "sparse_read", None)
    if read is not None:
        return read(ids, name=name)
    return apply_op(REGISTRY["GatherV2"], (table, ids, 0), name=name)


def _clipped(rows: Any, ids: Any, max_norm: Any) -> Any:
    """`rows`, each scaled down to an L2 norm of at most `max_norm`."""
    if max_norm is None:
        return rows
    ids_rank, rows_rank = ids.shape.rank, rows.shape.rank
    if ids_rank is not None and rows_rank is not None:
        axes: Any = list(range(ids_rank, rows_rank))
    else:
        axes = apply_op(REGISTRY["Range"], (rank(ids), rank(rows), 1), name="range")
    return clip_by_norm(rows, max_norm, axes=axes)


def _as_list(params: Any) -> list[Any]:
    if params is None:
        raise ValueError("params must be specified")
    parts = getattr(params, "_get_variable_list", None)
    if parts is not None:
        return list(parts())
    tables = list(params) if isinstance(params, (list, tuple)) else [params]
    if not tables:
        raise ValueError("Length of params is currently 0. Need at least one param.")
    return tables


def _look_up(params: Any, ids: Any, strategy: str, max_norm: Any, name: str | None) -> Any:
    tables = _as_list(params)
    with scope(name or "embedding_lookup", *tables, ids) as full_name:
        ids = convert_to_tensor(ids, name="ids")
        if len(tables) == 1:
            rows = _clipped(_rows(tables[0], ids, full_name), ids, max_norm)
            return rows if full_name is None else apply_op(REGISTRY["Identity"], (rows,))
        return _look_up_in_parts(tables, ids, strategy, max_norm, full_name)


def _look_up_in_parts(tables: list[Any], ids: Any, strategy: str, max_norm: Any, full_name: str | None) -> Any:
    if not all(hasattr(table, "sparse_read") for table in tables):
        tables = [table if hasattr(table, "sparse_read") else convert_to_tensor(table) for table in tables]
    flat = reshape(ids, [-1])
    places = apply_op(REGISTRY["Range"], (0, size_of_tensor(flat), 1), name="range")
    if strategy == "mod":
        owner, row = flat % len(tables), flat // len(tables)
    elif strategy == "div":
        owner, row = _in_contiguous_parts(tables, flat)
    else:
        raise ValueError(f"Unrecognized partition strategy: {strategy}.Must be one of either `mod` or `div`.")
    owner = cast(owner, dtypes.int32)
    ids_of = dynamic_partition(row, owner, len(tables))
    places_of = dynamic_partition(places, owner, len(tables))
    found = [_rows(table, part, None) for table, part in zip(tables, ids_of, strict=True)]
    rows = apply_op(REGISTRY["ParallelDynamicStitch"], (places_of, found), name=full_name)
    row_shape = TensorShape(tables[0].shape)[1:]
    for table in tables[1:]:
        row_shape = row_shape.merge_with(TensorShape(table.shape)[1:])
    sizes = row_shape.as_list() if row_shape.is_fully_defined() else shape_of(tables[0])[1:]
    rows = reshape(rows, concat([shape_of(ids), np.array(sizes, np.int32) if isinstance(sizes, list) else sizes], 0))
    rows.set_shape(ids.shape.concatenate(row_shape))
    return _clipped(rows, ids, max_norm)


def _in_contiguous_parts(tables: Sequence[Any], flat: Any) -> tuple[Any, Any]:
    """Which part each id is in, and which row of it, when parts hold ranges of ids; the first may be one row longer."""
    count = len(tables)
    sizes = [TensorShape(table.shape).dimensions[0] for table in tables]  # type: ignore[index]
    if None not in sizes:
        total = convert_to_tensor(sum(sizes), flat.dtype, name="Const")
    else:
        known = [shape_of(table)[0] if size is None else size for table, size in zip(tables, sizes, strict=True)]
        total = cast(reduce_sum(stack(known)), flat.dtype)
    per_part, extras = total // count, total % count
    owner = apply_op(REGISTRY["Maximum"], (flat // (per_part + 1), (flat - extras) // per_part))
    is_longer = apply_op(REGISTRY["Less"], (owner, extras))
    row = apply_op(REGISTRY["Select"], (is_longer, flat % (per_part + 1), (flat - extras) % per_part))
    return owner, row


@public(v2=["nn.embedding_lookup"])
def embedding_lookup(params: Any, ids: Any, max_norm: Any = None, name: str | None = None) -> Any:
    """The rows `ids` of a table of embeddings.

    params: a tensor or variable [rows, ...], or a list of them: the parts of a table cut into ranges of rows.
    ids: int32 or int64, any shape. max_norm: rows with a larger L2 norm are scaled down to it.
    Returns a tensor of shape ids.shape + params.shape[1:].
    Raises ValueError without params, InvalidArgumentError for an id that is no row.
    """
    return _look_up(params, ids, "div", max_norm, name)


@public(v1=["nn.embedding_lookup"])
def embedding_lookup_v1(
    params: Any,
    ids: Any,
    partition_strategy: str = "mod",
    name: str | None = None,
    validate_indices: bool = True,
    max_norm: Any = None,
) -> Any:
    """As tf.nn.embedding_lookup; `partition_strategy` says how a list of parts holds the rows.

    partition_strategy: 'mod' (row i is in part i % len(params)) or 'div' (contiguous ranges).
    """
    return _look_up(params, ids, partition_strategy, max_norm, name)


# ---- sparse ids -----------------------------------------------------------------------------------------------------

_COMBINERS = {"sum": "Sum", "mean": "Mean", "sqrtn": "SqrtN"}


def _look_up_sparse(
    params: Any, sp_ids: Any, sp_weights: Any, strategy: str, combiner: str | None, max_norm: Any, name: str | None
) -> Any:
    combiner = combiner or "mean"
    if combiner not in _COMBINERS:
        raise ValueError(f"combiner must be one of 'mean', 'sqrtn' or 'sum', got {combiner}")
    for value, what in ((sp_ids, "sp_ids"), (sp_weights, "sp_weights")):
        if not hasattr(value, "dense_shape") and (value is not None or what == "sp_ids"):
            raise TypeError(f"{what} must be SparseTensor, got {type(value)}")
    tables = _as_list(params)
    with scope(name or "embedding_lookup_sparse", *tables, sp_ids.values) as full_name:
        segments = sp_ids.indices[:, 0]
        if sp_weights is None and max_norm is None and len(tables) == 1 and not hasattr(tables[0], "sparse_read"):
            return _combined(tables[0], sp_ids.values, segments, combiner, full_name)
        ids, places = apply_op(REGISTRY["Unique"], (sp_ids.values,))
        rows = _look_up(tables, ids, strategy, max_norm, None)
        dtype = rows.dtype
        if is_low(dtype.numpy_dtype):
            rows = cast(rows, dtypes.float32)
        segments = cast(segments, dtypes.int32)
        if sp_weights is None:
            return cast(_combined(rows, places, segments, combiner, full_name), dtype)
        rows = gather(rows, places)
        return cast(_weighted(rows, sp_weights.values, segments, combiner, full_name), dtype)


def _combined(rows: Any, places: Any, segments: Any, combiner: str, name: str | None) -> Any:
    return apply_op(REGISTRY[f"SparseSegment{_COMBINERS[combiner]}"], (rows, places, segments), name=name)


def _weighted(rows: Any, weights: Any, segments: Any, combiner: str, name: str | None) -> Any:
    if weights.dtype is not rows.dtype:
        weights = cast(weights, rows.dtype)
    extra = expand_dims(rank(rows) - 1, 0)
    weights = reshape(weights, concat([shape_of(weights), ones(extra, dtypes.int32)], 0))
    total = rows * weights
    if combiner == "sum":
        return apply_op(REGISTRY["SegmentSum"], (total, segments), name=name)
    total = apply_op(REGISTRY["SegmentSum"], (total, segments))
    if combiner == "mean":
        share = apply_op(REGISTRY["SegmentSum"], (weights, segments))
    else:
        squares = apply_op(REGISTRY["Pow"], (weights, 2.0))
        share = apply_op(REGISTRY["Sqrt"], (apply_op(REGISTRY["SegmentSum"], (squares, segments)),))
    return apply_op(REGISTRY["DivNoNan"], (total, share), name=name)


@public(v2=["nn.embedding_lookup_sparse"])
def embedding_lookup_sparse(
    params: Any,
    sp_ids: Any,
    sp_weights: Any,
    combiner: str | None = None,
    max_norm: Any = None,
    name: str | None = None,
    allow_fast_lookup: bool = False,
) -> Any:
    """The embeddings of several ids a row, combined.

    params: as in tf.nn.embedding_lookup. sp_ids: a SparseTensor [n, m] of ids, at least one in each row.
    sp_weights: a SparseTensor of the same indices, or None (all 1).
    combiner: 'mean' (the default), 'sum', or 'sqrtn': the weighted sum over the root of the sum of the squared weights.
    Returns [n, ...]. Raises TypeError for what is no SparseTensor, ValueError for another combiner.
    """
    return _look_up_sparse(params, sp_ids, sp_weights, "div", combiner, max_norm, name)


@public(v1=["nn.embedding_lookup_sparse"])
def embedding_lookup_sparse_v1(
    params: Any,
    sp_ids: Any,
    sp_weights: Any,
    partition_strategy: str = "mod",
    name: str | None = None,
    combiner: str | None = None,
    max_norm: Any = None,
    allow_fast_lookup: bool = False,
) -> Any:
    """As tf.nn.embedding_lookup_sparse; `partition_strategy` as in tf.nn.embedding_lookup."""
    return _look_up_sparse(params, sp_ids, sp_weights, partition_strategy, combiner, max_norm, name)


def _look_up_safely(
    tables: Any,
    ids: Any,
    weights: Any,
    combiner: str,
    default_id: int | None,
    max_norm: Any,
    strategy: str,
    name: str | None,
) -> Any:
    """Ids below 0 and weights not above 0 are left out; a row without ids has that of `default_id`, or zeros."""
    tables = _as_list(tables)
    with scope(name or "embedding_lookup", *tables, ids.values) as full_name:
        original_shape = ids.dense_shape
        outer = apply_op(REGISTRY["Prod"], (original_shape[:-1], [0]))
        ids = V2["sparse.reshape"](ids, stack([outer, original_shape[-1]]))
        if weights is not None:
            weights = V2["sparse.SparseTensor"](ids.indices, weights.values, ids.dense_shape)
        ids, weights = _valid_ids(ids, weights)
        ids, is_row_empty = V2["sparse.fill_empty_rows"](ids, default_id or 0)
        if weights is not None:
            weights, _ = V2["sparse.fill_empty_rows"](weights, 1.0)
        result = _look_up_sparse(tables, ids, weights, strategy, combiner, max_norm, None)
        if default_id is None:
            extents = shape_of(result)
            hidden = apply_op(REGISTRY["Tile"], (reshape(is_row_empty, [-1, 1]), stack([1, extents[1]])))
            result = apply_op(REGISTRY["Select"], (hidden, zeros_like_v1(result), result), name=full_name)
        final = concat([cast(original_shape, dtypes.int32)[:-1], shape_of(result)[1:]], 0)
        return reshape(result, final)


def _valid_ids(ids: Any, weights: Any) -> tuple[Any, Any]:
    is_valid = apply_op(REGISTRY["GreaterEqual"], (ids.values, 0))
    if weights is not None:
        is_positive = apply_op(REGISTRY["Greater"], (weights.values, 0.0))
        is_valid = apply_op(REGISTRY["LogicalAnd"], (is_valid, is_positive))
        weights = V2["sparse.retain"](weights, is_valid)
    return V2["sparse.retain"](ids, is_valid), weights


@public(v2=["nn.safe_embedding_lookup_sparse"])
def safe_embedding_lookup_sparse(
    embedding_weights: Any,
    sparse_ids: Any,
    sparse_weights: Any = None,
    combiner: str = "mean",
    default_id: int | None = None,
    max_norm: Any = None,
    name: str | None = None,
    allow_fast_lookup: bool = False,
) -> Any:
    """tf.nn.embedding_lookup_sparse for ids that may be negative and rows that may be empty.

    Negative ids and weights not above 0 are left out. A row without any has the embedding of `default_id`, or zeros.
    """
    return _look_up_safely(embedding_weights, sparse_ids, sparse_weights, combiner, default_id, max_norm, "div", name)


@public(v1=["nn.safe_embedding_lookup_sparse"])
def safe_embedding_lookup_sparse_v1(
    embedding_weights: Any,
    sparse_ids: Any,
    sparse_weights: Any = None,
    combiner: str = "mean",
    default_id: int | None = None,
    name: str | None = None,
    partition_strategy: str = "div",
    max_norm: Any = None,
    allow_fast_lookup: bool = False,
) -> Any:
    """As tf.nn.safe_embedding_lookup_sparse; `partition_strategy` as in tf.nn.embedding_lookup."""
    return _look_up_safely(
        embedding_weights, sparse_ids, sparse_weights, combiner, default_id, max_norm, partition_strategy, name
    )
