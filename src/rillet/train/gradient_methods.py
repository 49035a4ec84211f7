"""The optimizers of tf.train. Each names its slots and scalars; the arithmetic is in ops.training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rillet.core import context
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.frontend.control import group
from rillet.frontend.initializers import Constant, Ones
from rillet.frontend.scopes import run_after
from rillet.ops.cast import cast
from rillet.ops.constants import constant_v1, identity
from rillet.ops.creation import ones
from rillet.train.optimizer import Optimizer
from rillet.train.updates import as_dtype, decayed_rows, scatter


class _WithScalars(Optimizer):
    """An optimizer whose hyperparameters are scalars, turned into tensors once a step.

    `_scalars`: {name of the tensor in the graph: a number, a tensor, or a function that gives one}.
    """

    def __init__(self, use_locking: bool, name: str, **scalars: Any) -> None:
        super().__init__(use_locking, name)
        self._scalars = scalars
        self._tensors: dict[str, Any] = {}

    def _prepare(self) -> None:
        self._tensors = {
            name: convert_to_tensor(self._call_if_callable(value), name=name) for name, value in self._scalars.items()
        }

    def _values(self, *names: str) -> list[Any]:
        return [self._tensors[name] for name in names]

    def _constant_slot(self, var: Any, value: float, slot_name: str, op_name: str) -> Any:
        dtype = var.dtype.base_dtype
        initializer = Ones(dtype) if value == 1.0 else Constant(value, dtype)
        return self._get_or_make_slot_with_initializer(var, initializer, var.shape, dtype, slot_name, op_name)


class _Fused(_WithScalars):
    """An optimizer whose whole update of a variable is one op."""

    _attributes: Mapping[str, Any] = MappingProxyType({})

    def _form(self, var: Any) -> tuple[str, list[str], list[Any], list[Any]]:
        """The op, the names of the slots it takes, and its scalars before and after the gradient."""
        raise NotImplementedError

    def _apply_dense(self, grad: Any, var: Any) -> Any:
        op, names, before, after = self._form(var)
        slots = [self.get_slot(var, name) for name in names]
        return self._apply(op, var, slots, [*before, grad, *after], **self._attributes)

    def _apply_sparse(self, grad: Any, var: Any) -> Any:
        op, names, before, after = self._form(var)
        slots = [self.get_slot(var, name) for name in names]
        values = [*before, grad.values, grad.indices, *after]
        return self._apply("Sparse" + op, var, slots, values, **self._attributes)


@public(v1=["train.GradientDescentOptimizer"])
class GradientDescentOptimizer(_Fused):
    """var <- var - learning_rate * gradient."""

    def __init__(self, learning_rate: Any, use_locking: bool = False, name: str = "GradientDescent") -> None:
        super().__init__(use_locking, name, learning_rate=learning_rate)

    def _form(self, var: Any) -> tuple[str, list[str], list[Any], list[Any]]:
        return "ApplyGradientDescent", [], self._values("learning_rate"), []

    def _apply_sparse_duplicate_indices(self, grad: Any, var: Any) -> Any:
        rate = as_dtype(self._tensors["learning_rate"], var.dtype.base_dtype)
        return scatter("ScatterSub", var, grad.indices, grad.values * rate)

    def _resource_apply_sparse_duplicate_indices(self, grad: Any, handle: Any, indices: Any) -> Any:
        rate = as_dtype(self._tensors["learning_rate"], handle.dtype.base_dtype)
        return scatter("ScatterAdd", handle, indices, -grad * rate)


@public(v1=["train.MomentumOptimizer"])
class MomentumOptimizer(_Fused):
    """accumulation <- momentum * accumulation + gradient; var <- var - learning_rate * accumulation."""

    def __init__(
        self,
        learning_rate: Any,
        momentum: Any,
        use_locking: bool = False,
        name: str = "Momentum",
        use_nesterov: bool = False,
    ) -> None:
        super().__init__(use_locking, name, learning_rate=learning_rate, momentum=momentum)
        self._attributes = {"use_nesterov": bool(use_nesterov)}

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for var in var_list:
            self._zeros_slot(var, "momentum", self._name)

    def _form(self, var: Any) -> tuple[str, list[str], list[Any], list[Any]]:
        return "ApplyMomentum", ["momentum"], self._values("learning_rate"), self._values("momentum")


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
        first = min(var_list, key=lambda var: str(var.name))
        for beta in ("beta1", "beta2"):
            self._create_non_slot_variable(self._call_if_callable(self._scalars[beta]), f"{beta}_power", first)
        for var in var_list:
            self._zeros_slot(var, "m", self._name)
            self._zeros_slot(var, "v", self._name)

    def _powers(self) -> list[Any]:
        graph = context.state().graph
        return [self._get_non_slot_variable(f"{beta}_power", graph) for beta in ("beta1", "beta2")]

    def _apply_dense(self, grad: Any, var: Any) -> Any:
        slots = [self.get_slot(var, "m"), self.get_slot(var, "v")]
        scalars = self._values("learning_rate", "beta1", "beta2", "epsilon")
        return self._apply("ApplyAdam", var, slots, [*self._powers(), *scalars, grad])

    def _apply_sparse(self, grad: Any, var: Any) -> Any:
        """Moments of every row decay; the named rows also receive their gradient."""
        dtype = var.dtype.base_dtype
        power1, power2 = [as_dtype(power, dtype) for power in self._powers()]
        rate, beta1, beta2, epsilon = [
            cast(value, dtype) for value in self._values("learning_rate", "beta1", "beta2", "epsilon")
        ]
        step = rate * _sqrt(1 - power2) / (1 - power1)
        m, v = self.get_slot(var, "m"), self.get_slot(var, "v")
        new_m = decayed_rows(m, beta1, grad.indices, grad.values * (1 - beta1))
        new_v = decayed_rows(v, beta2, grad.indices, (grad.values * grad.values) * (1 - beta2))
        root = _sqrt(new_v)
        update = var.assign_sub(step * new_m / (root + epsilon), use_locking=self._use_locking)
        return group(update, new_m, new_v)

    def _finish(self, update_ops: list[Any], name_scope: str) -> Any:
        operations = [operation for operation in update_ops if operation is not None]
        with run_after(*operations):
            powers = self._powers()
            for power, beta in zip(powers, self._values("beta1", "beta2"), strict=True):
                update = power.assign(power.value() * cast(beta, power.dtype.base_dtype), use_locking=self._use_locking)
                operations.append(update)
        return group(*operations, name=name_scope)


def _sqrt(value: Any) -> Any:
    return apply_op(REGISTRY["Sqrt"], (value,))


@public(v1=["train.AdagradOptimizer"])
class AdagradOptimizer(_Fused):
    """Adagrad (Duchi et al. 2011)."""

    def __init__(
        self,
        learning_rate: Any,
        initial_accumulator_value: float = 0.1,
        use_locking: bool = False,
        name: str = "Adagrad",
    ) -> None:
        _require_positive("initial_accumulator_value", initial_accumulator_value)
        super().__init__(use_locking, name, learning_rate=learning_rate)
        self._initial_accumulator_value = initial_accumulator_value

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for var in var_list:
            self._constant_slot(var, self._initial_accumulator_value, "accumulator", self._name)

    def _form(self, var: Any) -> tuple[str, list[str], list[Any], list[Any]]:
        return "ApplyAdagrad", ["accumulator"], self._values("learning_rate"), []


def _require_positive(name: str, value: float) -> None:
    if value <= 0.0:
        raise ValueError(f"{name} must be positive: {value}")


@public(v1=["train.AdagradDAOptimizer"])
class AdagradDAOptimizer(_Fused):
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
        _require_positive("initial_gradient_squared_accumulator_value", initial_gradient_squared_accumulator_value)
        super().__init__(use_locking, name, learning_rate=learning_rate)
        self._start = initial_gradient_squared_accumulator_value
        self._strengths = [l1_regularization_strength, l2_regularization_strength]
        self._global_step = global_step

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for var in var_list:
            dtype, shape = var.dtype.base_dtype, var.shape
            zeros, squares = constant_v1(0.0, dtype, shape), constant_v1(self._start, dtype, shape)
            self._get_or_make_slot(var, zeros, "gradient_accumulator", self._name)
            self._get_or_make_slot(var, squares, "gradient_squared_accumulator", self._name)

    def _prepare(self) -> None:
        super()._prepare()
        self._step = identity(self._global_step) + 1  # the step that this update makes

    def _form(self, var: Any) -> tuple[str, list[str], list[Any], list[Any]]:
        step = identity(self._step)
        strengths = [cast(strength, var.dtype.base_dtype) for strength in self._strengths]
        slots = ["gradient_accumulator", "gradient_squared_accumulator"]
        return "ApplyAdagradDA", slots, [], [*self._values("learning_rate"), *strengths, step]


@public(v1=["train.AdadeltaOptimizer"])
class AdadeltaOptimizer(_Fused):
    """Adadelta (Zeiler 2012)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: Any = 0.95,
        epsilon: Any = 1e-8,
        use_locking: bool = False,
        name: str = "Adadelta",
    ) -> None:
        super().__init__(use_locking, name, lr=learning_rate, rho=rho, epsilon=epsilon)

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for var in var_list:
            self._zeros_slot(var, "accum", self._name)
            self._zeros_slot(var, "accum_update", self._name)

    def _form(self, var: Any) -> tuple[str, list[str], list[Any], list[Any]]:
        return "ApplyAdadelta", ["accum", "accum_update"], self._values("lr", "rho", "epsilon"), []


@public(v1=["train.RMSPropOptimizer"])
class RMSPropOptimizer(_Fused):
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
        super().__init__(
            use_locking, name, learning_rate=learning_rate, decay=decay, momentum=momentum, epsilon=epsilon
        )
        self._centered = centered

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for var in var_list:
            self._constant_slot(var, 1.0, "rms", self._name)
            if self._centered:
                self._zeros_slot(var, "mg", self._name)
            self._zeros_slot(var, "momentum", self._name)

    def _form(self, var: Any) -> tuple[str, list[str], list[Any], list[Any]]:
        scalars = self._values("learning_rate", "decay", "momentum", "epsilon")
        if self._centered:
            return "ApplyCenteredRMSProp", ["mg", "rms", "momentum"], scalars, []
        return "ApplyRMSProp", ["rms", "momentum"], scalars, []


@public(v1=["train.FtrlOptimizer"])
class FtrlOptimizer(_Fused):
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
        for label, value in (
            ("initial_accumulator_value", initial_accumulator_value),
            ("l1_regularization_strength", l1_regularization_strength),
            ("l2_regularization_strength", l2_regularization_strength),
            ("l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength),
        ):
            if value < 0.0:
                raise ValueError(f"{label} {value} needs to be positive or zero")
        if learning_rate_power > 0.0:
            raise ValueError(f"learning_rate_power {learning_rate_power} needs to be negative or zero")
        super().__init__(
            use_locking, name, learning_rate=learning_rate, l1_regularization_strength=l1_regularization_strength,
            l2_regularization_strength=lambda: self._quadratic(l2_regularization_strength, beta or 0.0),
            beta=beta or 0.0, l2_shrinkage_regularization_strength=l2_shrinkage_regularization_strength,
            learning_rate_power=learning_rate_power,
        )  # fmt: skip
        self._shrinks = l2_shrinkage_regularization_strength > 0
        self._initial_accumulator_value = initial_accumulator_value
        self._accum_name = accum_name
        self._linear_name = linear_name

    def _quadratic(self, l2: float, beta: float) -> Any:
        """The quadratic penalty: `beta` adds beta / (2 learning_rate) to it."""
        rate = self._call_if_callable(self._scalars["learning_rate"])
        return l2 + beta / (2.0 * apply_op(REGISTRY["Maximum"], (rate, 1e-36)))

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for var in var_list:
            shape, dtype = var.shape, var.dtype.base_dtype
            self._get_or_make_slot_with_initializer(
                var, self._first_accumulator, shape, dtype, "accum", self._accum_name or self._name
            )
            self._zeros_slot(var, "linear", self._linear_name or self._name)

    def _first_accumulator(self, shape: Any, dtype: Any) -> Any:
        return ones(shape, dtype) * self._initial_accumulator_value

    def _form(self, var: Any) -> tuple[str, list[str], list[Any], list[Any]]:
        names = ["learning_rate", "l1_regularization_strength", "l2_regularization_strength", "learning_rate_power"]
        if self._shrinks:
            names.insert(3, "l2_shrinkage_regularization_strength")
        return "ApplyFtrlV2" if self._shrinks else "ApplyFtrl", ["accum", "linear"], [], self._values(*names)


@public(v1=["train.ProximalGradientDescentOptimizer"])
class ProximalGradientDescentOptimizer(_Fused):
    """Gradient descent followed by the proximal step of L1 and L2 (Duchi and Singer 2009)."""

    def __init__(
        self,
        learning_rate: Any,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        use_locking: bool = False,
        name: str = "ProximalGradientDescent",
    ) -> None:
        super().__init__(
            use_locking, name, learning_rate=learning_rate, l1_regularization_strength=l1_regularization_strength,
            l2_regularization_strength=l2_regularization_strength,
        )  # fmt: skip

    def _form(self, var: Any) -> tuple[str, list[str], list[Any], list[Any]]:
        names = ("learning_rate", "l1_regularization_strength", "l2_regularization_strength")
        return "ApplyProximalGradientDescent", [], self._values(*names), []


@public(v1=["train.ProximalAdagradOptimizer"])
class ProximalAdagradOptimizer(_Fused):
    """Adagrad followed by the proximal step of L1 and L2."""

    def __init__(
        self,
        learning_rate: Any,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        use_locking: bool = False,
        name: str = "ProximalAdagrad",
    ) -> None:
        _require_positive("initial_accumulator_value", initial_accumulator_value)
        super().__init__(
            use_locking, name, learning_rate=learning_rate, l1_regularization_strength=l1_regularization_strength,
            l2_regularization_strength=l2_regularization_strength,
        )  # fmt: skip
        self._initial_accumulator_value = initial_accumulator_value

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for var in var_list:
            start = constant_v1(self._initial_accumulator_value, var.dtype.base_dtype, var.shape)
            self._get_or_make_slot(var, start, "accumulator", self._name)

    def _form(self, var: Any) -> tuple[str, list[str], list[Any], list[Any]]:
        names = ("learning_rate", "l1_regularization_strength", "l2_regularization_strength")
        return "ApplyProximalAdagrad", ["accumulator"], self._values(*names), []
