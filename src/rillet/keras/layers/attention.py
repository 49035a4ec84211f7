"""Attention: outputs as weighted means of values, with weights from queries and keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.keras.calling import choose, layer_scope
from rillet.keras.layers.einsum_dense import EinsumDense
from rillet.keras.layers.options import ConfiguredLayer
from rillet.ops.activations import softmax
from rillet.ops.cast import cast
from rillet.ops.compare import greater_equal, logical_and
from rillet.ops.contraction import einsum
from rillet.ops.dropout import dropout
from rillet.ops.elementwise import tanh
from rillet.ops.matmul import matmul
from rillet.ops.reduce import reduce_sum
from rillet.ops.sequences import range_
from rillet.ops.shape import expand_dims, reshape


class _DenseAttention(ConfiguredLayer):
    """Called on [query, value] or [query, value, key]: [batch, places, d] each; key is value where it is not given.

    Masks are [query's, value's]: what the value's leaves out gets no weight; the query's leaves out outputs.
    use_causal_mask: a place attends to no later one.
    """

    def __init__(self, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dropout = dropout
        self.supports_masking = True

    def _scores(self, query: Any, key: Any) -> Any:
        raise NotImplementedError

    def call(
        self, inputs: Any, mask: Any = None, training: Any = None, return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:  # fmt: skip
        if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3):
            raise ValueError(f"{type(self).__name__} layer accepts inputs list of length 2 or 3. Received: {inputs}")
        query, value = inputs[0], inputs[1]
        key = inputs[2] if len(inputs) > 2 else value
        query_mask, value_mask = (mask[0], mask[1]) if mask else (None, None)
        scores = self._scores(query, key)
        scores = with_mask(scores, None if value_mask is None else expand_dims(value_mask, -2), use_causal_mask)
        weights = softmax(scores)
        if self.dropout:
            weights = choose(training, lambda: dropout(weights, rate=self.dropout), lambda: weights)
        outputs = matmul(weights, value)
        if query_mask is not None:
            outputs = outputs * cast(expand_dims(query_mask, -1), outputs.dtype)
        return (outputs, weights) if return_attention_scores else outputs

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None if not mask else mask[0]

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        query, value = TensorShape(input_shape[0]).as_list(), TensorShape(input_shape[1]).as_list()
        return TensorShape([*query[:-1], value[-1]])


def with_mask(scores: Any, mask: Any, is_causal: bool) -> Any:
    """The scores, far below all others where the mask ([..., queries, keys]) is False, or the key is after the query."""
    if is_causal:
        sizes = apply_op(REGISTRY["Shape"], (scores,))
        rows, columns = range_(0, sizes[-2]), range_(0, sizes[-1])
        causal = greater_equal(expand_dims(rows, 1), expand_dims(columns, 0))
        causal = reshape(causal, [*[1] * (scores.shape.rank - 2), sizes[-2], sizes[-1]])
        mask = causal if mask is None else logical_and(cast(mask, "bool"), causal)
    if mask is None:
        return scores
    lowest = -65504.0 if scores.dtype.name == "float16" else -1e9
    return scores + lowest * (1.0 - cast(mask, scores.dtype))


@public("keras.layers.Attention")
class Attention(_DenseAttention):
    """Luong's attention: scores are the products of queries and keys, or with score_mode "concat" sum(tanh(query + key)).

    use_scale: the scores are multiplied by a weight. ValueError for another score_mode.
    """

    _config_names = ("use_scale", "score_mode", "dropout")

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dropout, **kwargs)
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                f"Invalid value for argument score_mode. Expected one of {{'dot', 'concat'}}. Received: score_mode={score_mode}"
            )
        self.use_scale = use_scale
        self.score_mode = score_mode

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight("scale", (), initializer="ones") if self.use_scale else None
        is_concat = self.score_mode == "concat"
        self.concat_score_weight = self.add_weight("concat_score_weight", (), initializer="ones") if is_concat else None
        self.built = True

    def _scores(self, query: Any, key: Any) -> Any:
        if self.score_mode == "dot":
            scores = matmul(query, key, transpose_b=True)
            return scores if self.scale is None else scores * self.scale.value()
        both = expand_dims(query, -2) + expand_dims(key, -3)
        both = both if self.scale is None else self.scale.value() * both
        return self.concat_score_weight.value() * reduce_sum(tanh(both), axis=-1)


@public("keras.layers.AdditiveAttention")
class AdditiveAttention(_DenseAttention):
    """Bahdanau's attention: scores are sum(scale * tanh(query + key)); scale is a weight [d] with use_scale, else 1."""

    _config_names = ("use_scale", "dropout")

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(dropout, **kwargs)
        self.use_scale = use_scale

    def build(self, input_shape: Any) -> None:
        size = TensorShape(input_shape[1]).as_list()[-1]
        self.scale = self.add_weight("scale", (size,), initializer="glorot_uniform") if self.use_scale else None
        self.built = True

    def _scores(self, query: Any, key: Any) -> Any:
        both = tanh(expand_dims(query, -2) + expand_dims(key, -3))
        return reduce_sum(both if self.scale is None else self.scale.value() * both, axis=-1)


_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@public("keras.layers.MultiHeadAttention")
class MultiHeadAttention(ConfiguredLayer):
    """layer(query, value, key=value): `num_heads` attentions side by side (Vaswani et al. 2017).

    key_dim, value_dim (key_dim when None): the size of each head. output_shape: the size(s) of the output (the query's
    when None). attention_axes: which axes are attended over (all but the batch and the last when None).
    attention_mask: bool [batch, queries, keys]. return_attention_scores: the weights too. use_causal_mask: a place
    attends to no later one.
    Weights: kernels [d, heads, size] and biases [heads, size] of query, key, value; [heads, size, d] and [d] of the output.
    """

    _config_names = (
        "num_heads", "key_dim", "value_dim", "dropout", "use_bias", "output_shape", "attention_axes",
        "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer",
        "kernel_constraint", "bias_constraint",
    )  # fmt: skip

    def __init__(
        self, num_heads: int, key_dim: int, value_dim: int | None = None, dropout: float = 0.0, use_bias: bool = True,
        output_shape: Any = None, attention_axes: Any = None, kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None, bias_regularizer: Any = None,
        activity_regularizer: Any = None, kernel_constraint: Any = None, bias_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        for name in ("softmax_robust_masking", "flash_attention", "seed"):
            kwargs.pop(name, None)
        built_for = {name: kwargs.pop(name, None) for name in ("query_shape", "key_shape", "value_shape")}
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.supports_masking = True
        self._built_for: dict[str, Any] = built_for
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim or key_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self.__dict__["_output_sizes"] = output_shape
        self.attention_axes = attention_axes if attention_axes is None or isinstance(attention_axes, (list, tuple)) else (
            attention_axes,)  # fmt: skip
        self._take(
            kernel_initializer=kernel_initializer, bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer, kernel_constraint=kernel_constraint, bias_constraint=bias_constraint,
        )  # fmt: skip

    @property
    def output_shape(self) -> Any:
        """As it was given: a size, several, or None."""
        return self.__dict__["_output_sizes"]

    def _output_axes(self, query: TensorShape) -> list[int]:
        given = self.output_shape
        if given is None:
            return [int(query.as_list()[-1])]
        return [int(size) for size in (given if isinstance(given, Sequence) else [given])]

    def _project(self, name: str, shape: Any, size: int) -> Any:
        """The projection [..., d] -> [..., heads, size], built."""
        rank = TensorShape(shape).rank
        free = _LETTERS[: rank - 1]
        inside, heads, out = _LETTERS[rank - 1], _LETTERS[rank], _LETTERS[rank + 1]
        equation = f"{free}{inside},{inside}{heads}{out}->{free}{heads}{out}"
        return self._dense(name, equation, [*[None] * (rank - 2), self.num_heads, size], heads + out, shape)

    def _dense(self, name: str, equation: str, sizes: list[Any], bias_axes: str, shape: Any) -> Any:
        layer = EinsumDense(
            equation, sizes, bias_axes=bias_axes if self.use_bias else None, name=name, dtype=self.dtype_policy,
            kernel_initializer=_fresh(self.kernel_initializer), bias_initializer=_fresh(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer, bias_regularizer=self.bias_regularizer,
            kernel_constraint=self.kernel_constraint, bias_constraint=self.bias_constraint,
        )  # fmt: skip
        with layer_scope(name):
            layer.build(shape)
        layer.built = True
        return layer

    def _build_for(self, inputs: Any) -> None:
        """The weights are made in `call`, where value and key are known."""

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return {**config, **self._built_for}

    def _make(self, query: TensorShape, value: TensorShape, key: TensorShape) -> None:
        shapes = {"query_shape": query, "key_shape": key, "value_shape": value}
        self._built_for = {name: shape.as_list() for name, shape in shapes.items()}
        self._query_dense = self._project("query", query, self.key_dim)
        self._key_dense = self._project("key", key, self.key_dim)
        self._value_dense = self._project("value", value, self.value_dim)
        rank = query.rank
        axes = self.attention_axes or tuple(range(1, rank - 1))
        self._equations(rank, [axis % rank for axis in axes])
        free, heads, inside = _LETTERS[: rank - 1], _LETTERS[rank - 1], _LETTERS[rank]
        sizes = self._output_axes(query)
        out = _LETTERS[rank + 1 : rank + 1 + len(sizes)]
        projected = TensorShape([*query.as_list()[:-1], self.num_heads, self.value_dim])
        self._output_dense = self._dense(
            "attention_output", f"{free}{heads}{inside},{heads}{inside}{out}->{free}{out}",
            [*[None] * (rank - 2), *sizes], out, projected,
        )  # fmt: skip
        self.built = True

    def _equations(self, rank: int, axes: list[int]) -> None:
        """The products of queries with keys, and of weights with values, over these axes."""
        heads, inside = _LETTERS[rank], _LETTERS[rank + 1]
        query = _LETTERS[: rank - 1]
        fresh = iter(_LETTERS[rank + 2 :])
        key = "".join(next(fresh) if axis in axes else letter for axis, letter in enumerate(query))
        batch = "".join(letter for axis, letter in enumerate(query) if axis not in axes)
        scores = batch + heads + "".join(query[axis] for axis in axes) + "".join(key[axis] for axis in axes)
        self._score_equation = f"{query}{heads}{inside},{key}{heads}{inside}->{scores}"
        self._combine_equation = f"{scores},{key}{heads}{inside}->{query}{heads}{inside}"
        self._softmax_axes = tuple(range(-len(axes), 0))
        self._batch_rank = len(batch)

    def call(
        self, query: Any, value: Any, key: Any = None, attention_mask: Any = None, return_attention_scores: bool = False,
        training: Any = None, use_causal_mask: bool = False, query_mask: Any = None, value_mask: Any = None,
        key_mask: Any = None,
    ) -> Any:  # fmt: skip
        value = convert_to_tensor(value)
        key = value if key is None else convert_to_tensor(key)
        if not self.built:
            self._make(query.shape, value.shape, key.shape)
        masks = (query_mask, value_mask, key_mask)
        mask = self._combined_mask([query, value, key], masks, attention_mask)
        queries, keys, values = self._query_dense(query), self._key_dense(key), self._value_dense(value)
        scores = einsum(self._score_equation, queries * (1.0 / math.sqrt(self.key_dim)), keys)
        if mask is not None:
            for _ in range(scores.shape.rank - mask.shape.rank):
                mask = expand_dims(mask, self._batch_rank)
        weights = self._softmax(with_mask(scores, mask, use_causal_mask))
        dropped = weights
        if self.dropout:
            dropped = choose(training, lambda: dropout(weights, rate=self.dropout), lambda: weights)
        outputs = self._output_dense(einsum(self._combine_equation, dropped, values))
        return (outputs, weights) if return_attention_scores else outputs

    def _softmax(self, scores: Any) -> Any:
        if len(self._softmax_axes) == 1:
            return softmax(scores)
        shape = apply_op(REGISTRY["Shape"], (scores,))
        rank, count = scores.shape.rank, len(self._softmax_axes)
        flat = reshape(scores, [*[shape[axis] for axis in range(rank - count)], -1])
        return reshape(softmax(flat), shape)

    def _combined_mask(self, tensors: list[Any], given: Sequence[Any], attention_mask: Any) -> Any:
        """[batch, queries, keys] from the masks of the tensors and the one that was given."""
        own = [
            one if one is not None else tensor.__dict__.get("_keras_mask")
            for one, tensor in zip(given, tensors, strict=True)
        ]
        parts = [] if attention_mask is None else [cast(attention_mask, "bool")]
        if own[0] is not None:
            parts.append(expand_dims(cast(own[0], "bool"), -1))
        parts += [expand_dims(cast(one, "bool"), -2) for one in own[1:] if one is not None]
        whole = None
        for part in parts:
            whole = part if whole is None else logical_and(whole, part)
        return whole

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return mask

    def compute_output_shape(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> TensorShape:
        sizes = TensorShape(query_shape).as_list()
        return TensorShape([*sizes[:-1], *self._output_axes(TensorShape(query_shape))])


def _fresh(initializer: Any) -> Any:
    """An equal initializer with its own random numbers."""
    return initializer.clone() if hasattr(initializer, "clone") else initializer
