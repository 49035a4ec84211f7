"""The blockwise engine: the reference kernels, run with less memory traffic and on more than one core.

A fused kernel goes over large arrays in blocks that stay in the cache, so that intermediate values never reach memory.
Steps that took long in the first run, and that don't depend on each other, run at the same time in later ones.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rillet.compiler.fuse import Kernel, Plan, fuse, plan
from rillet.config import THREADS
from rillet.core import dispatch, opdef
from rillet.core.execution import ExecutionContext
from rillet.core.function import Function
from rillet.core.graph import Operation
from rillet.engines.reference import ReferenceExecutable, Step, dereference, kernel_of, located
from rillet.errors import OpError

# Blocks of this many elements: a handful of float32 buffers fit a core's level-2 cache.
BLOCK = 1 << 15
# A step this slow (seconds) is worth a thread.
SLOW = 1e-3

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_POOL: list[ThreadPoolExecutor] = []


def _pool() -> ThreadPoolExecutor:
    if not _POOL:
        from concurrent.futures import ThreadPoolExecutor  # loaded by the first program that needs threads

        _POOL.append(ThreadPoolExecutor(max_workers=max(4, THREADS.value), thread_name_prefix="rillet"))
    return _POOL[0]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOL.clear)  # threads don't survive a fork


class FusedKernel:
    """Several elementwise operations as one function of arrays."""

    def __init__(self, operations: Sequence[Operation], wanted: Sequence[Any], context: ExecutionContext) -> None:
        slots: dict[int, int] = {}
        inside = {id(tensor) for operation in operations for tensor in operation.outputs}
        self.inputs = list(
            {id(t): t for operation in operations for t in operation.inputs if id(t) not in inside}.values()
        )
        for tensor in self.inputs:
            slots[id(tensor)] = len(slots)
        self.steps = []
        for operation in operations:
            output = operation.outputs[0]
            slots[id(output)] = len(slots)
            dtype = opdef.argument_dtypes(operation.definition.signature.outputs, operation.attrs)[0]
            sources = [slots[id(tensor)] for tensor in operation.inputs]
            self.steps.append((kernel_of(operation, context), sources, slots[id(output)], dtype))
        self.size = len(slots)
        self.wanted = [slots[id(tensor)] for tensor in wanted]
        self.dtypes = [tensor.dtype.numpy_dtype for tensor in wanted]
        self.numeric = all(
            tensor.dtype.is_numpy_compatible and tensor.dtype.numpy_dtype.kind != "O" for tensor in wanted
        )

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        arrays = tuple(map(dereference, arrays))
        shape = self._common_shape(arrays)
        if shape is None:
            return self._run(arrays)
        return self._run_in_blocks(arrays, shape)

    def _run(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        values = [*arrays, *[None] * (self.size - len(arrays))]
        for kernel, sources, target, dtype in self.steps:
            values[target] = dispatch.as_declared(kernel(*[values[source] for source in sources]), dtype)
        return tuple(values[slot] for slot in self.wanted)

    def failing(self, arrays: Sequence[Any]) -> tuple[int, list[Any]]:
        """Which member fails on these inputs, and what it was given."""
        values = [*arrays, *[None] * (self.size - len(arrays))]
        for index, (kernel, sources, target, dtype) in enumerate(self.steps):
            inputs = [values[source] for source in sources]
            try:
                values[target] = dispatch.as_declared(kernel(*inputs), dtype)
            except Exception:
                return index, inputs
        raise AssertionError("a fused kernel failed, but none of its operations does")

    def _common_shape(self, arrays: Sequence[Any]) -> tuple[int, ...] | None:
        """The shape that every operation of the kernel has, if it is large enough for blocks; else None."""
        if not self.numeric or all(getattr(array, "size", 1) < 2 * BLOCK for array in arrays):
            return None
        shapes: list[Any] = [np.shape(array) for array in arrays] + [None] * (self.size - len(arrays))
        try:
            for _, sources, target, _ in self.steps:
                shapes[target] = np.broadcast_shapes(*[shapes[source] for source in sources])
        except ValueError:
            return None  # the kernel itself will say what is wrong
        full = max((shapes[target] for _, _, target, _ in self.steps), key=lambda shape: int(np.prod(shape)))
        if any(shapes[slot] != full for slot in self.wanted) or full[0] < 2:
            return None
        return tuple(full)

    def _run_in_blocks(self, arrays: Sequence[Any], shape: tuple[int, ...]) -> tuple[Any, ...]:
        rows = max(1, BLOCK * shape[0] // int(np.prod(shape)))
        results = [np.empty(shape, dtype) for dtype in self.dtypes]
        sliced = [np.ndim(array) == len(shape) and np.shape(array)[0] == shape[0] for array in arrays]

        def run(start: int) -> None:
            part = slice(start, start + rows)
            with np.errstate(all="ignore"):
                block = self._run([array[part] if cut else array for array, cut in zip(arrays, sliced, strict=True)])
            for result, value in zip(results, block, strict=True):
                result[part] = value

        starts = range(0, shape[0], rows)
        if len(starts) < 8:
            for start in starts:
                run(start)
        else:
            shares = np.array_split(np.array(starts), THREADS.value)
            list(_pool().map(lambda share: [*map(run, share)], shares))
        return tuple(results)


class BlockwiseExecutable(ReferenceExecutable):
    """A Function as steps over numbered slots, some of them fused; slow independent steps run on threads."""

    def __init__(self, function: Function, context: ExecutionContext) -> None:
        self._fusible = {
            id(kernel.operations[0]): kernel
            for kernel in fuse(function)
            if kernel.is_fused and not self._feeds_inside(kernel, function)
        }
        self._later_uses = self._uses(function)
        self._members: set[int] = set()
        super().__init__(function, context)
        self._seconds: list[float] | None = None
        self._parallel = False
        self._before = self._dependencies()

    @staticmethod
    def _feeds_inside(kernel: Kernel, function: Function) -> bool:
        given = {id(tensor) for tensor in function.inputs}
        return any(id(tensor) in given for operation in kernel.operations for tensor in operation.outputs)

    @staticmethod
    def _uses(function: Function) -> dict[int, list[Operation | None]]:
        uses: dict[int, list[Operation | None]] = {id(tensor): [None] for tensor in function.outputs}
        for operation in function.operations:
            for tensor in operation.inputs:
                uses.setdefault(id(tensor), []).append(operation)
        return uses

    def _add(self, operation: Operation, context: ExecutionContext) -> None:
        kernel = self._fusible.get(id(operation))
        if kernel is not None:
            self._add_fused(kernel, context)
        elif id(operation) not in self._members:
            super()._add(operation, context)

    def _add_fused(self, kernel: Kernel, context: ExecutionContext) -> None:
        inside = {id(operation) for operation in kernel.operations}
        self._members |= inside
        wanted = [
            tensor
            for operation in kernel.operations
            for tensor in operation.outputs
            if any(user is None or id(user) not in inside for user in self._later_uses.get(id(tensor), ()))
        ]
        if not wanted:
            return
        fused = FusedKernel(kernel.operations, wanted, context)
        inputs = tuple(self._slot(tensor) for tensor in fused.inputs)
        outputs = tuple(self._slot(tensor) for tensor in wanted)
        dtypes = [tensor.dtype for tensor in wanted]
        self._steps.append(Step(kernel.operations[-1], fused, inputs, outputs, dtypes, kernel.operations))

    def _explained(self, step: Step, inputs: Sequence[Any], error: Exception) -> OpError:
        """The error of the member that failed: a fused kernel is run again, operation by operation."""
        if len(step.members) > 1:
            assert isinstance(step.kernel, FusedKernel)
            member, inputs = step.kernel.failing(inputs)
            return located(step.members[member], inputs, error)
        return located(step.operation, inputs, error)

    # ---- threads -----------------------------------------------------------------------------------------------

    def _dependencies(self) -> list[set[int]]:
        """The steps that each step waits for. Stateful steps keep their order."""
        made: dict[int, int] = {}
        where = {id(operation): index for index, step in enumerate(self._steps) for operation in step.members}
        before: list[set[int]] = []
        last_stateful: int | None = None
        for index, step in enumerate(self._steps):
            waits = {made[slot] for slot in step.inputs if slot in made}
            for operation in step.members:
                waits.update(where[id(other)] for other in operation.control_inputs if id(other) in where)
                if operation.definition.is_stateful:
                    if last_stateful is not None:
                        waits.add(last_stateful)
                    last_stateful = index
            waits.discard(index)
            before.append(waits)
            made.update({slot: index for slot in step.outputs if slot >= 0})
        return before

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        if self._parallel:
            return self._run_on_threads(arrays)
        if self._seconds is None:
            return self._run_measured(arrays)
        return super().__call__(arrays)

    def _run_measured(self, arrays: Sequence[Any]) -> list[Any]:
        seconds: list[float] = []
        values = self._start(arrays)
        with np.errstate(all="ignore"):
            for step in self._steps:
                began = time.perf_counter()
                self._run_step(step, values)
                seconds.append(time.perf_counter() - began)
        self._seconds = seconds
        self._parallel = self._worth_threads(seconds)
        return self._finish(values)

    def _worth_threads(self, seconds: list[float]) -> bool:
        """Whether two slow steps could run at the same time."""
        slow = [index for index, taken in enumerate(seconds) if taken > SLOW]
        if len(slow) < 2:
            return False
        behind: dict[int, set[int]] = {}
        for index, waits in enumerate(self._before):  # which slow steps are behind each step
            found: set[int] = set()
            for other in waits:
                found |= behind[other]
                if seconds[other] > SLOW:
                    found.add(other)
            behind[index] = found
        return any(len(behind[index]) < position for position, index in enumerate(slow))

    def _run_on_threads(self, arrays: Sequence[Any]) -> list[Any]:
        from concurrent.futures import FIRST_COMPLETED, wait

        assert self._seconds is not None
        values = self._start(arrays)
        waiting = [set(waits) for waits in self._before]
        after: dict[int, list[int]] = {}
        for index, waits in enumerate(waiting):
            for other in waits:
                after.setdefault(other, []).append(index)
        ready = [index for index, waits in enumerate(waiting) if not waits]
        running: dict[Future[None], int] = {}
        while ready or running:
            quick = [index for index in ready if self._seconds[index] <= SLOW]
            for index in ready:
                if self._seconds[index] > SLOW:
                    running[_pool().submit(self._run_quietly, self._steps[index], values)] = index
            ready = []
            done_now = list(quick)
            for index in quick:
                self._run_quietly(self._steps[index], values)
            if not quick and running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    done_now.append(running.pop(future))
                    future.result()
            for index in done_now:
                for other in after.get(index, ()):
                    waiting[other].discard(index)
                    if not waiting[other]:
                        ready.append(other)
        return self._finish(values)

    def _run_quietly(self, step: Step, values: list[Any]) -> None:
        with np.errstate(all="ignore"):
            self._run_step(step, values, keep=True)


class BlockwiseEngine:
    name = "blockwise"

    def compile(self, function: Function, context: ExecutionContext) -> BlockwiseExecutable:
        return BlockwiseExecutable(function, context)

    def plan(self, function: Function, context: ExecutionContext, arrays: Sequence[Any]) -> Plan:
        return plan(function)
