"""Each pass, on small programs: text in, text out."""

from __future__ import annotations

from pathlib import Path

import pytest

from rillet.compiler.arrays_reader import read_program
from rillet.compiler.arrays_text import program_text
from rillet.compiler.function_text import function_text, read_function
from tests.compiler.cases import ALL, FOLDER, Case, read
from tests.compiler.regenerate import documented, table

FILES = sorted(FOLDER.glob("*.txt"))
CASES = [pytest.param(case, id=f"{path.stem}: {case.title}") for path in FILES for case in read(path)]


@pytest.mark.parametrize("case", CASES)
def test_passes_do_what_they_did(case: Case) -> None:
    assert case.made() == case.expected


@pytest.mark.parametrize("case", CASES)
def test_text_is_read_and_printed_alike(case: Case) -> None:
    if case.before.startswith("function"):
        assert function_text(read_function(case.before)) == case.before
    else:
        assert program_text(read_program(case.before, {"simplify"})) == case.before


def test_every_pass_has_a_file() -> None:
    assert {path.stem for path in FILES} == {each.name for each in ALL}


def test_every_file_shows_its_pass() -> None:
    def shown(path: Path) -> set[str]:
        return {name for case in read(path) for _, name, _ in case.expected}

    assert not [path.name for path in FILES if path.stem not in shown(path)]


def test_the_document_has_the_table_of_passes() -> None:
    assert documented() == table()
    assert len({each.name for each in ALL}) == len(ALL)
    places = {place for each in ALL if each.within for place in each.within.replace(" and ", ", ").split(", ")}
    assert places <= {"Function.cut", *[each.name for each in ALL if each.run]}
