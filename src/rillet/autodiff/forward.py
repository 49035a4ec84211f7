"""tf.autodiff.ForwardAccumulator: directional derivatives, computed along with the values.

An op has no forward rule of its own. Its gradient rule is linear in the gradient that comes in; differentiating the rule
by that gradient turns it around: from tangents of the inputs to tangents of the outputs.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from rillet.autodiff.backprop import UnconnectedGradients, input_gradients, is_differentiable, zeros_for
from rillet.autodiff.tape import GradientTape
from rillet.core import context, nest
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY
from rillet.core.tensor import Tensor

_LOGGER = logging.getLogger("rillet")


@public("autodiff.ForwardAccumulator")
class ForwardAccumulator:
    """Computes Jacobian-vector products: the derivative of what is computed inside, along given directions.

    primals: tensors or variables, or a nest of them. tangents: the directions, in the same structure.

        with tf.autodiff.ForwardAccumulator(x, tangent) as accumulator:
            y = f(x)
        accumulator.jvp(y)  # the derivative of f at x along the tangent

    Raises ValueError for a tensor given twice, for different structures, or for tangents of another dtype.
    """

    higher_order = True

    def __init__(self, primals: Any, tangents: Any) -> None:
        nest.assert_same_structure(primals, tangents)
        self._tangents: dict[int, tuple[Any, Any]] = {}
        self._recording = False
        for primal, tangent in zip(nest.flatten(primals), nest.flatten(tangents), strict=True):
            self._begin(primal, tangent)

    def _begin(self, primal: Any, tangent: Any) -> None:
        if not is_differentiable(primal.dtype):
            _LOGGER.warning("The dtype of the watched primal must be floating (e.g. tf.float32), got %r", primal.dtype)
            return
        for tensor in _sources(primal):
            if id(tensor) in self._tangents:
                raise ValueError(
                    "A tensor was specified as a primal multiple times. This may indicate an error. If it was intended, please "
                    "sum the corresponding tangents."
                )
            self._tangents[id(tensor)] = (tensor, convert_to_tensor(tangent, primal.dtype.base_dtype))

    # ---- recording (called by dispatch) ------------------------------------------------------------------------

    def wants(self, inputs: tuple[Tensor, ...]) -> bool:
        tangents = self._tangents
        return any(id(tensor) in tangents for tensor in inputs)

    def record(self, operation: Operation) -> None:
        if operation.gradient is NO_GRADIENT:
            return
        with self._outer_recorders_only():
            tangents = _pushed_forward(operation, self._tangents)
        for tensor, tangent in zip(operation.outputs, tangents, strict=True):
            if tangent is not None:
                self._tangents[id(tensor)] = (tensor, tangent)

    def variable_accessed(self, variable: Any) -> None:
        """Variables are primals only if they were given."""

    @contextlib.contextmanager
    def _outer_recorders_only(self) -> Iterator[None]:
        """Tapes and accumulators around this one see how tangents are computed; this one and those inside don't."""
        current = context.state()
        saved = current.recorders
        current.recorders = saved[: saved.index(self)] if self in saved else saved
        current.refresh()
        try:
            yield
        finally:
            current.recorders = saved
            current.refresh()

    # ---- for the user ------------------------------------------------------------------------------------------

    def __enter__(self) -> ForwardAccumulator:
        if self._recording:
            raise ValueError("Accumulator is already recording.")
        self._recording = True
        context.add_recorder(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._recording = False
        context.remove_recorder(self)

    def jvp(self, primals: Any, unconnected_gradients: Any = UnconnectedGradients.NONE) -> Any:
        """The derivative of each tensor in `primals` along the tangents; None (or zeros) where it depends on none."""
        zero = unconnected_gradients == UnconnectedGradients.ZERO

        def derivative(primal: Any) -> Any:
            for tensor in _sources(primal):
                if id(tensor) in self._tangents:
                    return self._tangents[id(tensor)][1]
            return apply_op(REGISTRY["ZerosLike"], (primal,)) if zero else None

        return nest.map_structure(derivative, primals)


def _sources(primal: Any) -> list[Tensor]:
    """The tensors that stand for `primal`: itself, or a variable's handle, also as the current graph sees it."""
    source = getattr(primal, "_source", primal)
    graph = context.state().graph
    if graph is None or source is primal:
        return [source]
    return list({id(tensor): tensor for tensor in (source, graph.capture(source))}.values())


def _pushed_forward(operation: Operation, tangents: dict[int, tuple[Any, Any]]) -> list[Any]:
    """The tangent of each output, from those of the inputs."""
    places = [place for place, tensor in enumerate(operation.outputs) if is_differentiable(tensor.dtype)]
    with GradientTape() as tape:
        weights = [zeros_for(operation.outputs[place]) for place in places]
        weights = [apply_op(REGISTRY["Identity"], (weight,)) for weight in weights]
        tape.watch(weights)
        flowing: list[Any] = [None] * len(operation.outputs)
        for place, weight in zip(places, weights, strict=True):
            flowing[place] = weight
        pairs = [
            (convert_to_tensor(gradient), tangents[id(tensor)][1])
            for tensor, gradient in input_gradients(operation, flowing, gate=False)
            if id(tensor) in tangents
        ]
    results: list[Any] = [None] * len(operation.outputs)
    if pairs:
        targets, directions = [list(part) for part in zip(*pairs, strict=True)]
        for place, tangent in zip(places, tape.gradient(targets, weights, output_gradients=directions), strict=True):
            results[place] = tangent
    return results
