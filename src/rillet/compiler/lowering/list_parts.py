"""What lists of tensors are made of: rows of arrays, counts, places."""

from __future__ import annotations

from collections.abc import Sequence

from rillet.compiler.arrays import Array, Arrays, Map
from rillet.compiler.index import Linear
from rillet.compiler.lowering.places import known, position, row_at
from rillet.compiler.lowering.scattering import write_part
from rillet.compiler.rules import NotLowered
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.shapes import TensorShape

# So many arrays are concatenated at a time: the search for the right one is nested.
_FEW = 16

Length = int | Array
Place = int | Array


def require(condition: bool, what: str) -> None:
    if not condition:
        raise NotLowered(what)


def as_place(array: Array) -> Place:
    """A scalar integer: an int where it is known."""
    number = known(array.at(*[0] * array.rank))
    return array if number is None else int(number)


def as_array(program: Arrays, number: Length) -> Array:
    """The number as an int32 scalar."""
    return program.constant(number, dtypes.int32) if isinstance(number, int) else number


class Counted(Map):
    """base + amount"""

    __slots__ = ("amount", "base")

    def __init__(self, base: Array, amount: int) -> None:
        program, dtype = base.program, base.dtype

        def compute() -> Scalar:
            return program.make("add", dtype, base.at(), program.number(amount, dtype))

        super().__init__(program, (), dtype, compute, (base,))
        self.base = base
        self.amount = amount


def plus(program: Arrays, number: Length, more: int) -> Length:
    """number + more, so that it shows how much more; the same array for the same sum."""
    if isinstance(number, int) or not more:
        return number + more if isinstance(number, int) else number
    if isinstance(number, Counted):
        return plus(program, number.base, number.amount + more)
    key = ("plus", number.number, more)
    found = program.made.get(key)
    if found is None:
        found = program.made[key] = Counted(number, more)
    return found


def row(buffer: Array, index: Place, limit: int | None = None) -> Array:
    """buffer[index]; an index from the run is checked against `limit`, or the number of rows."""
    if isinstance(index, int):
        return buffer.program.view(buffer, buffer.shape[1:], lambda *place: (index, *place))
    extent = buffer.shape[0] if limit is None else limit
    require(extent > 0, "an entry of an empty list")
    return row_at(buffer, index, extent)


def with_row(buffer: Array, index: Place, value: Array) -> Array:
    """The buffer with another row."""
    program = buffer.program
    if isinstance(index, int):
        return write_part(buffer, value.shape, lambda place: (Linear(index), *place), value)

    def place(inside: Sequence[Linear]) -> Sequence[Linear]:
        return (position(program, index.at(), buffer.shape[0]), *inside)

    return write_part(buffer, value.shape, place, value, (index,))


def stacked(program: Arrays, rows: Sequence[Array], shape: Sequence[int], dtype: DType) -> Array:
    """Arrays of one shape along a new axis 0."""
    if not rows:
        return program.broadcast(program.constant(0, dtype), (0, *shape))
    require(all(item.shape == tuple(shape) for item in rows), "entries of different shapes")
    return program.concat([program.reshape(item, (1, *shape)) for item in rows], 0)


def joined(program: Arrays, parts: Sequence[Array]) -> Array:
    """Arrays one behind the other; a few at a time, as the search for the right one is nested."""
    while len(parts) > _FEW:
        parts = [program.concat(parts[start : start + _FEW], 0) for start in range(0, len(parts), _FEW)]
    return program.concat(parts, 0)


class LazyRow:
    """A row of a buffer that nobody may ask for."""

    __slots__ = ("buffer", "index")

    def __init__(self, buffer: Array, index: int) -> None:
        self.buffer = buffer
        self.index = index

    @property
    def value(self) -> Array:
        made, key = self.buffer.program.made, ("row", self.buffer.number, self.index)
        if key not in made:
            made[key] = row(self.buffer, self.index)
        return made[key]


def sizes_of(shape: TensorShape) -> tuple[int, ...]:
    return tuple(int(size or 0) for size in shape.as_list())


def zeros(program: Arrays, shape: TensorShape, dtype: DType) -> Array:
    return program.broadcast(program.constant(0, dtype), sizes_of(shape))
