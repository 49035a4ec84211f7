"""What is to be drawn or explained: the operations behind a result, and the values that are known of their tensors.

A graph's values come from a session, those of a traced function from calling it, those of a tape are there. In every
case the graph stays as it is: nothing is added to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rillet.autodiff.backprop import is_differentiable
from rillet.autodiff.unconnected import behind
from rillet.core import dtypes, nest
from rillet.core.dispatch import convert_to_tensor
from rillet.core.execution import VariableState, eager_context
from rillet.core.function import FuncGraph, Function
from rillet.core.graph import Graph, Operation
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor
from rillet.frontend.function import ConcreteFunction, PolymorphicFunction
from rillet.frontend.session import Session, get_default_session

EVERYTHING = "all"  # as `wrt`: whatever the result depends on


@dataclass
class Subject:
    """targets: the tensors that were asked for. operations: all that they are computed from, in order, and what runs
    for its effect alone. values: by id of a tensor. sources: what to differentiate by; None: no derivatives.
    names: what the program calls a tensor, by its id."""

    targets: list[Tensor]
    operations: list[Operation]
    values: dict[int, EagerTensor] = field(default_factory=dict)
    sources: list[Tensor] | None = None
    names: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    effects: list[Operation] = field(default_factory=list)


def is_variable(tensor: Tensor) -> bool:
    """Whether the tensor is a variable itself, not its value."""
    return tensor.dtype.base_dtype is dtypes.resource or tensor.dtype.is_ref_dtype


def reads_variable(operation: Operation) -> bool:
    """Whether all that the operation does is to give the value of a variable."""
    return len(operation.inputs) == 1 == len(operation.outputs) and (
        is_variable(operation.inputs[0])
        and not is_variable(operation.outputs[0])
        and (operation.type == "ReadVariableOp" or operation.definition.passes_reference)
    )


def find_subject(
    target: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    wrt: Any,
    feed_dict: Any,
    session: Any,
    tape: Any,
    names: dict[int, str],
) -> Subject:
    """The operations and values behind `target`. For the arguments see tf.draw, which says what is raised too."""
    if isinstance(target, Graph):
        return _whole_graph(target, names)
    if isinstance(target, ConcreteFunction):
        return _of_function(target, args, wrt, names)
    if isinstance(target, (list, tuple)) or not callable(target) or isinstance(target, Tensor):
        targets = [_tensor_or_operation(part) for part in (target if isinstance(target, (list, tuple)) else [target])]
        if any(isinstance(part, EagerTensor) for part in targets):
            return _of_tape(targets, tape, wrt, names)
        return _of_graph(targets, wrt, feed_dict, session, names)
    function = target if isinstance(target, PolymorphicFunction) else PolymorphicFunction(target, _name(target))
    concrete = function.get_concrete_function(*args, **kwargs)
    leaves = nest.flatten((args, kwargs), expand_composites=True)
    return _of_function(concrete, [leaf for leaf in leaves if not _is_plain(leaf)], wrt, names)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", None) or getattr(function, "name", None) or type(function).__name__)


def _is_plain(leaf: Any) -> bool:
    return isinstance(leaf, (bool, int, float, str, bytes, type(None))) or hasattr(leaf, "_source")


def _tensor_or_operation(value: Any) -> Any:
    if isinstance(value, (Tensor, Operation)):
        return value
    as_element = getattr(value, "_as_graph_element", None)
    element = as_element() if as_element is not None else getattr(value, "_source", None)
    if not isinstance(element, (Tensor, Operation)):
        raise TypeError(f"cannot draw a {type(value).__name__}: give a tensor, an operation, a graph or a function")
    return element


# ---- a graph --------------------------------------------------------------------------------------------------------


def _whole_graph(graph: Graph, names: dict[int, str]) -> Subject:
    operations = graph.get_operations()
    read = {id(tensor) for operation in operations for tensor in operation.inputs}
    ends = [
        operation
        for operation in operations
        if operation.inputs and operation.outputs and not any(id(tensor) in read for tensor in operation.outputs)
    ]
    return Subject([operation.outputs[0] for operation in ends], operations, names=names, effects=operations)


def _of_graph(targets: list[Any], wrt: Any, feed_dict: Any, session: Any, names: dict[int, str]) -> Subject:
    graph = targets[0].graph
    tensors = [target for target in targets if isinstance(target, Tensor)]
    effects = [target for target in targets if isinstance(target, Operation)]
    subject = Subject(tensors, ancestors(tensors, effects), names=names, effects=effects)
    subject.sources = find_sources(wrt, subject, graph)
    if feed_dict is not None or session is not None:
        session = session or get_default_session() or Session(graph=graph)
        fetched = _computable(subject.operations)
        for tensor, value in zip(fetched, session.run(fetched, feed_dict), strict=True):
            subject.values[id(tensor)] = EagerTensor(value, tensor.dtype.base_dtype)
    return subject


def ancestors(tensors: Iterable[Tensor], effects: Iterable[Operation] = ()) -> list[Operation]:
    """All operations that run for `tensors` and `effects`, in the order they were made."""
    found: dict[int, Operation] = {}
    waiting = [*effects, *[tensor.op for tensor in tensors if isinstance(tensor, SymbolicTensor)]]
    while waiting:
        operation = waiting.pop()
        if operation.sequence not in found:
            found[operation.sequence] = operation
            waiting.extend(tensor.op for tensor in operation.inputs if isinstance(tensor, SymbolicTensor))
            waiting.extend(operation.control_inputs)
    return [found[sequence] for sequence in sorted(found)]


def _computable(operations: Sequence[Operation]) -> list[SymbolicTensor]:
    """The tensors whose values can be had and are no constants of structure."""
    return [
        tensor
        for operation in operations
        for tensor in operation.outputs
        if tensor.dtype.base_dtype.is_numpy_compatible and not is_variable(tensor)
    ]


def find_sources(wrt: Any, subject: Subject, graph: Graph | None) -> list[Tensor] | None:
    """The tensors that `wrt` names. Raises ValueError for a name that nothing has."""
    if wrt is None:
        return None
    if isinstance(wrt, str) and wrt == EVERYTHING:
        return _leaves(subject.operations)
    return [_source(part, subject, graph) for part in (wrt if isinstance(wrt, (list, tuple)) else [wrt])]


def _leaves(operations: Sequence[Operation]) -> list[Tensor]:
    leaves: list[Tensor] = []
    for operation in operations:
        is_leaf = (not operation.inputs and operation.type != "Const") or reads_variable(operation)
        leaves.extend(tensor for tensor in operation.outputs if is_leaf and is_differentiable(tensor.dtype))
    return [tensor for tensor in leaves if not is_variable(tensor)]


def _source(part: Any, subject: Subject, graph: Graph | None) -> Tensor:
    if isinstance(part, str):
        return _source_named(part, subject, graph)
    element = getattr(part, "_source", part)
    if not isinstance(element, Tensor):
        raise TypeError(f"wrt takes tensors, variables and their names, not {type(part).__name__}")
    return element


def _source_named(name: str, subject: Subject, graph: Graph | None) -> Tensor:
    tensors = {
        id(tensor): tensor for operation in subject.operations for tensor in (*operation.inputs, *operation.outputs)
    }
    for key, called in subject.names.items():
        if called == name and key in tensors:
            return tensors[key]
    for tensor in tensors.values():
        if isinstance(tensor, SymbolicTensor) and name in (tensor.name, tensor.op.name, captured_name(tensor)):
            return tensor
    raise ValueError(f"wrt: nothing that is drawn is called {name!r}")


def captured_name(tensor: Tensor) -> str:
    """The name of the variable that a tensor is the handle of, or ""."""
    outside = tensor.__dict__.get("_outside", tensor)
    reference = getattr(outside, "__dict__", {}).get("_variable")
    variable = reference() if reference is not None else None
    return str(getattr(variable, "name", "")).removesuffix(":0")


# ---- a function -----------------------------------------------------------------------------------------------------


def _of_function(concrete: ConcreteFunction, args: Sequence[Any], wrt: Any, names: dict[int, str]) -> Subject:
    graph = concrete.graph
    targets = [tensor for tensor in graph.outputs if not is_variable(tensor)]
    effects = [
        operation for operation in graph.get_operations() if operation.definition.is_stateful and not operation.outputs
    ]
    subject = Subject(list(targets), ancestors(targets, effects), names=dict(names), effects=effects)
    for outside, inside in graph.captures:
        if id(outside) in names:
            subject.names.setdefault(id(inside), names[id(outside)])
    subject.sources = _inside(graph, find_sources(wrt, subject, graph))
    if args:
        subject.values = _values_in_call(concrete, args, subject.operations)
    return subject


def _inside(graph: FuncGraph, sources: list[Tensor] | None) -> list[Tensor] | None:
    """Sources from outside as the body has them."""
    if sources is None:
        return None
    captured = {id(outside): inside for outside, inside in graph.captures}
    return [captured.get(id(source), source) for source in sources]


def _values_in_call(
    concrete: ConcreteFunction, args: Sequence[Any], operations: Sequence[Operation]
) -> dict[int, EagerTensor]:
    graph = concrete.graph
    parameters = graph.inputs[: len(graph.inputs) - len(graph.captures)]
    given = [convert_to_tensor(value, parameter.dtype) for value, parameter in zip(args, parameters, strict=True)]
    if not all(isinstance(value, EagerTensor) for value in given):
        return {}
    arrays = [_apart(value._array) for value in [*given, *graph.external_captures]]
    inputs = {id(tensor) for tensor in graph.inputs}
    results = [tensor for operation in operations for tensor in operation.outputs]
    wanted = [tensor for tensor in results if id(tensor) not in inputs]
    function = Function.cut(f"{graph.name}_values", graph.inputs, wanted, (), graph)
    computed = eager_context().executable(function)(arrays)
    tensors = [*graph.inputs, *wanted]
    return {
        id(tensor): EagerTensor(array, tensor.dtype.base_dtype)
        for tensor, array in zip(tensors, [*arrays, *computed], strict=True)
    }


def _apart(value: Any) -> Any:
    """A variable's state as a copy: what runs for a picture changes nothing. Other values as they are."""
    if not isinstance(value, VariableState) or value.value is None:
        return value
    copy = VariableState(value.name, value.dtype, value.shape)
    copy.value = np.array(value.value)
    return copy


# ---- a tape ---------------------------------------------------------------------------------------------------------


def _of_tape(targets: list[Any], tape: Any, wrt: Any, names: dict[int, str]) -> Subject:
    if tape is None:
        raise ValueError(
            "an eager tensor knows nothing of how it was computed: give the GradientTape that recorded it as `tape`"
        )
    producer: Callable[[Tensor], Operation | None] = tape.producer()
    if producer(targets[0]) is None:
        raise ValueError(
            "the tape has not recorded how this tensor was computed. Was what it depends on watched (tape.watch), and is the "
            "tape persistent, or not used yet?"
        )
    operations = behind(targets, producer)
    subject = Subject(targets, operations, names=names)
    for operation in operations:
        for tensor in (*operation.inputs, *operation.outputs):
            if isinstance(tensor, EagerTensor):
                subject.values[id(tensor)] = tensor
    if wrt is None:
        made = {id(tensor) for operation in operations for tensor in operation.outputs}
        watched = [tensor for tensor in tape.tensors if id(tensor) not in made]
        used = {id(tensor) for operation in operations for tensor in operation.inputs}
        subject.sources = [tensor for tensor in watched if id(tensor) in used]
    else:
        subject.sources = find_sources(wrt, subject, None)
    return subject
