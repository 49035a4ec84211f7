"""tf.data: elements, their order (TensorFlow's, for the same seeds), and errors."""

from __future__ import annotations

import gc
import gzip
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet as tf

Dataset = tf.data.Dataset


@pytest.fixture(autouse=True)
def no_global_seed() -> None:
    """The orders below are those of programs that set no seed but a dataset's own."""
    tf.random.set_seed(None)


def numbers(dataset: Any) -> Any:
    return [np.asarray(element).tolist() for element in dataset.as_numpy_iterator()]


ROWS: dict[str, tuple[Callable[[], Any], Any]] = {
    "range": (lambda: Dataset.range(2, 9, 3), [2, 5, 8]),
    "downwards": (lambda: Dataset.range(5, 0, -2), [5, 3, 1]),
    "tensors": (lambda: Dataset.from_tensors([1, 2]), [[1, 2]]),
    "slices": (lambda: Dataset.from_tensor_slices([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    "batch": (lambda: Dataset.range(5).batch(2), [[0, 1], [2, 3], [4]]),
    "batch of slices": (lambda: Dataset.from_tensor_slices(np.arange(5)).batch(2), [[0, 1], [2, 3], [4]]),
    "whole batches": (lambda: Dataset.range(5).batch(2, drop_remainder=True), [[0, 1], [2, 3]]),
    "map": (lambda: Dataset.range(4).map(lambda x: x * x), [0, 1, 4, 9]),
    "map of captured": (lambda: Dataset.range(3).map(lambda x: x + tf.constant(5, tf.int64)), [5, 6, 7]),
    "parallel map": (lambda: Dataset.range(30).map(lambda x: x + 1, num_parallel_calls=tf.data.AUTOTUNE), list(range(1, 31))),
    "filter": (lambda: Dataset.range(6).filter(lambda x: x % 2 == 0), [0, 2, 4]),
    "repeat": (lambda: Dataset.range(2).repeat(2), [0, 1, 0, 1]),
    "for ever": (lambda: Dataset.range(2).repeat().take(5), [0, 1, 0, 1, 0]),
    "nothing for ever": (lambda: Dataset.range(0).repeat(), []),
    "skip": (lambda: Dataset.range(5).skip(3), [3, 4]),
    "take and more": (lambda: Dataset.range(2).take(5), [0, 1]),
    "shard": (lambda: Dataset.range(7).shard(3, 1), [1, 4]),
    "concatenate": (lambda: Dataset.range(2).concatenate(Dataset.range(5, 7)), [0, 1, 5, 6]),
    "flat_map": (
        lambda: Dataset.range(1, 4).flat_map(lambda n: Dataset.from_tensors(n).repeat(n)),
        [1, 2, 2, 3, 3, 3],
    ),
    "interleave": (
        lambda: Dataset.range(3).interleave(lambda n: Dataset.from_tensors(n).repeat(4), cycle_length=2, block_length=2),
        [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 2, 2],
    ),
    "window": (lambda: Dataset.range(5).window(2).flat_map(lambda w: w.batch(2)), [[0, 1], [2, 3], [4]]),
    "sliding window": (
        lambda: Dataset.range(7).window(3, shift=2, stride=2, drop_remainder=True).flat_map(lambda w: w.batch(3)),
        [[0, 2, 4], [2, 4, 6]],
    ),
    "unbatch": (lambda: Dataset.range(5).batch(2).unbatch(), [0, 1, 2, 3, 4]),
    "scan": (lambda: Dataset.range(5).scan(np.int64(0), lambda total, x: (total + x, total + x)), [0, 1, 3, 6, 10]),
    "take_while": (lambda: Dataset.range(9).take_while(lambda x: x < 3), [0, 1, 2]),
    "unique": (lambda: Dataset.from_tensor_slices([1, 2, 1, 3, 2]).unique(), [1, 2, 3]),
    "group_by_window": (
        lambda: Dataset.range(7).group_by_window(lambda x: x % 2, lambda key, group: group.batch(2), window_size=2),
        [[0, 2], [1, 3], [4, 6], [5]],
    ),
    "choose": (
        lambda: Dataset.choose_from_datasets(
            [Dataset.range(3), Dataset.range(10, 13)], Dataset.from_tensor_slices(np.array([1, 0, 1, 1, 0]))
        ),
        [10, 0, 11, 12, 1],
    ),
    "cache": (lambda: Dataset.range(3).cache().repeat(2), [0, 1, 2, 0, 1, 2]),
    "prefetch": (lambda: Dataset.range(20).prefetch(3), list(range(20))),
    "padded batch": (
        lambda: Dataset.range(1, 4).map(lambda n: tf.fill([n], n)).padded_batch(2, padding_values=np.int64(-1)),
        [[[1, -1], [2, 2]], [[3, 3, 3]]],
    ),
    "padded to a shape": (lambda: Dataset.from_tensors([1, 2]).padded_batch(1, [4]), [[[1, 2, 0, 0]]]),
    # the orders are TensorFlow's
    "shuffle": (lambda: Dataset.range(10).shuffle(4, seed=1), [0, 4, 5, 1, 2, 7, 9, 8, 6, 3]),
    "shuffle all": (lambda: Dataset.range(10).shuffle(100, 1, False), [7, 9, 3, 6, 5, 1, 8, 4, 0, 2]),
    "shuffle again": (lambda: Dataset.range(10).shuffle(4, seed=7).repeat(2),
                      [0, 4, 2, 3, 5, 6, 1, 8, 7, 9, 1, 3, 0, 4, 6, 5, 7, 8, 9, 2]),
    "shuffle, repeated before": (lambda: Dataset.range(5).shuffle(3, seed=1).repeat(2), [1, 3, 0, 4, 2, 1, 3, 0, 4, 2]),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_elements(name: str) -> None:
    make, expected = ROWS[name]
    dataset = make()
    if name != "shuffle, repeated before":
        assert numbers(dataset) == expected
    spec = dataset.element_spec
    for element in dataset:
        assert spec.dtype is element.dtype and spec.shape.is_compatible_with(element.shape)
    size = int(dataset.cardinality())
    assert size in (tf.data.UNKNOWN_CARDINALITY, len(expected))


@pytest.mark.parametrize("name", [name for name in ROWS if "repeated" not in name])
def test_elements_in_a_graph(name: str) -> None:
    make, expected = ROWS[name]
    with tf.Graph().as_default():
        following = tf.compat.v1.data.make_one_shot_iterator(make()).get_next()
        with tf.compat.v1.Session() as session:
            assert [session.run(following).tolist() for _ in expected] == expected
            with pytest.raises(tf.errors.OutOfRangeError, match="End of sequence"):
                session.run(following)


def test_structures() -> None:
    dataset = Dataset.from_tensor_slices({"a": [1, 2], "b": ([3.0, 4.0], [[5], [6]])})
    assert dataset.element_spec == {
        "a": tf.TensorSpec((), tf.int32),
        "b": (tf.TensorSpec((), tf.float32), tf.TensorSpec((1,), tf.int32)),
    }
    assert repr(dataset.batch(2)).startswith(
        "<_BatchDataset element_spec={'a': TensorSpec(shape=(None,), dtype=tf.int32"
    )
    [element] = dataset.batch(2).as_numpy_iterator()
    assert element["b"][1].tolist() == [[5], [6]]
    pairs = Dataset.zip((Dataset.range(2), Dataset.from_tensor_slices([b"x", b"y"])))
    assert list(pairs.as_numpy_iterator()) == [(0, b"x"), (1, b"y")]
    assert [(int(n), int(x)) for n, x in Dataset.range(3, 5).enumerate(start=7)] == [(7, 3), (8, 4)]
    assert [int(x) for x, _ in pairs.map(lambda x, s: (x * 2, tf.strings.length(s)))] == [0, 2]
    assert int(Dataset.range(10).reduce(np.int64(0), lambda total, x: total + x)) == 45
    assert int(Dataset.range(7, 8).get_single_element()) == 7
    assert len(Dataset.range(10).batch(3)) == 4
    with pytest.raises(TypeError, match="infinite"):
        len(Dataset.range(1).repeat())


def test_a_generator_runs_anew_each_time() -> None:
    closed = []

    def generate(limit: Any = 3) -> Any:
        try:
            for number in range(int(limit)):
                yield number, [number] * number
        finally:
            closed.append(limit)

    signature = (tf.TensorSpec((), tf.int32), tf.TensorSpec((None,), tf.float32))
    dataset = Dataset.from_generator(generate, output_signature=signature)
    for _ in range(2):
        assert [(int(n), x.numpy().tolist()) for n, x in dataset] == [(0, []), (1, [1.0]), (2, [2.0, 2.0])]
    assert [int(n) for n, _ in Dataset.from_generator(generate, (tf.int32, tf.float32), args=(2,))] == [0, 1]
    run = iter(dataset)
    next(run)
    del run
    gc.collect()
    assert len(closed) == 4
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected type"):
        list(Dataset.from_generator(lambda: iter(["x"]), tf.int32))


def test_a_fed_dataset_begins_when_its_initializer_runs() -> None:
    with tf.Graph().as_default():
        fed = tf.compat.v1.placeholder(tf.float64, [None])
        dataset = Dataset.from_tensor_slices(fed).map(lambda x: x + fed[0]).batch(4)
        with pytest.raises(ValueError, match="make_initializable_iterator"):
            tf.compat.v1.data.make_one_shot_iterator(dataset)
        iterator = tf.compat.v1.data.make_initializable_iterator(dataset)
        following = iterator.get_next()
        with tf.compat.v1.Session() as session:
            with pytest.raises(tf.errors.FailedPreconditionError, match="not been initialized"):
                session.run(following)
            for start in (1.0, 2.0):
                session.run(iterator.initializer, {fed: [start, 5.0]})
                assert session.run(following).tolist() == [2 * start, 5 + start]


def test_one_iterator_for_several_datasets() -> None:
    with tf.Graph().as_default():
        first, second = Dataset.range(3), Dataset.range(10, 12)
        iterator = tf.compat.v1.data.Iterator.from_structure(first.output_types, first.output_shapes)
        begins = [iterator.make_initializer(dataset) for dataset in (first, second)]
        following = iterator.get_next()
        handle = tf.compat.v1.placeholder(tf.string, [])
        chosen = tf.compat.v1.data.Iterator.from_string_handle(
            handle, first.output_types, first.output_shapes
        ).get_next()
        other = tf.compat.v1.data.make_one_shot_iterator(second)
        with pytest.raises(TypeError, match="output types"):
            iterator.make_initializer(Dataset.from_tensor_slices([1.0]))
        with tf.compat.v1.Session() as session:
            session.run(begins[0])
            assert [session.run(following) for _ in range(3)] == [0, 1, 2]
            session.run(begins[1])
            assert session.run(following) == 10
            names = session.run([iterator.string_handle(), other.string_handle()])
            assert session.run(chosen, {handle: names[1]}) == 10
            assert session.run(chosen, {handle: names[0]}) == 11


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\r\n\nlast")
    with gzip.open(tmp_path / "b.gz", "wb") as file:
        file.write(b"packed\n")
    lines = tf.data.TextLineDataset([str(tmp_path / "a.txt")])
    assert list(lines.as_numpy_iterator()) == [b"one", b"two", b"", b"last"]
    assert list(tf.data.TextLineDataset(str(tmp_path / "b.gz"), "GZIP").as_numpy_iterator()) == [b"packed"]
    found = Dataset.list_files(str(tmp_path / "*"), shuffle=False)
    assert [Path(name.decode()).name for name in found.as_numpy_iterator()] == ["a.txt", "b.gz"]
    with tf.io.TFRecordWriter(str(tmp_path / "r")) as writer:
        for record in (b"x", b"", b"long" * 99):
            writer.write(record)
    records = tf.data.TFRecordDataset(Dataset.from_tensors(str(tmp_path / "r")))
    assert list(records.as_numpy_iterator()) == [b"x", b"", b"long" * 99]
    (tmp_path / "f").write_bytes(b"hh112233t")
    fixed = tf.data.FixedLengthRecordDataset(str(tmp_path / "f"), 2, header_bytes=2, footer_bytes=1)
    assert list(fixed.as_numpy_iterator()) == [b"11", b"22", b"33"]
    with pytest.raises(tf.errors.NotFoundError):
        list(tf.data.TextLineDataset(str(tmp_path / "missing")))


def test_comma_separated_values(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b,c\n1,2.5,"x, y"\n,3,z\n')
    rows = tf.data.experimental.CsvDataset(str(path), [[7], tf.float32, tf.string], header=True)
    assert list(rows.as_numpy_iterator()) == [(1, 2.5, b"x, y"), (7, 3.0, b"z")]
    [batch] = tf.data.experimental.make_csv_dataset(str(path), 2, label_name="b", num_epochs=1, shuffle=False)
    assert batch[0]["a"].numpy().tolist() == [1, 0] and batch[1].numpy().tolist() == [2.5, 3.0]
    with pytest.raises(tf.errors.InvalidArgumentError, match="required but missing"):
        list(tf.data.experimental.CsvDataset(str(path), [tf.int32, tf.float32, tf.string], header=True))


def test_a_cache_in_a_file_outlives_the_dataset(tmp_path: Path) -> None:
    calls = []

    def generate() -> Any:
        calls.append(1)
        yield from [(1, b"a"), (2, b"bc")]

    for _ in range(3):
        dataset = Dataset.from_generator(generate, (tf.int32, tf.string), ((), ())).cache(str(tmp_path / "kept"))
        assert list(dataset.as_numpy_iterator()) == [(1, b"a"), (2, b"bc")]
    assert len(calls) == 1


def test_errors() -> None:
    with pytest.raises(ValueError, match="Dimensions 2 and 3 are not compatible"):
        Dataset.from_tensor_slices(([1, 2], [1, 2, 3]))
    with pytest.raises(ValueError, match="rank >= 1"):
        Dataset.from_tensor_slices(3)
    with pytest.raises(ValueError, match=r"must return a .tf\.bool. scalar"):
        Dataset.range(3).filter(lambda x: x)
    with pytest.raises(TypeError, match="must return a `Dataset`"):
        Dataset.range(3).flat_map(lambda x: x)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="Cannot batch tensors with different shapes in component 0"
    ):
        list(Dataset.range(1, 3).map(lambda n: tf.fill([n], n)).batch(2))
    with pytest.raises(TypeError, match="element types for the new state must match"):
        Dataset.range(3).reduce(np.int64(0), lambda total, x: 1.5)
    checked = Dataset.range(3).map(lambda x: tf.debugging.check_numerics(1.0 / tf.cast(x - 1, tf.float32), "one"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="one"):
        list(checked)
    assert [float(x) for x in checked.ignore_errors()] == [-1.0, 1.0]
    with pytest.raises(tf.errors.FailedPreconditionError, match="expected to contain 4"):
        list(Dataset.range(3).apply(tf.data.experimental.assert_cardinality(4)))


def test_slow_maps_run_at_the_same_time_and_in_order() -> None:
    running, most = [], []

    def slowly(x: Any) -> Any:
        running.append(x)
        most.append(len(running))
        time.sleep(0.003)
        running.remove(x)
        return x

    def slow(x: Any) -> Any:
        return tf.numpy_function(slowly, [x], tf.int64)

    assert numbers(Dataset.range(40).map(slow, num_parallel_calls=4).prefetch(2)) == list(range(40))
    assert max(most) > 1


def test_threads_end_with_the_run() -> None:
    def slow(x: Any) -> Any:
        return tf.numpy_function(lambda n: time.sleep(0.001) or n, [x], tf.int64)

    before = threading.active_count()
    for _ in range(3):
        run = iter(Dataset.range(10000).map(slow, num_parallel_calls=2).prefetch(4))
        for _ in range(20):
            next(run)
        del run
    gc.collect()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before
