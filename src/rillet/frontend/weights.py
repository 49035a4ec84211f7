"""Weights of losses and metrics: scalars, or of the same rank as the values, each size 1 or the values' own."""

from __future__ import annotations

from typing import Any

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import EagerTensor
from rillet.frontend.scopes import run_after
from rillet.ops.constants import no_op
from rillet.ops.creation import ones_like_v1
from rillet.ops.scope import scope
from rillet.ops.shape import rank, shape_of

_PROBLEM = "weights can not be broadcast to values."


def assert_broadcastable(weights: Any, values: Any) -> Any:
    """An operation that fails unless `weights` can be broadcast to `values`; None eagerly, where it fails now.

    ValueError when that is known statically.
    """
    with scope("assert_broadcastable", weights, values):
        weights = convert_to_tensor(weights, name="weights")
        values = convert_to_tensor(values, name="values")
        if isinstance(weights, EagerTensor) and isinstance(values, EagerTensor):
            _check(weights, values)
            return None
        sizes = shape_of(weights, name="weights/shape")
        weights_rank = rank(weights, name="weights/rank")
        value_sizes = shape_of(values, name="values/shape")
        values_rank = rank(values, name="values/rank")
        if weights.shape.rank == 0:
            return no_op(name="static_scalar_check_success")
        _check(weights, values)
        if weights.shape.is_fully_defined() and values.shape.is_fully_defined():
            return no_op(name="static_dims_check_success")
        return _checked_when_run(weights, sizes, weights_rank, value_sizes, values_rank)


def _check(weights: Any, values: Any) -> None:
    """ValueError when the static shapes cannot fit."""
    given, wanted = weights.shape, values.shape
    if given.rank in (None, 0) or wanted.rank is None:
        return
    about = f"{_PROBLEM} values.rank={wanted.rank}. weights.rank={given.rank}. values.shape={wanted}. weights.shape={given}."
    if given.rank != wanted.rank:
        raise ValueError(about)
    for axis, (mine, theirs) in enumerate(zip(given.as_list(), wanted.as_list(), strict=True)):
        if mine not in (None, 1) and theirs is not None and mine != theirs:
            raise ValueError(f"{_PROBLEM} Mismatch at dim {axis}. values.shape={wanted}. weights.shape={given}.")


def _checked_when_run(weights: Any, sizes: Any, weights_rank: Any, value_sizes: Any, values_rank: Any) -> Any:
    """An Assert: broadcasting the weights' shape with the values' must change nothing, and the ranks be equal."""
    is_scalar = apply_op(REGISTRY["Equal"], (weights_rank, 0), name="is_scalar")
    same_rank = apply_op(REGISTRY["Equal"], (weights_rank, values_rank), name="is_same_rank")
    together = apply_op(REGISTRY["BroadcastArgs"], (sizes, value_sizes))
    limit = apply_op(
        REGISTRY["Minimum"], (apply_op(REGISTRY["Size"], (together,)), apply_op(REGISTRY["Size"], (value_sizes,)))
    )
    equal = apply_op(REGISTRY["Equal"], (together[:limit], value_sizes[:limit]))
    fits = apply_op(REGISTRY["LogicalAnd"], (same_rank, apply_op(REGISTRY["All"], (equal, [0]))))
    valid = apply_op(REGISTRY["LogicalOr"], (is_scalar, fits), name="is_valid_shape")
    data = [_PROBLEM, "weights.shape=", weights.name, sizes, "values.shape=", value_sizes]
    return apply_op(REGISTRY["Assert"], (valid, data), name="AssertGuard")


def broadcast_weights(weights: Any, values: Any) -> Any:
    """`weights` in the shape of `values`."""
    with scope("broadcast_weights", weights, values) as full_name:
        values = convert_to_tensor(values, name="values")
        weights = convert_to_tensor(weights, values.dtype.base_dtype, name="weights")
        if weights.shape.is_fully_defined() and values.shape.is_fully_defined() and weights.shape == values.shape:
            return weights
        with run_after(assert_broadcastable(weights, values)):
            return apply_op(REGISTRY["Mul"], (weights, ones_like_v1(values)), name=full_name)
