"""How a loop inside a tf.function goes through a dataset or an iterator: with an optional for its position."""

from __future__ import annotations

from typing import Any

from rillet.core.dispatch import apply_op
from rillet.core.opdef import REGISTRY
from rillet.data.structure import Structure
from rillet.ops import dataset_iterator as nodes
from rillet.ops.optional import GET_VALUE


class DatasetElements:
    """The elements that an iterator of the graph gives."""

    def __init__(self, handle: Any, structure: Structure, dataset: Any) -> None:
        self._handle = handle
        self._structure = structure
        self._dataset = dataset

    def first(self) -> Any:
        return self.following(None)

    def proceeds(self, position: Any) -> Any:
        return apply_op(REGISTRY["OptionalHasValue"], (position,))

    def element(self, position: Any) -> Any:
        tensors = apply_op(GET_VALUE, (position,), self._structure.attributes())
        return self._structure.packed(list(tensors), self._dataset)

    def following(self, position: Any) -> Any:
        return apply_op(nodes.GET_NEXT_AS_OPTIONAL, (self._handle,), self._structure.attributes())


def begun(variant: Any, structure: Structure) -> Any:
    """The handle of a new iterator of the graph, at the beginning of a dataset each time the graph runs."""
    handle = apply_op(nodes.ANONYMOUS, (), structure.attributes())
    apply_op(nodes.MAKE, (variant, handle))
    return handle
