"""How often a loop runs: what its condition and its counters tell before it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rillet.compiler.arrays import Array
from rillet.compiler.lowering.places import known
from rillet.core.function import Function

# The operand order of each comparison, as "counter < limit" or "counter <= limit": (counter comes first, limit included).
_BOUNDS = {
    "Less": (True, False),
    "LessEqual": (True, True),
    "Greater": (False, False),
    "GreaterEqual": (False, True),
}
_PASSING = ("Identity", "StopGradient", "Snapshot")


@dataclass
class Course:
    """exact: how many turns there are; most: how many there may be; None where that is not known.

    steps: by how much each loop variable that is a counter changes in a turn, by its position.
    """

    exact: int | None = None
    most: int | None = None
    steps: dict[int, int] = field(default_factory=dict)


def course_of(condition: Function, body: Function, inputs: Sequence[Any], greatest: Mapping[int, int]) -> Course:
    """inputs: the first values of the loop variables. greatest: the most that some scalars can be, by their numbers."""
    return _Analysis(condition, body, inputs, greatest).course()


class _Analysis:
    def __init__(self, condition: Function, body: Function, inputs: Sequence[Any], greatest: Mapping[int, int]) -> None:
        self.condition = condition
        self.body = body
        self.inputs = inputs
        self.greatest = greatest
        self.place = {
            id(tensor): index for function in (condition, body) for index, tensor in enumerate(function.inputs)
        }

    def course(self) -> Course:
        steps = {}
        for index, tensor in enumerate(self.body.inputs):
            step = self._step(index, tensor)
            if step is not None and self._start(index) is not None:
                steps[index] = step
        self.steps = steps
        turns = [self._turns(term) for term in self._terms(self.condition.outputs[0])]
        exact = (
            None
            if any(count is None or not is_exact for count, is_exact in turns)
            else min(c for c, _ in turns if c is not None)
        )
        most = min((count for count, _ in turns if count is not None), default=None)
        return Course(exact, most, steps)

    # ---- values -------------------------------------------------------------------------------------------------

    def _source(self, tensor: Any) -> Any:
        """What a tensor is, before operations that only pass it on."""
        while id(tensor) not in self.place and tensor.op.type in _PASSING:
            tensor = tensor.op.inputs[0]
        return tensor

    def _position(self, tensor: Any) -> int | None:
        """Which loop variable a tensor is."""
        return self.place.get(id(self._source(tensor)))

    def _stays(self, index: int) -> bool:
        return self.body.outputs[index] is self.body.inputs[index]

    def _start(self, index: int) -> int | None:
        value = self.inputs[index]
        if not isinstance(value, Array) or value.rank or not value.dtype.is_integer:
            return None
        number = known(value.at())
        return None if number is None else int(number)

    def _number(self, tensor: Any) -> int | None:
        """The value of a scalar that is the same in every turn, and known."""
        tensor = self._source(tensor)
        index = self.place.get(id(tensor))
        if index is not None:
            return self._start(index) if self._stays(index) else None
        if tensor.op.type != "Const" or not tensor.dtype.is_integer:
            return None
        value = np.asarray(tensor.op.attrs["value"])
        return int(value) if value.ndim == 0 else None

    def _at_most(self, tensor: Any) -> int | None:
        """The most that a scalar can be which stays the same."""
        index = self._position(tensor)
        value = self.inputs[index] if index is not None and self._stays(index) else None
        return self.greatest.get(value.number) if isinstance(value, Array) else None

    def _step(self, index: int, tensor: Any) -> int | None:
        """By how much a loop variable changes in a turn."""
        after = self._source(self.body.outputs[index])
        if id(after) in self.place or after.op.type not in ("Add", "AddV2", "Sub"):
            return None
        first, second = after.op.inputs
        if self._position(first) == index:
            amount = self._number(second)
            return amount if amount is None or after.op.type != "Sub" else -amount
        return self._number(first) if self._position(second) == index and after.op.type != "Sub" else None

    # ---- the condition ------------------------------------------------------------------------------------------

    def _terms(self, tensor: Any) -> list[Any]:
        """What must all be true for another turn."""
        tensor = self._source(tensor)
        if id(tensor) not in self.place and tensor.op.type == "LogicalAnd":
            return [term for part in tensor.op.inputs for term in self._terms(part)]
        return [tensor]

    def _turns(self, term: Any) -> tuple[int | None, bool]:
        """For how many turns one part of the condition holds, and whether not for fewer."""
        bound = None if id(term) in self.place else _BOUNDS.get(term.op.type)
        if bound is None:
            return None, False
        counter_first, included = bound
        first, second = term.op.inputs if counter_first else reversed(term.op.inputs)
        return self._upwards(first, second, included)

    def _upwards(self, low: Any, high: Any, included: bool) -> tuple[int | None, bool]:
        """low < high, or low <= high: one of them moves towards the other."""
        for counter, other, sign in ((low, high, 1), (high, low, -1)):
            index = self._position(counter)
            step = None if index is None else self.steps.get(index)
            if index is None or step is None or step * sign <= 0:
                continue
            start, limit, is_exact = self._start(index), self._number(other), True
            if limit is None and sign > 0:
                limit, is_exact = self._at_most(other), False
            if start is not None and limit is not None:
                distance = (limit - start) * sign + included
                return max(0, -(-distance // (step * sign))), is_exact
        return None, False
