"""Tests that compare engines: one Function, compiled for each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

from rillet.compiler.lowering import running, sorting
from rillet.core.execution import Engine, Executable, ExecutionContext
from rillet.core.function import Function
from rillet.core.graph import Operation
from rillet.engines.native import NativeEngine, contraction_plan, middle, program, rows
from rillet.engines.reference import ReferenceEngine

__all__ = ["NativeEngine", "ReferenceEngine", "State", "compiling_always", "dividing"]


@contextlib.contextmanager
def compiling_always() -> Iterator[None]:
    """Inside, the native engine compiles what it sees for the first time."""
    before = os.environ.get("RILLET_COMPILE")
    os.environ["RILLET_COMPILE"] = "always"
    try:
        yield
    finally:
        if before is None:
            del os.environ["RILLET_COMPILE"]
        else:
            os.environ["RILLET_COMPILE"] = before


# From this size on work is divided into tasks, and tasks are shared among threads.
_THRESHOLDS = (
    (rows, "_TASK"), (rows, "_SUMMING_TASK"), (middle, "_TASK"), (contraction_plan, "_TASK_FLOPS"),
    (running, "_TASK"), (sorting, "_TASK"), (program, "_SHARE_NANOSECONDS"),
)  # fmt: skip


@contextlib.contextmanager
def dividing() -> Iterator[None]:
    """Inside, even small kernels are divided, and run on several threads."""
    with contextlib.ExitStack() as stack:
        for module, name in _THRESHOLDS:
            stack.enter_context(mock.patch.object(module, name, 64))
        yield


class State:
    """What runs of graphs share on one engine: the variables."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.context = ExecutionContext(engine)

    def compiled(self, feeds: Sequence[Any], fetches: Sequence[Any], effects: Sequence[Any] = ()) -> Executable:
        """What computes, from arrays for the feeds, the tensors among the fetches, and runs the operations among them, and
        the effects."""
        (graph,) = {tensor.graph for tensor in (*feeds, *fetches, *effects)}
        elements = [graph.as_graph_element(fetch) for fetch in (*fetches, *effects)]
        outputs = [element for element in elements if not isinstance(element, Operation)]
        effects = [element for element in elements if isinstance(element, Operation)]
        return self.engine.compile(Function.cut("test", feeds, outputs, effects, graph), self.context)

    def run(
        self, feeds: Sequence[Any], arrays: Sequence[Any], fetches: Sequence[Any], effects: Sequence[Any] = ()
    ) -> list[Any]:
        with compiling_always():
            return self.compiled(feeds, fetches, effects)(arrays)
