"""Metric: what accumulates over batches. Its variables are the state; Mean, Sum, and means of functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from rillet.core import context
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.core.function import FuncGraph
from rillet.core.tensor import Tensor
from rillet.frontend.control import group
from rillet.frontend.scopes import init_scope, run_after
from rillet.keras.layer import Layer
from rillet.keras.losses import broadcast_weights, mask_of, squeeze_to_match, with_mask
from rillet.keras.metrics import METRICS
from rillet.keras.policy import floatx
from rillet.keras.saving_registry import reject_unknown, serialize_keras_object
from rillet.ops.cast import cast
from rillet.ops.creation import ones_like, zeros
from rillet.ops.elementwise import divide_no_nan
from rillet.ops.reduce import reduce_sum
from rillet.ops.shape import size as size_of


@public("keras.metrics.Metric", "keras.Metric")
class Metric(Layer):
    """metric(y_true, y_pred, sample_weight): updates the state by a batch, and gives the result so far.

    A subclass makes variables with `add_weight`, and writes `update_state(...)`, `result()` and, where its variables do
    not start at zero, `reset_state()`. In a graph of TensorFlow 1, update_state returns the operation to run.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "update_state" in vars(cls):
            cls.update_state = _returning_operation(cls.update_state)  # type: ignore[method-assign]

    def __init__(self, name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(name=name, dtype=_plain_dtype(dtype), **kwargs)
        self.stateful = True
        self.built = True

    def add_weight(
        self, name: Any = None, shape: Any = (), aggregation: Any = None, synchronization: Any = None,
        initializer: Any = None, dtype: Any = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """A variable of the metric's state; zero at first unless `initializer` says otherwise. (As in Keras 3, shape and
        initializer may come first.)"""
        if not isinstance(name, (str, type(None))):
            name, shape, initializer = None, name, initializer or shape or None
        options = {"trainable": False, **kwargs}
        with init_scope():
            return super().add_weight(name, shape, dtype or self.dtype, initializer or "zeros", **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with run_after(self.update_state(*args, **kwargs)):
            return convert_to_tensor(self.result())

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Adds a batch to the state."""
        raise NotImplementedError(f"{type(self).__name__} must override update_state()")

    def result(self) -> Any:
        """The value for everything since the last reset."""
        raise NotImplementedError(f"{type(self).__name__} must override result()")

    def reset_state(self) -> None:
        """Forgets everything: the variables are zero again."""
        for variable in self.variables:
            variable.assign(zeros(variable.shape, variable.dtype.base_dtype))

    def reset_states(self) -> None:
        """The older name of reset_state."""
        self.reset_state()

    def merge_state(self, metrics: Iterable[Any]) -> Any:
        """Adds the state of other metrics of this kind. ValueError where their variables differ."""
        for metric in metrics:
            if len(self.weights) != len(metric.weights):
                raise ValueError(f"Metric {metric} is not compatible with {self}")
            for own, other in zip(self.weights, metric.weights, strict=True):
                own.assign_add(other)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}

    def __repr__(self) -> str:
        options = ",".join(f"{name}={value}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({options})"


def _plain_dtype(dtype: Any) -> Any:
    return floatx() if dtype is None else dtype


def _returning_operation(update: Callable[..., Any]) -> Callable[..., Any]:
    """`update`, that in a graph of TensorFlow 1 returns the operation that stands for what it added there."""

    @functools.wraps(update)
    def wrapped(self: Metric, *args: Any, **kwargs: Any) -> Any:
        graph = context.state().graph
        if graph is None or isinstance(graph, FuncGraph):
            return update(self, *args, **kwargs)
        before = len(graph.get_operations())
        update(self, *args, **kwargs)
        return group(
            *[one for one in graph.get_operations()[before:] if one.definition.is_stateful and not one.outputs]
        )

    wrapped.__signature__ = inspect.signature(update)  # type: ignore[attr-defined]
    return wrapped


class Reduce(Metric):
    """A sum, or a mean, of values with weights."""

    is_mean = True

    def __init__(self, name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(name, dtype, **kwargs)
        self.total = self.add_weight("total")
        if self.is_mean:
            self.count = self.add_weight("count")

    def update_state(self, values: Any, sample_weight: Any = None) -> Any:
        mask = mask_of(values)
        values = cast(convert_to_tensor(values), self.dtype)
        sample_weight = with_mask(values, mask, sample_weight, "none")
        if sample_weight is None:
            count = cast(size_of(values), self.dtype)
        else:
            weights = broadcast_weights(values, cast(convert_to_tensor(sample_weight), self.dtype))
            values = values * weights
            count = reduce_sum(weights * ones_like(values)) if self.is_mean else None
        self.total.assign_add(reduce_sum(values), read_value=False)
        if self.is_mean:
            self.count.assign_add(count, read_value=False)

    def result(self) -> Any:
        return divide_no_nan(self.total.value(), self.count.value()) if self.is_mean else self.total.value()


@public("keras.metrics.Sum")
class Sum(Reduce):
    """The (weighted) sum of the values."""

    is_mean = False

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(name, dtype)


@public("keras.metrics.Mean")
class Mean(Reduce):
    """The (weighted) mean of the values."""

    def __init__(self, name: str | None = "mean", dtype: Any = None, **kwargs: Any) -> None:
        reject_unknown(self, kwargs)
        super().__init__(name, dtype)


@public("keras.metrics.MeanMetricWrapper")
class MeanMetricWrapper(Mean):
    """The mean of fn(y_true, y_pred, **kwargs)."""

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(name, dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true, y_pred = [_in_dtype(value, self.dtype) for value in (y_true, y_pred)]
        y_true, y_pred = squeeze_to_match(y_true, y_pred)
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        return super().update_state(values, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), **self._fn_kwargs}
        return {**config, "fn": serialize_keras_object(self._fn)} if type(self) is MeanMetricWrapper else config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        fn = config.get("fn")
        rest = {name: value for name, value in config.items() if name != "fn"}
        if cls is not MeanMetricWrapper:
            return cls(**rest)
        return cls(fn=METRICS.get(fn), **rest)


def _in_dtype(value: Any, dtype: str) -> Any:
    """Floating values in the metric's dtype. (The logits of a softmax stay known.)"""
    value = value if isinstance(value, Tensor) else convert_to_tensor(value)
    return cast(value, dtype) if value.dtype.is_floating else value


@public("keras.metrics.MeanTensor")
class MeanTensor(Metric):
    """The (weighted) mean of tensors of one shape, element by element."""

    def __init__(self, name: str | None = "mean_tensor", dtype: Any = None, shape: Any = None) -> None:
        super().__init__(name, dtype)
        self._shape: Any = None
        if shape is not None:
            self._make(shape)

    def _make(self, shape: Any) -> None:
        self._shape = shape
        self.total = self.add_weight("total", shape)
        self.count = self.add_weight("count", shape)

    def update_state(self, values: Any, sample_weight: Any = None) -> Any:
        values = cast(convert_to_tensor(values), self.dtype)
        if self._shape is None:
            self._make(values.shape)
        count = ones_like(values)
        if sample_weight is not None:
            weights = broadcast_weights(values, cast(convert_to_tensor(sample_weight), self.dtype))
            count = count * weights
            values = values * weights
        self.total.assign_add(values, read_value=False)
        self.count.assign_add(count, read_value=False)

    def result(self) -> Any:
        if self._shape is None:
            raise ValueError("MeanTensor does not have any value yet. Please call the MeanTensor instance first.")
        return divide_no_nan(self.total.value(), self.count.value())
