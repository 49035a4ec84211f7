"""Lowering rules: how the ops of a graph are written in arrays. One rule an op type (or a family of them)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from rillet.compiler.arrays import Array, Arrays, Constant, Source
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.graph import Operation
from rillet.core.opdef import argument_dtypes


class NotLowered(Exception):
    """This operation, with these attributes or shapes, has no compiled form: its reference kernel runs instead."""


class NeedsValue(Exception):
    """A rule must know an input's value (a shape, an axis) that only the run knows: the program is then compiled for
    that value. `source` is the input of the program that it is."""

    def __init__(self, source: Source) -> None:
        super().__init__(source.name)
        self.source = source


Rule = Callable[..., Any]
SomeRule = TypeVar("SomeRule", bound=Rule)
# Inputs of more integers than this are not taken to describe shapes.
_LARGEST_DESCRIPTION = 256
RULES: dict[str, Rule] = {}
# Rules for lists of tensors (dtype variant) in the place of arrays.
LISTS: dict[str, Rule] = {}
# Tells from the operation alone that its rule will refuse it.
REFUSALS: dict[str, Callable[[Operation], bool]] = {}
# Ops through which values of all kinds pass: arrays, lists of them, variables.
PASSING: set[str] = set()


def lowering(
    *types: str, unless: Callable[[Operation], bool] | None = None, passes: bool = False
) -> Callable[[SomeRule], SomeRule]:
    """Registers a rule: rule(call, *arrays) returns an Array, or a sequence of them for several outputs.

    unless: a test on the operation's attributes; where it holds the reference kernel runs. passes: inputs and outputs may
    be lists and variables too.
    """

    def decorate(rule: SomeRule) -> SomeRule:
        for type_ in types:
            if type_ in RULES:
                raise ValueError(f"op {type_} has a lowering rule already")
            RULES[type_] = rule
            if passes:
                PASSING.add(type_)
            if unless is not None:
                REFUSALS[type_] = unless
        return rule

    return decorate


def lowering_of_lists(*types: str) -> Callable[[SomeRule], SomeRule]:
    """Registers a rule for an op that is given lists of tensors. For arrays it may have another one."""

    def decorate(rule: SomeRule) -> SomeRule:
        def checked(call: Call, *values: Any) -> Any:
            for value, tensor in zip(values, call.operation.inputs, strict=False):
                if tensor.dtype.base_dtype is dtypes.variant and not hasattr(value, "zeros_like"):
                    call.require(False, "what stands in the place of a list that another branch makes")
            return rule(call, *values)

        LISTS.update(dict.fromkeys(types, checked))
        return rule

    return decorate


class Call:
    """One operation being lowered: what a rule is given beside the arrays of its inputs."""

    __slots__ = ("lowering", "operation", "program")

    def __init__(self, lowering: Any, operation: Operation) -> None:
        self.lowering = lowering
        self.operation = operation
        self.program: Arrays = lowering.program

    @property
    def attrs(self) -> dict[str, Any]:
        return self.operation.attrs

    def dtype(self, output: int = 0) -> DType:
        """The declared dtype of an output."""
        return self.dtypes()[output]

    def dtypes(self) -> list[DType]:
        return [dtype.base_dtype for dtype in argument_dtypes(self.operation.definition.signature.outputs, self.attrs)]

    def value(self, array: Array) -> np.ndarray[Any, Any]:
        """The array's value, known now. NeedsValue or NotLowered where it isn't."""
        if isinstance(array, Constant):
            return array.value
        source = _known_by_the_run(array)
        if source is None:
            raise NotLowered(f"{self.operation.name}: {array.name} is not known before the run")
        raise NeedsValue(source)

    def integers(self, array: Array) -> list[int]:
        """The array's value as a flat list of integers."""
        return [int(number) for number in np.asarray(self.value(array)).reshape(-1)]

    def axes(self, array: Array, rank: int) -> list[int]:
        """Axes given as a tensor, each once, counted from the front."""
        result = [axis + rank if axis < 0 else axis for axis in self.integers(array)]
        self.require(len(set(result)) == len(result), "an axis that is named twice")
        return result

    def require(self, condition: bool, what: str = "shapes that don't fit") -> None:
        """NotLowered unless the condition holds: the reference kernel then says what is wrong."""
        if not condition:
            raise NotLowered(f"{self.operation.name}: {what}")


def _known_by_the_run(array: Array) -> Source | None:
    """An input of the program that `array` is made of; None where it depends on anything but inputs that describe shapes:
    a few integers."""
    found: Source | None = None
    seen: set[int] = set()
    pending = [array]
    while pending:
        part = pending.pop()
        if part.number in seen or isinstance(part, Constant):
            continue
        seen.add(part.number)
        pending.extend(part.reads)
        if isinstance(part, Source):
            if part.kind != "input" or not part.dtype.is_integer or part.size > _LARGEST_DESCRIPTION:
                return None
            found = part
    return found


def as_sequence(result: Any) -> Sequence[Array]:
    return result if isinstance(result, (list, tuple)) else (result,)
