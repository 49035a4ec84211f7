"""Dropout: elements set to zero at random, the others scaled up."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable
from typing import Any

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import V2, public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.tensor import Tensor
from rillet.ops.random import random_uniform
from rillet.ops.random_seed import get_seed
from rillet.ops.scope import scope
from rillet.ops.shape import shape_of


def _drop(x: Any, rate: Any, noise_shape: Any, sample: Callable[..., Any], skip: Callable[[], Any], name: str) -> Any:
    """Dropout with `sample(shape=, dtype=)` uniform in [0, 1); `skip()` is called where nothing is drawn."""
    with scope(name, x, rate):
        is_number = isinstance(rate, numbers.Real)
        if is_number and not 0 <= rate < 1:
            raise ValueError(f"`rate` must be a scalar tensor or a float in the range [0, 1). Received: rate={rate}")
        x = convert_to_tensor(x, name="x")
        dtype = x.dtype
        if not dtype.is_floating:
            raise ValueError(
                f"`x.dtype` must be a floating point tensor as `x` will be scaled. Received: x_dtype={dtype}"
            )
        if is_number and rate == 0:
            skip()
            return x
        if is_number:
            scaled = apply_op(REGISTRY["Mul"], (x, convert_to_tensor(1 / (1 - rate), dtype, name="Const")))
        else:
            rate = _checked_rate(rate, dtype)
            one = convert_to_tensor(1, dtype, name="Const")
            scaled = apply_op(REGISTRY["RealDiv"], (x, apply_op(REGISTRY["Sub"], (one, rate))))
        drawn = sample(shape=_noise_shape(x, noise_shape), dtype=dtype)
        is_kept = apply_op(REGISTRY["GreaterEqual"], (drawn, rate))
        zero = convert_to_tensor(0, dtype, name="Const")
        result = apply_op(REGISTRY["SelectV2"], (is_kept, scaled, zero))
        result.set_shape(x.shape)
        return result


def _checked_rate(rate: Any, dtype: Any) -> Any:
    if not isinstance(rate, Tensor) and not hasattr(rate, "__tf_tensor__"):
        raise ValueError(f"`rate` must be a scalar or scalar tensor. Received: rate={rate}")
    if rate.dtype.base_dtype is not dtype.base_dtype:
        raise ValueError(
            f"`x.dtype` must be compatible with `rate.dtype`. Received: x.dtype={dtype!r} and rate.dtype={rate.dtype!r}"
        )
    if TensorShape(rate.shape).rank not in (None, 0):
        raise ValueError(f"Shape {rate.shape} must have rank 0: `rate` is one number")
    return rate


def _noise_shape(x: Any, noise_shape: Any) -> Any:
    """The shape of what is drawn; None sizes are those of `x`."""
    if noise_shape is None:
        return shape_of(x)
    if isinstance(noise_shape, Tensor):
        return noise_shape
    wanted, own = TensorShape(noise_shape).as_list(), x.shape.dimensions
    if own is not None and len(own) == len(wanted):
        wanted = [size if given is None else given for given, size in zip(wanted, own, strict=True)]
    return wanted


@public(v2=["nn.dropout"])
def dropout(x: Any, rate: Any, noise_shape: Any = None, seed: int | None = None, name: str | None = None) -> Any:
    """Sets each element of `x` to 0 with probability `rate`, and divides the others by 1 - rate.

    x: floating point. rate: a number in [0, 1), or a scalar tensor of x's dtype.
    noise_shape: the shape of the choices, which broadcasts to that of `x`: elements that share one are dropped together.
    Raises ValueError for another rate, or an `x` that is not floating point.
    """
    sample = functools.partial(random_uniform, seed=seed)
    return _drop(x, rate, noise_shape, sample, lambda: get_seed(seed), name or "dropout")


@public(v1=["nn.dropout"])
def dropout_v1(
    x: Any,
    keep_prob: Any = None,
    noise_shape: Any = None,
    seed: int | None = None,
    name: str | None = None,
    rate: Any = None,
) -> Any:
    """As tf.nn.dropout; `keep_prob` is 1 - rate. One of them is given."""
    if keep_prob is not None and rate is not None:
        raise ValueError("Cannot specify both 'keep_prob' and 'rate'.")
    if keep_prob is not None:
        rate = 1 - keep_prob
    if rate is None:
        raise ValueError("`rate` must be provided. Received: rate=None")
    return dropout(x, rate, noise_shape, seed, name)


@public("nn.experimental.stateless_dropout")
def stateless_dropout(
    x: Any, rate: Any, seed: Any, rng_alg: Any = None, noise_shape: Any = None, name: str | None = None
) -> Any:
    """tf.nn.dropout with choices that follow from `seed` (two integers) alone."""
    options = {} if rng_alg is None else {"alg": rng_alg}
    sample = functools.partial(V2["random.stateless_uniform"], seed=seed, **options)
    return _drop(x, rate, noise_shape, sample, lambda: None, name or "stateless_dropout")


@public("nn.experimental.general_dropout")
def general_dropout(
    x: Any, rate: Any, uniform_sampler: Callable[..., Any], noise_shape: Any = None, name: str | None = None
) -> Any:
    """tf.nn.dropout with uniform_sampler(shape=, dtype=), which draws from [0, 1)."""
    return _drop(x, rate, noise_shape, uniform_sampler, lambda: None, name or "general_dropout")
