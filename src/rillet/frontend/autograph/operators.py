"""What converted code calls, as `ag__`. With Python values each does what Python would have done."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor, graph_for
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import SymbolicTensor
from rillet.errors import user_site
from rillet.frontend.autograph.branches import check_condition, tensor_if
from rillet.frontend.autograph.conversion import RUNTIME_CELL, callee
from rillet.frontend.autograph.elements import elements_of
from rillet.frontend.autograph.loops import tensor_for, tensor_while
from rillet.frontend.autograph.state import Attribute as Attribute
from rillet.frontend.autograph.state import Item as Item
from rillet.frontend.autograph.state import Place, Slot, State
from rillet.frontend.autograph.substitutes import substitute
from rillet.frontend.checks import assert_true
from rillet.frontend.control import body_graph, cond, tracing
from rillet.frontend.variable import Variable

Thunk = Callable[[], Any]


def tested(value: Any) -> Any:
    """What decides a branch: a variable's value in the current graph; other values as they are."""
    if isinstance(value, Variable) and context.state().graph is not None:
        return convert_to_tensor(value)
    return value


# ---- statements -----------------------------------------------------------------------------------------------------


def if_(test: Any, body: Thunk, orelse: Thunk, names: Sequence[str], kept: int, places: Sequence[Place]) -> None:
    """if test: body() else: orelse(). They share the variables `names`, the first `kept` of which are read later."""
    test = tested(test)
    if isinstance(test, SymbolicTensor):
        site = user_site(sys._getframe(1))
        check_condition(test, "if statement", site)
        tensor_if(test, body, orelse, State.of(body, names, kept, places, site))
    elif test:
        body()
    else:
        orelse()


def while_(
    test: Thunk,
    body: Thunk,
    names: Sequence[str],
    kept: int,
    places: Sequence[Place],
    options: Thunk = dict,
) -> None:
    """while test(): body(). From the iteration on in which the test is a symbolic tensor, a loop of the graph."""
    while True:
        proceeds = tested(test())
        if isinstance(proceeds, SymbolicTensor):
            site = user_site(sys._getframe(1))
            check_condition(proceeds, "while statement", site)
            state = State.of(body, names, kept, places, site)
            tensor_while(lambda: tested(test()), body, state, options(), _graph_of(proceeds))
            return
        if not proceeds:
            return
        body()


def for_(
    iterable: Any,
    body: Callable[[Any], None],
    proceeds: Thunk | None,
    names: Sequence[str],
    kept: int,
    places: Sequence[Place],
    options: Thunk = dict,
) -> None:
    """for item in iterable: body(item), as long as proceeds() is true."""
    elements = elements_of(iterable)
    if elements is None:
        _loop_in_python(
            iterable, body, proceeds, lambda: State.of(body, names, kept, places, user_site(sys._getframe(3)))
        )
        return
    state = State.of(body, names, kept, places, user_site(sys._getframe(1)))

    def test(within: Any) -> Any:
        return within if proceeds is None else _both(within, tested(proceeds()))

    tensor_for(elements, body, test, state, options())


def _loop_in_python(
    iterable: Any, body: Callable[[Any], None], proceeds: Thunk | None, state: Callable[[], State]
) -> None:
    for item in iterable:
        goes_on = True if proceeds is None else tested(proceeds())
        if isinstance(goes_on, SymbolicTensor):
            _check_ends(iterable)
            tensor_if(goes_on, lambda item=item: body(item), _nothing, state())  # type: ignore[misc]
        elif goes_on:
            body(item)
        else:
            break


def _check_ends(iterable: Any) -> None:
    if not hasattr(iterable, "__len__"):
        raise NotImplementedError(
            "break and return statements which depend on a TF condition are not supported in Python for loops over "
            f"something without a length, here a {type(iterable).__name__}. Did you intend to make it a TF loop?"
        )


def _nothing() -> None:
    pass


def assert_(test: Any, message: Thunk | None, source: str) -> None:
    """assert test, message(). source: the test, as the user wrote it."""
    test = tested(test)
    if isinstance(test, SymbolicTensor):
        assert_true(test, [source if message is None else message()])
    elif not test:
        raise AssertionError(*(() if message is None else (message(),)))


# ---- expressions ----------------------------------------------------------------------------------------------------


def if_exp(test: Any, body: Thunk, orelse: Thunk, source: str) -> Any:
    """body() if test else orelse(). source: the test, as the user wrote it."""
    test = tested(test)
    if not isinstance(test, SymbolicTensor):
        return body() if test else orelse()
    site = user_site(sys._getframe(1))
    check_condition(test, "conditional expression", site)
    slot = Slot(source)
    tensor_if(test, lambda: slot.set(body()), lambda: slot.set(orelse()), State([slot], [], site))
    return slot.value


def not_(value: Any) -> Any:
    value = tested(value)
    if isinstance(value, SymbolicTensor):
        return apply_op(REGISTRY["LogicalNot"], (value,))
    return not value


def and_(*operands: Thunk) -> Any:
    """a and b and ...: an operand is evaluated only if those before are true."""
    value = tested(operands[0]())
    for operand in operands[1:]:
        if isinstance(value, SymbolicTensor):
            value = _tensor_and(value, operand)
        elif value:
            value = tested(operand())
        else:
            return value
    return value


def or_(*operands: Thunk) -> Any:
    """a or b or ...: an operand is evaluated only if those before are false."""
    value = tested(operands[0]())
    for operand in operands[1:]:
        if isinstance(value, SymbolicTensor):
            value = _tensor_or(value, operand)
        elif not value:
            value = tested(operand())
        else:
            return value
    return value


def _tensor_and(value: SymbolicTensor, operand: Thunk) -> Any:
    if _is_evaluated_safely(value, operand):
        return _both(value, tested(operand()))
    return cond(value, operand, lambda: value)


def _tensor_or(value: SymbolicTensor, operand: Thunk) -> Any:
    if not _is_evaluated_safely(value, operand):
        return cond(value, lambda: value, operand)
    other = tested(operand())
    if isinstance(other, SymbolicTensor):
        return apply_op(REGISTRY["LogicalOr"], (value, other))
    return convert_to_tensor(True) if other else value


def _is_evaluated_safely(value: SymbolicTensor, operand: Thunk) -> bool:
    """Whether an operand may be evaluated where Python would not: it is boolean, and its operations do no harm."""
    scratch = body_graph("operand", _graph_of(value))
    with tracing(scratch, "operand/"):
        result = operand()
    if isinstance(result, (bool, np.bool_)):
        return True
    is_bool = isinstance(result, SymbolicTensor) and result.dtype.base_dtype is dtypes.bool
    return is_bool and all(_is_harmless(operation) for operation in scratch.get_operations())


def _is_harmless(operation: Any) -> bool:
    """Whether an operation is cheap, has no effect, and can't fail. (Integer division can.)"""
    definition = operation.definition
    if definition.is_stateful:
        return False
    if not operation.inputs:
        return True
    return bool(definition.elementwise) and all(not tensor.dtype.is_integer for tensor in operation.outputs)


def _both(one: Any, other: Any) -> Any:
    if isinstance(other, SymbolicTensor):
        return apply_op(REGISTRY["LogicalAnd"], (one, other))
    return one if other else convert_to_tensor(False)


_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "is": operator.is_,
    "is not": operator.is_not,
    "in": lambda item, container: item in container,
    "not in": lambda item, container: item not in container,
}


def chain(left: Any, *rest: Any) -> Any:
    """left < middle < right ...: `rest` is an operator's text and what gives its right side, in turns."""
    result: Any = True
    for text, operand in zip(rest[::2], rest[1::2], strict=True):
        right = operand()
        compared = _COMPARE[text](left, right)
        if isinstance(result, SymbolicTensor):
            result = _both(result, compared) if isinstance(compared, SymbolicTensor) else _both(result, bool(compared))
        elif isinstance(compared, SymbolicTensor) or not compared:
            result = compared
            if not isinstance(compared, SymbolicTensor):
                return result
        else:
            result = compared
        left = right
    return result


def call(function: Any) -> Any:
    """What is called in place of `function`."""
    return substitute(function) or callee(function)


def _graph_of(tensor: SymbolicTensor) -> Any:
    return graph_for((tensor,))


RUNTIME_CELL.cell_contents = sys.modules[__name__]
