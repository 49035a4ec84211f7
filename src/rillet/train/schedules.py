"""Learning rate schedules of tf.train: in a graph a tensor that depends on the global step, eagerly a function that an
optimizer calls at each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from rillet.core import context
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.frontend.variable import Variable
from rillet.ops import random
from rillet.ops.cast import cast
from rillet.ops.scope import scope


def _call(op_type: str, *inputs: Any, name: str | None = None) -> Any:
    return apply_op(REGISTRY[op_type], inputs, name=name)


class _Now:
    """The values that a schedule is computed from: the initial rate, and the others cast to its dtype."""

    def __init__(self, rate: Any, scope_name: str | None) -> None:
        self.rate = convert_to_tensor(rate, name="initial_learning_rate")
        self.name = scope_name

    @property
    def dtype(self) -> DType:
        return self.rate.dtype

    def cast(self, *values: Any) -> list[Any]:
        return [cast(value, self.dtype) for value in values]

    def scaled(self, factor: Any, op_type: str = "Mul") -> Any:
        """The result: the initial rate times `factor` (or divided by it)."""
        return _call(op_type, self.rate, factor, name=self.name)


def _schedule(rate: Any, global_step: Any, name: str, compute: Callable[[_Now], Any]) -> Any:
    """A schedule: `compute` now (graphs), or whenever the result is called (eagerly)."""
    if global_step is None:
        raise ValueError(f"global_step is required for {name}.")

    def value() -> Any:
        with scope(name, rate, global_step) as full_name:
            return compute(_Now(rate, full_name))

    return value if context.executing_eagerly() and not _is_symbolic(rate, global_step) else value()


def _is_symbolic(*values: Any) -> bool:
    return any(getattr(value, "graph", None) is not None for value in values if hasattr(value, "op"))


@public(v1=["train.exponential_decay"])
def exponential_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool = False,
    name: str | None = None,
) -> Any:
    """learning_rate * decay_rate ^ (global_step / decay_steps); `staircase` rounds the quotient down."""

    def compute(now: _Now) -> Any:
        steps, base = now.cast(decay_steps, decay_rate)
        return now.scaled(_call("Pow", base, _progress(now, global_step, steps, staircase)))

    return _schedule(learning_rate, global_step, name or "ExponentialDecay", compute)


def _progress(now: _Now, global_step: Any, steps: Any, staircase: bool) -> Any:
    quotient = now.cast(global_step)[0] / steps
    return _call("Floor", quotient) if staircase else quotient


@public(v1=["train.natural_exp_decay"])
def natural_exp_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool = False,
    name: str | None = None,
) -> Any:
    """learning_rate * exp(-decay_rate * global_step / decay_steps)."""
    base = _call("Exp", _call("Neg", decay_rate))
    return exponential_decay(learning_rate, global_step, decay_steps, base, staircase, name or "ExponentialDecay")


@public(v1=["train.inverse_time_decay"])
def inverse_time_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool = False,
    name: str | None = None,
) -> Any:
    """learning_rate / (1 + decay_rate * global_step / decay_steps)."""

    def compute(now: _Now) -> Any:
        steps, rate = now.cast(decay_steps, decay_rate)
        progress = _progress(now, global_step, steps, staircase)
        one = cast(convert_to_tensor(1), now.dtype)
        return now.scaled(_call("AddV2", one, _call("Mul", rate, progress), name="Add"), "RealDiv")

    return _schedule(learning_rate, global_step, name or "InverseTimeDecay", compute)


@public(v1=["train.polynomial_decay"])
def polynomial_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    end_learning_rate: Any = 0.0001,
    power: Any = 1.0,
    cycle: bool = False,
    name: str | None = None,
) -> Any:
    """(learning_rate - end) * (1 - global_step / decay_steps) ^ power + end, and `end` from decay_steps on.

    cycle: instead decay_steps grows to the next multiple that is beyond global_step.
    """

    def compute(now: _Now) -> Any:
        end, exponent, step, steps = now.cast(end_learning_rate, power, global_step, decay_steps)
        if cycle:
            periods = _call("SelectV2", _call("Equal", step, 0), 1.0, _call("Ceil", step / decay_steps))
            steps = _call("Mul", steps, periods)
        else:
            step = _call("Minimum", step, steps)
        progress = step / steps
        decayed = _call("Mul", now.rate - end, _call("Pow", 1 - progress, exponent))
        return _call("AddV2", decayed, end, name=now.name)

    return _schedule(learning_rate, global_step, name or "PolynomialDecay", compute)


@public(v1=["train.cosine_decay"])
def cosine_decay(
    learning_rate: Any, global_step: Any, decay_steps: Any, alpha: Any = 0.0, name: str | None = None
) -> Any:
    """Half a cosine from learning_rate to alpha * learning_rate over decay_steps (Loshchilov and Hutter 2016)."""

    def compute(now: _Now) -> Any:
        (steps,) = now.cast(decay_steps)
        (step,) = now.cast(global_step)
        progress = _call("Minimum", step, steps) / steps
        decayed = (1 - alpha) * _half_cosine(progress) + alpha
        return _call("Mul", now.rate, decayed)

    return _schedule(learning_rate, global_step, name or "CosineDecay", compute)


def _half_cosine(progress: Any) -> Any:
    return 0.5 * (1.0 + _call("Cos", convert_to_tensor(math.pi, progress.dtype) * progress))


@public(v1=["train.cosine_decay_restarts"])
def cosine_decay_restarts(
    learning_rate: Any,
    global_step: Any,
    first_decay_steps: Any,
    t_mul: Any = 2.0,
    m_mul: Any = 1.0,
    alpha: Any = 0.0,
    name: str | None = None,
) -> Any:
    """Cosine decay that starts again after first_decay_steps; each period is t_mul times as long as the one before, and
    begins at m_mul times its rate."""

    def compute(now: _Now) -> Any:
        steps, floor, longer, lower = now.cast(first_decay_steps, alpha, t_mul, m_mul)
        progress = now.cast(global_step)[0] / steps
        period, progress = _restart(progress, t_mul, longer)
        cosine = 0.5 * lower**period * (1.0 + _call("Cos", convert_to_tensor(math.pi, now.dtype) * progress))
        return now.scaled((1 - floor) * cosine + floor)

    return _schedule(learning_rate, global_step, name or "SGDRDecay", compute)


def _restart(progress: Any, t_mul: Any, longer: Any) -> tuple[Any, Any]:
    """(which period it is, how far through it) for periods each `longer` times the one before."""
    if isinstance(t_mul, (int, float)) and t_mul == 1.0:
        period = _call("Floor", progress)
        return period, progress - period
    period = _call("Floor", _call("Log", 1.0 - progress * (1.0 - longer)) / _call("Log", longer))
    begun = (1.0 - longer**period) / (1.0 - longer)
    return period, (progress - begun) / longer**period


@public(v1=["train.linear_cosine_decay"])
def linear_cosine_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    num_periods: Any = 0.5,
    alpha: Any = 0.0,
    beta: Any = 0.001,
    name: str | None = None,
) -> Any:
    """learning_rate * ((alpha + linear) * cosine + beta) (Bello et al. 2017)."""

    def compute(now: _Now) -> Any:
        steps, periods, lift, rest = now.cast(decay_steps, num_periods, alpha, beta)
        step = _call("Minimum", now.cast(global_step)[0], steps)
        linear = (steps - step) / steps
        cosine = _waves(step / steps, periods)
        return now.scaled((lift + linear) * cosine + rest)

    return _schedule(learning_rate, global_step, name or "LinearCosineDecay", compute)


def _waves(progress: Any, periods: Any) -> Any:
    return _half_cosine(2.0 * periods * progress)


@public(v1=["train.noisy_linear_cosine_decay"])
def noisy_linear_cosine_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    initial_variance: Any = 1.0,
    variance_decay: Any = 0.55,
    num_periods: Any = 0.5,
    alpha: Any = 0.0,
    beta: Any = 0.001,
    name: str | None = None,
) -> Any:
    """linear_cosine_decay with noise of variance initial_variance / (1 + step) ^ variance_decay added to the linear
    part."""

    def compute(now: _Now) -> Any:
        steps, start, decay, periods, lift, rest = now.cast(
            decay_steps, initial_variance, variance_decay, num_periods, alpha, beta
        )
        step = _call("Minimum", now.cast(global_step)[0], steps)
        linear = (steps - step) / steps
        variance = start / _call("Pow", 1.0 + step, decay)
        noisy = linear + random.random_normal([], stddev=_call("Sqrt", variance), dtype=now.dtype)
        cosine = _waves(step / steps, periods)
        return now.scaled((lift + noisy) * cosine + rest)

    return _schedule(learning_rate, global_step, name or "NoisyLinearCosineDecay", compute)


@public(v1=["train.piecewise_constant", "train.piecewise_constant_decay"])
def piecewise_constant(x: Any, boundaries: Sequence[Any], values: Sequence[Any], name: str | None = None) -> Any:
    """values[0] while x <= boundaries[0], then values[1] while x <= boundaries[1], ..., at last values[-1].

    x: the global step; boundaries: increasing, of its dtype; values: one more, all of one dtype.
    Raises ValueError when the lengths or dtypes don't fit.
    """
    if len(boundaries) != len(values) - 1:
        raise ValueError("The length of boundaries should be 1 less than the length of values")
    if context.executing_eagerly() and not _is_symbolic(x):
        return lambda: _piece(x, boundaries, values, name)
    return _piece(x, boundaries, values, name)


def _piece(x: Any, boundaries: Sequence[Any], values: Sequence[Any], name: str | None) -> Any:
    x = x if isinstance(x, Variable) else convert_to_tensor(x)
    limits = [_boundary(x, limit, index) for index, limit in enumerate(boundaries)]
    pieces = [convert_to_tensor(value) for value in values]
    if any(piece.dtype is not pieces[0].dtype for piece in pieces):
        raise ValueError(f"Values must have elements all with the same dtype: {[piece.dtype for piece in pieces]}.")
    with scope(name or "PiecewiseConstant", x, *pieces):
        now = convert_to_tensor(x)
        result = pieces[-1]
        for limit, piece in zip(reversed(limits), reversed(pieces[:-1]), strict=True):
            result = _call("SelectV2", _call("LessEqual", now, limit), piece, result)
        return result


def _boundary(x: Any, limit: Any, index: int) -> Any:
    tensor = convert_to_tensor(limit)
    wanted = x.dtype.base_dtype
    if tensor.dtype is wanted:
        return tensor
    if tensor.dtype.name == "int32" and wanted.name == "int64":
        return cast(tensor, wanted)
    raise ValueError(f"`boundaries[{index}]` ({tensor.dtype.name}) must have the same dtype as `x` ({wanted.name}).")
