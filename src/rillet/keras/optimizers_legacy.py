"""tf.keras.optimizers.legacy: the optimizers as they were before TensorFlow 2.11, with `decay`, slots by name, and sparse
updates that leave the rows without a gradient alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.core import dtypes
from rillet.core.export import public
from rillet.core.indexed_slices import IndexedSlices
from rillet.keras import optimizer_methods as methods
from rillet.keras.optimizers import Optimizer
from rillet.ops.creation import ones
from rillet.ops.elementwise import sqrt
from rillet.train.updates import apply_update, without_repetition

_NEW_ONLY = (
    "weight_decay", "use_ema", "ema_momentum", "ema_overwrite_frequency", "jit_compile", "is_legacy_optimizer", "clipnorm",
    "clipvalue", "global_clipnorm",
)  # fmt: skip


@public("keras.optimizers.legacy.Optimizer")
class LegacyOptimizer(Optimizer):
    """Base of the legacy optimizers. A subclass makes slots in `_create_slots(var_list)` with `add_slot`, and updates in
    `_resource_apply_dense(gradient, variable, apply_state)` and `_resource_apply_sparse(gradient, variable, indices,
    apply_state)`."""

    _HAS_AGGREGATE_GRAD = True
    _exact_rows = True
    _slots_by_variable = False

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        self._hyper: dict[str, Any] = {}
        super().__init__(name, **kwargs)

    @property
    def _step_name(self) -> str:  # type: ignore[override]
        return f"{self.name}/iter"

    def _slot_label(self, slot: str, variable: str) -> str:
        return f"{variable}/{slot}"

    def add_slot(self, var: Any, slot_name: str, initializer: Any = "zeros", shape: Any = None) -> Any:
        """The slot of `var` called slot_name: made now, unless there is one."""
        slots = self._slots.setdefault(slot_name, [])
        if len(slots) <= self._index_dict[self._var_key(var)]:
            slots.append(self.add_variable_from_reference(var, slot_name, shape, initializer=initializer))
        return self.get_slot(var, slot_name)

    def get_slot(self, var: Any, slot_name: str) -> Any:
        return self._slot(slot_name, var)

    def get_slot_names(self) -> list[str]:
        return list(self._slots)

    def add_weight(self, name: str, shape: Any, dtype: Any = None, initializer: Any = "zeros", **_: Any) -> Any:
        """A variable of the optimizer's own."""
        return self.add_variable(shape, initializer, dtype or dtypes.float32, name)

    def get_gradients(self, loss: Any, params: Sequence[Any]) -> list[Any]:
        """The gradients of a graph's `loss`, clipped. ValueError where there is none."""
        found = [gradient for gradient, _ in self.compute_gradients(loss, params)]
        if any(gradient is None for gradient in found):
            raise ValueError(f"Variables {[one.name for one in params]} have `None` for gradient.")
        return self._clipped(found)

    def get_updates(self, loss: Any, params: Sequence[Any]) -> list[Any]:
        """The operations of a step that lowers a graph's `loss`."""
        return [self.apply_gradients(self.compute_gradients(loss, params))]

    # ---- hyperparameters by name -------------------------------------------------------------------------------

    def _set_hyper(self, name: str, value: Any) -> None:
        if name in ("learning_rate", "lr"):
            self.learning_rate = value
        else:
            self._hyper[name] = value

    def _get_hyper(self, name: str, dtype: Any = None) -> Any:
        value = self.learning_rate if name == "learning_rate" else self._hyper[name]
        return value() if callable(value) and not hasattr(value, "assign") else value

    def _serialize_hyperparameter(self, name: str) -> Any:
        return self._serialized_rate() if name == "learning_rate" else self._hyper.get(name, getattr(self, name, None))

    def _decayed_lr(self, var_dtype: Any) -> Any:
        return self._rate_now()

    # ---- a step ------------------------------------------------------------------------------------------------

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> Any:  # type: ignore[override]
        if isinstance(gradient, IndexedSlices):
            values, rows = without_repetition(gradient.values, gradient.indices)
            return self._resource_apply_sparse(values, variable, rows, {})
        return self._resource_apply_dense(gradient, variable, {})

    def _resource_apply_dense(self, grad: Any, handle: Any, apply_state: Any = None) -> Any:
        raise NotImplementedError("Must be implemented in subclasses.")

    def _resource_apply_sparse(self, grad: Any, handle: Any, indices: Any, apply_state: Any = None) -> Any:
        raise NotImplementedError("Must be implemented in subclasses.")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        kept = {name: config[name] for name in ("clipnorm", "clipvalue", "global_clipnorm") if config[name] is not None}
        own = {name: value for name, value in config.items() if name not in _NEW_ONLY}
        return {**own, **kept, "decay": self.decay}


class _Own(LegacyOptimizer):
    """The methods: their update is that of the new optimizer of the same name."""

    def _without_rows(self, gradient: Any, variable: Any, rate: Any) -> Any:
        return super(LegacyOptimizer, self).update_step(gradient, variable, rate)


@public("keras.optimizers.legacy.SGD")
class SGD(_Own, methods.SGD):
    """As tf.keras.optimizers.SGD."""

    def __init__(
        self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, name: str = "SGD", **kwargs: Any
    ) -> None:
        self._hyper = {}
        methods.SGD.__init__(self, learning_rate, momentum, nesterov, name=name, **kwargs)
        self._exact_rows = True

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        if self.momentum:
            self._add_slots("momentum", var_list)

    def _slot(self, name: str, variable: Any) -> Any:
        return super()._slot("momentum" if name == "m" else name, variable)

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> Any:
        if not self.momentum or not isinstance(gradient, IndexedSlices):
            return methods.SGD.update_step(self, gradient, variable, rate)
        values, rows = without_repetition(gradient.values, gradient.indices)
        slots = [self._slot("momentum", variable)]
        return apply_update(
            "SparseApplyKerasMomentum", variable, slots, [rate, values, rows, self.momentum],
            use_nesterov=bool(self.nesterov),
        )  # fmt: skip


class _Dense(_Own):
    """Methods whose sparse form is the dense one."""

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> Any:
        return self._without_rows(gradient, variable, rate)


@public("keras.optimizers.legacy.RMSprop")
class RMSprop(_Dense, methods.RMSprop):
    """As tf.keras.optimizers.RMSprop; without momentum, epsilon is added to the root."""

    _exact_rows = False

    def __init__(
        self, learning_rate: Any = 0.001, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7,
        centered: bool = False, name: str = "RMSprop", **kwargs: Any,
    ) -> None:  # fmt: skip
        self._hyper = {}
        methods.RMSprop.__init__(self, learning_rate, rho, momentum, epsilon, centered, name=name, **kwargs)

    def _slot_label(self, slot: str, variable: str) -> str:
        return f"{variable}/{ {'velocity': 'rms', 'average_gradient': 'mg'}.get(slot, slot) }"

    def _direction(self, gradient: Any, mean: Any) -> Any:
        return gradient / (sqrt(mean) + self.epsilon)


@public("keras.optimizers.legacy.Adam")
class Adam(_Dense, methods.Adam):
    """As tf.keras.optimizers.Adam."""

    _exact_rows = False

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
        amsgrad: bool = False, name: str = "Adam", **kwargs: Any,
    ) -> None:  # fmt: skip
        self._hyper = {}
        methods.Adam.__init__(self, learning_rate, beta_1, beta_2, epsilon, amsgrad=amsgrad, name=name, **kwargs)


@public("keras.optimizers.legacy.Adamax")
class Adamax(_Dense, methods.Adamax):
    """As tf.keras.optimizers.Adamax."""

    _exact_rows = False

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
        name: str = "Adamax", **kwargs: Any,
    ) -> None:  # fmt: skip
        self._hyper = {}
        methods.Adamax.__init__(self, learning_rate, beta_1, beta_2, epsilon, name=name, **kwargs)

    def _slot_label(self, slot: str, variable: str) -> str:
        return f"{variable}/{'v' if slot == 'u' else slot}"


@public("keras.optimizers.legacy.Nadam")
class Nadam(_Dense, methods.Nadam):
    """As tf.keras.optimizers.Nadam, with a slower rise of the momentum."""

    _exact_rows = False

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
        name: str = "Nadam", **kwargs: Any,
    ) -> None:  # fmt: skip
        self._hyper = {}
        self._schedule_decay = kwargs.pop("schedule_decay", kwargs.pop("decay", 0.004))
        methods.Nadam.__init__(self, learning_rate, beta_1, beta_2, epsilon, name=name, **kwargs)

    def _make_product(self, dtype: Any) -> Any:
        return self.add_variable((), ones, dtype, "momentum_cache")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "decay": self._schedule_decay}


@public("keras.optimizers.legacy.Adagrad")
class Adagrad(_Dense, methods.Adagrad):
    """As tf.keras.optimizers.Adagrad, with epsilon added to the root."""

    _exact_rows = False

    def __init__(
        self, learning_rate: Any = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7,
        name: str = "Adagrad", **kwargs: Any,
    ) -> None:  # fmt: skip
        self._hyper = {}
        methods.Adagrad.__init__(self, learning_rate, initial_accumulator_value, epsilon, name=name, **kwargs)

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> Any:
        return self._apply("ApplyAdagradV2", variable, ["accumulator"], [rate, self.epsilon, gradient])


@public("keras.optimizers.legacy.Adadelta")
class Adadelta(_Dense, methods.Adadelta):
    """As tf.keras.optimizers.Adadelta."""

    _exact_rows = False

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        name: str = "Adadelta",
        **kwargs: Any,
    ) -> None:
        self._hyper = {}
        methods.Adadelta.__init__(self, learning_rate, rho, epsilon, name=name, **kwargs)

    def _slot_label(self, slot: str, variable: str) -> str:
        return f"{variable}/{ {'accumulated_grad': 'accum_grad', 'accumulated_delta_var': 'accum_var'}[slot] }"


@public("keras.optimizers.legacy.Ftrl")
class Ftrl(_Dense, methods.Ftrl):
    """As tf.keras.optimizers.Ftrl."""

    _exact_rows = False

    def __init__(
        self, learning_rate: Any = 0.001, learning_rate_power: float = -0.5, initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0, l2_regularization_strength: float = 0.0, name: str = "Ftrl",
        l2_shrinkage_regularization_strength: float = 0.0, beta: float = 0.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        self._hyper = {}
        methods.Ftrl.__init__(
            self, learning_rate, learning_rate_power, initial_accumulator_value, l1_regularization_strength,
            l2_regularization_strength, l2_shrinkage_regularization_strength, beta, name=name, **kwargs,
        )  # fmt: skip
