"""tf.losses of TensorFlow 1: a loss of each example, weighted, reduced, and collected in the graph."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import EagerTensor
from rillet.frontend.collections import GraphKeys, get_collection
from rillet.frontend.scopes import NameScopeV1, run_after
from rillet.frontend.weights import assert_broadcastable, broadcast_weights
from rillet.ops.cast import cast
from rillet.ops.constants import stop_gradient
from rillet.ops.creation import ones_like_v1, zeros_like_v1
from rillet.ops.elementwise import add_n
from rillet.ops.loss import (
    sigmoid_cross_entropy_with_logits,
    softmax_cross_entropy_with_logits_v2,
    sparse_softmax_cross_entropy_with_logits,
)
from rillet.ops.scope import scope as name_scope
from rillet.ops.shape import rank, shape_of, size_v1, squeeze


@public(v1=["losses.Reduction"])
class Reduction:
    """How the losses of the examples become one."""

    NONE = "none"
    SUM = "weighted_sum"
    SUM_OVER_BATCH_SIZE = "weighted_sum_over_batch_size"
    MEAN = "weighted_mean"
    SUM_BY_NONZERO_WEIGHTS = "weighted_sum_by_nonzero_weights"
    SUM_OVER_NONZERO_WEIGHTS = SUM_BY_NONZERO_WEIGHTS

    @classmethod
    def all(cls) -> tuple[str, ...]:
        return (
            cls.NONE, cls.SUM, cls.MEAN, cls.SUM_OVER_BATCH_SIZE, cls.SUM_OVER_NONZERO_WEIGHTS,
            cls.SUM_BY_NONZERO_WEIGHTS,
        )  # fmt: skip

    @classmethod
    def validate(cls, key: str) -> None:
        if key not in cls.all():
            raise ValueError(f"Invalid Reduction Key {key}. Key should be one of {cls.all()}.")


def _call(op_type: str, *inputs: Any, name: str | None = None) -> Any:
    return apply_op(REGISTRY[op_type], inputs, name=name)


def _total(value: Any, name: str | None = None) -> Any:
    """The sum of all elements."""
    count = value.shape.rank
    axes = list(range(count)) if count is not None else _call("Range", 0, rank(value), 1, name="range")
    total = apply_op(REGISTRY["Sum"], (value, convert_to_tensor(axes, dtypes.int32)), name=name)
    total.set_shape(())
    return total


# ---- weights and reduction ------------------------------------------------------------------------------------------


@public(v1=["losses.compute_weighted_loss"])
def compute_weighted_loss(
    losses: Any,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: Any = GraphKeys.LOSSES,
    reduction: str = Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> Any:
    """`losses` times `weights`, reduced, and added to the graph's collection of losses.

    weights: a scalar, or of the rank of `losses`, each size 1 or that of `losses`.
    Returns a scalar; for Reduction.NONE a tensor of the shape of `losses`.
    Raises ValueError when the weights cannot be broadcast or the reduction is unknown.
    """
    Reduction.validate(reduction)
    with NameScopeV1(scope, "weighted_loss", (losses, weights)):
        loss = _weighted(losses, weights, reduction)
        add_loss(loss, loss_collection)
        return loss


def _weighted(losses: Any, weights: Any, reduction: str) -> Any:
    with run_after(assert_broadcastable(weights, losses)):
        losses = convert_to_tensor(losses)
        dtype = losses.dtype.base_dtype
        losses = cast(losses, dtypes.float32)
        weights = cast(weights, dtypes.float32)
        loss = _call("Mul", losses, weights, name="Mul")
        if reduction != Reduction.NONE:
            loss = _total(loss)
            if reduction == Reduction.MEAN:
                loss = _safe_mean(loss, _total(ones_like_v1(losses) * weights))
            elif reduction == Reduction.SUM_BY_NONZERO_WEIGHTS:
                loss = _safe_mean(loss, _present(losses, weights))
            elif reduction == Reduction.SUM_OVER_BATCH_SIZE:
                loss = _safe_mean(loss, _elements(losses))
        return cast(loss, dtype)


def _safe_mean(losses: Any, count: Any) -> Any:
    """The sum of `losses` divided by `count`; 0 where that is 0."""
    return _call("DivNoNan", _all_of(losses), count, name="value")


def _all_of(scalar: Any) -> Any:
    if isinstance(scalar, EagerTensor):
        return scalar
    total = _call("Sum", scalar, _call("Range", 0, rank(scalar), 1, name="range"))
    total.set_shape(())
    return total


def _present(losses: Any, weights: Any, per_example: bool = False) -> Any:
    """How many losses (of each example) have a weight other than 0."""
    with name_scope("num_present", losses, weights) as full_name:
        absent = _call("Equal", weights, 0.0)
        present = _call("Select", absent, zeros_like_v1(weights), ones_like_v1(weights))
        present = broadcast_weights(present, losses)
        if per_example:
            return _sum_kept(present, _inner_axes(losses), full_name)
        return _total(present, full_name)


def _inner_axes(value: Any) -> Any:
    """All axes but the first."""
    return _call("Range", 1, rank(value), 1, name="range")


def _sum_kept(value: Any, axes: Any, name: str | None = None) -> Any:
    return apply_op(REGISTRY["Sum"], (value, axes), {"keep_dims": True}, name)


def _elements(losses: Any) -> Any:
    with name_scope("num_elements", losses) as full_name:
        return cast(size_v1(losses, name=full_name), losses.dtype)


@contextlib.contextmanager
def _loss(scope: str | None, name: str, *values: Any, **required: Any) -> Iterator[str]:
    """The name scope of a loss. ValueError for a missing argument."""
    for label, value in required.items():
        if value is None:
            raise ValueError(f"{label} must not be None.")
    with NameScopeV1(scope, name, values) as full_name:
        yield full_name


def _alike(predictions: Any, labels: Any) -> tuple[Any, Any]:
    """Both as float32 of compatible shapes. ValueError otherwise."""
    predictions = cast(predictions, dtypes.float32)
    labels = cast(labels, dtypes.float32)
    predictions.shape.assert_is_compatible_with(labels.shape)
    return predictions, labels


# ---- the losses -----------------------------------------------------------------------------------------------------


@public(v1=["losses.absolute_difference"])
def absolute_difference(
    labels: Any, predictions: Any, weights: Any = 1.0, scope: str | None = None, loss_collection: Any = GraphKeys.LOSSES,
    reduction: str = Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> Any:  # fmt: skip
    """|predictions - labels|; see compute_weighted_loss for the rest."""
    with _loss(
        scope, "absolute_difference", predictions, labels, weights, labels=labels, predictions=predictions
    ) as name:
        predictions, labels = _alike(predictions, labels)
        losses = _call("Abs", _call("Sub", predictions, labels))
        return compute_weighted_loss(losses, weights, name, loss_collection, reduction)


@public(v1=["losses.mean_squared_error"])
def mean_squared_error(
    labels: Any, predictions: Any, weights: Any = 1.0, scope: str | None = None, loss_collection: Any = GraphKeys.LOSSES,
    reduction: str = Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> Any:  # fmt: skip
    """(predictions - labels)^2; see compute_weighted_loss for the rest."""
    with _loss(
        scope, "mean_squared_error", predictions, labels, weights, labels=labels, predictions=predictions
    ) as name:
        predictions, labels = _alike(predictions, labels)
        losses = _call("SquaredDifference", predictions, labels)
        return compute_weighted_loss(losses, weights, name, loss_collection, reduction)


@public(v1=["losses.cosine_distance"])
def cosine_distance(
    labels: Any, predictions: Any, axis: int | None = None, weights: Any = 1.0, scope: str | None = None,
    loss_collection: Any = GraphKeys.LOSSES, reduction: str = Reduction.SUM_BY_NONZERO_WEIGHTS, dim: int | None = None,
) -> Any:  # fmt: skip
    """1 - the scalar product along `axis` of labels and predictions, both of unit length."""
    axis = dim if axis is None else axis
    if axis is None:
        raise ValueError("You must specify argument `axis`.")
    values = (predictions, labels, weights)
    with _loss(scope, "cosine_distance_loss", *values, labels=labels, predictions=predictions) as name:
        predictions, labels = _alike(predictions, labels)
        products = apply_op(REGISTRY["Sum"], (_call("Mul", predictions, labels), [axis]), {"keep_dims": True})
        return compute_weighted_loss(1 - products, weights, name, loss_collection, reduction)


@public(v1=["losses.hinge_loss"])
def hinge_loss(
    labels: Any, logits: Any, weights: Any = 1.0, scope: str | None = None, loss_collection: Any = GraphKeys.LOSSES,
    reduction: str = Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> Any:  # fmt: skip
    """max(0, 1 - y * logits), y = -1 for label 0 and 1 for label 1."""
    with _loss(scope, "hinge_loss", logits, labels, weights, labels=labels, logits=logits) as name:
        logits, labels = _alike(logits, labels)
        ones = ones_like_v1(labels)
        signs = _call("Sub", 2 * labels, ones)
        losses = _call("Relu", _call("Sub", ones, _call("Mul", signs, logits)))
        return compute_weighted_loss(losses, weights, name, loss_collection, reduction)


@public(v1=["losses.huber_loss"])
def huber_loss(
    labels: Any, predictions: Any, weights: Any = 1.0, delta: float = 1.0, scope: str | None = None,
    loss_collection: Any = GraphKeys.LOSSES, reduction: str = Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> Any:  # fmt: skip
    """error^2 / 2 up to `delta`, beyond it delta * |error| - delta^2 / 2."""
    with _loss(scope, "huber_loss", predictions, labels, weights, labels=labels, predictions=predictions) as name:
        predictions, labels = _alike(predictions, labels)
        error = _call("Abs", _call("Sub", predictions, labels))
        quadratic = _call("Minimum", error, delta)
        linear = _call("Sub", error, quadratic)
        half = convert_to_tensor(0.5, quadratic.dtype)
        squares = _call("Mul", half, _call("Mul", quadratic, quadratic))
        losses = _call("AddV2", squares, _call("Mul", delta, linear), name="Add")
        return compute_weighted_loss(losses, weights, name, loss_collection, reduction)


@public(v1=["losses.log_loss"])
def log_loss(
    labels: Any, predictions: Any, weights: Any = 1.0, epsilon: float = 1e-7, scope: str | None = None,
    loss_collection: Any = GraphKeys.LOSSES, reduction: str = Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> Any:  # fmt: skip
    """-labels log(predictions) - (1 - labels) log(1 - predictions), with `epsilon` added to what the logarithm takes."""
    with _loss(scope, "log_loss", predictions, labels, weights, labels=labels, predictions=predictions) as name:
        predictions, labels = _alike(predictions, labels)
        positive = _call("Neg", _call("Mul", labels, _call("Log", predictions + epsilon)))
        negative = _call("Mul", 1 - labels, _call("Log", 1 - predictions + epsilon))
        return compute_weighted_loss(positive - negative, weights, name, loss_collection, reduction)


@public(v1=["losses.sigmoid_cross_entropy"])
def sigmoid_cross_entropy(
    multi_class_labels: Any, logits: Any, weights: Any = 1.0, label_smoothing: float = 0, scope: str | None = None,
    loss_collection: Any = GraphKeys.LOSSES, reduction: str = Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> Any:  # fmt: skip
    """The cross entropy of independent classes; label_smoothing moves the labels towards 1/2."""
    values = (logits, multi_class_labels, weights)
    with _loss(
        scope, "sigmoid_cross_entropy_loss", *values, multi_class_labels=multi_class_labels, logits=logits
    ) as name:
        logits = convert_to_tensor(logits)
        labels = cast(multi_class_labels, logits.dtype)
        logits.shape.assert_is_compatible_with(labels.shape)
        if label_smoothing > 0:
            labels = labels * (1 - label_smoothing) + 0.5 * label_smoothing
        losses = sigmoid_cross_entropy_with_logits(labels=labels, logits=logits, name="xentropy")
        return compute_weighted_loss(losses, weights, name, loss_collection, reduction)


@public(v1=["losses.softmax_cross_entropy"])
def softmax_cross_entropy(
    onehot_labels: Any, logits: Any, weights: Any = 1.0, label_smoothing: float = 0, scope: str | None = None,
    loss_collection: Any = GraphKeys.LOSSES, reduction: str = Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> Any:  # fmt: skip
    """The cross entropy of classes that exclude each other; label_smoothing moves the labels towards 1/classes."""
    values = (logits, onehot_labels, weights)
    with _loss(scope, "softmax_cross_entropy_loss", *values, onehot_labels=onehot_labels, logits=logits) as name:
        logits = convert_to_tensor(logits)
        labels = cast(onehot_labels, logits.dtype)
        logits.shape.assert_is_compatible_with(labels.shape)
        if label_smoothing > 0:
            classes = cast(shape_of(labels)[-1], logits.dtype)
            share = label_smoothing / classes
            labels = labels * (1.0 - label_smoothing) + share
        labels = stop_gradient(labels, name="labels_stop_gradient")
        losses = softmax_cross_entropy_with_logits_v2(labels=labels, logits=logits, name="xentropy")
        return compute_weighted_loss(losses, weights, name, loss_collection, reduction)


@public(v1=["losses.sparse_softmax_cross_entropy"])
def sparse_softmax_cross_entropy(
    labels: Any, logits: Any, weights: Any = 1.0, scope: str | None = None, loss_collection: Any = GraphKeys.LOSSES,
    reduction: str = Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> Any:  # fmt: skip
    """As softmax_cross_entropy, with class numbers [d0, ...] for logits [d0, ..., classes]."""
    values = (logits, labels, weights)
    with _loss(scope, "sparse_softmax_cross_entropy_loss", *values, labels=labels, logits=logits) as name:
        labels, logits, weights = _squeezed(labels, logits, weights)
        losses = sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits, name="xentropy")
        return compute_weighted_loss(losses, weights, name, loss_collection, reduction)


def _squeezed(labels: Any, logits: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Labels and weights without a last axis of size 1 that the logits have no counterpart for."""
    with name_scope("remove_squeezable_dimensions", labels, logits):
        labels, logits = convert_to_tensor(labels), convert_to_tensor(logits)
        expected = None if logits.shape.rank is None else logits.shape.rank - 1
        if expected is not None and labels.shape.rank == expected + 1 and labels.shape.as_list()[-1] in (1, None):
            labels = squeeze(labels, [-1])
    if not isinstance(weights, (int, float)):
        weights = convert_to_tensor(weights)
        if expected is not None and weights.shape.rank == expected + 1:
            weights = squeeze(weights, [-1])
    return labels, logits, weights


@public(v1=["losses.mean_pairwise_squared_error"])
def mean_pairwise_squared_error(
    labels: Any, predictions: Any, weights: Any = 1.0, scope: str | None = None, loss_collection: Any = GraphKeys.LOSSES
) -> Any:
    """The mean over pairs of elements of one example of the squared error of their differences; a scalar.

    labels, predictions: [batch, ...]. weights: a scalar or [batch].
    """
    values = (predictions, labels, weights)
    with _loss(scope, "mean_pairwise_squared_error", *values, labels=labels, predictions=predictions):
        weights = cast(weights, dtypes.float32)
        labels = cast(labels, dtypes.float32)
        with run_after(assert_broadcastable(weights, labels)):
            predictions, labels = _alike(predictions, labels)
            differences = _call("Sub", predictions, labels)
            axes = _inner_axes(differences)
            squares = _sum_kept(_call("Square", differences), axes)
            count = _present(differences, weights, per_example=True)
            first = 2.0 * _call("DivNoNan", squares, _call("Maximum", count - 1, 0), name="value")
            squared_sum = _call("Square", _sum_kept(differences, axes))
            pairs = _call("Maximum", _call("Mul", count, count - 1), 0)
            second = 2.0 * _call("DivNoNan", squared_sum, pairs, name="value")
            result = _total(_call("Mul", first - second, weights))
            is_positive = _call("Greater", _total(count), 0)
            mean = _call("Select", is_positive, result, zeros_like_v1(result), name="value")
            add_loss(mean, loss_collection)
            return mean


# ---- the collection -------------------------------------------------------------------------------------------------


@public(v1=["losses.add_loss"])
def add_loss(loss: Any, loss_collection: Any = GraphKeys.LOSSES) -> None:
    """Adds a loss to the graph's collection. Eagerly there is none."""
    graph = getattr(loss, "graph", None) if hasattr(loss, "op") else None
    if loss_collection and graph is not None:
        context.get_default_graph().add_to_collection(loss_collection, loss)


@public(v1=["losses.get_losses"])
def get_losses(scope: str | None = None, loss_collection: Any = GraphKeys.LOSSES) -> list[Any]:
    """The losses made so far; with `scope`, those whose name starts with it."""
    return get_collection(loss_collection, scope)


@public(v1=["losses.get_regularization_losses"])
def get_regularization_losses(scope: str | None = None) -> list[Any]:
    """The penalties that regularizers of variables have made."""
    return get_collection(GraphKeys.REGULARIZATION_LOSSES, scope)


@public(v1=["losses.get_regularization_loss"])
def get_regularization_loss(scope: str | None = None, name: str = "total_regularization_loss") -> Any:
    """The sum of the penalties; 0 when there are none."""
    losses = get_regularization_losses(scope)
    return add_n(losses, name=name) if losses else convert_to_tensor(0.0)


@public(v1=["losses.get_total_loss"])
def get_total_loss(add_regularization_losses: bool = True, name: str = "total_loss", scope: str | None = None) -> Any:
    """The sum of all losses, with the penalties unless told otherwise."""
    losses = get_losses(scope)
    if add_regularization_losses:
        losses += get_regularization_losses(scope)
    return add_n(losses, name=name)


# ---- plain functions ------------------------------------------------------------------------------------------------


@public(v2=["losses.MSE", "losses.mse", "losses.mean_squared_error"])
def squared_error_per_example(y_true: Any, y_pred: Any) -> Any:
    """The mean over the last axis of (y_pred - y_true)^2: [..., d] -> [...]."""
    predictions = convert_to_tensor(y_pred)
    labels = cast(y_true, predictions.dtype)
    squares = _call("SquaredDifference", predictions, labels)
    return apply_op(REGISTRY["Mean"], (squares, convert_to_tensor(-1, dtypes.int32)), {"keep_dims": False})


@public(v1=["contrib.seq2seq.sequence_loss"])
def sequence_loss(
    logits: Any,
    targets: Any,
    weights: Any,
    average_across_timesteps: bool = True,
    average_across_batch: bool = True,
    softmax_loss_function: Any = None,
    name: str | None = None,
) -> Any:
    """The weighted cross entropy of sequences.

    logits: [batch, time, classes]; targets: integers [batch, time]; weights: floats [batch, time].
    Returns a scalar; [batch, time] where neither average is wanted, and [batch] or [time] for one of them.
    Raises ValueError when a rank is wrong.
    """
    for label, value, wanted in (("Logits", logits, 3), ("Targets", targets, 2), ("Weights", weights, 2)):
        if len(value.shape) != wanted:
            raise ValueError(f"{label} must be a {wanted}D tensor")
    with NameScopeV1(name, "sequence_loss", [logits, targets, weights]):
        sizes = shape_of(logits)
        flat = _call("Reshape", targets, [-1])
        scores = _call("Reshape", logits, _call("Pack", [-1, sizes[2]]))
        loss_of = softmax_loss_function or sparse_softmax_cross_entropy_with_logits
        losses = _call("Reshape", loss_of(labels=flat, logits=scores), sizes[:2]) * weights
        if average_across_timesteps and average_across_batch:
            return _total(losses) / (_total(weights) + 1e-12)
        axis = 1 if average_across_timesteps else 0 if average_across_batch else None
        if axis is None:
            return losses
        sums = [apply_op(REGISTRY["Sum"], (value, [axis]), {"keep_dims": False}) for value in (losses, weights)]
        return sums[0] / (sums[1] + 1e-12)
