"""The recurrent cells of TensorFlow 1: basic, GRU, LSTM."""

from __future__ import annotations

from typing import Any, NamedTuple

from rillet.compat.recurrent.base import RNNCell, activation_of, depth_of
from rillet.core import nest
from rillet.core.export import public
from rillet.frontend.initializers import Constant, Ones, Zeros
from rillet.keras.input_spec import InputSpec
from rillet.ops.clip import clip_by_value
from rillet.ops.dropout import dropout_v1
from rillet.ops.elementwise import rsqrt, sigmoid, tanh
from rillet.ops.join import concat, split
from rillet.ops.matmul import matmul
from rillet.ops.normalization import moments


class _States(NamedTuple):
    c: Any
    h: Any


@public(v1=["nn.rnn_cell.LSTMStateTuple", "contrib.rnn.LSTMStateTuple"])
class LSTMStateTuple(_States):
    """The state of an LSTM: (c, h), the memory and the last output."""

    __slots__ = ()

    @property
    def dtype(self) -> Any:
        """The dtype of both. TypeError where they differ."""
        if self.c.dtype != self.h.dtype:
            raise TypeError(f"Inconsistent internal state: {self.c.dtype} vs {self.h.dtype}")
        return self.c.dtype


class _Cell(RNNCell):
    """A cell whose weights are made in `build`. input_size is accepted, as in old programs."""

    def __init__(self, reuse: Any = None, name: Any = None, dtype: Any = None, input_size: Any = None, **kwargs: Any):
        super().__init__(_reuse=reuse, name=name, dtype=dtype, **kwargs)
        self.input_spec = InputSpec(ndim=2)


@public(v1=["nn.rnn_cell.BasicRNNCell", "contrib.rnn.BasicRNNCell"])
class BasicRNNCell(_Cell):
    """output = state = activation(W [inputs, state] + b). activation: tanh when None."""

    def __init__(
        self,
        num_units: int,
        activation: Any = None,
        reuse: Any = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(reuse, name, dtype, **kwargs)
        self._num_units = int(num_units)
        self._activation = activation_of(activation, tanh)

    @property
    def state_size(self) -> int:
        return self._num_units

    @property
    def output_size(self) -> int:
        return self._num_units

    def build(self, input_shape: Any) -> None:
        self._kernel = self.add_weight("kernel", [depth_of(input_shape) + self._num_units, self._num_units])
        self._bias = self.add_weight("bias", [self._num_units], initializer=Zeros())
        self.built = True

    def call(self, inputs: Any, state: Any) -> Any:
        output = self._activation(self._projected([inputs, state], self._kernel, self._bias))
        return output, output


@public(v1=["nn.rnn_cell.GRUCell", "contrib.rnn.GRUCell"])
class GRUCell(_Cell):
    """Gated recurrent unit: a state, and gates that say how much of it is kept and used.

    activation: of the candidate, tanh when None. bias_initializer: ones for the gates and zeros for the candidate when None.
    """

    def __init__(
        self,
        num_units: int,
        activation: Any = None,
        reuse: Any = None,
        kernel_initializer: Any = None,
        bias_initializer: Any = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(reuse, name, dtype, **kwargs)
        self._num_units = int(num_units)
        self._activation = activation_of(activation, tanh)
        self._kernel_initializer = kernel_initializer
        self._bias_initializer = bias_initializer

    @property
    def state_size(self) -> int:
        return self._num_units

    @property
    def output_size(self) -> int:
        return self._num_units

    def build(self, input_shape: Any) -> None:
        units, rows = self._num_units, depth_of(input_shape) + self._num_units
        self._gate_kernel = self.add_weight("gates/kernel", [rows, 2 * units], initializer=self._kernel_initializer)
        self._gate_bias = self.add_weight("gates/bias", [2 * units], initializer=self._bias_initializer or Ones())
        self._candidate_kernel = self.add_weight(
            "candidate/kernel", [rows, units], initializer=self._kernel_initializer
        )
        self._candidate_bias = self.add_weight("candidate/bias", [units], initializer=self._bias_initializer or Zeros())
        self.built = True

    def call(self, inputs: Any, state: Any) -> Any:
        gates = sigmoid(self._projected([inputs, state], self._gate_kernel, self._gate_bias))
        reset, update = split(gates, 2, 1)
        candidate = self._projected([inputs, reset * state], self._candidate_kernel, self._candidate_bias)
        output = update * state + (1 - update) * self._activation(candidate)
        return output, output


class _LSTM(_Cell):
    """What LSTM cells share: the state as a tuple (memory, output), or as one tensor with both side by side."""

    _num_units: int
    _state_is_tuple: bool

    @property
    def output_size(self) -> int:
        return self._num_units

    @property
    def state_size(self) -> Any:
        if self._state_is_tuple:
            return LSTMStateTuple(self._num_units, self.output_size)
        return self._num_units + self.output_size

    def _parts(self, state: Any) -> tuple[Any, Any]:
        if not self._state_is_tuple:
            memory, output = split(state, [self._num_units, self.output_size], 1)
            return memory, output
        if not nest.is_nested(state) or len(state) != 2:
            raise ValueError(f"Expected state to be a tuple of length 2, but received: {state}")
        memory, output = state
        return memory, output

    def _joined(self, memory: Any, output: Any) -> Any:
        return LSTMStateTuple(memory, output) if self._state_is_tuple else concat([memory, output], 1)


@public(v1=["nn.rnn_cell.BasicLSTMCell", "contrib.rnn.BasicLSTMCell"])
class BasicLSTMCell(_LSTM):
    """Long short-term memory. forget_bias is added to the forget gate; activation: tanh when None.

    One matrix [inputs + units, 4 * units] makes the input gate, the new memory, the forget and the output gate.
    state_is_tuple: whether the state is an LSTMStateTuple, or one tensor [batch, 2 * units].
    """

    def __init__(
        self,
        num_units: int,
        forget_bias: float = 1.0,
        state_is_tuple: bool = True,
        activation: Any = None,
        reuse: Any = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(reuse, name, dtype, **kwargs)
        self._num_units = int(num_units)
        self._forget_bias = forget_bias
        self._state_is_tuple = state_is_tuple
        self._activation = activation_of(activation, tanh)

    def build(self, input_shape: Any) -> None:
        units = self._num_units
        self._kernel = self.add_weight("kernel", [depth_of(input_shape) + units, 4 * units])
        self._bias = self.add_weight("bias", [4 * units], initializer=Zeros())
        self.built = True

    def call(self, inputs: Any, state: Any) -> Any:
        memory, output = self._parts(state)
        i, j, f, o = split(self._projected([inputs, output], self._kernel, self._bias), 4, 1)
        memory = memory * sigmoid(f + self._forget_bias) + sigmoid(i) * self._activation(j)
        output = self._activation(memory) * sigmoid(o)
        return output, self._joined(memory, output)


@public(v1=["nn.rnn_cell.LSTMCell", "contrib.rnn.LSTMCell"])
class LSTMCell(_LSTM):
    """Long short-term memory with more choices than BasicLSTMCell.

    use_peepholes: gates see the memory. cell_clip: bound of the memory. num_proj: the output is projected to that size;
    proj_clip: bound of the projection. num_unit_shards, num_proj_shards: accepted, variables stay whole.
    """

    def __init__(
        self,
        num_units: int,
        use_peepholes: bool = False,
        cell_clip: float | None = None,
        initializer: Any = None,
        num_proj: int | None = None,
        proj_clip: float | None = None,
        num_unit_shards: int | None = None,
        num_proj_shards: int | None = None,
        forget_bias: float = 1.0,
        state_is_tuple: bool = True,
        activation: Any = None,
        reuse: Any = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(reuse, name, dtype, **kwargs)
        self._num_units = int(num_units)
        self._use_peepholes = use_peepholes
        self._cell_clip = cell_clip
        self._initializer = initializer
        self._num_proj = num_proj
        self._proj_clip = proj_clip
        self._forget_bias = forget_bias
        self._state_is_tuple = state_is_tuple
        self._activation = activation_of(activation, tanh)

    @property
    def output_size(self) -> int:
        return self._num_proj or self._num_units

    def build(self, input_shape: Any) -> None:
        units, initializer = self._num_units, self._initializer
        rows = depth_of(input_shape) + self.output_size
        self._kernel = self.add_weight("kernel", [rows, 4 * units], initializer=initializer)
        self._bias = self.add_weight("bias", [4 * units], initializer=Zeros())
        if self._use_peepholes:
            self._w_f_diag = self.add_weight("w_f_diag", [units], initializer=initializer)
            self._w_i_diag = self.add_weight("w_i_diag", [units], initializer=initializer)
            self._w_o_diag = self.add_weight("w_o_diag", [units], initializer=initializer)
        if self._num_proj:
            shape = [units, self._num_proj]
            self._proj_kernel = self.add_weight("projection/kernel", shape, initializer=initializer)
        self.built = True

    def call(self, inputs: Any, state: Any) -> Any:
        memory, output = self._parts(state)
        i, j, f, o = split(self._projected([inputs, output], self._kernel, self._bias), 4, 1)
        f = f + self._forget_bias
        if self._use_peepholes:
            f, i = f + self._w_f_diag * memory, i + self._w_i_diag * memory
        memory = sigmoid(f) * memory + sigmoid(i) * self._activation(j)
        if self._cell_clip is not None:
            memory = clip_by_value(memory, -self._cell_clip, self._cell_clip)
        if self._use_peepholes:
            o = o + self._w_o_diag * memory
        output = sigmoid(o) * self._activation(memory)
        if self._num_proj:
            output = matmul(output, self._proj_kernel)
            if self._proj_clip is not None:
                output = clip_by_value(output, -self._proj_clip, self._proj_clip)
        return output, self._joined(memory, output)


@public(v1=["contrib.rnn.LSTMBlockCell"])
class LSTMBlockCell(LSTMCell):
    """LSTMCell under the name that its fused kernel had: the variables and results are the same."""

    def __init__(
        self,
        num_units: int,
        forget_bias: float = 1.0,
        cell_clip: float | None = None,
        use_peephole: bool = False,
        dtype: Any = None,
        reuse: Any = None,
        name: str = "lstm_cell",
    ) -> None:
        super().__init__(
            num_units, use_peephole, cell_clip, forget_bias=forget_bias, dtype=dtype, reuse=reuse, name=name
        )


@public(v1=["contrib.rnn.LayerNormBasicLSTMCell"])
class LayerNormBasicLSTMCell(_LSTM):
    """An LSTM whose gates and memory are normalized, and whose new memory is dropped out.

    layer_norm: False makes a bias instead. norm_gain, norm_shift: first values of gamma and beta.
    dropout_keep_prob: a float, or a scalar tensor. The state is an LSTMStateTuple.
    """

    def __init__(
        self,
        num_units: int,
        forget_bias: float = 1.0,
        input_size: Any = None,
        activation: Any = None,
        layer_norm: bool = True,
        norm_gain: float = 1.0,
        norm_shift: float = 0.0,
        dropout_keep_prob: Any = 1.0,
        dropout_prob_seed: int | None = None,
        reuse: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(reuse, **kwargs)
        self._num_units = int(num_units)
        self._forget_bias = forget_bias
        self._state_is_tuple = True
        self._activation = activation_of(activation, tanh)
        self._layer_norm = layer_norm
        self._norm = (norm_gain, norm_shift)
        self._keep_prob = dropout_keep_prob
        self._seed = dropout_prob_seed
        self._norms: dict[str, tuple[Any, Any]] = {}

    def build(self, input_shape: Any) -> None:
        units = self._num_units
        self._kernel = self.add_weight("kernel", [depth_of(input_shape) + units, 4 * units])
        self._bias = None if self._layer_norm else self.add_weight("bias", [4 * units], initializer=Zeros())
        for part in ("input", "transform", "forget", "output", "state") if self._layer_norm else ():
            gamma, beta = (
                self.add_weight(f"{part}/{name}", [units], initializer=Constant(value))
                for name, value in zip(("gamma", "beta"), self._norm, strict=True)
            )
            self._norms[part] = (gamma, beta)
        self.built = True

    def _normalized(self, value: Any, part: str) -> Any:
        if not self._layer_norm:
            return value
        gamma, beta = self._norms[part]
        mean, variance = moments(value, [1], keepdims=True)
        return (value - mean) * rsqrt(variance + 1e-12) * gamma + beta

    def call(self, inputs: Any, state: Any) -> Any:
        memory, output = self._parts(state)
        gates = split(self._projected([inputs, output], self._kernel, self._bias), 4, 1)
        parts = ("input", "transform", "forget", "output")
        i, j, f, o = (self._normalized(gate, part) for gate, part in zip(gates, parts, strict=True))
        new = self._activation(j)
        if not isinstance(self._keep_prob, (int, float)) or self._keep_prob < 1:
            new = dropout_v1(new, self._keep_prob, seed=self._seed)
        memory = self._normalized(memory * sigmoid(f + self._forget_bias) + sigmoid(i) * new, "state")
        output = self._activation(memory) * sigmoid(o)
        return output, self._joined(memory, output)
