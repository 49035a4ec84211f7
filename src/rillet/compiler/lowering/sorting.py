"""Order: the largest elements, sorting, binary search.

An element and its place become one integer whose order is the one wanted: the element's bits, turned so that larger
elements are smaller integers, and below them the place, so that of equal elements the first comes first. Few of many are
found by keeping the best so far in order and comparing each element with the last of them; all are sorted by their bytes
(or, if there are few, by insertion).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.compiler.arrays import Array
from rillet.compiler.index import Dynamic, Linear, Variable, linear, unflatten
from rillet.compiler.lowering.places import whole_number
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType

# Up to so many elements are sorted by insertion.
_FEW = 48
# Elements of one task; tasks at most.
_TASK, _MOST_TASKS = 1 << 14, 64
_BYTES = 256


class _Order:
    """The rows of `x` along its last axis, from the largest element on (or the smallest)."""

    def __init__(self, x: Array, count: int, largest: bool) -> None:
        self.x, self.count, self.largest = x, count, largest
        self.length = x.shape[-1]
        self.rows = x.size // self.length
        self.bits = 64 if x.dtype.size == 8 else 32
        self.type = "i128" if self.bits == 64 else "i64"
        self.row, self.place = Variable("row", max(2, self.rows)), Variable("place", max(2, self.length))

    @property
    def selects(self) -> bool:
        """Whether few enough are wanted."""
        few = self.count * self.count * math.log(self.length / max(1, self.count) + 1)
        return self.count < self.length and (self.count <= 16 or few < 32 * self.length)

    @property
    def room(self) -> int:
        """64-bit words of scratch memory for one task."""
        words = self.count + 1 if self.selects else self.length if self.length <= _FEW else 2 * self.length
        return words * (2 if self.bits == 64 else 1)

    @property
    def rows_a_task(self) -> int:
        tasks = max(1, min(_MOST_TASKS, self.rows * self.length // _TASK))
        return -(-self.rows // tasks)

    @property
    def tasks(self) -> int:
        return -(-self.rows // self.rows_a_task)

    # ---- keys ---------------------------------------------------------------------------------------------------

    def bits_of(self, w: Any, value: Any) -> Any:
        """An unsigned integer that is the smaller the earlier an element comes."""
        b, dtype, type_ = w.b, self.x.dtype, f"i{self.bits}"
        sign = -(1 << (self.bits - 1))
        if dtype.is_floating:
            number = b.fadd(value, b.constant(value.type, 0.0))  # -0 becomes 0
            raw = b.convert("bitcast", number, type_)
            negative = b.binary("ashr", raw, b.constant(raw.type, self.bits - 1))
            turned = b.binary("xor", raw, b.binary("or", negative, b.constant(raw.type, sign)))
            key = b.select(b.compare("uno", value, value), b.constant(raw.type, -1), turned)
        elif dtype.is_bool or dtype.is_unsigned:
            key = b.convert("zext", value, type_)
        else:
            key = b.convert("sext", value, type_)
            key = b.binary("xor", key, b.constant(key.type, sign))
        return b.binary("xor", key, b.constant(key.type, -1)) if self.largest else key

    def joined(self, w: Any, value: Any, place: Any) -> Any:
        """An element and its place (i64)."""
        b = w.b
        high = b.binary("shl", b.convert("zext", self.bits_of(w, value), self.type), b.constant(self.type, self.bits))
        low = b.convert("zext", place, self.type) if self.type != "i64" else place
        return b.binary("or", high, low)

    def place_of(self, w: Any, joined: Any) -> Any:
        if self.bits == 64:
            return w.b.convert("trunc", joined, "i64")
        return w.b.binary("and", joined, w.b.constant("i64", (1 << 32) - 1))

    def element(self, w: Any) -> Any:
        """The element at the present row and place."""
        flat = linear(self.row) * self.length + linear(self.place)
        return w.value(self.x.at(*unflatten(flat, self.x.shape)))

    # ---- the kernel ---------------------------------------------------------------------------------------------

    def write(self, w: Any, finish: Callable[[Any, Any, Any], None], scratch: Array) -> None:
        """finish(w, row, address) is called with where the row's joined elements are, in order."""
        b = w.b
        with w.tasks() as task:
            start = b.mul(task, b.i64(self.rows_a_task))
            stop = b.intrinsic("smin", "i64", b.add(start, b.i64(self.rows_a_task)), b.i64(self.rows))
            words = w.expressions.pointer(scratch)
            memory = b.offset(words, b.mul(task, b.i64(self.room)), "i64")
            with w.loop(self.row, stop, start=start) as turn:
                finish(w, turn.index, self._sorted(w, memory))

    def _sorted(self, w: Any, memory: Any) -> Any:
        if self.selects:
            self._select(w, memory)
            return memory
        with w.loop(self.place, w.b.i64(self.length)) as turn:
            joined = self.joined(w, self.element(w), turn.index)
            if self.length <= _FEW:
                self._insert(w, memory, joined, turn.index)
            else:
                self._put(w, memory, turn.index, joined)
        return memory if self.length <= _FEW else self._by_bytes(w, memory)

    def _get(self, w: Any, memory: Any, place: Any) -> Any:
        return w.b.load(w.b.offset(memory, place, self.type), self.type, 8)

    def _put(self, w: Any, memory: Any, place: Any, value: Any) -> None:
        w.b.store(value, w.b.offset(memory, place, self.type), 8)

    def _insert(self, w: Any, memory: Any, value: Any, count: Any) -> None:
        """Puts a value among the first `count`, which are in order. (All that are larger move on by one.)"""
        b = w.b
        with b.repeat([count]) as turn:
            (place,) = turn.carried
            before = b.sub(place, b.i64(1))
            is_first = b.compare("eq", place, b.i64(0))
            other = self._get(w, memory, b.select(is_first, b.i64(0), before))
            stays = b.binary("or", is_first, b.compare("ult", other, value))
            self._put(w, memory, place, b.select(stays, value, other))
            turn.again(b.binary("xor", stays, b.constant("i1", True)), before)

    # ---- few of many --------------------------------------------------------------------------------------------

    def _select(self, w: Any, memory: Any) -> None:
        """The first `count` in order: at first any, then each element that comes before the last of them takes its place.

        Vectors of elements that all come after it are passed over.
        """
        b, last = w.b, w.b.i64(self.count - 1)
        with w.loop(self.place, b.i64(self.count)) as turn:
            self._insert(w, memory, self.joined(w, self.element(w), turn.index), turn.index)
        lanes = w.target.lanes(4) * 2
        whole = self.count + (self.length - self.count) // lanes * lanes
        if whole > self.count:
            self._pass_over(w, memory, lanes, whole)
        if whole < self.length:
            with w.loop(self.place, b.i64(self.length), start=b.i64(whole)) as turn:
                self._consider(w, memory, self.joined(w, self.element(w), turn.index), last)

    def _pass_over(self, w: Any, memory: Any, lanes: int, whole: int) -> None:
        b = w.b
        last = b.i64(self.count - 1)
        with b.loop(b.i64(self.count), b.i64(whole), lanes) as loop:
            with w.expressions.inside([(self.place, loop.index)], self.place, lanes):
                values = b.splat(self.element(w), lanes)
                keys = self.bits_of(w, values)
            worst = self._get(w, memory, last)
            limit = b.convert("trunc", b.binary("lshr", worst, b.constant(self.type, self.bits)), f"i{self.bits}")
            better = b.compare("ult", keys, b.splat(limit, lanes))
            bits = b.value(f"i{lanes}", f"bitcast {better} to i{lanes}")
            with b.when(b.compare("ne", bits, b.constant(bits.type, 0))):
                for lane in range(lanes):
                    key = b.convert("zext", b.extract(keys, lane), self.type)
                    place = b.convert("zext", b.add(loop.index, b.i64(lane)), self.type)
                    high = b.binary("shl", key, b.constant(self.type, self.bits))
                    self._consider(w, memory, b.binary("or", high, place), last)

    def _consider(self, w: Any, memory: Any, joined: Any, last: Any) -> None:
        b = w.b
        with b.when(b.compare("ult", joined, self._get(w, memory, last))):
            self._insert(w, memory, joined, last)

    # ---- all of them --------------------------------------------------------------------------------------------

    def _by_bytes(self, w: Any, memory: Any) -> Any:
        """Sorts by the bytes of the keys, from the lowest on; returns where the result is."""
        b, digits = w.b, self.bits // 8
        other = b.offset(memory, b.i64(self.length), self.type)
        counts = b.alloca("i64", digits * _BYTES)
        self._count(w, memory, counts, digits)
        now, then = memory, other
        for digit in range(digits):
            table = b.offset(counts, b.i64(digit * _BYTES), "i64")
            first = self._digit(w, self._get(w, now, b.i64(0)), digit)
            everywhere = b.compare("eq", b.load(b.offset(table, first, "i64"), "i64"), b.i64(self.length))
            before = b.block
            moves, done = b.label(), b.label()
            b.branch(everywhere, done, moves)  # nothing moves if all have the same byte
            b.start(moves)
            self._distribute(w, now, then, table, digit)
            after = b.block
            b.jump(done)
            b.start(done)
            new = b.phi("ptr", [(now, before), (then, after)])
            then = b.phi("ptr", [(then, before), (now, after)])
            now = new
        return now

    def _digit(self, w: Any, joined: Any, digit: int) -> Any:
        b = w.b
        shifted = b.binary("lshr", joined, b.constant(self.type, self.bits + 8 * digit))
        narrow = b.convert("trunc", shifted, "i64") if self.type != "i64" else shifted
        return b.binary("and", narrow, b.i64(_BYTES - 1))

    def _count(self, w: Any, memory: Any, counts: Any, digits: int) -> None:
        """How often each byte occurs in each place."""
        b = w.b
        lanes = w.target.lanes(8)
        with b.loop(b.i64(0), b.i64(digits * _BYTES), lanes) as loop:
            b.store(b.splat(b.i64(0), lanes), b.offset(counts, loop.index, "i64"), 8)
        with b.loop(b.i64(0), b.i64(self.length)) as loop:
            joined = self._get(w, memory, loop.index)
            for digit in range(digits):
                entry = b.add(self._digit(w, joined, digit), b.i64(digit * _BYTES))
                place = b.offset(counts, entry, "i64")
                b.store(b.add(b.load(place, "i64"), b.i64(1)), place)

    def _distribute(self, w: Any, now: Any, then: Any, table: Any, digit: int) -> None:
        """Moves all to where their byte comes, in the order in which they stand."""
        b = w.b
        with b.loop(b.i64(0), b.i64(_BYTES), carried=[b.i64(0)]) as loop:
            place = b.offset(table, loop.index, "i64")
            times = b.load(place, "i64")
            b.store(loop.carried[0], place)
            loop.carry(b.add(loop.carried[0], times))
        with b.loop(b.i64(0), b.i64(self.length)) as loop:
            joined = self._get(w, now, loop.index)
            place = b.offset(table, self._digit(w, joined, digit), "i64")
            target = b.load(place, "i64")
            self._put(w, then, target, joined)
            b.store(b.add(target, b.i64(1)), place)


def _ordered(
    call: Call, x: Array, count: int, largest: bool, outputs: Sequence[tuple[Sequence[int], DType]], finish: Any
) -> list[Array]:
    """finish(w, row, place among the sorted, place in the row) writes one element's results."""
    order = _Order(x, count, largest)
    call.require(order.length < 1 << 31)

    def emit(w: Any) -> None:
        b = w.b

        def put(w: Any, row: Any, memory: Any) -> None:
            with b.loop(b.i64(0), b.i64(count)) as loop:
                place = order.place_of(w, order._get(w, memory, loop.index))
                finish(w, row, loop.index, b.add(b.mul(row, b.i64(order.length)), place), place)

        order.write(w, put, w.opaque.outputs[-1])

    scratch = ((order.tasks * order.room,), dtypes.int64)
    work = x.size * (2 if order.selects else 20) // 4
    options = {"tasks": order.tasks, "work": work}
    return list(call.program.opaque("order", (x,), [*outputs, scratch], emit, **options)[:-1])


@lowering("TopKV2")
def top_k(call: Call, x: Array, k: Array) -> Sequence[Array]:
    count, kind = whole_number(call, k), call.dtypes()[1]
    call.require(x.rank > 0 and x.size > 0 and 0 < count <= x.shape[-1])
    shape = (*x.shape[:-1], count)

    def finish(w: Any, row: Any, number: Any, source: Any, place: Any) -> None:
        b, (values, indices, _) = w.b, w.opaque.outputs
        target = b.add(b.mul(row, b.i64(count)), number)
        w.store(w.load(x, source), values, target)
        w.store(b.convert("trunc", place, f"i{8 * kind.size}") if kind.size < 8 else place, indices, target)

    return _ordered(call, x, count, True, [(shape, x.dtype), (shape, kind)], finish)


@lowering("NthElement")
def nth_element(call: Call, x: Array, n: Array) -> Array:
    """The last of the first n + 1, from that side which is nearer."""
    number = whole_number(call, n)
    call.require(x.rank > 0 and x.size > 0 and 0 <= number < x.shape[-1])
    largest = bool(call.attrs["reverse"])
    if 2 * number > x.shape[-1]:
        number, largest = x.shape[-1] - 1 - number, not largest

    def finish(w: Any, row: Any, place: Any, source: Any, _: Any) -> None:
        w.store(w.load(x, source), w.opaque.outputs[0], row)  # the last one stays

    (result,) = _ordered(call, x, number + 1, largest, [(x.shape[:-1], x.dtype)], finish)
    return result


@lowering("InTopK", "InTopKV2")
def in_top_k(call: Call, predictions: Array, targets: Array, k: Array | None = None) -> Array:
    """Whether fewer than k are larger than the target's, and all are finite."""
    program = call.program
    call.require(predictions.rank == 2 and predictions.size > 0 and targets.shape == predictions.shape[:1])
    count, classes = predictions.shape
    limit = program.constant(call.attrs["k"], targets.dtype) if k is None else k

    def is_class(row: Linear) -> tuple[Scalar, Scalar]:
        target = program.convert(targets.at(row), dtypes.int64)
        above = program.compare("ge", target, program.number(0, dtypes.int64))
        below = program.compare("lt", target, program.number(classes, dtypes.int64))
        return program.make("and", dtypes.bool, above, below), target

    def chosen(row: Linear) -> Scalar:
        valid, target = is_class(row)
        inside = program.where(valid, target, program.number(0, dtypes.int64))
        return predictions.at(row, Linear(0, {Dynamic(inside, classes): 1}))

    def better(row: Linear, column: Linear) -> Scalar:
        larger = program.compare("gt", predictions.at(row, column), chosen(row))
        finite = program.make("is_finite", dtypes.bool, predictions.at(row, column))
        one, zero, many = (program.number(value, dtypes.int32) for value in (1, 0, classes + 1))
        return program.where(finite, program.where(larger, one, zero), many)

    ahead = program.map((count, classes), dtypes.int32, better, (predictions, targets), 4)
    total = program.reduce(program.cast(ahead, dtypes.int64), [1], "sum")

    def result(row: Linear) -> Scalar:
        valid, _ = is_class(row)
        most = program.convert(limit.at(), dtypes.int64)
        enough = program.make("min", dtypes.int64, most, program.number(classes, dtypes.int64))
        return program.make("and", dtypes.bool, valid, program.compare("lt", total.at(row), enough))

    return program.map((count,), dtypes.bool, result, (targets, total, limit), 4)


# ---- binary search --------------------------------------------------------------------------------------------------


def _place_in(call: Call, size: int, read: Callable[[Linear], Scalar], before: Callable[[Scalar], Scalar]) -> Scalar:
    """How many of `size` elements, which are in order, come before something."""
    program, int64 = call.program, dtypes.int64
    place = program.number(0, int64)
    step = 1 << max(0, size.bit_length() - 1)
    while step:
        candidate = program.make("add", int64, place, program.number(step, int64))
        capped = program.make("min", int64, candidate, program.number(size, int64))
        index = program.make("sub", int64, capped, program.number(1, int64))
        fits = program.compare("le", candidate, program.number(size, int64))
        comes_before = before(read(Linear(0, {Dynamic(index, size): 1})))
        place = program.where(program.make("and", dtypes.bool, fits, comes_before), candidate, place)
        step //= 2
    return place


def _less(call: Call, left: Scalar, right: Scalar) -> Scalar:
    """left < right, where NaN is larger than all numbers."""
    program = call.program
    less = program.compare("lt", left, right)
    if not left.dtype.is_floating:
        return less
    number = program.make("not", dtypes.bool, program.make("is_nan", dtypes.bool, left))
    beyond = program.make("and", dtypes.bool, number, program.make("is_nan", dtypes.bool, right))
    return program.make("or", dtypes.bool, less, beyond)


@lowering("LowerBound", "UpperBound")
def bound(call: Call, rows: Array, values: Array) -> Array:
    program, is_lower = call.program, call.operation.type == "LowerBound"
    call.require(rows.rank == values.rank == 2 and rows.shape[0] == values.shape[0] and rows.size > 0)
    size = rows.shape[1]

    def compute(row: Linear, column: Linear) -> Scalar:
        wanted = values.at(row, column)

        def before(other: Scalar) -> Scalar:
            if is_lower:
                return _less(call, other, wanted)
            return program.make("not", dtypes.bool, _less(call, wanted, other))

        return program.convert(_place_in(call, size, lambda place: rows.at(row, place), before), call.dtype())

    return program.map(values.shape, call.dtype(), compute, (rows, values), 6 * size.bit_length())


@lowering("Bucketize")
def bucketize(call: Call, x: Array) -> Array:
    edges = np.asarray(call.attrs["boundaries"], np.float64)
    call.require(bool((np.diff(edges) >= 0).all()))
    program = call.program
    table = program.constant(edges, dtypes.float64)

    def compute(*index: Linear) -> Scalar:
        wide = program.convert(x.at(*index), dtypes.float64)
        if len(edges) > 16:
            place = _place_in(
                call, len(edges), table.at, lambda edge: program.make("not", dtypes.bool, _less(call, wide, edge))
            )
            return program.convert(place, dtypes.int32)
        total = program.number(0, dtypes.int32)
        for edge in edges.tolist():
            below = _less(call, wide, program.number(edge, dtypes.float64))
            one = program.where(below, program.number(0, dtypes.int32), program.number(1, dtypes.int32))
            total = program.make("add", dtypes.int32, total, one)
        return total

    return program.map(x.shape, dtypes.int32, compute, (x, table), 3 * min(len(edges), 30) + 1)
