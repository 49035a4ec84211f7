"""Penalties on weights: L1, L2, and their sum over variables."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any

from rillet.core import context
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.frontend.collections import GraphKeys
from rillet.frontend.scopes import NameScopeV1
from rillet.ops.elementwise import add_n

Regularizer = Callable[[Any], Any]


def _check(scale: Any, name: str) -> None:
    if isinstance(scale, numbers.Integral):
        raise ValueError(f"{name} cannot be an integer: {scale}")
    if isinstance(scale, numbers.Real) and scale < 0.0:
        raise ValueError(f"Setting a {name} less than 0 on a regularizer: {scale}")


def _no_penalty(_: Any) -> None:
    return None


def _scaled(scale: Any, scope: str | None, default: str, size: Callable[[Any], Any]) -> Regularizer:
    _check(scale, "scale")
    if isinstance(scale, numbers.Real) and scale == 0.0:
        return _no_penalty

    def penalty(weights: Any, name: str | None = None) -> Any:
        with NameScopeV1(scope, default, [weights]) as full_name:
            factor = convert_to_tensor(scale, weights.dtype.base_dtype, name="scale")
            return apply_op(REGISTRY["Mul"], (factor, size(weights)), name=name or full_name)

    return penalty


def _absolute_sum(weights: Any) -> Any:
    magnitudes = apply_op(REGISTRY["Abs"], (weights,))
    axes = list(range(magnitudes.shape.rank))
    return apply_op(REGISTRY["Sum"], (magnitudes, axes), {"keep_dims": False})


@public(v1=["contrib.layers.l1_regularizer"])
def l1_regularizer(scale: float, scope: str | None = None) -> Regularizer:
    """scale * sum(|weights|). ValueError for a negative or integer scale."""
    return _scaled(scale, scope, "l1_regularizer", _absolute_sum)


@public(v1=["contrib.layers.l2_regularizer"])
def l2_regularizer(scale: float, scope: str | None = None) -> Regularizer:
    """scale * sum(weights^2) / 2. ValueError for a negative or integer scale."""
    return _scaled(scale, scope, "l2_regularizer", lambda weights: apply_op(REGISTRY["L2Loss"], (weights,)))


@public(v1=["contrib.layers.l1_l2_regularizer"])
def l1_l2_regularizer(scale_l1: float = 1.0, scale_l2: float = 1.0, scope: str | None = None) -> Regularizer:
    """The sum of both penalties."""
    _check(scale_l1, "scale_l1")
    _check(scale_l2, "scale_l2")
    scope = scope or "l1_l2_regularizer"
    return sum_regularizer([l1_regularizer(scale_l1), l2_regularizer(scale_l2)], scope)


@public(v1=["contrib.layers.sum_regularizer"])
def sum_regularizer(regularizer_list: Sequence[Regularizer | None], scope: str | None = None) -> Regularizer:
    """The sum of several penalties; entries that are None are left out."""
    regularizers = [regularizer for regularizer in regularizer_list if regularizer is not None]
    if not regularizers:
        return _no_penalty

    def penalty(weights: Any) -> Any:
        with NameScopeV1(scope, "sum_regularizer", [weights]) as full_name:
            found = [value for value in (regularizer(weights) for regularizer in regularizers) if value is not None]
            return add_n(found, name=full_name) if found else None

    return penalty


@public(v1=["contrib.layers.apply_regularization"])
def apply_regularization(regularizer: Regularizer, weights_list: Sequence[Any] | None = None) -> Any:
    """The sum of the penalties of `weights_list` (the graph's weights when None), also added to the regularization losses.

    ValueError when there are no weights.
    """
    graph = context.get_default_graph()
    weights = list(weights_list) if weights_list else graph.get_collection(GraphKeys.WEIGHTS)
    if not weights:
        raise ValueError("No weights to regularize.")
    with NameScopeV1("get_regularization_penalty", values=weights) as full_name:
        found = [regularizer(value) for value in weights]
        penalties = [convert_to_tensor(0.0) if value is None else value for value in found]
        total = penalties[0] if len(penalties) == 1 else add_n(penalties, name=full_name)
        if context.state().graph is not None:
            graph.add_to_collection(GraphKeys.REGULARIZATION_LOSSES, total)
        return total
