"""Changing the element type: cast, bitcast, saturate_cast."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import define
from rillet.core.static import constant_value_as_shape
from rillet.ops.families import same_shape


def _cast_kernel(value: Any, *, DstT: dtypes.DType) -> Any:  # noqa: N803 - the attribute's name
    target = DstT.numpy_dtype
    if np.iscomplexobj(value) and not DstT.is_complex:
        value = np.real(value)
    if DstT.is_integer and value.dtype.kind not in "iub":
        value = np.trunc(np.asarray(value, np.float64))
        if DstT.size < 8:  # as a processor converts: by way of a wide integer
            value = np.where(np.isfinite(value), value, -(2.0**63)).astype(np.int64)
    return np.asarray(value).astype(target)


def _cast_gradient(op: Operation, dy: Any) -> Any:
    source = op.inputs[0].dtype.base_dtype
    return cast(dy, source) if source.is_floating or source.is_complex else None


CAST = define(
    "Cast", "x: SrcT -> y: DstT", "SrcT: type, DstT: type, Truncate: bool = False",
    reference=_cast_kernel, shape=same_shape, gradient=_cast_gradient,
    shape_value=lambda op: constant_value_as_shape(op.inputs[0]),
)  # fmt: skip


@public("cast", v1=["dtypes.cast"])
def cast(x: Any, dtype: Any, name: str | None = None) -> Any:
    """`x` with elements of another dtype: floats are truncated towards zero, complex numbers lose the imaginary part."""
    wanted = dtypes.as_dtype(dtype).base_dtype
    if isinstance(x, IndexedSlices):
        return IndexedSlices(cast(x.values, wanted, name), x.indices, x.dense_shape)
    value = convert_to_tensor(x)
    if value.dtype.base_dtype is wanted:
        return value
    return apply_op(CAST, (value,), {"DstT": wanted}, name)
