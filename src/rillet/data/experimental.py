"""tf.data.experimental and tf.contrib.data: what became methods of Dataset, as functions for `dataset.apply`."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

from rillet.core import dtypes
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import export, public
from rillet.data.dataset import Dataset, seeds
from rillet.ops import dataset as ops

Transformation = Callable[[Dataset], Dataset]


def _method(name: str, *spare: str) -> None:
    """Makes the method of that name a function of its arguments that is to be applied to a dataset."""

    def transformation(*args: Any, **kwargs: Any) -> Transformation:
        return lambda dataset: getattr(dataset, name)(*args, **kwargs)

    transformation.__name__ = name
    transformation.__doc__ = f"See tf.data.Dataset.{name}."
    export(
        transformation,
        f"data.experimental.{spare[0] if spare else name}",
        v1=[f"contrib.data.{spare[0] if spare else name}"],
    )


for _name in (
    "group_by_window",
    "bucket_by_sequence_length",
    "ignore_errors",
    "scan",
    "take_while",
    "unbatch",
    "unique",
):
    _method(_name)
_method("enumerate", "enumerate_dataset")


@public("data.experimental.cardinality")
def cardinality(dataset: Dataset) -> Any:
    """How many elements there are (int64); -1 for infinitely many, -2 if that is not known."""
    return dataset.cardinality()


@public("data.experimental.assert_cardinality")
def assert_cardinality(expected_cardinality: Any) -> Transformation:
    """Claims how many elements there are. FailedPreconditionError when going through it shows something else."""
    count = convert_to_tensor(expected_cardinality, dtypes.int64)
    return lambda dataset: dataset._then(ops.ASSERT_CARDINALITY, count)


@public("data.experimental.get_single_element")
def get_single_element(dataset: Dataset) -> Any:
    return dataset.get_single_element()


@public("data.experimental.shuffle_and_repeat", v1=["contrib.data.shuffle_and_repeat"])
def shuffle_and_repeat(buffer_size: Any, count: Any = None, seed: int | None = None) -> Transformation:
    """Repeats, and shuffles across the borders of the repetitions."""
    sizes = (
        convert_to_tensor(buffer_size, dtypes.int64),
        convert_to_tensor(-1 if count is None else count, dtypes.int64),
    )
    return lambda dataset: dataset._then(ops.SHUFFLE_AND_REPEAT, sizes[0], *seeds(seed), sizes[1])


@public("data.experimental.map_and_batch", v1=["contrib.data.map_and_batch"])
def map_and_batch(
    map_func: Callable[..., Any], batch_size: Any, num_parallel_batches: Any = None, drop_remainder: bool = False,
    num_parallel_calls: Any = None,
) -> Transformation:  # fmt: skip
    return lambda dataset: dataset.map(map_func, num_parallel_calls).batch(batch_size, drop_remainder)


export(
    lambda batch_size: lambda dataset: dataset.batch(batch_size, drop_remainder=True),
    v1=["contrib.data.batch_and_drop_remainder"],
)


@public("data.experimental.parallel_interleave", v1=["contrib.data.parallel_interleave"])
def parallel_interleave(
    map_func: Callable[..., Any], cycle_length: int, block_length: int = 1, sloppy: bool = False,
    buffer_output_elements: int | None = None, prefetch_input_elements: int | None = None,
) -> Transformation:  # fmt: skip
    return lambda dataset: dataset.interleave(map_func, cycle_length, block_length)


@public("data.experimental.prefetch_to_device")
def prefetch_to_device(device: str, buffer_size: Any = None) -> Transformation:
    return lambda dataset: dataset.prefetch(buffer_size)


@public("data.experimental.copy_to_device")
def copy_to_device(target_device: str, source_device: str = "/cpu:0") -> Transformation:
    return lambda dataset: dataset


@public("data.experimental.sample_from_datasets", v1=["contrib.data.sample_from_datasets"])
def sample_from_datasets(datasets: Sequence[Dataset], weights: Any = None, seed: int | None = None) -> Dataset:
    return Dataset.sample_from_datasets(datasets, weights, seed)


@public("data.experimental.choose_from_datasets", v1=["contrib.data.choose_from_datasets"])
def choose_from_datasets(datasets: Sequence[Dataset], choice_dataset: Dataset) -> Dataset:
    return Dataset.choose_from_datasets(datasets, choice_dataset, stop_on_empty_dataset=False)


@public("data.experimental.Counter")
def counter(start: int = 0, step: int = 1, dtype: Any = dtypes.int64) -> Dataset:
    return Dataset.counter(start, step, dtype)


@public("data.experimental.RandomDataset")
def random_dataset(seed: int | None = None) -> Dataset:
    return Dataset.random(seed)


@public("data.experimental.from_list")
def from_list(elements: Sequence[Any], name: str | None = None) -> Dataset:
    """The elements of a list, all of one structure."""
    if not elements:
        raise ValueError("`elements` must not be empty.")
    made = Dataset.from_tensors(elements[0])
    for element in elements[1:]:
        made = made.concatenate(Dataset.from_tensors(element))
    return made


class AutoShardPolicy(enum.IntEnum):
    """How a dataset is divided among workers."""

    OFF = -1
    AUTO = 0
    FILE = 1
    DATA = 2
    HINT = 3


export(AutoShardPolicy, "data.experimental.AutoShardPolicy")
