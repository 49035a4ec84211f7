"""The distinct elements of a vector, of which only the run knows how many there are, and what else has as many rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.compiler.arrays import Array
from rillet.compiler.bounded import Bounded, lowering_of_bounded
from rillet.compiler.index import Linear, Variable
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes

# Multiplies keys, whose upper bits then say where they are looked for first: 2**64 over the golden ratio.
_SCATTERING = -7046029254386353131


@lowering("Unique", "UniqueWithCounts", unless=lambda op: not op.inputs[0].dtype.is_integer)
def unique(call: Call, x: Array) -> Sequence[Any]:
    """Elements are looked up in a hash table, in their order; it holds the numbers of the distinct ones, from 1."""
    call.require(x.rank == 1 and 0 < x.size < 1 << 30)
    outputs = _distinct(call, x)
    values, places, count = outputs[:3]
    found = Bounded(values, call.program.reshape(count, ()), call.operation)
    call.lowering.bounds[count.number] = found
    if call.operation.type == "Unique":
        return [found, places]
    return [found, places, found.like(outputs[4])]


def _distinct(call: Call, x: Array) -> Sequence[Array]:
    """The distinct elements (then zeros), the place of each element among them, how many there are, the table, how often
    each occurs."""
    size, bits = x.size, (2 * x.size - 1).bit_length()
    kind = call.dtypes()[1]
    number, element, slot = Variable("number", max(size, 2)), Variable("element", size), Variable("slot", 1 << bits)

    def emit(w: Any) -> None:
        b = w.b
        values, places, count, table, times = w.opaque.outputs
        with w.tasks():
            w.across(slot, lambda place, lanes: w.store(w.number(0, dtypes.int32, lanes), table, place))
            w.across(element, lambda place, lanes: w.store(w.number(0, x.dtype, lanes), values, place))
            w.across(element, lambda place, lanes: w.store(w.number(0, kind, lanes), times, place))
            with w.loop(number, b.i64(size), [b.i64(0)]) as loop:
                key = w.load(x, loop.index)
                total = _look_up(w, key, loop.carried[0], bits)
                w.store(b.convert("trunc", total[0], "i32") if kind.size == 4 else total[0], places, loop.index)
                before = w.load(times, total[0])
                w.store(b.add(before, b.constant(before.type, 1)), times, total[0])
                loop.carry(total[1])
            w.store(loop.results[0], count, b.i64(0))

    return call.program.opaque(
        "distinct elements", (x,), [(x.shape, x.dtype), (x.shape, kind), ((1,), dtypes.int64), ((1 << bits,), dtypes.int32),
        (x.shape, kind)], emit, work=8 * size,
    )  # fmt: skip


def _look_up(w: Any, key: Any, known: Any, bits: int) -> tuple[Any, Any]:
    """The number of a key among the distinct ones, of which `known` are there so far; and how many there are then."""
    b = w.b
    values, _, _, table, _ = w.opaque.outputs
    wide = key if key.type == "i64" else b.convert("sext", key, "i64")
    first = b.binary("lshr", b.mul(wide, b.i64(_SCATTERING)), b.i64(64 - bits))
    with b.repeat([first]) as turn:
        (place,) = turn.carried
        entry = w.load(table, place)
        is_new = b.compare("eq", entry, b.constant("i32", 0))
        found = b.select(is_new, known, b.sub(b.convert("zext", entry, "i64"), b.i64(1)))
        is_other = b.compare("ne", w.load(values, b.select(is_new, b.i64(0), found)), key)
        following = b.binary("and", b.add(place, b.i64(1)), b.i64((1 << bits) - 1))
        turn.again(b.select(is_new, b.constant("i1", False), is_other), following)
    more = b.add(known, b.i64(1))
    with b.when(is_new):
        w.store(b.convert("trunc", more, "i32"), table, place)
        w.store(key, values, known)
    return found, b.select(is_new, more, known)


# ---- what can be done with as many rows ---------------------------------------------------------------------------------


@lowering_of_bounded("Shape")
def shape(call: Call, x: Bounded) -> Array:
    program, dtype = call.program, call.dtype()
    rest = program.constant(x.array.shape, dtype)

    def compute(axis: Linear) -> Scalar:
        if axis.is_constant:
            return rest.at(axis) if axis.constant else program.convert(x.count.at(), dtype)
        is_first = program.compare("eq", program.scalars.index(axis), program.number(0, dtypes.int64))
        return program.where(is_first, program.convert(x.count.at(), dtype), rest.at(axis))

    return program.map((x.array.rank,), dtype, compute, (x.count, rest), 1)


@lowering_of_bounded("Size")
def size(call: Call, x: Bounded) -> Array:
    program, dtype = call.program, call.dtype()
    each = x.array.size // x.array.shape[0]
    number = program.constant(each, dtypes.int64)
    return program.cast(program.elementwise("mul", dtypes.int64, x.count, number) if each > 1 else x.count, dtype)


@lowering_of_bounded("Identity", "StopGradient", "PreventGradient", "Snapshot")
def identity(call: Call, x: Bounded) -> Bounded:
    return x


@lowering_of_bounded("Cast")
def cast(call: Call, x: Bounded) -> Bounded:
    return x.like(call.program.cast(x.array, call.dtype()))
