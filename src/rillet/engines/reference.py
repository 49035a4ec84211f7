"""The reference engine: NumPy, one kernel after the other. Slow and obviously right; the oracle of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.compiler.fuse import Plan, unfused
from rillet.core import dispatch, failures, opdef
from rillet.core.dtypes import DType
from rillet.core.execution import ExecutionContext, VariableState, bind_kernel, holds_variable, takes_variable
from rillet.core.function import Function, decomposition
from rillet.core.graph import Operation
from rillet.core.tensor import EagerTensor
from rillet.errors import FailedPreconditionError, OpError


def dereference(value: Any) -> Any:
    """The value of a variable that an op takes by value. FailedPreconditionError before its initialisation."""
    if isinstance(value, VariableState):
        if value.value is None:
            raise FailedPreconditionError(
                None,
                None,
                f"Attempting to use uninitialized value {value.name}\n"
                "    Try: run its initializer first, session.run(tf.global_variables_initializer()).",
            )
        return value.value
    return value


class Step:
    """One kernel, ready to run: where its inputs lie, where its outputs go, what dies after it.

    `operation` is what an error is reported for; `members` are the operations that the kernel consists of.
    """

    __slots__ = ("dead", "dtypes", "inputs", "kernel", "members", "operation", "outputs")

    def __init__(
        self,
        operation: Operation,
        kernel: Callable[..., Any],
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        dtypes: Sequence[DType],
        members: Sequence[Operation],
    ) -> None:
        self.operation = operation
        self.kernel = kernel
        self.inputs = inputs
        self.outputs = outputs
        self.dtypes = dtypes
        self.members = members
        self.dead: tuple[int, ...] = ()


class ReferenceExecutable:
    """A Function as a list of steps over numbered slots."""

    def __init__(self, function: Function, context: ExecutionContext) -> None:
        self.function = function
        self._slots: dict[int, int] = {}
        self._template: list[Any] = []
        self._inputs = [self._slot(tensor) for tensor in function.inputs]
        self._given = {id(tensor) for tensor in function.inputs}
        self._steps: list[Step] = []
        for operation in function.operations:
            self._add(operation, context)
        self._outputs = [self._slot(tensor) for tensor in function.outputs]
        self._reads = [holds_variable(tensor) for tensor in function.outputs]
        self._release_early()

    def _slot(self, tensor: Any) -> int:
        slot = self._slots.get(id(tensor))
        if slot is None:
            slot = self._slots[id(tensor)] = len(self._template)
            self._template.append(None)
        return slot

    def _add(self, operation: Operation, context: ExecutionContext) -> None:
        outputs = tuple(
            -1 if id(tensor) in self._given else self._slot(tensor)
            for tensor in operation.outputs  # -1: it is fed
        )
        if not operation.inputs and operation.definition.fold is not None:
            value = operation.definition.fold(operation)
            if value is not None:
                if outputs[0] >= 0:
                    self._template[outputs[0]] = value
                return
        inputs = tuple(self._slot(tensor) for tensor in operation.inputs)
        dtypes = opdef.argument_dtypes(operation.definition.signature.outputs, operation.attrs)
        dtypes = [
            dtype._as_ref if holds_variable(tensor) else dtype
            for dtype, tensor in zip(dtypes, operation.outputs, strict=True)
        ]
        self._steps.append(Step(operation, kernel_of(operation, context), inputs, outputs, dtypes, [operation]))

    def _release_early(self) -> None:
        """Values are dropped after their last use, so that peak memory is what the program needs."""
        kept = {*self._outputs, *(slot for slot, value in enumerate(self._template) if value is not None)}
        for step in reversed(self._steps):
            touched = dict.fromkeys((*step.inputs, *step.outputs))
            step.dead = tuple(slot for slot in touched if slot not in kept and slot >= 0)
            kept.update(step.dead)

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        values = self._start(arrays)
        with np.errstate(all="ignore"):
            for step in self._steps:
                self._run_step(step, values)
        return self._finish(values)

    def _start(self, arrays: Sequence[Any]) -> list[Any]:
        values = self._template.copy()
        for slot, array in zip(self._inputs, arrays, strict=True):
            values[slot] = array
        return values

    def _run_step(self, step: Step, values: list[Any], keep: bool = False) -> None:
        inputs = [values[slot] for slot in step.inputs]
        try:
            result = step.kernel(*inputs)
        except (OpError, ValueError, TypeError, IndexError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise self._explained(step, inputs, error) from error
        outputs = step.outputs
        if len(outputs) == 1:
            if isinstance(result, (tuple, list)):
                (result,) = result
            if outputs[0] >= 0:
                values[outputs[0]] = dispatch.as_declared(result, step.dtypes[0])
        elif outputs:
            for slot, dtype, array in zip(outputs, step.dtypes, result, strict=True):
                if slot >= 0:
                    values[slot] = dispatch.as_declared(array, dtype)
        if not keep:
            for slot in step.dead:
                values[slot] = None

    def _finish(self, values: list[Any]) -> list[Any]:
        return [
            dereference(values[slot]) if read else values[slot]
            for slot, read in zip(self._outputs, self._reads, strict=True)
        ]

    def _explained(self, step: Step, inputs: Sequence[Any], error: Exception) -> OpError:
        return located(step.operation, inputs, error)


def kernel_of(operation: Operation, context: ExecutionContext) -> Callable[..., Any]:
    definition = operation.definition
    if definition.reference is None:
        body = context.executable(decomposition(operation))

        def kernel(*arrays: Any) -> Any:
            return tuple(body(arrays))

    else:
        kernel = bind_kernel(definition, operation.attrs, context, operation)
    if definition.passes_reference and holds_variable(operation.outputs[0]):
        return kernel
    flags = takes_variable(operation)
    by_value = [
        holds_variable(tensor) and not (flag and tensor.dtype.is_ref_dtype)
        for tensor, flag in zip(operation.inputs, flags, strict=True)
    ]
    if not any(by_value):
        return kernel

    def dereferencing(*arrays: Any) -> Any:
        return kernel(*[dereference(array) if read else array for array, read in zip(arrays, by_value, strict=True)])

    return dereferencing


def located(operation: Operation, inputs: Sequence[Any], error: Exception) -> OpError:
    """The error with the operation's name and the line that made it."""
    if isinstance(error, OpError):
        if error.op is not None:
            return error
        kind, text = type(error), error.message
    else:
        tensors = [
            EagerTensor(dereference(array), tensor.dtype.base_dtype, tensor.op.site if hasattr(tensor, "op") else None)
            for array, tensor in zip(inputs, operation.inputs, strict=True)
        ]
        diagnosis = failures.diagnosed(operation.definition, tensors, operation.attrs, error, operation)
        kind, text = type(diagnosis), diagnosis.message
    made = f", made at {operation.location}" if operation.location else ""
    where = f"\n    [[node {operation.name} ({operation.type}){made}]]" if operation.name else ""
    located = kind(None, operation, text + where)
    located.__dict__.update({k: v for k, v in error.__dict__.items() if not k.startswith("_")})
    return located


class ReferenceEngine:
    name = "reference"

    def compile(self, function: Function, context: ExecutionContext) -> ReferenceExecutable:
        return ReferenceExecutable(function, context)

    def plan(self, function: Function, context: ExecutionContext, arrays: Sequence[Any]) -> Plan:
        return unfused(function)
