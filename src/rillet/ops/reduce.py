"""Reductions: sums, means, extrema, norms over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY
from rillet.core.static import constant_value
from rillet.ops.cast import cast
from rillet.ops.elementwise import real_div
from rillet.ops.families import axes_tuple, reduction
from rillet.ops.shape import reshape, shape


def _kept(op: Operation) -> Any:
    x = op.inputs[0]
    axes = constant_value(op.inputs[1])
    dims = list(x.shape.dimensions)
    wanted = axes_tuple(axes, len(dims))
    return [1 if axis in wanted else (-1 if size is None else size) for axis, size in enumerate(dims)]


def _sum_gradient(op: Operation, dy: Any) -> list[Any]:
    x = op.inputs[0]
    return [reshape(dy, _kept(op)) * apply_op(REGISTRY["OnesLike"], (x,)), None]


def _mean_gradient(op: Operation, dy: Any) -> list[Any]:
    x = op.inputs[0]
    total = _sum_gradient(op, dy)[0]
    count = np.prod([x.shape.dimensions[axis] for axis in axes_tuple(constant_value(op.inputs[1]), x.shape.rank)])
    return [real_div(total, count.astype(x.dtype.as_numpy_dtype)), None]


def _extremum_gradient(op: Operation, dy: Any) -> list[Any]:
    x, y = op.inputs[0], reshape(op.outputs[0], _kept(op))
    chosen = cast(apply_op(REGISTRY["Equal"], (y, x)), x.dtype)
    count = reshape(reduce_sum(chosen, op.inputs[1]), _kept(op))
    return [real_div(chosen, count) * reshape(dy, _kept(op)), None]


reduce_sum = reduction("Sum", np.sum, "numeric", _sum_gradient, names=["reduce_sum", "math.reduce_sum"])
reduce_mean = reduction("Mean", np.mean, "numeric", _mean_gradient, names=["reduce_mean", "math.reduce_mean"])
reduce_max = reduction("Max", np.max, "real", _extremum_gradient, names=["reduce_max", "math.reduce_max"])
reduce_min = reduction("Min", np.min, "real", _extremum_gradient, names=["reduce_min", "math.reduce_min"])

__all__ = ["shape"]
