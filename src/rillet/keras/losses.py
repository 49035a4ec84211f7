"""tf.keras.losses: functions of (y_true, y_pred) that give one number for each example (and place)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import export, public
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import SymbolicTensor, Tensor
from rillet.keras.policy import epsilon
from rillet.keras.saving_registry import Family
from rillet.ops import elementwise as math
from rillet.ops.activations import softmax, softplus
from rillet.ops.arrange import transpose
from rillet.ops.cast import cast
from rillet.ops.clip import clip_by_value
from rillet.ops.compare import equal, not_equal
from rillet.ops.creation import ones_like, zeros_like
from rillet.ops.loss import (
    sigmoid_cross_entropy_with_logits,
    softmax_cross_entropy_with_logits,
    sparse_softmax_cross_entropy_with_logits,
)
from rillet.ops.reduce import reduce_all, reduce_max, reduce_mean, reduce_sum
from rillet.ops.select import where
from rillet.ops.shape import reshape
from rillet.ops.statistics import l2_normalize


def _public(*names: str, metric: bool = True) -> Callable[[Any], Any]:
    """Public in tf.keras.losses, and in tf.keras.metrics, where the same function is a metric."""
    rooms = ("losses", "metrics") if metric else ("losses",)
    return public(*[f"keras.{room}.{name}" for name in names for room in rooms])


def as_pair(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both as tensors, y_true in the dtype of y_pred."""
    y_pred = convert_to_tensor(y_pred)
    return cast(convert_to_tensor(y_true), y_pred.dtype), y_pred


# ---- differences ----------------------------------------------------------------------------------------------------


@_public("mean_squared_error", "mse", "MSE")
def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """mean((y_true - y_pred)^2) over the last axis."""
    y_true, y_pred = as_pair(y_true, y_pred)
    return reduce_mean(math.squared_difference(y_pred, y_true), axis=-1)


@_public("mean_absolute_error", "mae", "MAE")
def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """mean(|y_true - y_pred|) over the last axis."""
    y_true, y_pred = as_pair(y_true, y_pred)
    return reduce_mean(math.abs(y_pred - y_true), axis=-1)


@_public("mean_absolute_percentage_error", "mape", "MAPE")
def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """100 * mean(|y_true - y_pred| / |y_true|) over the last axis."""
    y_true, y_pred = as_pair(y_true, y_pred)
    difference = math.abs((y_true - y_pred) / math.maximum(math.abs(y_true), epsilon()))
    return 100.0 * reduce_mean(difference, axis=-1)


@_public("mean_squared_logarithmic_error", "msle", "MSLE")
def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """mean((log(y_true + 1) - log(y_pred + 1))^2) over the last axis."""
    y_true, y_pred = as_pair(y_true, y_pred)
    first, second = [math.log(math.maximum(value, epsilon()) + 1.0) for value in (y_pred, y_true)]
    return reduce_mean(math.squared_difference(first, second), axis=-1)


@_public("huber", metric=False)
def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Half the square of an error up to delta, linear beyond; the mean over the last axis."""
    y_true, y_pred = as_pair(y_true, y_pred)
    error = y_pred - y_true
    size = math.abs(error)
    return reduce_mean(where(size <= delta, 0.5 * math.square(error), delta * size - 0.5 * delta**2), axis=-1)


@_public("log_cosh", "logcosh")
def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """mean(log(cosh(y_pred - y_true))) over the last axis."""
    y_true, y_pred = as_pair(y_true, y_pred)
    error = y_pred - y_true
    return reduce_mean(error + softplus(-2.0 * error) - math.log(convert_to_tensor(2.0, error.dtype)), axis=-1)


@_public("poisson")
def poisson(y_true: Any, y_pred: Any) -> Any:
    """mean(y_pred - y_true * log(y_pred)) over the last axis."""
    y_true, y_pred = as_pair(y_true, y_pred)
    return reduce_mean(y_pred - y_true * math.log(y_pred + epsilon()), axis=-1)


@_public("kl_divergence", "kullback_leibler_divergence", "kld", "KLD")
def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """sum(y_true * log(y_true / y_pred)) over the last axis."""
    y_true, y_pred = as_pair(y_true, y_pred)
    y_true, y_pred = clip_by_value(y_true, epsilon(), 1.0), clip_by_value(y_pred, epsilon(), 1.0)
    return reduce_sum(y_true * math.log(y_true / y_pred), axis=-1)


@_public("cosine_similarity", metric=False)
def cosine_similarity(y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    """-(the cosine between y_true and y_pred) along `axis`: -1 where they point the same way."""
    y_true, y_pred = as_pair(y_true, y_pred)
    return math.negative(reduce_sum(l2_normalize(y_true, axis=axis) * l2_normalize(y_pred, axis=axis), axis=axis))


# ---- margins --------------------------------------------------------------------------------------------------------


def _signs(y_true: Any) -> Any:
    """Labels of 0 and 1 as -1 and 1; those of -1 and 1 as they are."""
    are_binary = reduce_all((equal(y_true, 0.0)) | (equal(y_true, 1.0)))
    return where(are_binary, 2.0 * y_true - 1.0, y_true)


@_public("hinge")
def hinge(y_true: Any, y_pred: Any) -> Any:
    """mean(max(1 - y_true * y_pred, 0)) over the last axis; y_true: -1 or 1 (or 0 and 1)."""
    y_true, y_pred = as_pair(y_true, y_pred)
    return reduce_mean(math.maximum(1.0 - _signs(y_true) * y_pred, 0.0), axis=-1)


@_public("squared_hinge")
def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """mean(max(1 - y_true * y_pred, 0)^2) over the last axis; y_true: -1 or 1 (or 0 and 1)."""
    y_true, y_pred = as_pair(y_true, y_pred)
    return reduce_mean(math.square(math.maximum(1.0 - _signs(y_true) * y_pred, 0.0)), axis=-1)


@_public("categorical_hinge")
def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """max(the largest y_pred of a wrong class - the one of the right class + 1, 0); y_true: 0 and 1."""
    y_true, y_pred = as_pair(y_true, y_pred)
    right = reduce_sum(y_true * y_pred, axis=-1)
    wrong = reduce_max((1.0 - y_true) * y_pred, axis=-1)
    return math.maximum(wrong - right + 1.0, 0.0)


# ---- cross entropies ------------------------------------------------------------------------------------------------


def logits_of(y_pred: Any, op_type: str) -> Any:
    """The logits that `y_pred` is the softmax or sigmoid of, as far as is known: they give the loss without rounding."""
    logits = y_pred.__dict__.get("_keras_logits")
    if logits is None and isinstance(y_pred, SymbolicTensor) and y_pred.op.type == op_type:
        logits = y_pred.op.inputs[0]
    return logits


def _smoothed(y_true: Any, label_smoothing: Any, classes: Any) -> Any:
    if isinstance(label_smoothing, (int, float)) and not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + label_smoothing / classes


@_public("binary_crossentropy")
def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """The mean cross entropy of independent yes-or-no labels over `axis`.

    y_true: 0 to 1. y_pred: probabilities, or with from_logits numbers of any size. label_smoothing: so much of the
    label goes to 0.5.
    """
    y_true, y_pred = as_pair(y_true, y_pred)
    return reduce_mean(_binary(_smoothed(y_true, label_smoothing, 2.0), y_pred, from_logits), axis=axis)


def _binary(y_true: Any, y_pred: Any, from_logits: bool) -> Any:
    logits = y_pred if from_logits else logits_of(y_pred, "Sigmoid")
    if logits is not None:
        return sigmoid_cross_entropy_with_logits(labels=y_true, logits=logits)
    tiny = epsilon()
    y_pred = clip_by_value(y_pred, tiny, 1.0 - tiny)
    entropy = y_true * math.log(y_pred + tiny) + (1.0 - y_true) * math.log(1.0 - y_pred + tiny)
    return math.negative(entropy)


@_public("binary_focal_crossentropy")
def binary_focal_crossentropy(
    y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
) -> Any:  # fmt: skip
    """Binary cross entropy times (1 - the probability of the label)^gamma (Lin et al. 2017); with apply_class_balancing
    times alpha for label 1 and 1 - alpha for label 0."""
    y_true, y_pred = as_pair(y_true, y_pred)
    y_true = _smoothed(y_true, label_smoothing, 2.0)
    entropy = _binary(y_true, y_pred, from_logits)
    chance = math.sigmoid(y_pred) if from_logits else y_pred
    right = y_true * chance + (1.0 - y_true) * (1.0 - chance)
    loss = math.power(1.0 - right, gamma) * entropy
    if apply_class_balancing:
        loss = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * loss
    return reduce_mean(loss, axis=axis)


@_public("categorical_crossentropy")
def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """The cross entropy of one-hot labels (or probabilities) along `axis`.

    y_pred: probabilities, or with from_logits numbers of any size. label_smoothing: so much of the label is shared among
    the classes. Raises ValueError where the shapes differ.
    """
    y_true, y_pred = as_pair(y_true, y_pred)
    if label_smoothing:
        y_true = _smoothed(y_true, label_smoothing, cast(apply_op(REGISTRY["Shape"], (y_true,))[-1], y_pred.dtype))
    logits = y_pred if from_logits else logits_of(y_pred, "Softmax")
    if not y_true.shape.is_compatible_with(y_pred.shape):
        raise ValueError(f"Shapes {y_true.shape} and {y_pred.shape} are incompatible")
    if logits is not None:
        return softmax_cross_entropy_with_logits(labels=y_true, logits=logits, axis=axis)
    y_pred = y_pred / reduce_sum(y_pred, axis, keepdims=True)
    y_pred = clip_by_value(y_pred, epsilon(), 1.0 - epsilon())
    return math.negative(reduce_sum(y_true * math.log(y_pred), axis))


@_public("categorical_focal_crossentropy")
def categorical_focal_crossentropy(
    y_true: Any, y_pred: Any, alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False,
    label_smoothing: float = 0.0, axis: int = -1,
) -> Any:  # fmt: skip
    """Categorical cross entropy times alpha * (1 - the probability of the label)^gamma (Lin et al. 2017)."""
    y_true, y_pred = as_pair(y_true, y_pred)
    if label_smoothing:
        y_true = _smoothed(y_true, label_smoothing, cast(apply_op(REGISTRY["Shape"], (y_true,))[-1], y_pred.dtype))
    if from_logits:
        y_pred = softmax(y_pred, axis=axis)
    y_pred = y_pred / reduce_sum(y_pred, axis, keepdims=True)
    y_pred = clip_by_value(y_pred, epsilon(), 1.0 - epsilon())
    entropy = math.negative(y_true * math.log(y_pred))
    return reduce_sum(convert_to_tensor(alpha, y_pred.dtype) * math.power(1.0 - y_pred, gamma) * entropy, axis)


@_public("sparse_categorical_crossentropy")
def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, axis: int = -1, ignore_class: int | None = None
) -> Any:
    """The cross entropy of labels that are class numbers. The loss of `ignore_class` is 0.

    y_true: numbers, of the shape of y_pred without `axis` (or with size 1 there). y_pred: probabilities, or with
    from_logits numbers of any size.
    """
    y_pred = convert_to_tensor(y_pred)
    logits = y_pred if from_logits else logits_of(y_pred, "Softmax")
    if logits is None:
        logits = math.log(clip_by_value(y_pred, epsilon(), 1.0 - epsilon()))
    rank = logits.shape.rank
    if rank is not None and axis % rank != rank - 1:
        logits = transpose(logits, [*[place for place in range(rank) if place != axis % rank], axis % rank])
    labels = cast(convert_to_tensor(y_true), "int64")
    if labels.shape.rank is not None and labels.shape.rank == rank and labels.shape[-1] in (1, None):
        labels = reshape(labels, apply_op(REGISTRY["Shape"], (logits,))[:-1])
    if ignore_class is None:
        return sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    valid = not_equal(labels, ignore_class)
    losses = sparse_softmax_cross_entropy_with_logits(labels=where(valid, labels, zeros_like(labels)), logits=logits)
    losses = where(valid, losses, zeros_like(losses))
    losses.__dict__["_keras_mask"] = valid
    return losses


# ---- reduction of many losses to one --------------------------------------------------------------------------------


class Reduction:
    """How the losses of a batch become one number."""

    AUTO = "auto"
    NONE = "none"
    SUM = "sum"
    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"

    @classmethod
    def all(cls) -> tuple[str, ...]:
        return cls.AUTO, cls.NONE, cls.SUM, cls.SUM_OVER_BATCH_SIZE

    @classmethod
    def validate(cls, key: Any) -> None:
        """ValueError for what is no reduction."""
        if key not in (*cls.all(), "mean", "mean_with_sample_weight", None):
            raise ValueError(f'Invalid Reduction Key: {key}. Expected keys are "{cls.all()}"')


export(Reduction, "keras.losses.Reduction")


def squeeze_to_match(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both, without a last axis of size 1 that only one of them has."""
    true_rank, pred_rank = y_true.shape.rank, y_pred.shape.rank
    if true_rank is None or pred_rank is None:
        return y_true, y_pred
    if true_rank == pred_rank + 1 and y_true.shape[-1] == 1:
        return apply_op(REGISTRY["Squeeze"], (y_true,), {"squeeze_dims": [-1]}), y_pred
    if pred_rank == true_rank + 1 and y_pred.shape[-1] == 1:
        return y_true, apply_op(REGISTRY["Squeeze"], (y_pred,), {"squeeze_dims": [-1]})
    return y_true, y_pred


def broadcast_weights(losses: Any, weights: Any) -> Any:
    """Weights with as many axes as the losses: a last axis of size 1 too many goes, missing ones come at the end."""
    losses_rank, rank = losses.shape.rank, weights.shape.rank
    if rank is None or losses_rank is None or not rank:
        return weights
    if rank == losses_rank + 1 and weights.shape[-1] in (1, None):
        return apply_op(REGISTRY["Squeeze"], (weights,), {"squeeze_dims": [-1]})
    while rank < losses_rank:
        weights = apply_op(REGISTRY["ExpandDims"], (weights, -1))
        rank += 1
    return weights


def reduce_weighted(losses: Any, sample_weight: Any, reduction: Any) -> Any:
    """The losses, times their weights where there are any, reduced as `reduction` says."""
    if sample_weight is not None:
        weights = cast(convert_to_tensor(sample_weight), losses.dtype)
        weights = broadcast_weights(losses, weights)
        losses = losses * weights
    if reduction in (Reduction.NONE, None):
        return losses
    total = reduce_sum(losses)
    if reduction == Reduction.SUM:
        return total
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        return math.divide_no_nan(total, reduce_sum(weights * ones_like(losses)))
    if losses.shape.rank == 0:
        return total
    return math.divide_no_nan(total, cast(apply_op(REGISTRY["Size"], (losses,)), losses.dtype))


def with_mask(losses: Any, mask: Any, sample_weight: Any, reduction: Any) -> Any:
    """The weights that leave out what `mask` is False for; a mean is then one over the rest."""
    if mask is None:
        return sample_weight
    mask = cast(convert_to_tensor(mask), losses.dtype)
    if reduction in (Reduction.AUTO, Reduction.SUM_OVER_BATCH_SIZE, "mean"):
        total = cast(apply_op(REGISTRY["Size"], (mask,)), losses.dtype)
        mask = mask * math.divide_no_nan(total, reduce_sum(mask))
    if sample_weight is None:
        return mask
    weights = cast(convert_to_tensor(sample_weight), losses.dtype)
    if mask.shape.rank is not None and weights.shape.rank is not None:
        shorter, longer = (weights, mask) if weights.shape.rank < mask.shape.rank else (mask, weights)
        if not shorter.shape.rank:
            return shorter * longer
        return broadcast_weights(longer, shorter) * longer if shorter is not longer else mask * weights
    return mask * weights


def mask_of(tensor: Any) -> Any:
    """The mask that a layer gave the tensor; None where there is none."""
    return tensor.__dict__.get("_keras_mask") if isinstance(tensor, Tensor) else None


LOSSES = Family(
    "keras.losses", "loss function", {"bce": "binary_crossentropy", "cosine_proximity": "cosine_similarity"}
)
LOSSES.export()
get, serialize, deserialize = LOSSES.get, LOSSES.serialize, LOSSES.deserialize
