"""Kernels that loop over rows and columns: elementwise results, reductions along the columns, sums over the rows.

For each row, *sweeps* go over its columns. What reduces along the columns ends a sweep: what needs its result comes in the
next one. The row is in the cache by then, so memory is read once. Values that an earlier sweep computed are loaded if they
were stored, and computed again if they are cheap; otherwise the row of them is kept in scratch memory on the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rillet.compiler.arrays import Array, Reduction, Source, neutral, size_of
from rillet.compiler.groups import RowsGroup
from rillet.compiler.index import Linear, Variable, linear
from rillet.compiler.scalar import Scalar, bases_of, in_order, loads
from rillet.engines.native.expressions import Expressions, compute_type, storage_type
from rillet.engines.native.kernel import (
    Kernel,
    Partial,
    accumulator_dtype,
    across_lanes,
    begin_kernel,
    combine,
    unravelled,
    widened_with,
)
from rillet.engines.native.llvm import Value, lanes_of, vector
from rillet.engines.native.target import Target

# Work (vector operations) that is worth a task of its own; more for kernels whose tasks each keep sums.
_TASK, _SUMMING_TASK, _MOST_TASKS, _MOST_SUMMING = 20_000, 60_000, 256, 16
# Each task gets this many rows at least, if it can, so that they are shared out evenly.
_ROWS_TO_SHARE = 4
# Numbers added one to another, before sums are added up: their rounding errors may all have one direction.
_MOST_ADDED = 256
# Values of an earlier sweep that cost less are computed again; rows of up to so many bytes are kept on the stack.
_CHEAP, _STACK = 8, 16 << 10
# Operations for an element up to which two vectors are computed side by side: each waits for its own results.
_MANY = 400


def write_rows(group: RowsGroup, target: Target, one_task: bool = False) -> Kernel:
    """The kernel of a group without a contraction. one_task: it is not to be divided."""
    return _RowsWriter(group, target).write(one_task)


# ---- writing --------------------------------------------------------------------------------------------------------


class _RowsWriter:
    def __init__(self, group: RowsGroup, target: Target) -> None:
        self.group = group
        self.target = target
        self.b = begin_kernel()
        self.members = list(group.members)
        self.role = {member.number: group.roles[member.number] for member in self.members}
        self.expressions = group.shared_expressions(self.members)
        self.x = Expressions(self.b, target, bases=bases_of(self.expressions.values(), self.role))
        self.stored = {array.number for array in group.stores}
        self.wanted = self._wanted()
        self.members = [member for member in self.members if member.number in self.wanted]
        variables = group.variables()
        sums_rows = any(self.role[m.number] in ("row reduction", "row", "row total") for m in self.members)
        if group.rows is None:
            rows = max(0, len(variables) - 1)
        else:
            rows = group.rows
        self.rows, self.columns = variables[:rows], variables[rows:]
        self.flat = not self.rows and not sums_rows and len(self.columns) == 1 and not self._any_role("column sum")
        self.sweep = self._sweeps()
        self.partials: list[Partial] = []
        self._scratch: dict[int, tuple[Value, str]] = {}
        self._row_results: dict[int, Value] = {}

    def _any_role(self, *roles: str) -> bool:
        return any(self.role[member.number] in roles for member in self.members)

    def _wanted(self) -> set[int]:
        """Members that are stored, or that one that is stored needs."""
        wanted: set[int] = set()
        for member in reversed(self.members):
            if member.number in self.stored or member.number in wanted:
                wanted.add(member.number)
                loads(self.expressions[member.number], lambda load: wanted.add(load.data[0].number))
        return wanted

    def _sweeps(self) -> dict[int, int]:
        """In which sweep each member is (first) computed."""
        sweep: dict[int, int] = {}
        for member in self.members:
            first = 0

            def visit(load: Scalar) -> None:
                nonlocal first
                number = load.data[0].number
                if number in sweep:
                    first = max(first, sweep[number] + (self.role[number] == "row reduction"))

            loads(self.expressions[member.number], visit)
            sweep[member.number] = first
        return sweep

    # ---- sizes --------------------------------------------------------------------------------------------------

    def _row_work(self) -> int:
        """Vector operations a row (or, without rows, in all)."""
        heavy = sum(
            self.expressions[m.number].cost + 1 for m in self.members if self.role[m.number] not in ("row", "row total")
        )
        columns = size_of([variable.extent for variable in self.columns])
        return max(1, heavy * columns // self.target.lanes(4)) + 8

    def _lanes(self) -> int:
        """Elements computed at once: several vectors where little is done to each, to keep the processor busy."""
        if not self.columns:
            return 1
        widest = max([member.dtype.size for member in self.members] + [4])
        base = self.target.lanes(widest)
        operations = sum(min(self.expressions[member.number].size, 200) for member in self.members)
        unroll = 4 if operations <= 6 or self._draws() else 2 if operations <= _MANY else 1
        extent = self.columns[-1].extent
        while unroll > 1 and extent < base * unroll * 2:
            unroll //= 2
        if extent < 2 * base * unroll and extent <= 4 * base:
            return extent
        return base * unroll

    def _draws(self) -> bool:
        """Whether there are random words: long chains of operations that each wait for the one before."""
        nodes = in_order(list(self.expressions.values()))
        return any(node.operation in ("random32", "random64") for node in nodes)

    # ---- the whole kernel ---------------------------------------------------------------------------------------

    def write(self, one_task: bool) -> Kernel:
        b, x = self.b, self.x
        summing = self._any_role("total", "row total", "column sum")
        row_work = self._row_work()
        lanes = self._lanes()
        rows = size_of([variable.extent for variable in self.rows])
        work = row_work * (1 if self.flat else rows)
        tasks = max(1, work // (_SUMMING_TASK if summing else _TASK))
        tasks = 1 if one_task else min(tasks, _MOST_SUMMING if summing else _MOST_TASKS)
        outer, inner = self._divided_rows(tasks)
        tasks, limit, chunk = self._runs_of_rows(tasks, size_of([v.extent for v in outer]), lanes, one_task)
        group = -(-self.runs // tasks)
        first = b.binary("mul nsw", b.parameters["begin"], b.i64(group))
        last = self._least(b.binary("mul nsw", b.parameters["end"], b.i64(group)), b.i64(self.runs))
        with b.loop(first, last) as runs:
            self.run = runs.index
            with x.inside([]):
                totals = self._start_sums(lanes)
                start = b.binary("mul nsw", runs.index, b.i64(chunk))
                stop = self._least(b.binary("add nsw", start, b.i64(chunk)), b.i64(limit))
                if self.flat:
                    self._one_sweep(0, lanes, start, stop)
                else:
                    with b.loop(start, stop) as loop, x.inside(unravelled(b, loop.index, outer)), self._loops(inner):
                        self._row(lanes)
                self._finish_sums(totals)
        b.ret()
        name = "rows " + " ".join(f"{variable.extent}" for variable in (*self.rows, *self.columns))
        return Kernel(name, str(b.module), x.operands, tasks, work, self.partials, bases=x.bases)

    def _least(self, x: Value, y: Value) -> Value:
        return self.b.select(self.b.compare("slt", x, y), x, y)

    def _divided_rows(self, tasks: int) -> tuple[Sequence[Variable], Sequence[Variable]]:
        """The variables of the rows that tasks share among them, and those that each has a loop for: they need not be found
        by division for every row."""
        count = len(self.rows)
        outer, inside = size_of([variable.extent for variable in self.rows]), 1
        while count > 1:
            extent = self.rows[count - 1].extent
            if outer // extent < _ROWS_TO_SHARE * tasks or (self._rounds() and inside * extent > _MOST_ADDED // 4):
                break
            count, outer, inside = count - 1, outer // extent, inside * extent
        return self.rows[:count], self.rows[count:]

    def _rounds(self) -> bool:
        """Whether sums over rows lose digits, the more the longer they are."""
        return any(
            self.role[member.number] in ("total", "row total", "column sum")
            and member.dtype.is_floating
            and getattr(member, "kind", "") in ("sum", "product")
            for member in self.members
        )

    def _runs_of_rows(self, tasks: int, outer: int, lanes: int, one_task: bool) -> tuple[int, int, int]:
        """Cuts the rows (without rows: the columns) into runs: sums over rows are collected for each run. Returns the number
        of tasks, that of rows that are shared out, and how many of these a run has."""
        limit = self.columns[0].extent if self.flat else outer
        runs = tasks
        if self._rounds() and not one_task:
            added = lanes if self.flat else outer / size_of([variable.extent for variable in self.rows])
            runs = max(tasks, int(limit // (_MOST_ADDED * added)))
        chunk = -(-limit // min(runs, limit))
        if self.flat:
            chunk = -(-chunk // lanes) * lanes
        self.runs = -(-limit // chunk)
        group = -(-self.runs // min(tasks, self.runs))
        return -(-self.runs // group), limit, chunk

    @contextmanager
    def _loops(self, variables: Sequence[Variable]) -> Iterator[None]:
        yield from self._nest(list(variables))

    def _row(self, lanes: int) -> None:
        last = max((self.sweep[member.number] for member in self.members), default=0)
        self._row_results.clear()
        if not self.rows:
            self.x.outermost = len(self.x.levels) - 1  # what is made of reductions cannot stand before the loops
        for sweep in range(last + 1):
            self.x.continue_here()
            self._row_members(sweep)
            self._one_sweep(sweep, lanes)
        self.x.continue_here()
        self._row_members(last + 1)
        self.x.outermost = 0

    def _row_members(self, sweep: int) -> None:
        """What is computed once a row, before that sweep."""
        for member in self.members:
            role = self.role[member.number]
            if self.sweep[member.number] != sweep:
                continue
            if role == "row":
                self._install(sweep)
                if member.number in self.stored:
                    self.x.store(self.x.value(self.expressions[member.number]), member, self.group.point("row"))
            elif role == "row total":
                self._install(sweep)
                self._add_to_total(member, self.x.value(self.expressions[member.number]))

    # ---- one sweep ----------------------------------------------------------------------------------------------

    def _one_sweep(self, sweep: int, lanes: int, start: Value | None = None, stop: Value | None = None) -> None:
        """Loops over the columns, computing the members that belong to this sweep."""
        here = [
            m for m in self.members if self.sweep[m.number] == sweep and self.role[m.number] not in ("row", "row total")
        ]
        kept = self._kept_for_later(sweep)
        active = [m for m in here if self.role[m.number] != "full" or m.number in self.stored or m.number in kept]
        if not active:
            return
        self._install(sweep)
        b, x = self.b, self.x
        accumulators = {}
        for member in active:
            if self.role[member.number] == "row reduction":
                accumulators[member.number] = _Accumulator(self, member, lanes)
        for number in kept:
            self._reserve(number)
        with self._outer_columns():
            lane = self.columns[-1] if self.columns else None
            if lane is None:
                with x.inside([]):
                    self._piece(active, accumulators)
            else:
                for first, last, width in self._pieces(lane.extent, lanes, start, stop):
                    with b.loop(first, last, width) as loop, x.inside([(lane, loop.index)], lane, width):
                        self._piece(active, accumulators)
                if start is not None and lane.extent % lanes and lane.extent > lanes:
                    self._flat_tail(lane, lanes, stop, active)
        for member in active:
            if member.number in accumulators:
                result = accumulators[member.number].result()
                self._row_results[member.number] = result
                if member.number in self.stored:
                    x.store(result, member, self.group.point("row"))

    def _pieces(
        self, extent: int, lanes: int, start: Value | None, stop: Value | None
    ) -> Iterator[tuple[Value, Value, int]]:
        b = self.b
        if start is not None and stop is not None:
            if extent <= lanes:
                yield b.i64(0), b.i64(extent), extent
            else:
                last = b.i64(extent - extent % lanes)
                yield start, b.select(b.compare("slt", stop, last), stop, last), lanes
            return
        whole = extent - extent % lanes
        if whole:
            yield b.i64(0), b.i64(whole), lanes
        if extent % lanes:
            yield b.i64(whole), b.i64(extent), extent % lanes

    def _flat_tail(self, lane: Variable, lanes: int, stop: Value | None, active: Sequence[Array]) -> None:
        """The last few elements of a flat domain, which only the last task has."""
        b = self.b
        assert stop is not None
        rest = lane.extent % lanes
        first = [(lane, b.i64(lane.extent - rest))]
        with b.when(b.compare("eq", stop, b.i64(lane.extent))), self.x.inside(first, lane, rest):
            self._piece(active, {})

    @contextmanager
    def _outer_columns(self) -> Iterator[None]:
        """Loops over all columns variables but the last."""
        yield from self._nest(list(self.columns[:-1]))

    def _nest(self, variables: list[Variable]) -> Iterator[None]:
        if not variables:
            yield
            return
        b = self.b
        with b.loop(b.i64(0), b.i64(variables[0].extent)) as loop, self.x.inside([(variables[0], loop.index)]):
            yield from self._nest(variables[1:])

    def _piece(self, active: Sequence[Array], accumulators: dict[int, _Accumulator]) -> None:
        x = self.x
        for member in active:
            role = self.role[member.number]
            value = x.value(self.expressions[member.number])
            if role == "full":
                point = self.group.point("full")
                if member.number in self.stored:
                    x.store(value, member, point)
                if member.number in self._scratch:
                    self._keep(member, value)
            elif role == "row reduction":
                accumulators[member.number].add(value)
            elif role == "column sum":
                self._add_to_column(member, value)
            elif role == "total":
                self._add_to_total(member, value)

    # ---- members read by members --------------------------------------------------------------------------------

    def _install(self, sweep: int) -> None:
        """How reads of members are answered in this sweep."""

        def answer(member: Array) -> Callable[[Scalar], Scalar | Value | None]:
            return lambda load: self._member(load, member, sweep)

        self.x.replaced = {member.number: answer(member) for member in self.members}

    def _member(self, load: Scalar, member: Array, sweep: int) -> Scalar | Value | None:
        role = self.role[member.number]
        if role == "row reduction":
            return self._row_results[member.number]
        if role == "row":
            return self.expressions[member.number]
        if role == "full" and self.sweep[member.number] < sweep:
            if member.number in self._scratch:
                return self._kept(member)
            if member.number in self.stored and self.expressions[member.number].cost > 2:
                return None  # loaded
        return self.expressions[member.number]

    def _kept_for_later(self, sweep: int) -> list[int]:
        """Full members of this sweep whose values later sweeps want, and that are dear and not stored."""
        columns = size_of([variable.extent for variable in self.columns])
        later: set[int] = set()
        for member in self.members:
            if self.sweep[member.number] > sweep:
                loads(self.expressions[member.number], lambda load: later.add(load.data[0].number))
        return [
            member.number
            for member in self.members
            if member.number in later
            and self.role[member.number] == "full"
            and self.sweep[member.number] == sweep
            and member.number not in self.stored
            and self.expressions[member.number].cost >= _CHEAP
            and columns * accumulator_dtype(member.dtype).size <= _STACK
        ]

    def _reserve(self, number: int) -> None:
        member = next(member for member in self.members if member.number == number)
        if number not in self._scratch:
            type_ = "i8" if member.dtype.is_bool else compute_type(member.dtype)
            columns = size_of([variable.extent for variable in self.columns])
            self._scratch[number] = (self.b.alloca(type_, columns), type_)

    def _column_place(self, member: Array) -> Value:
        pointer, type_ = self._scratch[member.number]
        return self.b.offset(pointer, self._column_start(), type_)

    def _column_start(self) -> Value:
        """The number, in the row, of the element that is computed (of the first one, if it is a vector)."""
        form = self._column_form()
        return self.x._start(form) if self.columns and self.columns[-1] in form.terms else self.x._uniform(form)

    def _column_form(self) -> Linear:
        form = linear(0)
        stride = 1
        for variable in reversed(self.columns):
            form = form + linear(variable) * stride
            stride *= variable.extent
        return form

    def _keep(self, member: Array, value: Value) -> None:
        value = self.b.splat(value, self.x.lanes)
        if member.dtype.is_bool:
            value = self.b.convert("zext", value, "i8")
        self.b.store(value, self._column_place(member))

    def _kept(self, member: Array) -> Value:
        def write() -> Value:
            type_ = self._scratch[member.number][1]
            value = self.b.load(self._column_place(member), vector(type_, self.x.lanes))
            return self.b.compare("ne", value, self.b.constant(value.type, 0)) if member.dtype.is_bool else value

        return self.x._in(len(self.x.levels) - 1, ("kept", member.number), write)

    # ---- sums over rows -----------------------------------------------------------------------------------------

    def _start_sums(self, lanes: int) -> dict[int, _Accumulator]:
        self._totals: dict[int, _Accumulator] = {}
        self._parts: dict[int, Source] = {}
        for member in self.members:
            role = self.role[member.number]
            if role in ("total", "row total"):
                self._totals[member.number] = _Accumulator(self, member, lanes if role == "total" else 1)
            if role in ("total", "row total", "column sum"):
                assert isinstance(member, Reduction)
                dtype = accumulator_dtype(member.dtype)
                # A column's sum so far lies in memory; a total is in registers, however few bits it is stored in.
                if self.runs > 1 or (role == "column sum" and dtype is not member.dtype):
                    parts = Source(member.program, (self.runs, member.size), dtype, "parts", member.number)
                    self._parts[member.number] = parts
                    self.partials.append(Partial(member, parts, member.kind))
            if role == "column sum":
                self._clear_column(member)
        return self._totals

    def _sums_of(self, member: Array) -> tuple[Array, Value]:
        """Where this run's part of a result goes: the array, and the number of its first element."""
        parts = self._parts.get(member.number)
        if parts is None:
            return member, self.b.i64(0)
        return parts, self.b.binary("mul", self.run, self.b.i64(member.size))

    def _sums_place(self, member: Array, offset: Value | None = None) -> tuple[Value, str]:
        array, start = self._sums_of(member)
        b = self.b
        if offset is not None:
            start = offset if start.text == "0" else b.binary("add", start, offset)
        element = "i8" if array.dtype.is_bool else compute_type(array.dtype)
        return b.offset(self.x.pointer(array), start, element), element

    def _clear_column(self, member: Array) -> None:
        assert isinstance(member, Reduction)
        b = self.b
        _, element = self._sums_place(member)
        number = neutral(member.kind, accumulator_dtype(member.dtype))
        lanes = self.target.lanes(accumulator_dtype(member.dtype).size)
        whole = member.size - member.size % lanes
        for first, last, width in ((0, whole, lanes), (whole, member.size, member.size - whole)):
            if first < last:
                filler = b.constant(vector(element, width), number)
                with b.loop(b.i64(first), b.i64(last), width) as loop:
                    b.store(filler, self._sums_place(member, loop.index)[0])

    def _add_to_column(self, member: Array, value: Value) -> None:
        assert isinstance(member, Reduction)
        b = self.b
        form = self._column_form()
        varies = bool(self.columns) and self.columns[-1] in form.terms and self.x.lanes > 1
        start = self.x._start(form) if varies else self.x._uniform(form)
        place, element = self._sums_place(member, start)
        value = b.splat(value, self.x.lanes)
        before = b.load(place, vector(element, self.x.lanes))
        if member.dtype.is_bool:
            before = b.compare("ne", before, b.constant(before.type, 0))
        after = combine(b, member.kind, before, value, member.dtype)
        b.store(b.convert("zext", after, "i8") if member.dtype.is_bool else after, place)

    def _add_to_total(self, member: Array, value: Value) -> None:
        self._totals[member.number].add(value)

    def _finish_sums(self, totals: dict[int, _Accumulator]) -> None:
        for member in self.members:
            if member.number in totals:
                array, start = self._sums_of(member)
                place = self.b.offset(self.x.pointer(array), start, storage_type(array.dtype))
                self.b.store(self.x.stored(totals[member.number].result(), array.dtype), place)


class _Accumulator:
    """A reduction's value so far, as vectors in stack slots that LLVM keeps in registers."""

    def __init__(self, writer: _RowsWriter, member: Array, lanes: int) -> None:
        assert isinstance(member, Reduction)
        self.writer = writer
        self.kind = member.kind
        self.lanes = lanes
        self.searches = member.kind.startswith("arg")
        self.result_dtype = member.dtype
        self.dtype = accumulator_dtype(member.source.dtype if self.searches else member.dtype)
        b = writer.b
        self.type = vector(compute_type(self.dtype), lanes)
        self.first = b.constant(self.type, neutral(self.kind, self.dtype))
        self.slot = b.alloca(self.type)
        b.store(self.first, self.slot)
        if self.searches:
            self.places = vector("i64", lanes)
            self.place_slot = b.alloca(self.places)
            b.store(b.constant(self.places, 0), self.place_slot)

    def add(self, value: Value) -> None:
        b = self.writer.b
        value = b.splat(value, self.writer.x.lanes)
        if self.searches:
            self._search(value)
            return
        if lanes_of(value.type) != self.lanes:
            filler = b.constant(value.type, neutral(self.kind, self.dtype))
            value = widened_with(b, value, filler, self.lanes)
        total = b.load(self.slot, self.type, 64)
        b.store(combine(b, self.kind, total, value, self.dtype), self.slot, 64)

    def _search(self, value: Value) -> None:
        writer = self.writer
        b = writer.b
        lanes = writer.x.lanes
        places = b.binary("add", b.splat(writer._column_start(), lanes), b.lane_numbers("i64", lanes))
        if lanes != self.lanes:
            value = widened_with(b, value, b.constant(value.type, neutral(self.kind, self.dtype)), self.lanes)
            places = widened_with(b, places, b.constant(places.type, 0), self.lanes)
        best, known = b.load(self.slot, self.type, 64), b.load(self.place_slot, self.places, 64)
        better = self._better(value, best)
        b.store(b.select(better, value, best), self.slot, 64)
        b.store(b.select(better, places, known), self.place_slot, 64)

    def _better(self, value: Value, best: Value) -> Value:
        b = self.writer.b
        largest = self.kind == "argmax"
        if not self.dtype.is_floating:
            sign = "u" if self.dtype.is_unsigned or self.dtype.is_bool else "s"
            return b.compare(sign + ("gt" if largest else "lt"), value, best)
        new_nan = b.binary("and", b.compare("uno", value, value), b.compare("ord", best, best))
        return b.binary("or", b.compare("ogt" if largest else "olt", value, best), new_nan)

    def result(self) -> Value:
        b = self.writer.b
        total = b.load(self.slot, self.type, 64)
        if not self.searches:
            return across_lanes(b, self.kind, total, self.dtype)
        places = b.load(self.place_slot, self.places, 64)
        best, where = b.extract(total, 0), b.extract(places, 0)
        for lane in range(1, self.lanes):
            value, place = b.extract(total, lane), b.extract(places, lane)
            same = b.binary("and", self._same(value, best), b.compare("slt", place, where))
            better = b.binary("or", self._better(value, best), same)
            best, where = b.select(better, value, best), b.select(better, place, where)
        return b.convert("trunc", where, compute_type(self.result_dtype))

    def _same(self, value: Value, best: Value) -> Value:
        b = self.writer.b
        if not self.dtype.is_floating:
            return b.compare("eq", value, best)
        both = b.binary("and", b.compare("uno", value, value), b.compare("uno", best, best))
        return b.binary("or", b.compare("oeq", value, best), both)
