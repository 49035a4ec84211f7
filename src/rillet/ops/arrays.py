"""What the kernels and public functions of array ops share: rank-0 values, indices, axes, name scopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core.dispatch import graph_for
from rillet.core.shapes import TensorShape
from rillet.errors import format_shape


def as_array(value: Any) -> Any:
    """A kernel's input as an ndarray: rank-0 values may arrive as NumPy scalars, strings as bytes."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, np.generic):
        return np.asarray(value)
    boxed = np.empty((), object)
    boxed[()] = value
    return boxed


def sizes(vector: Any) -> tuple[int, ...]:
    """An integer vector as a tuple of Python ints."""
    return tuple(np.ravel(vector).tolist())


def size_of(shape: Sequence[int]) -> int:
    """The number of elements of a shape."""
    count = 1
    for size in shape:
        count *= size
    return count


def check_indices(indices: Any, limit: int, name: str = "indices") -> None:
    """IndexError, in TensorFlow's words, unless every index is in [0, limit)."""
    if indices.size == 0 or (int(indices.min()) >= 0 and int(indices.max()) < limit):
        return
    bad = (indices < 0) | (indices >= limit)
    position = np.unravel_index(int(np.argmax(bad)), bad.shape)
    where = ",".join(map(str, position))
    label = f"{name}[{where}]" if position else name
    raise IndexError(f"{label} = {int(indices[position])} is not in [0, {limit})")


def static_axis(axis: Any, rank: int) -> int:
    """`axis` counted from the front. ValueError when it is not in [-rank, rank)."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is not in [{-rank}, {rank})")
    return int(axis) % rank


def text(shape: TensorShape) -> str:
    """A static shape as kernels write it: [2,?,3]."""
    return format_shape(shape.dimensions)


def difference(first: TensorShape, other: TensorShape) -> str:
    """In which way two shapes contradict each other, in TensorFlow's words (without the full stop)."""
    if first.rank != other.rank:
        return f"Shapes must be equal rank, but are {first.rank} and {other.rank}"
    pairs = enumerate(zip(first.dimensions or (), other.dimensions or (), strict=True))
    place, (x, y) = next((place, pair) for place, pair in pairs if None not in pair and pair[0] != pair[1])
    shapes = f"Shapes are {text(first)} and {text(other)}"
    return f"Dimension {place} in both shapes must be equal, but are {x} and {y}. {shapes}"


def is_concrete(*values: Any) -> bool:
    """Whether an op on `values` runs now."""
    return graph_for(values) is None
