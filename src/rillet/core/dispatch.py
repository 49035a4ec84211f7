"""The one place where an op is called: `apply_op`.

Where it goes: to the graph of its symbolic inputs; else to the current graph; else it runs now, and whoever records
(gradient tapes) is told. All three see the same Operation class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet import errors
from rillet.core import context, convert, dtypes, failures, opdef
from rillet.core.context import ELSEWHERE
from rillet.core.dtypes import DType
from rillet.core.execution import bind_kernel, eager_context
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph, Operation
from rillet.core.opdef import OpDef
from rillet.core.quick import UNFIT, as_result, run_quickly
from rillet.core.quick import as_declared as as_declared  # engines declare dtypes in the same way
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor

Converter = Callable[..., Any]

# What a kernel raises of inputs it cannot work on. (An errors.OpError says all by itself.)
KERNEL_ERRORS = (ValueError, TypeError, IndexError, ArithmeticError, np.linalg.LinAlgError)

# (type, function, priority): tf.register_tensor_conversion_function
_CONVERTERS: list[tuple[Any, Converter, int]] = []


def register_tensor_conversion_function(base_type: Any, conversion_func: Converter, priority: int = 100) -> None:
    """Lets convert_to_tensor take objects of `base_type`: conversion_func(value, dtype, name, as_ref) -> tensor."""
    if not callable(conversion_func):
        raise TypeError(f"Argument `conversion_func` must be callable. Received {conversion_func}.")
    _CONVERTERS.append((base_type, conversion_func, priority))
    _CONVERTERS.sort(key=lambda entry: entry[2])


# ---- calling an op ----------------------------------------------------------------------------------------------


def apply_op(
    definition: OpDef,
    inputs: Sequence[Any],
    attrs: dict[str, Any] | None = None,
    name: str | None = None,
    gradient: Any = None,
) -> Any:
    """Calls an op.

    inputs: one value for each input of the signature, in order (a list for a list input): tensors, or what converts.
    attrs: attributes that don't follow from the inputs and differ from their defaults.
    name: of the operation, where it goes to a graph.
    gradient: a gradient rule for this call alone.
    Returns the output tensor; a named tuple of them where the op has several; a list for a list output; the Operation
    for an op without outputs (None when it ran eagerly).
    """
    current = context.state()
    if current.listener is not ELSEWHERE and gradient is None:
        try:
            result = run_quickly(definition, inputs, attrs, current)
        except KERNEL_ERRORS as error:
            tensors, resolved = resolve(definition, inputs, attrs, None)
            failures.fail(definition, tensors, resolved, error)
        if result is not UNFIT:
            return result
    graph = graph_for(inputs, current)
    if graph is None:
        tensors, resolved = resolve(definition, inputs, attrs, None)
        outputs = _run_now(definition, tensors, resolved, gradient, current)
        return as_result(definition, outputs, None)
    if graph is not current.graph:
        with context.use_graph(graph):
            return _append(graph, definition, inputs, attrs, name, gradient)
    return _append(graph, definition, inputs, attrs, name, gradient)


def graph_for(inputs: Sequence[Any], current: context.ThreadState | None = None) -> Graph | None:
    """The graph that an op on `inputs` goes to; None when it runs now."""
    graph = (current or context.state()).graph
    if isinstance(graph, FuncGraph):
        return graph
    found = _symbolic_graph(inputs)
    return graph if found is None else found


def _symbolic_graph(values: Sequence[Any]) -> Graph | None:
    for value in values:
        kind = type(value)
        if kind is SymbolicTensor:
            return value.graph  # type: ignore[no-any-return]
        if kind is EagerTensor or kind is int or kind is float:
            continue
        if kind is list or kind is tuple:
            found = _symbolic_graph(value)
            if found is not None:
                return found
        elif not isinstance(value, (EagerTensor, np.ndarray, np.generic, str, bytes)):
            graph = getattr(value, "graph", None)
            if isinstance(graph, Graph):
                return graph
    return None


def _append(
    graph: Graph,
    definition: OpDef,
    inputs: Sequence[Any],
    attrs: dict[str, Any] | None,
    name: str | None,
    gradient: Any,
) -> Any:
    if all(type(value) is SymbolicTensor and value.op.graph is graph for value in inputs):
        tensors, resolved = resolve(definition, inputs, attrs, graph)
        operation = _create(graph, definition, tensors, resolved, name, gradient)
    else:  # constants made of the other inputs are named after them, inside the operation's own scope
        with graph.name_scope(name or definition.name) as scope:
            tensors, resolved = resolve(definition, inputs, attrs, graph)
            operation = _create(graph, definition, tensors, resolved, scope, gradient)
    recorders = context.state().recorders
    if recorders:
        for recorder in recorders:
            if recorder.wants(tensors):
                recorder.record(operation)
    return as_result(definition, operation.outputs, operation)


def _create(
    graph: Graph, definition: OpDef, tensors: tuple[Tensor, ...], attrs: dict[str, Any], name: str | None, gradient: Any
) -> Operation:
    try:
        return graph.create_operation(definition, tensors, attrs, name, gradient)
    except errors.ShapeError as error:
        raise ValueError(failures.explain(error.static_text, definition, tensors, error)) from None


def _run_now(
    definition: OpDef,
    tensors: tuple[Any, ...],
    attrs: dict[str, Any],
    gradient: Any,
    current: context.ThreadState,
) -> list[Any]:
    kernel = definition.reference
    if kernel is None:
        assert definition.decompose is not None, f"op {definition.name} has no definition of its value"
        result = definition.decompose(*tensors, **attrs)
        return list(result) if isinstance(result, (list, tuple)) else [result]
    arrays = [tensor._array for tensor in tensors]
    try:
        if definition.kernel_needs_context:
            key = (definition.name, _frozen(attrs))
            bound = bind_kernel(definition, attrs, eager_context(), key)
            with np.errstate(all="ignore"):
                result = bound(*arrays)
        elif definition.kernel_attributes:
            options = {key: attrs[key] for key in definition.kernel_attributes}
            result = current.run_quietly(lambda: kernel(*arrays, **options))
        else:
            result = current.run_quietly(kernel, *arrays)
    except KERNEL_ERRORS as error:
        failures.fail(definition, tensors, attrs, error)
    site = errors.user_site()
    outputs = wrap(definition, result, attrs, site)
    if current.recorders:
        operation: Operation | None = None
        for recorder in current.recorders:
            if recorder.wants(tensors):
                if operation is None:
                    operation = Operation(definition, tensors, attrs, gradient)
                    operation.outputs = outputs
                    operation.site = site
                recorder.record(operation)
    return outputs


def _frozen(attrs: dict[str, Any]) -> Any:
    return tuple((key, value if isinstance(value, (int, float, str)) else repr(value)) for key, value in attrs.items())


def wrap(definition: OpDef, result: Any, attrs: dict[str, Any], site: errors.Site | None = None) -> list[Any]:
    """A kernel's result as tensors of the dtypes that the signature promises."""
    wanted = opdef.argument_dtypes(definition.signature.outputs, attrs)
    if not isinstance(result, (tuple, list)):
        result = (result,) if wanted else ()
    return [EagerTensor(as_declared(array, dtype), dtype, site) for array, dtype in zip(result, wanted, strict=True)]


# ---- from values to tensors of the right dtype --------------------------------------------------------------------


def resolve(
    definition: OpDef, inputs: Sequence[Any], given: dict[str, Any] | None, graph: Graph | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Converts the inputs and completes the attributes."""
    signature = definition.signature
    attributes = signature.attributes
    attrs = dict(given) if given else {}
    tensors: list[Any] = []
    if len(inputs) != len(signature.inputs):
        raise TypeError(f"{definition.name} takes {len(signature.inputs)} inputs, not {len(inputs)}")
    for argument, value in zip(signature.inputs, inputs, strict=True):
        key = argument.type_attr
        if argument.is_list:
            tensors.extend(_resolve_list(definition, argument, value, attrs, inputs, graph))
            continue
        if argument.is_ref and not isinstance(value, Tensor) and hasattr(value, "_ref"):
            value = value._ref()  # the variable itself: its value would not do
        if key is None:
            tensor = as_tensor(value, argument.dtype, None, graph, argument.name, definition)
        elif type(value) is EagerTensor or type(value) is SymbolicTensor:
            tensor = value
            if graph is not None and (type(value) is EagerTensor or value.op.graph is not graph):
                tensor = graph.capture(value)
            dtype = tensor.dtype.base_dtype
            if attrs.setdefault(key, dtype) is not dtype:
                failures.dtype_mismatch(definition, argument, tensor, attrs[key], inputs, graph)
        else:
            wanted = attrs.get(key) or _dtype_among(definition, inputs, key)
            preferred = None
            if wanted is None:
                default = attributes[key].default
                preferred = default if isinstance(default, DType) else None
            tensor = as_tensor(value, wanted, preferred, graph, argument.name, definition, attributes[key].allowed)
            attrs[key] = tensor.dtype.base_dtype
        tensors.append(tensor)
    for key, attribute in attributes.items():
        if key not in attrs:
            if attribute.default is opdef.REQUIRED:
                raise TypeError(f"{definition.name} needs attribute {key!r}")
            attrs[key] = attribute.default
        elif attribute.allowed is not None and attrs[key] not in attribute.allowed:
            failures.not_allowed(definition, key, attrs[key], attribute.allowed, graph)
    return tuple(tensors), attrs


def _resolve_list(
    definition: OpDef,
    argument: opdef.Argument,
    values: Any,
    attrs: dict[str, Any],
    inputs: Sequence[Any],
    graph: Graph | None,
) -> list[Any]:
    if isinstance(values, Tensor) or not isinstance(values, (list, tuple)):
        raise TypeError(f"Expected list for '{argument.name}' argument to '{definition.name}' Op, not {values!r}.")
    if argument.type_list_attr is not None:
        known = attrs.get(argument.type_list_attr) or [None] * len(values)
        tensors = [
            as_tensor(value, dtype, None, graph, f"{argument.name}_{index}", definition)
            for index, (value, dtype) in enumerate(zip(values, known, strict=True))
        ]
        attrs[argument.type_list_attr] = tuple(tensor.dtype.base_dtype for tensor in tensors)
        return tensors
    key = argument.type_attr
    wanted = argument.dtype
    if key is not None:
        wanted = attrs.get(key) or _dtype_among(definition, inputs, key)
    tensors = []
    for index, value in enumerate(values):
        name = f"{argument.name}_{index}"
        if isinstance(value, Tensor) and wanted is not None and value.dtype.base_dtype is not wanted:
            failures.dtype_mismatch(definition, argument, value, wanted, values, graph)
        tensor = as_tensor(value, wanted, None, graph, name, definition)
        wanted = wanted or tensor.dtype.base_dtype
        tensors.append(tensor)
    if key is not None and wanted is not None:
        attrs[key] = wanted
    assert argument.number_attr is not None
    if attrs.setdefault(argument.number_attr, len(tensors)) != len(tensors):
        raise ValueError(
            f"List argument '{argument.name}' to '{definition.name}' Op with length {len(tensors)} must match length "
            f"{attrs[argument.number_attr]} of the other list arguments."
        )
    return tensors


def _dtype_among(definition: OpDef, inputs: Sequence[Any], key: str) -> DType | None:
    """The dtype of the first tensor among the inputs that share type attribute `key`."""
    for argument, value in zip(definition.signature.inputs, inputs, strict=True):
        if argument.type_attr == key:
            for candidate in value if argument.is_list and isinstance(value, (list, tuple)) else (value,):
                if isinstance(candidate, Tensor) or hasattr(candidate, "__tf_tensor__"):
                    return candidate.dtype.base_dtype  # type: ignore[no-any-return]
    return None


def as_tensor(
    value: Any,
    dtype: DType | None,
    preferred: DType | None,
    graph: Graph | None,
    name: str | None,
    definition: OpDef | None = None,
    allowed: tuple[DType, ...] | None = None,
) -> Any:
    """`value` as a tensor of `graph` (None: a concrete one)."""
    if isinstance(value, Tensor):
        if dtype is not None and value.dtype.base_dtype is not dtype.base_dtype:
            if definition is not None:
                failures.wrong_fixed_dtype(definition, name or "", value, dtype, graph)
            raise ValueError(
                f"Tensor conversion requested dtype {dtype.name} for Tensor with dtype {value.dtype.name}: {value!r}"
            )
        return value if graph is None else graph.capture(value)
    method = getattr(value, "__tf_tensor__", None)
    if method is not None:
        tensor = method(dtype, name)
        return tensor if graph is None else graph.capture(tensor)
    for base_type, converter, _ in _CONVERTERS:
        if isinstance(value, base_type):
            tensor = converter(value, dtype=dtype, name=name, as_ref=False)
            if tensor is not NotImplemented:
                return tensor
    if isinstance(value, (list, tuple)) and _has_tensor(value):
        return _pack(value, dtype, name)
    if value is None:
        raise ValueError("None values not supported.")
    array, found = convert.to_own_array(value, dtype, preferred if allowed is None else None)
    if dtype is None and allowed is not None and found not in allowed:
        # what the value is by itself won't do: the op's default dtype, or else float32, is tried
        if (
            graph is not None and preferred is not None
        ):  # TensorFlow leaves its first attempt in the graph: names count on it
            constant_in(graph, array, found, name)
        hint = preferred or (dtypes.float32 if dtypes.float32 in allowed else None)
        array, found = convert.to_own_array(value, None, hint)
    return constant_in(graph, array, found, name)


def constant_in(graph: Graph | None, array: Any, dtype: DType, name: str | None = None) -> Any:
    """`array` as a concrete tensor (graph None), or as a Const of `graph`."""
    if graph is None:
        return EagerTensor(array, dtype, errors.user_site())
    definition = opdef.REGISTRY["Const"]
    return graph.create_operation(definition, (), {"value": array, "dtype": dtype}, name or "Const").outputs[0]


def _has_tensor(values: Sequence[Any]) -> bool:
    return any(
        isinstance(value, Tensor)
        or hasattr(value, "__tf_tensor__")
        or (isinstance(value, (list, tuple)) and _has_tensor(value))
        for value in values
    )


def _pack(values: Sequence[Any], dtype: DType | None, name: str | None) -> Any:
    """A nested list with tensors in it, packed level by level. In a graph each level is a name scope, and what becomes
    a constant is named after its place in the list."""
    wanted = dtype or _first_dtype(values)
    graph = graph_for(values)
    if graph is None:
        return apply_op(opdef.REGISTRY["Pack"], [_packed_rows(values, wanted)], {"axis": 0})
    with graph.name_scope(name or "packed") as scope:
        return apply_op(opdef.REGISTRY["Pack"], [_packed_rows(values, wanted)], {"axis": 0}, scope)


def _packed_rows(values: Sequence[Any], wanted: DType | None) -> list[Any]:
    rows = []
    for place, value in enumerate(values):
        if isinstance(value, (list, tuple)) and _has_tensor(value):
            rows.append(_pack(value, wanted, str(place)))
        elif isinstance(value, Tensor) and wanted is not None and value.dtype.base_dtype is not wanted:
            raise TypeError(
                f"Cannot convert a list containing a tensor of dtype {value.dtype.name} to {wanted.name} (Tensor is: {value!r})"
            )
        else:
            rows.append(convert_to_tensor(value, wanted, str(place)))
    return rows


def _first_dtype(values: Sequence[Any]) -> DType | None:
    for value in values:
        if isinstance(value, Tensor) or hasattr(value, "__tf_tensor__"):
            return value.dtype.base_dtype  # type: ignore[no-any-return]
        if isinstance(value, (list, tuple)):
            found = _first_dtype(value)
            if found is not None:
                return found
    return None


def convert_to_tensor(
    value: Any,
    dtype: Any = None,
    name: str | None = None,
    preferred_dtype: Any = None,
    dtype_hint: Any = None,
    as_ref: bool = False,
) -> Any:
    """`value` as a tensor: a Tensor, Variable, NumPy array, Python number, string, or nested lists of those.

    dtype: required element type; None takes what the value has. preferred_dtype / dtype_hint: tried first.
    Raises TypeError or ValueError when there is no such tensor.
    """
    if type(value) is EagerTensor and (dtype is None or dtype is value.dtype) and context.state().graph is None:
        return value
    wanted = None if dtype is None else dtypes.as_dtype(dtype).base_dtype
    hint = preferred_dtype if preferred_dtype is not None else dtype_hint
    preferred = None if hint is None else dtypes.as_dtype(hint).base_dtype
    if wanted is None and preferred is not None:
        wanted = convert.hinted(value, preferred)
    graph = graph_for((value,))
    if graph is not None and graph is not context.state().graph:
        with context.use_graph(graph):
            return as_tensor(value, wanted, preferred, graph, name)
    return as_tensor(value, wanted, preferred, graph, name)


def unknown_shapes(operation: Operation) -> list[TensorShape]:
    """Inference for an op whose output shapes depend on values."""
    return [TensorShape(None) for _ in operation.outputs]
