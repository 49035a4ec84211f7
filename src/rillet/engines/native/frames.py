"""The memory of runs: a frame holds the slots, what the driver notes down, the arena and the scratch memory."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np

from rillet.engines.native.driver import Failure
from rillet.engines.native.layout import FRAME, PROGRAM

_HUGE_BYTES = 4 << 20
_HUGE_PAGE = 2 << 20
_ALIGNMENT = 64


class ProgramFailure(RuntimeError):
    """A run stopped at `step`. code: what the kernel stored as its error, for Failure.KERNEL; -1 if there was no memory for
    its scratch."""

    def __init__(self, failure: Failure, step: int, code: int) -> None:
        super().__init__(f"the program failed at step {step}: {failure.name.lower()} {code}")
        self.failure = failure
        self.step = step
        self.code = code


class Frame:
    """The memory of one run, which callbacks are given. `slots` holds the addresses."""

    def __init__(self, block: np.ndarray[Any, Any], slots: np.ndarray[Any, Any], initial: np.ndarray[Any, Any]) -> None:
        self.block = block
        self.slots = slots
        self._initial = initial
        self.address = address_of(block)

    def restart(self) -> None:
        """Before a run that the native entry does not prepare."""
        self.slots[:] = self._initial

    def array(self, slot: int, dtype: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """What lies at a slot now. It is not to be used after the callback, as the memory is not kept for it."""
        dtype = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(int(self.slots[slot]))
        return np.frombuffer(memory, dtype, count).reshape(shape)

    @property
    def failure(self) -> ProgramFailure:
        """Why the run stopped."""
        status = int(self.block[FRAME.place("status")])
        code = int(self.block[FRAME.place("error") :].view(np.int32)[0])
        return ProgramFailure(Failure(status & 255), status >> 8, code)


def aligned_words(count: int) -> np.ndarray[Any, Any]:
    """Zeroed words that begin at a cache line; large blocks ask for huge pages and begin at one."""
    size = 8 * count
    if size >= _HUGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        memory = mmap.mmap(-1, size + _HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_HUGEPAGE)
        words, alignment = np.frombuffer(memory, np.int64), _HUGE_PAGE
    else:
        words, alignment = np.zeros(count + _ALIGNMENT // 8, np.int64), _ALIGNMENT
    start = -words.ctypes.data % alignment // 8
    return words[start : start + count]


def address_of(array: np.ndarray[Any, Any]) -> int:
    return int(array.ctypes.data)


class Frames:
    """Makes frames for a program, and keeps them for it. The native side calls it when all frames are in use."""

    def __init__(
        self, program: np.ndarray[Any, Any], sizes: dict[str, int], arena_bytes: int, scratch_bytes: int
    ) -> None:
        self._program = program
        self._sizes = sizes
        self._arena_bytes = -(-arena_bytes // _ALIGNMENT) * _ALIGNMENT
        self._scratch_bytes = scratch_bytes
        self.initial: dict[int, int] = {}
        self.arena: dict[int, int] = {}
        self.error_slot: int | None = None
        self.frames: list[Frame] = []

    @property
    def bytes_each(self) -> int:
        return 8 * self._arena_start() + self._arena_bytes + self._scratch_bytes

    def _arena_start(self) -> int:
        words = FRAME.words + sum(self._sizes.values())
        return -(-words // (_ALIGNMENT // 8)) * (_ALIGNMENT // 8)

    def __call__(self) -> None:
        """Puts a new frame into the program's list of free ones."""
        block = self.make().block
        block[FRAME.place("next")] = self._program[PROGRAM.place("free_frames")]
        self._program[PROGRAM.place("free_frames")] = address_of(block)

    def make(self) -> Frame:
        start = self._arena_start()
        block = aligned_words(-(-self.bytes_each // 8))
        place, tables = FRAME.words, {}
        for field, size in self._sizes.items():
            tables[field] = block[place : place + size]
            block[FRAME.place(field)] = address_of(block) + 8 * place
            place += size
        block[FRAME.place("scratch")] = address_of(block) + 8 * start + self._arena_bytes
        initial = tables["initial"]
        for slot, address in self.initial.items():
            initial[slot] = address
        for slot, offset in self.arena.items():
            initial[slot] = address_of(block) + 8 * start + offset
        if self.error_slot is not None:
            initial[self.error_slot] = address_of(block) + 8 * FRAME.place("error")
        tables["slots"][:] = initial
        frame = Frame(block, tables["slots"], initial)
        self.frames.append(frame)
        block[FRAME.place("object")] = id(frame)
        return frame
