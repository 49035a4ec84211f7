"""What a tape keeps of the ops that ran: enough to differentiate them, at little cost an op.

An eager op is kept as a tuple; an Operation is made of it only when somebody wants to see one. And each op adds a
*step* to a list: what was called, on which of the tensors numbered so far. Two recordings with equal steps are the same
computation on other values, so what was derived for the one holds for the other (`repeated`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from rillet.autodiff.backprop import is_differentiable
from rillet.core import dtypes
from rillet.core.dispatch import resolve
from rillet.core.dtypes import DType
from rillet.core.graph import Operation, next_sequence
from rillet.core.opdef import OpDef
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, Tensor, handle_data

_DIFFERENTIABLE = frozenset(dtype.as_datatype_enum for dtype in dtypes.ALL if is_differentiable(dtype))

# The call of an op whose Operation was not made yet: definition, inputs, attributes, output, place in the order.
_Call = tuple[OpDef, Sequence[Any], "dict[str, Any] | None", EagerTensor, int]


class Recording:
    """The tensors that are traced, each with a number, and what made them.

    steps: one for each traced tensor that was not made by an op (its dtype and shape), and for each op.
    leaves: the arrays of inputs that are not traced, in order; their dtypes and shapes stand in the steps.
    is_repeatable: whether the steps say all about the computation but values.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.numbers: dict[int, int] = {}
        self.tensors: list[Any] = []  # by number; kept, so that no other tensor takes their ids
        self.calls: list[_Call | Operation] = []
        self.steps: list[Any] = []
        self.leaves: list[Any] = []
        self.is_repeatable = True
        self._leaf_ids: set[int] = set()
        self._producers: dict[int, Operation] = {}
        self._completed = 0  # so many calls are Operations already

    # ---- keeping ---------------------------------------------------------------------------------------------------

    def track(self, tensor: Tensor) -> None:
        """Traces a tensor that no recorded op made."""
        if id(tensor) in self.numbers:
            return
        if id(tensor) in self._leaf_ids:
            self.is_repeatable = False  # steps before this one say that it is not traced
        self.steps.append(self._spec(tensor))
        self.numbers[id(tensor)] = len(self.tensors)
        self.tensors.append(tensor)

    def wants(self, inputs: Iterable[Tensor]) -> bool:
        numbers = self.numbers
        return any(id(tensor) in numbers for tensor in inputs)

    def keep_pair(self, definition: OpDef, left: Any, right: Any, output: EagerTensor) -> None:
        numbers = self.numbers
        first: Any = numbers.get(id(left))
        second: Any = numbers.get(id(right))
        if (first is None and second is None) or output.dtype.as_datatype_enum not in _DIFFERENTIABLE:
            return
        if first is None:
            first = self._leaf(left)
        elif second is None:
            second = self._leaf(right)
        self.steps.append((definition, first, second))
        self.calls.append((definition, (left, right), None, output, next_sequence()))
        numbers[id(output)] = len(self.tensors)
        self.tensors.append(output)

    def keep(self, definition: OpDef, inputs: Sequence[Any], attrs: dict[str, Any] | None, output: EagerTensor) -> None:
        numbers = self.numbers
        found: list[Any] = [numbers.get(id(tensor)) for tensor in inputs]
        is_traced = None not in found or found.count(None) < len(found)
        if not is_traced or output.dtype.as_datatype_enum not in _DIFFERENTIABLE:
            return
        if None in found:
            found = [self._leaf(tensor) if n is None else n for n, tensor in zip(found, inputs, strict=True)]
        # The shape: what an op makes of its inputs may depend on their values.
        shape = getattr(output._array, "shape", None)
        if type(shape) is not tuple:
            self.is_repeatable = False  # a handle, a list
        self.steps.append((definition, self._frozen(definition, attrs) if attrs else None, shape, *found))
        self.calls.append((definition, inputs, attrs, output, next_sequence()))
        numbers[id(output)] = len(self.tensors)
        self.tensors.append(output)

    def record(self, operation: Operation) -> None:
        outputs = [tensor for tensor in operation.outputs if is_differentiable(tensor.dtype)]
        if all(self._producers.get(id(tensor)) is operation for tensor in outputs):
            return  # there are none, or it is known already
        self.steps.append(self._step(operation) if self.is_repeatable else None)
        self.calls.append(operation)
        for tensor in outputs:
            self._producers[id(tensor)] = operation
            self.numbers[id(tensor)] = len(self.tensors)
            self.tensors.append(tensor)

    def _step(self, operation: Operation) -> Any:
        """None where the operation can't be told by a step."""
        definition = operation.definition
        self.is_repeatable = (
            operation.gradient_rule is None and operation.graph is None and _look(definition) is not _Look.IN_VAIN
        )
        if not self.is_repeatable:
            return None
        numbers = self.numbers
        inputs = [numbers[id(tensor)] if id(tensor) in numbers else self._leaf(tensor) for tensor in operation.inputs]
        attrs = self._frozen(definition, operation.attrs)
        return (definition, attrs, *inputs, *map(self._spec, operation.outputs))

    def _leaf(self, value: Any) -> Any:
        """Keeps an input that is not traced, a tensor or an array. Returns what a step says of it."""
        array = getattr(value, "_array", value)
        self._leaf_ids.add(id(value))
        self.leaves.append(array)
        dtype = getattr(array, "dtype", None)
        if not isinstance(dtype, np.dtype) or dtype.kind == "O":
            self.is_repeatable = False  # a symbolic tensor, a handle, a list, strings
            return None
        return (dtype, array.shape)

    def _spec(self, tensor: Any) -> Any:
        """The dtype and shape of a concrete tensor; for the handle of a variable, of the variable."""
        if type(tensor) is EagerTensor:
            if tensor.dtype.is_numpy_compatible:
                return (tensor.dtype.as_datatype_enum, np.shape(tensor._array))
            data = handle_data(tensor)
            if tensor.dtype is dtypes.resource and data is not None:
                return (tensor.dtype.as_datatype_enum, data[0].as_datatype_enum, data[1].dimensions)
        self.is_repeatable = False
        return None

    def _frozen(self, definition: OpDef, attrs: dict[str, Any]) -> Any:
        """Attributes as they stand in a step."""
        if _look(definition) is _Look.NEEDLESS:
            return tuple(attrs.items())
        frozen = tuple((name, _plain(value)) for name, value in attrs.items())
        if any(value is _NOT_PLAIN for _, value in frozen):
            self.is_repeatable = False
        return frozen

    # ---- looking back ----------------------------------------------------------------------------------------------

    def producer(self) -> Callable[[Tensor], Operation | None]:
        """What finds the operation that made a tensor."""
        producers = self._complete()
        return lambda tensor: producers.get(id(tensor))

    def operations(self) -> list[Operation]:
        """The operations recorded, in order."""
        return sorted(set(self._complete().values()), key=lambda operation: operation.sequence)

    def _complete(self) -> dict[int, Operation]:
        for place in range(self._completed, len(self.calls)):
            call = self.calls[place]
            if isinstance(call, tuple):
                self.calls[place] = self._producers[id(call[3])] = _operation(*call)
        self._completed = len(self.calls)
        return self._producers


def _operation(
    definition: OpDef, inputs: Sequence[Any], attrs: dict[str, Any] | None, output: EagerTensor, sequence: int
) -> Operation:
    operation = Operation(definition, *resolve(definition, inputs, attrs, None))
    operation.outputs = [output]
    operation.sequence = sequence
    operation.site = output._site
    return operation


# ---- attributes in steps --------------------------------------------------------------------------------------------


class _Look(enum.Enum):
    """Whether the attributes of an op are looked at before they stand in a step."""

    NEEDLESS = 0
    NEEDED = 1
    IN_VAIN = 2  # a function, or anything at all


_PLAIN_KINDS = frozenset(("type", "int", "bool", "string"))
_LOOKS: dict[OpDef, _Look] = {}
_PLAIN_TYPES = frozenset((bool, int, str, bytes, type(None), DType))
_NOT_PLAIN = object()


def _look(definition: OpDef) -> _Look:
    found = _LOOKS.get(definition)
    if found is None:
        kinds = {attribute.kind for attribute in definition.signature.attributes.values()}
        in_vain = any("func" in kind or "any" in kind for kind in kinds)
        found = _Look.IN_VAIN if in_vain else _Look.NEEDLESS if kinds <= _PLAIN_KINDS else _Look.NEEDED
        _LOOKS[definition] = found
    return found


def _plain(value: Any) -> Any:
    """An attribute's value as it stands in a step: small, hashable, and equal to what means the same alone. _NOT_PLAIN
    for an array and the like."""
    kind = type(value)
    if kind is list or kind is tuple:
        parts = tuple(map(_plain, value))
        return _NOT_PLAIN if any(part is _NOT_PLAIN for part in parts) else parts
    if kind is TensorShape:
        return value.dimensions
    if kind is float:
        return repr(value)  # 0.0 equals -0.0
    return value if kind in _PLAIN_TYPES else _NOT_PLAIN
