"""`python -m tests.compiler.regenerate [NAME...]`: writes what the passes make now into the golden files, and the table of
passes into docs/architecture.md."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.compiler.cases import ALL, FOLDER, read, write

DOCUMENT = Path(__file__).parents[2] / "docs" / "architecture.md"
BEGIN, END = "<!-- passes -->\n", "<!-- end of passes -->\n"


def table() -> str:
    """The passes, as Markdown."""
    rows = ["| pass | what it does | why there |", "|---|---|---|"]
    for each in ALL:
        name = (
            f"`{each.name}`"
            + (f", within {each.within}" if each.within else "")
            + (", optional" if each.optional else "")
        )
        rows.append(f"| {name} | {each.does} | {each.because} |")
    return "\n".join(rows) + "\n"


def documented() -> str:
    """What stands between the marks in the document."""
    return DOCUMENT.read_text().split(BEGIN)[1].split(END)[0]


def main() -> None:
    for path in sorted(FOLDER.glob("*.txt")):
        if len(sys.argv) == 1 or path.stem in sys.argv[1:]:
            before = path.read_text()
            write(path, read(path))
            print(f"{path.name}: {'changed' if path.read_text() != before else 'as it was'}")
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(text.replace(BEGIN + documented(), BEGIN + table()))


if __name__ == "__main__":
    main()
