"""RNN: a cell along time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core import nest
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.keras.calling import layer_scope
from rillet.keras.input_spec import InputSpec
from rillet.keras.layers.options import ConfiguredLayer
from rillet.keras.layers.time_loop import Course, run
from rillet.keras.saving_registry import deserialize_keras_object, serialize_keras_object
from rillet.ops.creation import zeros
from rillet.ops.join import stack


def state_sizes(cell: Any) -> list[list[int]]:
    """The shapes of a cell's states, without the batch."""
    size = cell.state_size
    parts = list(size) if isinstance(size, (list, tuple)) else [size]
    shapes = []
    for part in parts:
        shapes.extend(state_sizes_of(part))
    return shapes


def state_sizes_of(part: Any) -> list[list[int]]:
    if isinstance(part, TensorShape):
        return [part.as_list()]
    if isinstance(part, (list, tuple)):  # the states of one of several cells
        return [shape for inner in part for shape in state_sizes_of(inner)]
    return [[int(part)]]


@public("keras.layers.RNN")
class RNN(ConfiguredLayer):
    """A cell run along [batch, time, ...] (time first with time_major).

    cell: a layer with `call(input, states) -> (output, states)` and `state_size`; several cells are stacked.
    return_sequences: all outputs, [batch, time, ...], instead of the last. return_state: the last states too.
    go_backwards: from the last time to the first. stateful: a batch begins with the states that the last one ended with
    (the batch size must be known). unroll: the steps written out one by one. zero_output_for_mask: steps that a mask
    leaves out give zeros instead of the output before.
    """

    _config_names: Sequence[str] = (
        "return_sequences", "return_state", "go_backwards", "stateful", "unroll", "time_major",
    )  # fmt: skip

    def __init__(
        self, cell: Any, return_sequences: bool = False, return_state: bool = False, go_backwards: bool = False,
        stateful: bool = False, unroll: bool = False, time_major: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.zero_output_for_mask = kwargs.pop("zero_output_for_mask", False)
        length, size = kwargs.pop("input_length", None), kwargs.pop("input_dim", None)
        if size is not None and "input_shape" not in kwargs:
            kwargs["input_shape"] = (length, size)
        super().__init__(**kwargs)
        self.cell = self._one_cell(cell)
        if not hasattr(self.cell, "call") or not hasattr(self.cell, "state_size"):
            raise ValueError(
                "Argument `cell` or each of the cells should have a `call` method, and an attribute `state_size` (integer, or "
                f"several). Received: cell={cell}"
            )
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.time_major = time_major
        self.supports_masking = True
        self.input_spec = [InputSpec(min_ndim=3)]
        self._states: list[Any] | None = None

    def _one_cell(self, cell: Any) -> Any:
        return StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else cell

    # ---- building ----------------------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        shape = input_shape[0] if isinstance(input_shape, (list, tuple)) and _is_shapes(input_shape) else input_shape
        whole = TensorShape(shape).as_list()
        batch = whole[1] if self.time_major else whole[0]
        build_cell(self.cell, TensorShape([batch, *whole[2:]]))
        if self.stateful:
            self._make_states(batch)
        self.built = True

    def _make_states(self, batch: int | None) -> None:
        if batch is None:
            raise ValueError(
                "If a RNN is stateful, it needs to know its batch size. Specify the batch size of your input tensors: with a "
                "Sequential model, by `batch_input_shape` in the first layer; with Input, by `batch_shape`."
            )
        self._states = [
            self.add_weight(f"state_{number}", (batch, *size), initializer="zeros", trainable=False)
            for number, size in enumerate(state_sizes(self.cell))
        ]

    @property
    def states(self) -> list[Any]:
        """The states that a stateful layer keeps."""
        return [None] * len(state_sizes(self.cell)) if self._states is None else self._states

    @property
    def non_trainable_weights(self) -> list[Any]:
        kept = {id(variable) for variable in self._states or ()}
        return [variable for variable in super().non_trainable_weights if id(variable) not in kept]

    def reset_states(self, states: Any = None) -> None:
        """Sets the kept states to zero, or to these arrays. AttributeError where the layer is not stateful."""
        if not self.stateful:
            raise AttributeError("Layer must be stateful.")
        for index, variable in enumerate(self._states or ()):
            value = (
                np.zeros(variable.shape.as_list(), variable.dtype.as_numpy_dtype) if states is None else states[index]
            )
            variable.assign(value)

    reset_state = reset_states

    def get_initial_state(self, inputs: Any = None, batch_size: Any = None, dtype: Any = None) -> list[Any]:
        """The states before the first step: the cell's, or zeros."""
        if inputs is not None:
            sizes = inputs.shape.as_list()
            axis = 1 if self.time_major else 0
            batch_size = sizes[axis] if sizes[axis] is not None else apply_op(REGISTRY["Shape"], (inputs,))[axis]
            dtype = inputs.dtype
        return initial_states(self.cell, batch_size, dtype)

    # ---- calling -----------------------------------------------------------------------------------------------

    def call(
        self, inputs: Any, mask: Any = None, training: Any = None, initial_state: Any = None, constants: Any = None
    ) -> Any:
        inputs, states = self._starting(inputs, initial_state)
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        mask = None if mask is None else convert_to_tensor(mask)
        course = Course(
            mask, self.go_backwards, self.unroll, self.time_major, self.return_sequences, self.zero_output_for_mask,
            output_size(self.cell) if getattr(self.cell, "output_size", None) is not None else None,
        )  # fmt: skip
        prepared, step = self._prepared(inputs, training, constants)
        last, outputs, states = run(step, prepared, states, course)
        if self.stateful:
            for variable, value in zip(self._states or (), states, strict=True):
                self.add_update(variable.assign(value, read_value=False))
        result = outputs if self.return_sequences else last
        return [result, *states] if self.return_state else result

    def _starting(self, inputs: Any, initial_state: Any) -> tuple[Any, list[Any]]:
        """The inputs, and the states to begin with: those given, those kept, or the cell's. ValueError for a wrong number."""
        if isinstance(inputs, (list, tuple)) and len(inputs) > 1:
            inputs, initial_state = inputs[0], list(inputs[1:]) if initial_state is None else initial_state
        inputs = inputs[0] if isinstance(inputs, (list, tuple)) else inputs
        wanted = len(state_sizes(self.cell))
        if initial_state is not None:
            states = nest.flatten(initial_state)
        elif self._states is not None:
            states = [variable.value() for variable in self._states]
        else:
            states = self.get_initial_state(inputs)
        if len(states) != wanted:
            raise ValueError(f"Layer has {wanted} states but was passed {len(states)} initial states.")
        return inputs, [convert_to_tensor(state) for state in states]

    def _prepared(self, inputs: Any, training: Any, constants: Any) -> tuple[Any, Any]:
        """What the loop reads, and its step. What a cell does with its input alone is done for all times at once."""
        cell = self.cell
        if constants is None and hasattr(cell, "whole_sequence") and type(cell).call in _WHOLE:
            return cell.whole_sequence(inputs, training, 1 if self.time_major else 0)
        options = _accepted(cell, training=training, constants=constants)

        def step(now: Any, states: list[Any]) -> tuple[Any, list[Any]]:
            output, new = cell(now, _packed(cell, states), **options)
            return output, nest.flatten(new)

        return inputs, step

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        mask = nest.flatten(mask)[0] if mask is not None else None
        shown = mask if self.return_sequences else None
        return [shown, *[None] * len(state_sizes(self.cell))] if self.return_state else shown

    def compute_output_shape(self, input_shape: Any) -> Any:
        shape = input_shape[0] if isinstance(input_shape, (list, tuple)) and _is_shapes(input_shape) else input_shape
        whole = TensorShape(shape).as_list()
        batch, times = (whole[1], whole[0]) if self.time_major else (whole[0], whole[1])
        size = output_size(self.cell)
        order = [times, batch] if self.time_major else [batch, times]
        shown = TensorShape([*order, *size] if self.return_sequences else [batch, *size])
        states = [TensorShape([batch, *part]) for part in state_sizes(self.cell)]
        return [shown, *states] if self.return_state else shown

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cell": serialize_keras_object(self.cell)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        cell = config.get("cell")
        made = deserialize_keras_object(cell, custom_objects) if isinstance(cell, dict) else cell
        return cls(**{**config, "cell": made})


_WHOLE: set[Any] = set()  # the `call` of cells that know `whole_sequence`: one that overrides it is called step by step


def prepares_sequences(cls: Any) -> Any:
    """A decorator for cells with `whole_sequence(inputs, training, batch_axis) -> (what the loop reads, step)`."""
    _WHOLE.add(cls.call)
    return cls


def _is_shapes(value: Any) -> bool:
    return bool(value) and isinstance(value[0], (list, tuple, TensorShape))


def _accepted(cell: Any, **options: Any) -> dict[str, Any]:
    """Those of the options that are given, and that the cell's `call` knows."""
    code = cell.call.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return {name: value for name, value in options.items() if value is not None and name in names}


def _packed(cell: Any, states: list[Any]) -> Any:
    """The flat states as the cell's `call` takes them."""
    if isinstance(cell, StackedRNNCells):
        return states
    size = cell.state_size
    is_nested = isinstance(size, (list, tuple)) and any(isinstance(part, (list, tuple)) for part in size)
    return nest.pack_sequence_as(size, states) if is_nested else states


def build_cell(cell: Any, shape: TensorShape) -> None:
    """Makes the cell's weights for inputs of this shape, unless it has them."""
    if getattr(cell, "built", True):
        return
    with layer_scope(cell.name):
        cell.build(shape)
        cell.built = True


def initial_states(cell: Any, batch_size: Any, dtype: Any) -> list[Any]:
    """A cell's states before the first step."""
    own = getattr(cell, "get_initial_state", None)
    if own is not None:
        try:
            return nest.flatten(own(inputs=None, batch_size=batch_size, dtype=dtype))
        except TypeError:  # as in Keras 3
            return nest.flatten(own(batch_size=batch_size))
    return [zero_state(batch_size, size, dtype) for size in state_sizes(cell)]


def zero_state(batch_size: Any, size: Sequence[int], dtype: Any) -> Any:
    shape = [batch_size, *size]
    made = zeros(shape if isinstance(batch_size, int) else stack(shape), dtype)
    made.set_shape([batch_size if isinstance(batch_size, int) else None, *size])
    return made


def output_size(cell: Any) -> list[int]:
    """The shape of a cell's output, without the batch."""
    size = getattr(cell, "output_size", None)
    if size is None:
        return state_sizes(cell)[0]
    return state_sizes_of(size)[0]


@public("keras.layers.StackedRNNCells")
class StackedRNNCells(ConfiguredLayer):
    """Cells one upon the other: each gets the output of the one before. ValueError for what is no cell."""

    def __init__(self, cells: Sequence[Any], **kwargs: Any) -> None:
        for cell in cells:
            if not hasattr(cell, "call") or not hasattr(cell, "state_size"):
                raise ValueError(
                    f"All cells must have a `call` method and a `state_size`. Received cell without: {cell}"
                )
        kwargs.pop("reverse_state_order", None)
        super().__init__(**kwargs)
        self.cells = list(cells)

    @property
    def state_size(self) -> tuple[Any, ...]:
        return tuple(cell.state_size for cell in self.cells)

    @property
    def output_size(self) -> Any:
        return getattr(self.cells[-1], "output_size", None) or self.cells[-1].state_size

    def get_initial_state(self, inputs: Any = None, batch_size: Any = None, dtype: Any = None) -> tuple[Any, ...]:
        return tuple(initial_states(cell, batch_size, dtype) for cell in self.cells)

    def build(self, input_shape: Any) -> None:
        shape = TensorShape(input_shape)
        for cell in self.cells:
            build_cell(cell, shape)
            shape = TensorShape([shape.as_list()[0], *output_size(cell)])
        self.built = True

    def call(self, inputs: Any, states: Any, constants: Any = None, training: Any = None) -> Any:
        rest = nest.flatten(states)
        made = []
        for cell in self.cells:
            count = len(state_sizes(cell))
            own, rest = rest[:count], rest[count:]
            inputs, new = cell(inputs, _packed(cell, own), **_accepted(cell, training=training, constants=constants))
            made.append(new)
        return inputs, nest.pack_sequence_as(self.state_size, nest.flatten(made))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cells": [serialize_keras_object(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        cells = [deserialize_keras_object(cell, custom_objects) for cell in config["cells"]]
        return cls(**{**config, "cells": cells})


@public("keras.layers.AbstractRNNCell")
class AbstractRNNCell(ConfiguredLayer):
    """Base of cells: subclasses have `call(inputs, states)`, `state_size` and `output_size`."""

    def call(self, inputs: Any, states: Any) -> Any:
        raise NotImplementedError

    @property
    def state_size(self) -> Any:
        raise NotImplementedError

    @property
    def output_size(self) -> Any:
        raise NotImplementedError

    def get_initial_state(self, inputs: Any = None, batch_size: Any = None, dtype: Any = None) -> Any:
        if inputs is not None:
            batch_size, dtype = apply_op(REGISTRY["Shape"], (inputs,))[0], inputs.dtype
        made = [zero_state(batch_size, size, dtype) for size in state_sizes(self)]
        return nest.pack_sequence_as(self.state_size, made)
