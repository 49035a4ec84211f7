"""Names of layers and models: dense, dense_1, ... counted once a graph."""

from __future__ import annotations

import collections
import re
import weakref

from rillet.core import context
from rillet.core.export import export, public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph

_Counts = collections.Counter[str]
_IN_GRAPHS: weakref.WeakKeyDictionary[Graph, _Counts] = weakref.WeakKeyDictionary()
_EAGERLY: _Counts = collections.Counter()


def _counts() -> _Counts:
    """The numbers given out in the current graph; functions that are being traced count with what is around them."""
    graph = context.state().graph
    while isinstance(graph, FuncGraph):
        graph = graph.outer_graph
    if graph is None:
        return _EAGERLY
    return _IN_GRAPHS.setdefault(graph, collections.Counter())


@public("keras.backend.get_uid")
def get_uid(prefix: str = "") -> int:
    """1 for the first call with `prefix`, 2 for the next."""
    counts = _counts()
    counts[prefix] += 1
    return counts[prefix]


@public("keras.backend.reset_uids")
def reset_uids() -> None:
    """Starts the numbering anew."""
    _counts().clear()


def unique_name(name: str) -> str:
    """`name`, then name_1, name_2 ..."""
    number = get_uid(name) - 1
    return f"{name}_{number}" if number else name


def to_snake_case(name: str) -> str:
    """ "Conv2DTranspose" as "conv2d_transpose"."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    name = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    return "private" + name if name.startswith("_") else name


export(to_snake_case, "keras.utils.to_snake_case")
