"""Examples out of serialized messages: tf.io.parse_example and what describes the features; tensors as strings."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.export import export, public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.sparse_tensor import SparseTensor
from rillet.errors import InvalidArgumentError
from rillet.ops.families import scalar_shape
from rillet.ops.scope import scope
from rillet.saving import messages
from rillet.saving.tensors import array_of, data_type_label, sizes, tensor_message

# ---- features -------------------------------------------------------------------------------------------------------


class FixedLenFeature(namedtuple("FixedLenFeature", ["shape", "dtype", "default_value"])):
    """A feature with as many values as `shape` says. Without a default value it must be there."""

    def __new__(cls, shape: Any, dtype: Any, default_value: Any = None) -> FixedLenFeature:
        return super().__new__(cls, shape, dtype, default_value)


class VarLenFeature(namedtuple("VarLenFeature", ["dtype"])):
    """A feature with any number of values: it becomes a SparseTensor."""


class FixedLenSequenceFeature(
    namedtuple("FixedLenSequenceFeature", ["shape", "dtype", "allow_missing", "default_value"])
):
    """A feature with any number of entries of a shape; in a batch, shorter ones are filled up with the default value."""

    def __new__(
        cls, shape: Any, dtype: Any, allow_missing: bool = False, default_value: Any = None
    ) -> FixedLenSequenceFeature:
        return super().__new__(cls, shape, dtype, allow_missing, default_value)


class SparseFeature(namedtuple("SparseFeature", ["index_key", "value_key", "dtype", "size", "already_sorted"])):
    """Two features, indices and values, that become one SparseTensor of size `size`."""

    def __new__(
        cls, index_key: Any, value_key: str, dtype: Any, size: Any, already_sorted: bool = False
    ) -> SparseFeature:
        return super().__new__(cls, index_key, value_key, dtype, size, already_sorted)


for _kind in (FixedLenFeature, VarLenFeature, FixedLenSequenceFeature, SparseFeature):
    export(_kind, f"io.{_kind.__name__}", v1=[_kind.__name__])


# ---- the op ---------------------------------------------------------------------------------------------------------

_LISTS = {"int64_list": dtypes.int64, "float_list": dtypes.float32, "bytes_list": dtypes.string}


def _fail(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


class _Parser:
    """The features of one batch of messages."""

    def __init__(self, serialized: Any, names: Any) -> None:
        from google.protobuf.message import DecodeError

        kind = messages.get("Example")
        texts = np.asarray(serialized, object)
        self.is_single = texts.ndim == 0
        self.names = [_decoded(name) for name in np.asarray(names, object).ravel()]
        self.rows = []
        for place, text in enumerate(texts.ravel().tolist()):
            try:
                self.rows.append(kind.FromString(text).features.feature)
            except DecodeError:
                raise _fail(f"{self._where(place)}Could not parse example input, value: {text[:64]!r}") from None

    def _where(self, place: int) -> str:
        if self.is_single:
            return ""
        return f"Name: {self.names[place] if place < len(self.names) else '<unknown>'}, "

    def values(self, place: int, key: str, dtype: DType) -> Any:
        """The values of a feature as an array; None where there is none. InvalidArgumentError for another type."""
        row = self.rows[place]
        if key not in row:
            return None
        feature = row[key]
        kind = feature.WhichOneof("kind")
        if kind is None:
            return None
        found = _LISTS[kind]
        if found is not dtype:
            raise _fail(
                f"{self._where(place)}Key: {key}.  Data types don't match. Data type: {data_type_label(found)} but expected "
                f"type: {data_type_label(dtype)}"
            )
        values = getattr(feature, kind).value
        if dtype is dtypes.string:
            array = np.empty(len(values), object)
            array[:] = list(values)
            return array
        return np.array(values, dtype.numpy_dtype)

    def dense(self, key: str, dtype: DType, shape: TensorShape, default: Any) -> Any:
        if shape.rank is not None and shape.rank > 0 and shape.as_list()[0] is None:
            return self._padded(key, dtype, sizes(TensorShape(shape.as_list()[1:])), default)
        fixed = sizes(shape)
        rows = [self._fixed(place, key, dtype, fixed, default) for place in range(len(self.rows))]
        if self.is_single:
            return rows[0]
        return np.stack(rows) if rows else np.empty((0, *fixed), dtype.numpy_dtype)

    def _fixed(self, place: int, key: str, dtype: DType, shape: tuple[int, ...], default: Any) -> Any:
        values = self.values(place, key, dtype)
        count = int(np.prod(shape, dtype=np.int64))
        if values is None:
            if np.size(default) != count:
                raise _fail(
                    f"{self._where(place)}Feature: {key} (data type: {data_type_label(dtype)}) is required but could not be "
                    "found."
                )
            return np.asarray(default, dtype.numpy_dtype).reshape(shape)
        if values.size != count:
            raise _fail(
                f"{self._where(place)}Key: {key}, Index: {place}.  Number of {data_type_label(dtype)} values != expected.  "
                f"Values size: {values.size} but output shape: {list(shape)}"
            )
        return values.reshape(shape)

    def _padded(self, key: str, dtype: DType, shape: tuple[int, ...], default: Any) -> Any:
        """Entries of that shape, as many as the longest row has."""
        size = int(np.prod(shape, dtype=np.int64))
        rows = []
        for place in range(len(self.rows)):
            values = self.values(place, key, dtype)
            values = np.empty(0, dtype.numpy_dtype) if values is None else values
            if size == 0 or values.size % size:
                raise _fail(
                    f"{self._where(place)}Key: {key}, Index: {place}.  Number of {data_type_label(dtype)} values is not a "
                    f"multiple of stride length. Saw {values.size} values but output shape is: {[None, *shape]}"
                )
            rows.append(values.reshape(-1, *shape))
        if self.is_single:
            return rows[0]
        longest = max(map(len, rows), default=0)
        filler = np.asarray(default).ravel()[0] if np.size(default) else (b"" if dtype is dtypes.string else 0)
        result = np.full((len(rows), longest, *shape), filler, dtype.numpy_dtype)
        for place, row in enumerate(rows):
            result[place, : len(row)] = row
        return result

    def sparse(self, key: str, dtype: DType) -> tuple[Any, Any, Any]:
        """Indices, values and shape."""
        rows = [self.values(place, key, dtype) for place in range(len(self.rows))]
        rows = [np.empty(0, dtype.numpy_dtype) if row is None else row for row in rows]
        values = np.concatenate(rows) if rows else np.empty(0, dtype.numpy_dtype)
        within = np.concatenate([np.arange(len(row)) for row in rows] or [np.empty(0, np.int64)]).astype(np.int64)
        if self.is_single:
            return within[:, None], values, np.array([len(values)], np.int64)
        outer = np.repeat(np.arange(len(rows)), [len(row) for row in rows]).astype(np.int64)
        longest = max(map(len, rows), default=0)
        return np.stack([outer, within], axis=1), values, np.array([len(rows), longest], np.int64)


def _decoded(key: Any) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)


def _parse(
    serialized: Any,
    names: Any,
    sparse_keys: Any,
    dense_keys: Any,
    ragged_keys: Any,
    *defaults: Any,
    sparse_types: Sequence[DType],
    Tdense: Sequence[DType],
    dense_shapes: Sequence[Any],
) -> tuple[Any, ...]:
    if np.size(ragged_keys):
        raise _fail("features that become ragged tensors cannot be parsed")
    parser = _Parser(serialized, names)
    keys = [_decoded(key) for key in np.asarray(sparse_keys, object).ravel()]
    triples = [parser.sparse(key, dtype) for key, dtype in zip(keys, sparse_types, strict=True)]
    keys = [_decoded(key) for key in np.asarray(dense_keys, object).ravel()]
    dense = [parser.dense(*each) for each in zip(keys, Tdense, dense_shapes, defaults, strict=True)]
    columns = [[triple[part] for triple in triples] for part in range(3)]
    return (*columns[0], *columns[1], *columns[2], *dense)


def _parse_shapes(op: Operation) -> list[TensorShape]:
    batch = op.inputs[0].shape
    count, rank = op.attrs["num_sparse"], None if batch.rank is None else batch.rank + 1
    shapes = [TensorShape([None, rank])] * count + [TensorShape([None])] * count + [TensorShape([rank])] * count
    for shape in op.attrs["dense_shapes"]:
        known = TensorShape(shape)
        if batch.rank and known.rank and known.as_list()[0] is None:
            known = TensorShape([None, *known.as_list()[1:]])
        shapes.append(UNKNOWN if batch.rank is None else batch.concatenate(known))
    return shapes


PARSE = define(
    "ParseExampleV2",
    "serialized: string, names: string, sparse_keys: string, dense_keys: string, ragged_keys: string, "
    "dense_defaults: Tdense... -> sparse_indices: num_sparse*int64, sparse_values: sparse_types..., "
    "sparse_shapes: num_sparse*int64, dense_values: Tdense..., ragged_values: ragged_value_types..., "
    "ragged_row_splits: ragged_split_types...",
    "Tdense: list(type), num_sparse: int, sparse_types: list(type), ragged_value_types: list(type), "
    "ragged_split_types: list(type), dense_shapes: list(shape)",
    reference=_parse, shape=_parse_shapes, gradient=NO_GRADIENT,
)  # fmt: skip


# ---- the functions --------------------------------------------------------------------------------------------------


def _columns(features: Mapping[str, Any]) -> tuple[dict[str, DType], dict[str, Any]]:
    """The keys to parse as sparse features, with their types, and the dense features. ValueError for others."""
    if not features:
        raise ValueError("Argument `features` cannot be empty.")
    sparse: dict[str, DType] = {}
    dense: dict[str, Any] = {}
    for key in sorted(features):
        feature = features[key]
        if isinstance(feature, VarLenFeature):
            sparse[key] = dtypes.as_dtype(feature.dtype)
        elif isinstance(feature, SparseFeature):
            for index in [feature.index_key] if isinstance(feature.index_key, str) else feature.index_key:
                sparse[index] = dtypes.int64
            sparse[feature.value_key] = dtypes.as_dtype(feature.dtype)
        elif isinstance(feature, (FixedLenFeature, FixedLenSequenceFeature)):
            if isinstance(feature, FixedLenSequenceFeature) and not feature.allow_missing:
                raise ValueError(
                    f"Unsupported: FixedLenSequenceFeature requires allow_missing to be True. Got: {feature}"
                )
            dense[key] = feature
        else:
            raise ValueError(f"Invalid feature {key}:{feature}.")
    for dtype in (*sparse.values(), *(dtypes.as_dtype(feature.dtype) for feature in dense.values())):
        if dtype not in _LISTS.values():
            raise InvalidArgumentError(
                None,
                None,
                f"Value for attr 'Tdense' of {dtype.name} is not in the list of allowed values: float, int64, string",
            )
    return dict(sorted(sparse.items())), dense


def _default(key: str, feature: Any) -> Any:
    dtype = dtypes.as_dtype(feature.dtype)
    if isinstance(feature, FixedLenSequenceFeature):
        filler = feature.default_value
        if filler is None:
            filler = b"" if dtype is dtypes.string else 0
        return convert_to_tensor(filler, dtype, name=f"key_{_name_part(key)}")
    if feature.default_value is None:
        return convert_to_tensor(np.array([], dtype.numpy_dtype), dtype)
    value = convert_to_tensor(feature.default_value, dtype, name=f"key_{_name_part(key)}")
    return apply_op(REGISTRY["Reshape"], (value, TensorShape(feature.shape).as_list()))


def _name_part(key: str) -> str:
    return "".join(char if char.isalnum() or char in "_.-" else "_" for char in key)


def _parsed(serialized: Any, features: Mapping[str, Any], names: Any) -> dict[str, Any]:
    sparse, dense = _columns(features)
    shapes = tuple(
        TensorShape([None, *TensorShape(each.shape).as_list()])
        if isinstance(each, FixedLenSequenceFeature)
        else TensorShape(each.shape)
        for each in dense.values()
    )
    defaults = [_default(key, feature) for key, feature in dense.items()]
    attrs = {
        "Tdense": tuple(dtypes.as_dtype(feature.dtype) for feature in dense.values()),
        "num_sparse": len(sparse),
        "sparse_types": tuple(sparse.values()),
        "ragged_value_types": (),
        "ragged_split_types": (),
        "dense_shapes": shapes,
    }
    no_names = np.array([], object) if names is None else names
    inputs = (serialized, no_names, _keys(sparse), _keys(dense), np.array([], object), defaults)
    result = list(apply_op(PARSE, inputs, attrs))
    count = len(sparse)
    triples = [result[index : 3 * count : count] for index in range(count)]
    found: dict[str, Any] = {key: SparseTensor(*triple) for key, triple in zip(sparse, triples, strict=True)}
    found.update(zip(dense, result[3 * count :], strict=True))
    return {key: _assembled(features[key], key, found) for key in sorted(features)}


def _keys(features: Mapping[str, Any]) -> Any:
    return np.array([key.encode() for key in features], object)


def _assembled(feature: Any, key: str, found: Mapping[str, Any]) -> Any:
    """The value of a feature: of a SparseFeature, its indices and values put together."""
    if not isinstance(feature, SparseFeature):
        return found[key]
    keys = [feature.index_key] if isinstance(feature.index_key, str) else list(feature.index_key)
    sizes = [feature.size] if isinstance(feature.index_key, str) else list(feature.size)
    values = found[feature.value_key]
    outer = apply_op(REGISTRY["Slice"], (values.indices, [0, 0], [-1, values.indices.shape.as_list()[1] - 1]))
    inner = [apply_op(REGISTRY["ExpandDims"], (found[each].values, 1)) for each in keys]
    indices = apply_op(REGISTRY["ConcatV2"], ([outer, *inner], 1))
    shape = values.dense_shape[:-1]
    whole = apply_op(REGISTRY["ConcatV2"], ([shape, convert_to_tensor(np.array(sizes, np.int64))], 0))
    result = SparseTensor(indices, values.values, whole)
    if feature.already_sorted:
        return result
    ordered = apply_op(REGISTRY["SparseReorder"], (result.indices, result.values, result.dense_shape))
    return SparseTensor(ordered[0], ordered[1], whole)


@public(v2=["io.parse_example"])
def parse_example(serialized: Any, features: Any, example_names: Any = None, name: str | None = None) -> dict[str, Any]:
    """The features of serialized Examples: {key: tensor or SparseTensor}.

    serialized: strings [batch] (or one). features: {key: FixedLenFeature, VarLenFeature ...}.
    Raises ValueError for other features; InvalidArgumentError for what is no Example, lacks a feature, or has other values.
    """
    with scope(name or "ParseExample", serialized):
        return _parsed(convert_to_tensor(serialized, dtypes.string), features, example_names)


@public(v1=["io.parse_example", "parse_example"])
def parse_example_v1(
    serialized: Any, features: Any, name: str | None = None, example_names: Any = None
) -> dict[str, Any]:
    """As tf.io.parse_example."""
    return parse_example(serialized, features, example_names, name)


@public(v2=["io.parse_single_example"])
def parse_single_example(
    serialized: Any, features: Any, example_names: Any = None, name: str | None = None
) -> dict[str, Any]:
    """The features of one serialized Example. See tf.io.parse_example."""
    with scope(name or "ParseSingleExample", serialized):
        return parse_example(serialized, features, example_names)


@public(v1=["io.parse_single_example", "parse_single_example"])
def parse_single_example_v1(
    serialized: Any, features: Any, name: str | None = None, example_names: Any = None
) -> dict[str, Any]:
    """As tf.io.parse_single_example."""
    return parse_single_example(serialized, features, example_names, name)


# ---- tensors as strings ---------------------------------------------------------------------------------------------


def _read_tensor(serialized: Any, *, out_type: DType) -> Any:
    from google.protobuf.message import DecodeError

    try:
        message = messages.get("TensorProto").FromString(np.asarray(serialized, object).item())
    except DecodeError:
        raise _fail("Could not parse `serialized` as TensorProto, length: " + str(np.size(serialized))) from None
    if message.dtype != out_type.as_datatype_enum:
        raise _fail(
            f"Type mismatch between parsed tensor ({dtypes.as_dtype(message.dtype).name}) and dtype ({out_type.name})"
        )
    return array_of(message)


PARSE_TENSOR = define(
    "ParseTensor", "serialized: string -> output: out_type", "out_type: type",
    reference=_read_tensor, shape=lambda op: UNKNOWN, gradient=NO_GRADIENT,
)  # fmt: skip
SERIALIZE_TENSOR = define(
    "SerializeTensor", "tensor: T -> serialized: string", "T: type",
    reference=lambda tensor, *, T: tensor_message(tensor, T).SerializeToString(),
    shape=scalar_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public("io.parse_tensor", v1=["parse_tensor"])
def parse_tensor(serialized: Any, out_type: Any, name: str | None = None) -> Any:
    """The tensor in a serialized TensorProto. InvalidArgumentError for another dtype than `out_type`."""
    return apply_op(PARSE_TENSOR, (serialized,), {"out_type": dtypes.as_dtype(out_type)}, name)


@public("io.serialize_tensor", v1=["serialize_tensor"])
def serialize_tensor(tensor: Any, name: str | None = None) -> Any:
    """A tensor as a serialized TensorProto: a string."""
    return apply_op(SERIALIZE_TENSOR, (tensor,), {}, name)
