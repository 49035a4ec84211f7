"""Comparing gradients with finite differences: tf.test.compute_gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.autodiff.gradients import gradients
from rillet.autodiff.tape import GradientTape
from rillet.core.dispatch import convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.export import public

Array = Any
_CHECKED = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")


def _as_reals(array: Array) -> Array:
    """A flat view of an array; a complex number is two real ones."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(flat.real.dtype) if np.iscomplexobj(flat) else flat


def _numbers(shape: Sequence[int], dtype: DType) -> int:
    return int(np.prod(shape, dtype=np.int64)) * (2 if dtype.is_complex else 1)


def _analytic(slopes: Callable[[Array], Array | None], shape: Sequence[int], dtype: DType, columns: int) -> Array:
    """The matrix whose rows are the gradients for each element of a result of that shape and dtype."""
    rows = []
    for place in range(_numbers(shape, dtype)):
        weight = np.zeros(shape, dtype.numpy_dtype)
        _as_reals(weight)[place] = 1
        slope = slopes(weight)
        rows.append(np.zeros(columns, dtype.real_dtype.numpy_dtype) if slope is None else _as_reals(slope))
    return np.stack(rows) if rows else np.zeros((0, columns), dtype.real_dtype.numpy_dtype)


def _numeric(value: Callable[[Array], Array], at: Array, delta: float) -> Array:
    """The same matrix by central differences."""
    columns = []
    for place in range(_as_reals(at).size):
        sides = []
        for sign in (1, -1):
            moved = np.array(at, copy=True)
            _as_reals(moved)[place] += sign * delta
            sides.append(_as_reals(np.asarray(value(moved))))
        columns.append(((sides[0] - sides[1]) / (2 * delta)).astype(sides[0].dtype))
    return np.stack(columns, axis=1) if columns else np.zeros((_as_reals(np.asarray(value(at))).size, 0), at.dtype)


@public(v2=["test.compute_gradient"])
def compute_gradient(f: Callable[..., Any], x: Any, delta: float | None = None) -> tuple[Any, Any]:
    """The gradients of `f` at `x`, as the tape computes them and as central differences.

    x: a list of arguments of f, floating or complex. delta: the step (1/1024 when None).
    Returns two tuples with an array [elements of f(x), elements of x[i]] for each argument; a complex number counts as two.
    Raises ValueError where x is no list, AssertionError for an argument of another dtype.
    """
    if not isinstance(x, (list, tuple)):
        raise ValueError(
            f"`x` must be a list or tuple of values convertible to a Tensor (arguments to `f`), not a {type(x)}"
        )
    step = 1.0 / 1024 if delta is None else delta
    arguments = [convert_to_tensor(value) for value in x]
    for place, argument in enumerate(arguments):
        if argument.dtype.name not in _CHECKED:
            raise AssertionError(
                f"Cannot compute gradient for unsupported type {argument.dtype.name} of argument {place}"
            )
    pairs = [_both(f, arguments, place, step) for place in range(len(arguments))]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def _both(f: Callable[..., Any], arguments: Sequence[Any], place: int, step: float) -> tuple[Array, Array]:
    argument = arguments[place]

    def value(array: Array) -> Array:
        moved = convert_to_tensor(array, argument.dtype)
        return convert_to_tensor(f(*arguments[:place], moved, *arguments[place + 1 :])).numpy()

    with GradientTape(persistent=True) as tape:
        tape.watch(argument)
        result = convert_to_tensor(f(*arguments))

    def slopes(weight: Array) -> Array | None:
        gradient = tape.gradient(result, argument, output_gradients=convert_to_tensor(weight, result.dtype))
        return None if gradient is None else convert_to_tensor(gradient).numpy()

    at = np.asarray(argument.numpy())
    columns = _numbers(at.shape, argument.dtype)
    return _analytic(slopes, result.shape.as_list(), result.dtype, columns), _numeric(value, at, step)


# ---- TensorFlow 1 ---------------------------------------------------------------------------------------------------


@public(v1=["test.compute_gradient"])
def compute_gradient_v1(
    x: Any,
    x_shape: Any,
    y: Any,
    y_shape: Any,
    x_init_value: Any = None,
    delta: float = 1e-3,
    init_targets: Any = None,
    extra_feed_dict: Any = None,
) -> Any:
    """The gradient of the graph tensor y by x, as tf.gradients computes it and as central differences.

    x: a tensor or a list of them (x_shape and x_init_value likewise). x_init_value: where to differentiate (random numbers
        when None). init_targets: operations run first. extra_feed_dict: what else is fed.
    Returns two arrays [elements of x, elements of y]; for a list of x a list of such pairs. Needs a default session.
    """
    for target in init_targets or ():
        target.run()
    feeds = dict(extra_feed_dict or {})
    if not isinstance(x, (list, tuple)):
        return _compare_in_graph(x, x_shape, y, y_shape, x_init_value, delta, feeds)
    starts = [None] * len(x) if x_init_value is None else x_init_value
    return [
        _compare_in_graph(each, shape, y, y_shape, start, delta, feeds)
        for each, shape, start in zip(x, x_shape, starts, strict=True)
    ]


def _compare_in_graph(
    x: Any, x_shape: Any, y: Any, y_shape: Any, start: Any, delta: float, feeds: dict[Any, Any]
) -> tuple[Array, Array]:
    dtype, shape = x.dtype.base_dtype, [int(size) for size in x_shape]
    if start is None:
        start = np.random.random_sample(shape)
    at = np.array(start, dtype.numpy_dtype).reshape(shape)
    weight_shape = [int(size) for size in y_shape]
    weight_tensor = convert_to_tensor(np.ones(weight_shape, y.dtype.base_dtype.numpy_dtype))
    with y.graph.as_default():
        (gradient,) = gradients(y, x, grad_ys=[weight_tensor])
        weight_tensor = y.graph.capture(weight_tensor)
        dense = None if gradient is None else convert_to_tensor(gradient)

    def value(array: Array) -> Array:
        return y.eval(feed_dict={**feeds, x: array})

    def slopes(weight: Array) -> Array | None:
        return None if dense is None else dense.eval(feed_dict={**feeds, x: at, weight_tensor: weight})

    analytic = _analytic(slopes, weight_shape, y.dtype.base_dtype, _numbers(shape, dtype))
    return analytic.T, _numeric(value, at, delta).T


@public(v1=["test.compute_gradient_error"])
def compute_gradient_error(
    x: Any,
    x_shape: Any,
    y: Any,
    y_shape: Any,
    x_init_value: Any = None,
    delta: float = 1e-3,
    init_targets: Any = None,
    extra_feed_dict: Any = None,
) -> float:
    """The largest difference between the two arrays (or pairs of arrays) of compute_gradient."""
    found = compute_gradient_v1(x, x_shape, y, y_shape, x_init_value, delta, init_targets, extra_feed_dict)
    pairs = [found] if isinstance(found, tuple) else found
    return max((float(np.max(np.abs(one - other))) for one, other in pairs if one.size), default=0.0)
