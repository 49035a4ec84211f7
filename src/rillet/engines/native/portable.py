"""What calls a program where objects are not laid out as the native entry expects: the same rules, in Python.

Whether somebody else holds a variable's array is not known here, so every run that updates a variable updates a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.engines.native.entry import Mode, Result, Source
from rillet.engines.native.frames import Frame
from rillet.engines.native.runtime import Lock
from rillet.engines.native.signature import Array, Input, Signature, Variable


def fits(array: object, description: Input | Variable) -> bool:
    """Whether the object is an array exactly as described, its elements in order and aligned."""
    return (
        type(array) is np.ndarray
        and array.dtype == description.dtype
        and array.dtype.isnative
        and array.shape == tuple(description.shape)
        and array.flags.c_contiguous
        and array.flags.aligned
    )


def settle(variable: Variable) -> bool:
    """Makes the variable's value an array as described, if only its place in memory or its class are different. Returns
    whether it fits now, or needs no value."""
    value = variable.state.value
    if variable.mode == Mode.OUT or fits(value, variable):
        return True
    if getattr(value, "dtype", None) != variable.dtype or getattr(value, "shape", None) != tuple(variable.shape):
        return False
    variable.state.value = np.array(value, dtype=variable.dtype, order="C", copy=True, subok=False)
    return True


class PortableEntry:
    """A program's `call`, and the callback that looks up its variables again."""

    def __init__(
        self,
        parts: Signature,
        result: Result,
        make_frame: Callable[[], Frame],
        lock: Lock | None,
        failed: Callable[[Frame], None],
    ) -> None:
        self._parts = parts
        self._result = result
        self._make_frame = make_frame
        self._lock = lock
        self._failed = failed
        self._free: list[Frame] = []
        self._held: dict[int, list[Array]] = {}  # by frame: the arrays of the variables
        self.execute: Callable[[int], int]
        self.kept: object = None

    def __call__(self, *arrays: Any) -> Any:
        if len(arrays) != len(self._parts.inputs) or not all(map(fits, arrays, self._parts.inputs)):
            return None
        frame = self._free.pop() if self._free else self._make_frame()
        try:
            frame.restart()
            for input_, array in zip(self._parts.inputs, arrays, strict=True):
                frame.slots[input_.slot] = array.ctypes.data
            if self._lock is None:
                return self._locked_call(frame, arrays)
            with self._lock:
                return self._locked_call(frame, arrays)
        finally:
            self._free.append(frame)

    def _locked_call(self, frame: Frame, arrays: Sequence[Any]) -> Any:
        held = self._acquire(frame)
        if held is None:
            return None
        self._held[id(frame)] = held
        try:
            made = self._make_outputs(frame)
            if self.execute(frame.address):
                self._failed(frame)
            for variable, array in zip(self._parts.variables, held, strict=True):
                if variable.mode == Mode.OUT:
                    variable.state.value = array
            return self._collect(arrays, held, made)
        finally:
            del self._held[id(frame)]

    def _acquire(self, frame: Frame) -> list[Array] | None:
        found: dict[int, Array] = {}
        for number in self._parts.order:
            variable = self._parts.variables[number]
            array = self._find(variable)
            if array is None:
                return None
            frame.slots[variable.slot] = array.ctypes.data
            found[number] = array
        return [found[number] for number in range(len(found))]

    def _find(self, variable: Any) -> Array | None:
        if variable.mode == Mode.OUT:
            return np.empty(variable.shape, variable.dtype)
        value: Array = variable.state.value
        if not fits(value, variable):
            return None
        if variable.mode == Mode.UPDATE:
            value = variable.state.value = value.copy()
        return value

    def look_again(self, frame: Frame) -> None:
        """After a callback: finds the arrays of the variables that it may have replaced. ValueError if they do not fit."""
        held = self._held[id(frame)]
        for number in self._parts.order:
            variable = self._parts.variables[number]
            if variable.mode == Mode.OUT:
                continue
            array = self._find(variable)
            if array is None:
                raise ValueError("a callback gave a variable a value of another type")
            held[number] = array
            frame.slots[variable.slot] = array.ctypes.data

    def _make_outputs(self, frame: Frame) -> list[Array | None]:
        made: list[Array | None] = []
        for output in self._parts.outputs:
            array = np.empty(output.shape, output.dtype) if isinstance(output.source, int) else None
            if array is not None:
                frame.slots[output.source] = array.ctypes.data
            made.append(array)
        return made

    def _collect(self, arrays: Sequence[Any], held: Sequence[Array], made: Sequence[Array | None]) -> Any:
        tables: dict[Source, Sequence[Array]] = {
            Source.INPUT: arrays,
            Source.VARIABLE: held,
            Source.CONSTANT: [constant.array for constant in self._parts.constants],
        }
        results = [
            tables[output.source[0]][output.source[1]] if isinstance(output.source, tuple) else fresh
            for output, fresh in zip(self._parts.outputs, made, strict=True)
        ]
        if self._result == Result.SINGLE:
            return results[0]
        return tuple(results) if self._result == Result.TUPLE else results
