"""Reductions made of several ops: log-sum-exp, variance, counts, normalised vectors."""

from __future__ import annotations

from typing import Any

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.ops.arguments import renamed
from rillet.ops.cast import cast
from rillet.ops.constants import stop_gradient
from rillet.ops.creation import zeros
from rillet.ops.elementwise import conj, exp, log, sqrt, square
from rillet.ops.families import old_reduction_arguments
from rillet.ops.reduce import reduce_max, reduce_mean, reduce_sum
from rillet.ops.scope import scope
from rillet.ops.shape import reshape


@public("reduce_logsumexp", "math.reduce_logsumexp")
def reduce_logsumexp(
    input_tensor: Any,
    axis: Any = None,
    keepdims: bool | None = None,
    name: str | None = None,
    reduction_indices: Any = None,
    keep_dims: bool | None = None,
) -> Any:
    """log(sum(exp(x))) over `axis` (None: all axes), without overflow on the way. -inf for an empty sum."""
    axis, keepdims = old_reduction_arguments(axis, keepdims, reduction_indices, keep_dims)
    with scope(name or "ReduceLogSumExp", input_tensor) as inner:
        x = convert_to_tensor(input_tensor)
        largest = reduce_max(x, axis, keepdims=True)
        is_finite = apply_op(REGISTRY["IsFinite"], (largest,))
        largest = stop_gradient(apply_op(REGISTRY["SelectV2"], (is_finite, largest, x.dtype.as_numpy_dtype(0))))
        result = log(reduce_sum(exp(apply_op(REGISTRY["Sub"], (x, largest))), axis, keepdims=keepdims))
        if not keepdims:
            largest = reshape(largest, _shape_node(result))
        return apply_op(REGISTRY["AddV2"], (result, largest), name=inner)


def _shape_node(x: Any) -> Any:
    return apply_op(REGISTRY["Shape"], (x,))


@public("math.reduce_variance")
def reduce_variance(input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None) -> Any:
    """The mean squared distance from the mean, over `axis` (None: all axes); real also for complex input.

    Raises TypeError for integers.
    """
    with scope(name or "reduce_variance", input_tensor):
        x = convert_to_tensor(input_tensor)
        mean = reduce_mean(x, axis, keepdims=True)
        if mean.dtype.is_integer:
            raise TypeError(f"Input must be either real or complex. Received integer type {mean.dtype!r}.")
        distance = x - mean
        if distance.dtype.is_complex:
            squared = apply_op(REGISTRY["Real"], (distance * conj(distance),), {"Tout": distance.dtype.real_dtype})
        else:
            squared = square(distance)
        return reduce_mean(squared, axis, keepdims=keepdims)


@public("math.reduce_std")
def reduce_std(input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None) -> Any:
    """The square root of the variance, over `axis` (None: all axes). TypeError for integers."""
    with scope(name or "reduce_std", input_tensor):
        return sqrt(reduce_variance(input_tensor, axis, keepdims))


@public(v2=["math.count_nonzero"])
def count_nonzero(
    input: Any, axis: Any = None, keepdims: bool | None = None, dtype: Any = dtypes.int64, name: str | None = None
) -> Any:
    """How many elements over `axis` (None: all axes) are not zero (or not an empty string), as `dtype`."""
    with scope(name or "count_nonzero", input):
        x = convert_to_tensor(input, name="input")
        zero = "" if x.dtype is dtypes.string else zeros([], x.dtype)
        different = apply_op(REGISTRY["NotEqual"], (x, zero))
        return reduce_sum(cast(different, dtype), axis, keepdims=bool(keepdims))


@public(v1=["count_nonzero", "math.count_nonzero"])
def count_nonzero_v1(
    input_tensor: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
    dtype: Any = dtypes.int64,
    name: str | None = None,
    reduction_indices: Any = None,
    keep_dims: bool | None = None,
    input: Any = None,
) -> Any:
    keepdims = renamed("keepdims", keepdims, "keep_dims", keep_dims)
    axis = renamed("axis", axis, "reduction_indices", reduction_indices)
    return count_nonzero(renamed("input", input, "input_tensor", input_tensor), axis, keepdims, dtype, name)


@public("nn.l2_normalize", "math.l2_normalize", "linalg.l2_normalize")
def l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12, name: str | None = None, dim: Any = None) -> Any:
    """`x` divided by its Euclidean norm over `axis` (None: all axes); by sqrt(epsilon) where the norm is smaller."""
    axis = renamed("axis", axis, "dim", dim)
    with scope(name or "l2_normalize", x) as inner:
        x = convert_to_tensor(x, name="x")
        if x.dtype.is_complex:
            return _normalize_complex(x, axis, epsilon, inner)
        total = reduce_sum(square(x), axis, keepdims=True)
        factor = apply_op(REGISTRY["Rsqrt"], (apply_op(REGISTRY["Maximum"], (total, x.dtype.as_numpy_dtype(epsilon))),))
        return apply_op(REGISTRY["Mul"], (x, factor), name=inner)


def _normalize_complex(x: Any, axis: Any, epsilon: float, name: str | None) -> Any:
    real = x.dtype.real_dtype
    parts = [apply_op(REGISTRY[kind], (x,), {"Tout": real}) for kind in ("Real", "Imag")]
    total = reduce_sum(square(parts[0]) + square(parts[1]), axis, keepdims=True)
    factor = apply_op(REGISTRY["Rsqrt"], (apply_op(REGISTRY["Maximum"], (total, real.as_numpy_dtype(epsilon))),))
    scaled = [apply_op(REGISTRY["Mul"], (part, factor)) for part in parts]
    return apply_op(REGISTRY["Complex"], scaled, {"Tout": x.dtype.base_dtype}, name)
