"""Pictures of tensors, by rank: nested brackets, and slices that stand behind each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from rillet.core import context
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.core.tensor import EagerTensor
from rillet.draw.numbers import number, shape_text
from rillet.draw.picture import Picture
from rillet.draw.style import CSS, width_of

_ROW = 24.0
_SET_OFF = 6.0  # between the grid of a slice and that of the one behind it
_GAP = 30.0  # between blocks of a tensor of rank 4 and more
_MARGIN = 16.0
_MOST = 6  # of what is shown along an axis: the ends, and dots between
_KINDS = {0: "scalar", 1: "vector", 2: "matrix"}
_STYLE = """
.rl .cell{fill:var(--op);stroke:var(--op-edge)}
.rl .behind{fill:var(--group);stroke:var(--group-edge)}
"""


@public("draw_tensor")
def draw_tensor(tensor: Any) -> Picture:
    """A picture of a tensor's value: as text nested in brackets, as SVG a stack of slices (a cube, for rank 3).

    tensor: an eager tensor, a variable, or what can be converted to one. Long axes are shortened to their ends.
    Raises ValueError for a symbolic tensor, which has no value.
    """
    with context.use_graph(None):
        value = tensor if isinstance(tensor, EagerTensor) else convert_to_tensor(tensor)
    if not isinstance(value, EagerTensor):
        raise ValueError(
            f"{value.name} is symbolic, it has no value yet: evaluate it first, or draw how it is computed"
        )
    array = np.asarray(value._array)
    head = heading(array, value.dtype.name)
    return Picture(
        array,
        {
            "svg": lambda: stacked(array, head),
            "html": lambda: _page(array, head),
            "txt": lambda: f"{head}\n{nested(array)}\n",
        },
    )


def heading(array: Any, dtype: str) -> str:
    """ "a tensor of rank 3, shape 2×3×4, float32"."""
    kind = _KINDS.get(array.ndim, "tensor")
    shape = f", shape {shape_text(array.shape)}" if array.ndim else ""
    return f"{kind}: rank {array.ndim}{shape}, {dtype}"


def _page(array: Any, head: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en" class="rl"><head><meta charset="utf-8"><title>{escape(head)}</title></head>'
        f"<body>{stacked(array, head)}<pre>{escape(nested(array))}</pre></body></html>\n"
    )


# ---- nested brackets ------------------------------------------------------------------------------------------------


def nested(array: Any) -> str:
    """The elements in nested brackets, in columns; inner matrices are set apart by empty lines."""
    if array.ndim == 0:
        return number(array[()])
    texts = np.array([number(element) for element in array.reshape(-1)], dtype=object).reshape(array.shape)
    width = max((len(text) for text in texts.reshape(-1)), default=0)
    return _nest(texts, width, 1)


def _nest(texts: Any, width: int, indent: int) -> str:
    shown = _shown(len(texts))
    if texts.ndim == 1:
        return "[" + "  ".join("…" if place is None else texts[place].rjust(width) for place in shown) + "]"
    separator = "\n" * (texts.ndim - 1) + " " * indent
    parts = ["…" if place is None else _nest(texts[place], width, indent + 1) for place in shown]
    return "[" + separator.join(parts) + "]"


def _shown(length: int) -> list[int | None]:
    """The places that are shown along an axis; None for those left out."""
    if length <= _MOST:
        return list(range(length))
    return [*range(_MOST - 2), None, length - 1]


# ---- stacked slices -------------------------------------------------------------------------------------------------


def stacked(array: Any, head: str) -> str:
    """Matrices as grids, the matrices of rank 3 behind each other, those of higher rank in rows of such stacks."""
    cells = [number(element) for element in array.reshape(-1)[:1000]]
    width = max(34.0, max((width_of(text, 12.0) for text in cells), default=0.0) + 12.0)
    parts, right, bottom = _blocks(array, width)
    full_width = max(right, width_of(head, 13.0)) + 2 * _MARGIN
    full_height = bottom + 2 * _MARGIN + _ROW
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="rl" viewBox="0 0 {full_width:.1f} {full_height:.1f}" '
            f'width="{full_width:.1f}" height="{full_height:.1f}" role="img">',
            f"<title>{escape(head)}</title>",
            f"<style>{CSS}{_STYLE}</style>",
            '<rect class="paper" width="100%" height="100%"/>',
            f'<text class="soft" x="{_MARGIN}" y="{_MARGIN + 10}">{escape(head)}</text>',
            f'<g transform="translate({_MARGIN} {_MARGIN + _ROW})">',
            *parts,
            "</g>",
            "</svg>",
            "",
        ]
    )


def _blocks(array: Any, width: float, left: float = 0.0, top: float = 0.0) -> tuple[list[str], float, float]:
    """The drawing of an array whose corner is at (left, top), and where it ends to the right and below."""
    if array.ndim <= 3:
        return _stack(array.reshape((1,) * (3 - array.ndim) + array.shape), width, left, top)
    parts: list[str] = []
    right, bottom = left, top
    is_across = array.ndim % 2 == 0
    for place in _shown(len(array)):
        x, y = (right, top) if is_across else (left, bottom)
        if place is None:
            inner, end, low = [_text(x + 14, y + 20, "…", "soft")], x + 28, y + 30
        else:
            inner, end, low = _blocks(array[place], width, x, y)
        parts.extend(inner)
        right, bottom = (end + _GAP, max(bottom, low)) if is_across else (max(right, end), low + _GAP)
    return parts, right - (_GAP if is_across and parts else 0), bottom - (0 if is_across or not parts else _GAP)


def _stack(array: Any, width: float, left: float, top: float) -> tuple[list[str], float, float]:
    """Rank 3: slices behind each other, each a cell further to the right and up: of all but the first the upper row and the
    last column can be read. The last is drawn first, so that the first stands in front."""
    order = _shown(len(array))
    back = max(len(order) - 1, 0)
    rows, columns = _shown(array.shape[1]), _shown(array.shape[2])
    parts: list[str] = []
    for level in range(len(order) - 1, -1, -1):
        x, y = left + level * (width + _SET_OFF), top + (back - level) * (_ROW + _SET_OFF)
        place = order[level]
        if place is None:
            size = f'width="{_columns_width(columns, width):.1f}" height="{len(rows) * _ROW:.1f}"'
            parts.append(f'<rect class="behind" x="{x:.1f}" y="{y:.1f}" {size} rx="3"/>')
            parts.append(_text(x + _columns_width(columns, width) / 2, y + 16.5, "…", "soft"))
        else:
            parts.extend(_grid(array[place], rows, columns, x, y, width, "behind" if level else "cell"))
    right = left + _columns_width(columns, width) + back * (width + _SET_OFF)
    return parts, right, top + len(rows) * _ROW + back * (_ROW + _SET_OFF)


def _columns_width(columns: Sequence[Any], width: float) -> float:
    return len(columns) * width


def _grid(
    matrix: Any,
    rows: Sequence[int | None],
    columns: Sequence[int | None],
    left: float,
    top: float,
    width: float,
    kind: str,
) -> list[str]:
    parts = []
    for down, row in enumerate(rows):
        for across, column in enumerate(columns):
            x, y = left + across * width, top + down * _ROW
            text = "…" if row is None or column is None else number(matrix[row, column])
            parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_ROW}" rx="2"/>')
            parts.append(_text(x + width / 2, y + 16.5, text, "value" if kind == "cell" else "soft"))
    return parts


def _text(x: float, y: float, text: str, kind: str, anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
