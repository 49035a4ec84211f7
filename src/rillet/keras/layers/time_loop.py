"""Running a step along the axis of time: one while_loop, which the native engine runs as one loop of kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.frontend.control import while_loop
from rillet.frontend.tensor_array import TensorArray
from rillet.ops.arrange import reverse, transpose
from rillet.ops.compare import less
from rillet.ops.creation import zeros, zeros_like
from rillet.ops.join import stack, unstack
from rillet.ops.select import where
from rillet.ops.shape import expand_dims

Step = Callable[[Any, list[Any]], tuple[Any, list[Any]]]


@dataclass
class Course:
    """How a loop over time runs.

    mask: bool [batch, time], or time first: steps that do not count leave the states and repeat the output (or give zeros).
    is_time_major: inputs and outputs are [time, batch, ...]. keeps_all: the outputs of all steps are wanted.
    output_size: the shape of a step's output without the batch, where it is known.
    """

    mask: Any = None
    goes_backwards: bool = False
    is_unrolled: bool = False
    is_time_major: bool = False
    keeps_all: bool = True
    zeroes_masked: bool = False
    output_size: Sequence[int] | None = None


def swap_time(tensor: Any) -> Any:
    """[batch, time, ...] as [time, batch, ...], and the other way round."""
    return transpose(tensor, [1, 0, *range(2, tensor.shape.rank)])


def run(step: Step, inputs: Any, states: Sequence[Any], course: Course) -> tuple[Any, Any, list[Any]]:
    """step(input, states) -> (output, states), for each time in order.

    Returns (the last output, all outputs or None, the last states). ValueError for an unrolled loop of unknown length.
    """
    inputs = inputs if course.is_time_major else swap_time(inputs)
    mask = course.mask if course.mask is None or course.is_time_major else swap_time(course.mask)
    if course.goes_backwards:
        inputs = reverse(inputs, [0])
        mask = None if mask is None else reverse(mask, [0])
    count = inputs.shape.as_list()[0]
    if course.is_unrolled:
        if count is None:
            raise ValueError("Unrolling requires a fixed number of timesteps.")
        last, outputs, states = _unrolled(step, unstack(inputs), mask, list(states), course)
    else:
        last, outputs, states = _looped(step, inputs, mask, list(states), course, count)
    if outputs is not None:
        outputs = outputs if course.is_time_major else swap_time(outputs)
    return last, outputs, states


def _masked(
    step: Step, now: Any, states: list[Any], counts: Any, before: Any, zeroes: bool
) -> tuple[Any, Any, list[Any]]:
    """One step where `counts` ([batch]) says for which examples it happens: (shown output, kept output, states)."""
    output, new = step(now, states)

    def pick(made: Any, kept: Any) -> Any:
        chosen = counts
        for _ in range(made.shape.rank - 1):
            chosen = expand_dims(chosen, -1)
        return where(chosen, made, kept)

    kept = pick(output, zeros_like(output) if before is None else before)
    shown = pick(output, zeros_like(output)) if zeroes else kept
    return shown, kept, [pick(made, old) for made, old in zip(new, states, strict=True)]


def _unrolled(
    step: Step, inputs: list[Any], mask: Any, states: list[Any], course: Course
) -> tuple[Any, Any, list[Any]]:
    masks = [None] * len(inputs) if mask is None else unstack(mask)
    outputs: list[Any] = []
    kept = None
    for now, counts in zip(inputs, masks, strict=True):
        if counts is None:
            shown, states = step(now, states)
        else:
            shown, kept, states = _masked(step, now, states, counts, kept, course.zeroes_masked)
        outputs.append(shown)
    return outputs[-1], stack(outputs) if course.keeps_all else None, states


def _looped(
    step: Step, inputs: Any, mask: Any, states: list[Any], course: Course, count: int | None
) -> tuple[Any, Any, list[Any]]:
    times = apply_op(REGISTRY["Shape"], (inputs,))[0] if count is None else convert_to_tensor(count)
    arrays = TensorArray(inputs.dtype, times).unstack(inputs)
    mask_array = None if mask is None else TensorArray(mask.dtype, times).unstack(mask)
    first = _like_an_output(step, inputs, states, course)
    outputs = TensorArray(first.dtype, times if course.keeps_all else 1, element_shape=first.shape)
    carried = [] if mask is None and course.keeps_all else [first]

    def body(time: Any, carried: list[Any], states: list[Any], outputs: Any) -> Any:
        now = arrays.read(time)
        if mask_array is None:
            shown, new = step(now, states)
            kept = shown
        else:
            shown, kept, new = _masked(step, now, states, mask_array.read(time), carried[0], course.zeroes_masked)
        if course.keeps_all:
            outputs = outputs.write(time, shown)
        new = [_with_shape(made, old) for made, old in zip(new, states, strict=True)]
        return time + 1, [kept] if carried else [], new, outputs

    _, carried, states, outputs = while_loop(
        lambda time, *_: less(time, times),
        body,
        (convert_to_tensor(0), carried, states, outputs),
        maximum_iterations=count,
    )
    if not course.keeps_all:
        return carried[0], None, states
    whole = outputs.stack()
    whole.set_shape(TensorShape([count, *first.shape.as_list()]))
    return whole[-1], whole, states


def _like_an_output(step: Step, inputs: Any, states: list[Any], course: Course) -> Any:
    """Zeros of the shape and dtype that a step's output has."""
    if course.output_size is None:
        return zeros_like(step(inputs[0], states)[0])
    batch = inputs.shape.as_list()[1]
    size = batch if batch is not None else apply_op(REGISTRY["Shape"], (inputs,))[1]
    made = zeros(
        [batch, *course.output_size] if batch is not None else stack([size, *course.output_size]), states[0].dtype
    )
    made.set_shape([batch, *course.output_size])
    return made


def _with_shape(made: Any, old: Any) -> Any:
    """A loop's variable keeps its static shape."""
    if hasattr(made, "set_shape") and made.shape.rank is not None and old.shape.rank == made.shape.rank:
        made.set_shape(made.shape.merge_with(old.shape))
    return made


@public("keras.backend.rnn")
def rnn(
    step_function: Any, inputs: Any, initial_states: Any, go_backwards: bool = False, mask: Any = None,
    constants: Any = None, unroll: bool = False, input_length: Any = None, time_major: bool = False,
    zero_output_for_mask: bool = False, return_all_outputs: bool = True,
) -> Any:  # fmt: skip
    """Runs step_function(input, states) -> (output, states) along time: (last output, outputs, states)."""
    extra = list(constants or [])

    def step(now: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        output, new = step_function(now, [*states, *extra])
        return output, list(new)

    course = Course(mask, go_backwards, unroll, time_major, return_all_outputs, zero_output_for_mask)
    last, outputs, states = run(step, convert_to_tensor(inputs), list(initial_states), course)
    return last, outputs, states
