"""Static shapes: `TensorShape`, known, partly known or unknown, and TensorFlow 1's `Dimension`.

A `TensorShape` holds a tuple of `int | None`, or None when not even the rank is known. In TensorFlow 2's behaviour its
elements come out as `int | None`, in TensorFlow 1's as `Dimension`: see `enable_v2_tensorshape`.
"""

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, SupportsIndex

Dimensions = tuple[int | None, ...]

_v2_behavior = True


def enable_v2_tensorshape() -> None:
    """From now on elements of a `TensorShape` are `int | None`."""
    global _v2_behavior
    _v2_behavior = True


def disable_v2_tensorshape() -> None:
    """From now on elements of a `TensorShape` are `Dimension` objects, as in TensorFlow 1."""
    global _v2_behavior
    _v2_behavior = False


def v2_tensorshape_enabled() -> bool:
    """Whether elements of a `TensorShape` are `int | None` (the default) and not `Dimension`."""
    return _v2_behavior


def _dimension_number(value: Any) -> int | None:
    """`value` as a size: TypeError if it is not a whole number or None, ValueError if it is negative."""
    if value is None:
        return None
    if isinstance(value, Dimension):
        return value._value
    try:
        number = int(operator.index(value))
    except (AttributeError, TypeError):
        problem = "Dimension value must be integer or None or have an __index__ method"
        raise TypeError(f"{problem}, got value '{value!r}' with type '{type(value)!r}'") from None
    if number < 0:
        raise ValueError(f"Dimension {number} must be >= 0")
    return number


class Dimension:
    """One size of a shape in TensorFlow 1's behaviour: a number, or unknown (`value` is None).

    Arithmetic with an unknown is unknown; a comparison with an unknown is None.
    """

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = _dimension_number(value)

    @property
    def value(self) -> int | None:
        return self._value

    def is_compatible_with(self, other: Any) -> bool:
        """Whether both may be the same size: equal, or one of them unknown."""
        number = _dimension_number(other)
        return self._value is None or number is None or self._value == number

    def assert_is_compatible_with(self, other: Any) -> None:
        """ValueError unless `is_compatible_with(other)`."""
        if not self.is_compatible_with(other):
            raise ValueError(f"Dimensions {self} and {other} are not compatible")

    def merge_with(self, other: Any) -> "Dimension":
        """What both together say. ValueError if they contradict each other."""
        self.assert_is_compatible_with(other)
        return Dimension(other) if self._value is None else Dimension(self._value)

    def _combine(self, other: Any, operation: Callable[[int, int], int]) -> "Dimension":
        try:
            number = _dimension_number(other)
        except (TypeError, ValueError):
            return NotImplemented  # type: ignore[no-any-return]
        if self._value is None or number is None:
            return Dimension(None)
        return Dimension(operation(self._value, number))

    def __add__(self, other: Any) -> "Dimension":
        return self._combine(other, operator.add)

    def __radd__(self, other: Any) -> "Dimension":
        return self._combine(other, operator.add)

    def __sub__(self, other: Any) -> "Dimension":
        return self._combine(other, operator.sub)

    def __rsub__(self, other: Any) -> "Dimension":
        return self._combine(other, lambda mine, theirs: theirs - mine)

    def __mul__(self, other: Any) -> "Dimension":
        return self._combine(other, operator.mul)

    def __rmul__(self, other: Any) -> "Dimension":
        return self._combine(other, operator.mul)

    def __floordiv__(self, other: Any) -> "Dimension":
        return self._combine(other, operator.floordiv)

    def __rfloordiv__(self, other: Any) -> "Dimension":
        return self._combine(other, lambda mine, theirs: theirs // mine)

    def __mod__(self, other: Any) -> "Dimension":
        return self._combine(other, operator.mod)

    def __rmod__(self, other: Any) -> "Dimension":
        return self._combine(other, lambda mine, theirs: theirs % mine)

    def __truediv__(self, other: Any) -> "Dimension":
        raise _no_true_division(self, other)

    def __rtruediv__(self, other: Any) -> "Dimension":
        raise _no_true_division(other, self)

    def _compare(self, other: Any, operation: Callable[[int, int], bool]) -> bool | None:
        number = _dimension_number(other)
        if self._value is None or number is None:
            return None
        return operation(self._value, number)

    def __eq__(self, other: object) -> bool | None:  # type: ignore[override]
        try:
            return self._compare(other, operator.eq)
        except (TypeError, ValueError):
            return NotImplemented

    def __ne__(self, other: object) -> bool | None:  # type: ignore[override]
        try:
            return self._compare(other, operator.ne)
        except (TypeError, ValueError):
            return NotImplemented

    def __lt__(self, other: Any) -> bool | None:
        return self._compare(other, operator.lt)

    def __le__(self, other: Any) -> bool | None:
        return self._compare(other, operator.le)

    def __gt__(self, other: Any) -> bool | None:
        return self._compare(other, operator.gt)

    def __ge__(self, other: Any) -> bool | None:
        return self._compare(other, operator.ge)

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __int__(self) -> int:
        if self._value is None:
            raise TypeError("__int__ returned non-int (type NoneType)")
        return self._value

    def __index__(self) -> int:
        if self._value is None:
            raise TypeError("__index__ returned non-int (type NoneType)")
        return self._value

    def __str__(self) -> str:
        return "?" if self._value is None else str(self._value)

    def __repr__(self) -> str:
        return f"Dimension({self._value})"

    def __reduce__(self) -> tuple[type["Dimension"], tuple[int | None]]:
        return Dimension, (self._value,)


def _no_true_division(left: Any, right: Any) -> TypeError:
    types = f"'{type(left).__name__}' and '{type(right).__name__}'"
    return TypeError(f"unsupported operand type(s) for /: {types}, please use // instead")


def _parse(dims: Any) -> Dimensions | None:
    """The sizes that `dims` stands for: see `TensorShape`."""
    if dims is None:
        return None
    if isinstance(dims, TensorShape):
        return dims._dims
    if isinstance(dims, tuple | list):
        return tuple(map(_dimension_number, dims))
    try:
        elements = iter(dims)
    except TypeError:
        return (_dimension_number(dims),)
    return _parse_iterable(dims, elements)


def _parse_iterable(dims: Any, elements: Iterator[Any]) -> Dimensions:
    numbers = []
    for element in elements:
        try:
            numbers.append(_dimension_number(element))
        except TypeError as error:
            raise TypeError(
                f"Failed to convert '{dims!r}' to a shape: '{element!r}'could not be converted to a dimension. A shape "
                "should either be single dimension (e.g. 10), or an iterable of dimensions (e.g. [1, 10, None])."
            ) from error
    return tuple(numbers)


class TensorShape:
    """A static shape.

    `TensorShape(dims)`: an iterable of int, None or `Dimension`; one such number for rank 1; None for unknown rank; or
    another `TensorShape`. TypeError for anything else, ValueError for a negative size.
    """

    __slots__ = ("__weakref__", "_dims")

    _dims: Dimensions | None

    def __init__(self, dims: Any = None) -> None:
        if type(dims) is tuple or type(dims) is list:
            for size in dims:
                if size is not None and (type(size) is not int or size < 0):
                    break
            else:  # the common case, without a function call for each size
                self._dims = tuple(dims)
                return
        self._dims = _parse(dims)

    @staticmethod
    def from_dimensions(dimensions: Dimensions | None) -> "TensorShape":
        """The shape of these sizes, which the caller knows to be a tuple of `int >= 0` or None: nothing is checked."""
        shape = _new_shape(TensorShape)
        shape._dims = dimensions
        return shape

    @property
    def dimensions(self) -> Dimensions | None:
        """The sizes, or None if the rank is unknown; never `Dimension` objects."""
        return self._dims

    @property
    def rank(self) -> int | None:
        """The number of dimensions, or None if unknown."""
        return None if self._dims is None else len(self._dims)

    @property
    def ndims(self) -> int | None:
        """The same as `rank`."""
        return None if self._dims is None else len(self._dims)

    @property
    def dims(self) -> list[Dimension] | None:
        """A list of `Dimension` (in both behaviours), or None if the rank is unknown."""
        return None if self._dims is None else [Dimension(size) for size in self._dims]

    def as_list(self) -> list[int | None]:
        """The sizes as a new list. ValueError if the rank is unknown."""
        if self._dims is None:
            raise ValueError("as_list() is not defined on an unknown TensorShape.")
        return list(self._dims)

    def num_elements(self) -> int | None:
        """The product of the sizes, or None unless all are known."""
        if self._dims is None:
            return None
        count = 1
        for size in self._dims:
            if size is None:
                return None
            count *= size
        return count

    def is_fully_defined(self) -> bool:
        """Whether the rank and all sizes are known."""
        return self._dims is not None and None not in self._dims

    def assert_is_fully_defined(self) -> None:
        """ValueError unless `is_fully_defined()`."""
        if not self.is_fully_defined():
            raise ValueError(f"Shape {self} is not fully defined")

    def is_compatible_with(self, other: Any) -> bool:
        """Whether a tensor may have both shapes."""
        theirs = other if type(other) is tuple else as_shape(other)._dims
        if self._dims is None or theirs is None or self._dims == theirs:
            return True
        theirs = as_shape(theirs)._dims
        assert theirs is not None
        return len(self._dims) == len(theirs) and all(map(_may_be_equal, self._dims, theirs))

    def assert_is_compatible_with(self, other: Any) -> None:
        """ValueError unless `is_compatible_with(other)`."""
        if not self.is_compatible_with(other):
            raise ValueError(f"Shapes {self} and {other} are incompatible")

    def merge_with(self, other: Any) -> "TensorShape":
        """What both shapes together say. ValueError if they contradict each other."""
        other_shape = as_shape(other)
        if self._dims is None or other_shape._dims is None:
            return other_shape if self._dims is None else self
        if not self.is_compatible_with(other_shape):
            raise ValueError(f"Shapes {self} and {other_shape} are not compatible")
        pairs = zip(self._dims, other_shape._dims, strict=True)
        return TensorShape.from_dimensions(tuple(theirs if mine is None else mine for mine, theirs in pairs))

    def is_subtype_of(self, other: Any) -> bool:
        """Whether every tensor of this shape has the shape `other` (a `TensorShape`) too."""
        if not isinstance(other, TensorShape):
            return False
        if other._dims is None:
            return True
        if self._dims is None or len(self._dims) != len(other._dims):
            return False
        return all(theirs is None or mine == theirs for mine, theirs in zip(self._dims, other._dims, strict=True))

    def most_specific_compatible_shape(self, other: Any) -> "TensorShape":
        """The most that can be said of a tensor which has one of the two shapes."""
        theirs = as_shape(other)._dims
        if self._dims is None or theirs is None or len(self._dims) != len(theirs):
            return UNKNOWN
        pairs = zip(self._dims, theirs, strict=True)
        return TensorShape.from_dimensions(tuple(left if left == right else None for left, right in pairs))

    def most_specific_common_supertype(self, others: Iterable[Any]) -> "TensorShape | None":
        """The most that can be said of a tensor which has one of these shapes; None if one is not a `TensorShape`."""
        result = self
        for other in others:
            if not isinstance(other, TensorShape):
                return None
            result = result.most_specific_compatible_shape(other)
        return result

    def concatenate(self, other: Any) -> "TensorShape":
        """This shape's dimensions followed by `other`'s; unknown if either is."""
        theirs = as_shape(other)._dims
        if self._dims is None or theirs is None:
            return UNKNOWN
        return TensorShape.from_dimensions(self._dims + theirs)

    def __add__(self, other: Any) -> "TensorShape":
        return self.concatenate(other)

    def __radd__(self, other: Any) -> "TensorShape":
        return as_shape(other).concatenate(self)

    def with_rank(self, rank: int | None) -> "TensorShape":
        """This shape, known to have `rank` dimensions. ValueError if it has another number of them."""
        if rank is None:
            return self
        if self._dims is None:
            return unknown_shape(rank)
        self.assert_has_rank(rank)
        return self

    def with_rank_at_least(self, rank: int) -> "TensorShape":
        """This shape. ValueError if it has fewer than `rank` dimensions."""
        if self._dims is not None and len(self._dims) < rank:
            raise ValueError(f"Shape {self} must have rank at least {rank}")
        return self

    def with_rank_at_most(self, rank: int) -> "TensorShape":
        """This shape. ValueError if it has more than `rank` dimensions."""
        if self._dims is not None and len(self._dims) > rank:
            raise ValueError(f"Shape {self} must have rank at most {rank}")
        return self

    def assert_has_rank(self, rank: int) -> None:
        """ValueError if this shape is known to have another rank."""
        if self._dims is not None and len(self._dims) != rank:
            raise ValueError(f"Shape {self} must have rank {rank}")

    def assert_same_rank(self, other: Any) -> None:
        """ValueError if both ranks are known and differ."""
        other = as_shape(other)
        if self._dims is not None and other._dims is not None and len(self._dims) != len(other._dims):
            raise ValueError(f"Shapes {self} and {other} must have the same rank")

    def __len__(self) -> int:
        if self._dims is None:
            raise ValueError("Cannot take the length of shape with unknown rank.")
        return len(self._dims)

    def __bool__(self) -> bool:
        return self._dims is not None

    def __iter__(self) -> Iterator[Any]:
        if self._dims is None:
            raise ValueError("Cannot iterate over a shape with unknown rank.")
        return iter(self._dims) if _v2_behavior else map(Dimension, self._dims)

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        """A size, or for a slice the `TensorShape` of its part."""
        if self._dims is None:
            return _unknown_item(key)
        if isinstance(key, slice):
            return TensorShape.from_dimensions(self._dims[key])
        size = self._dims[key]
        return size if _v2_behavior else Dimension(size)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TensorShape):
            return self._dims == other._dims
        try:
            return self._dims == _parse(other)
        except TypeError:
            return NotImplemented
        except ValueError:  # a negative size: no shape, so not this one
            return False

    def __hash__(self) -> int:
        return hash(self._dims)

    def __str__(self) -> str:
        if self._dims is None:
            return "<unknown>"
        if _v2_behavior:
            return str(self._dims)
        sizes = [str(Dimension(size)) for size in self._dims]
        return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"

    def __repr__(self) -> str:
        if self._dims is None:
            return "TensorShape(None)"
        return f"TensorShape({list(self)!r})"

    def __reduce__(self) -> tuple[type["TensorShape"], tuple[Dimensions | None]]:
        return TensorShape, (self._dims,)


_new_shape = object.__new__


def _may_be_equal(left: int | None, right: int | None) -> bool:
    return left is None or right is None or left == right


def _unknown_item(key: Any) -> Any:
    """What `shape[key]` says of a shape of unknown rank."""
    if not isinstance(key, slice):
        return None if _v2_behavior else Dimension(None)
    if key.step is not None:
        raise ValueError("Steps are not yet handled")
    start = 0 if key.start is None else key.start
    if key.stop is None or start < 0 or key.stop < 0:
        return UNKNOWN
    return unknown_shape(max(key.stop - start, 0))


UNKNOWN = TensorShape(None)
"""The shape of which nothing is known."""
SCALAR = TensorShape(())
"""The shape of a scalar."""


def as_shape(value: Any) -> TensorShape:
    """`value` as a `TensorShape` (itself if it is one); see `TensorShape` for what is accepted."""
    return value if isinstance(value, TensorShape) else TensorShape(value)


def as_dimension(value: Any) -> Dimension:
    """`value` as a `Dimension` (itself if it is one). TypeError or ValueError if it is no size."""
    return value if isinstance(value, Dimension) else Dimension(value)


def unknown_shape(rank: int | None = None) -> TensorShape:
    """The shape of which only the rank is known, or nothing."""
    return UNKNOWN if rank is None else TensorShape.from_dimensions((None,) * rank)


def dimension_value(dimension: Any) -> Any:
    """The `int | None` of a `Dimension`; anything else as it is."""
    return dimension.value if isinstance(dimension, Dimension) else dimension


def dimension_at_index(shape: Any, index: int) -> Dimension:
    """The size at `index` as a `Dimension` in both behaviours; unknown if the rank is. IndexError if out of range."""
    dims = as_shape(shape).dims
    return Dimension(None) if dims is None else dims[index]


def broadcast_static_shape(left: Any, right: Any) -> TensorShape:
    """The shape that two shapes broadcast to, as far as it is known. ValueError if they don't broadcast."""
    first, second = as_shape(left), as_shape(right)
    mine, theirs = first._dims, second._dims
    if mine is None or theirs is None:
        return UNKNOWN
    if mine == theirs:
        return first
    rank = max(len(mine), len(theirs))
    pairs = zip((1,) * (rank - len(mine)) + mine, (1,) * (rank - len(theirs)) + theirs, strict=True)
    try:
        return TensorShape.from_dimensions(tuple(_broadcast_sizes(*pair) for pair in pairs))
    except ValueError:
        raise ValueError(f"Incompatible shapes for broadcasting: {first} and {second}") from None


def _broadcast_sizes(left: int | None, right: int | None) -> int | None:
    if left == right or right == 1:
        return left
    if left == 1:
        return right
    if left is None or right is None:
        # An unknown size next to n > 1 is 1 or n; next to 0 it is left unknown, as TensorFlow does.
        return left or right or None
    raise ValueError(f"{left} and {right} don't broadcast")
