"""Kernels for reductions along axes in the middle: one result after the other, or many neighbours at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rillet.compiler.arrays import neutral, size_of
from rillet.compiler.groups import MiddleGroup
from rillet.compiler.index import Variable, flatten, linear
from rillet.compiler.scalar import bases_of
from rillet.engines.native.expressions import Expressions, compute_type
from rillet.engines.native.kernel import (
    Kernel,
    accumulator_dtype,
    across_lanes,
    begin_kernel,
    combine,
    unravelled,
    widened_with,
)
from rillet.engines.native.llvm import Value, lanes_of, vector
from rillet.engines.native.target import Target

_TASK, _MOST_TASKS = 20_000, 256


def write_middle(group: MiddleGroup, target: Target) -> Kernel:
    """Tasks are runs of results along the outer axes that are kept."""
    return _MiddleWriter(group, target).write()


class _MiddleWriter:
    def __init__(self, group: MiddleGroup, target: Target) -> None:
        self.array = group.array
        self.expression = group.expression()
        variables, kept, reduced = group.loops()
        last = len(variables) - 1
        while last > 0 and variables[last].extent == 1:
            last -= 1
        self.lane = variables[last]
        self.lane_is_kept = last in kept
        self.kept = [variables[axis] for axis in kept if axis != last and variables[axis].extent > 1]
        self.reduced = [variables[axis] for axis in reduced if axis != last and variables[axis].extent > 1]
        self.place = flatten([linear(variables[axis]) for axis in kept], self.array.shape)
        self.b = begin_kernel()
        self.x = Expressions(self.b, target, bases=bases_of([self.expression]))
        self.dtype = accumulator_dtype(self.array.dtype)
        base = target.lanes(max(4, self.array.dtype.size))
        extent = self.lane.extent
        self.lanes = extent if extent < 2 * base else 2 * base
        self.work = self.array.source.size * (self.expression.cost + 1) // base

    def write(self) -> Kernel:
        b = self.b
        rows = size_of([variable.extent for variable in self.kept])
        tasks = max(1, min(rows, self.work // _TASK, _MOST_TASKS))
        chunk = -(-rows // tasks)
        tasks = -(-rows // chunk)
        start = b.binary("mul nsw", b.parameters["begin"], b.i64(chunk))
        stop = b.binary("mul nsw", b.parameters["end"], b.i64(chunk))
        stop = b.select(b.compare("slt", stop, b.i64(rows)), stop, b.i64(rows))
        with b.loop(start, stop) as loop, self.x.inside(unravelled(b, loop.index, self.kept)):
            if self.lane_is_kept:
                whole = self.lane.extent - self.lane.extent % self.lanes
                self._results(0, whole, self.lanes)
                self._results(whole, self.lane.extent, self.lane.extent - whole)
            else:
                self._result()
        b.ret()
        return Kernel("middle", str(b.module), self.x.operands, tasks, self.work, bases=self.x.bases)

    def _slot(self, lanes: int) -> tuple[Value, str]:
        b = self.b
        type_ = vector(compute_type(self.dtype), lanes)
        slot = b.alloca(type_)
        b.store(b.constant(type_, neutral(self.array.kind, self.dtype)), slot)
        return slot, type_

    def _add(self, slot: Value, type_: str, lanes: int) -> None:
        b = self.b
        value = b.splat(self.x.value(self.expression), self.x.lanes)
        value = widened_with(b, value, b.constant(value.type, neutral(self.array.kind, self.dtype)), lanes)
        b.store(combine(b, self.array.kind, b.load(slot, type_), value, self.dtype), slot)

    def _results(self, first: int, last: int, lanes: int) -> None:
        """Neighbouring results, a vector of them at a time."""
        if first == last:
            return
        b = self.b
        with (
            b.loop(b.i64(first), b.i64(last), lanes) as loop,
            self.x.inside([(self.lane, loop.index)], self.lane, lanes),
        ):
            slot, type_ = self._slot(lanes)
            self._nest(self.reduced, slot, type_, lambda inner: self._add(inner, type_, lanes))
            self.x.store(b.load(slot, type_), self.array, self.place)

    def _result(self) -> None:
        """One result, from vectors along the last axis."""
        b = self.b
        slot, type_ = self._slot(self.lanes)
        whole = self.lane.extent - self.lane.extent % self.lanes

        def along(slot: Value) -> None:
            for first, last, lanes in ((0, whole, self.lanes), (whole, self.lane.extent, self.lane.extent - whole)):
                if first < last:
                    with (
                        b.loop(b.i64(first), b.i64(last), lanes) as loop,
                        self.x.inside([(self.lane, loop.index)], self.lane, lanes),
                    ):
                        self._add(slot, type_, self.lanes)

        self._nest(self.reduced, slot, type_, along)
        total = across_lanes(b, self.array.kind, b.load(slot, type_), self.dtype)
        self.x.store(total, self.array, self.place)

    def _nest(self, variables: Sequence[Variable], slot: Value, type_: str, body: Callable[[Value], None]) -> None:
        """Loops over the variables; body(slot) adds to a slot. Each loop but the innermost adds up what its turns give: the
        fewer numbers are added one to another, the less is lost by rounding."""
        if not variables:
            body(slot)
            return
        b = self.b
        with b.loop(b.i64(0), b.i64(variables[0].extent)) as loop, self.x.inside([(variables[0], loop.index)]):
            if len(variables) == 1 and (self.lane_is_kept or self.lane.extent <= 8 * self.lanes):
                body(slot)
                return
            inner, _ = self._slot(lanes_of(type_))
            self._nest(variables[1:], inner, type_, body)
            both = combine(b, self.array.kind, b.load(slot, type_), b.load(inner, type_), self.dtype)
            b.store(both, slot)
