"""The edit distance of sequences: how many insertions, deletions and substitutions turn one into the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value


def _distance(first: list[Any], second: list[Any]) -> int:
    """Levenshtein's algorithm, one row of its table at a time."""
    row = list(range(len(second) + 1))
    for count, left in enumerate(first, 1):
        previous, row = row, [count]
        for place, right in enumerate(second):
            row.append(min(previous[place + 1] + 1, row[place] + 1, previous[place] + (left != right)))
    return row[-1]


def _sequences(indices: Any, values: Any) -> dict[tuple[int, ...], list[Any]]:
    """The values of each sequence, by its place: all coordinates but the last."""
    found: dict[tuple[int, ...], list[Any]] = {}
    for place, value in zip(map(tuple, indices[:, :-1].tolist()), values.tolist(), strict=True):
        found.setdefault(place, []).append(value)
    return found


def _edit_distance_kernel(
    indices: Any, values: Any, shape: Any, truth_indices: Any, truth_values: Any, truth_shape: Any, *, normalize: bool
) -> Any:
    if shape.shape != truth_shape.shape:
        raise ValueError(
            f"Expected hypothesis_shape.NumElements == truth_shape.NumElements, was {shape.size} and {truth_shape.size}"
        )
    result = np.zeros(np.maximum(shape[:-1], truth_shape[:-1]), np.float32)
    hypotheses, truths = _sequences(indices, values), _sequences(truth_indices, truth_values)
    for place in {*hypotheses, *truths}:
        hypothesis, truth = hypotheses.get(place, []), truths.get(place, [])
        distance = float(_distance(hypothesis, truth))
        if normalize:
            distance = distance / len(truth) if truth else np.inf
        result[place] = distance
    return result


def _edit_distance_shape(op: Operation) -> TensorShape:
    shapes = [constant_value(op.inputs[index]) for index in (2, 5)]
    if any(shape is None for shape in shapes):
        return UNKNOWN
    return TensorShape([int(max(pair)) for pair in zip(shapes[0][:-1], shapes[1][:-1], strict=True)])


define(
    "EditDistance",
    "hypothesis_indices: int64, hypothesis_values: T, hypothesis_shape: int64, truth_indices: int64, truth_values: T, "
    "truth_shape: int64 -> output: float32",
    "normalize: bool = True, T: type",
    reference=_edit_distance_kernel, shape=_edit_distance_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public("edit_distance")
def edit_distance(hypothesis: Any, truth: Any, normalize: bool = True, name: str = "edit_distance") -> Any:
    """The Levenshtein distance of the sequences along the last axis of two SparseTensors: float32, of the rank below.

    normalize: divided by the length of the true sequence (inf where that is empty and the other isn't).
    Raises TypeError for anything but SparseTensors.
    """
    for label, value in (("Hypothesis", hypothesis), ("Truth", truth)):
        if not (hasattr(value, "indices") and hasattr(value, "dense_shape")):
            raise TypeError(f"{label} must be a SparseTensor.")
    parts = (part for value in (hypothesis, truth) for part in (value.indices, value.values, value.dense_shape))
    return apply_op(REGISTRY["EditDistance"], tuple(parts), {"normalize": normalize}, name)
