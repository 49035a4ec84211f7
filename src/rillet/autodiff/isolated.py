"""One operation by itself: a copy in a graph of its own, where its gradient rule can be tried without leaving a trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.autodiff.backprop import input_gradients, is_differentiable
from rillet.core import context, dtypes
from rillet.core.dispatch import constant_in
from rillet.core.function import FuncGraph, Function
from rillet.core.graph import Operation
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor, handle_data, set_handle_data
from rillet.errors import OpError

# What a gradient rule, or an op's inference, may raise where it is tried on symbols alone.
FAILURES = (
    ValueError,
    TypeError,
    LookupError,
    NotImplementedError,
    AttributeError,
    RuntimeError,
    AssertionError,
    OpError,
)

Known = Callable[[Tensor], Any]


def known_value(tensor: Tensor) -> Any:
    """The array of a concrete tensor or of a constant of a graph; None for others."""
    if isinstance(tensor, EagerTensor):
        return tensor._array
    if isinstance(tensor, SymbolicTensor) and tensor.op.type == "Const":
        return tensor.op.attrs["value"]
    return None


def bodies(operation: Operation) -> list[Function]:
    """The functions that an operation calls: of a call, of a branch, of a loop."""
    values = [value for value in operation.attrs.values() if value is not None]
    flat = [part for value in values for part in (value if isinstance(value, (list, tuple)) else [value])]
    return [part for part in flat if isinstance(part, Function)]


class Isolated:
    """A copy of `operation` whose inputs are placeholders.

    What no gradient flows to (axes, shapes, indices) is a constant where its value is known.
    scalars: the placeholders of differentiable inputs are scalars: for ops that work on each element alone.
    Raises what the op's inference raises when it can't work on such inputs.
    """

    def __init__(self, operation: Operation, scalars: bool = False, known: Known = known_value) -> None:
        self.graph = FuncGraph("isolated", outer_graph=None)
        self._scalars = scalars
        with self.graph.as_default(), context.without_recording():
            self.inputs = [self._input(tensor, known(tensor)) for tensor in operation.inputs]
            self.operation = self.graph.create_operation(
                operation.definition, tuple(self.inputs), dict(operation.attrs), None, operation.gradient_rule
            )
        for copy, original in zip(self.operation.outputs, operation.outputs, strict=True):
            set_handle_data(copy, handle_data(original))

    def _input(self, tensor: Tensor, value: Any) -> SymbolicTensor:
        dtype = tensor.dtype.base_dtype
        if value is not None and dtype.is_numpy_compatible and not is_differentiable(dtype):
            return constant_in(self.graph, np.asarray(value), dtype)  # type: ignore[no-any-return]
        shape = TensorShape([]) if self._scalars else tensor.shape
        placeholder = self.graph.add_input(dtype, shape)
        set_handle_data(placeholder, handle_data(tensor))
        return placeholder

    def gradients(self, flowing: Callable[[SymbolicTensor], Any]) -> dict[int, Any]:
        """What the rule gives for each place among the inputs, for those that it gives anything.

        flowing: makes the gradient of an output (None where nothing flows).
        Raises LookupError where there is no rule.
        """
        with self.graph.as_default(), context.without_recording():
            given = [flowing(tensor) for tensor in self.operation.outputs]
            if all(gradient is None for gradient in given):
                return {}
            pairs = list(input_gradients(self.operation, given, gate=False))
        places = {id(tensor): place for place, tensor in enumerate(self.inputs)}
        return {places[id(tensor)]: gradient for tensor, gradient in pairs}

    def placeholder(self, tensor: SymbolicTensor) -> SymbolicTensor:
        """A gradient of `tensor` that is not known yet."""
        dtype = dtypes.float32 if tensor.dtype.base_dtype is dtypes.resource else tensor.dtype.base_dtype
        return self.graph.add_input(dtype, tensor.shape)
