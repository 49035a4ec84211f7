"""Pictures are the same on every machine and in every process: compared with what is kept."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from tests.draw.cases import CASES, FOLDER, render
from tests.draw.regenerate import DOCUMENTS, SHOWN

FILES = [pytest.param(name, form, id=f"{name}.{form}") for name, (_, forms) in CASES.items() for form in forms]


@pytest.mark.parametrize(("name", "form"), FILES)
def test_picture_is_as_it_was(name: str, form: str) -> None:
    expected = (FOLDER / f"{name}.{form}").read_text(encoding="utf-8")
    assert render(CASES[name][0](), form) == expected


@pytest.mark.parametrize("name", [name for name, (_, forms) in CASES.items() if "svg" in forms])
def test_svg_is_well_formed(name: str) -> None:
    root = ElementTree.parse(FOLDER / f"{name}.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.find("{http://www.w3.org/2000/svg}title") is not None


@pytest.mark.parametrize("name", SHOWN)
def test_documents_show_the_same(name: str) -> None:
    assert (DOCUMENTS / f"{name}.svg").read_text(encoding="utf-8") == (FOLDER / f"{name}.svg").read_text(
        encoding="utf-8"
    )
