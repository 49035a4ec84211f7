"""Iterators of datasets as ops: what TensorFlow 1's programs get their batches from, one each run.

The value of an iterator's handle (dtype resource) is an `IteratorValue`, which the session keeps.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from rillet import errors
from rillet.core.execution import ExecutionContext
from rillet.core.function import Function
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, define
from rillet.ops.dataset_values import DatasetValue, Element, resumable
from rillet.ops.families import scalar_shape
from rillet.ops.optional import OptionalValues

_NUMBERS = itertools.count()
_BY_NAME: weakref.WeakValueDictionary[str, IteratorValue] = weakref.WeakValueDictionary()


class IteratorValue:
    """Where a run through a dataset stands."""

    def __init__(self, name: str = "") -> None:
        self.name = f"{name or 'iterator'}/{next(_NUMBERS)}"
        self.run: Iterator[Element] | None = None
        self.lock = threading.Lock()
        _BY_NAME[self.name] = self

    def begin(self, dataset: DatasetValue) -> None:
        with self.lock:
            self.run = resumable(dataset)

    def next(self) -> Element:
        """The next element. OutOfRangeError where there is none, FailedPreconditionError before the beginning."""
        with self.lock:
            if self.run is None:
                raise errors.FailedPreconditionError(
                    None,
                    None,
                    "GetNext() failed because the iterator has not been initialized. Ensure that you have run the "
                    "initializer operation for this iterator before getting the next element.",
                )
            element = next(self.run, None)
        if element is None:
            raise errors.OutOfRangeError(None, None, "End of sequence")
        return element


_KIND = "output_types: list(type), output_shapes: list(shape)"


def _kept(*, shared_name: str, container: str, context: ExecutionContext, node: Any) -> IteratorValue:
    name = shared_name or getattr(node, "name", "iterator")
    found: IteratorValue = context.resource(("iterator", container, name), lambda: IteratorValue(name))
    return found


ITERATOR = define(
    "IteratorV2", "-> handle: resource", f"shared_name: string, container: string, {_KIND}",
    reference=_kept, shape=scalar_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
ANONYMOUS = define(
    "AnonymousIteratorV3", "-> handle: resource", _KIND,
    reference=lambda: IteratorValue(), shape=scalar_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def _one_shot(*, dataset_factory: Function, context: ExecutionContext, node: Operation) -> IteratorValue:
    def make() -> IteratorValue:
        made = IteratorValue(node.name)
        made.begin(context.call(dataset_factory, ())[0])
        return made

    found: IteratorValue = context.resource(("one shot", node), make)
    return found


ONE_SHOT = define(
    "OneShotIterator", "-> handle: resource",
    f"dataset_factory: func, {_KIND}, container: string = '', shared_name: string = ''",
    reference=_one_shot, shape=scalar_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def _make(dataset: DatasetValue, iterator: IteratorValue) -> tuple[()]:
    iterator.begin(dataset)
    return ()


MAKE = define(
    "MakeIterator", "dataset: variant, iterator: resource ->", "",
    reference=_make, shape=lambda op: [], gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
GET_NEXT = define(
    "IteratorGetNext", "iterator: resource -> components: output_types...", _KIND,
    reference=lambda iterator: iterator.next(),
    shape=lambda op: list(op.attrs["output_shapes"]), gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def _next_or_none(iterator: IteratorValue) -> OptionalValues:
    try:
        return OptionalValues(tuple(iterator.next()))
    except errors.OutOfRangeError:
        return OptionalValues(None)


GET_NEXT_AS_OPTIONAL = define(
    "IteratorGetNextAsOptional", "iterator: resource -> optional: variant", _KIND,
    reference=_next_or_none, shape=scalar_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
TO_STRING = define(
    "IteratorToStringHandle", "resource_handle: resource -> string_handle: string", "",
    reference=lambda iterator: iterator.name.encode(),
    shape=scalar_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def _named(name: Any) -> IteratorValue:
    text = name.item() if isinstance(name, np.ndarray) else name
    found = _BY_NAME.get(text.decode() if isinstance(text, bytes) else text)
    if found is None:
        raise errors.NotFoundError(None, None, f"There is no iterator with the string handle {text!r}.")
    return found


FROM_STRING = define(
    "IteratorFromStringHandleV2", "string_handle: string -> resource_handle: resource",
    "output_types: list(type) = [], output_shapes: list(shape) = []",
    reference=_named, shape=scalar_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
