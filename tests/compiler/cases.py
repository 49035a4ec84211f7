"""Golden tests: files of programs as text, and what passes make of them. `python -m tests.compiler.regenerate` writes what
is made now into the files.

    === what the case shows
    --- before
    program "p"(%0) { ... }            or a function, or several
    --- after PASS
    ...                                the program when PASS has run, after those that stand before it in the list
    --- without PASS
    ...                                the same, if that pass is switched off
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import rillet.compiler.lowering  # noqa: F401  (registers the rules)
from rillet.compiler.arrays import Arrays, Source
from rillet.compiler.arrays_reader import read_program
from rillet.compiler.function_text import read_function
from rillet.compiler.lowered import Lowered
from rillet.compiler.passes import Pass, text_of, verify
from rillet.compiler.pipeline import LOWERING, SCHEDULING, Given
from rillet.compiler.schedule import Schedule
from rillet.core.execution import ExecutionContext, VariableState
from rillet.core.function import Function
from rillet.core.tensor import handle_data
from rillet.engines.native.assembly import Assembly
from rillet.engines.native.jit import Code
from rillet.engines.native.pipeline import ASSEMBLING
from rillet.engines.native.target import TARGETS
from rillet.engines.reference import ReferenceEngine

CONTEXT = ExecutionContext(ReferenceEngine())
FOLDER = Path(__file__).parent / "golden"
ALL = (*LOWERING, *SCHEDULING, *ASSEMBLING)
NAMES = {each.name: each for each in ALL}
# What a pass does is seen after the pass that it is within; in short, after another one.
SHOWN_AFTER = {"share_kernels": "compile"}


@dataclass
class Case:
    """expected: (after or without, name of a pass, text)."""

    title: str
    before: str
    expected: list[tuple[str, str, str]]

    def made(self) -> list[tuple[str, str, str]]:
        """What is made now, in the form of `expected`."""
        return [
            (word, name, after(self.before, name, {name} if word == "without" else set()))
            for word, name, _ in self.expected
        ]


def read(path: Path) -> list[Case]:
    result: list[Case] = []
    for part in re.split(r"^=== ", path.read_text(), flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        sections = re.split(r"^--- (.*)\n", body, flags=re.MULTILINE)
        texts = dict(zip(sections[1::2], sections[2::2], strict=True))
        before = texts.pop("before").strip("\n")
        expected = [(*head.split(), text.strip("\n")) for head, text in texts.items()]
        result.append(Case(title, before, expected))  # type: ignore[arg-type]
    return result


def write(path: Path, cases: list[Case]) -> None:
    path.write_text("\n".join(_lines(cases)) + "\n")


def _lines(cases: list[Case]) -> Iterator[str]:
    for number, case in enumerate(cases):
        yield from [""] if number else []
        yield from (f"=== {case.title}", "--- before", case.before)
        for word, name, text in case.made():
            yield from (f"--- {word} {name}", text)


def after(before: str, name: str, off: set[str]) -> str:
    """The text of the program when the pass of that name has run, without the passes in `off`."""
    wanted = NAMES[name]
    last = SHOWN_AFTER.get(name) or (re.split(", | and ", wanted.within)[-1] if wanted.within else name)
    program: Any = None
    if before.startswith("function"):
        function = read_function(before)
        if last == "Function.cut":
            return pruned(function)
        program = given(function, off)
        passes = LOWERING
    else:
        program = read_program(before, off)
        passes = tuple(each for each in LOWERING if each.name == "separate")
        if last == "lower":
            return text_of(program)
    for stage in stages(program, passes, off, last):
        verify(stage, name)
    return text_of(stage)


def stages(program: Any, passes: tuple[Pass, ...], off: set[str], last: str) -> Iterator[Any]:
    """The program after each pass up to `last`."""
    for each in (*passes, *SCHEDULING, *ASSEMBLING):
        if each is SCHEDULING[0]:
            program = Schedule(program.program, program.results, program.in_place, lowered=program)
        elif each is ASSEMBLING[0]:
            program = Assembly(program, CONTEXT, TARGETS["x86_64_v3"])
        if each.run is not None and not (each.optional and each.name in off):
            if each.name == "compile" and last != each.name:  # what follows does not depend on the machine
                program.codes = [Code(0, None) for _ in program.kernels]
            else:
                program = each.run(program)
            yield program
        if each.name == last:
            return


def pruned(function: Function) -> str:
    assert function.graph is not None
    effects = [operation for operation in function.operations if operation.definition.is_stateful]
    return text_of(Function.cut(function.name, function.inputs, function.outputs, effects, function.graph))


def given(function: Function, off: set[str]) -> Given:
    """The function, called with arrays of its static shapes and with variables that are 0."""
    program = Arrays(off)
    values: list[Source | VariableState] = []
    for number, tensor in enumerate(function.inputs):
        known = handle_data(tensor)
        if known is None:
            shape = tuple(tensor.shape.as_list())
            values.append(Source(program, shape, tensor.dtype, "input", number, tensor.op.name))
        else:
            state = VariableState(tensor.op.name, *known)
            state.value = np.zeros(known[1].as_list(), known[0].numpy_dtype)
            values.append(state)
    return Given(function, values, values, CONTEXT, program)


def lowered(function: Function, off: set[str] | None = None) -> Lowered:
    return given(function, off or set()).lowered()
