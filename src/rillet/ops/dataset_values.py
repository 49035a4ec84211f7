"""Datasets as values: what a tensor of dtype variant that stands for a dataset holds.

A dataset can be gone through any number of times. An element is a tuple of arrays (of numbers where the rank is 0, of
bytes for strings, of datasets where a dataset has datasets as elements). Nothing is computed before it is asked for.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rillet import errors
from rillet.core.execution import ExecutionContext
from rillet.core.function import Function
from rillet.ops.philox import PhiloxGenerator, blocks_at

INFINITE, UNKNOWN_SIZE = -1, -2

Element = tuple[Any, ...]


class DatasetValue:
    """A sequence of elements."""

    def elements(self) -> Iterator[Element]:
        """The elements, from the first on."""
        raise NotImplementedError

    def cardinality(self) -> int:
        """How many elements there are; INFINITE or UNKNOWN_SIZE."""
        return UNKNOWN_SIZE


class Applied:
    """A function on elements: a body, and what it has captured."""

    def __init__(self, context: ExecutionContext, function: Function, captured: Sequence[Any]) -> None:
        self._run = context.executable(function)
        self._captured = [_as_array(value) for value in captured]

    def __call__(self, element: Sequence[Any]) -> Element:
        return tuple(self._run([*[_as_array(part) for part in element], *self._captured]))


def _as_array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, np.generic) else value


def times(count: int, size: int) -> int:
    """The cardinality of `size` elements, repeated `count` times (-1: for ever)."""
    if size == 0 or count == 0:
        return 0
    if count < 0 or size == INFINITE:
        return INFINITE
    return size if size < 0 else count * size


# ---- where elements come from ---------------------------------------------------------------------------------------


class Single(DatasetValue):
    """One element."""

    def __init__(self, components: Sequence[Any]) -> None:
        self.components = tuple(components)

    def elements(self) -> Iterator[Element]:
        yield self.components

    def cardinality(self) -> int:
        return 1


class Slices(DatasetValue):
    """The rows of arrays that have equally many. ValueError if they don't."""

    def __init__(self, components: Sequence[Any]) -> None:
        self.components = [np.asarray(component) for component in components]
        if any(component.ndim == 0 for component in self.components):
            raise ValueError("All components must be at least 1-dimensional")
        self.size = len(self.components[0])
        for place, component in enumerate(self.components):
            if len(component) != self.size:
                raise ValueError(
                    "All components must have the same size in the 0th dimension. "
                    f"Component 0 has {self.size} and component {place} has {len(component)}"
                )

    def elements(self) -> Iterator[Element]:
        return zip(*self.components, strict=True)

    def between(self, start: int, end: int) -> Element:
        """The rows from `start` up to `end`."""
        return tuple(component[start:end] for component in self.components)

    def cardinality(self) -> int:
        return self.size


class Range(DatasetValue):
    def __init__(self, start: int, stop: int, step: int, kind: Any) -> None:
        if step == 0:
            raise ValueError("step must be a non-zero integer.")
        self.range, self.kind = range(start, stop, step), kind

    def elements(self) -> Iterator[Element]:
        kind = self.kind
        return ((kind(number),) for number in self.range)

    def cardinality(self) -> int:
        return len(self.range)


class Generated(DatasetValue):
    """What a function gives until it raises OutOfRangeError: each run has a state of its own."""

    def __init__(self, begin: Applied, following: Applied, finish: Applied) -> None:
        self.begin, self.following, self.finish = begin, following, finish

    def elements(self) -> Iterator[Element]:
        state = self.begin(())
        try:
            while True:
                try:
                    element = self.following(state)
                except errors.OutOfRangeError:
                    return
                yield element
        finally:
            self.finish(state)


class RandomNumbers(DatasetValue):
    """Random integers (int64, of 32 bits each)."""

    def __init__(self, seeds: tuple[int, int]) -> None:
        self.seeds = seeds

    def elements(self) -> Iterator[Element]:
        return ((np.int64(word),) for word in random_words(*self.seeds))

    def cardinality(self) -> int:
        return INFINITE


def random_words(seed: int, seed2: int) -> Iterator[int]:
    """The words of TensorFlow's random stream with these seeds; of any stream if both are 0."""
    position = PhiloxGenerator(seed, seed2).reserve(0)
    for first in itertools.count(0, 256):
        offsets = np.arange(first, first + 256, dtype=np.uint64)
        yield from blocks_at(position, offsets).T.reshape(-1).tolist()


# ---- fewer, more, others --------------------------------------------------------------------------------------------


class Zipped(DatasetValue):
    def __init__(self, inputs: Sequence[DatasetValue]) -> None:
        self.inputs = inputs

    def elements(self) -> Iterator[Element]:
        runs = zip(*[each.elements() for each in self.inputs], strict=False)
        return (tuple(itertools.chain.from_iterable(parts)) for parts in runs)

    def cardinality(self) -> int:
        sizes = [size for size in (each.cardinality() for each in self.inputs) if size != INFINITE]
        if UNKNOWN_SIZE in sizes:
            return UNKNOWN_SIZE
        return min(sizes, default=INFINITE)


class Concatenated(DatasetValue):
    def __init__(self, first: DatasetValue, second: DatasetValue) -> None:
        self.first, self.second = first, second

    def elements(self) -> Iterator[Element]:
        yield from self.first.elements()
        yield from self.second.elements()

    def cardinality(self) -> int:
        sizes = self.first.cardinality(), self.second.cardinality()
        if INFINITE in sizes:
            return INFINITE
        return UNKNOWN_SIZE if UNKNOWN_SIZE in sizes else sum(sizes)


class Repeated(DatasetValue):
    """count: -1 for ever."""

    def __init__(self, source: DatasetValue, count: int) -> None:
        self.source, self.count = source, count

    def elements(self) -> Iterator[Element]:
        for _ in range(self.count) if self.count >= 0 else itertools.count():
            is_empty = True
            for element in self.source.elements():
                is_empty = False
                yield element
            if is_empty:
                return

    def cardinality(self) -> int:
        return times(self.count, self.source.cardinality())


class Taken(DatasetValue):
    """count: -1 for all."""

    def __init__(self, source: DatasetValue, count: int) -> None:
        self.source, self.count = source, count

    def elements(self) -> Iterator[Element]:
        return itertools.islice(self.source.elements(), self.count if self.count >= 0 else None)

    def cardinality(self) -> int:
        size = self.source.cardinality()
        if self.count < 0 or size == UNKNOWN_SIZE:
            return size if self.count else 0
        return self.count if size == INFINITE else min(size, self.count)


class Skipped(DatasetValue):
    """count: -1 for all."""

    def __init__(self, source: DatasetValue, count: int) -> None:
        self.source, self.count = source, count

    def elements(self) -> Iterator[Element]:
        return iter(()) if self.count < 0 else itertools.islice(self.source.elements(), self.count, None)

    def cardinality(self) -> int:
        size = self.source.cardinality()
        return size if size < 0 and self.count >= 0 else max(0, size - self.count) if self.count >= 0 else 0


class Sharded(DatasetValue):
    def __init__(self, source: DatasetValue, count: int, index: int) -> None:
        if count < 1:
            raise ValueError(f"Number of shards must be greater than zero (currently num_shards = {count}).")
        if not 0 <= index < count:
            raise ValueError(f"Index must be between 0 and {count - 1} (currently index = {index}).")
        self.source, self.count, self.index = source, count, index

    def elements(self) -> Iterator[Element]:
        return itertools.islice(self.source.elements(), self.index, None, self.count)

    def cardinality(self) -> int:
        size = self.source.cardinality()
        return size if size < 0 else len(range(self.index, size, self.count))


class Checked(DatasetValue):
    """Raises FailedPreconditionError if there are not as many elements as is claimed."""

    def __init__(self, source: DatasetValue, claimed: int) -> None:
        self.source, self.claimed = source, claimed

    def elements(self) -> Iterator[Element]:
        count = 0
        for count, element in enumerate(self.source.elements(), 1):
            if count > self.claimed >= 0:
                self._fail("at least", count)
            yield element
        if count < self.claimed or self.claimed == INFINITE:
            self._fail("", count)

    def _fail(self, about: str, count: int) -> None:
        claimed = "an infinite number of" if self.claimed == INFINITE else str(self.claimed)
        raise errors.FailedPreconditionError(
            None,
            None,
            f"Input dataset was expected to contain {claimed} elements but contained {about} {count} elements.",
        )

    def cardinality(self) -> int:
        return self.claimed


class Distinct(DatasetValue):
    def __init__(self, source: DatasetValue) -> None:
        self.source = source

    def elements(self) -> Iterator[Element]:
        seen: set[Any] = set()
        for element in self.source.elements():
            key = tuple([part if isinstance(part, bytes) else (np.shape(part), part.tobytes()) for part in element])
            if key not in seen:
                seen.add(key)
                yield element


class WithoutErrors(DatasetValue):
    """Leaves out elements that fail."""

    def __init__(self, source: DatasetValue, tells: bool) -> None:
        self.source, self.tells = source, tells

    def elements(self) -> Iterator[Element]:
        run = resumable(self.source)
        while True:
            try:
                yield next(run)
            except StopIteration:
                return
            except errors.OpError as error:
                if self.tells:
                    print(f"rillet: an element is left out: {error.message}", file=sys.stderr)


def resumable(source: DatasetValue) -> Iterator[Element]:
    """The elements; an element that fails is passed over by who asks for the next one."""
    again = getattr(source, "resumable", None)
    return source.elements() if again is None else again()


# ---- functions of elements ------------------------------------------------------------------------------------------


class Mapped(DatasetValue):
    def __init__(self, source: DatasetValue, function: Applied) -> None:
        self.source, self.function = source, function

    def elements(self) -> Iterator[Element]:
        return map(self.function, self.source.elements())

    resumable = elements  # a map goes on after an error

    def cardinality(self) -> int:
        return self.source.cardinality()


class Filtered(DatasetValue):
    def __init__(self, source: DatasetValue, predicate: Applied) -> None:
        self.source, self.predicate = source, predicate

    def elements(self) -> Iterator[Element]:
        return (element for element in self.source.elements() if self.predicate(element)[0])

    def cardinality(self) -> int:
        return 0 if self.source.cardinality() == 0 else UNKNOWN_SIZE


class TakenWhile(Filtered):
    def elements(self) -> Iterator[Element]:
        return itertools.takewhile(lambda element: self.predicate(element)[0], self.source.elements())


class Scanned(DatasetValue):
    """function: (state, element) -> (next state, result)"""

    def __init__(self, source: DatasetValue, function: Applied, start: Element) -> None:
        self.source, self.function, self.start = source, function, start

    def elements(self) -> Iterator[Element]:
        state, count = self.start, len(self.start)
        for element in self.source.elements():
            results = self.function((*state, *element))
            state = results[:count]
            yield results[count:]

    def cardinality(self) -> int:
        return self.source.cardinality()


class FlatMapped(DatasetValue):
    def __init__(self, source: DatasetValue, function: Applied) -> None:
        self.source, self.function = source, function

    def elements(self) -> Iterator[Element]:
        for element in self.source.elements():
            yield from self.function(element)[0].elements()

    def cardinality(self) -> int:
        return 0 if self.source.cardinality() == 0 else UNKNOWN_SIZE


class Interleaved(FlatMapped):
    """Takes `block` elements in turn of each of `cycle` datasets; one that ends makes room for the next."""

    def __init__(self, source: DatasetValue, function: Applied, cycle: int, block: int) -> None:
        if cycle < 1 or block < 1:
            raise ValueError(f"cycle_length and block_length must be greater than zero, got {cycle} and {block}")
        super().__init__(source, function)
        self.cycle, self.block = cycle, block

    def elements(self) -> Iterator[Element]:
        source = self.source.elements()
        slots: list[Iterator[Element] | None] = [None] * self.cycle
        place, taken, ended = 0, 0, False
        while True:
            run = slots[place]
            if run is None and not ended:
                element = next(source, None)
                if element is None:
                    ended = True
                else:
                    slots[place] = self.function(element)[0].elements()
                continue
            if run is not None:
                found = next(run, None)
                if found is not None:
                    yield found
                    taken += 1
                    if taken < self.block:
                        continue
                else:
                    slots[place] = None
            elif not any(slots):
                return
            place, taken = (place + 1) % self.cycle, 0


class Directed(DatasetValue):
    """Takes each element from the dataset that a number says."""

    def __init__(self, selector: DatasetValue, inputs: Sequence[DatasetValue], stops: bool) -> None:
        self.selector, self.inputs, self.stops = selector, inputs, stops

    def elements(self) -> Iterator[Element]:
        runs: list[Iterator[Element] | None] = [each.elements() for each in self.inputs]
        for (number,) in self.selector.elements():
            if not 0 <= number < len(runs):
                raise ValueError(f"Selector index out of range: {number} >= {len(runs)}")
            run = runs[int(number)]
            element = None if run is None else next(run, None)
            if element is not None:
                yield element
            elif self.stops:
                return
            else:
                runs[int(number)] = None
                if not any(runs):
                    return


# ---- several elements in one ----------------------------------------------------------------------------------------


def stacked(column: Sequence[Any], component: int) -> Any:
    """Values of one shape along a new axis 0."""
    first = column[0]
    if isinstance(first, (bytes, str)):
        result = np.empty(len(column), object)
        result[:] = column
        return result
    if not np.ndim(first):
        return np.array(column, np.asarray(first).dtype)
    for place, value in enumerate(column):
        if value.shape != first.shape:
            raise ValueError(
                f"Cannot batch tensors with different shapes in component {component}. "
                f"First element had shape {list(first.shape)} and element {place} had shape {list(value.shape)}."
            )
    return np.stack(column)


def batch_of(elements: Sequence[Element]) -> Element:
    return tuple(stacked(column, number) for number, column in enumerate(zip(*elements, strict=True)))


class Batched(DatasetValue):
    def __init__(self, source: DatasetValue, size: int, drops_rest: bool) -> None:
        if size < 1:
            raise ValueError(f"Batch size must be greater than zero, but got {size}.")
        self.source, self.size, self.drops_rest = source, size, drops_rest

    def elements(self) -> Iterator[Element]:
        if isinstance(self.source, Slices):
            count = self.source.size
            return (
                self.source.between(start, min(start + self.size, count))
                for start in range(0, count - self.size + 1 if self.drops_rest else count, self.size)
            )
        return map(self.together, self._groups())

    def _groups(self) -> Iterator[list[Element]]:
        run = self.source.elements()
        while group := list(itertools.islice(run, self.size)):
            if len(group) == self.size or not self.drops_rest:
                yield group

    def together(self, group: list[Element]) -> Element:
        return batch_of(group)

    def cardinality(self) -> int:
        size = self.source.cardinality()
        return size if size < 0 else size // self.size if self.drops_rest else -(-size // self.size)


class PaddedBatched(Batched):
    """shapes: of each component, -1 where the longest in the batch decides; fillers: what is put behind."""

    def __init__(
        self, source: DatasetValue, size: int, drops_rest: bool, shapes: Sequence[Any], fillers: Sequence[Any]
    ) -> None:
        super().__init__(source, size, drops_rest)
        self.shapes = [tuple(int(extent) for extent in shape) for shape in shapes]
        self.fillers = fillers

    def elements(self) -> Iterator[Element]:
        return map(self.together, self._groups())

    def together(self, group: list[Element]) -> Element:
        columns = zip(*group, strict=True)
        return tuple(
            self._padded(column, shape, filler)
            for column, shape, filler in zip(columns, self.shapes, self.fillers, strict=True)
        )

    def _padded(self, column: Sequence[Any], shape: tuple[int, ...], filler: Any) -> Any:
        arrays = [np.asarray(value) for value in column]
        dtype = object if arrays[0].dtype.kind in "OSU" else arrays[0].dtype
        if any(array.ndim != len(shape) for array in arrays):
            raise ValueError(
                f"All elements in a batch must have the same rank as the padded shape for component: "
                f"expected rank {len(shape)} got element with rank {next(a.ndim for a in arrays if a.ndim != len(shape))}"
            )
        extents = [
            max(array.shape[axis] for array in arrays) if extent < 0 else extent for axis, extent in enumerate(shape)
        ]
        for array in arrays:
            if any(have > room for have, room in zip(array.shape, extents, strict=True)):
                raise errors.DataLossError(
                    None,
                    None,
                    f"Attempted to pad to a smaller size than the input element: {list(array.shape)} into {extents}",
                )
        result = np.empty((len(arrays), *extents), dtype)
        result[...] = np.asarray(filler, dtype)
        for row, array in zip(result, arrays, strict=True):
            row[tuple(slice(0, extent) for extent in array.shape)] = array
        if not extents and dtype is object:
            result[:] = [array.item() for array in arrays]
        return result


class Windows(DatasetValue):
    """Elements are datasets of some of the elements, one for each component."""

    def __init__(self, source: DatasetValue, size: int, shift: int, stride: int, drops_rest: bool) -> None:
        for name, value in (("size", size), ("shift", shift), ("stride", stride)):
            if value < 1:
                raise ValueError(f"Window {name} must be greater than zero, but got {value}.")
        self.source, self.size, self.shift, self.stride, self.drops_rest = source, size, shift, stride, drops_rest

    def elements(self) -> Iterator[Element]:
        run = self.source.elements()
        reach = (self.size - 1) * self.stride + 1
        held: list[Element] = list(itertools.islice(run, reach))
        while held:
            window = held[:: self.stride][: self.size]
            if len(window) == self.size or not self.drops_rest:
                yield tuple(Listed([(part,) for part in column]) for column in zip(*window, strict=True))
            held = held[self.shift :]
            passed_over = max(0, self.shift - reach)
            held += itertools.islice(itertools.islice(run, passed_over, None), reach - len(held))

    def cardinality(self) -> int:
        size = self.source.cardinality()
        if size < 0:
            return size
        if not self.drops_rest:
            return -(-size // self.shift)
        return max(0, (size - (self.size - 1) * self.stride - 1) // self.shift + 1)


class Listed(DatasetValue):
    """Elements that are there already."""

    def __init__(self, listed: list[Element]) -> None:
        self.listed = listed

    def elements(self) -> Iterator[Element]:
        return iter(self.listed)

    def cardinality(self) -> int:
        return len(self.listed)


class Unbatched(DatasetValue):
    def __init__(self, source: DatasetValue) -> None:
        self.source = source

    def elements(self) -> Iterator[Element]:
        for element in self.source.elements():
            yield from Slices(element).elements()


class Grouped(DatasetValue):
    """Elements are put into groups by a key; a group that is full becomes a dataset, of which a function makes another."""

    def __init__(self, source: DatasetValue, key: Applied, reduce: Applied, size: Applied) -> None:
        self.source, self.key, self.reduce, self.size = source, key, reduce, size

    def elements(self) -> Iterator[Element]:
        groups: dict[int, list[Element]] = {}
        sizes: dict[int, int] = {}
        for element in self.source.elements():
            key = int(self.key(element)[0])
            group = groups.setdefault(key, [])
            group.append(element)
            if key not in sizes:
                sizes[key] = int(self.size((np.int64(key),))[0])
                if sizes[key] < 1:
                    raise ValueError(f"Window size must be greater than zero, but got {sizes[key]}.")
            if len(group) == sizes[key]:
                yield from self._reduced(key, groups.pop(key))
                del sizes[key]
        for key, group in groups.items():
            yield from self._reduced(key, group)

    def _reduced(self, key: int, group: list[Element]) -> Iterator[Element]:
        made: DatasetValue = self.reduce((np.int64(key), Listed(group)))[0]
        return made.elements()


# ---- order and time -------------------------------------------------------------------------------------------------


class Shuffled(DatasetValue):
    """Holds `size` elements and gives one of them at random, as TensorFlow does it for the same seeds.

    renews: whether each run has an order of its own.
    """

    def __init__(self, source: DatasetValue, size: int, seeds: tuple[int, int], renews: bool, count: int = 1) -> None:
        if size < 1:
            raise ValueError(f"buffer_size must be greater than zero, but got {size}.")
        self.source, self.size, self.renews, self.count = source, size, renews, count
        self.words = random_words(*seeds) if renews else iter(())
        self.seeds = seeds
        if not renews and seeds == (0, 0):
            fresh = random_words(0, 0)
            self.seeds = next(fresh), next(fresh)

    def elements(self) -> Iterator[Element]:
        words = random_words(next(self.words), next(self.words)) if self.renews else random_words(*self.seeds)
        source = Repeated(self.source, self.count).elements() if self.count != 1 else self.source.elements()
        held = list(itertools.islice(source, self.size))
        size, first = len(held), 0
        # The buffer is a ring: what is first in it takes the place of the one that is given, the next one comes last.
        for following in source:
            place = (first + next(words) % size) % size
            chosen, held[place] = held[place], held[first]
            held[first] = following
            first = (first + 1) % size
            yield chosen
        held = held[first:] + held[:first]
        for start in range(size):
            place = start + next(words) % (size - start)
            chosen, held[place] = held[place], held[start]
            yield chosen

    def cardinality(self) -> int:
        return times(self.count, self.source.cardinality())


class Cached(DatasetValue):
    """Keeps the elements of the first run that came to the end: in memory, or (filename) in a file."""

    def __init__(self, source: DatasetValue, filename: str = "") -> None:
        self.source, self.filename = source, filename and f"{filename}.npz"
        self.kept: list[Element] | None = None

    def elements(self) -> Iterator[Element]:
        if self.kept is None and self.filename:
            self.kept = _read_elements(self.filename)
        if self.kept is not None:
            yield from self.kept
            return
        kept: list[Element] = []
        for element in self.source.elements():
            kept.append(element)
            yield element
        self.kept = kept
        if self.filename:
            _write_elements(self.filename, kept)

    def cardinality(self) -> int:
        return self.source.cardinality()


def _write_elements(filename: str, kept: Sequence[Element]) -> None:
    arrays = {f"{row}_{column}": part for row, element in enumerate(kept) for column, part in enumerate(element)}
    strings = {name: np.array(part, "S") for name, part in arrays.items() if np.asarray(part).dtype.kind in "OSU"}
    with open(filename + ".tmp", "wb") as file:
        np.savez(file, allow_pickle=False, **{**arrays, **strings})
    os.replace(filename + ".tmp", filename)


def _read_elements(filename: str) -> list[Element] | None:
    try:
        with np.load(filename, allow_pickle=False) as file:
            rows: dict[int, dict[int, Any]] = {}
            for name in file.files:
                row, column = map(int, name.split("_"))
                value = file[name]
                rows.setdefault(row, {})[column] = value.astype(object) if value.dtype.kind == "S" else value
    except FileNotFoundError:
        return None
    return [tuple(columns[place][()] for place in sorted(columns)) for _, columns in sorted(rows.items())]


def reduced(source: DatasetValue, function: Applied, start: Element) -> Element:
    """The state after all elements; function: (state, element) -> next state"""
    state = start
    for element in source.elements():
        state = function((*state, *element))
    return state
