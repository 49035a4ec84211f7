"""Steps of training: one function of a batch, traced once for each kind of batch, called natively.

A step is made of a model's train_step, test_step or predict_step. Where ops run eagerly it is a tf.function; in a graph
of TensorFlow 1 the call of that function is a node of the graph, which Keras' session runs; with run_eagerly it is the
method itself. Batches come as (structure, arrays); results are structures of arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import context, dtypes, nest
from rillet.core.tensor import EagerTensor, SymbolicTensor
from rillet.frontend.autograph.conversion import when_converting
from rillet.frontend.function import EagerFunctions, PolymorphicFunction, TensorSpec
from rillet.keras.inputs import Structure, pack_x_y_sample_weight, unpack_x_y_sample_weight
from rillet.keras.sessions import initialize, session_of
from rillet.ops.constants import placeholder

Run = Callable[[Structure, list[Any]], Any]


def specifications(structure: Structure, arrays: list[Any]) -> Any:
    """TensorSpecs of a batch: any number of examples."""
    return structure.pack(
        [TensorSpec((None, *array.shape[1:]) if array.ndim else (), _dtype(array)) for array in arrays]
    )


def _dtype(array: Any) -> dtypes.DType:
    return dtypes.string if array.dtype == object else dtypes.as_dtype(array.dtype)


class FunctionStep:
    """A step as a tf.function. `function.get_concrete_function(data)` has the graph of the whole step."""

    def __init__(self, function: PolymorphicFunction) -> None:
        self.function = function
        self._traces: dict[Any, Any] = {}

    def __call__(self, structure: Structure, arrays: list[Any]) -> Any:
        key = (id(structure), *[(array.dtype, array.shape[1:]) for array in arrays])
        known = self._traces.get(key)
        if known is None:
            data = specifications(structure, arrays)
            known = self._traces[key] = self.function.get_concrete_function(data)
        if context.state().quick:
            return known.short_call(arrays, None)
        return known.call_flat([EagerTensor(array, _dtype(array)) for array in arrays])


class PlainStep:
    """A step run op by op."""

    def __init__(self, method: Callable[[Any], Any]) -> None:
        self.function = method

    def __call__(self, structure: Structure, arrays: list[Any]) -> Any:
        return self.function(structure.pack([EagerTensor(array, _dtype(array)) for array in arrays]))


class GraphStep:
    """A step as a node of a graph of TensorFlow 1.

    targets: tensors of the graph that stand for y (compile's target_tensors).
    """

    def __init__(self, function: PolymorphicFunction, graph: Any, targets: Any = None) -> None:
        self.function = function
        self._graph, self._targets = graph, targets
        self._built: dict[Any, Any] = {}

    def __call__(self, structure: Structure, arrays: list[Any]) -> Any:
        key = (id(structure), *[(array.dtype, array.shape[1:]) for array in arrays])
        known = self._built.get(key)
        session = session_of(self._graph)
        if known is None or known[0] is not session:
            known = self._built[key] = self._build(session, structure, arrays)
        return known[1](*arrays)

    def _build(self, session: Any, structure: Structure, arrays: list[Any]) -> Any:
        with self._graph.as_default(), self._graph.name_scope(None):
            feeds = [
                placeholder(_dtype(array), (None, *array.shape[1:]) if array.ndim else (), name="batch")
                for array in arrays
            ]
            data = structure.pack(feeds)
            if self._targets is not None:
                x, _, sample_weight = unpack_x_y_sample_weight(data)
                data = pack_x_y_sample_weight(x, self._targets, sample_weight)
            results = self.function(data)
        initialize(session)
        leaves = [leaf for leaf in nest.flatten(results) if isinstance(leaf, SymbolicTensor)]
        call = session.make_callable(leaves, feed_list=feeds)

        def run(*values: Any) -> Any:
            found = iter(call(*values))
            return nest.map_structure(lambda leaf: next(found) if isinstance(leaf, SymbolicTensor) else leaf, results)

        return session, run


def make_reset(metrics: list[Any], graph: Any) -> Callable[[], None]:
    """What resets these metrics in a graph of TensorFlow 1."""

    def reset_metrics() -> int:
        for metric in metrics:
            metric.reset_state()
        return 0

    with graph.as_default(), graph.name_scope(None):
        done = PolymorphicFunction(reset_metrics, autograph=False)()

    def run() -> None:
        session = session_of(graph)
        initialize(session)
        session.run(done)

    return run


def make_step(model: Any, kind: str) -> Any:
    """The step of `kind` ("train", "test", "predict") of a model."""
    method = getattr(model, f"{kind}_step")

    def step(data: Any) -> Any:
        with model._losses_apart():
            return when_converting(method)(data)

    step.__name__ = f"{kind}_function"
    graph = model.training_graph()
    if graph is not None:
        targets = getattr(model, "_target_tensors", None) if kind != "predict" else None
        return GraphStep(PolymorphicFunction(step), graph, targets)
    if model.run_eagerly or EagerFunctions.run_eagerly:
        return PlainStep(step)
    return FunctionStep(PolymorphicFunction(step))


def as_numbers(logs: Any) -> dict[str, Any]:
    """The results of a step as Python floats (arrays stay arrays)."""
    return {name: as_number(value) for name, value in (logs or {}).items()}


def as_number(value: Any) -> Any:
    if isinstance(value, dict):
        return as_numbers(value)
    array = np.asarray(value._array if isinstance(value, EagerTensor) else value)
    return array.item() if array.ndim == 0 else array
