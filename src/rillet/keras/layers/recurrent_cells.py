"""SimpleRNN, LSTM and GRU cells. What a cell does with its input alone (`_project`) is apart from the rest (`_advance`), so
that a layer can do it for all times in one product."""

from __future__ import annotations

from typing import Any

from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.keras.calling import choose
from rillet.keras.layers.options import ConfiguredLayer
from rillet.keras.layers.recurrent import prepares_sequences, zero_state
from rillet.ops.bias import bias_add
from rillet.ops.creation import ones, ones_like
from rillet.ops.dropout import dropout
from rillet.ops.join import concat, split, stack
from rillet.ops.matmul import matmul
from rillet.ops.shape import expand_dims, reshape

WEIGHT_OPTIONS = (
    "kernel_initializer", "recurrent_initializer", "bias_initializer", "kernel_regularizer", "recurrent_regularizer",
    "bias_regularizer", "kernel_constraint", "recurrent_constraint", "bias_constraint",
)  # fmt: skip


class _Cell(ConfiguredLayer):
    """Weights: kernel [d, gates * units], recurrent_kernel [units, gates * units], bias."""

    _gates = 1
    units: int
    use_bias: bool
    dropout: float
    recurrent_dropout: float
    kernel: Any
    recurrent_kernel: Any
    bias: Any
    activation: Any

    def _take_options(self, units: int, dropout: float, recurrent_dropout: float, **options: Any) -> None:
        if units <= 0:
            raise ValueError(
                f"Received an invalid value for argument `units`, expected a positive integer, got {units}."
            )
        self.units = int(units)
        self._take(**options)
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))

    @property
    def state_size(self) -> Any:
        return self.units

    @property
    def output_size(self) -> int:
        return self.units

    def get_initial_state(self, inputs: Any = None, batch_size: Any = None, dtype: Any = None) -> Any:
        """Zeros, for each state."""
        if inputs is not None:
            batch_size, dtype = apply_op(REGISTRY["Shape"], (inputs,))[0], inputs.dtype
        size = self.state_size
        count = len(size) if isinstance(size, list) else 1
        made = [zero_state(batch_size, [self.units], dtype or self.compute_dtype) for _ in range(count)]
        return made if isinstance(size, list) else made[0]

    def build(self, input_shape: Any) -> None:
        width = self._gates * self.units
        self.kernel = self._weight("kernel", (TensorShape(input_shape).as_list()[-1], width))
        self.recurrent_kernel = self._weight("recurrent_kernel", (self.units, width), "recurrent")
        self.bias = self._make_bias(width) if self.use_bias else None
        self.built = True

    def _make_bias(self, width: int) -> Any:
        return self._weight("bias", (width,))

    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        states = list(states) if isinstance(states, (list, tuple)) else [states]
        drop, drop_recurrent = self._masks(inputs, training)
        output, new = self._advance(self._project(drop(inputs)), [drop_recurrent(states[0]), *states[1:]], states)
        return output, new if isinstance(self.state_size, list) else new[0]

    def whole_sequence(self, inputs: Any, training: Any, batch_axis: int) -> tuple[Any, Any]:
        """The projection of [.., .., d] for all times, and the step that the loop makes with it."""
        first = inputs[:, 0] if batch_axis == 0 else inputs[0]
        drop, drop_recurrent = self._masks(first, training)
        if self.dropout:
            inputs = inputs * expand_dims(drop(ones_like(first)), 1 - batch_axis)
        sizes = inputs.shape.as_list()
        dynamic = apply_op(REGISTRY["Shape"], (inputs,)) if None in sizes[:2] else None
        outer = [size if size is not None else dynamic[axis] for axis, size in enumerate(sizes[:2])]
        rows = self._project(reshape(inputs, [-1, sizes[-1]]))
        shape = [*outer, int(rows.shape[-1])]
        projected = reshape(rows, shape if dynamic is None else stack(shape))
        projected.set_shape([*sizes[:2], rows.shape[-1]])

        def step(now: Any, states: list[Any]) -> tuple[Any, list[Any]]:
            return self._advance(now, [drop_recurrent(states[0]), *states[1:]], states)

        return projected, step

    def _masks(self, inputs: Any, training: Any) -> tuple[Any, Any]:
        """Functions that drop elements of the input and of the first state: the same ones at every time."""
        batch = apply_op(REGISTRY["Shape"], (inputs,))[0] if self.recurrent_dropout else None
        return (
            _dropping(self.dropout, ones_like(inputs) if self.dropout else None, training),
            _dropping(self.recurrent_dropout, None if batch is None else ones(stack([batch, self.units]), inputs.dtype), training),
        )  # fmt: skip

    def _project(self, inputs: Any) -> Any:
        projected = matmul(inputs, self.kernel)
        return bias_add(projected, self._input_bias()) if self.use_bias else projected

    def _input_bias(self) -> Any:
        return self.bias.value()

    def _advance(self, projected: Any, dropped: list[Any], states: list[Any]) -> tuple[Any, list[Any]]:
        """(output, states) from the projected input. dropped: the states, the first of them after dropout."""
        raise NotImplementedError


def _dropping(rate: float, like: Any, training: Any) -> Any:
    if not rate or like is None:
        return lambda value: value
    mask = choose(training, lambda: dropout(like, rate=rate), lambda: like)
    return lambda value: value * mask


@public("keras.layers.SimpleRNNCell")
@prepares_sequences
class SimpleRNNCell(_Cell):
    """h <- activation(x @ kernel + bias + h @ recurrent_kernel)."""

    _config_names = ("units", "activation", "use_bias", *WEIGHT_OPTIONS, "dropout", "recurrent_dropout")

    def __init__(
        self, units: int, activation: Any = "tanh", use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, kernel_constraint: Any = None,
        recurrent_constraint: Any = None, bias_constraint: Any = None, dropout: float = 0.0,
        recurrent_dropout: float = 0.0, seed: int | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self._take_options(
            units, dropout, recurrent_dropout, activation=activation, use_bias=use_bias,
            kernel_initializer=kernel_initializer, recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer, bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint, recurrent_constraint=recurrent_constraint, bias_constraint=bias_constraint,
        )  # fmt: skip

    def _advance(self, projected: Any, dropped: list[Any], states: list[Any]) -> tuple[Any, list[Any]]:
        output = self.activation(projected + matmul(dropped[0], self.recurrent_kernel))
        return output, [output]


@public("keras.layers.LSTMCell")
@prepares_sequences
class LSTMCell(_Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997). The gates' columns: input, forget, candidate, output.

    unit_forget_bias: the bias of the forget gate starts at 1. States: h and c.
    """

    _gates = 4
    _config_names = (
        "units", "activation", "recurrent_activation", "use_bias", *WEIGHT_OPTIONS, "unit_forget_bias", "dropout",
        "recurrent_dropout", "implementation",
    )  # fmt: skip

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", unit_forget_bias: bool = True, kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, kernel_constraint: Any = None,
        recurrent_constraint: Any = None, bias_constraint: Any = None, dropout: float = 0.0,
        recurrent_dropout: float = 0.0, seed: int | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.implementation = kwargs.pop("implementation", 2)
        super().__init__(**kwargs)
        self._take_options(
            units, dropout, recurrent_dropout, activation=activation, recurrent_activation=recurrent_activation,
            use_bias=use_bias, kernel_initializer=kernel_initializer, recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer, unit_forget_bias=unit_forget_bias, kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer, bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint, recurrent_constraint=recurrent_constraint, bias_constraint=bias_constraint,
        )  # fmt: skip

    @property
    def state_size(self) -> Any:
        return [self.units, self.units]

    def _make_bias(self, width: int) -> Any:
        if not self.unit_forget_bias:
            return super()._make_bias(width)

        def start(shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
            parts = [
                self.bias_initializer((self.units,), dtype=dtype), ones((self.units,), dtype),
                self.bias_initializer((2 * self.units,), dtype=dtype),
            ]  # fmt: skip
            return concat(parts, 0)

        return self.add_weight(
            "bias", (width,), initializer=start, regularizer=self.bias_regularizer, constraint=self.bias_constraint
        )

    def _advance(self, projected: Any, dropped: list[Any], states: list[Any]) -> tuple[Any, list[Any]]:
        gates = projected + matmul(dropped[0], self.recurrent_kernel)
        into, keep, candidate, out = split(gates, 4, axis=1)
        kept = self.recurrent_activation(keep) * dropped[1]
        c = kept + self.recurrent_activation(into) * self.activation(candidate)
        h = self.recurrent_activation(out) * self.activation(c)
        return h, [h, c]


@public("keras.layers.GRUCell")
@prepares_sequences
class GRUCell(_Cell):
    """Gated recurrent unit (Cho et al. 2014). The gates' columns: update, reset, candidate.

    reset_after: the reset gate is applied after the product with the recurrent kernel (as cuDNN does); the bias is then
    [2, 3 * units].
    """

    _gates = 3
    _config_names = (
        "units", "activation", "recurrent_activation", "use_bias", *WEIGHT_OPTIONS, "dropout", "recurrent_dropout",
        "implementation", "reset_after",
    )  # fmt: skip

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None, recurrent_regularizer: Any = None,
        bias_regularizer: Any = None, kernel_constraint: Any = None, recurrent_constraint: Any = None,
        bias_constraint: Any = None, dropout: float = 0.0, recurrent_dropout: float = 0.0, reset_after: bool = True,
        seed: int | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.implementation = kwargs.pop("implementation", 2)
        super().__init__(**kwargs)
        self._take_options(
            units, dropout, recurrent_dropout, activation=activation, recurrent_activation=recurrent_activation,
            use_bias=use_bias, kernel_initializer=kernel_initializer, recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer, bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint, recurrent_constraint=recurrent_constraint, bias_constraint=bias_constraint,
        )  # fmt: skip
        self.reset_after = reset_after

    def _make_bias(self, width: int) -> Any:
        return self._weight("bias", (2, width) if self.reset_after else (width,))

    def _input_bias(self) -> Any:
        return self.bias.value()[0] if self.reset_after else self.bias.value()

    def _advance(self, projected: Any, dropped: list[Any], states: list[Any]) -> tuple[Any, list[Any]]:
        x_update, x_reset, x_candidate = split(projected, 3, axis=1)
        h = dropped[0]
        if self.reset_after:
            inner = matmul(h, self.recurrent_kernel)
            inner = bias_add(inner, self.bias.value()[1]) if self.use_bias else inner
            h_update, h_reset, h_candidate = split(inner, 3, axis=1)
            reset = self.recurrent_activation(x_reset + h_reset)
            rest = reset * h_candidate
        else:
            both, last = split(self.recurrent_kernel.value(), [2 * self.units, self.units], axis=1)
            h_update, h_reset = split(matmul(h, both), 2, axis=1)
            rest = matmul(self.recurrent_activation(x_reset + h_reset) * h, last)
        update = self.recurrent_activation(x_update + h_update)
        candidate = self.activation(x_candidate + rest)
        new = update * states[0] + (1.0 - update) * candidate
        return new, [new]
