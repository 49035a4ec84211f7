"""The innermost part of a contraction: one tile of results, held in registers while k runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rillet.engines.native.llvm import Builder, Value, lanes_of, vector
from rillet.engines.native.storage import widen
from rillet.engines.native.target import Target


@dataclass(frozen=True)
class Tile:
    """rows x columns results. Each row is vectors of `lanes`, the last one narrower where columns do not fill it.

    padded: the last vector is computed with all its lanes, since the operand's panel is filled up with zeros.
    """

    rows: int
    columns: int
    lanes: int
    padded: bool

    @property
    def kept(self) -> list[int]:
        """The lanes of each vector that are results."""
        full, rest = divmod(self.columns, self.lanes)
        return [self.lanes] * full + [rest] * (rest > 0)

    @property
    def computed(self) -> list[int]:
        """The lanes of each vector that are computed."""
        return [self.lanes] * len(self.kept) if self.padded else self.kept

    @property
    def width(self) -> int:
        """Columns computed."""
        return sum(self.computed)


@dataclass(frozen=True)
class Axis:
    """A loop: how often it runs and how far each operand moves in it."""

    extent: int
    strides: tuple[int, ...]


def coalesce(axes: Sequence[Axis]) -> list[Axis]:
    """The same loops, with neighbours that move every operand evenly made one, and those that run once left out."""
    result: list[Axis] = []
    for axis in axes:
        if axis.extent == 1:
            continue
        outer = result[-1] if result else None
        if outer and all(wide == axis.extent * stride for wide, stride in zip(outer.strides, axis.strides)):
            result[-1] = Axis(outer.extent * axis.extent, axis.strides)
        else:
            result.append(axis)
    return result


Body = Callable[[tuple[Value, ...], Sequence[Value]], Sequence[Value]]


def nested_loops(
    b: Builder, extents: Sequence[Value], body: Body, carried: Sequence[Value] = (), indices: tuple[Value, ...] = ()
) -> Sequence[Value]:
    """Loops inside loops; `body(indices, carried)` returns what is carried on."""
    if not extents:
        return body(indices, carried)
    with b.loop(b.i64(0), extents[0], carried=carried, hint=rolled(b)) as loop:
        loop.carry(*nested_loops(b, extents[1:], body, loop.carried, (*indices, loop.index)))
    return loop.results


def rolled(b: Builder) -> str:
    """The mark of a loop that LLVM must not unroll: what is worth unrolling is written so."""
    b.module.metadata('!90 = distinct !{!90, !{!"llvm.loop.unroll.disable"}}')
    return "!llvm.loop !90"


def dot(b: Builder, indices: Sequence[Value], strides: Sequence[int]) -> Value:
    """sum(index * stride), without the terms that are nothing."""
    total = b.i64(0)
    for index, stride in zip(indices, strides, strict=True):
        if stride == 0 or index.text == "0":
            continue
        if index.text.isdigit():
            term = b.i64(int(index.text) * stride)
        else:
            term = index if stride == 1 else b.binary("mul nsw", index, b.i64(stride))
        total = term if total.text == "0" else b.binary("add nsw", total, term)
    return total


@dataclass(frozen=True)
class Columns:
    """How a micro-kernel reads the columns of b: `element` is what lies there.

    copy: where what is read is put, too, as a packed panel with `copy_strides` from one k to the next.
    """

    element: str
    copy: Value | None = None
    copy_strides: tuple[int, ...] = ()


def accumulate(
    b: Builder,
    target: Target,
    tile: Tile,
    element: str,
    a: Value,
    row_stride: int,
    b_panel: Value,
    columns: Columns,
    loops: Sequence[Axis],
    extents: Sequence[Value],
) -> list[list[Value]]:
    """sum_k a[row, k] * b_panel[k, column] as rows of vectors.

    loops: the axes of k with the strides of a and of b_panel, whose columns are neighbours; extents: how often each
    runs here, which for the first may be known only at run time.
    """
    zeros = [b.constant(vector(element, lanes), 0) for _ in range(tile.rows) for lanes in tile.computed]
    ahead = min(16, max(1, loops[-1].extent - 1)) * loops[-1].strides[1]

    def body(indices: tuple[Value, ...], sums: Sequence[Value]) -> Sequence[Value]:
        a_here = b.offset(a, dot(b, indices, [axis.strides[0] for axis in loops]), element)
        b_here = b.offset(b_panel, dot(b, indices, [axis.strides[1] for axis in loops]), columns.element)
        copy = b_here
        if columns.copy is not None:
            copy = b.offset(columns.copy, dot(b, indices, columns.copy_strides), element)
            prefetch(b, b.offset(b_here, b.i64(ahead), columns.element))

        def column(place: int) -> Value:
            lanes = tile.kept[place] if columns.copy is not None else tile.computed[place]
            start = b.offset(b_here, b.i64(place * tile.lanes), columns.element)
            x = widen(b, target, b.load(start, vector(columns.element, lanes)), element)
            if columns.copy is not None:
                x = filled(b, x, tile.computed[place])
                b.store(x, b.offset(copy, b.i64(place * tile.lanes), element))
            return x

        def factor(row: int) -> Value:
            return b.load(b.offset(a_here, b.i64(row * row_stride), element), element)

        # The shorter side stays in registers while the other one passes by.
        places = range(len(tile.computed))
        result = list(sums)
        pairs: Iterable[tuple[int, int]]
        if tile.rows >= len(places):
            pairs = ((row, place) for row in range(tile.rows) for place in places)
        else:
            pairs = ((row, place) for place in places for row in range(tile.rows))
        column_of, factor_of = functools.cache(column), functools.cache(factor)
        for row, place in pairs:
            number = row * len(places) + place
            factors = b.splat(factor_of(row), tile.computed[place])
            result[number] = b.fmuladd(factors, column_of(place), result[number])
        return result

    sums = nested_loops(b, extents, body, zeros)
    count = len(tile.computed)
    return [list(sums[row * count : (row + 1) * count]) for row in range(tile.rows)]


def prefetch(b: Builder, pointer: Value) -> None:
    """Asks for a line of memory that will be read soon."""
    b.module.declare("llvm.prefetch.p0", "void @llvm.prefetch.p0(ptr, i32, i32, i32)")
    b.line(f"call void @llvm.prefetch.p0(ptr {pointer.text}, i32 0, i32 3, i32 1)")


def filled(b: Builder, x: Value, lanes: int) -> Value:
    """x with zeros behind it."""
    valid = lanes_of(x.type)
    if valid == lanes:
        return x
    zero = b.constant(x.type, 0)
    if valid == 1:
        return b.insert(b.constant(vector(x.type, lanes), 0), x, 0)
    return b.shuffle(x, zero, [*range(valid), *[valid] * (lanes - valid)])


def transpose(b: Builder, rows: Sequence[Value], lanes: int) -> list[Value]:
    """`lanes` vectors of len(rows) lanes each, from vectors of `lanes` lanes each."""
    if lanes == 1 or len(rows) == 1:
        if len(rows) == 1:
            return [b.extract(rows[0], lane) for lane in range(lanes)]
        return [b.gather_lanes(rows)]
    size = 1
    while size < max(lanes, len(rows)):
        size *= 2
    element = rows[0].type.split(" x ")[1].rstrip(">")
    nothing = Value("poison", vector(element, size))
    square = [row if lanes == size else b.shuffle(row, row, _cut(lanes, size)) for row in rows]
    square += [nothing] * (size - len(rows))
    distance = 1
    while distance < size:
        for i in range(size):
            if i & distance:
                continue
            x, y = square[i], square[i + distance]
            low = [lane if not lane & distance else size + lane - distance for lane in range(size)]
            high = [lane + distance if not lane & distance else size + lane for lane in range(size)]
            square[i], square[i + distance] = b.shuffle(x, y, low), b.shuffle(x, y, high)
        distance *= 2
    if len(rows) == size:
        return square[:lanes]
    return [b.shuffle(column, column, range(len(rows))) for column in square[:lanes]]


def _cut(lanes: int, size: int) -> list[int]:
    return [min(lane, lanes - 1) for lane in range(size)]
