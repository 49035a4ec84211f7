"""Bidirectional networks upon each other: tf.contrib.rnn.stack_bidirectional_rnn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rillet.compat.recurrent.loops import bidirectional_dynamic_rnn
from rillet.compat.recurrent.unrolled import static_bidirectional_rnn
from rillet.core.export import public
from rillet.frontend.variable_scope import variable_scope
from rillet.ops.join import concat


class _Layer(NamedTuple):
    """Two cells, their initial states, and the name of their variable scope."""

    cell_fw: Any
    cell_bw: Any
    state_fw: Any
    state_bw: Any
    name: str


def _layers(cells_fw: Any, cells_bw: Any, states_fw: Any, states_bw: Any) -> list[_Layer]:
    """The layers. ValueError where the lists do not fit together."""
    for label, cells in (("cells_fw", cells_fw), ("cells_bw", cells_bw)):
        if not isinstance(cells, list) or not cells:
            raise ValueError(f"{label} must be a list of RNNCells (one per layer).")
    if len(cells_fw) != len(cells_bw):
        raise ValueError("Forward and Backward cells must have the same depth.")
    for label, states in (("initial_states_fw", states_fw), ("initial_states_bw", states_bw)):
        if states is not None and (not isinstance(states, list) or len(states) != len(cells_fw)):
            raise ValueError(f"{label} must be a list of state tensors (one per layer).")
    none = [None] * len(cells_fw)
    parts = zip(cells_fw, cells_bw, states_fw or none, states_bw or none, strict=True)
    return [_Layer(*own, f"cell_{number}") for number, own in enumerate(parts)]


@public(v1=["contrib.rnn.stack_bidirectional_rnn"])
def stack_bidirectional_rnn(
    cells_fw: list[Any],
    cells_bw: list[Any],
    inputs: Sequence[Any],
    initial_states_fw: list[Any] | None = None,
    initial_states_bw: list[Any] | None = None,
    dtype: Any = None,
    sequence_length: Any = None,
    scope: Any = None,
) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
    """Layers of static_bidirectional_rnn, each on the outputs of the one before: (outputs, states, states)."""
    states_fw, states_bw, outputs = [], [], inputs
    with variable_scope(scope or "stack_bidirectional_rnn"):
        for layer in _layers(cells_fw, cells_bw, initial_states_fw, initial_states_bw):
            with variable_scope(layer.name) as own:
                outputs, state_fw, state_bw = static_bidirectional_rnn(
                    layer.cell_fw, layer.cell_bw, outputs, layer.state_fw, layer.state_bw, dtype, sequence_length, own
                )
            states_fw.append(state_fw)
            states_bw.append(state_bw)
    return outputs, tuple(states_fw), tuple(states_bw)


@public(v1=["contrib.rnn.stack_bidirectional_dynamic_rnn"])
def stack_bidirectional_dynamic_rnn(
    cells_fw: list[Any],
    cells_bw: list[Any],
    inputs: Any,
    initial_states_fw: list[Any] | None = None,
    initial_states_bw: list[Any] | None = None,
    dtype: Any = None,
    sequence_length: Any = None,
    parallel_iterations: int | None = None,
    time_major: bool = False,
    scope: Any = None,
    swap_memory: bool = False,
) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
    """Layers of bidirectional_dynamic_rnn, each on the outputs of the one before: (outputs, states, states)."""
    states_fw, states_bw, outputs = [], [], inputs
    with variable_scope(scope or "stack_bidirectional_rnn"):
        for layer in _layers(cells_fw, cells_bw, initial_states_fw, initial_states_bw):
            with variable_scope(layer.name):
                both, (state_fw, state_bw) = bidirectional_dynamic_rnn(
                    layer.cell_fw,
                    layer.cell_bw,
                    outputs,
                    sequence_length,
                    layer.state_fw,
                    layer.state_bw,
                    dtype,
                    time_major=time_major,
                )
                outputs = concat(list(both), 2)
            states_fw.append(state_fw)
            states_bw.append(state_bw)
    return outputs, tuple(states_fw), tuple(states_bw)
