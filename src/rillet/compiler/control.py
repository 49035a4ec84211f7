"""Control flow among arrays: what is computed again and again, or under a condition.

A `Region` is a program within the program: arrays that are computed when control comes to it. A `Loop` and a
`Conditional` are nodes like the opaque kernels: they read arrays around them and have `Output`s; but what they do is
said by their regions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rillet.compiler.arrays import Array, Arrays, Constant, Contraction, Map, Opaque, Output, Source
from rillet.compiler.groups import loop_variables
from rillet.compiler.index import Variable, linear
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

    def captured(self) -> tuple[list[Array], list[Array]]:
        """What is read of the arrays around it: those that must be in memory, and those that are read by `at`, which may
        be views of such."""
        stored: dict[int, Array] = {}
        viewed: dict[int, Array] = {}
        for array in self.needed():
            for source in array.reads:
                if source.number in self.inside:
                    continue
                needs_memory = isinstance(array, Contraction) or (isinstance(array, Output) and not array.streams(source))
                _capture(source, needs_memory, stored, viewed)
        return list(stored.values()), [array for number, array in viewed.items() if number not in stored]


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
    """A node with regions. Its outputs are declared with `in_place` where their memory first holds an input's value."""

    __slots__ = ("regions",)

    def __init__(
        self, name: str, regions: Sequence[Region], inputs: Sequence[Array], in_place: dict[int, int]
    ) -> None:
        """inputs: besides what the regions read of the arrays around them."""
        stored: dict[int, Array] = {}
        viewed: dict[int, Array] = {}
        for region in regions:
            more_stored, more_viewed = region.captured()
            stored.update({array.number: array for array in more_stored})
            viewed.update({array.number: array for array in more_viewed})
        known = {array.number for array in inputs}
        whole = [*inputs, *[array for number, array in stored.items() if number not in known]]
        views = [array for number, array in viewed.items() if number not in known and number not in stored]
        streamed = range(len(whole), len(whole) + len(views))
        super().__init__(name, [*whole, *views], _refuse, in_place=in_place, streamed=streamed)
        self.regions = list(regions)


def _refuse(writer: object) -> None:
    raise AssertionError("control flow is no kernel")


class Loop(Control):
    """As long as `condition`, one of its states, is true: runs its region, then gives the states their new values.

    The outputs are the states at the end, in the order of the region's updates.
    """

    __slots__ = ("condition",)

    def __init__(
        self, program: Arrays, region: Region, condition: Source, starts: Sequence[Array | None]
    ) -> None:
        """starts: the first value of each state; None for one that needs none."""
        inputs = [start for start in starts if start is not None]
        places = [number for number, start in enumerate(starts) if start is not None]
        super().__init__("loop", [region], inputs, {output: place for place, output in enumerate(places)})
        self.condition = condition
        for state, _ in region.updates:
            Output(program, self, state.shape, state.dtype)


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
        outputs: Sequence[tuple[tuple[int, ...], DType]],
        starts: Sequence[Array | None],
    ) -> None:
        """values: for each region, one an output. starts: for each output, what its memory holds at the start, if it matters."""
        inputs = [*conditions, *[start for start in starts if start is not None]]
        places = [number for number, start in enumerate(starts) if start is not None]
        in_place = {output: len(conditions) + place for place, output in enumerate(places)}
        super().__init__("conditional", regions, inputs, in_place)
        self.conditions = list(conditions)
        self.values = [list(row) for row in values]
        for shape, dtype in outputs:
            Output(program, self, shape, dtype)


def dependent(arrays: Iterable[Array], states: Collection[int]) -> set[int]:
    """The numbers of those arrays (in the order in which they were made) that are computed from the states, and the
    states' own."""
    found = set(states)
    for array in arrays:
        if any(source.number in found for source in array.reads):
            found.add(array.number)
    return found
