"""Running sums, products and log-sum-exps along an axis: kernels of their own, which go along it once.

Along the last axis a vector of neighbours is summed up in a few steps, each of which adds what stands 1, 2, 4 .. places
before; along any other, neighbouring columns go side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rillet.compiler.arrays import Array, size_of
from rillet.compiler.index import Linear, Variable, linear, unflatten
from rillet.compiler.lowering.places import whole_number
from rillet.compiler.rules import Call, lowering
from rillet.core import dtypes
from rillet.core.dtypes import DType

_KINDS = {"Cumsum": "add", "Cumprod": "mul", "CumulativeLogsumexp": "logaddexp"}
# Elements of one task; tasks at most; vectors side by side.
_TASK, _MOST_TASKS, _SIDE_BY_SIDE = 1 << 15, 64, 4
# Neighbours that are summed up together: more steps cost more than they save.
_STEPS = 4


def _precise(kind: str, dtype: DType) -> DType:
    """What is added up in."""
    if dtype.is_floating and dtype.size == 2:
        return dtypes.float32
    return dtypes.float64 if dtype is dtypes.float32 and kind != "mul" else dtype


class _Scan:
    """x seen as [outer, length, inner], along its middle axis."""

    def __init__(self, x: Array, axis: int, kind: str, exclusive: bool, reverse: bool) -> None:
        self.x, self.kind, self.exclusive, self.reverse = x, kind, exclusive, reverse
        self.dtype = _precise(kind, x.dtype)
        self.outer, self.length, self.inner = size_of(x.shape[:axis]), x.shape[axis], size_of(x.shape[axis + 1 :])
        self.neutral = {"add": 0, "mul": 1, "logaddexp": -math.inf}[kind]

    def element(self, w: Any, row: Linear, place: Linear, column: Linear) -> Any:
        """One element (or neighbours) of x, as it is added up."""
        flat = (row * self.length + place) * self.inner + column
        value = w.value(self.x.at(*unflatten(flat, self.x.shape)))
        return value if self.dtype is self.x.dtype else w.apply("cast", self.dtype, value, of=self.x.dtype)

    def keep(self, w: Any, value: Any, place: Any) -> None:
        if self.dtype is not self.x.dtype:
            value = w.apply("cast", self.x.dtype, value, of=self.dtype)
        w.store(value, w.opaque.outputs[0], place)

    def combined(self, w: Any, total: Any, value: Any) -> Any:
        if self.kind != "logaddexp":
            return w.apply(self.kind, self.dtype, total, value)
        largest = w.apply("max", self.dtype, total, value)
        smallest = w.apply("min", self.dtype, total, value)
        apart = w.apply("sub", self.dtype, smallest, largest)  # NaN where both are infinite
        rest = w.apply("log1p", self.dtype, w.apply("exp", self.dtype, apart))
        equal = w.apply("eq", dtypes.bool, smallest, largest, of=self.dtype)
        infinite = w.apply("is_inf", dtypes.bool, largest, of=self.dtype)
        same = w.b.binary("and", equal, infinite)
        return w.b.select(same, largest, w.apply("add", self.dtype, largest, rest))

    # ---- along the last axis ------------------------------------------------------------------------------------

    @property
    def rows_a_task(self) -> int:
        tasks = max(1, min(_MOST_TASKS, self.outer * self.length // _TASK))
        return -(-self.outer // tasks)

    def along_rows(self, w: Any) -> None:
        b = w.b
        row, place = Variable("row", self.outer), Variable("place", self.length)
        lanes = 1 if self.kind == "logaddexp" else min(w.target.lanes(self.dtype.size), self.length, _STEPS)
        whole = self.length - self.length % lanes
        with w.tasks() as task:
            start = b.mul(task, b.i64(self.rows_a_task))
            stop = b.intrinsic("smin", "i64", b.add(start, b.i64(self.rows_a_task)), b.i64(self.outer))
            with w.loop(row, stop, start=start) as turn:
                base = b.mul(turn.index, b.i64(self.length))
                total = w.number(self.neutral, self.dtype)
                for first, last, width in ((0, whole, lanes), (whole, self.length, 1)):
                    if first == last:
                        continue
                    with b.loop(b.i64(first), b.i64(last), width, carried=[total]) as loop:
                        here = loop.index
                        if self.reverse:
                            here = b.sub(b.i64(self.length - width), here)
                        with w.expressions.inside([(place, here)], place, width):
                            value = self.element(w, linear(row), linear(place), Linear(0))
                            sums, after = self._prefixes(w, b.splat(value, width), loop.carried[0], width)
                            self.keep(w, sums, b.add(base, here))
                        loop.carry(after)
                    total = loop.results[0]

    def _prefixes(self, w: Any, value: Any, before: Any, lanes: int) -> tuple[Any, Any]:
        """The running totals of a vector's elements after `before`, and the last of them."""
        b, order = w.b, range(lanes)
        turned = list(reversed(order))
        if self.reverse:
            value = b.shuffle(value, value, turned)
        neutral = b.splat(w.number(self.neutral, self.dtype), lanes)
        step = 1
        while step < lanes:
            moved = b.shuffle(neutral, value, [lanes + lane - step if lane >= step else lane for lane in order])
            value = self.combined(w, moved, value)
            step *= 2
        value = self.combined(w, b.splat(before, lanes), value)
        after = b.extract(value, lanes - 1)
        if self.exclusive:
            value = b.shuffle(b.splat(before, lanes), value, [lanes + lane - 1 if lane else 0 for lane in order])
        return b.shuffle(value, value, turned) if self.reverse else value, after

    # ---- along another axis -------------------------------------------------------------------------------------

    @property
    def block(self) -> int:
        """Columns that go side by side."""
        return min(self.inner, 64)

    @property
    def blocks(self) -> int:
        return -(-self.inner // self.block)

    def along_columns(self, w: Any) -> None:
        b = w.b
        row, place, column = (
            Variable(*pair) for pair in (("row", self.outer), ("place", self.length), ("column", self.inner))
        )
        with w.tasks() as task:
            outer = b.binary("udiv", task, b.i64(self.blocks))
            number = b.sub(task, b.mul(outer, b.i64(self.blocks)))
            start = b.mul(number, b.i64(self.block))
            with w.expressions.inside([(row, outer)]):
                rest = self.inner % self.block
                if not rest:
                    self._columns(w, row, place, column, start, self.block)
                    return
                is_last = b.compare("eq", number, b.i64(self.blocks - 1))
                with b.when(is_last):
                    self._columns(w, row, place, column, start, rest)
                with b.when(b.compare("ne", number, b.i64(self.blocks - 1))):
                    self._columns(w, row, place, column, start, self.block)

    def _columns(self, w: Any, row: Variable, place: Variable, column: Variable, start: Any, width: int) -> None:
        b = w.b
        lanes = min(w.target.lanes(self.dtype.size) * _SIDE_BY_SIDE, width)
        offset = 0
        while offset < width:
            lanes = min(lanes, width - offset)
            here = b.add(start, b.i64(offset))
            neutral = b.splat(w.number(self.neutral, self.dtype), lanes)
            with b.loop(b.i64(0), b.i64(self.length), carried=[neutral]) as loop:
                at = b.sub(b.i64(self.length - 1), loop.index) if self.reverse else loop.index
                with w.expressions.inside([(place, at)]), w.expressions.inside([(column, here)], column, lanes):
                    value = b.splat(self.element(w, linear(row), linear(place), linear(column)), lanes)
                    total = self.combined(w, loop.carried[0], value)
                    outer = w.index(linear(row) * self.length + linear(place))
                    target = b.add(b.mul(outer, b.i64(self.inner)), here)
                    self.keep(w, loop.carried[0] if self.exclusive else total, target)
                loop.carry(total)
            offset += lanes


@lowering(*_KINDS, unless=lambda op: op.outputs[0].dtype.is_complex)
def scan(call: Call, x: Array, axis: Array) -> Array:
    along = whole_number(call, axis)
    call.require(axis.rank == 0 and -x.rank <= along < x.rank and x.size > 0)
    plan = _Scan(
        x, along % x.rank, _KINDS[call.operation.type], bool(call.attrs["exclusive"]), bool(call.attrs["reverse"])
    )
    if plan.inner == 1:
        emit: Callable[[Any], None] = plan.along_rows
        tasks = -(-plan.outer // plan.rows_a_task)
    else:
        emit, tasks = plan.along_columns, plan.outer * plan.blocks
    cost = 30 if plan.kind == "logaddexp" else 1
    (result,) = call.program.opaque(
        f"running {plan.kind}", (x,), [(x.shape, x.dtype)], emit, tasks=tasks, work=x.size * cost // 2, streamed=(0,)
    )
    return result
