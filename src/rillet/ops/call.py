"""Calls of functions: the ops through which a graph runs another graph."""

from __future__ import annotations

from typing import Any

from rillet.core.execution import ExecutionContext
from rillet.core.function import Function
from rillet.core.graph import Operation
from rillet.core.opdef import define


def _call(*arrays: Any, f: Function, context: ExecutionContext, node: Any) -> tuple[Any, ...]:
    if isinstance(node, Operation):  # eagerly all calls of a function share the states of its nodes
        context = context.inside(node)
    return tuple(context.call(f, arrays))


def _output_shapes(op: Operation) -> list[Any]:
    return [tensor.shape for tensor in op.attrs["f"].outputs]


PARTITIONED_CALL = define(
    "PartitionedCall", "args: Ref(Tin...) -> output: Tout...", "Tin: list(type), Tout: list(type), f: func",
    reference=_call, shape=_output_shapes,
)  # fmt: skip
STATEFUL_PARTITIONED_CALL = define(
    "StatefulPartitionedCall", "args: Ref(Tin...) -> output: Tout...", "Tin: list(type), Tout: list(type), f: func",
    reference=_call, shape=_output_shapes, is_stateful=True,
)  # fmt: skip
