"""tf.TensorArray: an array of tensors that is written and read entry by entry, also inside loops."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor, graph_for
from rillet.core.export import public
from rillet.core.graph import Graph
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import UNKNOWN, TensorShape, as_shape
from rillet.core.static import constant_value
from rillet.core.tensor import EagerTensor, Tensor
from rillet.errors import InvalidArgumentError, OutOfRangeError
from rillet.frontend.control import is_v2
from rillet.ops import list as lists
from rillet.ops.list import element_shape_tensor


class _Entries:
    """What is known of a TensorArray's entries. All objects that stand for one array share it, so that what is learned
    inside a loop is known behind it."""

    def __init__(self, dtype: dtypes.DType, shape: TensorShape, infer: bool) -> None:
        self.dtype = dtype
        self.shape = shape
        self.infer = infer

    def fit(self, shape: TensorShape, message: str) -> None:
        """Takes note of an entry's shape. ValueError where entries have another one."""
        if not self.shape.is_compatible_with(shape):
            raise ValueError(message.format(shape, self.shape))
        if self.infer:
            self.shape = self.shape.merge_with(shape)


@public("TensorArray")
class TensorArray:
    """An array of tensors of one dtype.

    size: the number of entries (a Python int or int32 scalar). dynamic_size: whether writing behind the end makes it grow.
    clear_after_read: eagerly, whether an entry can be read once only (True when None). element_shape: of all entries.
    infer_shape: whether all entries must have the shape of the first one written.
    tensor_array_name, handle, colocate_with_first_write_call: accepted for TensorFlow's sake.

    Methods that change the array return the changed one; eagerly it is the same object, in a graph another one.
    Raises ValueError for entries of the wrong shape, OutOfRangeError (eagerly) for an index behind the end.
    """

    def __init__(
        self,
        dtype: Any,
        size: Any = None,
        dynamic_size: bool | None = None,
        clear_after_read: bool | None = None,
        tensor_array_name: str | None = None,
        handle: Any = None,
        flow: Any = None,
        infer_shape: bool = True,
        element_shape: Any = None,
        colocate_with_first_write_call: bool = True,
        name: str | None = None,
    ) -> None:
        if handle is not None:
            raise ValueError("TensorArray handles are not supported: pass the array itself, or its flow.")
        if size is None and flow is None:
            raise ValueError("Size must be declared for TensorArrays.")
        self._entries = _Entries(dtypes.as_dtype(dtype).base_dtype, as_shape(element_shape), infer_shape)
        self._dynamic_size = bool(dynamic_size)
        self._clear_after_read = clear_after_read is None or bool(clear_after_read)
        self._cleared: set[int] = set()
        self._size = size
        self._flow = self._reserve(graph_for((size,)), name) if flow is None else flow

    def _reserve(self, graph: Graph | None, name: str | None) -> Any:
        if graph is None:
            return lists.reserve(element_shape_tensor(self._entries.shape), self._size, self.dtype)
        v2 = is_v2(graph)
        with context.use_graph(graph), graph.name_scope(name or ("TensorArrayV2" if v2 else "TensorArray")) as scope:
            label = "num_elements" if v2 else "size"
            size = convert_to_tensor(self._size, None if isinstance(self._size, Tensor) else dtypes.int32, name=label)
            return lists.reserve(element_shape_tensor(self._entries.shape), size, self.dtype, scope)

    # ---- what it is -------------------------------------------------------------------------------------------

    @property
    def dtype(self) -> dtypes.DType:
        return self._entries.dtype

    @property
    def flow(self) -> Any:
        """The list of entries, as a tensor of dtype variant."""
        return self._flow

    @property
    def handle(self) -> None:
        """There is none: the array is a value."""
        return None

    @property
    def element_shape(self) -> TensorShape:
        return self._entries.shape

    @property
    def dynamic_size(self) -> bool:
        return self._dynamic_size

    def _flatten_components(self) -> list[Any]:
        return [self._flow]

    def _pack_components(self, parts: list[Any]) -> TensorArray:
        return self._copy(parts[0])

    def _copy(self, flow: Any) -> TensorArray:
        result = object.__new__(TensorArray)
        result.__dict__.update(self.__dict__)
        result._flow = flow
        return result

    def _changed(self, flow: Any) -> TensorArray:
        if not isinstance(flow, EagerTensor):
            return self._copy(flow)
        self._flow = flow
        return self

    def mark_used(self) -> None:
        """Accepted: nothing warns of unused arrays."""

    def identity(self) -> TensorArray:
        """The array, after the control dependencies in force."""
        return self._copy(apply_op(REGISTRY["Identity"], (self._flow,)))

    def close(self, name: str | None = None) -> Any:
        """Nothing to free. In a graph an operation is returned."""
        return None if self._graph() is None else apply_op(REGISTRY["NoOp"], (), name=name)

    def grad(self, source: str, flow: Any = None, name: str | None = None) -> Any:
        raise NotImplementedError(
            "TensorArray.grad is not supported: differentiate what was read or stacked, with tf.gradients or a GradientTape."
        )

    def size(self, name: str | None = None) -> Any:
        """The number of entries, an int32 scalar."""
        if self._graph() is not None and not self._dynamic_size and self._size is not None:
            return convert_to_tensor(self._size, None if isinstance(self._size, Tensor) else dtypes.int32)
        return lists.length(self._flow, name)

    def _graph(self, *values: Any) -> Graph | None:
        return graph_for((self._flow, *values))

    def _static_size(self) -> int:
        """The number of entries where it is known, else -1."""
        if self._dynamic_size or self._size is None:
            return -1
        size = constant_value(self._size) if isinstance(self._size, Tensor) else self._size
        return -1 if size is None else int(size)

    @contextlib.contextmanager
    def _method(self, v1_name: str | None, v2_name: str, name: str | None, *values: Any) -> Iterator[Graph | None]:
        """Names what is called inside, where it goes to a graph."""
        graph = self._graph(*values)
        if graph is None:
            yield None
            return
        scope = v2_name if is_v2(graph) else v1_name
        with context.use_graph(graph), contextlib.nullcontext() if scope is None else graph.name_scope(name or scope):
            yield graph

    # ---- single entries ---------------------------------------------------------------------------------------

    def write(self, index: Any, value: Any, name: str | None = None) -> TensorArray:
        """The array with `value` at `index`."""
        with self._method("TensorArrayWrite", "TensorArrayV2Write", name, index, value) as graph:
            value = convert_to_tensor(value, name="value", preferred_dtype=self.dtype)
            if graph is None:
                self._check_place(index, value)
            self._entries.fit(value.shape, _INCONSISTENT if graph is not None else _INCOMPATIBLE)
            return self._changed(
                lists.set_item(self._flow, index, value, self._dynamic_size, _op_name(graph, "TensorArrayWriteV3"))
            )

    def _check_place(self, index: Any, value: Any) -> None:
        if value.dtype is not self.dtype:
            raise InvalidArgumentError(
                None,
                None,
                f"TensorArray dtype is {self.dtype.name} but Op is trying to write dtype {value.dtype.name} ",
            )
        place, size = int(index), self._flow._array.length
        if place < 0:
            raise OutOfRangeError(None, None, f"Writing to negative indices (index {place}) is not allowed.")
        if place >= size and not self._dynamic_size:
            raise OutOfRangeError(
                None, None, f"Tried to write to index {place} but array is not resizeable and size is: {size} "
            )
        self._cleared.discard(place)

    def read(self, index: Any, name: str | None = None) -> Any:
        """The entry at `index`. InvalidArgumentError where none was written and the shape is unknown."""
        shape = element_shape_tensor(self._entries.shape)
        with self._method(None, "TensorArrayV2Read", name, index) as graph:
            if graph is None:
                self._check_readable(int(index))
            return self._shaped(
                lists.get_item(self._flow, index, self.dtype, shape, _op_name(graph, name or "TensorArrayReadV3"))
            )

    def _check_readable(self, place: int) -> None:
        size = self._flow._array.length
        if place < 0:
            raise OutOfRangeError(None, None, f"Reading from negative indices (index {place}) is not allowed.")
        if place >= size:
            raise OutOfRangeError(None, None, f"Tried to read from index {place} but array size is: {size} ")
        if place in self._cleared:
            raise InvalidArgumentError(
                None,
                None,
                f"Could not read index {place} twice because it was cleared after a previous read (perhaps try setting "
                "clear_after_read = false?)",
            )
        if self._clear_after_read:
            self._cleared.add(place)

    def _shaped(self, value: Any) -> Any:
        if not isinstance(value, EagerTensor):
            value.set_shape(self._entries.shape)
        return value

    # ---- all entries ------------------------------------------------------------------------------------------

    def stack(self, name: str | None = None) -> Any:
        """All entries along a new axis 0. Entries never written are zeros."""
        with self._method("TensorArrayStack", "TensorArrayV2Stack", name) as graph:
            size = self._static_size() if graph is not None else -1
            shape = element_shape_tensor(self._entries.shape)
            if graph is None and not self._flow._array.length and not self._entries.shape.is_fully_defined():
                return convert_to_tensor(np.zeros((0,), self.dtype.numpy_dtype))
            return lists.stack(self._flow, self.dtype, shape, size, _op_name(graph, "TensorArrayGatherV3"))

    def unstack(self, value: Any, name: str | None = None) -> TensorArray:
        """The array whose entries are the rows of `value`."""
        with self._method("TensorArrayUnstack", "TensorArrayUnstack", name, value) as graph:
            value = convert_to_tensor(value, preferred_dtype=self.dtype, name="value")
            rows = _rows(value.shape)
            self._entries.fit(rows, _INCONSISTENT)
            if graph is None and not self._dynamic_size and len(value) != self._flow._array.length:
                raise ValueError(
                    f"Cannot unstack {len(value)} tensors into a TensorArray of static size {self._flow._array.length} "
                )
            self._cleared = set()
            return self._changed(
                lists.from_tensor(value, element_shape_tensor(rows), _op_name(graph, "TensorArrayScatterV3"))
            )

    def gather(self, indices: Any, name: str | None = None) -> Any:
        """The entries at `indices`, along a new axis 0."""
        shape = element_shape_tensor(self._entries.shape)
        name = name or _op_name(self._graph(indices), "TensorArrayGatherV3")
        value = lists.gather(self._flow, indices, self.dtype, shape, name)
        if not isinstance(value, EagerTensor):
            value.set_shape(TensorShape([None]).concatenate(self._entries.shape))
        return value

    def scatter(self, indices: Any, value: Any, name: str | None = None) -> TensorArray:
        """The array with the rows of `value` at `indices`."""
        with self._method("TensorArrayScatter", "TensorArrayScatter", name, indices, value) as graph:
            value = convert_to_tensor(value, preferred_dtype=self.dtype, name="value")
            self._entries.fit(_rows(value.shape), _INCONSISTENT)
            if graph is None:
                for index in np.ravel(convert_to_tensor(indices).numpy()).tolist():
                    self._check_place(index, value)
            return self._changed(
                lists.scatter_into(self._flow, value, indices, _op_name(graph, "TensorArrayScatterV3"))
            )

    # ---- entries of different sizes ---------------------------------------------------------------------------

    def concat(self, name: str | None = None) -> Any:
        """All entries, one behind the other along axis 0."""
        known = self._entries.shape.dimensions
        shape = element_shape_tensor(None if known is None else [None, *known[1:]])
        return lists.concat(self._flow, self.dtype, shape, name=name or _op_name(self._graph(), "TensorArrayConcatV3"))

    def split(self, value: Any, lengths: Any, name: str | None = None) -> TensorArray:
        """The array whose entries are consecutive parts of `value`, with these lengths along axis 0."""
        with self._method("TensorArraySplit", "TensorArraySplit", name, value, lengths) as graph:
            value = convert_to_tensor(value, preferred_dtype=self.dtype, name="value")
            lengths = _as_int64(lengths)
            if graph is None:
                self._check_lengths(value, lengths)
            rows = _rows(value.shape)
            shape = UNKNOWN if rows.rank is None else TensorShape([None]).concatenate(rows)
            self._entries.fit(shape, _INCONSISTENT)
            return self._changed(
                lists.split(value, element_shape_tensor(shape), lengths, _op_name(graph, "TensorArraySplitV3"))
            )

    def _check_lengths(self, value: Any, lengths: Any) -> None:
        total, count, size = int(np.sum(lengths.numpy())), len(lengths), self._flow._array.length
        if total != len(value):
            raise InvalidArgumentError(
                None,
                None,
                f"Expected sum of lengths to be equal to values.shape[0], but sum of lengths is {total} and value's shape is: "
                f"{value.shape.as_list()} ",
            )
        if not self._dynamic_size and size != count:
            raise InvalidArgumentError(
                None,
                None,
                f"TensorArray's size is not equal to the size of lengths ({size} vs. {count}), and the TensorArray is not "
                "marked as dynamically resizeable.",
            )


_INCONSISTENT = "Inconsistent shapes: saw {} but expected {} "
_INCOMPATIBLE = "Incompatible shape for value ({}), expected ({})"


def _rows(shape: TensorShape) -> TensorShape:
    return UNKNOWN if shape.dimensions is None else TensorShape(shape.dimensions[1:])


def _as_int64(lengths: Any) -> Any:
    tensor = convert_to_tensor(lengths, name="Cast/x")
    return tensor if tensor.dtype is dtypes.int64 else apply_op(REGISTRY["Cast"], (tensor,), {"DstT": dtypes.int64})


def _op_name(graph: Graph | None, v1_name: str) -> str | None:
    return None if graph is None or is_v2(graph) else v1_name


@public("TensorArraySpec")
class TensorArraySpec:
    """What a TensorArray is like: its entries' shape and dtype, whether it grows, whether it infers shapes."""

    def __init__(
        self,
        element_shape: Any = None,
        dtype: Any = dtypes.float32,
        dynamic_size: bool = False,
        infer_shape: bool = True,
    ) -> None:
        self._element_shape = as_shape(element_shape)
        self._dtype = dtypes.as_dtype(dtype)
        self._dynamic_size = dynamic_size
        self._infer_shape = infer_shape

    @classmethod
    def from_value(cls, value: TensorArray) -> TensorArraySpec:
        """The spec of an array. TypeError for anything else."""
        if not isinstance(value, TensorArray):
            raise TypeError(f"Expected value to be a TensorArray, but got: '{type(value)}'")
        return cls(value.element_shape, value.dtype, value.dynamic_size, value._entries.infer)

    @property
    def value_type(self) -> type:
        return TensorArray

    def _flags(self) -> tuple[Any, ...]:
        return (self._dtype, self._dynamic_size, self._infer_shape)

    def is_compatible_with(self, other: Any) -> bool:
        """Whether an array (or one of another spec) may be like this."""
        spec = self.from_value(other) if isinstance(other, TensorArray) else other
        return (
            isinstance(spec, TensorArraySpec)
            and self._flags() == spec._flags()
            and self._element_shape.is_compatible_with(spec._element_shape)
        )

    def is_subtype_of(self, other: Any) -> bool:
        """Whether every array like this is also like `other`."""
        same = isinstance(other, TensorArraySpec) and self._flags() == other._flags()
        return same and self._element_shape.is_subtype_of(other._element_shape)

    def most_specific_common_supertype(self, others: Any) -> TensorArraySpec | None:
        """The most that can be said of an array which is like one of these; None where their dtypes or flags differ."""
        if any(not isinstance(other, TensorArraySpec) or other._flags() != self._flags() for other in others):
            return None
        shape = self._element_shape.most_specific_common_supertype([other._element_shape for other in others])
        return TensorArraySpec(shape, *self._flags())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorArraySpec) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return (self._element_shape.dimensions, *self._flags())

    def __repr__(self) -> str:
        flags = f"{self._dtype!r}, {self._dynamic_size}, {self._infer_shape}"
        return f"TensorArraySpec({self._element_shape!r}, {flags})"
