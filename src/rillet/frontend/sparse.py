"""tf.SparseTensor: a tensor given by the indices and values of its elements that count."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import export, public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.static import constant_value_as_shape
from rillet.core.tensor import EagerTensor, Tensor
from rillet.ops.constants import placeholder, placeholder_with_default
from rillet.ops.scope import scope


class SparseTensorValue(NamedTuple):
    """A sparse tensor as arrays: what a session returns, and takes as a feed."""

    indices: Any
    values: Any
    dense_shape: Any


export(SparseTensorValue, "compat.v1.SparseTensorValue", v1=["SparseTensorValue"])


@public("SparseTensor", "sparse.SparseTensor")
class SparseTensor:
    """values[i] at indices[i], in a tensor of shape `dense_shape` that is empty elsewhere.

    indices: int64 [n, rank], in row-major order for most ops; values: any dtype [n]; dense_shape: int64 [rank].
    Raises ValueError when the sizes don't fit.
    """

    __array_priority__ = 200  # a dense tensor leaves its operators to this class

    def __init__(self, indices: Any, values: Any, dense_shape: Any) -> None:
        with scope("SparseTensor", indices, values, dense_shape):
            self._indices = convert_to_tensor(indices, dtypes.int64, name="indices")
            self._values = convert_to_tensor(values, name="values")
            self._dense_shape = _as_shape_tensor(dense_shape)
        rows, count, rank = (
            tensor.shape.with_rank(wanted).dimensions[0]
            for tensor, wanted in ((self._indices, 2), (self._values, 1), (self._dense_shape, 1))
        )
        _check_sizes(rows, count)
        _check_sizes(self._indices.shape.with_rank(2).dimensions[1], rank)

    @classmethod
    def from_value(cls, sparse_tensor_value: Any) -> SparseTensor:
        """A SparseTensor of a SparseTensorValue. TypeError for anything else."""
        if not isinstance(sparse_tensor_value, (SparseTensor, SparseTensorValue)):
            raise TypeError(
                f"Argument sparse_tensor_value={sparse_tensor_value} is neither a SparseTensor nor SparseTensorValue."
            )
        return cls(*_parts(sparse_tensor_value))

    # ---- what it is --------------------------------------------------------------------------------------------

    @property
    def indices(self) -> Any:
        return self._indices

    @property
    def values(self) -> Any:
        return self._values

    @property
    def dense_shape(self) -> Any:
        return self._dense_shape

    @property
    def shape(self) -> TensorShape:
        """The static shape."""
        known = constant_value_as_shape(self._dense_shape)
        extra: TensorShape | None = self.__dict__.get("_static_shape")
        return known if extra is None else known.merge_with(extra)

    def get_shape(self) -> TensorShape:
        return self.shape

    def set_shape(self, shape: Any) -> None:
        """Adds to what is known statically. ValueError when it contradicts."""
        self.__dict__["_static_shape"] = self.shape.merge_with(shape)

    @property
    def dtype(self) -> dtypes.DType:
        return self._values.dtype  # type: ignore[no-any-return]

    @property
    def op(self) -> Any:
        return self._values.op

    @property
    def name(self) -> str:
        return self._values.name  # type: ignore[no-any-return]

    @property
    def graph(self) -> Any:
        return self._values.graph

    def consumers(self) -> list[Any]:
        """The operations that read the values."""
        return self._values.consumers()  # type: ignore[no-any-return]

    def with_values(self, new_values: Any) -> SparseTensor:
        """The same places with other values."""
        return SparseTensor(self._indices, new_values, self._dense_shape)

    def eval(self, feed_dict: Any = None, session: Any = None) -> Any:
        """The value, a SparseTensorValue, in `session` or the default session."""
        indices, values, shape = (part.eval(feed_dict, session) for part in _parts(self))
        return SparseTensorValue(indices, values, shape)

    # ---- as a structure ----------------------------------------------------------------------------------------

    def _flatten_components(self) -> list[Any]:
        return [self._indices, self._values, self._dense_shape]

    def _pack_components(self, parts: list[Any]) -> SparseTensor:
        return SparseTensor(*parts)

    def _session_value(self, parts: list[Any]) -> SparseTensorValue:
        return SparseTensorValue(*parts)

    # ---- operators ---------------------------------------------------------------------------------------------

    def _with_dense(self, op: str, dense: Any, name: str) -> SparseTensor:
        inputs = (self._indices, self._values, self._dense_shape, dense)
        values = apply_op(REGISTRY[f"SparseDenseCwise{op}"], inputs, name=name)
        return SparseTensor(self._indices, values, self._dense_shape)

    def __mul__(self, dense: Any) -> SparseTensor:
        """Multiplied by a dense tensor, which is broadcast."""
        return self._with_dense("Mul", dense, "mul")

    __rmul__ = __mul__

    def __truediv__(self, dense: Any) -> SparseTensor:
        """Divided by a dense tensor, which is broadcast."""
        return self._with_dense("Div", dense, "truediv")

    __div__ = __truediv__

    def __str__(self) -> str:
        return f"SparseTensor(indices={self._indices}, values={self._values}, dense_shape={self._dense_shape})"

    __repr__ = __str__


def _as_shape_tensor(dense_shape: Any) -> Any:
    if isinstance(dense_shape, TensorShape):
        dense_shape = np.array(dense_shape.as_list(), np.int64)
    return convert_to_tensor(dense_shape, dtypes.int64, name="dense_shape")


def _check_sizes(left: int | None, right: int | None) -> None:
    if left is not None and right is not None and left != right:
        raise ValueError(f"Dimensions {left} and {right} are not compatible")


def _parts(value: Any) -> tuple[Any, Any, Any]:
    return value.indices, value.values, value.dense_shape


def as_sparse(value: Any) -> SparseTensor:
    """A SparseTensor, or a SparseTensorValue made one. TypeError for anything else."""
    if isinstance(value, SparseTensor):
        return value
    if isinstance(value, SparseTensorValue):
        return SparseTensor.from_value(value)
    raise TypeError("Input must be a SparseTensor.")


@public(v1=["convert_to_tensor_or_sparse_tensor"])
def convert_to_tensor_or_sparse_tensor(value: Any, dtype: Any = None, name: str | None = None) -> Any:
    """`value` as a tensor; a SparseTensor or SparseTensorValue as a SparseTensor. RuntimeError for another dtype."""
    if isinstance(value, SparseTensorValue):
        value = SparseTensor.from_value(value)
    if not isinstance(value, SparseTensor):
        return convert_to_tensor(value, dtype, name)
    if dtype is not None and dtypes.as_dtype(dtype) is not value.dtype:
        raise RuntimeError(f"Sparse dtype mismatch. Requested: {dtypes.as_dtype(dtype).name},  Actual: {value.dtype.name}")
    return value


@public(v1=["sparse_placeholder", "sparse.placeholder"])
def sparse_placeholder(dtype: Any, shape: Any = None, name: str | None = None) -> SparseTensor:
    """A sparse tensor whose value is fed: a SparseTensorValue or (indices, values, dense_shape).

    shape: what is known of the shape; where it is known entirely it need not be fed.
    """
    if context.executing_eagerly() and context.state().graph is not None:
        raise RuntimeError("`sparse_placeholder` is not compatible with eager execution.")

    def label(part: str) -> str | None:
        return None if name is None else f"{name}/{part}"

    with context.use_graph(context.get_default_graph()):
        known = None if shape is None else _sizes(shape)
        rank = None if known is None else len(known)
        if known is None:
            shape_tensor = placeholder(dtypes.int64, [None], label("shape"))
        else:
            default = convert_to_tensor(np.array(known, np.int64), name=label("shape_default") or "Const")
            shape_tensor = placeholder_with_default(default, [rank], label("shape"))
        values = placeholder(dtype, [None], label("values"))
        indices = placeholder(dtypes.int64, [None, rank], label("indices"))
        result = SparseTensor(indices, values, shape_tensor)
        if known is not None:
            result.set_shape([None if size == -1 else size for size in known])
        return result


def _sizes(shape: Any) -> list[int]:
    if isinstance(shape, EagerTensor):
        return [int(size) for size in shape.numpy()]
    if isinstance(shape, Tensor):
        raise TypeError("the static shape of a sparse placeholder cannot be a symbolic tensor")
    return [-1 if size is None else size for size in TensorShape(shape).as_list()]
