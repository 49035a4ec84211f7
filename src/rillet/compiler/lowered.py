"""A program in arrays: what a Function becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rillet.compiler.arrays import Array, Arrays, Output, Row, Source
from rillet.core.execution import VariableState


@dataclass
class Lowered:
    """inputs: for each input of the Function what stands for it. outputs: its results. variables: those that are read, with
    the arrays that are their values at the start. updates: those that change, with their new values."""

    name: str
    program: Arrays
    inputs: Sequence[Source | VariableState] = ()
    outputs: list[Array] = field(default_factory=list)
    variables: dict[VariableState, Source] = field(default_factory=dict)
    updates: list[tuple[VariableState, Array]] = field(default_factory=list)

    @property
    def in_place(self) -> list[tuple[Source, Array]]:
        """The updates of variables that are read."""
        return [(self.variables[state], value) for state, value in self.updates if state in self.variables]

    @property
    def results(self) -> list[Array]:
        """The outputs, and the new values of variables that are not read."""
        return [*self.outputs, *[value for state, value in self.updates if state not in self.variables]]

    def arrays(self) -> list[Array]:
        """What the results are made of, in an order of dependence."""
        return reachable([*self.outputs, *[value for _, value in self.updates]])


def reachable(roots: Sequence[Array]) -> list[Array]:
    """The arrays that these are made of, and they, in the order in which they were made."""
    found: dict[int, Array] = {}
    pending = list(roots)
    while pending:
        array = pending.pop()
        if array.number not in found:
            found[array.number] = array
            pending.extend(array.reads)
            if isinstance(array, Output):
                pending.extend(array.opaque.outputs)
    return [found[number] for number in sorted(found)]


def separate(lowered: Lowered) -> Lowered:
    """Gives results memory of their own that are the old values of variables that change, or rows of other arrays."""
    changed = {source.number for source, _ in lowered.in_place}

    def apart(array: Array) -> Array:
        if array.number not in changed and Row.behind(array) is None:
            return array
        return array.program.map(array.shape, array.dtype, lambda *index: array.at(*index), (array,), 1)

    lowered.outputs = [apart(array) for array in lowered.outputs]
    lowered.updates = [(state, apart(value)) for state, value in lowered.updates]
    return lowered
