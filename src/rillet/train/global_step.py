"""The global step: the variable that counts the updates of a training run."""

from __future__ import annotations

from typing import Any

from rillet.core import context, dtypes
from rillet.core.export import public
from rillet.core.graph import Graph
from rillet.frontend.collections import GraphKeys
from rillet.frontend.initializers import Zeros
from rillet.frontend.variable_scope import get_variable


@public(v1=["train.global_step"])
def global_step(sess: Any, global_step_tensor: Any) -> int:
    """The value of the step now, as an int."""
    if getattr(global_step_tensor, "graph", None) is None:
        return int(global_step_tensor.numpy())
    return int(sess.run(global_step_tensor))


@public(v1=["train.get_global_step", "contrib.framework.get_global_step"])
def get_global_step(graph: Graph | None = None) -> Any:
    """The global step of `graph` (the default graph when None); None where there is none.

    Raises TypeError when what is called global_step is no integer scalar.
    """
    graph = graph or context.get_default_graph()
    collected = graph.get_collection(GraphKeys.GLOBAL_STEP)
    if len(collected) == 1:
        step = collected[0]
    elif not collected:
        try:
            step = graph.get_tensor_by_name("global_step:0")
        except KeyError:
            return None
    else:
        return None
    assert_global_step(step)
    return step


@public(v1=["train.create_global_step", "contrib.framework.create_global_step"])
def create_global_step(graph: Graph | None = None) -> Any:
    """Makes the global step: an int64 variable that starts at 0. ValueError when the graph has one."""
    home = graph or context.get_default_graph()
    if get_global_step(home) is not None:
        raise ValueError('"global_step" already exists.')
    options: dict[str, Any] = {"dtype": dtypes.int64, "initializer": Zeros(), "trainable": False}
    if graph is None and context.executing_eagerly():
        step = get_variable(GraphKeys.GLOBAL_STEP, [], **options)
        home.add_to_collection(GraphKeys.GLOBAL_STEP, step)
        return step
    with context.use_graph(home), home.name_scope(None):
        collections = [GraphKeys.GLOBAL_VARIABLES, GraphKeys.GLOBAL_STEP]
        return get_variable(GraphKeys.GLOBAL_STEP, [], collections=collections, **options)


@public(v1=["train.get_or_create_global_step", "contrib.framework.get_or_create_global_step"])
def get_or_create_global_step(graph: Graph | None = None) -> Any:
    """The global step of the graph, made if there is none."""
    step = get_global_step(graph)
    return create_global_step(graph) if step is None else step


@public(v1=["train.assert_global_step", "contrib.framework.assert_global_step"])
def assert_global_step(global_step_tensor: Any) -> None:
    """TypeError unless `global_step_tensor` is an integer scalar."""
    name, dtype, shape = global_step_tensor.name, global_step_tensor.dtype.base_dtype, global_step_tensor.shape
    if not dtype.is_integer:
        raise TypeError(f'Existing "global_step" does not have integer type: {dtype}')
    if shape.rank not in (None, 0):
        raise TypeError(f'Existing "global_step" is not scalar: {shape} ({name})')
