"""docs/tour.md is a program: its blocks run in order, and print what stands below them."""

from __future__ import annotations

import contextlib
import io
import linecache
import re
from pathlib import Path

import pytest

TOUR = Path(__file__).parent.parent / "docs" / "tour.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str | None]]:
    """(code, expected output or None) for each python block."""
    found = [(match.group(1), match.group(2)) for match in BLOCK.finditer(TOUR.read_text())]
    pairs = []
    for index, (kind, text) in enumerate(found):
        if kind == "python":
            following = found[index + 1] if index + 1 < len(found) else ("", "")
            pairs.append((text, following[1] if following[0] == "text" else None))
    return pairs


@pytest.mark.smoke
def test_the_tour_prints_what_it_says() -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    assert len(blocks()) >= 9
    for number, (code, expected) in enumerate(blocks()):
        name = f"<tour block {number}>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, name, "exec"), namespace)
        if expected is not None:
            assert printed.getvalue() == expected, f"block {number}:\n{code}"
