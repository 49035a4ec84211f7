"""When two calls of Functions would be compiled to the same program: the same operations, on the same shapes.

The identity of a call is a number (a digest) that stays the same from process to process. What differs between processes
(variables, the operations themselves) is counted in the order in which it is come by, so that a program kept on disk can
name it.
"""

from __future__ import annotations

import functools
import hashlib
import marshal
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet import config
from rillet.compiler.passes import switched_off
from rillet.core.dtypes import DType
from rillet.core.execution import ExecutionContext, VariableState, bind_kernel
from rillet.core.function import Function
from rillet.core.graph import Operation
from rillet.core.shapes import TensorShape
from rillet.engines.native import target as targets
from rillet.engines.native.cache import digest
from rillet.ops.random_seed import NodeStream, node_stream

# A part of every identity, to be raised whenever what is kept of a program changes its form.
_FORMAT = "1"
# Marshal's version 2 gives equal bytes for equal values; later ones also tell which parts are the same object.
_PLAIN = 2

# The steps from call to call, by the numbers of the operations that call, to an operation with a stream of random numbers.
StreamPath = tuple[int, ...]


class Unidentified(Exception):
    """There is something in the Function that only this process knows."""


class Identity:
    """`key`: equal for calls that are compiled to the same program. operations, states: those of this call, by number."""

    def __init__(self, function: Function, given: Sequence[Any], context: ExecutionContext) -> None:
        """given: for each input a VariableState, an array (whose value counts) or a (dtype, shape).

        Raises Unidentified.
        """
        self.operations: list[Operation] = []
        self.states: list[VariableState] = []
        self.context = context
        self._number_of_operation: dict[int, int] = {}
        self._number_of_state: dict[int, int] = {}
        self._number_of_function: dict[int, int] = {}
        parts = [self._given(value) for value in given]
        try:
            described = marshal.dumps((parts, self._function(function)), _PLAIN)
        except ValueError as error:
            raise Unidentified(str(error)) from None
        settings = f"{','.join(sorted(switched_off()))} {config.THREADS.value}"  # products are cut for so many threads
        self.key = digest(_this_compiler(), settings, hashlib.sha256(described).digest())

    # ---- what a program names -----------------------------------------------------------------------------------

    def place_of(self, state: VariableState) -> int | StreamPath:
        """What a program that is kept calls a variable. Raises Unidentified."""
        known = self._number_of_state.get(id(state))
        if known is not None:
            return known
        path = self._path(self.context, state)
        if path is None:
            raise Unidentified(f"variable {state.name}")
        return path

    def _path(self, context: ExecutionContext, state: VariableState) -> StreamPath | None:
        for node, kept in list(context.node_states.items()):
            if isinstance(kept, NodeStream) and kept.state is state:
                number = self._number_of_operation.get(id(node))
                return None if number is None else (number,)
            if isinstance(kept, ExecutionContext) and isinstance(node, tuple):
                number, rest = self._number_of_operation.get(id(node[0])), self._path(kept, state)
                if number is not None and rest is not None:
                    return (number, *rest)
        return None

    def state_at(self, place: int | StreamPath) -> VariableState:
        """The variable that is called that."""
        if isinstance(place, int):
            return self.states[place]
        context = self.context
        for number in place[:-1]:
            context = context.inside(self.operations[number])
        operation = self.operations[place[-1]]
        return node_stream(context, operation, operation.attrs["seed"], operation.attrs["seed2"]).state

    def number_of(self, operation: Operation) -> int:
        """What a record that is kept calls an operation. Raises Unidentified."""
        try:
            return self._number_of_operation[id(operation)]
        except KeyError:
            raise Unidentified(f"operation {operation.name}") from None

    # ---- what counts --------------------------------------------------------------------------------------------

    def _given(self, value: Any) -> Any:
        if isinstance(value, VariableState):
            return self._state(value)
        if isinstance(value, tuple):
            dtype, shape = value
            return dtype.name, shape
        return self._array(value)

    def _function(self, function: Function) -> Any:
        """The number of a function that is known; or all that matters of it, and then it has a number."""
        known = self._number_of_function.get(id(function))
        if known is not None:
            return known
        self._number_of_function[id(function)] = len(self._number_of_function)
        tensors: dict[int, int] = {}
        inputs = [self._result(tensor, tensors) for tensor in function.inputs]
        operations = [self._operation(operation, tensors) for operation in function.operations]
        return inputs, operations, [tensors[id(tensor)] for tensor in function.outputs]

    def _operation(self, operation: Operation, tensors: dict[int, int]) -> Any:
        self._number_of_operation[id(operation)] = len(self.operations)
        self.operations.append(operation)
        reads = [tensors[id(tensor)] for tensor in operation.inputs]
        waits = [self._number_of_operation.get(id(other), -1) for other in operation.control_inputs]
        attrs = [(name, self._value(value)) for name, value in operation.attrs.items()]
        makes = [self._result(tensor, tensors) for tensor in operation.outputs]
        creates = self._created(operation) if operation.type in ("VarHandleOp", "VariableV2") else None
        return operation.type, reads, waits, attrs, makes, creates

    def _created(self, operation: Operation) -> Any:
        return self._state(bind_kernel(operation.definition, operation.attrs, self.context, operation)())

    def _result(self, tensor: Any, tensors: dict[int, int]) -> Any:
        tensors.setdefault(id(tensor), len(tensors))
        return tensor.dtype.name, tensor.shape.dimensions

    def _state(self, state: Any) -> Any:
        if not isinstance(state, VariableState):
            raise Unidentified(f"a {type(state).__name__}")
        number = self._number_of_state.setdefault(id(state), len(self.states))
        if number == len(self.states):
            self.states.append(state)
        value_shape = None if state.value is None else np.shape(state.value)
        return "variable", number, state.dtype.name, state.shape.dimensions, value_shape

    def _value(self, value: Any) -> Any:
        """An attribute, as marshal takes it; numbers and texts are what they are."""
        if value is None or value.__class__ in (bool, int, float, str, bytes):
            return value
        if isinstance(value, DType):
            return "dtype", value.name
        if isinstance(value, TensorShape):
            return "shape", value.dimensions
        if isinstance(value, (list, tuple)):
            return "list", [self._value(part) for part in value]
        if isinstance(value, Function):
            return "function", self._function(value)
        if isinstance(value, (np.ndarray, np.generic)):
            return self._array(value)
        raise Unidentified(f"a {type(value).__name__}")

    def _array(self, value: Any) -> Any:
        array = np.asarray(value)
        if array.dtype != object:
            return array.dtype.name, array.shape, array.tobytes()
        entries = [
            entry if isinstance(entry, (bytes, str)) else self._state(entry) for entry in array.reshape(-1).tolist()
        ]
        return "objects", array.shape, entries


@functools.cache
def _this_compiler() -> bytes:
    """What else programs depend on: this machine, and the files that rillet consists of."""
    host = targets.host()
    folder = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    about = [_FORMAT, sys.version, np.__version__, repr(host), targets.compiler_version()]
    for room in ("core", "ops", "compiler", "compiler/lowering", "engines/native"):
        with os.scandir(os.path.join(folder, room)) as files:
            facts = sorted((file.name, file.stat()) for file in files if file.name.endswith(".py"))
        # Installers may give files an old time; the time at which they came here (ctime) is the system's own.
        about += [f"{room}/{name} {fact.st_size} {fact.st_mtime_ns} {fact.st_ctime_ns}" for name, fact in facts]
    return digest(*about)
