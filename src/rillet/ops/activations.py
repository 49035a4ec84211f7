"""Activation functions and softmax.

The gradients of activations are ops of their own in TensorFlow (ReluGrad, EluGrad ...), with gradients again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import export, public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, OpDef, define
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor
from rillet.errors import InvalidArgumentError, ShapeError, format_shape
from rillet.ops.arguments import renamed
from rillet.ops.cast import cast
from rillet.ops.creation import zeros_like
from rillet.ops.families import same_shape
from rillet.ops.join import concat
from rillet.ops.precision import float_attribute, wide
from rillet.ops.reduce import reduce_sum
from rillet.ops.scope import scope
from rillet.ops.shape import rank

_FLOAT = "{float16, bfloat16, float32, float64}"
_REAL = "{float32, float64, int32, uint8, int16, int8, int64, bfloat16, uint16, float16, uint32, uint64}"

SELU_SCALE = 1.0507009873554804934193349852946
SELU_SCALE_ALPHA = 1.7580993408473768599402175208123


def _activation(
    definition: OpDef, *names: str, v1: Sequence[str] = (), v2: Sequence[str] = (), doc: str
) -> Callable[..., Any]:
    """The public function of an op on `features`."""

    def function(features: Any, name: str | None = None) -> Any:
        return apply_op(definition, (features,), name=name)

    function.__name__ = function.__qualname__ = names[0].rpartition(".")[2]
    function.__doc__ = doc
    export(function, *names, v1=v1, v2=v2)
    return function


def _gradient_shape(op: Operation) -> TensorShape:
    """Gradients and features have one shape."""
    gradients, features = op.inputs[0].shape, op.inputs[1].shape
    if not gradients.is_compatible_with(features):
        texts = f"{format_shape(gradients.dimensions)} and {format_shape(features.dimensions)}"
        raise ShapeError(f"Shapes of gradients and features must be equal for '{op.type}', but are {texts}.")
    return gradients.merge_with(features)


# ---- relu and its relatives -----------------------------------------------------------------------------------------


def _passing(mask: Any, gradients: Any) -> Any:
    """`gradients` where `mask`, else 0."""
    return np.where(mask, gradients, np.zeros((), gradients.dtype))


def _relu_grad_gradient(op: Operation, dy: Any) -> list[Any]:
    features = op.inputs[1]
    return [apply_op(op.definition, (dy, features)), zeros_like(features)]


RELU_GRAD = define(
    "ReluGrad", "gradients: T, features: T -> backprops: T", f"T: {_REAL}",
    reference=lambda gradients, features: _passing(features > 0, gradients),
    shape=_gradient_shape, gradient=_relu_grad_gradient, elementwise=True,
)  # fmt: skip
RELU = define(
    "Relu", "features: T -> activations: T", f"T: {_REAL}",
    reference=lambda x: np.maximum(x, np.zeros((), x.dtype)),
    shape=same_shape, gradient=lambda op, dy: apply_op(RELU_GRAD, (dy, op.outputs[0])), elementwise=True,
)  # fmt: skip
RELU6_GRAD = define(
    "Relu6Grad", "gradients: T, features: T -> backprops: T", f"T: {_REAL}",
    reference=lambda gradients, features: _passing((features > 0) & (features < 6), gradients),
    shape=_gradient_shape, gradient=_relu_grad_gradient, elementwise=True,
)  # fmt: skip
RELU6 = define(
    "Relu6", "features: T -> activations: T", f"T: {_REAL}",
    reference=lambda x: np.minimum(np.maximum(x, np.zeros((), x.dtype)), np.asarray(6, x.dtype)),
    shape=same_shape, gradient=lambda op, dy: apply_op(RELU6_GRAD, (dy, op.outputs[0])), elementwise=True,
)  # fmt: skip

relu = _activation(RELU, "nn.relu", doc="max(features, 0) of each element; any real dtype.")
relu6 = _activation(RELU6, "nn.relu6", doc="min(max(features, 0), 6) of each element; any real dtype.")


def _leaky_kernel(x: Any, *, alpha: float) -> Any:
    x = wide(x)
    return np.where(x > 0, x, x * x.dtype.type(float_attribute(alpha)))


def _leaky_grad_kernel(gradients: Any, features: Any, *, alpha: float) -> Any:
    gradients = wide(gradients)
    return np.where(features > 0, gradients, gradients * gradients.dtype.type(float_attribute(alpha)))


def _leaky_grad_gradient(op: Operation, dy: Any) -> list[Any]:
    features = op.inputs[1]
    return [apply_op(LEAKY_RELU_GRAD, (dy, features), {"alpha": op.attrs["alpha"]}), zeros_like(features)]


LEAKY_RELU_GRAD = define(
    "LeakyReluGrad", "gradients: T, features: T -> backprops: T", f"alpha: float = 0.2, T: {_FLOAT} = float32",
    reference=_leaky_grad_kernel, shape=_gradient_shape, gradient=_leaky_grad_gradient, elementwise=True,
)  # fmt: skip
LEAKY_RELU = define(
    "LeakyRelu", "features: T -> activations: T", f"alpha: float = 0.2, T: {_FLOAT} = float32",
    reference=_leaky_kernel, shape=same_shape,
    gradient=lambda op, dy: apply_op(LEAKY_RELU_GRAD, (dy, op.inputs[0]), {"alpha": op.attrs["alpha"]}), elementwise=True,
)  # fmt: skip


@public("nn.leaky_relu")
def leaky_relu(features: Any, alpha: float = 0.2, name: str | None = None) -> Any:
    """`features` where positive, else `alpha * features`; integers are converted to float32."""
    with scope(name or "LeakyRelu", features) as full_name:
        features = convert_to_tensor(features, name="features")
        if features.dtype.is_integer:
            features = cast(features, "float32")
        return apply_op(LEAKY_RELU, (features,), {"alpha": float(alpha)}, full_name)


# ---- exponential linear units ---------------------------------------------------------------------------------------


def _elu_kernel(x: Any) -> Any:
    x = wide(x)
    return np.where(x < 0, np.expm1(np.minimum(x, 0)), x)


def _selu_kernel(x: Any) -> Any:
    x = wide(x)
    return np.where(x < 0, SELU_SCALE_ALPHA * np.expm1(np.minimum(x, 0)), SELU_SCALE * x)


def _elu_grad_kernel(gradients: Any, outputs: Any) -> Any:
    gradients, outputs = wide(gradients), wide(outputs)
    return np.where(outputs < 0, gradients * (outputs + 1), gradients)


def _selu_grad_kernel(gradients: Any, outputs: Any) -> Any:
    gradients, outputs = wide(gradients), wide(outputs)
    return np.where(outputs < 0, gradients * (outputs + SELU_SCALE_ALPHA), gradients * SELU_SCALE)


def _elu_grad_gradient(op: Operation, dy: Any) -> list[Any]:
    gradients, outputs = op.inputs
    through_gradients = apply_op(op.definition, (dy, outputs))
    is_negative = apply_op(REGISTRY["Less"], (outputs, 0.0))
    product = dy * gradients
    return [through_gradients, apply_op(REGISTRY["Select"], (is_negative, product, zeros_like(product)))]


ELU_GRAD = define(
    "EluGrad", "gradients: T, outputs: T -> backprops: T", f"T: {_FLOAT}",
    reference=_elu_grad_kernel, shape=_gradient_shape, gradient=_elu_grad_gradient, elementwise=True,
)  # fmt: skip
ELU = define(
    "Elu", "features: T -> activations: T", f"T: {_FLOAT}",
    reference=_elu_kernel, shape=same_shape, gradient=lambda op, dy: apply_op(ELU_GRAD, (dy, op.outputs[0])), elementwise=True,
)  # fmt: skip
SELU_GRAD = define(
    "SeluGrad", "gradients: T, outputs: T -> backprops: T", f"T: {_FLOAT}",
    reference=_selu_grad_kernel, shape=_gradient_shape, gradient=_elu_grad_gradient, elementwise=True,
)  # fmt: skip
SELU = define(
    "Selu", "features: T -> activations: T", f"T: {_FLOAT}",
    reference=_selu_kernel, shape=same_shape, gradient=lambda op, dy: apply_op(SELU_GRAD, (dy, op.outputs[0])), elementwise=True,
)  # fmt: skip

elu = _activation(ELU, "nn.elu", doc="`features` where positive, else exp(features) - 1.")
selu = _activation(SELU, "nn.selu", doc="scale * elu(features), with a steeper negative part: self-normalising.")

# ---- softplus, softsign ---------------------------------------------------------------------------------------------


def _softplus_kernel(x: Any) -> Any:
    x = wide(x)
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _softplus_grad_kernel(gradients: Any, features: Any) -> Any:
    gradients, features = wide(gradients), wide(features)
    return gradients / (np.exp(-features) + 1)


def _softplus_grad_gradient(op: Operation, dy: Any) -> list[Any]:
    gradients, features = op.inputs
    slope = apply_op(REGISTRY["Sigmoid"], (features,))
    return [apply_op(SOFTPLUS_GRAD, (dy, features)), dy * gradients * (slope * (1.0 - slope))]


def _softsign_kernel(x: Any) -> Any:
    x = wide(x)
    return x / (np.abs(x) + 1)


def _softsign_grad_kernel(gradients: Any, features: Any) -> Any:
    return wide(gradients) / np.square(np.abs(wide(features)) + 1)


def _softsign_grad_gradient(op: Operation, dy: Any) -> list[Any]:
    gradients, features = op.inputs
    size = apply_op(REGISTRY["Abs"], (features,))
    bend = apply_op(REGISTRY["Sign"], (features,)) * -2.0 / (size + 1.0)
    return [apply_op(SOFTSIGN_GRAD, (dy, features)), apply_op(SOFTSIGN_GRAD, (dy * gradients * bend, features))]


SOFTPLUS_GRAD = define(
    "SoftplusGrad", "gradients: T, features: T -> backprops: T", f"T: {_FLOAT}",
    reference=_softplus_grad_kernel, shape=_gradient_shape, gradient=_softplus_grad_gradient, elementwise=True,
)  # fmt: skip
SOFTPLUS = define(
    "Softplus", "features: T -> activations: T", f"T: {_FLOAT}",
    reference=_softplus_kernel, shape=same_shape,
    gradient=lambda op, dy: dy * apply_op(REGISTRY["Sigmoid"], (op.inputs[0],)), elementwise=True,
)  # fmt: skip
SOFTSIGN_GRAD = define(
    "SoftsignGrad", "gradients: T, features: T -> backprops: T", f"T: {_FLOAT}",
    reference=_softsign_grad_kernel, shape=_gradient_shape, gradient=_softsign_grad_gradient, elementwise=True,
)  # fmt: skip
SOFTSIGN = define(
    "Softsign", "features: T -> activations: T", f"T: {_FLOAT}",
    reference=_softsign_kernel, shape=same_shape,
    gradient=lambda op, dy: apply_op(SOFTSIGN_GRAD, (dy, op.inputs[0])), elementwise=True,
)  # fmt: skip

softplus = _activation(SOFTPLUS, "nn.softplus", "math.softplus", doc="log(exp(features) + 1), without overflow.")
softsign = _activation(SOFTSIGN, "nn.softsign", "math.softsign", doc="features / (abs(features) + 1).")

# ---- composites -----------------------------------------------------------------------------------------------------


@public("nn.gelu")
def gelu(features: Any, approximate: bool = False, name: str | None = None) -> Any:
    """x * P(X <= x) for a standard normal X; `approximate` takes the formula with tanh.

    Raises ValueError unless `features` is floating point.
    """
    with scope(name or "Gelu", features):
        features = convert_to_tensor(features, name="features")
        if not features.dtype.is_floating:
            raise ValueError(
                f"`features.dtype` must be a floating point tensor. Received:features.dtype={features.dtype}"
            )
        if not approximate:
            # cast as TensorFlow does it, by way of float32
            return 0.5 * features * apply_op(REGISTRY["Erfc"], (-features * cast(math.sqrt(0.5), features.dtype),))
        cubic = cast(0.044715, features.dtype)
        halved = 0.5 * features
        inner = math.sqrt(2 / math.pi) * (features + cubic * apply_op(REGISTRY["Pow"], (features, 3)))
        return halved * (1.0 + apply_op(REGISTRY["Tanh"], (inner,)))


@public("nn.silu", "nn.swish")
def silu(features: Any, beta: Any = 1.0) -> Any:
    """features * sigmoid(beta * features)."""
    features = convert_to_tensor(features, name="features")
    beta = convert_to_tensor(beta, features.dtype.base_dtype, name="beta")
    return features * apply_op(REGISTRY["Sigmoid"], (beta * features,))


def _concatenated_relu(features: Any, axis: int, name: str | None) -> Any:
    with scope(name or "CRelu", features) as full_name:
        features = convert_to_tensor(features, name="features")
        return relu(concat([features, -features], axis, name=full_name or "concat"))


@public(v2=["nn.crelu"])
def crelu(features: Any, axis: int = -1, name: str | None = None) -> Any:
    """relu of `features` and of -features, one behind the other along `axis`: that axis becomes twice as long."""
    return _concatenated_relu(features, axis, name)


@public(v1=["nn.crelu"])
def crelu_v1(features: Any, name: str | None = None, axis: int = -1) -> Any:
    """As tf.nn.crelu."""
    return _concatenated_relu(features, axis, name)


# ---- softmax --------------------------------------------------------------------------------------------------------


def _at_least_a_vector(op: Operation) -> TensorShape:
    shape = op.inputs[0].shape
    if shape.rank == 0:
        raise ShapeError(
            f"Shape must be at least rank 1 but is rank 0 for '{op.type}' with input shapes: [].",
            "logits must have >= 1 dimension, got []",
        )
    return shape


def _shifted(logits: Any) -> Any:
    """Logits minus the greatest of their row: what is exponentiated is at most 1. A new array."""
    if not logits.ndim:
        raise ValueError("logits must have >= 1 dimension, got []")
    x = wide(logits)
    return x - x.max(axis=-1, keepdims=True) if x.size else x.copy()


def _softmax_kernel(logits: Any) -> Any:
    result = _shifted(logits)
    np.exp(result, out=result)
    result /= result.sum(axis=-1, keepdims=True)
    return result


def _log_softmax_kernel(logits: Any) -> Any:
    result = _shifted(logits)
    result -= np.log(np.exp(result).sum(axis=-1, keepdims=True))
    return result


def _softmax_gradient(op: Operation, dy: Any) -> Any:
    y = op.outputs[0]
    return (dy - reduce_sum(dy * y, -1, True)) * y


def _log_softmax_gradient(op: Operation, dy: Any) -> Any:
    probabilities = apply_op(REGISTRY["Exp"], (op.outputs[0],))
    return dy - reduce_sum(dy, -1, True) * probabilities


SOFTMAX = define(
    "Softmax", "logits: T -> softmax: T", f"T: {_FLOAT}",
    reference=_softmax_kernel, shape=_at_least_a_vector, gradient=_softmax_gradient,
)  # fmt: skip
LOG_SOFTMAX = define(
    "LogSoftmax", "logits: T -> logsoftmax: T", f"T: {_FLOAT}",
    reference=_log_softmax_kernel, shape=_at_least_a_vector, gradient=_log_softmax_gradient,
)  # fmt: skip


def _along(definition: OpDef, logits: Any, axis: Any, name: str | None) -> Any:
    """An op on the last axis, applied to another one: the axes are swapped before and after."""
    logits = convert_to_tensor(logits)
    dimensions = logits.shape.rank
    if axis is None or axis == -1 or (dimensions is not None and axis == dimensions - 1):
        return apply_op(definition, (logits,), name=name)
    if dimensions is None:
        raise ValueError(
            f"The rank of {logits} must be known for {definition.name} along axis {axis}; axis=-1 needs no rank."
        )
    if not -dimensions <= axis < dimensions:
        raise InvalidArgumentError(
            None,
            None,
            f"`dim` must be in the range [{-dimensions}, {dimensions}) where {dimensions} is the number of dimensions in "
            f"the input. Received: dim={axis}",
        )
    axis %= dimensions
    if isinstance(logits, EagerTensor):
        order = np.arange(dimensions, dtype=np.int32)
        order[[axis, -1]] = order[[-1, axis]]
        moved = apply_op(definition, (apply_op(REGISTRY["Transpose"], (logits, order)),))
        return apply_op(REGISTRY["Transpose"], (moved, order))
    rank(logits)  # TensorFlow asks twice, and counts the first answer's node
    dimensions = rank(logits)
    order = _swapped(axis, apply_op(REGISTRY["Sub"], (dimensions, 1)))
    moved = apply_op(definition, (apply_op(REGISTRY["Transpose"], (logits, order), name="transpose"),))
    back = _swapped(axis, apply_op(REGISTRY["Sub"], (dimensions, 1)))
    return apply_op(REGISTRY["Transpose"], (moved, back), name=name or "transpose")


def _swapped(axis: int, last: Any) -> Any:
    """The permutation that exchanges `axis` and the last axis."""
    before = apply_op(REGISTRY["Range"], (0, axis, 1), name="range")
    between = apply_op(REGISTRY["Range"], (axis + 1, last, 1), name="range")
    return concat([before, [last], between, [axis]], 0)


@public(v2=["nn.softmax", "math.softmax"])
def softmax(logits: Any, axis: int | None = None, name: str | None = None) -> Any:
    """exp(logits) / sum(exp(logits)) along `axis` (None: the last).

    logits: floating point. Raises InvalidArgumentError when `axis` is out of range or `logits` is empty of axes.
    """
    return _along(SOFTMAX, logits, axis, name)


@public(v1=["nn.softmax", "math.softmax"])
def softmax_v1(logits: Any, axis: int | None = None, name: str | None = None, dim: int | None = None) -> Any:
    """As tf.nn.softmax; `dim` is the old name of `axis`."""
    return _along(SOFTMAX, logits, renamed("axis", axis, "dim", dim), name)


@public(v2=["nn.log_softmax", "math.log_softmax"])
def log_softmax(logits: Any, axis: int | None = None, name: str | None = None) -> Any:
    """log(softmax(logits)) along `axis` (None: the last), without overflow."""
    return _along(LOG_SOFTMAX, logits, axis, name)


@public(v1=["nn.log_softmax", "math.log_softmax"])
def log_softmax_v1(logits: Any, axis: int | None = None, name: str | None = None, dim: int | None = None) -> Any:
    """As tf.nn.log_softmax; `dim` is the old name of `axis`."""
    return _along(LOG_SOFTMAX, logits, renamed("axis", axis, "dim", dim), name)
