"""What a pass is, and how passes run: one after the other, each checked and printed on request.

A pass is a function from one form of the program to the next. `RILLET_PASSES=-name` switches optional ones off,
`RILLET_DEBUG=3` prints the program after every pass, `RILLET_VERIFY=1` checks it.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from rillet import config


@dataclass(frozen=True)
class Pass:
    """name: what RILLET_PASSES calls it. does: a sentence. because: why it stands where it stands. run: from the program to
    the program; None for a part of another pass, `within`, which does it on the way. optional: whether the program gives the
    same results without it."""

    name: str
    does: str
    because: str
    run: Callable[[Any], Any] | None = None
    within: str = ""
    optional: bool = False


class InvalidProgram(AssertionError):
    """The compiler has made a program that breaks a rule of its form."""


@functools.singledispatch
def text_of(program: Any) -> str:
    """The program as text, in whatever form it is."""
    return str(_with_forms(text_of, type(program))(program))


@functools.singledispatch
def problems_of(program: Any) -> list[str]:
    """What is wrong with the program, as sentences: the rules that its form has, and that it breaks."""
    return list(_with_forms(problems_of, type(program))(program))


def _with_forms(function: Any, kind: type) -> Callable[[Any], Any]:
    """What `function` does with programs of that kind. The modules that say it are loaded when somebody wants to know."""
    for name in ("function_text", "arrays_text", "verify"):
        importlib.import_module(f"rillet.compiler.{name}")
    found: Callable[[Any], Any] = function.dispatch(kind)
    if found is function.dispatch(object):
        raise TypeError(f"a {kind.__name__} is no program")
    return found


def switched_off() -> frozenset[str]:
    """The names of the passes that RILLET_PASSES switches off."""
    return _names(config.PASSES.value)


@functools.lru_cache(maxsize=64)
def _names(text: str) -> frozenset[str]:
    return frozenset(word.removeprefix("-") for word in text.split(",") if word)


def run_passes(passes: Sequence[Pass], program: Any, off: Collection[str] = ()) -> Any:
    """The program after these passes, without those named in `off`. Raises InvalidProgram where one breaks it."""
    for each in passes:
        if each.run is not None and not (each.optional and each.name in off):
            program = each.run(program)
            observe(program, each.name)
    return program


def observe(program: Any, name: str) -> None:
    """Checks and prints the program, if that is wanted, after the pass of that name."""
    if config.VERIFY.value:
        verify(program, name)
    if config.DEBUG.value >= 3:
        print(f"rillet: after {name}\n{text_of(program)}", file=sys.stderr)


def verify(program: Any, name: str = "reading") -> None:
    """Raises InvalidProgram, naming the pass that ran last, if the program breaks a rule of its form."""
    problems = problems_of(program)
    if problems:
        raise InvalidProgram(f"after {name}: {'; '.join(problems[:5])}\n{text_of(program)}")
