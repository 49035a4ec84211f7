"""Pages of the documentation that are programs: their blocks run in order, and print what stands below them."""

from __future__ import annotations

import contextlib
import io
import linecache
import re
from pathlib import Path

import pytest

DOCUMENTS = Path(__file__).parent.parent / "docs"
PAGES = ("tour.md", "pictures.md")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[str, str | None]]:
    """(code, expected output or None) for each python block."""
    text = (DOCUMENTS / page).read_text(encoding="utf-8")
    found = [(match.group(1), match.group(2)) for match in BLOCK.finditer(text)]
    pairs = []
    for index, (kind, text) in enumerate(found):
        if kind == "python":
            following = found[index + 1] if index + 1 < len(found) else ("", "")
            pairs.append((text, following[1] if following[0] == "text" else None))
    return pairs


@pytest.mark.smoke
@pytest.mark.parametrize("page", PAGES)
def test_a_page_prints_what_it_says(page: str) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    assert len(blocks(page)) >= 6
    for number, (code, expected) in enumerate(blocks(page)):
        name = f"<{page} block {number}>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, name, "exec"), namespace)
        if expected is not None:
            assert printed.getvalue() == expected, f"block {number}:\n{code}"
