"""tf.keras.metrics: means of functions, as objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.keras import losses, metrics
from rillet.keras.losses import as_pair, squeeze_to_match
from rillet.keras.metric import Mean, MeanMetricWrapper
from rillet.keras.saving_registry import reject_unknown
from rillet.ops.cast import cast
from rillet.ops.elementwise import abs as absolute
from rillet.ops.elementwise import divide_no_nan, sqrt, squared_difference


class _Named(MeanMetricWrapper):
    """A metric class of one function: its options are those of the function."""

    function: Callable[..., Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        parameters = inspect.signature(type(self)).parameters
        given = {**dict(zip(parameters, args, strict=False)), **kwargs}
        options = {
            name: given.pop(name, parameters[name].default) for name in parameters if name not in ("name", "dtype")
        }
        name = given.pop("name", parameters["name"].default)
        dtype = given.pop("dtype", None)
        reject_unknown(self, given)
        super().__init__(type(self).function, name, dtype, **options)


def _define(
    cls_name: str, function: Callable[..., Any], before: tuple[str, ...] = (), after: tuple[str, ...] = (),
    name: str | None = None,
) -> type:  # fmt: skip
    """The class of a function, called as the function unless `name` says otherwise. before, after: which of its options
    come before name and dtype among the class's arguments, and which after."""
    defaults = inspect.signature(function).parameters
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = {option: inspect.Parameter(option, kind, default=defaults[option].default) for option in (*before, *after)}
    label = name or function.__name__
    parameters = [
        *[own[option] for option in before],
        inspect.Parameter("name", kind, default=label),
        inspect.Parameter("dtype", kind, default=None),
        *[own[option] for option in after],
    ]
    members = {
        "__doc__": f"The mean of tf.keras.metrics.{function.__name__}.\n\n{function.__doc__}",
        "__signature__": inspect.Signature(parameters),
        "__module__": __name__,
        "function": staticmethod(function),
    }
    return public(f"keras.metrics.{cls_name}")(type(cls_name, (_Named,), members))


Accuracy = _define("Accuracy", metrics.accuracy)
BinaryAccuracy = _define("BinaryAccuracy", metrics.binary_accuracy, after=("threshold",))
CategoricalAccuracy = _define("CategoricalAccuracy", metrics.categorical_accuracy)
SparseCategoricalAccuracy = _define("SparseCategoricalAccuracy", metrics.sparse_categorical_accuracy)
TopKCategoricalAccuracy = _define("TopKCategoricalAccuracy", metrics.top_k_categorical_accuracy, ("k",))
SparseTopKCategoricalAccuracy = _define(
    "SparseTopKCategoricalAccuracy", metrics.sparse_top_k_categorical_accuracy, ("k",)
)
CosineSimilarity = _define("CosineSimilarity", metrics.cosine_similarity, after=("axis",))
MeanSquaredError = _define("MeanSquaredError", losses.mean_squared_error)
MeanAbsoluteError = _define("MeanAbsoluteError", losses.mean_absolute_error)
MeanAbsolutePercentageError = _define("MeanAbsolutePercentageError", losses.mean_absolute_percentage_error)
MeanSquaredLogarithmicError = _define("MeanSquaredLogarithmicError", losses.mean_squared_logarithmic_error)
Hinge = _define("Hinge", losses.hinge)
SquaredHinge = _define("SquaredHinge", losses.squared_hinge)
CategoricalHinge = _define("CategoricalHinge", losses.categorical_hinge)
Poisson = _define("Poisson", losses.poisson)
KLDivergence = _define("KLDivergence", losses.kl_divergence, name="kullback_leibler_divergence")
LogCoshError = _define("LogCoshError", losses.log_cosh, name="logcosh")
BinaryCrossentropy = _define("BinaryCrossentropy", losses.binary_crossentropy, after=("from_logits", "label_smoothing"))
CategoricalCrossentropy = _define(
    "CategoricalCrossentropy", losses.categorical_crossentropy, after=("from_logits", "label_smoothing", "axis")
)
SparseCategoricalCrossentropy = _define(
    "SparseCategoricalCrossentropy", losses.sparse_categorical_crossentropy,
    after=("from_logits", "ignore_class", "axis"),
)  # fmt: skip


@public("keras.metrics.RootMeanSquaredError")
class RootMeanSquaredError(Mean):
    """The root of the mean squared error."""

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true, y_pred = as_pair(y_true, cast(convert_to_tensor(y_pred), self.dtype))
        y_true, y_pred = squeeze_to_match(y_true, y_pred)
        return super().update_state(squared_difference(y_pred, y_true), sample_weight=sample_weight)

    def result(self) -> Any:
        return sqrt(super().result())


@public("keras.metrics.MeanRelativeError")
class MeanRelativeError(Mean):
    """The mean of |y_true - y_pred| / normalizer."""

    def __init__(self, normalizer: Any, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.normalizer = convert_to_tensor(normalizer, self.dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true, y_pred = as_pair(y_true, cast(convert_to_tensor(y_pred), self.dtype))
        y_true, y_pred = squeeze_to_match(y_true, y_pred)
        errors = divide_no_nan(absolute(y_true - y_pred), self.normalizer)
        return super().update_state(errors, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "normalizer": self.normalizer.numpy().tolist()}
