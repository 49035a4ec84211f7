"""What a layer knows of itself: its name and dtypes, its losses and metrics, the calls it is part of in models."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

from rillet.core import context
from rillet.core.function import FuncGraph
from rillet.core.tensor import Tensor
from rillet.keras.calling import CALLS
from rillet.keras.layer_weights import LayerWeights
from rillet.keras.saving_registry import own_objects
from rillet.keras.tracking import METRICS, each_once

# Attributes that are bookkeeping: what they hold does not make a layer's parts.
_INTERNAL = frozenset((
    "_constructor_arguments", "_inbound_nodes", "_outbound_nodes", "_losses", "_updates", "_loss_functions",
    "_own_variables", "_regularized", "_initial_weights", "_name_scope", "_dtype_policy", "_signature_of_call",
    "input_spec", "_compile_arguments", "_shapes_built_for", "_reset_call", "_made_steps", "loss", "history",
))  # fmt: skip


_LAYERS_WITH_LOSSES: weakref.WeakSet[Any] = weakref.WeakSet()  # so that most calls need not look for any


class LayerState(LayerWeights):
    """What Layer has besides weights and calls."""

    _dtype_policy: Any

    def _init_state(self, name: str) -> None:
        self._name = name
        self.built = False
        self.supports_masking = False
        self.input_spec: Any = None
        self.stateful = False
        self._own_variables: list[Any] = []
        self._regularized: list[tuple[Any, Any]] = []
        self._losses: list[Any] = []
        self._updates: list[Any] = []
        self._loss_functions: list[Any] = []
        self._inbound_nodes: list[Any] = []
        self._outbound_nodes: list[Any] = []

    def _attribute_values(self) -> Iterator[Any]:
        attributes = self.__dict__
        return (attributes[key] for key in tuple(attributes) if key not in _INTERNAL)

    # ---- name and dtypes ----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    @property
    def path(self) -> str:
        return self._name

    @property
    def dtype(self) -> str:
        """The dtype of the weights."""
        return self._dtype_policy.variable_dtype

    @property
    def variable_dtype(self) -> str:
        return self._dtype_policy.variable_dtype

    @property
    def compute_dtype(self) -> str:
        """The dtype of the computations."""
        return self._dtype_policy.compute_dtype

    @property
    def _is_mixed(self) -> bool:
        return self._dtype_policy.compute_dtype != self._dtype_policy.variable_dtype

    @property
    def dtype_policy(self) -> Any:
        return self._dtype_policy

    @property
    def dynamic(self) -> bool:
        return bool(self.__dict__.get("_dynamic"))

    # ---- losses and metrics ---------------------------------------------------------------------------------------

    @property
    def losses(self) -> list[Any]:
        """The losses that the last call added, then the penalties on weights; of the layers inside too."""
        found: list[Any] = []
        for layer in self._flat_layers():
            found.extend(layer._losses)
            found.extend(function() for function in layer._loss_functions)
        for layer in self._flat_layers():
            found.extend(penalty(variable) for variable, penalty in layer._regularized if layer._trainable)
        return found

    def add_loss(self, losses: Any, **kwargs: Any) -> None:
        """Adds to `losses`: tensors (in `call`), or functions without arguments, called whenever losses are asked for.

        kwargs: inputs, accepted. TypeError for another.
        """
        kwargs.pop("inputs", None)
        if kwargs:
            raise TypeError(f"Unknown keyword arguments: {list(kwargs)}")
        _LAYERS_WITH_LOSSES.add(self)
        for loss in losses if isinstance(losses, (list, tuple)) else [losses]:
            if callable(loss) and not isinstance(loss, Tensor):
                self._loss_functions.append(loss)
            elif loss is not None:
                self._losses.append(loss)

    def _forget_losses(self) -> None:
        """A new call of the whole begins: what the last one added is no more."""
        if not _LAYERS_WITH_LOSSES:
            return
        for layer in self._flat_layers():
            if layer._losses:
                layer._losses = []
                _LAYERS_WITH_LOSSES.discard(layer)

    def add_update(self, updates: Any) -> None:
        """Keeps operations that change state beside the weights (moving averages), for a graph of TensorFlow 1; elsewhere
        they have run, or run in the order of the function."""
        graph = context.state().graph
        if graph is None or isinstance(graph, FuncGraph):
            return
        found = updates if isinstance(updates, (list, tuple)) else [updates]
        self._updates.extend(update for update in found if update is not None)

    @property
    def updates(self) -> list[Any]:
        """What was added with add_update, in the layers inside too: a training step in a graph has to run these."""
        return [update for layer in self._flat_layers() for update in layer._updates]

    @contextlib.contextmanager
    def _losses_apart(self) -> Iterator[None]:
        """A block whose calls leave the losses of earlier ones as they are."""
        saved = [(layer, layer._losses) for layer in self._flat_layers()]
        for layer, _ in saved:
            layer._losses = []
        try:
            yield
        finally:
            for layer in self._flat_layers():
                layer._losses = []
            for layer, losses in saved:
                layer._losses = losses

    @property
    def metrics(self) -> list[Any]:
        """The metrics in the layer's attributes, and those of the layers inside."""
        return each_once(metric for layer in self._flat_layers() for metric in METRICS.among(layer._attribute_values()))

    def add_metric(self, value: Any, name: str | None = None, **kwargs: Any) -> None:
        """Keeps the mean of `value` over a tensor's elements and all calls as a metric called `name`.

        ValueError without a name.
        """
        if name is None:
            raise ValueError(
                "Please provide a name for your metric like `self.add_metric(tf.reduce_sum(inputs), name='mean')`."
            )
        known = self.__dict__.setdefault("_added_metrics", {})
        if name not in known:
            known[name] = own_objects("keras.metrics")["Mean"](name=name)
        if not CALLS.is_inferring:
            known[name].update_state(value)

    # ---- parts ----------------------------------------------------------------------------------------------------

    def _flat_layers(self) -> list[Any]:
        """The layer and all layers inside, outer ones before inner ones, each once."""
        found: dict[int, Any] = {}
        stack: list[Any] = [self]
        while stack:
            layer = stack.pop()
            if id(layer) not in found:
                found[id(layer)] = layer
                stack.extend(reversed(layer._sublayers()))
        return list(found.values())

    @property
    def submodules(self) -> tuple[Any, ...]:
        return tuple(self._flat_layers()[1:])

    # ---- its calls in models --------------------------------------------------------------------------------------

    @property
    def inbound_nodes(self) -> list[Any]:
        return self._inbound_nodes

    @property
    def outbound_nodes(self) -> list[Any]:
        return self._outbound_nodes

    def _only_node(self, what: str) -> Any:
        if not self._inbound_nodes:
            raise AttributeError(f"Layer {self.name} is not connected, no {what} to return.")
        if len(self._inbound_nodes) > 1:
            raise AttributeError(
                f'Layer {self.name} has multiple inbound nodes, hence the notion of "layer {what}" is ill-defined. Use '
                f"`get_{what}_at(node_index)` instead."
            )
        return self._inbound_nodes[0]

    @property
    def input(self) -> Any:
        """The tensor (or structure of them) that the layer was called on, in the one model that it is part of."""
        return self._only_node("input").inputs

    @property
    def output(self) -> Any:
        return self._only_node("output").outputs

    @property
    def input_shape(self) -> Any:
        return _shapes(self.input)

    @property
    def output_shape(self) -> Any:
        """The shape of the output: a tuple, or a list of them."""
        if len(self._inbound_nodes) > 1:
            shapes = [_shapes(node.outputs) for node in self._inbound_nodes]
            if all(shape == shapes[0] for shape in shapes):
                return shapes[0]
        return _shapes(self.output)

    def get_input_at(self, node_index: int) -> Any:
        return self._inbound_nodes[node_index].inputs

    def get_output_at(self, node_index: int) -> Any:
        return self._inbound_nodes[node_index].outputs

    def get_input_shape_at(self, node_index: int) -> Any:
        return _shapes(self.get_input_at(node_index))

    def get_output_shape_at(self, node_index: int) -> Any:
        return _shapes(self.get_output_at(node_index))

    @property
    def input_mask(self) -> Any:
        return getattr(self.input, "_keras_mask", None)

    @property
    def output_mask(self) -> Any:
        return getattr(self.output, "_keras_mask", None)


def _shapes(tensors: Any) -> Any:
    if isinstance(tensors, dict):
        return {key: _shapes(value) for key, value in tensors.items()}
    if isinstance(tensors, (list, tuple)):
        return [_shapes(tensor) for tensor in tensors]
    return None if tensors.shape.rank is None else tuple(tensors.shape.as_list())
