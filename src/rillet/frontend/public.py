"""Public names of the core: graphs, dtypes, modes, nests."""

from __future__ import annotations

import contextlib
from typing import Any

from rillet import errors
from rillet.core import context, dispatch, dtypes, nest, shapes
from rillet.core.export import export, late, public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph, Operation
from rillet.core.tensor import EagerTensor, Equality, SymbolicTensor, Tensor
from rillet.frontend.control import disable_control_flow_v2, enable_control_flow_v2
from rillet.frontend.variable import Variable
from rillet.frontend.variable_creation import VariableDefaults

Graph.as_graph_def = late("rillet.saving.graph_export", "graph_def")  # type: ignore[attr-defined]
Operation.node_def = property(late("rillet.saving.graph_export", "node_def"))  # type: ignore[attr-defined]
Variable.to_proto = late("rillet.saving.variables", "variable_message")  # type: ignore[attr-defined]
Variable.from_proto = staticmethod(late("rillet.saving.variables", "variable_of"))  # type: ignore[attr-defined]
EagerTensor._repr_html_ = late("rillet.draw.notebooks", "tensor_html")  # type: ignore[attr-defined]
SymbolicTensor._repr_html_ = late("rillet.draw.notebooks", "symbolic_html")  # type: ignore[attr-defined]
Graph._repr_html_ = late("rillet.draw.notebooks", "graph_html")  # type: ignore[attr-defined]
export(Graph, "Graph")
export(Operation, "Operation")
export(Tensor, "Tensor")
export(dtypes.DType, "DType", "dtypes.DType")
export(dtypes.as_dtype, "as_dtype", "dtypes.as_dtype")
export(shapes.TensorShape, "TensorShape")
export(shapes.Dimension, v1=["Dimension"])
export(context.executing_eagerly, "executing_eagerly")
export(context.get_default_graph, v1=["get_default_graph"])
export(context.reset_default_graph, v1=["reset_default_graph"])
export(dispatch.register_tensor_conversion_function, "register_tensor_conversion_function")
export(shapes.broadcast_static_shape, "broadcast_static_shape")

for _name, _value in vars(dtypes).items():
    if isinstance(_value, dtypes.DType) and not _name.startswith("_") and _name != "bool_":
        export(_value, _name, f"dtypes.{_name}")
for _name, _value in vars(errors).items():
    if (isinstance(_value, type) and issubclass(_value, Exception) and _name not in ("ShapeError",)) or (
        isinstance(_value, int) and _name.isupper()
    ):
        export(_value, f"errors.{_name}")
export(errors.OpError, v1=["OpError"])
export(errors.exception_type_from_error_code, v1=["errors.exception_type_from_error_code"])
export(errors.error_code_from_exception_type, v1=["errors.error_code_from_exception_type"])
for _name in ("assert_same_structure", "flatten", "is_nested", "map_structure", "pack_sequence_as"):
    export(getattr(nest, _name), f"nest.{_name}", v1=[f"contrib.framework.nest.{_name}"])


@public(v1=["enable_eager_execution"])
def enable_eager_execution(config: Any = None, device_policy: Any = None, execution_mode: Any = None) -> None:
    """Ops on concrete values run at once from here on. May be called at any time, any number of times."""
    context.set_eager_by_default(True)


@public(v1=["disable_eager_execution"])
def disable_eager_execution() -> None:
    """Ops go to the default graph from here on, to be run by a session. May be called at any time."""
    context.set_eager_by_default(False)


@public(v1=["executing_eagerly_outside_functions"])
def executing_eagerly_outside_functions() -> bool:
    """Whether code outside any tf.function runs eagerly."""
    return context.eager_by_default() and not any(
        graph is not None and not isinstance(graph, FuncGraph) for graph in context.state().stack
    )


@public(v1=["enable_resource_variables"])
def enable_resource_variables() -> None:
    VariableDefaults.use_resource = True


@public(v1=["disable_resource_variables"])
def disable_resource_variables() -> None:
    VariableDefaults.use_resource = False


@public(v1=["resource_variables_enabled"])
def resource_variables_enabled() -> bool:
    return VariableDefaults.use_resource


export(shapes.enable_v2_tensorshape, v1=["enable_v2_tensorshape"])
export(shapes.disable_v2_tensorshape, v1=["disable_v2_tensorshape"])


@public(v1=["enable_tensor_equality"])
def enable_tensor_equality() -> None:
    """`==` on tensors compares elements."""
    Equality.elementwise = True


@public(v1=["disable_tensor_equality"])
def disable_tensor_equality() -> None:
    """`==` on tensors compares identity, as in TensorFlow 1."""
    Equality.elementwise = False


@public(v1=["enable_v2_behavior"])
def enable_v2_behavior() -> None:
    """TensorFlow 2's defaults: eager execution, resource variables, elementwise equality, shapes of plain ints."""
    enable_eager_execution()
    enable_resource_variables()
    shapes.enable_v2_tensorshape()
    enable_tensor_equality()
    enable_control_flow_v2()


@public(v1=["disable_v2_behavior"])
def disable_v2_behavior() -> None:
    """TensorFlow 1's defaults: graphs and sessions, reference variables, tensors compared by identity, Dimensions."""
    disable_eager_execution()
    disable_resource_variables()
    shapes.disable_v2_tensorshape()
    disable_tensor_equality()
    disable_control_flow_v2()


@public("control_dependencies")
def control_dependencies(control_inputs: Any) -> Any:
    """Operations made inside run after `control_inputs`. Eagerly there is nothing to order."""
    if context.executing_eagerly() and not (control_inputs and any(hasattr(x, "op") for x in _listed(control_inputs))):
        for value in _listed(control_inputs):
            if callable(value):
                value()
        return contextlib.nullcontext()
    return context.get_default_graph().control_dependencies(control_inputs)


def _listed(values: Any) -> list[Any]:
    if values is None:
        return []
    return list(values) if isinstance(values, (list, tuple)) else [values]


@public("device")
def device(device_name: Any) -> Any:
    """Annotates operations made inside with a device; ValueError for what is no device name."""
    return context.get_default_graph().device(device_name)


@public(v1=["colocate_with"])
def colocate_with(op: Any, ignore_existing: bool = False) -> Any:
    return context.get_default_graph().colocate_with(op, ignore_existing)


@public(v1=["container"])
def container(container_name: str) -> Any:
    return context.get_default_graph().container(container_name)
