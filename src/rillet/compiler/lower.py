"""Lowering: a Function, with the shapes of what it is given, becomes arrays.

Operations are taken in the order in which they would run. Variables are followed as values: an assignment gives a variable
a new one, a read takes the present one; what a variable is at the end is written back.
"""

from __future__ import annotations

import contextlib
from collections import ChainMap
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import numpy as np

from rillet.compiler.arrays import Array, Arrays, Constant, Source
from rillet.compiler.bounded import BOUNDED, Bounded, OfUnknownSize, elementwise, first_of
from rillet.compiler.numpy_like import Traced, Untraceable, as_array, traced
from rillet.compiler.rules import LISTS, PASSING, REFUSALS, RULES, Call, NotLowered, Rule, as_sequence
from rillet.compiler.shape_check import misfit
from rillet.core import dispatch, dtypes
from rillet.core.dtypes import DType
from rillet.core.execution import ExecutionContext, VariableState, bind_kernel, holds_variable, takes_variable
from rillet.core.function import Function, decomposition
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, argument_dtypes

# Constants of more elements than this are not computed by the compiler.
_LARGEST_FOLDED = 1 << 16
# Equal constants of so few elements are one.
_SMALL = 256
_CREATES_VARIABLE = ("VarHandleOp", "VariableV2")


class NotInitialized(Exception):
    """A variable is read that has no value yet."""


def supported(dtype: DType) -> bool:
    """Whether compiled code can compute with the dtype."""
    dtype = dtype.base_dtype
    if dtype in (dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64, dtypes.bool):
        return True
    return dtype.is_integer and not dtype.is_quantized and dtype.size in (1, 2, 4, 8)


# The kinds of operations whose kernels could not be followed: they are not tried again.
_UNTRACEABLE: set[Any] = set()


def _kind(operation: Operation) -> Any:
    return operation.type, tuple([tensor.dtype for tensor in operation.inputs])


def can_lower(operation: Operation) -> bool:
    """Whether the operation has a compiled form, as far as its attributes tell."""
    return not refusal(operation)


def refusal(operation: Operation) -> str:
    """Why the operation has no compiled form; empty if it has one, as far as its attributes tell."""
    type_, definition = operation.type, operation.definition
    if type_ in _CREATES_VARIABLE or type_ == "NoOp":
        return ""
    if definition.fold is not None and not operation.inputs and type_ not in RULES:
        strange = [tensor.dtype.name for tensor in operation.outputs if not supported(tensor.dtype)]
        return f"compiled code does not compute with {strange[0]}" if strange else ""
    if type_ not in RULES and (not definition.elementwise or _kind(operation) in _UNTRACEABLE):
        return "there is no rule for it"
    refused = REFUSALS.get(type_)
    if refused is not None and refused(operation):
        return "its rule does not take these attributes"
    entries = operation.attrs.get("element_dtype", dtypes.float32)
    if not supported(entries) and entries is not dtypes.variant:
        return f"a list of {entries.name}"
    passes = type_ in PASSING
    for arguments in (definition.signature.inputs, definition.signature.outputs):
        for dtype in argument_dtypes(arguments, operation.attrs):
            if supported(dtype):
                continue
            is_handle = dtype.base_dtype is dtypes.resource and (passes or arguments is definition.signature.inputs)
            is_list = dtype.base_dtype is dtypes.variant and (passes or type_ in LISTS)
            if not is_handle and not is_list:
                return f"compiled code does not compute with {dtype.name}"
    return ""


def may_lower(type_: str) -> bool:
    """Whether operations of that type have a compiled form, for some attributes."""
    definition = REGISTRY[type_]
    is_constant = definition.fold is not None and not definition.signature.inputs
    return type_ in RULES or definition.elementwise or is_constant or type_ in (*_CREATES_VARIABLE, "NoOp")


def _rule(operation: Operation) -> Rule | None:
    if operation.type in LISTS and any(tensor.dtype.base_dtype is dtypes.variant for tensor in operation.inputs):
        return LISTS[operation.type]
    return RULES.get(operation.type)


class Failed(Exception):
    """An operation turned out to have no compiled form. `operation` is the one of the Function that was lowered."""

    def __init__(self, operation: Operation, reason: str) -> None:
        super().__init__(f"{operation.name} ({operation.type}): {reason}")
        self.operation = operation
        self.reason = reason


class Lowering:
    """The arrays of one Function. `outputs` and `updates` say what is to be computed of them."""

    def __init__(self, function: Function, inputs: Sequence[Any], context: ExecutionContext, program: Arrays) -> None:
        """inputs: for each input of the function an Array or a VariableState."""
        self.program = program
        self.context = context
        self.variables: dict[VariableState, Source] = {}
        self.current: dict[VariableState, Array] = {}
        self._results: MutableMapping[Any, Sequence[Any]] = {}
        self.greatest: dict[int, int] = {}  # the most that a scalar can be, by its array's number
        self.bounds: dict[int, Bounded] = {}  # by the number of the array that counts their rows
        self.outputs = [
            self.as_value(value) if holds_variable(tensor) or isinstance(value, VariableState) else value
            for tensor, value in zip(function.outputs, self.run(function, inputs, context), strict=True)
        ]
        for tensor, output in zip(function.outputs, self.outputs, strict=True):
            if tensor.op.type == "FakeParam" and not isinstance(output, Array):
                raise Failed(tensor.op, "what a branch returns in the place of another one's value, as a result")
        bounded = first_of(self.outputs)
        if bounded is not None:
            raise Failed(bounded.maker, "a result of unknown size")

    @property
    def updates(self) -> list[tuple[VariableState, Array]]:
        """The variables whose values change, with their new ones."""
        return [(state, array) for state, array in self.current.items() if array is not self.variables.get(state)]

    # ---- variables ----------------------------------------------------------------------------------------------

    def read(self, state: VariableState) -> Array:
        found = self.current.get(state)
        if found is None:
            if state.value is None:
                raise NotInitialized(state.name)
            value = state.value
            found = Source(self.program, np.shape(value), state.dtype.base_dtype, "variable", state, state.name)
            self.variables[state] = found
            self.current[state] = found
        return found

    def write(self, state: VariableState, value: Array) -> None:
        if not state.shape.is_compatible_with(value.shape):
            raise NotLowered("a value of another shape than the variable's")
        self.current[state] = value

    def as_value(self, value: Any) -> Array:
        return self.read(value) if isinstance(value, VariableState) else value

    # ---- regions ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def region(self, is_repeated: bool = False) -> Iterator[dict[VariableState, Array]]:
        """For what is lowered under a condition, or in a loop: outside nothing of it is known, and variables are what they
        were before. Gives the variables' values inside, as they are and as they become."""
        results, current, context = self._results, self.current, self.context
        self._results, self.current = ChainMap({}, results), dict(current)
        try:
            with self.program.scope(is_repeated):
                yield self.current
        finally:
            for state, source in self.variables.items():
                current.setdefault(state, source)
            self._results, self.current, self.context = results, current, context

    # ---- operations ---------------------------------------------------------------------------------------------

    def run(self, function: Function, inputs: Sequence[Any], context: ExecutionContext) -> list[Any]:
        """The values of the function's outputs. Failed where an operation cannot be lowered."""
        outer, around = self.context, self.program.origin
        self.context = context
        values: dict[int, Any] = {id(tensor): value for tensor, value in zip(function.inputs, inputs, strict=True)}
        for operation in function.operations:
            arguments = [values[id(tensor)] for tensor in operation.inputs]
            self.program.origin = operation
            try:
                results = self.lower(operation, arguments)
            except OfUnknownSize as error:
                raise Failed(error.maker, str(error)) from error
            except (NotLowered, Untraceable) as error:
                raise Failed(operation, str(error)) from error
            for tensor, result in zip(operation.outputs, results, strict=True):
                values.setdefault(id(tensor), result)
        self.context, self.program.origin = outer, around
        return [values[id(tensor)] for tensor in function.outputs]

    def lower(self, operation: Operation, arguments: Sequence[Any]) -> Sequence[Any]:
        definition = operation.definition
        if not operation.inputs and definition.fold is not None and operation.type not in RULES:
            value = definition.fold(operation)
            if operation.outputs[0].dtype.base_dtype is dtypes.resource:
                return [_variable_in(value, operation)]
            if value is not None:
                return [self._constant(np.asarray(value), operation)]
        if operation.type == "NoOp":
            return []
        if operation.type in _CREATES_VARIABLE:
            return [bind_kernel(definition, operation.attrs, self.context, operation)()]
        if definition.passes_reference and holds_variable(operation.outputs[0]):
            return [arguments[0]]
        flags = takes_variable(operation)
        arrays = [
            value if flag or tensor.dtype.base_dtype is dtypes.resource else self.as_value(value)
            for value, flag, tensor in zip(arguments, flags, operation.inputs, strict=True)
        ]
        bounded = first_of(arrays)
        if bounded is not None:
            return self._with_bounds(operation, arrays, bounded)
        off = self.program.off
        key = None if "cse" in off else self._key(operation, arrays)
        known = self._results.get(key) if key is not None else None
        if known is None:
            folded = None if "fold" in off else self._folded(operation, arrays)
            known = folded or self._by_rule(operation, arrays)
            if key is not None:
                self._results[key] = known
        return known

    def _by_rule(self, operation: Operation, arrays: Sequence[Any]) -> Sequence[Any]:
        if not can_lower(operation):
            raise NotLowered("there is no compiled form")
        reason = misfit(operation, arrays)
        if reason:
            raise NotLowered(reason)
        rule = _rule(operation)
        call = Call(self, operation)
        results = as_sequence(self.trace(operation, arrays) if rule is None else rule(call, *arrays))
        return [
            self.program.cast(result, dtype) if isinstance(result, Array) else result
            for result, dtype in zip(results, call.dtypes(), strict=True)
        ]

    def _with_bounds(self, operation: Operation, values: Sequence[Any], bounded: Bounded) -> Sequence[Any]:
        """An operation on arrays of which only the run knows how many rows they have."""
        call, rule = Call(self, operation), BOUNDED.get(operation.type)
        try:
            if rule is not None:
                results = as_sequence(rule(call, *values))
            elif operation.definition.elementwise and can_lower(operation):
                results = elementwise(call, values, lambda *arrays: self._by_rule(operation, arrays))
            else:
                raise NotLowered(f"{operation.type} takes arrays of known size")
        except (NotLowered, Untraceable) as error:
            raise OfUnknownSize(bounded.maker, str(error)) from error
        return [
            self.program.cast(result, dtype) if isinstance(result, Array) else result
            for result, dtype in zip(results, call.dtypes(), strict=True)
        ]

    def _key(self, operation: Operation, arrays: Sequence[Any]) -> Any:
        """Equal for operations that compute the same (common subexpressions); None for those that must each run."""
        if operation.definition.is_stateful or not arrays:
            return None
        options: list[Any] = []
        for name, value in operation.attrs.items():
            if isinstance(value, (np.ndarray, list, dict)):
                return None
            options.append((name, value))
        try:
            key = (operation.type, tuple(map(id, arrays)), tuple(options))
            hash(key)
        except TypeError:
            return None
        return key

    def _constant(self, value: np.ndarray[Any, Any], operation: Operation) -> Array:
        dtype = operation.outputs[0].dtype.base_dtype
        if not supported(dtype):
            raise NotLowered(f"a constant of {dtype.name}")
        key = (dtype, value.shape, value.tobytes()) if value.size <= _SMALL else (dtype, id(value), operation)
        known = self._results.get(key)
        if known is None:
            known = self._results[key] = [Constant(self.program, value, dtype)]
        return known[0]  # type: ignore[no-any-return]

    def _folded(self, operation: Operation, arrays: Sequence[Any]) -> list[Array] | None:
        """The results, if they can be computed now: from constants, by the reference kernel."""
        definition = operation.definition
        if not arrays or definition.is_stateful or definition.reference is None or definition.kernel_needs_context:
            return None
        if not all(isinstance(array, Constant) and array.size <= _LARGEST_FOLDED for array in arrays):
            return None
        dtypes_ = argument_dtypes(definition.signature.outputs, operation.attrs)
        if not all(supported(dtype) for dtype in dtypes_):
            return None
        kernel = bind_kernel(definition, operation.attrs, self.context, operation)
        try:
            with np.errstate(all="ignore"):
                results = kernel(*[array.value for array in arrays])
        except Exception as error:
            raise NotLowered(f"{type(error).__name__} in the kernel") from error
        if len(operation.outputs) == 1 and not isinstance(results, (tuple, list)):
            results = [results]
        values = [dispatch.as_declared(result, dtype) for result, dtype in zip(results, dtypes_, strict=True)]
        if any(np.size(value) > _LARGEST_FOLDED for value in values):
            return None
        return [
            Constant(self.program, np.asarray(value), dtype.base_dtype)
            for value, dtype in zip(values, dtypes_, strict=True)
        ]

    # ---- for rules ----------------------------------------------------------------------------------------------

    def trace(self, operation: Operation, arrays: Sequence[Array]) -> Array:
        """The op's reference kernel, followed through NumPy's ufuncs."""
        definition = operation.definition
        options = {name: operation.attrs[name] for name in definition.kernel_attributes}
        assert definition.reference is not None
        if isinstance(definition.reference, np.ufunc) or not definition.kernel_needs_context:
            try:
                result = traced(self.program, definition.reference, tuple(arrays), options)
            except Untraceable:
                _UNTRACEABLE.add(_kind(operation))
                raise
            dtype = argument_dtypes(definition.signature.outputs, operation.attrs)[0].base_dtype
            if isinstance(result, Traced):
                return self.program.cast(result.array, dtype)
            return as_array(self.program, result, dtype)
        raise NotLowered("a kernel with state")

    def inline(self, function: Function, inputs: Sequence[Any], node: Operation | None = None) -> list[Any]:
        """The results of calling a function: its operations are lowered in place."""
        context = self.context if node is None else self.context.inside(node)
        try:
            return self.run(function, inputs, context)
        except Failed as failed:
            raise NotLowered(str(failed)) from failed

    def decompose(self, operation: Operation, inputs: Sequence[Any]) -> list[Any]:
        return self.inline(decomposition(operation), inputs)


def _variable_in(value: Any, operation: Operation) -> VariableState:
    """The variable that a constant of dtype resource stands for: one made eagerly, used in a graph."""
    state = value.item() if isinstance(value, np.ndarray) and value.shape == () else value
    if not isinstance(state, VariableState):
        raise NotLowered(f"{operation.name}: a constant that is no variable")
    return state
