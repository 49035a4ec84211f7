"""Reductions, arg-reductions, cumulative and segment rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.ops.harness import Bad, Row, public, table
from tests.ops.inputs import (
    COMPLEX,
    FLOATS,
    NUMBERS,
    REALS,
    SINGLE,
    Input,
    anything,
    boolean,
    distinct,
    fraction,
    index,
    nonzero,
    positive,
    small,
    symmetric,
    values,
)

AXES: dict[str, dict[str, Any]] = {
    "all": {},
    "axis=0": {"axis": 0},
    "axis=-1": {"axis": -1},
    "axis=1,keepdims": {"axis": 1, "keepdims": True},
    "axis=0,2": {"axis": [0, 2]},
    "axis=2,-3,keepdims": {"axis": (2, -3), "keepdims": True},
    "none": {"axis": []},
    "keepdims": {"keepdims": True},
}
OUT_OF_RANGE = Bad(
    lambda tf, x: tf.reduce_sum(x, axis=2),
    [[[1.0, 2.0]]],
    ("InvalidArgumentError", "Invalid reduction dimension (2 for input with 2 dimension(s)"),
    ("ValueError", "Invalid reduction dimension 2 for input with 2 dimensions"),
)


def reduction(path: str, make: Callable[..., Input], dtypes: Any, **common: Any) -> list[Row]:
    """Rows of a reduction over every kind of axes."""
    variants = {"empty": [(2, 0, 3)], "ones": [(1, 1, 1)]}
    if "complex128" in dtypes and "gradient_dtypes" not in common:
        common["gradient_dtypes"] = ("float64", "complex128")
    whole = Row(
        f"{path}[scalar]",
        public(path),
        [make()],
        [dtype for dtype in dtypes if dtype in ("float32", "float64", "int32", "bool")],
        {"vector": [(7,)], "deep": [(1, 2, 1, 2, 1, 2)]},
        wrt=common.get("wrt"),
    )
    return [*table(path, public(path), [make(2, 4, 3)], AXES, dtypes=dtypes, variants=variants, **common), whole]


REDUCTIONS = [
    *reduction(
        "reduce_sum", anything, NUMBERS, other_dtypes=("float32", "float64", "int32"), smoke=True, errors=[OUT_OF_RANGE]
    ),
    *reduction("reduce_mean", anything, REALS, other_dtypes=("float32", "float64"), smoke=True),
    *reduction("reduce_prod", nonzero, NUMBERS, other_dtypes=("float32", "float64")),
    *reduction("reduce_max", distinct, REALS, other_dtypes=("float32", "float64", "int32"), smoke=True),
    *reduction("reduce_min", distinct, REALS, other_dtypes=("float32", "float64")),
    *reduction("reduce_logsumexp", anything, FLOATS, other_dtypes=("float32", "float64")),
    *reduction(
        "math.reduce_euclidean_norm",
        nonzero,
        (*FLOATS, "int32", *COMPLEX),
        other_dtypes=("float32", "float64"),
        gradient_dtypes=("float64",),
    ),
    *reduction("math.reduce_variance", anything, FLOATS, other_dtypes=("float32", "float64")),
    # A deviation of one number is 0, where its gradient is nan and its difference quotient is not.
    *(
        replace(row, orders=0) if row.name.endswith(("[none]", "[scalar]")) else row
        for row in reduction("math.reduce_std", anything, FLOATS, other_dtypes=("float32", "float64"))
    ),
    *reduction("reduce_all", boolean, ("bool",), other_dtypes=("bool",), wrt=()),
    *reduction("reduce_any", boolean, ("bool",), other_dtypes=("bool",), wrt=()),
    Row(
        "reduce_mean[complex]",
        lambda tf, x: [tf.reduce_mean(x), tf.reduce_mean(x, axis=1)],
        [anything(2, 4, 3)],
        COMPLEX,
        wrt=(0,),
        gradient_dtypes=("complex128",),
    ),
    Row(
        "reduce_sum[tensor axis]",
        lambda tf, x, axis: tf.reduce_sum(x, axis),
        [anything(2, 3, 4), index(3)],
        SINGLE,
        {"two": [None, values([0, 2], "int32")], "long": [None, values(1, "int64")]},
        constant_variants=("long",),
    ),
    Row(
        "reduce_prod[zeros]",
        lambda tf, x: tf.reduce_prod(x * tf.constant([[1, 0, 1], [1, 1, 1], [0, 1, 0]], x.dtype), axis=1),
        [nonzero(3, 3)],
        SINGLE,
    ),
    Row("reduce_max[ties]", public("reduce_max"), [values([[1.0, 3.0, 3.0], [2.0, 3.0, 1.0]])], SINGLE, orders=0),
    Row(
        "reduce_max[nan]",
        lambda tf, x: [tf.reduce_max(x), tf.reduce_min(x), tf.reduce_sum(x)],
        [values([1.0, float("nan"), float("inf")])],
        FLOATS,
        wrt=(),
    ),
    Row(
        "reduce_max[empty]",
        lambda tf, x: [tf.reduce_max(x), tf.reduce_min(x), tf.reduce_max(x, 0), tf.reduce_min(x, 1)],
        [anything(0, 3)],
        REALS,
        wrt=(),
    ),
    Row(
        "reduce_sum[duplicate axes]",
        lambda tf, x: tf.reduce_sum(x, [0, -1]),
        [anything(2, 3)],
        SINGLE,
        errors=[
            Bad(
                lambda tf, x: tf.reduce_sum(x, [0, 0]),
                [[1.0, 2.0]],
                ("InvalidArgumentError", "Axes contains duplicate dimension: 0"),
                ("InvalidArgumentError", "Axes contains duplicate dimension: 0"),
            )
        ],
    ),
    Row(
        "compat.v1.reduce_mean",
        lambda tf, x: [
            tf.compat.v1.reduce_mean(x, reduction_indices=[1], keep_dims=True),
            tf.compat.v1.reduce_max(x, reduction_indices=0),
            tf.compat.v1.reduce_sum(x, 1, keep_dims=True),
        ],
        [distinct(2, 3)],
        SINGLE,
    ),
    Row(
        "reduce_sum[rank 0 of many]",
        lambda tf, x: tf.reduce_sum(x, axis=[0, 1, 2, 3, 4, 5]),
        [anything(2, 1, 2, 1, 2, 2)],
        SINGLE,
    ),
    Row(
        "math.count_nonzero",
        lambda tf, x: [
            tf.math.count_nonzero(x),
            tf.math.count_nonzero(x, axis=1),
            tf.math.count_nonzero(x, axis=0, keepdims=True, dtype=tf.int32),
        ],
        [small(4, 5)],
        ("int32", "float32", "bool", "int64"),
        wrt=(),
    ),
    Row(
        "math.zero_fraction",
        lambda tf, x: tf.nn.zero_fraction(tf.nn.relu(x)),
        [small(4, 5)],
        ("float32", "float64"),
        wrt=(),
    ),
    Row(
        "norm",
        lambda tf, x: [tf.norm(x), tf.norm(x, ord=1), tf.norm(x, axis=0), tf.norm(x, ord=3, axis=1, keepdims=True)],
        [nonzero(4, 3)],
        SINGLE,
    ),
    Row(
        "norm[inf]",
        lambda tf, x: [
            tf.norm(x, ord=float("inf")),
            tf.norm(x, ord="fro", axis=[0, 1]),
            tf.norm(x, ord=1, axis=[0, 1]),
            tf.norm(x, ord="euclidean"),
        ],
        [distinct(4, 3)],
        SINGLE,
    ),
    Row("nn.moments", lambda tf, x: tf.nn.moments(x, axes=[0, 1]), [anything(2, 3, 4)], FLOATS, {"thin": [(1, 1, 4)]}),
    Row("nn.moments[keepdims]", lambda tf, x: tf.nn.moments(x, axes=[1], keepdims=True), [anything(2, 3, 4)], SINGLE),
    Row(
        "nn.weighted_moments",
        lambda tf, x, w: tf.nn.weighted_moments(x, axes=[0], frequency_weights=w),
        [anything(4, 3), positive(4, 1)],
        SINGLE,
    ),
    Row(
        "nn.sufficient_statistics", lambda tf, x: tf.nn.sufficient_statistics(x, axes=[0, 1]), [anything(4, 3)], SINGLE
    ),
    Row(
        "nn.normalize_moments",
        lambda tf, n, m, v: tf.nn.normalize_moments(n, m, v, shift=None),
        [positive(), anything(3), positive(3)],
        SINGLE,
    ),
    Row("nn.l2_loss", public("nn.l2_loss"), [anything(3, 4)], FLOATS, {"scalar": [()], "empty": [(0,)]}),
]

ARG_AXES: dict[str, dict[str, Any]] = {
    "default": {},
    "axis=1": {"axis": 1},
    "axis=-1": {"axis": -1},
    "int32": {"axis": 0, "output_type": "int32"},
}
ARGUMENTS = [
    *table(
        "argmax",
        lambda tf, x, **k: tf.argmax(x, **k),
        [distinct(4, 3, 2)],
        ARG_AXES,
        dtypes=(*REALS, "bool"),
        wrt=(),
        variants={"empty": [(2, 3, 0)]},
        other_dtypes=("float32",),
        smoke=True,
    ),
    *table(
        "argmin", lambda tf, x, **k: tf.argmin(x, **k), [distinct(4, 3, 2)], ARG_AXES, dtypes=(*REALS, "bool"), wrt=()
    ),
    Row(
        "argmax[ties]",
        lambda tf, x: [tf.argmax(x, 1), tf.argmin(x, 1)],
        [small(4, 7)],
        ("int32", "float32"),
        wrt=(),
        errors=[
            Bad(
                lambda tf, x: tf.argmax(x, axis=3),
                [[1.0, 2.0]],
                ("InvalidArgumentError", "Expected dimension in the range [-1, 1), but got 3"),
                ("Exception", "[-1, 1)"),
            )
        ],
    ),
    Row(
        "compat.v1.argmax",
        lambda tf, x: [tf.compat.v1.argmax(x, 1), tf.compat.v1.argmax(x, dimension=0), tf.compat.v1.argmin(x, axis=1)],
        [distinct(3, 4)],
        SINGLE,
        wrt=(),
    ),
]

CUMULATIVE: dict[str, dict[str, Any]] = {
    "default": {},
    "axis=1": {"axis": 1},
    "exclusive": {"exclusive": True},
    "reverse": {"axis": -1, "reverse": True},
    "both": {"axis": 1, "exclusive": True, "reverse": True},
}
SCANS = [
    *table(
        "cumsum",
        public("cumsum"),
        [anything(4, 3)],
        CUMULATIVE,
        dtypes=NUMBERS,
        other_dtypes=SINGLE,
        variants={"vector": [(6, 1)], "empty": [(0, 3)]},
        smoke=True,
        gradient_dtypes=("float64", "complex128"),
    ),
    *table(
        "math.cumprod",
        public("math.cumprod"),
        [nonzero(4, 3)],
        CUMULATIVE,
        dtypes=NUMBERS,
        other_dtypes=SINGLE,
        variants={"empty": [(0, 3)]},
    ),
    # Exclusive sums begin with -inf, of which there is no difference quotient.
    *(
        replace(row, orders=0) if "exclusive" in row.name or "both" in row.name else row
        for row in table(
            "math.cumulative_logsumexp",
            public("math.cumulative_logsumexp"),
            [anything(4, 3)],
            CUMULATIVE,
            dtypes=FLOATS,
            other_dtypes=SINGLE,
        )
    ),
]

IDS = values([0, 0, 1, 3, 3], "int32")
LONG_IDS = values([0, 0, 1, 3, 3], "int64")
MIXED_IDS = values([2, 0, 1, 0, 2], "int32")


def segment(name: str, dtypes: Any, make: Callable[..., Input] = distinct, **common: Any) -> list[Row]:
    """Rows of the sorted and the unsorted form of a segment reduction."""
    variants = {"vector": [(5,), None], "long": [None, LONG_IDS], "none": [(0, 3), values([], "int32")]}
    ordered = Row(f"math.segment_{name}", public(f"math.segment_{name}"), [make(5, 3), IDS], dtypes, variants, **common)
    loose = Row(
        f"math.unsorted_segment_{name}",
        lambda tf, x, ids: getattr(tf.math, f"unsorted_segment_{name}")(x, ids, num_segments=3),
        [make(5, 3), MIXED_IDS],
        dtypes,
        {
            "vector": [(5,), None],
            "long": [None, values([0, 0, 2, 1, 2], "int64")],
            "gap": [(2, 3), values([0, 2], "int32")],
            "matrix": [(2, 3, 2), values([[0, 2, 1], [1, -1, 0]], "int32")],
        },
        **common,
    )
    return [ordered, loose]


SEGMENTS = [
    *segment(
        "sum",
        (*NUMBERS,),
        errors=[
            Bad(
                lambda tf, x, i: tf.math.segment_sum(x, i),
                [[1.0, 2.0, 3.0], [1, 0, 1]],
                ("InvalidArgumentError", "segment ids are not increasing"),
                ("InvalidArgumentError", "segment ids are not increasing"),
            )
        ],
    ),
    *segment("mean", FLOATS),
    *segment("prod", (*SINGLE, "int32"), nonzero),
    *segment("max", (*REALS,)),
    *segment("min", (*REALS,)),
    Row(
        "math.unsorted_segment_sqrt_n",
        lambda tf, x, ids: tf.math.unsorted_segment_sqrt_n(x, ids, 4),
        [anything(5, 2), MIXED_IDS],
        SINGLE,
    ),
    Row(
        "sparse.segment_sum",
        public("sparse.segment_sum"),
        [anything(5, 2), values([0, 4, 2, 2], "int32"), values([0, 0, 1, 2], "int32")],
        (*SINGLE, "int32"),
    ),
    Row(
        "sparse.segment_mean",
        public("sparse.segment_mean"),
        [anything(5, 2), values([0, 4, 2, 2], "int32"), values([0, 0, 1, 2], "int32")],
        SINGLE,
    ),
    Row(
        "sparse.segment_sqrt_n",
        public("sparse.segment_sqrt_n"),
        [anything(5, 2), values([0, 4, 2, 2], "int32"), values([0, 0, 1, 2], "int32")],
        SINGLE,
    ),
    *(
        Row(
            f"sparse.segment_{name}[sparse gradient]",
            lambda tf, x, i, s, name=name: getattr(tf.sparse, f"segment_{name}")(x, i, s, sparse_gradient=True),
            [anything(5, 2), values([0, 4, 2, 2], "int32"), values([0, 0, 1, 2], "int32")],
            SINGLE,
            indexed_slices=(0,),
        )
        for name in ("sum", "mean", "sqrt_n")
    ),
    Row(
        "sparse.segment_sum[num_segments]",
        lambda tf, x, i, s: tf.sparse.segment_sum(x, i, s, num_segments=4),
        [anything(5, 2), values([0, 4, 2], "int32"), values([0, 2, 2], "int32")],
        SINGLE,
    ),
    Row(
        "sparse.segment_mean[num_segments]",
        lambda tf, x, i, s: tf.sparse.segment_mean(x, i, s, num_segments=4),
        [anything(5, 2), values([0, 4, 2], "int32"), values([0, 2, 2], "int32")],
        SINGLE,
    ),
    Row(
        "sparse.segment_sqrt_n[num_segments]",
        lambda tf, x, i, s: tf.sparse.segment_sqrt_n(x, i, s, num_segments=4),
        [anything(5, 2), values([0, 4, 2], "int32"), values([0, 2, 2], "int32")],
        SINGLE,
    ),
]

COUNTS = [
    Row(
        "math.bincount",
        lambda tf, x: [tf.math.bincount(x), tf.math.bincount(x, minlength=8), tf.math.bincount(x, maxlength=3)],
        [index(5, 9)],
        ("int32",),
        wrt=(),
    ),
    Row(
        "math.bincount[weights]",
        lambda tf, x, w: tf.math.bincount(x, weights=w),
        [index(5, 6), anything(6)],
        SINGLE,
        wrt=(),
    ),
    Row(
        "math.bincount[binary]",
        lambda tf, x: tf.math.bincount(x, minlength=6, axis=-1, binary_output=True),
        [index(5, 2, 4)],
        ("int32",),
        wrt=(),
    ),
    Row(
        "histogram_fixed_width",
        lambda tf, x: [
            tf.histogram_fixed_width(x, [-1.0, 1.0], nbins=5),
            tf.histogram_fixed_width_bins(x, [-1.0, 1.0], nbins=5),
        ],
        [anything(12)],
        ("float32",),
        wrt=(),
    ),
    Row(
        "math.confusion_matrix",
        lambda tf, labels, predictions: [
            tf.math.confusion_matrix(labels, predictions),
            tf.math.confusion_matrix(labels, predictions, num_classes=5, dtype=tf.float32),
        ],
        [index(4, 7), index(4, 7)],
        ("int32",),
        wrt=(),
    ),
    Row(
        "math.in_top_k",
        lambda tf, x, t: tf.math.in_top_k(t, x, k=2),
        [distinct(4, 5), index(5, 4)],
        ("float32",),
        wrt=(),
    ),
    Row(
        "raw_ops.InTopK",
        lambda tf, x, t: tf.raw_ops.InTopK(predictions=x, targets=t, k=2),
        [distinct(4, 5), index(5, 4)],
        ("float32",),
        wrt=(),
    ),
    Row(
        "math.invert_permutation", public("math.invert_permutation"), [values([3, 0, 2, 1])], ("int32", "int64"), wrt=()
    ),
    Row(
        "raw_ops.Bucketize",
        lambda tf, x: tf.raw_ops.Bucketize(input=x, boundaries=[-1.0, 0.0, 1.5]),
        [anything(3, 4)],
        ("float32", "float64", "int32", "int64"),
        wrt=(),
    ),
    Row(
        "math.reduce_mean[integers]",
        lambda tf, x: [tf.reduce_mean(x), tf.reduce_mean(x, axis=0)],
        [anything(3, 5)],
        ("int32", "int64", "uint8"),
        wrt=(),
    ),
    Row(
        "math.top_k_extremes",
        lambda tf, x: [tf.reduce_max(tf.abs(x), axis=[0, 1]), tf.reduce_min(fraction_part(tf, x), axis=[-1])],
        [symmetric(2, 3, 2)],
        SINGLE,
    ),
    Row(
        "raw_ops.ArgMax",
        lambda tf, x: [
            tf.raw_ops.ArgMax(input=x, dimension=1, output_type=tf.int32),
            tf.raw_ops.ArgMin(input=x, dimension=0, output_type=tf.int64),
        ],
        [fraction(3, 4)],
        ("float32", "int32", "uint8"),
        wrt=(),
    ),
]


def fraction_part(tf: Any, x: Any) -> Any:
    """x - floor(x), written with ops."""
    return x - tf.floor(x)


ROWS = [*REDUCTIONS, *ARGUMENTS, *SCANS, *SEGMENTS, *COUNTS]
