"""tf.keras.optimizers: what all optimizers share. The methods are in optimizer_methods, their arithmetic in ops.training
and, where no op has it, in ops of a kernel's worth."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from rillet.autodiff.gradients import gradients
from rillet.autodiff.tape import GradientTape
from rillet.autodiff.unconnected import reasons_for
from rillet.core import context, dtypes
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.core.function import FuncGraph
from rillet.core.indexed_slices import IndexedSlices
from rillet.frontend.control import cond, group
from rillet.frontend.scopes import NameScope, init_scope, run_after
from rillet.keras.optimizer_state import OptimizerState, VariableList
from rillet.keras.saving_registry import Family, custom_object_scope, reject_unknown
from rillet.ops.cast import cast
from rillet.ops.clip import clip_by_global_norm, clip_by_norm, clip_by_value
from rillet.ops.compare import equal
from rillet.ops.elementwise import floor_mod, power
from rillet.train.optimizer import Optimizer as TrainOptimizer
from rillet.train.updates import apply_update


@public(
    "keras.optimizers.Optimizer", "keras.Optimizer", "keras.optimizers.experimental.Optimizer",
)  # fmt: skip
class Optimizer(OptimizerState):
    """Base of the optimizers.

    A subclass makes its slots in `build(var_list)`, with `add_variable_from_reference`, and updates one variable in
    `update_step(gradient, variable)` (or with a third argument, the learning rate).

    clipnorm: the largest norm of each gradient; global_clipnorm: of all together; clipvalue: the largest magnitude of an
        element. At most one of them.
    weight_decay: every variable loses this fraction of itself, times the learning rate, at each step.
    use_ema: keep moving averages of the variables, with weight `ema_momentum`; every `ema_overwrite_frequency` steps the
        variables become their averages (None: when the training ends).
    gradient_accumulation_steps: update once in so many steps, by the mean gradient. loss_scale_factor: the gradients are
        those of a loss multiplied by this.
    Raises ValueError for bad values, TypeError for unknown arguments.
    """

    _exact_rows = False  # whether an update by a sparse gradient changes only the rows that it names

    def __init__(
        self,
        name: Any = None,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        jit_compile: bool | str = True,
        learning_rate: Any = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        decay: float = 0.0,
        lr: Any = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("is_legacy_optimizer", None)
        reject_unknown(self, kwargs)
        if not isinstance(name, (str, type(None))):
            name, learning_rate = None, name  # Optimizer(learning_rate) positionally
        _check_clipping(clipnorm, clipvalue, global_clipnorm)
        if use_ema and not 0 <= ema_momentum <= 1:
            raise ValueError(f"`ema_momentum` must be in the range [0, 1]. Received: ema_momentum={ema_momentum}")
        if gradient_accumulation_steps is not None and gradient_accumulation_steps < 2:
            raise ValueError(
                f"`gradient_accumulation_steps` must be an integer >= 2. Received: {gradient_accumulation_steps}"
            )
        self.name = self._name = name or type(self).__name__
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.jit_compile = jit_compile
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.decay = decay
        self._excluded: list[str] = []
        self._excluded_keys: set[Any] = set()
        self._scalars: dict[Any, Any] = {}
        super().__init__(learning_rate if lr is None else lr)

    # ---- a step ------------------------------------------------------------------------------------------------

    def minimize(
        self, loss: Any, var_list: Any = None, tape: Any = None, grad_loss: Any = None, name: Any = None
    ) -> Any:
        """Gradients of `loss` (a function, or a tensor with the tape that saw it), applied to the variables."""
        variables = var_list() if callable(var_list) else var_list
        return self.apply_gradients(self.compute_gradients(loss, variables, tape, grad_loss), name)

    def compute_gradients(self, loss: Any, var_list: Any, tape: Any = None, grad_loss: Any = None) -> list[Any]:
        """(gradient, variable) pairs. ValueError for a tensor without the tape that saw it."""
        if not callable(loss) and tape is None and context.executing_eagerly():
            raise ValueError("`tape` is required when a `Tensor` loss is passed.")
        if not callable(loss) and tape is None:
            return list(zip(gradients(loss, list(var_list), grad_ys=grad_loss), var_list, strict=True))
        tape = GradientTape() if tape is None else tape
        if callable(loss):
            with tape:
                if var_list is not None:
                    tape.watch(list(var_list))
                loss = loss()
        var_list = tape.watched_variables() if var_list is None else var_list
        return list(zip(tape.gradient(loss, list(var_list), grad_loss), var_list, strict=True))

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]], name: Any = None, **options: Any) -> Any:
        """One step: updates the variables by their gradients. Returns the step variable (in a graph: the operation).

        options: skip_gradients_aggregation, experimental_aggregate_gradients, global_step (a variable that grows by one).
        Raises ValueError when no variable has a gradient.
        """
        pairs = self._with_gradient(grads_and_vars)
        found, variables = [gradient for gradient, _ in pairs], [variable for _, variable in pairs]
        with init_scope():
            self.build(variables)
        with NameScope(str(name or self.name)):
            operation = self._step(found, variables)
            step = options.get("global_step")
            return operation if step is None else group(operation, step.assign_add(1))

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> Any:
        """As apply_gradients, with two lists (of the variables of `build`, when there is one)."""
        if trainable_variables is None:
            trainable_variables = [reference.deref() for reference in self._index_dict]
        return self.apply_gradients(zip(grads, trainable_variables, strict=True))

    def _with_gradient(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        pairs = list(grads_and_vars)
        missing = [variable.name for gradient, variable in pairs if gradient is None]
        used = [(gradient, variable) for gradient, variable in pairs if gradient is not None]
        if not used:
            raise ValueError(
                f"No gradients provided for any variable: ({missing},). Provided `grads_and_vars` is {pairs}."
                + reasons_for([variable for _, variable in pairs])
            )
        if missing:
            warnings.warn(
                f"Gradients do not exist for variables {missing} when minimizing the loss. If you're using `model.compile()`, "
                "did you forget to provide a `loss` argument?",
                stacklevel=4,
            )
        return used

    def _step(self, found: list[Any], variables: list[Any]) -> Any:
        if self.loss_scale_factor is not None:
            found = [_map(gradient, lambda value: value / self.loss_scale_factor) for gradient in found]
        if not self.gradient_accumulation_steps:
            return self._update_all(found, variables)
        return self._accumulated(found, variables)

    def _accumulated(self, found: list[Any], variables: list[Any]) -> Any:
        """Adds to the accumulators; the last of so many steps updates by their mean and empties them."""
        steps = self.gradient_accumulation_steps
        sums = [self._accumulators[self._index_dict[self._var_key(one)]] for one in variables]
        means = [
            (total.value() + convert_to_tensor(one)) / float(steps or 1) for total, one in zip(sums, found, strict=True)
        ]

        def last() -> Any:
            self._update_all(means, variables)
            for total in sums:
                total.assign(total.value() * 0)
            return convert_to_tensor(0)

        def other() -> Any:
            for total, gradient in zip(sums, found, strict=True):
                total.assign_add(convert_to_tensor(gradient))
            self.iterations.assign_add(1)
            return convert_to_tensor(0)

        return cond(equal(floor_mod(self.iterations + 1, steps), 0), last, other)

    def _update_all(self, found: list[Any], variables: list[Any]) -> Any:
        found = self._clipped(found)
        self._scalars = {}
        rate = self._rate_now()
        done = self._begin_step()
        for gradient, variable in zip(found, variables, strict=True):
            with run_after(*self._decay_weight(variable, rate)):
                operation = self._update_one(gradient, variable, rate)
            done.append(self._after_update(operation, variable))
        self._scalars = {}
        with run_after(*done):
            finished = self.iterations.assign_add(1, read_value=context.executing_eagerly())
            return group(*[one for one in done if one is not None], finished) if _is_plain_graph() else finished

    def _begin_step(self) -> list[Any]:
        """What a method does once a step, before the variables; operations that have to run."""
        return []

    def _update_one(self, gradient: Any, variable: Any, rate: Any) -> Any:
        if (isinstance(gradient, IndexedSlices) and not self._exact_rows) or not isinstance(gradient, IndexedSlices):
            gradient = convert_to_tensor(gradient)
        if _takes_rate(type(self)):
            return self.update_step(gradient, variable, cast(rate, variable.dtype.base_dtype))
        return self.update_step(gradient, variable)

    def update_step(self, gradient: Any, variable: Any, *args: Any) -> Any:
        """Updates one variable. args: the learning rate, in the variable's dtype, where a subclass takes it."""
        raise NotImplementedError(f"{type(self).__name__} does not implement update_step(gradient, variable)")

    def _after_update(self, operation: Any, variable: Any) -> Any:
        """The variable's constraint, then its moving average."""
        if variable.constraint is not None:
            with run_after(operation):
                operation = _operation(variable.assign(variable.constraint(variable)))
        if not self.use_ema:
            return operation
        average = self._averages[self._index_dict[self._var_key(variable)]]
        with run_after(operation):
            value = variable.value()
            new = average.value() * self.ema_momentum + value * (1 - self.ema_momentum)
            done = [operation, _operation(average.assign(new))]
            if self.ema_overwrite_frequency:
                due = equal(floor_mod(self.iterations + 1, self.ema_overwrite_frequency), 0)
                done.append(_operation(variable.assign(cond(due, lambda: new, lambda: value))))
            return group(*done) if _is_plain_graph() else None

    def finalize_variable_values(self, var_list: Any) -> None:
        """At the end of a training: with use_ema, the variables become their averages."""
        if self.use_ema:
            for variable in var_list:
                variable.assign(self._averages[self._index_dict[self._var_key(variable)]].value())

    def _clipped(self, found: list[Any]) -> list[Any]:
        if self.clipnorm is not None:
            return [_map(gradient, lambda value: clip_by_norm(value, self.clipnorm)) for gradient in found]
        if self.global_clipnorm is not None:
            return list(clip_by_global_norm(found, self.global_clipnorm)[0])
        if self.clipvalue is not None:
            return [
                _map(gradient, lambda value: clip_by_value(value, -self.clipvalue, self.clipvalue))
                for gradient in found
            ]
        return found

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """These variables, and those whose name contains one of `var_names`, keep their weights. Before the first step."""
        if self.built:
            raise ValueError("`exclude_from_weight_decay()` can only be configured before the optimizer is built.")
        self._excluded_keys.update(self._var_key(variable) for variable in var_list or ())
        self._excluded.extend(var_names or ())

    def _decay_weight(self, variable: Any, rate: Any) -> list[Any]:
        if not self.weight_decay or self._var_key(variable) in self._excluded_keys:
            return []
        if any(name in variable.name for name in self._excluded):
            return []
        loss = variable.value() * (cast(rate, variable.dtype.base_dtype) * self.weight_decay)
        return [_operation(variable.assign_sub(loss))]

    # ---- help for the methods ----------------------------------------------------------------------------------

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        """A tensor that all variables of a step share."""
        if key not in self._scalars:
            self._scalars[key] = make()
        return self._scalars[key]

    def _powers(self, dtype: dtypes.DType, *bases: float) -> list[Any]:
        """bases ** (the number of this step, from 1)."""
        step = self._once(("step", dtype), lambda: cast(self.iterations.value() + 1, dtype))
        return [
            self._once((base, dtype), lambda base=base: power(convert_to_tensor(base, dtype), step)) for base in bases
        ]

    def _apply(self, op: str, variable: Any, slots: Sequence[str], values: Sequence[Any], **attrs: Any) -> Any:
        """The update op `op` on the variable and its slots of these names."""
        return apply_update(op, variable, [self._slot(name, variable) for name in slots], values, **attrs)

    # ---- configuration -----------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        config = {
            "name": self.name, "weight_decay": self.weight_decay, "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm, "clipvalue": self.clipvalue, "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum, "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "jit_compile": bool(self.jit_compile), "is_legacy_optimizer": False,
            "learning_rate": self._serialized_rate(),
        }  # fmt: skip
        optional = {
            "decay": self.decay, "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }  # fmt: skip
        return {**config, **{name: value for name, value in optional.items() if value}}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        with custom_object_scope(custom_objects or {}):
            return cls(**config)


_TAKES_RATE: dict[type, bool] = {}


def _takes_rate(cls: type[Optimizer]) -> bool:
    """Whether update_step of the class wants the learning rate as a third argument, as in Keras 3."""
    if cls not in _TAKES_RATE:
        code = cls.update_step.__code__
        _TAKES_RATE[cls] = code.co_argcount >= 4 or bool(code.co_flags & 0x04)  # *args
    return _TAKES_RATE[cls]


def _check_clipping(clipnorm: Any, clipvalue: Any, global_clipnorm: Any) -> None:
    for name, value in (("clipnorm", clipnorm), ("clipvalue", clipvalue), ("global_clipnorm", global_clipnorm)):
        if value is not None and value < 0:
            raise ValueError(f"Expected {name} >= 0, received: {value}")
    if clipnorm is not None and global_clipnorm is not None:
        raise ValueError(
            f"At most one of `clipnorm` and `global_clipnorm` can be set. Received: clipnorm={clipnorm}, "
            f"global_clipnorm={global_clipnorm}."
        )


def _is_plain_graph() -> bool:
    """Whether operations have to be run by a session (or what a function does is in the order of the program)."""
    graph = context.state().graph
    return graph is not None and not isinstance(graph, FuncGraph)


def _map(gradient: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(gradient, IndexedSlices):
        return IndexedSlices(function(gradient.values), gradient.indices, gradient.dense_shape)
    return function(gradient)


def _operation(result: Any) -> Any:
    """What an assignment is waited for by; None where it ran."""
    return getattr(result, "op", None) if _is_plain_graph() else None


def assign(changes: Sequence[tuple[Any, Any]]) -> Any:
    """Sets variables to values; the operation that does (None: it is done, or in a function's order)."""
    done = [variable.assign(value, read_value=False) for variable, value in changes]
    return group(*done) if _is_plain_graph() else None


class TFOptimizer(Optimizer):
    """An optimizer of tf.train in the clothes of one of tf.keras."""

    def __init__(self, optimizer: Any, iterations: Any = None) -> None:
        super().__init__(name=optimizer.get_name())
        self.optimizer = optimizer
        if iterations is not None:
            self.iterations = iterations

    @property
    def learning_rate(self) -> Any:
        raise AttributeError(f"{type(self.optimizer).__name__} has its learning rate to itself")

    lr = learning_rate  # type: ignore[assignment]

    def build(self, var_list: Any) -> None:
        _ = self.iterations
        self.built = True

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]], name: Any = None, **options: Any) -> Any:
        return self.optimizer.apply_gradients(list(grads_and_vars), global_step=self.iterations, name=name)

    @property
    def variables(self) -> VariableList:
        return VariableList([*self._variables, *self.optimizer.variables()])

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError("optimizers of tf.train have no configuration")


class _Optimizers(Family):
    aliases: ClassVar[dict[str, str]]

    def get(self, identifier: Any, **kwargs: Any) -> Any:
        """An optimizer from its name, its configuration, or a tf.train optimizer. kwargs: use_legacy_optimizer."""
        if isinstance(identifier, Optimizer):
            return identifier
        if isinstance(identifier, TrainOptimizer):
            return TFOptimizer(identifier)
        if (
            identifier is not None
            and not isinstance(identifier, (str, dict))
            and hasattr(identifier, "apply_gradients")
        ):
            return identifier
        if isinstance(identifier, (str, dict)):
            return self.deserialize(identifier)
        raise ValueError(f"Could not interpret optimizer identifier: {identifier}")

    def deserialize(self, config: Any, custom_objects: Any = None, **kwargs: Any) -> Any:
        return super().deserialize(config, custom_objects)

    def serialize(self, value: Any, **kwargs: Any) -> Any:
        return super().serialize(value)


OPTIMIZERS = _Optimizers("keras.optimizers", "optimizer", lower=True)
OPTIMIZERS.export()
