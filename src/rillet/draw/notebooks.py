"""What notebooks show of tensors and graphs. The classes have these as `_repr_html_`; the room opens when one is asked."""

from __future__ import annotations

from typing import Any

from rillet.draw.drawing import draw
from rillet.draw.tensors import draw_tensor

_MOST = 2_000  # operations; what is larger is shown as text


def tensor_html(tensor: Any) -> str | None:
    """The picture of an eager tensor; None where its value is no array."""
    return draw_tensor(tensor)._repr_html_() if tensor.dtype.is_numpy_compatible else None


def graph_html(graph: Any) -> str | None:
    """The picture of a graph; None for an empty and for a very large one."""
    return draw(graph, names={})._repr_html_() if 0 < graph.number_of_operations() <= _MOST else None


def symbolic_html(tensor: Any) -> str | None:
    """The picture of how a tensor of a graph is computed; None in a very large graph."""
    return draw(tensor, names={})._repr_html_() if tensor.graph.number_of_operations() <= _MOST else None
