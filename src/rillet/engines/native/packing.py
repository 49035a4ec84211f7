"""Copying a stretch of an operand into a panel: for each k, elements of `width` rows (or columns) side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rillet.engines.native.contraction_operands import Axis
from rillet.engines.native.llvm import Builder, Value
from rillet.engines.native.microkernel import dot, filled, nested_loops, transpose

# fetch(place, k, lanes): `lanes` elements from number `place` (i64) of those side by side, at offset `k` (i64).
Fetch = Callable[[Value, Value, int], Value]


def pack_across(
    b: Builder,
    fetch: Fetch,
    lanes: Sequence[int],
    width: int,
    element: str,
    destination: Value,
    loops: Sequence[Axis],
    extents: Sequence[Value],
) -> None:
    """Copies for each k the vectors of `lanes` elements that `fetch` gives across the panel; zeros fill up `width`.

    loops: the axes of k with the operand's stride and the panel's.
    """

    def body(indices: tuple[Value, ...], _: Sequence[Value]) -> Sequence[Value]:
        k = dot(b, indices, [axis.strides[0] for axis in loops])
        target = b.offset(destination, dot(b, indices, [axis.strides[1] for axis in loops]), element)
        place = 0
        for number, count in enumerate(lanes):
            room = lanes[0] if number else min(width, lanes[0])
            x = filled(b, fetch(b.i64(place), k, count), min(room, width - place))
            b.store(x, b.offset(target, b.i64(place), element))
            place += count
        return []

    nested_loops(b, extents, body)


def pack_along(
    b: Builder,
    fetch: Fetch,
    width: int,
    lanes: int,
    element: str,
    destination: Value,
    valid: Value,
    loops: Sequence[Axis],
    extents: Sequence[Value],
) -> None:
    """Copies `width` elements for each k where `fetch` gives vectors along k: they are transposed in registers.

    valid: how many of the width exist; the others become copies of the last one that does.
    With lanes 1 this copies one element at a time, of whatever lies anywhere.
    """
    inner, last = loops[-1], extents[-1]
    step = inner.strides[1]
    most = b.sub(valid, b.i64(1))
    places = [b.intrinsic("smin", "i64", b.i64(place), most) for place in range(width)] if lanes > 1 else []

    def body(indices: tuple[Value, ...], _: Sequence[Value]) -> Sequence[Value]:
        source = dot(b, indices, [axis.strides[0] for axis in loops[:-1]])
        target = b.offset(destination, dot(b, indices, [axis.strides[1] for axis in loops[:-1]]), element)
        start = b.i64(0)
        if lanes > 1:
            start = b.sub(last, b.binary("urem", last, b.i64(lanes)))
            with b.loop(b.i64(0), start, lanes) as loop:
                rows = [fetch(place, b.add(source, loop.index), lanes) for place in places]
                here = b.offset(target, b.mul(loop.index, b.i64(step)), element)
                for number, column in enumerate(transpose(b, rows, lanes)):
                    b.store(column, b.offset(here, b.i64(number * step), element))
        with b.loop(start, last) as loop:
            here = b.offset(target, b.mul(loop.index, b.i64(step)), element)
            k = b.add(source, b.mul(loop.index, b.i64(inner.strides[0])))
            with b.loop(b.i64(0), b.i64(width)) as across:
                x = fetch(b.intrinsic("smin", "i64", across.index, most), k, 1)
                b.store(x, b.offset(here, across.index, element))
        return []

    nested_loops(b, extents[:-1], body)
