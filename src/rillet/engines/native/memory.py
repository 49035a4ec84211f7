"""The plan of a program's memory: which slot each array has, and where in the arena what is temporary lies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.compiler.arrays import Array, Constant
from rillet.engines.native.expressions import ERROR
from rillet.engines.native.signature import Constant as FixedArray

_ALIGNMENT = 64


class Memory:
    """Hands out slots, and notes when each is in use.

    Time is counted in waves, in the order of the program's text. What lies in a slot is in use from the first to the last
    time that it is touched; if it was there before a loop began, and is touched inside, until the loop's end.
    """

    def __init__(self) -> None:
        self.count = 0
        self.constants: list[FixedArray] = []
        self.fixed: set[int] = set()  # slots that something else fills than the arena
        self._slots: dict[int, int] = {}
        self._lines: dict[int, list[Array]] = {}
        self._stands_for: dict[int, Array] = {}
        self._buffers: dict[int, Array] = {}
        self._constant_number: dict[int, int] = {}
        self._needs: dict[int, tuple[int, int, int]] = {}
        self._times: dict[int, set[int]] = {}
        self._loops: list[tuple[int, int]] = []
        self._partners: list[tuple[int, int]] = []
        self._one: int | None = None
        self.size = 0
        self.needed = 0

    # ---- slots --------------------------------------------------------------------------------------------------

    def new_slot(self) -> int:
        self.count += 1
        return self.count - 1

    def slot(self, array: Array) -> int:
        array = self._stands_for.get(array.number, array)
        found = self._slots.get(array.number)
        if found is None:
            found = self.new_slot()
            self.put(array, found)
            if array is ERROR:
                self.fixed.add(found)
        if isinstance(array, Constant):
            self.constant(array)
        return found

    def has_slot(self, array: Array) -> bool:
        return array.number in self._slots

    def put(self, array: Array, slot: int) -> None:
        """The array, and all that share its memory, lie in that slot."""
        for other in self._lines.get(array.number, (array,)):
            self._slots[other.number] = slot

    def stand_in(self, array: Array, real: Array) -> None:
        """`array` is `real`, computed elsewhere."""
        self._stands_for[array.number] = real

    def constant(self, array: Constant) -> int:
        """The number of the constant among the program's."""
        number = self._constant_number.get(array.number)
        if number is None:
            number = self._constant_number[array.number] = len(self.constants)
            value = np.require(np.asarray(array.value, array.dtype.numpy_dtype), requirements=["C", "A"])
            slot = self.slot(array)
            self.constants.append(FixedArray(slot, value.reshape(array.shape)))
            self.fixed.add(slot)
        return number

    def one(self) -> int:
        """The slot of the number 1 (int64)."""
        if self._one is None:
            self._one = self.new_slot()
            self.constants.append(FixedArray(self._one, np.ones((), np.int64)))
            self.fixed.add(self._one)
        return self._one

    @property
    def error_slot(self) -> int | None:
        return self._slots.get(ERROR.number)

    # ---- arrays that share memory -------------------------------------------------------------------------------

    def share(self, source: Array, output: Array) -> None:
        """`output` takes over the memory of `source`."""
        line = self._lines.setdefault(source.number, [source])
        line.append(output)
        self._lines[output.number] = line

    def origin(self, array: Array) -> Array:
        """The array whose memory it has taken over."""
        return self._lines.get(array.number, (array,))[0]

    def line(self, array: Array) -> Sequence[Array]:
        return self._lines.get(array.number, (array,))

    def part(self, source: Array) -> Array:
        """Takes the first array out of a line: the others have memory of their own. Returns the next."""
        line = self._lines.pop(source.number)
        line.remove(source)
        return line[0]

    def row(self, array: Array, buffer: Array) -> int:
        """The slot of an array that lies in another one: that one is in use when this one is."""
        slot = self.slot(array)
        self.fixed.add(slot)
        self._buffers[array.number] = buffer
        return slot

    # ---- the arena ----------------------------------------------------------------------------------------------

    def touch(self, array: Array, time: int) -> int:
        """Notes that the array is in use at that time; returns its slot."""
        slot = self.slot(array)
        if array.number in self._buffers:
            self.touch(self._buffers[array.number], time)
        if slot not in self.fixed:
            self.touch_slot(slot, array.size * max(1, np.dtype(array.dtype.numpy_dtype).itemsize), time)
        return slot

    def touch_slot(self, slot: int, size: int, time: int) -> None:
        size = max(_ALIGNMENT, -(-size // _ALIGNMENT) * _ALIGNMENT)
        before, first, last = self._needs.get(slot, (size, time, time))
        self._needs[slot] = (max(before, size), min(first, time), max(last, time))
        self._times.setdefault(slot, set()).add(time)

    def loop(self, begin: int, end: int) -> None:
        """What happens from `begin` to `end` is repeated."""
        self._loops.append((begin, end))

    def exchange(self, slot: int, other: int) -> None:
        """What lies in the two slots is exchanged now and then."""
        self._partners.append((slot, other))

    def _extend(self) -> None:
        self._unite_partners()
        for begin, end in self._loops:
            for slot, (size, first, last) in self._needs.items():
                if first < begin and last < end and any(begin <= time <= end for time in self._times[slot]):
                    self._needs[slot] = (size, first, end)
                    self._times[slot].add(end)
        self._unite_partners()

    def _unite_partners(self) -> None:
        for pair in (*self._partners, *reversed(self._partners)):
            sizes, firsts, lasts = zip(*[self._needs[slot] for slot in pair], strict=True)
            times = set().union(*[self._times[slot] for slot in pair])
            for slot in pair:
                self._needs[slot] = (max(sizes), min(firsts), max(lasts))
                self._times[slot] = times

    def place(self, share: bool = True) -> list[tuple[int, int]]:
        """(slot, offset) for all that is temporary: the largest first, each at the lowest place that is free as long as it
        is in use. share: whether what is not in use at the same time may lie in the same place."""
        self._extend()
        end = max((last for _, _, last in self._needs.values()), default=0)
        places = _Places(len(self._needs))
        changes = np.zeros(end + 2, np.int64)  # how many bytes more are in use from one wave to the next
        result: list[tuple[int, int]] = []
        for slot, (size, first, last) in sorted(self._needs.items(), key=lambda item: -item[1][0]):
            result.append((slot, places.add(size, *((first, last) if share else (0, end)))))
            changes[first] += size
            changes[last + 1] -= size
        self.size = max((offset + self._needs[slot][0] for slot, offset in result), default=0)
        self.needed = int(np.cumsum(changes).max())
        return result

    def overlaps(self, places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Pairs of slots that lie in the same place at the same time: there should be none."""
        result: list[tuple[int, int]] = []
        for (slot, offset), (other, there) in itertools.combinations(places, 2):
            size, first, last = self._needs[slot]
            width, start, stop = self._needs[other]
            if start <= last and first <= stop and there < offset + size and offset < there + width:
                result.append((slot, other))
        return result


class _Places:
    """What lies in a block of memory, in the order of addresses."""

    def __init__(self, most: int) -> None:
        self._count = 0
        self._fields = np.zeros((4, most), np.int64)  # where it begins and ends, and when

    def add(self, size: int, first: int, last: int) -> int:
        """The lowest place that is free from `first` to `last`, which is then taken."""
        count = self._count
        begin, end, start, stop = self._fields[:, :count]
        together = (start <= last) & (stop >= first)
        offset = _lowest_gap(begin[together], end[together], size)
        at = int(np.searchsorted(begin, offset))
        self._fields[:, at + 1 : count + 1] = self._fields[:, at:count]
        self._fields[:, at] = offset, offset + size, first, last
        self._count += 1
        return offset


def _lowest_gap(begin: np.ndarray[Any, Any], end: np.ndarray[Any, Any], size: int) -> int:
    """Where `size` bytes fit between pieces, which are sorted by where they begin, and may overlap."""
    if not len(begin) or begin[0] >= size:
        return 0
    reached = np.maximum.accumulate(end)
    gaps = begin[1:] - reached[:-1] >= size
    return int(reached[gaps.argmax()] if gaps.any() else reached[-1])
