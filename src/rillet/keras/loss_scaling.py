"""tf.keras.mixed_precision.LossScaleOptimizer: float16 gradients of a loss made larger, so that small ones are not lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rillet.core import dtypes
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.core.indexed_slices import IndexedSlices
from rillet.frontend.control import cond
from rillet.frontend.scopes import init_scope
from rillet.keras.optimizer_state import VariableList
from rillet.keras.optimizers import OPTIMIZERS, Optimizer, _map
from rillet.ops.cast import cast
from rillet.ops.compare import greater_equal, is_finite
from rillet.ops.elementwise import maximum
from rillet.ops.join import stack
from rillet.ops.reduce import reduce_all
from rillet.ops.select import where

_INITIAL_SCALE, _GROWTH_STEPS = 2.0**15, 2000


@public("keras.mixed_precision.LossScaleOptimizer")
class LossScaleOptimizer(Optimizer):
    """An optimizer around another: `minimize` multiplies the loss by `loss_scale`, and divides the gradients by it.

    dynamic: whether the scale changes: a step with a gradient that is not finite is left out and halves it (not below 1);
        dynamic_growth_steps (2000) steps without any double it. initial_scale: 2 ** 15 when dynamic, else to be given.
    Raises TypeError for an inner optimizer that is none, ValueError where the arguments contradict each other.
    """

    def __init__(
        self, inner_optimizer: Any, dynamic: bool = True, initial_scale: float | None = None,
        dynamic_growth_steps: int | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        if not isinstance(inner_optimizer, Optimizer) or isinstance(inner_optimizer, LossScaleOptimizer):
            raise TypeError(
                f'"inner_optimizer" must be an optimizer of tf.keras that scales no loss itself, but got: {inner_optimizer}.'
            )
        if not dynamic and initial_scale is None:
            raise ValueError('"initial_scale" must be specified if "dynamic" is False')
        if not dynamic and dynamic_growth_steps is not None:
            raise ValueError(
                f'"dynamic_growth_steps" must be None if "dynamic" is False, but got: {dynamic_growth_steps}'
            )
        super().__init__(kwargs.pop("name", None) or inner_optimizer.name, **kwargs)
        self.inner_optimizer = inner_optimizer
        self.dynamic = bool(dynamic)
        self.initial_scale = float(_INITIAL_SCALE if initial_scale is None else initial_scale)
        self.dynamic_growth_steps = (dynamic_growth_steps or _GROWTH_STEPS) if dynamic else None
        self._scale: Any = None
        self._good_steps: Any = None

    # ---- the scale ---------------------------------------------------------------------------------------------

    def _make_scale(self) -> None:
        if self.dynamic and self._scale is None:
            with init_scope():
                self._scale = self._scalar_variable("current_loss_scale", self.initial_scale, dtypes.float32)
                self._good_steps = self._scalar_variable("good_steps", 0, dtypes.int64)

    @property
    def loss_scale(self) -> Any:
        """The scale now: a float32 tensor."""
        self._make_scale()
        return self._scale.value() if self.dynamic else convert_to_tensor(self.initial_scale, dtypes.float32)

    @property
    def dynamic_counter(self) -> Any:
        """How many steps there were since the scale changed: a variable; None where it does not."""
        self._make_scale()
        return self._good_steps

    def get_scaled_loss(self, loss: Any) -> Any:
        """The loss (or a function that gives it) times the scale."""
        if callable(loss):
            return lambda: self.get_scaled_loss(loss())
        loss = convert_to_tensor(loss)
        return loss * cast(self.loss_scale, loss.dtype)

    def get_unscaled_gradients(self, grads: Iterable[Any]) -> list[Any]:
        """Gradients of a scaled loss divided by the scale. None stays None."""
        inverse = 1.0 / self.loss_scale
        return [
            None if one is None else _map(one, lambda values: values * cast(inverse, values.dtype)) for one in grads
        ]

    # ---- a step ------------------------------------------------------------------------------------------------

    def compute_gradients(self, loss: Any, var_list: Any, tape: Any = None, grad_loss: Any = None) -> list[Any]:
        dtype = dtypes.float32 if callable(loss) else loss.dtype.base_dtype
        if callable(loss):
            pairs = self.inner_optimizer.compute_gradients(self.get_scaled_loss(loss), var_list, tape, grad_loss)
        else:  # the tape has recorded the loss: what it starts from is the scale
            start = cast(self.loss_scale, dtype)
            pairs = self.inner_optimizer.compute_gradients(
                loss, var_list, tape, start if grad_loss is None else start * grad_loss
            )
        found = self.get_unscaled_gradients([gradient for gradient, _ in pairs])
        return [(gradient, variable) for gradient, (_, variable) in zip(found, pairs, strict=True)]

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]], name: Any = None, **options: Any) -> Any:
        """A step of the inner optimizer, unless the scale is dynamic and a gradient is not finite."""
        pairs = [(gradient, variable) for gradient, variable in grads_and_vars if gradient is not None]
        if not self.dynamic or not pairs:
            return self.inner_optimizer.apply_gradients(pairs, name, **options)
        with init_scope():
            self.build([variable for _, variable in pairs])

        def step() -> Any:
            self.inner_optimizer.apply_gradients(pairs, name, **options)
            return convert_to_tensor(0)

        finite = reduce_all(stack([reduce_all(is_finite(_values(gradient))) for gradient, _ in pairs]))
        done = cond(finite, step, lambda: convert_to_tensor(0))
        self._update_scale(finite)
        return done

    def _update_scale(self, finite: Any) -> None:
        scale, steps = self._scale.value(), self._good_steps.value() + 1
        grows = greater_equal(steps, self.dynamic_growth_steps)
        larger = where(is_finite(scale * 2.0), scale * 2.0, scale)
        self._scale.assign(where(finite, where(grows, larger, scale), maximum(scale / 2.0, 1.0)))
        self._good_steps.assign(where(finite, where(grows, steps * 0, steps), steps * 0))

    # ---- what it has of the inner optimizer ----------------------------------------------------------------------

    def build(self, var_list: Any) -> None:
        self.inner_optimizer.build(var_list)
        self._make_scale()
        self.built = True

    @property
    def variables(self) -> VariableList:
        own = [self._scale, self._good_steps] if self._scale is not None else []
        return VariableList([*self.inner_optimizer.variables, *own])

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.inner_optimizer.learning_rate = value

    lr = learning_rate  # type: ignore[assignment]

    @property
    def iterations(self) -> Any:
        return self.inner_optimizer.iterations

    @iterations.setter
    def iterations(self, variable: Any) -> None:
        self.inner_optimizer.iterations = variable

    def finalize_variable_values(self, var_list: Any) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        return {
            "inner_optimizer": OPTIMIZERS.serialize(self.inner_optimizer), "dynamic": self.dynamic,
            "initial_scale": self.initial_scale, "dynamic_growth_steps": self.dynamic_growth_steps,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        inner = OPTIMIZERS.deserialize(config["inner_optimizer"], custom_objects)
        return cls(**{**config, "inner_optimizer": inner})


def _values(gradient: Any) -> Any:
    return gradient.values if isinstance(gradient, IndexedSlices) else gradient


def with_loss_scale(optimizer: Any) -> Any:
    """What a model that computes in float16 is trained with."""
    is_keras = isinstance(optimizer, Optimizer) and not isinstance(optimizer, LossScaleOptimizer)
    return LossScaleOptimizer(optimizer) if is_keras else optimizer
