"""Losses: cross entropies, the L2 loss, the Poisson loss."""

from __future__ import annotations

import contextlib
import math
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import V1, public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import TensorShape
from rillet.errors import ShapeError, format_shape
from rillet.ops.activations import log_softmax, relu, softmax
from rillet.ops.arguments import renamed
from rillet.ops.cast import cast
from rillet.ops.creation import ones_like_v1, zeros_like_v1
from rillet.ops.families import broadcast_shapes, scalar_shape
from rillet.ops.join import concat
from rillet.ops.precision import is_low, wide
from rillet.ops.reduce import reduce_sum
from rillet.ops.scope import scope
from rillet.ops.shape import expand_dims, rank, reshape, shape_of, squeeze

_FLOAT = "{float16, bfloat16, float32, float64}"

# ---- softmax cross entropy: kernels and inference -------------------------------------------------------------------


def _log_sums(features: Any) -> tuple[Any, Any, Any]:
    """For logits [batch, classes]: shifted logits, their exponentials, and the sums of those, [batch, 1]."""
    shifted = features - features.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return shifted, exponentials, exponentials.sum(axis=1, keepdims=True)


def _cross_entropy_kernel(features: Any, labels: Any) -> tuple[Any, Any]:
    features, labels = np.broadcast_arrays(wide(features), wide(labels))
    if features.ndim != 2:
        raise ValueError("logits and labels must be either 2-dimensional, or broadcasted to be 2-dimensional")
    if features.shape[1] == 0:
        return np.zeros(features.shape[0], features.dtype), np.zeros(features.shape, features.dtype)
    shifted, exponentials, sums = _log_sums(features)
    loss = (labels * (np.log(sums) - shifted)).sum(axis=1)
    exponentials /= sums
    exponentials -= labels
    return loss, exponentials


def _cross_entropy_shape(op: Operation) -> list[TensorShape]:
    features, labels = op.inputs[0].shape, op.inputs[1].shape
    try:
        merged = broadcast_shapes(op)
    except ShapeError as error:
        sizes = f"logits_size={format_shape(features.dimensions)} labels_size={format_shape(labels.dimensions)}"
        raise ShapeError(
            error.static_text,
            f"logits and labels must be broadcastable: {sizes}",
            error.marks,
            "labels with one number for each class; class numbers go to tf.nn.sparse_softmax_cross_entropy_with_logits",
        ) from None
    if merged.rank not in (None, 2):
        shapes = f"{format_shape(features.dimensions)}, {format_shape(labels.dimensions)}"
        raise ShapeError(
            f"Shape must be rank 2 but is rank {merged.rank} for '{op.type}' with input shapes: {shapes}.",
            "logits and labels must be either 2-dimensional, or broadcasted to be 2-dimensional",
        )
    merged = merged.with_rank(2)
    return [merged[:1], merged]


def _label_text(labels: Any) -> str:
    return " ".join(map(str, labels.ravel().tolist()))


def _sparse_cross_entropy_kernel(features: Any, labels: Any) -> tuple[Any, Any]:
    if features.ndim != 2 or labels.ndim != 1 or features.shape[0] != labels.shape[0] or features.shape[1] == 0:
        raise ValueError(f"logits of shape {list(features.shape)} don't fit labels of shape {list(labels.shape)}")
    classes = features.shape[1]
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        raise ValueError(
            f"Received a label value of {labels[outside][0]} which is outside the valid range of [0, {classes}).  "
            f"Label values: {_label_text(labels)}"
        )
    shifted, exponentials, sums = _log_sums(wide(features))
    rows = np.arange(len(labels))
    loss = np.log(sums[:, 0]) - shifted[rows, labels]
    exponentials /= sums
    exponentials[rows, labels] -= 1
    return loss, exponentials


def _sparse_cross_entropy_shape(op: Operation) -> list[TensorShape]:
    features, labels = op.inputs[0].shape, op.inputs[1].shape
    texts = f"logits shape {format_shape(features.dimensions)} and labels shape {format_shape(labels.dimensions)}"
    for index, shape, wanted in ((0, features, 2), (1, labels, 1)):
        if shape.rank not in (None, wanted):
            name = ("logits", "labels")[index]
            dimension = ("logits must be 2-D", "labels must be 1-D")[index]
            raise ShapeError(
                f"Shape must be rank {wanted} but is rank {shape.rank} for '{op.type}' with {name}: {texts}.",
                f"{dimension}, but got shape {format_shape(shape.dimensions)}",
                {index: range(shape.rank or 0)},
            )
    features, labels = features.with_rank(2), labels.with_rank(1)
    rows, count = features.dimensions[0], labels.dimensions[0]  # type: ignore[index]
    if rows is not None and count is not None and rows != count:
        raise ShapeError(
            f"Dimensions must be equal, but are {rows} and {count} for '{op.type}' with {texts}.",
            f"logits and labels must have the same first dimension, got {texts}",
            {0: [0], 1: [0]},
            "one class number for each row of logits",
        )
    if features.dimensions[1] == 0:  # type: ignore[index]
        raise ShapeError(f"Must have at least one class, but got logits shape {format_shape(features.dimensions)}")
    size = count if rows is None else rows
    return [TensorShape([size]), TensorShape([size, features.dimensions[1]])]  # type: ignore[index]


# ---- softmax cross entropy: gradients -------------------------------------------------------------------------------


def _is_zero(gradient: Any) -> bool:
    """Whether nobody reads the output with this gradient, so that it needs no second derivative."""
    return gradient is None or (hasattr(gradient, "op") and gradient.op.type == "ZerosLike")


def _logits_gradient(op: Operation, dloss: Any, dbackprop: Any) -> Any:
    """The gradient of the logits: the op's second output, times `dloss`; and that output's own derivative."""
    gradient = None if dloss is None else expand_dims(dloss, -1) * op.outputs[1]
    if _is_zero(dbackprop):
        return gradient
    probabilities = softmax(op.inputs[0])
    rows = apply_op(
        REGISTRY["BatchMatMulV2"], (expand_dims(dbackprop, 1), expand_dims(probabilities, 2)), name="MatMul"
    )
    bend = (dbackprop - squeeze(rows, [1])) * probabilities
    return bend if gradient is None else gradient + bend


def _labels_gradient(op: Operation, dloss: Any, dbackprop: Any) -> Any:
    gradient = None
    if dloss is not None:
        surprise = -log_softmax(op.inputs[0])
        gradient = expand_dims(dloss, -1) * surprise
    if _is_zero(dbackprop):
        return gradient
    return -dbackprop if gradient is None else gradient - dbackprop


def _cross_entropy_gradient(op: Operation, dloss: Any, dbackprop: Any) -> list[Any]:
    return [_logits_gradient(op, dloss, dbackprop), _labels_gradient(op, dloss, dbackprop)]


def _sparse_cross_entropy_gradient(op: Operation, dloss: Any, dbackprop: Any) -> list[Any]:
    return [_logits_gradient(op, dloss, dbackprop), None]


_cross_entropy_gradient.takes_none_eagerly = True  # type: ignore[attr-defined]
_sparse_cross_entropy_gradient.takes_none_eagerly = True  # type: ignore[attr-defined]

CROSS_ENTROPY = define(
    "SoftmaxCrossEntropyWithLogits", "features: T, labels: T -> loss: T, backprop: T", f"T: {_FLOAT}",
    reference=_cross_entropy_kernel, shape=_cross_entropy_shape, gradient=_cross_entropy_gradient,
)  # fmt: skip
SPARSE_CROSS_ENTROPY = define(
    "SparseSoftmaxCrossEntropyWithLogits", "features: T, labels: Tlabels -> loss: T, backprop: T",
    f"T: {_FLOAT}, Tlabels: index = int64",
    reference=_sparse_cross_entropy_kernel, shape=_sparse_cross_entropy_shape, gradient=_sparse_cross_entropy_gradient,
)  # fmt: skip

# ---- softmax cross entropy: public functions ------------------------------------------------------------------------


def _named_only(function: str, sentinel: Any, labels: Any, logits: Any) -> None:
    """TensorFlow 1 takes labels and logits by name only: their order was changed once."""
    if sentinel is not None:
        raise ValueError(f"Only call `{function}` with named arguments (labels=..., logits=..., ...)")
    if labels is None or logits is None:
        raise ValueError(f"Both `labels` and `logits` must be provided for {function}. Received: labels={labels} and "
                         f"logits={logits}")  # fmt: skip


@public(v2=["nn.softmax_cross_entropy_with_logits"])
def softmax_cross_entropy_with_logits(labels: Any, logits: Any, axis: int = -1, name: str | None = None) -> Any:
    """The cross entropy between `labels` and softmax(logits) along `axis`.

    labels: a distribution over the classes for each example, of the shape and dtype of `logits`.
    logits: unscaled log probabilities, floating point, such as [batch, classes].
    Returns the losses: the shape of `logits` without `axis`. Gradients flow to both.
    Raises InvalidArgumentError (ValueError while building a graph) when the shapes don't fit.
    """
    with scope(name or "softmax_cross_entropy_with_logits", logits, labels) as full_name:
        return _cross_entropy(labels, logits, axis, full_name)


@public(v1=["nn.softmax_cross_entropy_with_logits_v2"])
def softmax_cross_entropy_with_logits_v2(
    labels: Any, logits: Any, axis: int | None = None, name: str | None = None, dim: int | None = None
) -> Any:
    """As TensorFlow 2's tf.nn.softmax_cross_entropy_with_logits; `dim` is the old name of `axis`."""
    axis = renamed("axis", axis, "dim", dim)
    return softmax_cross_entropy_with_logits(labels, logits, -1 if axis is None else axis, name)


@public(v1=["nn.softmax_cross_entropy_with_logits"])
def softmax_cross_entropy_with_logits_v1(
    _sentinel: Any = None,
    labels: Any = None,
    logits: Any = None,
    dim: int = -1,
    name: str | None = None,
    axis: int | None = None,
) -> Any:
    """The cross entropy of tf.nn.softmax_cross_entropy_with_logits_v2; no gradient flows to `labels`.

    `labels` and `logits` are given by name. Raises ValueError when they are not.
    """
    _named_only("softmax_cross_entropy_with_logits", _sentinel, labels, logits)
    with scope(name or "softmax_cross_entropy_with_logits_sg", logits, labels) as full_name:
        labels = apply_op(REGISTRY["StopGradient"], (labels,), name="labels_stop_gradient")
        return _cross_entropy(labels, logits, dim if axis is None else axis, full_name)


def _cross_entropy(labels: Any, logits: Any, axis: int, full_name: str | None) -> Any:
    logits = convert_to_tensor(logits, name="logits")
    labels = convert_to_tensor(labels, name="labels")
    dtype = logits.dtype
    if is_low(dtype.numpy_dtype):
        logits = cast(logits, "float32")
    labels = cast(labels, logits.dtype)
    if full_name is None:
        losses = _cross_entropy_now(labels, logits, axis)
    else:
        losses = _cross_entropy_in_graph(labels, logits, axis, full_name)
    return cast(losses, dtype)


def _cross_entropy_now(labels: Any, logits: Any, axis: int) -> Any:
    dimensions = logits.shape.rank
    if dimensions == 0:
        raise ValueError("`logits` cannot be a scalar: there must be an axis of classes")
    last = dimensions - 1
    if axis not in (-1, last):
        order = [*range(axis % dimensions), *range(axis % dimensions + 1, dimensions), axis % dimensions]
        logits = apply_op(REGISTRY["Transpose"], (logits, order))
        labels = apply_op(REGISTRY["Transpose"], (labels, order))
    if dimensions == 2:
        return apply_op(CROSS_ENTROPY, (logits, labels)).loss
    sizes = logits.shape.dimensions
    logits = reshape(logits, [math.prod(sizes[:-1]), sizes[-1]])
    labels = reshape(labels, [-1, labels.shape.dimensions[-1]] if labels.shape.dimensions[-1] else [0, 0])
    return reshape(apply_op(CROSS_ENTROPY, (logits, labels)).loss, list(sizes[:-1]))


def _cross_entropy_in_graph(labels: Any, logits: Any, axis: int, full_name: str) -> Any:
    """The same in a graph: with TensorFlow's nodes, whose number random seeds depend on."""
    original = logits.shape
    dimensions = rank(logits)
    if axis != -1:
        logits = _with_axis_last(logits, axis, dimensions)
        labels = _with_axis_last(labels, axis, dimensions)
    extents = shape_of(logits)
    losses = apply_op(CROSS_ENTROPY, (_as_matrix(logits), _as_matrix(labels)), name=full_name).loss
    losses = reshape(losses, apply_op(REGISTRY["Slice"], (extents, [0], [_less_one(dimensions)])))
    if original.dimensions is not None:
        kept = list(original.dimensions)
        del kept[axis]
        losses.set_shape(kept)
    return losses


def _less_one(dimensions: Any) -> Any:
    return apply_op(REGISTRY["Sub"], (dimensions, 1))


def _with_axis_last(value: Any, axis: int, dimensions: Any) -> Any:
    before = apply_op(REGISTRY["Range"], (0, axis, 1), name="range")
    behind = apply_op(REGISTRY["Range"], (axis + 1, dimensions, 1), name="range")
    return apply_op(REGISTRY["Transpose"], (value, concat([before, behind, [axis]], 0)), name="transpose")


def _as_matrix(value: Any) -> Any:
    """`value` with all axes but the last made one."""
    dimensions = rank(value)
    last = apply_op(REGISTRY["Slice"], (shape_of(value), [_less_one(dimensions)], [1]))
    matrix = reshape(value, concat([[-1], last], 0))
    if value.shape.dimensions:
        *outer, classes = value.shape.dimensions
        matrix.set_shape([None if None in outer else math.prod(outer), classes])
    return matrix


@public(v2=["nn.sparse_softmax_cross_entropy_with_logits"])
def sparse_softmax_cross_entropy_with_logits(labels: Any, logits: Any, name: str | None = None) -> Any:
    """The cross entropy between the classes `labels` and softmax(logits).

    labels: the number of each example's class, int32 or int64, shape [...].
    logits: unscaled log probabilities, floating point, shape [..., classes].
    Returns the losses, of the shape of `labels`. Raises ValueError when the shapes don't fit, InvalidArgumentError for
    a label that is no class.
    """
    with scope(name or "SparseSoftmaxCrossEntropyWithLogits", labels, logits) as full_name:
        labels = convert_to_tensor(labels)
        logits = convert_to_tensor(logits)
        dtype = logits.dtype
        if is_low(dtype.numpy_dtype):
            logits = cast(logits, "float32")
        if full_name is None:
            return cast(_sparse_cross_entropy_now(labels, logits), dtype)
        return cast(_sparse_cross_entropy_in_graph(labels, logits, name), dtype)


@public(v1=["nn.sparse_softmax_cross_entropy_with_logits"])
def sparse_softmax_cross_entropy_with_logits_v1(
    _sentinel: Any = None, labels: Any = None, logits: Any = None, name: str | None = None
) -> Any:
    """As tf.nn.sparse_softmax_cross_entropy_with_logits, for TensorFlow 1: `labels` and `logits` are given by name."""
    _named_only("sparse_softmax_cross_entropy_with_logits", _sentinel, labels, logits)
    return sparse_softmax_cross_entropy_with_logits(labels, logits, name)


def _check_sparse_shapes(labels: Any, logits: Any) -> None:
    """ValueError where the static shapes don't fit."""
    given, wanted = labels.shape, logits.shape
    if wanted.rank == 0:
        raise ValueError(f"`logits` cannot be a scalar. Received logits={logits}`")
    if given.rank is None or wanted.rank is None:
        return
    if given.rank != wanted.rank - 1:
        raise ValueError(
            f"`labels.shape.rank` must equal `logits.shape.rank - 1`. Received: labels.shape={given} of rank {given.rank} "
            f"and logits.shape={wanted} of rank {wanted.rank}\n    Try: class numbers as labels, without the axis of "
            "classes; one-hot labels go to tf.nn.softmax_cross_entropy_with_logits"
        )
    if not given.is_compatible_with(wanted[:-1]):
        raise ValueError(
            "`labels.shape` must equal `logits.shape` except for the last dimension. Received: "
            f"labels.shape={given} and logits.shape={wanted}"
        )


def _sparse_cross_entropy_now(labels: Any, logits: Any) -> Any:
    _check_sparse_shapes(labels, logits)
    if logits.shape.rank == 2:
        return apply_op(SPARSE_CROSS_ENTROPY, (logits, labels)).loss
    sizes = labels.shape.dimensions
    rows = reshape(logits, [math.prod(sizes), logits.shape.dimensions[-1]])
    return reshape(apply_op(SPARSE_CROSS_ENTROPY, (rows, reshape(labels, [-1]))).loss, list(sizes))


def _shapes_checked(labels: Any, logits: Any) -> AbstractContextManager[Any]:
    """A block that runs after a check of what the static shapes leave open."""
    outer = logits.shape[:-1] if logits.shape.rank else logits.shape
    if labels.shape.is_fully_defined() and outer.is_fully_defined():
        return contextlib.nullcontext()
    check = V1["assert_equal"](shape_of(labels), shape_of(logits)[:-1])
    block: AbstractContextManager[Any] = labels.graph.control_dependencies([check])
    return block


def _sparse_cross_entropy_in_graph(labels: Any, logits: Any, name: str | None) -> Any:
    extents = shape_of(labels)
    _check_sparse_shapes(labels, logits)
    if logits.shape.rank == 2:
        return apply_op(SPARSE_CROSS_ENTROPY, (logits, labels), name=name).loss
    with _shapes_checked(labels, logits):
        classes = shape_of(logits)[rank(logits) - 1]
        rows = reshape(logits, [-1, classes])
        numbers = reshape(labels, [-1])
        losses = apply_op(SPARSE_CROSS_ENTROPY, (rows, numbers), name=name).loss
        losses = reshape(losses, extents)
        losses.set_shape(labels.shape)
        return losses


# ---- losses made of other ops ---------------------------------------------------------------------------------------


def _same_shape(first_name: str, first: Any, second_name: str, second: Any) -> None:
    if not first.shape.is_compatible_with(second.shape):
        raise ValueError(
            f"`{first_name}` and `{second_name}` must have the same shape, received ({first.shape} vs {second.shape})."
        )


@public(v2=["nn.sigmoid_cross_entropy_with_logits"])
def sigmoid_cross_entropy_with_logits(labels: Any = None, logits: Any = None, name: str | None = None) -> Any:
    """The cross entropy of independent yes-or-no questions: labels and sigmoid(logits), element by element.

    labels, logits: floating point, one shape. Raises ValueError when the shapes differ.
    """
    if labels is None or logits is None:
        _named_only("sigmoid_cross_entropy_with_logits", None, labels, logits)
    with scope(name or "logistic_loss", logits, labels) as full_name:
        logits = convert_to_tensor(logits, name="logits")
        labels = convert_to_tensor(labels, logits.dtype, name="labels")
        _same_shape("logits", logits, "labels", labels)
        # relu(x) - x * z + log(1 + exp(-abs(x))), with the right derivative at 0 too
        zeros = zeros_like_v1(logits)
        is_positive = apply_op(REGISTRY["GreaterEqual"], (logits, zeros))
        positive_part = apply_op(REGISTRY["Select"], (is_positive, logits, zeros))
        negative_size = apply_op(REGISTRY["Select"], (is_positive, -logits, logits))
        linear = positive_part - logits * labels
        rest = apply_op(REGISTRY["Log1p"], (apply_op(REGISTRY["Exp"], (negative_size,)),))
        return apply_op(REGISTRY["AddV2"], (linear, rest), name=full_name)


@public(v1=["nn.sigmoid_cross_entropy_with_logits"])
def sigmoid_cross_entropy_with_logits_v1(
    _sentinel: Any = None, labels: Any = None, logits: Any = None, name: str | None = None
) -> Any:
    """As tf.nn.sigmoid_cross_entropy_with_logits, for TensorFlow 1: `labels` and `logits` are given by name."""
    _named_only("sigmoid_cross_entropy_with_logits", _sentinel, labels, logits)
    return sigmoid_cross_entropy_with_logits(labels, logits, name)


@public(v2=["nn.weighted_cross_entropy_with_logits"])
def weighted_cross_entropy_with_logits(labels: Any, logits: Any, pos_weight: Any, name: str | None = None) -> Any:
    """tf.nn.sigmoid_cross_entropy_with_logits with the loss of positive labels times `pos_weight`."""
    with scope(name or "logistic_loss", logits, labels) as full_name:
        logits = convert_to_tensor(logits, name="logits")
        labels = convert_to_tensor(labels, logits.dtype, name="labels")
        _same_shape("logits", logits, "labels", labels)
        weight = 1 + (pos_weight - 1) * labels
        linear = (1 - labels) * logits
        decay = apply_op(REGISTRY["Exp"], (-apply_op(REGISTRY["Abs"], (logits,)),))
        rest = apply_op(REGISTRY["Log1p"], (decay,)) + relu(-logits)
        return apply_op(REGISTRY["AddV2"], (linear, weight * rest), name=full_name)


@public(v1=["nn.weighted_cross_entropy_with_logits"])
def weighted_cross_entropy_with_logits_v1(
    labels: Any = None, logits: Any = None, pos_weight: Any = None, name: str | None = None, targets: Any = None
) -> Any:
    """As tf.nn.weighted_cross_entropy_with_logits; `targets` is the old name of `labels`."""
    return weighted_cross_entropy_with_logits(renamed("labels", labels, "targets", targets), logits, pos_weight, name)


@public("nn.log_poisson_loss")
def log_poisson_loss(targets: Any, log_input: Any, compute_full_loss: bool = False, name: str | None = None) -> Any:
    """The negative log likelihood of `targets` under a Poisson distribution with mean exp(log_input).

    Terms that don't depend on `log_input` are left out, unless `compute_full_loss` (they are approximated by
    Stirling's formula). Raises ValueError when the shapes differ.
    """
    with scope(name or "log_poisson_loss", log_input, targets):
        log_input = convert_to_tensor(log_input, name="log_input")
        targets = convert_to_tensor(targets, log_input.dtype, name="targets")
        _same_shape("log_input", log_input, "targets", targets)
        loss = apply_op(REGISTRY["Exp"], (log_input,)) - log_input * targets
        return loss + _stirling(targets) if compute_full_loss else loss


def _stirling(targets: Any) -> Any:
    """log(targets!), about; 0 where targets is between 0 and 1."""
    dtype = targets.dtype.base_dtype
    half = convert_to_tensor(0.5, dtype, name="Const")
    turn = convert_to_tensor(2 * math.pi, dtype, name="Const")
    main = targets * apply_op(REGISTRY["Log"], (targets,)) - targets
    formula = main + half * apply_op(REGISTRY["Log"], (turn * targets,))
    zeros, ones = zeros_like_v1(targets), ones_like_v1(targets)
    at_least_0 = apply_op(REGISTRY["GreaterEqual"], (targets, zeros))
    at_most_1 = apply_op(REGISTRY["LessEqual"], (targets, ones))
    is_small = apply_op(REGISTRY["LogicalAnd"], (at_least_0, at_most_1))
    return apply_op(REGISTRY["Select"], (is_small, zeros, formula))


def _l2_kernel(t: Any) -> Any:
    flat = wide(np.ravel(t))
    return np.dot(flat, flat) / 2


L2_LOSS = define(
    "L2Loss", "t: T -> output: T", f"T: {_FLOAT}",
    reference=_l2_kernel, shape=scalar_shape, gradient=lambda op, dy: op.inputs[0] * dy,
)  # fmt: skip


@public("nn.l2_loss")
def l2_loss(t: Any, name: str | None = None) -> Any:
    """Half the sum of the squares of all elements of `t`, a scalar."""
    return apply_op(L2_LOSS, (t,), name=name)


@public("nn.compute_average_loss")
def compute_average_loss(per_example_loss: Any, sample_weight: Any = None, global_batch_size: Any = None) -> Any:
    """The sum of the losses, times `sample_weight`, divided by the size of the global batch.

    per_example_loss: floating point, at least rank 1. sample_weight: a number for each example, which broadcasts.
    global_batch_size: an integer; by default the number of losses (of this replica, the only one).
    Raises ValueError for a scalar loss or a batch size below 0, TypeError where it is no integer.
    """
    losses = convert_to_tensor(per_example_loss)
    dtype = losses.dtype
    if losses.shape.rank == 0:
        raise ValueError("Invalid value for `per_example_loss`. Expected a tensor with at least rank 1.")
    if sample_weight is not None:
        losses = _weighted(cast(losses, "float32") if is_low(dtype.numpy_dtype) else losses, sample_weight)
    if global_batch_size is None:
        global_batch_size = shape_of(losses)[0]
    elif isinstance(global_batch_size, (bool, float)):
        raise TypeError(f"`global_batch_size` must be an int, but is {global_batch_size!r}")
    elif isinstance(global_batch_size, int) and global_batch_size < 0:
        raise ValueError(f"`global_batch_size` must be non-negative, but is {global_batch_size}")
    total = reduce_sum(losses)
    size = cast(global_batch_size, losses.dtype)
    return cast(apply_op(REGISTRY["DivNoNan"], (total, size), name="div_no_nan"), dtype)


def _weighted(losses: Any, weights: Any) -> Any:
    """Losses times weights, which may lack (or have one more of) the last axis."""
    weights = cast(weights, losses.dtype)
    more = (weights.shape.rank or 0) - (losses.shape.rank or 0)
    if more == 1:
        weights = squeeze(weights, [-1])
    elif more == -1 and weights.shape.rank:
        weights = expand_dims(weights, -1)
    return losses * weights


@public("nn.scale_regularization_loss")
def scale_regularization_loss(regularization_loss: Any) -> Any:
    """The sum of a regularisation loss, divided by the number of replicas (one)."""
    return apply_op(REGISTRY["RealDiv"], (reduce_sum(regularization_loss), 1.0), name="truediv")
