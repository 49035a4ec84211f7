"""The variables that a branch or loop changes, as the functions made of its parts share them; and where they disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from rillet.core import dtypes, nest
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import SymbolicTensor, Tensor
from rillet.errors import Location, Operand, describe, location_of
from rillet.frontend.autograph.jumps import RESULT


class _Undefined:
    def __repr__(self) -> str:
        return "<undefined>"


UNDEFINED = _Undefined()  # the value of a variable that has none


class Place(Protocol):
    """Where a value is kept."""

    name: str

    def get(self) -> Any: ...

    def set(self, value: Any) -> None: ...


class Local:
    """A variable, through the cell that the functions which use it share."""

    def __init__(self, name: str, cell: Any) -> None:
        self.name = name
        self.cell = cell

    def get(self) -> Any:
        try:
            return self.cell.cell_contents
        except ValueError:  # it is empty
            return UNDEFINED

    def set(self, value: Any) -> None:
        if value is not UNDEFINED:
            self.cell.cell_contents = value
        elif self.get() is not UNDEFINED:
            del self.cell.cell_contents


class Attribute:
    """`owner().name`."""

    def __init__(self, owner: Callable[[], Any], name: str) -> None:
        self.owner = owner
        self.name = name

    def get(self) -> Any:
        try:
            return getattr(self.owner(), self.name, UNDEFINED)
        except (NameError, AttributeError):  # the owner is not there yet
            return UNDEFINED

    def set(self, value: Any) -> None:
        if value is not UNDEFINED:
            setattr(self.owner(), self.name, value)
        elif self.get() is not UNDEFINED:
            delattr(self.owner(), self.name)


class Item:
    """`owner()[key()]`."""

    def __init__(self, owner: Callable[[], Any], key: Callable[[], Any], name: str) -> None:
        self.owner = owner
        self.key = key
        self.name = name

    def get(self) -> Any:
        try:
            owner, key = self.owner(), self.key()
            return UNDEFINED if isinstance(owner, Tensor) or isinstance(key, Tensor) else owner[key]
        except (LookupError, TypeError, NameError, AttributeError):
            return UNDEFINED

    def set(self, value: Any) -> None:
        if value is not UNDEFINED:
            self.owner()[self.key()] = value
        elif self.get() is not UNDEFINED:
            del self.owner()[self.key()]


class Slot:
    """A value that has no variable: that of a conditional expression."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.value: Any = UNDEFINED

    def get(self) -> Any:
        return self.value

    def set(self, value: Any) -> None:
        self.value = value


class State:
    """All that a branch or loop changes.

    places: what is read later. others: what is read by nobody. site: the user's statement.
    """

    def __init__(self, places: Sequence[Place], others: Sequence[Place], site: Any) -> None:
        self.places = places
        self.others = others
        self.site = site

    @classmethod
    def of(
        cls, function: Callable[..., Any], names: Sequence[str], kept: int, places: Sequence[Place], site: Any
    ) -> State:
        """That of a function which was made of a branch or body: the variables `names` (the first `kept` of them are read
        later), and other places."""
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        local = [Local(name, cells[name]) for name in names]
        return cls([*local[:kept], *places], local[kept:], site)

    @property
    def names(self) -> list[str]:
        return [place.name for place in self.places]

    @property
    def location(self) -> Location | None:
        return location_of(self.site)

    def values(self) -> list[Any]:
        return [place.get() for place in self.places]

    def set(self, values: Sequence[Any]) -> None:
        for place, value in zip(self.places, values, strict=True):
            if place.get() is not value:
                place.set(value)

    def snapshot(self) -> list[Any]:
        """All values, to `restore` later."""
        return [place.get() for place in (*self.places, *self.others)]

    def restore(self, snapshot: Sequence[Any]) -> None:
        for place, value in zip((*self.places, *self.others), snapshot, strict=True):
            if place.get() is not value:
                place.set(value)

    def forget_others(self) -> None:
        """Variables that nobody reads later lose their values, which belong to a branch or body."""
        for place in self.others:
            place.set(UNDEFINED)


def is_missing(value: Any) -> bool:
    return value is UNDEFINED or value is None


def becomes_tensors(value: Any) -> bool:
    """Whether a value can be the result of a branch, or a variable of a loop: tensors and numbers, nests of them."""
    if is_missing(value):
        return False
    leaves = nest.flatten(value, expand_composites=True)
    return all(leaf is None or _is_leaf(leaf) for leaf in leaves)


def _is_leaf(leaf: Any) -> bool:
    numbers = (Tensor, bool, int, float, complex, str, bytes, np.ndarray, np.generic)
    return isinstance(leaf, numbers) or hasattr(leaf, "__tf_tensor__")


def as_tensors(value: Any) -> Any:
    """The value with tensors for leaves, in the current graph."""
    return nest.map_structure(
        lambda leaf: None if leaf is None else convert_to_tensor(leaf), value, expand_composites=True
    )


def zeros_like(value: Any) -> Any:
    """Zeros (empty strings) of the structure, dtypes and static shapes of `value`; unknown sizes are 0."""
    return nest.map_structure(_zeros_like_leaf, value, expand_composites=True)


def _zeros_like_leaf(leaf: Any) -> Any:
    if leaf is None:
        return None
    dtype = dtype_of(leaf)
    if not dtype.is_numpy_compatible:
        raise ValueError(f"a value of dtype {dtype.name} must be set before the branch or loop that changes it")
    sizes = leaf.shape.dimensions if isinstance(leaf, Tensor) else np.shape(leaf)
    shape = [size or 0 for size in sizes or ()]
    if dtype is dtypes.string:
        return convert_to_tensor(np.full(shape, b"", object))
    return apply_op(REGISTRY["Fill"], (np.array(shape, np.int32), np.zeros((), dtype.as_numpy_dtype)))


def dtype_of(leaf: Any) -> dtypes.DType:
    dtype = getattr(leaf, "dtype", None)
    if isinstance(dtype, dtypes.DType):
        return dtype.base_dtype
    return convert_to_tensor(leaf).dtype


def leaves_of(value: Any) -> Iterator[Any]:
    return iter(nest.flatten(value, expand_composites=True))


def check_alike(state: State, name: str, one: Any, other: Any, one_label: str, other_label: str) -> None:
    """TypeError where two values of a variable differ in structure or dtype."""
    try:
        nest.assert_same_structure(one, other, expand_composites=True)
    except (TypeError, ValueError) as error:
        headline = (
            f"{_label(name)} does not have the same nested structure {_places(one_label, other_label)}.\n\n{error}"
        )
        raise TypeError(describe(headline, location=state.location)) from None
    for left, right in zip(leaves_of(one), leaves_of(other), strict=True):
        if (left is None) != (right is None):
            where = one_label if left is None else other_label
            raise ValueError(describe(f"{_label(name)} is None at the end of {where}.", location=state.location))
        if left is not None and dtype_of(left) is not dtype_of(right):
            first, second = _with_article(one_label), _with_article(other_label)
            headline = (
                f"{_label(name)} has dtype {dtype_of(left).name} {first}, but dtype {dtype_of(right).name} {second}"
            )
            operands = [operand(one_label, left), operand(other_label, right)]
            raise TypeError(describe(headline, operands, state.location, _HINT))


_HINT = "give both the same dtype, with tf.cast or a constant of that dtype."


def _label(name: str) -> str:
    return "the return value" if name == RESULT else f"'{name}'"


def _with_article(label: str) -> str:
    return f"in {label}" if label.endswith("branch") else label


def _places(one: str, other: str) -> str:
    if one.endswith("branch"):
        return "in the main and else branches"
    return f"{one} and {other}"


def operand(label: str, value: Any) -> Operand:
    """One side of a disagreement, for an error."""
    if isinstance(value, SymbolicTensor):
        return Operand(label, value.dtype.name, value.shape.dimensions, value.location)
    return Operand(label, dtype_of(value).name, getattr(np.asarray(value), "shape", ()))
