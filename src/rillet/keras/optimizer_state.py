"""What an optimizer keeps: its learning rate, the number of its step, and variables beside those it changes."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import convert_to_tensor
from rillet.core.tensor import Tensor
from rillet.frontend.module import tell_restores
from rillet.frontend.scopes import init_scope, use_eager_name_scope
from rillet.frontend.variable import Variable
from rillet.keras.saving_registry import Family
from rillet.keras.schedules import LearningRateSchedule
from rillet.keras.schedules import deserialize as deserialize_schedule
from rillet.keras.sessions import get_values
from rillet.ops.cast import cast
from rillet.ops.creation import zeros


class VariableList(list[Any]):
    """The optimizer's variables; `optimizer.variables()` gives them too, as in older programs."""

    def __call__(self) -> VariableList:
        return self


class OptimizerState:
    """The variables of an optimizer, and how they are named."""

    name: str
    use_ema: bool
    gradient_accumulation_steps: int | None
    decay: float
    _step_name = "iteration"
    _slots_by_variable = True  # whether the two moments of a variable stand next to each other in `variables`

    def __init__(self, learning_rate: Any) -> None:
        self.built = False
        self._first_rate: Any = None  # a number of which no variable has been made yet
        self._rate: Any = None  # a variable, a schedule, or a function
        self._iterations: Any = None
        self._variables: list[Any] = []
        self._index_dict: dict[Any, int] = {}
        self._slots: dict[str, list[Any]] = {}
        self._averages: list[Any] = []
        self._accumulators: list[Any] = []
        if learning_rate is not None:
            self._rate = self._build_learning_rate(learning_rate)

    # ---- the learning rate and the step ------------------------------------------------------------------------

    def _build_learning_rate(self, learning_rate: Any) -> Any:
        """What `self._learning_rate` is set to: a schedule, a function or a tensor as it is, a number as a variable."""
        if isinstance(learning_rate, dict):
            learning_rate = deserialize_schedule(learning_rate)
        if isinstance(learning_rate, (LearningRateSchedule, Variable)) or callable(learning_rate):
            return learning_rate
        if isinstance(learning_rate, Tensor) and context.executing_eagerly():
            learning_rate = float(learning_rate.numpy())  # type: ignore[attr-defined]
        if isinstance(learning_rate, Tensor):
            return learning_rate
        self._first_rate = float(learning_rate)
        return None

    @property
    def _learning_rate(self) -> Any:
        if self._rate is None and self._first_rate is not None:
            self._rate = self._scalar_variable("learning_rate", self._first_rate, dtypes.float32)
        return self._rate

    @_learning_rate.setter
    def _learning_rate(self, value: Any) -> None:
        self._rate = value

    @property
    def learning_rate(self) -> Any:
        """The learning rate: a variable; with a schedule or a function its value now."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return rate(self.iterations)
        return rate() if callable(rate) and not isinstance(rate, Variable) else rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, LearningRateSchedule) or (callable(value) and not isinstance(value, Variable)):
            self._rate = value
            return
        if isinstance(self._rate, LearningRateSchedule):
            raise TypeError(
                "This optimizer was created with a `LearningRateSchedule` object as its `learning_rate` constructor argument, "
                "hence its learning rate is not settable. If you need the learning rate to be settable, you should "
                "instantiate the optimizer with a float `learning_rate` argument."
            )
        if isinstance(self._rate, Variable):
            self._rate.assign(value)
        else:
            self._rate = self._build_learning_rate(value)

    lr = learning_rate

    def _rate_now(self) -> Any:
        """The learning rate of this step, with the decay of older programs: rate / (1 + decay * step)."""
        rate = self.learning_rate
        if not self.decay:
            return rate
        rate = convert_to_tensor(rate)
        return rate / (1.0 + self.decay * cast(self.iterations, rate.dtype))

    def _scalar_variable(self, name: str, value: Any, dtype: dtypes.DType) -> Variable:
        with init_scope(), _names(None):
            return Variable(
                np.array(value, dtype.numpy_dtype), dtype=dtype, name=name, trainable=False, use_resource=True
            )

    @property
    def iterations(self) -> Any:
        """How many steps have been done: an int64 variable."""
        if self._iterations is None:
            self._iterations = self._scalar_variable(self._step_name, 0, dtypes.int64)
            self._variables.insert(0, self._iterations)
        return self._iterations

    @iterations.setter
    def iterations(self, variable: Any) -> None:
        if self.built:
            raise RuntimeError(f"Cannot set `iterations` to a new Variable after the Optimizer is built. {variable}")
        self._variables = [variable, *[one for one in self._variables if one is not self._iterations]]
        self._iterations = variable

    def _trackable_children(self) -> dict[str, Any]:
        """What a checkpoint finds in the optimizer."""
        found = {"_iterations": self._iterations, "_learning_rate": self._rate, "_variables": list(self._variables)}
        return {**found, **{name: value for name, value in vars(self).items() if name not in ("_rate", *found)}}

    # ---- variables ---------------------------------------------------------------------------------------------

    @property
    def variables(self) -> VariableList:
        """The step, then the slots in the order of `build`."""
        return VariableList(self._variables)

    @property
    def weights(self) -> VariableList:
        return self.variables

    def get_weights(self) -> list[Any]:
        """The values of the variables."""
        return [variable.numpy() for variable in self._variables]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets the variables. ValueError unless there is one value of its shape for each."""
        if len(weights) != len(self._variables):
            raise ValueError(
                f"Optimizer {self.name} has {len(self._variables)} variables, but got {len(weights)} weights: call "
                "`optimizer.build(model.trainable_variables)` first."
            )
        for variable, value in zip(self._variables, weights, strict=True):
            if tuple(variable.shape) != np.shape(value):
                raise ValueError(
                    f"Optimizer variable {variable.name} has shape {variable.shape} not compatible with provided weight "
                    f"shape {np.shape(value)}."
                )
            variable.assign(value)

    def save_own_variables(self, store: Any) -> None:
        """Puts the values of the variables into `store` by their numbers."""
        for number, variable in enumerate(self._variables):
            store[str(number)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Takes the variables from `store`; warns and leaves them where their number differs."""
        if len(store.keys()) != len(self._variables):
            warnings.warn(
                f"Skipping variable loading for optimizer '{self.name}', because it has {len(self._variables)} variables "
                f"whereas the saved optimizer has {len(store.keys())} variables.",
                stacklevel=2,
            )
            return
        for number, variable in enumerate(self._variables):
            variable.assign(store[str(number)])

    def build(self, var_list: Any) -> None:
        """Makes the step and the slots for these variables; those that have theirs keep them."""
        _ = self.iterations, self._learning_rate
        new = [variable for variable in var_list if self._var_key(variable) not in self._index_dict]
        for variable in new:
            self._index_dict[self._var_key(variable)] = len(self._index_dict)
        if self.use_ema:
            self._averages += [self.add_variable_from_reference(one, "average", initial_value=one) for one in new]
        if self.gradient_accumulation_steps:
            self._accumulators += [self.add_variable_from_reference(one, "gradient_accumulator") for one in new]
        self._create_slots(new)
        self.built = True
        tell_restores(self)

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        """Makes the slots of new variables."""

    def _var_key(self, variable: Any) -> Any:
        return variable.ref()

    def add_variable_from_reference(
        self,
        model_variable: Any,
        variable_name: str | None = None,
        shape: Any = None,
        initial_value: Any = None,
        name: str | None = None,
        initializer: Any = None,
    ) -> Variable:
        """A variable of the shape and dtype of `model_variable`, called optimizer/variable_name/its name."""
        dtype = model_variable.dtype.base_dtype
        sizes = model_variable.shape if shape is None else shape
        label = self._slot_label(variable_name or name or "slot", _plain_name(model_variable))
        with init_scope(), _names(self.name):
            if initial_value is not None:
                start = _current_value(initial_value)
            else:
                start = zeros(sizes, dtype) if initializer in (None, "zeros") else initializer(sizes, dtype)
            made = Variable(start, dtype=dtype, name=label, trainable=False, use_resource=True)
        self._variables.append(made)
        return made

    def _slot_label(self, slot: str, variable: str) -> str:
        return f"{slot}/{variable}"

    def add_variable(
        self, shape: Any = (), initializer: Any = None, dtype: Any = None, name: str | None = None, **options: Any
    ) -> Variable:
        """A variable of the optimizer's own. initializer: a function of (shape, dtype), or "zeros"."""
        wanted = dtypes.as_dtype(dtype or dtypes.float32)
        initializer = options.get("initializer", initializer)
        with init_scope(), _names(self.name):
            start = zeros(shape, wanted) if initializer in (None, "zeros") else initializer(shape, wanted)
            made = Variable(start, dtype=wanted, name=name or "variable", trainable=False, use_resource=True)
        self._variables.append(made)
        return made

    def _add_pairs(
        self, first: str, second: str, var_list: Sequence[Any], initial_value: Callable[[Any], Any] | None = None
    ) -> None:
        """Two slots for each variable; `initial_value` gives the start of the first."""
        for group in [[variable] for variable in var_list] if self._slots_by_variable else [var_list]:
            self._add_slots(first, group, initial_value)
            self._add_slots(second, group)

    def _add_slots(self, name: str, var_list: Sequence[Any], initial_value: Callable[[Any], Any] | None = None) -> None:
        """One slot called `name` for each variable, zero unless `initial_value` gives its start."""
        made = [self.add_variable_from_reference(one, name, initial_value=initial_value and initial_value(one))
                for one in var_list]  # fmt: skip
        self._slots.setdefault(name, []).extend(made)

    def _slot(self, name: str, variable: Any) -> Any:
        return self._slots[name][self._index_dict[self._var_key(variable)]]

    def _serialized_rate(self) -> Any:
        rate = self._rate
        if isinstance(rate, LearningRateSchedule):
            return Family("keras.optimizers.schedules", "schedule").serialize(rate)
        if rate is None:
            return self._first_rate
        if callable(rate) and not isinstance(rate, Variable):
            rate = rate()
        value = np.float32(get_values([rate])[0] if isinstance(rate, Variable) else rate.numpy())
        return self._first_rate if value == np.float32(self._first_rate or 0) else float(value)


@contextlib.contextmanager
def _names(scope: str | None) -> Iterator[None]:
    """Variables made inside are called scope/..., wherever this is (in a graph: below its name scope)."""
    graph = context.state().graph
    if graph is None:
        with use_eager_name_scope(scope and scope + "/"):
            yield
    elif scope:
        with graph.name_scope(scope):
            yield
    else:
        yield


def _plain_name(variable: Any) -> str:
    name: str = getattr(variable, "path", None) or variable.name
    return name.partition(":")[0]


def _current_value(value: Any) -> Any:
    if isinstance(value, Variable):
        return value.initialized_value()
    return value
