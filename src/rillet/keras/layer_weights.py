"""The weights of a layer: making them, finding those of the layers inside, reading and writing their values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.shapes import TensorShape
from rillet.frontend.variable import Variable
from rillet.frontend.variable_creation import VariableAggregation, VariableSynchronization
from rillet.keras import constraints, initializers, regularizers
from rillet.keras.autocast import AutoCastVariable
from rillet.keras.sessions import get_values, set_values
from rillet.keras.tracking import MODULES, VARIABLES, Kind, each_once, is_metric

_NO_SHAPE: tuple[int, ...] = ()


class LayerWeights:
    """What Layer has of weights. changes: how often `trainable` of any layer was set."""

    changes = 0

    name: str
    built: bool
    _trainable: bool
    _own_variables: list[Any]
    _regularized: list[tuple[Any, Any]]
    _initial_weights: Any
    variable_dtype: str

    def add_weight(
        self,
        name: Any = None,
        shape: Any = None,
        dtype: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        trainable: bool | None = None,
        constraint: Any = None,
        use_resource: bool | None = None,
        synchronization: Any = VariableSynchronization.AUTO,
        aggregation: Any = VariableAggregation.NONE,
        **kwargs: Any,
    ) -> Any:
        """A new variable of the layer. The shape may also come first, as in Keras 3.

        initializer: a name, an Initializer, or a function of (shape, dtype); None: glorot_uniform for floats, zeros else.
        kwargs: getter, collections, caching_device, experimental_autocast, autocast, overwrite_with_gradient: accepted.

        Raises ValueError where the shape is not fully known, TypeError for another keyword.
        """
        if name is not None and not isinstance(name, str):
            name, shape, initializer, dtype = (
                shape if isinstance(shape, str) else None,
                name,
                initializer or dtype,
                None,
            )
        for unknown in kwargs.keys() - _ACCEPTED:
            raise TypeError("Unknown keyword argument:", unknown)
        sizes = _sizes(_NO_SHAPE if shape is None else shape, name)
        wanted = dtypes.as_dtype(dtype or self.variable_dtype)
        maker = initializers.get(_default_initializer(wanted) if initializer is None else initializer)
        if trainable is None:
            trainable = synchronization is not VariableSynchronization.ON_READ
        is_mixed = wanted.is_floating and self._is_mixed and kwargs.get("experimental_autocast", True)
        variable = (AutoCastVariable if is_mixed else Variable)(
            lambda: maker(sizes, dtype=wanted),
            trainable=trainable,
            name=name or "Variable",
            dtype=wanted,
            constraint=constraints.get(constraint),
            use_resource=True,
            synchronization=synchronization,
        )
        variable.__dict__["path"] = variable.name.partition(":")[0]
        penalty = regularizers.get(regularizer)
        if penalty is not None:
            self._regularized.append((variable, penalty))
        self._own_variables.append(variable)
        return variable

    def add_variable(self, *args: Any, **kwargs: Any) -> Any:
        """The old name of add_weight."""
        return self.add_weight(*args, **kwargs)

    @property
    def _is_mixed(self) -> bool:
        """Whether the layer computes in another dtype than it keeps its weights in."""
        raise NotImplementedError

    # ---- which there are ------------------------------------------------------------------------------------------

    def _attribute_values(self) -> Iterator[Any]:
        """What the layer's attributes hold, its bookkeeping aside."""
        raise NotImplementedError

    def _sublayers(self) -> list[Any]:
        """The layers inside, in the order in which they were set as attributes."""
        return LAYERS.among(self._attribute_values())

    def _own_weights(self) -> list[Any]:
        """The layer's own variables: those it made, those in its attributes, and those of tf.Modules there."""
        found = [*self._own_variables, *VARIABLES.among(self._attribute_values())]
        for module in MODULES.among(self._attribute_values()):
            if not isinstance(module, LayerWeights) and not is_metric(type(module)):
                found.extend(module.variables)
        return each_once(found)

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        LayerWeights.changes += 1
        for layer in self._sublayers():
            layer.trainable = bool(value)

    @property
    def trainable_weights(self) -> list[Any]:
        """The variables that training changes; none where the layer is not trainable."""
        if not self._trainable:
            return []
        found = [variable for variable in self._own_weights() if variable.trainable]
        for layer in self._sublayers():
            found.extend(layer.trainable_weights)
        return each_once(found)

    @property
    def non_trainable_weights(self) -> list[Any]:
        own = self._own_weights()
        if self._trainable:
            found = [variable for variable in own if not variable.trainable]
            for layer in self._sublayers():
                found.extend(layer.non_trainable_weights)
        else:
            found = sorted(own, key=lambda variable: not variable.trainable)
            for layer in self._sublayers():
                found.extend(layer.weights)
        return each_once(found)

    @property
    def weights(self) -> list[Any]:
        """All variables of the layer and of the layers inside: the trainable ones first."""
        return each_once([*self.trainable_weights, *self.non_trainable_weights])

    @property
    def trainable_variables(self) -> list[Any]:
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Any]:
        return self.non_trainable_weights

    @property
    def variables(self) -> list[Any]:
        return self.weights

    def count_params(self) -> int:
        """How many numbers the weights hold. ValueError before the layer is built."""
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer {self.name}, but the layer isn't built. You can build it "
                "manually via: `" + self.name + ".build(batch_input_shape)`."
            )
        return sum(math.prod(variable.shape.as_list()) for variable in self.weights)

    # ---- their values ---------------------------------------------------------------------------------------------

    def get_weights(self) -> list[Any]:
        """The values of `weights`, as arrays."""
        return get_values(self.weights)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets the variables in `weights` to these arrays. ValueError where their number or shapes differ."""
        variables, given = self.weights, list(weights)
        if len(variables) != len(given):
            raise ValueError(
                f'You called `set_weights(weights)` on layer "{self.name}" with a weight list of length {len(given)}, but the '
                f"layer was expecting {len(variables)} weights. Provided weights: {str(given)[:50]}..."
            )
        arrays = [np.asarray(value) for value in given]
        for variable, array in zip(variables, arrays, strict=True):
            if not variable.shape.is_compatible_with(array.shape):
                raise ValueError(
                    f"Layer {self.name} weight shape {variable.shape} is not compatible with provided weight shape "
                    f"{array.shape}."
                )
        set_values(list(zip(variables, arrays, strict=True)))

    def own_variables(self) -> list[Any]:
        """The variables of the layer itself, without those of layers inside: those that are trained first."""
        return sorted(self._own_weights(), key=lambda variable: not variable.trainable)

    def save_own_variables(self, store: Any) -> None:
        """Puts the values of the layer's own variables into `store` (as a dictionary) by their numbers. May be overridden."""
        variables = self.own_variables()
        for number, value in enumerate(get_values(variables)):
            store[str(number)] = value

    def load_own_variables(self, store: Any) -> None:
        """Takes the layer's own variables from `store`. ValueError where their number differs. May be overridden."""
        variables = self.own_variables()
        if len(store.keys()) != len(variables):
            raise ValueError(
                f"Layer '{self.name}' expected {len(variables)} variables, but received {len(store.keys())} variables during "
                "loading."
            )
        set_values([(variable, np.asarray(store[str(number)])) for number, variable in enumerate(variables)])

    def _set_initial_weights(self) -> None:
        if self._initial_weights is not None:
            given, self._initial_weights = self._initial_weights, None
            self.set_weights(given)


LAYERS = Kind(lambda kind: issubclass(kind, LayerWeights) and not is_metric(kind))
_ACCEPTED = {
    "getter", "collections", "caching_device", "experimental_autocast", "autocast", "overwrite_with_gradient", "layout",
}  # fmt: skip


def _default_initializer(dtype: dtypes.DType) -> str:
    return "glorot_uniform" if dtype.is_floating else "zeros"


def _sizes(shape: Any, name: str | None) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(TensorShape(shape).as_list())
    if None in sizes:
        raise ValueError(
            f"Shapes used to initialize variables must be fully-defined: {name or 'a weight'} has {sizes}."
        )
    return tuple(int(size) for size in sizes)  # type: ignore[arg-type]
