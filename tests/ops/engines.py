"""A row on several engines: one graph of all that the row computes, run by the reference engine and by another.

The values of all variants and their gradients come from a single function, so that one program has many kernels, which
are compiled side by side. Programs are compiled at first sight, and kept on disk between test runs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rillet.core.execution import Engine, ExecutionContext
from rillet.core.function import Function
from rillet.core.graph import Operation
from rillet.engines.native import NativeEngine
from rillet.engines.reference import ReferenceEngine
from tests.ops import harness
from tests.ops.harness import Array, Row

# dtype -> variant -> what is recorded of it
Recorded = dict[str, dict[str, Any]]


@dataclass
class Everything:
    """All that a row computes, in one graph. `labels` says of each output what it is, and how exact it must be."""

    graph: Any
    feeds: list[Any] = field(default_factory=list)
    arrays: list[Array] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    labels: list[tuple[str, float]] = field(default_factory=list)
    effects: list[Operation] = field(default_factory=list)
    initializer: Operation | None = None

    def add(self, label: str, tolerance: float, outputs: Sequence[Any]) -> None:
        for position, output in enumerate(outputs):
            if output is None:
                continue
            element = self.graph.as_graph_element(output)
            if isinstance(element, Operation):
                self.effects.append(element)
            else:
                self.outputs.append(element)
                self.labels.append((f"{label}, output {position}", tolerance))


def everything(tf: Any, row: Row, values: Recorded, gradients: Recorded) -> Everything:
    """The values of each dtype's first variant and of the first dtype's other ones, and all recorded gradients."""
    result = Everything(tf.Graph())
    with result.graph.as_default():
        for number, (dtype, variants) in enumerate(values.items()):
            for variant in list(variants)[: None if number == 0 else 1]:
                tensors = _fed(tf, result, row.arrays(variant, dtype))
                result.add(f"{dtype} {variant}", row.tolerance, harness.flatten(row.call(tf, *tensors)))
        for dtype, variants in gradients.items():
            for variant in variants:
                shapes = [(tuple(shape), name) for name, shape, _ in values[dtype][variant]]
                tensors = _fed(tf, result, row.arrays(variant, dtype))
                slopes = harness.symbolic_gradients(tf, row, variant, tensors, shapes)
                result.add(f"gradient {dtype} {variant}", row.gradient_tolerance, slopes)
        if row.initialize:
            result.initializer = tf.compat.v1.global_variables_initializer()
    return result


def _fed(tf: Any, result: Everything, arrays: list[Array]) -> list[Any]:
    tensors = harness.placeholders(tf, arrays, unknown=False)
    result.feeds += tensors
    result.arrays += arrays
    return tensors


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


def run(engine: Engine, computed: Everything) -> list[Any]:
    """The outputs, from variables that have just been initialized."""
    context = ExecutionContext(engine)
    if computed.initializer is not None:
        start = Function.cut("start", computed.feeds, (), [computed.initializer], computed.graph)
        engine.compile(start, context)(computed.arrays)
    function = Function.cut("row", computed.feeds, computed.outputs, computed.effects, computed.graph)
    return engine.compile(function, context)(computed.arrays)


def differences(tf: Any, row: Row, values: Recorded, gradients: Recorded) -> list[str]:
    """How the native engine's results differ from the reference engine's: a line for each output.

    The tolerances are those for TensorFlow's own results: both engines round differently (sums are in another order, and
    numbers of 16 bits stay in 32 between operations), but neither by more than TensorFlow does.
    """
    computed = everything(tf, row, values, gradients)
    expected = run(ReferenceEngine(), computed)
    with compiling_always():
        actual = run(NativeEngine(), computed)
    lines = []
    for (label, tolerance), ours, theirs in zip(computed.labels, actual, expected, strict=True):
        line = harness.difference(harness.to_array(ours), harness.to_array(theirs), tolerance)
        lines += [f"[{label}] {line}"] if line else []
    return lines
