"""Matrices and their diagonals: bands are read where they are, elements outside are zero or padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rillet.compiler.arrays import Array, Arrays, Constant
from rillet.compiler.index import Dynamic, Linear
from rillet.compiler.lowering.places import whole_number
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes

_FAR = 1 << 40  # beyond every index


class _Band:
    """The diagonals `low` to `high` of matrices, packed from the highest on: packed[high - d, place] is on diagonal d.

    Shorter diagonals are aligned to either side; `shifts` says by how much each is moved to the right.
    """

    def __init__(self, call: Call, rows: int, columns: int, low: int, high: int, align: str) -> None:
        call.require(low <= high and all(not index or -rows < index < columns for index in (low, high)))
        self.program, self.low, self.high = call.program, low, high
        offsets = np.arange(high, low - 1, -1)
        lengths = np.minimum(rows + np.minimum(offsets, 0), columns - np.maximum(offsets, 0))
        self.length = max(int(lengths.max()), 0)
        upper, lower = align.split("_")
        to_right = np.where(offsets >= 0, upper == "RIGHT", lower == "RIGHT")
        # One number a diagonal: how long it is, and by how much it is moved.
        self.lengths = call.program.constant(lengths, dtypes.int64)
        self.shifts = call.program.constant(np.where(to_right, self.length - lengths, 0), dtypes.int64)

    @property
    def count(self) -> int:
        return self.high - self.low + 1

    def of_diagonal(self, numbers: Constant, diagonal: Linear) -> Linear:
        """One of `numbers`; diagonal: its place among the packed ones."""
        if numbers.splat is not None:
            return Linear(int(numbers.splat))
        return Linear(0, {Dynamic(numbers.at(diagonal), int(numbers.value.max()) + 1): 1})

    @property
    def tables(self) -> tuple[Constant, ...]:
        return (self.lengths, self.shifts)


def _band_of(call: Call, k: Array | None, rows: int, columns: int) -> _Band:
    numbers = [0] if k is None else call.integers(k)
    call.require(1 <= len(numbers) <= 2)
    align = call.attrs.get("align", "LEFT_LEFT")
    return _Band(call, rows, columns, numbers[0], numbers[-1], align.decode() if isinstance(align, bytes) else align)


def _from_packed(band: _Band, packed: Array, index: Sequence[Linear], outside: Array) -> Scalar:
    """The element of a matrix at `index`: from packed diagonals, or from `outside` (a matrix or a number)."""
    *batch, row, column = index
    program = band.program
    offset = column - row
    diagonal = -offset + band.high
    low, high = offset.bounds()

    def on(line: Linear) -> Scalar:
        place = line + band.of_diagonal(band.shifts, diagonal)
        return packed.at(*batch, *([diagonal] if band.count > 1 else []), place)

    def inside() -> Scalar:
        if max(low, band.low) >= 0:
            return on(row)
        if min(high, band.high) < 0:
            return on(column)
        return program.choose([program.within(offset, 0, _FAR)], lambda: on(row), lambda: on(column))

    in_band = program.within(offset, band.low, band.high + 1)
    return program.choose([in_band], inside, lambda: outside.at(*index[: outside.rank]))


# ---- from diagonals to matrices -------------------------------------------------------------------------------------


def _diagonal_matrix(call: Call, diagonal: Array, k: Array | None, rows: int, columns: int, padding: Array) -> Array:
    numbers = [0] if k is None else call.integers(k)
    low, high = numbers[0], numbers[-1]
    call.require(diagonal.rank >= (1 if low == high else 2) and diagonal.size > 0)
    length = diagonal.shape[-1]
    least_rows, least_columns = length - min(high, 0), length + max(low, 0)
    if rows == -1 and columns == -1:
        rows = columns = max(least_rows, least_columns)
    rows, columns = (least_rows if rows == -1 else rows), (least_columns if columns == -1 else columns)
    call.require(rows >= least_rows and columns >= least_columns and (rows == least_rows or columns == least_columns))
    band = _band_of(call, k, rows, columns)
    batch = diagonal.shape[:-1] if band.count == 1 else diagonal.shape[:-2]
    call.require(diagonal.shape == (*batch, *([band.count] if band.count > 1 else []), band.length))
    return call.program.map(
        (*batch, rows, columns),
        diagonal.dtype,
        lambda *index: _from_packed(band, diagonal, index, padding),
        (diagonal, padding, *band.tables),
        3,
    )


@lowering("MatrixDiag")
def matrix_diag(call: Call, diagonal: Array) -> Array:
    call.require(diagonal.rank > 0)
    return _diagonal_matrix(call, diagonal, None, -1, -1, call.program.constant(0, diagonal.dtype))


@lowering("MatrixDiagV2", "MatrixDiagV3")
def matrix_diag_padded(call: Call, diagonal: Array, k: Array, rows: Array, columns: Array, padding: Array) -> Array:
    return _diagonal_matrix(call, diagonal, k, whole_number(call, rows), whole_number(call, columns), padding)


@lowering("MatrixSetDiag", "MatrixSetDiagV2", "MatrixSetDiagV3")
def set_diagonal(call: Call, x: Array, diagonal: Array, k: Array | None = None) -> Array:
    call.require(x.rank >= 2 and x.size > 0)
    band = _band_of(call, k, *x.shape[-2:])
    call.require(diagonal.shape == (*x.shape[:-2], *([band.count] if band.count > 1 else []), band.length))
    reads = (x, diagonal, *band.tables)
    return call.program.map(x.shape, x.dtype, lambda *index: _from_packed(band, diagonal, index, x), reads, 3)


# ---- from matrices to diagonals -------------------------------------------------------------------------------------


@lowering("MatrixDiagPart", "MatrixDiagPartV2", "MatrixDiagPartV3")
def matrix_diag_part(call: Call, x: Array, k: Array | None = None, padding: Array | None = None) -> Array:
    call.require(x.rank >= 2 and x.size > 0)
    program, band = call.program, _band_of(call, k, *x.shape[-2:])
    filler = program.constant(0, x.dtype) if padding is None else padding

    def compute(*index: Linear) -> Scalar:
        batch = index[: x.rank - 2]
        diagonal = index[-2] if band.count > 1 else Linear(0)
        return _packed_element(band, x, batch, diagonal, index[-1], filler.at())

    shape = (*x.shape[:-2], *([band.count] if band.count > 1 else []), band.length)
    return program.map(shape, x.dtype, compute, (x, filler, *band.tables), 3)


def _packed_element(
    band: _Band, x: Array, batch: Sequence[Linear], diagonal: Linear, place: Linear, filler: Scalar
) -> Scalar:
    program, offset = band.program, -diagonal + band.high
    step = place - band.of_diagonal(band.shifts, diagonal)
    length = band.of_diagonal(band.lengths, diagonal)
    conditions = [program.within(step, 0, _FAR)]
    if not length.is_constant:
        conditions.append(program.compare("lt", program.scalars.index(step), program.scalars.index(length)))
    low, high = offset.bounds()

    def above() -> Scalar:
        return x.at(*batch, step, step + offset)

    def below() -> Scalar:
        return x.at(*batch, step - offset, step)

    def inside() -> Scalar:
        if low >= 0:
            return above()
        return below() if high < 0 else program.choose([program.within(offset, 0, _FAR)], above, below)

    return program.choose(conditions, inside, lambda: filler)


# ---- bands, and tensors ---------------------------------------------------------------------------------------------


@lowering("MatrixBandPart")
def band_part(call: Call, x: Array, lower: Array, upper: Array) -> Array:
    program, below, above = call.program, whole_number(call, lower), whole_number(call, upper)
    call.require(x.rank >= 2 and below <= x.shape[-2] and above <= x.shape[-1])
    lowest = -below if below >= 0 else -x.shape[-2]
    highest = above if above >= 0 else x.shape[-1]

    def compute(*index: Linear) -> Scalar:
        inside = program.within(index[-1] - index[-2], lowest, highest + 1)
        element = x.at(*index)
        return element if inside is None else program.where(inside, element, program.number(0, x.dtype))

    return program.map(x.shape, x.dtype, compute, (x,), 2)


def _same(program: Arrays, left: Sequence[Linear], right: Sequence[Linear]) -> list[Scalar | None]:
    return [
        program.compare("eq", program.scalars.index(first), program.scalars.index(second))
        for first, second in zip(left, right, strict=True)
    ]


@lowering("Diag", unless=lambda op: op.outputs[0].dtype.is_complex)
def tensor_diag(call: Call, diagonal: Array) -> Array:
    program, half = call.program, diagonal.rank
    call.require(half > 0)

    def compute(*index: Linear) -> Scalar:
        conditions = _same(program, index[:half], index[half:])
        return program.choose(conditions, lambda: diagonal.at(*index[:half]), lambda: program.number(0, diagonal.dtype))

    return program.map(diagonal.shape * 2, diagonal.dtype, compute, (diagonal,), 2)


@lowering("DiagPart", unless=lambda op: op.outputs[0].dtype.is_complex)
def tensor_diag_part(call: Call, x: Array) -> Array:
    half = x.rank // 2
    call.require(x.rank > 0 and x.rank % 2 == 0 and x.shape[:half] == x.shape[half:])
    return call.program.view(x, x.shape[:half], lambda *index: (*index, *index))
