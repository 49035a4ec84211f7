"""Layer: a function with weights."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import context, dtypes, nest
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, Tensor
from rillet.frontend.autograph.conversion import when_converting
from rillet.frontend.module import Module
from rillet.keras import naming, regularizers, symbolic
from rillet.keras.calling import CALLS, layer_scope, training_here
from rillet.keras.input_spec import check_inputs
from rillet.keras.layer_state import LayerState
from rillet.keras.policy import as_policy
from rillet.ops.cast import cast
from rillet.ops.shape import shape as shape_of


@public("keras.layers.Layer", "keras.Layer")
class Layer(LayerState, Module):  # type: ignore[misc]
    """A function with weights: subclasses write `call(inputs)`, and `build(input_shape)` where weights depend on the input.

    trainable: whether its weights are trained. dtype: a dtype or Policy for its computations and weights.
    kwargs: input_shape (without the batch), batch_input_shape, input_dim, batch_size: with them a Sequential can
        build itself; weights: initial values; activity_regularizer.

    Raises TypeError for another keyword.
    """

    _constructor_arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        layer = super().__new__(cls)
        layer.__dict__["_constructor_arguments"] = (args, kwargs)
        return layer

    def __init__(
        self, trainable: bool = True, name: str | None = None, dtype: Any = None, dynamic: bool = False, **kwargs: Any
    ) -> None:
        self._init_state(name or naming.unique_name(naming.to_snake_case(type(self).__name__)))
        self._trainable = bool(trainable)
        self._dynamic = dynamic
        self._dtype_policy = as_policy(dtype)
        self._autocast = kwargs.pop("autocast", True)
        self.activity_regularizer = regularizers.get(kwargs.pop("activity_regularizer", None))
        self._take_input_options(kwargs)

    def _take_input_options(self, options: dict[str, Any]) -> None:
        shape = options.pop("input_shape", None)
        input_dim = options.pop("input_dim", None)
        if shape is None and input_dim is not None:
            shape = (input_dim,)
        batch_size = options.pop("batch_size", None)
        batch_shape = options.pop("batch_input_shape", None)
        if batch_shape is None and shape is not None:
            batch_shape = (batch_size, *((shape,) if isinstance(shape, int) else shape))
        self._batch_input_shape = None if batch_shape is None else tuple(batch_shape)
        self._initial_weights = options.pop("weights", None)
        options.pop("implementation", None)
        for unknown in options:
            raise TypeError("Keyword argument not understood:", unknown)

    # ---- what subclasses write ----------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Makes the weights. input_shape: the shape of the first argument of the first call, or a structure of shapes."""
        self.built = True

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes. Arguments `training` and `mask`, where it has them, are filled in."""
        return inputs

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output, given that of the input."""
        if not self.supports_masking and any(part is not None for part in nest.flatten(mask)):
            raise TypeError(f"Layer {self.name} does not support masking, but was passed an input_mask: {mask}")
        return mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape (or structure of shapes) of what the layer returns for inputs of this shape."""
        dtype = dtypes.as_dtype(self.compute_dtype)
        shapes = map_shapes(lambda shape: symbolic.GRAPH.keras_tensor(shape, dtype), input_shape)
        outputs = symbolic.infer(self, self._call_now, (shapes,), {})
        return nest.map_structure(lambda tensor: tensor.shape, outputs)

    # ---- calling ------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Builds the layer if it isn't, and calls it on tensors, or on tensors of a model that is put together."""
        if "_inbound_nodes" not in self.__dict__:
            raise RuntimeError(f"You must call `super().__init__()` in the layer constructor of {type(self).__name__}.")
        if args and not isinstance(args[0], Tensor):
            args = (nest.map_structure(_as_tensor, args[0]), *args[1:])
        if len(args) == 1 and type(args[0]) is EagerTensor and not kwargs:
            return self._call_now(args[0])
        leaves = nest.flatten((args, kwargs))
        if not CALLS.depth:
            symbolic.with_history(leaves)
        if any(map(symbolic.is_of_model, leaves)):
            return self._call_on_model(args, kwargs)
        outputs = self._call_now(*args, **kwargs)
        if not CALLS.depth and any(map(symbolic.history_of, leaves)):  # in a graph of TensorFlow 1
            outputs = symbolic.distinct(outputs, leaves)
            symbolic.Node(self, args, kwargs, outputs)
        return outputs

    def _call_on_model(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        losses = len(self._losses)
        outputs = symbolic.infer(self, self._call_now, args, kwargs)
        del self._losses[losses:]
        symbolic.Node(self, args, kwargs, outputs)
        return outputs

    def _call_now(self, *args: Any, **kwargs: Any) -> Any:
        signature = self._signature_of_call
        inputs, args, kwargs = _first_argument(args, kwargs, signature.first)
        inputs = self._cast_inputs(inputs)
        graph = context.state().graph
        if not CALLS.depth and (graph is None or graph.building_function):
            self._forget_losses()
        if self.input_spec is not None and self.built:
            check_inputs(self.input_spec, inputs, self._message_label)
        training = None
        if signature.has_training:
            given = args[signature.training - 1] if signature.training <= len(args) else kwargs.get("training")
            training = training_here(given, signature.default)
            if signature.training > len(args):
                kwargs = {**kwargs, "training": training}
        else:
            training = kwargs.pop("training", None) if not signature.takes_any else kwargs.get("training")
            training = CALLS.training if training is None else training
        with CALLS.entered(self, training), self._scope_of_call():
            if not self.built:
                self._build_for(inputs)
            mask = self._mask_of(inputs)
            if signature.has_mask and mask is not None and kwargs.get("mask") is None and signature.mask > len(args):
                kwargs = {**kwargs, "mask": mask}
            try:
                outputs = when_converting(self.call)(inputs, *args, **kwargs)
            except Exception as error:
                self._explain_error(error)
                raise
            self._set_mask(inputs, outputs, kwargs.get("mask", mask))
            if self.activity_regularizer is not None:
                self._regularize_activity(outputs)
        return outputs

    def _scope_of_call(self) -> contextlib.AbstractContextManager[Any]:
        """What names the operations and variables of a call."""
        return layer_scope(self.name)

    def _explain_error(self, error: Exception) -> None:
        """Adds to `error` which layer it comes from: the innermost one alone does."""
        if not getattr(error, "_rillet_layer", None):
            try:
                error._rillet_layer = self.name  # type: ignore[attr-defined]
            except AttributeError:
                return
            error.add_note(f"Exception encountered when calling layer '{self.name}' (type {type(self).__name__}).")

    def _cast_inputs(self, inputs: Any) -> Any:
        """Floating tensors in the dtype that the layer computes in."""
        if not self._autocast:
            return inputs
        wanted = dtypes.as_dtype(self.compute_dtype)
        if not wanted.is_floating:
            return inputs

        def convert(leaf: Any) -> Any:
            if isinstance(leaf, Tensor) and leaf.dtype.is_floating and leaf.dtype.base_dtype is not wanted:
                mask = leaf.__dict__.get("_keras_mask")
                leaf = cast(leaf, wanted)
                if mask is not None:
                    leaf.__dict__["_keras_mask"] = mask
            return leaf

        return convert(inputs) if isinstance(inputs, Tensor) else nest.map_structure(convert, inputs)

    def _build_for(self, inputs: Any) -> None:
        if self.input_spec is not None:
            check_inputs(self.input_spec, inputs, self._message_label)
        shapes = nest.map_structure(lambda leaf: leaf.shape if hasattr(leaf, "shape") else TensorShape(None), inputs)
        self.build(shapes)
        self.built = True
        self._set_initial_weights()

    def _mask_of(self, inputs: Any) -> Any:
        if isinstance(inputs, Tensor):
            return inputs.__dict__.get("_keras_mask")
        masks = nest.map_structure(lambda leaf: getattr(leaf, "__dict__", {}).get("_keras_mask"), inputs)
        return masks if any(mask is not None for mask in nest.flatten(masks)) else None

    def _set_mask(self, inputs: Any, outputs: Any, mask: Any) -> None:
        """Gives the outputs the masks that compute_mask says, except where `call` has done so."""
        if mask is None and self._has_plain_mask:
            return
        flat = [leaf for leaf in nest.flatten(outputs) if isinstance(leaf, Tensor)]
        if any(leaf.__dict__.get("_keras_mask") is not None for leaf in flat):
            return
        if self._has_plain_mask and not self.supports_masking:
            return
        masks = nest.flatten(self.compute_mask(inputs, mask))
        for leaf, own in zip(flat, masks, strict=False):
            if own is not None:
                leaf.__dict__["_keras_mask"] = own

    def _regularize_activity(self, outputs: Any) -> None:
        for leaf in nest.flatten(outputs):
            penalty = self.activity_regularizer(leaf)
            self.add_loss(penalty / cast(shape_of(leaf)[0], penalty.dtype))

    @property
    def _has_plain_mask(self) -> bool:
        return type(self).compute_mask is Layer.compute_mask

    @functools.cached_property
    def _signature_of_call(self) -> _CallSignature:
        return _CallSignature(self.call)

    @property
    def _message_label(self) -> str:
        return f'layer "{self.name}"'

    # ---- configuration ------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """What from_config needs to make an equal layer, weights aside.

        Raises NotImplementedError where a subclass takes arguments that it cannot know here.
        """
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        policy = self._dtype_policy
        config["dtype"] = policy if policy.name.startswith("mixed_") else policy.name
        if self._batch_input_shape is not None:
            config["batch_input_shape"] = self._batch_input_shape
        if self._dynamic:
            config["dynamic"] = True
        if type(self).get_config is Layer.get_config:
            config.update(self._own_arguments(Layer))
        return config

    def _own_arguments(self, base: type) -> dict[str, Any]:
        """The arguments of the constructor of a subclass of `base`, which has no get_config of its own."""
        kind = type(self)
        if kind.__init__ is base.__init__:  # type: ignore[misc]
            return {}
        args, kwargs = self._constructor_arguments
        parameters = inspect.signature(kind.__init__).parameters.values()
        names = [item.name for item in parameters if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY)][1:]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        plain = (bool, int, float, str, type(None), list, tuple, dict)
        for name, value in given.items():
            if not isinstance(value, plain):
                raise NotImplementedError(
                    f"Layer {kind.__name__} was created by passing\nnon-serializable argument values in `__init__()`,\nand "
                    f"therefore the layer must override `get_config()` in\norder to be serializable: {name}={value!r}"
                )
        return {name: value for name, value in given.items() if name not in ("name", "trainable", "dtype")}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer of this class, as get_config described it."""
        return cls(**config)

    def copy(self) -> Any:
        """A layer like this one, with weights of its own."""
        return type(self).from_config(self.get_config())

    def get_build_config(self) -> dict[str, Any]:
        return {"input_shape": self._batch_input_shape}

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} name={self.name}, built={self.built}>"


class _CallSignature:
    """Which arguments `call` has: where `training` and `mask` are among those after the first."""

    def __init__(self, call: Callable[..., Any]) -> None:
        parameters = inspect.signature(call).parameters
        names = list(parameters)
        kinds = [parameter.kind for parameter in parameters.values()]
        self.first = names[0] if names else "inputs"
        self.takes_any = inspect.Parameter.VAR_KEYWORD in kinds
        self.has_training, self.has_mask = "training" in parameters, "mask" in parameters
        self.training = names.index("training") if self.has_training else len(names) + 1
        self.mask = names.index("mask") if self.has_mask else len(names) + 1
        default = parameters["training"].default if self.has_training else None
        self.default = None if default is inspect.Parameter.empty else default


def _first_argument(args: Any, kwargs: dict[str, Any], name: str) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    if args:
        return args[0], args[1:], dict(kwargs)
    rest = dict(kwargs)
    if name in rest:
        return rest.pop(name), (), rest
    raise ValueError("The first argument to `Layer.call` must always be passed.")


def _as_tensor(leaf: Any) -> Any:
    """Arrays and numbers as tensors."""
    is_number = isinstance(leaf, (np.ndarray, np.generic, float, int)) and not isinstance(leaf, bool)
    return convert_to_tensor(leaf) if is_number else leaf


def map_shapes(function: Callable[[Any], Any], shapes: Any) -> Any:
    """`function` of each shape in a structure of shapes; a sequence of sizes is a shape."""
    if shapes is None or isinstance(shapes, TensorShape):
        return function(shapes)
    if isinstance(shapes, dict):
        return {key: map_shapes(function, value) for key, value in shapes.items()}
    if all(size is None or isinstance(size, (int, np.integer)) for size in shapes):
        return function(shapes)
    return type(shapes)(map_shapes(function, shape) for shape in shapes)
