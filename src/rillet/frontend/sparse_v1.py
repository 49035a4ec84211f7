"""The functions of sparse tensors as TensorFlow 1 names them, and its placeholder for sparse tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.sparse_tensor import SparseTensor
from rillet.core.static import constant_value_as_shape
from rillet.core.tensor import Tensor
from rillet.frontend.sparse import as_sparse, merge, reduced, sparse_add, sparse_concat, sparse_split
from rillet.ops.constants import placeholder, placeholder_with_default
from rillet.ops.scope import scope


@public(v1=["sparse_placeholder", "sparse.placeholder"])
def sparse_placeholder(dtype: Any, shape: Any = None, name: str | None = None) -> SparseTensor:
    """A SparseTensor whose value is given when the graph runs, as a SparseTensorValue or (indices, values, shape).

    shape: its dense shape (sizes or a constant tensor), as far as it is known; then (indices, values) need no shape beside them.
    Raises RuntimeError where ops run eagerly.
    """
    if isinstance(shape, Tensor):  # programs give constants: tf.constant(features.shape)
        known = constant_value_as_shape(shape)
    else:
        known = TensorShape(None) if isinstance(shape, SparseTensor) else TensorShape(shape)
    label = (lambda part: f"{name}/{part}") if name else (lambda part: None)
    rank = known.rank
    if rank is None:
        dense_shape = placeholder(dtypes.int64, [None], label("shape"))
    else:
        sizes = np.array([-1 if size is None else size for size in known.as_list()], np.int64)
        default = apply_op(REGISTRY["Const"], (), {"value": sizes, "dtype": dtypes.int64}, label("shape_default"))
        dense_shape = placeholder_with_default(default, [rank], label("shape"))
    values = placeholder(dtype, [None], label("values"))
    result = SparseTensor(placeholder(dtypes.int64, [None, rank], label("indices")), values, dense_shape)
    result.set_shape(known)
    return result


@public(v1=["sparse_to_dense"])
def sparse_to_dense(
    sparse_indices: Any, output_shape: Any, sparse_values: Any, default_value: Any = 0, validate_indices: bool = True,
    name: str | None = None,
) -> Any:  # fmt: skip
    """A dense tensor with `sparse_values` (one for each row of the indices, or one for all) at `sparse_indices`.

    sparse_indices: int32 or int64: a scalar, a vector (places of a vector) or a matrix [n, rank].
    """
    inputs = (sparse_indices, output_shape, sparse_values, default_value)
    return apply_op(REGISTRY["SparseToDense"], inputs, {"validate_indices": validate_indices}, name)


@public(v1=["sparse_add", "sparse.add"])
def sparse_add_v1(a: Any, b: Any, threshold: Any = None, thresh: Any = None) -> Any:
    chosen = thresh if threshold is None else threshold
    return sparse_add(a, b, 0 if chosen is None else chosen)


@public(v1=["sparse_concat", "sparse.concat"])
def sparse_concat_v1(
    axis: Any, sp_inputs: Sequence[Any] | None = None, name: str | None = None, expand_nonconcat_dim: bool = False,
    concat_dim: Any = None, expand_nonconcat_dims: Any = None,
) -> SparseTensor:  # fmt: skip
    expands = expand_nonconcat_dim if expand_nonconcat_dims is None else expand_nonconcat_dims
    return sparse_concat(axis if concat_dim is None else concat_dim, sp_inputs or [], expands, name)


@public(v1=["sparse_split", "sparse.split"])
def sparse_split_v1(
    keyword_required: Any = None, sp_input: Any = None, num_split: int | None = None, axis: Any = None,
    name: str | None = None, split_dim: Any = None,
) -> list[SparseTensor]:  # fmt: skip
    if keyword_required is not None:
        raise ValueError("Keyword arguments are required for this function.")
    return sparse_split(sp_input, num_split, split_dim if axis is None else axis, name)


def _reduction(kind: str, is_sparse: bool, words: str) -> None:
    def function(
        sp_input: Any, axis: Any = None, keepdims: Any = None, reduction_axes: Any = None, keep_dims: Any = None
    ) -> Any:
        chosen = reduction_axes if axis is None else axis
        return reduced(kind, sp_input, chosen, keep_dims if keepdims is None else keepdims, is_sparse, None)

    suffix = "_sparse" if is_sparse else ""
    function.__name__ = function.__qualname__ = f"sparse_reduce_{kind.lower()}{suffix}"
    function.__doc__ = (
        f"{words} of a SparseTensor along `axis` (all if None), as a {'SparseTensor' if is_sparse else 'tensor'}."
    )
    public(v1=[function.__name__, f"sparse.reduce_{kind.lower()}{suffix}"])(function)


for _kind, _words in (("Sum", "The sum"), ("Max", "The largest value")):
    for _is_sparse in (False, True):
        _reduction(_kind, _is_sparse, _words)


@public(v1=["sparse_merge", "sparse.merge"])
def sparse_merge(
    sp_ids: Any, sp_values: Any, vocab_size: Any, name: str | None = None, already_sorted: bool = False
) -> SparseTensor:
    """The values of `sp_values`, at the places of `sp_ids` with the ids as last coordinate: [..., vocab_size].

    vocab_size: the size of the new last axis. Lists of id tensors are not taken.
    """
    ids, values = as_sparse(sp_ids), as_sparse(sp_values)
    with scope(name or "SparseMerge", ids.values, values.values):
        return merge(ids, values, vocab_size, already_sorted)
