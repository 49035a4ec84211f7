"""Saved models: those of TensorFlow work here, ours come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.saving.data import FOLDER, expected, model_class

v1 = tf.compat.v1


Model = model_class(tf)


def saved(folder: Path) -> str:
    model = Model()
    model.g(tf.constant([1.0, 2.0]))
    model.g(tf.constant(1), flag=False)
    tf.saved_model.save(model, str(folder))
    return str(folder)


@pytest.mark.parametrize("kind", ["recorded", "ours", "ours again"])
def test_objects(tmp_path: Path, kind: str) -> None:
    folder = str(FOLDER / "object_model") if kind == "recorded" else saved(tmp_path / "first")
    if kind == "ours again":
        first = tf.saved_model.load(folder)
        folder = str(tmp_path / "second")
        tf.saved_model.save(first, folder, signatures=first.f)
    model, wanted = tf.saved_model.load(folder), expected()
    x = tf.Variable([[1.0, 2.0]])
    with tf.GradientTape() as tape:
        y = model.f(x)
    assert np.allclose(y, wanted["object_model/f"], rtol=1e-6)
    assert np.allclose(tape.gradient(y, x), wanted["object_model/gradient"], rtol=1e-5)
    assert np.allclose(model.f([[-1.0, -2.0]]), wanted["object_model/f_negative"], rtol=1e-6)
    assert model.g(tf.constant([1.0, 2.0]))["o"].numpy().tolist() == [2, 4]
    assert model.g(tf.constant(1), flag=False)["p"][0].numpy() == 1
    signature = model.signatures["serving_default"]
    assert np.allclose(signature(x=tf.constant([[1.0, 2.0]]))["output_0"], wanted["object_model/f"], rtol=1e-6)
    model.parts[0].assign(2.0)
    assert np.allclose(model.f(x), wanted["object_model/f"] + 1, rtol=1e-6)
    with pytest.raises(ValueError, match="Could not find matching concrete function"):
        model.g(tf.constant([[1.0]]))
    with pytest.raises(AttributeError, match="no 'nothing' here"):
        _ = model.nothing


@pytest.mark.parametrize("kind", ["recorded", "ours"])
def test_objects_in_a_session(tmp_path: Path, kind: str) -> None:
    folder = str(FOLDER / "object_model") if kind == "recorded" else saved(tmp_path / "model")
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        signature = v1.saved_model.loader.load(session, ["serve"], folder).signature_def["serving_default"]
        found = session.run(signature.outputs["output_0"].name, {signature.inputs["x"].name: [[1, 2]]})
    assert np.allclose(found, expected()["object_model/f"], rtol=1e-6)


def session_model(folder: str) -> Any:
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 2], name="x")
        w = v1.get_variable("w", initializer=np.float32([[1, 2], [3, 4]]), use_resource=False)
        y = tf.nn.softmax(tf.matmul(x, w), name="y")
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, folder, {"x": x}, {"y": y})


@pytest.mark.parametrize("kind", ["recorded", "ours"])
def test_graphs(tmp_path: Path, kind: str) -> None:
    folder = str(FOLDER / "session_model") if kind == "recorded" else str(tmp_path / "model")
    if kind == "ours":
        session_model(folder)
        with pytest.raises(AssertionError, match="already exists, and isn't empty"):
            v1.saved_model.builder.SavedModelBuilder(folder)
    assert v1.saved_model.loader.maybe_saved_model_directory(folder)
    wanted = expected()["session_model"]
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        message = v1.saved_model.loader.load(session, [v1.saved_model.tag_constants.SERVING], folder)
        signature = message.signature_def[v1.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY]
        assert v1.saved_model.is_valid_signature(signature)
        found = session.run(signature.outputs["y"].name, {signature.inputs["x"].name: [[0.1, 0.2]]})
        assert np.allclose(found, wanted, rtol=1e-6)
        with pytest.raises(RuntimeError, match="could not be found in SavedModel"):
            v1.saved_model.loader.load(session, ["other"], folder)
    model = tf.saved_model.load(folder)
    assert np.allclose(model.signatures["serving_default"](x=[[0.1, 0.2]])["y"], wanted, rtol=1e-6)


def test_initialisation_and_assets(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("one")
    folder = str(tmp_path / "model")
    with tf.Graph().as_default(), v1.Session() as session:
        path = tf.constant(str(tmp_path / "words.txt"), name="path")
        words = v1.get_variable(
            "words", initializer=tf.constant(""), use_resource=True, collections=["local_variables"]
        )
        fill = words.assign(tf.io.read_file(path)).op
        builder = v1.saved_model.builder.SavedModelBuilder(folder)
        builder.add_meta_graph_and_variables(session, ["serve"], main_op=fill, assets_collection=[path])
        builder.save(as_text=True)
    (tmp_path / "words.txt").unlink()
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        v1.saved_model.loader.load(session, ["serve"], folder)
        assert session.run("words/Read/ReadVariableOp:0") == b"one"


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    outside = tf.Variable(1.0, name="outside")
    model = tf.Module()
    model.f = tf.function(lambda x: x * outside, input_signature=[tf.TensorSpec([], tf.float32)])
    with pytest.raises(AssertionError, match=r"untracked.*outside"):
        tf.saved_model.save(model, str(tmp_path / "a"))
    model.f = tf.function(lambda x: x)
    with pytest.raises(ValueError, match="has 0 traces"):
        tf.saved_model.save(model, str(tmp_path / "b"), signatures=model.f)
    with pytest.raises(OSError, match="SavedModel file does not exist"):
        tf.saved_model.load(str(tmp_path / "c"))


def test_options(tmp_path: Path) -> None:
    model, options = Model(), tf.saved_model.SaveOptions(extra_tags=["mine"])
    model.w.assign(tf.ones([2, 2]))
    tf.saved_model.save(model, str(tmp_path), options=options)
    assert tf.saved_model.load(str(tmp_path), tags=["serve", "mine"]).w.numpy().sum() == 4
    empty = tf.saved_model.load(str(tmp_path), options=tf.saved_model.LoadOptions(experimental_skip_checkpoint=True))
    assert empty.w.numpy().sum() == 0
    with pytest.raises(RuntimeError, match="could not be found"):
        tf.saved_model.load(str(tmp_path), tags=["serve"])
