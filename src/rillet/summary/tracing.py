"""tf.summary.trace_on: the graphs of the functions that run are kept, and written for TensorBoard."""

from __future__ import annotations

from typing import Any

from rillet.core import context
from rillet.core.export import public
from rillet.core.function import Function
from rillet.core.graph import Graph, Operation
from rillet.saving import messages
from rillet.saving.graph_export import graph_def
from rillet.summary import values
from rillet.summary.writers import write

_OF_GRAPHS = "graph_run_metadata_graph"  # TensorBoard's name for what holds graphs of functions


class _Trace:
    """A recorder that keeps the bodies of the functions that are called."""

    higher_order = False

    def __init__(self) -> None:
        self.graphs: dict[int, Graph] = {}

    def wants(self, tensors: Any) -> bool:
        return True

    def record(self, operation: Operation) -> None:
        called = operation.attrs.get("f")
        if isinstance(called, Function) and called.graph is not None and operation.graph is None:
            self.graphs[id(called.graph)] = called.graph

    def variable_accessed(self, variable: Any) -> None:
        """Reads of variables don't matter here."""


class _Current:
    trace: _Trace | None = None


@public(v2=["summary.trace_on"])
def trace_on(graph: bool = True, profiler: bool = False, profiler_outdir: str | None = None) -> None:
    """From here on the graphs of the functions that are called are kept, until trace_export or trace_off.

    Raises ValueError for a profile: that is not taken here.
    """
    if profiler:
        raise ValueError("tf.summary.trace_on takes no profiles here: leave `profiler` out")
    trace_off()
    if graph:
        _Current.trace = _Trace()
        context.add_recorder(_Current.trace)


@public(v2=["summary.trace_off"])
def trace_off() -> None:
    """Forgets the graphs that were kept, and keeps no more."""
    if _Current.trace is not None:
        context.remove_recorder(_Current.trace)
        _Current.trace = None


@public(v2=["summary.trace_export"])
def trace_export(name: str, step: Any = None, profiler_outdir: str | None = None) -> None:
    """Writes the graphs that were kept to the default writer, and ends the trace.

    Raises ValueError where there is no trace, or no step.
    """
    trace = _Current.trace
    if trace is None:
        raise ValueError("Must enable trace before export through tf.summary.trace_on.")
    trace_off()
    run = messages.get("RunMetadata")()
    for graph in trace.graphs.values():
        message = graph_def(graph, add_shapes=True)
        run.partition_graphs.add().CopyFrom(message)
        entry = run.function_graphs.add()
        entry.pre_optimization_graph.CopyFrom(message)
        entry.partition_graphs.add().CopyFrom(message)
    write(name, run.SerializeToString(), step, values.metadata(_OF_GRAPHS, 0, b"1"))
