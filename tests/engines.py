"""Tests that compare engines: one Function, compiled for each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from rillet.core.execution import Engine, Executable, ExecutionContext
from rillet.core.function import Function
from rillet.core.graph import Operation
from rillet.engines.native import NativeEngine
from rillet.engines.reference import ReferenceEngine

__all__ = ["NativeEngine", "ReferenceEngine", "State", "compiling_always"]


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


class State:
    """What runs of graphs share on one engine: the variables."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.context = ExecutionContext(engine)

    def compiled(self, feeds: Sequence[Any], outputs: Sequence[Any], effects: Sequence[Operation] = ()) -> Executable:
        """What computes the outputs from arrays for the feeds, and runs the effects."""
        (graph,) = {tensor.graph for tensor in (*feeds, *outputs, *effects)}
        return self.engine.compile(Function.cut("test", feeds, outputs, effects, graph), self.context)

    def run(
        self, feeds: Sequence[Any], arrays: Sequence[Any], outputs: Sequence[Any], effects: Sequence[Operation] = ()
    ) -> list[Any]:
        with compiling_always():
            return self.compiled(feeds, outputs, effects)(arrays)
