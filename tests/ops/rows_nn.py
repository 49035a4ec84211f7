"""Neural network rows: softmax, losses, convolution, pooling, normalisation, lookup."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.harness import Bad, Row, public, table
from tests.ops.inputs import (
    FLOATS,
    SINGLE,
    Shape,
    anything,
    between,
    distinct,
    index,
    nonzero,
    positive,
    small,
    unit,
    values,
)

NO_BFLOAT = ("float32", "float64", "float16")

SOFTMAX = [
    Row(
        "nn.softmax",
        public("nn.softmax"),
        [anything(2, 3, 4)],
        FLOATS,
        {"vector": [(5,)], "empty": [(0, 3)], "large": [between(-100, 100, 3, 4)]},
        smoke=True,
    ),
    Row(
        "nn.softmax[axis=1]",
        lambda tf, x: [tf.nn.softmax(x, axis=1), tf.nn.softmax(x, axis=0)],
        [anything(2, 3, 4)],
        SINGLE,
        unknown_shapes=False,
    ),
    Row(
        "nn.log_softmax",
        public("nn.log_softmax"),
        [anything(3, 4)],
        FLOATS,
        {"vector": [(5,)], "large": [between(-100, 100, 3, 4)]},
    ),
    Row(
        "nn.log_softmax[axis=0]",
        lambda tf, x: tf.nn.log_softmax(x, axis=0),
        [anything(3, 4)],
        SINGLE,
        unknown_shapes=False,
    ),
    Row(
        "compat.v1.nn.softmax",
        lambda tf, x: [tf.compat.v1.nn.softmax(x, dim=0), tf.compat.v1.nn.log_softmax(x, dim=0)],
        [anything(3, 4)],
        SINGLE,
        unknown_shapes=False,
    ),
]


def distribution(tf: Any, x: Any, axis: int = -1) -> Any:
    """x divided by its sums: the gradient of a cross entropy is exact only for labels that sum to one."""
    return x / tf.reduce_sum(x, axis, keepdims=True)


LOSSES = [
    Row(
        "nn.softmax_cross_entropy_with_logits",
        lambda tf, labels, logits: tf.nn.softmax_cross_entropy_with_logits(
            labels=distribution(tf, labels), logits=logits
        ),
        [positive(3, 4), anything(3, 4)],
        FLOATS,
        {"vector": [(4,), (4,)], "cube": [(2, 3, 4), (2, 3, 4)], "large": [None, between(-100, 100, 3, 4)]},
        smoke=True,
        errors=[
            Bad(
                lambda tf, x, y: tf.nn.softmax_cross_entropy_with_logits(labels=x, logits=y),
                [[[1.0, 0.0]], [[1.0, 2.0, 3.0]]],
                ("InvalidArgumentError", "logits and labels must be broadcastable"),
                ("ValueError", "Dimensions must be equal"),
            )
        ],
    ),
    Row(
        "nn.softmax_cross_entropy_with_logits[labels of any sum]",
        lambda tf, labels, logits: tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits),
        [positive(3, 4), anything(3, 4)],
        SINGLE,
        orders=0,
    ),
    Row(
        "nn.softmax_cross_entropy_with_logits[axis]",
        lambda tf, labels, logits: tf.nn.softmax_cross_entropy_with_logits(distribution(tf, labels, 0), logits, axis=0),
        [positive(3, 4), anything(3, 4)],
        SINGLE,
    ),
    Row(
        "compat.v1.nn.softmax_cross_entropy_with_logits",
        lambda tf, labels, logits: tf.compat.v1.nn.softmax_cross_entropy_with_logits(
            labels=distribution(tf, labels), logits=logits
        ),
        [positive(3, 4), anything(3, 4)],
        SINGLE,
        wrt=(1,),
    ),
    Row(
        "nn.sparse_softmax_cross_entropy_with_logits",
        lambda tf, labels, logits: tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits),
        [index(4, 3), anything(3, 4)],
        FLOATS,
        {"cube": [(2, 3), (2, 3, 4)], "one": [(), (4,)], "long": [index(4, 3, dtype="int64"), None]},
        smoke=True,
        errors=[
            Bad(
                lambda tf, x, y: tf.nn.sparse_softmax_cross_entropy_with_logits(labels=x, logits=y),
                [[3], [[1.0, 2.0, 3.0]]],
                ("InvalidArgumentError", "Received a label value of 3 which is outside the valid range of [0, 3)"),
                ("InvalidArgumentError", "Received a label value of 3 which is outside the valid range of [0, 3)"),
            )
        ],
    ),
    Row(
        "nn.sigmoid_cross_entropy_with_logits",
        lambda tf, labels, logits: tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits),
        [unit(3, 4), nonzero(3, 4)],
        FLOATS,
        {"large": [None, between(-100, 100, 3, 4)], "scalar": [(), ()]},
        errors=[
            Bad(
                lambda tf, x, y: tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=y),
                [[1.0, 0.0], [1.0]],
                ("ValueError", "`logits` and `labels` must have the same shape"),
                ("ValueError", "`logits` and `labels` must have the same shape"),
            )
        ],
    ),
    Row(
        "nn.weighted_cross_entropy_with_logits",
        lambda tf, labels, logits: tf.nn.weighted_cross_entropy_with_logits(labels, logits, pos_weight=2.5),
        [unit(3, 4), nonzero(3, 4)],
        SINGLE,
    ),
    Row(
        "nn.log_poisson_loss",
        lambda tf, targets, x: [
            tf.nn.log_poisson_loss(targets, x),
            tf.nn.log_poisson_loss(targets, x, compute_full_loss=True),
        ],
        [positive(3), anything(3)],
        SINGLE,
        wrt=(1,),
    ),
    Row(
        "raw_ops.SoftmaxCrossEntropyWithLogits",
        lambda tf, x, y: list(tf.raw_ops.SoftmaxCrossEntropyWithLogits(features=x, labels=y)),
        [anything(3, 4), positive(3, 4)],
        SINGLE,
        wrt=(0,),
        orders=0,
    ),
    Row(
        "compat.v1.losses",
        lambda tf, y, p: [
            tf.compat.v1.losses.mean_squared_error(y, p),
            tf.compat.v1.losses.absolute_difference(y, p),
            tf.compat.v1.losses.huber_loss(y, p),
            tf.compat.v1.losses.log_loss(tf.sigmoid(y), tf.sigmoid(p)),
            tf.compat.v1.losses.cosine_distance(y, p, axis=1),
        ],
        [distinct(3, 4), anything(3, 4)],
        ("float32",),
        gradient_dtypes=("float32",),
        function=False,
    ),
    Row(
        "compat.v1.losses[logits]",
        lambda tf, y, i, p: [
            tf.compat.v1.losses.sigmoid_cross_entropy(y, p),
            tf.compat.v1.losses.softmax_cross_entropy(y, p),
            tf.compat.v1.losses.sparse_softmax_cross_entropy(i, p),
            tf.compat.v1.losses.hinge_loss(y, p),
        ],
        [values([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]), values([1, 0], "int32"), anything(2, 3)],
        ("float32",),
        wrt=(2,),
        gradient_dtypes=("float32",),
        function=False,
    ),
]


def convolution(
    name: str, call: Any, image: Shape, filters: Shape, options: dict[str, Any], **common: Any
) -> list[Row]:
    """Rows of a convolution with several settings."""
    common.setdefault("dtypes", FLOATS)
    return table(
        name, call, [anything(*image), anything(*filters)], options, other_dtypes=SINGLE, tolerance=4, **common
    )


CONVOLUTIONS = [
    *convolution(
        "nn.conv2d",
        lambda tf, x, w, **keywords: tf.nn.conv2d(x, w, **keywords),
        (2, 5, 6, 3),
        (3, 2, 3, 4),
        {
            "same": {"strides": 1, "padding": "SAME"},
            "valid": {"strides": 1, "padding": "VALID"},
            "strides": {"strides": [1, 2, 3, 1], "padding": "SAME"},
            "strides,valid": {"strides": 2, "padding": "VALID"},
            "dilations": {"strides": 1, "padding": "VALID", "dilations": 2},
            "dilations,same": {"strides": 1, "padding": "SAME", "dilations": [1, 2, 1, 1]},
            "explicit": {"strides": 1, "padding": [[0, 0], [1, 2], [0, 1], [0, 0]]},
            "explicit,strides": {"strides": 2, "padding": [[0, 0], [2, 1], [1, 0], [0, 0]]},
        },
        variants={"one": [(1, 1, 1, 2), (1, 1, 2, 3)], "empty": [(0, 5, 6, 3), None]},
        smoke=True,
        errors=[
            Bad(
                lambda tf, x, w: tf.nn.conv2d(x, w, 1, "SAME"),
                [np.zeros((1, 4, 4, 3), np.float32), np.zeros((2, 2, 2, 1), np.float32)],
                ("InvalidArgumentError", "input depth must be evenly divisible by filter depth: 3 vs 2"),
                ("ValueError", "Depth of input (3) is not a multiple of input depth of filter (2)"),
            ),
            Bad(
                lambda tf, x, w: tf.nn.conv2d(x, w, 1, "VALID"),
                [np.zeros((1, 2, 2, 1), np.float32), np.zeros((3, 3, 1, 1), np.float32)],
                None,
                ("ValueError", "Negative dimension size caused by subtracting 3 from 2"),
            ),
            Bad(
                lambda tf, x, w: tf.nn.conv2d(x, w, 1, "SAME"),
                [np.zeros((4, 4, 3), np.float32), np.zeros((2, 2, 3, 1), np.float32)],
                ("InvalidArgumentError", "input must be 4-dimensional"),
                ("ValueError", "must be rank 4"),
            ),
        ],
    ),
    Row(
        "nn.conv2d[grouped]",
        lambda tf, x, w: tf.nn.conv2d(x, w, 1, "SAME"),
        [anything(1, 4, 4, 4), anything(3, 3, 2, 4)],
        ("float32",),
        tolerance=4,
    ),
    *convolution(
        "nn.conv1d",
        lambda tf, x, w, **keywords: tf.nn.conv1d(x, w, **keywords),
        (2, 7, 3),
        (3, 3, 4),
        {
            "same": {"stride": 1, "padding": "SAME"},
            "valid": {"stride": 2, "padding": "VALID"},
            "dilations": {"stride": 1, "padding": "SAME", "dilations": 2},
        },
    ),
    *convolution(
        "nn.conv3d",
        lambda tf, x, w, **keywords: tf.nn.conv3d(x, w, **keywords),
        (1, 3, 4, 3, 2),
        (2, 2, 2, 2, 3),
        {
            "same": {"strides": [1, 1, 1, 1, 1], "padding": "SAME"},
            "valid": {"strides": [1, 1, 2, 1, 1], "padding": "VALID"},
        },
    ),
    Row(
        "nn.convolution",
        lambda tf, x, w: [
            tf.nn.convolution(x, w, padding="SAME"),
            tf.nn.convolution(x, w, strides=2, padding="VALID"),
            tf.nn.convolution(x, w, padding="VALID", dilations=2),
        ],
        [anything(1, 5, 6, 2), anything(2, 3, 2, 2)],
        SINGLE,
        tolerance=4,
        unknown_shapes=False,
    ),
    Row(
        "compat.v1.nn.conv2d",
        lambda tf, x, w: tf.compat.v1.nn.conv2d(x, w, strides=[1, 1, 1, 1], padding="SAME"),
        [anything(1, 4, 4, 2), anything(2, 2, 2, 3)],
        SINGLE,
        tolerance=4,
    ),
    Row(
        "compat.v1.nn.conv2d[filter]",
        lambda tf, x, w: tf.compat.v1.nn.conv2d(input=x, filter=w, strides=[1, 2, 2, 1], padding="VALID"),
        [anything(1, 4, 4, 2), anything(2, 2, 2, 3)],
        SINGLE,
        tolerance=4,
    ),
    Row(
        "nn.atrous_conv2d",
        lambda tf, x, w: tf.nn.atrous_conv2d(x, w, rate=2, padding="SAME"),
        [anything(1, 5, 6, 2), anything(2, 3, 2, 2)],
        SINGLE,
        tolerance=4,
        unknown_shapes=False,
    ),
    *table(
        "nn.conv2d_transpose",
        lambda tf, x, w, **keywords: tf.nn.conv2d_transpose(x, w, **keywords),
        [anything(1, 3, 4, 2), anything(3, 2, 3, 2)],
        {
            "same": {"output_shape": [1, 6, 8, 3], "strides": 2, "padding": "SAME"},
            "valid": {"output_shape": [1, 5, 5, 3], "strides": 1, "padding": "VALID"},
            "odd": {"output_shape": [1, 5, 7, 3], "strides": [1, 2, 2, 1], "padding": "SAME"},
        },
        dtypes=FLOATS,
        other_dtypes=SINGLE,
        tolerance=4,
    ),
    Row(
        "nn.conv1d_transpose",
        lambda tf, x, w: tf.nn.conv1d_transpose(x, w, output_shape=[1, 6, 3], strides=2),
        [anything(1, 3, 2), anything(3, 3, 2)],
        SINGLE,
        tolerance=4,
    ),
    Row(
        "nn.conv3d_transpose",
        lambda tf, x, w: tf.nn.conv3d_transpose(x, w, output_shape=[1, 2, 4, 2, 3], strides=[1, 1, 2, 1, 1]),
        [anything(1, 2, 2, 2, 2), anything(2, 2, 2, 3, 2)],
        SINGLE,
        tolerance=4,
    ),
    *table(
        "nn.depthwise_conv2d",
        lambda tf, x, w, **keywords: tf.nn.depthwise_conv2d(x, w, **keywords),
        [anything(2, 5, 4, 3), anything(2, 3, 3, 2)],
        {
            "same": {"strides": [1, 1, 1, 1], "padding": "SAME"},
            "valid": {"strides": [1, 2, 2, 1], "padding": "VALID"},
            "dilations": {"strides": [1, 1, 1, 1], "padding": "SAME", "dilations": [2, 2]},
        },
        dtypes=FLOATS,
        other_dtypes=SINGLE,
        tolerance=4,
        unknown_shapes=False,
    ),
    Row(
        "nn.separable_conv2d",
        lambda tf, x, d, p: tf.nn.separable_conv2d(x, d, p, strides=[1, 1, 1, 1], padding="SAME"),
        [anything(1, 4, 4, 2), anything(2, 2, 2, 2), anything(1, 1, 4, 3)],
        SINGLE,
        tolerance=4,
        unknown_shapes=False,
    ),
    Row(
        "raw_ops.Conv2DBackpropInput",
        lambda tf, w, dy: tf.raw_ops.Conv2DBackpropInput(
            input_sizes=[1, 4, 5, 2], filter=w, out_backprop=dy, strides=[1, 2, 1, 1], padding="SAME"
        ),
        [anything(3, 2, 2, 3), anything(1, 2, 5, 3)],
        SINGLE,
        tolerance=4,
    ),
    Row(
        "raw_ops.Conv2DBackpropFilter",
        lambda tf, x, dy: tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=[3, 2, 2, 3], out_backprop=dy, strides=[1, 2, 1, 1], padding="SAME"
        ),
        [anything(1, 4, 5, 2), anything(1, 2, 5, 3)],
        SINGLE,
        tolerance=4,
    ),
    Row(
        "raw_ops.Conv3DBackpropInputV2",
        lambda tf, w, dy: tf.raw_ops.Conv3DBackpropInputV2(
            input_sizes=[1, 2, 4, 3, 2], filter=w, out_backprop=dy, strides=[1, 1, 1, 1, 1], padding="SAME"
        ),
        [anything(2, 2, 2, 2, 3), anything(1, 2, 4, 3, 3)],
        SINGLE,
        tolerance=4,
    ),
    Row(
        "raw_ops.Conv3DBackpropFilterV2",
        lambda tf, x, dy: tf.raw_ops.Conv3DBackpropFilterV2(
            input=x, filter_sizes=[2, 2, 2, 2, 3], out_backprop=dy, strides=[1, 1, 1, 1, 1], padding="SAME"
        ),
        [anything(1, 2, 4, 3, 2), anything(1, 2, 4, 3, 3)],
        SINGLE,
        tolerance=4,
    ),
    Row(
        "raw_ops.DepthwiseConv2dNativeBackpropInput",
        lambda tf, w, dy: tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=[1, 4, 5, 2], filter=w, out_backprop=dy, strides=[1, 1, 1, 1], padding="SAME"
        ),
        [anything(3, 2, 2, 2), anything(1, 4, 5, 4)],
        SINGLE,
        tolerance=4,
    ),
    Row(
        "raw_ops.DepthwiseConv2dNativeBackpropFilter",
        lambda tf, x, dy: tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=x, filter_sizes=[3, 2, 2, 2], out_backprop=dy, strides=[1, 1, 1, 1], padding="SAME"
        ),
        [anything(1, 4, 5, 2), anything(1, 4, 5, 4)],
        SINGLE,
        tolerance=4,
    ),
    *table(
        "nn.dilation2d",
        lambda tf, x, w, **keywords: tf.nn.dilation2d(x, w, strides=[1, 1, 1, 1], data_format="NHWC", **keywords),
        [distinct(1, 5, 4, 2), between(0.0, 0.05, 2, 2, 2)],
        {
            "same": {"padding": "SAME", "dilations": [1, 1, 1, 1]},
            "rates": {"padding": "VALID", "dilations": [1, 2, 1, 1]},
        },
        dtypes=SINGLE,
        other_dtypes=SINGLE,
    ),
    Row(
        "nn.erosion2d",
        lambda tf, x, w: tf.nn.erosion2d(
            x, w, strides=[1, 1, 1, 1], padding="SAME", data_format="NHWC", dilations=[1, 1, 1, 1]
        ),
        [distinct(1, 4, 4, 1), between(0.0, 0.05, 2, 2, 1)],
        SINGLE,
    ),
]


def pooling(name: str, options: dict[str, Any], shape: Shape, **common: Any) -> list[Row]:
    """Rows of a pooling function with several settings."""
    return table(f"nn.{name}", public(f"nn.{name}"), [distinct(*shape)], options, other_dtypes=SINGLE, **common)


WINDOWS = {
    "same": {"ksize": 2, "strides": 2, "padding": "SAME"},
    "valid": {"ksize": 2, "strides": 1, "padding": "VALID"},
    "overlap": {"ksize": [1, 3, 2, 1], "strides": [1, 2, 1, 1], "padding": "SAME"},
}
POOLING = [
    *pooling(
        "max_pool2d",
        WINDOWS | {"explicit": {"ksize": 2, "strides": 2, "padding": [[0, 0], [1, 1], [0, 1], [0, 0]]}},
        (2, 5, 4, 3),
        dtypes=FLOATS,
        variants={"exact": [(1, 3, 3, 1)]},
        smoke=True,
        errors=[
            Bad(
                lambda tf, x: tf.nn.max_pool2d(x, 3, 1, "VALID"),
                [np.zeros((1, 2, 2, 1), np.float32)],
                None,
                ("ValueError", "Negative dimension size caused by subtracting 3 from 2"),
            )
        ],
    ),
    *pooling("avg_pool2d", WINDOWS, (2, 5, 4, 3), dtypes=FLOATS, variants={"exact": [(1, 3, 3, 1)]}),
    *pooling("max_pool1d", {"same": {"ksize": 2, "strides": 2, "padding": "SAME"}}, (2, 5, 3), dtypes=SINGLE),
    *pooling("avg_pool1d", {"valid": {"ksize": 3, "strides": 1, "padding": "VALID"}}, (2, 5, 3), dtypes=SINGLE),
    *pooling(
        "max_pool3d",
        {
            "same": {"ksize": 2, "strides": 2, "padding": "SAME"},
            "valid": {"ksize": 2, "strides": 1, "padding": "VALID"},
        },
        (1, 3, 4, 3, 2),
        dtypes=("float32",),
        gradient_dtypes=("float32",),
    ),
    *pooling(
        "avg_pool3d",
        {
            "same": {"ksize": 2, "strides": 2, "padding": "SAME"},
            "valid": {"ksize": 2, "strides": 1, "padding": "VALID"},
        },
        (1, 3, 4, 3, 2),
        dtypes=("float32",),
        gradient_dtypes=("float32",),
    ),
    *pooling(
        "max_pool",
        {"same": {"ksize": [1, 2, 2, 1], "strides": [1, 2, 2, 1], "padding": "SAME"}},
        (1, 4, 5, 2),
        dtypes=SINGLE,
        unknown_shapes=False,
    ),
    *pooling(
        "avg_pool",
        {"same": {"ksize": 2, "strides": 1, "padding": "SAME"}},
        (1, 4, 5, 2),
        dtypes=SINGLE,
        unknown_shapes=False,
    ),
    Row(
        "nn.max_pool2d[ties]",
        lambda tf, x: tf.nn.max_pool2d(x, 2, 1, "VALID"),
        [values(np.array([1.0, 1, 0, 1, 1, 2, 2, 2, 0]).reshape(1, 3, 3, 1))],
        SINGLE,
        orders=0,
    ),
    Row(
        "compat.v1.nn.max_pool",
        lambda tf, x: [
            tf.compat.v1.nn.max_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], "SAME"),
            tf.compat.v1.nn.avg_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], "VALID"),
        ],
        [distinct(1, 4, 5, 2)],
        SINGLE,
    ),
    Row(
        "nn.max_pool_with_argmax",
        lambda tf, x: list(tf.nn.max_pool_with_argmax(x, 2, 2, "SAME")),
        [distinct(2, 4, 5, 2)],
        SINGLE,
        orders=1,
    ),
    Row(
        "nn.max_pool_with_argmax[batch]",
        lambda tf, x: list(tf.nn.max_pool_with_argmax(x, 2, 2, "VALID", include_batch_in_index=True)),
        [distinct(2, 4, 5, 2)],
        SINGLE,
        wrt=(),
    ),
    Row(
        "raw_ops.MaxPoolV2",
        lambda tf, x: tf.raw_ops.MaxPoolV2(input=x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME"),
        [distinct(1, 4, 5, 2)],
        SINGLE,
    ),
    Row(
        "raw_ops.MaxPoolGrad",
        lambda tf, x, g: tf.raw_ops.MaxPoolGrad(
            orig_input=x,
            orig_output=tf.nn.max_pool2d(x, 2, 2, "SAME"),
            grad=g,
            ksize=[1, 2, 2, 1],
            strides=[1, 2, 2, 1],
            padding="SAME",
        ),
        [distinct(1, 4, 5, 2), anything(1, 2, 3, 2)],
        SINGLE,
        wrt=(1,),
    ),
    Row(
        "raw_ops.AvgPoolGrad",
        lambda tf, g: tf.raw_ops.AvgPoolGrad(
            orig_input_shape=[1, 4, 5, 2], grad=g, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME"
        ),
        [anything(1, 2, 3, 2)],
        SINGLE,
    ),
    Row(
        "raw_ops.MaxPool3DGrad",
        lambda tf, x, g: tf.raw_ops.MaxPool3DGrad(
            orig_input=x,
            orig_output=tf.nn.max_pool3d(x, 2, 2, "SAME"),
            grad=g,
            ksize=[1, 2, 2, 2, 1],
            strides=[1, 2, 2, 2, 1],
            padding="SAME",
        ),
        [distinct(1, 2, 4, 3, 1), anything(1, 1, 2, 2, 1)],
        ("float32",),
        gradient_dtypes=("float32",),
        wrt=(1,),
    ),
    Row(
        "raw_ops.AvgPool3DGrad",
        lambda tf, g: tf.raw_ops.AvgPool3DGrad(
            orig_input_shape=[1, 2, 4, 3, 1], grad=g, ksize=[1, 2, 2, 2, 1], strides=[1, 2, 2, 2, 1], padding="SAME"
        ),
        [anything(1, 1, 2, 2, 1)],
        ("float32",),
        gradient_dtypes=("float32",),
    ),
    Row(
        "raw_ops.MaxPoolGradGrad",
        lambda tf, x, g: tf.raw_ops.MaxPoolGradGrad(
            orig_input=x,
            orig_output=tf.nn.max_pool2d(x, 2, 2, "SAME"),
            grad=g,
            ksize=[1, 2, 2, 1],
            strides=[1, 2, 2, 1],
            padding="SAME",
        ),
        [distinct(1, 4, 5, 2), anything(1, 4, 5, 2)],
        SINGLE,
        wrt=(1,),
    ),
    Row(
        "nn.pool",
        lambda tf, x: [
            tf.nn.pool(x, [2, 2], "MAX", padding="SAME"),
            tf.nn.pool(x, [2, 2], "AVG", strides=[2, 1], padding="VALID"),
        ],
        [distinct(1, 4, 5, 2)],
        SINGLE,
        unknown_shapes=False,
    ),
]

FUSED = {"scale": positive(3), "offset": anything(3), "mean": anything(3), "variance": positive(3)}
NORMALISATION = [
    Row(
        "nn.batch_normalization",
        lambda tf, x, m, v, o, s: tf.nn.batch_normalization(x, m, v, o, s, 1e-3),
        [anything(4, 3), anything(3), positive(3), anything(3), positive(3)],
        FLOATS,
        smoke=True,
    ),
    Row(
        "nn.batch_normalization[plain]",
        lambda tf, x, m, v: tf.nn.batch_normalization(x, m, v, None, None, 1e-3),
        [anything(4, 3), anything(3), positive(3)],
        SINGLE,
    ),
    Row(
        "compat.v1.nn.fused_batch_norm",
        lambda tf, x, s, o: list(tf.compat.v1.nn.fused_batch_norm(x, s, o)),
        [anything(2, 3, 2, 3), positive(3), anything(3)],
        ("float32",),
        gradient_dtypes=("float32",),
        tolerance=10,
        gradient_tolerance=20,
    ),
    Row(
        "compat.v1.nn.fused_batch_norm[inference]",
        lambda tf, x, s, o, m, v: tf.compat.v1.nn.fused_batch_norm(x, s, o, m, v, is_training=False)[0],
        [anything(2, 3, 2, 3), *FUSED.values()],
        ("float32",),
        wrt=(0, 1, 2),
        gradient_dtypes=("float32",),
        tolerance=10,
        gradient_tolerance=20,
    ),
    Row(
        "raw_ops.FusedBatchNormV3",
        lambda tf, x, s, o: list(
            tf.raw_ops.FusedBatchNormV3(x=x, scale=s, offset=o, mean=[], variance=[], epsilon=1e-2)
        )[:3],
        [anything(2, 3, 2, 3), positive(3), anything(3)],
        ("float32",),
        gradient_dtypes=("float32",),
        tolerance=10,
        gradient_tolerance=20,
    ),
    *(
        Row(
            f"raw_ops.{kind}",
            lambda tf, x, s, o, kind=kind: list(
                getattr(tf.raw_ops, kind)(x=x, scale=s, offset=o, mean=[], variance=[], epsilon=1e-2)
            )[:3],
            [anything(2, 3, 2, 3), positive(3), anything(3)],
            ("float32",),
            gradient_dtypes=("float32",),
            orders=0,  # in TensorFlow nothing flows back through the moments that are returned
            tolerance=10,
            gradient_tolerance=20,
        )
        for kind in ("FusedBatchNorm", "FusedBatchNormV2")
    ),
    Row(
        "raw_ops.FusedBatchNormV3[half]",
        lambda tf, x, s, o: tf.raw_ops.FusedBatchNormV3(x=x, scale=s, offset=o, mean=[], variance=[], epsilon=1e-2)[0],
        [anything(2, 3, 2, 3), positive(3, dtype="float32"), anything(3, dtype="float32")],
        ("float16", "bfloat16"),
        wrt=(),
        tolerance=2,
    ),
    Row(
        "nn.local_response_normalization",
        lambda tf, x: [
            tf.nn.local_response_normalization(x),
            tf.nn.lrn(x, depth_radius=1, bias=0.5, alpha=0.3, beta=0.75),
        ],
        [anything(1, 2, 3, 6)],
        ("float32", "float16", "bfloat16"),
        gradient_dtypes=("float32",),
        tolerance=10,
        gradient_tolerance=20,
    ),
    Row(
        "nn.l2_normalize",
        lambda tf, x: [
            tf.nn.l2_normalize(x),
            tf.nn.l2_normalize(x, axis=1),
            tf.math.l2_normalize(x, axis=[0, 1], epsilon=1e-3),
        ],
        [nonzero(3, 4)],
        SINGLE,
    ),
    Row("compat.v1.nn.l2_normalize", lambda tf, x: tf.compat.v1.nn.l2_normalize(x, dim=0), [nonzero(3, 4)], SINGLE),
    Row(
        "layer_normalization",
        lambda tf, x, g, b: layer_normalized(tf, x, g, b),
        [anything(2, 3, 5), positive(5), anything(5)],
        SINGLE,
        gradient_tolerance=4,
    ),
    Row(
        "nn.bias_add",
        public("nn.bias_add"),
        [anything(2, 3, 4), anything(4)],
        (*FLOATS, "int32"),
        {"matrix": [(3, 4), None], "image": [(1, 2, 2, 4), None], "empty": [(0, 4), None]},
        smoke=True,
        errors=[
            Bad(
                lambda tf, x, b: tf.nn.bias_add(x, b),
                [[[1.0, 2.0]], [1.0, 2.0, 3.0]],
                (
                    "InvalidArgumentError",
                    "Must provide as many biases as the last dimension of the input tensor: [3] vs. [1,2]",
                ),
                ("ValueError", "Dimensions must be equal, but are 2 and 3"),
            )
        ],
    ),
    Row(
        "nn.bias_add[NCHW]",
        lambda tf, x, b: tf.nn.bias_add(x, b, data_format="NCHW"),
        [anything(2, 3, 4, 2), anything(3)],
        SINGLE,
        unknown_shapes=False,
    ),
    Row("raw_ops.BiasAddGrad", lambda tf, x: tf.raw_ops.BiasAddGrad(out_backprop=x), [anything(2, 3, 4)], SINGLE),
    Row(
        "raw_ops.BiasAddV1",
        lambda tf, x, b: tf.raw_ops.BiasAddV1(value=x, bias=b),
        [anything(2, 4), anything(4)],
        SINGLE,
    ),
    Row(
        "compat.v1.nn.xw_plus_b",
        lambda tf, x, w, b: [tf.compat.v1.nn.xw_plus_b(x, w, b), tf.compat.v1.nn.relu_layer(x, w, b)],
        [anything(3, 4), anything(4, 2), anything(2)],
        SINGLE,
    ),
]


def layer_normalized(tf: Any, x: Any, gain: Any, bias: Any) -> Any:
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-3) * gain + bias


def sparse_ids(tf: Any) -> Any:
    return tf.sparse.SparseTensor([[0, 0], [0, 2], [2, 1]], tf.constant([3, 1, 0], tf.int64), [3, 4])


SEQUENCES = [
    Row(
        "nn.embedding_lookup_sparse",
        lambda tf, x: [
            tf.nn.embedding_lookup_sparse(x, sparse_ids(tf), None, combiner=how) for how in ("sum", "mean", "sqrtn")
        ],
        [anything(5, 3)],
        SINGLE,
    ),
    Row(
        "nn.safe_embedding_lookup_sparse",
        lambda tf, x: tf.nn.safe_embedding_lookup_sparse(x, sparse_ids(tf)),
        [anything(5, 3)],
        SINGLE,
    ),
    Row(
        "nn.dropout",
        lambda tf, x: [tf.nn.dropout(x, rate=0.0), tf.nn.dropout(tf.zeros_like(x), rate=0.5)],
        [anything(3, 4)],
        SINGLE,
    ),
    Row(
        "nn.collapse_repeated",
        lambda tf, x: tf.nn.collapse_repeated(x, [4, 3]),
        [values([[1, 1, 2, 2], [3, 3, 4, 0]], "int32")],
        ("int32",),
        wrt=(),
    ),
    Row(
        "nn.scale_regularization_loss",
        lambda tf, x: [tf.nn.scale_regularization_loss(x), tf.nn.compute_average_loss(x)],
        [positive(4)],
        SINGLE,
        unknown_shapes=False,
    ),
    Row(
        "dense",
        lambda tf, x, w, b: tf.nn.relu(tf.matmul(x, w) + b),
        [anything(4, 3), anything(3, 2), small(2)],
        SINGLE,
        smoke=True,
    ),
    Row(
        "attention",
        lambda tf, q, k, v: tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / 2.0), v),
        [anything(2, 3, 4), anything(2, 5, 4), anything(2, 5, 2)],
        SINGLE,
    ),
    Row(
        "raw_ops.NthElement[reverse]",
        lambda tf, x: tf.raw_ops.NthElement(input=x, n=1, reverse=True),
        [distinct(3, 5)],
        SINGLE,
    ),
    Row(
        "raw_ops.FakeQuantWithMinMaxArgs",
        lambda tf, x: tf.raw_ops.FakeQuantWithMinMaxArgs(inputs=x, min=-1.0, max=1.5, num_bits=4),
        [anything(3, 4)],
        ("float32",),
        gradient_dtypes=("float32",),
        orders=0,
    ),
    Row(
        "raw_ops.FakeQuantWithMinMaxVars",
        lambda tf, x: tf.raw_ops.FakeQuantWithMinMaxVars(inputs=x, min=-1.0, max=1.5),
        [anything(3, 4)],
        ("float32",),
        gradient_dtypes=("float32",),
        orders=0,
    ),
    Row(
        "quantization.quantize_and_dequantize_v2",
        lambda tf, x: tf.quantization.quantize_and_dequantize_v2(x, -2.0, 2.0, range_given=True),
        [anything(3, 4)],
        ("float32", "float64"),
        orders=0,
    ),
]

LABELS = {
    "labels_indices": np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0]], np.int64),
    "labels_values": np.array([0, 1, 2, 2, 1], np.int32),
    "sequence_length": np.array([5, 4, 3], np.int32),
}
DENSE_LABELS = np.array([[1, 2], [3, 3], [2, 0]], np.int32)
CLASSES = np.array([[1], [7]], np.int64)


def seeded_sampler(tf: Any, op_type: str, **options: Any) -> Any:
    """A candidate sampler whose stream begins anew."""
    tf.random.set_seed(7)
    call = getattr(tf.raw_ops, op_type)
    return list(call(true_classes=CLASSES, num_true=1, unique=True, seed=5, seed2=9, **options))


def noise_contrast(tf: Any, loss: Any, w: Any, b: Any, x: Any) -> Any:
    """A sampled loss over given candidates, of which one is a true class."""
    sampled = ([2, 0, 7], [[0.5], [0.25]], [0.75, 0.5, 0.25])
    sampled = tuple(tf.constant(part, dtype) for part, dtype in zip(sampled, (tf.int64, x.dtype, x.dtype), strict=True))
    return loss(w, b, CLASSES, x, num_sampled=3, num_classes=8, sampled_values=sampled)


RARE = [
    *(
        Row(
            f"raw_ops.CTCLoss[{label}]",
            lambda tf, x, options=options: tf.raw_ops.CTCLoss(inputs=x, **LABELS, **options)[0],
            [anything(5, 3, 4)],
            ("float32",),
            gradient_dtypes=("float32",),
            orders=1,
            tolerance=10,
            gradient_tolerance=20,
        )
        for label, options in {
            "standard": {},
            "collapse": {"preprocess_collapse_repeated": True},
            "no merge": {"ctc_merge_repeated": False},
        }.items()
    ),
    Row(
        "nn.ctc_loss",
        lambda tf, x: [
            tf.nn.ctc_loss(DENSE_LABELS, x, [2, 2, 1], [5, 4, 3]),
            tf.nn.ctc_loss(DENSE_LABELS - 1, x, [2, 2, 1], [5, 4, 3], blank_index=-1),
        ],
        [anything(5, 3, 4)],
        ("float32",),
        gradient_dtypes=("float32",),
        orders=1,
        tolerance=10,
        gradient_tolerance=20,
        unknown_shapes=False,
    ),
    Row(
        "raw_ops.CTCGreedyDecoder",
        lambda tf, x: [
            list(tf.raw_ops.CTCGreedyDecoder(inputs=x, sequence_length=[5, 4, 3], merge_repeated=merge))
            for merge in (True, False)
        ],
        [distinct(5, 3, 4)],
        SINGLE,
        wrt=(),
    ),
    Row(
        "raw_ops.CTCBeamSearchDecoder",
        lambda tf, x: list(
            tf.raw_ops.CTCBeamSearchDecoder(inputs=x, sequence_length=[3, 2, 3], beam_width=100, top_paths=2)
        ),
        [anything(3, 3, 4)],
        ("float32",),
        wrt=(),
        tolerance=4,
    ),
    Row(
        "nn.nce_loss",
        lambda tf, w, b, x: noise_contrast(tf, tf.nn.nce_loss, w, b, x),
        [anything(8, 3), anything(8), anything(2, 3)],
        ("float32",),
        gradient_dtypes=("float32",),
        tolerance=4,
        gradient_tolerance=4,
        indexed_slices=(0, 1),
    ),
    Row(
        "nn.sampled_softmax_loss",
        lambda tf, w, b, x: noise_contrast(tf, tf.nn.sampled_softmax_loss, w, b, x),
        [anything(8, 3), anything(8), anything(2, 3)],
        ("float32",),
        gradient_dtypes=("float32",),
        tolerance=4,
        gradient_tolerance=4,
        indexed_slices=(0, 1),
    ),
    Row(
        "raw_ops.LearnedUnigramCandidateSampler",
        lambda tf: seeded_sampler(tf, "LearnedUnigramCandidateSampler", num_sampled=6, range_max=20),
        [],
        ("float32",),
        wrt=(),
        function=False,
    ),
    Row(
        "raw_ops.ThreadUnsafeUnigramCandidateSampler",
        lambda tf: seeded_sampler(tf, "ThreadUnsafeUnigramCandidateSampler", num_sampled=6, range_max=20),
        [],
        ("float32",),
        wrt=(),
        function=False,
    ),
    Row(
        "raw_ops.FixedUnigramCandidateSampler",
        lambda tf: seeded_sampler(
            tf,
            "FixedUnigramCandidateSampler",
            num_sampled=4,
            range_max=9,
            unigrams=[1.0, 5.0, 2.0, 0.5, 4.0, 3.0, 7.0, 6.0],
            distortion=0.75,
            num_reserved_ids=1,
        ),
        [],
        ("float32",),
        wrt=(),
        function=False,
    ),
    Row(
        "raw_ops.AllCandidateSampler",
        lambda tf: seeded_sampler(tf, "AllCandidateSampler", num_sampled=8),
        [],
        ("float32",),
        wrt=(),
        function=False,
    ),
    Row(
        "nn.compute_accidental_hits",
        lambda tf: list(
            tf.nn.compute_accidental_hits(
                np.array([[1, 2], [2, 3], [5, 5]], np.int64), np.array([2, 5, 2], np.int64), num_true=2
            )
        ),
        [],
        ("float32",),
        wrt=(),
    ),
    *table(
        "compat.v1.image.resize_bilinear",
        lambda tf, x, **keywords: tf.compat.v1.image.resize_bilinear(x, **keywords),
        [anything(2, 3, 4, 2)],
        {
            "larger": {"size": [5, 7]},
            "smaller": {"size": [2, 3]},
            "corners": {"size": [5, 7], "align_corners": True},
            "centres": {"size": [5, 3], "half_pixel_centers": True},
        },
        dtypes=(*FLOATS, "uint8"),
        gradient_dtypes=("float32",),
        gradient_tolerance=4,
        smoke=True,
    ),
    *table(
        "compat.v1.image.resize_nearest_neighbor",
        lambda tf, x, **keywords: tf.compat.v1.image.resize_nearest_neighbor(x, **keywords),
        [anything(2, 3, 4, 2)],
        {
            "larger": {"size": [5, 7]},
            "smaller": {"size": [2, 3]},
            "corners": {"size": [5, 7], "align_corners": True},
            "centres": {"size": [5, 3], "half_pixel_centers": True},
        },
        dtypes=(*FLOATS, "uint8"),
    ),
    Row(
        "raw_ops.MaxPoolGradV2",
        lambda tf, x, g: tf.raw_ops.MaxPoolGradV2(
            orig_input=x,
            orig_output=tf.nn.max_pool2d(x, 2, 2, "SAME"),
            grad=g,
            ksize=[1, 2, 2, 1],
            strides=[1, 2, 2, 1],
            padding="SAME",
        ),
        [distinct(1, 4, 5, 2), anything(1, 2, 3, 2)],
        SINGLE,
        wrt=(1,),
    ),
    Row(
        "raw_ops.MaxPoolGradWithArgmax",
        lambda tf, x, g: tf.raw_ops.MaxPoolGradWithArgmax(
            input=x,
            grad=g,
            argmax=tf.nn.max_pool_with_argmax(x, 2, 2, "SAME")[1],
            ksize=[1, 2, 2, 1],
            strides=[1, 2, 2, 1],
            padding="SAME",
        ),
        [distinct(1, 4, 5, 2), anything(1, 2, 3, 2)],
        SINGLE,
        wrt=(1,),
    ),
    Row(
        "nn.embedding_lookup[parts]",
        lambda tf, x, y: [
            tf.nn.embedding_lookup([x, y], [[0, 3], [4, 1]]),
            tf.compat.v1.nn.embedding_lookup([x, y], [5, 0, 2]),
            tf.nn.embedding_lookup(x, [0, 2], max_norm=1.5),
        ],
        [anything(3, 4), anything(3, 4)],
        SINGLE,
        unknown_shapes=False,
    ),
    Row(
        "nn.compute_average_loss",
        lambda tf, x: [
            tf.nn.compute_average_loss(x, sample_weight=[1.0, 0.5, 2.0, 1.0], global_batch_size=8),
            tf.nn.compute_average_loss(x),
        ],
        [positive(4)],
        ("float32",),
        gradient_dtypes=("float32",),
        unknown_shapes=False,
    ),
]

ROWS = [*SOFTMAX, *LOSSES, *CONVOLUTIONS, *POOLING, *NORMALISATION, *SEQUENCES, *RARE]
