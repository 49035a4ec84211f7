"""Name scopes where there is no graph, and the way out of functions that are being traced."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from rillet.core import context
from rillet.core.export import export, public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph


class _Names(threading.local):
    """The name scope of eager code: variables made eagerly are named after it."""

    def __init__(self) -> None:
        self.current = ""


_NAMES = _Names()


def eager_name_scope() -> str:
    """The name scope of eager code: "" or "outer/inner/"."""
    return _NAMES.current


@contextlib.contextmanager
def use_eager_name_scope(name: str | None) -> Iterator[str]:
    """Makes `name` the scope of eager code: inside the one in force, or instead of it when it ends in "/" or is empty."""
    saved = _NAMES.current
    if not name:
        _NAMES.current = ""
    elif name.endswith("/"):
        _NAMES.current = name
    else:
        _NAMES.current = f"{saved}{name}/"
    try:
        yield _NAMES.current
    finally:
        _NAMES.current = saved


@contextlib.contextmanager
def _entered(graph: Graph | None, name: str | None) -> Iterator[str]:
    """The name scope of `graph`; eagerly (None) that of eager code, and of the default graph, to which symbolic tensors
    made there belong."""
    if graph is not None:
        with graph.name_scope(name) as scope:
            yield scope
        return
    with context.get_default_graph().name_scope(name), use_eager_name_scope(name) as scope:
        yield scope


@public(v2=["name_scope"])
class NameScope:
    """A context in which names of new operations start with `name`. Yields the scope's full name with a "/".

    ValueError when `name` is not a string.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise ValueError("name for name_scope must be a string.")
        self._name = name
        self._blocks: list[contextlib.AbstractContextManager[str]] = []

    @property
    def name(self) -> str:
        return self._name

    def __enter__(self) -> str:
        block = _entered(context.state().graph, self._name)
        scope = block.__enter__()
        self._blocks.append(block)
        return scope

    def __exit__(self, *exc_info: Any) -> None:
        self._blocks.pop().__exit__(*exc_info)


@public(v1=["name_scope"])
class NameScopeV1:
    """As tf.name_scope; `default_name` is used when name is None, `values` are tensors whose graph is entered."""

    def __init__(self, name: Any, default_name: Any = None, values: Any = None) -> None:
        if not (default_name is None or isinstance(default_name, str)):
            raise TypeError("`default_name` type is not a string. You likely meant to pass this as `values`.")
        if name is None and default_name is None and values is not None:
            raise ValueError(f"At least one of name ({name}) and default_name ({default_name}) must be provided.")
        self._name = default_name if name is None else name
        self._values = values
        self._blocks: list[contextlib.AbstractContextManager[str]] = []

    @property
    def name(self) -> Any:
        return self._name

    def __enter__(self) -> str:
        block = self._block()
        scope = block.__enter__()
        self._blocks.append(block)
        return scope

    def __exit__(self, *exc_info: Any) -> None:
        self._blocks.pop().__exit__(*exc_info)

    @contextlib.contextmanager
    def _block(self) -> Iterator[str]:
        graph = context.state().graph
        wanted = graph_of(self._values)
        if graph is None or wanted is None or wanted is graph or isinstance(graph, FuncGraph):
            with _entered(graph, self._name) as scope:
                yield scope
        else:
            with context.use_graph(wanted), wanted.name_scope(self._name) as scope:
                yield scope


def graph_of(values: Any) -> Graph | None:
    """The graph of the first symbolic value among `values`."""
    for value in values or ():
        graph = getattr(value, "graph", None) if hasattr(value, "op") else None
        if isinstance(graph, Graph):
            return graph
    return None


@contextlib.contextmanager
def init_scope() -> Iterator[None]:
    """Leaves every function that is being traced: what is made inside lives in the outermost graph, or eagerly."""
    current = context.state()
    outer = _outside_functions()
    if current.graph is outer:
        yield
        return
    scope = current.graph.get_name_scope() if current.graph is not None else ""
    scope = scope + "/" if scope else ""
    with context.use_graph(outer), context.without_recording():
        if outer is None:
            with use_eager_name_scope(scope):
                yield
        else:
            with outer.control_dependencies(None), outer.name_scope(scope or None):
                yield


def _outside_functions() -> Graph | None:
    outermost = None if context.eager_by_default() else context.global_default_graph()
    for graph in reversed([outermost, *context.state().stack]):
        if not isinstance(graph, FuncGraph):
            return graph
    raise AssertionError("a function is never the outermost graph")


export(init_scope, "init_scope")


def eager_outside_functions() -> bool:
    """Whether the code around all functions that are being traced runs eagerly."""
    graph = context.state().graph
    while isinstance(graph, FuncGraph):
        graph = graph.outer_graph
    return graph is None


def run_after(*values: Any) -> contextlib.AbstractContextManager[Any]:
    """A block whose operations run after `values`: operations, tensors, updated variables; what ran eagerly (and None)
    has run."""
    graph = context.state().graph
    if graph is None:
        return contextlib.nullcontext()
    waiting = [value for value in values if isinstance(getattr(value, "graph", None), Graph)]
    return graph.control_dependencies(waiting)
