"""Strings cut into pieces (sparse matrices: a row for each string), and joined by groups."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.sparse_tensor import SparseTensor
from rillet.core.static import constant_value
from rillet.errors import ShapeError, format_shape
from rillet.ops.cast import cast
from rillet.ops.join import concat
from rillet.ops.scope import scope
from rillet.ops.shape import reshape, shape_of

# ---- cutting --------------------------------------------------------------------------------------------------------


def _sparse_pieces(rows: Sequence[Sequence[bytes]]) -> tuple[Any, Any, Any]:
    indices = [(row, column) for row, pieces in enumerate(rows) for column in range(len(pieces))]
    values = np.empty(len(indices), object)
    values[:] = [piece for pieces in rows for piece in pieces]
    shape = (len(rows), max((len(pieces) for pieces in rows), default=0))
    return np.array(indices, np.int64).reshape(-1, 2), values, np.array(shape, np.int64)


def _strings(text: Any) -> list[bytes]:
    array = np.asarray(text, object)
    if array.ndim != 1:
        raise ValueError(f"input must be a vector, got shape: {format_shape(array.shape)}")
    result: list[bytes] = array.tolist()
    return result


def _separator(value: Any) -> bytes:
    if np.ndim(value):
        raise ValueError(f"delimiter must be a scalar, got shape: {format_shape(np.shape(value))}")
    result: bytes = np.asarray(value, object).item()
    return result


def _split_on_characters(text: Any, delimiter: Any, *, skip_empty: bool) -> Any:
    marks = _separator(delimiter)
    rows = []
    for t in _strings(text):
        parts = re.split(b"[" + re.escape(marks) + b"]", t) if marks else [t[i : i + 1] for i in range(len(t))]
        rows.append([part for part in parts if part or not skip_empty] if t else [])  # "" has no parts, not even ""
    return _sparse_pieces(rows)


def _split_on_separator(text: Any, separator: Any, *, maxsplit: int) -> Any:
    """An empty separator stands for any run of white space."""
    mark = _separator(separator) or None
    return _sparse_pieces([t.split(mark, maxsplit) for t in _strings(text)])


def _sparse_shapes(op: Operation) -> list[TensorShape]:
    for index, rank in ((0, 1), (1, 0)):
        known = op.inputs[index].shape.rank
        if known not in (None, rank):
            what = "input must be a vector" if rank else "delimiter must be a scalar"
            found = format_shape(op.inputs[index].shape.dimensions)
            raise ShapeError(f"Shape must be rank {rank} but is rank {known}", f"{what}, got shape: {found}")
    return [TensorShape([None, 2]), TensorShape([None]), TensorShape([2])]


STRING_SPLIT = define(
    "StringSplit", "input: string, delimiter: string -> indices: int64, values: string, shape: int64",
    "skip_empty: bool = True",
    reference=_split_on_characters, shape=_sparse_shapes, gradient=NO_GRADIENT,
)  # fmt: skip
STRING_SPLIT_V2 = define(
    "StringSplitV2", "input: string, sep: string -> indices: int64, values: string, shape: int64", "maxsplit: int = -1",
    reference=_split_on_separator, shape=_sparse_shapes, gradient=NO_GRADIENT,
)  # fmt: skip


def _check_result_type(result_type: str) -> None:
    if result_type == "RaggedTensor":
        raise NotImplementedError('there are no ragged tensors here: split strings with result_type="SparseTensor"')
    if result_type != "SparseTensor":
        raise ValueError("result_type must be 'RaggedTensor' or 'SparseTensor'.")


@public(v1=["string_split"])
def string_split(
    source: Any, sep: Any = None, skip_empty: bool = True, delimiter: Any = None, result_type: str = "SparseTensor",
    name: str | None = None,
) -> SparseTensor:  # fmt: skip
    """The pieces of each string of a vector, as a SparseTensor [strings, most pieces].

    sep (or delimiter): every character of it separates (" " unless given); if it is empty, pieces are single bytes.
    skip_empty: whether empty pieces are left out. Raises InvalidArgumentError (ValueError in a graph) for no vector.
    """
    _check_result_type(result_type)
    marks = delimiter if sep is None else sep
    with scope(name or "StringSplit", source):
        marks = convert_to_tensor(" " if marks is None else marks, dtypes.string)
        source = convert_to_tensor(source, dtypes.string)
        return SparseTensor(*apply_op(STRING_SPLIT, (source, marks), {"skip_empty": skip_empty}))


@public(v1=["strings.split"])
def split_v1(
    input: Any = None, sep: Any = None, maxsplit: int = -1, result_type: str = "SparseTensor", source: Any = None,
    name: str | None = None,
) -> SparseTensor:  # fmt: skip
    """The pieces of each string of a tensor, along a new last axis, as a SparseTensor.

    sep: what separates; None (or empty): any run of white space. maxsplit: how often a string is split at most.
    A scalar gives one row. Raises ValueError for a tensor of unknown rank.
    """
    _check_result_type(result_type)
    with scope(name or "StringSplit", input if source is None else source):
        text = convert_to_tensor(input if source is None else source, dtypes.string, "input")
        if text.shape.rank is None:
            raise ValueError("strings.split: the rank of the input must be known")
        flat = text if text.shape.rank == 1 else reshape(text, [-1])
        separator = convert_to_tensor("" if sep is None else sep, dtypes.string)
        indices, values, shape = apply_op(STRING_SPLIT_V2, (flat, separator), {"maxsplit": maxsplit})
        if text.shape.rank > 1:
            full = concat([cast(shape_of(text), dtypes.int64), shape[1:]], 0)
            indices, shape = apply_op(REGISTRY["SparseReshape"], (indices, shape, full))
        return SparseTensor(indices, values, shape)


@public(v2=["strings.split"])
def split(input: Any, sep: Any = None, maxsplit: int = -1, name: str | None = None) -> Any:
    """The pieces of a string: a vector. See tf.compat.v1.strings.split for the arguments and for tensors of strings.

    Raises NotImplementedError for anything but a scalar, whose pieces would be a ragged tensor.
    """
    text = convert_to_tensor(input, dtypes.string, "input")
    if text.shape.rank != 0:
        _check_result_type("RaggedTensor")
    return split_v1(text, sep, maxsplit, name=name).values


# ---- joining by groups ----------------------------------------------------------------------------------------------


def _segment_join_kernel(text: Any, ids: Any, count: Any, *, separator: str) -> Any:
    text, ids, count = np.asarray(text, object), np.asarray(ids), int(count)
    if ids.ndim > text.ndim:
        raise ValueError(f"Inputs must have at least the rank of segment_ids, not {text.ndim} and {ids.ndim}")
    for axis, (wanted, size) in enumerate(zip(ids.shape, text.shape)):
        if wanted != size:
            raise ValueError(f"Segment dimension is {wanted} while input dimension is {size} in rank {axis}")
    if ids.size and not 0 <= ids.min() <= ids.max() < count:
        raise ValueError("segment_ids are not allowed to exceed num_segments or to have negative values.")
    rest = text.shape[ids.ndim :]
    rows = text.reshape(ids.size, int(np.prod(rest, dtype=int)))
    groups: list[list[Any]] = [[] for _ in range(count)]
    for row, group in zip(rows, ids.ravel().tolist(), strict=True):
        groups[group].append(row)
    glue = separator.encode()
    result = np.empty((count, rows.shape[1]), object)
    for number, members in enumerate(groups):
        result[number] = [glue.join(column) for column in zip(*members, strict=True)] or b""
    return result.reshape(count, *rest)


def _segment_join_shape(op: Operation) -> TensorShape:
    text, ids = op.inputs[0].shape, op.inputs[1].shape
    if text.dimensions is None or ids.dimensions is None:
        return UNKNOWN
    count = constant_value(op.inputs[2])
    return TensorShape([None if count is None else int(count), *text.dimensions[len(ids.dimensions) :]])


UNSORTED_SEGMENT_JOIN = define(
    "UnsortedSegmentJoin", "inputs: string, segment_ids: Tindices, num_segments: Tnumsegments -> output: string",
    "separator: string = '', Tindices: index, Tnumsegments: index = int32",
    reference=_segment_join_kernel, shape=_segment_join_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public("strings.unsorted_segment_join")
def unsorted_segment_join(
    inputs: Any, segment_ids: Any, num_segments: Any, separator: str = "", name: str | None = None
) -> Any:
    """The strings that have one id joined, in their order, for the ids 0 to num_segments - 1 (empty if there is none).

    segment_ids: integers, of a shape that inputs.shape starts with. Raises InvalidArgumentError for ids out of range.
    """
    return apply_op(UNSORTED_SEGMENT_JOIN, (inputs, segment_ids, num_segments), {"separator": separator}, name)
