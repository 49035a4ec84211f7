"""Every contraction: C[batch, m, n] = sum over k of A[batch, m, k] * B[batch, k, n].

One call writes one kernel:

    info = contraction(module, "name", host(), a, b, c)

adds `void name(ptr operands, i64 begin, i64 end)` to `module`; the runtime calls it with any division of the tasks
0..info.tasks-1. Tasks are independent, and what they compute does not depend on how they are divided.

The operands a and b are `Strided` (they lie in memory) or `Computed` (a callback emits code that gives elements):

    a = Strided(0, "float", rows=((M, K),), columns=((K, 1),))            # A[m, k], row major
    a = Strided(0, "float", rows=((M, 1),), columns=((K, M),))            # A transposed in memory
    b = Strided(1, "float", rows=((K, N),), columns=((N, 1),))
    c = Strided(2, "float", rows=((M, N),), columns=((N, 1),))

`Strided.operand` is the number of the buffer in the table of operands. Each of batch, rows and columns is a tuple of
(extent, stride in elements) pairs, outermost first; the element's place is `offset` plus the sum of index * stride.
A 3x3 convolution over a padded image of Hp x Wp x channels is

    a = Strided(0, "float", rows=((images, Hp*Wp*Ci), (H, Wp*Ci), (W, Ci)), columns=((3, Wp*Ci), (3, Ci), (Ci, 1)))
    b = Strided(1, "float", rows=((9 * Ci, Co),), columns=((Co, 1),))
    c = Strided(2, "float", rows=((images * H * W, Co),), columns=((Co, 1),))

The lists of two operands for one axis may be cut differently as long as one cut refines the other. Strides may be 0
(broadcasting) in a and b. All extents are at least 1: a contraction without elements, or over nothing, is the
caller's (the result of the latter is 0).

    Computed(load, rows=M, columns=K, batch=1, along="columns")
    load(b, batch, row, column, lanes) -> Value

`load` returns `lanes` elements (vector(element, lanes); element is `accumulator(a, b)`) that start at the given
indices (i64 Values; linear in each of batch, rows, columns) and follow each other along the axis named by `along`.
It may be asked for 1 lane or for any number up to a vector's. It may be asked for an element more than once.

Storage is float, double, bfloat or half; bfloat and half are computed with as float, and as soon as one operand is
double so is the sum.

Without `store`, results are rounded to c's element and stored. With it, `store(b, batch, m, n, value, lanes)` is
called where `lanes` finished results for row m and columns n, n + 1 ... are in `value`; it emits what becomes of
them. In both callbacks `b` is the builder of whatever function is being written, and b.parameters["operands"] the
table of operands. c may be left out then; where it is given and of the accumulator's type, partial sums may be put
there before `store` is called for that place, whatever else `store` does, so it must not be read for other things.

Scratch memory: info.scratch_bytes in all, 64-byte aligned, in the buffer whose number in the table is `scratch`; 0
where none is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from rillet.engines.native.llvm import Builder, Module, Value, size_of, vector
from rillet.engines.native.microkernel import Axis, Columns, Tile, accumulate, coalesce, dot, rolled, transpose
from rillet.engines.native.packing import Fetch, pack_across, pack_along
from rillet.engines.native.storage import narrow, widen
from rillet.engines.native.target import Target

Axes = tuple[tuple[int, int], ...]
Load = Callable[[Builder, Value, Value, Value, int], Value]
Store = Callable[[Builder, Value, Value, Value, Value, int], None]


@dataclass(frozen=True)
class Strided:
    """Elements in memory: see the module's text."""

    operand: int
    element: str
    rows: Axes
    columns: Axes
    batch: Axes = ()
    offset: int = 0

    @property
    def swapped(self) -> Strided:
        return replace(self, rows=self.columns, columns=self.rows)


@dataclass(frozen=True)
class Computed:
    """Elements that a callback gives: see the module's text."""

    load: Load
    rows: int
    columns: int
    batch: int = 1
    along: str = "columns"

    @property
    def swapped(self) -> Computed:
        def load(b: Builder, batch: Value, row: Value, column: Value, lanes: int) -> Value:
            return self.load(b, batch, column, row, lanes)

        along = "rows" if self.along == "columns" else "columns"
        return Computed(load, self.columns, self.rows, self.batch, along)


Operand = Strided | Computed


@dataclass(frozen=True)
class KernelInfo:
    """name: the function's; tasks: how many there are; scratch_bytes: of all of them together."""

    name: str
    tasks: int
    scratch_bytes: int


def accumulator(a: Operand, b: Operand) -> str:
    """The type that is computed with: double if an operand in memory is, else float."""
    double = any(isinstance(operand, Strided) and operand.element == "double" for operand in (a, b))
    return "double" if double else "float"


def contraction(
    module: Module,
    name: str,
    target: Target,
    a: Operand,
    b: Operand,
    c: Strided | None = None,
    store: Store | None = None,
    scratch: int | None = None,
) -> KernelInfo:
    """Adds the kernel `name` to the module: see the module's text.

    Raises ValueError if the extents of the operands do not fit together.
    """
    problem = _Problem(a, b, c, store)
    plans = [_plan(target, candidate) for candidate in (problem, problem.transposed)]
    plan = min(plans, key=lambda plan: plan.cost)
    _Kernel(module, name, target, plan, scratch).emit()
    return KernelInfo(name, plan.tasks, plan.task_scratch * plan.tasks)


# ---- the plan -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Problem:
    """What is to be computed; swapped: with the roles of a and b exchanged, so that C transposed is computed."""

    a: Operand
    b: Operand
    c: Strided | None
    store: Store | None
    swapped: bool = False

    @property
    def transposed(self) -> _Problem:
        c = self.c.swapped if self.c else None
        return _Problem(self.b.swapped, self.a.swapped, c, self.store, not self.swapped)


def _listed(operand: Operand | None, axis: str, like: int) -> Axes:
    """The axis as pairs; a computed operand counts its indices, and so does a result that is nowhere."""
    if isinstance(operand, Strided):
        axes: Axes = getattr(operand, axis)
        return axes
    return ((like if operand is None else getattr(operand, axis), 1),)


def _merge(what: str, *lists: Axes) -> list[Axis]:
    """The loops over one axis that suit every operand, outermost first; never empty."""
    extents = {math.prod(extent for extent, _ in axes) for axes in lists}
    if len(extents) > 1:
        raise ValueError(f"The operands of a contraction do not agree about {what}: {lists}")
    remaining = [[pair for pair in axes if pair[0] != 1] for axes in lists]
    merged: list[Axis] = []
    while any(remaining):
        extent = min(axes[-1][0] for axes in remaining)
        strides = []
        for axes in remaining:
            whole, stride = axes.pop()
            if whole % extent:
                raise ValueError(f"The operands of a contraction cut {what} in ways that do not fit together: {lists}")
            if whole > extent:
                axes.append((whole // extent, stride * extent))
            strides.append(stride)
        merged.insert(0, Axis(extent, tuple(strides)))
    return coalesce(merged) or [Axis(1, (1,) * len(lists))]


@dataclass(frozen=True)
class _Cut:
    """An axis of results: loops outside, and a run that is cut into `tiles` pieces of `size`, then of size - 1."""

    outer: list[Axis]
    run: Axis
    size: int
    tiles: int
    large: int  # how many pieces have the full size

    @property
    def units(self) -> int:
        return math.prod(axis.extent for axis in self.outer) * self.tiles

    @property
    def extent(self) -> int:
        return math.prod(axis.extent for axis in self.outer) * self.run.extent


@dataclass(frozen=True)
class _Plan:
    problem: _Problem
    element: str
    cost: float
    batch: list[Axis]
    m: _Cut
    n: _Cut  # the pieces are panels: the last one of a run is narrower rather than several by one
    lanes: int
    k_outer: list[Axis]  # loops of blocks of k
    k_axis: Axis  # the axis that the last of them cuts
    k_chunk: int
    k_inner: list[Axis]
    packs_a: bool
    packs_b: bool
    m_block: int  # units a task
    n_block: int

    @property
    def copies_b(self) -> bool:
        """Whether the first tile of a panel packs it on the way."""
        return self.packs_b and isinstance(self.problem.b, Strided) and self.n.run.strides[0] == 1

    @property
    def k_blocks(self) -> int:
        return math.prod(axis.extent for axis in self.k_outer) * -(-self.k_axis.extent // self.k_chunk)

    @property
    def depth(self) -> int:
        """The most k in one block."""
        return self.k_chunk * math.prod(axis.extent for axis in self.k_inner)

    @property
    def m_blocks(self) -> int:
        return -(-self.m.units // self.m_block)

    @property
    def n_blocks(self) -> int:
        return -(-self.n.units // self.n_block)

    @property
    def tasks(self) -> int:
        return math.prod(axis.extent for axis in self.batch) * self.m_blocks * self.n_blocks

    @property
    def keeps_partial(self) -> bool:
        """Whether partial sums need scratch memory: k is cut, and they can't be where the results will be."""
        c = self.problem.c
        home = c is not None and c.element == self.element and self.n.run.strides[1] == 1
        return self.k_blocks > 1 and not home

    @property
    def a_block_bytes(self) -> int:
        return _round_up(self.m_block * self.m.size * self.depth * size_of(self.element), 64) if self.packs_a else 0

    @property
    def partial_tile(self) -> int:
        """Elements of one tile of partial sums."""
        return self.m.size * _round_up(self.n.size, self.lanes)

    @property
    def task_scratch(self) -> int:
        partial = self.m_block * self.n_block * self.partial_tile * size_of(self.element) if self.keeps_partial else 0
        return self.a_block_bytes + _round_up(partial, 64)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


_PANEL_BYTES = 32 << 10  # of the stack, for one panel of b


def _plan(target: Target, problem: _Problem) -> _Plan:
    a, b, c = problem.a, problem.b, problem.c
    element = accumulator(a, b)
    m_extent = math.prod(extent for extent, _ in _listed(a, "rows", 0))
    n_extent = math.prod(extent for extent, _ in _listed(b, "columns", 0))
    batch_extent = math.prod(extent for extent, _ in _listed(a, "batch", 0))
    batch = _merge(
        "batch", _listed(a, "batch", 0), _listed(b, "batch", 0), _listed(c, "batch", batch_extent)
    )
    m = _merge("m", _listed(a, "rows", 0), _listed(c, "rows", m_extent))
    n = _merge("n", _listed(b, "columns", 0), _listed(c, "columns", n_extent))
    k = _merge("k", _listed(a, "columns", 0), _listed(b, "rows", 0))
    k_extent = math.prod(axis.extent for axis in k)

    lanes = min(target.lanes(size_of(element)), 1 << (n[-1].extent - 1).bit_length())
    shape_cost, rows, vectors = _tile_shape(target, m[-1].extent, n[-1].extent, lanes, k_extent)
    m_cut = _cut_rows(m, rows)
    n_cut = _cut_columns(n, vectors * lanes)

    packs_b = not _readable(b, element) or n[-1].strides[0] != 1 or m_cut.units > 2
    packs_a = not _readable(a, element) or (n_cut.units >= 8 and k_extent * m_extent * size_of(element) > target.level2)

    limit = _PANEL_BYTES // (min(vectors * lanes, _round_up(n[-1].extent, lanes)) * size_of(element))
    k_outer, k_axis, k_chunk, k_inner = _cut_depth(k, limit)
    depth = k_chunk * math.prod(axis.extent for axis in k_inner)

    m_block, n_block = m_cut.units, n_cut.units
    if packs_a or n_cut.units > 1:
        rows_kept = max(rows, target.level2 // 2 // (depth * size_of(element)))
        m_block = _even(m_cut.units, max(1, rows_kept // rows))
    work = 2 * batch_extent * m_extent * n_extent * k_extent
    tasks = batch_extent * -(-m_cut.units // m_block)
    wanted = min(32, work // (2 << 20)) // tasks
    if wanted > 1:
        n_block = _even(n_cut.units, max(1, n_cut.units // wanted))
    cost = _outer(m) * _outer(n) * shape_cost
    cost += _pack_cost(packs_a, a, m[-1].strides[0], k[-1].strides[0]) * m_extent
    cost += _pack_cost(packs_b, b, n[-1].strides[0], k[-1].strides[1]) * n_extent
    return _Plan(
        problem, element, cost, batch, m_cut, n_cut, lanes, k_outer, k_axis, k_chunk, k_inner, packs_a, packs_b,
        m_block, n_block,
    )  # fmt: skip


def _digits(number: int, extents: Sequence[int]) -> list[int]:
    digits: list[int] = []
    for extent in reversed(extents[1:]):
        digits.insert(0, number % extent)
        number //= extent
    return [number, *digits] if extents else []


def _outer(axes: list[Axis]) -> int:
    return math.prod(axis.extent for axis in axes[:-1])


def _even(units: int, most: int) -> int:
    """The size of blocks of at most `most` units that are as equal as can be."""
    return -(-units // -(-units // most))


def _readable(operand: Operand, element: str) -> bool:
    return isinstance(operand, Strided) and operand.element == element


def _pack_cost(packs: bool, operand: Operand, across: int, along: int) -> float:
    if not packs:
        return 0.0
    if isinstance(operand, Strided) and across != 1 and along != 1:
        return 1.0
    return 0.15 if across == 1 else 0.3


def _tile_shape(target: Target, rows: int, columns: int, lanes: int, depth: int) -> tuple[float, int, int]:
    """(cycles for one k of a whole run, rows, vectors) of the best tile that the registers hold."""
    best = (math.inf, 1, 1)
    vectors = -(-columns // lanes)
    for wide in range(1, min(vectors, target.registers - 2) + 1):
        for high in range(1, min(rows, target.registers) + 1):
            if high * wide + min(high, wide) + (1 if target.has_fma else 2) > target.registers:
                break
            tiles = -(-rows // high)
            size = -(-rows // tiles)
            large = rows - tiles * (size - 1)
            cost = 0.0
            for count, width in ((vectors // wide, wide), (1, vectors % wide)):
                if width:
                    cost += count * large * _cycles(size, width, depth)
                    if tiles > large:
                        cost += count * (tiles - large) * _cycles(size - 1, width, depth)
            cost *= 1 + 0.001 * (size + wide) + 0.01 * (tiles > large) + 0.01 * (vectors % wide > 0)
            best = min(best, (cost, size, wide))
    return best


def _cycles(rows: int, vectors: int, depth: int) -> float:
    """Cycles a k: two multiplications and two loads a cycle, and a sum takes four cycles; a tile is also stored."""
    return max(rows * vectors / 2, (rows + vectors) / 2, 4.5) + (20 + rows * vectors) / depth


def _cut_rows(axes: list[Axis], size: int) -> _Cut:
    run = axes[-1]
    tiles = -(-run.extent // size)
    size = -(-run.extent // tiles)
    return _Cut(axes[:-1], run, size, tiles, run.extent - tiles * (size - 1))


def _cut_columns(axes: list[Axis], size: int) -> _Cut:
    run = axes[-1]
    size = min(size, run.extent)
    return _Cut(axes[:-1], run, size, -(-run.extent // size), run.extent // size)


def _cut_depth(axes: list[Axis], limit: int) -> tuple[list[Axis], Axis, int, list[Axis]]:
    """Blocks of k of about at most `limit`: (loops outside, the axis that is cut, how much of it, loops inside)."""
    inside, place = 1, len(axes)
    while place > 1 and inside * axes[place - 1].extent <= limit:
        place -= 1
        inside *= axes[place].extent
    cut = axes[place - 1]
    return axes[: place - 1], cut, _even(cut.extent, max(1, limit // inside)), axes[place:]


# ---- the kernel -----------------------------------------------------------------------------------------------------


@dataclass
class _Place:
    """Where a task is, as values of the kernel's function."""

    batch: Value
    batch_offsets: list[Value]
    scratch: Value | None
    first_unit: Value = field(default_factory=lambda: Value("0", "i64"))
    first_panel: Value = field(default_factory=lambda: Value("0", "i64"))
    k: list[Value] = field(default_factory=list)
    count: Value = field(default_factory=lambda: Value("0", "i64"))
    first: Value = field(default_factory=lambda: Value("true", "i1"))
    last: Value = field(default_factory=lambda: Value("true", "i1"))


class _Kernel:
    """Writes the functions of one plan: the kernel, its micro-kernels, its packing."""

    def __init__(self, module: Module, name: str, target: Target, plan: _Plan, scratch: int | None) -> None:
        self.module, self.name, self.target, self.plan = module, name, target, plan
        self.scratch = scratch
        self.problem = plan.problem
        self.element = plan.element
        if plan.task_scratch and scratch is None:
            raise ValueError(f"The contraction {name} needs scratch memory")
        self.panel_stride = _round_up(plan.n.size, plan.lanes)  # of a packed panel of b, from one k to the next
        self.functions: dict[str, str] = {}

    # -- helpers

    def split(self, b: Builder, index: Value, extents: Sequence[int]) -> list[Value]:
        """The digits of a linear index, outermost first; the first is not reduced."""
        digits: list[Value] = []
        if index.text.isdigit():
            return [b.i64(digit) for digit in _digits(int(index.text), extents)]
        for extent in reversed(extents[1:]):
            if extent == 1:
                digits.insert(0, b.i64(0))
                continue
            digits.insert(0, b.binary("urem", index, b.i64(extent)))
            index = b.binary("udiv", index, b.i64(extent))
        return [index, *digits] if extents else []

    def base(self, b: Builder, operand: Strided) -> Value:
        place = b.offset(b.parameters["operands"], b.i64(operand.operand), "ptr")
        return b.offset(b.load(place, "ptr"), b.i64(operand.offset), operand.element)

    def minimum(self, b: Builder, x: Value, y: Value) -> Value:
        return b.select(b.compare("slt", x, y), x, y)

    def total(self, b: Builder, *terms: Value) -> Value:
        return dot(b, terms, [1] * len(terms))

    # -- the kernel itself

    def emit(self) -> None:
        plan = self.plan
        b = Builder(
            self.module, self.name, [("ptr", "operands"), ("i64", "begin"), ("i64", "end")], attributes="nounwind"
        )
        self.panel = None
        if plan.packs_b:
            self.panel = b.alloca(self.element, plan.depth * self.panel_stride)
        with b.loop(b.parameters["begin"], b.parameters["end"]) as tasks:
            batches = math.prod(axis.extent for axis in plan.batch)
            index, m_block, n_block = self.split(b, tasks.index, [batches, plan.m_blocks, plan.n_blocks])
            digits = self.split(b, index, [axis.extent for axis in plan.batch])
            offsets = [dot(b, digits, [axis.strides[i] for axis in plan.batch]) for i in range(3)]
            scratch = None
            if plan.task_scratch:
                table = b.offset(b.parameters["operands"], b.i64(self.scratch or 0), "ptr")
                start = b.mul(tasks.index, b.i64(plan.task_scratch))
                scratch = b.offset(b.load(table, "ptr"), start, "i8")
            at = _Place(index, offsets, scratch)
            at.first_unit, end_unit = self.block(b, m_block, plan.m_block, plan.m.units)
            at.first_panel, end_panel = self.block(b, n_block, plan.n_block, plan.n.units)
            self.task(b, at, end_unit, end_panel)
        b.ret()

    def block(self, b: Builder, number: Value, size: int, units: int) -> tuple[Value, Value]:
        if size == units:
            return b.i64(0), b.i64(units)
        start = b.mul(number, b.i64(size))
        end = b.add(start, b.i64(size))
        return start, end if units % size == 0 else self.minimum(b, end, b.i64(units))

    def task(self, b: Builder, at: _Place, end_unit: Value, end_panel: Value) -> None:
        plan = self.plan
        if plan.k_blocks == 1:
            at.k, at.count = [b.i64(0), b.i64(0)], b.i64(plan.k_chunk)
            self.k_block(b, at, end_unit, end_panel)
            return
        with b.loop(b.i64(0), b.i64(plan.k_blocks)) as blocks:
            chunks = -(-plan.k_axis.extent // plan.k_chunk)
            digits = self.split(b, blocks.index, [*[axis.extent for axis in plan.k_outer], chunks])
            start, end = self.block(b, digits[-1], plan.k_chunk, plan.k_axis.extent)
            axes = [*plan.k_outer, plan.k_axis]
            at.k = [dot(b, [*digits[:-1], start], [axis.strides[i] for axis in axes]) for i in range(2)]
            even = plan.k_axis.extent % plan.k_chunk == 0
            at.count = b.i64(plan.k_chunk) if even else b.sub(end, start)
            at.first = b.compare("eq", blocks.index, b.i64(0))
            at.last = b.compare("eq", blocks.index, b.i64(plan.k_blocks - 1))
            self.k_block(b, at, end_unit, end_panel)

    def k_block(self, b: Builder, at: _Place, end_unit: Value, end_panel: Value) -> None:
        plan = self.plan
        if plan.packs_a:
            with b.loop(at.first_unit, end_unit) as units:
                self.each_size(b, at, units.index, self.pack_a)
        with b.loop(at.first_panel, end_panel) as panels:
            outer, piece = self.split(b, panels.index, [plan.n.units // plan.n.tiles, plan.n.tiles])

            def panel(columns: int) -> None:
                digits = self.split(b, outer, [axis.extent for axis in plan.n.outer])
                start = b.mul(piece, b.i64(plan.n.size))
                axes = [*plan.n.outer, plan.n.run]
                b_offset, c_offset = (dot(b, [*digits, start], [axis.strides[i] for axis in axes]) for i in range(2))
                linear = self.total(b, b.mul(outer, b.i64(plan.n.run.extent)), start)
                n = [b_offset, c_offset, linear, panels.index]
                start_unit = at.first_unit
                if plan.copies_b:
                    self.each_size(b, at, start_unit, lambda b, at, rows, m: self.tile(b, at, rows, columns, m, n, True))
                    start_unit = b.add(start_unit, b.i64(1))
                elif plan.packs_b:
                    self.pack_b(b, at, columns, b_offset)
                with b.loop(start_unit, end_unit) as units:
                    self.each_size(b, at, units.index, lambda b, at, rows, m: self.tile(b, at, rows, columns, m, n))

            rest = plan.n.run.extent - plan.n.large * plan.n.size
            if rest == 0:
                panel(plan.n.size)
            elif plan.n.tiles == 1:
                panel(rest)
            else:
                is_full = b.compare("slt", piece, b.i64(plan.n.large))
                self.either(b, is_full, lambda: panel(plan.n.size), lambda: panel(rest))

    def either(self, b: Builder, condition: Value, yes: Callable[[], None], no: Callable[[], None]) -> None:
        first, second, end = b.label(), b.label(), b.label()
        b.branch(condition, first, second)
        b.start(first)
        yes()
        b.jump(end)
        b.start(second)
        no()
        b.jump(end)
        b.start(end)

    def each_size(
        self, b: Builder, at: _Place, unit: Value, emit: Callable[[Builder, _Place, int, list[Value]], None]
    ) -> None:
        """Calls `emit(rows, [offset in a, offset in c, linear, unit])` for the rows of unit number `unit`."""
        m = self.plan.m
        outer, piece = self.split(b, unit, [m.units // m.tiles, m.tiles])
        if m.large == m.tiles:
            start = b.mul(piece, b.i64(m.size))
        else:
            start = b.add(b.mul(piece, b.i64(m.size - 1)), self.minimum(b, piece, b.i64(m.large)))
        digits = self.split(b, outer, [axis.extent for axis in m.outer])
        axes = [*m.outer, m.run]
        offsets = [dot(b, [*digits, start], [axis.strides[i] for axis in axes]) for i in range(2)]
        offsets += [self.total(b, b.mul(outer, b.i64(m.run.extent)), start), unit]
        if m.large == m.tiles:
            emit(b, at, m.size, offsets)
        else:
            is_large = b.compare("slt", piece, b.i64(m.large))
            self.either(
                b, is_large, lambda: emit(b, at, m.size, offsets), lambda: emit(b, at, m.size - 1, offsets)
            )

    # -- packing

    def k_loops(self, a_stride: int | None, b_stride: int | None) -> list[Axis]:
        """The loops over a block of k; a stride given is that of a packed panel from one k to the next."""
        axes, step = [], 1
        for axis in reversed([replace(self.plan.k_axis, extent=self.plan.k_chunk), *self.plan.k_inner]):
            strides = (
                axis.strides[0] if a_stride is None else a_stride * step,
                axis.strides[1] if b_stride is None else b_stride * step,
            )
            axes.insert(0, Axis(axis.extent, strides))
            step *= axis.extent
        return coalesce(axes) or [axes[-1]]

    def extents(self, b: Builder, loops: list[Axis], count: Value) -> list[Value]:
        """How often the loops run where the first axis of the block is `count` long."""
        inside = math.prod(axis.extent for axis in loops[1:])
        if count.text.isdigit():
            return [b.i64(axis.extent) for axis in loops]
        depth = math.prod(axis.extent for axis in self.plan.k_inner)
        return [b.mul(count, b.i64(depth // inside)), *[b.i64(axis.extent) for axis in loops[1:]]]

    def pack_function(self, side: str, valid: int) -> tuple[str, int]:
        """(name, how many elements side by side it packs) of the function for a panel of `valid` of them."""
        plan, number = self.plan, "ab".index(side)
        operand = (self.problem.a, self.problem.b)[number]
        across = (plan.m.run, plan.n.run)[number].strides[0]
        stride = plan.m.size if side == "a" else self.panel_stride
        loops = [
            Axis(axis.extent, (axis.strides[number], axis.strides[1 - number]))
            for axis in (self.k_loops(None, stride) if side == "a" else self.k_loops(stride, None))
        ]
        if isinstance(operand, Computed):
            along = (operand.along == "columns") == (side == "a")
            step = loops[-1].strides[0]
        else:
            along = across != 1
            step = loops[-1].strides[0]
        most = self.target.lanes(size_of(self.element))
        width = stride if side == "a" else plan.lanes
        if along:
            if side == "a" and width > most and width % 2 == 0:
                width //= 2
        else:
            width = min(valid, plan.lanes) if isinstance(operand, Computed) and side == "b" else valid
        name = f"{self.name}.pack_{side}" + ("" if along else str(width))
        if name in self.functions:
            return name, width
        self.functions[name] = name

        parameters = [("ptr", "operands"), ("ptr", "destination")]
        parameters += [("i64", name) for name in ("batch", "start", "k", "count", "valid")]
        b = Builder(self.module, name, parameters, "internal void", "nounwind noinline")
        given = b.parameters
        even = plan.k_axis.extent % plan.k_chunk == 0
        extents = self.extents(b, loops, b.i64(plan.k_chunk) if even else given["count"])
        fetch = self.fetch_computed(b, side, operand) if isinstance(operand, Computed) else self.fetch(b, operand, across)
        if along:
            lanes = most if step == 1 else 1
            pack_along(b, fetch, width, lanes, self.element, given["destination"], given["valid"], loops, extents)
        else:
            pieces = [min(most, width - place) for place in range(0, width, most)]
            room = width if side == "a" else _round_up(width, plan.lanes)
            pack_across(b, fetch, pieces, room, self.element, given["destination"], loops, extents)
        b.ret()
        return name, width

    def fetch_computed(self, b: Builder, side: str, operand: Computed) -> Fetch:
        given = b.parameters

        def fetch(place: Value, k: Value, lanes: int) -> Value:
            line, depth = self.total(b, given["start"], place), self.total(b, given["k"], k)
            indices = (line, depth) if side == "a" else (depth, line)
            return widen(b, self.target, operand.load(b, given["batch"], *indices, lanes), self.element)

        return fetch

    def fetch(self, b: Builder, operand: Strided, across: int) -> Fetch:
        given = b.parameters
        offset = self.total(b, given["batch"], given["start"], given["k"])
        base = b.offset(self.base(b, operand), offset, operand.element)

        def fetch(place: Value, k: Value, lanes: int) -> Value:
            line = b.offset(base, dot(b, [place], [across]), operand.element)
            x = b.load(b.offset(line, k, operand.element), vector(operand.element, lanes))
            return widen(b, self.target, x, self.element)

        return fetch

    def pack(
        self, b: Builder, at: _Place, side: str, valid: int, start: Value, destination: Value
    ) -> None:
        """Packs the panel of `valid` rows of a or columns of b that begins at `start`."""
        number = "ab".index(side)
        run = (self.plan.m.run, self.plan.n.run)[number]

        def call(name: str, place: Value, count: Value) -> None:
            here = b.offset(destination, place, self.element)
            first = self.total(b, start, dot(b, [place], [run.strides[0]]))
            b.call(
                "void", f"@{name}", b.parameters["operands"], here, at.batch_offsets[number], first, at.k[number],
                at.count, count,
            )  # fmt: skip

        name, width = self.pack_function(side, valid)
        if width >= valid:
            call(name, b.i64(0), b.i64(valid))
        elif name.endswith(str(width)):
            whole = valid - valid % width
            with b.loop(b.i64(0), b.i64(whole), width, hint=rolled(b)) as loop:
                call(name, loop.index, b.i64(width))
            if whole < valid:
                call(self.pack_function(side, valid - whole)[0], b.i64(whole), b.i64(valid - whole))
        else:
            with b.loop(b.i64(0), b.i64(valid), width, hint=rolled(b)) as loop:
                call(name, loop.index, self.minimum(b, b.i64(width), b.sub(b.i64(valid), loop.index)))

    def pack_a(self, b: Builder, at: _Place, rows: int, m: list[Value]) -> None:
        self.pack(b, at, "a", rows, m[0], self.packed_a(b, at, m))

    def pack_b(self, b: Builder, at: _Place, columns: int, offset: Value) -> None:
        assert self.panel is not None
        self.pack(b, at, "b", columns, offset, self.panel)

    def packed_a(self, b: Builder, at: _Place, m: list[Value]) -> Value:
        """Where the packed rows of a tile are; each tile has room for the full number of rows."""
        assert at.scratch is not None
        unit = b.sub(m[3], at.first_unit)
        return b.offset(at.scratch, b.mul(unit, b.i64(self.plan.depth * self.plan.m.size)), self.element)

    # -- one tile

    def tile(
        self, b: Builder, at: _Place, rows: int, columns: int, m: list[Value], n: list[Value], copies: bool = False
    ) -> None:
        """m and n: offsets in a (or b) and in c, the linear index, and the number of the unit or panel.

        copies: b is read where it lies, and packed on the way.
        """
        plan, null = self.plan, Value("null", "ptr")
        if plan.packs_a:
            a = self.packed_a(b, at, m)
        else:
            assert isinstance(self.problem.a, Strided)
            a = b.offset(self.base(b, self.problem.a), self.total(b, at.batch_offsets[0], m[0], at.k[0]), self.element)
        packed = self.panel or null
        if self.panel is not None and not copies:
            panel = self.panel
        else:
            assert isinstance(self.problem.b, Strided)
            offset = self.total(b, at.batch_offsets[1], n[0], at.k[1])
            panel = b.offset(self.base(b, self.problem.b), offset, self.problem.b.element)
        c, partial = null, null
        if self.problem.c:
            offset = self.total(b, at.batch_offsets[2], m[1], n[1])
            c = b.offset(self.base(b, self.problem.c), offset, self.problem.c.element)
        if plan.keeps_partial:
            assert at.scratch is not None
            start = b.offset(at.scratch, b.i64(plan.a_block_bytes), "i8")
            row, column = b.sub(m[3], at.first_unit), b.sub(n[3], at.first_panel)
            number = self.total(b, b.mul(row, b.i64(plan.n_block)), column)
            partial = b.offset(start, b.mul(number, b.i64(plan.partial_tile)), self.element)
        name = self.micro_function(Tile(rows, columns, plan.lanes, plan.packs_b), copies)
        b.call(
            "void", f"@{name}", b.parameters["operands"], a, panel, packed, c, partial, at.batch, m[2], n[2],
            at.count, at.first, at.last,
        )  # fmt: skip

    def micro_function(self, tile: Tile, copies: bool) -> str:
        name = f"{self.name}.{'first' if copies else 'tile'}{tile.rows}x{tile.columns}"
        if name in self.functions:
            return name
        self.functions[name] = name
        plan = self.plan
        parameters = [("ptr", name) for name in ("operands", "a", "b", "packed", "c", "partial")]
        parameters += [("i64", name) for name in ("batch", "m", "n", "count")] + [("i1", "first"), ("i1", "last")]
        b = Builder(self.module, name, parameters, "internal void", "nounwind noinline")
        given = b.parameters
        a_stride = plan.m.size if plan.packs_a else None
        loops = self.k_loops(a_stride, self.panel_stride if plan.packs_b and not copies else None)
        columns = Columns(self.element)
        if copies:
            assert isinstance(self.problem.b, Strided)
            steps = [self.panel_stride * math.prod(axis.extent for axis in loops[i + 1 :]) for i in range(len(loops))]
            columns = Columns(self.problem.b.element, given["packed"], tuple(steps))
        even = plan.k_axis.extent % plan.k_chunk == 0
        extents = self.extents(b, loops, b.i64(plan.k_chunk) if even else given["count"])
        row_stride = 1 if plan.packs_a else plan.m.run.strides[0]
        sums = accumulate(
            b, self.target, tile, self.element, given["a"], row_stride, given["b"], columns, loops, extents
        )
        if plan.k_blocks == 1:
            self.finish(b, tile, sums)
        else:
            self.finish_block(b, tile, sums)
        b.ret()
        return name

    # -- what becomes of a tile

    def finish_block(self, b: Builder, tile: Tile, sums: list[list[Value]]) -> None:
        """Adds what the blocks of k before gave; the last block finishes the tile, the others put it back."""
        plan = self.plan
        home, stride = b.parameters["c"], plan.m.run.strides[1]
        lanes = tile.kept
        if plan.keeps_partial:
            home, stride = b.parameters["partial"], _round_up(plan.n.size, plan.lanes)
            lanes = tile.computed
        place = [
            [b.offset(home, b.i64(row * stride + i * tile.lanes), self.element) for i in range(len(lanes))]
            for row in range(tile.rows)
        ]
        before, again, joined = b.block, b.label(), b.label()
        b.branch(b.parameters["first"], joined, again)
        b.start(again)
        added = [
            [
                b.fadd(x, self.fit(b, b.load(where, vector(self.element, width)), x))
                for x, where, width in zip(row, wheres, lanes)
            ]
            for row, wheres in zip(sums, place)
        ]
        b.jump(joined)
        b.start(joined)
        sums = [
            [b.phi(x.type, [(x, before), (y, again)]) for x, y in zip(row, others)] for row, others in zip(sums, added)
        ]

        def put_back() -> None:
            for row, wheres in zip(sums, place):
                for x, where, width in zip(row, wheres, lanes):
                    b.store(self.cut(b, x, width), where)

        if self.problem.store is None and not plan.keeps_partial:
            put_back()
        else:
            self.either(b, b.parameters["last"], lambda: self.finish(b, tile, sums), put_back)

    def fit(self, b: Builder, x: Value, like: Value) -> Value:
        """x with as many lanes as `like`, filled up with anything."""
        if x.type == like.type:
            return x
        if x.type == self.element:
            return b.splat(x, self.plan.lanes)
        count, lanes = int(x.type[1:].split()[0]), int(like.type[1:].split()[0])
        return b.shuffle(x, x, [min(lane, count - 1) for lane in range(lanes)])

    def cut(self, b: Builder, x: Value, lanes: int) -> Value:
        """The first lanes of x."""
        if x.type == vector(self.element, lanes):
            return x
        return b.extract(x, 0) if lanes == 1 else b.shuffle(x, x, range(lanes))

    def finish(self, b: Builder, tile: Tile, sums: list[list[Value]]) -> None:
        """Stores the tile's results, or hands them to the caller's `store`, row by row of the caller's C."""
        c = self.problem.c
        if self.problem.store is not None:
            self.hand_over(b, tile, sums)
            return
        assert c is not None, "a contraction without a result needs a `store`"
        row_stride, stride = self.plan.m.run.strides[1], self.plan.n.run.strides[1]
        if stride != 1 and row_stride == 1:
            sums, row_stride, stride = self.turn(b, tile, sums), stride, 1
        else:
            sums = [[self.cut(b, x, lanes) for x, lanes in zip(row, tile.kept)] for row in sums]
        for number, row in enumerate(sums):
            start = number * row_stride
            for x in row:
                lanes = 1 if x.type == self.element else int(x.type[1:].split()[0])
                x = narrow(b, self.target, x, c.element)
                parts = [x] if stride == 1 else [b.extract(x, lane) for lane in range(lanes)]
                for lane, part in enumerate(parts):
                    b.store(part, b.offset(b.parameters["c"], b.i64(start + lane * stride), c.element))
                start += lanes * stride

    def turn(self, b: Builder, tile: Tile, sums: list[list[Value]]) -> list[list[Value]]:
        """The tile transposed: for each column, its rows as one vector."""
        result = []
        for place, (computed, kept) in enumerate(zip(tile.computed, tile.kept)):
            columns = transpose(b, [row[place] for row in sums], computed)
            result += [[column] for column in columns[:kept]]
        return result

    def hand_over(self, b: Builder, tile: Tile, sums: list[list[Value]]) -> None:
        """Calls `store` in a loop over rows, so that its code is there once: the tile goes through memory."""
        store = self.problem.store
        assert store is not None
        rows, kept = tile.rows, tile.kept
        if self.problem.swapped:
            sums = self.turn(b, tile, sums)
            rows, kept = tile.columns, [tile.rows]
        width = sum(kept)
        stride = _round_up(width, self.plan.lanes)
        if rows == 1:
            self.hand_row(b, store, b.i64(0), [self.cut(b, x, lanes) for x, lanes in zip(sums[0], kept)], kept)
            return
        memory = b.alloca(self.element, rows * stride)
        for number, row in enumerate(sums):
            for place, (x, lanes) in enumerate(zip(row, kept)):
                here = b.offset(memory, b.i64(number * stride + place * tile.lanes), self.element)
                b.store(self.cut(b, x, lanes), here)
        with b.loop(b.i64(0), b.i64(rows)) as loop:
            start = b.offset(memory, b.mul(loop.index, b.i64(stride)), self.element)
            values = [
                b.load(b.offset(start, b.i64(place * tile.lanes), self.element), vector(self.element, lanes))
                for place, lanes in enumerate(kept)
            ]
            self.hand_row(b, store, loop.index, values, kept)

    def hand_row(self, b: Builder, store: Store, row: Value, values: list[Value], kept: list[int]) -> None:
        m, n = b.parameters["m"], b.parameters["n"]
        if self.problem.swapped:
            m, n = n, m
        m = self.total(b, m, row)
        for place, (x, lanes) in enumerate(zip(values, kept)):
            column = self.total(b, n, b.i64(place * self.plan.lanes))
            store(b, b.parameters["batch"], m, column, x, lanes)
