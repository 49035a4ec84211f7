"""Branches over tensors: an If op whose results are the variables that the branches change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rillet.core import context, dtypes
from rillet.core.dispatch import graph_for
from rillet.core.graph import Graph
from rillet.core.tensor import SymbolicTensor
from rillet.errors import describe, location_of
from rillet.frontend.autograph.jumps import RESULT
from rillet.frontend.autograph.state import (
    UNDEFINED,
    State,
    becomes_tensors,
    check_alike,
    is_missing,
    zeros_like,
)
from rillet.frontend.control import Branch, body_graph, by_value, is_v2, selected, tracing

_LABELS = ("the main branch", "the else branch")


def check_condition(test: SymbolicTensor, statement: str, site: Any) -> None:
    """ValueError for a tensor that is no boolean scalar."""
    is_bool = test.dtype.base_dtype is dtypes.bool
    if is_bool and test.shape.rank in (None, 0):
        return
    cast = "" if is_bool else "to use as boolean Tensor, use `tf.cast`; "
    headline = f"condition of {statement} expected to be `tf.bool` scalar, got {test}; {cast}to check for None, use `is not None`"
    raise ValueError(describe(headline, location=location_of(site)))


def tensor_if(test: SymbolicTensor, body: Callable[[], Any], orelse: Callable[[], Any], state: State) -> None:
    """Runs body() where `test` is true, else orelse(): both are traced, and set the variables of `state`."""
    graph = graph_for((test,))
    assert graph is not None
    with context.use_graph(graph), graph.name_scope("cond") as scope:
        before = state.snapshot()
        branches, found = [], []
        for label, function in (("true", body), ("false", orelse)):
            branch = Branch(body_graph(f"{scope[:-1]}_{label}", graph), scope)
            try:
                with tracing(branch.graph, scope):
                    function()
                    found.append(state.values())
            finally:
                state.restore(before)
            branches.append(branch)
        results = _joined(graph, test, branches, found, state, scope)
    state.forget_others()
    state.set(results)


def _joined(
    graph: Graph,
    test: SymbolicTensor,
    branches: Sequence[Branch],
    found: Sequence[list[Any]],
    state: State,
    scope: str,
) -> list[Any]:
    """The values of the variables behind both branches."""
    results: list[Any] = []
    chosen: list[int] = []
    outputs: tuple[list[Any], list[Any]] = ([], [])
    for index, (name, one, other) in enumerate(zip(state.names, *found, strict=True)):
        if one is other:
            results.append(one)
            continue
        results.append(UNDEFINED)
        pair = _pair(state, name, one, other, branches)
        if pair is not None:
            chosen.append(index)
            for values, value in zip(outputs, pair, strict=True):
                values.append(value)
    for branch, values in zip(branches, outputs, strict=True):
        branch.give(values)
    test = by_value(graph.capture(test))
    tensors = selected(graph, test, branches, scope, is_v2(graph), "If")
    for index, tensor in zip(chosen, tensors, strict=True):
        results[index] = tensor
    return results


def _pair(state: State, name: str, one: Any, other: Any, branches: Sequence[Branch]) -> tuple[Any, Any] | None:
    """What the two branches give for a variable."""
    values = [one, other]
    for place in (0, 1):
        if not is_missing(values[place]):
            continue
        if name == RESULT and values[place] is UNDEFINED:  # nobody looks at it: this branch does not return
            with tracing(branches[place].graph, branches[place].scope):
                values[place] = zeros_like(values[1 - place])
        else:
            raise _missing(state, name, values[place], _LABELS[place])
    for value in values:
        if not becomes_tensors(value):
            raise _no_tensor(state, name, value)
    check_alike(state, name, values[0], values[1], *_LABELS)
    return values[0], values[1]


def _missing(state: State, name: str, value: Any, label: str) -> Exception:
    if name == RESULT:
        headline = f"{label} must also have a return statement."
        hint = "return a value of the same structure and dtype on every way through the function."
    elif value is UNDEFINED:
        headline = f"'{name}' must also be initialized in {label}"
        hint = f"set '{name}' before the statement, or in both branches: which one runs is not known before it does."
    else:
        headline = f"'{name}' is None at the end of {label}."
        hint = f"give '{name}' a tensor in both branches."
    return ValueError(describe(headline, location=state.location, hint=hint))


def _no_tensor(state: State, name: str, value: Any) -> TypeError:
    what = "the return value" if name == RESULT else f"'{name}'"
    headline = (
        f"{what} is a {type(value).__name__} that differs between the branches. To be compatible with tf.function, Python "
        "functions must return zero or more Tensors or ExtensionTypes or None values; "
        f"found return value of type {type(value).__name__}, which is not a Tensor or ExtensionType."
    )
    return TypeError(describe(headline, location=state.location))
