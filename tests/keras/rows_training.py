"""One row a loss, metric and optimizer. `make` is given tf.keras, whoever's it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    name: str
    make: Callable[[Any], Any]
    kind: str = "numbers"  # which data: see `data`


def data(kind: str, batch: int) -> tuple[Any, Any, Any]:
    """(y_true, y_pred, weights) of a batch."""
    random = np.random.RandomState(batch)
    scores = random.uniform(0.05, 1.0, (4, 3)).astype("float32")
    probabilities = scores / scores.sum(-1, keepdims=True)
    classes = random.randint(0, 3, 4)
    weights = random.uniform(0.5, 2.0, 4).astype("float32")
    if kind == "numbers":
        return (
            random.standard_normal((4, 3)).astype("float32"),
            random.standard_normal((4, 3)).astype("float32"),
            weights,
        )
    if kind == "positive":
        return (
            random.uniform(0.1, 2, (4, 3)).astype("float32"),
            random.uniform(0.1, 2, (4, 3)).astype("float32"),
            weights,
        )
    if kind == "signs":
        return (
            random.choice([-1.0, 1.0], (4, 3)).astype("float32"),
            random.standard_normal((4, 3)).astype("float32"),
            weights,
        )
    if kind == "binary":
        return random.randint(0, 2, (4, 3)).astype("float32"), random.uniform(0, 1, (4, 3)).astype("float32"), weights
    if kind == "classes":
        return classes, probabilities, weights
    if kind == "numbers of classes":
        return classes, random.randint(0, 3, 4), weights
    if kind == "class logits":
        return classes, random.standard_normal((4, 3)).astype("float32"), weights
    if kind == "one hot logits":
        return np.eye(3, dtype="float32")[classes], random.standard_normal((4, 3)).astype("float32"), weights
    return np.eye(3, dtype="float32")[classes], probabilities, weights


LOSSES = [
    Row("MeanSquaredError", lambda k: k.losses.MeanSquaredError()),
    Row("MeanAbsoluteError", lambda k: k.losses.MeanAbsoluteError()),
    Row("MeanAbsolutePercentageError", lambda k: k.losses.MeanAbsolutePercentageError()),
    Row("MeanSquaredLogarithmicError", lambda k: k.losses.MeanSquaredLogarithmicError(), "positive"),
    Row("BinaryCrossentropy", lambda k: k.losses.BinaryCrossentropy(), "binary"),
    Row("BinaryCrossentropy smoothed", lambda k: k.losses.BinaryCrossentropy(label_smoothing=0.2), "binary"),
    Row("BinaryCrossentropy of logits", lambda k: k.losses.BinaryCrossentropy(True), "binary"),
    Row("BinaryFocalCrossentropy", lambda k: k.losses.BinaryFocalCrossentropy(True, gamma=1.5), "binary"),
    Row("CategoricalCrossentropy", lambda k: k.losses.CategoricalCrossentropy(), "one hot"),
    Row("CategoricalCrossentropy smoothed", lambda k: k.losses.CategoricalCrossentropy(label_smoothing=0.1), "one hot"),
    Row("CategoricalCrossentropy of logits", lambda k: k.losses.CategoricalCrossentropy(True), "one hot logits"),
    Row("CategoricalFocalCrossentropy", lambda k: k.losses.CategoricalFocalCrossentropy(), "one hot"),
    Row("SparseCategoricalCrossentropy", lambda k: k.losses.SparseCategoricalCrossentropy(), "classes"),
    Row("SparseCategoricalCrossentropy of logits", lambda k: k.losses.SparseCategoricalCrossentropy(True), "class logits"),
    Row("SparseCategoricalCrossentropy ignoring",
        lambda k: k.losses.SparseCategoricalCrossentropy(ignore_class=1), "classes"),
    Row("Hinge", lambda k: k.losses.Hinge(), "signs"),
    Row("SquaredHinge", lambda k: k.losses.SquaredHinge(), "binary"),
    Row("CategoricalHinge", lambda k: k.losses.CategoricalHinge(), "one hot"),
    Row("Huber", lambda k: k.losses.Huber(0.7)),
    Row("LogCosh", lambda k: k.losses.LogCosh()),
    Row("KLDivergence", lambda k: k.losses.KLDivergence(), "one hot"),
    Row("Poisson", lambda k: k.losses.Poisson(), "positive"),
    Row("CosineSimilarity", lambda k: k.losses.CosineSimilarity()),
    Row("sum", lambda k: k.losses.MeanSquaredError(reduction="sum")),
    Row("none", lambda k: k.losses.MeanSquaredError(reduction="none")),
]  # fmt: skip

METRICS = [
    Row("Accuracy", lambda k: k.metrics.Accuracy(), "numbers of classes"),
    Row("BinaryAccuracy", lambda k: k.metrics.BinaryAccuracy(threshold=0.4), "binary"),
    Row("CategoricalAccuracy", lambda k: k.metrics.CategoricalAccuracy(), "one hot"),
    Row("SparseCategoricalAccuracy", lambda k: k.metrics.SparseCategoricalAccuracy(), "classes"),
    Row("TopKCategoricalAccuracy", lambda k: k.metrics.TopKCategoricalAccuracy(2), "one hot"),
    Row("SparseTopKCategoricalAccuracy", lambda k: k.metrics.SparseTopKCategoricalAccuracy(2), "classes"),
    Row("MeanSquaredError", lambda k: k.metrics.MeanSquaredError()),
    Row("RootMeanSquaredError", lambda k: k.metrics.RootMeanSquaredError()),
    Row("MeanAbsoluteError", lambda k: k.metrics.MeanAbsoluteError()),
    Row("MeanAbsolutePercentageError", lambda k: k.metrics.MeanAbsolutePercentageError()),
    Row("MeanSquaredLogarithmicError", lambda k: k.metrics.MeanSquaredLogarithmicError(), "positive"),
    Row("MeanRelativeError", lambda k: k.metrics.MeanRelativeError([1.0, 2.0, 0.0])),
    Row("CosineSimilarity", lambda k: k.metrics.CosineSimilarity()),
    Row("Hinge", lambda k: k.metrics.Hinge(), "signs"),
    Row("SquaredHinge", lambda k: k.metrics.SquaredHinge(), "signs"),
    Row("CategoricalHinge", lambda k: k.metrics.CategoricalHinge(), "one hot"),
    Row("KLDivergence", lambda k: k.metrics.KLDivergence(), "one hot"),
    Row("Poisson", lambda k: k.metrics.Poisson(), "positive"),
    Row("LogCoshError", lambda k: k.metrics.LogCoshError()),
    Row("BinaryCrossentropy", lambda k: k.metrics.BinaryCrossentropy(label_smoothing=0.1), "binary"),
    Row("CategoricalCrossentropy", lambda k: k.metrics.CategoricalCrossentropy(), "one hot"),
    Row("SparseCategoricalCrossentropy", lambda k: k.metrics.SparseCategoricalCrossentropy(), "classes"),
    Row("MeanMetricWrapper", lambda k: k.metrics.MeanMetricWrapper(k.losses.mean_squared_error, name="own")),
    Row("Precision", lambda k: k.metrics.Precision(), "binary"),
    Row("Precision at thresholds", lambda k: k.metrics.Precision([0.3, 0.6]), "binary"),
    Row("Precision of the largest", lambda k: k.metrics.Precision(top_k=2), "binary"),
    Row("Recall", lambda k: k.metrics.Recall(), "binary"),
    Row("Recall of a class", lambda k: k.metrics.Recall(class_id=1), "binary"),
    Row("TruePositives", lambda k: k.metrics.TruePositives(), "binary"),
    Row("TrueNegatives", lambda k: k.metrics.TrueNegatives(0.3), "binary"),
    Row("FalsePositives", lambda k: k.metrics.FalsePositives([0.2, 0.7]), "binary"),
    Row("FalseNegatives", lambda k: k.metrics.FalseNegatives(), "binary"),
    Row("AUC", lambda k: k.metrics.AUC(), "binary"),
    Row("AUC under PR", lambda k: k.metrics.AUC(curve="PR"), "binary"),
    Row("AUC minoring", lambda k: k.metrics.AUC(50, summation_method="minoring"), "binary"),
    Row("AUC majoring", lambda k: k.metrics.AUC(50, curve="PR", summation_method="majoring"), "binary"),
    Row("AUC thresholds", lambda k: k.metrics.AUC(thresholds=[0.2, 0.5, 0.6]), "binary"),
    Row("AUC labels", lambda k: k.metrics.AUC(multi_label=True, num_labels=3), "binary"),
    Row("SensitivityAtSpecificity", lambda k: k.metrics.SensitivityAtSpecificity(0.5), "binary"),
    Row("SpecificityAtSensitivity", lambda k: k.metrics.SpecificityAtSensitivity(0.5), "binary"),
    Row("PrecisionAtRecall", lambda k: k.metrics.PrecisionAtRecall(0.5), "binary"),
    Row("RecallAtPrecision", lambda k: k.metrics.RecallAtPrecision(0.5), "binary"),
    Row("MeanIoU", lambda k: k.metrics.MeanIoU(3), "numbers of classes"),
    Row("IoU", lambda k: k.metrics.IoU(3, [0, 2]), "numbers of classes"),
    Row("OneHotMeanIoU", lambda k: k.metrics.OneHotMeanIoU(3), "one hot"),
    Row("F1Score", lambda k: k.metrics.F1Score("macro", 0.5), "binary"),
    Row("FBetaScore", lambda k: k.metrics.FBetaScore("weighted", 2.0), "one hot"),
    Row("R2Score", lambda k: k.metrics.R2Score()),
]  # fmt: skip

OPTIMIZERS = [
    Row("SGD", lambda k: k.optimizers.SGD(0.1)),
    Row("SGD momentum", lambda k: k.optimizers.SGD(0.1, momentum=0.9)),
    Row("SGD nesterov", lambda k: k.optimizers.SGD(0.1, 0.9, True, clipnorm=0.5)),
    Row("SGD decaying weights", lambda k: k.optimizers.SGD(0.1, weight_decay=0.1, clipvalue=0.3)),
    Row("SGD averaged", lambda k: k.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2)),
    Row("RMSprop", lambda k: k.optimizers.RMSprop(0.1)),
    Row("RMSprop momentum", lambda k: k.optimizers.RMSprop(0.1, momentum=0.5, epsilon=0.01)),
    Row("RMSprop centered", lambda k: k.optimizers.RMSprop(0.1, centered=True)),
    Row("RMSprop centered momentum", lambda k: k.optimizers.RMSprop(0.1, momentum=0.5, centered=True)),
    Row("Adam", lambda k: k.optimizers.Adam(0.1, global_clipnorm=0.7)),
    Row("Adam amsgrad", lambda k: k.optimizers.Adam(0.1, amsgrad=True)),
    Row("AdamW", lambda k: k.optimizers.AdamW(0.1, weight_decay=0.05)),
    Row("Adamax", lambda k: k.optimizers.Adamax(0.1)),
    Row("Nadam", lambda k: k.optimizers.Nadam(0.1)),
    Row("Adagrad", lambda k: k.optimizers.Adagrad(0.1, epsilon=0.01)),
    Row("Adadelta", lambda k: k.optimizers.Adadelta(1.0)),
    Row("Ftrl", lambda k: k.optimizers.Ftrl(0.1, l1_regularization_strength=0.02, l2_regularization_strength=0.01, beta=0.1)),
    Row("Ftrl shrinking", lambda k: k.optimizers.Ftrl(0.1, l2_shrinkage_regularization_strength=0.1)),
    Row("Lion", lambda k: k.optimizers.Lion(0.1)),
    Row("scheduled", lambda k: k.optimizers.SGD(k.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5))),
    Row("warmed up", lambda k: k.optimizers.SGD(k.optimizers.schedules.CosineDecay(0.0, 4, warmup_target=0.2, warmup_steps=2))),
    Row("legacy SGD", lambda k: k.optimizers.legacy.SGD(0.1, momentum=0.9, decay=0.1)),
    Row("legacy RMSprop", lambda k: k.optimizers.legacy.RMSprop(0.1, epsilon=0.01)),
    Row("legacy Adam", lambda k: k.optimizers.legacy.Adam(0.1, decay=0.1)),
    Row("legacy Adamax", lambda k: k.optimizers.legacy.Adamax(0.1)),
    Row("legacy Nadam", lambda k: k.optimizers.legacy.Nadam(0.1)),
    Row("legacy Adagrad", lambda k: k.optimizers.legacy.Adagrad(0.1, epsilon=0.01)),
    Row("legacy Adadelta", lambda k: k.optimizers.legacy.Adadelta(1.0)),
    Row("legacy Ftrl", lambda k: k.optimizers.legacy.Ftrl(0.1)),
]  # fmt: skip

START = (np.arange(6.0).reshape(3, 2) / 4 - 0.6).astype("float32")
STEPS = 5


def gradient(step: int) -> tuple[Any, Any]:
    """The gradient of step `step`: rows, and which rows they are (one of them twice)."""
    rows = np.cos(np.arange(6.0) * 1.3 + step).reshape(3, 2).astype("float32")
    return rows, np.array([[0, 1, 0], [2, 1, 1], [0, 0, 2]][step % 3])


def dense_gradient(step: int) -> Any:
    rows, places = gradient(step)
    whole = np.zeros((3, 2), "float32")
    np.add.at(whole, places, rows)
    return whole
