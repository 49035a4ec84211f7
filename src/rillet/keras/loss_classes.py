"""tf.keras.losses: losses as objects, with a reduction and a configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.core.tensor import Tensor
from rillet.frontend.scopes import NameScope
from rillet.keras import losses as functions
from rillet.keras.losses import Reduction, mask_of, reduce_weighted, squeeze_to_match, with_mask
from rillet.keras.naming import to_snake_case
from rillet.keras.saving_registry import reject_unknown
from rillet.ops.cast import cast


@public("keras.losses.Loss", "keras.Loss")
class Loss:
    """loss(y_true, y_pred, sample_weight) -> a scalar. Subclasses write `call(y_true, y_pred)`: a loss for each example.

    reduction: "auto" and "sum_over_batch_size" (the mean), "sum", "none", "mean_with_sample_weight". ValueError for another.
    """

    def __init__(self, reduction: Any = Reduction.AUTO, name: str | None = None, dtype: Any = None) -> None:
        Reduction.validate(reduction)
        self.reduction = reduction
        self.name = name if name is not None else to_snake_case(type(self).__name__)
        self._given_name = name
        self.dtype = dtype

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        with NameScope(self.name.strip("_<>") or "loss"):
            losses = convert_to_tensor(self.call(y_true, y_pred))
            if self.dtype is not None:
                losses = cast(losses, self.dtype)
            mask = mask_of(y_pred)
            mask = mask_of(losses) if mask is None else mask
            weights = with_mask(losses, mask, sample_weight, self.reduction)
            return reduce_weighted(losses, weights, self.reduction)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        raise NotImplementedError("Must be implemented in subclasses.")

    def get_config(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "name": self._given_name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**{name: value for name, value in config.items() if name != "fn"})


class LossFunctionWrapper(Loss):
    """A function of (y_true, y_pred, **kwargs) as a Loss."""

    def __init__(
        self, fn: Callable[..., Any], reduction: Any = Reduction.AUTO, name: str | None = None, dtype: Any = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(reduction, name or getattr(fn, "__name__", None), dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if isinstance(y_true, Tensor) and isinstance(y_pred, Tensor):
            y_true, y_pred = squeeze_to_match(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._fn_kwargs}


class _Named(LossFunctionWrapper):
    """A loss class of one function: its options are those of the function."""

    function: Callable[..., Any]
    default_name: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        options, rest = self._bound(args, kwargs)
        reduction = rest.pop("reduction", Reduction.AUTO)
        name = rest.pop("name", None) or self.default_name
        dtype = rest.pop("dtype", None)
        reject_unknown(self, rest)
        super().__init__(type(self).function, reduction, name, dtype, **options)

    @classmethod
    def _bound(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """(the function's options, what else was given)."""
        parameters = inspect.signature(cls).parameters
        given = {**dict(zip(parameters, args, strict=False)), **kwargs}
        own = [name for name in parameters if name not in ("reduction", "name", "dtype")]
        options = {name: given.pop(name, parameters[name].default) for name in own}
        return options, given


def _define(cls_name: str, function: Callable[..., Any], order: tuple[str, ...] = (), name: str | None = None) -> type:
    """The class of a function. order: its options in the order of the class's arguments."""
    defaults = inspect.signature(function).parameters
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    label = name or function.__name__
    parameters = [inspect.Parameter(option, kind, default=defaults[option].default) for option in order]
    parameters += [
        inspect.Parameter("reduction", kind, default=Reduction.AUTO),
        inspect.Parameter("name", kind, default=label),
        inspect.Parameter("dtype", kind, default=None),
    ]
    members = {
        "__doc__": f"tf.keras.losses.{function.__name__}, reduced.\n\n{function.__doc__}",
        "__signature__": inspect.Signature(parameters),
        "__module__": __name__,
        "function": staticmethod(function),
        "default_name": label,
    }
    made = type(cls_name, (_Named,), members)
    return public(f"keras.losses.{cls_name}")(made)


_LOGITS = ("from_logits", "label_smoothing", "axis")
MeanSquaredError = _define("MeanSquaredError", functions.mean_squared_error)
MeanAbsoluteError = _define("MeanAbsoluteError", functions.mean_absolute_error)
MeanAbsolutePercentageError = _define("MeanAbsolutePercentageError", functions.mean_absolute_percentage_error)
MeanSquaredLogarithmicError = _define("MeanSquaredLogarithmicError", functions.mean_squared_logarithmic_error)
BinaryCrossentropy = _define("BinaryCrossentropy", functions.binary_crossentropy, _LOGITS)
BinaryFocalCrossentropy = _define(
    "BinaryFocalCrossentropy",
    functions.binary_focal_crossentropy,
    ("apply_class_balancing", "alpha", "gamma", *_LOGITS),
)
CategoricalCrossentropy = _define("CategoricalCrossentropy", functions.categorical_crossentropy, _LOGITS)
CategoricalFocalCrossentropy = _define(
    "CategoricalFocalCrossentropy", functions.categorical_focal_crossentropy, ("alpha", "gamma", *_LOGITS)
)
SparseCategoricalCrossentropy = _define(
    "SparseCategoricalCrossentropy", functions.sparse_categorical_crossentropy, ("from_logits", "ignore_class")
)
Hinge = _define("Hinge", functions.hinge)
SquaredHinge = _define("SquaredHinge", functions.squared_hinge)
CategoricalHinge = _define("CategoricalHinge", functions.categorical_hinge)
Poisson = _define("Poisson", functions.poisson)
LogCosh = _define("LogCosh", functions.log_cosh)
KLDivergence = _define("KLDivergence", functions.kl_divergence)
Huber = _define("Huber", functions.huber, ("delta",), "huber_loss")
CosineSimilarity = _define("CosineSimilarity", functions.cosine_similarity, ("axis",))
