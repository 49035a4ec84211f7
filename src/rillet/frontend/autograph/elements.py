"""What a `for` over tensors goes through: where it begins, whether there is a next element, which one, and what follows.

Any object whose type has a method `_graph_elements()` that returns such an Elements is iterated so in a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from rillet.core import context
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.opdef import REGISTRY
from rillet.core.static import constant_value
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor
from rillet.frontend.variable import Variable


class Elements(Protocol):
    """A position is a nest of tensors."""

    def first(self) -> Any: ...

    def proceeds(self, position: Any) -> Any: ...

    def element(self, position: Any) -> Any: ...

    def following(self, position: Any) -> Any: ...


class Rows:
    """The parts of a tensor along its first axis."""

    def __init__(self, tensor: Any) -> None:
        if tensor.shape.rank == 0:
            raise ValueError(f"cannot iterate over the scalar {tensor}: a loop needs a tensor of rank 1 or more")
        self.tensor = tensor
        self.count = _number_of_rows(tensor)

    def first(self) -> Any:
        return convert_to_tensor(np.int32(0))

    def proceeds(self, position: Any) -> Any:
        return position < self.count

    def element(self, position: Any) -> Any:
        return self.tensor[position]

    def following(self, position: Any) -> Any:
        return position + 1


class Numbers:
    """start, start + delta ... up to `limit`: what tf.range made, without making it."""

    def __init__(self, start: Any, limit: Any, delta: Any) -> None:
        self.start, self.limit, self.delta = start, limit, delta
        self.step = constant_value(delta)

    def first(self) -> Any:
        return self.start

    def proceeds(self, position: Any) -> Any:
        if self.step is not None:
            return position < self.limit if self.step > 0 else position > self.limit
        rises = apply_op(REGISTRY["LogicalAnd"], (self.delta > 0, position < self.limit))
        falls = apply_op(REGISTRY["LogicalAnd"], (self.delta < 0, position > self.limit))
        return apply_op(REGISTRY["LogicalOr"], (rises, falls))

    def element(self, position: Any) -> Any:
        return position

    def following(self, position: Any) -> Any:
        return position + self.delta


class Together:
    """zip(...)"""

    def __init__(self, parts: Sequence[Elements]) -> None:
        self.parts = parts

    def first(self) -> Any:
        return tuple(part.first() for part in self.parts)

    def proceeds(self, position: Any) -> Any:
        pairs = zip(self.parts, position, strict=True)
        result, *others = [part.proceeds(own) for part, own in pairs]
        for other in others:
            result = apply_op(REGISTRY["LogicalAnd"], (result, other))
        return result

    def element(self, position: Any) -> Any:
        return tuple(part.element(own) for part, own in zip(self.parts, position, strict=True))

    def following(self, position: Any) -> Any:
        return tuple(part.following(own) for part, own in zip(self.parts, position, strict=True))


class Numbered:
    """enumerate(...)"""

    def __init__(self, part: Elements, start: Any) -> None:
        self.part, self.start = part, start

    def first(self) -> Any:
        return convert_to_tensor(self.start), self.part.first()

    def proceeds(self, position: Any) -> Any:
        return self.part.proceeds(position[1])

    def element(self, position: Any) -> Any:
        return position[0], self.part.element(position[1])

    def following(self, position: Any) -> Any:
        return position[0] + 1, self.part.following(position[1])


class Delayed:
    """What enumerate or zip of tensors gives to a loop."""

    def __init__(self, elements: Elements) -> None:
        self.elements = elements

    def _graph_elements(self) -> Elements:
        return self.elements

    def __iter__(self) -> Any:
        raise TypeError("enumerate and zip of symbolic tensors are iterated by a `for` of a converted function alone")


def elements_of(value: Any) -> Elements | None:
    """How a loop over `value` goes in the current graph; None for what is iterated by Python."""
    if isinstance(value, (list, tuple, range, dict)):
        return None
    if isinstance(value, Variable):
        value = convert_to_tensor(value)
    if isinstance(value, EagerTensor) and context.state().graph is None:
        return None
    if isinstance(value, Tensor):
        return _numbers(value) or Rows(value)
    graph_elements = getattr(type(value), "_graph_elements", None)
    return None if graph_elements is None or context.state().graph is None else graph_elements(value)


def _numbers(tensor: Any) -> Elements | None:
    if isinstance(tensor, SymbolicTensor) and tensor.op.type == "Range" and tensor.dtype.is_integer:
        return Numbers(*tensor.op.inputs)
    return None


def _number_of_rows(tensor: Any) -> Any:
    size = tensor.shape.dimensions[0] if tensor.shape.rank is not None else None
    if size is not None:
        return convert_to_tensor(np.int32(size))
    return apply_op(REGISTRY["Shape"], (tensor,))[0]
