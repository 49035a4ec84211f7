"""Lists of tensors as the compiler sees them: values like arrays, of which each change makes another one.

    KnownList     how many entries there are is known, and each is a value of its own; nothing is in memory
    StoredList    the entries are the rows of an array; how many of them count may be known to the run alone
    EqualList     every entry is the same value
    ComposedList  the entries are made of those of other lists
    SingleList    one entry was set, at a place that only the run knows; all others read as zeros

A length is an int, or a scalar array where only the run knows it. NotLowered is raised for whatever the reference kernels
refuse (they then say what is wrong), and for what has no compiled form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rillet.compiler.arrays import Array, Arrays
from rillet.compiler.lowering.list_parts import (
    LazyRow,
    Length,
    Place,
    as_array,
    joined,
    plus,
    require,
    row,
    sizes_of,
    stacked,
    with_row,
    zeros,
)
from rillet.compiler.lowering.scattering import scatter
from rillet.compiler.rules import NotLowered
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.shapes import TensorShape

# Lists of more entries are not taken apart.
_MOST_ENTRIES = 4096


class ListValue:
    """What all lists have in common. element_shape: what is declared of the entries' shape."""

    __slots__ = ("dtype", "element_shape", "length", "program")

    def __init__(self, program: Arrays, dtype: DType, element_shape: TensorShape, length: Length) -> None:
        self.program = program
        self.dtype = dtype
        self.element_shape = element_shape
        self.length = length

    def entry(self, index: Place, shape: TensorShape) -> Any:
        """The entry at `index`; shape: what else is known of its shape."""
        raise NotImplementedError

    def with_entry(self, index: Place, value: Any) -> ListValue:
        raise NotImplementedError

    def resized(self, length: int) -> ListValue:
        return self.taken_apart().resized(length)

    def stored(self, shape: TensorShape) -> StoredList:
        """The list with its entries in memory; shape: what else is known of their shape."""
        raise NotImplementedError

    def taken_apart(self) -> KnownList:
        raise NotImplementedError

    @property
    def known_length(self) -> int:
        if not isinstance(self.length, int):
            raise NotLowered("the length of a list is not known before the run")
        return self.length

    def check_index(self, index: Place) -> None:
        require(not isinstance(index, int) or 0 <= index < self.known_length, "an index outside of the list")

    def check_entry(self, value: Any) -> None:
        if isinstance(value, Array):
            require(self.element_shape.is_compatible_with(value.shape), "an entry of another shape")
            require(value.dtype is self.dtype, "an entry of another dtype")

    def whole_shape(self, shape: TensorShape) -> TensorShape:
        """The element shape, with what else is known. NotLowered where the two contradict each other."""
        require(shape.is_compatible_with(self.element_shape), "element shapes that contradict each other")
        return shape.merge_with(self.element_shape)

    def pushed(self, value: Any) -> ListValue:
        return self.taken_apart().pushed(value)

    def popped(self, shape: TensorShape) -> tuple[ListValue, Any]:
        """The list without its last entry, and that entry."""
        raise NotImplementedError

    def zeros_like(self) -> ListValue:
        return KnownList(self.program, self.dtype, self.element_shape, (None,) * self.known_length)

    def added_to(self, other: ListValue) -> ListValue:
        """The sums of the entries of two lists."""
        if isinstance(self, SingleList):
            return self.put_into(other)
        if isinstance(other, SingleList):
            return other.put_into(self)
        if isinstance(self, KnownList) and isinstance(other, KnownList):
            return self.joined(other)
        for nothing, something in ((self, other), (other, self)):
            if isinstance(nothing, KnownList) and not any(nothing.items):
                require(nothing.length == something.known_length, "lists of different lengths")
                return something
        first, second = self.stored(TensorShape(None)), other.stored(TensorShape(None))
        require(first.buffer.shape == second.buffer.shape, "lists of different sizes")
        require(first.length is second.length or first.length == second.length, "lists of different lengths")
        total = self.program.elementwise("add", self.dtype, first.buffer, second.buffer)
        return StoredList(self.dtype, self.element_shape, total, first.length)


class KnownList(ListValue):
    """items: the entries; None for one that was never set. limit: how many there may be; any number if negative."""

    __slots__ = ("items", "limit")

    def __init__(
        self, program: Arrays, dtype: DType, element_shape: TensorShape, items: tuple[Any, ...], limit: int = -1
    ) -> None:
        super().__init__(program, dtype, element_shape, len(items))
        require(len(items) <= _MOST_ENTRIES, "a long list")
        self.items = items
        self.limit = limit

    def _with(self, items: tuple[Any, ...]) -> KnownList:
        return KnownList(self.program, self.dtype, self.element_shape, items, self.limit)

    def item(self, index: int, shape: TensorShape) -> Any:
        found = self.items[index]
        if found is None:
            return self._zeros(shape)
        return found.value if isinstance(found, LazyRow) else found

    def values(self) -> list[Any]:
        """The entries that were set."""
        return [item.value if isinstance(item, LazyRow) else item for item in self.items if item is not None]

    def _zeros(self, shape: TensorShape) -> Array:
        sizes = self.common_shape(shape).dimensions
        require(sizes is not None and None not in sizes, "an entry of unknown shape that was never set")
        return self.program.broadcast(self.program.constant(0, self.dtype), [int(size or 0) for size in sizes or ()])

    def common_shape(self, shape: TensorShape) -> TensorShape:
        """The shape that all entries have. NotLowered where they differ."""
        shape = self.whole_shape(shape)
        for value in self.values():
            require(isinstance(value, Array), "a list of lists")
            require(shape.is_compatible_with(value.shape), "entries of different shapes")
            shape = shape.merge_with(TensorShape(value.shape))
        return shape

    def all_items(self, shape: TensorShape) -> list[Any]:
        """All entries, zeros for those that were never set."""
        return [self.item(index, shape) for index in range(len(self.items))]

    def entry(self, index: Place, shape: TensorShape) -> Any:
        self.check_index(index)
        if not isinstance(index, int):
            return self.stored(shape).entry(index, shape)
        if self.items[index] is None:
            whole = self.whole_shape(shape)  # the reference kernel looks at others only where this is not enough
            return self._zeros(whole) if not whole.is_fully_defined() else zeros(self.program, whole, self.dtype)
        return self.item(index, shape)

    def with_entry(self, index: Place, value: Any) -> ListValue:
        self.check_entry(value)
        self.check_index(index)
        if isinstance(index, int):
            return self._with((*self.items[:index], value, *self.items[index + 1 :]))
        if not any(self.items) and isinstance(value, Array):
            return SingleList(self, index, value)
        return self.stored(TensorShape(value.shape)).with_entry(index, value)

    def resized(self, length: int) -> KnownList:
        length = max(length, 0)
        return self._with((*self.items[:length], *[None] * (length - len(self.items))))

    def pushed(self, value: Any) -> KnownList:
        self.check_entry(value)
        require(not 0 <= self.limit <= len(self.items), "a full list")
        return self._with((*self.items, value))

    def popped(self, shape: TensorShape) -> tuple[ListValue, Any]:
        require(len(self.items) > 0, "an empty list")
        return self._with(self.items[:-1]), self.entry(len(self.items) - 1, shape)

    def stack(self, shape: TensorShape) -> Array:
        whole = self.common_shape(shape)
        require(whole.is_fully_defined(), "a list of entries of unknown shape")
        sizes = sizes_of(whole)
        parts = [self._run(start, stop, sizes) for start, stop in self._runs()]
        return joined(self.program, parts) if parts else stacked(self.program, [], sizes, self.dtype)

    def _runs(self) -> list[tuple[int, int]]:
        """Neighbours that were not set, or are neighbouring rows of one array; any other entry by itself."""
        runs: list[tuple[int, int]] = []
        for index, item in enumerate(self.items):
            before = self.items[index - 1] if index else item
            follows = item is None and before is None
            if isinstance(item, LazyRow) and isinstance(before, LazyRow):
                follows = item.buffer is before.buffer and item.index == before.index + 1
            if runs and follows:
                runs[-1] = (runs[-1][0], index + 1)
            else:
                runs.append((index, index + 1))
        return runs

    def _run(self, start: int, stop: int, sizes: tuple[int, ...]) -> Array:
        program, first, count = self.program, self.items[start], stop - start
        if first is None:
            return zeros(program, TensorShape([count, *sizes]), self.dtype)
        if not isinstance(first, LazyRow):
            return stacked(program, [first], sizes, self.dtype)
        buffer = first.buffer
        if count == buffer.shape[0]:
            return buffer
        return program.slice(buffer, [first.index, *[0] * len(sizes)], (count, *sizes))

    def stored(self, shape: TensorShape) -> StoredList:
        return StoredList(self.dtype, self.element_shape, self.stack(shape), len(self.items))

    def taken_apart(self) -> KnownList:
        return self

    def joined(self, other: KnownList) -> KnownList:
        require(len(self.items) == len(other.items), "lists of different lengths")
        sums: list[Any] = []
        for index, (one, two) in enumerate(zip(self.items, other.items, strict=True)):
            if one is None or two is None:
                sums.append(two if one is None else one)
                continue
            first, second = self.item(index, TensorShape(None)), other.item(index, TensorShape(None))
            if isinstance(first, ListValue):
                sums.append(first.added_to(second))
                continue
            require(first.shape == second.shape, "entries of different shapes")
            sums.append(self.program.elementwise("add", self.dtype, first, second))
        return self._with(tuple(sums))


class StoredList(ListValue):
    """buffer: its rows are the entries. length: how many of them count. grows: whether entries can be set behind the end."""

    __slots__ = ("buffer", "grows")

    def __init__(
        self, dtype: DType, element_shape: TensorShape, buffer: Array, length: Length, grows: bool = False
    ) -> None:
        super().__init__(buffer.program, dtype, element_shape, length)
        self.buffer = buffer
        self.grows = grows

    def with_buffer(self, buffer: Array, length: Length) -> StoredList:
        return StoredList(self.dtype, self.element_shape, buffer, length, self.grows)

    def grown_with(self, index: Place, value: Any) -> StoredList:
        """With an entry that may be behind the end."""
        self.check_entry(value)
        require(self.grows, "a list that may grow at a place that only the run knows")
        require(isinstance(value, Array) and value.shape == self.buffer.shape[1:], "an entry of another shape")
        behind = plus(self.program, index, 1)
        before = as_array(self.program, self.length)
        length = self.program.elementwise("max", before.dtype, before, as_array(self.program, behind))
        return self.with_buffer(with_row(self.buffer, index, value), length)

    @property
    def row_shape(self) -> TensorShape:
        return TensorShape(self.buffer.shape[1:])

    def entry(self, index: Place, shape: TensorShape) -> Array:
        self.whole_shape(shape)
        require(shape.is_compatible_with(self.row_shape), "an element shape that does not fit")
        if isinstance(index, int) or isinstance(self.length, int):
            self.check_index(index)
            return row(self.buffer, index, self.known_length)
        return row(self.buffer, self._below_length(index))

    def _below_length(self, index: Array) -> Array:
        """The index; -1, which the run refuses, where it is not below the length."""
        program, length = self.program, as_array(self.program, self.length)

        def checked(number: Scalar, count: Scalar) -> Scalar:
            number, count = program.convert(number, dtypes.int64), program.convert(count, dtypes.int64)
            return program.where(program.compare("lt", number, count), number, program.number(-1, dtypes.int64))

        return program.combine(dtypes.int64, checked, index, length)

    def with_entry(self, index: Place, value: Any) -> StoredList:
        self.check_entry(value)
        require(isinstance(value, Array) and value.shape == self.buffer.shape[1:], "an entry of another shape")
        self.check_index(index)
        return self.with_buffer(with_row(self.buffer, index, value), self.length)

    def pushed(self, value: Any) -> ListValue:
        self.check_entry(value)
        fits = isinstance(value, Array) and value.shape == self.buffer.shape[1:]
        if isinstance(self.length, int) and (not fits or self.length >= self.buffer.shape[0]):
            return self.taken_apart().pushed(value)
        require(fits, "an entry of another shape")
        return self.with_buffer(with_row(self.buffer, self.length, value), plus(self.program, self.length, 1))

    def popped(self, shape: TensorShape) -> tuple[ListValue, Any]:
        self.whole_shape(shape)
        require(not isinstance(self.length, int) or self.length > 0, "an empty list")
        last = plus(self.program, self.length, -1)
        item = row(self.buffer, last)
        require(shape.is_compatible_with(item.shape), "an element shape that does not fit")
        return self.with_buffer(self.buffer, last), item

    def resized(self, length: int) -> ListValue:
        return self if length == self.length else self.taken_apart().resized(length)

    def zeros_like(self) -> ListValue:
        if isinstance(self.length, int):
            return super().zeros_like()
        return self.with_buffer(zeros(self.program, TensorShape(self.buffer.shape), self.dtype), self.length)

    def stored(self, shape: TensorShape) -> StoredList:
        self.whole_shape(shape)
        require(shape.is_compatible_with(self.row_shape), "an element shape that does not fit")
        return self

    def stack(self) -> Array:
        """The entries that count."""
        count, buffer = self.known_length, self.buffer
        return (
            buffer
            if count == buffer.shape[0]
            else self.program.slice(buffer, [0] * buffer.rank, (count, *buffer.shape[1:]))
        )

    def taken_apart(self) -> KnownList:
        rows = tuple(LazyRow(self.buffer, index) for index in range(self.known_length))
        return KnownList(self.program, self.dtype, self.element_shape, rows)


class EqualList(ListValue):
    """value: what each entry is."""

    __slots__ = ("value",)

    def __init__(self, program: Arrays, dtype: DType, element_shape: TensorShape, value: Any, length: Length) -> None:
        super().__init__(program, dtype, element_shape, length)
        self.value = value

    def _with(self, length: Length) -> EqualList:
        return EqualList(self.program, self.dtype, self.element_shape, self.value, length)

    def entry(self, index: Place, shape: TensorShape) -> Any:
        require(isinstance(index, int), "an index from the run")
        self.check_index(index)
        return self.value

    def with_entry(self, index: Place, value: Any) -> ListValue:
        return self.taken_apart().with_entry(index, value)

    def pushed(self, value: Any) -> ListValue:
        if value is self.value:
            return self._with(plus(self.program, self.length, 1))
        return self.taken_apart().pushed(value)

    def popped(self, shape: TensorShape) -> tuple[ListValue, Any]:
        require(not isinstance(self.length, int) or self.length > 0, "an empty list")
        return self._with(plus(self.program, self.length, -1)), self.value

    def stored(self, shape: TensorShape) -> StoredList:
        require(isinstance(self.value, Array), "a list of lists")
        buffer = self.program.broadcast(self.value, (self.known_length, *self.value.shape))
        return StoredList(self.dtype, self.element_shape, buffer, self.length)

    def taken_apart(self) -> KnownList:
        return KnownList(self.program, self.dtype, self.element_shape, (self.value,) * self.known_length)


class SingleList(ListValue):
    """`empty`, a KnownList without entries that were set, with `value` at `index`."""

    __slots__ = ("empty", "index", "value")

    def __init__(self, empty: KnownList, index: Array, value: Array) -> None:
        super().__init__(empty.program, empty.dtype, empty.element_shape, empty.length)
        self.empty = empty
        self.index = index
        self.value = value

    def entry(self, index: Place, shape: TensorShape) -> Any:
        return self.value if index is self.index else self.stored(shape).entry(index, shape)

    def with_entry(self, index: Place, value: Any) -> ListValue:
        if index is self.index:
            return self.empty.with_entry(index, value)
        return self.stored(TensorShape(None)).with_entry(index, value)

    def popped(self, shape: TensorShape) -> tuple[ListValue, Any]:
        return self.stored(shape).popped(shape)

    def stored(self, shape: TensorShape) -> StoredList:
        return self.empty.stored(TensorShape(self.value.shape)).with_entry(self.index, self.value)

    def taken_apart(self) -> KnownList:
        return self.stored(TensorShape(None)).taken_apart()

    def put_into(self, other: ListValue) -> ListValue:
        """The other list with the value added to the entry at the index."""
        require(self.length == other.known_length, "lists of different lengths")
        if isinstance(other, KnownList) and not any(other.items):
            return self
        target, value, program = other.stored(TensorShape(self.value.shape)), self.value, self.program
        require(target.buffer.shape[1:] == value.shape and target.buffer.size > 0, "entries of different shapes")
        index, update = program.reshape(self.index, (1,)), program.reshape(value, (1, *value.shape))
        return target.with_buffer(scatter(target.buffer, index, update, "add"), target.length)


class ComposedList(ListValue):
    """Each entry is composed of the entries of other lists, equally long: compose(entries) makes it."""

    __slots__ = ("columns", "compose")

    def __init__(
        self,
        program: Arrays,
        dtype: DType,
        element_shape: TensorShape,
        compose: Callable[[Sequence[Any]], Any],
        columns: Sequence[ListValue],
    ) -> None:
        super().__init__(program, dtype, element_shape, columns[0].length)
        self.compose = compose
        self.columns = list(columns)

    def with_columns(self, columns: Sequence[ListValue]) -> ComposedList:
        return ComposedList(self.program, self.dtype, self.element_shape, self.compose, columns)

    def entry(self, index: Place, shape: TensorShape) -> Any:
        return self.compose([column.entry(index, TensorShape(None)) for column in self.columns])

    def with_entry(self, index: Place, value: Any) -> ListValue:
        return self.taken_apart().with_entry(index, value)

    def popped(self, shape: TensorShape) -> tuple[ListValue, Any]:
        pairs = [column.popped(TensorShape(None)) for column in self.columns]
        return self.with_columns([rest for rest, _ in pairs]), self.compose([item for _, item in pairs])

    def stored(self, shape: TensorShape) -> StoredList:
        return self.taken_apart().stored(shape)

    def taken_apart(self) -> KnownList:
        items = tuple(self.entry(index, TensorShape(None)) for index in range(self.known_length))
        return KnownList(self.program, self.dtype, self.element_shape, items)


def parts_of(value: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """What a list consists of, and what makes one like it of other parts of the same shapes."""
    program, dtype, shape = value.program, value.dtype, value.element_shape
    if isinstance(value, StoredList):
        return [value.buffer, value.length], lambda parts: StoredList(dtype, shape, parts[0], parts[1])
    if isinstance(value, EqualList):
        return [value.value, value.length], lambda parts: EqualList(program, dtype, shape, parts[0], parts[1])
    if isinstance(value, ComposedList):
        compose = value.compose
        return value.columns, lambda parts: ComposedList(program, dtype, shape, compose, parts)
    whole = value.taken_apart()
    return whole.all_items(TensorShape(None)), lambda parts: whole._with(tuple(parts))
