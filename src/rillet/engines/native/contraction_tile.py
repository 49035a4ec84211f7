"""Writes the functions that compute one tile of a contraction, and what becomes of its results."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from rillet.engines.native.contraction_operands import Axis, Store, Strided, coalesce, extent_of
from rillet.engines.native.contraction_plan import LINE, Plan
from rillet.engines.native.llvm import Builder, Module, Value, lanes_of, size_of, vector
from rillet.engines.native.microkernel import Successor, Tile, accumulate, accumulate_along, dot, prefetch, transpose
from rillet.engines.native.storage import narrow
from rillet.engines.native.target import Target

Tiled = list[list[Value]]  # rows of vectors of columns


def block_loops(plan: Plan, a_stride: int | None, b_stride: int | None) -> list[Axis]:
    """The loops over a block of k; a stride given is that of a packed panel from one k to the next."""
    axes: list[Axis] = []
    step = 1
    for axis in reversed([replace(plan.k_axis, extent=plan.k_chunk), *plan.k_inner]):
        strides = (
            axis.strides[0] if a_stride is None else a_stride * step,
            axis.strides[1] if b_stride is None else b_stride * step,
        )
        axes.insert(0, Axis(axis.extent, strides))
        step *= axis.extent
    return coalesce(axes) or [axes[-1]]


def block_extents(plan: Plan, b: Builder, loops: Sequence[Axis], count: Value) -> list[Value]:
    """How often the loops run in a block whose first axis, the one that was cut, is `count` long."""
    extents = [b.i64(axis.extent) for axis in loops]
    if not plan.k_is_even:
        extents[0] = dot(b, [count], [extent_of(plan.k_inner) // extent_of(loops[1:])])
    return extents


class TileWriter:
    """Writes micro-kernels, each when it is first asked for."""

    def __init__(self, module: Module, name: str, target: Target, plan: Plan) -> None:
        self.module, self.name, self.target, self.plan = module, name, target, plan
        self.problem = plan.problem
        self.element = plan.problem.element
        self.functions: dict[str, str] = {}
        self.replacing = {Tile(rows, plan.n.size, plan.lanes, True) for rows in plan.last_rows} if plan.copies_b else ()

    def function(self, tile: Tile) -> str:
        """The name of the function that computes a tile."""
        name = f"{self.name}.tile{tile.rows}x{tile.columns}"
        if name not in self.functions:
            self.functions[name] = name
            self._write(name, tile)
        return name

    def _write(self, name: str, tile: Tile) -> None:
        parameters = [("ptr", name) for name in ("operands", "a", "b", "c", "partial")]
        parameters += [("i64", name) for name in ("batch", "m", "n", "count")] + [("i1", "first"), ("i1", "last")]
        if self.plan.copies_b:
            parameters += [("i1", "replaces"), ("ptr", "source")]
        b = self.b = Builder(self.module, name, parameters, "internal void", "nounwind noinline")
        self._prefetch_results(tile)
        self._announce_results(tile)
        sums = self._sums_along(tile) if self.plan.along else self._sums(tile)
        if self.plan.k_blocks == 1:
            self._finish(tile, sums)
        else:
            self._finish_block(tile, sums)
        b.ret()

    def _prefetch_results(self, tile: Tile) -> None:
        c, b = self.problem.c, self.b
        if c is not None and self.plan.n.run.strides[1] == 1 and tile.rows > 1:
            for row in range(tile.rows):
                prefetch(b, b.offset(b.parameters["c"], b.i64(row * self.plan.m.run.strides[1]), c.element), write=True)

    def _announce_results(self, tile: Tile) -> None:
        """Tells the caller what will be handed over when the last block of k is done."""
        announce, b = self.problem.announce, self.b
        if announce is None:
            return
        m, n = b.parameters["m"], b.parameters["n"]
        rows, columns = tile.rows, tile.columns
        if self.problem.swapped:
            m, n, rows, columns = n, m, columns, rows
        is_last = contextlib.nullcontext() if self.plan.k_blocks == 1 else b.when(b.parameters["last"])
        with is_last, b.loop(b.i64(0), b.i64(rows)) as loop:
            for start in range(0, columns, LINE // size_of(self.element)):
                row, column = dot(b, [m, loop.index], [1, 1]), dot(b, [n, b.i64(start)], [1, 1])
                announce(b, b.parameters["batch"], row, column)

    def loops(self) -> list[Axis]:
        """The loops over a block of k as tiles run them."""
        plan = self.plan
        return block_loops(plan, plan.m.size if plan.packs_a else None, plan.panel_stride if plan.packs_b else None)

    def _sums(self, tile: Tile) -> Tiled:
        plan, b = self.plan, self.b
        given = b.parameters
        loops = self.loops()
        extents = block_extents(plan, b, loops, given["count"])
        row_stride = 1 if plan.packs_a else plan.m.run.strides[0]
        successor = None
        if tile in self.replacing and isinstance(self.problem.b, Strided):
            apart = (plan.k_inner or [plan.k_axis])[-1].strides[1]
            strides = [apart * extent_of(loops[place + 1 :]) for place in range(len(loops))]
            successor = Successor(given["replaces"], given["source"], self.problem.b.element, strides)
        places = given["a"], given["b"]
        return accumulate(b, self.target, tile, self.element, places, row_stride, loops, extents, successor)

    def _sums_along(self, tile: Tile) -> Tiled:
        plan, b = self.plan, self.b
        a, matrix = self.problem.a, self.problem.b
        assert isinstance(a, Strided) and isinstance(matrix, Strided), "only what lies in memory is read along k"
        loops = block_loops(plan, None, None)
        strides = plan.m.run.strides[0], plan.n.run.strides[0]
        places = b.parameters["a"], b.parameters["b"]
        return accumulate_along(b, self.target, tile, self.element, places, (a.element, matrix.element), strides, loops)

    # ---- blocks of k --------------------------------------------------------------------------------------------

    def _finish_block(self, tile: Tile, sums: Tiled) -> None:
        """Adds what the blocks of k before gave; the last block finishes the tile, the others put it back."""
        plan, b = self.plan, self.b
        home, stride, lanes = b.parameters["c"], plan.m.run.strides[1], tile.kept
        if plan.keeps_partial:
            home, stride, lanes = b.parameters["partial"], plan.panel_stride, tile.computed
        places = [
            [b.offset(home, b.i64(row * stride + place * tile.lanes), self.element) for place in range(len(lanes))]
            for row in range(tile.rows)
        ]
        before, again, joined = b.block, b.label(), b.label()
        b.branch(b.parameters["first"], joined, again)
        b.start(again)
        added = [
            [
                b.fadd(x, self._widened(b.load(place, vector(self.element, width)), lanes_of(x.type)))
                for x, place, width in zip(row, row_places, lanes)
            ]
            for row, row_places in zip(sums, places)
        ]
        b.jump(joined)
        b.start(joined)
        totals = [
            [b.phi(x.type, [(x, before), (y, again)]) for x, y in zip(row, others)] for row, others in zip(sums, added)
        ]

        def put_back() -> None:
            for row, row_places in zip(totals, places):
                for x, place, width in zip(row, row_places, lanes):
                    b.store(self._cut(x, width), place)

        if self.problem.store is None and not plan.keeps_partial:
            put_back()
            return
        last, others, end = b.label(), b.label(), b.label()
        b.branch(b.parameters["last"], last, others)
        b.start(last)
        self._finish(tile, totals)
        b.jump(end)
        b.start(others)
        put_back()
        b.jump(end)
        b.start(end)

    def _widened(self, x: Value, lanes: int) -> Value:
        """x with that many lanes, the new ones holding anything."""
        count = lanes_of(x.type)
        if count == lanes:
            return x
        if count == 1:
            return self.b.splat(x, lanes)
        return self.b.shuffle(x, x, [min(lane, count - 1) for lane in range(lanes)])

    def _cut(self, x: Value, lanes: int) -> Value:
        """The first lanes of x."""
        if lanes_of(x.type) == lanes:
            return x
        return self.b.extract(x, 0) if lanes == 1 else self.b.shuffle(x, x, range(lanes))

    # ---- results ------------------------------------------------------------------------------------------------

    def _finish(self, tile: Tile, sums: Tiled) -> None:
        """Stores the tile's results, or hands them to the caller's `store`, row by row of the caller's C."""
        if self.problem.store is not None:
            self._hand_over(tile, sums, self.problem.store)
            return
        b, c = self.b, self.problem.c
        assert c is not None, "a problem has a place or a function for its results"
        row_stride, stride = self.plan.m.run.strides[1], self.plan.n.run.strides[1]
        rows = self._kept(tile, sums)
        if stride != 1 and row_stride == 1:
            rows, row_stride, stride = self._turned(tile, sums), stride, 1
        for number, row in enumerate(rows):
            start = number * row_stride
            for x in row:
                lanes = lanes_of(x.type)
                x = narrow(b, self.target, x, c.element)
                parts = [x] if stride == 1 else [b.extract(x, lane) for lane in range(lanes)]
                for lane, part in enumerate(parts):
                    b.store(part, b.offset(b.parameters["c"], b.i64(start + lane * stride), c.element))
                start += lanes * stride

    def _kept(self, tile: Tile, sums: Tiled) -> Tiled:
        return [[self._cut(x, lanes) for x, lanes in zip(row, tile.kept)] for row in sums]

    def _turned(self, tile: Tile, sums: Tiled) -> Tiled:
        """The tile transposed: for each column, its rows as one vector."""
        result: Tiled = []
        for place, (computed, kept) in enumerate(zip(tile.computed, tile.kept)):
            columns = transpose(self.b, [row[place] for row in sums], computed)
            result += [[column] for column in columns[:kept]]
        return result

    def _hand_over(self, tile: Tile, sums: Tiled, store: Store) -> None:
        """Calls `store` in a loop over rows, so that its code is there once: the tile goes through memory."""
        b = self.b
        rows = self._turned(tile, sums) if self.problem.swapped else self._kept(tile, sums)
        starts: list[int] = []
        width = 0
        for x in rows[0]:
            starts.append(width)
            width += lanes_of(x.type)
        if len(rows) == 1:
            self._hand_row(store, b.i64(0), starts, rows[0])
            return
        memory = b.alloca(self.element, len(rows) * width)
        for number, row in enumerate(rows):
            for start, x in zip(starts, row):
                b.store(x, b.offset(memory, b.i64(number * width + start), self.element))
        with b.loop(b.i64(0), b.i64(len(rows))) as loop:
            place = b.offset(memory, b.mul(loop.index, b.i64(width)), self.element)
            values = [b.load(b.offset(place, b.i64(start), self.element), x.type) for start, x in zip(starts, rows[0])]
            self._hand_row(store, loop.index, starts, values)

    def _hand_row(self, store: Store, row: Value, starts: Sequence[int], values: Sequence[Value]) -> None:
        b = self.b
        m, n = b.parameters["m"], b.parameters["n"]
        if self.problem.swapped:
            m, n = n, m
        m = dot(b, [m, row], [1, 1])
        for start, x in zip(starts, values):
            store(b, b.parameters["batch"], m, dot(b, [n, b.i64(start)], [1, 1]), x, lanes_of(x.type))
