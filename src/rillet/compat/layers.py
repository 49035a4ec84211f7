"""tf.layers of TensorFlow 1: Keras' layers whose variables are got from the variable scope, so that they can be reused."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from rillet.core import context, dtypes
from rillet.core.export import export
from rillet.frontend.collections import GraphKeys
from rillet.frontend.variable_scope import get_variable, variable_scope
from rillet.keras import layers as keras_layers
from rillet.keras.layer import Layer
from rillet.keras.naming import to_snake_case


class ScopedLayer:
    """Before a layer of Keras among the bases: its variables are got in a variable scope.

    name: the scope; None: one named after the class, made unique. _reuse: as in tf.variable_scope.
    """

    _scope: Any = None

    def __init__(self, *args: Any, _scope: Any = None, _reuse: Any = None, **kwargs: Any) -> None:
        wanted = kwargs.pop("name", None)
        base = wanted or to_snake_case(type(self).__name__)
        super().__init__(*args, name=base, **kwargs)  # type: ignore[call-arg]
        self.__dict__["_wanted_scope"] = _scope or wanted
        self.__dict__["_reuse"] = _reuse

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("scope", None)
        with self._variable_scope():
            before = len(self._losses_now())
            result = super().__call__(inputs, *args, **kwargs)  # type: ignore[misc]
            self._collect(before)
        return result

    apply = __call__

    @contextlib.contextmanager
    def _variable_scope(self) -> Iterator[None]:
        known = self.__dict__.get("_entered_scope")
        if known is not None:
            with variable_scope(known, reuse=True if self.built else self.__dict__["_reuse"]):  # type: ignore[attr-defined]
                yield
            return
        wanted = self.__dict__["_wanted_scope"]
        with variable_scope(wanted, default_name=self.name, reuse=self.__dict__["_reuse"]) as entered:  # type: ignore[attr-defined]
            self.__dict__["_entered_scope"] = entered
            yield

    def _scope_of_call(self) -> Any:
        return contextlib.nullcontext()  # the variable scope names operations too

    @property
    def scope_name(self) -> str:
        """The name of the variable scope. ValueError before the first call."""
        entered = self.__dict__.get("_entered_scope")
        if entered is None:
            raise ValueError("No name available for layer scope because the layer has not been used yet.")
        return str(entered.name)

    @property
    def graph(self) -> Any:
        return context.state().graph

    def add_weight(self, name: Any = None, shape: Any = None, dtype: Any = None, initializer: Any = None,
                   regularizer: Any = None, trainable: bool | None = None, constraint: Any = None,
                   **kwargs: Any) -> Any:  # fmt: skip
        variable = get_variable(
            name, shape, dtypes.as_dtype(dtype or self.variable_dtype), initializer,  # type: ignore[attr-defined]
            regularizer=regularizer, trainable=(self.trainable if trainable is None else trainable),  # type: ignore[attr-defined]
            constraint=constraint,
        )  # fmt: skip
        self._own_variables.append(variable)  # type: ignore[attr-defined]
        return variable

    def _losses_now(self) -> list[Any]:
        return list(getattr(self, "_losses", ()))

    def _collect(self, before: int) -> None:
        """Puts updates and penalties on activities where TensorFlow 1's programs look for them."""
        graph = context.state().graph
        if graph is None:
            return
        known = graph.get_collection(GraphKeys.UPDATE_OPS)
        for update in getattr(self, "_updates", ()):
            if not any(update is other for other in known):
                graph.add_to_collection(GraphKeys.UPDATE_OPS, update)
        for loss in self._losses_now()[before:]:
            graph.add_to_collection(GraphKeys.REGULARIZATION_LOSSES, loss() if callable(loss) else loss)


def _scoped(kind: type[Layer], defaults: dict[str, Any]) -> type[Any]:
    """The layer of tf.layers that is `kind` with other defaults."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        names = list(inspect.signature(kind.__init__).parameters)[1:]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        ScopedLayer.__init__(self, **{**{n: v for n, v in defaults.items() if n not in given}, **given})

    body = {"__init__": __init__, "__module__": __name__, "__doc__": kind.__doc__}
    made = type(kind.__name__, (ScopedLayer, kind), body)
    functools.update_wrapper(made.__init__, kind.__init__, assigned=("__doc__",), updated=())  # type: ignore[misc]
    return made


_KERNEL = {"kernel_initializer": None}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "Dense": _KERNEL,
    "Conv1D": _KERNEL,
    "Conv2D": _KERNEL,
    "Conv3D": _KERNEL,
    "Conv2DTranspose": _KERNEL,
    "Conv3DTranspose": _KERNEL,
    "SeparableConv1D": {"depthwise_initializer": None, "pointwise_initializer": None},
    "SeparableConv2D": {"depthwise_initializer": None, "pointwise_initializer": None},
    "MaxPooling1D": {},
    "MaxPooling2D": {},
    "MaxPooling3D": {},
    "AveragePooling1D": {},
    "AveragePooling2D": {},
    "AveragePooling3D": {},
    "Flatten": {},
    "Dropout": {"rate": 0.5},
    "BatchNormalization": {},
}
CLASSES = {name: _scoped(getattr(keras_layers, name), defaults) for name, defaults in _DEFAULTS.items()}
for _name, _class in CLASSES.items():
    export(_class, v1=[f"layers.{_name}"])


def _function(name: str, kind: type[Any], takes_training: bool) -> Callable[..., Any]:
    """The function `name`, which makes a layer of this class and calls it at once."""

    def function(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        call = {"training": kwargs.pop("training", False)} if takes_training else {}
        scope = kwargs.pop("name", None)
        for spare in ("fused", "virtual_batch_size", "adjustment", "renorm", "renorm_clipping", "renorm_momentum"):
            if kwargs.get(spare) is None or kwargs.get(spare) is False:
                kwargs.pop(spare, None)
        layer = kind(*args, name=scope, _reuse=kwargs.pop("reuse", None), **kwargs)
        return layer(inputs, **call)

    function.__name__ = name
    function.__doc__ = f"Makes a tf.layers.{kind.__name__} and calls it on the inputs. reuse: as in tf.variable_scope."
    return function


_FUNCTIONS = {
    "dense": "Dense", "conv1d": "Conv1D", "conv2d": "Conv2D", "conv3d": "Conv3D", "conv2d_transpose": "Conv2DTranspose",
    "conv3d_transpose": "Conv3DTranspose", "separable_conv1d": "SeparableConv1D", "separable_conv2d": "SeparableConv2D",
    "max_pooling1d": "MaxPooling1D", "max_pooling2d": "MaxPooling2D", "max_pooling3d": "MaxPooling3D",
    "average_pooling1d": "AveragePooling1D", "average_pooling2d": "AveragePooling2D",
    "average_pooling3d": "AveragePooling3D", "flatten": "Flatten", "dropout": "Dropout",
    "batch_normalization": "BatchNormalization",
}  # fmt: skip
for _name, _kind in _FUNCTIONS.items():
    export(
        _function(_name, CLASSES[_kind], _kind in ("Dropout", "BatchNormalization")),
        v1=[f"layers.{_name}"],
    )
