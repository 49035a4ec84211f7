"""Control flow: tf.cond, tf.case, tf.switch_case, tf.while_loop.

Eagerly they are Python's own `if` and `while`. In a graph the branches and bodies are traced into graphs of their own,
and one op (If, Case, While) runs them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes, nest
from rillet.core.dispatch import apply_op, convert_to_tensor, graph_for
from rillet.core.export import public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph, Operation
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import UNKNOWN, TensorShape, as_shape
from rillet.core.tensor import SymbolicTensor, Tensor, handle_data, set_handle_data
from rillet.errors import InvalidArgumentError
from rillet.ops.control import repeat, select, share_captures


class ControlFlow:
    """Whether nodes of control flow in graphs are named as TensorFlow 2 names them, or as TensorFlow 1, where a graph and
    the bodies of its loops were one: results are called cond/Merge and while/Exit, random seeds are numbered throughout,
    and a body runs what its results need, no more."""

    v2 = True


@public(v1=["enable_control_flow_v2"])
def enable_control_flow_v2() -> None:
    """Control flow in graphs is named as TensorFlow 2 does."""
    ControlFlow.v2 = True


@public(v1=["disable_control_flow_v2"])
def disable_control_flow_v2() -> None:
    """Control flow in graphs is named as in TensorFlow 1."""
    ControlFlow.v2 = False


@public(v1=["control_flow_v2_enabled"])
def control_flow_v2_enabled() -> bool:
    return is_v2(context.state().graph)


def is_v2(graph: Graph | None) -> bool:
    """Whether control flow in `graph` follows TensorFlow 2: inside a tf.function it always does."""
    while isinstance(graph, FuncGraph) and not graph.keeps_effects:
        graph = graph.outer_graph
    return ControlFlow.v2 or isinstance(graph, FuncGraph)


# ---- tracing bodies -------------------------------------------------------------------------------------------------


def body_graph(name: str, outer: Graph) -> FuncGraph:
    """An empty graph for a branch or loop body inside `outer`."""
    effects = isinstance(outer, FuncGraph) and outer.keeps_effects
    graph = FuncGraph(name, outer, keeps_effects=effects)
    graph.inherit_scopes(outer)
    if not is_v2(outer):
        graph.numbering = outer.numbering
    return graph


@contextlib.contextmanager
def tracing(graph: FuncGraph, scope: str) -> Iterator[None]:
    """What is called inside goes to `graph`, named below `scope`. Tapes see the op that will run the graph, not this."""
    with graph.as_default(), context.recording_variables_only(), graph.name_scope(scope):
        yield


def _as_tensors(graph: Graph, structure: Any, pivot: bool) -> Any:
    """What a branch returned, with tensors of its graph for leaves. None stays, an operation becomes a bool (`pivot`) that
    is there after it ran."""

    def convert(leaf: Any) -> Any:
        if leaf is None:
            return None
        if isinstance(leaf, Operation):
            with graph.control_dependencies([leaf]):
                return apply_op(REGISTRY["Identity"], (np.bool_(pivot),), name="control_dependency")
        return by_value(graph.capture(convert_to_tensor(leaf)))

    return nest.map_structure(convert, structure, expand_composites=True)


def by_value(tensor: Any) -> Any:
    """`tensor`; of a reference variable its value."""
    return apply_op(REGISTRY["Identity"], (tensor,)) if tensor.dtype.is_ref_dtype else tensor


def _flat_tensors(structure: Any) -> list[Any]:
    return [leaf for leaf in nest.flatten(structure, expand_composites=True) if leaf is not None]


def _packed(structure: Any, tensors: Sequence[Any]) -> Any:
    """`structure` with other tensors in place of its own; its Nones stay."""
    remaining = iter(tensors)
    leaves = nest.flatten(structure, expand_composites=True)
    flat = [None if leaf is None else next(remaining) for leaf in leaves]
    return nest.pack_sequence_as(structure, flat, expand_composites=True)


def _named(tensor: Any, name: str) -> Any:
    result = apply_op(REGISTRY["Identity"], (tensor,), name=name)
    set_handle_data(result, handle_data(tensor))
    return result


# ---- cond -----------------------------------------------------------------------------------------------------------


@public(v2=["cond"])
def cond(pred: Any, true_fn: Any = None, false_fn: Any = None, name: str | None = None) -> Any:
    """true_fn() where `pred` is true, else false_fn(). In a graph both are traced, and one of them runs.

    pred: a boolean scalar. true_fn, false_fn: functions without arguments, that return nests of tensors of one
        structure and of equal dtypes.
    Raises TypeError where a function is missing or the structures or dtypes differ.
    """
    _check_functions(true_fn, false_fn)
    graph = graph_for((pred,))
    if graph is None or isinstance(pred, (bool, np.bool_)):
        return true_fn() if pred else false_fn()
    with context.use_graph(graph):
        return _cond(graph, pred, true_fn, false_fn, True, name)


@public(v1=["cond"])
def cond_v1(
    pred: Any,
    true_fn: Any = None,
    false_fn: Any = None,
    strict: bool = False,
    name: str | None = None,
    fn1: Any = None,
    fn2: Any = None,
) -> Any:
    """As tf.cond; fn1 and fn2 are old names of the functions. Unless `strict`, a list or tuple of one is unpacked.

    Raises TypeError for a Python bool as `pred` while a graph is built.
    """
    for old_name, old, new_name, new in (("fn1", fn1, "true_fn", true_fn), ("fn2", fn2, "false_fn", false_fn)):
        if old is not None and new is not None:
            raise TypeError(f"cond(): '{new_name}' and '{old_name}' may not be set simultaneously.")
    true_fn, false_fn = true_fn or fn1, false_fn or fn2
    _check_functions(true_fn, false_fn)
    graph = graph_for((pred,))
    if graph is None:
        result = true_fn() if pred else false_fn()
        return result if strict else _unpacked(result)
    if isinstance(pred, bool):
        raise TypeError("pred must not be a Python bool")
    with context.use_graph(graph):
        return _cond(graph, pred, true_fn, false_fn, strict, name)


def _check_functions(true_fn: Any, false_fn: Any) -> None:
    for name, function in (("true_fn", true_fn), ("false_fn", false_fn)):
        if function is None:
            raise TypeError(f"cond(): '{name}' argument required")
        if not callable(function):
            raise TypeError(f"'{name}' must be callable.")


def _unpacked(result: Any) -> Any:
    is_plain = isinstance(result, (list, tuple)) and not hasattr(result, "_fields")
    return result[0] if is_plain and len(result) == 1 else result


def _cond(graph: Graph, pred: Any, true_fn: Any, false_fn: Any, strict: bool, name: str | None) -> Any:
    v2 = is_v2(graph)
    with graph.name_scope(name or "cond") as scope:
        pred = _predicate(graph, pred, v2)
        branches = [
            Branch.of(body_graph(f"{scope[:-1]}_{label}", graph), scope, function, label, strict or v2, v2)
            for label, function in (("true", true_fn), ("false", false_fn))
        ]
        _check_alike(branches[0], branches[1], v2)
        return selected(graph, pred, branches, scope, v2, "If")


class Branch:
    """One branch, traced: its graph, and the structure of tensors that it returns."""

    def __init__(self, graph: FuncGraph, scope: str) -> None:
        self.graph = graph
        self.scope = scope
        self.is_operation = False
        self.structure: Any = None

    @classmethod
    def of(
        cls, graph: FuncGraph, scope: str, function: Callable[[], Any], label: str, strict: bool, v2: bool
    ) -> Branch:
        """The branch that calls `function`."""
        branch = cls(graph, scope)
        with tracing(graph, scope):
            returned = function() if strict else _unpacked(function())
            if returned is None and not v2:
                raise ValueError(f"'{label}_fn' must have a return value.")
            branch._give(returned, label == "true")
        return branch

    def give(self, structure: Any) -> None:
        """Makes `structure` what the branch returns."""
        with tracing(self.graph, self.scope):
            self._give(structure, True)

    def _give(self, returned: Any, pivot: bool) -> None:
        self.is_operation = isinstance(returned, Operation)
        self.structure = _as_tensors(self.graph, returned, pivot)
        self.graph.outputs = _flat_tensors(self.structure)
        if not self.graph.outputs:  # the op that runs the branch is reached through an output
            self.graph.outputs = [self.graph.capture(convert_to_tensor(True))]


def selected(graph: Graph, selector: Any, branches: Sequence[Branch], scope: str, v2: bool, op_name: str) -> Any:
    """What the branch returns that `selector` chooses."""
    graphs = [branch.graph for branch in branches]
    results = select(selector, graphs, share_captures(graphs), scope if v2 else op_name)
    first = branches[0]
    if not _flat_tensors(first.structure) or (v2 and first.is_operation):
        return results[0].op if first.is_operation else first.structure
    return _packed(first.structure, [_named(result, "Identity" if v2 else "Merge") for result in results])


def _predicate(graph: Graph, pred: Any, v2: bool) -> Any:
    """`pred` as a boolean tensor of the graph."""
    tensor = by_value(graph.capture(convert_to_tensor(pred)))
    if tensor.dtype.base_dtype is dtypes.bool:
        return tensor
    if not v2:
        raise TypeError(
            f"Input 'pred' of 'Switch' Op has type {tensor.dtype.name} that does not match expected type of bool."
        )
    return apply_op(REGISTRY["Cast"], (tensor,), {"DstT": dtypes.bool})


def _check_alike(first: Branch, second: Branch, v2: bool) -> None:
    try:
        nest.assert_same_structure(first.structure, second.structure, expand_composites=True)
    except (TypeError, ValueError) as error:
        raise _mismatch(first, second, str(error)) if v2 else error from None
    for one, other in zip(first.graph.outputs, second.graph.outputs, strict=True):
        if one.dtype.base_dtype is not other.dtype.base_dtype:
            if v2:
                raise _mismatch(first, second, f"{one} and {other} have different types")
            raise ValueError(
                f"Outputs of 'true_fn' and 'false_fn' must have the same type(s). Received {one.dtype.name} from 'true_fn' and "
                f"{other.dtype.name} from 'false_fn'."
            )


def _mismatch(first: Branch, second: Branch, details: str) -> TypeError:
    return TypeError(
        "true_fn and false_fn arguments to tf.cond must have the same number, type, and overall structure of return values.\n\n"
        f"true_fn output: {first.structure}\nfalse_fn output: {second.structure}\n\nError details:\n{details}"
    )


# ---- while ----------------------------------------------------------------------------------------------------------


@public(v2=["while_loop"])
def while_loop(
    cond: Any,
    body: Any,
    loop_vars: Any,
    shape_invariants: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    maximum_iterations: Any = None,
    name: str | None = None,
) -> Any:
    """Calls `body` as long as `cond` is true, on the loop variables and then on what it returned.

    cond, body: functions of the loop variables; cond returns a boolean scalar, body the next loop variables.
    loop_vars: a list or tuple of nests of tensors, TensorArrays, IndexedSlices ...
    shape_invariants: the same structure of TensorShapes, for variables whose shape changes (None: unknown sizes).
    maximum_iterations: at most so many calls of body. back_prop: False makes the results constants for gradients.
    parallel_iterations, swap_memory: accepted.
    Returns the loop variables after the last iteration, in the structure of loop_vars.
    Raises TypeError for a cond or body that is not callable; ValueError where there are no loop variables, or their
    structure or (unless the invariant allows it) shape changes.
    """
    return _while_loop(
        cond, body, loop_vars, shape_invariants, parallel_iterations, back_prop, maximum_iterations, name, True
    )


@public(v1=["while_loop"])
def while_loop_v1(
    cond: Any,
    body: Any,
    loop_vars: Any,
    shape_invariants: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
    maximum_iterations: Any = None,
    return_same_structure: bool = False,
) -> Any:
    """As tf.while_loop. A single loop variable is returned as it is, unless `return_same_structure`."""
    return _while_loop(
        cond,
        body,
        loop_vars,
        shape_invariants,
        parallel_iterations,
        back_prop,
        maximum_iterations,
        name,
        return_same_structure,
    )


def _while_loop(
    cond: Any,
    body: Any,
    loop_vars: Any,
    shape_invariants: Any,
    parallel_iterations: int,
    back_prop: bool,
    maximum_iterations: Any,
    name: str | None,
    same_structure: bool,
) -> Any:
    _check_loop(cond, body, loop_vars, parallel_iterations)
    graph = graph_for([*nest.flatten(loop_vars, expand_composites=True), maximum_iterations])
    if maximum_iterations is not None:
        _check_limit(maximum_iterations)
    if graph is None:
        return _loop_eagerly(cond, body, loop_vars, maximum_iterations, same_structure)
    with context.use_graph(graph):
        loop = _Loop(graph, loop_vars, shape_invariants, maximum_iterations)
        with graph.name_scope(name or "while") as scope:
            results = loop.run(cond, body, scope, parallel_iterations)
            if not back_prop:
                results = [apply_op(REGISTRY["StopGradient"], (result,)) for result in results]
        packed = nest.pack_sequence_as(loop_vars, results, expand_composites=True)
    return packed if same_structure or len(results) != 1 else packed[0]


def _check_loop(cond: Any, body: Any, loop_vars: Any, parallel_iterations: Any) -> None:
    if not isinstance(loop_vars, (list, tuple)) or not loop_vars:
        raise ValueError("'loop_vars' must be provided.")
    for name, function in (("cond", cond), ("body", body)):
        if not callable(function):
            raise TypeError(f"'{name}' must be callable.")
    if not isinstance(parallel_iterations, Tensor) and parallel_iterations < 1:
        raise TypeError("'parallel_iterations' must be a positive integer.")


def _check_limit(maximum_iterations: Any) -> None:
    shape = (
        maximum_iterations.shape
        if isinstance(maximum_iterations, Tensor)
        else TensorShape(np.shape(maximum_iterations))
    )
    if shape.rank not in (None, 0):
        raise ValueError(f"'maximum_iterations' must be a scalar. Received shape: {shape}")


def _loop_eagerly(cond: Any, body: Any, loop_vars: Any, maximum_iterations: Any, same_structure: bool) -> Any:
    limit = None if maximum_iterations is None else int(maximum_iterations)
    current = list(loop_vars)
    iterations = 0
    while (limit is None or iterations < limit) and cond(*current):
        current = _next_variables(current, body(*current))
        iterations += 1
    tensors = nest.map_structure(convert_to_tensor, current, expand_composites=True)
    packed = nest.pack_sequence_as(loop_vars, nest.flatten(tensors))
    return packed if same_structure or len(packed) != 1 else packed[0]


def _next_variables(current: Sequence[Any], returned: Any) -> list[Any]:
    """What a body returned, as a list of as many variables, of the same structure as `current`."""
    if returned is None:
        raise ValueError("None values not supported.")
    if len(current) == 1 and not isinstance(returned, (list, tuple)):
        returned = [returned]
    following = list(returned) if isinstance(returned, (list, tuple)) else returned
    nest.assert_same_structure(list(current), following, expand_composites=True)
    return following


class _Loop:
    """A loop in a graph. Before the user's variables it has two of its own: a count of iterations, and their limit."""

    def __init__(self, graph: Graph, loop_vars: Any, shape_invariants: Any, maximum_iterations: Any) -> None:
        self.graph = graph
        self.v2 = is_v2(graph)
        self.loop_vars = loop_vars
        self.shape_invariants = shape_invariants
        self.maximum_iterations = maximum_iterations
        if self.v2:
            self._enter()

    def _enter(self) -> None:
        """Takes the first values of the variables."""
        leaves = nest.flatten(self.loop_vars, expand_composites=True)
        self.initial = [by_value(self.graph.capture(convert_to_tensor(leaf))) for leaf in leaves]
        self.invariants = _invariants(self.loop_vars, self.shape_invariants, self.initial)

    def run(self, cond: Any, body: Any, scope: str, parallel_iterations: int) -> list[Any]:
        if not self.v2:
            self._enter()
        own = self._own_variables()
        self.variables = [*own, *self.initial]
        self.shapes = [*[TensorShape(()) for _ in own], *self.invariants]
        condition = self._trace_condition(cond, scope)
        step = self._trace_body(body, scope)
        inputs = [*self.variables, *share_captures([condition, step])]
        results = repeat(condition, step, inputs, parallel_iterations, scope if self.v2 else "While")
        results = results[len(own) : len(self.variables)]
        return results if self.v2 else [_named(result, "Exit") for result in results]

    def _own_variables(self) -> list[Any]:
        limit = -1 if self.maximum_iterations is None else self.maximum_iterations
        limit = _scalar(self.graph, limit, "maximum_iterations")
        return [_scalar(self.graph, 0, "loop_counter" if self.v2 else "iteration_counter"), limit]

    def _parameters(self, graph: FuncGraph) -> list[Any]:
        parameters = []
        for variable, shape in zip(self.variables, self.shapes, strict=True):
            parameters.append(graph.add_input(variable.dtype.base_dtype, shape))
            set_handle_data(parameters[-1], handle_data(variable))
        return parameters

    def _packed(self, parameters: Sequence[Any]) -> Any:
        own = len(self.variables) - len(self.initial)
        return nest.pack_sequence_as(self.loop_vars, parameters[own:], expand_composites=True)

    def _trace_condition(self, cond: Any, scope: str) -> FuncGraph:
        graph = body_graph(f"{scope[:-1]}_cond", self.graph)
        with tracing(graph, scope):
            parameters = self._parameters(graph)
            proceeds = _predicate(graph, cond(*self._packed(parameters)), self.v2)
            if self.maximum_iterations is not None:
                within = apply_op(REGISTRY["Less"], (parameters[0], parameters[1]))
                proceeds = apply_op(REGISTRY["LogicalAnd"], (within, proceeds))
            graph.outputs = [proceeds]
        return graph

    def _trace_body(self, body: Any, scope: str) -> FuncGraph:
        graph = body_graph(f"{scope[:-1]}_body", self.graph)
        with tracing(graph, scope):
            parameters = self._parameters(graph)
            current = self._packed(parameters)
            following = _next_variables(list(current), body(*current))
            leaves = nest.flatten(following, expand_composites=True)
            own = len(parameters) - len(leaves)
            outputs = [self._leaf(graph, *pair) for pair in zip(leaves, parameters[own:], strict=True)]
            for output, initial, invariant in zip(outputs, self.initial, self.invariants, strict=True):
                _check_invariant(output, initial, invariant, "`" if self.v2 else "'")
            graph.outputs = [parameters[0] + 1, *parameters[1:own], *outputs]
        return graph

    def _leaf(self, graph: FuncGraph, leaf: Any, parameter: Any) -> Any:
        tensor = convert_to_tensor(leaf, preferred_dtype=parameter.dtype)
        return by_value(graph.capture(tensor))


def _scalar(graph: Graph, value: Any, name: str) -> Any:
    """A count of iterations as a tensor."""
    tensor = graph.capture(convert_to_tensor(value, None if isinstance(value, Tensor) else dtypes.int32, name=name))
    return tensor if tensor.dtype is dtypes.int32 else apply_op(REGISTRY["Cast"], (tensor,), {"DstT": dtypes.int32})


def _invariants(loop_vars: Any, shape_invariants: Any, initial: Sequence[Any]) -> list[TensorShape]:
    """The shape that each tensor has in every iteration."""
    if shape_invariants is None:
        return [tensor.shape for tensor in initial]
    nest.assert_same_structure(list(loop_vars), list(shape_invariants))
    result: list[TensorShape] = []
    for variable, invariant in zip(nest.flatten(loop_vars), nest.flatten(shape_invariants), strict=True):
        parts = nest.flatten(variable, expand_composites=True)
        tensors = initial[len(result) : len(result) + len(parts)]
        if nest.is_nested_or_composite(variable):
            result.extend(_sizes_unknown(tensor.shape) for tensor in tensors)
        else:
            result.append(as_shape(getattr(invariant, "shape", invariant)))
    for tensor, shape in zip(initial, result, strict=True):
        if not tensor.shape.is_compatible_with(shape):
            raise ValueError(
                f"The shape invariant specified for {_label(tensor)} is not compatible with the initial shape of the loop "
                f"variable. It enters the loop with shape {tensor.shape}, but the specified shape invariant is {shape}."
            )
    return result


def _sizes_unknown(shape: TensorShape) -> TensorShape:
    return UNKNOWN if shape.rank is None else TensorShape([None] * shape.rank)


def _label(tensor: Any) -> str:
    return tensor.name if isinstance(tensor, SymbolicTensor) else "a loop variable"


def _check_invariant(output: Any, initial: Any, invariant: TensorShape, quote: str) -> None:
    if output.dtype.base_dtype is not initial.dtype.base_dtype:
        raise TypeError(
            f"Loop var {_label(initial)} enters the loop with type {initial.dtype.base_dtype} but has type "
            f"{output.dtype.base_dtype} after 1 iteration. {_label(initial)} type should remain constant."
        )
    if not output.shape.is_subtype_of(invariant):
        raise ValueError(
            f"Input tensor {quote}{_label(initial)}{quote} enters the loop with shape {initial.shape}, but has shape "
            f"{output.shape} after one iteration. To allow the shape to vary across iterations, use the `shape_invariants` "
            "argument of tf.while_loop to specify a less-specific shape."
        )


# ---- case and switch_case -------------------------------------------------------------------------------------------


@public(v2=["case"])
def case(
    pred_fn_pairs: Any, default: Any = None, exclusive: bool = False, strict: bool = False, name: str = "case"
) -> Any:
    """The result of the first function whose predicate is true, else of `default`.

    pred_fn_pairs: a list of (boolean scalar, function without arguments). exclusive: at most one predicate may be true.
    Raises InvalidArgumentError where no predicate is true and there is no default, TypeError for other arguments.
    """
    return _case(cond, pred_fn_pairs, default, exclusive, name)


@public(v1=["case"])
def case_v1(
    pred_fn_pairs: Any, default: Any = None, exclusive: bool = False, strict: bool = False, name: str = "case"
) -> Any:
    """As tf.case; the pairs may be a dict. Unless `strict`, a list or tuple of one is unpacked."""
    choose = functools.partial(cond_v1, strict=strict)
    return _case(choose, pred_fn_pairs, default, exclusive, name)


def _case(choose: Callable[..., Any], pred_fn_pairs: Any, default: Any, exclusive: bool, name: str) -> Any:
    pairs = _pairs(pred_fn_pairs, exclusive)
    if default is not None and not callable(default):
        raise TypeError("'false_fn' must be callable.")
    graph = graph_for([pred for pred, _ in pairs])
    with _named_scope(graph, name):
        predicates = [pred for pred, _ in pairs]
        waiting = []
        if exclusive and graph is not None and len(pairs) > 1:
            waiting.append(_at_most_one(predicates))
        if default is None:
            *pairs, (_, last) = pairs
            default = functools.partial(_checked_last, predicates, last)
        action = default
        for pred, function in reversed(pairs):
            action = functools.partial(choose, pred, function, action, name="cond")
        with contextlib.nullcontext() if graph is None else graph.control_dependencies(waiting):
            return action()


def _pairs(pred_fn_pairs: Any, exclusive: bool) -> list[tuple[Any, Any]]:
    if isinstance(pred_fn_pairs, dict):
        if not exclusive and context.executing_eagerly() and type(pred_fn_pairs) is dict:
            raise ValueError(
                "Unordered dictionaries are not supported for the 'pred_fn_pairs' argument when `exclusive=False` and eager mode "
                "is enabled."
            )
        pairs = [(key.deref() if hasattr(key, "deref") else key, value) for key, value in pred_fn_pairs.items()]
    elif isinstance(pred_fn_pairs, (list, tuple)):
        pairs = list(pred_fn_pairs)
    else:
        raise TypeError(f"'pred_fn_pairs' must be a list, tuple, or dict. Received: {type(pred_fn_pairs)}")
    if not pairs:
        raise ValueError("'pred_fn_pairs' must have at least one pair.")
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f"Each entry in 'pred_fn_pairs' must be a 2-tuple. Received {pair}.")
        if not isinstance(pair[0], Tensor) and not hasattr(pair[0], "__tf_tensor__"):
            raise TypeError(f"pred must be a Tensor, got: {pair[0]}")
        if pair[0].dtype.base_dtype is not dtypes.bool:
            raise TypeError(f"pred must be Tensor of type bool: {pair[0]!s}")
        if not callable(pair[1]):
            raise TypeError(f"fn for pred {pair[0]!s} must be callable.")
    return pairs


def _at_most_one(predicates: Sequence[Any]) -> Any:
    stacked = apply_op(REGISTRY["Pack"], (list(predicates),), name="preds_c")
    numbers = apply_op(REGISTRY["Cast"], (stacked,), {"DstT": dtypes.int32})
    total = apply_op(REGISTRY["Sum"], (numbers, np.array([0], np.int32)), {"keep_dims": False}, "num_true_conds")
    within = apply_op(REGISTRY["LessEqual"], (total, 1))
    text = "Input error: exclusive=True: more than 1 conditions evaluated as True:"
    return apply_op(REGISTRY["Assert"], (within, [text, stacked]), {"summarize": len(predicates)})


def _checked_last(predicates: Sequence[Any], last: Callable[[], Any]) -> Any:
    """Without a default the last function is called, if its predicate is true."""
    text = "Input error: None of conditions evaluated as True:"
    graph = context.state().graph
    if graph is None:
        if not predicates[-1]:
            values = ", ".join(str(bool(pred)) for pred in predicates)
            message = f"Expected '{predicates[-1]!s}' to be true. Summarized data: {text.encode()!r}\n{values}"
            raise InvalidArgumentError(None, None, message)
        return last()
    stacked = apply_op(REGISTRY["Pack"], (list(predicates),))
    check = apply_op(REGISTRY["Assert"], (predicates[-1], [text, stacked]), {"summarize": len(predicates)})
    with graph.control_dependencies([check]):
        return nest.map_structure(lambda leaf: apply_op(REGISTRY["Identity"], (leaf,)), last(), expand_composites=True)


@contextlib.contextmanager
def _named_scope(graph: Graph | None, name: str) -> Iterator[str | None]:
    if graph is None:
        yield None
    else:
        with context.use_graph(graph), graph.name_scope(name) as scope:
            yield scope


@public("switch_case")
def switch_case(branch_index: Any, branch_fns: Any, default: Any = None, name: str = "switch_case") -> Any:
    """The result of the function with number `branch_index`; of `default` (else of the last one) for other numbers.

    branch_index: an integer scalar. branch_fns: functions without arguments, in order; or pairs or a dict of number and
        function, the numbers being 0, 1, 2 ...
    Raises TypeError and ValueError for other arguments.
    """
    functions = _numbered_functions(branch_fns)
    if default is not None:
        functions.append(default)
    for function in functions:
        if not callable(function):
            raise TypeError(f"fn for index must be callable, not {function!r}")
    if not isinstance(branch_index, Tensor):
        raise TypeError(f"'branch_index' must be a Tensor, got {type(branch_index)}")
    if not branch_index.dtype.is_integer:
        raise TypeError(f"'branch_index' must be an integer Tensor, got {branch_index.dtype}")
    graph = graph_for((branch_index,))
    if graph is None:
        index = int(branch_index.numpy())  # type: ignore[attr-defined]
        return functions[index if 0 <= index < len(functions) else -1]()
    with context.use_graph(graph), graph.name_scope(name), graph.name_scope("indexed_case") as scope:
        return _indexed_case(graph, branch_index, functions, scope)


def _numbered_functions(branch_fns: Any) -> list[Any]:
    if not branch_fns:
        raise ValueError("Must provide at least one item in 'branch_fns'")
    if not isinstance(branch_fns, (dict, list, tuple)):
        raise TypeError(f"'branch_fns' must be a list, tuple, or dict, got {type(branch_fns)}")
    entries = list(branch_fns.items()) if isinstance(branch_fns, dict) else list(branch_fns)
    if all(callable(entry) for entry in entries):
        return entries
    for entry in entries:
        if not isinstance(entry, tuple) or len(entry) != 2:
            raise TypeError(f"Each entry in 'branch_fns' must be a 2-tuple. Received {entry}.")
    numbered = dict(entries)
    if sorted(numbered) != list(range(len(entries))):
        found = ",".join(str(key) for key in sorted(numbered))
        raise ValueError(
            f"branch indices (keys) must form contiguous range of [0 to {len(entries)}) but found {{{found}}}"
        )
    return [numbered[key] for key in sorted(numbered)]


def _indexed_case(graph: Graph, index: Any, functions: Sequence[Any], scope: str) -> Any:
    v2 = is_v2(graph)
    if index.dtype.base_dtype is not dtypes.int32:
        index = apply_op(REGISTRY["Cast"], (index,), {"DstT": dtypes.int32})
    branches = [
        Branch.of(body_graph(f"{scope[:-1]}_branch{place}", graph), scope, function, f"branch{place}", True, True)
        for place, function in enumerate(functions)
    ]
    for other in branches[1:]:
        _check_alike(branches[0], other, True)
    return selected(graph, by_value(graph.capture(index)), branches, scope, v2, "Case")


# ---- ordering -------------------------------------------------------------------------------------------------------


@public("group", v1=["control_flow_ops.group"])
def group(*inputs: Any, **kwargs: Any) -> Any:
    """An operation that is finished when all `inputs` (tensors, operations, nests of them) are. Eagerly None.

    name: of the operation. TypeError for an input that is none of these.
    """
    name = kwargs.pop("name", None)
    if kwargs:
        raise ValueError(f"Unknown keyword arguments: {', '.join(kwargs)}")
    graph = context.state().graph or graph_for([leaf for leaf in nest.flatten(inputs) if hasattr(leaf, "op")])
    if graph is None:
        return None
    leaves = nest.flatten(inputs, expand_composites=True)
    for leaf in leaves:
        if not (isinstance(leaf, (Tensor, Operation)) or hasattr(leaf, "_as_graph_element")):
            raise TypeError(
                f"'inputs' should be zero or more (nested) Tensors. Received '{leaf}' with type '{type(leaf)}'."
            )
    with context.use_graph(graph):
        return _group(graph, graph._as_operations(leaves), name or "group_deps")


def _group(graph: Graph, operations: Sequence[Operation], name: str) -> Any:
    """One NoOp; where the operations are on several devices, one for each, and one that waits for those."""
    by_device: dict[str, list[Operation]] = {}
    for operation in operations:
        by_device.setdefault(operation.device, []).append(operation)
    if len(by_device) <= 1:
        return _no_op_after(graph, operations, name)
    with graph.name_scope(name) as scope:
        parts = []
        for device in sorted(by_device):
            with graph.device(device or None):
                parts.append(_no_op_after(graph, by_device[device], None))
        return _no_op_after(graph, parts, scope)


def _no_op_after(graph: Graph, operations: Sequence[Operation], name: str | None) -> Any:
    with graph.control_dependencies(operations):
        return apply_op(REGISTRY["NoOp"], (), name=name)


@public("control_flow_ops.with_dependencies")
def with_dependencies(dependencies: Any, output_tensor: Any, name: str | None = None) -> Any:
    """`output_tensor`, after the operations `dependencies`."""
    graph = context.state().graph
    if graph is None:
        return output_tensor
    with graph.control_dependencies(dependencies):
        return _after(output_tensor, name or "control_dependency")


def _after(value: Any, name: str) -> Any:
    if isinstance(value, IndexedSlices):
        return IndexedSlices(_after(value.values, name), value.indices, value.dense_shape)
    return apply_op(REGISTRY["Identity"], (value,), name=name)


@public(v2=["tuple"])
def tuple_v2(tensors: Any, control_inputs: Any = None, name: str | None = None) -> list[Any]:
    """The tensors, each available only when all are (and `control_inputs` have run). None stays None.

    Raises ValueError where there is no tensor or operation among them.
    """
    graph = context.state().graph or graph_for([value for value in tensors if value is not None])
    if graph is None:
        return [value if value is None else convert_to_tensor(value) for value in tensors]
    with context.use_graph(graph), graph.name_scope(name or "tuple"):
        present = [value for value in tensors if value is not None]
        if not present:
            raise ValueError(f"'tensors' must have at least one Tensor. Received: {list(tensors)}.")
        waits = [value.values if isinstance(value, IndexedSlices) else value for value in present]
        gate = group(*[_element(value) for value in waits], *(control_inputs or []))
        return [value if value is None else _gated(graph, gate, value) for value in tensors]


def _element(value: Any) -> Any:
    is_element = isinstance(value, (Tensor, Operation)) or hasattr(value, "_as_graph_element")
    return value if is_element else convert_to_tensor(value)


def _gated(graph: Graph, gate: Operation, value: Any) -> Any:
    if isinstance(value, Operation):
        return group(gate, value)
    with graph.control_dependencies([gate]):
        return _after(value, "control_dependency")


@public(v1=["tuple"])
def tuple_v1(tensors: Any, name: str | None = None, control_inputs: Any = None) -> list[Any]:
    """As tf.tuple, with TensorFlow 1's argument order."""
    return tuple_v2(tensors, control_inputs, name)
