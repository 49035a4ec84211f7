"""Name scopes for functions that are made of several ops."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from rillet.core import context
from rillet.core.dispatch import graph_for
from rillet.core.graph import Graph


class _Eagerly:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc_info: object) -> None:
        return None


_EAGERLY = _Eagerly()


def scope(name: str, *values: Any) -> AbstractContextManager[str | None]:
    """A block whose nodes are named below `name`, in the graph that an op on `values` goes to.

    It yields the scope's name with its "/": given as the name of the last op, that op is called as the scope.
    Where ops on `values` run now there are no names: it yields None and does nothing.
    """
    graph = graph_for(values)
    return _EAGERLY if graph is None else _named(graph, name)


@contextlib.contextmanager
def _named(graph: Graph, name: str) -> Iterator[str]:
    with context.use_graph(graph), graph.name_scope(name) as inner:
        yield inner
