"""Kernels that write whole arrays in their own way: scattering, sorting, running sums.

A lowering rule gives an `Opaque` a function that writes the kernel's body:

    def emit(w: Writer) -> None:
        with w.tasks(task):
            with w.loop(row) as number:
                w.across(column, body)

for the tasks from w.begin to w.end. `w.inputs[i]` and `w.outputs[j]` are addresses (ptr Values), in the order of the
Opaque's inputs and outputs. An output that is made `in_place` of an input begins with that input's values. Streamed inputs
have no address: `w.value(input.at(...))` gives their elements, for loop variables whose loops are open.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from rillet.compiler.arrays import Array, Opaque
from rillet.compiler.index import Linear, Variable, linear
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.engines.native import expressions as ir
from rillet.engines.native import random_numbers, rejection, storage
from rillet.engines.native.expressions import Expressions, compute_type, storage_type
from rillet.engines.native.kernel import Kernel, begin_kernel
from rillet.engines.native.llvm import Builder, Loop, Value, lanes_of, vector
from rillet.engines.native.target import Target

Place = Value | int


class Writer:
    """What the body of an opaque kernel is written with."""

    def __init__(self, b: Builder, expressions: Expressions, opaque: Opaque, target: Target) -> None:
        self.b = b
        self.expressions = expressions
        self.target = target
        self.opaque = opaque
        self.begin, self.end = b.parameters["begin"], b.parameters["end"]

    @property
    def inputs(self) -> list[Value]:
        return [self.expressions.pointer(array) for array in self.opaque.inputs]

    @property
    def outputs(self) -> list[Value]:
        return [self.expressions.pointer(array) for array in self.opaque.outputs]

    # ---- loops --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def tasks(self, variable: Variable | None = None) -> Iterator[Value]:
        """Loops over the tasks that the kernel is called for; `variable`, if given, is the task's number."""
        loop_over = self.b.loop(self.begin, self.end)
        with loop_over as loop, self.expressions.inside([] if variable is None else [(variable, loop.index)]):
            yield loop.index

    @contextlib.contextmanager
    def loop(
        self, variable: Variable, stop: Value | None = None, carried: Sequence[Value] = (), start: Value | None = None
    ) -> Iterator[Loop]:
        """Loops over the values of `variable`, one after the other; up to `stop` (i64) where that is given."""
        b = self.b
        last = b.i64(variable.extent) if stop is None else stop
        turns = b.loop(b.i64(0) if start is None else start, last, carried=carried)
        with turns as loop, self.expressions.inside([(variable, loop.index)]):
            yield loop

    def across(
        self,
        variable: Variable,
        body: Callable[[Value, int], None],
        lanes: int | None = None,
        extent: int | None = None,
    ) -> None:
        """Calls body(first, lanes) to write what is done for `lanes` neighbouring values of `variable` from `first` on:
        once for whole vectors, once for the rest of them. extent: how many values, if not all of the variable's."""
        b, extent = self.b, variable.extent if extent is None else extent
        lanes = self.target.lanes(4) if lanes is None else lanes
        lanes = extent if extent < 2 * lanes else lanes
        whole = extent - extent % lanes
        for start, stop, width in ((0, whole, lanes), (whole, extent, extent - whole)):
            if stop == start:
                continue
            turns = b.loop(b.i64(start), b.i64(stop), width)
            with turns as loop, self.expressions.inside([(variable, loop.index)], variable, width):
                body(loop.index, width)

    # ---- values -------------------------------------------------------------------------------------------------

    def value(self, scalar: Scalar) -> Value:
        """An expression where the loops stand: computed once, however often it is asked for."""
        return self.expressions.value(scalar)

    def index(self, form: Linear | Variable) -> Value:
        """An index form, without the variable that lanes run over, as an i64."""
        return self.expressions.form(linear(form), "i64")

    def number(self, value: float | int | bool, dtype: DType, lanes: int = 1) -> Value:
        return self.b.constant(vector(compute_type(dtype), lanes), value)

    def apply(self, operation: str, dtype: DType, *values: Value, of: DType | None = None) -> Value:
        """An operation of scalar.py on values (of dtype `of`, if that is not the result's)."""
        b = self.b
        lanes = max(lanes_of(value.type) for value in values)
        node = Scalar(operation, dtype, tuple(Scalar("given", of or dtype, (), None) for _ in values), None)
        wide = [b.splat(value, lanes) for value in values]
        return ir.operation(b, self.target, node, wide, vector(compute_type(dtype), lanes))

    def stream(self, state: Array) -> random_numbers.Stream:
        """The stream of random numbers that is at this state, [3]: the counter's halves, the lower first, and the key."""
        return random_numbers.Stream(self.b, self.target, *(self.load(state, self.b.i64(place)) for place in range(3)))

    def sample(self, name: str, stream: random_numbers.Stream, block: Value, parameter: Value, dtype: DType) -> Value:
        """A number of the distribution `name` of rejection.py with that parameter (double), from `block` on."""
        number = rejection.SAMPLERS[name](stream, block, parameter, dtype, self.fail)
        return self.apply("cast", dtype, number, of=dtypes.float64)

    # ---- memory -------------------------------------------------------------------------------------------------

    def load(self, array: Array, place: Value, lanes: int = 1) -> Value:
        """What is in memory now: `lanes` elements from number `place` (i64) on."""
        b, element = self.b, storage_type(array.dtype)
        found = b.load(b.offset(self.expressions.pointer(array), place, element), vector(element, lanes))
        if array.dtype.is_bool:
            return b.compare("ne", found, b.constant(found.type, 0))
        return storage.widen(b, self.target, found, compute_type(array.dtype))

    def store(
        self, value: Value, array: Array, place: Value, condition: Value | None = None, aside: Value | None = None
    ) -> None:
        """Writes an element, or neighbours, from number `place` on. condition: where it does not hold, they are written to the
        memory `aside` instead."""
        b = self.b
        kept = self.expressions.stored(value, array.dtype)
        target = b.offset(self.expressions.pointer(array), place, storage_type(array.dtype))
        if condition is not None and aside is not None:
            target = b.value("ptr", f"select {condition}, {target}, {aside}")
        b.store(kept, target)

    # ---- errors -------------------------------------------------------------------------------------------------

    def fail(self, condition: Value) -> None:
        """Sets the program's error where the condition (i1) holds."""
        self.expressions.fail(condition)

    def leave(self, condition: Value) -> None:
        """Ends the kernel here where the condition (i1) holds. (Not inside of loops.)"""
        b = self.b
        stop, go_on = b.label(), b.label()
        b.branch(condition, stop, go_on)
        b.start(stop)
        b.ret()
        b.start(go_on)
        self.expressions.fresh()


def write_opaque(opaque: Opaque, target: Target) -> Kernel:
    b = begin_kernel()
    expressions = Expressions(b, target)
    opaque.emit(Writer(b, expressions, opaque, target))
    b.ret()
    return Kernel(opaque.name, str(b.module), expressions.operands, opaque.tasks, opaque.work)
