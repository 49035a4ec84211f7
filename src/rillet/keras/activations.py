"""tf.keras.activations: functions by name. What TensorFlow has as an op is that op."""

from __future__ import annotations

from typing import Any

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public_in
from rillet.core.opdef import REGISTRY
from rillet.keras.saving_registry import Family
from rillet.ops import activations as nn
from rillet.ops import elementwise as math
from rillet.ops.cast import cast
from rillet.ops.clip import clip_by_value
from rillet.ops.compare import greater, less_equal
from rillet.ops.creation import zeros_like
from rillet.ops.cumulative import cumsum
from rillet.ops.join import split
from rillet.ops.order import top_k
from rillet.ops.reduce import reduce_sum
from rillet.ops.select import where
from rillet.ops.sequences import range_

_public = public_in("keras.activations")


@_public("linear")
def linear(x: Any) -> Any:
    """x."""
    return x


@_public("relu")
def relu(
    x: Any,
    alpha: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    negative_slope: float | None = None,
) -> Any:
    """x above the threshold, at most max_value; below it alpha (or negative_slope) * (x - threshold)."""
    slope = alpha if negative_slope is None else negative_slope
    x = convert_to_tensor(x)
    if not threshold and max_value is None:
        return nn.leaky_relu(x, slope) if slope else nn.relu(x)
    if not threshold and not slope and max_value == 6:
        return nn.relu6(x)
    above = where(greater(x, threshold), x, zeros_like(x)) if threshold else nn.relu(x)
    if max_value is not None:
        above = clip_by_value(above, 0.0, float(max_value))
    return above - slope * nn.relu(threshold - x) if slope else above


@_public("sigmoid")
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return _remember(math.sigmoid(x), x)


@_public("tanh")
def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return math.tanh(x)


@_public("softmax")
def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along `axis`. ValueError for a vector."""
    if convert_to_tensor(x).shape.rank == 1:
        raise ValueError(f"Cannot apply softmax to a tensor that is 1D. Received input: {x}")
    return _remember(nn.softmax(x, axis=axis), x)


def _remember(output: Any, logits: Any) -> Any:
    """Lets a cross entropy of `output` work on the logits: that is exact where the output has been rounded to 0 or 1."""
    output.__dict__["_keras_logits"] = logits
    return output


@_public("log_softmax")
def log_softmax(x: Any, axis: int = -1) -> Any:
    """The logarithm of softmax."""
    return nn.log_softmax(x, axis=axis)


@_public("elu")
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where positive, alpha * (exp(x) - 1) elsewhere."""
    if alpha == 1.0:
        return nn.elu(x)
    x = convert_to_tensor(x)
    return where(greater(x, 0.0), nn.elu(x), alpha * nn.elu(x))


@_public("selu")
def selu(x: Any) -> Any:
    """The self-normalising ELU (Klambauer et al. 2017)."""
    return nn.selu(x)


@_public("gelu")
def gelu(x: Any, approximate: bool = False) -> Any:
    """x times the probability that a normal number is below x."""
    return nn.gelu(x, approximate)


@_public("softplus")
def softplus(x: Any) -> Any:
    """log(exp(x) + 1)."""
    return nn.softplus(x)


@_public("softsign")
def softsign(x: Any) -> Any:
    """x / (|x| + 1)."""
    return nn.softsign(x)


@_public("swish", "silu")
def swish(x: Any) -> Any:
    """x * sigmoid(x)."""
    return nn.silu(x)


@_public("exponential")
def exponential(x: Any) -> Any:
    """exp(x)."""
    return math.exp(x)


@_public("hard_sigmoid")
def hard_sigmoid(x: Any) -> Any:
    """0.2 x + 0.5, cut to [0, 1]."""
    x = convert_to_tensor(x)
    return clip_by_value(0.2 * x + 0.5, 0.0, 1.0)


@_public("mish")
def mish(x: Any) -> Any:
    """x * tanh(softplus(x))."""
    return x * math.tanh(nn.softplus(x))


@_public("relu6")
def relu6(x: Any) -> Any:
    """x, cut to [0, 6]."""
    return nn.relu6(x)


@_public("leaky_relu")
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """x where positive, negative_slope * x elsewhere."""
    return nn.leaky_relu(x, negative_slope)


@_public("log_sigmoid")
def log_sigmoid(x: Any) -> Any:
    """log(sigmoid(x))."""
    return math.log_sigmoid(x)


@_public("hard_silu", "hard_swish")
def hard_silu(x: Any) -> Any:
    """x * relu6(x + 3) / 6."""
    x = convert_to_tensor(x)
    return x * nn.relu6(x + 3.0) * (1.0 / 6.0)


@_public("hard_tanh")
def hard_tanh(x: Any) -> Any:
    """x, cut to [-1, 1]."""
    return clip_by_value(convert_to_tensor(x), -1.0, 1.0)


@_public("hard_shrink")
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x where |x| is above the threshold, 0 elsewhere."""
    x = convert_to_tensor(x)
    return x * cast(greater(math.abs(x), threshold), x.dtype)


@_public("soft_shrink")
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x moved towards 0 by the threshold."""
    x = convert_to_tensor(x)
    return math.sign(x) * nn.relu(math.abs(x) - threshold)


@_public("tanh_shrink")
def tanh_shrink(x: Any) -> Any:
    """x - tanh(x)."""
    return x - math.tanh(x)


@_public("threshold")
def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """x where it is above the threshold, default_value elsewhere."""
    x = convert_to_tensor(x)
    return where(greater(x, threshold), x, convert_to_tensor(default_value, x.dtype))


@_public("celu")
def celu(x: Any, alpha: float = 1.0) -> Any:
    """max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))."""
    x = convert_to_tensor(x)
    return nn.relu(x) + alpha * math.expm1(math.minimum(x, 0.0) / alpha)


@_public("glu")
def glu(x: Any, axis: int = -1) -> Any:
    """The first half of x along `axis`, times the sigmoid of the second."""
    first, second = split(x, 2, axis)
    return first * math.sigmoid(second)


@_public("squareplus")
def squareplus(x: Any, b: float = 4) -> Any:
    """(x + sqrt(x^2 + b)) / 2."""
    x = convert_to_tensor(x)
    return (x + math.sqrt(math.square(x) + float(b))) / 2.0


@_public("sparse_plus")
def sparse_plus(x: Any) -> Any:
    """0 up to -1, (x + 1)^2 / 4 up to 1, then x."""
    x = convert_to_tensor(x)
    return where(less_equal(x, -1.0), zeros_like(x), where(less_equal(x, 1.0), math.square(x + 1.0) / 4.0, x))


@_public("sparse_sigmoid")
def sparse_sigmoid(x: Any) -> Any:
    """(x + 1) / 2, cut to [0, 1]."""
    return clip_by_value(0.5 * (convert_to_tensor(x) + 1.0), 0.0, 1.0)


@_public("sparsemax")
def sparsemax(x: Any, axis: int = -1) -> Any:
    """The probabilities nearest to x (Martins and Astudillo 2016). ValueError for another axis than the last."""
    x = convert_to_tensor(x)
    if axis not in (-1, (x.shape.rank or 0) - 1):
        raise ValueError(f"sparsemax works along the last axis. Received: axis={axis}")
    size = apply_op(REGISTRY["Shape"], (x,))[-1]
    ordered, _ = top_k(x, size)
    sums = cumsum(ordered, axis=-1)
    places = cast(range_(1, size + 1), x.dtype)
    support = greater(1.0 + places * ordered, sums)
    count = reduce_sum(cast(support, x.dtype), axis=-1, keepdims=True)
    last = reduce_sum(ordered * cast(support, x.dtype), axis=-1, keepdims=True) - 1.0
    return nn.relu(x - last / count)


class _Activations(Family):
    def get(self, identifier: Any) -> Any:
        """A function from its name or configuration; None is `linear`."""
        return linear if identifier is None else super().get(identifier)

    def serialize(self, value: Any, **kwargs: Any) -> Any:
        """The name of rillet's own functions; else as any object."""
        name = getattr(value, "__name__", None)
        try:
            own = self.find(name) if isinstance(name, str) else None
        except ValueError:
            own = None
        same = own is value or getattr(nn, str(name), None) is value or getattr(math, str(name), None) is value
        return name if same else super().serialize(value)


ACTIVATIONS = _Activations("keras.activations", "activation function")
ACTIVATIONS.export()
get, serialize, deserialize = ACTIVATIONS.get, ACTIVATIONS.serialize, ACTIVATIONS.deserialize
