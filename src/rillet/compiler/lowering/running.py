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
# Elements of one task; tasks at most. Columns at most that go side by side; tasks that are enough, and columns too few to share.
_TASK, _MOST_TASKS = 1 << 15, 64
_COLUMNS, _SHARES, _FEW_COLUMNS = 1024, 8, 128
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
                total = b.splat(w.number(self.neutral, self.dtype), lanes)
                for first, last, width in ((0, whole, lanes), (whole, self.length, 1)):
                    if first == last:
                        continue
                    total = total if width > 1 else b.extract(total, 0)
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
        """The running totals of a vector's elements after `before`, and the last of them; both of these are in all lanes, so
        that from one vector to the next there is only one operation to wait for."""
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
        last = b.splat(b.extract(value, lanes - 1), lanes)
        after = self.combined(w, before, last)
        value = self.combined(w, before, value)
        if self.exclusive:
            value = b.shuffle(before, value, [lanes + lane - 1 if lane else 0 for lane in order])
        return (b.shuffle(value, value, turned) if self.reverse else value), after

    # ---- along another axis -------------------------------------------------------------------------------------

    @property
    def blocks(self) -> int:
        """Tasks that share the columns: some, if there are not enough rows to share, and columns enough."""
        shares = min(-(-_SHARES // self.outer), self.inner // _FEW_COLUMNS)
        return max(-(-self.inner // _COLUMNS), shares)

    @property
    def block(self) -> int:
        """Columns of a task."""
        return -(-self.inner // self.blocks)

    def along_columns(self, w: Any) -> None:
        """The totals of the columns are kept on the stack: memory is read row by row."""
        b = w.b
        row, place, column = (
            Variable(*pair) for pair in (("row", self.outer), ("place", self.length), ("column", self.inner))
        )
        neutral = w.number(self.neutral, self.dtype)
        totals = b.alloca(neutral.type, self.block)
        lanes = min(w.target.lanes(self.dtype.size) * 2, self.block)
        with w.tasks() as task:
            outer = b.binary("udiv", task, b.i64(self.blocks))
            start = b.mul(b.sub(task, b.mul(outer, b.i64(self.blocks))), b.i64(self.block))
            stop = b.intrinsic("smin", "i64", b.add(start, b.i64(self.block)), b.i64(self.inner))
            whole = b.sub(stop, b.binary("urem", b.sub(stop, start), b.i64(lanes)))
            with b.loop(b.i64(0), b.i64(self.block)) as each:
                b.store(neutral, b.offset(totals, each.index, neutral.type))
            with b.loop(b.i64(0), b.i64(self.length)) as loop:
                at = b.sub(b.i64(self.length - 1), loop.index) if self.reverse else loop.index
                with w.expressions.inside([(row, outer), (place, at)]):
                    first = b.mul(w.index(linear(row) * self.length + linear(place)), b.i64(self.inner))
                    for begin, end, width in ((start, whole, lanes), (whole, stop, 1)):
                        neighbours = b.loop(begin, end, width)
                        with neighbours as here, w.expressions.inside([(column, here.index)], column, width):
                            value = b.splat(self.element(w, linear(row), linear(place), linear(column)), width)
                            slot = b.offset(totals, b.sub(here.index, start), neutral.type)
                            before = b.load(slot, value.type)
                            total = self.combined(w, before, value)
                            b.store(total, slot)
                            self.keep(w, before if self.exclusive else total, b.add(first, here.index))


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
