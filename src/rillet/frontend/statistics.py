"""Statistics that check their input, or choose by it: confusion matrices, and the share of zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import V2, public
from rillet.core.opdef import REGISTRY
from rillet.frontend.control import cond, with_dependencies
from rillet.ops.cast import cast
from rillet.ops.constants import identity
from rillet.ops.creation import ones_like_v1 as ones_like
from rillet.ops.creation import zeros
from rillet.ops.join import stack
from rillet.ops.reduce import reduce_max, reduce_sum
from rillet.ops.scope import scope
from rillet.ops.shape import size


@public(v2=["math.confusion_matrix"])
def confusion_matrix(
    labels: Any,
    predictions: Any,
    num_classes: Any = None,
    weights: Any = None,
    dtype: Any = dtypes.int32,
    name: str | None = None,
) -> Any:
    """How often each label (row) was predicted as each class (column): [n, n].

    labels, predictions: vectors of classes, of one length. num_classes: n; None takes the largest class + 1.
    weights: what each pair counts (1 when None).
    Raises InvalidArgumentError for classes that are negative or not below n, ValueError for weights of another shape.
    """
    with scope(name or "confusion_matrix", labels, predictions, num_classes, weights):
        labels, predictions = _squeezed(convert_to_tensor(labels), convert_to_tensor(predictions))
        predictions = cast(predictions, dtypes.int64)
        labels = cast(labels, dtypes.int64)
        labels, predictions = (
            _checked("assert_non_negative", value, message=f"`{role}` contains negative values")
            for role, value in (("labels", labels), ("predictions", predictions))
        )
        if num_classes is None:
            largest = apply_op(REGISTRY["Maximum"], (reduce_max(predictions), reduce_max(labels)))
            num_classes = largest + 1
        else:
            bound = cast(num_classes, dtypes.int64)
            labels, predictions = (
                _checked("assert_less", value, bound, message=f"`{role}` out of bound")
                for role, value in (("labels", labels), ("predictions", predictions))
            )
        if weights is not None:
            weights = convert_to_tensor(weights)
            predictions.shape.assert_is_compatible_with(weights.shape)
            weights = cast(weights, dtype)
        full = stack([num_classes, num_classes])
        pairs = stack([labels, predictions], axis=1)
        values = ones_like(predictions, dtype) if weights is None else weights
        return apply_op(REGISTRY["ScatterNd"], (pairs, values, cast(full, dtypes.int64)))


def _checked(assertion: str, value: Any, *arguments: Any, message: str) -> Any:
    """`value`, once an assertion of tf.debugging has held for it."""
    check = V2[f"debugging.{assertion}"](value, *arguments, message=message)
    return value if check is None else with_dependencies([check], value)


def _squeezed(labels: Any, predictions: Any) -> tuple[Any, Any]:
    """The labels, or the predictions, lose a last axis of size 1 that the others don't have."""
    ranks = labels.shape.rank, predictions.shape.rank
    if None not in ranks:
        if ranks[0] == ranks[1] + 1:
            return apply_op(REGISTRY["Squeeze"], (labels,), {"squeeze_dims": (-1,)}), predictions
        if ranks[1] == ranks[0] + 1:
            return labels, apply_op(REGISTRY["Squeeze"], (predictions,), {"squeeze_dims": (-1,)})
    return labels, predictions


@public(v1=["confusion_matrix", "math.confusion_matrix"])
def confusion_matrix_v1(
    labels: Any,
    predictions: Any,
    num_classes: Any = None,
    dtype: Any = dtypes.int32,
    name: str | None = None,
    weights: Any = None,
) -> Any:
    return confusion_matrix(labels, predictions, num_classes, weights, dtype, name)


@public("nn.zero_fraction", "math.zero_fraction")
def zero_fraction(value: Any, name: str | None = None) -> Any:
    """The share of elements that are zero, a float32 scalar; NaN where there are none."""
    with scope(name or "zero_fraction", value):
        value = convert_to_tensor(value, name="value")
        count = size(value, dtypes.int64)
        if context.executing_eagerly():
            nonzero = _count_nonzero(value, dtypes.int64)
        else:  # as TensorFlow counts: in 32 bits where that is enough
            nonzero = cond(
                apply_op(REGISTRY["LessEqual"], (count, np.int64(2**31 - 1))),
                lambda: cast(_count_nonzero(value, dtypes.int32), dtypes.int64),
                lambda: _count_nonzero(value, dtypes.int64),
            )
        with scope("counts_to_fraction", value):
            zero_count = cast(count - nonzero, dtypes.float32)
            share = apply_op(REGISTRY["RealDiv"], (zero_count, cast(count, dtypes.float32)), name="truediv")
        return identity(share, "fraction")


def _count_nonzero(value: Any, dtype: Any) -> Any:
    with scope("count_nonzero", value):
        different = apply_op(REGISTRY["NotEqual"], (value, zeros([], value.dtype)))
        return reduce_sum(cast(different, dtype), name="nonzero_count")
