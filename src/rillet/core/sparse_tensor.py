"""SparseTensor: a tensor that is zero except at some places, given by three dense tensors."""

from __future__ import annotations

from typing import Any, NamedTuple

from rillet.core import dtypes
from rillet.core.context import use_graph
from rillet.core.dispatch import apply_op, convert_to_tensor, graph_for
from rillet.core.dtypes import DType
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import Dimension, TensorShape
from rillet.core.static import constant_value_as_shape
from rillet.core.tensor import Tensor


class SparseTensorValue(NamedTuple):
    """The values of a SparseTensor's parts, as a session returns them: arrays, or what becomes arrays."""

    indices: Any
    values: Any
    dense_shape: Any


class SparseTensor:
    """dense[tuple(indices[i])] = values[i], for a dense tensor of shape `dense_shape` that is zero elsewhere.

    indices: int64, [n, rank], in row-major order for most operations; values: any dtype, [n]; dense_shape: int64, [rank].
    Raises ValueError when the static shapes of the three don't fit together.
    """

    __array_priority__ = 200  # NumPy's operators give way to ours

    def __init__(self, indices: Any, values: Any, dense_shape: Any) -> None:
        graph = graph_for((indices, values, dense_shape))
        if graph is None:
            self._take(indices, values, dense_shape)
        else:
            with use_graph(graph), graph.name_scope("SparseTensor"):
                self._take(indices, values, dense_shape)
        self._static_shape = TensorShape(None)
        self._check()

    def _take(self, indices: Any, values: Any, dense_shape: Any) -> None:
        self._indices = convert_to_tensor(indices, dtypes.int64, "indices")
        self._values = convert_to_tensor(values, name="values")
        self._dense_shape = convert_to_tensor(dense_shape, dtypes.int64, "dense_shape")

    def _check(self) -> None:
        indices = self._indices.shape.with_rank(2)
        values = self._values.shape.with_rank(1)
        rank = self._dense_shape.shape.with_rank(1)
        Dimension(indices.dimensions[0]).assert_is_compatible_with(values.dimensions[0])
        Dimension(indices.dimensions[1]).assert_is_compatible_with(rank.dimensions[0])

    @classmethod
    def from_value(cls, sparse_tensor_value: Any) -> SparseTensor:
        """A SparseTensor of a SparseTensorValue (or a SparseTensor). TypeError for anything else."""
        if not isinstance(sparse_tensor_value, SparseTensor | SparseTensorValue):
            raise TypeError(
                f"Argument sparse_tensor_value={sparse_tensor_value} is neither a SparseTensor nor SparseTensorValue."
            )
        return cls(*(getattr(sparse_tensor_value, name) for name in SparseTensorValue._fields))

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
    def dtype(self) -> DType:
        return self._values.dtype  # type: ignore[no-any-return]

    @property
    def shape(self) -> TensorShape:
        """What is known of the dense shape."""
        known = constant_value_as_shape(self._dense_shape).merge_with(self._static_shape)
        rank = self._indices.shape.dimensions[1] if known.rank is None and self._indices.shape.rank == 2 else None
        return known if rank is None else TensorShape([None] * rank)

    def get_shape(self) -> TensorShape:
        return self.shape

    def set_shape(self, shape: Any) -> None:
        """Adds what the caller knows to the static shape. ValueError when it contradicts."""
        self._static_shape = self.shape.merge_with(shape)

    def with_values(self, new_values: Any) -> SparseTensor:
        """The same places with other values, [n], of any dtype."""
        values = convert_to_tensor(new_values)
        count = self._values.shape.with_rank(1).dimensions[0]
        Dimension(count).assert_is_compatible_with(values.shape.with_rank(1).dimensions[0])
        result = SparseTensor(self._indices, values, self._dense_shape)
        result._static_shape = self._static_shape
        return result

    # ---- in a graph ------------------------------------------------------------------------------------------------

    @property
    def op(self) -> Any:
        return self._values.op

    @property
    def graph(self) -> Any:
        return self._indices.graph

    def consumers(self) -> list[Any]:
        """The operations that read one of the three parts."""
        found = [operation for part in self._flatten_components() for operation in part.consumers()]
        return list({id(operation): operation for operation in found}.values())

    def eval(self, feed_dict: Any = None, session: Any = None) -> Any:
        """A SparseTensorValue, computed by `session` or the default session."""
        return self.graph.evaluate(self, feed_dict, session)

    def _flatten_components(self) -> list[Any]:
        return [self._indices, self._values, self._dense_shape]

    @classmethod
    def _of_parts(cls, parts: list[Any]) -> SparseTensor:
        """A SparseTensor of three parts as they are; they may be something that stands for a tensor."""
        result = cls.__new__(cls)
        result._indices, result._values, result._dense_shape = parts
        result._static_shape = TensorShape(None)
        return result

    def _pack_components(self, parts: list[Any]) -> SparseTensor:
        return self._of_parts(parts)

    def _session_value(self, parts: list[Any]) -> SparseTensorValue:
        return SparseTensorValue(*parts)

    # ---- arithmetic with dense tensors -----------------------------------------------------------------------------

    def _with_dense(self, op_type: str, name: str, dense: Any) -> SparseTensor:
        if isinstance(dense, SparseTensor):
            raise ValueError(
                f"Attempt to convert a value ({dense!s}) with an unsupported type ({type(dense)}) to a Tensor."
            )
        inputs = (self._indices, self._values, self._dense_shape, convert_to_tensor(dense, self.dtype.base_dtype, "y"))
        return SparseTensor(self._indices, apply_op(REGISTRY[op_type], inputs, name=name), self._dense_shape)

    def __mul__(self, dense: Any) -> SparseTensor:
        return self._with_dense("SparseDenseCwiseMul", "mul", dense)

    def __rmul__(self, dense: Any) -> SparseTensor:
        """A product whose left factor is a tensor (a number has its place on the right)."""
        return self * dense if isinstance(dense, Tensor) or hasattr(dense, "__tf_tensor__") else NotImplemented

    def __truediv__(self, dense: Any) -> SparseTensor:
        return self._with_dense("SparseDenseCwiseDiv", "truediv", dense)

    __div__ = __truediv__

    def __str__(self) -> str:
        return f"SparseTensor(indices={self._indices!s}, values={self._values!s}, dense_shape={self._dense_shape!s})"

    __repr__ = __str__


public("SparseTensor", "sparse.SparseTensor")(SparseTensor)
public(v1=["SparseTensorValue"])(SparseTensorValue)
