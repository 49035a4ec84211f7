"""Running sums, products and log-sum-exps along an axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op
from rillet.core.export import export
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import TensorShape
from rillet.core.static import constant_value
from rillet.errors import ShapeError, format_shape
from rillet.ops.elementwise import conj, exp, log
from rillet.ops.families import eager_axes
from rillet.ops.precision import wide

Scan = Callable[[Any, int], Any]


def _scanner(scan: Scan, identity: float) -> Any:
    """The kernel of a running total: `scan(array, axis)` for the inclusive, forward one."""

    def kernel(x: Any, axis: Any, *, exclusive: bool, reverse: bool) -> Any:
        along = _one_axis(x, axis)
        if x.shape[along] == 0:
            return x
        turned = np.flip(x, along) if reverse else x
        totals = scan(wide(turned), along)
        if exclusive:
            first = np.full_like(np.take(totals, [0], along), identity)
            totals = np.concatenate([first, np.delete(totals, -1, along)], along)
        return np.flip(totals, along) if reverse else totals

    return kernel


def _one_axis(x: Any, axis: Any) -> int:
    if np.ndim(axis):
        raise ValueError(f"ScanOp: axis must be a scalar, not {format_shape(np.shape(axis))}")
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"ScanOp: Expected scan axis in the range [{-x.ndim}, {x.ndim}), but got {axis}")
    return int(axis) % x.ndim


def _running_sum(x: Any, axis: int) -> Any:
    return np.add.accumulate(x, axis, _precise(x.dtype)).astype(x.dtype, copy=False)


def _precise(dtype: Any) -> Any:
    """A dtype in which long running totals keep the digits of `dtype`."""
    return {"float32": np.float64, "complex64": np.complex128}.get(dtype.name, dtype)


def _running_product(x: Any, axis: int) -> Any:
    return np.multiply.accumulate(x, axis, x.dtype)


def _running_logsumexp(x: Any, axis: int) -> Any:
    return np.logaddexp.accumulate(x, axis, _precise(x.dtype)).astype(x.dtype, copy=False)


def _scan_shape(op: Operation) -> TensorShape:
    source, axis = op.inputs[0].shape, constant_value(op.inputs[1])
    if source.rank is not None and axis is not None:
        if np.ndim(axis):
            raise ShapeError(
                f"Shape must be rank 0 but is rank {np.ndim(axis)} for the axis of '{op.type}'.",
                f"ScanOp: axis must be a scalar, not {format_shape(np.shape(axis))}",
            )
        if not -source.rank <= axis < source.rank:
            raise ShapeError(
                f"Dimension ({axis}) must be in the range [{-source.rank}, {source.rank}), where {source.rank} is the "
                "number of dimensions in the input.",
                f"ScanOp: Expected scan axis in the range [{-source.rank}, {source.rank}), but got {axis}",
                {0: range(source.rank)},
            )
    return source


def _cumsum_gradient(op: Operation, dy: Any) -> list[Any]:
    return [_again("Cumsum", dy, op, reverse=not op.attrs["reverse"]), None]


def _again(op_type: str, x: Any, op: Operation, reverse: bool) -> Any:
    attrs = {"exclusive": op.attrs["exclusive"], "reverse": reverse}
    return apply_op(REGISTRY[op_type], (x, op.inputs[1]), attrs)


def _cumprod_gradient(op: Operation, dy: Any) -> list[Any]:
    """0 where the input is 0, as in TensorFlow."""
    product = _again("Cumprod", op.inputs[0], op, op.attrs["reverse"])
    total = _again("Cumsum", conj(product) * dy, op, reverse=not op.attrs["reverse"])
    return [apply_op(REGISTRY["DivNoNan"], (total, conj(op.inputs[0])), name="div_no_nan"), None]


def _cumulative_logsumexp_gradient(op: Operation, dy: Any) -> list[Any]:
    """In logarithms, the positive and the negative part of dy apart: their exponentials may overflow on the way."""
    x, y = op.inputs[0], op.outputs[0]
    least = dy.dtype.as_numpy_dtype(dy.dtype.min)
    up = _select(apply_op(REGISTRY["Greater"], (dy, 0.0)), log(dy), least)
    down = _select(apply_op(REGISTRY["Less"], (dy, 0.0)), log(-dy), least)
    reverse = not op.attrs["reverse"]
    risen = exp(_again("CumulativeLogsumexp", up - y, op, reverse) + x)
    fallen = exp(_again("CumulativeLogsumexp", down - y, op, reverse) + x)
    return [risen - fallen, None]


def _select(condition: Any, x: Any, y: Any) -> Any:
    return apply_op(REGISTRY["SelectV2"], (condition, x, y))


def _scan(op_type: str, kernel: Any, types: str, gradient: Any, doc: str) -> Callable[..., Any]:
    definition = define(
        op_type,
        "x: T, axis: Tidx -> out: T",
        f"exclusive: bool = False, reverse: bool = False, T: {types}, Tidx: index = int32",
        reference=kernel,
        shape=_scan_shape,
        gradient=gradient,
    )

    def function(x: Any, axis: Any = 0, exclusive: bool = False, reverse: bool = False, name: str | None = None) -> Any:
        return apply_op(definition, (x, eager_axes(axis)), {"exclusive": exclusive, "reverse": reverse}, name)

    function.__doc__ = (
        f"{doc} along `axis`: element i is that of the first i elements (exclusive) or i + 1 elements; reverse: of the last.\n\n"
        "    Raises InvalidArgumentError (ValueError while building a graph) for an axis out of range.\n    "
    )
    return function


cumsum = _scan("Cumsum", _scanner(_running_sum, 0), "numeric", _cumsum_gradient, "The running sum")
cumprod = _scan("Cumprod", _scanner(_running_product, 1), "numeric", _cumprod_gradient, "The running product")
cumulative_logsumexp = _scan(
    "CumulativeLogsumexp",
    _scanner(_running_logsumexp, -np.inf),
    "floating",
    _cumulative_logsumexp_gradient,
    "The running log(sum(exp(x)))",
)
export(cumsum, "cumsum", "math.cumsum")
export(cumprod, "math.cumprod", v1=["cumprod"])
export(cumulative_logsumexp, "math.cumulative_logsumexp")
