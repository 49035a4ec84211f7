"""tf.SparseTensorSpec: the dtype and dense shape of a SparseTensor argument."""

from __future__ import annotations

from typing import Any

from rillet.core import dtypes
from rillet.core.export import public
from rillet.core.shapes import TensorShape
from rillet.core.sparse_tensor import SparseTensor, SparseTensorValue
from rillet.frontend.function import TensorSpec


@public("SparseTensorSpec")
class SparseTensorSpec:
    """What is known of a SparseTensor: it stands for one in an input_signature, and in get_concrete_function.

    shape: its dense shape, as far as it is known. dtype: of its values.
    """

    value_type = SparseTensor

    def __init__(self, shape: Any = None, dtype: Any = dtypes.float32) -> None:
        self.shape = TensorShape(shape)
        self.dtype = dtypes.as_dtype(dtype)

    @classmethod
    def from_value(cls, value: Any) -> SparseTensorSpec:
        """The SparseTensorSpec of a SparseTensor or SparseTensorValue. TypeError for anything else."""
        sparse = SparseTensor.from_value(value) if isinstance(value, SparseTensorValue) else value
        if not isinstance(sparse, SparseTensor):
            raise TypeError(f"Expected SparseTensor or SparseTensorValue. Received: {value} of type {type(value)}.")
        return cls(sparse.shape, sparse.dtype)

    def is_compatible_with(self, value: Any) -> bool:
        """Whether a SparseTensor (or another specification of one) has this dtype, and may have this shape."""
        if isinstance(value, SparseTensorValue):
            value = SparseTensor.from_value(value)
        if not isinstance(value, SparseTensor | SparseTensorSpec):
            return False
        return self.dtype is value.dtype and self.shape.is_compatible_with(value.shape)

    def _flatten_components(self) -> list[TensorSpec]:
        rank = self.shape.rank
        return [
            TensorSpec([None, rank], dtypes.int64),
            TensorSpec([None], self.dtype),
            TensorSpec([rank], dtypes.int64),
        ]

    def _pack_components(self, parts: list[Any]) -> SparseTensor:
        return SparseTensor._of_parts(parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SparseTensorSpec) and (self.shape, self.dtype) == (other.shape, other.dtype)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype.name))

    def __repr__(self) -> str:
        return f"SparseTensorSpec({self.shape!r}, {self.dtype!r})"
