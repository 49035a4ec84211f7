"""Cells around cells: stacked, with dropout, with a skip connection, on a device, with projections."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from rillet.compat.recurrent.base import RNNCell, check_is_cell, depth_of, shape_of_size
from rillet.compat.recurrent.cells import LSTMStateTuple
from rillet.core import dtypes, nest
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.core.static import constant_value
from rillet.frontend.initializers import RandomUniform, Zeros
from rillet.frontend.public import device as on_device
from rillet.frontend.scopes import NameScope
from rillet.frontend.variable_scope import get_variable_scope, variable_scope
from rillet.ops.dropout import dropout_v1
from rillet.ops.elementwise import floor
from rillet.ops.embedding import embedding_lookup
from rillet.ops.join import concat, split
from rillet.ops.random import random_uniform
from rillet.ops.shape import reshape


@public(v1=["nn.rnn_cell.MultiRNNCell", "contrib.rnn.MultiRNNCell"])
class MultiRNNCell(RNNCell):
    """Cells one upon the other: each gets the output of the one before.

    state_is_tuple: whether the state is a tuple of the cells' states, or one tensor with all of them side by side.
    Raises ValueError for no cells, or for states that are tuples where state_is_tuple is False; TypeError for no list.
    """

    def __init__(self, cells: Sequence[Any], state_is_tuple: bool = True) -> None:
        super().__init__()
        if not cells:
            raise ValueError("Must specify at least one cell for MultiRNNCell.")
        if not nest.is_nested(cells):
            raise TypeError(f"cells must be a list or tuple, but saw: {cells}.")
        for number, cell in enumerate(cells):
            check_is_cell(f"cells[{number}]", cell)
        self._cells = list(cells)
        self._state_is_tuple = state_is_tuple
        sizes = [cell.state_size for cell in cells]
        if not state_is_tuple and any(nest.is_nested(size) for size in sizes):
            raise ValueError(
                f"Some cells return tuples of states, but the flag state_is_tuple is not set.  State sizes are: {sizes}"
            )

    @property
    def cells(self) -> list[Any]:
        return self._cells

    @property
    def state_size(self) -> Any:
        sizes = tuple(cell.state_size for cell in self._cells)
        return sizes if self._state_is_tuple else sum(sizes)

    @property
    def output_size(self) -> Any:
        return self._cells[-1].output_size

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        if not self._state_is_tuple:
            return super().zero_state(batch_size, dtype)
        with NameScope(type(self).__name__ + "ZeroState"):
            return tuple(cell.zero_state(batch_size, dtype) for cell in self._cells)

    def call(self, inputs: Any, state: Any) -> Any:
        states = state if self._state_is_tuple else split(state, [cell.state_size for cell in self._cells], 1)
        if not nest.is_nested(states) or len(states) != len(self._cells):
            raise ValueError(f"Expected state to be a tuple of length {len(self._cells)}, but received: {state}")
        following = []
        for number, (cell, current) in enumerate(zip(self._cells, states, strict=True)):
            with variable_scope(f"cell_{number}"):
                inputs, new = cell(inputs, current)
                following.append(new)
        return inputs, tuple(following) if self._state_is_tuple else concat(following, 1)


class _AroundCell(RNNCell):
    """A cell around another one, with its state."""

    def __init__(self, cell: Any, **options: Any) -> None:
        super().__init__(**options)
        check_is_cell("cell", cell)
        self._cell = cell

    @property
    def state_size(self) -> Any:
        return self._cell.state_size

    @property
    def output_size(self) -> Any:
        return self._cell.output_size

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        with NameScope(type(self).__name__ + "ZeroState"):
            return self._cell.zero_state(batch_size, dtype)


class _Wrapper(_AroundCell):
    """A cell that changes what another one gets or gives. It has no scope of its own."""

    @property
    def wrapped_cell(self) -> Any:
        return self._cell

    def __call__(self, inputs: Any, state: Any, scope: Any = None, *args: Any, **kwargs: Any) -> Any:
        options = {} if scope is None else {"scope": scope}
        return self.call(inputs, state, **options)

    def call(self, inputs: Any, state: Any, **options: Any) -> Any:
        return self._cell(inputs, state, **options)


def _keeps_memory(state: Any) -> Any:
    """Which parts of a state are dropped out: all but the memory of LSTMs."""
    return LSTMStateTuple(c=False, h=True) if isinstance(state, LSTMStateTuple) else True


@public(v1=["nn.rnn_cell.DropoutWrapper", "contrib.rnn.DropoutWrapper"])
class DropoutWrapper(_Wrapper):
    """Dropout of what a cell gets, gives, and carries on.

    input_keep_prob, output_keep_prob, state_keep_prob: floats in [0, 1], or scalar tensors.
    variational_recurrent: one choice for all steps of a run; needs `dtype`, and `input_size` where inputs are dropped.
    seed: for three different seeds. dropout_state_filter_visitor: function of a part of the state, whether it is dropped
        out (a bool, or a structure of them); by default all but the memory of LSTMs.
    Raises TypeError where `cell` is none, ValueError for a probability that is none.
    """

    def __init__(
        self,
        cell: Any,
        input_keep_prob: Any = 1.0,
        output_keep_prob: Any = 1.0,
        state_keep_prob: Any = 1.0,
        variational_recurrent: bool = False,
        input_size: Any = None,
        dtype: Any = None,
        seed: int | None = None,
        dropout_state_filter_visitor: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(cell)
        if dropout_state_filter_visitor is not None and not callable(dropout_state_filter_visitor):
            raise TypeError("dropout_state_filter_visitor must be callable")
        self._filter = dropout_state_filter_visitor or _keeps_memory
        self._seed = seed
        self._keep = {
            "input": _probability("input_keep_prob", input_keep_prob),
            "state": _probability("state_keep_prob", state_keep_prob),
            "output": _probability("output_keep_prob", output_keep_prob),
        }
        self._noise: dict[str, list[Any]] = {}
        if variational_recurrent:
            self._choose_once(input_size, dtype)

    def _choose_once(self, input_size: Any, dtype: Any) -> None:
        if dtype is None:
            raise ValueError("When variational_recurrent=True, dtype must be provided")
        sizes = {"state": self._cell.state_size, "output": self._cell.output_size}
        if _drops(self._keep["input"]):
            if input_size is None:
                raise ValueError(
                    "When variational_recurrent=True and input_keep_prob < 1.0 or is unknown, input_size must be provided"
                )
            sizes = {"input": input_size, **sizes}
        for part, structure in sizes.items():
            self._noise[part] = [
                random_uniform(
                    [1, *shape_of_size(size)], dtype=dtypes.as_dtype(dtype), seed=self._seed_of(part, number)
                )
                for number, size in enumerate(nest.flatten(structure))
            ]

    def _seed_of(self, part: str, number: int) -> int | None:
        if self._seed is None:
            return None
        digest = hashlib.md5(f"{self._seed}{part}_{number}".encode(), usedforsecurity=False).hexdigest()
        return int(digest[:8], 16) & 0x7FFFFFFF

    def _dropped(self, values: Any, part: str) -> Any:
        """The structure `values` after dropout."""
        keep = self._keep[part]
        if not _drops(keep):
            return values
        flat = nest.flatten(values)
        chosen = [True] * len(flat) if part != "state" else self._chosen(values)
        made = [
            self._dropped_leaf(leaf, part, number) if wanted else leaf
            for number, (leaf, wanted) in enumerate(zip(flat, chosen, strict=True))
        ]
        return nest.pack_sequence_as(values, made)

    def _dropped_leaf(self, value: Any, part: str, number: int) -> Any:
        keep = self._keep[part]
        if not self._noise:
            return dropout_v1(value, keep, seed=self._seed_of(part, number))
        keep = convert_to_tensor(keep, dtype=value.dtype)
        result = value / keep * floor(keep + self._noise[part][number])
        result.set_shape(value.shape)
        return result

    def _chosen(self, state: Any) -> list[bool]:
        """For each leaf of the state, whether it is dropped out."""
        answer = self._filter(state)
        if nest.is_nested(answer):
            nest.assert_same_structure(state, answer, check_types=False)
            return [bool(wanted) for wanted in nest.flatten(answer)]
        if not nest.is_nested(state) or not answer:
            return [bool(answer)] * len(nest.flatten(state))
        return [wanted for part in state for wanted in self._chosen(part)]

    def call(self, inputs: Any, state: Any, **options: Any) -> Any:
        output, following = self._cell(self._dropped(inputs, "input"), state, **options)
        following = self._dropped(following, "state")
        return self._dropped(output, "output"), following


def _probability(name: str, value: Any) -> Any:
    """A keep probability: a float where it is known, else a tensor. ValueError where it is none."""
    tensor = convert_to_tensor(value, name=name) if not isinstance(value, (int, float)) else None
    known = value if tensor is None else constant_value(tensor)
    if known is None:
        return tensor
    if not 0 <= known <= 1:
        raise ValueError(f"Parameter {name} must be between 0 and 1: {known}")
    return float(known)


def _drops(keep: Any) -> bool:
    return not isinstance(keep, float) or keep < 1


@public(v1=["nn.rnn_cell.ResidualWrapper", "contrib.rnn.ResidualWrapper"])
class ResidualWrapper(_Wrapper):
    """Adds a cell's inputs to its outputs. residual_fn: function of (inputs, outputs) to use instead.

    Raises ValueError where their shapes differ.
    """

    def __init__(self, cell: Any, residual_fn: Callable[[Any, Any], Any] | None = None) -> None:
        super().__init__(cell)
        self._residual_fn = residual_fn

    def call(self, inputs: Any, state: Any, **options: Any) -> Any:
        outputs, following = self._cell(inputs, state, **options)
        if self._residual_fn is not None:
            result = self._residual_fn(inputs, outputs)
        else:
            nest.assert_same_structure(inputs, outputs)
            result = nest.map_structure(_sum, inputs, outputs)
        nest.assert_same_structure(outputs, result)
        return result, following


def _sum(one: Any, other: Any) -> Any:
    one.shape.assert_is_compatible_with(other.shape)
    return one + other


@public(v1=["nn.rnn_cell.DeviceWrapper", "contrib.rnn.DeviceWrapper"])
class DeviceWrapper(_Wrapper):
    """A cell on a device."""

    def __init__(self, cell: Any, device: Any) -> None:
        super().__init__(cell)
        self._device = device

    def call(self, inputs: Any, state: Any, **options: Any) -> Any:
        with on_device(self._device):
            return self._cell(inputs, state, **options)


class _Projecting(_AroundCell):
    """A cell with a layer before or behind it, in a scope of its own."""

    def __init__(self, cell: Any, reuse: Any) -> None:
        super().__init__(cell, _reuse=reuse)

    def _projection(self, value: Any, size: int, activation: Any) -> Any:
        if "_kernel" not in self.__dict__:
            self._kernel = self.add_weight("kernel", [depth_of(value.shape), size])
            self._bias = self.add_weight("bias", [size], initializer=Zeros())
        projected = self._projected(value, self._kernel, self._bias)
        return activation(projected) if activation else projected


@public(v1=["contrib.rnn.InputProjectionWrapper"])
class InputProjectionWrapper(_Projecting):
    """Projects the inputs to `num_proj` before they get to the cell. activation: of the projection."""

    def __init__(
        self, cell: Any, num_proj: int, activation: Any = None, input_size: Any = None, reuse: Any = None
    ) -> None:
        super().__init__(cell, reuse)
        self._num_proj = int(num_proj)
        self._activation = activation

    def call(self, inputs: Any, state: Any) -> Any:
        return self._cell(self._projection(inputs, self._num_proj, self._activation), state)


@public(v1=["contrib.rnn.OutputProjectionWrapper"])
class OutputProjectionWrapper(_Projecting):
    """Projects a cell's outputs to `output_size`. activation: of the projection."""

    def __init__(self, cell: Any, output_size: int, activation: Any = None, reuse: Any = None) -> None:
        super().__init__(cell, reuse)
        if output_size < 1:
            raise ValueError(f"Parameter output_size must be > 0: {output_size}.")
        self._output_size = int(output_size)
        self._activation = activation

    @property
    def output_size(self) -> int:
        return self._output_size

    def call(self, inputs: Any, state: Any) -> Any:
        output, following = self._cell(inputs, state)
        return self._projection(output, self._output_size, self._activation), following


@public(v1=["contrib.rnn.EmbeddingWrapper"])
class EmbeddingWrapper(_Projecting):
    """Looks up the rows of a matrix for the inputs, integers [batch] or [batch, 1], before they get to the cell.

    initializer: of the matrix [embedding_classes, embedding_size]; None: the scope's, else uniform in +-sqrt(3).
    """

    def __init__(
        self, cell: Any, embedding_classes: int, embedding_size: int, initializer: Any = None, reuse: Any = None
    ) -> None:
        super().__init__(cell, reuse)
        if embedding_classes <= 0 or embedding_size <= 0:
            raise ValueError(
                f"Both embedding_classes and embedding_size must be > 0: {embedding_classes}, {embedding_size}."
            )
        self._shape = [embedding_classes, embedding_size]
        self._initializer = initializer

    def call(self, inputs: Any, state: Any) -> Any:
        if "_embedding" not in self.__dict__:
            default = get_variable_scope().initializer or RandomUniform(-(3**0.5), 3**0.5)
            dtype = nest.flatten(state)[0].dtype
            self._embedding = self.add_weight("embedding", self._shape, dtype, self._initializer or default)
        return self._cell(embedding_lookup(self._embedding, reshape(inputs, [-1])), state)
