"""Variables of graphs as messages (VariableDef), and back."""

from __future__ import annotations

import weakref
from typing import Any

from rillet.core import context, dtypes
from rillet.core.graph import Graph
from rillet.core.tensor import handle_data
from rillet.frontend.variable import ReferenceVariable, ResourceVariable
from rillet.frontend.variable_creation import VariableAggregation, VariableSynchronization
from rillet.saving import messages


def _without(name: str, scope: str | None) -> str:
    return name.removeprefix(f"{scope.rstrip('/')}/") if scope else name


def _within(name: str, scope: str | None) -> str:
    return f"{scope.rstrip('/')}/{name}" if scope else name


def variable_message(variable: Any, export_scope: str | None = None) -> Any:
    """The VariableDef of a variable of a graph; None for one outside `export_scope`. RuntimeError for an eager one."""
    if variable.graph is None:
        raise RuntimeError("This operation is not supported when eager execution is enabled.")
    if export_scope and not variable.name.startswith(export_scope.rstrip("/") + "/"):
        return None
    is_resource = not isinstance(variable, ReferenceVariable)
    message = messages.get("VariableDef")(
        variable_name=_without(variable.handle.name, export_scope),
        initializer_name=_without(variable.initializer.name, export_scope),
        snapshot_name=_without(variable._snapshot.name, export_scope),
        is_resource=is_resource,
        trainable=variable.trainable,
        synchronization=variable.synchronization.value,
        aggregation=variable.aggregation.value,
    )
    if variable._initial_value is not None:
        message.initial_value_name = _without(variable._initial_value.name, export_scope)
    if hasattr(variable, "save_slice"):
        part = message.save_slice_info_def
        part.full_name = variable.save_slice[0]
        for field, values in zip(
            (part.full_shape, part.var_offset, part.var_shape), variable.save_slice[1:], strict=True
        ):
            field.extend(values)
    return message


def variable_of(variable_def: Any, import_scope: str | None = None) -> Any:
    """The variable of the default graph that a VariableDef describes: its operations are there already."""
    graph = context.get_default_graph()
    kind = ResourceVariable if variable_def.is_resource else ReferenceVariable
    variable: Any = object.__new__(kind)
    variable.__dict__.update(_state(graph, variable_def, import_scope))
    if variable_def.is_resource:
        variable._source.__dict__["_variable"] = weakref.ref(variable)
        # A graph from elsewhere may have no such operation: whoever asks adds one.
        variable._is_initialized_tensor = None
    if variable_def.HasField("save_slice_info_def"):
        part = variable_def.save_slice_info_def
        variable.save_slice = (part.full_name, list(part.full_shape), list(part.var_offset), list(part.var_shape))
    return variable


def _state(graph: Graph, variable_def: Any, scope: str | None) -> dict[str, Any]:
    source = graph.get_tensor_by_name(_within(variable_def.variable_name, scope))
    initial = None
    if variable_def.initial_value_name:
        initial = graph.get_tensor_by_name(_within(variable_def.initial_value_name, scope))
    data = handle_data(source) if source.dtype is dtypes.resource else (source.dtype, source.shape)
    assert data is not None
    return {
        "_source": source,
        "_name": source.name,
        "_dtype": data[0],
        "_shape": data[1],
        "_initial_value": initial,
        "_initializer": graph.get_operation_by_name(_within(variable_def.initializer_name, scope)),
        "_snapshot": graph.get_tensor_by_name(_within(variable_def.snapshot_name, scope)),
        "_in_graph": True,
        "_site": None,
        "trainable": variable_def.trainable,
        "constraint": None,
        "synchronization": VariableSynchronization(variable_def.synchronization),
        "aggregation": VariableAggregation(variable_def.aggregation),
    }
