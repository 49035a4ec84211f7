"""Lists of tensors (dtype variant): what TensorArrays and the gradients of loops are made of.

A list is a value: ops return a new one and leave the old one as it was. See `TensorList` for how that stays cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.graph import Operation
from rillet.core.locks import lock
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape, as_shape
from rillet.core.static import constant_value_as_shape
from rillet.core.tensor import SymbolicTensor, handle_data, set_handle_data
from rillet.errors import format_shape
from rillet.ops.families import scalar_shape

# ---- the value ------------------------------------------------------------------------------------------------------

_MISSING = object()
_CLOSE_BY = 4
_LOCK = lock()


class TensorList:
    """An immutable list of arrays of one dtype; entries that were never set read as zeros.

    All versions of a list share one table of entries, which one of them owns, at first the newest. Every other version
    knows a neighbour and how its entries differ from the neighbour's. So setting, appending and removing take constant
    time where, as in loops, nobody looks at versions from long ago; such a version makes itself a copy when it is read.
    """

    __slots__ = ("_changes", "_entries", "_neighbour", "dtype", "element_shape", "length", "limit")

    def __init__(self, dtype: DType, element_shape: TensorShape, length: int, entries: dict[int, Any], limit: int = -1):
        self.dtype = dtype
        self.element_shape = element_shape
        self.length = length
        self.limit = limit
        self._entries: dict[int, Any] | None = entries
        self._neighbour: TensorList | None = None
        self._changes: dict[int, Any] = {}

    @staticmethod
    def of(values: Sequence[Any], dtype: DType, element_shape: TensorShape = UNKNOWN) -> TensorList:
        return TensorList(dtype, element_shape, len(values), dict(enumerate(values)))

    @property
    def entries(self) -> dict[int, Any]:
        """The entries that were set, by position."""
        with _LOCK:
            if self._entries is None:
                self._recover()
            assert self._entries is not None
            return self._entries

    def _recover(self) -> None:
        """Gets this version its entries: takes over the table from a version close by, or copies it."""
        path: list[TensorList] = []
        version = self
        while version._entries is None:
            path.append(version)
            assert version._neighbour is not None
            version = version._neighbour
        if len(path) > _CLOSE_BY:
            entries = dict(version._entries)
            for step in reversed(path):
                _apply(entries, step._changes)
            self._own(entries)
            return
        for step in reversed(path):
            assert version._entries is not None
            step._take_from(version)
            version = step

    def _own(self, entries: dict[int, Any]) -> None:
        self._entries, self._neighbour, self._changes = entries, None, {}

    def _take_from(self, owner: TensorList) -> None:
        """Makes this version, a neighbour of the owner, the owner."""
        entries = owner._entries
        assert entries is not None
        owner._changes = {place: entries.get(place, _MISSING) for place in self._changes}
        owner._entries, owner._neighbour = None, self
        _apply(entries, self._changes)
        self._own(entries)

    def changed(self, changes: dict[int, Any], length: int) -> TensorList:
        """A list with other entries in some places (_MISSING: none) and another length."""
        with _LOCK:
            entries = self.entries
            result = TensorList(self.dtype, self.element_shape, length, {}, self.limit)
            result._entries, result._neighbour, result._changes = None, self, changes
            result._take_from(self)
        assert result._entries is entries
        return result

    def with_item(self, place: int, value: Any) -> TensorList:
        return self.changed({place: value}, max(self.length, place + 1))

    def resized(self, length: int) -> TensorList:
        dropped = {} if length >= self.length else {place: _MISSING for place in self.entries if place >= length}
        return self.changed(dropped, length)

    def item(self, place: int, element_shape: TensorShape) -> Any:
        """One entry; zeros where none was set. ValueError where their shape is unknown."""
        value = self.entries.get(place)
        if value is not None:
            return value
        shape = element_shape.merge_with(self.element_shape)
        if not shape.is_fully_defined():
            shape = self.common_shape(shape)
        if not shape.is_fully_defined():
            raise ValueError(
                "Trying to read an uninitialized tensor but element_shape is not fully defined: "
                f"{format_shape(shape.dimensions)} and no list element is set."
            )
        return zeros(self.dtype, shape)

    def common_shape(self, shape: TensorShape) -> TensorShape:
        """`shape` merged with those of all entries. ValueError where they differ."""
        for value in self.entries.values():
            shape = merged(shape, TensorShape(np.shape(value)))
        return shape

    def zeros_like(self) -> TensorList:
        return TensorList(self.dtype, self.element_shape, self.length, {})

    def __add__(self, other: TensorList) -> TensorList:
        """Sums of the entries. An entry that was never set is a zero."""
        if self.length != other.length:
            raise ValueError(
                f"Trying to add two lists of tensors with different lengths. One is {self.length} and the other is {other.length}"
            )
        larger, smaller = (self, other) if len(self.entries) >= len(other.entries) else (other, self)
        added = dict(smaller.entries)  # a copy: both may be versions of one list, which share a table
        known = larger.entries
        return larger.changed(
            {place: known[place] + value if place in known else value for place, value in added.items()}, self.length
        )

    def __repr__(self) -> str:
        return "<TensorList>"


def _apply(entries: dict[int, Any], changes: dict[int, Any]) -> None:
    for place, value in changes.items():
        if value is _MISSING:
            entries.pop(place, None)
        else:
            entries[place] = value


def zeros(dtype: DType, shape: TensorShape) -> Any:
    return np.full(shape.as_list(), b"" if dtype is dtypes.string else 0, dtype.numpy_dtype)


def merged(shape: TensorShape, other: TensorShape) -> TensorShape:
    """Both shapes together. ValueError in a kernel's words where they contradict each other."""
    if not shape.is_compatible_with(other):
        raise ValueError(
            "PartialTensorShape: Incompatible shapes during merge: "
            f"{format_shape(shape.dimensions)} vs. {format_shape(other.dimensions)}"
        )
    return shape.merge_with(other)


def _shape_of(vector: Any) -> TensorShape:
    """The (partial) shape that an `element_shape` input denotes: -1 for an unknown size; a scalar for an unknown rank."""
    if np.ndim(vector) == 0:
        return UNKNOWN
    return TensorShape([None if size < 0 else int(size) for size in vector])


def _checked(values: TensorList, item: Any, verb: str) -> None:
    dtype, shape = values.dtype, np.shape(item)
    if getattr(item, "dtype", dtype.numpy_dtype) != dtype.numpy_dtype and dtype.is_numpy_compatible:
        raise ValueError(f"Invalid data types; op elements {item.dtype} but list elements {dtype.name}")
    if not values.element_shape.is_compatible_with(shape):
        word = "Op element" if verb.startswith("append") else "Item element"
        raise ValueError(
            f"Tried to {verb}. {word} shape: {format_shape(shape)} list shape: {format_shape(values.element_shape.dimensions)}"
        )


def _in_range(values: TensorList, index: Any, verb: str) -> int:
    place = int(index)
    if not 0 <= place < values.length:
        raise ValueError(f"Trying to {verb} element {place} in a list with {values.length} elements.")
    return place


# ---- static inference -----------------------------------------------------------------------------------------------
# What is known of a list's entries travels with its tensor, as the dtype and shape of a variable do with its handle.


def list_spec(tensor: Any) -> TensorShape:
    """The static shape of a list's entries."""
    known = handle_data(tensor) if isinstance(tensor, SymbolicTensor) else None
    if known is None and isinstance(getattr(tensor, "_array", None), TensorList):
        return tensor._array.element_shape
    return UNKNOWN if known is None else known[1]


def element_shape_tensor(shape: Any, dtype: DType = dtypes.int32) -> Any:
    """A static shape as an `element_shape` input."""
    dimensions = as_shape(shape).dimensions
    if dimensions is None:
        return np.array(-1, dtype.numpy_dtype)
    return np.array([-1 if size is None else size for size in dimensions], dtype.numpy_dtype)


def _returns_list(element_shape: Callable[[Operation], TensorShape]) -> Callable[[Operation], Any]:
    """Inference for an op whose first output is a list with entries of that shape."""

    def rule(op: Operation) -> list[TensorShape]:
        set_handle_data(op.outputs[0], (op.attrs.get("element_dtype", dtypes.float32), element_shape(op)))
        return [TensorShape(()) for _ in op.outputs]

    return rule


def _declared(index: int) -> Callable[[Operation], TensorShape]:
    """The shape that input `index` denotes."""
    return lambda op: constant_value_as_shape(op.inputs[index]) if op.inputs[index].shape.rank != 0 else UNKNOWN


def _same_list(op: Operation) -> TensorShape:
    return list_spec(op.inputs[0])


def _item_shape(op: Operation, index: int) -> TensorShape:
    return list_spec(op.inputs[0]).merge_with(_declared(index)(op))


# ---- making lists ---------------------------------------------------------------------------------------------------


def _empty(element_shape: Any, max_num_elements: Any, *, element_dtype: DType) -> TensorList:
    return TensorList(element_dtype, _shape_of(element_shape), 0, {}, int(max_num_elements))


EMPTY = define(
    "EmptyTensorList", "element_shape: shape_type, max_num_elements: int32 -> handle: variant",
    "element_dtype: type, shape_type: index = int32",
    reference=_empty, shape=_returns_list(_declared(0)), gradient=NO_GRADIENT,
)  # fmt: skip
RESERVE = define(
    "TensorListReserve", "element_shape: shape_type, num_elements: int32 -> handle: variant",
    "element_dtype: type, shape_type: index = int32",
    reference=lambda shape, size, *, element_dtype: TensorList(element_dtype, _shape_of(shape), max(int(size), 0), {}),
    shape=_returns_list(_declared(0)), gradient=NO_GRADIENT,
)  # fmt: skip


def _from_tensor(tensor: Any, element_shape: Any, *, element_dtype: DType) -> TensorList:
    if np.ndim(tensor) == 0:
        raise ValueError(f"Tensor must be at least a vector, but saw shape: {format_shape(np.shape(tensor))}")
    shape = _shape_of(element_shape)
    if not shape.is_compatible_with(tensor.shape[1:]):
        raise ValueError(
            f"Specified a list with shape {format_shape(shape.dimensions)} from a tensor with shape {format_shape(tensor.shape[1:])}"
        )
    return TensorList.of(list(tensor), element_dtype, TensorShape(tensor.shape[1:]))


def _row_shape(op: Operation) -> TensorShape:
    shape = op.inputs[0].shape
    return _declared(1)(op).merge_with(UNKNOWN if shape.dimensions is None else TensorShape(shape.dimensions[1:]))


FROM_TENSOR = define(
    "TensorListFromTensor", "tensor: element_dtype, element_shape: shape_type -> output_handle: variant",
    "element_dtype: type, shape_type: index = int32",
    reference=_from_tensor, shape=_returns_list(_row_shape),
    gradient=lambda op, dlist: [_stacked_gradient(dlist, op.inputs[0]), None],
)  # fmt: skip


def _stacked_gradient(dlist: Any, tensor: Any) -> Any:
    """The gradient of a tensor whose rows became the entries of a list, from that list's gradient."""
    rows = tensor.shape.dimensions[0] if tensor.shape.dimensions else None
    shape = _rows_shape(tensor)
    return stack(dlist, tensor.dtype.base_dtype, shape, -1 if rows is None else rows)


def _rows_shape(tensor: Any) -> Any:
    """The shape of the rows of `tensor`, known or computed."""
    if tensor.shape.rank and None not in tensor.shape.dimensions[1:]:
        return element_shape_tensor(tensor.shape.dimensions[1:])
    return apply_op(REGISTRY["Shape"], (tensor,))[1:]


def _shape(tensor: Any) -> Any:
    """The shape of `tensor` as a vector, a constant where it is known."""
    if tensor.shape.is_fully_defined():
        return element_shape_tensor(tensor.shape)
    return apply_op(REGISTRY["Shape"], (tensor,))


def _zeros_like(tensor: Any) -> Any:
    """Zeros for an entry: a constant where the shape is known, so that a loop need not keep the entry for its shape."""
    if tensor.shape.is_fully_defined() and tensor.dtype.is_numpy_compatible:
        return convert_to_tensor(zeros(tensor.dtype.base_dtype, tensor.shape))
    return apply_op(REGISTRY["ZerosLike"], (tensor,))


# ---- single entries -------------------------------------------------------------------------------------------------


def _push_back(values: TensorList, item: Any, *, element_dtype: DType) -> TensorList:
    _checked(values, item, "append a tensor with incompatible shape to a list")
    if 0 <= values.limit <= values.length:
        raise ValueError(
            f"Tried to push item into a full list list size: {values.length} max_num_elements: {values.limit}"
        )
    return values.with_item(values.length, item)


PUSH_BACK = define(
    "TensorListPushBack", "input_handle: variant, tensor: element_dtype -> output_handle: variant", "element_dtype: type",
    reference=_push_back, shape=_returns_list(_same_list),
    gradient=lambda op, dlist: list(pop_back(dlist, op.inputs[1].dtype.base_dtype, _shape(op.inputs[1]))),
)  # fmt: skip


def push_back(values: Any, item: Any) -> Any:
    """The list with `item` behind its last entry."""
    item = convert_to_tensor(item)
    return apply_op(PUSH_BACK, (values, item), {"element_dtype": item.dtype.base_dtype})


def _pop_back(values: TensorList, element_shape: Any, *, element_dtype: DType) -> tuple[TensorList, Any]:
    if values.length == 0:
        raise ValueError("Trying to pop from an empty list.")
    last = values.length - 1
    item = values.item(last, _shape_of(element_shape))
    return values.changed({last: _MISSING}, last), item


def _pop_back_shape(op: Operation) -> list[TensorShape]:
    set_handle_data(op.outputs[0], (op.attrs["element_dtype"], _same_list(op)))
    return [TensorShape(()), _item_shape(op, 1)]


def _pop_back_gradient(op: Operation, dlist: Any, ditem: Any) -> list[Any]:
    rest, item = op.outputs
    dlist = apply_op(REGISTRY["ZerosLike"], (rest,)) if dlist is None else dlist
    return [push_back(dlist, _zeros_like(item) if ditem is None else ditem), None]


_pop_back_gradient.takes_none = True  # type: ignore[attr-defined]
POP_BACK = define(
    "TensorListPopBack",
    "input_handle: variant, element_shape: int32 -> output_handle: variant, tensor: element_dtype", "element_dtype: type",
    reference=_pop_back, shape=_pop_back_shape, gradient=_pop_back_gradient,
)  # fmt: skip


def pop_back(values: Any, dtype: DType, element_shape: Any) -> Any:
    """The list without its last entry, and that entry."""
    return apply_op(POP_BACK, (values, element_shape), {"element_dtype": dtype})


def _set_item(
    values: TensorList, index: Any, item: Any, *, element_dtype: DType, resize_if_index_out_of_bounds: bool
) -> TensorList:
    _checked(values, item, "set a tensor with incompatible shape at a list index")
    if resize_if_index_out_of_bounds and int(index) >= 0:
        return values.with_item(int(index), item)
    return values.with_item(_in_range(values, index, "modify"), item)


def _set_item_gradient(op: Operation, dlist: Any) -> list[Any]:
    _, index, item = op.inputs
    ditem = get_item(dlist, index, item.dtype.base_dtype, _shape(item))
    return [set_item(dlist, index, _zeros_like(item), resize=op.attrs["resize_if_index_out_of_bounds"]), None, ditem]


SET_ITEM = define(
    "TensorListSetItem", "input_handle: variant, index: int32, item: element_dtype -> output_handle: variant",
    "element_dtype: type, resize_if_index_out_of_bounds: bool = False",
    reference=_set_item, shape=_returns_list(_same_list), gradient=_set_item_gradient,
)  # fmt: skip


def set_item(values: Any, index: Any, item: Any, resize: bool = False, name: str | None = None) -> Any:
    """The list with `item` at `index`; with `resize` it grows where the index is behind its end."""
    attrs = {"resize_if_index_out_of_bounds": resize}
    return apply_op(SET_ITEM, (values, index, item), attrs, name)


def _get_item(values: TensorList, index: Any, element_shape: Any, *, element_dtype: DType) -> Any:
    shape = merged(_shape_of(element_shape), values.element_shape)
    return values.item(_in_range(values, index, "access"), shape)


def _get_item_gradient(op: Operation, dy: Any) -> list[Any]:
    values, index, element_shape = op.inputs
    empty = reserve(element_shape, length(values), dy.dtype.base_dtype)
    return [set_item(empty, index, dy), None, None]


GET_ITEM = define(
    "TensorListGetItem", "input_handle: variant, index: int32, element_shape: int32 -> item: element_dtype",
    "element_dtype: type",
    reference=_get_item, shape=lambda op: _item_shape(op, 2), gradient=_get_item_gradient,
)  # fmt: skip


def get_item(values: Any, index: Any, dtype: DType, element_shape: Any, name: str | None = None) -> Any:
    """The entry at `index`."""
    return apply_op(GET_ITEM, (values, index, element_shape), {"element_dtype": dtype}, name)


def reserve(element_shape: Any, size: Any, dtype: DType, name: str | None = None) -> Any:
    """A list of `size` entries, none of them set."""
    return apply_op(RESERVE, (element_shape, size), {"element_dtype": dtype}, name)


# ---- what a list is -------------------------------------------------------------------------------------------------

LENGTH = define(
    "TensorListLength", "input_handle: variant -> length: int32",
    reference=lambda values: np.int32(values.length), shape=scalar_shape, gradient=NO_GRADIENT,
)  # fmt: skip


def length(values: Any, name: str | None = None) -> Any:
    """How many entries a list has."""
    return apply_op(LENGTH, (values,), name=name)


ELEMENT_SHAPE = define(
    "TensorListElementShape", "input_handle: variant -> element_shape: shape_type", "shape_type: index",
    reference=lambda values, *, shape_type: element_shape_tensor(values.element_shape, shape_type),
    shape=lambda op: UNKNOWN if list_spec(op.inputs[0]).rank is None else TensorShape([list_spec(op.inputs[0]).rank]),
    shape_value=lambda op: list_spec(op.inputs[0]), gradient=NO_GRADIENT,
)  # fmt: skip

define(
    "TensorListResize", "input_handle: variant, size: int32 -> output_handle: variant",
    reference=lambda values, size: values.resized(int(size)),
    shape=_returns_list(_same_list),
    gradient=lambda op, dlist: [apply_op(op.definition, (dlist, length(op.inputs[0]))), None],
)  # fmt: skip

# ---- all entries at once --------------------------------------------------------------------------------------------


def _all_items(values: TensorList, shape: TensorShape, task: str) -> list[Any]:
    """Every entry, zeros for those not set; all of one shape."""
    if values.length and len(values.entries) == values.length:
        return [values.entries[place] for place in range(values.length)]
    if not values.entries and not shape.is_fully_defined():
        what = (
            "elements of an empty list with"
            if not values.length
            else "list which only contains uninitialized tensors and has a"
        )
        raise ValueError(f"Tried to {task} {what} non-fully-defined element_shape: {format_shape(shape.dimensions)}")
    filling = zeros(values.dtype, values.common_shape(shape)) if values.length else None
    return [values.entries.get(place, filling) for place in range(values.length)]


def _stacked(items: Sequence[Any], values: TensorList, shape: TensorShape) -> Any:
    for item in items:
        shape = merged(shape, TensorShape(np.shape(item)))
    if not items:
        return np.zeros([0, *shape.as_list()], values.dtype.numpy_dtype)
    return np.stack(items)


def _stack(values: TensorList, element_shape: Any, *, element_dtype: DType, num_elements: int) -> Any:
    if num_elements not in (-1, values.length):
        raise ValueError(
            f"Operation expected a list with {num_elements} elements but got a list with {values.length} elements."
        )
    shape = merged(_shape_of(element_shape), values.element_shape)
    return _stacked(_all_items(values, shape, "stack"), values, shape)


def _stack_shape(op: Operation) -> TensorShape:
    count = op.attrs["num_elements"]
    return TensorShape([None if count < 0 else count]).concatenate(_item_shape(op, 1))


STACK = define(
    "TensorListStack", "input_handle: variant, element_shape: int32 -> tensor: element_dtype",
    "element_dtype: type, num_elements: int = -1",
    reference=_stack, shape=_stack_shape,
    gradient=lambda op, dy: [from_tensor(dy), None],
)  # fmt: skip


def stack(values: Any, dtype: DType, element_shape: Any, size: int = -1, name: str | None = None) -> Any:
    """All entries along a new axis 0."""
    return apply_op(STACK, (values, element_shape), {"element_dtype": dtype, "num_elements": size}, name)


def from_tensor(tensor: Any, element_shape: Any = None, name: str | None = None) -> Any:
    """A list of the rows of `tensor`."""
    shape = element_shape_tensor(UNKNOWN) if element_shape is None else element_shape
    return apply_op(FROM_TENSOR, (tensor, shape), name=name)


def _gather(values: TensorList, indices: Any, element_shape: Any, *, element_dtype: DType) -> Any:
    shape = merged(_shape_of(element_shape), values.element_shape)
    for index in np.ravel(indices).tolist():
        if not 0 <= index < values.length:
            raise ValueError(f"Index {index} out o range; list only has {values.length} elements.")
    items = [values.item(index, shape) for index in np.ravel(indices).tolist()]
    if not items and not shape.is_fully_defined():
        raise ValueError(
            f"Tried to gather 0-elements from a list with non-fully-defined shape: {format_shape(shape.dimensions)}"
        )
    return _stacked(items, values, shape)


def _gather_gradient(op: Operation, dy: Any) -> list[Any]:
    values, indices, _ = op.inputs
    total = apply_op(REGISTRY["UnsortedSegmentSum"], (dy, indices, length(values)))  # an entry may be asked for twice
    return [from_tensor(total), None, None]


GATHER = define(
    "TensorListGather", "input_handle: variant, indices: int32, element_shape: int32 -> values: element_dtype",
    "element_dtype: type",
    reference=_gather, shape=lambda op: op.inputs[1].shape.concatenate(_item_shape(op, 2)), gradient=_gather_gradient,
)  # fmt: skip


def gather(values: Any, indices: Any, dtype: DType, element_shape: Any, name: str | None = None) -> Any:
    """The entries at `indices`, along a new axis 0."""
    return apply_op(GATHER, (values, indices, element_shape), {"element_dtype": dtype}, name)


def _scattered(values: TensorList, tensor: Any, indices: Any) -> TensorList:
    places = np.ravel(indices).tolist()
    if len(places) != len(tensor):
        raise ValueError(f"Expected len(indices) == tensor.shape[0], but saw: {len(places)} vs. {len(tensor)}")
    for place in places:
        if place < 0:
            raise ValueError("Indices in TensorListScatter must all be non-negative.")
    changes = dict(zip(places, list(tensor), strict=True))
    for item in list(tensor)[:1]:
        _checked(values, item, "set a tensor with incompatible shape at a list index")
    return values.changed(changes, max([values.length, *[place + 1 for place in places]]))


def _scatter(tensor: Any, indices: Any, element_shape: Any, size: Any = -1, *, element_dtype: DType) -> TensorList:
    limit = int(size)
    for place in np.ravel(indices).tolist():
        if 0 <= limit <= place:
            raise ValueError(f"TensorListScatter: Trying to scatter at index {place} in list with size {limit}")
    return _scattered(TensorList(element_dtype, _shape_of(element_shape), max(limit, 0), {}), tensor, indices)


def _scatter_gradient(op: Operation, dlist: Any) -> list[Any]:
    tensor, indices = op.inputs[0], op.inputs[1]
    dtensor = gather(dlist, indices, tensor.dtype.base_dtype, _rows_shape(tensor))
    return [dtensor, *[None] * (len(op.inputs) - 1)]


SCATTER = define(
    "TensorListScatter",
    "tensor: element_dtype, indices: int32, element_shape: shape_type -> output_handle: variant",
    "element_dtype: type, shape_type: index = int32",
    reference=_scatter, shape=_returns_list(_declared(2)), gradient=_scatter_gradient,
)  # fmt: skip
SCATTER_V2 = define(
    "TensorListScatterV2",
    "tensor: element_dtype, indices: int32, element_shape: shape_type, num_elements: int32 -> output_handle: variant",
    "element_dtype: type, shape_type: index = int32",
    reference=_scatter, shape=_returns_list(_declared(2)), gradient=_scatter_gradient,
)  # fmt: skip


def _scatter_into_gradient(op: Operation, dlist: Any) -> list[Any]:
    _, tensor, indices = op.inputs
    dtensor = gather(dlist, indices, tensor.dtype.base_dtype, _rows_shape(tensor))
    return [scatter_into(dlist, _zeros_like(tensor), indices), dtensor, None]


SCATTER_INTO = define(
    "TensorListScatterIntoExistingList",
    "input_handle: variant, tensor: element_dtype, indices: int32 -> output_handle: variant", "element_dtype: type",
    reference=lambda values, tensor, indices, *, element_dtype: _scattered(values, tensor, indices),
    shape=_returns_list(_same_list), gradient=_scatter_into_gradient,
)  # fmt: skip


def scatter_into(values: Any, tensor: Any, indices: Any, name: str | None = None) -> Any:
    """The list with the rows of `tensor` at `indices`."""
    return apply_op(SCATTER_INTO, (values, tensor, indices), name=name)


# ---- entries of different sizes -------------------------------------------------------------------------------------


def _concat_with(values: TensorList, shape: TensorShape, leading: Any) -> tuple[Any, Any]:
    rows = None if shape.dimensions is None else TensorShape(shape.dimensions[1:])
    items = []
    for place in range(values.length):
        item = values.entries.get(place)
        if item is None:
            item = zeros(values.dtype, _filled_shape(shape, place, leading))
        if np.ndim(item) == 0:
            raise ValueError(
                f"Concat saw a scalar shape at index {place} but requires at least vectors.  Did you mean to call stack instead?"
            )
        items.append(item)
    sizes = np.array([len(item) for item in items], np.int64)
    if not items:
        inner = [] if rows is None else [size or 0 for size in rows.dimensions or ()]
        return np.zeros([0, *inner], values.dtype.numpy_dtype), sizes
    return np.concatenate(items), sizes


def _filled_shape(shape: TensorShape, place: int, leading: Any) -> TensorShape:
    """The shape of the zeros that stand for an entry never set."""
    if shape.dimensions is None:
        raise ValueError("Concat requires elements to be at least vectors, found scalars instead.")
    first = int(leading[place]) if place < len(leading) else shape.dimensions[0]
    whole = TensorShape([first, *shape.dimensions[1:]])
    if not whole.is_fully_defined():
        raise ValueError(
            f"List contains uninitialized element at index {place} but leading_dims has only {len(leading)} elements."
        )
    return whole


def _concat_shape(op: Operation) -> list[TensorShape]:
    declared = (
        _item_shape(op, 1) if len(op.inputs) > 1 else list_spec(op.inputs[0]).merge_with(op.attrs["element_shape"])
    )
    if declared.dimensions is None:
        return [UNKNOWN, TensorShape([None])]
    return [TensorShape([None, *declared.dimensions[1:]]), TensorShape([None])]


def _concat_gradient(op: Operation, dtensor: Any, _: Any) -> list[Any]:
    spec = list_spec(op.inputs[0]).dimensions
    shape = element_shape_tensor(None if spec is None else [None, *spec[1:]])
    dlist = apply_op(SPLIT, (dtensor, shape, op.outputs[1]))
    return [dlist, *[None] * (len(op.inputs) - 1)]


CONCAT = define(
    "TensorListConcat", "input_handle: variant -> tensor: element_dtype, lengths: int64",
    "element_dtype: type, element_shape: shape = None",
    reference=lambda values, *, element_dtype, element_shape: _concat_with(
        values, merged(as_shape(element_shape), values.element_shape), ()
    ),
    shape=_concat_shape, gradient=_concat_gradient,
)  # fmt: skip
CONCAT_V2 = define(
    "TensorListConcatV2",
    "input_handle: variant, element_shape: shape_type, leading_dims: int64 -> tensor: element_dtype, lengths: int64",
    "element_dtype: type, shape_type: index = int32",
    reference=lambda values, shape, leading, *, element_dtype: _concat_with(
        values, merged(_shape_of(shape), values.element_shape), leading
    ),
    shape=_concat_shape, gradient=_concat_gradient,
)  # fmt: skip


def concat(values: Any, dtype: DType, element_shape: Any, leading: Any = (), name: str | None = None) -> Any:
    """All entries, one behind the other along axis 0."""
    leading = np.zeros(0, np.int64) if isinstance(leading, tuple) else leading
    return apply_op(CONCAT_V2, (values, element_shape, leading), {"element_dtype": dtype}, name).tensor


def _split(tensor: Any, element_shape: Any, lengths: Any, *, element_dtype: DType) -> TensorList:
    ends = np.cumsum(lengths).tolist()
    starts = [0, *ends[:-1]]
    for start, end in zip(starts, ends, strict=True):
        if end > len(tensor):
            raise ValueError(f"Attempting to slice [{start}, {end}] from tensor with length {len(tensor)}")
    if ends and ends[-1] != len(tensor):
        raise ValueError(f"Unused values in tensor. Length of tensor: {len(tensor)} Values used: {ends[-1]}")
    parts = [tensor[start:end] for start, end in zip(starts, ends, strict=True)]
    return TensorList.of(parts, element_dtype, _shape_of(element_shape))


def _split_gradient(op: Operation, dlist: Any) -> list[Any]:
    tensor, _, lengths = op.inputs
    inner = tensor.shape.dimensions
    shape = element_shape_tensor(None if inner is None else [None, *inner[1:]])
    return [concat(dlist, tensor.dtype.base_dtype, shape, lengths), None, None]


SPLIT = define(
    "TensorListSplit",
    "tensor: element_dtype, element_shape: shape_type, lengths: int64 -> output_handle: variant",
    "element_dtype: type, shape_type: index = int32",
    reference=_split, shape=_returns_list(_declared(1)), gradient=_split_gradient,
)  # fmt: skip


def split(tensor: Any, element_shape: Any, lengths: Any, name: str | None = None) -> Any:
    """A list of consecutive parts of `tensor` with these lengths."""
    return apply_op(SPLIT, (tensor, element_shape, lengths), name=name)


def _concat_lists(first: TensorList, second: TensorList, *, element_dtype: DType) -> TensorList:
    moved = {first.length + place: value for place, value in second.entries.items()}
    return first.changed(moved, first.length + second.length)


define(
    "TensorListConcatLists", "input_a: variant, input_b: variant -> output: variant", "element_dtype: type",
    reference=_concat_lists, shape=_returns_list(_same_list), gradient=NO_GRADIENT,
)  # fmt: skip
