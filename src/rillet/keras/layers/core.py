"""The layers that almost every model has: Dense, Activation, Flatten, Dropout, and the layer behind Input."""

from __future__ import annotations

import math
from typing import Any

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.tensor import Tensor
from rillet.keras import activations, constraints, initializers, naming, regularizers, symbolic
from rillet.keras.calling import choose
from rillet.keras.input_spec import InputSpec
from rillet.keras.layer import Layer
from rillet.keras.policy import floatx
from rillet.keras.saving_registry import serialize_keras_object
from rillet.ops import bias, contraction, matmul
from rillet.ops import dropout as dropout_ops
from rillet.ops.cast import cast
from rillet.ops.constants import placeholder


@public("keras.layers.Dense")
class Dense(Layer):
    """activation(inputs @ kernel + bias): [..., d] -> [..., units].

    Weights: kernel [d, units], bias [units].
    Raises ValueError for units below 1, and for inputs of rank 1 or of an unknown last size.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = int(units)
        if self.units < 1:
            raise ValueError(
                f"Received an invalid value for `units`, expected a positive integer. Received: units={units}"
            )
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        size = TensorShape(input_shape).as_list()[-1]
        if size is None:
            raise ValueError(
                "The last dimension of the inputs to a Dense layer should be defined. Found None. Full input shape "
                f"received: {tuple(TensorShape(input_shape).as_list())}"
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: size})
        self.kernel = self.add_weight(
            "kernel", (size, self.units), initializer=self.kernel_initializer, regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )  # fmt: skip
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias", (self.units,), initializer=self.bias_initializer, regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )  # fmt: skip
        self.built = True

    def call(self, inputs: Any) -> Any:
        wanted = dtypes.as_dtype(self.compute_dtype)
        if inputs.dtype.base_dtype is not wanted:
            inputs = cast(inputs, wanted)
        if inputs.shape.rank == 2:
            outputs = matmul.matmul(inputs, self.kernel)
        else:
            outputs = contraction.tensordot(inputs, self.kernel, [[inputs.shape.rank - 1], [0]])
        if self.use_bias:
            outputs = bias.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        sizes = TensorShape(input_shape).as_list()
        if sizes[-1] is None:
            raise ValueError(
                "The last dimension of the input shape of a Dense layer should be defined. Found None. Received: "
                f"input_shape={input_shape}"
            )
        return TensorShape([*sizes[:-1], self.units])

    def get_config(self) -> dict[str, Any]:
        own = {
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
        }
        for name in (
            "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer",
            "kernel_constraint", "bias_constraint",
        ):  # fmt: skip
            own[name] = serialize_keras_object(getattr(self, name))
        return {**super().get_config(), **own}


@public("keras.layers.Activation")
class Activation(Layer):
    """A function on its own: activation is a name ("relu") or a function of a tensor."""

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.activation = activations.get(activation)

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


@public("keras.layers.Flatten")
class Flatten(Layer):
    """[batch, ...] -> [batch, everything else]; [batch] -> [batch, 1]. data_format: which axis channels are in."""

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format or "channels_last"
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                f'The `data_format` argument must be one of "channels_first", "channels_last". Received: {data_format}'
            )
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Any) -> Any:
        rank = inputs.shape.rank
        if self.data_format == "channels_first" and rank is not None and rank > 2:
            inputs = apply_op(REGISTRY["Transpose"], (inputs, [0, *range(2, rank), 1]))
        sizes = inputs.shape.as_list()
        rest = math.prod(sizes[1:]) if None not in sizes[1:] else -1
        batch = sizes[0] if rest == -1 else -1
        if rest == -1 and batch is None:
            batch = apply_op(REGISTRY["Shape"], (inputs,))[0]
            return apply_op(REGISTRY["Reshape"], (inputs, apply_op(REGISTRY["Pack"], ([batch, -1],))))
        return apply_op(REGISTRY["Reshape"], (inputs, [batch, rest]))

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        sizes = TensorShape(input_shape).as_list()
        return TensorShape([sizes[0], None if None in sizes[1:] else math.prod(sizes[1:])])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


@public("keras.layers.Dropout")
class Dropout(Layer):
    """While training, each element is 0 with probability `rate`, else scaled by 1 / (1 - rate).

    noise_shape: the shape of the random choice, where it is to be broadcast (None in it: the input's size).
    Raises ValueError for a rate outside [0, 1].
    """

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(rate, (int, float)) and not 0 <= rate <= 1:
            raise ValueError(f"Invalid value {rate} received for `rate`, expected a value between 0 and 1.")
        self.rate = rate
        self.noise_shape = noise_shape
        self.seed = seed
        self.supports_masking = True

    def call(self, inputs: Any, training: Any = None) -> Any:
        return choose(training, lambda: self._dropped(inputs), lambda: inputs) if self.rate else inputs

    def _dropped(self, inputs: Any) -> Any:
        noise_shape = self.noise_shape
        if noise_shape is not None and None in tuple(noise_shape):
            sizes = apply_op(REGISTRY["Shape"], (inputs,))
            parts = [sizes[axis] if size is None else size for axis, size in enumerate(noise_shape)]
            noise_shape = apply_op(REGISTRY["Pack"], (parts,))
        return dropout_ops.dropout(inputs, rate=self.rate, noise_shape=noise_shape, seed=self.seed)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed, "noise_shape": self.noise_shape}


@public("keras.layers.InputLayer")
class InputLayer(Layer):
    """Where data enters a model. shape/input_shape: without the batch; batch_shape/batch_input_shape: with it.

    input_tensor: a tensor of the current graph to stand there.
    """

    def __init__(
        self,
        input_shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        input_tensor: Any = None,
        sparse: Any = None,
        name: str | None = None,
        ragged: Any = None,
        type_spec: Any = None,
        **kwargs: Any,
    ) -> None:
        shape = _batch_shape(input_shape, batch_size, kwargs, input_tensor, type_spec)
        if dtype is None:
            given = input_tensor if input_tensor is not None else type_spec
            dtype = floatx() if given is None else given.dtype.name
        super().__init__(dtype=dtype, name=name or f"input_{naming.get_uid('input')}", **kwargs)
        if sparse or ragged:
            raise NotImplementedError("sparse and ragged inputs of models are not supported: give dense tensors")
        self.sparse, self.ragged = bool(sparse), bool(ragged)
        self._batch_input_shape = shape
        self.is_placeholder = input_tensor is None
        self.built = True
        symbolic.Node(self, (), {}, self._new_tensor() if input_tensor is None else input_tensor)

    def _new_tensor(self) -> Any:
        graph = symbolic.model_graph()
        dtype = dtypes.as_dtype(self._dtype_policy.name)
        if graph is symbolic.GRAPH:
            return symbolic.GRAPH.keras_tensor(self._batch_input_shape, dtype, self.name)
        symbolic.note_input(graph)
        with context.use_graph(graph):
            return placeholder(dtype, self._batch_input_shape, name=self.name)

    def call(self, inputs: Any) -> Any:
        return inputs

    @property
    def batch_shape(self) -> Any:
        return self._batch_input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_input_shape": self._batch_input_shape, "dtype": self._dtype_policy.name, "sparse": self.sparse,
            "ragged": self.ragged, "name": self.name,
        }  # fmt: skip


def _batch_shape(shape: Any, batch_size: Any, kwargs: dict[str, Any], tensor: Any, type_spec: Any) -> Any:
    whole = kwargs.pop("batch_input_shape", None) or kwargs.pop("batch_shape", None)
    shape = kwargs.pop("shape", shape)
    if tensor is not None or type_spec is not None:
        found = (tensor if tensor is not None else type_spec).shape
        return None if found.rank is None else tuple(found.as_list())
    if whole is not None:
        return tuple(TensorShape(whole).as_list())
    if shape is None:
        return None
    return (batch_size, *((shape,) if isinstance(shape, int) else TensorShape(shape).as_list()))


@public("keras.Input", "keras.layers.Input")
def Input(
    shape: Any = None,
    batch_size: int | None = None,
    name: str | None = None,
    dtype: Any = None,
    sparse: Any = None,
    tensor: Any = None,
    ragged: Any = None,
    type_spec: Any = None,
    optional: bool = False,
    **kwargs: Any,
) -> Any:
    """A tensor of a model: what data will be given for. shape: without the batch; batch_shape (keyword): with it.

    Raises ValueError where neither a shape nor a tensor is given, or both shapes.
    """
    whole = kwargs.pop("batch_shape", kwargs.pop("batch_input_shape", None))
    if kwargs:
        raise ValueError(f"The following keyword arguments passed to `Input` are not supported: {list(kwargs)}")
    if shape is not None and whole is not None:
        raise ValueError(
            "Only provide the `shape` OR `batch_input_shape` argument to Input, not both at the same time."
        )
    if shape is None and whole is None and tensor is None and type_spec is None:
        raise ValueError(
            "Please provide to Input a `shape` or a `tensor` or a `type_spec` argument. Note that `shape` does not include "
            "the batch dimension."
        )
    extra = {} if whole is None else {"batch_input_shape": whole}
    if isinstance(tensor, Tensor) and context.executing_eagerly() and not symbolic.is_of_model(tensor):
        tensor, extra = None, {"batch_input_shape": convert_to_tensor(tensor).shape.as_list()}
    layer = InputLayer(shape, batch_size, dtype, tensor, sparse, name, ragged, type_spec, **extra)
    return layer._inbound_nodes[0].outputs


class OpLayer(Layer):
    """One operation of TensorFlow's, called on tensors of a model, as a layer."""

    def __init__(self, operation: Any, **kwargs: Any) -> None:
        super().__init__(name=naming.unique_name(f"tf_op_layer_{operation.type}"), autocast=False, **kwargs)
        self._operation = operation
        self.built = True

    def call(self, inputs: Any) -> Any:
        given = iter(inputs if isinstance(inputs, (list, tuple)) else [inputs])
        values = [next(given) if symbolic.history_of(tensor) else tensor for tensor in self._operation.inputs]
        return symbolic.repeat(self._operation, values)

    def copy(self) -> Any:
        return OpLayer(self._operation)

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            f"{self.name} is the operation {self._operation.type}, called on a tensor of a model: that has no configuration. "
            "Put such code into a layer of your own, or a Lambda layer, where the model is to be saved."
        )


symbolic.OpLayers.make = OpLayer
