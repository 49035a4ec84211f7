"""Elementwise rows: math, comparison, logic, bitwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.ops.harness import Bad, Row, public
from tests.ops.inputs import (
    COMPLEX,
    EVERYTHING,
    FLOATS,
    HALVES,
    INTEGERS,
    NUMBERS,
    REALS,
    SIGNED,
    SINGLE,
    Input,
    above_one,
    anything,
    between,
    boolean,
    distinct,
    fraction,
    nonzero,
    positive,
    small,
    symmetric,
    unit,
    values,
)

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, math.inf, -math.inf, math.nan, 1e-30, -1e-30, 40.0, -40.0]
SIGNED_NUMBERS = FLOATS + SIGNED + COMPLEX
FLOATS_AND_COMPLEX = FLOATS + COMPLEX

Maker = Callable[..., Input]


def unary(
    path: str,
    make: Maker,
    dtypes: Sequence[str] = FLOATS,
    *,
    special: Sequence[float] | None = SPECIAL,
    name: str = "",
    call: Callable[..., Any] | None = None,
    **common: Any,
) -> Row:
    """A row of a function of one tensor, for odd, scalar, empty and special inputs."""
    variants: dict[str, Any] = {"scalar": [()], "empty": [(0, 3)], "cube": [(2, 3, 2)]}
    if special is not None and any(dtype in FLOATS for dtype in dtypes):
        variants["special"] = [values(np.array(special))]
    if "gradient_dtypes" not in common and "complex128" in dtypes:
        common["gradient_dtypes"] = ("float64", "complex128")
    return Row(name or path, call or public(path), [make(3, 5)], dtypes, variants, **common)


def binary(
    path: str,
    left: Maker,
    right: Maker | None = None,
    dtypes: Sequence[str] = FLOATS,
    *,
    special: bool = True,
    name: str = "",
    call: Callable[..., Any] | None = None,
    **common: Any,
) -> Row:
    """A row of a broadcasting function of two tensors."""
    variants: dict[str, Any] = {
        "scalars": [(), ()],
        "scalar_right": [None, ()],
        "broadcast": [(2, 1, 3), (4, 1)],
        "empty": [(0, 3), (1, 3)],
    }
    if special and any(dtype in FLOATS for dtype in dtypes):
        grid = np.array([0.0, 1.0, -1.5, math.inf, -math.inf, math.nan])
        variants["special"] = [values(grid[:, None]), values(grid[None, :])]
    if "gradient_dtypes" not in common and "complex128" in dtypes:
        common["gradient_dtypes"] = ("float64", "complex128")
    return Row(name or path, call or public(path), [left(3, 5), (right or left)(3, 5)], dtypes, variants, **common)


UNARY = [
    unary("abs", nonzero, FLOATS + SIGNED + COMPLEX, smoke=True, gradient_dtypes=("float64", "complex128")),
    unary("math.negative", anything, SIGNED_NUMBERS),
    unary("math.sign", nonzero, SIGNED_NUMBERS, special=[0.0, 1.0, -2.0, math.inf, -math.inf, math.nan]),
    unary("math.square", anything, SIGNED_NUMBERS, smoke=True),
    unary("math.sqrt", positive, FLOATS_AND_COMPLEX),
    unary("math.rsqrt", positive, FLOATS_AND_COMPLEX),
    unary("math.reciprocal", nonzero, FLOATS_AND_COMPLEX),
    unary("math.exp", anything, FLOATS_AND_COMPLEX, smoke=True),
    unary("math.expm1", anything, FLOATS_AND_COMPLEX),
    unary("math.log", positive, FLOATS_AND_COMPLEX),
    unary("math.log1p", positive, FLOATS_AND_COMPLEX),
    unary("math.sin", anything, FLOATS_AND_COMPLEX, smoke=True),
    unary("math.cos", anything, FLOATS_AND_COMPLEX),
    unary("math.tan", symmetric, FLOATS_AND_COMPLEX),
    unary("math.asin", symmetric, FLOATS_AND_COMPLEX),
    unary("math.acos", symmetric, FLOATS_AND_COMPLEX),
    unary("math.atan", anything, FLOATS_AND_COMPLEX),
    unary("math.sinh", anything, FLOATS_AND_COMPLEX),
    unary("math.cosh", anything, FLOATS_AND_COMPLEX),
    unary("math.tanh", anything, FLOATS_AND_COMPLEX, smoke=True),
    unary("math.asinh", anything, FLOATS_AND_COMPLEX),
    unary("math.acosh", above_one, FLOATS_AND_COMPLEX),
    unary("math.atanh", symmetric, FLOATS_AND_COMPLEX),
    unary("math.sigmoid", anything, FLOATS_AND_COMPLEX),
    unary("math.log_sigmoid", anything),
    unary("math.softplus", anything),
    # TensorFlow's float64 kernel gives nan for infinities.
    unary("math.erf", anything, special=[value for value in SPECIAL if not math.isinf(value)]),
    unary("math.erfc", anything),
    unary("math.erfinv", symmetric, tolerance=4),
    unary("math.erfcinv", positive, special=None, call=lambda tf, x: tf.math.erfcinv(x / 2), tolerance=4),
    unary("math.ndtri", unit, special=[0.0, 0.5, 1.0, 1.5, -0.5, math.nan], tolerance=4),
    unary("math.lgamma", positive, tolerance=4),
    unary("math.digamma", positive, special=[1.0, 0.5, -2.5, 40.0, math.nan], tolerance=4),
    unary("math.floor", fraction),
    unary("math.ceil", fraction),
    unary("math.round", fraction, FLOATS + SIGNED, special=[0.5, 1.5, 2.5, -0.5, -1.5, -2.5, math.inf, math.nan]),
    unary("math.rint", fraction, special=[0.5, 1.5, 2.5, -0.5, -1.5, -2.5, math.inf, math.nan], wrt=()),
    unary("math.is_nan", anything, FLOATS, wrt=()),
    unary("math.is_inf", anything, FLOATS, wrt=()),
    unary("math.is_finite", anything, FLOATS, wrt=()),
    unary("math.real", anything, (*COMPLEX, *SINGLE), special=None, gradient_dtypes=("complex128",)),
    unary("math.imag", anything, COMPLEX, special=None, gradient_dtypes=("complex128",), wrt=(0,)),
    unary("math.conj", anything, (*COMPLEX, *SINGLE), special=None, gradient_dtypes=("complex128",), wrt=(0,)),
    unary("math.angle", nonzero, COMPLEX, special=None, gradient_dtypes=("complex128",), wrt=(0,)),
    unary("math.logical_not", boolean, ("bool",), special=None, wrt=()),
    unary("bitwise.invert", anything, INTEGERS, special=None, wrt=()),
    unary(
        "raw_ops.PopulationCount",
        anything,
        INTEGERS,
        special=None,
        wrt=(),
        call=lambda tf, x: tf.raw_ops.PopulationCount(x=x),
    ),
    unary("math.bessel_i0", anything, SINGLE, special=None, tolerance=4, gradient_tolerance=100),
    unary("math.bessel_i0e", anything, SINGLE, special=None, tolerance=4, gradient_tolerance=100),
    unary("math.bessel_i1", nonzero, SINGLE, special=None, tolerance=4, gradient_tolerance=100),
    unary("math.bessel_i1e", nonzero, SINGLE, special=None, tolerance=4, gradient_tolerance=100),
    unary("math.special.bessel_j0", positive, SINGLE, special=None, tolerance=8, gradient_tolerance=100),
    unary("math.special.bessel_j1", positive, SINGLE, special=None, tolerance=8, gradient_tolerance=100),
    unary("math.special.bessel_y0", positive, SINGLE, special=None, tolerance=8, gradient_tolerance=100),
    unary("math.special.bessel_y1", positive, SINGLE, special=None, tolerance=8, gradient_tolerance=100),
    unary("math.special.bessel_k0", positive, SINGLE, special=None, tolerance=8, gradient_tolerance=100),
    unary("math.special.bessel_k0e", positive, SINGLE, special=None, tolerance=8, gradient_tolerance=100),
    unary("math.special.bessel_k1", positive, SINGLE, special=None, tolerance=8, gradient_tolerance=100),
    unary("math.special.bessel_k1e", positive, SINGLE, special=None, tolerance=8, gradient_tolerance=100),
    unary("math.special.dawsn", anything, SINGLE, special=None, tolerance=8, gradient_tolerance=100),
    unary("math.special.expint", positive, SINGLE, special=None, tolerance=8, gradient_tolerance=100),
    unary("math.special.fresnel_cos", positive, SINGLE, special=None, tolerance=8, gradient_tolerance=100),
    unary("math.special.fresnel_sin", positive, SINGLE, special=None, tolerance=8, gradient_tolerance=100),
    unary("math.special.spence", positive, SINGLE, special=None, tolerance=8, gradient_tolerance=100),
    unary("identity", anything, EVERYTHING, special=None, smoke=True),
    unary("stop_gradient", anything, FLOATS, special=None, wrt=()),
    unary("zeros_like", anything, NUMBERS, special=None, wrt=()),
    unary("ones_like", anything, NUMBERS, special=None, wrt=()),
    unary("operators.unary", nonzero, ("float32", "float64", "int32"), special=None, call=lambda tf, x: [-x, abs(x)]),
    unary("nn.relu", nonzero, REALS, special=[0.0, 1.0, -1.0, math.inf, -math.inf]),
    unary("nn.relu6", nonzero, FLOATS + SIGNED, special=[0.0, 7.0, 6.0, -1.0, math.inf, -math.inf]),
    unary("nn.leaky_relu", nonzero, FLOATS, special=[0.0, 7.0, -1.0, math.inf, -math.inf]),
    unary("nn.leaky_relu[alpha]", nonzero, SINGLE, call=lambda tf, x: tf.nn.leaky_relu(x, alpha=0.01)),
    unary("nn.elu", nonzero, FLOATS, special=[0.0, 7.0, -1.0, math.inf, -math.inf]),
    unary("nn.selu", nonzero, FLOATS, special=[0.0, 7.0, -1.0, math.inf, -math.inf]),
    unary("nn.gelu", anything, FLOATS, special=None),
    # TensorFlow rounds the coefficient to single precision, so double precision is left to the finite differences.
    unary(
        "nn.gelu[approximate]",
        anything,
        ("float32", *HALVES),
        special=None,
        call=lambda tf, x: tf.nn.gelu(x, approximate=True),
    ),
    unary("nn.silu", anything, FLOATS, special=None, gradient_tolerance=10),
    unary("nn.silu[beta]", anything, SINGLE, special=None, call=lambda tf, x: tf.nn.silu(x, beta=1.75)),
    unary("nn.softsign", nonzero, FLOATS, special=None),
    unary(
        "debugging.check_numerics",
        anything,
        FLOATS,
        special=None,
        call=lambda tf, x: tf.debugging.check_numerics(x, "bad"),
    ),
    unary(
        "grad_pass_through",
        anything,
        SINGLE,
        special=None,
        call=lambda tf, x: tf.grad_pass_through(tf.math.sin)(x),
        orders=0,
    ),
    unary(
        "math.nextafter_of_one",
        anything,
        SINGLE,
        special=None,
        call=lambda tf, x: tf.math.nextafter(x, tf.ones_like(x)),
        orders=0,
    ),
]

INCOMPATIBLE = Bad(
    lambda tf, x, y: tf.add(x, y),
    [[1.0, 2.0, 3.0], [1.0, 2.0]],
    ("InvalidArgumentError", "Incompatible shapes: [3] vs. [2]"),
    ("ValueError", "Dimensions must be equal, but are 3 and 2"),
)
MIXED = Bad(
    lambda tf, x, y: x + y,
    [[1.0, 2.0], [1, 2]],
    (
        "InvalidArgumentError",
        "cannot compute AddV2 as input #1(zero-based) was expected to be a float tensor but is a int32 tensor",
    ),
    ("TypeError", "Input 'y' of 'AddV2' Op has type int32 that does not match type float32 of argument 'x'."),
)

BINARY = [
    binary("math.add", anything, None, NUMBERS, smoke=True, errors=[INCOMPATIBLE]),
    binary("math.subtract", anything, None, NUMBERS, smoke=True),
    binary("math.multiply", anything, None, NUMBERS, smoke=True),
    binary("math.divide", anything, nonzero, FLOATS_AND_COMPLEX + SIGNED),
    binary("truediv", anything, nonzero, NUMBERS),
    binary("math.floordiv", fraction, nonzero, REALS),
    binary("math.floormod", fraction, nonzero, REALS, special=False),
    binary("truncatediv", anything, nonzero, INTEGERS, special=False, wrt=()),
    binary("truncatemod", anything, nonzero, (*SINGLE, "int32", "int64"), special=False, wrt=()),
    binary("compat.v1.div", anything, nonzero, NUMBERS, special=False),
    binary("math.divide_no_nan", anything, nonzero, (*FLOATS, *COMPLEX)),
    binary(
        "math.divide_no_nan[zero]",
        anything,
        None,
        SINGLE,
        special=False,
        call=lambda tf, x, y: tf.math.divide_no_nan(x, tf.round(y)),
        wrt=(0,),
    ),
    binary("math.multiply_no_nan", anything, nonzero, FLOATS_AND_COMPLEX),
    binary("math.pow", positive, anything, FLOATS_AND_COMPLEX, special=True, smoke=True),
    binary("math.pow[integers]", small, positive, ("int32", "int64", "int8", "int16"), special=False, wrt=()),
    binary("math.maximum", distinct, anything, REALS),
    binary("math.minimum", distinct, anything, REALS),
    binary("math.squared_difference", anything, None, SIGNED_NUMBERS),
    binary("math.atan2", nonzero, None, FLOATS),
    binary("math.xlogy", anything, positive, FLOATS_AND_COMPLEX, special=False),
    binary(
        "math.xlogy[zero]",
        anything,
        positive,
        FLOATS,
        special=False,
        call=lambda tf, x, y: tf.math.xlogy(tf.zeros_like(x), y),
        wrt=(1,),
    ),
    binary("math.xlog1py", anything, positive, FLOATS_AND_COMPLEX, special=False),
    binary("math.xdivy", anything, nonzero, FLOATS_AND_COMPLEX, special=False),
    binary("math.igamma", positive, None, SINGLE, special=False, tolerance=20, gradient_tolerance=1e5, orders=1),
    binary("math.igammac", positive, None, SINGLE, special=False, tolerance=20, gradient_tolerance=1e5, orders=1),
    binary(
        "math.polygamma",
        above_one,
        positive,
        SINGLE,
        special=False,
        tolerance=20,
        wrt=(1,),
        call=lambda tf, a, x: tf.math.polygamma(tf.floor(a), x),
    ),
    binary("math.zeta", above_one, above_one, SINGLE, special=False, tolerance=20, wrt=(1,), gradient_tolerance=20),
    binary("math.nextafter", anything, None, SINGLE, special=True, wrt=()),
    binary("complex", anything, None, SINGLE, special=False),
    binary("math.equal", small, None, EVERYTHING[:-1], wrt=()),
    binary("math.not_equal", small, None, EVERYTHING[:-1], wrt=()),
    binary("math.less", small, None, REALS, wrt=()),
    binary("math.less_equal", small, None, REALS, wrt=()),
    binary("math.greater", small, None, REALS, wrt=()),
    binary("math.greater_equal", small, None, REALS, wrt=()),
    binary("math.logical_and", boolean, None, ("bool",), wrt=()),
    binary("math.logical_or", boolean, None, ("bool",), wrt=()),
    binary("math.logical_xor", boolean, None, ("bool",), wrt=()),
    binary("bitwise.bitwise_and", anything, None, INTEGERS, wrt=()),
    binary("bitwise.bitwise_or", anything, None, INTEGERS, wrt=()),
    binary("bitwise.bitwise_xor", anything, None, INTEGERS, wrt=()),
    binary("bitwise.left_shift", positive, unit, INTEGERS, wrt=()),
    binary("bitwise.right_shift", anything, unit, INTEGERS, wrt=()),
    binary(
        "operators.arithmetic",
        nonzero,
        positive,
        SINGLE,
        special=False,
        errors=[MIXED],
        call=lambda tf, x, y: [x + y, x - y, x * y, x / y, y**x, x // y, x % y],
    ),
    binary(
        "operators.reflected",
        nonzero,
        positive,
        SINGLE,
        special=False,
        wrt=(1,),
        call=lambda tf, x, y: [2.0 + x, 2.0 - x, 2.0 * x, 2.0 / x, 2.0**y, 2.0 - y],
    ),
    binary(
        "operators.integers",
        anything,
        nonzero,
        ("int32", "int64"),
        special=False,
        wrt=(),
        call=lambda tf, x, y: [x + 2, 7 // y, x % y, x // y, x / y, -x, abs(x), x & y, x | y, x ^ y, ~x],
    ),
    binary(
        "operators.comparison",
        small,
        None,
        ("float32", "int32"),
        special=False,
        wrt=(),
        call=lambda tf, x, y: [x < y, x <= y, x > y, x >= y, x < 1, y <= 2],
    ),
    # In a graph of its own, `==` between tensors is Python's identity.
    binary(
        "operators.equality",
        small,
        None,
        ("float32", "int32", "bool"),
        special=False,
        wrt=(),
        graph=False,
        call=lambda tf, x, y: [x == y, x != y],
    ),
    binary(
        "operators.logic",
        boolean,
        None,
        ("bool",),
        special=False,
        wrt=(),
        call=lambda tf, x, y: [x & y, x | y, x ^ y, ~x],
    ),
    binary(
        "add_n", anything, None, FLOATS_AND_COMPLEX + SIGNED, special=False, call=lambda tf, x, y: tf.add_n([x, x, x])
    ),
    binary(
        "raw_ops.Div",
        anything,
        nonzero,
        (*SINGLE, "int32"),
        special=False,
        call=lambda tf, x, y: tf.raw_ops.Div(x=x, y=y),
    ),
    binary(
        "raw_ops.Add", anything, None, (*SINGLE, "int32"), special=False, call=lambda tf, x, y: tf.raw_ops.Add(x=x, y=y)
    ),
    binary(
        "raw_ops.RealDiv",
        anything,
        nonzero,
        (*SINGLE, "complex128"),
        special=False,
        call=lambda tf, x, y: tf.raw_ops.RealDiv(x=x, y=y),
    ),
    binary(
        "raw_ops.TruncateDiv",
        anything,
        nonzero,
        ("int32", "int64"),
        special=False,
        wrt=(),
        call=lambda tf, x, y: tf.raw_ops.TruncateDiv(x=x, y=y),
    ),
    binary(
        "raw_ops.Mod",
        anything,
        nonzero,
        ("int32", "float32"),
        special=False,
        wrt=(),
        call=lambda tf, x, y: tf.raw_ops.Mod(x=x, y=y),
    ),
]


# Gradient ops are public too, and differentiable again; they do not broadcast.
def gradient_op(kind: str, primal: str, upstream: str, make: Maker) -> Row:
    """A row of the op `kind`, which takes a primal value and an upstream gradient of the same shape."""
    return Row(
        f"raw_ops.{kind}",
        lambda tf, value, gradient: getattr(tf.raw_ops, kind)(**{primal: value, upstream: gradient}),
        [make(3, 5), anything(3, 5)],
        FLOATS,
        {"scalar": [(), ()], "empty": [(0, 3), (0, 3)]},
    )


GRADIENT_OPS = [
    gradient_op("TanhGrad", "y", "dy", symmetric),
    gradient_op("SigmoidGrad", "y", "dy", unit),
    gradient_op("SqrtGrad", "y", "dy", positive),
    gradient_op("RsqrtGrad", "y", "dy", positive),
    gradient_op("ReciprocalGrad", "y", "dy", nonzero),
    gradient_op("InvGrad", "y", "dy", nonzero),
    gradient_op("ReluGrad", "features", "gradients", nonzero),
    gradient_op("Relu6Grad", "features", "gradients", nonzero),
    gradient_op("LeakyReluGrad", "features", "gradients", nonzero),
    gradient_op("EluGrad", "outputs", "gradients", nonzero),
    gradient_op("SeluGrad", "outputs", "gradients", nonzero),
    gradient_op("SoftplusGrad", "features", "gradients", anything),
    gradient_op("SoftsignGrad", "features", "gradients", nonzero),
]

OTHER = [
    Row(
        "math.betainc",
        public("math.betainc"),
        [positive(3, 4), positive(3, 4), unit(3, 4)],
        SINGLE,
        wrt=(2,),
        tolerance=20,
        gradient_tolerance=100,
    ),
    Row(
        "where",
        public("where"),
        [boolean(3, 4, dtype="bool"), anything(3, 4), anything(3, 4)],
        (*NUMBERS, "bool", "string"),
        {"broadcast": [(3, 1), (4,), ()], "scalars": [(), (), ()], "empty": [(0, 4), (0, 4), (1, 4)]},
        smoke=True,
        errors=[
            Bad(
                lambda tf, c, x, y: tf.where(c, x, y),
                [[True, False], [1.0, 2.0, 3.0], 0.0],
                ("InvalidArgumentError", "condition [2], then [3], and else []"),
                ("ValueError", "Dimensions must be equal, but are 2 and 3"),
            )
        ],
    ),
    Row(
        "compat.v1.where",
        public("compat.v1.where"),
        [boolean(3, dtype="bool"), anything(3, 4), anything(3, 4)],
        (*SINGLE, "int32"),
        {"same": [(3, 4), None, None], "scalar": [(), None, None]},
    ),
    Row(
        "math.reciprocal_no_nan", lambda tf, x: tf.math.reciprocal_no_nan(tf.round(x)), [anything(4, 5)], SINGLE, wrt=()
    ),
    Row(
        "math.reciprocal_no_nan[nonzero]",
        public("math.reciprocal_no_nan"),
        [nonzero(4, 5)],
        FLOATS_AND_COMPLEX,
        gradient_dtypes=("float64", "complex128"),
    ),
    Row(
        "raw_ops.IgammaGradA",
        lambda tf, a, x: tf.raw_ops.IgammaGradA(a=a, x=x),
        [positive(3, 5), positive(3, 5)],
        SINGLE,
        wrt=(),
        tolerance=20,
    ),
    Row(
        "raw_ops.RandomGammaGrad",
        lambda tf, a, x: tf.raw_ops.RandomGammaGrad(alpha=a, sample=x),
        [positive(3, 5), positive(3, 5)],
        SINGLE,
        wrt=(),
        tolerance=20,
    ),
    Row(
        "operators.arrays",
        lambda tf, x: [np.ones(3) + x, x * np.arange(3), 2 - x, x**2, np.float64(2) / x, x + True],
        [nonzero(2, 3)],
        SINGLE,
    ),
    Row(
        "operators.bools",
        lambda tf, x: [x * x, x & True, True | x, x ^ np.array([True, False])],
        [boolean(3, 2, dtype="bool")],
        ("bool",),
        wrt=(),
    ),
    Row(
        "clip_by_value",
        lambda tf, x: tf.clip_by_value(x, -3.1, 4.2),
        [distinct(5, 7)],
        SINGLE,
        {"scalar": [()], "empty": [(0, 3)]},
    ),
    Row("clip_by_value[integers]", lambda tf, x: tf.clip_by_value(x, 2, 4), [anything(5, 3)], ("int32", "int64")),
    Row(
        "clip_by_value[tensors]",
        public("clip_by_value"),
        [distinct(3, 4), between(-3, -2, 4), between(0.3, 0.32)],
        SINGLE,
    ),
    Row(
        "raw_ops.ClipByValue",
        lambda tf, x: tf.raw_ops.ClipByValue(
            t=x, clip_value_min=tf.cast(-0.4, x.dtype), clip_value_max=tf.cast(0.6, x.dtype)
        ),
        [distinct(3, 4)],
        SINGLE,
    ),
    Row(
        "math.cumulative_logsumexp",
        public("math.cumulative_logsumexp"),
        [anything(3, 4)],
        (*FLOATS,),
        {"vector": [(6,)]},
    ),
    Row(
        "math.accumulate_n", lambda tf, x, y: tf.math.accumulate_n([x, y, x]), [anything(3, 2), anything(3, 2)], SINGLE
    ),
    Row(
        "raw_ops.AccumulateNV2",
        lambda tf, x, y: tf.raw_ops.AccumulateNV2(inputs=[x, y, x], shape=[3, 2]),
        [anything(3, 2), anything(3, 2)],
        SINGLE,
        eager=False,
    ),
    Row("math.scalar_mul", lambda tf, x: tf.math.scalar_mul(2.5, x), [anything(3, 2)], SINGLE, {"scalar": [()]}),
    Row(
        "tensor_equality",
        lambda tf, x, y: tf.raw_ops.Equal(x=x, y=y, incompatible_shape_error=False),
        [small(3, 2), small(3, 2)],
        ("float32", "int32", "bool"),
        {"mismatch": [(3,), (2,)]},
        wrt=(),
        constant_variants=("mismatch",),
    ),
    Row(
        "raw_ops.ApproximateEqual",
        lambda tf, x: tf.raw_ops.ApproximateEqual(x=x, y=tf.round(x * 10) / 10, tolerance=0.02),
        [anything(4, 5)],
        SINGLE,
        wrt=(),
    ),
    Row("raw_ops.Inv", lambda tf, x: tf.raw_ops.Inv(x=x), [nonzero(3, 2)], SINGLE),
    Row(
        "raw_ops.ComplexAbs",
        lambda tf, x: tf.raw_ops.ComplexAbs(x=x, Tout=tf.float64),
        [nonzero(3, 2, dtype="complex128")],
        ("float64",),
        wrt=(0,),
        orders=0,
    ),
    Row("raw_ops.GuaranteeConst", lambda tf, x: tf.raw_ops.GuaranteeConst(input=x), [anything(3, 2)], SINGLE, wrt=()),
    Row(
        "raw_ops.PreventGradient",
        lambda tf, x: tf.raw_ops.PreventGradient(input=x, message="no"),
        [anything(3, 2)],
        SINGLE,
        wrt=(),
    ),
    Row("raw_ops.Snapshot", lambda tf, x: tf.raw_ops.Snapshot(input=x), [anything(3, 2)], SINGLE, wrt=()),
    Row("identity_n", lambda tf, x, y: tf.identity_n([x, y]), [anything(3, 2), anything(2)], SINGLE),
    Row(
        "math.reduce_hypot",
        lambda tf, x, y: tf.sqrt(tf.square(x) + tf.square(y)),
        [nonzero(3, 2), nonzero(3, 1)],
        SINGLE,
    ),
    Row(
        "math.is_non_decreasing",
        lambda tf, x: [tf.math.is_non_decreasing(x), tf.math.is_strictly_increasing(x)],
        [values([1, 2, 2, 5])],
        ("float32", "int32"),
        {"falling": [values([3, 1])], "one": [values([3])]},
        wrt=(),
    ),
    Row("nn.crelu", public("nn.crelu"), [nonzero(3, 4)], FLOATS, {"empty": [(0, 3)], "vector": [(5,)]}),
    Row("composite", lambda tf, x: tf.sin(tf.exp(tf.square(x))), [symmetric(4)], SINGLE, smoke=True),
    Row("large_argument", lambda tf, x: [tf.sin(x), tf.cos(x)], [between(1e3, 1e4, 8)], SINGLE, tolerance=4),
]

CAST_DTYPES = (
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "int32",
    "int64",
    "int8",
    "int16",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "complex64",
    "complex128",
    "bool",
)
UNSIGNED_TARGETS = ("uint8", "uint16", "uint32", "uint64")
CASTS = [
    Row(
        f"cast[{target}]",
        lambda tf, x, target=target: tf.cast(x, target),
        [fraction(3, 4)],
        # What becomes of a negative number with a fraction is not defined for unsigned integers.
        [dtype for dtype in CAST_DTYPES if target not in UNSIGNED_TARGETS or dtype in (*INTEGERS, "bool")],
        {"scalar": [()], "empty": [(0,)]},
        wrt=(0,) if target in (*FLOATS, *COMPLEX) else (),
        orders=2 if target in ("float64", "complex128") else 0,
        smoke=target == "int32",
    )
    for target in CAST_DTYPES
]
CASTS += [
    Row(
        f"cast[{target},positive]",
        lambda tf, x, target=target: tf.cast(x, target),
        [positive(3, 4)],
        (*FLOATS, *COMPLEX),
        wrt=(),
    )
    for target in UNSIGNED_TARGETS
]
CASTS += [
    Row(
        f"cast[{name}]",
        lambda tf, x, name=name: tf.cast(tf.cast(x, name), tf.float32),
        [anything(3, 4)],
        ("float32", "bfloat16", "float16"),
        wrt=(),
    )
    for name in ("float8_e5m2", "float8_e4m3fn")
]
CASTS += [
    Row(
        "saturate_cast[uint8]",
        lambda tf, x: tf.saturate_cast(x, tf.uint8),
        [between(-300, 600, 12)],
        ("float32", "int32", "int16"),
        wrt=(),
    ),
    Row(
        "saturate_cast[int8]",
        lambda tf, x: tf.saturate_cast(x, tf.int8),
        [between(-300, 600, 12)],
        ("float32", "int32"),
        wrt=(),
    ),
    Row(
        "compat.v1.to_float",
        lambda tf, x: [
            tf.compat.v1.to_float(x),
            tf.compat.v1.to_int32(x),
            tf.compat.v1.to_double(x),
            tf.compat.v1.to_int64(x),
            tf.compat.v1.to_bfloat16(x),
        ],
        [fraction(3)],
        ("float32", "int32"),
        wrt=(),
    ),
]

ROWS = [*UNARY, *BINARY, *GRADIENT_OPS, *OTHER, *CASTS]
