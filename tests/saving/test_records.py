"""TFRecord files and Examples: TensorFlow's are read, ours have the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rillet as tf
from rillet.ops.records import read_records
from tests.saving.data import FOLDER

VALUES = [bytes([number]) * (number * 7 % 300) for number in range(60)]


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_records(tmp_path: Path, compression: str) -> None:
    assert list(read_records(FOLDER / f"records{compression}", compression)) == VALUES
    path = tmp_path / "ours"
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for value in VALUES:
            writer.write(value)
    assert list(tf.compat.v1.python_io.tf_record_iterator(str(path), tf.io.TFRecordOptions(compression))) == VALUES
    if not compression:
        assert path.read_bytes() == (FOLDER / "records").read_bytes()


def test_large_records(tmp_path: Path) -> None:
    values = [b"a" * 700_000, b"", b"b" * 300_000]
    writer = tf.io.TFRecordWriter(tmp_path / "large")
    for value in values:
        writer.write(value)
    writer.flush()
    assert list(read_records(tmp_path / "large")) == values
    writer.close()
    with pytest.raises(tf.errors.FailedPreconditionError, match="closed"):
        writer.write(b"more")


def test_damage(tmp_path: Path) -> None:
    data = bytearray((FOLDER / "records").read_bytes())
    data[5000] ^= 1
    path = tmp_path / "bad"
    path.write_bytes(data)
    records = read_records(path)
    with pytest.raises(tf.errors.DataLossError, match=r"corrupted record at 4\d\d\d: .*bad"):
        [next(records) for _ in VALUES]
    path.write_bytes(data[:4000])
    found = []
    with pytest.raises(tf.errors.DataLossError, match=r"truncated record at 3\d\d\d"):
        found.extend(read_records(path))
    path.write_bytes(b"\xff" * 4000)
    with pytest.raises(tf.errors.DataLossError, match="record at 0"):
        next(read_records(path))
    with pytest.raises(tf.errors.DataLossError, match="no such compressed file"):
        next(read_records(path, "GZIP"))
    with pytest.raises(tf.errors.NotFoundError):
        next(read_records(tmp_path / "none"))
    with pytest.raises(ValueError, match="compression_type"):
        tf.io.TFRecordWriter(str(path), "LZ4")


# ---- examples -------------------------------------------------------------------------------------------------------


def example() -> bytes:
    return (FOLDER / "example.pb").read_bytes()


def test_example_messages() -> None:
    train = tf.train
    feature = {
        "numbers": train.Feature(int64_list=train.Int64List(value=[1, -2, 3])),
        "reals": train.Feature(float_list=train.FloatList(value=[0.5, -1.5])),
        "text": train.Feature(bytes_list=train.BytesList(value=[b"x", b"yy"])),
    }
    message = train.Example(features=train.Features(feature=feature))
    assert message.SerializeToString(deterministic=True) == example()
    assert train.Example.FromString(example()).features.feature["numbers"].int64_list.value[1] == -2


def test_truth_values_are_numbers() -> None:
    found = tf.train.Int64List(value=[True, np.bool_(False), 7, np.int64(2)])
    assert list(found.value) == [1, 0, 7, 2] and isinstance(found, tf.train.Int64List)
    assert not isinstance(3, tf.train.Int64List)
    assert tf.train.Int64List.FromString(found.SerializeToString()) == found
    with pytest.raises(TypeError):
        tf.train.Int64List(value=[1.5])


def test_fixed_features() -> None:
    features = {
        "numbers": tf.io.FixedLenFeature([3], tf.int64),
        "reals": tf.io.FixedLenFeature([2, 1], tf.float32),
        "absent": tf.io.FixedLenFeature([], tf.float32, 7.0),
    }
    one = tf.io.parse_single_example(example(), features)
    assert one["numbers"].numpy().tolist() == [1, -2, 3] and one["reals"].numpy().tolist() == [[0.5], [-1.5]]
    assert one["absent"].numpy() == 7
    many = tf.io.parse_example([example(), example()], features)
    assert many["numbers"].shape == (2, 3) and many["absent"].numpy().tolist() == [7, 7]
    assert tf.io.parse_example(tf.zeros([0], tf.string), features)["reals"].shape == (0, 2, 1)


def test_features_of_any_length() -> None:
    features = {
        "text": tf.io.VarLenFeature(tf.string),
        "none": tf.io.VarLenFeature(tf.int64),
        "reals": tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True),
    }
    short = tf.train.Example()
    short.features.feature["reals"].float_list.value.append(9)
    found = tf.io.parse_example([example(), short.SerializeToString()], features)
    assert found["text"].indices.numpy().tolist() == [[0, 0], [0, 1]]
    assert found["text"].values.numpy().tolist() == [b"x", b"yy"]
    assert found["none"].dense_shape.numpy().tolist() == [2, 0]
    assert found["reals"].numpy().tolist() == [[0.5, -1.5], [9, 0]]


def test_sparse_features() -> None:
    message = tf.train.Example()
    message.features.feature["at"].int64_list.value.extend([5, 2])
    message.features.feature["value"].float_list.value.extend([1, 2])
    features = {"s": tf.io.SparseFeature("at", "value", tf.float32, 10)}
    found = tf.io.parse_example([message.SerializeToString()], features)["s"]
    assert found.indices.numpy().tolist() == [[0, 2], [0, 5]]
    assert found.values.numpy().tolist() == [2, 1] and found.dense_shape.numpy().tolist() == [1, 10]


def test_in_a_graph() -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        given = v1.placeholder(tf.string, [None])
        found = v1.parse_example(given, {"numbers": tf.io.FixedLenFeature([3], tf.int64)})["numbers"]
        assert found.shape.as_list() == [None, 3]
        assert session.run(found, {given: [example()]}).tolist() == [[1, -2, 3]]


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        (("numbers", [2], "int64"), "Key: numbers, Index: 0.  Number of int64 values != expected"),
        (
            ("numbers", [3], "float32"),
            "Key: numbers.  Data types don't match. Data type: int64 but expected type: float",
        ),
        (("absent", [3], "int64"), r"Feature: absent \(data type: int64\) is required but could not be found"),
        (("numbers", [3], "int32"), "not in the list of allowed values"),
    ],
)
def test_features_that_do_not_fit(feature: tuple[str, list[int], str], text: str) -> None:
    name, shape, dtype = feature
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        tf.io.parse_single_example(example(), {name: tf.io.FixedLenFeature(shape, dtype)})


def test_no_example() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="Could not parse example"):
        tf.io.parse_single_example(b"zzz", {"a": tf.io.VarLenFeature(tf.int64)})
    with pytest.raises(ValueError, match="Invalid feature a"):
        tf.io.parse_single_example(example(), {"a": 3})


@pytest.mark.parametrize(
    "value", [np.float32([[1, 2]]), np.array([b"a", b"b"], object), np.float64(3), np.array([True])]
)
def test_tensors_as_strings(value: np.ndarray) -> None:
    tensor = tf.constant(value)
    again = tf.io.parse_tensor(tf.io.serialize_tensor(tensor), tensor.dtype)
    assert again.shape == tensor.shape and again.numpy().tolist() == tensor.numpy().tolist()
    with pytest.raises(tf.errors.InvalidArgumentError, match="Type mismatch"):
        tf.io.parse_tensor(tf.io.serialize_tensor(tensor), tf.uint16)
