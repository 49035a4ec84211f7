"""Writes the kernel of a planned contraction: loops over tasks, blocks of k, panels and tiles, and the packing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rillet.engines.native.contraction_operands import Axis, Computed, Operand, Strided, extent_of
from rillet.engines.native.contraction_plan import Cut, Plan, round_up
from rillet.engines.native.contraction_tile import TileWriter, block_extents, block_loops
from rillet.engines.native.llvm import Builder, Module, Value, size_of, vector
from rillet.engines.native.microkernel import Tile, dot, prefetch
from rillet.engines.native.packing import Source, Strip, pack_across, pack_along
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
        self.most = target.lanes(size_of(self.element))
        self.packers: dict[str, str] = {}

    def write(self) -> None:
        plan = self.plan
        parameters = [("ptr", "operands"), ("i64", "begin"), ("i64", "end")]
        b = self.b = Builder(self.module, self.name, parameters, attributes="nounwind")
        self.panel = b.alloca("i8", plan.panel_bytes) if plan.packs_b else _NULL
        self.addresses = [_address(b, operand) for operand in (self.problem.a, self.problem.b, self.problem.c)]
        scratch = _NULL
        if plan.task_scratch and self.scratch is not None:
            scratch = b.load(_place(b, self.scratch), "ptr")
        with b.loop(b.parameters["begin"], b.parameters["end"]) as tasks:
            batch_axes = self.problem.batch
            batch, m_block, n_block = _split(b, tasks.index, [extent_of(batch_axes), plan.m_blocks, plan.n_blocks])
            digits = _split(b, batch, [axis.extent for axis in batch_axes])
            offsets = [dot(b, digits, [axis.strides[i] for axis in batch_axes]) for i in range(3)]
            here = scratch
            if plan.task_scratch:
                here = b.offset(scratch, b.mul(tasks.index, b.i64(plan.task_scratch)), "i8")
            units = _block(b, m_block, plan.m_block, plan.m.units)
            panels = _block(b, n_block, plan.n_block, plan.n.units)
            yes, none = Value("true", "i1"), b.i64(0)
            task = _Task(batch, offsets, here, *units, *panels, [none, none], b.i64(plan.k_chunk), yes, yes)
            self._write_task(task)
        b.ret()

    # ---- loops --------------------------------------------------------------------------------------------------

    def _write_task(self, task: _Task) -> None:
        plan, b = self.plan, self.b
        if plan.k_blocks == 1:
            self._write_k_block(task)
            return
        with b.loop(b.i64(0), b.i64(plan.k_blocks)) as blocks:
            axes = [*plan.k_outer, plan.k_axis]
            chunks = -(-plan.k_axis.extent // plan.k_chunk)
            digits = _split(b, blocks.index, [*(axis.extent for axis in plan.k_outer), chunks])
            start, end = _block(b, digits[-1], plan.k_chunk, plan.k_axis.extent)
            offsets = [dot(b, [*digits[:-1], start], [axis.strides[i] for axis in axes]) for i in range(2)]
            count = b.i64(plan.k_chunk) if plan.k_is_even else b.sub(end, start)
            first = b.compare("eq", blocks.index, b.i64(0))
            last = b.compare("eq", blocks.index, b.i64(plan.k_blocks - 1))
            self._write_k_block(replace(task, k=offsets, count=count, first=first, last=last))

    def _write_k_block(self, task: _Task) -> None:
        plan, b = self.plan, self.b
        if plan.packs_a:
            with b.loop(task.first_unit, task.end_unit) as units:
                self._pack_a(task, units.index)
        if plan.copies_b:
            self._pack_b(task, task.first_panel)
        with b.loop(task.first_panel, task.end_panel) as panels:
            _each(b, plan.n, panels.index, lambda columns: self._write_panel(task, columns))

    def _write_panel(self, task: _Task, columns: _Piece) -> None:
        """All tiles of a panel of b."""
        plan, b = self.plan, self.b
        successor: Sequence[Value] = []
        if plan.copies_b and columns.size == plan.n.size:
            successor = self._successor(task, columns)
        elif plan.copies_b:
            with b.when(b.compare("ne", columns.number, task.first_panel)):
                self._pack_b(task, columns.number)
            successor = [Value("false", "i1"), _NULL]
        elif plan.packs_b:
            self._pack_b(task, columns.number)
        with b.loop(task.first_unit, task.end_unit) as units:
            _each(b, plan.m, units.index, lambda rows: self._write_tile(task, rows, columns, successor))

    def _successor(self, task: _Task, columns: _Piece) -> Sequence[Value]:
        """(whether the panel after `columns` is to be packed by the last tile, where it lies)."""
        plan, b = self.plan, self.b
        assert isinstance(self.problem.b, Strided), "what is computed is not copied"
        number = b.add(columns.number, b.i64(1))
        following, is_large = _find(b, plan.n, number)
        offset = dot(b, [task.batch_offsets[1], following.offset, task.k[1]], [1, 1, 1])
        source = b.offset(self.addresses[1], offset, self.problem.b.element)
        wanted = b.compare("slt", number, task.end_panel)
        return [b.binary("and", wanted, is_large) if is_large else wanted, source]

    # ---- one tile -----------------------------------------------------------------------------------------------

    def _write_tile(self, task: _Task, rows: _Piece, columns: _Piece, successor: Sequence[Value]) -> None:
        plan, b = self.plan, self.b
        a, matrix, c, partial = self.addresses[0], _NULL, self.addresses[2], _NULL
        if plan.packs_a:
            a = self._packed_a(task, rows.number)
        elif isinstance(self.problem.a, Strided):
            offset = dot(b, [task.batch_offsets[0], rows.offset, task.k[0]], [1, 1, 1])
            a = b.offset(a, offset, self.problem.a.element)
        if plan.packs_b:
            matrix = self.panel
        elif isinstance(self.problem.b, Strided):
            offset = dot(b, [task.batch_offsets[1], columns.offset, task.k[1]], [1, 1, 1])
            matrix = b.offset(self.addresses[1], offset, self.problem.b.element)
        if self.problem.c is not None:
            offset = dot(b, [task.batch_offsets[2], rows.c_offset, columns.c_offset], [1, 1, 1])
            c = b.offset(c, offset, self.problem.c.element)
        if plan.keeps_partial:
            row, column = b.sub(rows.number, task.first_unit), b.sub(columns.number, task.first_panel)
            start = b.offset(task.scratch, b.i64(plan.a_block_bytes), "i8")
            number = dot(b, [row, column], [plan.n_block * plan.partial_tile, plan.partial_tile])
            partial = b.offset(start, number, self.element)
        name = self.tiles.function(Tile(rows.size, columns.size, plan.lanes, plan.packs_b))
        given = [a, matrix, c, partial, task.batch, rows.index, columns.index]
        given += [task.count, task.first, task.last]
        if successor:
            is_last = b.compare("eq", rows.number, b.sub(task.end_unit, b.i64(1)))
            given += [b.binary("and", successor[0], is_last), successor[1]]
        b.call("void", f"@{name}", b.parameters["operands"], *given)

    # ---- packing ------------------------------------------------------------------------------------------------

    def _packed_a(self, task: _Task, number: Value) -> Value:
        """Where the packed rows of unit `number` are; each has room for the full number of rows."""
        unit = self.b.sub(number, task.first_unit)
        return self.b.offset(task.scratch, dot(self.b, [unit], [self.plan.depth * self.plan.m.size]), self.element)

    def _pack_a(self, task: _Task, number: Value) -> None:
        """Packs the rows of unit `number`, for one block of k."""
        given = [self._packed_a(task, number), task.batch_offsets[0], number, task.k[0], task.count]
        self.b.call("void", f"@{self._pack_function(0)}", self.b.parameters["operands"], *given)

    def _pack_loops(self, side: int) -> list[Axis]:
        """The loops over a block of k, with the strides of a (or b) and of its packed panel."""
        if side == 0:
            return block_loops(self.plan, None, self.plan.m.size)
        loops = block_loops(self.plan, self.plan.panel_stride, None)
        return [Axis(axis.extent, axis.strides[::-1]) for axis in loops]

    def _pack_b(self, task: _Task, number: Value) -> None:
        """Packs panel `number`, for one block of k."""
        given = [self.panel, task.batch_offsets[1], number, task.k[1], task.count]
        self.b.call("void", f"@{self._pack_function(1)}", self.b.parameters["operands"], *given)

    def _pack_function(self, side: int) -> str:
        """A function that packs any unit of rows or panel of columns: it finds out where that is, and how wide."""
        name = f"{self.name}.pack_{'ab'[side]}"
        if name in self.packers:
            return name
        self.packers[name] = name
        parameters = [("ptr", "operands"), ("ptr", "destination")]
        parameters += [("i64", name) for name in ("batch", "number", "k", "count")]
        b = Builder(self.module, name, parameters, "internal void", "nounwind noinline")
        given = b.parameters
        cut = (self.plan.m, self.plan.n)[side]
        operand = (self.problem.a, self.problem.b)[side]
        stride = self.plan.panel_stride if side else self.plan.m.size
        loops = self._pack_loops(side)
        extents = block_extents(self.plan, b, loops, given["count"])
        strip = Strip(given["destination"], self.element, stride, loops, extents)
        if self._packs_along(side):
            piece, is_large = _find(b, cut, given["number"])
            valid = b.select(is_large, b.i64(cut.size), b.i64(cut.small)) if is_large else b.i64(cut.sizes[0])
            self._pack_strips_along(b, self._source(b, side, operand, piece), strip, valid)
        else:
            _each(b, cut, given["number"], lambda piece: self._pack_across(b, side, operand, piece, strip))
        b.ret()
        return name

    def _packs_along(self, side: int) -> bool:
        """Whether elements that follow each other in k, or in nothing, are read; else those side by side."""
        operand = (self.problem.a, self.problem.b)[side]
        if isinstance(operand, Computed):
            return operand.along == ("columns", "rows")[side]
        return (self.plan.m, self.plan.n)[side].run.strides[0] != 1

    def _pack_strips_along(self, b: Builder, source: Source, strip: Strip, valid: Value) -> None:
        """Strips as wide as a vector, or as equal as they can be: what is written must not reach into the next."""
        width = next(size for size in range(min(self.most, strip.width), 0, -1) if strip.width % size == 0)
        contiguous = strip.loops[-1].strides[0] == 1
        with b.loop(b.i64(0), valid, width) as loop:
            here = replace(strip, destination=b.offset(strip.destination, loop.index, self.element), width=width)
            pack_along(b, _moved(b, source, loop.index), here, b.sub(valid, loop.index), contiguous)

    def _pack_across(self, b: Builder, side: int, operand: Operand, piece: _Piece, strip: Strip) -> None:
        source = self._source(b, side, operand, piece)
        width = round_up(piece.size, self.plan.lanes) if side else piece.size
        if not isinstance(operand, Computed):
            lanes = [min(self.most, piece.size - place) for place in range(0, piece.size, self.most)]
            pack_across(b, source, lanes, replace(strip, width=width), _AHEAD)
            return
        # One vector after the other, so that the code of what is computed is there once, or twice with a rest.
        most = self.plan.lanes if side else self.most
        whole, rest = piece.size - piece.size % most, piece.size % most

        def pack(place: Value, lanes: int) -> None:
            here = replace(strip, destination=b.offset(strip.destination, place, self.element))
            room = round_up(lanes, most) if side else lanes
            pack_across(b, _moved(b, source, place), [lanes], replace(here, width=room), 0)

        if whole:
            with b.loop(b.i64(0), b.i64(whole), most) as loop:
                pack(loop.index, most)
        if rest:
            pack(b.i64(whole), rest)

    def _source(self, b: Builder, side: int, operand: Operand, piece: _Piece) -> Source:
        """The elements of some rows of a or columns of b."""
        given = b.parameters
        if isinstance(operand, Strided):
            across = (self.plan.m, self.plan.n)[side].run.strides[0]
            start = dot(b, [given["batch"], piece.offset, given["k"]], [1, 1, 1])
            base = b.offset(_address(b, operand), start, operand.element)

            def address(place: Value, k: Value) -> Value:
                return b.offset(b.offset(base, dot(b, [place], [across]), operand.element), k, operand.element)

            def read(place: Value, k: Value, lanes: int) -> Value:
                return widen(b, self.target, b.load(address(place, k), vector(operand.element, lanes)), self.element)

            return Source(read, lambda place, k: prefetch(b, address(place, k)))

        def compute(place: Value, k: Value, lanes: int) -> Value:
            line, depth = dot(b, [piece.offset, place], [1, 1]), dot(b, [given["k"], k], [1, 1])
            row, column = (depth, line) if side else (line, depth)
            return widen(b, self.target, operand.load(b, given["batch"], row, column, lanes), self.element)

        return Source(compute, lambda place, k: None)


# ---- small things -------------------------------------------------------------------------------------------------


_NULL = Value("null", "ptr")
_AHEAD = 16


def _place(b: Builder, operand: int) -> Value:
    return b.offset(b.parameters["operands"], b.i64(operand), "ptr")


def _address(b: Builder, operand: Strided | Computed | None) -> Value:
    if not isinstance(operand, Strided):
        return _NULL
    return b.offset(b.load(_place(b, operand.operand), "ptr"), b.i64(operand.offset), operand.element)


def _minimum(b: Builder, x: Value, y: Value) -> Value:
    return b.intrinsic("smin", "i64", x, y)


def _split(b: Builder, index: Value, extents: Sequence[int]) -> list[Value]:
    """The digits of a linear index, outermost first."""
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


def _block(b: Builder, number: Value, size: int, extent: int) -> tuple[Value, Value]:
    """Where block `number` begins and ends."""
    if size >= extent:
        return b.i64(0), b.i64(extent)
    start = b.mul(number, b.i64(size))
    end = b.add(start, b.i64(size))
    return start, end if extent % size == 0 else _minimum(b, end, b.i64(extent))


def _find(b: Builder, cut: Cut, number: Value) -> tuple[_Piece, Value | None]:
    """Piece `number`, and, if there are two sizes, whether it is a large one. Its size is not to be used then."""
    outer, place = _split(b, number, [extent_of(cut.outer), cut.pieces])
    start = dot(b, [place], [cut.small if cut.large < cut.pieces else cut.size])
    if 0 < cut.large < cut.pieces:
        extra = _minimum(b, place, b.i64(cut.large))
        start = dot(b, [start, extra], [1, cut.size - cut.small])
    digits = [*_split(b, outer, [axis.extent for axis in cut.outer]), start]
    offset, c_offset = (dot(b, digits, [axis.strides[i] for axis in cut.axes]) for i in range(2))
    index = dot(b, [outer, start], [cut.run.extent, 1])
    is_large = b.compare("slt", place, b.i64(cut.large)) if len(cut.sizes) > 1 else None
    return _Piece(cut.sizes[0], offset, c_offset, index, number), is_large


def _each(b: Builder, cut: Cut, number: Value, write: Callable[[_Piece], None]) -> None:
    """Writes what is done with piece `number`, once for each of the sizes it may have."""
    piece, is_large = _find(b, cut, number)
    if is_large is None:
        write(piece)
        return
    large, small, end = b.label(), b.label(), b.label()
    b.branch(is_large, large, small)
    for label, size in zip((large, small), cut.sizes):
        b.start(label)
        write(replace(piece, size=size))
        b.jump(end)
    b.start(end)


def _moved(b: Builder, source: Source, start: Value) -> Source:
    """The source, its places counted from `start`."""
    return Source(
        lambda place, k, lanes: source.fetch(dot(b, [start, place], [1, 1]), k, lanes),
        lambda place, k: source.announce(dot(b, [start, place], [1, 1]), k),
    )
