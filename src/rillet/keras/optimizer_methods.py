"""The optimizers of tf.keras. Where TensorFlow has an op with the method's rule, one call of it is the update; the other
rules are written here in ops, which compile into one kernel as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import REGISTRY
from rillet.frontend.scopes import run_after
from rillet.keras.optimizers import Optimizer, assign
from rillet.ops.creation import fill
from rillet.ops.elementwise import power, rsqrt, sign, sqrt, square
from rillet.train.updates import as_dtype, scatter, without_repetition


def _method(name: str) -> Any:
    return public(f"keras.optimizers.{name}", f"keras.optimizers.experimental.{name}")


@_method("SGD")
class SGD(Optimizer):
    """variable <- variable - learning_rate * gradient, with momentum by a running sum of the steps.

    Raises ValueError unless 0 <= momentum <= 1.
    """

    def __init__(
        self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, weight_decay: float | None = None,
        clipnorm: float | None = None, clipvalue: float | None = None, global_clipnorm: float | None = None,
        use_ema: bool = False, ema_momentum: float = 0.99, ema_overwrite_frequency: int | None = None,
        jit_compile: bool | str = True, name: str = "SGD", **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            name, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            jit_compile, learning_rate, **kwargs,
        )  # fmt: skip
        if isinstance(momentum, (int, float)) and not 0 <= momentum <= 1:
            raise ValueError("`momentum` must be between [0, 1].")
        self.momentum = momentum
        self.nesterov = nesterov
        self._exact_rows = not momentum

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        if self.momentum:
            self._add_slots("m", var_list)

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> Any:  # type: ignore[override]
        if isinstance(gradient, IndexedSlices):
            return scatter("ScatterAdd", variable, gradient.indices, -gradient.values * rate)
        if not self.momentum:
            return self._apply("ApplyGradientDescent", variable, [], [rate, gradient])
        values = [rate, gradient, self.momentum]
        return self._apply("ApplyKerasMomentum", variable, ["m"], values, use_nesterov=bool(self.nesterov))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}


@_method("RMSprop")
class RMSprop(Optimizer):
    """RMSProp (Tieleman and Hinton 2012); `centered` divides by the standard deviation of the gradient."""

    def __init__(
        self, learning_rate: Any = 0.001, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7,
        centered: bool = False, weight_decay: float | None = None, clipnorm: float | None = None,
        clipvalue: float | None = None, global_clipnorm: float | None = None, use_ema: bool = False,
        ema_momentum: float = 0.99, ema_overwrite_frequency: int | None = 100, jit_compile: bool | str = True,
        name: str = "RMSprop", **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            name, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            jit_compile, learning_rate, **kwargs,
        )  # fmt: skip
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for name, wanted in (("velocity", True), ("momentum", self.momentum), ("average_gradient", self.centered)):
            if wanted:
                self._add_slots(name, var_list)

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> Any:  # type: ignore[override]
        scalars = [rate, self.rho, self.momentum, self.epsilon, gradient]
        if self.momentum and self.centered:
            slots = ["average_gradient", "velocity", "momentum"]
            return self._apply("ApplyCenteredRMSProp", variable, slots, scalars)
        if self.momentum:
            return self._apply("ApplyRMSProp", variable, ["velocity", "momentum"], scalars)
        velocity = self._slot("velocity", variable)
        mean = velocity.value() * self.rho + square(gradient) * (1 - self.rho)
        changes = [(velocity, mean)]
        if self.centered:
            average = self._slot("average_gradient", variable)
            center = average.value() * self.rho + gradient * (1 - self.rho)
            changes.append((average, center))
            mean = mean - square(center)
        changes.append((variable, variable.value() - self._direction(gradient, mean) * rate))
        return assign(changes)

    def _direction(self, gradient: Any, mean: Any) -> Any:
        return gradient * rsqrt(mean + self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(), "rho": self.rho, "momentum": self.momentum, "epsilon": self.epsilon,
            "centered": self.centered,
        }  # fmt: skip


@_method("Adam")
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015); `amsgrad` divides by the largest second moment so far (Reddi et al. 2018)."""

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
        adaptive_epsilon: bool = False, amsgrad: bool = False, weight_decay: float | None = None,
        clipnorm: float | None = None, clipvalue: float | None = None, global_clipnorm: float | None = None,
        use_ema: bool = False, ema_momentum: float = 0.99, ema_overwrite_frequency: int | None = None,
        jit_compile: bool | str = True, name: str = "Adam", **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            name, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            jit_compile, learning_rate, **kwargs,
        )  # fmt: skip
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.adaptive_epsilon = adaptive_epsilon
        self.amsgrad = amsgrad

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        self._add_pairs("m", "v", var_list)
        if self.amsgrad:
            self._add_slots("vhat", var_list)

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> Any:  # type: ignore[override]
        power1, power2 = self._powers(variable.dtype.base_dtype, self.beta_1, self.beta_2)
        epsilon = self.epsilon * sqrt(1 - power2) if self.adaptive_epsilon else self.epsilon
        values = [power1, power2, rate, self.beta_1, self.beta_2, epsilon, gradient]
        if self.amsgrad:
            return self._apply("ApplyAdamWithAmsgrad", variable, ["m", "v", "vhat"], values)
        return self._apply("ApplyAdam", variable, ["m", "v"], values)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }  # fmt: skip


@_method("AdamW")
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019). ValueError for weight_decay=None."""

    def __init__(
        self, learning_rate: Any = 0.001, weight_decay: float = 0.004, beta_1: float = 0.9, beta_2: float = 0.999,
        epsilon: float = 1e-7, amsgrad: bool = False, clipnorm: float | None = None, clipvalue: float | None = None,
        global_clipnorm: float | None = None, use_ema: bool = False, ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None, jit_compile: bool | str = True, name: str = "AdamW", **kwargs: Any,
    ) -> None:  # fmt: skip
        if weight_decay is None:
            raise ValueError("Missing value of `weight_decay` which is required and must be a float value.")
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, False, amsgrad, weight_decay, clipnorm, clipvalue, global_clipnorm,
            use_ema, ema_momentum, ema_overwrite_frequency, jit_compile, name, **kwargs,
        )  # fmt: skip


@_method("Adamax")
class Adamax(Optimizer):
    """Adam with the infinity norm (Kingma and Ba 2015)."""

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
        weight_decay: float | None = None, clipnorm: float | None = None, clipvalue: float | None = None,
        global_clipnorm: float | None = None, use_ema: bool = False, ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None, jit_compile: bool | str = True, name: str = "Adamax", **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            name, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            jit_compile, learning_rate, **kwargs,
        )  # fmt: skip
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        self._add_pairs("m", "u", var_list)

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> Any:  # type: ignore[override]
        (power1,) = self._powers(variable.dtype.base_dtype, self.beta_1)
        values = [power1, rate, self.beta_1, self.beta_2, self.epsilon, gradient]
        return self._apply("ApplyAdaMax", variable, ["m", "u"], values)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


@_method("Nadam")
class Nadam(Optimizer):
    """Adam with Nesterov momentum (Dozat 2015): the momentum grows towards beta_1."""

    _schedule_decay = 1.0

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
        weight_decay: float | None = None, clipnorm: float | None = None, clipvalue: float | None = None,
        global_clipnorm: float | None = None, use_ema: bool = False, ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None, jit_compile: bool | str = True, name: str = "Nadam", **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            name, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            jit_compile, learning_rate, **kwargs,
        )  # fmt: skip
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self._product: Any = None  # of the momenta of all steps so far

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        if self._product is None and var_list:
            self._product = self._make_product(var_list[0].dtype.base_dtype)
        self._add_pairs("m", "v", var_list)

    def _make_product(self, dtype: Any) -> Any:
        return self._scalar_variable("momentum_product", 1.0, dtype)

    def _momentum_at(self, step: Any) -> Any:
        return self.beta_1 * (1.0 - 0.5 * power(convert_to_tensor(0.96, step.dtype), self._schedule_decay * step))

    def _begin_step(self) -> list[Any]:
        dtype = self._product.dtype.base_dtype
        step = as_dtype(self.iterations.value() + 1, dtype)
        step = apply_op(REGISTRY["Cast"], (step,), {"DstT": dtype})
        now, following = self._momentum_at(step), self._momentum_at(step + 1)
        product = self._product.value() * now
        self._momenta = now, following, product, product * following
        return [assign([(self._product, product)])]

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> Any:  # type: ignore[override]
        dtype = variable.dtype.base_dtype
        now, following, product, next_product = [as_dtype(value, dtype) for value in self._momenta]
        (power2,) = self._powers(dtype, self.beta_2)
        m, v = self._slot("m", variable), self._slot("v", variable)
        new_m = m.value() + (gradient - m.value()) * (1 - self.beta_1)
        new_v = v.value() + (square(gradient) - v.value()) * (1 - self.beta_2)
        mean = following * new_m / (1 - next_product) + (1 - now) * gradient / (1 - product)
        change = mean * rate / (sqrt(new_v / (1 - power2)) + self.epsilon)
        return assign([(m, new_m), (v, new_v), (variable, variable.value() - change)])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


@_method("Adagrad")
class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011). ValueError for a negative initial_accumulator_value."""

    _exact_rows = True

    def __init__(
        self, learning_rate: Any = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7,
        weight_decay: float | None = None, clipnorm: float | None = None, clipvalue: float | None = None,
        global_clipnorm: float | None = None, use_ema: bool = False, ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None, jit_compile: bool | str = True, name: str = "Adagrad", **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            name, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            jit_compile, learning_rate, **kwargs,
        )  # fmt: skip
        if initial_accumulator_value < 0:
            raise ValueError(f"initial_accumulator_value must be non-negative: {initial_accumulator_value}")
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        self._add_slots("accumulator", var_list, self._start)

    def _start(self, variable: Any) -> Any:
        return fill(variable.shape, convert_to_tensor(self.initial_accumulator_value, variable.dtype.base_dtype))

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> Any:  # type: ignore[override]
        accumulator = self._slot("accumulator", variable)
        if isinstance(gradient, IndexedSlices):
            return self._update_rows(gradient, variable, accumulator, rate)
        total = accumulator.value() + square(gradient)
        change = gradient * rsqrt(total + self.epsilon) * rate
        return assign([(accumulator, total), (variable, variable.value() - change)])

    def _update_rows(self, gradient: Any, variable: Any, accumulator: Any, rate: Any) -> Any:
        values, rows = without_repetition(gradient.values, gradient.indices)
        added = scatter("ScatterAdd", accumulator, rows, square(values))
        with run_after(added):
            total = accumulator.sparse_read(rows)
            changed = scatter("ScatterAdd", variable, rows, -(values * rsqrt(total + self.epsilon) * rate))
        return changed

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(), "initial_accumulator_value": self.initial_accumulator_value, "epsilon": self.epsilon,
        }  # fmt: skip


@_method("Adadelta")
class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012)."""

    def __init__(
        self, learning_rate: Any = 0.001, rho: float = 0.95, epsilon: float = 1e-7, weight_decay: float | None = None,
        clipnorm: float | None = None, clipvalue: float | None = None, global_clipnorm: float | None = None,
        use_ema: bool = False, ema_momentum: float = 0.99, ema_overwrite_frequency: int | None = None,
        jit_compile: bool | str = True, name: str = "Adadelta", **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            name, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            jit_compile, learning_rate, **kwargs,
        )  # fmt: skip
        self.rho = rho
        self.epsilon = epsilon

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        self._add_pairs("accumulated_grad", "accumulated_delta_var", var_list)

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> Any:  # type: ignore[override]
        slots = ["accumulated_grad", "accumulated_delta_var"]
        return self._apply("ApplyAdadelta", variable, slots, [rate, self.rho, self.epsilon, gradient])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}


@_method("Ftrl")
class Ftrl(Optimizer):
    """Follow the regularised leader (McMahan et al. 2013). ValueError for strengths or starts below zero, a power above."""

    def __init__(
        self, learning_rate: Any = 0.001, learning_rate_power: float = -0.5, initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0, l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0, beta: float = 0.0, weight_decay: float | None = None,
        clipnorm: float | None = None, clipvalue: float | None = None, global_clipnorm: float | None = None,
        use_ema: bool = False, ema_momentum: float = 0.99, ema_overwrite_frequency: int | None = None,
        jit_compile: bool | str = True, name: str = "Ftrl", **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            name, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            jit_compile, learning_rate, **kwargs,
        )  # fmt: skip
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        for label in _FTRL_POSITIVE:
            if getattr(self, label) < 0.0:
                raise ValueError(f"`{label}` needs to be positive or zero. Received: {label}={getattr(self, label)}.")
        if learning_rate_power > 0.0:
            raise ValueError(
                f"`learning_rate_power` needs to be negative or zero. Received: learning_rate_power={learning_rate_power}."
            )

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        self._add_pairs("accumulator", "linear", var_list, self._start)

    def _start(self, variable: Any) -> Any:
        return fill(variable.shape, convert_to_tensor(self.initial_accumulator_value, variable.dtype.base_dtype))

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> Any:  # type: ignore[override]
        l2 = (
            self.l2_regularization_strength + self.beta / (2.0 * rate) if self.beta else self.l2_regularization_strength
        )
        values = [
            gradient, rate, self.l1_regularization_strength, l2, self.l2_shrinkage_regularization_strength,
            self.learning_rate_power,
        ]  # fmt: skip
        return self._apply("ApplyFtrlV2", variable, ["accumulator", "linear"], values)

    def get_config(self) -> dict[str, Any]:
        names = (*_FTRL_POSITIVE, "learning_rate_power", "beta")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


_FTRL_POSITIVE = (
    "initial_accumulator_value", "l1_regularization_strength", "l2_regularization_strength",
    "l2_shrinkage_regularization_strength",
)  # fmt: skip


@_method("Lion")
class Lion(Optimizer):
    """Steps by the sign of an interpolated momentum (Chen et al. 2023)."""

    def __init__(
        self, learning_rate: Any = 0.0001, beta_1: float = 0.9, beta_2: float = 0.99, weight_decay: float | None = None,
        clipnorm: float | None = None, clipvalue: float | None = None, global_clipnorm: float | None = None,
        use_ema: bool = False, ema_momentum: float = 0.99, ema_overwrite_frequency: int | None = None,
        jit_compile: bool | str = True, name: str = "Lion", **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            name, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            jit_compile, learning_rate, **kwargs,
        )  # fmt: skip
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        if beta_1 <= 0 or beta_1 > 1:
            raise ValueError(
                f"`beta_1`={beta_1} must be between ]0, 1]. Otherwise, the optimizer degenerates to SignSGD."
            )

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        self._add_slots("m", var_list)

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> Any:  # type: ignore[override]
        m = self._slot("m", variable)
        mean = m.value()
        direction = sign(mean * self.beta_1 + gradient * (1.0 - self.beta_1))
        new_m = mean * self.beta_2 + gradient * (1.0 - self.beta_2)
        return assign([(m, new_m), (variable, variable.value() - rate * direction)])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}
