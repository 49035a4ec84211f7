"""tf.py_function, tf.numpy_function, tf.py_func: Python code inside graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes, nest
from rillet.core.dispatch import apply_op, convert_to_tensor, graph_for
from rillet.core.export import public
from rillet.core.opdef import OpDef
from rillet.ops.python_call import EAGER_PY_FUNC, PY_FUNC, PY_FUNC_STATELESS, call_eagerly, register


def _call(definition: OpDef, function: Callable[..., Any], inputs: Sequence[Any], wanted: Any, name: str | None) -> Any:
    """The op that calls `function`; its outputs have the dtypes (and shapes) in `wanted`."""
    graph = graph_for(inputs)
    assert graph is not None
    specs = nest.flatten(wanted)
    types = tuple(dtypes.as_dtype(getattr(spec, "dtype", spec)) for spec in specs)
    with context.use_graph(graph):
        attrs = {"token": register(function, graph), "Tout": types}
        outputs = apply_op(definition, (list(inputs),), attrs, name)
        for output, spec in zip(outputs, specs, strict=True):
            if hasattr(spec, "shape"):
                output.set_shape(spec.shape)
        if not specs:
            return graph.get_operations()[-1]
    return nest.pack_sequence_as(wanted, list(outputs))


def _is_list(wanted: Any) -> bool:
    return isinstance(wanted, (list, tuple))


@public("py_function")
def py_function(
    func: Callable[..., Any] | None = None, inp: Any = None, Tout: Any = None, name: str | None = None
) -> Any:
    """Calls func(*inp) as Python, on concrete tensors, also where a graph runs. Gradients flow through it.

    func: takes tensors, returns a tensor or a list of them. Tout: the dtype (or TensorSpec) of the result, or a list.
    What `func` raises becomes an InvalidArgumentError, OutOfRangeError ... or UnknownError.
    """
    assert func is not None
    inputs = list(inp or [])
    if graph_for(inputs) is not None:
        return _call(EAGER_PY_FUNC, func, inputs, Tout, name)
    types = [dtypes.as_dtype(getattr(spec, "dtype", spec)) for spec in nest.flatten(Tout)]
    results = call_eagerly(func, [convert_to_tensor(value) for value in inputs], types)
    return results if _is_list(Tout) else results[0]


@public("numpy_function")
def numpy_function(
    func: Callable[..., Any] | None = None,
    inp: Any = None,
    Tout: Any = None,
    stateful: bool = True,
    name: str | None = None,
) -> Any:
    """Calls func(*inp) as Python, on NumPy arrays, also where a graph runs. No gradient flows through it.

    func: takes arrays, returns an array or a list of them, of the dtypes in Tout. stateful: False lets the call be left
        out where nobody reads the result.
    """
    assert func is not None
    inputs = list(inp or [])
    if graph_for(inputs) is not None:
        return _call(PY_FUNC if stateful else PY_FUNC_STATELESS, func, inputs, Tout, name)
    results = nest.flatten(func(*[np.array(convert_to_tensor(value)._array) for value in inputs]))
    tensors = [value if value is None else convert_to_tensor(value) for value in results]
    return tensors[0] if len(tensors) == 1 else tensors


@public(v1=["py_func"])
def py_func(func: Callable[..., Any], inp: Any, Tout: Any, stateful: bool = True, name: str | None = None) -> Any:
    """As tf.numpy_function."""
    return numpy_function(func, inp, Tout, stateful, name)
