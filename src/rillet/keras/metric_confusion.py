"""tf.keras.metrics: from the numbers of true and false positives and negatives, at one or many thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.keras.losses import broadcast_weights, squeeze_to_match
from rillet.keras.metric import Metric
from rillet.keras.policy import epsilon
from rillet.ops.cast import cast
from rillet.ops.compare import greater, greater_equal, logical_and
from rillet.ops.creation import ones_like
from rillet.ops.elementwise import divide_no_nan, log, maximum, minimum, sigmoid
from rillet.ops.order import top_k as largest
from rillet.ops.reduce import reduce_max, reduce_sum
from rillet.ops.select import where
from rillet.ops.sequences import one_hot
from rillet.ops.shape import reshape

_NEVER = -1e10  # below every prediction
_KINDS = ("true_positives", "true_negatives", "false_positives", "false_negatives")


class _Confusion(Metric):
    """Counts at `thresholds` (a prediction above is a positive), for the kinds in `_counted`.

    top_k: only the k largest predictions of an example count as positives. class_id: one class alone counts.
    """

    _counted: Sequence[str] = _KINDS

    def __init__(
        self, thresholds: Sequence[float], name: str | None, dtype: Any, top_k: int | None = None,
        class_id: int | None = None, labels: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        self._thresholds = np.array(thresholds, "float32")
        self.top_k = top_k
        self.class_id = class_id
        self._labels = labels
        shape = (len(thresholds),) if labels is None else (len(thresholds), labels)
        self._state_shape = shape
        self._make_state()

    def _make_state(self) -> None:
        for kind in self._counted:
            setattr(self, kind, self.add_weight(kind, self._state_shape))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_pred = cast(convert_to_tensor(y_pred), self.dtype)
        y_true = cast(convert_to_tensor(y_true), self.dtype)
        y_true, y_pred = squeeze_to_match(y_true, y_pred)
        weights = None if sample_weight is None else cast(convert_to_tensor(sample_weight), self.dtype)
        if weights is not None:
            weights = broadcast_weights(y_pred, weights) * ones_like(y_pred)
        if self.top_k is not None:
            y_pred = _only_largest(y_pred, self.top_k)
        if self.class_id is not None:
            y_true, y_pred = y_true[..., self.class_id], y_pred[..., self.class_id]
            weights = None if weights is None else weights[..., self.class_id]
        self._count(*[None if value is None else self._rows(value) for value in (y_true, y_pred, weights)])

    def _rows(self, value: Any) -> Any:
        """[1, n], or [1, n, labels]: an axis for the thresholds before the others."""
        return reshape(value, [1, -1] if self._labels is None else [1, -1, self._labels])

    def _count(self, y_true: Any, y_pred: Any, weights: Any) -> None:
        shape = [-1, 1] if self._labels is None else [-1, 1, 1]
        is_predicted = greater(y_pred, convert_to_tensor(self._thresholds.reshape(shape), self.dtype))
        is_true = greater(y_true, 0.0)
        for kind in self._counted:
            first = is_true if kind in ("true_positives", "false_negatives") else ~is_true
            second = is_predicted if kind.endswith("positives") else ~is_predicted
            hits = cast(logical_and(first, second), self.dtype)
            hits = hits if weights is None else hits * weights
            getattr(self, kind).assign_add(reduce_sum(hits, axis=1), read_value=False)

    def _state(self, *kinds: str) -> list[Any]:
        return [getattr(self, kind).value() for kind in kinds]


def _only_largest(y_pred: Any, k: int) -> Any:
    _, places = largest(y_pred, k, sorted=False)
    chosen = reduce_sum(one_hot(places, y_pred.shape[-1], axis=-1, dtype=y_pred.dtype), axis=-2)
    return y_pred * chosen + _NEVER * (1.0 - chosen)


def _checked_thresholds(thresholds: Any, default: float = 0.5) -> list[float]:
    """ValueError for one outside [0, 1]."""
    values = [default] if thresholds is None else list(thresholds) if np.ndim(thresholds) else [thresholds]
    invalid = [value for value in values if value is None or (value != default and not 0 <= value <= 1)]
    if invalid:
        raise ValueError(f"Threshold values must be in [0, 1]. Received: {invalid}")
    return [float(value) for value in values]


# ---- one kind -------------------------------------------------------------------------------------------------------


class _OneKind(_Confusion):
    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        self.init_thresholds = thresholds
        super().__init__(_checked_thresholds(thresholds), name, dtype)
        self.thresholds = self._thresholds.tolist()

    def _make_state(self) -> None:
        (kind,) = self._counted
        self.accumulator = self.add_weight("accumulator", self._state_shape)
        self.__dict__[kind] = self.accumulator

    def result(self) -> Any:
        value = self.accumulator.value()
        return value[0] if len(self._thresholds) == 1 else value

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "thresholds": self.init_thresholds}


@public("keras.metrics.TruePositives")
class TruePositives(_OneKind):
    """How many positives were predicted to be such."""

    _counted = ("true_positives",)


@public("keras.metrics.TrueNegatives")
class TrueNegatives(_OneKind):
    """How many negatives were predicted to be such."""

    _counted = ("true_negatives",)


@public("keras.metrics.FalsePositives")
class FalsePositives(_OneKind):
    """How many negatives were predicted to be positive."""

    _counted = ("false_positives",)


@public("keras.metrics.FalseNegatives")
class FalseNegatives(_OneKind):
    """How many positives were predicted to be negative."""

    _counted = ("false_negatives",)


# ---- precision and recall -------------------------------------------------------------------------------------------


class _Share(_Confusion):
    def __init__(
        self, thresholds: Any = None, top_k: int | None = None, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        self.init_thresholds = thresholds
        values = _checked_thresholds(thresholds, 0.5 if top_k is None else _NEVER)
        super().__init__(values, name, dtype, top_k, class_id)
        self.thresholds = self._thresholds.tolist()

    def result(self) -> Any:
        hits, others = self._state(*self._counted)
        value = divide_no_nan(hits, hits + others)
        return value[0] if len(self._thresholds) == 1 else value

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(), "thresholds": self.init_thresholds, "top_k": self.top_k, "class_id": self.class_id,
        }  # fmt: skip


@public("keras.metrics.Precision")
class Precision(_Share):
    """true positives / predicted positives."""

    _counted = ("true_positives", "false_positives")


@public("keras.metrics.Recall")
class Recall(_Share):
    """true positives / all positives."""

    _counted = ("true_positives", "false_negatives")


# ---- along the curve of all thresholds ------------------------------------------------------------------------------


def _even_thresholds(number: int, margin: float) -> list[float]:
    return [0.0 - margin, *[(place + 1) * 1.0 / (number - 1) for place in range(number - 2)], 1.0 + margin]


class _AtConstraint(_Confusion):
    """The best value of one rate where another is at least `value`."""

    def __init__(
        self, value: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        if num_thresholds <= 0:
            raise ValueError(
                f"Argument `num_thresholds` must be an integer > 0. Received: num_thresholds={num_thresholds}"
            )
        if not 0 <= value <= 1:
            raise ValueError(
                f"Argument `{self._argument}` must be in the range [0, 1]. Received: {self._argument}={value}"
            )
        self.num_thresholds = num_thresholds
        self.value = value
        thresholds = [0.5] if num_thresholds == 1 else _even_thresholds(num_thresholds, 0.0)
        super().__init__(thresholds, name, dtype, class_id=class_id)

    _argument = "value"

    def _best(self, wanted: Any, constrained: Any) -> Any:
        feasible = greater_equal(constrained, convert_to_tensor(self.value, constrained.dtype))
        return reduce_max(where(feasible, wanted, wanted * 0))

    def _rates(self) -> dict[str, Any]:
        tp, tn, fp, fn = self._state(*_KINDS)
        return {
            "precision": divide_no_nan(tp, tp + fp), "recall": divide_no_nan(tp, tp + fn),
            "specificity": divide_no_nan(tn, tn + fp), "sensitivity": divide_no_nan(tp, tp + fn),
        }  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(), "num_thresholds": self.num_thresholds, "class_id": self.class_id,
            self._argument: self.value,
        }  # fmt: skip


@public("keras.metrics.SensitivityAtSpecificity")
class SensitivityAtSpecificity(_AtConstraint):
    """The best sensitivity where the specificity is at least `specificity`."""

    _argument = "specificity"

    def __init__(
        self, specificity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity

    def result(self) -> Any:
        rates = self._rates()
        return self._best(rates["sensitivity"], rates["specificity"])


@public("keras.metrics.SpecificityAtSensitivity")
class SpecificityAtSensitivity(_AtConstraint):
    """The best specificity where the sensitivity is at least `sensitivity`."""

    _argument = "sensitivity"

    def __init__(
        self, sensitivity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity

    def result(self) -> Any:
        rates = self._rates()
        return self._best(rates["specificity"], rates["sensitivity"])


@public("keras.metrics.PrecisionAtRecall")
class PrecisionAtRecall(_AtConstraint):
    """The best precision where the recall is at least `recall`."""

    _argument = "recall"

    def __init__(
        self, recall: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(recall, num_thresholds, class_id, name, dtype)
        self.recall = recall

    def result(self) -> Any:
        rates = self._rates()
        return self._best(rates["precision"], rates["recall"])


@public("keras.metrics.RecallAtPrecision")
class RecallAtPrecision(_AtConstraint):
    """The best recall where the precision is at least `precision`."""

    _argument = "precision"

    def __init__(
        self, precision: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(precision, num_thresholds, class_id, name, dtype)
        self.precision = precision

    def result(self) -> Any:
        rates = self._rates()
        return self._best(rates["recall"], rates["precision"])


@public("keras.metrics.AUC")
class AUC(_Confusion):
    """The area under the curve of recall over the false positive rate ("ROC") or of precision over recall ("PR").

    num_thresholds: how many points of the curve are known; or `thresholds` themselves, in [0, 1].
    summation_method: "interpolation", "minoring" or "majoring". multi_label: an area for each label (`num_labels` of
    them), of which the result is the mean, weighted by label_weights. from_logits: predictions are logits.
    Raises ValueError for other values.
    """

    def __init__(
        self, num_thresholds: int = 200, curve: str = "ROC", summation_method: str = "interpolation",
        name: str | None = None, dtype: Any = None, thresholds: Sequence[float] | None = None, multi_label: bool = False,
        num_labels: int | None = None, label_weights: Any = None, from_logits: bool = False,
    ) -> None:  # fmt: skip
        if curve not in ("ROC", "PR"):
            raise ValueError(f'Invalid AUC curve value: "{curve}". Expected values are ["PR", "ROC"]')
        if summation_method not in (methods := ("interpolation", "minoring", "majoring")):
            raise ValueError(f'Invalid AUC summation method value: "{summation_method}". Expected values are {methods}')
        if thresholds is None and num_thresholds <= 1:
            raise ValueError(
                f"Argument `num_thresholds` must be an integer > 1. Received: num_thresholds={num_thresholds}"
            )
        if num_labels is not None and not multi_label:
            raise ValueError("`num_labels` is needed only when `multi_label` is True.")
        self._given_thresholds = None if thresholds is None else list(thresholds)
        self.curve = curve
        self.summation_method = summation_method
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = label_weights
        self._from_logits = from_logits
        self._is_ready = False
        values = self._all_thresholds(num_thresholds)
        self.num_thresholds = len(values)
        super().__init__(values, name, dtype, labels=num_labels)
        self.thresholds = self._thresholds.tolist()

    def _all_thresholds(self, number: int) -> list[float]:
        margin = epsilon()
        if self._given_thresholds is None:
            return _even_thresholds(number, margin)
        _checked_thresholds(self._given_thresholds)
        return [0.0 - margin, *sorted(self._given_thresholds), 1.0 + margin]

    def _make_state(self) -> None:
        if not self.multi_label or self.num_labels is not None:
            self._is_ready = True
            super()._make_state()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_pred = convert_to_tensor(y_pred)
        if not self._is_ready:
            self.num_labels = self._labels = int(y_pred.shape[-1])
            self._state_shape = (self.num_thresholds, self._labels)
            self._make_state()
        y_pred = sigmoid(y_pred) if self._from_logits else y_pred
        return super().update_state(y_true, y_pred, sample_weight=sample_weight)

    def _heights(self, y: Any) -> Any:
        if self.summation_method == "interpolation":
            return (y[: self.num_thresholds - 1] + y[1:]) / 2.0
        combine = minimum if self.summation_method == "minoring" else maximum
        return combine(y[: self.num_thresholds - 1], y[1:])

    def result(self) -> Any:
        tp, tn, fp, fn = self._state(*_KINDS)
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = self._interpolated(tp, fp, fn)
        else:
            recall = divide_no_nan(tp, tp + fn)
            x, y = (divide_no_nan(fp, fp + tn), recall) if self.curve == "ROC" else (recall, divide_no_nan(tp, tp + fp))
            areas = (x[: self.num_thresholds - 1] - x[1:]) * self._heights(y)
        by_label = reduce_sum(areas, axis=0)
        if not self.multi_label:
            return by_label
        weights = (
            ones_like(by_label) if self.label_weights is None else convert_to_tensor(self.label_weights, self.dtype)
        )
        return divide_no_nan(reduce_sum(by_label * weights), reduce_sum(weights))

    def _interpolated(self, tp: Any, fp: Any, fn: Any) -> Any:
        """The pieces under the PR curve; between two points the true positives grow linearly with the predicted ones
        (Davis and Goadrich 2006)."""
        last = self.num_thresholds - 1
        gained = tp[:last] - tp[1:]
        predicted = tp + fp
        slope = divide_no_nan(gained, maximum(predicted[:last] - predicted[1:], 0.0))
        intercept = tp[1:] - slope * predicted[1:]
        both = logical_and(greater(predicted[:last], 0.0), greater(predicted[1:], 0.0))
        ratio = where(both, divide_no_nan(predicted[:last], maximum(predicted[1:], 0.0)), ones_like(predicted[1:]))
        return divide_no_nan(slope * (gained + intercept * log(ratio)), maximum(tp[1:] + fn[1:], 0.0))

    def get_config(self) -> dict[str, Any]:
        config = {
            **super().get_config(), "num_thresholds": self.num_thresholds, "curve": self.curve,
            "summation_method": self.summation_method, "multi_label": self.multi_label, "num_labels": self.num_labels,
            "label_weights": self.label_weights, "from_logits": self._from_logits,
        }  # fmt: skip
        return config if self._given_thresholds is None else {**config, "thresholds": self._given_thresholds}
