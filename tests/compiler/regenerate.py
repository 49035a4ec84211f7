"""`python -m tests.compiler.regenerate [NAME...]`: writes what the passes make now into the golden files."""

from __future__ import annotations

import sys

from tests.compiler.cases import FOLDER, read, write


def main() -> None:
    for path in sorted(FOLDER.glob("*.txt")):
        if len(sys.argv) == 1 or path.stem in sys.argv[1:]:
            before = path.read_text()
            write(path, read(path))
            print(f"{path.name}: {'changed' if path.read_text() != before else 'as it was'}")


if __name__ == "__main__":
    main()
