"""tf.sparse: functions of sparse tensors. TensorFlow 1's names (tf.sparse_add ...) stand next to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, constant_in, convert_to_tensor, graph_for
from rillet.core.export import public
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.core.tensor import EagerTensor, Tensor
from rillet.frontend.sparse import SparseTensor, SparseTensorValue, as_sparse
from rillet.frontend.weights import _check  # noqa: F401
from rillet.ops.arguments import renamed
from rillet.ops.cast import cast
from rillet.ops.creation import ones_like_v1, zeros, zeros_like_v1
from rillet.ops.scope import scope
from rillet.ops.shape import shape_of


def _call(op_type: str, *inputs: Any, name: str | None = None, **attrs: Any) -> Any:
    return apply_op(REGISTRY[op_type], inputs, attrs, name)


def _components(value: SparseTensor) -> tuple[Any, Any, Any]:
    return value.indices, value.values, value.dense_shape
