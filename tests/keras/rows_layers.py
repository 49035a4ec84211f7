"""One row a layer: how it is made, and what it is called on. `make` is given tf.keras, whoever's it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """shapes: of the inputs; with_integers: they are whole numbers below that. together: the inputs are one list.
    options: further arguments of the call. mask: a mask for it.
    is_random: training gives random results. takes_part: it changes images while training alone, by no random amount.
    """

    name: str
    make: Callable[[Any], Any]
    shapes: Sequence[tuple[int, ...]]
    with_integers: int = 0
    is_random: bool = False
    mask: Any = None
    together: bool = False
    has_config: bool = True
    has_gradient: bool = True
    takes_part: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def values(self, dtype: str = "float32") -> list[Any]:
        random = np.random.RandomState(7)
        if self.with_integers:
            return [random.randint(0, self.with_integers, shape).astype("int32") for shape in self.shapes]
        return [random.standard_normal(shape).astype(dtype) for shape in self.shapes]


def call(layer: Any, row: Row, inputs: Sequence[Any], **options: Any) -> list[Any]:
    """The layer's outputs in a list."""
    given = [list(inputs)] if row.together else list(inputs)
    if row.mask is not None:
        options["mask"] = row.mask
    outputs = layer(*given, **row.options, **options)
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def set_weights(layer: Any) -> None:
    """Values that depend on nothing but the shapes."""
    random = np.random.RandomState(3)
    layer.set_weights(
        [random.uniform(0.1, 0.9, weight.shape) * (1 if weight.ndim < 2 else 0.5) for weight in layer.get_weights()]
    )


STEPS = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [1, 1, 1, 1, 1]], bool)
IMAGE = (2, 7, 6, 4)
SEQUENCE = (3, 5, 4)

ROWS = [
    Row("Dense", lambda k: k.layers.Dense(3, activation="tanh"), [(2, 4)]),
    Row("Dense without bias", lambda k: k.layers.Dense(3, use_bias=False, kernel_regularizer="l2"), [SEQUENCE]),
    Row("EinsumDense", lambda k: k.layers.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d"), [SEQUENCE]),
    Row("Conv1D", lambda k: k.layers.Conv1D(3, 2, activation="relu"), [SEQUENCE]),
    Row("Conv1D causal", lambda k: k.layers.Conv1D(3, 2, padding="causal", dilation_rate=2), [SEQUENCE]),
    Row("Conv2D", lambda k: k.layers.Conv2D(3, 3), [IMAGE]),
    Row("Conv2D same strides", lambda k: k.layers.Conv2D(3, (3, 2), strides=2, padding="same"), [IMAGE]),
    Row("Conv2D dilated", lambda k: k.layers.Conv2D(3, 2, dilation_rate=2), [IMAGE]),
    Row("Conv3D", lambda k: k.layers.Conv3D(2, 2), [(1, 4, 3, 3, 2)]),
    Row("Conv1DTranspose", lambda k: k.layers.Conv1DTranspose(3, 3, strides=2), [SEQUENCE]),
    Row("Conv2DTranspose", lambda k: k.layers.Conv2DTranspose(3, 3, strides=2, padding="same"), [(2, 3, 4, 2)]),
    Row("Conv2DTranspose valid", lambda k: k.layers.Conv2DTranspose(2, (2, 3), strides=(1, 2)), [(2, 3, 4, 2)]),
    Row("Conv2DTranspose padded",
        lambda k: k.layers.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=1), [(2, 3, 4, 2)]),
    Row("Conv3DTranspose", lambda k: k.layers.Conv3DTranspose(2, 2, strides=2), [(1, 2, 3, 2, 2)]),
    Row("DepthwiseConv1D", lambda k: k.layers.DepthwiseConv1D(2, depth_multiplier=2), [SEQUENCE]),
    Row("DepthwiseConv2D", lambda k: k.layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), [(2, 5, 4, 3)]),
    Row("SeparableConv1D", lambda k: k.layers.SeparableConv1D(3, 2), [SEQUENCE]),
    Row("SeparableConv2D", lambda k: k.layers.SeparableConv2D(3, 3, depth_multiplier=2), [(2, 5, 4, 3)]),
    Row("MaxPooling1D", lambda k: k.layers.MaxPooling1D(2), [SEQUENCE]),
    Row("MaxPooling2D", lambda k: k.layers.MaxPooling2D(2, 1, "same"), [IMAGE]),
    Row("MaxPooling3D", lambda k: k.layers.MaxPooling3D(), [(1, 4, 3, 3, 2)], has_gradient=False),
    Row("AveragePooling1D", lambda k: k.layers.AveragePooling1D(3, 2, "same"), [SEQUENCE]),
    Row("AveragePooling2D", lambda k: k.layers.AveragePooling2D((3, 2)), [IMAGE]),
    Row("AveragePooling3D", lambda k: k.layers.AveragePooling3D(2), [(1, 4, 3, 3, 2)]),
    Row("GlobalMaxPooling1D", lambda k: k.layers.GlobalMaxPooling1D(), [SEQUENCE]),
    Row("GlobalMaxPooling2D", lambda k: k.layers.GlobalMaxPooling2D(keepdims=True), [IMAGE]),
    Row("GlobalMaxPooling3D", lambda k: k.layers.GlobalMaxPooling3D(), [(1, 4, 3, 3, 2)]),
    Row("GlobalAveragePooling1D", lambda k: k.layers.GlobalAveragePooling1D(), [SEQUENCE]),
    Row("GlobalAveragePooling1D masked", lambda k: k.layers.GlobalAveragePooling1D(), [SEQUENCE], mask=STEPS),
    Row("GlobalAveragePooling2D", lambda k: k.layers.GlobalAveragePooling2D(), [IMAGE]),
    Row("GlobalAveragePooling3D", lambda k: k.layers.GlobalAveragePooling3D(), [(1, 4, 3, 3, 2)]),
    Row("BatchNormalization", lambda k: k.layers.BatchNormalization(momentum=0.8), [IMAGE]),
    Row("BatchNormalization of vectors", lambda k: k.layers.BatchNormalization(), [(6, 4)]),
    Row("BatchNormalization of sequences", lambda k: k.layers.BatchNormalization(axis=1, scale=False), [SEQUENCE]),
    Row("BatchNormalization masked", lambda k: k.layers.BatchNormalization(), [SEQUENCE], mask=STEPS),
    Row("LayerNormalization", lambda k: k.layers.LayerNormalization(), [SEQUENCE]),
    Row("LayerNormalization axes", lambda k: k.layers.LayerNormalization(axis=[1, 2]), [SEQUENCE]),
    Row("GroupNormalization", lambda k: k.layers.GroupNormalization(2), [IMAGE]),
    Row("UnitNormalization", lambda k: k.layers.UnitNormalization(), [SEQUENCE]),
    Row("Embedding", lambda k: k.layers.Embedding(6, 3), [(2, 4)], with_integers=6),
    Row("SimpleRNN", lambda k: k.layers.SimpleRNN(3), [SEQUENCE]),
    Row("SimpleRNN unrolled", lambda k: k.layers.SimpleRNN(3, unroll=True, return_sequences=True), [SEQUENCE]),
    Row("LSTM", lambda k: k.layers.LSTM(3), [SEQUENCE]),
    Row("LSTM sequences", lambda k: k.layers.LSTM(3, return_sequences=True, return_state=True), [SEQUENCE]),
    Row("LSTM masked", lambda k: k.layers.LSTM(3, return_sequences=True), [SEQUENCE], mask=STEPS),
    Row("LSTM backwards", lambda k: k.layers.LSTM(3, go_backwards=True, use_bias=False), [SEQUENCE]),
    Row("LSTM with dropout", lambda k: k.layers.LSTM(3, dropout=0.3, recurrent_dropout=0.2), [SEQUENCE], is_random=True),
    Row("GRU", lambda k: k.layers.GRU(3), [SEQUENCE]),
    Row("GRU reset before", lambda k: k.layers.GRU(3, reset_after=False, return_sequences=True), [SEQUENCE]),
    Row("GRU masked", lambda k: k.layers.GRU(3, return_state=True), [SEQUENCE], mask=STEPS),
    Row("RNN of cells", lambda k: k.layers.RNN([k.layers.LSTMCell(3), k.layers.GRUCell(2)]), [SEQUENCE]),
    Row("RNN of a SimpleRNNCell", lambda k: k.layers.RNN(k.layers.SimpleRNNCell(3), return_sequences=True), [SEQUENCE]),
    Row("Bidirectional", lambda k: k.layers.Bidirectional(k.layers.LSTM(2)), [SEQUENCE]),
    Row("Bidirectional sequences",
        lambda k: k.layers.Bidirectional(k.layers.GRU(2, return_sequences=True), merge_mode="sum"), [SEQUENCE]),
    Row("Bidirectional masked",
        lambda k: k.layers.Bidirectional(k.layers.LSTM(2, return_sequences=True)), [SEQUENCE], mask=STEPS),
    Row("TimeDistributed", lambda k: k.layers.TimeDistributed(k.layers.Dense(3)), [SEQUENCE]),
    Row("TimeDistributed images", lambda k: k.layers.TimeDistributed(k.layers.Conv2D(2, 2)), [(2, 3, 4, 4, 2)]),
    Row("Masking", lambda k: k.layers.Masking(), [SEQUENCE]),
    Row("MultiHeadAttention", lambda k: k.layers.MultiHeadAttention(2, 3), [SEQUENCE, (3, 4, 4)]),
    Row("MultiHeadAttention sizes",
        lambda k: k.layers.MultiHeadAttention(2, 3, value_dim=2, output_shape=5), [SEQUENCE, (3, 4, 4), (3, 4, 4)]),
    Row("MultiHeadAttention causal",
        lambda k: k.layers.MultiHeadAttention(2, 3), [SEQUENCE, SEQUENCE], options={"use_causal_mask": True}),
    Row("Attention", lambda k: k.layers.Attention(use_scale=True), [SEQUENCE, (3, 6, 4)], together=True),
    Row("Attention concat", lambda k: k.layers.Attention(score_mode="concat"), [SEQUENCE, (3, 6, 4)], together=True),
    Row("AdditiveAttention", lambda k: k.layers.AdditiveAttention(), [SEQUENCE, (3, 6, 4)], together=True),
    Row("Flatten", lambda k: k.layers.Flatten(), [IMAGE]),
    Row("Reshape", lambda k: k.layers.Reshape((6, -1)), [IMAGE]),
    Row("Permute", lambda k: k.layers.Permute((3, 1, 2)), [IMAGE]),
    Row("RepeatVector", lambda k: k.layers.RepeatVector(3), [(2, 4)]),
    Row("Cropping1D", lambda k: k.layers.Cropping1D((1, 2)), [SEQUENCE]),
    Row("Cropping2D", lambda k: k.layers.Cropping2D(((1, 0), (2, 1))), [IMAGE]),
    Row("Cropping3D", lambda k: k.layers.Cropping3D(1), [(1, 4, 3, 4, 2)]),
    Row("ZeroPadding1D", lambda k: k.layers.ZeroPadding1D((1, 2)), [SEQUENCE]),
    Row("ZeroPadding2D", lambda k: k.layers.ZeroPadding2D(((1, 0), (2, 1))), [IMAGE]),
    Row("ZeroPadding3D", lambda k: k.layers.ZeroPadding3D(1), [(1, 2, 3, 2, 2)]),
    Row("UpSampling1D", lambda k: k.layers.UpSampling1D(3), [SEQUENCE]),
    Row("UpSampling2D", lambda k: k.layers.UpSampling2D((2, 3)), [(2, 3, 4, 2)]),
    Row("UpSampling2D bilinear", lambda k: k.layers.UpSampling2D(2, interpolation="bilinear"), [(2, 3, 4, 2)],
        has_gradient=False),
    Row("UpSampling3D", lambda k: k.layers.UpSampling3D(2), [(1, 2, 3, 2, 2)]),
    Row("Add", lambda k: k.layers.Add(), [(2, 3, 4), (2, 1, 4), (2, 3, 4)], together=True),
    Row("Subtract", lambda k: k.layers.Subtract(), [(2, 4), (2, 4)], together=True),
    Row("Multiply", lambda k: k.layers.Multiply(), [(2, 4), (2, 4), (2, 4)], together=True),
    Row("Average", lambda k: k.layers.Average(), [(2, 4), (2, 4), (2, 4)], together=True),
    Row("Maximum", lambda k: k.layers.Maximum(), [(2, 4), (2, 4)], together=True),
    Row("Minimum", lambda k: k.layers.Minimum(), [(2, 4), (2, 4)], together=True),
    Row("Concatenate", lambda k: k.layers.Concatenate(axis=1), [(2, 3, 4), (2, 5, 4)], together=True),
    Row("Dot", lambda k: k.layers.Dot(1), [(2, 4), (2, 4)], together=True),
    Row("Dot of sequences", lambda k: k.layers.Dot((2, 1), normalize=True), [(2, 3, 4), (2, 4, 5)], together=True),
    Row("Dot of a vector", lambda k: k.layers.Dot((1, 2)), [(2, 4), (2, 3, 4)], together=True),
    Row("LeakyReLU", lambda k: k.layers.LeakyReLU(), [(2, 4)]),
    Row("PReLU", lambda k: k.layers.PReLU(shared_axes=[1]), [SEQUENCE]),
    Row("ELU", lambda k: k.layers.ELU(0.5), [(2, 4)]),
    Row("ReLU", lambda k: k.layers.ReLU(1.0, 0.1, 0.2), [(2, 4)]),
    Row("Softmax", lambda k: k.layers.Softmax(axis=1), [SEQUENCE]),
    Row("ThresholdedReLU", lambda k: k.layers.ThresholdedReLU(0.3), [(2, 4)]),
    Row("Activation", lambda k: k.layers.Activation("swish"), [(2, 4)]),
    Row("Dropout", lambda k: k.layers.Dropout(0.4), [(2, 4)], is_random=True),
    Row("SpatialDropout1D", lambda k: k.layers.SpatialDropout1D(0.4), [SEQUENCE], is_random=True),
    Row("SpatialDropout2D", lambda k: k.layers.SpatialDropout2D(0.4), [IMAGE], is_random=True),
    Row("SpatialDropout3D", lambda k: k.layers.SpatialDropout3D(0.4), [(1, 2, 3, 2, 2)], is_random=True),
    Row("GaussianNoise", lambda k: k.layers.GaussianNoise(0.4), [(2, 4)], is_random=True),
    Row("GaussianDropout", lambda k: k.layers.GaussianDropout(0.4), [(2, 4)], is_random=True),
    Row("AlphaDropout", lambda k: k.layers.AlphaDropout(0.4), [(2, 4)], is_random=True),
    Row("ActivityRegularization", lambda k: k.layers.ActivityRegularization(0.1, 0.2), [(2, 4)]),
    Row("Identity", lambda k: k.layers.Identity(), [(2, 4)]),
    Row("Lambda", lambda k: k.layers.Lambda(lambda x: x * 2.0), [(2, 4)], has_config=False),
    Row("Rescaling", lambda k: k.layers.Rescaling(2.0, -1.0), [(2, 4)]),
    Row("Normalization", lambda k: k.layers.Normalization(mean=[1.0, 2.0], variance=[4.0, 0.25]), [(3, 2)]),
    Row("CategoryEncoding", lambda k: k.layers.CategoryEncoding(5), [(2, 4)], with_integers=5),
    Row("CategoryEncoding one hot", lambda k: k.layers.CategoryEncoding(5, "one_hot"), [(2, 1)], with_integers=5),
    Row("CategoryEncoding count", lambda k: k.layers.CategoryEncoding(5, "count"), [(2, 4)], with_integers=5),
    Row("Discretization", lambda k: k.layers.Discretization([-0.5, 0.0, 1.0]), [(2, 4)], has_gradient=False),
    Row("CenterCrop", lambda k: k.layers.CenterCrop(4, 3), [IMAGE], has_gradient=False),
    Row("CenterCrop of a small image", lambda k: k.layers.CenterCrop(9, 3), [IMAGE], has_gradient=False),
    Row("RandomTranslation", lambda k: k.layers.RandomTranslation((0.25, 0.25), (-0.3, -0.3)), [IMAGE], takes_part=True),
    Row("RandomTranslation filled",
        lambda k: k.layers.RandomTranslation((0.25, 0.25), (-0.3, -0.3), "constant", fill_value=7.0), [IMAGE], takes_part=True),
    Row("RandomTranslation nearest",
        lambda k: k.layers.RandomTranslation((0.25, 0.25), (-0.3, -0.3), "nearest", "nearest"), [IMAGE], takes_part=True),
    Row("RandomRotation", lambda k: k.layers.RandomRotation((0.1, 0.1)), [IMAGE], takes_part=True),
    Row("RandomZoom", lambda k: k.layers.RandomZoom((-0.3, -0.3), (0.2, 0.2)), [IMAGE], takes_part=True),
    Row("RandomBrightness",
        lambda k: k.layers.RandomBrightness((0.2, 0.2), (-3.0, 3.0)), [IMAGE], takes_part=True),
    Row("Resizing", lambda k: k.layers.Resizing(4, 3), [IMAGE], has_gradient=False),
]  # fmt: skip
