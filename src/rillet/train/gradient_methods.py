"""The optimizers of tf.train. Each names its slots and scalars; the arithmetic is in ops.training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.frontend.control import group
from rillet.train.optimizer import Optimizer, control_after


class _WithScalars(Optimizer):
    """An optimizer whose hyperparameters are scalars, turned into tensors once a step.

    `_scalars`: {name of the tensor in the graph: value}.
    """

    def __init__(self, use_locking: bool, name: str, **scalars: Any) -> None:
        super().__init__(use_locking, name)
        self._scalars = scalars
        self._tensors: dict[str, Any] = {}

    def _prepare(self) -> None:
        self._tensors = {
            name: convert_to_tensor(self._call_if_callable(value), name=name)
            for name, value in self._scalars.items()
            if value is not None
        }

    def _values(self, *names: str) -> list[Any]:
        return [self._tensors[name] for name in names]

    def _sparse(self, op: str, gradient: Any, variable: Any, slots: Sequence[Any], before: Sequence[Any], after: Sequence[Any] = (), **attrs: Any) -> Any:
        return self._apply("Sparse" + op, variable, slots, [*before, gradient.values, gradient.indices, *after], **attrs)


@public(v1=["train.GradientDescentOptimizer"])
class GradientDescentOptimizer(_WithScalars):
    """var <- var - learning_rate * gradient."""

    def __init__(self, learning_rate: Any, use_locking: bool = False, name: str = "GradientDescent") -> None:
        super().__init__(use_locking, name, learning_rate=learning_rate)

    def _apply_dense(self, gradient: Any, variable: Any) -> Any:
        return self._apply("ApplyGradientDescent", variable, [], [*self._values("learning_rate"), gradient])

    def _apply_sparse(self, gradient: Any, variable: Any) -> Any:
        rate = apply_op(REGISTRY["Cast"], self._values("learning_rate"), {"DstT": variable.dtype.base_dtype}) \
            if self._tensors["learning_rate"].dtype is not variable.dtype.base_dtype else self._tensors["learning_rate"]
        return _scatter("ScatterAdd", variable, gradient.indices, -(gradient.values * rate))


def _scatter(op: str, variable: Any, indices: Any, values: Any) -> Any:
    """Adds to (or sets) rows of a variable."""
    resource = variable._source.dtype is dtypes.resource
    definition = REGISTRY[("Resource" if resource else "") + op]
    attrs = {"dtype": variable.dtype.base_dtype} if resource else {}
    result = apply_op(definition, (variable._source, indices, values), attrs)
    return getattr(result, "op", result) if result is not None and hasattr(result, "value_index") else result


@public(v1=["train.MomentumOptimizer"])
class MomentumOptimizer(_WithScalars):
    """accumulation <- momentum * accumulation + gradient; var <- var - learning_rate * accumulation."""

    def __init__(
        self, learning_rate: Any, momentum: Any, use_locking: bool = False, name: str = "Momentum", use_nesterov: bool = False
    ) -> None:
        super().__init__(use_locking, name, learning_rate=learning_rate, momentum=momentum)
        self._use_nesterov = use_nesterov

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for variable in var_list:
            self._zeros_slot(variable, "momentum", self._name)

    def _apply_dense(self, gradient: Any, variable: Any) -> Any:
        slots = [self.get_slot(variable, "momentum")]
        rate, momentum = self._values("learning_rate", "momentum")
        return self._apply("ApplyMomentum", variable, slots, [rate, gradient, momentum], use_nesterov=self._use_nesterov)

    def _apply_sparse(self, gradient: Any, variable: Any) -> Any:
        slots = [self.get_slot(variable, "momentum")]
        rate, momentum = self._values("learning_rate", "momentum")
        return self._sparse("ApplyMomentum", gradient, variable, slots, [rate], [momentum], use_nesterov=self._use_nesterov)


@public(v1=["train.AdamOptimizer"])
class AdamOptimizer(_WithScalars):
    """Adam (Kingma and Ba 2015)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta1: Any = 0.9,
        beta2: Any = 0.999,
        epsilon: Any = 1e-8,
        use_locking: bool = False,
        name: str = "Adam",
    ) -> None:
        super().__init__(use_locking, name, learning_rate=learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon)

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        first = min(var_list, key=lambda variable: str(variable.name))
        self._create_non_slot_variable(self._call_if_callable(self._scalars["beta1"]), "beta1_power", first)
        self._create_non_slot_variable(self._call_if_callable(self._scalars["beta2"]), "beta2_power", first)
        for variable in var_list:
            self._zeros_slot(variable, "m", self._name)
            self._zeros_slot(variable, "v", self._name)

    def _powers(self) -> tuple[Any, Any]:
        graph = context.state().graph
        return self._get_non_slot_variable("beta1_power", graph), self._get_non_slot_variable("beta2_power", graph)

    def _apply_dense(self, gradient: Any, variable: Any) -> Any:
        slots = [self.get_slot(variable, "m"), self.get_slot(variable, "v")]
        values = [power.value() for power in self._powers()]
        values += self._values("learning_rate", "beta1", "beta2", "epsilon")
        return self._apply("ApplyAdam", variable, slots, [*values, gradient])

    def _apply_sparse(self, gradient: Any, variable: Any) -> Any:
        """Moments of every row decay; the named rows also receive their gradient."""
        dtype = variable.dtype.base_dtype
        cast = [value if value.dtype is dtype else apply_op(REGISTRY["Cast"], (value,), {"DstT": dtype}) for value in self._values("learning_rate", "beta1", "beta2", "epsilon")]
        rate, beta1, beta2, epsilon = cast
        power1, power2 = (power.value() for power in self._powers())
        step = rate * apply_op(REGISTRY["Sqrt"], (1 - power2,)) / (1 - power1)
        m, v = self.get_slot(variable, "m"), self.get_slot(variable, "v")
        new_m = self._decayed(m, beta1, gradient.indices, gradient.values * (1 - beta1))
        new_v = self._decayed(v, beta2, gradient.indices, gradient.values * gradient.values * (1 - beta2))
        update = variable.assign_sub(step * new_m / (apply_op(REGISTRY["Sqrt"], (new_v,)) + epsilon), read_value=False)
        return update if hasattr(update, "graph") and update.graph is not None else None

    def _decayed(self, slot: Any, decay: Any, indices: Any, values: Any) -> Any:
        decayed = slot.assign(slot.value() * decay, read_value=False)
        with control_after(decayed if hasattr(decayed, "control_inputs") else None):
            added = _scatter("ScatterAdd", slot, indices, values)
        with control_after(added):
            return slot.read_value()

    def _finish(self, update_ops: list[Any], name_scope: str) -> Any:
        graph = context.state().graph
        operations = [operation for operation in update_ops if operation is not None]
        with graph.control_dependencies(operations) if graph is not None else control_after(None):
            for power, beta in zip(self._powers(), self._values("beta1", "beta2"), strict=True):
                factor = beta if beta.dtype is power.dtype.base_dtype else apply_op(REGISTRY["Cast"], (beta,), {"DstT": power.dtype.base_dtype})
                update = power.assign(power.value() * factor, read_value=False)
                if graph is not None:
                    operations.append(update)
        return group(*operations, name=name_scope)


@public(v1=["train.AdagradOptimizer"])
class AdagradOptimizer(_WithScalars):
    """Adagrad (Duchi et al. 2011)."""

    def __init__(
        self, learning_rate: Any, initial_accumulator_value: float = 0.1, use_locking: bool = False, name: str = "Adagrad"
    ) -> None:
        if initial_accumulator_value <= 0.0:
            raise ValueError(f"initial_accumulator_value must be positive: {initial_accumulator_value}")
        super().__init__(use_locking, name, learning_rate=learning_rate)
        self._initial_accumulator_value = initial_accumulator_value

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for variable in var_list:
            self._get_or_make_slot_with_value(variable, self._initial_accumulator_value, "accumulator", self._name)

    def _apply_dense(self, gradient: Any, variable: Any) -> Any:
        slots = [self.get_slot(variable, "accumulator")]
        return self._apply("ApplyAdagrad", variable, slots, [*self._values("learning_rate"), gradient])

    def _apply_sparse(self, gradient: Any, variable: Any) -> Any:
        slots = [self.get_slot(variable, "accumulator")]
        return self._sparse("ApplyAdagrad", gradient, variable, slots, self._values("learning_rate"))


@public(v1=["train.AdagradDAOptimizer"])
class AdagradDAOptimizer(_WithScalars):
    """Adagrad by dual averaging, for sparse linear models."""

    def __init__(
        self,
        learning_rate: Any,
        global_step: Any,
        initial_gradient_squared_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        use_locking: bool = False,
        name: str = "AdagradDA",
    ) -> None:
        if initial_gradient_squared_accumulator_value <= 0.0:
            raise ValueError("initial_gradient_squared_accumulator_value must be positive")
        super().__init__(use_locking, name, learning_rate=learning_rate)
        self._start = initial_gradient_squared_accumulator_value
        self._strengths = [l1_regularization_strength, l2_regularization_strength]
        self._global_step = global_step

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for variable in var_list:
            self._zeros_slot(variable, "gradient_accumulator", self._name)
            self._get_or_make_slot_with_value(variable, self._start, "gradient_squared_accumulator", self._name)

    def _slots_of(self, variable: Any) -> list[Any]:
        return [self.get_slot(variable, "gradient_accumulator"), self.get_slot(variable, "gradient_squared_accumulator")]

    def _step(self) -> Any:
        step = convert_to_tensor(self._global_step)
        return step if step.dtype is dtypes.int64 else apply_op(REGISTRY["Cast"], (step,), {"DstT": dtypes.int64})

    def _apply_dense(self, gradient: Any, variable: Any) -> Any:
        values = [gradient, *self._values("learning_rate"), *self._strengths, self._step()]
        return self._apply("ApplyAdagradDA", variable, self._slots_of(variable), values)

    def _apply_sparse(self, gradient: Any, variable: Any) -> Any:
        after = [*self._values("learning_rate"), *self._strengths, self._step()]
        return self._sparse("ApplyAdagradDA", gradient, variable, self._slots_of(variable), [], after)


@public(v1=["train.AdadeltaOptimizer"])
class AdadeltaOptimizer(_WithScalars):
    """Adadelta (Zeiler 2012)."""

    def __init__(
        self, learning_rate: Any = 0.001, rho: Any = 0.95, epsilon: Any = 1e-8, use_locking: bool = False, name: str = "Adadelta"
    ) -> None:
        super().__init__(use_locking, name, lr=learning_rate, rho=rho, epsilon=epsilon)

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for variable in var_list:
            self._zeros_slot(variable, "accum", self._name)
            self._zeros_slot(variable, "accum_update", self._name)

    def _slots_of(self, variable: Any) -> list[Any]:
        return [self.get_slot(variable, "accum"), self.get_slot(variable, "accum_update")]

    def _apply_dense(self, gradient: Any, variable: Any) -> Any:
        return self._apply("ApplyAdadelta", variable, self._slots_of(variable), [*self._values("lr", "rho", "epsilon"), gradient])

    def _apply_sparse(self, gradient: Any, variable: Any) -> Any:
        return self._sparse("ApplyAdadelta", gradient, variable, self._slots_of(variable), self._values("lr", "rho", "epsilon"))


@public(v1=["train.RMSPropOptimizer"])
class RMSPropOptimizer(_WithScalars):
    """RMSProp (Tieleman and Hinton 2012); `centered` divides by the standard deviation of the gradient."""

    def __init__(
        self,
        learning_rate: Any,
        decay: Any = 0.9,
        momentum: Any = 0.0,
        epsilon: Any = 1e-10,
        use_locking: bool = False,
        centered: bool = False,
        name: str = "RMSProp",
    ) -> None:
        super().__init__(use_locking, name, learning_rate=learning_rate, decay=decay, momentum=momentum, epsilon=epsilon)
        self._centered = centered

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for variable in var_list:
            self._get_or_make_slot_with_value(variable, 1.0, "rms", self._name)
            if self._centered:
                self._zeros_slot(variable, "mg", self._name)
            self._zeros_slot(variable, "momentum", self._name)

    def _form(self, variable: Any) -> tuple[str, list[Any]]:
        names = ["mg", "rms", "momentum"] if self._centered else ["rms", "momentum"]
        return "ApplyCenteredRMSProp" if self._centered else "ApplyRMSProp", [self.get_slot(variable, name) for name in names]

    def _apply_dense(self, gradient: Any, variable: Any) -> Any:
        op, slots = self._form(variable)
        return self._apply(op, variable, slots, [*self._values("learning_rate", "decay", "momentum", "epsilon"), gradient])

    def _apply_sparse(self, gradient: Any, variable: Any) -> Any:
        op, slots = self._form(variable)
        return self._sparse(op, gradient, variable, slots, self._values("learning_rate", "decay", "momentum", "epsilon"))


@public(v1=["train.FtrlOptimizer"])
class FtrlOptimizer(_WithScalars):
    """Follow the regularised leader (McMahan et al. 2013)."""

    def __init__(
        self,
        learning_rate: Any,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        use_locking: bool = False,
        name: str = "Ftrl",
        accum_name: str | None = None,
        linear_name: str | None = None,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float | None = None,
    ) -> None:
        for label, value, ok in (
            ("initial_accumulator_value", initial_accumulator_value, initial_accumulator_value >= 0.0),
            ("l1_regularization_strength", l1_regularization_strength, l1_regularization_strength >= 0.0),
            ("l2_regularization_strength", l2_regularization_strength, l2_regularization_strength >= 0.0),
            ("l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength, l2_shrinkage_regularization_strength >= 0.0),
        ):
            if not ok:
                raise ValueError(f"{label} {value} needs to be positive or zero")
        if learning_rate_power > 0.0:
            raise ValueError(f"learning_rate_power {learning_rate_power} needs to be negative or zero")
        super().__init__(
            use_locking, name, learning_rate=learning_rate, l1_regularization_strength=l1_regularization_strength,
            l2_regularization_strength=l2_regularization_strength, learning_rate_power=learning_rate_power,
        )  # fmt: skip
        self._initial_accumulator_value = initial_accumulator_value
        self._l2_shrinkage = l2_shrinkage_regularization_strength
        self._accum_name = accum_name
        self._linear_name = linear_name
        self._beta = beta or 0.0

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for variable in var_list:
            self._get_or_make_slot_with_value(
                variable, self._initial_accumulator_value, "accum", self._accum_name or self._name
            )
            self._zeros_slot(variable, "linear", self._linear_name or self._name)

    def _form(self, variable: Any) -> tuple[str, list[Any], list[Any]]:
        rate, l1, l2, power = self._values(
            "learning_rate", "l1_regularization_strength", "l2_regularization_strength", "learning_rate_power"
        )
        if self._beta:
            l2 = l2 + self._beta / (2.0 * rate)
        slots = [self.get_slot(variable, "accum"), self.get_slot(variable, "linear")]
        if self._l2_shrinkage > 0:
            return "ApplyFtrlV2", slots, [rate, l1, l2, self._l2_shrinkage, power]
        return "ApplyFtrl", slots, [rate, l1, l2, power]

    def _apply_dense(self, gradient: Any, variable: Any) -> Any:
        op, slots, values = self._form(variable)
        return self._apply(op, variable, slots, [gradient, *values])

    def _apply_sparse(self, gradient: Any, variable: Any) -> Any:
        op, slots, values = self._form(variable)
        return self._sparse(op, gradient, variable, slots, [], values)


class _Proximal(_WithScalars):
    _op: str

    def __init__(self, learning_rate: Any, l1: float, l2: float, use_locking: bool, name: str) -> None:
        super().__init__(
            use_locking, name, learning_rate=learning_rate, l1_regularization_strength=l1, l2_regularization_strength=l2
        )

    def _slots_of(self, variable: Any) -> list[Any]:
        return []

    def _three(self) -> list[Any]:
        return self._values("learning_rate", "l1_regularization_strength", "l2_regularization_strength")

    def _apply_dense(self, gradient: Any, variable: Any) -> Any:
        return self._apply(self._op, variable, self._slots_of(variable), [*self._three(), gradient])

    def _apply_sparse(self, gradient: Any, variable: Any) -> Any:
        return self._sparse(self._op, gradient, variable, self._slots_of(variable), self._three())


@public(v1=["train.ProximalGradientDescentOptimizer"])
class ProximalGradientDescentOptimizer(_Proximal):
    """Gradient descent followed by the proximal step of L1 and L2 (Duchi and Singer 2009)."""

    _op = "ApplyProximalGradientDescent"

    def __init__(
        self, learning_rate: Any, l1_regularization_strength: float = 0.0, l2_regularization_strength: float = 0.0,
        use_locking: bool = False, name: str = "ProximalGradientDescent",
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, l1_regularization_strength, l2_regularization_strength, use_locking, name)


@public(v1=["train.ProximalAdagradOptimizer"])
class ProximalAdagradOptimizer(_Proximal):
    """Adagrad followed by the proximal step of L1 and L2."""

    _op = "ApplyProximalAdagrad"

    def __init__(
        self, learning_rate: Any, initial_accumulator_value: float = 0.1, l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0, use_locking: bool = False, name: str = "ProximalAdagrad",
    ) -> None:  # fmt: skip
        if initial_accumulator_value <= 0.0:
            raise ValueError(f"initial_accumulator_value must be positive: {initial_accumulator_value}")
        super().__init__(learning_rate, l1_regularization_strength, l2_regularization_strength, use_locking, name)
        self._initial_accumulator_value = initial_accumulator_value

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for variable in var_list:
            self._get_or_make_slot_with_value(variable, self._initial_accumulator_value, "accumulator", self._name)

    def _slots_of(self, variable: Any) -> list[Any]:
        return [self.get_slot(variable, "accumulator")]
