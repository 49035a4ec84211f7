"""`python -m tests.draw.regenerate`: writes the golden pictures anew, and those that the documentation shows. Look at them."""

from __future__ import annotations

from pathlib import Path

from tests.draw.cases import CASES, FOLDER, render

DOCUMENTS = Path(__file__).parents[2] / "docs" / "pictures"
SHOWN = ("forward", "partials", "neuron", "rank3")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    DOCUMENTS.mkdir(exist_ok=True)
    for name, (make, forms) in CASES.items():
        picture = make()
        for form in forms:
            (FOLDER / f"{name}.{form}").write_text(render(picture, form), encoding="utf-8")
    for name in SHOWN:
        (DOCUMENTS / f"{name}.svg").write_text((FOLDER / f"{name}.svg").read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main()
