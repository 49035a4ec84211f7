"""The innermost part of a contraction: one tile of results, held in registers while k runs."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rillet.engines.native.contraction_operands import Axis
from rillet.engines.native.llvm import Builder, Value, element_of, lanes_of, size_of, vector
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


_AHEAD = 24  # how many k before memory is needed it is asked for

Body = Callable[[tuple[Value, ...], Sequence[Value]], Sequence[Value]]


def nested_loops(
    b: Builder,
    extents: Sequence[Value],
    body: Body,
    carried: Sequence[Value] = (),
    indices: tuple[Value, ...] = (),
) -> Sequence[Value]:
    """Loops inside loops; `body(indices, carried)` returns what is carried on."""
    if not extents:
        return body(indices, carried)
    with b.loop(b.i64(0), extents[0], carried=carried) as loop:
        loop.carry(*nested_loops(b, extents[1:], body, loop.carried, (*indices, loop.index)))
    return loop.results


def dot(b: Builder, indices: Sequence[Value], strides: Sequence[int]) -> Value:
    """sum(index * stride), as few instructions as it takes."""
    total: Value | None = None
    constant = 0
    for index, stride in zip(indices, strides, strict=True):
        if index.text.lstrip("-").isdigit():
            constant += int(index.text) * stride
        elif stride:
            term = index if stride == 1 else b.binary("mul nsw", index, b.i64(stride))
            total = term if total is None else b.binary("add nsw", total, term)
    if total is None:
        return b.i64(constant)
    return b.binary("add nsw", total, b.i64(constant)) if constant else total


@dataclass(frozen=True)
class Successor:
    """The columns that follow in the panel of b: where `wanted`, each line of the panel, once used, makes way for theirs.

    source: where they lie, as `element`, `strides` apart in the loops over k.
    """

    wanted: Value
    source: Value
    element: str
    strides: Sequence[int]


def accumulate(
    b: Builder,
    target: Target,
    tile: Tile,
    element: str,
    places: tuple[Value, Value],
    row_stride: int,
    loops: Sequence[Axis],
    extents: Sequence[Value],
    successor: Successor | None = None,
) -> list[list[Value]]:
    """sum_k a[row, k] * b[k, column] as rows of vectors.

    places: where a's first row and b's columns, which are neighbours, begin. loops: the axes of k with the strides of
    a and of b; extents: how often each runs here, which for the first may be known only at run time.
    """

    def step(indices: tuple[Value, ...], sums: Sequence[Value], replaces: bool) -> Sequence[Value]:
        a_here, b_here = (
            b.offset(place, dot(b, indices, [axis.strides[side] for axis in loops]), element)
            for side, place in enumerate(places)
        )

        def column(place: int) -> Value:
            start = b.offset(b_here, b.i64(place * tile.lanes), element)
            return b.load(start, vector(element, tile.computed[place]))

        def factor(row: int) -> Value:
            return b.load(b.offset(a_here, b.i64(row * row_stride), element), element)

        # The shorter side stays in registers while the other one passes by.
        vectors = range(len(tile.computed))
        pairs: Iterable[tuple[int, int]] = itertools.product(range(tile.rows), vectors)
        if tile.rows < len(vectors):
            pairs = ((row, place) for place, row in itertools.product(vectors, range(tile.rows)))
        result = list(sums)
        column_of, factor_of = functools.cache(column), functools.cache(factor)
        for row, place in pairs:
            number = row * len(vectors) + place
            factors = b.splat(factor_of(row), tile.computed[place])
            result[number] = b.fmuladd(factors, column_of(place), result[number])
        if replaces and successor is not None:
            _replace(b, target, tile, element, b_here, successor, indices)
        return result

    def run(indices: tuple[Value, ...], sums: Sequence[Value]) -> Sequence[Value]:
        start, end = b.i64(0), extents[-1]
        if successor is not None:
            turns = b.select(successor.wanted, end, start)
            with b.loop(start, turns, carried=sums) as loop:
                loop.carry(*step((*indices, loop.index), loop.carried, True))
            start, sums = turns, loop.results
        with b.loop(start, end, carried=sums) as loop:
            loop.carry(*step((*indices, loop.index), loop.carried, False))
        return loop.results

    zeros = [b.constant(vector(element, lanes), 0) for _ in range(tile.rows) for lanes in tile.computed]
    sums = nested_loops(b, extents[:-1], run, zeros)
    count = len(tile.computed)
    return [list(sums[row * count : (row + 1) * count]) for row in range(tile.rows)]


def _replace(
    b: Builder,
    target: Target,
    tile: Tile,
    element: str,
    line: Value,
    successor: Successor,
    indices: Sequence[Value],
) -> None:
    """Puts the successor's columns of this k into the line of the panel."""
    place = dot(b, indices, successor.strides)
    source = b.offset(successor.source, place, successor.element)
    later = b.offset(source, b.i64(_AHEAD * successor.strides[-1]), successor.element)
    prefetch(b, later)
    for number, lanes in enumerate(tile.computed):
        start = b.i64(number * tile.lanes)
        x = b.load(b.offset(source, start, successor.element), vector(successor.element, lanes))
        b.store(widen(b, target, x, element), b.offset(line, start, element))


def accumulate_along(
    b: Builder,
    target: Target,
    tile: Tile,
    element: str,
    places: tuple[Value, Value],
    elements: tuple[str, str],
    strides: tuple[int, int],
    loops: Sequence[Axis],
) -> list[list[Value]]:
    """The same sums where k lies along the vectors of both operands: the lanes are added up at the end.

    places, elements, strides: of a and of b: where they begin, what lies there, and how far rows (columns) are apart.
    """
    lanes = target.lanes(size_of(element))
    inner = loops[-1].extent
    whole = inner - inner % lanes
    counts = (tile.rows, tile.columns)

    def step(indices: Sequence[Value], k: Value, width: int, sums: Sequence[Value]) -> list[Value]:
        sides = []
        for side in range(2):
            offset = dot(b, [*indices, k], [axis.strides[side] for axis in loops])
            start = b.offset(places[side], offset, elements[side])
            lines = [b.offset(start, b.i64(line * strides[side]), elements[side]) for line in range(counts[side])]
            read = [widen(b, target, b.load(line, vector(elements[side], width)), element) for line in lines]
            sides.append([filled(b, x, lanes) for x in read])
        pairs = itertools.product(range(tile.rows), range(tile.columns))
        return [b.fmuladd(sides[0][i], sides[1][j], total) for (i, j), total in zip(pairs, sums)]

    def body(indices: tuple[Value, ...], sums: Sequence[Value]) -> Sequence[Value]:
        if whole:
            with b.loop(b.i64(0), b.i64(whole), lanes, carried=sums) as loop:
                loop.carry(*step(indices, loop.index, lanes, loop.carried))
            sums = loop.results
        return step(indices, b.i64(whole), inner - whole, sums) if whole < inner else sums

    zeros = [b.constant(vector(element, lanes), 0)] * (tile.rows * tile.columns)
    sums = nested_loops(b, [b.i64(axis.extent) for axis in loops[:-1]], body, zeros)
    totals = [sum_of_lanes(b, x) for x in sums]
    return [[b.gather_lanes(totals[row * tile.columns : (row + 1) * tile.columns])] for row in range(tile.rows)]


def sum_of_lanes(b: Builder, x: Value) -> Value:
    """The sum of all lanes, halves added to halves."""
    lanes = lanes_of(x.type)
    while lanes > 1:
        lanes //= 2
        low, high = b.shuffle(x, x, range(lanes)), b.shuffle(x, x, range(lanes, 2 * lanes))
        if lanes == 1:
            low, high = b.extract(x, 0), b.extract(x, 1)
        x = b.fadd(low, high)
    return x


def prefetch(b: Builder, pointer: Value, write: bool = False) -> None:
    """Asks for a line of memory that will be read (or written) soon."""
    b.module.declare("llvm.prefetch.p0", "void @llvm.prefetch.p0(ptr, i32, i32, i32)")
    b.line(f"call void @llvm.prefetch.p0(ptr {pointer.text}, i32 {int(write)}, i32 3, i32 1)")


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
    if len(rows) == 1:
        return [b.extract(rows[0], lane) for lane in range(lanes)]
    if lanes == 1:
        return [b.gather_lanes(rows)]
    piece = 16 // size_of(element_of(rows[0].type))
    columns: list[Value] = []
    for start in range(0, lanes, piece):
        order = [min(lane, lanes - 1) for lane in range(start, start + piece)]
        columns += transpose_strip(b, [b.shuffle(row, row, order) for row in rows], piece)
    return columns[:lanes]


def transpose_strip(b: Builder, rows: Sequence[Value], lanes: int) -> list[Value]:
    """`lanes` vectors of len(rows) lanes, from rows of 2 or 4 lanes that are 16 bytes long.

    Every fourth (second) row goes into one long vector, since processors shuffle best inside of 16 bytes.
    """
    pieces = 1 << (-(-len(rows) // lanes) - 1).bit_length()
    nothing = [Value("poison", rows[0].type)] * pieces
    long = [_joined(b, [*rows[place::lanes], *nothing][:pieces]) for place in range(lanes)]
    total = lanes * pieces

    def shuffled(x: Value, y: Value, order: Sequence[int]) -> Value:
        """Inside of each 16 bytes: lanes of x, and of y numbered from `lanes` on."""
        inside = [lane if lane < lanes else lane - lanes + total for lane in order]
        return b.shuffle(x, y, [start + lane for start in range(0, total, lanes) for lane in inside])

    if lanes == 2:
        columns = [shuffled(long[0], long[1], order) for order in ((0, 2), (1, 3))]
    else:
        columns = []
        for order in ((0, 4, 1, 5), (2, 6, 3, 7)):
            x, y = shuffled(long[0], long[1], order), shuffled(long[2], long[3], order)
            columns += [shuffled(x, y, half) for half in ((0, 1, 4, 5), (2, 3, 6, 7))]
    return columns if len(rows) == total else [_first(b, column, len(rows)) for column in columns]


def _joined(b: Builder, parts: Sequence[Value]) -> Value:
    """The lanes of all parts, whose number is a power of two."""
    while len(parts) > 1:
        lanes = 2 * lanes_of(parts[0].type)
        parts = [b.shuffle(x, y, range(lanes)) for x, y in zip(parts[::2], parts[1::2])]
    return parts[0]


def _first(b: Builder, x: Value, lanes: int) -> Value:
    return b.extract(x, 0) if lanes == 1 else b.shuffle(x, x, range(lanes))
