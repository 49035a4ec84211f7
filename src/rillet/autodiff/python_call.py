"""Differentiating tf.py_function inside graphs.

A call that is differentiated runs its function under a tape and returns the tape too; the gradient is a second call,
which asks that tape. When the gradient is differentiated in its turn, the function is computed again under its tape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rillet.autodiff.backprop import is_differentiable, zeros_for
from rillet.autodiff.calls import extended, taking_none
from rillet.autodiff.tape import GradientTape
from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op
from rillet.core.graph import Operation
from rillet.core.opdef import gradient_of
from rillet.core.shapes import TensorShape
from rillet.ops.python_call import EAGER_PY_FUNC, call_eagerly, function_of, register


class _Record:
    """What a call leaves for its gradient."""

    def __init__(self, tape: GradientTape, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        self.tape = tape
        self.inputs = list(inputs)
        self.outputs = outputs


class _Recorded:
    """`function`, computed under a tape, which is returned behind the results."""

    def __init__(self, function: Callable[..., Any], wanted: Sequence[dtypes.DType]) -> None:
        self.function = function
        self.wanted = wanted

    def __call__(self, *inputs: Any) -> list[Any]:
        function = getattr(self.function, "again", self.function)
        with GradientTape(persistent=True) as tape:
            tape.watch([tensor for tensor in inputs if is_differentiable(tensor.dtype)])
            outputs = call_eagerly(function, inputs, self.wanted)
        return [*outputs, _Record(tape, inputs, outputs)]


class _Backward:
    """The gradient function of a recorded call: of the gradients of `places` among its results, its inputs, its record."""

    def __init__(self, function: Callable[..., Any], wanted: Sequence[dtypes.DType], places: Sequence[int]) -> None:
        self.function = function
        self.wanted = wanted
        self.places = places

    def __call__(self, *values: Any) -> list[Any]:
        count = len(self.places)
        return self._gradients(values[-1]._array, values[:count])

    def again(self, *values: Any) -> list[Any]:
        """The same, computed from the inputs alone, so that a tape around it sees everything."""
        count = len(self.places)
        inputs = values[count:-1]
        with GradientTape(persistent=True) as tape:
            tape.watch([tensor for tensor in inputs if is_differentiable(tensor.dtype)])
            outputs = call_eagerly(self.function, inputs, self.wanted)
        return self._gradients(_Record(tape, inputs, outputs), values[:count])

    def _gradients(self, record: _Record, dys: Sequence[Any]) -> list[Any]:
        sources = [tensor for tensor in record.inputs if is_differentiable(tensor.dtype)]
        targets = [record.outputs[place] for place in self.places]
        found = record.tape.gradient(targets, sources, output_gradients=list(dys))
        return [
            zeros_for(source) if gradient is None else gradient for source, gradient in zip(sources, found, strict=True)
        ]


@gradient_of("EagerPyFunc")
@taking_none
def _gradient_of_python_call(op: Operation, *dys: Any) -> list[Any]:
    function = function_of(op.attrs["token"])
    outputs: Sequence[Any] = op.outputs
    if not isinstance(function, _Recorded):
        recorded = _Recorded(function, op.attrs["Tout"])
        assert op.graph is not None, "eager calls are not recorded as one operation"
        attrs = {"token": register(recorded, op.graph), "Tout": (*op.attrs["Tout"], dtypes.variant)}
        outputs = extended(op, attrs, [(dtypes.variant, TensorShape(()), None)])
        function = recorded
    places = [
        place for place, dy in enumerate(dys[: len(function.wanted)]) if dy is not None and is_differentiable(dy.dtype)
    ]
    backward = _Backward(getattr(function.function, "again", function.function), function.wanted, places)
    sources = [place for place, tensor in enumerate(op.inputs) if is_differentiable(tensor.dtype)]
    attrs = {"token": _registered(backward), "Tout": tuple(op.inputs[place].dtype.base_dtype for place in sources)}
    found = apply_op(
        EAGER_PY_FUNC, ([*[dys[place] for place in places], *op.inputs, outputs[len(function.wanted)]],), attrs
    )
    gradients: list[Any] = [None] * len(op.inputs)
    for place, gradient in zip(sources, found, strict=True):
        gradients[place] = gradient
    return gradients


def _registered(function: Callable[..., Any]) -> str:
    graph = context.state().graph
    assert graph is not None
    return register(function, graph)
