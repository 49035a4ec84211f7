"""tf.contrib.legacy_seq2seq, as far as programs on characters and words use it: a decoder and its loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.frontend.scopes import NameScopeV1
from rillet.frontend.variable_scope import variable_scope
from rillet.ops.cast import cast
from rillet.ops.elementwise import add_n
from rillet.ops.loss import sparse_softmax_cross_entropy_with_logits
from rillet.ops.reduce import reduce_sum
from rillet.ops.shape import shape as shape_of


@public(v1=["contrib.legacy_seq2seq.rnn_decoder"])
def rnn_decoder(
    decoder_inputs: Sequence[Any],
    initial_state: Any,
    cell: Any,
    loop_function: Callable[[Any, int], Any] | None = None,
    scope: Any = None,
) -> tuple[list[Any], Any]:
    """Runs `cell` on a list of inputs [batch, depth]: (list of outputs, last state).

    loop_function: (last output, number of the step) -> the input to use instead of the next one in the list.
    scope: "rnn_decoder" when None.
    """
    state = initial_state
    outputs: list[Any] = []
    with variable_scope(scope or "rnn_decoder") as variables:
        for number, now in enumerate(decoder_inputs):
            if loop_function is not None and outputs:
                with variable_scope("loop_function", reuse=True):
                    now = loop_function(outputs[-1], number)
            if number > 0:
                variables.reuse_variables()
            output, state = cell(now, state)
            outputs.append(output)
    return outputs, state


@public(v1=["contrib.legacy_seq2seq.sequence_loss_by_example"])
def sequence_loss_by_example(
    logits: Sequence[Any],
    targets: Sequence[Any],
    weights: Sequence[Any],
    average_across_timesteps: bool = True,
    softmax_loss_function: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Any:
    """The weighted cross entropy of each sequence, [batch]. Lists, one entry a step.

    logits: [batch, classes]; targets: integers [batch]; weights: [batch]. softmax_loss_function: of (labels=, logits=).
    Raises ValueError for lists of different lengths.
    """
    if len(targets) != len(logits) or len(weights) != len(logits):
        raise ValueError(
            f"Lengths of logits, weights, and targets must be the same {len(logits)}, {len(weights)}, {len(targets)}."
        )
    loss = softmax_loss_function or sparse_softmax_cross_entropy_with_logits
    with NameScopeV1(name, "sequence_loss_by_example", [*logits, *targets, *weights]):
        weights = [convert_to_tensor(weight) for weight in weights]
        terms = [
            loss(labels=target, logits=logit) * weight
            for logit, target, weight in zip(logits, targets, weights, strict=True)
        ]
        total = add_n(terms)
        return total / (add_n(weights) + 1e-12) if average_across_timesteps else total


@public(v1=["contrib.legacy_seq2seq.sequence_loss"])
def sequence_loss(
    logits: Sequence[Any],
    targets: Sequence[Any],
    weights: Sequence[Any],
    average_across_timesteps: bool = True,
    average_across_batch: bool = True,
    softmax_loss_function: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Any:
    """The sum of sequence_loss_by_example, a scalar; by default its mean over the batch."""
    with NameScopeV1(name, "sequence_loss", [*logits, *targets, *weights]):
        cost = reduce_sum(
            sequence_loss_by_example(logits, targets, weights, average_across_timesteps, softmax_loss_function)
        )
        return cost / cast(shape_of(targets[0])[0], cost.dtype) if average_across_batch else cost
