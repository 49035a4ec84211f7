"""Losses over very many classes, of which a few are sampled: noise-contrastive estimation, sampled softmax."""

from __future__ import annotations

from typing import Any

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.ops.candidates import compute_accidental_hits, log_uniform_candidate_sampler
from rillet.ops.cast import cast
from rillet.ops.creation import ones, ones_like_v1, zeros_like_v1
from rillet.ops.embedding import embedding_lookup_v1
from rillet.ops.join import concat, stack
from rillet.ops.loss import sigmoid_cross_entropy_with_logits, softmax_cross_entropy_with_logits
from rillet.ops.matmul import matmul
from rillet.ops.scope import scope
from rillet.ops.shape import expand_dims, reshape, shape_of


def _sum_rows(x: Any) -> Any:
    """The sums of the rows of a matrix, as a product: a vector."""
    columns = shape_of(x)[1]
    return reshape(matmul(x, ones(stack([columns, 1]), x.dtype)), [-1])


def _logits(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int,
    sampled_values: Any,
    remove_accidental_hits: bool,
    strategy: str,
    seed: int | None,
    name: str,
) -> tuple[Any, Any]:
    """Logits of the true and the sampled classes, [batch, num_true + num_sampled], and their labels.

    From each logit the logarithm of how often its class was to be expected is subtracted.
    """
    tables = list(weights) if isinstance(weights, (list, tuple)) else weights
    with scope(name, *(tables if isinstance(tables, list) else [tables]), biases, inputs, labels):
        labels = convert_to_tensor(labels)
        if labels.dtype is not dtypes.int64:
            labels = cast(labels, dtypes.int64)
        flat = reshape(labels, [-1])
        if sampled_values is None:
            sampled_values = log_uniform_candidate_sampler(labels, num_true, num_sampled, True, num_classes, seed)
        sampled, true_count, sampled_count = (apply_op(REGISTRY["StopGradient"], (part,)) for part in sampled_values)
        sampled = cast(sampled, dtypes.int64)
        every_id = concat([flat, sampled], 0)
        every_row = embedding_lookup_v1(tables, every_id, strategy)
        every_row = cast(every_row, inputs.dtype)
        begin = stack([shape_of(flat)[0], -1])
        true_rows = apply_op(REGISTRY["Slice"], (every_row, [0, 0], begin))
        sampled_rows = apply_op(REGISTRY["Slice"], (every_row, stack([shape_of(flat)[0], 0]), [-1, -1]))
        sampled_logits = matmul(inputs, sampled_rows, transpose_b=True)
        every_bias = cast(embedding_lookup_v1(biases, every_id, strategy), inputs.dtype)
        true_biases = apply_op(REGISTRY["Slice"], (every_bias, [0], shape_of(flat)))
        sampled_biases = apply_op(REGISTRY["Slice"], (every_bias, shape_of(flat), [-1]))
        true_logits = _true_logits(true_rows, inputs, num_true) + reshape(true_biases, [-1, num_true])
        sampled_logits = sampled_logits + sampled_biases
        if remove_accidental_hits:
            sampled_logits = sampled_logits + _without_hits(
                labels, sampled, num_true, num_sampled, sampled_logits.dtype
            )
        true_logits = true_logits - apply_op(REGISTRY["Log"], (true_count,))
        sampled_logits = sampled_logits - apply_op(REGISTRY["Log"], (sampled_count,))
        joined = concat([true_logits, sampled_logits], 1)
        shares = apply_op(REGISTRY["RealDiv"], (ones_like_v1(true_logits), float(num_true)), name="truediv")
        return joined, concat([shares, zeros_like_v1(sampled_logits)], 1)


def _true_logits(rows: Any, inputs: Any, num_true: int) -> Any:
    """The product of each input with the rows of its own true classes: [batch, num_true]."""
    size = shape_of(rows)[1:2]
    by_example = concat([[-1, num_true], size], 0)
    products = apply_op(REGISTRY["Mul"], (expand_dims(inputs, 1), reshape(rows, by_example)))
    return reshape(_sum_rows(reshape(products, concat([[-1], size], 0))), [-1, num_true])


def _without_hits(labels: Any, sampled: Any, num_true: int, num_sampled: int, dtype: Any) -> Any:
    """What takes sampled classes out that are true ones: the lowest number where they are, zero elsewhere."""
    examples, places, weights = compute_accidental_hits(labels, sampled, num_true)
    examples = reshape(examples, [-1, 1])
    places = reshape(cast(places, dtypes.int32), [-1, 1])
    indices = concat([examples, places], 1, "sparse_indices")
    shape = concat([shape_of(labels)[:1], expand_dims(num_sampled, 0)], 0)
    weights = cast(weights, dtype)
    return apply_op(REGISTRY["SparseToDense"], (indices, shape, weights, 0.0), {"validate_indices": False})


@public(v2=["nn.nce_loss"])
def nce_loss(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = False,
    name: str = "nce_loss",
) -> Any:
    """Noise-contrastive estimation: true classes against sampled ones, each a yes-or-no question.

    weights: [num_classes, dim], or a list of parts; biases: [num_classes]; inputs: [batch, dim].
    labels: int64, [batch, num_true]. sampled_values: what a candidate sampler returned (by default a log uniform one,
    for classes sorted by falling frequency).
    Returns the losses, [batch].
    """
    return _nce(
        weights, biases, labels, inputs, num_sampled, num_classes, num_true, sampled_values, remove_accidental_hits,
        "div", name,
    )  # fmt: skip


@public(v1=["nn.nce_loss"])
def nce_loss_v1(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = False,
    partition_strategy: str = "mod",
    name: str = "nce_loss",
) -> Any:
    """As tf.nn.nce_loss; `partition_strategy` says how a list of weights holds the classes."""
    return _nce(
        weights, biases, labels, inputs, num_sampled, num_classes, num_true, sampled_values, remove_accidental_hits,
        partition_strategy, name,
    )  # fmt: skip


def _nce(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int,
    sampled_values: Any,
    remove_accidental_hits: bool,
    strategy: str,
    name: str,
) -> Any:
    logits, shares = _logits(
        weights, biases, labels, convert_to_tensor(inputs), num_sampled, num_classes, num_true, sampled_values,
        remove_accidental_hits, strategy, None, name,
    )  # fmt: skip
    return _sum_rows(sigmoid_cross_entropy_with_logits(shares, logits, name="sampled_losses"))


@public(v2=["nn.sampled_softmax_loss"])
def sampled_softmax_loss(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = True,
    seed: int | None = None,
    name: str = "sampled_softmax_loss",
) -> Any:
    """The softmax cross entropy over the true classes and a few sampled ones: for training, where classes are many.

    Arguments are those of tf.nn.nce_loss. Returns the losses, [batch].
    """
    return _sampled_softmax(
        weights, biases, labels, inputs, num_sampled, num_classes, num_true, sampled_values, remove_accidental_hits,
        "div", seed, name,
    )  # fmt: skip


@public(v1=["nn.sampled_softmax_loss"])
def sampled_softmax_loss_v1(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = True,
    partition_strategy: str = "mod",
    name: str = "sampled_softmax_loss",
    seed: int | None = None,
) -> Any:
    """As tf.nn.sampled_softmax_loss; `partition_strategy` says how a list of weights holds the classes."""
    return _sampled_softmax(
        weights, biases, labels, inputs, num_sampled, num_classes, num_true, sampled_values, remove_accidental_hits,
        partition_strategy, seed, name,
    )  # fmt: skip


def _sampled_softmax(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int,
    sampled_values: Any,
    remove_accidental_hits: bool,
    strategy: str,
    seed: int | None,
    name: str,
) -> Any:
    logits, shares = _logits(
        weights, biases, labels, convert_to_tensor(inputs), num_sampled, num_classes, num_true, sampled_values,
        remove_accidental_hits, strategy, seed, name,
    )  # fmt: skip
    shares = apply_op(REGISTRY["StopGradient"], (shares,), name="labels_stop_gradient")
    return softmax_cross_entropy_with_logits(shares, logits)
