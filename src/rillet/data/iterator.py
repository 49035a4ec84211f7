"""Iterators: eagerly, Python's own; in a graph, nodes that give the next element each time they run."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rillet import errors
from rillet.core import nest
from rillet.core.context import state
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import as_dtype, resource, string
from rillet.core.export import public
from rillet.core.shapes import as_shape
from rillet.core.tensor import EagerTensor
from rillet.data.elements import DatasetElements
from rillet.data.structure import Structure
from rillet.errors import user_site
from rillet.frontend.function import TensorSpec
from rillet.ops import dataset_iterator as nodes
from rillet.ops.dataset_values import Element

MakeDataset = Callable[[Any, Any], Any]


def as_tensors(element: Element, structure: Structure, site: Any) -> list[Any]:
    return [
        EagerTensor(np.asarray(value) if isinstance(value, np.generic) else value, spec.dtype, site)
        for value, spec in zip(element, structure.flat, strict=True)
    ]


@public(v2=["data.Iterator"])
class OwnedIterator:
    """Goes through a dataset eagerly. `next(iterator)` gives the next element and ends with StopIteration."""

    def __init__(self, run: Iterator[Element], structure: Structure, dataset: MakeDataset) -> None:
        self._run = run
        self._structure = structure
        self._dataset = dataset

    @property
    def element_spec(self) -> Any:
        return self._structure.spec

    def __iter__(self) -> OwnedIterator:
        return self

    @functools.cached_property
    def _handle(self) -> EagerTensor:
        """What graphs know this iterator by."""
        value = nodes.IteratorValue()
        value.run = self._run
        return EagerTensor(value, resource)

    def _graph_elements(self) -> DatasetElements:
        return DatasetElements(self._handle, self._structure, self._dataset)

    def __next__(self) -> Any:
        """Inside a tf.function: what gives the next element each time that runs, and OutOfRangeError at the end."""
        if state().graph is not None:
            tensors = apply_op(nodes.GET_NEXT, (self._handle,), self._structure.attributes())
            return self._structure.packed(list(tensors), self._dataset)
        try:
            element = next(self._run)
        except (ValueError, TypeError, IndexError) as error:
            raise errors.InvalidArgumentError(None, None, str(error)) from error
        return self._structure.packed(as_tensors(element, self._structure, user_site()), self._dataset)

    next = __next__

    def get_next(self) -> Any:
        """The next element. OutOfRangeError at the end."""
        try:
            return self.__next__()
        except StopIteration:
            raise errors.OutOfRangeError(None, None, "End of sequence") from None

    def get_next_as_optional(self) -> Optional:
        return Optional(next(self, None), self.element_spec)


@public("experimental.Optional", "data.experimental.Optional")
class Optional:
    """A value, or none."""

    def __init__(self, value: Any, element_spec: Any) -> None:
        self._value = value
        self.element_spec = element_spec

    def has_value(self) -> Any:
        return convert_to_tensor(self._value is not None)

    def get_value(self) -> Any:
        """InvalidArgumentError if there is none."""
        if self._value is None:
            raise errors.InvalidArgumentError(None, None, "The given optional does not have a value.")
        return self._value

    @staticmethod
    def from_value(value: Any) -> Optional:
        return Optional(value, nest.map_structure(lambda t: TensorSpec(t.shape, t.dtype), value))

    @staticmethod
    def empty(element_spec: Any) -> Optional:
        return Optional(None, element_spec)


@public(v2=["data.NumpyIterator"])
class NumpyIterator:
    """Elements with NumPy arrays as leaves."""

    def __init__(self, iterator: OwnedIterator) -> None:
        self._iterator = iterator

    def __iter__(self) -> NumpyIterator:
        return self

    def __next__(self) -> Any:
        return nest.map_structure(_as_numpy, next(self._iterator))


def _as_numpy(leaf: Any) -> Any:
    return leaf.numpy() if isinstance(leaf, EagerTensor) else leaf.as_numpy_iterator()


# ---- in graphs ------------------------------------------------------------------------------------------------------


@public(v1=["data.Iterator"])
class GraphIterator:
    """An iterator of TensorFlow 1: `get_next()` makes nodes that give the next element each time they run.

    initializer: the operation that begins anew, where the iterator has one.
    """

    def __init__(self, handle: Any, structure: Structure, dataset: MakeDataset, initializer: Any = None) -> None:
        self._iterator_resource = handle
        self._structure = structure
        self._dataset = dataset
        self._initializer = initializer
        self._asked = 0

    @property
    def initializer(self) -> Any:
        """ValueError where the iterator needs none, or belongs to no dataset yet."""
        if self._initializer is None:
            raise ValueError("The iterator does not have an initializer.")
        return self._initializer

    def make_initializer(self, dataset: Any, name: str | None = None) -> Any:
        """The operation that begins to go through `dataset`. TypeError if its elements are of another kind."""
        mine, given = self._structure, Structure.of(dataset.element_spec)
        for own, other in zip(mine.flat, given.flat, strict=True):
            if own.dtype is not other.dtype:
                raise TypeError(
                    f"Expected output types {get_legacy_output_types(self)!r} but got dataset with output types "
                    f"{get_legacy_output_types(dataset)!r}."
                )
            if not own.shape.is_compatible_with(other.shape):
                raise TypeError(
                    f"Expected output shapes compatible with {get_legacy_output_shapes(self)!r} but got dataset with output "
                    f"shapes {get_legacy_output_shapes(dataset)!r}."
                )
        return made_by(nodes.MAKE, dataset._variant_tensor, self._iterator_resource, name=name)

    def get_next(self, name: str | None = None) -> Any:
        """The next element, as nodes. Call it once, outside of the loop that runs them."""
        self._asked += 1
        if self._asked > 32:
            self._warn()
        tensors = apply_op(nodes.GET_NEXT, (self._iterator_resource,), self._structure.attributes(), name)
        return self._structure.packed(list(tensors), self._dataset)

    def _warn(self) -> None:
        if self._asked == 33:
            warnings.warn(
                "An unusually high number of `Iterator.get_next()` calls was detected: each makes new nodes. Call it once, "
                "before the loop that runs the result.",
                stacklevel=3,
            )

    def string_handle(self, name: str | None = None) -> Any:
        return apply_op(nodes.TO_STRING, (self._iterator_resource,), None, name)

    @property
    def element_spec(self) -> Any:
        return self._structure.spec

    @property
    def output_types(self) -> Any:
        return get_legacy_output_types(self)

    @property
    def output_shapes(self) -> Any:
        return get_legacy_output_shapes(self)

    @property
    def output_classes(self) -> Any:
        return get_legacy_output_classes(self)

    @staticmethod
    def from_structure(
        output_types: Any, output_shapes: Any = None, shared_name: str | None = None, output_classes: Any = None
    ) -> GraphIterator:
        """An iterator that `make_initializer` gives a dataset, of elements of these types and shapes."""
        structure = Structure.of(specs_of(output_types, output_shapes))
        handle = _iterator(structure, shared_name)
        return GraphIterator(handle, structure, GraphIterator._make_dataset)

    @staticmethod
    def from_string_handle(
        string_handle: Any, output_types: Any, output_shapes: Any = None, output_classes: Any = None
    ) -> GraphIterator:
        """The iterator that a string handle names, which may be fed."""
        structure = Structure.of(specs_of(output_types, output_shapes))
        name = convert_to_tensor(string_handle, string)
        handle = apply_op(nodes.FROM_STRING, (name,), structure.attributes())
        return GraphIterator(handle, structure, GraphIterator._make_dataset)

    _make_dataset: MakeDataset = staticmethod(lambda tensor, spec: tensor)


def made_by(definition: Any, *inputs: Any, name: str | None = None) -> Any:
    """The operation (in a graph) that has no results; None eagerly."""
    graph = state().graph
    apply_op(definition, inputs, None, name)
    return None if graph is None else graph.get_operations()[-1]


def _iterator(structure: Structure, shared_name: str | None) -> Any:
    attrs = {"shared_name": shared_name or "", "container": "", **structure.attributes()}
    return apply_op(nodes.ITERATOR, (), attrs)


def initializable(dataset: Any, make: MakeDataset, shared_name: str | None) -> GraphIterator:
    structure = Structure.of(dataset.element_spec)
    handle = _iterator(structure, shared_name)
    return GraphIterator(handle, structure, make, made_by(nodes.MAKE, dataset._variant_tensor, handle))


def specs_of(types: Any, shapes: Any = None) -> Any:
    """TensorSpecs of a nest of dtypes and one of shapes (None: unknown)."""
    flat = [as_dtype(dtype) for dtype in nest.flatten(types)]
    found = [None] * len(flat) if shapes is None else nest.flatten_up_to(types, shapes)
    specs = [TensorSpec(as_shape(shape), dtype) for shape, dtype in zip(found, flat, strict=True)]
    return nest.pack_sequence_as(types, specs)


@public("data.get_output_types", v1=["data.get_output_types"])
def get_legacy_output_types(dataset_or_iterator: Any) -> Any:
    return nest.map_structure(lambda spec: spec.dtype, dataset_or_iterator.element_spec)


@public("data.get_output_shapes", v1=["data.get_output_shapes"])
def get_legacy_output_shapes(dataset_or_iterator: Any) -> Any:
    return nest.map_structure(lambda spec: spec.shape, dataset_or_iterator.element_spec)


@public("data.get_output_classes", v1=["data.get_output_classes"])
def get_legacy_output_classes(dataset_or_iterator: Any) -> Any:
    return nest.map_structure(lambda spec: EagerTensor.__mro__[1], dataset_or_iterator.element_spec)
