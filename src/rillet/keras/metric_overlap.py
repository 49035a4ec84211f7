"""tf.keras.metrics: intersection over union from a confusion matrix, F scores, and R squared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.frontend.statistics import confusion_matrix
from rillet.keras.losses import broadcast_weights
from rillet.keras.metric import Metric
from rillet.ops.cast import cast
from rillet.ops.compare import equal, greater, greater_equal, not_equal
from rillet.ops.creation import ones_like
from rillet.ops.diagonal import diag_part
from rillet.ops.elementwise import divide_no_nan, square
from rillet.ops.gather import gather
from rillet.ops.indexing import boolean_mask
from rillet.ops.reduce import argmax, reduce_max, reduce_mean, reduce_sum
from rillet.ops.shape import reshape


class _Overlap(Metric):
    """The confusion matrix of classes; sparse: class numbers, else one number a class along `axis`."""

    def __init__(
        self, num_classes: int, name: str | None = None, dtype: Any = None, ignore_class: int | None = None,
        sparse_y_true: bool = True, sparse_y_pred: bool = True, axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        self.num_classes = num_classes
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.total_cm = self.add_weight("total_confusion_matrix", (num_classes, num_classes))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true, y_pred = convert_to_tensor(y_true), convert_to_tensor(y_pred)
        labels = cast(y_true if self.sparse_y_true else argmax(y_true, axis=self.axis), "int64")
        found = cast(y_pred if self.sparse_y_pred else argmax(y_pred, axis=self.axis), "int64")
        labels, found = reshape(labels, [-1]), reshape(found, [-1])
        weights = None if sample_weight is None else reshape(cast(convert_to_tensor(sample_weight), self.dtype), [-1])
        if self.ignore_class is not None:
            valid = not_equal(labels, self.ignore_class)
            labels, found = boolean_mask(labels, valid), boolean_mask(found, valid)
            weights = None if weights is None else boolean_mask(weights, valid)
        counts = confusion_matrix(labels, found, self.num_classes, weights=weights, dtype=self.dtype)
        self.total_cm.assign_add(counts, read_value=False)

    def _overlaps(self, classes: Sequence[int] | None) -> Any:
        """The mean over the classes that occur, of intersection / union."""
        matrix = self.total_cm.value()
        hits = diag_part(matrix)
        union = reduce_sum(matrix, axis=0) + reduce_sum(matrix, axis=1) - hits
        if classes is not None:
            hits, union = gather(hits, list(classes)), gather(union, list(classes))
        valid = reduce_sum(cast(not_equal(union, 0.0), self.dtype))
        return divide_no_nan(reduce_sum(divide_no_nan(hits, union)), valid)

    def result(self) -> Any:
        return self._overlaps(None)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(), "num_classes": self.num_classes, "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true, "sparse_y_pred": self.sparse_y_pred, "axis": self.axis,
        }  # fmt: skip


@public("keras.metrics.MeanIoU")
class MeanIoU(_Overlap):
    """The mean over the classes of intersection / union."""


@public("keras.metrics.IoU")
class IoU(_Overlap):
    """The mean over target_class_ids of intersection / union. ValueError for a class number too large."""

    def __init__(
        self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None, dtype: Any = None,
        ignore_class: int | None = None, sparse_y_true: bool = True, sparse_y_pred: bool = True, axis: int = -1,
    ) -> None:  # fmt: skip
        if max(target_class_ids) >= num_classes:
            raise ValueError(f"Target class id {max(target_class_ids)} is out of range, which is [{0}, {num_classes}).")
        super().__init__(num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)
        self.target_class_ids = list(target_class_ids)

    def result(self) -> Any:
        return self._overlaps(self.target_class_ids)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_class_ids": self.target_class_ids}


@public("keras.metrics.BinaryIoU")
class BinaryIoU(IoU):
    """IoU of two classes: predictions above the threshold are of class 1."""

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_pred = cast(convert_to_tensor(y_pred), self.dtype)
        return super().update_state(y_true, greater_equal(y_pred, self.threshold), sample_weight)

    def get_config(self) -> dict[str, Any]:
        config = Metric.get_config(self)
        return {**config, "target_class_ids": self.target_class_ids, "threshold": self.threshold}


@public("keras.metrics.OneHotIoU")
class OneHotIoU(IoU):
    """IoU of one-hot labels and a number a class."""

    def __init__(
        self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None, dtype: Any = None,
        ignore_class: int | None = None, sparse_y_pred: bool = False, axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return {name: value for name, value in super().get_config().items() if name != "sparse_y_true"}


@public("keras.metrics.OneHotMeanIoU")
class OneHotMeanIoU(MeanIoU):
    """MeanIoU of one-hot labels and a number a class."""

    def __init__(
        self, num_classes: int, name: str | None = None, dtype: Any = None, ignore_class: int | None = None,
        sparse_y_pred: bool = False, axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return {name: value for name, value in super().get_config().items() if name != "sparse_y_true"}


@public("keras.metrics.FBetaScore")
class FBetaScore(Metric):
    """(1 + beta^2) * precision * recall / (beta^2 * precision + recall), a class, or averaged.

    average: None, "micro", "macro" or "weighted" (by the number of labels). threshold: predictions above it count
    (None: the largest one of an example). ValueError for other values.
    """

    def __init__(
        self, average: str | None = None, beta: float = 1.0, threshold: float | None = None, name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(
                f"Invalid `average` argument value. Expected one of: (None, 'micro', 'macro', 'weighted'). Received: {average}"
            )
        if beta <= 0.0:
            raise ValueError(f"Invalid `beta` argument value. It should be > 0. Received: beta={beta}")
        if threshold is not None and not 0.0 < threshold <= 1.0:
            raise ValueError(
                f"Invalid `threshold` argument value. It should verify 0 < threshold <= 1. Received: {threshold}"
            )
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self._has_state = False

    def _make_state(self, classes: int) -> None:
        shape = () if self.average == "micro" else (classes,)
        self._has_state = True
        for name in ("true_positives", "false_positives", "false_negatives", "intermediate_weights"):
            setattr(self, name, self.add_weight(name, shape))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true, y_pred = [cast(convert_to_tensor(value), self.dtype) for value in (y_true, y_pred)]
        if not self._has_state:
            self._make_state(int(y_true.shape[-1]))
        if self.threshold is None:
            decided = equal(y_pred, reduce_max(y_pred, axis=-1, keepdims=True)) & (abs(y_pred) > 1e-9)
        else:
            decided = greater(y_pred, self.threshold)
        y_pred = cast(decided, self.dtype)
        weights = ones_like(y_true)
        if sample_weight is not None:
            weights = weights * broadcast_weights(y_true, cast(convert_to_tensor(sample_weight), self.dtype))
        axis = None if self.average == "micro" else 0
        for variable, counted in (
            (self.true_positives, y_pred * y_true),
            (self.false_positives, y_pred * (1.0 - y_true)),
            (self.false_negatives, (1.0 - y_pred) * y_true),
            (self.intermediate_weights, y_true),
        ):
            variable.assign_add(reduce_sum(counted * weights, axis=axis), read_value=False)

    def result(self) -> Any:
        hits = self.true_positives.value()
        precision = divide_no_nan(hits, hits + self.false_positives.value())
        recall = divide_no_nan(hits, hits + self.false_negatives.value())
        squared = self.beta**2
        score = (1.0 + squared) * divide_no_nan(precision * recall, precision * squared + recall)
        if self.average == "weighted":
            weights = self.intermediate_weights.value()
            return reduce_sum(score * divide_no_nan(weights, reduce_sum(weights)))
        return reduce_mean(score) if self.average is not None else score

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "average": self.average, "beta": self.beta, "threshold": self.threshold}


@public("keras.metrics.F1Score")
class F1Score(FBetaScore):
    """The harmonic mean of precision and recall."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {name: value for name, value in super().get_config().items() if name != "beta"}


@public("keras.metrics.R2Score")
class R2Score(Metric):
    """1 - the squared error / the variance of the targets, a column; class_aggregation: None, "uniform_average" or
    "variance_weighted_average". num_regressors: adjusts for so many. ValueError for other values."""

    def __init__(
        self, class_aggregation: str | None = "uniform_average", num_regressors: int = 0, name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        if class_aggregation not in (kinds := (None, "uniform_average", "variance_weighted_average")):
            raise ValueError(
                f"Invalid value for argument `class_aggregation`. Expected one of {kinds}. Received: {class_aggregation}"
            )
        if num_regressors < 0:
            raise ValueError(
                f"Invalid value for argument `num_regressors`. Expected a value >= 0. Received: {num_regressors}"
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_weight("num_samples", ())
        self._has_state = False

    def _make_state(self, columns: int) -> None:
        self._has_state = True
        for name in ("squared_sum", "sum", "residual", "count"):
            setattr(self, name, self.add_weight(name, (columns,)))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true, y_pred = [cast(convert_to_tensor(value), self.dtype) for value in (y_true, y_pred)]
        if not self._has_state:
            self._make_state(int(y_true.shape[-1]))
        weights = ones_like(y_true)
        if sample_weight is not None:
            weights = weights * broadcast_weights(y_true, cast(convert_to_tensor(sample_weight), self.dtype))
        for variable, counted in (
            (self.sum, y_true * weights),
            (self.squared_sum, square(y_true) * weights),
            (self.residual, square(y_true - y_pred) * weights),
            (self.count, weights),
        ):
            variable.assign_add(reduce_sum(counted, axis=0), read_value=False)
        self.num_samples.assign_add(reduce_sum(ones_like(y_true[:, 0])), read_value=False)

    def result(self) -> Any:
        mean = divide_no_nan(self.sum.value(), self.count.value())
        total = self.squared_sum.value() - self.sum.value() * mean
        score = 1.0 - divide_no_nan(self.residual.value(), total)
        if self.class_aggregation == "uniform_average":
            score = reduce_mean(score)
        elif self.class_aggregation is not None:
            score = divide_no_nan(reduce_sum(score * total), reduce_sum(total))
        if not self.num_regressors:
            return score
        samples = self.num_samples.value()
        return 1.0 - (1.0 - score) * (samples - 1.0) / (samples - self.num_regressors - 1.0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(), "class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors,
        }  # fmt: skip
