"""What tf.draw gives: a picture that can be shown, saved and looked into."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Picture:
    """A picture in several forms. str() is text for a terminal; notebooks show it; save() writes a file.

    drawing: what is shown: for a graph its nodes, edges, values and derivatives; for a tensor its array.
    """

    def __init__(self, drawing: Any, forms: dict[str, Callable[[], str]]) -> None:
        self.drawing = drawing
        self._forms = forms

    def svg(self) -> str:
        """A self-contained SVG file."""
        return self._form("svg")

    def html(self) -> str:
        """A self-contained page: of a graph, one to move about in, with groups that fold."""
        return self._form("html")

    def dot(self) -> str:
        """The graph in Graphviz's language. ValueError for the picture of a tensor."""
        return self._form("dot")

    def text(self) -> str:
        """Plain text, in Unicode."""
        return self._form("txt")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a file in the form that its ending names: .svg, .html, .dot or .txt. ValueError for other endings."""
        form = Path(path).suffix.removeprefix(".")
        Path(path).write_text(self._form(form), encoding="utf-8")

    def _form(self, name: str) -> str:
        if name not in self._forms:
            raise ValueError(f"there is no picture as {name!r}: choose one of {', '.join(self._forms)}")
        return self._forms[name]()

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:
        return f"<div>{self.svg()}</div>"

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Picture: {self.text().splitlines()[0]}>"
