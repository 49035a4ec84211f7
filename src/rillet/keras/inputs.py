"""What fit, evaluate and predict are given, as batches: arrays, generators, Sequences, any iterable of batches.

A batch is (structure, arrays): the arrays in the order of the leaves of (x, y, sample_weight), and the structure that
says which is which; the same object for each batch of one source, so that a step finds its trace by looking at it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import numpy as np

from rillet.core import dtypes, nest
from rillet.core.export import public
from rillet.core.tensor import EagerTensor
from rillet.keras.policy import floatx

Batch = tuple["Structure", list[Any]]


class Structure:
    """What a batch looks like, its arrays left out: x, (x, y) or (x, y, sample_weight). Two that look alike are one."""

    _known: ClassVar[dict[str, Structure]] = {}

    @classmethod
    def of(cls, data: Any) -> Structure:
        """The structure of these data."""
        shape = nest.map_structure(lambda leaf: None if leaf is None else 0, data)
        return cls._known.setdefault(repr(shape), cls(data))

    def __init__(self, data: Any) -> None:
        self.data = nest.map_structure(lambda leaf: None if leaf is None else 0, data)
        self._shape = [leaf is not None for leaf in nest.flatten(data)]

    def pack(self, leaves: list[Any]) -> Any:
        """The data, with `leaves` for its arrays."""
        rest = iter(leaves)
        return nest.pack_sequence_as(self.data, [next(rest) if there else None for there in self._shape])

    @staticmethod
    def leaves(data: Any) -> list[Any]:
        return [leaf for leaf in nest.flatten(data) if leaf is not None]

    def fits(self, data: Any) -> bool:
        """Whether `data` looks so too."""
        try:
            nest.assert_same_structure(self.data, data)
        except (TypeError, ValueError):
            return False
        return [leaf is not None for leaf in nest.flatten(data)] == self._shape


def as_array(value: Any) -> Any:
    """An array that a step takes: floats in floatx(), strings as bytes."""
    if isinstance(value, EagerTensor):
        return value._array
    if hasattr(value, "toarray"):  # a sparse matrix of SciPy's
        value = value.toarray()
    if (
        hasattr(value, "values")
        and not isinstance(value, dict)
        and hasattr(value, "dtypes" if value.ndim > 1 else "dtype")
    ):
        value = value.values  # of pandas
    array = np.asarray(value)
    if array.dtype.kind == "f" and array.dtype.name != floatx():
        return array.astype(dtypes.as_dtype(floatx()).numpy_dtype)
    if array.dtype.kind in "US":
        return np.char.encode(array).astype(object) if array.dtype.kind == "U" else array.astype(object)
    return array


def as_data(value: Any) -> Any:
    """A structure of arrays. A list of numbers, or of lists of them, is one array; a list of arrays several."""
    if value is None or isinstance(value, EagerTensor) or hasattr(value, "__array__"):
        return None if value is None else as_array(value)
    if isinstance(value, dict):
        return {key: as_data(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        if not value or not _is_number_like(value[0]):
            return type(value)(as_data(inner) for inner in value) if type(value) in (list, tuple) else value
        return as_array(value)
    return as_array(value)


def _is_number_like(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return not value or _is_number_like(value[0])
    return isinstance(value, (int, float, bool, str, bytes, np.generic))


def is_arrays(value: Any) -> bool:
    """Whether `value` is data itself, not something that gives batches of it."""
    if value is None or isinstance(value, (EagerTensor, np.ndarray, list, tuple, dict)):
        return True
    return hasattr(value, "__array__") and not hasattr(value, "__next__")


# ---- sources ---------------------------------------------------------------------------------------------------------


class Source:
    """Gives batches, an epoch at a time. steps: batches of an epoch, None where nobody knows. examples: likewise."""

    steps: int | None = None
    examples: int | None = None

    def epoch(self) -> Iterator[Batch]:
        raise NotImplementedError

    def end_epoch(self) -> None:
        """An epoch is over."""


class ArraySource(Source):
    """Arrays in memory, cut along axis 0.

    shuffle: True draws a new order each epoch with np.random.shuffle; "batch" shuffles batches; False keeps the order.
    Raises ValueError where the arrays differ in their numbers of examples.
    """

    def __init__(
        self, data: tuple[Any, Any, Any], batch_size: int | None = None, shuffle: Any = False, steps: int | None = None
    ) -> None:
        self.structure = Structure.of(pack_x_y_sample_weight(*data))
        self._arrays = [np.ascontiguousarray(array) for array in Structure.leaves(data)]
        self.examples = _examples(data)
        if batch_size is None:
            batch_size = math.ceil(self.examples / steps) if steps else 32
        self._size = int(batch_size)
        self.steps = math.ceil(self.examples / self._size)
        self._shuffle = shuffle

    def epoch(self) -> Iterator[Batch]:
        size, count, structure, arrays = self._size, self.examples or 0, self.structure, self._arrays
        starts = range(0, count, size)
        if self._shuffle == "batch":
            order = np.arange(len(starts))
            np.random.shuffle(order)
            starts = [starts[index] for index in order]  # type: ignore[assignment]
        elif self._shuffle:
            indices = np.arange(count)
            np.random.shuffle(indices)
            for start in starts:
                chosen = indices[start : start + size]
                yield structure, [array.take(chosen, 0) for array in arrays]
            return
        if len(arrays) == 2:
            first, second = arrays
            for start in starts:
                yield structure, [first[start : start + size], second[start : start + size]]
            return
        for start in starts:
            yield structure, [array[start : start + size] for array in arrays]


def _examples(data: tuple[Any, Any, Any]) -> int:
    sizes = [[len(leaf) if np.ndim(leaf) else 0 for leaf in Structure.leaves(part)] for part in data]
    found = {size for part in sizes for size in part}
    if len(found) != 1:
        if not found:
            raise ValueError("Failed to find data adapter that can handle input: there is no array in it")
        lines = [
            f"  {label} sizes: {', '.join(map(str, part))}" for label, part in zip(("x", "y", "sample_weight"), sizes, strict=True)
            if part
        ]  # fmt: skip
        raise ValueError(
            "Data cardinality is ambiguous:\n"
            + "\n".join(lines)
            + "\nMake sure all arrays contain the same number of samples."
        )
    return found.pop()


class IterableSource(Source):
    """Batches from anything that can be iterated over: x, (x, y) or (x, y, sample_weight) each.

    What can be iterated over once (a generator) goes on in each epoch where it stopped in the last.
    """

    def __init__(self, batches: Any, adjust: Callable[[Any], Any] | None = None) -> None:
        self._batches = batches
        self._adjust = adjust
        self._is_once = iter(batches) is batches if hasattr(batches, "__next__") else False
        self._structure: Structure | None = None
        self.steps = _length(batches)

    def epoch(self) -> Iterator[Batch]:
        for batch in self._batches:
            arrays = plain_arrays(batch) if self._adjust is None else None
            if arrays is not None:
                yield _PLAIN[len(arrays)], arrays
                continue
            data = as_data(standard_batch(batch, self._adjust))
            if self._structure is None or not self._structure.fits(data):
                self._structure = Structure.of(data)
            yield self._structure, Structure.leaves(data)


# What batches of one array each for x, y and the weights look like.
_PLAIN = {2: Structure.of((0, 0)), 3: Structure.of((0, 0, 0))}


def plain_arrays(batch: Any) -> list[Any] | None:
    """The arrays of the commonest batch: (x, y) or (x, y, sample_weight), of arrays or tensors that steps take as they are.
    None for any other batch."""
    if type(batch) is not tuple or len(batch) not in _PLAIN:
        return None
    arrays = []
    for part in batch:
        array = part._array if type(part) is EagerTensor else part
        if type(array) is not np.ndarray or not (array.dtype.kind in "iub" or array.dtype.name == floatx()):
            return None
        arrays.append(array)
    return arrays


def _length(batches: Any) -> int | None:
    cardinality = getattr(batches, "cardinality", None)
    if callable(cardinality):
        found = int(cardinality())
        return found if found >= 0 else None
    try:
        return len(batches)
    except TypeError:
        return None


def standard_batch(batch: Any, adjust: Callable[[Any], Any] | None = None) -> Any:
    """A batch of a generator or dataset as steps see it: x, (x, y) or (x, y, sample_weight); what is neither stays."""
    if isinstance(batch, list) and not (batch and _is_number_like(batch[0])):
        batch = tuple(batch)
    if isinstance(batch, tuple) and not 1 <= len(batch) <= 3 and adjust is None:
        return batch
    triple = unpack_x_y_sample_weight(batch)
    return pack_x_y_sample_weight(*(adjust(triple) if adjust is not None else triple))


@public("keras.utils.Sequence", "keras.utils.PyDataset")
class Sequence:
    """Batches by number: subclasses write `__len__` and `__getitem__(index)`, and may write `on_epoch_end()`."""

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __getitem__(self, index: int) -> Any:
        """The batch with this number."""
        raise NotImplementedError

    def __len__(self) -> int:
        """How many batches there are."""
        raise NotImplementedError

    @property
    def num_batches(self) -> int | None:
        return len(self)

    def on_epoch_begin(self) -> None:
        """An epoch begins."""

    def on_epoch_end(self) -> None:
        """An epoch is over."""

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))


class SequenceSource(IterableSource):
    """A Sequence; with `shuffle`, its batches in a new order each epoch."""

    def __init__(self, batches: Any, shuffle: Any = False, adjust: Callable[[Any], Any] | None = None) -> None:
        super().__init__(batches, adjust)
        self._sequence, self._shuffle = batches, shuffle

    def epoch(self) -> Iterator[Batch]:
        order = np.arange(len(self._sequence))
        if self._shuffle:
            np.random.shuffle(order)
        self._batches = (self._sequence[int(index)] for index in order)
        self.steps = len(order)
        return super().epoch()

    def end_epoch(self) -> None:
        if hasattr(self._sequence, "on_epoch_end"):
            self._sequence.on_epoch_end()


class Steps:
    """Cuts a source into epochs of `steps` batches. None: an epoch is what the source gives at once."""

    def __init__(self, source: Source, steps: int | None) -> None:
        self._source = source
        self.steps = steps if steps is not None else source.steps
        self._limit = steps
        self._current: Iterator[Batch] | None = None

    def epoch(self) -> Iterator[Batch]:
        """The batches of one epoch. Fewer than asked for where the data ends: `ran_out` tells."""
        if self._limit is None:
            yield from self._source.epoch()
            return
        for _ in range(self._limit):
            batch = self._next()
            if batch is None:
                return
            yield batch

    def _next(self) -> Batch | None:
        for _ in range(2):
            if self._current is None:
                self._current = self._source.epoch()
            batch = next(self._current, None)
            if batch is not None:
                return batch
            self._current = None  # arrays, and what can be iterated over again, begin anew
        return None

    def end_epoch(self) -> None:
        self._source.end_epoch()


def make_source(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    shuffle: Any = False,
    class_weight: dict[int, float] | None = None,
    steps: int | None = None,
) -> Source:
    """The source of what fit, evaluate or predict was given.

    Raises ValueError for labels, weights or a batch size beside a source that gives batches itself.
    """
    if is_arrays(x):
        data = add_class_weight((as_data(x), as_data(y), as_data(sample_weight)), class_weight)
        return ArraySource(data, batch_size, shuffle, steps)
    if y is not None or sample_weight is not None:
        kind = type(x).__name__
        what = "`y`" if y is not None else "`sample_weight`"
        raise ValueError(f"{what} argument is not supported when using {kind} as input: it gives them in its batches.")
    adjust = None
    if class_weight is not None:
        adjust = lambda data: add_class_weight(tuple(map(as_data, data)), class_weight)  # noqa: E731
    if hasattr(x, "__getitem__") and hasattr(x, "__len__") and not callable(getattr(x, "cardinality", None)):
        return SequenceSource(x, shuffle, adjust)
    if callable(x) and not isinstance(x, Iterable):
        x = x()
    if not isinstance(x, Iterable) and not hasattr(x, "__getitem__"):
        raise ValueError(f"Failed to find data adapter that can handle input: {type(x)}, {type(y)}")
    return IterableSource(x, adjust)


def add_class_weight(data: tuple[Any, Any, Any], class_weight: dict[int, float] | None) -> tuple[Any, Any, Any]:
    """`data` with sample weights by the class of each label. ValueError for several outputs, or a class without a weight."""
    if class_weight is None:
        return data
    x, y, sample_weight = data
    labels = nest.flatten(y)
    if len(labels) != 1 or labels[0] is None:
        raise ValueError("`class_weight` is only supported for Models with a single output.")
    classes = labels[0]
    if classes.ndim > 1:
        classes = classes.argmax(-1) if classes.shape[-1] > 1 else classes.reshape(len(classes), *classes.shape[1:-1])
    count = int(max(class_weight)) + 1
    if sorted(class_weight) != list(range(count)):
        raise ValueError(
            f"Expected `class_weight` to be a dict with keys from 0 to one less than the number of classes, found "
            f"{class_weight}"
        )
    if classes.size and not 0 <= classes.min() <= classes.max() < count:
        raise ValueError(f"class_weight has weights for classes 0 to {count - 1}, and there is a label {classes.max()}")
    table = np.array([class_weight[index] for index in range(count)], floatx())
    weights = table[classes.astype(np.int64)]
    return x, y, weights if sample_weight is None else weights * sample_weight


@public("keras.utils.unpack_x_y_sample_weight")
def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) of a batch, None for what it lacks. ValueError for a tuple of more."""
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(
            "Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`, found: " + str(data)
        )
    return (*data, *[None] * (3 - len(data)))


@public("keras.utils.pack_x_y_sample_weight")
def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """The shortest tuple that unpack_x_y_sample_weight takes apart."""
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,) if nest.is_nested(x) else x


def split(data: tuple[Any, Any, Any], fraction: float) -> tuple[Any, Any]:
    """(the first examples, the last `fraction` of them). ValueError where one would be empty."""
    count = _examples(data)
    at = math.floor(count * (1.0 - fraction))
    if at in (0, count):
        raise ValueError(
            f"Training data contains {count} samples, which is not sufficient to split it into a validation and training set "
            f"as specified by `validation_split={fraction}`. Either provide more data, or a different value for the "
            "`validation_split` argument."
        )
    cut = lambda part, of: nest.map_structure(lambda leaf: None if leaf is None else leaf[of], part)  # noqa: E731
    return cut(data, slice(at)), cut(data, slice(at, None))
