"""Control flow among arrays: what is computed again and again, or under a condition.

A `Region` is a program within the program: arrays that are computed when control comes to it. A `Loop` and a
`Conditional` are nodes like the opaque kernels: they read arrays around them and have `Output`s; but what they do is
said by their regions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rillet.compiler.arrays import Array, Arrays, Constant, Contraction, Map, Opaque, Output, Source
from rillet.compiler.index import Variable, linear, loop_variables
from rillet.core.dtypes import DType


class Region:
    """inside: the numbers of the arrays that are computed in it. results: what it is there to compute.

    updates: (state, value): the memory of `state`, a Source, is to hold `value`, one of the results, at the end.
    """

    def __init__(
        self,
        program: Arrays,
        inside: Collection[int],
        results: Sequence[Array],
        updates: Sequence[tuple[Source, Array]] = (),
    ) -> None:
        self.program = program
        self.inside = frozenset(inside)
        self.results = list(results)
        self.updates = list(updates)

    def needed(self) -> list[Array]:
        """The arrays inside that the results are made of."""
        found: dict[int, Array] = {}
        pending = list(self.results)
        while pending:
            array = pending.pop()
            if array.number in found or array.number not in self.inside:
                continue
            found[array.number] = array
            pending.extend(array.reads)
            if isinstance(array, Output):
                pending.extend(array.opaque.outputs)
        return [found[number] for number in sorted(found)]

    def capture(self, stored: dict[int, Array], viewed: dict[int, Array]) -> None:
        """Collects, by their numbers, the arrays around that are read: those that must be in memory, and those that are
        read by `at`, which may be views of such."""
        for array in self.needed():
            for source in array.reads:
                if source.number not in self.inside:
                    needs_memory = isinstance(array, Contraction)
                    needs_memory |= isinstance(array, Output) and not array.streams(source)
                    _capture(source, needs_memory, stored, viewed)


def _capture(array: Array, needs_memory: bool, stored: dict[int, Array], viewed: dict[int, Array]) -> None:
    if isinstance(array, Constant):
        return
    if not isinstance(array, Map) or array.cost > 0 or (needs_memory and not _is_plain_view(array)):
        stored[array.number] = array
        return
    viewed[array.number] = array
    for source in array.reads:
        _capture(source, False, stored, viewed)


def _is_plain_view(array: Map) -> bool:
    """Whether each element is one of an array in memory, at a place that is affine in the index."""
    element = array.at(*[linear(variable) for variable in loop_variables(array.shape)])
    if element.operation != "load" or element.data[2] is not None:
        return False
    return all(isinstance(atom, Variable) for atom in element.data[1].terms)


class Control(Opaque):
    """A node with regions. starts: what the memory of each output first holds; None where that does not matter."""

    __slots__ = ("regions", "starts")

    # Whether the memory of the starts changes while the regions still read them: then they are named again for that.
    starts_change = False

    def __init__(
        self,
        program: Arrays,
        name: str,
        regions: Sequence[Region],
        starts: Sequence[Array | None],
        shapes: Sequence[tuple[tuple[int, ...], DType]],
    ) -> None:
        """shapes: shape and dtype of each output."""
        super().__init__(name, (), _refuse, can_fail=True)
        self.regions = list(regions)
        self.starts = list(starts)
        for shape, dtype in shapes:
            Output(program, self, shape, dtype)
        self.settle()

    def asks(self) -> list[Array]:
        """What the node itself reads."""
        return []

    def behind(self, position: int) -> list[Array]:
        """What an output is made of, inside of the regions too."""
        raise NotImplementedError

    def keep(self, positions: Sequence[int]) -> None:
        """Drops all outputs but these."""
        self.starts = [self.starts[position] for position in positions]
        self.outputs = [self.outputs[position] for position in positions]
        for place, output in enumerate(self.outputs):
            output.position = place

    def settle(self) -> None:
        """Finds out what is read of the arrays around."""
        first = [*self.asks(), *[start for start in self.starts if start is not None]]
        stored: dict[int, Array] = {}
        viewed: dict[int, Array] = {}
        for region in self.regions:
            region.capture(stored, viewed)
        known = {array.number for array in first if not self.starts_change}
        whole = [*first, *[array for number, array in stored.items() if number not in known]]
        views = [array for number, array in viewed.items() if number not in known and number not in stored]
        self.inputs = (*whole, *views)
        self.streamed = frozenset(range(len(whole), len(self.inputs)))
        held = [place for place, start in enumerate(self.starts) if start is not None]
        self.in_place = {output: len(self.asks()) + place for place, output in enumerate(held)}


def _refuse(writer: object) -> None:
    raise AssertionError("control flow is no kernel")


class Loop(Control):
    """As long as `condition`, one of its states, is true: runs its region, then gives the states their new values.

    The outputs are the states at the end, in the order of the region's updates.
    """

    __slots__ = ("condition",)

    starts_change = True

    def __init__(self, program: Arrays, region: Region, condition: Source, starts: Sequence[Array | None]) -> None:
        """starts: the first value of each state; None for one that needs none."""
        self.condition = condition
        shapes = [(state.shape, state.dtype) for state, _ in region.updates]
        super().__init__(program, "loop", [region], starts, shapes)

    @property
    def region(self) -> Region:
        return self.regions[0]

    def behind(self, position: int) -> list[Array]:
        start = self.starts[position]
        return [self.condition, self.region.updates[position][1], *([] if start is None else [start])]

    def keep(self, positions: Sequence[int]) -> None:
        super().keep(positions)
        self.region.updates = [self.region.updates[position] for position in positions]
        self.region.results = [value for _, value in self.region.updates]


class Conditional(Control):
    """Runs one of its regions: the first whose condition (a scalar, as many as regions but one) is true, else the last.

    Each region has a value for each output, or None where the output keeps what its memory holds at the start.
    """

    __slots__ = ("conditions", "values")

    def __init__(
        self,
        program: Arrays,
        conditions: Sequence[Array],
        regions: Sequence[Region],
        values: Sequence[Sequence[Array | None]],
        shapes: Sequence[tuple[tuple[int, ...], DType]],
        starts: Sequence[Array | None],
    ) -> None:
        """values: for each region, one an output."""
        self.conditions = list(conditions)
        self.values = [list(row) for row in values]
        super().__init__(program, "conditional", regions, starts, shapes)

    def asks(self) -> list[Array]:
        return self.conditions

    def behind(self, position: int) -> list[Array]:
        made = [row[position] for row in self.values]
        return [*self.conditions, *[array for array in (*made, self.starts[position]) if array is not None]]

    def keep(self, positions: Sequence[int]) -> None:
        super().keep(positions)
        for number, row in enumerate(self.values):
            self.values[number] = kept = [row[position] for position in positions]
            self.regions[number].results = [value for value in kept if value is not None]


def drop_unread(results: Iterable[Array]) -> None:
    """Drops what loops and conditionals make that none of the results is made of."""
    states: dict[int, Output] = {}
    live: set[int] = set()
    used: dict[Control, set[int]] = {}
    pending = list(results)
    while pending:
        array = pending.pop()
        if array.number in live:
            continue
        live.add(array.number)
        if isinstance(array, Output) and isinstance(array.opaque, Control):
            node = array.opaque
            if node not in used and isinstance(node, Loop):
                pairs = zip(node.outputs, node.region.updates, strict=True)
                states.update({state.number: output for output, (state, _) in pairs})
            used.setdefault(node, set()).add(array.position)
            pending.extend(node.behind(array.position))
        elif array.number in states:
            pending.append(states[array.number])
        else:
            pending.extend(array.reads)
    for node in sorted(used, key=lambda node: node.outputs[0].number):
        node.keep(sorted(used[node]))
        node.settle()


def dependent(arrays: Iterable[Array], states: Collection[int]) -> set[int]:
    """The numbers of those arrays (in the order in which they were made) that are computed from the states, and the
    states' own."""
    found = set(states)
    for array in arrays:
        if any(source.number in found for source in array.reads):
            found.add(array.number)
    return found
