"""The layers between inputs and outputs of a model, found by going backwards from the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.core import nest
from rillet.core.tensor import Tensor
from rillet.keras import symbolic
from rillet.keras.input_spec import InputSpec
from rillet.keras.layers.core import InputLayer
from rillet.keras.tracking import each_once
from rillet.ops import shape as shape_ops
from rillet.ops.cast import cast


class Network:
    """inputs, outputs: structures of tensors of a model. extra: further tensors to compute (losses, metrics).

    nodes: the calls of layers in the order in which they run. layers: in the order in which Keras lists them.
    Raises ValueError where an output does not follow from the inputs.
    """

    def __init__(self, inputs: Any, outputs: Any, extra: Sequence[Any] = ()) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.flat_inputs, self.flat_outputs = nest.flatten(inputs), nest.flatten(outputs)
        self.extra = list(extra)
        for tensor in self.flat_inputs:
            if not symbolic.history_of(tensor):
                raise ValueError(
                    "Input tensors to a Functional model must come from `tf.keras.Input`. Received inputs: "
                    f"{inputs} (missing previous layer metadata)."
                )
        symbolic.with_history([*self.flat_outputs, *self.extra])
        for tensor in self.flat_outputs:
            if not symbolic.history_of(tensor):
                raise ValueError(
                    f"Output tensors of a Functional model must be the output of a TensorFlow `Layer` (thus holding past "
                    f"layer metadata). Found: {tensor}"
                )
        self.input_layers = [self._input_layer(tensor) for tensor in self.flat_inputs]
        self.input_names = [layer.name for layer in self.input_layers]
        self.output_layers = [symbolic.history_of(tensor).layer for tensor in self.flat_outputs]  # type: ignore[union-attr]
        self.output_names = _numbered([layer.name for layer in self.output_layers])
        self._order()
        self.input_spec = [
            InputSpec(shape=(None, *tensor.shape.as_list()[1:]), allow_last_axis_squeeze=True, name=name)
            if tensor.shape.rank else InputSpec(name=name)
            for tensor, name in zip(self.flat_inputs, self.input_names, strict=True)
        ]  # fmt: skip

    @staticmethod
    def _input_layer(tensor: Any) -> Any:
        """The layer behind an input. (A tensor from the middle of another model gets one of its own.)"""
        layer = symbolic.history_of(tensor).layer  # type: ignore[union-attr]
        if isinstance(layer, InputLayer):
            return layer
        return InputLayer(batch_input_shape=tensor.shape.as_list(), dtype=tensor.dtype.name)

    # ---- order ----------------------------------------------------------------------------------------------------

    def _order(self) -> None:
        visited, numbers = self._visit()
        given = {id(tensor) for tensor in self.flat_inputs}
        depths: dict[int, int] = {}
        layer_depths: dict[int, int] = {}
        for node in reversed(visited):
            depth = max(depths.get(id(node), 0), layer_depths.get(id(node.layer), 0))
            depths[id(node)] = layer_depths[id(node.layer)] = depth
            for tensor in [] if _is_given(node, given) else node.input_tensors:
                parent = node_of(tensor)
                depths[id(parent)] = max(depths.get(id(parent), 0), depth + 1)
        nodes = sorted(visited, key=lambda node: (-depths[id(node)], numbers[id(node.layer)]))
        self.nodes = [node for node in nodes if not _is_given(node, given)]
        layers = each_once([*self.input_layers, *(node.layer for node in self.nodes)])
        for layer in self.input_layers:
            numbers.setdefault(id(layer), len(numbers))
        self.layers = sorted(layers, key=lambda layer: (-layer_depths.get(id(layer), 0), numbers[id(layer)]))

    def _visit(self) -> tuple[list[Any], dict[int, int]]:
        """All nodes, each after those it needs; and the order in which layers are met, going backwards."""
        given = {id(tensor) for tensor in self.flat_inputs}
        visited: list[Any] = []
        numbers: dict[int, int] = {}
        done: set[int] = set()
        stack = [(tensor, False) for tensor in reversed([*self.flat_outputs, *self.extra])]
        while stack:
            tensor, is_ready = stack.pop()
            node = node_of(tensor)
            if is_ready:
                if id(node) not in done:
                    done.add(id(node))
                    visited.append(node)
            elif id(node) not in done:
                numbers.setdefault(id(node.layer), len(numbers))
                stack.append((tensor, True))
                if id(tensor) in given:
                    continue
                if node.is_input:
                    self._disconnected(tensor, visited)
                stack.extend((parent, False) for parent in reversed(node.input_tensors))
        return visited, numbers

    def _disconnected(self, tensor: Any, visited: list[Any]) -> None:
        before = [node.layer.name for node in visited]
        raise ValueError(
            f'Graph disconnected: cannot obtain value for tensor {tensor} at layer "{node_of(tensor).layer.name}". '
            f"The following previous layers were accessed without issue: {before}"
        )

    # ---- running --------------------------------------------------------------------------------------------------

    def run(self, inputs: Any) -> tuple[Any, list[Any]]:
        """The outputs for these inputs, and the values of the extra tensors."""
        values: dict[int, Any] = {}
        for tensor, value in zip(self.flat_inputs, self.match(inputs), strict=True):
            values[id(tensor)] = _fit(value, tensor)
        for node in self.nodes:
            args, kwargs = node.arguments(lambda tensor: values[id(tensor)])
            results = node.layer(*args, **kwargs)
            for tensor, value in zip(node.output_tensors, _tensors(results), strict=True):
                values[id(tensor)] = value
        outputs = nest.map_structure(lambda tensor: values[id(tensor)], self.outputs)
        return outputs, [values[id(tensor)] for tensor in self.extra]

    def match(self, inputs: Any) -> list[Any]:
        """The inputs in the order of the model's: dictionaries by name, sequences by position."""
        if isinstance(inputs, dict):
            if isinstance(self.inputs, dict):
                return [inputs[key] for key in sorted(self.inputs)]
            if all(name in inputs for name in self.input_names):
                return [inputs[name] for name in self.input_names]
            missing = [name for name in self.input_names if name not in inputs]
            raise ValueError(
                f"Missing data for input {missing}. You passed a data dictionary with keys {list(inputs)}."
            )
        return nest.flatten(inputs)


def node_of(tensor: Any) -> Any:
    """The call that gave a tensor of a model."""
    history = symbolic.history_of(tensor)
    assert history is not None
    return history.layer._inbound_nodes[history.node_index]


def _is_given(node: Any, given: set[int]) -> bool:
    return all(id(tensor) in given for tensor in node.output_tensors)


def _tensors(results: Any) -> list[Any]:
    return [leaf for leaf in nest.flatten(results) if isinstance(leaf, Tensor)]


def _fit(value: Any, wanted: Any) -> Any:
    """`value` in the dtype of an input, with a last axis of size 1 more or less where that is what is missing."""
    if not isinstance(value, Tensor):
        return value
    mask = value.__dict__.get("_keras_mask")
    rank, own = wanted.shape.rank, value.shape.rank
    if rank is not None and own is not None:
        if own == rank + 1 and value.shape.as_list()[-1] == 1:
            value = shape_ops.squeeze(value, [own - 1])
        elif own == rank - 1 and wanted.shape.as_list()[-1] == 1:
            value = shape_ops.expand_dims(value, -1)
    if value.dtype.base_dtype is not wanted.dtype.base_dtype and value.dtype.is_numeric and wanted.dtype.is_numeric:
        value = cast(value, wanted.dtype)
    if mask is not None:
        value.__dict__["_keras_mask"] = mask
    return value


def _numbered(names: Sequence[str]) -> list[str]:
    """Names of outputs: the second one of a layer is name_1."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name] - 1}")
    return result
