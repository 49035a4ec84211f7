"""Branches and loops as ops: which function runs, and how often, is decided by a value.

Their bodies are Functions, held as attributes; what a body takes from outside is an input of the op. `select` and
`repeat` make the ops from traced bodies; the public functions that trace them are in frontend.control.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, graph_for
from rillet.core.dtypes import DType
from rillet.core.execution import VariableState
from rillet.core.function import FuncGraph, Function
from rillet.core.graph import Graph, Operation
from rillet.core.opdef import NO_GRADIENT, OpDef, define
from rillet.core.shapes import TensorShape
from rillet.core.tensor import SymbolicTensor, Tensor, handle_data, set_handle_data
from rillet.ops.list import TensorList

# ---- branches -------------------------------------------------------------------------------------------------------


def _is_true(value: Any) -> bool:
    """A scalar: not zero, not empty. Another shape: it has elements."""
    return bool(value) if np.ndim(value) == 0 else np.size(value) > 0


def _if(condition: Any, *arrays: Any, then_branch: Function, else_branch: Function, context: Any) -> tuple[Any, ...]:
    return tuple(context.call(then_branch if _is_true(condition) else else_branch, arrays))


def _case(index: Any, *arrays: Any, branches: Sequence[Function], context: Any) -> tuple[Any, ...]:
    place = int(index)
    return tuple(context.call(branches[place if 0 <= place < len(branches) else -1], arrays))


def branches_of(op: Operation) -> list[Function]:
    """The functions that an If or Case chooses from."""
    attrs = op.attrs
    return list(attrs["branches"]) if "branches" in attrs else [attrs["then_branch"], attrs["else_branch"]]


def _branch_shapes(op: Operation) -> list[TensorShape]:
    """What is true of an output whichever branch is taken."""
    shapes = []
    for output, *alternatives in zip(op.outputs, *[branch.outputs for branch in branches_of(op)], strict=True):
        shape = alternatives[0].shape
        for other in alternatives[1:]:
            shape = shape.most_specific_compatible_shape(other.shape)
        shapes.append(shape)
        set_handle_data(output, handle_data(alternatives[0]))
    return shapes


_BRANCH_TYPES = "Tin: list(type), Tout: list(type), output_shapes: list(shape) = []"
_IF = (
    "cond: Tcond, input: Ref(Tin...) -> output: Tout...",
    f"Tcond: type, {_BRANCH_TYPES}, then_branch: func, else_branch: func",
)
_CASE = ("branch_index: int32, input: Ref(Tin...) -> output: Tout...", f"{_BRANCH_TYPES}, branches: list(func)")
IF = define("If", *_IF, reference=_if, shape=_branch_shapes, is_stateful=True)
STATELESS_IF = define("StatelessIf", *_IF, reference=_if, shape=_branch_shapes)
CASE = define("Case", *_CASE, reference=_case, shape=_branch_shapes, is_stateful=True)
STATELESS_CASE = define("StatelessCase", *_CASE, reference=_case, shape=_branch_shapes)


def _stand_in(dtype: DType, shape: TensorShape) -> Any:
    if not dtype.is_numpy_compatible:
        return None
    zero: Any = np.array(b"" if dtype is dtypes.string else 0, dtype.numpy_dtype)
    known = shape.dimensions
    return zero if known is None or None in known else np.broadcast_to(zero, [size or 0 for size in known])


FAKE_PARAM = define(
    "FakeParam", "-> output: dtype", "dtype: type, shape: shape",
    reference=lambda *, dtype, shape: _stand_in(dtype, shape),
    shape=lambda op: op.attrs["shape"],
    fold=lambda op: _stand_in(op.attrs["dtype"], op.attrs["shape"]),
    gradient=NO_GRADIENT,
)  # fmt: skip


def stand_in(graph: Graph, tensor: Tensor) -> SymbolicTensor:
    """A value that nobody reads, where another branch returns `tensor`."""
    attrs = {"dtype": tensor.dtype.base_dtype, "shape": tensor.shape}
    with graph.control_dependencies(None):
        result: SymbolicTensor = graph.create_operation(FAKE_PARAM, (), attrs).outputs[0]
    set_handle_data(result, handle_data(tensor))
    return result


def share_captures(graphs: Sequence[FuncGraph]) -> list[Tensor]:
    """Gives all graphs the same captured inputs behind their own parameters; returns the tensors captured."""
    outside = {id(tensor): tensor for graph in graphs for tensor in graph.external_captures}
    for graph in graphs:
        captured = {id(tensor) for tensor in graph.internal_captures}
        own = [tensor for tensor in graph.inputs if id(tensor) not in captured]
        graph.inputs = [*own, *[graph.capture(tensor) for tensor in outside.values()]]
        graph.rewrites += 1
    return list(outside.values())


def select(selector: Any, graphs: Sequence[FuncGraph], inputs: Sequence[Any], name: str | None = None) -> list[Any]:
    """The outputs of the graph that `selector` chooses: of two the first where it is true; of any number (selector of
    dtype int32) the one in that place, or the last.

    inputs: the values of the graphs' inputs, which are alike; see share_captures.
    """
    functions = [graph.function() for graph in graphs]
    is_stateful = any(function.is_stateful for function in functions)
    attrs: dict[str, Any] = {"Tout": functions[0].output_dtypes}
    if selector.dtype.base_dtype is dtypes.int32:
        definition = CASE if is_stateful else STATELESS_CASE
        attrs["branches"] = tuple(functions)
    else:
        definition = IF if is_stateful else STATELESS_IF
        attrs["then_branch"], attrs["else_branch"] = functions
    return _call(definition, (selector, list(inputs)), attrs, graphs, name)


def _call(
    definition: OpDef, inputs: tuple[Any, ...], attrs: dict[str, Any], graphs: Sequence[FuncGraph], name: str | None
) -> list[Any]:
    """Calls the op after whatever its bodies wait for."""
    waiting = [operation for graph in graphs for operation in graph.control_captures]
    graph = graph_for(inputs)
    if graph is None or not waiting:
        return list(apply_op(definition, inputs, attrs, name))
    with graph.control_dependencies(waiting):
        return list(apply_op(definition, inputs, attrs, name))


# ---- loops ----------------------------------------------------------------------------------------------------------


def _while(*values: Any, cond: Function, body: Function, context: Any) -> tuple[Any, ...]:
    proceeds, advance = context.executable(cond), context.executable(body)
    count = len(values)
    current = [np.asarray(value) if isinstance(value, np.generic) else value for value in values]  # what engines want
    moving = [index for index in range(count) if body.outputs[index] is not body.inputs[index]]
    collected: list[list[Any]] = [[] for _ in body.outputs[count:]]
    while _is_true(proceeds(current)[0]):
        results = advance(current)
        for index in moving:
            current[index] = results[index]
        for column, value in zip(collected, results[count:], strict=True):
            column.append(value)
    columns = zip(collected, body.outputs[count:], strict=True)
    lists = [TensorList.of(column, tensor.dtype.base_dtype, tensor.shape) for column, tensor in columns]
    by_reference = [tensor.dtype.is_ref_dtype for tensor in body.inputs]
    return (*[_content(value) if ref else value for value, ref in zip(current, by_reference, strict=True)], *lists)


def _content(state: VariableState) -> Any:
    """What a loop returns for a reference variable that its body takes."""
    return np.zeros((), state.dtype.numpy_dtype) if state.value is None else state.value


def _while_shapes(op: Operation) -> list[TensorShape]:
    """The loop's invariants; the collected lists are scalars."""
    body: Function = op.attrs["body"]
    for output, inside in zip(op.outputs, body.inputs, strict=False):
        set_handle_data(output, handle_data(inside))
    collected = body.outputs[len(body.inputs) :]
    for output, inside in zip(op.outputs[len(body.inputs) :], collected, strict=True):
        set_handle_data(output, (inside.dtype.base_dtype, inside.shape))
    return [*[tensor.shape for tensor in body.inputs], *[TensorShape(()) for _ in collected]]


# What the body returns beyond its loop variables is collected in a list each, with an entry an iteration: the values
# that the gradient of the loop takes up again, last one first.
_WHILE = (
    "input: Ref(T...) -> output: T..., collected: Tcollected...",
    "T: list(type), Tcollected: list(type) = [], cond: func, body: func, output_shapes: list(shape) = [], "
    "parallel_iterations: int = 10",
)
WHILE = define("While", *_WHILE, reference=_while, shape=_while_shapes, is_stateful=True)
STATELESS_WHILE = define("StatelessWhile", *_WHILE, reference=_while, shape=_while_shapes)


def repeat(
    condition: FuncGraph,
    body: FuncGraph,
    inputs: Sequence[Any],
    parallel_iterations: int = 10,
    name: str | None = None,
    collect: Sequence[SymbolicTensor] = (),
) -> list[Any]:
    """The loop variables after the loop, and lists of the values that the body's tensors `collect` had.

    condition: of the loop variables, returns whether to go on. body: returns their next values; variable 0 counts
    iterations. Both have the same inputs; captured ones stay as they are, which is added to the body's outputs here.
    inputs: the first values of the loop variables, and what is captured.
    """
    body.outputs = [*body.outputs, *body.inputs[len(body.outputs) :]]
    functions = [condition.function(), body.function(collect)]
    definition = WHILE if any(function.is_stateful for function in functions) else STATELESS_WHILE
    attrs: dict[str, Any] = {"cond": functions[0], "body": functions[1], "parallel_iterations": parallel_iterations}
    attrs["Tcollected"] = (dtypes.variant,) * len(collect)
    return _call(definition, (list(inputs),), attrs, [condition, body], name)
