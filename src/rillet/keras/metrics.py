"""tf.keras.metrics: functions of (y_true, y_pred) that give one number for each example. (Losses are metrics too.)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public_in
from rillet.core.opdef import REGISTRY
from rillet.keras import losses
from rillet.keras.losses import as_pair, squeeze_to_match
from rillet.keras.policy import floatx
from rillet.keras.saving_registry import Family
from rillet.ops.cast import cast
from rillet.ops.compare import equal, greater
from rillet.ops.order import in_top_k
from rillet.ops.reduce import argmax, reduce_mean
from rillet.ops.shape import reshape

_public = public_in("keras.metrics")


def _as_float(hits: Any) -> Any:
    return cast(hits, floatx())


@_public("accuracy")
def accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where y_true equals y_pred."""
    y_pred = convert_to_tensor(y_pred)
    y_true, y_pred = squeeze_to_match(convert_to_tensor(y_true), y_pred)
    return _as_float(equal(cast(y_true, y_pred.dtype), y_pred))


@_public("binary_accuracy")
def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """How many of the last axis are right: y_pred above the threshold counts as 1."""
    y_true, y_pred = as_pair(y_true, y_pred)
    decided = cast(greater(y_pred, convert_to_tensor(threshold, y_pred.dtype)), y_pred.dtype)
    return reduce_mean(_as_float(equal(y_true, decided)), axis=-1)


@_public("categorical_accuracy")
def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where y_true and y_pred are largest for the same class."""
    y_true, y_pred = convert_to_tensor(y_true), convert_to_tensor(y_pred)
    return _as_float(equal(argmax(y_true, axis=-1), argmax(y_pred, axis=-1)))


@_public("sparse_categorical_accuracy")
def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where y_pred is largest for class y_true (a number)."""
    y_true, y_pred = convert_to_tensor(y_true), convert_to_tensor(y_pred)
    y_true = _class_numbers(y_true, y_pred)
    chosen = argmax(y_pred, axis=-1)
    if y_true.dtype.is_integer:
        return _as_float(equal(cast(y_true, dtypes.int64), chosen))
    return _as_float(equal(y_true, cast(chosen, y_true.dtype)))


def _class_numbers(y_true: Any, y_pred: Any) -> Any:
    rank = y_pred.shape.rank
    if y_true.shape.rank is not None and y_true.shape.rank == rank and rank and y_true.shape[-1] in (1, None):
        return apply_op(REGISTRY["Squeeze"], (y_true,), {"squeeze_dims": [-1]})
    return y_true


@_public("top_k_categorical_accuracy")
def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """1 where the class that y_true is largest for is among the k largest of y_pred."""
    return sparse_top_k_categorical_accuracy(argmax(convert_to_tensor(y_true), axis=-1), y_pred, k)


@_public("sparse_top_k_categorical_accuracy")
def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """1 where class y_true (a number) is among the k largest of y_pred."""
    y_true, y_pred = convert_to_tensor(y_true), convert_to_tensor(y_pred)
    y_true = _class_numbers(y_true, y_pred)
    shape = apply_op(REGISTRY["Shape"], (y_pred,))
    is_matrix = y_pred.shape.rank == 2
    rows = y_pred if is_matrix else reshape(y_pred, [-1, shape[-1]])
    labels = cast(y_true if is_matrix else reshape(y_true, [-1]), dtypes.int64)
    hits = _as_float(in_top_k(labels, cast(rows, dtypes.float32), k))
    return hits if is_matrix else reshape(hits, shape[:-1])


@_public("cosine_similarity")
def cosine_similarity(y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    """The cosine between y_true and y_pred along `axis`."""
    return -losses.cosine_similarity(y_true, y_pred, axis)


_BY_KIND = {
    "accuracy": (binary_accuracy, sparse_categorical_accuracy, categorical_accuracy),
    "crossentropy": (
        losses.binary_crossentropy, losses.sparse_categorical_crossentropy, losses.categorical_crossentropy,
    ),
}  # fmt: skip


def for_targets(name: str, y_true: Any, y_pred: Any) -> Callable[..., Any] | None:
    """What "accuracy" ("acc") or "crossentropy" ("ce") means for such targets and outputs: the binary form for outputs of
    size 1, the sparse one where the targets are class numbers, else the categorical one. None for another name."""
    kind = {"acc": "accuracy", "ce": "crossentropy"}.get(name, name)
    if kind not in _BY_KIND:
        return None
    binary, sparse, categorical = _BY_KIND[kind]
    true_shape, pred_shape = y_true.shape, y_pred.shape
    if pred_shape.rank is None:
        return categorical
    if not pred_shape.rank or pred_shape[-1] == 1:
        return binary
    is_shorter = true_shape.rank is not None and (true_shape.rank < pred_shape.rank or true_shape[-1] == 1)
    return sparse if is_shorter else categorical


METRICS = Family("keras.metrics", "metric function", {"acc": "accuracy", "bce": "binary_crossentropy",
                                                     "cosine_proximity": "cosine_similarity"})  # fmt: skip
METRICS.export()
get, serialize, deserialize = METRICS.get, METRICS.serialize, METRICS.deserialize
