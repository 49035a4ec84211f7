"""tf.nn.dynamic_rnn and its kin: a cell along the axis of time, as one while_loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rillet.compat.recurrent.base import batch_size_of, check_is_cell, shape_of_size
from rillet.compat.recurrent.steps import Lengths, chosen, dtype_of_state, first_state, lengths_of
from rillet.core import nest
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.core.shapes import TensorShape
from rillet.frontend.control import while_loop
from rillet.frontend.tensor_array import TensorArray
from rillet.frontend.variable_scope import variable_scope
from rillet.ops.arrange import reverse, reverse_sequence_v1, transpose
from rillet.ops.compare import less, logical_not, logical_or
from rillet.ops.creation import zeros_like
from rillet.ops.elementwise import maximum, minimum
from rillet.ops.reduce import reduce_all, reduce_max

_NO_STATE = "If there is no initial_state, you must give a dtype."


def _swapped(tensor: Any) -> Any:
    """[batch, time, ...] as [time, batch, ...], and the other way round."""
    rank = tensor.shape.rank
    return tensor if rank is None or rank < 2 else transpose(tensor, [1, 0, *range(2, rank)])


@public(v1=["nn.dynamic_rnn"])
def dynamic_rnn(
    cell: Any,
    inputs: Any,
    sequence_length: Any = None,
    initial_state: Any = None,
    dtype: Any = None,
    parallel_iterations: int | None = None,
    swap_memory: bool = False,
    time_major: bool = False,
    scope: Any = None,
) -> Any:
    """Runs `cell` over the steps of `inputs`: (outputs, last state).

    inputs: [batch, time, ...], or [time, batch, ...] with time_major; or a structure of them. outputs are like them.
    sequence_length: int vector [batch]; past the end the state stays and outputs are zeros. initial_state: zeros of
    `dtype` where there is none. scope: "rnn" when None. parallel_iterations, swap_memory: accepted.
    Raises TypeError where `cell` is none; ValueError for neither initial_state nor dtype, for inputs of rank below 3 or
    unknown depth, and for lengths that are no vector.
    """
    check_is_cell("cell", cell)
    with variable_scope(scope or "rnn"):
        tensors = nest.map_structure(convert_to_tensor, inputs)
        if not time_major:
            tensors = nest.map_structure(_swapped, tensors)
        batch_size = _checked_batch(tensors)
        lengths = lengths_of(sequence_length, batch_size)
        state = first_state(cell, initial_state, batch_size, dtype, _NO_STATE)
        outputs, state = _loop(cell, tensors, state, lengths, batch_size, dtype)
        if not time_major:
            outputs = nest.map_structure(_swapped, outputs)
    return outputs, state


def _checked_batch(inputs: Any) -> Any:
    """The batch size of the inputs [time, batch, ...]. ValueError where they do not fit together."""
    flat = nest.flatten(inputs)
    for tensor in flat:
        if tensor.shape.rank is not None and tensor.shape.rank < 3:
            raise ValueError(f"Shape {tensor.shape} must have rank at least 3")
        if tensor.shape.rank is None or None in tensor.shape.as_list()[2:]:
            raise ValueError("Input size (depth of inputs) must be accessible via shape inference, but saw value None.")
        if not tensor.shape[:2].is_compatible_with(flat[0].shape[:2]):
            raise ValueError(f"Time steps and batch have to be the same for all inputs: {[one.shape for one in flat]}")
    sizes = [batch_size_of(tensor, 1) for tensor in flat]
    return next((size for size in sizes if isinstance(size, int)), sizes[0])


def _loop(cell: Any, inputs: Any, state: Any, lengths: Any, batch_size: Any, dtype: Any) -> tuple[Any, Any]:
    flat = nest.flatten(inputs)
    steps = next((n for n in (batch_size_of(tensor, 0) for tensor in flat) if isinstance(n, int)), None)
    times = convert_to_tensor(batch_size_of(flat[0], 0) if steps is None else steps, name="time_steps")
    arrays = nest.map_structure(lambda tensor: TensorArray(tensor.dtype, times).unstack(tensor), inputs)
    masked = Lengths.of(lengths, cell, batch_size, dtype_of_state(dtype, state))
    batch = batch_size if isinstance(batch_size, int) else None
    outputs = nest.map_structure(
        lambda size: TensorArray(
            dtype_of_state(dtype, state), times, element_shape=TensorShape([batch, *shape_of_size(size)])
        ),
        cell.output_size,
    )

    def body(time: Any, outputs: Any, state: Any) -> Any:
        now = nest.map_structure(lambda array: array.read(time), arrays)
        output, following = cell(now, state) if masked is None else masked.step(cell, time, now, state)
        outputs = nest.map_structure(lambda array, made: array.write(time, made), outputs, output)
        return time + 1, outputs, following

    bound = times if lengths is None else minimum(times, maximum(1, reduce_max(lengths)))
    _, outputs, state = while_loop(
        lambda time, *_: less(time, bound),
        body,
        (convert_to_tensor(0, name="time"), outputs, state),
        maximum_iterations=times if steps is None else steps,
    )
    return nest.map_structure(lambda array: _stacked(array, steps), outputs), state


def _stacked(array: Any, steps: int | None) -> Any:
    result = array.stack()
    result.set_shape(TensorShape([steps, *array.element_shape.as_list()]))
    return result


@public(v1=["nn.bidirectional_dynamic_rnn"])
def bidirectional_dynamic_rnn(
    cell_fw: Any,
    cell_bw: Any,
    inputs: Any,
    sequence_length: Any = None,
    initial_state_fw: Any = None,
    initial_state_bw: Any = None,
    dtype: Any = None,
    parallel_iterations: int | None = None,
    swap_memory: bool = False,
    time_major: bool = False,
    scope: Any = None,
) -> Any:
    """Runs one cell over the steps, and another over them in reverse: ((outputs, outputs), (state, state)).

    The second cell's outputs are in the order of time. Arguments as in dynamic_rnn; scope: "bidirectional_rnn" when None.
    """
    check_is_cell("cell_fw", cell_fw)
    check_is_cell("cell_bw", cell_bw)

    def back(tensor: Any) -> Any:
        axis = 0 if time_major else 1
        if sequence_length is None:
            return reverse(tensor, [axis])
        return reverse_sequence_v1(tensor, sequence_length, seq_axis=axis, batch_axis=1 - axis)

    common = (dtype, parallel_iterations, swap_memory, time_major)
    with variable_scope(scope or "bidirectional_rnn"):
        with variable_scope("fw") as forward:
            output_fw, state_fw = dynamic_rnn(
                cell_fw, inputs, sequence_length, initial_state_fw, *common, scope=forward
            )
        with variable_scope("bw") as backward:
            reversed_inputs = nest.map_structure(lambda leaf: back(convert_to_tensor(leaf)), inputs)
            output_bw, state_bw = dynamic_rnn(
                cell_bw, reversed_inputs, sequence_length, initial_state_bw, *common, scope=backward
            )
    return (output_fw, nest.map_structure(back, output_bw)), (state_fw, state_bw)


@public(v1=["nn.raw_rnn"])
def raw_rnn(
    cell: Any,
    loop_fn: Callable[..., Any],
    parallel_iterations: int | None = None,
    swap_memory: bool = False,
    scope: Any = None,
) -> Any:
    """Runs `cell` on inputs that `loop_fn` makes as it goes: (a TensorArray of what was emitted, last state, loop state).

    loop_fn(time, output, state, loop_state) -> (finished, next input, next state, emitted, next loop state). It is first
    called with time 0 and None for the rest; then it gives the initial state, and for `emitted` None (outputs are
    emitted) or tensors like those it will emit. finished: bool [batch]; the loop ends when all are. What is emitted
    for finished sequences is zeros, and their state stays.
    Raises TypeError where `cell` is none or loop_fn is not callable; ValueError for inputs without a known batch rank.
    """
    check_is_cell("cell", cell)
    if not callable(loop_fn):
        raise TypeError("loop_fn must be a callable")
    with variable_scope(scope or "rnn"):
        time = convert_to_tensor(0, name="time")
        finished, inputs, state, like, loop_state = loop_fn(time, None, None, None)
        inputs = nest.map_structure(convert_to_tensor, inputs)
        state = nest.map_structure(_as_variable, state)
        carried = () if loop_state is None else (nest.map_structure(_as_variable, loop_state),)
        emitting = _Emitting(cell, like, inputs, state)

        def body(time: Any, finished: Any, inputs: Any, arrays: Any, state: Any, carried: Any) -> Any:
            output, cell_state = cell(inputs, state)
            after = time + 1
            over, inputs, following, emitted, kept = loop_fn(after, output, cell_state, *(carried or (None,)))
            following = nest.map_structure(lambda old, new: chosen(finished, old, new), state, following)
            arrays = emitting.write(arrays, time, output if emitted is None else emitted, finished)
            return after, logical_or(finished, over), inputs, arrays, following, (kept,) if carried else ()

        _, _, _, arrays, state, carried = while_loop(
            lambda _, finished, *rest: logical_not(reduce_all(finished)),
            body,
            (time, convert_to_tensor(finished), inputs, emitting.arrays, state, carried),
        )
    return arrays, state, carried[0] if carried else None


def _as_variable(leaf: Any) -> Any:
    return leaf if isinstance(leaf, TensorArray) else convert_to_tensor(leaf)


class _Emitting:
    """The arrays that raw_rnn fills. like: tensors like those emitted for one example; None: like the cell's outputs."""

    def __init__(self, cell: Any, like: Any, inputs: Any, state: Any) -> None:
        if like is None:
            dtype = nest.flatten(inputs)[0].dtype
            self.arrays = nest.map_structure(lambda _: _growing(dtype, None), cell.output_size)
            return
        self.arrays = nest.map_structure(
            lambda leaf: _growing(leaf.dtype, leaf.shape), nest.map_structure(convert_to_tensor, like)
        )

    def write(self, arrays: Any, time: Any, emitted: Any, finished: Any) -> Any:
        def one(array: Any, made: Any) -> Any:
            made = convert_to_tensor(made)
            return array.write(time, chosen(finished, zeros_like(made), made))

        return nest.map_structure(one, arrays, emitted)


def _growing(dtype: Any, shape: Any) -> TensorArray:
    element = None if shape is None or shape.rank is None else TensorShape([None, *shape.as_list()])
    return TensorArray(dtype, 0, dynamic_size=True, element_shape=element, clear_after_read=False)
