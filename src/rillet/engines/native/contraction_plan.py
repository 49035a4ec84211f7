"""How a contraction is cut: tiles that fit the registers, blocks that fit the caches, tasks for the workers.

The costs are estimates in cycles. They only have to put the candidates in the right order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from rillet.engines.native.contraction_operands import Axis, Computed, Operand, Problem, Strided, coalesce, extent_of
from rillet.engines.native.llvm import size_of
from rillet.engines.native.target import Target

LINE = 64  # bytes of a line of cache
_WAYS = 8  # lines whose addresses are equal modulo the size of a way, and that a cache can hold at once
_PAGES = 64 << 12  # bytes of the pages that a processor finds without delay
_TASK_FLOPS = 1 << 20  # worth sending to a worker


@dataclass(frozen=True)
class Cut:
    """An axis of results: loops outside, and a run cut into `pieces`: the first `large` are `size` long, others `small`."""

    outer: list[Axis]
    run: Axis
    size: int
    small: int
    pieces: int
    large: int

    @property
    def units(self) -> int:
        """Pieces of all runs."""
        return extent_of(self.outer) * self.pieces

    @property
    def axes(self) -> list[Axis]:
        return [*self.outer, self.run]

    @property
    def extent(self) -> int:
        return extent_of(self.axes)

    @property
    def sizes(self) -> list[int]:
        """The sizes that occur, largest first."""
        return [self.size] * (self.large > 0) + [self.small] * (self.large < self.pieces)


@dataclass(frozen=True)
class Plan:
    """All that is decided about one kernel."""

    problem: Problem
    cost: float
    along: bool  # vectors lie along k, and are summed up at the end; else along n
    m: Cut
    n: Cut
    lanes: int
    k_outer: list[Axis]  # loops over blocks of k
    k_axis: Axis  # the axis that the innermost of them cuts
    k_chunk: int
    k_inner: list[Axis]  # loops inside a block
    packs_a: bool
    packs_b: bool
    m_block: int  # units a task
    n_block: int

    @property
    def copies_b(self) -> bool:
        """Whether the last tile that uses a panel of b packs the next one: lines of k that lie evenly, side by side."""
        axes = [Axis(self.k_chunk, self.k_axis.strides[1:]), *(Axis(a.extent, a.strides[1:]) for a in self.k_inner)]
        even = len(coalesce(axes)) <= 1
        whole = isinstance(self.problem.b, Strided) and self.n.run.strides[0] == 1 and self.n.size % self.lanes == 0
        return self.packs_b and even and whole and self.n.large > 1

    @property
    def last_rows(self) -> set[int]:
        """The sizes that the last units of tasks have."""
        ends = [*range(self.m_block, self.m.units, self.m_block), self.m.units]
        return {self.m.size if (end - 1) % self.m.pieces < self.m.large else self.m.small for end in ends}

    @property
    def k_blocks(self) -> int:
        return extent_of(self.k_outer) * -(-self.k_axis.extent // self.k_chunk)

    @property
    def k_is_even(self) -> bool:
        """Whether all blocks of k are equally long."""
        return self.k_axis.extent % self.k_chunk == 0

    @property
    def depth(self) -> int:
        """The most k in one block."""
        return self.k_chunk * extent_of(self.k_inner)

    @property
    def m_blocks(self) -> int:
        return -(-self.m.units // self.m_block)

    @property
    def n_blocks(self) -> int:
        return -(-self.n.units // self.n_block)

    @property
    def tasks(self) -> int:
        return extent_of(self.problem.batch) * self.m_blocks * self.n_blocks

    @property
    def panel_stride(self) -> int:
        """Elements of a packed panel of b from one k to the next."""
        return round_up(self.n.size, self.lanes)

    @property
    def panel_bytes(self) -> int:
        """One packed panel of b."""
        return round_up(self.panel_stride * self.depth * size_of(self.problem.element), LINE)

    @property
    def keeps_partial(self) -> bool:
        """Whether partial sums need scratch memory: k is cut, and they can't be where the results will be."""
        return self.k_blocks > 1 and not _is_home(self.problem)

    @property
    def partial_tile(self) -> int:
        """Elements of one tile of partial sums."""
        return self.m.size * self.panel_stride

    @property
    def a_block_bytes(self) -> int:
        elements = self.m_block * self.m.size * self.depth if self.packs_a else 0
        return round_up(elements * size_of(self.problem.element), LINE)

    @property
    def task_scratch(self) -> int:
        elements = self.m_block * self.n_block * self.partial_tile if self.keeps_partial else 0
        return self.a_block_bytes + round_up(elements * size_of(self.problem.element), LINE)


def plan_contraction(target: Target, problem: Problem, workers: int) -> Plan:
    """The cheapest plan. How many workers there are decides only how many tasks there are, not what is computed."""
    plans = [_across(target, problem), _across(target, problem.transposed)]
    if _reads(problem.a) and _reads(problem.b) and problem.k[-1].strides == (1, 1):
        plans += _along(target, problem)
    return _divided(min(plans, key=lambda plan: plan.cost), workers)


# ---- vectors along n -------------------------------------------------------------------------------------------------


def _across(target: Target, problem: Problem) -> Plan:
    bytes_ = size_of(problem.element)
    m_extent, n_extent, k_extent = (extent_of(axes) for axes in (problem.m, problem.n, problem.k))
    batches = extent_of(problem.batch)
    run = problem.n[-1].extent
    lanes = min(target.lanes(bytes_), 1 << (run - 1).bit_length())
    turned = _turns(problem)
    shape_cost, rows, vectors = _tile_shape(target, problem.m[-1].extent, run, lanes, k_extent, turned)
    m, n = cut_rows(problem.m, rows), cut_columns(problem.n, vectors * lanes)

    must_pack_b = not _is_plain(problem.b, problem.element) or n.run.strides[0] != 1
    packs_b = must_pack_b or m.units > 2
    panel = round_up(n.size, lanes) * bytes_
    limit = max(8, target.level1 * 5 // 8 // panel)
    if not packs_b and m.units == 1 and k_extent * n_extent * bytes_ > target.level2:
        limit = 8 * m.size  # b passes by once: it is read in long stretches, which processors foresee
    k_outer, k_axis, k_chunk, k_inner = cut_depth(problem.k, limit)
    depth = k_chunk * extent_of(k_inner)

    compute = batches * extent_of(m.outer) * extent_of(n.outer) * k_extent * shape_cost
    across, along = abs(m.run.strides[0]), abs(problem.k[-1].strides[0])
    cost_a = _pack_cost(problem.a, across, along, m.size) * batches * m_extent * k_extent
    slowness, most_rows = _direct_cost(target, m, depth, across * bytes_, along * bytes_, bytes_)
    if n.units <= 2:
        slowness = 0.0
    packs_a = not _is_plain(problem.a, problem.element) or slowness * compute > cost_a
    if packs_a:
        most_rows = target.level2 * 3 // 2 // (depth * bytes_)  # it may come from the third: it is read in one stream
    m_block = m.units if n.units == 1 and not packs_a else even(m.units, max(1, most_rows // m.size))
    if m.pieces < m_block < m.units:
        m_block -= m_block % m.pieces  # the first tiles of blocks are to be of one size

    cost = compute + (cost_a if packs_a else slowness * compute)
    if must_pack_b:
        cost_b = _pack_cost(problem.b, n.run.strides[0], problem.k[-1].strides[1], lanes)
        cost += cost_b * batches * n_extent * k_extent * -(-m.units // m_block)
    return Plan(
        problem, cost, False, m, n, lanes, k_outer, k_axis, k_chunk, k_inner, packs_a, packs_b, m_block, n.units
    )


def _tile_shape(
    target: Target, rows: int, columns: int, lanes: int, depth: int, turned: bool
) -> tuple[float, int, int]:
    """(cycles for one k of a whole run, rows, vectors) of the best tile that the registers hold."""
    best = (math.inf, 1, 1)
    vectors = -(-columns // lanes)
    spare = 1 if target.has_fma else 2
    for wide in range(1, min(vectors, target.registers - 2) + 1):
        block = min(depth, target.level1 * 3 // 4 // (wide * target.vector_bytes))
        for high in range(1, min(rows, target.registers) + 1):
            if high * wide + min(high, wide) + spare > target.registers:
                break
            cut = cut_rows([Axis(rows, ())], high)
            cost = 0.0
            for panels, width in ((vectors // wide, wide), (1, vectors % wide)):
                for pieces, size in ((cut.large, cut.size), (cut.pieces - cut.large, cut.small)):
                    if width and pieces:
                        cost += panels * pieces * _tile_cycles(size, width, block, turned)
            variants = (cut.pieces > cut.large) + (vectors % wide > 0)
            cost *= 1 + 0.01 * wide + 0.0005 * cut.size + 0.01 * variants
            best = min(best, (cost, cut.size, wide))
    return best


def _tile_cycles(rows: int, vectors: int, depth: int, turned: bool) -> float:
    """Cycles a k: two multiplications and two loads a cycle, and a sum takes four cycles; a tile is also stored."""
    finish = 20 + rows * vectors * (4 if turned else 1)
    return max(rows * vectors / 2, (rows + vectors) / 2, 4.5) + finish / depth


def _direct_cost(target: Target, m: Cut, depth: int, across: int, along: int, bytes_: int) -> tuple[float, int]:
    """(the share of time that is lost, rows at a time) if a is read where it lies; across, along: bytes."""
    row = min(depth * bytes_, max(across, LINE)) if m.run.extent > 1 else depth * bytes_  # rows may overlap
    rows = max(1, target.level2 // row)
    if along <= across or m.run.extent == 1:
        # Rows lie apart: a block of them is to stay in the second cache.
        way = target.level2 // _WAYS
        held = min(rows, _WAYS * way // max(math.gcd(across, way), row) // 2)
        if m.extent <= held:
            return 0.0, rows
        if held < 96:
            return 0.1, max(1, held)
        return (0.01 if across <= 2 * row else 0.05), rows
    # Each k lies apart: a tile takes a line for each.
    if depth > _held(target.level2, along) or depth * along > _PAGES:
        return 0.15, rows
    return (0.05 if depth > _held(target.level1, along) else 0.0), rows


def _held(cache: int, stride: int) -> int:
    """How many lines that lie `stride` bytes apart half of a cache holds."""
    way = cache // _WAYS
    return _WAYS * way // max(math.gcd(stride, way), LINE) // 2


def _pack_cost(operand: Operand, across: int, along: int, width: int) -> float:
    """Cycles an element, if `width` of them are put side by side."""
    if isinstance(operand, Computed):
        return 1.5
    if across == 1:
        return 0.25
    return 2.2 / width + 0.15 if along == 1 else 1.5


def _divided(plan: Plan, workers: int) -> Plan:
    """The plan with blocks cut further, so that there are tasks for all workers, and a few more to even them out."""
    m, n = plan.m, plan.n
    batches = extent_of(plan.problem.batch)
    work = 2 * batches * m.extent * n.extent * extent_of(plan.problem.k)
    most = min(2 * workers, work // _TASK_FLOPS)
    if workers == 1 or most <= plan.tasks:
        return plan
    # Cycles lost for a k and a row of a (column of b), which the columns (rows) of a task must make up for.
    lost_a = 40 if plan.packs_a else 300 if m.extent <= 2 and not plan.along else 3
    lost_b = 15 if plan.packs_b else 1

    def divided(rows: int, columns: int) -> tuple[float, int, int]:
        """(how long it takes, units of m, units of n) if m and n are cut into so many blocks."""
        m_block, n_block = even(m.units, m.units // rows), even(n.units, n.units // columns)
        if m.pieces < m_block < m.units:
            m_block -= m_block % m.pieces
        tasks = batches * -(-m.units // m_block) * -(-n.units // n_block)
        lost = lost_a / (n_block * n.size) + lost_b / (m_block * m.size)
        return (1 + lost) * max(1 / tasks, 1 / workers + 0.3 / tasks), m_block, n_block

    best = divided(-(-m.units // plan.m_block), -(-n.units // plan.n_block))
    for rows in range(-(-m.units // plan.m_block), min(m.units, most) + 1):
        for times in range(1, 5):
            columns = min(n.units, -(-times * workers // (batches * rows)))
            if rows * columns * batches <= max(most, workers):
                best = min(best, divided(rows, columns))
    return replace(plan, m_block=best[1], n_block=best[2])


# ---- vectors along k -------------------------------------------------------------------------------------------------


def _along(target: Target, problem: Problem) -> list[Plan]:
    lanes = target.lanes(size_of(problem.element))
    if problem.k[-1].extent < lanes:
        return []
    rows, columns = problem.m[-1].extent, problem.n[-1].extent
    steps = -(-problem.k[-1].extent // lanes) * extent_of(problem.k[:-1])
    best = (math.inf, 1, 1)
    for high in range(1, min(rows, 8) + 1):
        for wide in range(1, min(columns, lanes) + 1):
            if high * wide + min(high, wide) + 1 > target.registers:
                break
            cycles = max(high * wide / 2, (high + wide) / 2, 4.5) * steps + 20 + 4 * high * wide
            best = min(best, (cycles * -(-rows // high) * -(-columns // wide), high, wide))
    m, n = cut_rows(problem.m, best[1]), cut_columns(problem.n, best[2])
    cost = best[0] * extent_of(m.outer) * extent_of(n.outer) * extent_of(problem.batch)
    read = (extent_of(problem.m) + extent_of(problem.n)) * extent_of(problem.k) * size_of(problem.element)
    if min(m.units, n.units) > 1 and read > target.level1:
        cost *= 2.5  # nothing is cut to stay in a cache
    axis, *inner = problem.k
    return [Plan(problem, cost, True, m, n, lanes, [], axis, axis.extent, inner, False, False, m.units, n.units)]


# ---- cutting ---------------------------------------------------------------------------------------------------------


def cut_rows(axes: list[Axis], size: int) -> Cut:
    """Pieces of at most `size`: for a short run nearly equal ones, else full ones and a rest."""
    run = axes[-1]
    pieces = -(-run.extent // size)
    if pieces > 12 and len(axes) == 1 and run.extent % size:
        return Cut(axes[:-1], run, size, run.extent % size, pieces, pieces - 1)
    size = -(-run.extent // pieces)
    return Cut(axes[:-1], run, size, size - 1, pieces, run.extent - pieces * (size - 1))


def cut_columns(axes: list[Axis], size: int) -> Cut:
    """Panels of `size`, and a rest."""
    run = axes[-1]
    size = min(size, run.extent)
    return Cut(axes[:-1], run, size, run.extent % size, -(-run.extent // size), run.extent // size)


def cut_depth(axes: list[Axis], limit: int) -> tuple[list[Axis], Axis, int, list[Axis]]:
    """Blocks of k of about at most `limit`: (loops outside, the axis that is cut, how much of it, loops inside)."""
    inside, place = 1, len(axes)
    while place > 1 and inside * axes[place - 1].extent <= limit:
        place -= 1
        inside *= axes[place].extent
    cut = axes[place - 1]
    return axes[: place - 1], cut, even(cut.extent, max(1, limit // inside)), axes[place:]


def even(units: int, most: int) -> int:
    """The size of blocks of at most `most` units that are as equal as can be."""
    return -(-units // -(-units // max(1, most)))


def round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _reads(operand: Operand) -> bool:
    return isinstance(operand, Strided)


def _is_plain(operand: Operand, element: str) -> bool:
    """Whether the operand can be multiplied where it lies."""
    return isinstance(operand, Strided) and operand.element == element


def _is_home(problem: Problem) -> bool:
    """Whether partial sums can be where the results will be."""
    c = problem.c
    return c is not None and c.element == problem.element and problem.n[-1].strides[1] == 1


def _turns(problem: Problem) -> bool:
    """Whether tiles have to be transposed to be stored."""
    return problem.swapped if problem.store else problem.n[-1].strides[1] != 1
