"""What an object holds: layers, variables, metrics in its attributes, and in lists, tuples and dictionaries there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rillet.frontend.module import Module
from rillet.frontend.variable import Variable

_OTHER, _WANTED, _MAPPING, _SEQUENCE = range(4)


class Kind:
    """A question about types: which values are looked for. Answers are kept, since the same few types come again and
    again, whenever a model is asked for its weights."""

    def __init__(self, is_wanted: Callable[[type], bool]) -> None:
        self._is_wanted = is_wanted
        self._known: dict[type, int] = {}

    def among(self, values: Iterable[Any]) -> list[Any]:
        """Those of `values`, and of what containers among them hold, that are wanted; each once, in order."""
        found: dict[int, Any] = {}
        self._collect(values, found)
        return list(found.values())

    def _collect(self, values: Iterable[Any], found: dict[int, Any]) -> None:
        known = self._known
        for value in values:
            answer = known.get(type(value))
            if answer is None:
                answer = known[type(value)] = self._answer(type(value))
            if answer == _WANTED:
                found.setdefault(id(value), value)
            elif answer:
                self._collect(value.values() if answer == _MAPPING else value, found)

    def _answer(self, kind: type) -> int:
        if self._is_wanted(kind):
            return _WANTED
        return _MAPPING if issubclass(kind, Mapping) else _SEQUENCE if issubclass(kind, (list, tuple)) else _OTHER


def each_once(values: Iterable[Any]) -> list[Any]:
    """The values without repetition, told apart by identity."""
    return list({id(value): value for value in values}.values())


def is_metric(kind: type) -> bool:
    """Whether values of this class accumulate: metrics, of Keras' or what behaves so."""
    return hasattr(kind, "update_state") and hasattr(kind, "result")


VARIABLES = Kind(lambda kind: issubclass(kind, Variable))
MODULES = Kind(lambda kind: issubclass(kind, Module))
METRICS = Kind(is_metric)
