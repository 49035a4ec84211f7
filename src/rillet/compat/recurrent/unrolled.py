"""tf.nn.static_rnn and its kin: a cell along a list of inputs, one after the other in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.compat.recurrent.base import batch_size_of, check_is_cell
from rillet.compat.recurrent.steps import Lengths, dtype_of_state, first_state, lengths_of
from rillet.core import nest
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.frontend.variable_scope import variable_scope
from rillet.ops.arrange import reverse_sequence_v1
from rillet.ops.join import concat, stack, unstack

_NO_STATE = "If no initial_state is provided, dtype must be specified"


@public(v1=["nn.static_rnn", "nn.rnn", "contrib.rnn.static_rnn"])
def static_rnn(
    cell: Any,
    inputs: Sequence[Any],
    initial_state: Any = None,
    dtype: Any = None,
    sequence_length: Any = None,
    scope: Any = None,
) -> tuple[list[Any], Any]:
    """Runs `cell` on each of `inputs`: (list of outputs, last state).

    inputs: a list of tensors [batch, depth], or of structures of them. The rest as in dynamic_rnn.
    Raises TypeError where `cell` is none or inputs are no list; ValueError for an empty one, for neither initial_state nor
    dtype, and for inputs of unknown depth.
    """
    check_is_cell("cell", cell)
    _check_inputs(inputs)
    with variable_scope(scope or "rnn") as variables:
        tensors = [nest.map_structure(convert_to_tensor, step) for step in inputs]
        batch_size = _checked_batch(tensors)
        state = first_state(cell, initial_state, batch_size, dtype, _NO_STATE)
        lengths = lengths_of(sequence_length, batch_size)
        masked = Lengths.of(lengths, cell, batch_size, None if lengths is None else dtype_of_state(dtype, state))
        outputs = []
        for time, now in enumerate(tensors):
            if time > 0:
                variables.reuse_variables()
            output, state = cell(now, state) if masked is None else masked.step(cell, time, now, state)
            outputs.append(output)
    return outputs, state


def _check_inputs(inputs: Any) -> None:
    if not isinstance(inputs, (list, tuple)):
        raise TypeError("inputs must be a sequence")
    if not inputs:
        raise ValueError("inputs must not be empty")


def _checked_batch(inputs: Sequence[Any]) -> Any:
    """The batch size. ValueError where the depth of an input is unknown."""
    flat = nest.flatten(list(inputs))
    for tensor in flat:
        for axis, size in enumerate(() if tensor.shape.rank is None else tensor.shape.as_list()[1:]):
            if size is None:
                raise ValueError(
                    f"Input size (dimension {axis} of inputs) must be accessible via shape inference, but saw value None."
                )
    sizes = [batch_size_of(tensor, 0) for tensor in flat if tensor.shape.rank and tensor.shape.as_list()[0] is not None]
    return sizes[0] if sizes else batch_size_of(flat[0], 0)


@public(v1=["nn.static_bidirectional_rnn", "nn.bidirectional_rnn", "contrib.rnn.static_bidirectional_rnn"])
def static_bidirectional_rnn(
    cell_fw: Any,
    cell_bw: Any,
    inputs: Sequence[Any],
    initial_state_fw: Any = None,
    initial_state_bw: Any = None,
    dtype: Any = None,
    sequence_length: Any = None,
    scope: Any = None,
) -> tuple[list[Any], Any, Any]:
    """Runs one cell on the inputs in order and another in reverse: (outputs of both side by side, state, state)."""
    check_is_cell("cell_fw", cell_fw)
    check_is_cell("cell_bw", cell_bw)
    _check_inputs(inputs)
    with variable_scope(scope or "bidirectional_rnn"):
        with variable_scope("fw") as forward:
            output_fw, state_fw = static_rnn(cell_fw, inputs, initial_state_fw, dtype, sequence_length, forward)
        with variable_scope("bw") as backward:
            turned = _reversed(inputs, sequence_length)
            output_bw, state_bw = static_rnn(cell_bw, turned, initial_state_bw, dtype, sequence_length, backward)
    outputs = [
        nest.map_structure(lambda one, other: concat([one, other], 1), *pair)
        for pair in zip(output_fw, _reversed(output_bw, sequence_length), strict=True)
    ]
    return outputs, state_fw, state_bw


def _reversed(steps: Sequence[Any], lengths: Any) -> list[Any]:
    """The steps in reverse; with lengths each sequence by itself."""
    if lengths is None:
        return list(reversed(steps))
    turned = [
        unstack(reverse_sequence_v1(stack(list(same)), lengths, seq_axis=0, batch_axis=1))
        for same in zip(*(nest.flatten(step) for step in steps), strict=True)
    ]
    return [
        nest.pack_sequence_as(step, list(leaves)) for step, leaves in zip(steps, zip(*turned, strict=True), strict=True)
    ]
