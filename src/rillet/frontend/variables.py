"""All variables of a graph, their initialisation, and updates as functions (tf.assign and its kin)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rillet.core import context
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Graph
from rillet.core.opdef import REGISTRY
from rillet.frontend.collections import GraphKeys, get_collection
from rillet.frontend.control import cond_v1, group
from rillet.frontend.variable import Variable
from rillet.frontend.variable_creation import VariableDefaults
from rillet.frontend.variable_updates import batch_coordinates
from rillet.ops.indexing import boolean_mask

# ---- by collection --------------------------------------------------------------------------------------------------


@public(v1=["global_variables"])
def global_variables(scope: str | None = None) -> list[Any]:
    """The variables of the default graph; with `scope`, those whose name starts with it."""
    return get_collection(GraphKeys.GLOBAL_VARIABLES, scope)


@public(v1=["all_variables"])
def all_variables() -> list[Any]:
    """As tf.global_variables."""
    return global_variables()


@public(v1=["trainable_variables"])
def trainable_variables(scope: str | None = None) -> list[Any]:
    """The variables that optimizers change."""
    return get_collection(GraphKeys.TRAINABLE_VARIABLES, scope)


@public(v1=["local_variables"])
def local_variables(scope: str | None = None) -> list[Any]:
    """The variables that are not saved: counters, temporaries."""
    return get_collection(GraphKeys.LOCAL_VARIABLES, scope)


@public(v1=["model_variables"])
def model_variables(scope: str | None = None) -> list[Any]:
    """The variables that inference needs."""
    return get_collection(GraphKeys.MODEL_VARIABLES, scope)


@public(v1=["moving_average_variables"])
def moving_average_variables(scope: str | None = None) -> list[Any]:
    """The variables that have a moving average."""
    return get_collection(GraphKeys.MOVING_AVERAGE_VARIABLES, scope)


# ---- initialisation -------------------------------------------------------------------------------------------------


def _initialized_value(variable: Any) -> Any:
    with context.use_graph(variable.graph):
        return cond_v1(variable.is_initialized(), variable.read_value, lambda: variable.initial_value)


VariableDefaults.initialized_value = staticmethod(_initialized_value)


@public(v1=["variables_initializer", "initializers.variables"])
def variables_initializer(var_list: Sequence[Any], name: str = "init") -> Any:
    """An operation that gives the variables their initial values.

    Variables made eagerly have theirs already; they may be in the list.
    """
    return _initialize(context.get_default_graph(), [variable.initializer for variable in var_list], name)


def _initialize(graph: Graph, initializers: Iterable[Any], name: str) -> Any:
    """One operation of `graph` that runs those of the initializers that belong to it."""
    operations = [operation for operation in initializers if operation is not None and operation.graph is graph]
    with context.use_graph(graph):
        return group(*operations, name=name) if operations else apply_op(REGISTRY["NoOp"], (), name=name)


@public(v1=["global_variables_initializer", "initializers.global_variables"])
def global_variables_initializer() -> Any:
    """An operation that gives all variables of the default graph their initial values."""
    return variables_initializer(global_variables())


@public(v1=["local_variables_initializer", "initializers.local_variables"])
def local_variables_initializer() -> Any:
    """An operation that gives the local variables of the default graph their initial values."""
    return variables_initializer(local_variables())


@public(v1=["tables_initializer", "initializers.tables_initializer"])
def tables_initializer(name: str = "init_all_tables") -> Any:
    """An operation that fills the lookup tables of the default graph."""
    return _initialize(context.get_default_graph(), get_collection(GraphKeys.TABLE_INITIALIZERS), name)


@public(v1=["initialize_variables"])
def initialize_variables(var_list: Sequence[Any], name: str = "init") -> Any:
    """As tf.variables_initializer."""
    return variables_initializer(var_list, name)


@public(v1=["initialize_all_variables"])
def initialize_all_variables() -> Any:
    """As tf.global_variables_initializer."""
    return global_variables_initializer()


@public(v1=["initialize_local_variables"])
def initialize_local_variables() -> Any:
    """As tf.local_variables_initializer."""
    return local_variables_initializer()


@public(v1=["initialize_all_tables"])
def initialize_all_tables(name: str = "init_all_tables") -> Any:
    """As tf.tables_initializer."""
    return tables_initializer(name)


@public(v1=["is_variable_initialized"])
def is_variable_initialized(variable: Any) -> Any:
    """Whether `variable` has a value: a bool tensor."""
    return variable.is_initialized()


@public(v1=["report_uninitialized_variables"])
def report_uninitialized_variables(var_list: Any = None, name: str = "report_uninitialized_variables") -> Any:
    """The names of the variables that have no value yet: a vector of strings.

    var_list: the global and local variables when None.
    """
    variables = global_variables() + local_variables() if var_list is None else list(var_list)
    graph = context.get_default_graph()
    with context.use_graph(graph), graph.name_scope(name):
        if not variables:
            return convert_to_tensor(np.array([], object))
        found = [variable.is_initialized() for variable in variables]
        missing = apply_op(REGISTRY["LogicalNot"], (apply_op(REGISTRY["Pack"], (found,), {"axis": 0}, "stack"),))
        names = convert_to_tensor(np.array([variable.op.name for variable in variables], object))
        return boolean_mask(names, missing)


@public(v1=["assert_variables_initialized"])
def assert_variables_initialized(var_list: Any = None) -> Any:
    """An operation that fails while a variable has no value. None when there are no variables."""
    variables = global_variables() + local_variables() if var_list is None else list(var_list)
    ranks = [apply_op(REGISTRY["Rank"], (variable,)) for variable in variables]
    if not ranks:
        return None
    return ranks[0] if len(ranks) == 1 else apply_op(REGISTRY["Pack"], (ranks,), {"axis": 0}, "stack")


# ---- updates as functions -------------------------------------------------------------------------------------------


@public(v1=["assign"])
def assign(
    ref: Any, value: Any, validate_shape: bool | None = None, use_locking: bool | None = None, name: str | None = None
) -> Any:
    """Sets variable `ref` to `value`; returns what reads as the variable afterwards.

    validate_shape: False lets a reference variable take another shape.
    """
    if isinstance(ref, Variable) and (validate_shape is not False or not ref.dtype.is_ref_dtype):
        return ref.assign(value, name=name)
    source = getattr(ref, "_source", ref)
    attrs = {"validate_shape": validate_shape is not False}
    return apply_op(REGISTRY["Assign"], (source, value), attrs, name)


@public(v1=["assign_add"])
def assign_add(ref: Any, value: Any, use_locking: bool | None = None, name: str | None = None) -> Any:
    """Adds `value` to variable `ref`; returns what reads as the variable afterwards."""
    if isinstance(ref, Variable):
        return ref.assign_add(value, name=name)
    return apply_op(REGISTRY["AssignAdd"], (ref, value), name=name)


@public(v1=["assign_sub"])
def assign_sub(ref: Any, value: Any, use_locking: bool | None = None, name: str | None = None) -> Any:
    """Subtracts `value` from variable `ref`; returns what reads as the variable afterwards."""
    if isinstance(ref, Variable):
        return ref.assign_sub(value, name=name)
    return apply_op(REGISTRY["AssignSub"], (ref, value), name=name)


@public(v1=["count_up_to"])
def count_up_to(ref: Any, limit: int, name: str | None = None) -> Any:
    """Adds one to an integer variable, unless it is `limit` already (OutOfRangeError). Returns the value before."""
    return ref.count_up_to(limit)


@public(v1=["batch_scatter_update"])
def batch_scatter_update(
    ref: Any, indices: Any, updates: Any, use_locking: bool = True, name: str | None = None
) -> Any:
    """Sets rows of each of a batch: ref[b..., indices[b..., i]] = updates[b..., i]."""
    coordinates = batch_coordinates(convert_to_tensor(indices))
    return ref.scatter_nd_update(coordinates, updates, name)
