"""Lists of tensors (dtype variant), which are values of the compiler: see list_values. Most changes cost nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.compiler.arrays import Array
from rillet.compiler.lowering.gathering import gather
from rillet.compiler.lowering.list_parts import as_array, as_place
from rillet.compiler.lowering.list_values import KnownList, ListValue, StoredList
from rillet.compiler.lowering.places import known
from rillet.compiler.lowering.scattering import scatter
from rillet.compiler.rules import Call, lowering, lowering_of_lists
from rillet.core import dtypes
from rillet.core.shapes import TensorShape, as_shape

_UNKNOWN = TensorShape(None)


def _shape(call: Call, vector: Array) -> TensorShape:
    """The partial shape that an `element_shape` input denotes."""
    if vector.rank == 0:
        return _UNKNOWN
    sizes = [known(vector.at(place)) for place in range(vector.size)]
    if None in sizes:
        sizes = call.integers(vector)
    return TensorShape([None if size < 0 else int(size) for size in sizes])


def _number(call: Call, array: Array) -> int:
    number = as_place(array)
    return int(call.integers(array)[0]) if isinstance(number, Array) else number


def _numbers(array: Array) -> list[int] | None:
    """The values of a vector of integers; None where only the run knows them."""
    found: list[Any] = [known(array.at(place)) for place in range(array.size)] if array.rank == 1 else [None]
    return None if None in found else [int(number) for number in found]


# ---- making lists ---------------------------------------------------------------------------------------------------


@lowering("EmptyTensorList", passes=True)
def empty(call: Call, element_shape: Array, most: Array) -> ListValue:
    return KnownList(call.program, call.attrs["element_dtype"], _shape(call, element_shape), (), _number(call, most))


@lowering("TensorListReserve", passes=True)
def reserve(call: Call, element_shape: Array, count: Array) -> ListValue:
    items = (None,) * max(0, _number(call, count))
    return KnownList(call.program, call.attrs["element_dtype"], _shape(call, element_shape), items)


@lowering("TensorListFromTensor", passes=True)
def from_tensor(call: Call, tensor: Array, element_shape: Array) -> ListValue:
    call.require(tensor.rank > 0)
    rows = TensorShape(tensor.shape[1:])
    call.require(_shape(call, element_shape).is_compatible_with(rows))
    return StoredList(call.attrs["element_dtype"], rows, tensor, tensor.shape[0])


@lowering("TensorListSplit", passes=True)
def split(call: Call, tensor: Array, element_shape: Array, lengths: Array) -> ListValue:
    sizes = call.integers(lengths)
    call.require(tensor.rank > 0 and sum(sizes) == tensor.shape[0] and all(size >= 0 for size in sizes))
    ends = np.cumsum([0, *sizes]).tolist()
    rest = [0] * (tensor.rank - 1)
    parts = [
        call.program.slice(tensor, (start, *rest), (size, *tensor.shape[1:]))
        for start, size in zip(ends, sizes, strict=False)
    ]
    return KnownList(call.program, call.attrs["element_dtype"], _shape(call, element_shape), tuple(parts))


# ---- single entries -------------------------------------------------------------------------------------------------


@lowering("TensorListPushBack", passes=True)
def push_back(call: Call, values: ListValue, item: Any) -> ListValue:
    return values.pushed(item)


@lowering("TensorListPopBack", passes=True)
def pop_back(call: Call, values: ListValue, element_shape: Array) -> list[Any]:
    return list(values.popped(_shape(call, element_shape)))


@lowering("TensorListSetItem", passes=True)
def set_item(call: Call, values: ListValue, index: Array, item: Any) -> ListValue:
    place = as_place(index)
    if call.attrs["resize_if_index_out_of_bounds"]:
        return _set_and_grow(call, values, place, item)
    return values.with_entry(place, item)


def _set_and_grow(call: Call, values: ListValue, place: int | Array, item: Any) -> ListValue:
    if isinstance(values, StoredList) and values.grows:
        return values.grown_with(place, item)
    if isinstance(place, Array):
        return values.with_entry(place, item)  # one behind the end stops the program
    call.require(place >= 0)
    if isinstance(values.length, int) and place >= values.length:
        values = values.resized(place + 1)
    return values.with_entry(place, item)


@lowering("TensorListGetItem", passes=True)
def get_item(call: Call, values: ListValue, index: Array, element_shape: Array) -> Any:
    return values.entry(as_place(index), _shape(call, element_shape))


# ---- what a list is -------------------------------------------------------------------------------------------------


@lowering("TensorListLength", passes=True)
def length(call: Call, values: ListValue) -> Array:
    return as_array(call.program, values.length)


@lowering("TensorListElementShape", passes=True)
def element_shape(call: Call, values: ListValue) -> Array:
    dimensions = values.element_shape.dimensions
    sizes: Any = -1 if dimensions is None else [-1 if size is None else size for size in dimensions]
    return call.program.constant(sizes, call.dtype())


@lowering("TensorListResize", passes=True)
def resize(call: Call, values: ListValue, size: Array) -> ListValue:
    return values.resized(_number(call, size))


# ---- all entries at once --------------------------------------------------------------------------------------------


def _stacked(values: ListValue, shape: TensorShape) -> Array:
    if isinstance(values, KnownList):
        return values.stack(shape)
    return values.stored(shape).stack()


@lowering("TensorListStack", passes=True)
def stack(call: Call, values: ListValue, element_shape: Array) -> Array:
    call.require(call.attrs["num_elements"] in (-1, values.known_length), "a list of another length")
    return _stacked(values, _shape(call, element_shape))


@lowering("TensorListGather", passes=True)
def gather_entries(call: Call, values: ListValue, indices: Array, element_shape: Array) -> Array:
    places, shape = _numbers(indices), _shape(call, element_shape)
    if places is None or indices.rank != 1:
        return gather(call, _stacked(values, shape), indices, 0)
    whole = values.taken_apart()
    for place in places:
        whole.check_index(place)
    if not places:
        call.require(whole.whole_shape(shape).is_fully_defined(), "no entries, of unknown shape")
    return whole._with(tuple(whole.items[place] for place in places)).stack(shape)


@lowering("TensorListScatter", "TensorListScatterV2", passes=True)
def scatter_entries(
    call: Call, tensor: Array, indices: Array, element_shape: Array, count: Array | None = None
) -> ListValue:
    size = -1 if count is None else _number(call, count)
    places = _numbers(indices)
    call.require(not 0 <= size <= max(places or [-1]), "an index outside of the list")
    shape, items = _shape(call, element_shape), (None,) * max(size, 0)
    return _scattered(call, KnownList(call.program, call.attrs["element_dtype"], shape, items), tensor, indices)


@lowering("TensorListScatterIntoExistingList", passes=True)
def scatter_into(call: Call, values: ListValue, tensor: Array, indices: Array) -> ListValue:
    return _scattered(call, values, tensor, indices)


def _scattered(call: Call, values: ListValue, tensor: Array, indices: Array) -> ListValue:
    call.require(indices.rank == 1 and tensor.rank > 0 and indices.size == tensor.shape[0])
    places = _numbers(indices)
    rows = StoredList(values.dtype, values.element_shape, tensor, tensor.shape[0]).taken_apart()
    if places is None:
        return _scattered_at(call, values, tensor, indices)
    call.require(min(places, default=0) >= 0, "a negative index")
    whole = values.resized(max([values.known_length, *[place + 1 for place in places]]))
    if places == list(range(whole.known_length)):
        values.check_entry(rows.item(0, _UNKNOWN) if places else None)
        return StoredList(values.dtype, values.element_shape, tensor, tensor.shape[0])
    for place, item in zip(places, rows.items, strict=True):
        whole = whole.with_entry(place, item.value)
    return whole


def _scattered_at(call: Call, values: ListValue, tensor: Array, indices: Array) -> ListValue:
    """The indices are known to the run only: the list must be long enough, and is not expected to grow."""
    stored = values.stored(TensorShape(tensor.shape[1:]))
    call.require(stored.buffer.size > 0, "a list without entries")
    return stored.with_buffer(scatter(stored.buffer, indices, tensor, "update"), stored.length)


@lowering("TensorListConcat", "TensorListConcatV2", passes=True)
def concat(
    call: Call, values: ListValue, element_shape: Array | None = None, leading: Array | None = None
) -> list[Array]:
    shape = as_shape(call.attrs["element_shape"]) if element_shape is None else _shape(call, element_shape)
    whole = values.taken_apart()
    whole.whole_shape(shape)
    items = whole.values()
    call.require(len(items) == whole.length and len(items) > 0, "a list with entries that were never set")
    call.require(all(isinstance(item, Array) and item.rank > 0 for item in items), "entries that are scalars")
    call.require(len({item.shape[1:] for item in items}) == 1, "entries of different shapes")
    sizes = call.program.constant([item.shape[0] for item in items], dtypes.int64)
    filled = [item for item in items if item.shape[0]]
    return [call.program.concat(filled or items[:1], 0), sizes]


@lowering("TensorListConcatLists", passes=True)
def concat_lists(call: Call, first: ListValue, second: ListValue) -> ListValue:
    one, two = first.taken_apart(), second.taken_apart()
    return one._with((*one.items, *two.items))


# ---- ops that take lists where others take arrays -------------------------------------------------------------------


@lowering_of_lists("AddN", "Add", "AddV2", "AccumulateNV2")
def add(call: Call, *values: ListValue) -> ListValue:
    total = values[0]
    for value in values[1:]:
        total = total.added_to(value)
    return total


@lowering_of_lists("ZerosLike")
def zeros_like(call: Call, values: ListValue) -> ListValue:
    return values.zeros_like()


@lowering_of_lists("Identity", "StopGradient", "PreventGradient", "Snapshot")
def identity(call: Call, values: ListValue) -> ListValue:
    return values


@lowering_of_lists("IdentityN")
def identities(call: Call, *values: Any) -> list[Any]:
    return list(values)
