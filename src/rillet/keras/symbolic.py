"""Tensors of models that are being put together: Input, and what layers give when they are called on it.

Where ops run eagerly, such a tensor belongs to a graph of its own kind, which is never run and keeps nothing: a layer
that is called on it works out in a throw-away graph what it would return. Where a graph is current (TensorFlow 1), the
tensors are the graph's own, and calling a layer builds its nodes right there.

Either way a tensor knows in `_keras_history` which call of which layer it comes from; Model follows that backwards.
TensorFlow's functions may be called on such tensors too: what they did becomes a layer of each op.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rillet.core import context, nest
from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph, Operation
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.tensor import SymbolicTensor, Tensor
from rillet.frontend.autograph.context import converting
from rillet.keras.calling import CALLS


class History(NamedTuple):
    """Which output of which call of a layer a tensor is."""

    layer: Any
    node_index: int
    tensor_index: int


class KerasTensor(SymbolicTensor):
    """A tensor of a model that is being put together: a shape and a dtype."""

    __slots__ = ()

    def __repr__(self) -> str:
        history = history_of(self)
        made = f" (created by layer '{history.layer.name}')" if history else ""
        return f"<KerasTensor: shape={self.shape} dtype={self.dtype.name}{made}>"

    __str__ = __repr__


class KerasGraph(FuncGraph):
    """The graph that tensors of models belong to where ops run eagerly. It doesn't keep its operations: they live as
    long as a tensor of theirs does."""

    def __init__(self) -> None:
        super().__init__("keras_graph", outer_graph=None)

    def create_operation(self, *args: Any, **kwargs: Any) -> Operation:
        operation = super().create_operation(*args, **kwargs)
        self._operations.clear()
        self._by_name.clear()
        self._names_in_use.clear()
        return operation

    def keras_tensor(self, shape: Any, dtype: Any, name: str | None = None) -> KerasTensor:
        """A new tensor."""
        made = self._placeholder(dtype, TensorShape(shape), name)
        tensor = KerasTensor(made.op, 0, made.dtype)
        tensor.set_shape(made.shape)
        made.op.outputs = [tensor]
        return tensor


GRAPH = KerasGraph()


def model_graph() -> Graph:
    """The graph that Input makes its tensor in now."""
    graph = context.state().graph
    while isinstance(graph, FuncGraph):
        graph = graph.outer_graph
    return GRAPH if graph is None else graph


def history_of(tensor: Any) -> History | None:
    return tensor.__dict__.get("_keras_history") if isinstance(tensor, SymbolicTensor) else None


@public("keras.backend.is_keras_tensor", "keras.utils.is_keras_tensor")
def is_keras_tensor(x: Any) -> bool:
    """Whether a layer gave `x`, or Input. ValueError where it is no symbolic tensor."""
    if not isinstance(x, SymbolicTensor):
        raise ValueError(f"Unexpectedly found an instance of type `{type(x)}`. Expected a symbolic tensor instance.")
    return history_of(x) is not None


def is_of_model(tensor: Any) -> bool:
    """Whether `tensor` stands for no value: it belongs to a model that is being put together."""
    return isinstance(tensor, SymbolicTensor) and isinstance(tensor.op.graph, KerasGraph)


def outside_calls() -> contextlib.AbstractContextManager[None]:
    """A block in which a model is put together, whatever is being called or traced around it."""
    return CALLS.inferring()


class Node:
    """One call of a layer on tensors of a model: what it was called with, what came out."""

    def __init__(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> None:
        self.layer = layer
        self.args, self.kwargs = args, kwargs
        self.outputs = outputs
        self.index = len(layer._inbound_nodes)
        layer._inbound_nodes.append(self)
        for position, tensor in enumerate(self.output_tensors):
            tensor.__dict__["_keras_history"] = History(layer, self.index, position)
        for history in self.parents:
            history.layer._outbound_nodes.append(self)

    @property
    def input_tensors(self) -> list[Any]:
        """The tensors of the model among the arguments."""
        return [leaf for leaf in nest.flatten((self.args, self.kwargs)) if history_of(leaf)]

    @property
    def output_tensors(self) -> list[Any]:
        return [leaf for leaf in nest.flatten(self.outputs) if isinstance(leaf, SymbolicTensor)]

    @property
    def parents(self) -> list[History]:
        """Where the arguments come from, each tensor's once a use."""
        return [history for history in map(history_of, self.input_tensors) if history]

    @property
    def is_input(self) -> bool:
        return not self.input_tensors

    @property
    def inputs(self) -> Any:
        """The argument that holds the tensors: one tensor, or a structure of them."""
        first = self.args[0] if self.args else next(iter(self.kwargs.values()), [])
        return first if not self.is_input else self.outputs

    def arguments(self, value_of: Callable[[Any], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with `value_of(tensor)` for each tensor of the model."""
        convert = lambda leaf: value_of(leaf) if history_of(leaf) else leaf  # noqa: E731
        return nest.map_structure(convert, self.args), nest.map_structure(convert, self.kwargs)


def infer(layer: Any, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `call(*args, **kwargs)` would return: new tensors of the model. Nothing of the call is kept."""
    graph = FuncGraph(layer.name, outer_graph=None)
    with graph.as_default(), context.without_recording(), CALLS.inferring(), converting(True):
        inside: dict[int, Any] = {}

        def stand_in(leaf: Any) -> Any:
            if not is_of_model(leaf):
                return leaf
            if id(leaf) not in inside:
                inside[id(leaf)] = _stand_in(graph, leaf)
            return inside[id(leaf)]

        inner_args = nest.map_structure(stand_in, args)
        outputs = call(*inner_args, **nest.map_structure(stand_in, kwargs))
    return nest.map_structure(lambda leaf: _as_keras_tensor(leaf, layer.name), outputs)


def _stand_in(graph: FuncGraph, tensor: Any) -> Any:
    placeholder = graph.add_input(tensor.dtype, tensor.shape)
    mask = tensor.__dict__.get("_keras_mask")
    if mask is not None:
        placeholder.__dict__["_keras_mask"] = graph.add_input(mask.dtype, mask.shape)
    return placeholder


def _as_keras_tensor(leaf: Any, name: str) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    tensor = GRAPH.keras_tensor(leaf.shape, leaf.dtype, name)
    mask = leaf.__dict__.get("_keras_mask")
    if mask is not None:
        tensor.__dict__["_keras_mask"] = GRAPH.keras_tensor(mask.shape, mask.dtype)
    return tensor


def distinct(outputs: Any, inputs: Sequence[Any]) -> Any:
    """`outputs`, with a copy for each that is one of `inputs` or has a history: a tensor comes from one call only."""
    taken = {id(leaf) for leaf in inputs}

    def renew(leaf: Any) -> Any:
        if isinstance(leaf, SymbolicTensor) and (id(leaf) in taken or history_of(leaf)):
            return apply_op(REGISTRY["Identity"], (leaf,))
        return leaf

    return nest.map_structure(renew, outputs)


# ---- TensorFlow's functions on tensors of a model --------------------------------------------------------------------


class OpLayers:
    """How an operation becomes a layer; set where layers are defined."""

    make: Callable[[Operation], Any]


def with_history(tensors: Sequence[Any]) -> None:
    """Gives a history to `tensors` and to what they were computed from, as far as that hangs on layers' outputs."""
    pending = [tensor for tensor in tensors if isinstance(tensor, SymbolicTensor) and not history_of(tensor)]
    graphs = [tensor.op.graph for tensor in pending]
    if not any(graph is GRAPH or (graph is not None and graph in _WITH_INPUTS) for graph in graphs):
        return
    without = _WITH_INPUTS.setdefault(graphs[0], set())  # type: ignore[arg-type]
    for operation in _between([tensor.op for tensor in pending if tensor.op.sequence not in without], without):
        inputs = list(filter(history_of, operation.inputs))
        if not inputs:
            if graphs[0] is not GRAPH:
                without.add(operation.sequence)
        elif not history_of(operation.outputs[0]):
            Node(OpLayers.make(operation), (inputs if len(inputs) > 1 else inputs[0],), {}, _outputs(operation))


# Graphs of TensorFlow 1 that have tensors made by Input: the operations of which it is known that they follow from none.
_WITH_INPUTS: weakref.WeakKeyDictionary[Graph, set[int]] = weakref.WeakKeyDictionary()


def note_input(graph: Graph) -> None:
    """There is a tensor made by Input in `graph`."""
    _WITH_INPUTS.setdefault(graph, set())


def _outputs(operation: Operation) -> Any:
    return operation.outputs[0] if len(operation.outputs) == 1 else list(operation.outputs)


def _between(pending: list[Operation], known: set[int]) -> list[Operation]:
    """Operations that no layer made, up to the tensors that layers gave, in the order in which they run."""
    order: list[Operation] = []
    done: set[int] = set()
    stack = [(operation, False) for operation in reversed(pending)]
    while stack:
        operation, is_ready = stack.pop()
        if is_ready:
            order.append(operation)
        elif id(operation) not in done:
            done.add(id(operation))
            stack.append((operation, True))
            stack.extend(
                (tensor.op, False)
                for tensor in operation.inputs
                if isinstance(tensor, SymbolicTensor) and not history_of(tensor) and tensor.op.sequence not in known
            )
    return order


def repeat(operation: Operation, inputs: Sequence[Any]) -> Any:
    """Calls an operation's op again where the program is now, on other inputs. Tensors of the never-run graph among
    those (constants, variables' values) are computed again too."""
    values = iter([_again(tensor) for tensor in inputs])
    packed: list[Any] = []
    for argument in operation.definition.signature.inputs:
        if argument.is_list:
            count = (
                operation.attrs[argument.number_attr]
                if argument.number_attr
                else len(
                    operation.attrs[argument.type_list_attr]  # type: ignore[index]
                )
            )
            packed.append([next(values) for _ in range(count)])
        else:
            packed.append(next(values))
    result = apply_op(operation.definition, packed, dict(operation.attrs))
    return list(result) if isinstance(result, tuple) else result


def _again(tensor: Any) -> Any:
    if not is_of_model(tensor):
        return tensor
    outside = tensor.__dict__.get("_outside")
    if outside is not None:
        return outside
    results = repeat(tensor.op, tensor.op.inputs)
    return results[tensor.value_index] if isinstance(results, list) else results
