"""Matrices and their diagonals: diag, diag_part, set_diag, band_part, and the diagonals of tensors of higher rank.

Everything about bands goes through `_band`, which pairs the cells of a matrix with the cells of its packed diagonals:
row 0 of the packed form is the highest diagonal, and shorter diagonals are aligned to the left or right.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value
from rillet.errors import ShapeError
from rillet.ops.arrays import as_array, size_of, text
from rillet.ops.creation import zeros, zeros_like
from rillet.ops.scope import scope
from rillet.ops.shape import shape_of

# ---- bands ----------------------------------------------------------------------------------------------------------


class _Band(NamedTuple):
    """Matching cells: matrix[rows[i], columns[i]] is packed[diagonals[i], places[i]]."""

    rows: Any
    columns: Any
    diagonals: Any
    places: Any
    number: int
    length: int


def _limits(k: Any) -> tuple[int, int]:
    """The lowest and highest diagonal that `k` (one number, or two) names. ValueError when they are out of order."""
    numbers = np.ravel(k).tolist()
    if not 1 <= len(numbers) <= 2:
        raise ValueError(f"diag_index must be a scalar or a vector with one or two elements, not {len(numbers)}")
    low, high = numbers[0], numbers[-1]
    if low > high:
        raise ValueError(f"lower_diag_index must not be larger than upper_diag_index: {low} > {high}")
    return low, high


def _longest(rows: int, columns: int, low: int, high: int) -> int:
    """The length of the longest diagonal of a band."""
    return min(rows + min(high, 0), columns - max(low, 0))


def _band(rows: int, columns: int, k: Any, align: str) -> _Band:
    low, high = _limits(k)
    for index in (low, high):
        if index and not -rows < index < columns:
            label = "lower" if index == low else "upper"
            raise ValueError(f"{label}_diag_index is out of bound: {index}. It must be between {-rows} and {columns}")
    length = max(_longest(rows, columns, low, high), 0)
    offsets = np.arange(high, low - 1, -1)[:, None]
    lengths = np.minimum(rows + np.minimum(offsets, 0), columns - np.maximum(offsets, 0))
    upper, lower = align.split("_")
    is_right = np.where(offsets >= 0, upper == "RIGHT", lower == "RIGHT")
    steps = np.arange(length) - np.where(is_right, length - lengths, 0)
    diagonals, places = np.nonzero((steps >= 0) & (steps < lengths))
    along = steps[diagonals, places]
    which = offsets[diagonals, 0]
    return _Band(along - np.minimum(which, 0), along + np.maximum(which, 0), diagonals, places, high - low + 1, length)


def _packed(diagonal: Any, count: int) -> Any:
    """Packed diagonals with an axis of diagonals, also where there is only one."""
    return diagonal if count > 1 else diagonal[..., None, :]


# ---- from diagonals to matrices -------------------------------------------------------------------------------------


def _matrix_size(length: int, low: int, high: int, rows: int, columns: int) -> tuple[int, int]:
    """The size of the matrix, -1 completed to the smallest that holds the band (square if both are -1)."""
    least_rows, least_columns = length - min(high, 0), length + max(low, 0)
    if rows == -1 and columns == -1:
        return (max(least_rows, least_columns),) * 2
    rows, columns = (least_rows if rows == -1 else rows), (least_columns if columns == -1 else columns)
    if rows < least_rows:
        raise ValueError("The number of rows is too small.")
    if columns < least_columns:
        raise ValueError("The number of columns is too small.")
    if rows != least_rows and columns != least_columns:
        raise ValueError(
            "The number of rows or columns is not consistent with the specified d_lower, d_upper, and diagonal."
        )
    return rows, columns


def _diag_kernel(diagonal: Any, k: Any, rows: Any, columns: Any, padding: Any, *, align: str = "LEFT_LEFT") -> Any:
    diagonal = as_array(diagonal)
    low, high = _limits(k)
    if diagonal.ndim < (1 if low == high else 2):
        raise ValueError(
            f"diagonal must be at least {1 if low == high else 2}-dim, received shape: {list(diagonal.shape)}"
        )
    size = _matrix_size(diagonal.shape[-1], low, high, int(rows), int(columns))
    band = _band(*size, k, align)
    packed = _packed(diagonal, band.number)
    if packed.shape[-2] != band.number:
        raise ValueError(
            "The number of diagonals provided in the input does not match the lower_diag_index and upper_diag_index range."
        )
    result = np.full((*packed.shape[:-2], *size), padding, diagonal.dtype)
    result[..., band.rows, band.columns] = packed[..., band.diagonals, band.places]
    return result


def _known_band(tensor: Any) -> tuple[int, int] | None:
    value = constant_value(tensor)
    return None if value is None else _limits(value)


def _diag_shape(op: Operation) -> TensorShape:
    dimensions, k = op.inputs[0].shape.dimensions, _known_band(op.inputs[1])
    if dimensions is None or k is None:
        return UNKNOWN
    low, high = k
    if len(dimensions) < (1 if low == high else 2):
        least = 1 if low == high else 2
        raise ShapeError(
            f"Shape must be at least rank {least} but is rank {len(dimensions)}",
            f"diagonal must be at least {least}-dim, received shape: {text(op.inputs[0].shape)}",
        )
    batch = dimensions[:-1] if low == high else dimensions[:-2]
    counts = [constant_value(tensor) for tensor in op.inputs[2:4]]
    if dimensions[-1] is None or any(count is None for count in counts):
        known = [None if count is None or int(count) == -1 else int(count) for count in counts]
        return TensorShape([*batch, *known])
    try:
        size = _matrix_size(dimensions[-1], low, high, int(counts[0]), int(counts[1]))
    except ValueError as error:
        raise ShapeError(str(error)) from None
    return TensorShape([*batch, *size])


def _part_like(op: Operation, dy: Any, name: str) -> Any:
    """The gradient of a matrix's diagonals."""
    attrs = {"align": op.attrs["align"]} if "align" in op.attrs else {}
    return apply_op(REGISTRY[name], (dy, op.inputs[1], _zero(dy.dtype)), attrs, "diag_part")


def _zero(dtype: Any) -> Any:
    return dtype.base_dtype.as_numpy_dtype(0)


_DIAG_SIGNATURE = "diagonal: T, k: int32, num_rows: int32, num_cols: int32, padding_value: T -> output: T"
define(
    "MatrixDiagV2", _DIAG_SIGNATURE, "T: type",
    reference=lambda *inputs: _diag_kernel(*inputs), shape=_diag_shape,
    gradient=lambda op, dy: [_part_like(op, dy, "MatrixDiagPartV2"), None, None, None, None],
)  # fmt: skip
define(
    "MatrixDiagV3", _DIAG_SIGNATURE, "T: type, align: string = 'RIGHT_LEFT'",
    reference=_diag_kernel, shape=_diag_shape,
    gradient=lambda op, dy: [_part_like(op, dy, "MatrixDiagPartV3"), None, None, None, None],
)  # fmt: skip


def _simple_diag_shape(op: Operation) -> TensorShape:
    dimensions = op.inputs[0].shape.dimensions
    return UNKNOWN if dimensions is None else TensorShape([*dimensions, dimensions[-1]])


define(
    "MatrixDiag", "diagonal: T -> output: T", "T: type",
    reference=lambda diagonal: _diag_kernel(diagonal, 0, -1, -1, _zero_of(diagonal)), shape=_simple_diag_shape,
    gradient=lambda op, dy: apply_op(REGISTRY["MatrixDiagPart"], (dy,)),
)  # fmt: skip


def _zero_of(array: Any) -> Any:
    return np.zeros((), array.dtype)


@public("linalg.diag", v1=["matrix_diag"])
def diag(
    diagonal: Any,
    name: str = "diag",
    k: Any = 0,
    num_rows: Any = -1,
    num_cols: Any = -1,
    padding_value: Any = 0,
    align: str = "RIGHT_LEFT",
) -> Any:
    """Matrices with the given diagonals, and `padding_value` elsewhere.

    diagonal: [..., n] for one diagonal k (0 is the main one, positive ones lie above), or packed diagonals [..., m, n]
    for k = (lowest, highest). num_rows, num_cols: -1 takes what the diagonals need.
    align: to which side shorter diagonals are packed: "RIGHT_LEFT" is superdiagonals right, subdiagonals left.
    """
    padding = _padding(diagonal, padding_value)
    return apply_op(REGISTRY["MatrixDiagV3"], (diagonal, k, num_rows, num_cols, padding), {"align": align}, name)


def _padding(value: Any, padding: Any) -> Any:
    return bool(padding) if getattr(value, "dtype", None) is dtypes.bool else padding


# ---- from matrices to diagonals -------------------------------------------------------------------------------------


def _diag_part_kernel(value: Any, k: Any, padding: Any, *, align: str = "LEFT_LEFT") -> Any:
    value = as_array(value)
    band = _band(value.shape[-2], value.shape[-1], k, align)
    result = np.full((*value.shape[:-2], band.number, band.length), padding, value.dtype)
    result[..., band.diagonals, band.places] = value[..., band.rows, band.columns]
    return result if band.number > 1 else result[..., 0, :]


def _diag_part_shape(op: Operation) -> TensorShape:
    dimensions, k = op.inputs[0].shape.dimensions, _known_band(op.inputs[1])
    if dimensions is None or k is None:
        return UNKNOWN
    _check_matrix(op.inputs[0].shape)
    low, high = k
    rows, columns = dimensions[-2:]
    if rows is not None and columns is not None:
        for index in (low, high):
            if index and not -rows < index < columns:
                raise ShapeError(
                    f"{'lower' if index == low else 'upper'}_diag_index is out of bound: {index}. It must be between "
                    f"{-rows} and {columns}"
                )
    length = None if rows is None or columns is None else max(_longest(rows, columns, low, high), 0)
    return TensorShape([*dimensions[:-2], *([] if low == high else [high - low + 1]), length])


def _check_matrix(shape: TensorShape) -> None:
    if shape.rank is not None and shape.rank < 2:
        raise ShapeError(
            f"Shape must be at least rank 2 but is rank {shape.rank}",
            f"input must be at least 2-dim, received shape: {text(shape)}",
            {0: range(shape.rank)},
        )


def _diag_part_gradient(op: Operation, dy: Any, suffix: str) -> list[Any]:
    shape = op.inputs[0].shape
    attrs = {"align": op.attrs["align"]} if "align" in op.attrs else {}
    if shape.dimensions is not None and None not in shape.dimensions[-2:]:
        rows, columns = shape.dimensions[-2:]
        inputs = (dy, op.inputs[1], rows, columns, _zero(dy.dtype))
        return [apply_op(REGISTRY["MatrixDiag" + suffix], inputs, attrs, "diag"), None, None]
    blank = zeros_like(op.inputs[0])
    return [apply_op(REGISTRY["MatrixSetDiag" + suffix], (blank, dy, op.inputs[1]), attrs, "set_diag"), None, None]


_PART_SIGNATURE = "input: T, k: int32, padding_value: T -> diagonal: T"
define(
    "MatrixDiagPartV2", _PART_SIGNATURE, "T: type",
    reference=lambda *inputs: _diag_part_kernel(*inputs), shape=_diag_part_shape,
    gradient=lambda op, dy: _diag_part_gradient(op, dy, "V2"),
)  # fmt: skip
define(
    "MatrixDiagPartV3", _PART_SIGNATURE, "T: type, align: string = 'RIGHT_LEFT'",
    reference=_diag_part_kernel, shape=_diag_part_shape, gradient=lambda op, dy: _diag_part_gradient(op, dy, "V3"),
)  # fmt: skip


def _simple_part_shape(op: Operation) -> TensorShape:
    dimensions = op.inputs[0].shape.dimensions
    if dimensions is None:
        return UNKNOWN
    _check_matrix(op.inputs[0].shape)
    rows, columns = dimensions[-2:]
    return TensorShape([*dimensions[:-2], None if rows is None or columns is None else min(rows, columns)])


def _simple_part_gradient(op: Operation, dy: Any) -> Any:
    shape = op.inputs[0].shape
    if (
        shape.dimensions is not None
        and shape.dimensions[-1] is not None
        and shape.dimensions[-2] == shape.dimensions[-1]
    ):
        return apply_op(REGISTRY["MatrixDiag"], (dy,))
    return apply_op(REGISTRY["MatrixSetDiag"], (zeros_like(op.inputs[0]), dy))


define(
    "MatrixDiagPart", "input: T -> diagonal: T", "T: type",
    reference=lambda value: _diag_part_kernel(value, 0, _zero_of(value)), shape=_simple_part_shape,
    gradient=_simple_part_gradient,
)  # fmt: skip


@public("linalg.diag_part", v1=["matrix_diag_part"])
def diag_part(
    input: Any, name: str = "diag_part", k: Any = 0, padding_value: Any = 0, align: str = "RIGHT_LEFT"
) -> Any:
    """The diagonals of matrices: [..., n] for one diagonal k, packed [..., m, n] for k = (lowest, highest).

    Where the diagonals of a band differ in length, `padding_value` fills up the shorter ones, on the side that `align`
    does not name (see tf.linalg.diag). Raises InvalidArgumentError for a diagonal outside the matrix.
    """
    return apply_op(REGISTRY["MatrixDiagPartV3"], (input, k, _padding(input, padding_value)), {"align": align}, name)


# ---- replacing diagonals --------------------------------------------------------------------------------------------


def _set_diag_kernel(value: Any, diagonal: Any, k: Any, *, align: str = "LEFT_LEFT") -> Any:
    value, diagonal = as_array(value), as_array(diagonal)
    band = _band(value.shape[-2], value.shape[-1], k, align)
    packed = _packed(diagonal, band.number)
    if packed.shape != (*value.shape[:-2], band.number, band.length):
        wanted = (*value.shape[:-2], *([band.number] if band.number > 1 else []), band.length)
        raise ValueError(
            "Either first dimensions of diagonal don't match input.shape[:-2], or diagonal.shape[:-1] is not equal to the "
            f"longests diagonal in range [lower_diag_index:upper_diag_index]. Expected shape {list(wanted)}, got "
            f"{list(diagonal.shape)} for input of shape {list(value.shape)}"
        )
    result = np.array(value)
    result[..., band.rows, band.columns] = packed[..., band.diagonals, band.places]
    return result


def _set_diag_shape(op: Operation) -> TensorShape:
    _check_matrix(op.inputs[0].shape)
    return op.inputs[0].shape


def _set_diag_gradient(op: Operation, dy: Any, suffix: str) -> list[Any]:
    attrs = {"align": op.attrs["align"]} if "align" in op.attrs else {}
    diagonal, k = op.inputs[1], op.inputs[2]
    extents = diagonal.shape if diagonal.shape.is_fully_defined() else shape_of(diagonal)
    kept = apply_op(REGISTRY["MatrixSetDiag" + suffix], (dy, zeros(extents, dy.dtype), k), attrs, "set_diag")
    return [kept, _part_of(op, dy, k, suffix, attrs), None]


def _part_of(op: Operation, dy: Any, k: Any, suffix: str, attrs: dict[str, Any]) -> Any:
    return apply_op(REGISTRY["MatrixDiagPart" + suffix], (dy, k, _zero(dy.dtype)), attrs, "diag_part")


define(
    "MatrixSetDiagV2", "input: T, diagonal: T, k: int32 -> output: T", "T: type",
    reference=lambda *inputs: _set_diag_kernel(*inputs), shape=_set_diag_shape,
    gradient=lambda op, dy: _set_diag_gradient(op, dy, "V2"),
)  # fmt: skip
define(
    "MatrixSetDiagV3", "input: T, diagonal: T, k: int32 -> output: T", "T: type, align: string = 'RIGHT_LEFT'",
    reference=_set_diag_kernel, shape=_set_diag_shape, gradient=lambda op, dy: _set_diag_gradient(op, dy, "V3"),
)  # fmt: skip


def _simple_set_gradient(op: Operation, dy: Any) -> list[Any]:
    kept = apply_op(REGISTRY["MatrixSetDiag"], (dy, zeros_like(op.inputs[1])))
    return [kept, apply_op(REGISTRY["MatrixDiagPart"], (dy,))]


define(
    "MatrixSetDiag", "input: T, diagonal: T -> output: T", "T: type",
    reference=lambda value, diagonal: _set_diag_kernel(value, diagonal, 0), shape=_set_diag_shape,
    gradient=_simple_set_gradient,
)  # fmt: skip


@public("linalg.set_diag", v1=["matrix_set_diag"])
def set_diag(input: Any, diagonal: Any, name: str = "set_diag", k: Any = 0, align: str = "RIGHT_LEFT") -> Any:
    """Matrices `input` with their diagonals k replaced by `diagonal`, packed as tf.linalg.diag_part packs them."""
    return apply_op(REGISTRY["MatrixSetDiagV3"], (input, diagonal, k), {"align": align}, name)


# ---- bands of matrices ----------------------------------------------------------------------------------------------


def _band_part_kernel(value: Any, lower: Any, upper: Any) -> Any:
    value = as_array(value)
    if value.ndim < 2:
        raise ValueError(f"input must be at least 2-dim, received shape: {list(value.shape)}")
    rows, columns = value.shape[-2:]
    for label, number, limit in (("num_lower", int(lower), rows), ("num_upper", int(upper), columns)):
        if number > limit:
            axis = "rows" if label == "num_lower" else "columns"
            raise ValueError(f"{label} must be negative or less or equal to number of {axis} ({limit}) got: {number}")
    offsets = np.arange(columns) - np.arange(rows)[:, None]
    inside = ((int(lower) < 0) | (offsets >= -int(lower))) & ((int(upper) < 0) | (offsets <= int(upper)))
    return np.where(inside, value, _zero_of(value))


def _band_part_gradient(op: Operation, dy: Any) -> list[Any]:
    return [apply_op(REGISTRY["MatrixBandPart"], (dy, op.inputs[1], op.inputs[2])), None, None]


define(
    "MatrixBandPart", "input: T, num_lower: Tindex, num_upper: Tindex -> band: T", "T: type, Tindex: index = int64",
    reference=_band_part_kernel, shape=_set_diag_shape, gradient=_band_part_gradient,
)  # fmt: skip


@public("linalg.band_part", v1=["matrix_band_part"])
def band_part(input: Any, num_lower: Any, num_upper: Any, name: str | None = None) -> Any:
    """Matrices with everything set to zero but a band around the main diagonal: `num_lower` diagonals below it,
    `num_upper` above (-1: all of them)."""
    return apply_op(REGISTRY["MatrixBandPart"], (input, num_lower, num_upper), name=name)


@public("linalg.trace", v1=["trace"])
def trace(x: Any, name: str | None = None) -> Any:
    """The sum of the main diagonal of each matrix in `x` [..., m, n]: shape [...]."""
    with scope(name or "Trace", x) as full_name:
        x = convert_to_tensor(x, name="x")
        return apply_op(REGISTRY["Sum"], (diag_part(x), [-1]), {"keep_dims": False}, full_name)


# ---- diagonals of tensors -------------------------------------------------------------------------------------------


def _tensor_diag_kernel(diagonal: Any) -> Any:
    diagonal = as_array(diagonal)
    if diagonal.ndim == 0:
        raise ValueError("Input must be at least rank 1, got 0")
    return np.diag(diagonal.reshape(-1)).reshape(diagonal.shape * 2)


def _tensor_diag_shape(op: Operation) -> TensorShape:
    shape = op.inputs[0].shape
    if shape.rank == 0:
        raise ShapeError("Shape must be at least rank 1 but is rank 0", "Input must be at least rank 1, got 0")
    return shape.concatenate(shape)


def _tensor_diag_part_kernel(value: Any) -> Any:
    value = as_array(value)
    half = value.ndim // 2
    if value.ndim % 2 or not half:
        raise ValueError("The rank of the tensor should be even and positive")
    if value.shape[:half] != value.shape[half:]:
        raise ValueError(f"Invalid shape {list(value.shape)}: dimensions {half} apart do not match.")
    count = size_of(value.shape[:half])
    return value.reshape(count, count).diagonal().reshape(value.shape[:half])


def _tensor_diag_part_shape(op: Operation) -> TensorShape:
    dimensions = op.inputs[0].shape.dimensions
    if dimensions is None:
        return UNKNOWN
    half = len(dimensions) // 2
    if len(dimensions) % 2 or not half:
        raise ShapeError(
            f"Input must have even and non-zero rank, input rank is {len(dimensions)}",
            "The rank of the tensor should be even and positive",
        )
    first, second = TensorShape(dimensions[:half]), TensorShape(dimensions[half:])
    if not first.is_compatible_with(second):
        pairs = list(zip(dimensions[:half], dimensions[half:], strict=True))
        place = next(place for place, pair in enumerate(pairs) if None not in pair and pair[0] != pair[1])
        raise ShapeError(
            f"Dimensions must be equal, but are {pairs[place][0]} and {pairs[place][1]}",
            f"Invalid shape {text(op.inputs[0].shape)}: dimensions {place} and {place + half} do not match.",
            {0: [place, place + half]},
        )
    return first.merge_with(second)


define(
    "Diag", "diagonal: T -> output: T", "T: {bfloat16, float16, float32, float64, int32, int64, complex64, complex128}",
    reference=_tensor_diag_kernel, shape=_tensor_diag_shape,
    gradient=lambda op, dy: apply_op(REGISTRY["DiagPart"], (dy,)),
)  # fmt: skip
define(
    "DiagPart", "input: T -> diagonal: T", "T: {bfloat16, float16, float32, float64, int32, int64, complex64, complex128}",
    reference=_tensor_diag_part_kernel, shape=_tensor_diag_part_shape,
    gradient=lambda op, dy: apply_op(REGISTRY["Diag"], (dy,)),
)  # fmt: skip


@public("linalg.tensor_diag", v1=["diag"])
def tensor_diag(diagonal: Any, name: str | None = None) -> Any:
    """A tensor of shape [*s, *s] with `diagonal` (of shape s) where both halves of the index agree, else zero."""
    return apply_op(REGISTRY["Diag"], (diagonal,), name=name)


@public("linalg.tensor_diag_part", v1=["diag_part"])
def tensor_diag_part(input: Any, name: str | None = None) -> Any:
    """The elements of a tensor of shape [*s, *s] where both halves of the index agree: shape s.

    Raises InvalidArgumentError (ValueError in a graph) when the halves differ.
    """
    return apply_op(REGISTRY["DiagPart"], (input,), name=name)
