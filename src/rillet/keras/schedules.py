"""tf.keras.optimizers.schedules: learning rates as functions of the step, by the formulas of tf.train's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import export, public
from rillet.frontend.variable import Variable
from rillet.keras.saving_registry import Family
from rillet.ops.cast import cast
from rillet.ops.compare import less
from rillet.ops.elementwise import cos, minimum
from rillet.ops.select import where
from rillet.train import schedules


class LearningRateSchedule:
    """schedule(step) is the learning rate of that step."""

    def __call__(self, step: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must override __call__(step).")

    def get_config(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)

    def _decayed(self, decay: Callable[..., Any], step: Any, *values: Any) -> Any:
        """What a schedule of tf.train gives for `step` (eagerly it gives a function)."""
        step = step if isinstance(step, Variable) else convert_to_tensor(step)
        result = decay(self.initial_learning_rate, step, *values)  # type: ignore[attr-defined]
        return result() if callable(result) else result


export(LearningRateSchedule, "keras.optimizers.schedules.LearningRateSchedule")


class _RateDecay(LearningRateSchedule):
    """What falls with step / decay_steps, by decay_rate: `_decay` of tf.train says how."""

    _decay: Callable[..., Any]

    def __init__(
        self, initial_learning_rate: Any, decay_steps: Any, decay_rate: Any, staircase: bool = False, name: Any = None
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Any:
        return self._decayed(self._decay, step, self.decay_steps, self.decay_rate, self.staircase, self.name)


@public("keras.optimizers.schedules.ExponentialDecay")
class ExponentialDecay(_RateDecay):
    """initial_learning_rate * decay_rate ^ (step / decay_steps); `staircase` rounds the quotient down."""

    _decay = staticmethod(schedules.exponential_decay)


@public("keras.optimizers.schedules.InverseTimeDecay")
class InverseTimeDecay(_RateDecay):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps)."""

    _decay = staticmethod(schedules.inverse_time_decay)


@public("keras.optimizers.schedules.PolynomialDecay")
class PolynomialDecay(LearningRateSchedule):
    """From initial_learning_rate to end_learning_rate in decay_steps, along (1 - step / decay_steps) ^ power."""

    def __init__(
        self, initial_learning_rate: Any, decay_steps: Any, end_learning_rate: Any = 0.0001, power: Any = 1.0,
        cycle: bool = False, name: Any = None,
    ) -> None:  # fmt: skip
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def __call__(self, step: Any) -> Any:
        values = (self.decay_steps, self.end_learning_rate, self.power, self.cycle, self.name)
        return self._decayed(schedules.polynomial_decay, step, *values)


@public("keras.optimizers.schedules.CosineDecay")
class CosineDecay(LearningRateSchedule):
    """Half a cosine from the initial (or target) rate to alpha times it over decay_steps; before that, a linear rise from
    initial_learning_rate to warmup_target over warmup_steps."""

    def __init__(
        self, initial_learning_rate: Any, decay_steps: Any, alpha: Any = 0.0, name: Any = None,
        warmup_target: Any = None, warmup_steps: Any = 0,
    ) -> None:  # fmt: skip
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        if self.warmup_target is None:
            return self._decayed(schedules.cosine_decay, step, self.decay_steps, self.alpha, self.name)
        first = convert_to_tensor(self.initial_learning_rate)
        target, now, warm = [cast(value, first.dtype) for value in (self.warmup_target, step, self.warmup_steps)]
        rising = first + (target - first) * (now / warm)
        progress = minimum((now - warm) / float(self.decay_steps), 1.0)
        falling = target * ((1 - self.alpha) * 0.5 * (1.0 + cos(math.pi * progress)) + self.alpha)
        return where(less(now, warm), rising, falling)


@public("keras.optimizers.schedules.CosineDecayRestarts")
class CosineDecayRestarts(LearningRateSchedule):
    """Cosine decay that starts again, each period t_mul times as long and m_mul times as high as the one before."""

    def __init__(
        self, initial_learning_rate: Any, first_decay_steps: Any, t_mul: Any = 2.0, m_mul: Any = 1.0, alpha: Any = 0.0,
        name: Any = None,
    ) -> None:  # fmt: skip
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step: Any) -> Any:
        values = (self.first_decay_steps, self.t_mul, self.m_mul, self.alpha, self.name)
        return self._decayed(schedules.cosine_decay_restarts, step, *values)


@public("keras.optimizers.schedules.PiecewiseConstantDecay")
class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] while step <= boundaries[0], then values[1] while step <= boundaries[1] ..., at last values[-1]."""

    def __init__(self, boundaries: Sequence[Any], values: Sequence[Any], name: Any = None) -> None:
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "The length of boundaries should be 1 less than the length of values. Received: "
                f"boundaries={boundaries} of length {len(boundaries)}, and values={values} of length {len(values)}."
            )
        self.boundaries = list(boundaries)
        self.values = list(values)
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = convert_to_tensor(step)
        limits = [convert_to_tensor(limit, step.dtype) for limit in self.boundaries]
        result = schedules.piecewise_constant(step, limits, [float(value) for value in self.values], self.name)
        return result() if callable(result) else result


SCHEDULES = Family("keras.optimizers.schedules", "decay")
for _function in (SCHEDULES.serialize, SCHEDULES.deserialize):
    export(_function, f"keras.optimizers.schedules.{_function.__name__}")
deserialize = SCHEDULES.deserialize
