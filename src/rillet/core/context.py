"""What is current in a thread: the graph that ops are added to, and who records what eager ops do.

There is one rule for where an op goes (see dispatch): to the graph of its symbolic inputs; else to the current graph;
else it runs now. "Current" is a stack a thread, so every mode can be entered and left again, in any order.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from rillet.core import locks

if TYPE_CHECKING:
    from rillet.core.graph import Graph, Operation
    from rillet.core.opdef import OpDef
    from rillet.core.tensor import EagerTensor, Tensor


class Recorder(Protocol):
    """Somebody who wants to know which ops ran: a gradient tape, a forward accumulator.

    higher_order: gradients of recorded operations may be differentiated again.

    One that has the methods of a Listener too is told in that shorter way while it is the only recorder.
    """

    higher_order: bool

    def wants(self, inputs: tuple[Tensor, ...]) -> bool: ...

    def record(self, operation: Operation) -> None: ...

    def variable_accessed(self, variable: Any) -> None: ...


class Listener(Recorder, Protocol):
    """A recorder that dispatch tells of an eager op without making an Operation first.

    keep: `definition` was called with `inputs` (concrete tensors) and those of its attributes that don't follow from
    the inputs, and gave `output`. keep_pair: the same for an op of two inputs without attributes, either of which may
    be an array instead.
    """

    def keep(
        self, definition: OpDef, inputs: Sequence[Any], attrs: dict[str, Any] | None, output: EagerTensor
    ) -> None: ...

    def keep_pair(self, definition: OpDef, left: Any, right: Any, output: EagerTensor) -> None: ...


class _Elsewhere:
    def __repr__(self) -> str:
        return "ELSEWHERE"


ELSEWHERE = _Elsewhere()  # see ThreadState.listener


class _Process:
    """What all threads share."""

    eager_by_default = True
    default_graph: Graph | None = None
    eager_seed: int | None = None
    make_graph: Callable[[], Graph]  # set by core.graph
    lock = locks.lock()
    threads: ClassVar[weakref.WeakSet[ThreadState]] = weakref.WeakSet()


class ThreadState:
    """`graph` is None where ops run eagerly. `quick` is true where an eager op has nobody to tell: no graph is
    current and nothing records; dispatch takes its short path then.

    `listener` says in one word what becomes of an eager op: None, nobody is told; a Listener, it alone is told, and
    dispatch takes its short path as well; ELSEWHERE, a graph is current or others record, and it goes the long way.

    `run_quietly(f, *args)` calls f where NumPy doesn't warn of overflow or 0/0 (tensors hold inf and nan silently).
    It enters a context variable scope that has NumPy's error state set, which takes a tenth of np.errstate's time;
    it must not be nested, so kernels that call back into Python run under np.errstate instead.
    """

    __slots__ = ("__weakref__", "graph", "listener", "quick", "recorders", "run_quietly", "stack")

    def __init__(self) -> None:
        self.listener: Any = None
        self.stack: list[Graph | None] = []
        self.recorders: tuple[Recorder, ...] = ()
        self.graph: Graph | None = None
        self.quick = True
        quiet = contextvars.Context()
        quiet.run(lambda: np.seterr(all="ignore"))
        self.run_quietly = quiet.run
        with _Process.lock:
            _Process.threads.add(self)
        self.refresh()

    def refresh(self) -> None:
        if self.stack:
            self.graph = self.stack[-1]
        else:
            self.graph = None if _Process.eager_by_default else global_default_graph()
        self.quick = self.graph is None and not self.recorders
        self.listener = None if self.quick else self._only_listener()

    def _only_listener(self) -> Any:
        if self.graph is None and len(self.recorders) == 1 and hasattr(self.recorders[0], "keep_pair"):
            return self.recorders[0]
        return ELSEWHERE


class _Local(threading.local):
    def __init__(self) -> None:
        self.state = ThreadState()


_LOCAL = _Local()


def state() -> ThreadState:
    return _LOCAL.state


def global_default_graph() -> Graph:
    with _Process.lock:
        if _Process.default_graph is None:
            _Process.default_graph = _Process.make_graph()
        return _Process.default_graph


def set_graph_factory(make_graph: Callable[[], Graph]) -> None:
    _Process.make_graph = staticmethod(make_graph)


def reset_default_graph() -> None:
    """Throws away the global default graph. AssertionError inside a `with graph.as_default()` block."""
    if any(graph is not None for graph in state().stack):
        raise AssertionError(
            "Do not use tf.reset_default_graph() to clear nested graphs. If you need a cleared graph, exit the nesting "
            "and create a new graph."
        )
    with _Process.lock:
        _Process.default_graph = None
        for thread in list(_Process.threads):
            thread.refresh()


def set_eager_by_default(value: bool) -> None:
    with _Process.lock:
        _Process.eager_by_default = value
        for thread in list(_Process.threads):
            thread.refresh()


def eager_by_default() -> bool:
    return _Process.eager_by_default


def eager_seed() -> int | None:
    """The seed of random ops that run eagerly: tf.random.set_seed."""
    return _Process.eager_seed


def set_eager_seed(seed: int | None) -> None:
    _Process.eager_seed = seed


def executing_eagerly() -> bool:
    """Whether an op on concrete tensors runs now."""
    return _LOCAL.state.graph is None


def get_default_graph() -> Graph:
    """The innermost graph entered with as_default, else the process's default graph."""
    for graph in reversed(_LOCAL.state.stack):
        if graph is not None:
            return graph
    return global_default_graph()


@contextlib.contextmanager
def use_graph(graph: Graph | None) -> Iterator[None]:
    """Makes `graph` current in this thread; None means eager execution."""
    current = _LOCAL.state
    current.stack.append(graph)
    current.refresh()
    try:
        yield
    finally:
        popped = current.stack.pop()
        current.refresh()
        if popped is not graph:
            raise AssertionError("Nesting violated for default stack of graphs")


def add_recorder(recorder: Recorder) -> None:
    current = _LOCAL.state
    current.recorders = (*current.recorders, recorder)
    current.refresh()


def remove_recorder(recorder: Recorder) -> None:
    current = _LOCAL.state
    current.recorders = tuple(other for other in current.recorders if other is not recorder)
    current.refresh()


class VariableWatcher:
    """Keeps which variables were read; wants to know of no operation."""

    higher_order = False

    def __init__(self) -> None:
        self.variables: dict[int, Any] = {}

    def wants(self, inputs: tuple[Tensor, ...]) -> bool:
        return False

    def record(self, operation: Operation) -> None:
        raise AssertionError("this recorder wants no operation")

    def variable_accessed(self, variable: Any) -> None:
        self.variables.setdefault(id(variable), variable)

    def tell(self, recorders: tuple[Recorder, ...]) -> None:
        """Tells others of the variables."""
        for recorder in recorders:
            for variable in self.variables.values():
                recorder.variable_accessed(variable)


@contextlib.contextmanager
def recording_variables_only() -> Iterator[dict[int, Any]]:
    """Tapes and accumulators of this thread see no operation that runs inside; afterwards they are told which variables
    were read. Yields those, by id. (The body of a branch is traced so: what is recorded is the branch as a whole.)"""
    current = _LOCAL.state
    saved = current.recorders
    watcher = VariableWatcher()
    current.recorders = (watcher,)
    current.refresh()
    try:
        yield watcher.variables
    finally:
        current.recorders = saved
        current.refresh()
    watcher.tell(saved)


@contextlib.contextmanager
def without_recording() -> Iterator[None]:
    """Nothing that runs inside is seen by any tape or accumulator of this thread."""
    current = _LOCAL.state
    saved = current.recorders
    current.recorders = ()
    current.refresh()
    try:
        yield
    finally:
        current.recorders = saved
        current.refresh()
