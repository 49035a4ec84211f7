"""What compile makes of losses and metrics: one object each, called on all outputs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.core import nest
from rillet.core.dispatch import convert_to_tensor
from rillet.core.tensor import Tensor
from rillet.keras import losses, metrics
from rillet.keras.loss_classes import Loss, LossFunctionWrapper
from rillet.keras.metric import Mean, MeanMetricWrapper, Metric
from rillet.keras.saving_registry import get_registered_object
from rillet.ops import elementwise
from rillet.ops import shape as shape_ops
from rillet.ops.cast import cast

_BY_SHAPE = ("acc", "accuracy", "ce", "crossentropy")  # their meaning depends on labels and predictions


def _names_among(given: Any) -> list[str]:
    return [entry for entry in nest.flatten(given) if isinstance(entry, str)]


class Outputs:
    """The outputs of a model as `call` returns them: how what is given for each (a list, a dictionary) is put in order."""

    def __init__(self, structure: Any, names: Sequence[str] | None) -> None:
        self.structure = structure
        self.count = len(nest.flatten(structure))
        if isinstance(structure, dict):
            names = sorted(structure)
        elif not names or len(names) != self.count:
            names = [f"output_{index + 1}" for index in range(self.count)]
        self.names = list(names)

    def arrange(self, given: Any, what: str, repeat: bool) -> list[Any]:
        """One value for each output. given: a dictionary by name, a sequence, or one value; `repeat` says whether one
        value stands for all. ValueError where it names outputs that there are not, or has another length."""
        if isinstance(given, dict):
            unknown = given.keys() - set(self.names)
            if unknown:
                raise ValueError(
                    f"{what} has {sorted(map(str, unknown))}, which the model has no output for: its outputs are {self.names}"
                )
            return [given.get(name) for name in self.names]
        if isinstance(given, (list, tuple)) and (self.count > 1 or isinstance(self.structure, (list, tuple))):
            flat = list(given)
            if len(flat) != self.count:
                raise ValueError(f"{what} has {len(flat)} entries, and the model {self.count} outputs: {self.names}")
            return flat
        if isinstance(given, (list, tuple)) and len(given) == 1 and what != "metrics":
            given = given[0]
        return [given] * self.count if repeat or self.count == 1 else [given, *[None] * (self.count - 1)]


def _flat_values(values: Any, outputs: Outputs, what: str) -> list[Any]:
    """The tensors for the outputs (labels, weights), None where there is none."""
    if values is None:
        return [None] * outputs.count
    if isinstance(values, dict) or outputs.count > 1:
        return outputs.arrange(values, what, repeat=what == "sample_weight")
    flat = nest.flatten(values)
    return flat if len(flat) == outputs.count else [values]


def _matched(labels: Any, prediction: Any, weight: Any) -> tuple[Any, Any]:
    """Labels and weights in the rank and dtype of the predictions, where that is only a matter of form."""
    rank = prediction.shape.rank
    if labels.shape.rank == 1 and rank == 2:
        labels = shape_ops.expand_dims(labels, -1)
    if weight is not None and weight.shape.rank == 1 and rank == 2:
        weight = shape_ops.expand_dims(weight, -1)
    own, wanted = labels.dtype.base_dtype, prediction.dtype.base_dtype
    if own is not wanted and ((own.is_floating and wanted.is_floating) or (own.is_integer and wanted.is_integer)):
        labels = cast(labels, wanted)
    if weight is not None and weight.dtype.base_dtype is not wanted:
        weight = cast(weight, wanted)
    return labels, weight


def _masked(prediction: Any, weight: Any) -> Any:
    """`weight`, zero where the prediction is masked."""
    mask = prediction.__dict__.get("_keras_mask") if isinstance(prediction, Tensor) else None
    if mask is None:
        return weight
    mask = cast(mask, prediction.dtype.base_dtype)
    if weight is None:
        return mask
    if weight.shape.rank is not None and weight.shape.rank < mask.shape.rank:
        weight = shape_ops.expand_dims(weight, -1)
    return cast(weight, mask.dtype) * mask


def _as_loss(given: Any) -> Any:
    """A loss object: `given` may be a name, a function of (labels, predictions), a Loss or a configuration."""
    if given is None or (isinstance(given, (list, tuple, dict)) and not given):
        return None
    found = losses.get(given)
    if isinstance(found, Loss) or not callable(found):
        return found
    name = given if isinstance(given, str) else getattr(found, "__name__", None)
    return LossFunctionWrapper(found, name=name)


class CompiledLoss:
    """The weighted sum of the losses of all outputs. Called as (labels, predictions, sample_weight)."""

    def __init__(self, loss: Any, loss_weights: Any = None, output_names: Sequence[str] | None = None) -> None:
        self._given, self._weights, self._names = loss, loss_weights, output_names
        for entry in _names_among(loss):
            losses.get(entry)  # a name that stands for nothing is an error now, not in the first step
        self._losses: list[Any] | None = None
        self._factors: list[Any] = []
        self._trackers: list[Any] = []
        self._total = Mean(name="loss")
        self.is_used = False  # whether there was any loss yet: layers may have some where compile was given none
        self._outputs: Outputs | None = None

    @property
    def metrics(self) -> list[Any]:
        """The means that are kept: of the whole loss, and where there are several outputs of each one's."""
        return [self._total, *[tracker for tracker in self._trackers if tracker is not None]]

    @property
    def is_given(self) -> bool:
        return bool(nest.flatten(self._given)) and any(loss is not None for loss in nest.flatten(self._given))

    def build(self, predictions: Any) -> None:
        """Puts the losses in the order of the outputs. ValueError where they don't fit the outputs."""
        outputs = self._outputs = Outputs(predictions, self._names)
        arranged = outputs.arrange(self._given, "loss", repeat=True)
        self._losses = [_as_loss(loss) for loss in arranged]
        self._factors = outputs.arrange(self._weights, "loss_weights", repeat=True)
        several = outputs.count > 1
        self._trackers = [
            Mean(name=f"{name}_loss") if several and loss is not None else None
            for name, loss in zip(outputs.names, self._losses, strict=True)
        ]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, regularization_losses: Any = None) -> Any:
        """The whole loss, which is also taken into the means. ValueError where there are no labels for a loss."""
        if self._losses is None:
            self.build(y_pred)
        assert self._outputs is not None and self._losses is not None
        terms: list[Any] = []
        size = None
        flat = zip(
            _flat_values(y_true, self._outputs, "y"), nest.flatten(y_pred), self._losses, self._factors, self._trackers,
            _flat_values(sample_weight, self._outputs, "sample_weight"), self._outputs.names, strict=True,
        )  # fmt: skip
        for labels, prediction, loss, factor, tracker, weight, name in flat:
            if loss is None:
                continue
            if labels is None:
                raise ValueError(
                    f"Target data is missing. Your model was compiled with a loss for output {name!r}, and therefore expects "
                    "target data to be provided in `fit()`."
                )
            labels, prediction = convert_to_tensor(labels), convert_to_tensor(prediction)
            labels, weight = _matched(labels, prediction, weight)
            value = loss(labels, prediction, sample_weight=weight)
            size = cast(shape_ops.shape(labels)[0], value.dtype)
            if tracker is not None:
                tracker.update_state(value, sample_weight=size)
            terms.append(value if factor is None else value * cast(factor, value.dtype))
        terms.extend(
            cast(loss, terms[0].dtype) if terms else convert_to_tensor(loss) for loss in regularization_losses or ()
        )
        if not terms:
            return convert_to_tensor(0.0)
        self.is_used = True
        total = elementwise.add_n(terms) if len(terms) > 1 else terms[0]
        self._total.update_state(total, sample_weight=1.0 if size is None else size)
        return total

    def reset_state(self) -> None:
        for metric in self.metrics:
            metric.reset_state()


class CompiledMetrics:
    """The metrics of all outputs."""

    def __init__(self, given: Any, weighted: Any = None, output_names: Sequence[str] | None = None) -> None:
        self._given, self._weighted, self._names = given, weighted, output_names
        for entry in _names_among((given, weighted)):
            if entry not in _BY_SHAPE:
                metrics.get(entry)
        self._built: list[tuple[list[Any], list[Any]]] | None = None  # an output: without and with sample weights
        self._outputs: Outputs | None = None

    @property
    def metrics(self) -> list[Any]:
        if self._built is None:
            return [metric for metric in nest.flatten((self._given, self._weighted)) if isinstance(metric, Metric)]
        return [metric for plain, weighted in self._built for metric in (*plain, *weighted)]

    def build(self, y_pred: Any, y_true: Any) -> None:
        """Makes the metrics. ValueError for what no metric is called, or an output that is not there."""
        outputs = self._outputs = Outputs(y_pred, self._names)
        labels = _flat_values(y_true, outputs, "y")
        rows = zip(
            outputs.names, nest.flatten(y_pred), labels,
            self._arranged(self._given, "metrics"), self._arranged(self._weighted, "weighted_metrics"), strict=True,
        )  # fmt: skip
        self._built = [
            (self._made(plain, name, prediction, label), self._made(weighted, name, prediction, label))
            for name, prediction, label, plain, weighted in rows
        ]

    def _arranged(self, given: Any, what: str) -> list[Any]:
        outputs = self._outputs
        assert outputs is not None
        if not given:
            return [None] * outputs.count
        is_nested = isinstance(given, (list, tuple)) and any(isinstance(entry, (list, tuple, dict)) for entry in given)
        if isinstance(given, (list, tuple)) and not (is_nested and len(given) == outputs.count):
            if outputs.count > 1 and len(given) == outputs.count and any(entry is None for entry in given):
                return list(given)
            return [list(given)] * outputs.count
        return outputs.arrange(given, what, repeat=True)

    def _made(self, given: Any, output: str, prediction: Any, labels: Any) -> list[Any]:
        assert self._outputs is not None
        made = []
        for entry in nest.flatten(given) if given is not None else []:
            if entry is None:
                continue
            metric = _as_metric(entry, labels, prediction)
            if self._outputs.count > 1 and not metric.name.startswith(f"{output}_"):
                metric._name = f"{output}_{metric.name}"
            made.append(metric)
        return made

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Takes a batch into all metrics."""
        if not self._given and not self._weighted:
            return
        if self._built is None:
            self.build(y_pred, y_true)
        assert self._built is not None and self._outputs is not None
        flat = zip(
            _flat_values(y_true, self._outputs, "y"), nest.flatten(y_pred),
            _flat_values(sample_weight, self._outputs, "sample_weight"), self._built, strict=True,
        )  # fmt: skip
        for labels, prediction, weight, (plain, weighted) in flat:
            if not plain and not weighted:
                continue
            if labels is None:
                labels, weight = convert_to_tensor(0.0), None
            else:
                labels, weight = _matched(convert_to_tensor(labels), prediction, weight)
            for metric in plain:
                metric.update_state(labels, prediction, sample_weight=_masked(prediction, None))
            for metric in weighted:
                metric.update_state(labels, prediction, sample_weight=_masked(prediction, weight))

    def reset_state(self) -> None:
        for metric in self.metrics:
            metric.reset_state()


def _as_metric(given: Any, labels: Any, prediction: Any) -> Any:
    """A metric: `given` may be a name, a function of (labels, predictions), a Metric or a configuration."""
    if isinstance(given, str):
        decided = None if labels is None else metrics.for_targets(given, convert_to_tensor(labels), prediction)
        if decided is not None and get_registered_object(given) is None:
            return MeanMetricWrapper(decided, name=given)
    found: Any = given if isinstance(given, Metric) else metrics.get(given)
    if isinstance(found, Metric):
        return found
    if isinstance(found, Loss):
        found, given = found.call, found.name
    if not callable(found):
        raise ValueError(f"{given!r} is no metric: give a name, a Metric, or a function of labels and predictions")
    name = given if isinstance(given, str) else getattr(found, "__name__", type(found).__name__)
    return MeanMetricWrapper(found, name=name)
