"""Moving averages of variables and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import TensorReference
from rillet.frontend.collections import GraphKeys
from rillet.frontend.control import group
from rillet.frontend.initializers import Zeros
from rillet.frontend.scopes import init_scope
from rillet.frontend.variable import ReferenceVariable, Variable
from rillet.frontend.variable_scope import get_variable, variable_scope
from rillet.frontend.variables import global_variables, moving_average_variables, trainable_variables
from rillet.ops.cast import cast
from rillet.ops.scope import scope
from rillet.train.slots import create_slot, create_zeros_slot


@public(v1=["contrib.framework.assign_moving_average", "train.assign_moving_average"])
def assign_moving_average(
    variable: Any, value: Any, decay: Any, zero_debias: bool = True, name: str | None = None
) -> Any:
    """variable <- decay * variable + (1 - decay) * value. Returns what an assignment returns.

    zero_debias: the variable started from zero; divides by 1 - decay^steps, so that it is unbiased from the first step.
    """
    with scope(name or "AssignMovingAvg", variable, value, decay) as full_name:
        weight = cast(1.0 - decay, variable.dtype.base_dtype)
        if zero_debias:
            return _debiased(variable, value, weight)
        delta = (variable.value() - value) * weight
        return variable.assign_sub(delta, name=full_name if isinstance(variable, ReferenceVariable) else None)


def _debiased(variable: Any, value: Any, weight: Any) -> Any:
    """As Adam corrects its moments: a biased average and the number of steps are kept beside `variable`."""
    dtype = variable.dtype.base_dtype
    is_resource = not isinstance(variable, ReferenceVariable)
    with variable_scope(variable.name.partition(":")[0]):
        biased, step = [
            get_variable(name, shape, dtype, Zeros(), trainable=False, use_resource=is_resource)
            for name, shape in (("biased", variable.shape), ("local_step", []))
        ]
    new_biased = convert_to_tensor(biased.assign_sub((biased.value() - value) * weight))
    new_step = convert_to_tensor(step.assign_add(1))
    correction = 1 - apply_op(REGISTRY["Pow"], (1 - weight, new_step))
    return variable.assign(new_biased / correction)


@public("train.ExponentialMovingAverage")
class ExponentialMovingAverage:
    """Keeps exponentially decaying averages of variables.

    decay: near 1, such as 0.999. num_updates: the number of steps made; the decay is then
    min(decay, (1 + num_updates) / (10 + num_updates)). zero_debias: averages of tensors are corrected for their start at 0.
    """

    def __init__(
        self, decay: Any, num_updates: Any = None, zero_debias: bool = False, name: str = "ExponentialMovingAverage"
    ) -> None:
        self._decay = decay
        self._num_updates = num_updates
        self._zero_debias = zero_debias
        self._name = name
        self._averages: dict[TensorReference, Any] = {}
        self._debiased: set[TensorReference] = set()

    @property
    def name(self) -> str:
        return self._name

    def apply(self, var_list: Sequence[Any] | None = None) -> Any:
        """The operation that updates the averages of `var_list` (the trainable variables when None); eagerly, does it.

        The average of a variable starts at its initial value, that of a tensor at 0. TypeError for integers.
        """
        values = list(trainable_variables() if var_list is None else var_list)
        for value in values:
            if not value.dtype.base_dtype.is_floating:
                raise TypeError(f"The variables must be half, float, or double: {value.name}")
            if value.ref() not in self._averages:
                self._add(value)
        with scope(self._name, *values) as full_name:
            decay = self._current_decay()
            updates = []
            for value in values:
                average = self._averages[value.ref()]
                updates.append(assign_moving_average(average, value, decay, value.ref() in self._debiased))
            return group(*updates, name=full_name or self._name)

    def _add(self, value: Any) -> None:
        with init_scope():
            if isinstance(value, Variable):
                average = create_slot(value, value.initialized_value(), self._name)
                context.get_default_graph().add_to_collection(GraphKeys.MOVING_AVERAGE_VARIABLES, value)
            else:
                average = create_zeros_slot(value, self._name)
                if self._zero_debias:
                    self._debiased.add(value.ref())
            self._averages[value.ref()] = average

    def _current_decay(self) -> Any:
        decay = convert_to_tensor(self._decay, dtypes.float32, name="decay")
        if self._num_updates is None:
            return decay
        steps = cast(self._num_updates, dtypes.float32, name="num_updates")
        return apply_op(REGISTRY["Minimum"], (decay, (1.0 + steps) / (10.0 + steps)))

    def average(self, var: Any) -> Any:
        """The variable that holds the average of `var`; None where there is none."""
        return self._averages.get(var.ref())

    def average_name(self, var: Any) -> str:
        """The name of the variable that holds, or would hold, the average of `var`."""
        known = self._averages.get(var.ref())
        if known is not None:
            return _label(known)
        return context.get_default_graph().unique_name(f"{_label(var)}/{self._name}", mark_as_used=False)

    def variables_to_restore(self, moving_avg_variables: Sequence[Any] | None = None) -> dict[str, Any]:
        """{name in a checkpoint: variable}: variables that have an average are restored from it, the others as they are.

        moving_avg_variables: those that have one (the trainable and the averaged variables when None).
        """
        averaged = moving_avg_variables
        if averaged is None:
            averaged = trainable_variables() + moving_average_variables()
        names = {self.average_name(variable): variable for variable in averaged}
        own = {variable.name for variable in averaged}
        for variable in global_variables():
            if variable.name not in own and _label(variable) not in names:
                names[_label(variable)] = variable
        return names


def _label(value: Any) -> str:
    """The name of a variable or tensor without its ":0"."""
    name: str = value.name
    return name.partition(":")[0]
