"""Copying a stretch of an operand into a panel: for each k, elements of `width` rows (or columns) side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rillet.engines.native.contraction_operands import Axis
from rillet.engines.native.llvm import Builder, Value, size_of
from rillet.engines.native.microkernel import dot, filled, nested_loops, transpose_strip


@dataclass(frozen=True)
class Source:
    """Where elements come from: number `place` of those side by side, at offset `k`, both i64.

    fetch(place, k, lanes): `lanes` elements that follow each other along the direction that is packed.
    announce(place, k): asks for memory that will be fetched soon.
    """

    fetch: Callable[[Value, Value, int], Value]
    announce: Callable[[Value, Value], None]


@dataclass(frozen=True)
class Strip:
    """Where they go: `width` of `element` side by side; from one k to the next it is loops[...].strides[1].

    loops: the axes of k, with the operand's stride and the panel's; extents: how often each of them runs here.
    """

    destination: Value
    element: str
    width: int
    loops: Sequence[Axis]
    extents: Sequence[Value]


def pack_across(b: Builder, source: Source, lanes: Sequence[int], strip: Strip, ahead: int) -> None:
    """Copies for each k the vectors of `lanes` elements that lie side by side; zeros fill up the strip's width.

    ahead: how much later memory is needed that is asked for now, counted in the innermost loop.
    """
    loops, element = strip.loops, strip.element

    def body(indices: tuple[Value, ...], _: Sequence[Value]) -> Sequence[Value]:
        k = dot(b, indices, [axis.strides[0] for axis in loops])
        target = b.offset(strip.destination, dot(b, indices, [axis.strides[1] for axis in loops]), element)
        later = dot(b, [k, b.i64(ahead)], [1, loops[-1].strides[0]])
        for place in sorted({0, sum(lanes) - 1}):
            source.announce(b.i64(place), later)
        place = 0
        for number, count in enumerate(lanes):
            room = strip.width - place if number == len(lanes) - 1 else count
            x = filled(b, source.fetch(b.i64(place), k, count), min(room, max(lanes)) if number else room)
            b.store(x, b.offset(target, b.i64(place), element))
            place += count
        return []

    nested_loops(b, strip.extents, body)


def pack_along(b: Builder, source: Source, strip: Strip, valid: Value, contiguous: bool) -> None:
    """Copies what lies along k.

    valid: how many of the strip's width exist; the others become copies of the last one that does. contiguous:
    neighbours in k are neighbours in memory: they are read together and transposed in registers. Otherwise this copies
    one element after the other, of whatever lies anywhere.
    """
    loops, element, width = strip.loops, strip.element, strip.width
    inner = loops[-1]
    step = inner.strides[1]
    most = b.sub(valid, b.i64(1))
    lanes = 16 // size_of(element)
    places = [b.intrinsic("smin", "i64", b.i64(place), most) for place in range(width)] if contiguous else []

    def body(indices: tuple[Value, ...], _: Sequence[Value]) -> Sequence[Value]:
        k = dot(b, indices, [axis.strides[0] for axis in loops[:-1]])
        target = b.offset(strip.destination, dot(b, indices, [axis.strides[1] for axis in loops[:-1]]), element)
        start, end = b.i64(0), strip.extents[-1]
        if contiguous:
            whole = b.sub(end, b.binary("urem", end, b.i64(lanes)))
            with b.loop(start, whole, lanes) as loop:
                here = b.add(k, loop.index)
                columns = transpose_strip(b, [source.fetch(place, here, lanes) for place in places], lanes)
                there = b.offset(target, b.mul(loop.index, b.i64(step)), element)
                for number, column in enumerate(columns):
                    b.store(column, b.offset(there, b.i64(number * step), element))
            start = whole
        with b.loop(start, end) as loop:
            here = dot(b, [k, loop.index], [1, inner.strides[0]])
            there = b.offset(target, b.mul(loop.index, b.i64(step)), element)
            with b.loop(b.i64(0), b.i64(width)) as across:
                x = source.fetch(b.intrinsic("smin", "i64", across.index, most), here, 1)
                b.store(x, b.offset(there, across.index, element))
        return []

    nested_loops(b, strip.extents[:-1], body)
