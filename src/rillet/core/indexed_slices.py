"""IndexedSlices: a tensor that is zero except for some slices along axis 0, as embedding gradients are."""

from __future__ import annotations

from typing import Any, NamedTuple

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.static import constant_value_as_shape


class IndexedSlicesValue(NamedTuple):
    """The values of the parts of IndexedSlices, as a session returns them."""

    values: Any
    indices: Any
    dense_shape: Any = None


@public("IndexedSlices")
class IndexedSlices:
    """dense[indices[i]] += values[i], for a dense tensor of shape `dense_shape` that is zero elsewhere.

    values: any dtype, shape [n, ...]; indices: int32 or int64, shape [n]; dense_shape: integer vector or None.
    """

    def __init__(self, values: Any, indices: Any, dense_shape: Any = None) -> None:
        self.values = values
        self.indices = indices
        self.dense_shape = dense_shape

    @property
    def dtype(self) -> DType:
        return self.values.dtype  # type: ignore[no-any-return]

    @property
    def shape(self) -> TensorShape:
        if self.dense_shape is None:
            return TensorShape(None)
        return constant_value_as_shape(self.dense_shape)

    def get_shape(self) -> TensorShape:
        return self.shape

    @property
    def name(self) -> str:
        return str(self.values.name)

    @property
    def op(self) -> Any:
        return self.values.op

    @property
    def graph(self) -> Any:
        return getattr(self.values, "graph", None)

    @property
    def device(self) -> str:
        return str(self.values.device)

    def _flatten_components(self) -> list[Any]:
        parts = [self.values, self.indices]
        return parts if self.dense_shape is None else [*parts, self.dense_shape]

    def _pack_components(self, parts: list[Any]) -> IndexedSlices:
        return IndexedSlices(*parts)

    def _session_value(self, parts: list[Any]) -> IndexedSlicesValue:
        return IndexedSlicesValue(*parts)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        if self.dense_shape is None:
            raise ValueError(
                "Tensor conversion requested for IndexedSlices for argument without dense_shape: its size is unknown."
            )
        shape = convert_to_tensor(self.dense_shape)
        indices = convert_to_tensor(self.indices, shape.dtype) if not hasattr(self.indices, "dtype") else self.indices
        if shape.dtype is not indices.dtype:
            shape = apply_op(REGISTRY["Cast"], (shape,), {"DstT": indices.dtype})
        column = apply_op(REGISTRY["ExpandDims"], (indices, -1))
        return apply_op(REGISTRY["ScatterNd"], (column, self.values, shape), name=name)

    def __neg__(self) -> IndexedSlices:
        return IndexedSlices(-self.values, self.indices, self.dense_shape)

    def __str__(self) -> str:
        shape = "" if self.dense_shape is None else f", dense_shape={self.dense_shape}"
        return f"IndexedSlices(indices={self.indices}, values={self.values}{shape})"

    __repr__ = __str__
