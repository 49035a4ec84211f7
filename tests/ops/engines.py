"""A row on several engines: one graph of all that the row computes, run by the reference engine and by another.

The values of all variants and their gradients come from a single function, so that one program has many kernels, which
are compiled side by side. Programs are compiled at first sight, and kept on disk between test runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rillet.core.graph import Operation
from tests.engines import NativeEngine, ReferenceEngine, State
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

    def feed(self, tf: Any, arrays: list[Array]) -> list[Any]:
        tensors = harness.placeholders(tf, arrays, unknown=False)
        self.feeds += tensors
        self.arrays += arrays
        return tensors

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
                tensors = result.feed(tf, row.arrays(variant, dtype))
                result.add(f"{dtype} {variant}", row.tolerance, harness.flatten(row.call(tf, *tensors)))
        for dtype, variants in gradients.items():
            for variant in variants:
                shapes = [(tuple(shape), name) for name, shape, _ in values[dtype][variant]]
                tensors = result.feed(tf, row.arrays(variant, dtype))
                slopes = harness.symbolic_gradients(tf, row, variant, tensors, shapes)
                result.add(f"gradient {dtype} {variant}", row.gradient_tolerance, slopes)
        if row.initialize:
            result.initializer = tf.compat.v1.global_variables_initializer()
    return result


def results(state: State, computed: Everything) -> list[Any]:
    """The outputs, from variables that have just been initialized."""
    if computed.initializer is not None:
        state.run(computed.feeds, computed.arrays, [computed.initializer])
    return state.run(computed.feeds, computed.arrays, [*computed.outputs, *computed.effects])


def differences(tf: Any, row: Row, values: Recorded, gradients: Recorded) -> list[str]:
    """How the native engine's results differ from the reference engine's: a line for each output.

    The tolerances are those for TensorFlow's own results: both engines round differently (sums are in another order, and
    numbers of 16 bits stay in 32 between operations), but neither by more than TensorFlow does.
    """
    computed = everything(tf, row, values, gradients)
    expected = results(State(ReferenceEngine()), computed)
    actual = results(State(NativeEngine()), computed)
    lines = []
    for (label, tolerance), ours, theirs in zip(computed.labels, actual, expected, strict=True):
        line = harness.difference(harness.to_array(ours), harness.to_array(theirs), tolerance)
        lines += [f"[{label}] {line}"] if line else []
    return lines
