"""Changing the element type: cast, saturate_cast, bitcast."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.export import export, public
from rillet.core.graph import Operation
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value_as_shape
from rillet.errors import ShapeError, UnimplementedError
from rillet.ops.arrays import as_array
from rillet.ops.families import same_shape
from rillet.ops.scope import scope

# ---- cast -----------------------------------------------------------------------------------------------------------


def _storage(dtype: DType) -> Any:
    """The plain NumPy dtype behind a dtype: a quantized one is a record with one field."""
    native = dtype.numpy_dtype
    return native if native.names is None else native[0]


def _cast_kernel(value: Any, *, SrcT: DType, DstT: DType) -> Any:
    if SrcT is dtypes.string or DstT is dtypes.string:
        raise UnimplementedError(None, None, f"Cast {SrcT.name} to {DstT.name} is not supported [Op:Cast]")
    value = as_array(value)
    if SrcT.is_quantized:
        value = value.view(_storage(SrcT))
    if SrcT.is_complex and not DstT.is_complex:
        value = value.real
    if (DstT.is_integer or DstT.is_quantized) and value.dtype.kind not in "iub":
        value = _truncated(value, _storage(DstT))
    result = value.astype(_storage(DstT))
    return result.view(DstT.numpy_dtype) if DstT.is_quantized else result


def _truncated(value: Any, target: Any) -> Any:
    """Floats as wide integers, as a processor converts them: what doesn't fit becomes the smallest number."""
    wide = value if value.dtype in (np.float32, np.float64) else value.astype(np.float32)
    if target == np.uint64:
        fits = (wide > -1) & (wide < 2.0**64)
        negative = (wide <= -1) & (wide >= -(2.0**63))
        as_signed = np.where(negative, wide, 0).astype(np.int64).view(np.uint64)
        return np.where(
            fits, np.where(fits, wide, 0).astype(np.uint64), np.where(negative, as_signed, np.uint64(2**63))
        )
    bits = 32 if target.itemsize < 4 or target == np.int32 else 64
    limit = 2.0 ** (bits - 1)
    fits = (wide < limit) & (wide >= -limit) if bits == 64 else (wide < limit) & (wide > -limit - 1)
    return np.where(fits, wide, -limit).astype(np.int64)


def _cast_gradient(op: Operation, dy: Any) -> Any:
    source = op.inputs[0].dtype.base_dtype
    return cast(dy, source) if source.is_floating or source.is_complex else None


CAST = define(
    "Cast", "x: SrcT -> y: DstT", "SrcT: type, DstT: type, Truncate: bool = False",
    reference=_cast_kernel, shape=same_shape, gradient=_cast_gradient, elementwise=True,
    shape_value=lambda op: constant_value_as_shape(op.inputs[0]),
)  # fmt: skip


@public("cast", "dtypes.cast")
def cast(x: Any, dtype: Any, name: str | None = None) -> Any:
    """`x` with elements of another dtype: floats are truncated towards zero, complex numbers lose the imaginary part.

    x: a tensor, SparseTensor or IndexedSlices. Integers wrap around; use tf.saturate_cast to stop at the limits.
    Raises UnimplementedError for strings (see tf.strings.to_number, tf.strings.as_string).
    """
    wanted = dtypes.as_dtype(dtype).base_dtype
    if isinstance(x, IndexedSlices):
        return IndexedSlices(cast(x.values, wanted, name), x.indices, x.dense_shape)
    if hasattr(x, "with_values"):  # a SparseTensor
        return x.with_values(cast(x.values, wanted, name))
    with_name = getattr(getattr(x, "dtype", None), "base_dtype", None)
    if with_name is wanted:
        return convert_to_tensor(x)
    with scope(name or "Cast", x) as full_name:
        value = convert_to_tensor(x, name="x")
        if value.dtype.base_dtype is wanted:
            return value
        return apply_op(CAST, (value,), {"DstT": wanted}, full_name)


def _define_conversion(name: str, dtype: DType) -> None:
    default_name = "To" + "".join(part.capitalize() for part in name.split("_")[1:])
    default_name = {"ToBfloat16": "ToBFloat16"}.get(default_name, default_name)

    def convert(x: Any, name: str = default_name) -> Any:
        return cast(x, dtype, name)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"`x` with elements of dtype {dtype.name}."
    export(convert, v1=[name])


for _name, _dtype in (
    ("to_float", dtypes.float32), ("to_double", dtypes.float64), ("to_int32", dtypes.int32), ("to_int64", dtypes.int64),
    ("to_bfloat16", dtypes.bfloat16), ("to_complex64", dtypes.complex64), ("to_complex128", dtypes.complex128),
):  # fmt: skip
    _define_conversion(_name, _dtype)

# ---- saturate_cast --------------------------------------------------------------------------------------------------


@public("saturate_cast", "dtypes.saturate_cast")
def saturate_cast(value: Any, dtype: Any, name: str | None = None) -> Any:
    """`value` in another dtype, with what doesn't fit replaced by the nearest number that does."""
    wanted = dtypes.as_dtype(dtype).base_dtype
    with scope(name or "saturate_cast", value) as full_name:
        value = convert_to_tensor(value, name="value")
        if value.dtype.is_complex and not wanted.is_complex:
            value = cast(value, value.dtype.real_dtype)
        if not value.dtype.is_complex:
            low, high = _common_limits(value.dtype.base_dtype, wanted)
            if low > value.dtype.min or high < value.dtype.max:
                bounds = [convert_to_tensor(limit, value.dtype.base_dtype, name="Const") for limit in (low, high)]
                value = apply_op(REGISTRY["ClipByValue"], (value, *bounds), name="clamp")
        return cast(value, wanted, full_name)


def _common_limits(source: DType, target: DType) -> tuple[Any, Any]:
    """The range that both dtypes have, in numbers of the source dtype."""
    real = target.real_dtype
    low, high = max(source.min, real.min), min(source.max, real.max)
    if source.is_integer:
        return int(low), int(high)
    native = source.as_numpy_dtype
    bottom, top = native(low), native(high)
    if real.is_integer:  # rounding to the source dtype may have left the range
        bottom = np.nextafter(bottom, native(0), dtype=native) if int(float(bottom)) < real.min else bottom
        top = np.nextafter(top, native(0), dtype=native) if int(float(top)) > real.max else top
    return bottom, top


# ---- bitcast --------------------------------------------------------------------------------------------------------

_BITCAST_TYPES = (
    "{bfloat16, float16, float32, float64, int64, int32, uint8, uint16, uint32, uint64, int8, int16, complex64, "
    "complex128, qint8, quint8, qint16, quint16, qint32}"
)


def _bitcast_kernel(value: Any, *, type: DType) -> Any:
    value = as_array(value)
    old, new = value.dtype.itemsize, type.numpy_dtype.itemsize
    if new > old:
        ratio = new // old
        if value.ndim == 0 or value.shape[-1] != ratio:
            raise ValueError(f"Cannot bitcast from {old} to {new}")
        return np.ascontiguousarray(value).view(type.numpy_dtype).reshape(value.shape[:-1])
    flat = np.ascontiguousarray(value).reshape(-1).view(type.numpy_dtype)
    return flat.reshape(value.shape if new == old else (*value.shape, old // new))


def _bitcast_shape(op: Operation) -> TensorShape:
    dimensions = op.inputs[0].shape.dimensions
    old, new = op.inputs[0].dtype.size, op.attrs["type"].size
    if dimensions is None:
        return UNKNOWN
    if new == old:
        return TensorShape(dimensions)
    if new < old:
        return TensorShape([*dimensions, old // new])
    ratio = new // old
    if not dimensions or dimensions[-1] not in (None, ratio):
        last = dimensions[-1] if dimensions else 1
        raise ShapeError(
            f"Cannot bitcast from {old} to {new} due to shape. {last} does not match {ratio}",
            f"Cannot bitcast from {last} to {ratio}",
            {0: [-1]},
        )
    return TensorShape(dimensions[:-1])


define(
    "Bitcast", "input: T -> output: type", f"T: {_BITCAST_TYPES}, type: {_BITCAST_TYPES}",
    reference=_bitcast_kernel, shape=_bitcast_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public("bitcast")
def bitcast(input: Any, type: Any, name: str | None = None) -> Any:
    """The same bits read as elements of another dtype.

    A larger dtype takes up the last axis (whose size must be the ratio), a smaller one adds one.
    """
    return apply_op(REGISTRY["Bitcast"], (input,), {"type": dtypes.as_dtype(type)}, name)
