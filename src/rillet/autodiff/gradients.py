"""tf.gradients: symbolic derivatives, added to the graph as nodes under gradients/."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.autodiff.backprop import UnconnectedGradients, backprop, is_differentiable, producer_through_captures
from rillet.autodiff.unconnected import remember
from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, constant_in, convert_to_tensor
from rillet.core.export import public
from rillet.core.function import FuncGraph
from rillet.core.graph import GRADIENT_RULES, Graph, Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY
from rillet.core.tensor import SymbolicTensor, Tensor


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple)) else [values]


def _symbolic(value: Any) -> Tensor:
    """The tensor that `value` is differentiated by: itself, or a variable's own."""
    tensor = getattr(value, "_source", value)
    if not isinstance(tensor, Tensor):
        tensor = convert_to_tensor(tensor)
    if not isinstance(tensor, SymbolicTensor) and context.state().graph is None:
        raise RuntimeError(
            "tf.gradients is not supported when eager execution is enabled. Use tf.GradientTape instead."
        )
    return tensor  # type: ignore[no-any-return]


@public("AggregationMethod")
class AggregationMethod:
    """How partial gradients may be added up. Here they always are with one AddN, whichever is asked for."""

    ADD_N = DEFAULT = 0
    EXPERIMENTAL_TREE = 1
    EXPERIMENTAL_ACCUMULATE_N = 2


@public(v2=["gradients"])
def gradients(
    ys: Any,
    xs: Any,
    grad_ys: Any = None,
    name: str = "gradients",
    gate_gradients: bool = False,
    aggregation_method: Any = None,
    stop_gradients: Any = None,
    unconnected_gradients: Any = UnconnectedGradients.NONE,
) -> list[Any]:
    """For each x in xs the sum over ys of grad_y * dy/dx, as new nodes of the graph.

    ys, xs, grad_ys: a tensor (xs: or a variable), or a list of them. grad_ys: ones where None.
    stop_gradients: tensors taken as constants. unconnected_gradients: "none" or "zero".
    Returns a list with an entry for each x: a tensor, IndexedSlices, or None where no y depends on it.
    Raises LookupError for an op without a gradient rule, RuntimeError when ys were computed eagerly.
    """
    targets = [_symbolic(y if isinstance(y, Tensor) else convert_to_tensor(y)) for y in _listed(ys)]
    originals = _listed(xs)
    weights = _listed(grad_ys) if grad_ys is not None else [None] * len(targets)
    if len(weights) != len(targets):
        raise ValueError(f"Length mismatch. Passed {len(weights)} grad_ys for {len(targets)} ys")
    graph = next((tensor.graph for tensor in targets if isinstance(tensor, SymbolicTensor)), None)
    graph = context.state().graph if getattr(context.state().graph, "outer_graph", None) is not None else graph
    assert graph is not None
    with context.use_graph(graph):
        sources = [_own_or_around(graph, _symbolic(x)) for x in originals]
        stop = [_own_or_around(graph, _symbolic(x)) for x in _listed(stop_gradients or [])]
        targets = [graph.capture(tensor) for tensor in targets]
        with graph.name_scope(name):
            places = [place for place, target in enumerate(targets) if is_differentiable(target.dtype)]
            starts = [_start(place, (targets[place], weights[place])) for place in places]
            targets = [targets[place] for place in places]
            result = backprop(targets, sources, starts, producer_through_captures, stop, gate_gradients)
            if all(gradient is None for gradient in result):
                remember(targets, originals, producer_through_captures)
            if unconnected_gradients == UnconnectedGradients.ZERO:
                result = [
                    apply_op(REGISTRY["ZerosLike"], (x,)) if gradient is None else gradient
                    for gradient, x in zip(result, originals, strict=True)
                ]
    return result


def _own_or_around(graph: Graph, tensor: Tensor) -> Tensor:
    """A tensor to differentiate by: of this graph, or of one around it, which gradients reach through what is captured."""
    if isinstance(graph, FuncGraph) and (not isinstance(tensor, SymbolicTensor) or tensor.op.graph is not graph):
        graph.capture(tensor)
        return tensor
    return graph.capture(tensor)


def _start(index: int, pair: tuple[Tensor, Any]) -> Any:
    target, weight = pair
    if weight is not None:
        start = convert_to_tensor(weight, target.dtype.base_dtype, name=f"grad_ys_{index}")
        if not start.shape.is_compatible_with(target.shape):
            raise ValueError(f"grad_ys[{index}] has shape {start.shape}, but ys[{index}] has shape {target.shape}")
        return start
    graph = context.state().graph
    assert graph is not None
    if target.shape.is_fully_defined():
        shape = constant_in(graph, np.array(target.shape.as_list(), np.int32), dtypes.int32, "Shape")
    else:
        shape = apply_op(REGISTRY["Shape"], (target,))
    with graph.name_scope(f"grad_ys_{index}") as scope:
        return apply_op(
            REGISTRY["Fill"], (shape, constant_in(graph, _one(target), target.dtype.base_dtype)), name=scope
        )


def _one(target: Tensor) -> Any:
    return target.dtype.base_dtype.as_numpy_dtype(1)


@public(v1=["gradients"])
def gradients_v1(
    ys: Any,
    xs: Any,
    grad_ys: Any = None,
    name: str = "gradients",
    colocate_gradients_with_ops: bool = False,
    gate_gradients: bool = False,
    aggregation_method: Any = None,
    stop_gradients: Any = None,
    unconnected_gradients: Any = UnconnectedGradients.NONE,
) -> list[Any]:
    """As tf.gradients, with TensorFlow 1's argument order."""
    return gradients(ys, xs, grad_ys, name, gate_gradients, aggregation_method, stop_gradients, unconnected_gradients)


@public("RegisterGradient")
class RegisterGradient:
    """Decorator: a gradient rule for an op type, or one to be named in graph.gradient_override_map.

    The function takes (op, *output gradients) and returns the gradients of the op's inputs.
    KeyError when the name is taken.
    """

    def __init__(self, op_type: str) -> None:
        if not isinstance(op_type, str):
            raise TypeError("op_type must be a string")
        self._op_type = op_type

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        _register(self._op_type, function)
        return function


def _register(name: str, rule: Any) -> None:
    definition = REGISTRY.get(name)
    if name in GRADIENT_RULES or (definition is not None and definition.gradient is not None):
        raise KeyError(f"Registering two gradient with name '{name}'! (Previous registration exists.)")
    GRADIENT_RULES[name] = rule
    if definition is not None:
        definition.gradient = rule


@public("no_gradient", v1=["NotDifferentiable", "NoGradient"])
def no_gradient(op_type: str) -> None:
    """Declares that ops of this type pass no gradient on."""
    _register(op_type, NO_GRADIENT)


def get_gradient_function(op: Operation) -> Any:
    """The gradient rule in force for `op`; None where it declares to have none. LookupError when there is no rule."""
    if op.gradient is None:
        raise LookupError(f"No gradient defined for operation '{op.name}' (op type: {op.type})")
    return None if op.gradient is NO_GRADIENT else op.gradient


__all__: Sequence[str] = ["RegisterGradient", "get_gradient_function", "gradients", "no_gradient"]
