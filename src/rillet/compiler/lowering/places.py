"""What rules about indices share: which indices are known now, and reading at those that only the run knows."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.compiler.arrays import Array, Arrays, Constant, Map, Row, size_of
from rillet.compiler.index import Linear
from rillet.compiler.rules import Call, NotLowered
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes

# From so many elements on, a row is worth a step that computes its address.
_LONG_ROW = 32


def known(scalar: Scalar) -> Any:
    """The number that an expression always is; None if that takes the run."""
    if scalar.operation == "const":
        return scalar.data
    if scalar.operation == "load":
        array, flat, guard = scalar.data
        if isinstance(array, Constant) and flat.is_constant and guard is None:
            return array.value.reshape(-1)[flat.constant].item()
        return None
    if not scalar.dtype.is_integer or scalar.operation not in ("cast", "add", "sub", "mul"):
        return None
    parts: list[Any] = []
    for part in scalar.arguments:
        parts.append(known(part))
        if parts[-1] is None:
            return None
    if scalar.operation == "cast":
        return int(np.asarray(parts[0]).astype(scalar.dtype.numpy_dtype))
    left, right = parts
    return left + right if scalar.operation == "add" else left - right if scalar.operation == "sub" else left * right


def difference(left: Scalar, right: Scalar) -> int | None:
    """left - right, where that is known although they may not be: x * 8 + 8 and x * 8."""
    total: dict[int, int] = {}
    for part, sign in ((left, 1), (right, -1)):
        _collect(part, sign, total)
    constant = total.pop(0, 0)
    return None if any(total.values()) else constant


def _collect(scalar: Scalar, factor: int, total: dict[int, int]) -> None:
    """Adds a multiple of an integer to the multiples of unknown ones; that of the number 1 has the key 0."""
    number = known(scalar)
    if number is not None:
        total[0] = total.get(0, 0) + factor * int(number)
        return
    parts, operation = scalar.arguments, scalar.operation
    if operation == "cast" and parts[0].dtype.is_integer and parts[0].dtype.size <= scalar.dtype.size:
        _collect(parts[0], factor, total)
    elif operation in ("add", "sub"):
        _collect(parts[0], factor, total)
        _collect(parts[1], factor if operation == "add" else -factor, total)
    elif operation == "mul" and (times := next(filter(None, map(known, parts)), None)) is not None:
        _collect(parts[1] if known(parts[0]) is not None else parts[0], factor * int(times), total)
    else:
        total[id(scalar)] = total.get(id(scalar), 0) + factor


def entries(call: Call, vector: Array) -> list[Scalar]:
    """The elements of a short vector, of which some may be known (see `known`) and some not."""
    call.require(vector.rank <= 1 and vector.size <= 64, "a long vector")
    if vector.rank == 0:
        return [vector.at()]
    return [vector.at(place) for place in range(vector.size)]


def whole_number(call: Call, array: Array) -> int:
    """The value of an array of one integer, known now (perhaps as that of an input, to which the program is bound)."""
    call.require(array.size == 1)
    found = known(array.at(*[0] * array.rank))
    return int(call.integers(array)[0] if found is None else found)


def position(program: Arrays, index: Scalar, extent: int) -> Linear:
    """An index as a place in an axis. NotLowered for one that is known to be outside; the run checks others."""
    number = known(index)
    if number is None:
        return program.dynamic(index, extent)
    if not 0 <= number < extent:
        raise NotLowered("an index out of range")
    return Linear(int(number))


def row_at(buffer: Array, index: Array, limit: int) -> Array:
    """buffer[index] for a scalar index that only the run knows; one that is not below `limit` stops the program.

    In a loop the row of an array in memory is found by its address: matrix products can read it where it lies.
    """
    program, shape = buffer.program, buffer.shape[1:]
    if program.is_repeated and size_of(shape) >= _LONG_ROW and not isinstance(buffer, (Map, Constant)):
        number = program.cast(index, dtypes.int64) if index.dtype not in (dtypes.int32, dtypes.int64) else index
        (found,) = Row(buffer, number, limit).outputs
        return found

    def compute(*place: Linear) -> Scalar:
        return buffer.at(position(program, index.at(), limit), *place)

    return program.map(shape, buffer.dtype, compute, (buffer, index), 0)
