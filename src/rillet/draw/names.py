"""What tensors are called: the program's own variable names, where there are any."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType
from typing import Any

from rillet.core.tensor import Tensor
from rillet.errors import user_frame


def names_in_program(frame: FrameType | None = None) -> dict[int, str]:
    """By the id of a tensor: what the code that called rillet calls it. A variable's name goes to its handle too."""
    found = user_frame(frame or sys._getframe(1))
    return {} if found is None else names_in({**found.f_globals, **found.f_locals})


def names_in(values: Mapping[str, Any]) -> dict[int, str]:
    result: dict[int, str] = {}
    for name, value in list(values.items()):
        if name.startswith("_"):
            continue
        if isinstance(value, (list, tuple)):
            for place, part in enumerate(value):
                _take(result, f"{name}[{place}]", part)
        else:
            _take(result, name, value)
    return result


def _take(result: dict[int, str], name: str, value: Any) -> None:
    tensor = value if isinstance(value, Tensor) else getattr(value, "_source", None)
    if isinstance(tensor, Tensor):
        result.setdefault(id(tensor), name)


class Unique:
    """Makes labels unique: mul, mul_1, mul_2."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def __call__(self, name: str) -> str:
        for candidate in _candidates(name):
            if candidate not in self._taken:
                self._taken.add(candidate)
                return candidate
        raise AssertionError("there is no end to the candidates")


def _candidates(name: str) -> Iterator[str]:
    yield name
    count = 1
    while True:
        yield f"{name}_{count}"
        count += 1
