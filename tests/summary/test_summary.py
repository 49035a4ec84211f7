"""Summaries: TensorFlow's values, and event files with what programs wrote."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.saving import messages
from rillet.summary.png import png
from tests.saving.data import FOLDER

v1 = tf.compat.v1


def numbers() -> Any:
    random = np.random.default_rng(0)
    return (random.normal(size=1000) * np.exp(random.normal(size=1000) * 9)).astype(np.float32)


def events(folder: Path) -> list[Any]:
    (path,) = folder.iterdir()
    return list(v1.train.summary_iterator(str(path)))


# ---- TensorFlow 1 ---------------------------------------------------------------------------------------------------


def test_the_same_summaries_as_tensorflow() -> None:
    with tf.Graph().as_default() as graph, v1.Session() as session:
        with tf.name_scope("train"):
            v1.summary.scalar("loss", 1.5)
            v1.summary.scalar("loss", 2.5)
            v1.summary.scalar("a b", 3.5, family="fam")
        v1.summary.histogram("h", numbers())
        v1.summary.histogram("none", np.zeros(0, np.float32))
        v1.summary.text("t", tf.constant(["hello", "w"]))
        merged = v1.summary.merge_all()
        assert (merged.name, merged.op.type) == ("Merge/MergeSummary:0", "MergeSummary")
        found = session.run(merged)
        names = [operation.name for operation in graph.get_operations() if operation.type == "ScalarSummary"]
    assert names == ["train/loss", "train/loss_1", "train/fam/a_b"]
    assert v1.Summary.FromString(found) == v1.Summary.FromString((FOLDER / "summary.pb").read_bytes())


def pixels(data: bytes) -> list[list[int]]:
    """The rows of an uncompressed-filter PNG file."""
    size = int.from_bytes(data[33:37], "big")
    raw = zlib.decompress(data[41 : 41 + size])
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    row = len(raw) // height
    assert row > width and all(raw[index * row] == 0 for index in range(height))
    return [list(raw[index * row + 1 : (index + 1) * row]) for index in range(height)]


def test_images() -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        given = np.float32([[0, 1], [2, 4]]).reshape(1, 2, 2, 1)
        one = v1.Summary.FromString(session.run(v1.summary.image("i", given, max_outputs=1)))
        many = v1.Summary.FromString(session.run(v1.summary.image("j", np.concatenate([given, -given]), 5)))
    assert [value.tag for value in one.value] == ["i/image"]
    assert [value.tag for value in many.value] == ["j/image/0", "j/image/1"]
    image = one.value[0].image
    assert (image.height, image.width, image.colorspace) == (2, 2, 1)
    assert pixels(image.encoded_image_string) == [[0, 63], [127, 255]]
    assert pixels(many.value[1].image.encoded_image_string) == [[128, 96], [64, 1]]
    with pytest.raises(ValueError, match="cannot be a PNG"):
        png(np.zeros((2, 2, 5), np.uint8))


def test_mistakes() -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError, match="Nan in summary histogram for: h"):
            session.run(v1.summary.histogram("h", [1.0, float("nan")]))
        twice = v1.summary.scalar("a", 1.0)
        with pytest.raises(tf.errors.InvalidArgumentError, match="Duplicate tag a found"):
            session.run(v1.summary.merge([twice, twice]))
        with pytest.raises(ValueError, match="dtype string"):
            v1.summary.text("t", tf.constant(1.0))
    with tf.Graph().as_default():
        assert v1.summary.merge_all() is None


def test_file_writer(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph, v1.Session() as session:
        x = v1.placeholder(tf.float32, [], name="x")
        summary = v1.summary.scalar("x_value", x)
        with v1.summary.FileWriter(str(tmp_path), session.graph) as writer:
            for step in range(3):
                writer.add_summary(session.run(summary, {x: step * 2}), step)
            writer.flush()
            assert len(events(tmp_path)) == 5
            by_hand = v1.Summary(value=[v1.Summary.Value(tag="by hand", simple_value=0.5)])
            writer.add_summary(by_hand, global_step=9)
        writer.add_summary(by_hand)  # closed: dropped
    found = events(tmp_path)
    assert found[0].file_version == "brain.Event:2"
    recorded = v1.GraphDef.FromString(found[1].graph_def)
    assert recorded == graph.as_graph_def(add_shapes=True)
    values = [(event.step, event.summary.value[0].tag, event.summary.value[0].simple_value) for event in found[2:]]
    assert values == [(0, "x_value", 0), (1, "x_value", 2), (2, "x_value", 4), (9, "by hand", 0.5)]
    assert next(tmp_path.iterdir()).name.startswith("events.out.tfevents.")


def test_descriptions_are_written_once(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        summary = session.run(v1.summary.text("t", tf.constant("hello")))
        with v1.summary.FileWriter(str(tmp_path)) as writer:
            writer.add_summary(summary, 1)
            writer.add_summary(summary, 2)
    first, second = (event.summary.value[0] for event in events(tmp_path)[1:])
    assert first.metadata.plugin_data.plugin_name == "text" and not second.HasField("metadata")


# ---- TensorFlow 2 ---------------------------------------------------------------------------------------------------


def written(folder: Path) -> list[Any]:
    found = []
    for event in events(folder)[1:]:
        (value,) = event.summary.value
        plugin = value.metadata.plugin_data.plugin_name
        found.append((event.step, value.tag, plugin, tf.make_ndarray(value.tensor).tolist()))
    return found


def test_eager_summaries(tmp_path: Path) -> None:
    writer = tf.summary.create_file_writer(str(tmp_path))
    assert not tf.summary.scalar("before", 1.0, step=0)
    with writer.as_default(step=3):
        assert tf.summary.scalar("a", 0.5)
        with tf.name_scope("scope"):
            tf.summary.scalar("b", 2)
        tf.summary.histogram("h", [1.0, 2.0, 3.0, 10.0], step=4, buckets=3)
        tf.summary.histogram("same", [2.0, 2.0], buckets=2)
        tf.summary.text("t", ["x", "y"])
        with tf.summary.record_if(False):
            assert not tf.summary.scalar("no", 1.0)
        with pytest.raises(ValueError, match="takes a scalar"):
            tf.summary.scalar("vector", [1.0, 2.0])
    writer.close()
    assert written(tmp_path) == [
        (3, "a", "scalars", 0.5),
        (3, "scope/b", "scalars", 2.0),
        (4, "h", "histograms", [[1, 4, 3], [4, 7, 0], [7, 10, 1]]),
        (3, "same", "histograms", [[2, 2, 0], [2, 2, 2]]),
        (3, "t", "text", [b"x", b"y"]),
    ]
    assert next(tmp_path.iterdir()).name.endswith(".v2")


def test_eager_images(tmp_path: Path) -> None:
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        tf.summary.image("i", np.float32([[0, 0.5], [1, 2]]).reshape(1, 2, 2, 1), step=1)
    ((_, _, plugin, (width, height, data)),) = written(tmp_path)
    assert (plugin, width, height) == ("images", b"2", b"2")
    assert pixels(data) == [[0, 128], [255, 255]]


def test_in_functions(tmp_path: Path) -> None:
    step = tf.Variable(5, dtype=tf.int64)

    @tf.function
    def double(x: Any) -> Any:
        tf.summary.scalar("x", x, step=step)
        tf.summary.histogram("around", tf.stack([x - 1, x + 1]), step=step, buckets=2)
        step.assign_add(1)
        return x * 2

    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        assert double(tf.constant(1.0)).numpy() == 2
        double(tf.constant(2.0))
    assert written(tmp_path) == [
        (5, "x", "scalars", 1.0),
        (5, "around", "histograms", [[0, 1, 1], [1, 2, 1]]),
        (6, "x", "scalars", 2.0),
        (6, "around", "histograms", [[1, 2, 1], [2, 3, 1]]),
    ]


def test_steps(tmp_path: Path) -> None:
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        with pytest.raises(ValueError, match="No step set"):
            tf.summary.scalar("a", 1.0)
        tf.summary.experimental.set_step(8)
        tf.summary.scalar("a", 1.0)
        assert tf.summary.experimental.get_step() == 8
    tf.summary.experimental.set_step(None)
    assert written(tmp_path) == [(8, "a", "scalars", 1.0)]


def test_a_lazy_program_with_the_names_of_tensorflow_2() -> None:
    """`import rillet as tf` has both: without a writer, in a graph that a session runs, a summary is an op."""
    with tf.Graph().as_default(), v1.Session() as session:
        tf.summary.scalar("loss", tf.constant(2.0))
        tf.summary.histogram("h", tf.constant([2.0]))
        summary = v1.Summary.FromString(session.run(tf.summary.merge_all()))
    assert [(value.tag, value.simple_value) for value in summary.value] == [("loss", 2), ("h", 0)]


def test_graphs_of_functions(tmp_path: Path) -> None:
    @tf.function
    def double(x: Any) -> Any:
        return tf.multiply(x, 2.0, name="doubled")

    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        tf.summary.trace_on()
        assert double(tf.constant(1.0)).numpy() == 2
        tf.summary.trace_export("trace", step=1)
        double(tf.constant(1.0))
        with pytest.raises(ValueError, match="Must enable trace"):
            tf.summary.trace_export("trace", step=1)
    ((step, tag, plugin, data),) = written(tmp_path)
    assert (step, tag, plugin) == (1, "trace", "graph_run_metadata_graph")
    (graph,) = messages.get("RunMetadata").FromString(data).partition_graphs
    assert "doubled" in [node.name for node in graph.node]
