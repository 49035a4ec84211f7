"""Scheduling: which arrays come to memory, and which kernels compute them.

An array is *named* if it is computed in one place: reductions, contractions, results, and maps that would otherwise be
computed several times at a cost. All other maps are computed where they are read. Named arrays are put into groups, each
of which becomes one kernel: an array joins the group of what it reads if it needs that at its own place only.

    Rows          loops over a domain (rows x columns): elementwise results; reductions along the columns (each row's
                  sum is there for the next sweep over the same row: softmax, layer norm); sums over the rows, which are
                  collected on the way (gradients of biases)
    Contraction   one contraction and what is done to each element of its result
    Middle        a reduction along axes in the middle
    Opaque        a kernel of its own kind
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from rillet.compiler.arrays import Array, Arrays, Constant, Contraction, Map, Opaque, Output, Reduction, Source, size_of
from rillet.compiler.index import Linear, Variable, flatten, linear, unflatten
from rillet.compiler.scalar import COSTS, Scalar, loads

# A map that costs this much (in additions) is not computed again for each reader of a broadcast.
_COSTLY = 4
# One that costs no more than this, and is made of one array of its size, is computed by each of its readers: they would
# have to load something of that size anyway.
_RECOMPUTED = 12
# No expression is longer than this many operations, no chain of inlined maps deeper, no kernel larger.
_LONGEST, _DEEPEST, _LARGEST = 300, 40, 900
# Below this many elements, a domain is cheap enough to share a kernel with unrelated work on the same domain.
_SMALL = 1 << 14
# Unrelated work on the same domain shares a kernel up to so many arrays: what comes later often wants both.
_STREAMS = 10
# How many groups on the same domain are tried.
_LOOKBACK = 6


@functools.cache
def loop_variables(extents: tuple[int, ...]) -> tuple[Variable, ...]:
    """The variables of a loop nest; the same ones for the same extents, so that expressions over them are shared."""
    return tuple(_variable(position, extent) for position, extent in enumerate(extents))


@functools.cache
def _variable(position: int, extent: int) -> Variable:
    return Variable(f"i{position}", extent)


def essential(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape without extents of 1."""
    return tuple(extent for extent in shape if extent != 1)


class Group:
    """One kernel. `members` are computed in order; `stores` are those that others read, which get a place in memory."""

    kind = "?"

    def __init__(self) -> None:
        self.members: list[Array] = []
        self.stores: list[Array] = []
        self.position = 0
        self.waits_for = 0  # the positions of the groups that it comes after, as bits

    @property
    def name(self) -> str:
        return self.kind

    def reads(self) -> list[Array]:
        """Arrays in memory that the kernel reads, as the group stands."""
        raise NotImplementedError

    @functools.cached_property
    def operands(self) -> list[Array]:
        """The same, for a group that is complete; those of a contraction included."""
        contraction = getattr(self, "contraction", None)
        return [*self.reads(), *(() if contraction is None else stored_operands(contraction))]


class RowsGroup(Group):
    """extents: the loop nest. rows: how many of the leading loops are over rows; None while nothing depends on it."""

    kind = "rows"

    def __init__(self, extents: tuple[int, ...], rows: int | None) -> None:
        super().__init__()
        self.extents = extents
        self.rows = rows
        self.roles: dict[int, str] = {}
        self.loaded: set[int] = set()
        self.nodes: set[int] = set()
        self.contraction: Contraction | None = None

    @property
    def kind_of_work(self) -> str:
        return "contraction" if self.contraction is not None else "rows"

    @property
    def total(self) -> int:
        return size_of(self.extents)

    @property
    def row_count(self) -> int:
        return size_of(self.extents[: self.rows]) if self.rows is not None else 1

    def variables(self) -> tuple[Variable, ...]:
        return loop_variables(self.extents)

    def point(self, role: str) -> Linear:
        """Where in the domain the loops stand: the number of the element, or of the row."""
        variables = self.variables()
        if role in ("row", "row reduction"):
            count = self.rows or 0
            return flatten([linear(v) for v in variables[:count]], self.extents[:count])
        return flatten([linear(v) for v in variables], self.extents)

    def expression(self, array: Array, role: str | None = None) -> Scalar:
        """What is computed for `array` at the point where the loops stand."""
        role = role or self.roles[array.number]
        source = array.source if isinstance(array, Reduction) else array
        place = "row" if role in ("row", "row total") else "full"
        index = unflatten(self.point(place), source.shape)
        if source is array:
            assert isinstance(array, Map)
            return array.program.computed(array, index)
        return source.at(*index)

    def reads(self) -> list[Array]:
        found: dict[int, Array] = {}
        inside = set(self.roles)
        seen: set[int] = set()
        for member in self.members:
            if isinstance(member, Contraction):
                continue

            def visit(load: Scalar) -> None:
                array = load.data[0]
                if array.number not in inside:
                    found[array.number] = array

            loads(self.expression(member), visit, seen)
        return list(found.values())


class MiddleGroup(Group):
    """A reduction along axes that are neither the first nor the last ones, or in several runs."""

    kind = "middle"

    def __init__(self, array: Reduction) -> None:
        super().__init__()
        self.array = array
        self.members = [array]

    def loops(self) -> tuple[tuple[Variable, ...], list[int], list[int]]:
        """All loop variables, by axis of the source; the axes kept; the axes reduced."""
        source = self.array.source
        kept = [axis for axis in range(source.rank) if axis not in self.array.axes]
        return loop_variables(source.shape), kept, list(self.array.axes)

    def expression(self) -> Scalar:
        variables, _, _ = self.loops()
        return self.array.source.at(*[linear(v) for v in variables])

    def reads(self) -> list[Array]:
        found: dict[int, Array] = {}
        loads(self.expression(), lambda load: found.setdefault(load.data[0].number, load.data[0]))
        return list(found.values())


class OpaqueGroup(Group):
    kind = "opaque"

    def __init__(self, opaque: Opaque) -> None:
        super().__init__()
        self.opaque = opaque
        self.members = list(opaque.outputs)

    @property
    def name(self) -> str:
        return self.opaque.name

    def reads(self) -> list[Array]:
        """The inputs; of those that are streamed, what their elements are made of."""
        found: list[Array] = []
        for place, array in enumerate(self.opaque.inputs):
            if place in self.opaque.streamed and isinstance(array, Map) and not array.stored:
                made = array.at(*[linear(v) for v in loop_variables(array.shape)])
                loads(made, lambda load: found.append(load.data[0]))
            else:
                found.append(array)
        return found


class Schedule:
    """The groups in an order of execution, for `results` (which all get a place in memory).

    updates: (variable, its new value): values that replace a variable's at the end. They are computed late, so that they can
    be written over the old ones.
    """

    def __init__(self, program: Arrays, results: Sequence[Array], updates: Sequence[tuple[Source, Array]] = ()) -> None:
        self.program = program
        self.results = list(results)
        self.updates = list(updates)
        self.groups: list[Group] = []
        self.group_of: dict[int, Group] = {}
        self._by_domain: dict[int, list[RowsGroup]] = {}
        self._readers: dict[int, dict[int, Group]] = {}
        self._replaces = {value.number: variable for variable, value in updates}
        needed = self._needed()
        self._name(needed)
        program.forget_reads()
        for array in needed:
            if array.stored:
                self._place(array)
        self._in_order()
        self._choose_stores()

    # ---- what is needed, in an order that computes updates last ---------------------------------------------------

    def _needed(self) -> list[Array]:
        order: dict[int, Array] = {}

        def visit(roots: Sequence[Array]) -> None:
            found: dict[int, Array] = {}
            pending = list(roots)
            while pending:
                array = pending.pop()
                if array.number in found or array.number in order:
                    continue
                found[array.number] = array
                pending.extend(array.reads)
                if isinstance(array, Output):
                    pending.extend(array.opaque.outputs)
            for number in sorted(found):
                order[number] = found[number]

        visit(self.results)
        visit([value for _, value in self.updates])
        return list(order.values())

    # ---- naming -------------------------------------------------------------------------------------------------

    def _name(self, needed: Sequence[Array]) -> None:
        readers: dict[int, list[Array]] = {}
        for array in needed:
            for source in {id(source): source for source in array.reads}.values():
                readers.setdefault(source.number, []).append(array)
        kept = {array.number for array in self.results} | {value.number for _, value in self.updates}
        weight: dict[int, int] = {}
        depth: dict[int, int] = {}
        length: dict[int, int] = {}
        whole: dict[int, set[int]] = {}
        known: set[int] = set()
        for array in needed:
            if not isinstance(array, Map):
                weight[array.number] = depth[array.number] = 0
                length[array.number] = 1
                continue
            parts = [source for source in array.reads if not source.stored]
            if all(_known(source) or source.number in known for source in array.reads) and array.cost <= COSTS["mod"]:
                known.add(array.number)  # made of constants alone
            weight[array.number] = array.cost + array.repeats * sum(weight[part.number] for part in parts)
            depth[array.number] = 1 + max((depth[part.number] for part in parts), default=0)
            length[array.number] = 1 + array.repeats * sum(length[part.number] for part in array.reads)
            whole[array.number] = {
                number for source in array.reads for number in ({source.number} if source.stored else whole[source.number])
                if 2 * self.program.arrays[number].size >= array.size
            }  # fmt: skip
            users = readers.get(array.number, [])
            if array.number in kept or array.number not in known and self._worth_naming(
                array, users, weight, depth, length, len(whole[array.number])
            ):
                array.stored = True
                weight[array.number] = depth[array.number] = 0
                length[array.number] = 1

    def _worth_naming(
        self,
        array: Map,
        users: Sequence[Array],
        weight: dict[int, int],
        depth: dict[int, int],
        length: dict[int, int],
        streams: int,
    ) -> bool:
        """streams: how many arrays of its own size it is computed from."""
        work = weight[array.number]
        if any(isinstance(user, Output) and not user.streams(array) for user in users):
            return True
        if any(isinstance(user, Contraction) for user in users):
            return work > 0 or not self._is_plain_view(array)
        if length[array.number] > _LONGEST or depth[array.number] > _DEEPEST:
            return True
        if array.cost == 0:
            return False
        if work <= _COSTLY and 4 * sum(source.size for source in array.reads) <= array.size:
            return False  # made of little: computing it again costs less than reading it back
        if len(users) > 1 and (streams > 1 or work > _RECOMPUTED):
            return True
        return any(
            work >= _COSTLY and getattr(user, "repeats", 1) * user.size >= 2 * array.size
            for user in users
            if not isinstance(user, Reduction)
        )

    def _is_plain_view(self, array: Array) -> bool:
        """Whether each element is one of another array, at a place that is affine in the index."""
        variables = loop_variables(array.shape)
        expression = array.at(*[linear(v) for v in variables])
        if expression.operation != "load" or expression.data[2] is not None:
            return False
        return all(isinstance(atom, Variable) for atom in expression.data[1].terms)

    # ---- grouping -----------------------------------------------------------------------------------------------

    def _place(self, array: Array) -> None:
        if isinstance(array, (Source, Constant)) or array.number in self.group_of:
            return
        if isinstance(array, Output):
            group: Group = OpaqueGroup(array.opaque)
            changed = [array.opaque.inputs[place].number for place in array.opaque.in_place.values()]
            before = [reader for number in changed for reader in self._readers.get(number, {}).values()]
            self._append(group, group.reads())
            self._depend(group, {reader.position: reader for reader in before})  # they read what is written over
            for output in array.opaque.outputs:
                self.group_of[output.number] = group
        elif isinstance(array, Contraction):
            rows = essential((*array.batch, *array.rows))
            joined = RowsGroup((*rows, *essential(array.columns)), len(rows))
            joined.contraction = array
            self._append(joined, stored_operands(array))
            self._join(joined, array, "full", ())
        elif isinstance(array, Reduction):
            self._place_reduction(array)
        else:
            self._place_in_rows(array, essential(array.shape), None, "full")

    def _append(self, group: Group, sources: Sequence[Array]) -> None:
        group.position = len(self.groups)
        self.groups.append(group)
        self._depend(group, self._groups_behind(sources))
        self._note_reads(group, sources)

    def _place_reduction(self, array: Reduction) -> None:
        source = array.source
        axes = [axis for axis in array.axes if source.shape[axis] != 1]
        real = [axis for axis in range(source.rank) if source.shape[axis] != 1]
        count = len(axes)
        split = None
        if array.kind.startswith("arg"):
            role = "row reduction" if axes == real[len(real) - count :] else ""
            split = len(real) - count
        elif count == len(real):
            role, split = "total", None
        elif axes == real[len(real) - count :]:
            role, split = "row reduction", len(real) - count
        elif axes == real[:count]:
            role, split = "column sum", count
        else:
            role = ""
        if not role:
            group = MiddleGroup(array)
            self._append(group, group.reads())
            self.group_of[array.number] = group
            return
        self._place_in_rows(array, essential(source.shape), split, role)

    def _place_in_rows(self, array: Array, extents: tuple[int, ...], rows: int | None, role: str) -> None:
        fresh = RowsGroup(extents, rows)
        expression = fresh.expression(array, role)
        found: list[Scalar] = []
        loads(expression, found.append)
        sources = list({load.data[0].number: load.data[0] for load in found}.values())
        behind = self._groups_behind(sources)
        if array.number in self._replaces:  # not before the kernels that read the old value
            behind = {**behind, **self._readers.get(self._replaces[array.number].number, {})}
        for group, as_role in self._candidates(fresh, role, behind, sources):
            if len(group.nodes) <= _LARGEST and self._may_join(group, behind) and self._fits(group, array, fresh, as_role):
                self._join(group, array, as_role, sources)
                self._depend(group, behind)
                return
        self._append(fresh, sources)
        self._depend(fresh, behind)
        self._join(fresh, array, role, sources)

    # ---- which group depends on which ---------------------------------------------------------------------------

    def _groups_behind(self, sources: Sequence[Array]) -> dict[int, Group]:
        """The groups that compute these arrays, by their positions."""
        found: dict[int, Group] = {}
        for array in sources:
            group = self.group_of.get(array.number)
            if group is not None:
                found[group.position] = group
        return found

    @staticmethod
    def _may_join(group: Group, behind: dict[int, Group]) -> bool:
        """Whether what depends on the groups `behind` can be in `group`: none of them waits for it."""
        return not any(other is not group and other.waits_for >> group.position & 1 for other in behind.values())

    def _depend(self, group: Group, behind: dict[int, Group]) -> None:
        """Notes that `group` waits for the groups `behind`, and so does all that waits for it."""
        more = 0
        for other in behind.values():
            if other is not group:
                more |= other.waits_for | 1 << other.position
        if more & ~group.waits_for:
            group.waits_for |= more
            for other in self.groups:
                if other.waits_for >> group.position & 1:
                    other.waits_for |= group.waits_for

    def _in_order(self) -> None:
        """Puts the groups in an order of execution."""
        self.groups.sort(key=lambda group: (group.waits_for.bit_count(), group.position))
        for position, group in enumerate(self.groups):
            group.position = position

    def _candidates(
        self, fresh: RowsGroup, role: str, behind: dict[int, Group], sources: Sequence[Array]
    ) -> list[tuple[RowsGroup, str]]:
        """Groups that compute what an array reads, or that read the same."""
        result: list[tuple[RowsGroup, str]] = []
        for here in sorted(behind.values(), key=lambda group: -group.position):
            if not isinstance(here, RowsGroup):
                continue
            if here.total == fresh.total:
                result.append((here, role))
            if here.contraction is None and here.rows is not None and here.row_count == fresh.total:
                if role == "full":
                    result.append((here, "row"))
                elif role == "total":
                    result.append((here, "row total"))
        shared = {array.number for array in sources}
        for group in reversed(self._by_domain.get(fresh.total, ())[-_LOOKBACK:]):
            if group.position not in behind and group.contraction is None:
                if fresh.total <= _SMALL or shared & group.loaded or len(group.loaded) + len(group.members) <= _STREAMS:
                    result.append((group, role))
        return result

    def _fits(self, group: RowsGroup, array: Array, fresh: RowsGroup, role: str) -> bool:
        extents, rows = group.extents, group.rows
        if group.contraction is not None and role != "full":
            return False
        if role in ("row reduction", "column sum"):
            columns = size_of(fresh.extents[fresh.rows or 0 :])
            if group.rows is not None and size_of(group.extents[group.rows :]) != columns:
                return False
            if group.rows is None:
                aligned = _split(group.extents, columns)
                if aligned is None:
                    return False
                group.extents, group.rows = aligned
        if self._reads_at_its_place(group, array, role):
            return True
        group.extents, group.rows = extents, rows
        return False

    def _reads_at_its_place(self, group: RowsGroup, array: Array, role: str) -> bool:
        found: list[Scalar] = []
        loads(group.expression(array, role), found.append)
        for load in found:
            source, flat, guard = load.data
            known = group.roles.get(source.number)
            if known is None:
                continue
            if known in ("column sum", "total", "row total") or guard is not None or flat != group.point(known):
                return False
            if known == "full" and role in ("row", "row total"):
                return False
        return True

    def _join(self, group: RowsGroup, array: Array, role: str, sources: Sequence[Array]) -> None:
        group.members.append(array)
        group.roles[array.number] = role
        self.group_of[array.number] = group
        if len(group.members) == 1:
            self._by_domain.setdefault(group.total, []).append(group)
        group.loaded.update(source.number for source in sources)
        self._note_reads(group, sources)
        if not isinstance(array, Contraction):
            loads(group.expression(array, role), lambda load: None, group.nodes)

    def _note_reads(self, group: Group, arrays: Sequence[Array]) -> None:
        for array in arrays:
            self._readers.setdefault(array.number, {})[group.position] = group

    # ---- what comes to memory -----------------------------------------------------------------------------------

    def _choose_stores(self) -> None:
        outside = {array.number for array in self.results} | {value.number for _, value in self.updates}
        for group in self.groups:
            outside.update(array.number for array in group.operands)
        for group in self.groups:
            keep = isinstance(group, OpaqueGroup)
            group.stores = [array for array in group.members if keep or array.number in outside]


def _known(array: Array) -> bool:
    return isinstance(array, Constant) and array.splat is not None


def stored_operands(contraction: Contraction) -> list[Array]:
    """The arrays in memory that a contraction reads."""
    return [load.data[0] for load in operand_loads(contraction)]


def operand_loads(contraction: Contraction) -> tuple[Scalar, Scalar]:
    """The reads of the left and of the right operand, over `operand_variables`."""
    batch, rows, columns, inner = operand_variables(contraction)
    left = contraction.left.at(*contraction.left_index(_forms(batch), _forms(rows), _forms(inner)))
    right = contraction.right.at(*contraction.right_index(_forms(batch), _forms(inner), _forms(columns)))
    return left, right


def _forms(variables: Sequence[Variable]) -> tuple[Linear, ...]:
    return tuple(linear(variable) for variable in variables)


def operand_variables(contraction: Contraction) -> tuple[tuple[Variable, ...], ...]:
    """Loop variables for the batch, row, column and inner axes."""
    shapes = (contraction.batch, contraction.rows, contraction.columns, contraction.inner)
    everything = loop_variables(tuple(extent for shape in shapes for extent in shape))
    result: list[tuple[Variable, ...]] = []
    start = 0
    for shape in shapes:
        result.append(everything[start : start + len(shape)])
        start += len(shape)
    return tuple(result)


def _split(extents: tuple[int, ...], columns: int) -> tuple[tuple[int, ...], int] | None:
    """The extents with a boundary such that the loops behind it cover `columns`; and how many stand before it."""
    inner = 1
    for position in range(len(extents) - 1, -1, -1):
        if inner == columns:
            return extents, position + 1
        extent = extents[position]
        if columns % (inner * extent) == 0:
            inner *= extent
            continue
        part = columns // inner
        if columns % inner or extent % part:
            return None
        return (*extents[:position], extent // part, part, *extents[position + 1 :]), position + 1
    return (extents, 0) if inner == columns else None
