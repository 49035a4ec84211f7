"""Special functions: error, gamma, beta and Bessel functions, some integrals. (Their kernels: special_functions.)"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import export, public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, OpDef, define
from rillet.core.shapes import TensorShape
from rillet.errors import ShapeError, format_shape
from rillet.ops import special_functions
from rillet.ops.approximation import in_double
from rillet.ops.broadcasting import broadcast_derivatives, by_derivatives
from rillet.ops.cast import cast
from rillet.ops.creation import ones_like_v1 as ones_like
from rillet.ops.elementwise import (
    constant_like,
    cos,
    div,
    exp,
    log,
    negative,
    reciprocal,
    sign,
    sin,
    square,
    xlog1py,
    xlogy,
)
from rillet.ops.families import broadcast_shapes, no_gradient_rule, same_shape, unary
from rillet.ops.reduce import reduce_sum
from rillet.ops.scope import scope

Function = Callable[..., Any]

# ---- functions of one variable ----------------------------------------------------------------------------------------


def _function(op_type: str, kernel: Any, gradient: Any) -> Function:
    """A function whose node has its own name: tf.math.lgamma is Lgamma."""
    name = op_type.lower()
    return unary(
        op_type, in_double(kernel), "floating", gradient, names=[f"math.{name}"], v1=[name], doc=kernel.__doc__ or ""
    )


def _scoped(op_type: str, kernel: Any, gradient: Any, name: str, *namespaces: str) -> Function:
    """A function whose node lies in a scope named after the function: tf.math.ndtri is ndtri/Ndtri."""
    definition = define(
        op_type, "x: T -> y: T", "T: floating", reference=in_double(kernel), shape=same_shape, gradient=gradient,
        elementwise=True,
    )  # fmt: skip
    scope_name = name

    def function(x: Any, name: str | None = None) -> Any:
        with scope(name or scope_name, x):
            return apply_op(definition, (x,))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = kernel.__doc__ or f"{op_type} of each element of `x`; same shape and dtype."
    export(function, *(f"{namespace}.{name}" for namespace in namespaces))
    return function


def _where_equal(x: Any, value: float, then: float, otherwise: Callable[[], Any]) -> Any:
    """`then` where x is `value`, else `otherwise()`."""
    is_value = apply_op(REGISTRY["Equal"], (x, value))
    return apply_op(REGISTRY["SelectV2"], (is_value, cast(then, x.dtype), otherwise()))


# ---- error functions ------------------------------------------------------------------------------------------------


_ERF_IN_DOUBLE = in_double(special_functions.erf)


def _erf_kernel(x: Any) -> Any:
    if x.dtype == np.float64:
        return _ERF_IN_DOUBLE(x)
    return special_functions.erf_in_single(np.asarray(x, np.float32))


def _erf_gradient(factor: float) -> Callable[[Operation, Any], Any]:
    def rule(op: Operation, dy: Any) -> Any:
        return _times_constant(dy, factor) * exp(negative(square(op.inputs[0])))

    return rule


def _times_constant(dy: Any, factor: float) -> Any:
    constant = constant_like(factor, dy)
    return dy * constant


erf = unary(
    "Erf", _erf_kernel, "floating", _erf_gradient(2 / math.sqrt(math.pi)), names=["math.erf"], v1=["erf"],
    doc="The error function: 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.",
)  # fmt: skip
erfc = _function("Erfc", special_functions.erfc, _erf_gradient(-2 / math.sqrt(math.pi)))
erfinv = _scoped(
    "Erfinv", special_functions.erfinv,
    lambda op, dy: _times_constant(dy, math.sqrt(math.pi) / 2) * exp(square(op.outputs[0])), "erfinv", "math",
)  # fmt: skip
ndtri = _scoped(
    "Ndtri", special_functions.ndtri,
    lambda op, dy: _times_constant(dy, math.sqrt(2 * math.pi)) * exp(square(op.outputs[0]) / 2), "ndtri", "math",
)  # fmt: skip


@public("math.erfcinv")
def erfcinv(x: Any, name: str | None = None) -> Any:
    """The y with erfc(y) = x."""
    with scope(name or "erfcinv", x):
        x = convert_to_tensor(x, name="start")
        return -ndtri(0.5 * x) * math.sqrt(0.5)


# ---- gamma and beta functions ---------------------------------------------------------------------------------------


def _digamma_gradient(op: Operation, dy: Any) -> Any:
    return dy * polygamma(constant_like(1, dy), op.inputs[0])


digamma = _function("Digamma", special_functions.digamma, _digamma_gradient)
lgamma = _function("Lgamma", special_functions.lgamma, lambda op, dy: dy * digamma(op.inputs[0]))


def _pair(op_type: str, arguments: tuple[str, str], kernel: Any, derivatives: Any, types: str = "floating") -> OpDef:
    first, second = arguments
    gradient = no_gradient_rule if derivatives is None else broadcast_derivatives(derivatives)
    return define(
        op_type, f"{first}: T, {second}: T -> z: T", f"T: {types}", reference=in_double(kernel),
        shape=broadcast_shapes, gradient=gradient, elementwise=True,
    )  # fmt: skip


_WIDE = "{float32, float64}"


def _zeta_derivatives(x: Any, q: Any) -> tuple[None, Any]:
    return None, negative(x) * zeta(x + 1.0, q)


def _polygamma_derivatives(a: Any, x: Any) -> tuple[None, Any]:
    return None, polygamma(a + 1.0, x)


ZETA = _pair("Zeta", ("x", "q"), special_functions.zeta, _zeta_derivatives, _WIDE)
POLYGAMMA = _pair("Polygamma", ("a", "x"), special_functions.polygamma, _polygamma_derivatives, _WIDE)


@public("math.zeta", v1=["zeta"])
def zeta(x: Any, q: Any, name: str | None = None) -> Any:
    """Hurwitz' zeta function: the sum of (q + k)^-x over k >= 0."""
    return apply_op(ZETA, (x, q), name=name)


@public("math.polygamma", v1=["polygamma"])
def polygamma(a: Any, x: Any, name: str | None = None) -> Any:
    """The derivative of order `a` (a whole number) of digamma at x."""
    return apply_op(POLYGAMMA, (a, x), name=name)


def _igamma_derivatives(a: Any, x: Any) -> tuple[Any, Any]:
    by_a = apply_op(REGISTRY["IgammaGradA"], (a, x))
    return by_a, exp(negative(x) + (a - 1.0) * log(x) - lgamma(a))


def _igammac_gradient(op: Operation, dz: Any) -> list[Any]:
    return [-gradient for gradient in broadcast_derivatives(_igamma_derivatives)(op, dz)]


IGAMMA = _pair("Igamma", ("a", "x"), special_functions.igamma, _igamma_derivatives)
IGAMMAC = define(
    "Igammac", "a: T, x: T -> z: T", "T: floating", reference=in_double(special_functions.igammac),
    shape=broadcast_shapes, gradient=_igammac_gradient, elementwise=True,
)  # fmt: skip
_pair("IgammaGradA", ("a", "x"), special_functions.igamma_grad_a, None, _WIDE)
define(
    "RandomGammaGrad", "alpha: T, sample: T -> output: T", f"T: {_WIDE}",
    reference=in_double(special_functions.random_gamma_grad), shape=broadcast_shapes, gradient=no_gradient_rule,
    elementwise=True,
)  # fmt: skip


@public("math.igamma", v1=["igamma"])
def igamma(a: Any, x: Any, name: str | None = None) -> Any:
    """The regularized lower incomplete gamma function P(a, x), for a > 0 and x >= 0."""
    return apply_op(IGAMMA, (a, x), name=name)


@public("math.igammac", v1=["igammac"])
def igammac(a: Any, x: Any, name: str | None = None) -> Any:
    """The regularized upper incomplete gamma function Q(a, x) = 1 - P(a, x), for a > 0 and x >= 0."""
    return apply_op(IGAMMAC, (a, x), name=name)


def _betainc_shape(op: Operation) -> TensorShape:
    """All inputs have one shape, or are scalars."""
    merged = TensorShape(None)
    for index, tensor in enumerate(op.inputs):
        if tensor.shape.rank == 0:
            continue
        if not merged.is_compatible_with(tensor.shape):
            found, other = format_shape(merged.dimensions), format_shape(tensor.shape.dimensions)
            raise ShapeError(
                f"Shapes must be equal for '{op.type}': {found} and {other}.",
                f"Shapes of a, b and x are inconsistent: {found} vs. {other}",
                {index: range(tensor.shape.rank or 0)},
            )
        merged = merged.merge_with(tensor.shape)
    if all(tensor.shape.rank == 0 for tensor in op.inputs):
        return TensorShape(())
    return merged


def _betainc_gradient(op: Operation, dz: Any) -> list[Any]:
    """As in TensorFlow, x alone has a derivative: the density of the beta distribution."""
    a, b, x = op.inputs

    def derivatives() -> tuple[None, Any]:
        log_beta = lgamma(a) + lgamma(b) - lgamma(a + b)
        return None, exp(xlog1py(b - 1, -x) + xlogy(a - 1, x) - log_beta)

    return [None, None, by_derivatives((a, x), derivatives, dz)[1]]


BETAINC = define(
    "Betainc", "a: T, b: T, x: T -> z: T", f"T: {_WIDE}", reference=in_double(special_functions.betainc),
    shape=_betainc_shape, gradient=_betainc_gradient, elementwise=True,
)  # fmt: skip


@public("math.betainc", v1=["betainc"])
def betainc(a: Any, b: Any, x: Any, name: str | None = None) -> Any:
    """The regularized incomplete beta function I_x(a, b), for a > 0, b > 0 and 0 <= x <= 1; a scalar is broadcast."""
    return apply_op(BETAINC, (a, b, x), name=name)


@public("math.lbeta", v1=["lbeta"])
def lbeta(x: Any, name: str | None = None) -> Any:
    """log |Beta(x)| over the last axis: the sum of lgamma(x) less lgamma of the sum of x."""
    with scope(name or "lbeta", x):
        x = convert_to_tensor(x, name="x")
        log_product = reduce_sum(lgamma(x), axis=[-1])
        return log_product - lgamma(reduce_sum(x, axis=[-1]))


# ---- Bessel functions -----------------------------------------------------------------------------------------------


def _bessel(kind: str, gradient: Any) -> Callable[..., Any]:
    """tf.math.special.bessel_i0 is the op BesselI0, and so on. (I0 to I1e are in tf.math too.)"""
    name = f"bessel_{kind.lower()}"
    namespaces = ("math.special", "math") if kind.startswith("I") else ("math.special",)
    return _scoped(f"Bessel{kind}", getattr(special_functions, name), gradient, name, *namespaces)


def _i0e_gradient(op: Operation, dy: Any) -> Any:
    x = op.inputs[0]
    return dy * (bessel_i1e(x) - sign(x) * op.outputs[0])


def _i1_gradient(op: Operation, dy: Any) -> Any:
    x, y = op.inputs[0], op.outputs[0]
    return dy * _where_equal(x, 0.0, 1.0, lambda: bessel_i0(x) - div(y, x))


def _i1e_gradient(op: Operation, dy: Any) -> Any:
    x, y = op.inputs[0], op.outputs[0]
    return dy * _where_equal(x, 0.0, 0.5, lambda: bessel_i0e(x) - y * (sign(x) + reciprocal(x)))


def _j1_gradient(op: Operation, dy: Any) -> Any:
    x, y = op.inputs[0], op.outputs[0]
    return dy * _where_equal(x, 0.0, 0.5, lambda: bessel_j0(x) - div(y, x))


def _k1_gradient(op: Operation, dy: Any) -> Any:
    x, y = op.inputs[0], op.outputs[0]
    return dy * (-bessel_k0(x) - div(y, x))


def _k1e_gradient(op: Operation, dy: Any) -> Any:
    x, y = op.inputs[0], op.outputs[0]
    inverse = reciprocal(x)
    return dy * (y * (1.0 - inverse) - bessel_k0e(x))


def _y1_gradient(op: Operation, dy: Any) -> Any:
    x, y = op.inputs[0], op.outputs[0]
    return dy * (bessel_y0(x) - div(y, x))


bessel_i0: Function = _bessel("I0", lambda op, dy: dy * bessel_i1(op.inputs[0]))
bessel_i0e: Function = _bessel("I0e", _i0e_gradient)
bessel_i1: Function = _bessel("I1", _i1_gradient)
bessel_i1e: Function = _bessel("I1e", _i1e_gradient)
bessel_j0: Function = _bessel("J0", lambda op, dy: dy * -bessel_j1(op.inputs[0]))
bessel_j1: Function = _bessel("J1", _j1_gradient)
bessel_k0: Function = _bessel("K0", lambda op, dy: dy * -bessel_k1(op.inputs[0]))
bessel_k0e: Function = _bessel("K0e", lambda op, dy: dy * (op.outputs[0] - bessel_k1e(op.inputs[0])))
bessel_k1: Function = _bessel("K1", _k1_gradient)
bessel_k1e: Function = _bessel("K1e", _k1e_gradient)
bessel_y0: Function = _bessel("Y0", lambda op, dy: dy * -bessel_y1(op.inputs[0]))
bessel_y1: Function = _bessel("Y1", _y1_gradient)

# ---- integrals ------------------------------------------------------------------------------------------------------


def _spence_gradient(op: Operation, dy: Any) -> Any:
    x = op.inputs[0]
    slope = log(x) / (1 - x)
    is_one = apply_op(REGISTRY["Equal"], (x, 1.0))
    return dy * apply_op(REGISTRY["Select"], (is_one, -ones_like(x), slope))


def _integral(op_type: str, name: str, gradient: Any) -> Callable[..., Any]:
    return _scoped(op_type, getattr(special_functions, name), gradient, name, "math.special")


dawsn = _integral("Dawsn", "dawsn", lambda op, dy: dy * (1.0 - 2 * op.inputs[0] * op.outputs[0]))
expint = _integral("Expint", "expint", lambda op, dy: dy * exp(op.inputs[0]) / op.inputs[0])
fresnel_cos = _integral("FresnelCos", "fresnel_cos", lambda op, dy: dy * cos(math.pi / 2 * square(op.inputs[0])))
fresnel_sin = _integral("FresnelSin", "fresnel_sin", lambda op, dy: dy * sin(math.pi / 2 * square(op.inputs[0])))
spence = _integral("Spence", "spence", _spence_gradient)
