"""The short path of ops that run now: concrete tensors in, the kernel, concrete tensors out.

Dispatch tries it first; what doesn't fit goes the long way there, which also finds the reasons of a failure. Nothing
here decides what an op does: what can be known once an op and dtypes is worked out once (`_QuickForm`), and that is all.
"""

from __future__ import annotations

import operator as operators
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet import errors
from rillet.core import context, dtypes, opdef
from rillet.core.buffers import own_copy
from rillet.core.dtypes import DType
from rillet.core.execution import LARGE, run_large
from rillet.core.graph import Operation
from rillet.core.opdef import REQUIRED, OpDef
from rillet.core.tensor import EagerTensor


class _Unfit:
    def __repr__(self) -> str:
        return "UNFIT"


UNFIT = _Unfit()  # what run_quickly returns of a call that must go the long way


def as_declared(array: Any, dtype: DType) -> Any:
    """`array` in the dtype the op's signature declares (kernels may compute in a wider one)."""
    numpy_dtype = dtype.numpy_dtype
    if getattr(array, "dtype", None) is numpy_dtype or not dtype.is_numpy_compatible or dtype.is_ref_dtype:
        return array
    with np.errstate(all="ignore"):  # what is too large for a narrower type becomes infinite, silently
        if isinstance(array, np.ndarray):
            return array.astype(numpy_dtype, copy=False)
        return np.asarray(array, numpy_dtype)


def as_result(definition: OpDef, outputs: list[Any], operation: Operation | None) -> Any:
    """What a call of an op returns: see apply_op."""
    if definition.single_output:
        return outputs[0]
    arguments = definition.signature.outputs
    if not arguments:
        return operation
    if len(arguments) == 1 or any(argument.is_list for argument in arguments):
        return outputs
    return definition.result_type._make(outputs)


# ---- any op -------------------------------------------------------------------------------------------------------

_MOST_CASES = 256  # of one op: lists of every length make a case each


class _Case:
    """An op on inputs of certain dtypes: the attributes that follow from them, the kernel's options where the call names
    no others, the dtypes of the outputs where they follow, and which attributes the call must name."""

    __slots__ = ("needed", "options", "output", "types")

    def __init__(self, form: _QuickForm, types: dict[str, Any]) -> None:
        known = {**form.defaults, **types}
        self.types = types
        self.options = {name: known[name] for name in form.option_names}
        self.output: DType | None = None
        if form.output is not None:
            self.output = form.output.dtype if form.output.type_attr is None else known[form.output.type_attr]
        self.needed = frozenset(name for name in form.used_names if known[name] is REQUIRED)


class _QuickForm:
    """What can be worked out once an op. `kernel` is None for ops that always go the long way: those that are composed
    of others, take a context, a reference or a list of mixed types."""

    __slots__ = (
        "cases", "default_types", "defaults", "definition", "inputs", "kernel", "option_names", "output",
        "output_attr", "takes_list", "used_names",
    )  # fmt: skip

    def __init__(self, definition: OpDef) -> None:
        signature = definition.signature
        self.definition = definition
        self.inputs = signature.inputs
        fits = bool(self.inputs) and not definition.kernel_needs_context
        if any(argument.is_ref or argument.type_list_attr is not None for argument in self.inputs):
            fits = False
        self.kernel = definition.reference if fits else None
        self.takes_list = any(argument.is_list for argument in self.inputs)
        self.defaults = {name: attribute.default for name, attribute in signature.attributes.items()}
        self.default_types = {name: value for name, value in self.defaults.items() if isinstance(value, DType)}
        self.option_names = definition.kernel_attributes
        self.output = signature.outputs[0] if definition.single_output else None
        self.output_attr = None if self.output is None else self.output.type_attr
        used = {*self.option_names, *(name for output in signature.outputs for name in _attributes_of(output))}
        self.used_names = tuple(sorted(used))
        self.cases: dict[tuple[Any, ...], _Case | None] = {}

    def case(self, key: tuple[Any, ...]) -> _Case | None:
        """The case of these dtypes, None where dispatch must have a closer look. `key` has for each input the number of
        its dtype, for a list how many there are and the number of their dtype."""
        if len(self.cases) >= _MOST_CASES:
            self.cases.clear()
        types: dict[str, Any] = {}
        found = len(key) == len(self.inputs) and all(map(self._add, self.inputs, key, [types] * len(key)))
        case = self.cases[key] = _Case(self, types) if found else None
        return case

    def _add(self, argument: opdef.Argument, part: Any, types: dict[str, Any]) -> bool:
        """Enters into `types` what an input tells. False where it contradicts the signature or what is known."""
        number = part
        if argument.number_attr is not None:
            if type(part) is not tuple:
                return False
            count, number = part
            if types.setdefault(argument.number_attr, count) != count:
                return False
        dtype = dtypes.as_dtype(number)
        if argument.type_attr is None:
            return dtype is argument.dtype
        allowed = self.definition.signature.attributes[argument.type_attr].allowed
        return types.setdefault(argument.type_attr, dtype) is dtype and (allowed is None or dtype in allowed)

    def concrete(self, inputs: Sequence[Any]) -> list[Any] | None:
        """The inputs with what is no concrete tensor as one, and with lists as lists of concrete tensors of one dtype. None
        where that is decided the long way."""
        result = list(inputs)
        for place, value in enumerate(inputs):
            if type(value) is not EagerTensor:
                argument = self.inputs[place]
                is_list = argument.number_attr is not None
                part = _list_of_tensors(value) if is_list else _tensor_of(value, self._wanted(argument, inputs))
                if part is None:
                    return None
                result[place] = part
        return result

    def _wanted(self, argument: opdef.Argument, inputs: Sequence[Any]) -> DType | None:
        """The dtype that a Python value gets as this input: the one that goes with the tensors among the inputs."""
        if argument.type_attr is None:
            return argument.dtype
        for other, value in zip(self.inputs, inputs, strict=True):
            if other.type_attr == argument.type_attr and type(value) is EagerTensor:
                return value.dtype
        return self.default_types.get(argument.type_attr)


def _attributes_of(output: opdef.Argument) -> list[str]:
    return [name for name in (output.type_attr, output.number_attr, output.type_list_attr) if name is not None]


def _list_of_tensors(value: Any) -> list[EagerTensor] | None:
    if (type(value) is not list and type(value) is not tuple) or not value or type(value[0]) is not EagerTensor:
        return None
    dtype = value[0].dtype
    if any(type(tensor) is not EagerTensor or tensor.dtype is not dtype for tensor in value):
        return None
    return list(value)


def _tensor_of(value: Any, wanted: DType | None) -> EagerTensor | None:
    kind = type(value)
    if kind is np.ndarray:
        found = dtypes.FROM_NUMPY.get(value.dtype)
        return None if found is None or value.dtype.kind == "O" else EagerTensor(own_copy(value), found)
    if type(getattr(value, "_source", None)) is EagerTensor:  # a variable
        return value.value() if wanted is None or wanted is value.dtype else None
    if wanted is None:
        return None
    if wanted.is_integer:
        if kind is int or ((kind is list or kind is tuple) and value and all(type(part) is int for part in value)):
            try:
                return EagerTensor(np.array(value, wanted.numpy_dtype), wanted)
            except OverflowError:
                return None
    elif wanted.is_floating and (kind is float or kind is int) and -6e4 < value < 6e4:  # fits any of them
        return EagerTensor(wanted.as_numpy_dtype(value), wanted)
    return None


def run_quickly(
    definition: OpDef, inputs: Sequence[Any], attrs: dict[str, Any] | None, state: context.ThreadState
) -> Any:
    """The op's result where all is concrete and fits, else UNFIT. Where the state's listener wants to know, it is told.

    A kernel that fails makes the call UNFIT: it fails again on the long way, where the reason is found; an op with state
    must not run twice: its exception is passed on as it is.
    """
    form: _QuickForm | None = definition.__dict__.get("_quick_form")
    if form is None:
        form = definition.__dict__["_quick_form"] = _QuickForm(definition)
    kernel = form.kernel
    if kernel is None or len(inputs) != len(form.inputs):
        return UNFIT
    arrays: list[Any] = []
    key: tuple[Any, ...] = ()
    operands: Any = inputs
    for value in inputs:
        if type(value) is not EagerTensor:
            operands = form.concrete(inputs)
            if operands is None:
                return UNFIT
            arrays, key = _spread(operands)
            break
        arrays.append(value._array)
        key += (value.dtype.as_datatype_enum,)
    case: Any = form.cases.get(key, UNFIT)
    if case is UNFIT:
        case = form.case(key)
    if case is None or (case.needed and not (attrs and case.needed <= attrs.keys())):
        return UNFIT
    options = case.options
    if attrs:
        types = case.types
        if not types.keys().isdisjoint(attrs) and any(types.get(name, value) != value for name, value in attrs.items()):
            return UNFIT  # contradicts the inputs
        if options:
            same = attrs.keys() == options.keys()
            options = attrs if same else {name: attrs.get(name, default) for name, default in options.items()}
    try:
        result = None
        if definition.elementwise and getattr(arrays[0], "size", 0) >= LARGE:
            result = run_large(definition, options, arrays)
        if result is None:
            result = state.run_quietly(kernel, *arrays, **options) if options else state.run_quietly(kernel, *arrays)
    except Exception:
        if definition.is_stateful:
            raise
        return UNFIT
    dtype = case.output
    if dtype is None:
        return _several(form, operands, case, attrs, result, state)
    if attrs and form.output_attr in attrs:
        dtype = attrs[form.output_attr]
    if type(result) is not np.ndarray or result.dtype is not dtype.numpy_dtype:
        result = as_declared(result, dtype)
    output = EagerTensor(result, dtype, errors.user_site(sys._getframe(2)))
    if state.listener is not None:
        if form.takes_list:
            _tell(form, operands, case, attrs, [output], state)
        else:
            state.listener.keep(definition, operands, attrs, output)
    return output


def _spread(operands: Sequence[Any]) -> tuple[list[Any], tuple[Any, ...]]:
    """The arrays of the operands, lists spread out, and what `_QuickForm.case` wants to know of them."""
    arrays: list[Any] = []
    key: list[Any] = []
    for part in operands:
        if type(part) is list:
            arrays += [tensor._array for tensor in part]
            key.append((len(part), part[0].dtype.as_datatype_enum))
        else:
            arrays.append(part._array)
            key.append(part.dtype.as_datatype_enum)
    return arrays, tuple(key)


def _several(
    form: _QuickForm,
    operands: Sequence[Any],
    case: _Case,
    attrs: dict[str, Any] | None,
    result: Any,
    state: context.ThreadState,
) -> Any:
    """The result of an op with no output, several, or a list of them."""
    definition = form.definition
    arguments = definition.signature.outputs
    if not arguments:
        return None
    wanted = opdef.argument_dtypes(arguments, {**form.defaults, **case.types, **(attrs or {})})
    site = errors.user_site()
    outputs = [EagerTensor(as_declared(array, dtype), dtype, site) for array, dtype in zip(result, wanted, strict=True)]
    if state.listener is not None:
        _tell(form, operands, case, attrs, outputs, state)
    return as_result(definition, outputs, None)


def _tell(
    form: _QuickForm,
    operands: Sequence[Any],
    case: _Case,
    attrs: dict[str, Any] | None,
    outputs: list[EagerTensor],
    state: context.ThreadState,
) -> None:
    """Tells the listener of an op that takes a list or has several outputs: by its Operation."""
    inputs = tuple(tensor for part in operands for tensor in (part if type(part) is list else (part,)))
    if state.listener.wants(inputs):
        operation = Operation(form.definition, inputs, {**form.defaults, **case.types, **(attrs or {})})
        operation.outputs, operation.site = outputs, outputs[0]._site
        state.listener.record(operation)


# ---- operators ----------------------------------------------------------------------------------------------------

# NumPy's own scalars, which tensors of rank 0 hold, are added by Python's operator in a tenth of the ufunc's time.
_ON_SCALARS: dict[Any, Callable[[Any, Any], Any]] = {
    np.add: operators.add,
    np.subtract: operators.sub,
    np.multiply: operators.mul,
    np.true_divide: operators.truediv,
    np.less: operators.lt,
    np.less_equal: operators.le,
    np.greater: operators.gt,
    np.greater_equal: operators.ge,
    np.equal: operators.eq,
    np.not_equal: operators.ne,
}
_SCALARS = frozenset((np.float32, np.float64))


def quick_binary(
    kernel: Callable[[Any, Any], Any],
    allowed: Sequence[DType],
    slow: Callable[[Any, Any], Any],
    definition: OpDef | None = None,
    makes_bool: bool = False,
    reflected: bool = False,
) -> Callable[[Any, Any], Any]:
    """`slow`, an operator method, with a short path for a concrete tensor and another of its dtype, or a Python number.

    kernel: of arrays of any dtype in `allowed`; its result has that dtype too, or bool for `makes_bool`.
    definition: the op that a listener is told of; None where no gradient flows through the result.
    reflected: the method's second argument is the kernel's first.
    """
    local = context._LOCAL
    constants = _CONSTANTS
    elsewhere = context.ELSEWHERE
    get_frame = sys._getframe
    make = object.__new__
    tensors = frozenset(dtype.as_datatype_enum for dtype in allowed)
    # NumPy takes a Python number in the array's dtype; the extension types don't know that rule.
    native = [dtype for dtype in allowed if dtype.numpy_dtype.isbuiltin == 1 and not dtype.is_bool]
    numbers = frozenset(dtype.as_datatype_enum for dtype in native)
    floats = frozenset(dtype.as_datatype_enum for dtype in native if not dtype.is_integer)
    scalars = _SCALARS if kernel in _ON_SCALARS else frozenset()
    on_scalars = _ON_SCALARS.get(kernel, kernel)

    def operator(self: Any, other: Any) -> Any:
        state = local.state
        listener = state.listener
        if listener is elsewhere or type(self) is not EagerTensor:
            return slow(self, other)
        dtype = self.dtype
        left = self._array
        run = kernel
        kind = type(other)
        if kind is EagerTensor:
            if other.dtype is not dtype or dtype.as_datatype_enum not in tensors:
                return slow(self, other)
            right = other._array
            if type(left) in scalars and type(right) is type(left):
                run = on_scalars
        else:
            if dtype.as_datatype_enum not in (floats if kind is float else numbers if kind is int else ()):
                return at_caller(operator(self, other.value())) if hasattr(other, "_source") else slow(self, other)
            if type(left) in scalars:
                right, run = other, on_scalars
            else:
                right = constants.get((other, dtype.as_datatype_enum))
        try:
            if right is None:
                right = _as_constant(other, dtype, state)
            large = definition if left.size >= LARGE else None
            if reflected:
                left, right = right, left
            result = None if large is None else run_large(large, {}, (left, right))
            if result is None:
                result = state.run_quietly(run, left, right)
        except Exception:
            return slow(self, other)  # it fails again there, where the reason is found
        frame = get_frame(1)
        output = make(EagerTensor)  # without the call of __init__, which would take a tenth of the time
        output._array = result
        output.dtype = dtypes.bool if makes_bool else dtype
        output._site = (frame.f_code, frame.f_lasti)
        if listener is not None and definition is not None:
            if kind is not EagerTensor:
                other = _as_constant(other, dtype, state)
            if reflected:
                listener.keep_pair(definition, other, self, output)
            else:
                listener.keep_pair(definition, self, other, output)
        return output

    return operator


def at_caller(result: Any) -> Any:
    """`result` of an operator that was called by a function of ours: made where the user called that."""
    if type(result) is EagerTensor:
        result._site = errors.user_site(sys._getframe(2))
    return result


# Arrays of rank 0 for the numbers in a program: NumPy takes longer over a number than over an array.
_CONSTANTS: dict[tuple[Any, int], Any] = {}
_MOST_CONSTANTS = 1024


def _as_constant(number: Any, dtype: DType, state: context.ThreadState) -> Any:
    array = state.run_quietly(np.array, number, dtype.numpy_dtype)
    if number:  # 0.0 equals -0.0
        if len(_CONSTANTS) >= _MOST_CONSTANTS:
            _CONSTANTS.clear()
        _CONSTANTS[number, dtype.as_datatype_enum] = array
    return array
