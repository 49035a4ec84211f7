"""Writes the kernel of a planned contraction: loops over tasks, blocks of k, panels and tiles, and the packing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rillet.engines.native.contraction_operands import Axis, Computed, Strided, extent_of
from rillet.engines.native.contraction_plan import Cut, Plan, round_up
from rillet.engines.native.contraction_tile import TileWriter, block_extents, block_loops
from rillet.engines.native.llvm import Builder, Module, Value, size_of, vector
from rillet.engines.native.microkernel import Tile, dot
from rillet.engines.native.packing import Fetch, pack_across, pack_along
from rillet.engines.native.storage import widen
from rillet.engines.native.target import Target


@dataclass(frozen=True)
class _Task:
    """Where a task is, as values of the kernel's function. k: offsets in a and in b of the block of k."""

    batch: Value
    batch_offsets: Sequence[Value]  # in a, b, c
    scratch: Value
    first_unit: Value
    end_unit: Value
    first_panel: Value
    end_panel: Value
    k: Sequence[Value]
    count: Value  # of the axis of k that is cut
    first: Value
    last: Value


@dataclass(frozen=True)
class _Piece:
    """A unit of rows or a panel of columns: its size, its offsets in a (or b) and c, its linear index, its number."""

    size: int
    offset: Value
    c_offset: Value
    index: Value
    number: Value


class ContractionKernel:
    """Writes the functions of one plan: the kernel, its micro-kernels, its packing."""

    def __init__(self, module: Module, name: str, target: Target, plan: Plan, scratch: int | None) -> None:
        if plan.task_scratch and scratch is None:
            raise ValueError(f"The contraction {name} needs scratch memory")
        self.module, self.name, self.target, self.plan = module, name, target, plan
        self.scratch = scratch
        self.problem = plan.problem
        self.element = plan.problem.element
        self.tiles = TileWriter(module, name, target, plan)
        self.packers: dict[str, str] = {}

    def write(self) -> None:
        plan = self.plan
        parameters = [("ptr", "operands"), ("i64", "begin"), ("i64", "end")]
        b = self.b = Builder(self.module, self.name, parameters, attributes="nounwind")
        null = Value("null", "ptr")
        self.panel = b.alloca(self.element, plan.depth * plan.panel_stride) if plan.packs_b else null
        addresses = [self._address(operand) for operand in (self.problem.a, self.problem.b, self.problem.c)]
        self.a, self.b_matrix, self.c = addresses
        scratch = b.load(self._place(self.scratch), "ptr") if plan.task_scratch and self.scratch is not None else null
        with b.loop(b.parameters["begin"], b.parameters["end"]) as tasks:
            batch_axes = self.problem.batch
            batch, m_block, n_block = self._split(tasks.index, [extent_of(batch_axes), plan.m_blocks, plan.n_blocks])
            digits = self._split(batch, [axis.extent for axis in batch_axes])
            offsets = [dot(b, digits, [axis.strides[i] for axis in batch_axes]) for i in range(3)]
            here = b.offset(scratch, b.mul(tasks.index, b.i64(plan.task_scratch)), "i8") if plan.task_scratch else null
            units = self._block(m_block, plan.m_block, plan.m.units)
            panels = self._block(n_block, plan.n_block, plan.n.units)
            yes, none = Value("true", "i1"), b.i64(0)
            count = b.i64(plan.k_chunk)
            self._write_task(_Task(batch, offsets, here, *units, *panels, [none, none], count, yes, yes))
        b.ret()

    # ---- small things -------------------------------------------------------------------------------------------

    def _place(self, operand: int) -> Value:
        return self.b.offset(self.b.parameters["operands"], self.b.i64(operand), "ptr")

    def _address(self, operand: Strided | Computed | None) -> Value:
        if not isinstance(operand, Strided):
            return Value("null", "ptr")
        start = self.b.load(self._place(operand.operand), "ptr")
        return self.b.offset(start, self.b.i64(operand.offset), operand.element)

    def _split(self, index: Value, extents: Sequence[int]) -> list[Value]:
        """The digits of a linear index, outermost first."""
        b = self.b
        digits: list[Value] = []
        for extent in reversed(extents[1:]):
            if extent == 1:
                digits.insert(0, b.i64(0))
            elif index.text.isdigit():
                digits.insert(0, b.i64(int(index.text) % extent))
                index = b.i64(int(index.text) // extent)
            else:
                digits.insert(0, b.binary("urem", index, b.i64(extent)))
                index = b.binary("udiv", index, b.i64(extent))
        return [index if extents[0] > 1 else b.i64(0), *digits] if extents else []

    def _minimum(self, x: Value, y: Value) -> Value:
        return self.b.intrinsic("smin", "i64", x, y)

    def _sum(self, *terms: Value) -> Value:
        return dot(self.b, terms, [1] * len(terms))

    def _block(self, number: Value, size: int, extent: int) -> tuple[Value, Value]:
        """Where block `number` begins and ends."""
        b = self.b
        if size >= extent:
            return b.i64(0), b.i64(extent)
        start = b.mul(number, b.i64(size))
        end = b.add(start, b.i64(size))
        return start, end if extent % size == 0 else self._minimum(end, b.i64(extent))

    # ---- loops --------------------------------------------------------------------------------------------------

    def _write_task(self, task: _Task) -> None:
        plan, b = self.plan, self.b
        if plan.k_blocks == 1:
            self._write_k_block(task)
            return
        with b.loop(b.i64(0), b.i64(plan.k_blocks)) as blocks:
            axes = [*plan.k_outer, plan.k_axis]
            chunks = -(-plan.k_axis.extent // plan.k_chunk)
            digits = self._split(blocks.index, [*(axis.extent for axis in plan.k_outer), chunks])
            start, end = self._block(digits[-1], plan.k_chunk, plan.k_axis.extent)
            offsets = [dot(b, [*digits[:-1], start], [axis.strides[i] for axis in axes]) for i in range(2)]
            count = b.i64(plan.k_chunk) if plan.k_is_even else b.sub(end, start)
            first = b.compare("eq", blocks.index, b.i64(0))
            last = b.compare("eq", blocks.index, b.i64(plan.k_blocks - 1))
            self._write_k_block(replace(task, k=offsets, count=count, first=first, last=last))

    def _write_k_block(self, task: _Task) -> None:
        plan, b = self.plan, self.b
        if plan.packs_a:
            sizes = plan.m.sizes(range(plan.m.units))
            with b.loop(task.first_unit, task.end_unit) as units:
                self._each(plan.m, units.index, sizes, lambda rows: self._pack_a(task, rows))
        sizes = plan.n.sizes(range(plan.n.units))
        with b.loop(task.first_panel, task.end_panel) as panels:
            self._each(plan.n, panels.index, sizes, lambda columns: self._write_panel(task, columns))

    def _write_panel(self, task: _Task, columns: _Piece) -> None:
        plan, b = self.plan, self.b
        start = task.first_unit
        if plan.copies_b:
            sizes = plan.m.sizes(range(0, plan.m.units, plan.m_block))
            self._each(plan.m, start, sizes, lambda rows: self._write_tile(task, rows, columns, copies=True))
            start = self._sum(start, b.i64(1))
        elif plan.packs_b:
            self._pack_b(task, columns)
        sizes = plan.m.sizes(range(plan.m.units))
        with b.loop(start, task.end_unit) as units:
            self._each(plan.m, units.index, sizes, lambda rows: self._write_tile(task, rows, columns))

    def _each(self, cut: Cut, number: Value, sizes: Sequence[int], write: Callable[[_Piece], None]) -> None:
        """Writes what is done with piece `number`, for each of the sizes it may have."""
        b = self.b
        outer, place = self._split(number, [extent_of(cut.outer), cut.pieces])
        start = dot(b, [place], [cut.small if cut.large < cut.pieces else cut.size])
        if cut.large < cut.pieces and cut.large:
            start = self._sum(start, dot(b, [self._minimum(place, b.i64(cut.large))], [cut.size - cut.small]))
        digits = [*self._split(outer, [axis.extent for axis in cut.outer]), start]
        offsets = [dot(b, digits, [axis.strides[i] for axis in cut.axes]) for i in range(2)]
        index = dot(b, [outer, start], [cut.run.extent, 1])
        pieces = [_Piece(size, *offsets, index, number) for size in sizes]
        if len(pieces) == 1:
            write(pieces[0])
            return
        large, small, end = b.label(), b.label(), b.label()
        b.branch(b.compare("slt", place, b.i64(cut.large)), large, small)
        for label, piece in zip((large, small), pieces):
            b.start(label)
            write(piece)
            b.jump(end)
        b.start(end)

    # ---- one tile -----------------------------------------------------------------------------------------------

    def _write_tile(self, task: _Task, rows: _Piece, columns: _Piece, copies: bool = False) -> None:
        """copies: b is read where it lies, and packed on the way."""
        plan, b = self.plan, self.b
        a, matrix, c, partial = Value("null", "ptr"), self.panel, self.c, Value("null", "ptr")
        if plan.packs_a:
            a = self._packed_a(task, rows)
        elif isinstance(self.problem.a, Strided):
            offset = self._sum(task.batch_offsets[0], rows.offset, task.k[0])
            a = b.offset(self.a, offset, self.problem.a.element)
        if isinstance(self.problem.b, Strided) and (copies or not plan.packs_b):
            offset = self._sum(task.batch_offsets[1], columns.offset, task.k[1])
            matrix = b.offset(self.b_matrix, offset, self.problem.b.element)
        if self.problem.c is not None:
            c = b.offset(c, self._sum(task.batch_offsets[2], rows.c_offset, columns.c_offset), self.problem.c.element)
        if plan.keeps_partial:
            row, column = b.sub(rows.number, task.first_unit), b.sub(columns.number, task.first_panel)
            start = b.offset(task.scratch, b.i64(plan.a_block_bytes), "i8")
            number = dot(b, [row, column], [plan.n_block * plan.partial_tile, plan.partial_tile])
            partial = b.offset(start, number, self.element)
        name = self.tiles.function(Tile(rows.size, columns.size, plan.lanes, plan.packs_b), copies)
        given = [a, matrix, self.panel, c, partial, task.batch, rows.index, columns.index]
        b.call("void", f"@{name}", b.parameters["operands"], *given, task.count, task.first, task.last)

    # ---- packing ------------------------------------------------------------------------------------------------

    def _packed_a(self, task: _Task, rows: _Piece) -> Value:
        """Where the packed rows of a tile are; each tile has room for the full number of rows."""
        unit = self.b.sub(rows.number, task.first_unit)
        return self.b.offset(task.scratch, dot(self.b, [unit], [self.plan.depth * self.plan.m.size]), self.element)

    def _pack_a(self, task: _Task, rows: _Piece) -> None:
        """Packs the rows of a tile, for one block of k."""
        stride = self.plan.m.size
        width = stride if stride <= self.target.lanes(size_of(self.element)) or stride % 2 else stride // 2
        self._pack(task, 0, rows, self._packed_a(task, rows), width, stride)

    def _pack_b(self, task: _Task, columns: _Piece) -> None:
        """Packs the panel of those columns, for one block of k."""
        self._pack(task, 1, columns, self.panel, self.plan.lanes, self.plan.panel_stride)

    def _pack(self, task: _Task, side: int, piece: _Piece, destination: Value, width: int, stride: int) -> None:
        """Packs `width` rows of a or columns of b after the other. stride: of the panel, from one k to the next."""
        b = self.b
        across = (self.plan.m, self.plan.n)[side].run.strides[0]

        def call(name: str, place: Value, valid: Value) -> None:
            start = dot(b, [piece.offset, place], [1, across])
            given = [b.offset(destination, place, self.element), task.batch_offsets[side], start, task.k[side]]
            b.call("void", f"@{name}", b.parameters["operands"], *given, task.count, valid)

        if self._packs_along(side):
            name = self._packer(side, stride, width, width)
            with b.loop(b.i64(0), b.i64(piece.size), width) as loop:
                call(name, loop.index, self._minimum(b.i64(width), b.sub(b.i64(piece.size), loop.index)))
            return
        whole = piece.size - piece.size % width
        if whole:
            name = self._packer(side, stride, width, width)
            with b.loop(b.i64(0), b.i64(whole), width) as loop:
                call(name, loop.index, b.i64(width))
        if whole < piece.size:
            rest = piece.size - whole
            call(self._packer(side, stride, width, rest), b.i64(whole), b.i64(rest))

    def _packs_along(self, side: int) -> bool:
        """Whether elements that follow each other in k, or in nothing, are read; else those side by side."""
        operand = (self.problem.a, self.problem.b)[side]
        if isinstance(operand, Computed):
            return operand.along == ("columns", "rows")[side]
        return (self.plan.m, self.plan.n)[side].run.strides[0] != 1

    def _packer(self, side: int, stride: int, width: int, valid: int) -> str:
        """The function that packs a strip of `valid` (or fewer, if they are read along k) of `width` elements a k."""
        name = f"{self.name}.pack_{'ab'[side]}{valid}"
        if name in self.packers:
            return name
        self.packers[name] = name
        operand = (self.problem.a, self.problem.b)[side]
        parameters = [("ptr", "operands"), ("ptr", "destination")]
        parameters += [("i64", name) for name in ("batch", "start", "k", "count", "valid")]
        b = Builder(self.module, name, parameters, "internal void", "nounwind noinline")
        loops = [
            Axis(axis.extent, (axis.strides[side], axis.strides[1 - side]))
            for axis in (block_loops(self.plan, stride, None) if side else block_loops(self.plan, None, stride))
        ][:]
        extents = block_extents(self.plan, b, loops, b.parameters["count"])
        across = (self.plan.m, self.plan.n)[side].run.strides[0]
        if isinstance(operand, Computed):
            fetch = self._fetch_computed(b, side, operand)
        else:
            fetch = self._fetch_strided(b, operand, across)
        destination = b.parameters["destination"]
        most = self.target.lanes(size_of(self.element))
        if self._packs_along(side):
            lanes = most if loops[-1].strides[0] == 1 else 1
            pack_along(b, fetch, width, lanes, self.element, destination, b.parameters["valid"], loops, extents)
        else:
            lanes_list = [min(most, valid - place) for place in range(0, valid, most)]
            room = width if side else valid
            pack_across(b, fetch, lanes_list, room, self.element, destination, loops, extents)
        b.ret()
        return name

    def _fetch_computed(self, b: Builder, side: int, operand: Computed) -> Fetch:
        given = b.parameters

        def fetch(place: Value, k: Value, lanes: int) -> Value:
            line, depth = dot(b, [given["start"], place], [1, 1]), dot(b, [given["k"], k], [1, 1])
            row, column = (depth, line) if side else (line, depth)
            return widen(b, self.target, operand.load(b, given["batch"], row, column, lanes), self.element)

        return fetch

    def _fetch_strided(self, b: Builder, operand: Strided, across: int) -> Fetch:
        given = b.parameters
        place = b.offset(given["operands"], b.i64(operand.operand), "ptr")
        start = dot(b, [given["batch"], given["start"], given["k"], b.i64(operand.offset)], [1, 1, 1, 1])
        base = b.offset(b.load(place, "ptr"), start, operand.element)

        def fetch(place: Value, k: Value, lanes: int) -> Value:
            line = b.offset(base, dot(b, [place], [across]), operand.element)
            x = b.load(b.offset(line, k, operand.element), vector(operand.element, lanes))
            return widen(b, self.target, x, self.element)

        return fetch
