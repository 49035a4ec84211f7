"""Counting: bincount, histograms, buckets."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value
from rillet.errors import ShapeError, format_shape
from rillet.ops.arrays import as_array
from rillet.ops.cast import cast
from rillet.ops.families import all_axes
from rillet.ops.scope import scope
from rillet.ops.shape import reshape, shape_of, size_of_tensor

# ---- bincount -------------------------------------------------------------------------------------------------------


def _counts(numbers: Any, size: int, weights: Any, binary: bool, dtype: Any) -> Any:
    """How often (or with which total weight) each number below `size` occurs in a vector."""
    inside = numbers < size
    result = np.zeros(size, dtype)
    if binary:
        result[numbers[inside]] = 1
    elif weights.size:
        np.add.at(result, numbers[inside], weights[inside])
    else:
        result[:] = np.bincount(numbers[inside], minlength=size)[:size]
    return result


def _check_counts(numbers: Any, size: Any, weights: Any) -> None:
    if int(size) < 0:
        raise ValueError(f"size ({int(size)}) must be non-negative")
    if weights.size and weights.shape != numbers.shape:
        raise ValueError(
            "`weights` must be the same shape as `arr` or a length-0 `Tensor`, in which case it acts as all weights equal "
            f"to 1. Received {format_shape(weights.shape)}"
        )
    if numbers.size and int(numbers.min()) < 0:
        raise ValueError("Input arr must be non-negative!")


def _bincount_kernel(numbers: Any, size: Any, weights: Any) -> Any:
    numbers, weights = as_array(numbers), as_array(weights)
    _check_counts(numbers, size, weights)
    return _counts(numbers.reshape(-1), int(size), weights.reshape(-1), False, weights.dtype)


def _dense_bincount_kernel(numbers: Any, size: Any, weights: Any, *, binary_output: bool) -> Any:
    numbers, weights, size = as_array(numbers), as_array(weights), int(np.ravel(size)[0])
    _check_counts(numbers, size, weights)
    if numbers.ndim < 2:
        return _counts(numbers.reshape(-1), size, weights.reshape(-1), binary_output, weights.dtype)
    weight_rows = weights if weights.size else [weights] * len(numbers)
    rows = [_counts(row, size, weight, binary_output, weights.dtype) for row, weight in zip(numbers, weight_rows)]
    return np.array(rows, weights.dtype).reshape(len(numbers), size)


def _size(op: Operation) -> int | None:
    value = constant_value(op.inputs[1])
    if value is None:
        return None
    if int(np.ravel(value)[0]) < 0:
        raise ShapeError(f"size ({int(np.ravel(value)[0])}) must be non-negative")
    return int(np.ravel(value)[0])


def _dense_shape(op: Operation) -> TensorShape:
    dimensions, size = op.inputs[0].shape.dimensions, _size(op)
    if dimensions is None:
        return UNKNOWN
    if len(dimensions) > 2:
        raise ShapeError(f"Shape must be at most rank 2 but is rank {len(dimensions)}")
    return TensorShape([dimensions[0], size] if len(dimensions) == 2 else [size])


_WEIGHTS = "T: {int32, int64, float32, float64}"
define(
    "Bincount", "arr: int32, size: int32, weights: T -> bins: T", _WEIGHTS,
    reference=_bincount_kernel, shape=lambda op: TensorShape([_size(op)]), gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "DenseBincount", "input: Tidx, size: Tidx, weights: T -> output: T",
    f"Tidx: index, {_WEIGHTS}, binary_output: bool = False",
    reference=_dense_bincount_kernel, shape=_dense_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public(v2=["math.bincount"])
def bincount(
    arr: Any,
    weights: Any = None,
    minlength: Any = None,
    maxlength: Any = None,
    dtype: Any = dtypes.int32,
    name: str | None = None,
    axis: int | None = None,
    binary_output: bool = False,
) -> Any:
    """How often each value occurs in the integers `arr`: a vector of length max(arr) + 1.

    weights: of the shape of arr; they are added up instead. minlength, maxlength: limits of the result's length (larger
    values are left out). axis: None or 0 counts everything together, -1 each row of a matrix for itself.
    binary_output: 1 for every value that occurs. dtype: of the counts, unless there are weights.
    Raises InvalidArgumentError for negative values, ValueError for another axis.
    """
    with scope(name or "bincount", arr, weights):
        arr = convert_to_tensor(arr, name="arr")
        arr = arr if arr.dtype.base_dtype in dtypes.INDEX else cast(arr, dtypes.int32)
        weights = None if weights is None else convert_to_tensor(weights, name="weights")
        if axis not in (None, 0, -1):
            raise ValueError(f"Unsupported value for argument axis={axis}. Only 0 and -1 are currently supported.")
        if binary_output and weights is not None:
            raise ValueError("Arguments `binary_output` and `weights` are mutually exclusive. Please specify only one.")
        length = _length(arr, minlength, maxlength)
        if weights is not None and axis in (None, 0):
            weights = reshape(weights, [-1])
        if axis in (None, 0):
            arr = reshape(arr, [-1])
        none = np.zeros((0,), dtypes.as_dtype(dtype).numpy_dtype)
        counted = convert_to_tensor(none, name="Const") if weights is None else weights
        return apply_op(REGISTRY["DenseBincount"], (arr, length, counted), {"binary_output": binary_output})


def _length(arr: Any, minlength: Any, maxlength: Any) -> Any:
    """The length of the result: one more than the largest value, within the limits."""
    dtype = arr.dtype.base_dtype
    is_filled = cast(apply_op(REGISTRY["Greater"], (size_of_tensor(arr), 0)), dtype)
    axes = all_axes(arr)
    axes = convert_to_tensor(axes, name="Const") if isinstance(axes, np.ndarray) else axes
    if constant_value(is_filled) is not None and not int(constant_value(is_filled)):
        length: Any = convert_to_tensor(0, dtype)
    else:
        length = is_filled * (apply_op(REGISTRY["Max"], (arr, axes), {"keep_dims": False}) + 1)
    if minlength is not None:
        limit = convert_to_tensor(minlength, dtype, name="minlength")
        length = apply_op(REGISTRY["Maximum"], (limit, length))
    if maxlength is not None:
        limit = convert_to_tensor(maxlength, dtype, name="maxlength")
        length = apply_op(REGISTRY["Minimum"], (limit, length))
    return length


@public(v1=["math.bincount", "bincount"])
def bincount_v1(
    arr: Any, weights: Any = None, minlength: Any = None, maxlength: Any = None, dtype: Any = dtypes.int32
) -> Any:
    """As tf.math.bincount, over all elements together."""
    return bincount(arr, weights, minlength, maxlength, dtype)


# ---- histograms -----------------------------------------------------------------------------------------------------


def _bins_of(values: Any, value_range: Any, count: int) -> Any:
    """The bin of each value: equal parts of the range, whose first and last bin also take what lies beyond."""
    low, high = value_range
    width = (
        (high - low) / np.asarray(count, value_range.dtype) if value_range.dtype.kind == "f" else (high - low) / count
    )
    return np.clip(np.floor((values - low) / width), 0, count - 1).astype(np.int64)


def _histogram_kernel(values: Any, value_range: Any, nbins: Any, *, dtype: DType) -> Any:
    count, value_range = int(nbins), as_array(value_range)
    if value_range.shape != (2,):
        raise ValueError("value_range should be a vector of 2 elements.")
    low, high = value_range.tolist()
    if not low < high:
        raise ValueError(f"value_range should satisfy value_range[0] < value_range[1], but got '[{low:g}, {high:g}]'")
    if count <= 0:
        raise ValueError(f"nbins should be a positive number, but got '{count}'")
    bins = _bins_of(as_array(values).reshape(-1), value_range, count)
    return np.bincount(bins, minlength=count).astype(dtype.numpy_dtype)


define(
    "HistogramFixedWidth", "values: T, value_range: T, nbins: int32 -> out: dtype",
    "T: {int32, int64, float32, float64}, dtype: index = int32",
    reference=_histogram_kernel,
    shape=lambda op: TensorShape([None if constant_value(op.inputs[2]) is None else int(constant_value(op.inputs[2]))]),
    gradient=NO_GRADIENT,
)  # fmt: skip


@public("histogram_fixed_width")
def histogram_fixed_width(
    values: Any, value_range: Any, nbins: Any = 100, dtype: Any = dtypes.int32, name: str | None = None
) -> Any:
    """How many `values` lie in each of `nbins` equal parts of `value_range` = [low, high]: a vector.

    Values below and above are counted in the first and last bin. Raises InvalidArgumentError for an empty range.
    """
    with scope(name or "histogram_fixed_width", values, value_range, nbins) as full_name:
        attrs = {"dtype": dtypes.as_dtype(dtype)}
        return apply_op(REGISTRY["HistogramFixedWidth"], (values, value_range, nbins), attrs, full_name)


@public("histogram_fixed_width_bins")
def histogram_fixed_width_bins(
    values: Any, value_range: Any, nbins: Any = 100, dtype: Any = dtypes.int32, name: str | None = None
) -> Any:
    """The bin of tf.histogram_fixed_width that each element of `values` falls into."""
    with scope(name or "histogram_fixed_width_bins", values, value_range, nbins):
        values = convert_to_tensor(values, name="values")
        shape = shape_of(values)
        flat = reshape(values, [-1])
        bounds = convert_to_tensor(value_range, values.dtype.base_dtype, name="value_range")
        count = cast(convert_to_tensor(nbins, dtypes.int32, name="nbins"), values.dtype.base_dtype)
        scaled = apply_op(REGISTRY["RealDiv"], (flat - bounds[0], bounds[1] - bounds[0]), name="scaled_values")
        bins = apply_op(REGISTRY["Floor"], (count * scaled,), name="indices")
        highest = apply_op(REGISTRY["Minimum"], (bins, count - 1))
        clipped = apply_op(REGISTRY["Maximum"], (highest, values.dtype.as_numpy_dtype(0)), name="clip_by_value")
        return reshape(cast(clipped, dtype), shape)


def _bucketize_kernel(value: Any, *, boundaries: Any) -> Any:
    edges = np.asarray(boundaries, np.float64)
    if (np.diff(edges) < 0).any():
        raise ValueError("Expected sorted boundaries")
    return np.searchsorted(edges, as_array(value), "right").astype(np.int32)


define(
    "Bucketize", "input: T -> output: int32", "T: {int32, int64, float32, float64}, boundaries: list(float)",
    reference=_bucketize_kernel, shape=lambda op: op.inputs[0].shape, gradient=NO_GRADIENT,
)  # fmt: skip
