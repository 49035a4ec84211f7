"""tf.train.Saver and meta graphs: TensorFlow's are restored, ours go through a new process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet.v1 as tf
from rillet.saving import messages
from tests.saving.data import FOLDER


def variables(use_resource: bool = False) -> Any:
    x = tf.placeholder(tf.float32, [None, 2], name="x")
    w = tf.get_variable("w", initializer=np.arange(6, dtype=np.float32).reshape(2, 3), use_resource=use_resource)
    step = tf.train.get_or_create_global_step()
    tf.add_to_collection("outputs", tf.matmul(x, w, name="y"))
    return w, step


@pytest.mark.parametrize("kind", ["references", "resources"])
def test_a_session_of_tensorflow(kind: str) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        saver = tf.train.import_meta_graph(str(FOLDER / kind / "model-7.meta"))
        saver.restore(session, tf.train.latest_checkpoint(str(FOLDER / kind)))
        assert session.run("y:0", {"x:0": [[1, 2]]}).tolist() == [[6, 9, 12]]
        assert session.run(tf.train.get_global_step()) == 7
        assert [v.name for v in tf.global_variables()] == ["w:0", "words:0", "half:0", "global_step:0"]
        assert [v.name for v in tf.trainable_variables()] == ["w:0"]
        assert tf.trainable_variables()[0] is tf.global_variables()[0]
        assert tf.get_collection("outputs")[0] is session.graph.get_tensor_by_name("y:0")
        session.run(tf.global_variables()[0].assign(np.zeros((2, 3))))
        assert session.run("y:0", {"x:0": [[1, 2]]}).tolist() == [[0, 0, 0]]


NEW_PROCESS = """
import sys
import rillet.v1 as tf
folder = sys.argv[1]
with tf.Session() as session:
    saver = tf.train.import_meta_graph(folder + "/model-5.meta")
    saver.restore(session, tf.train.latest_checkpoint(folder))
    print(session.run("y:0", {"x:0": [[1.0, 2.0]]}).tolist(), session.run(tf.train.get_global_step()))
"""


@pytest.mark.smoke
@pytest.mark.parametrize("use_resource", [False, True])
def test_f09_a_session_is_saved_as_a_whole(tmp_path: Path, use_resource: bool) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        w, step = variables(use_resource)
        session.run(tf.global_variables_initializer())
        session.run([w.assign_add(np.ones((2, 3))), step.assign(5)])
        path = tf.train.Saver().save(session, str(tmp_path / "model"), global_step=step)
    assert path == str(tmp_path / "model-5")
    run = subprocess.run(
        [sys.executable, "-c", NEW_PROCESS, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.stdout == "[[9.0, 12.0, 15.0]] 5\n", run.stderr


def test_nodes_of_a_saver() -> None:
    with tf.Graph().as_default() as graph:
        variables()
        before = len(graph.get_operations())
        saver = tf.train.Saver(max_to_keep=3)
        names = [operation.name for operation in graph.get_operations()[before:]]
    assert names == [
        "save/filename/input", "save/filename", "save/Const", "save/SaveV2/tensor_names", "save/SaveV2/shape_and_slices",
        "save/SaveV2", "save/control_dependency", "save/RestoreV2/tensor_names", "save/RestoreV2/shape_and_slices",
        "save/RestoreV2", "save/Assign", "save/Assign_1", "save/restore_all",
    ]  # fmt: skip
    definition = saver.as_saver_def()
    assert (definition.filename_tensor_name, definition.save_tensor_name) == (
        "save/Const:0",
        "save/control_dependency:0",
    )
    assert (definition.restore_op_name, definition.max_to_keep) == ("save/restore_all", 3)


def test_old_checkpoints_go(tmp_path: Path) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        variables()
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver(max_to_keep=2)
        for step in range(4):
            saver.save(session, str(tmp_path / "m"), step)
        assert saver.last_checkpoints == [str(tmp_path / "m-2"), str(tmp_path / "m-3")]
    names = {path.name.partition(".")[0] for path in tmp_path.iterdir()}
    assert names == {"checkpoint", "m-2", "m-3"}
    state = tf.train.get_checkpoint_state(str(tmp_path))
    assert list(state.all_model_checkpoint_paths) == saver.last_checkpoints
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "m-3")
    assert tf.train.latest_checkpoint(str(tmp_path / "nowhere")) is None


def test_paths_are_relative_where_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with tf.Graph().as_default(), tf.Session() as session:
        variables()
        session.run(tf.global_variables_initializer())
        assert tf.train.Saver().save(session, "folder/m", 1) == "folder/m-1"
        assert tf.train.Saver().save(session, "m") == "m"
    text = Path("folder/checkpoint").read_text()
    assert text == 'model_checkpoint_path: "m-1"\nall_model_checkpoint_paths: "m-1"\n'
    assert tf.train.latest_checkpoint("folder") == "folder/m-1"
    assert tf.train.latest_checkpoint(".") == "./m"


def test_other_names_and_some_variables(tmp_path: Path) -> None:
    prefix = str(tmp_path / "m")
    with tf.Graph().as_default(), tf.Session() as session:
        w, _ = variables()
        session.run(tf.global_variables_initializer())
        tf.train.Saver({"renamed": w}).save(session, prefix)
        assert tf.train.list_variables(prefix) == [("renamed", [2, 3])]
        session.run(w.assign(np.zeros((2, 3))))
        tf.train.Saver({"renamed": w}).restore(session, prefix)
        assert session.run(w).tolist() == [[0, 1, 2], [3, 4, 5]]
        with pytest.raises(tf.errors.NotFoundError, match="Key w not found"):
            tf.train.Saver([w]).restore(session, prefix)
        with pytest.raises(ValueError, match="not a valid checkpoint"):
            tf.train.Saver([w]).restore(session, prefix + "x")
        with pytest.raises(ValueError, match="when it is None"):
            tf.train.Saver([w]).restore(session, None)
        with pytest.raises(ValueError, match="Parent directory"):
            tf.train.Saver([w]).save(session, str(tmp_path / "no" / "m"))


def test_another_shape(tmp_path: Path) -> None:
    prefix = str(tmp_path / "m")
    with tf.Graph().as_default(), tf.Session() as session:
        w, _ = variables()
        session.run(tf.global_variables_initializer())
        tf.train.Saver([w]).save(session, prefix)
    with tf.Graph().as_default(), tf.Session() as session:
        w = tf.get_variable("w", [3, 2])
        with pytest.raises(tf.errors.InvalidArgumentError, match="Restoring from checkpoint failed"):
            tf.train.Saver().restore(session, prefix)
        tf.train.Saver(reshape=True).restore(session, prefix)
        assert session.run(w).tolist() == [[0, 1], [2, 3], [4, 5]]


def test_nothing_to_save() -> None:
    with tf.Graph().as_default(), pytest.raises(ValueError, match="No variables to save"):
        tf.train.Saver()


@pytest.mark.parametrize("parts", [1, 3])
def test_partitioned_variables(tmp_path: Path, parts: int) -> None:
    prefix = str(tmp_path / "m")
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("p", [5, 2], partitioner=tf.fixed_size_partitioner(2))
        session.run([v.assign(np.full(v.shape.as_list(), i)) for i, v in enumerate(tf.global_variables())])
        tf.train.Saver().save(session, prefix)
    assert tf.train.load_variable(prefix, "p")[:, 0].tolist() == [0, 0, 0, 1, 1]
    with tf.Graph().as_default(), tf.Session() as session:
        p = tf.get_variable("p", [5, 2], partitioner=tf.fixed_size_partitioner(parts))
        tf.train.Saver().restore(session, prefix)
        assert session.run(tf.convert_to_tensor(p))[:, 1].tolist() == [0, 0, 0, 1, 1]


def test_eager_variables(tmp_path: Path) -> None:
    tf.enable_v2_behavior()
    v = tf.Variable([1.0, 2.0], name="v")
    saver = tf.train.Saver([v])
    prefix = saver.save(None, str(tmp_path / "m"), global_step=3)
    v.assign([0.0, 0.0])
    saver.restore(None, prefix)
    assert v.numpy().tolist() == [1, 2] and prefix.endswith("m-3")


def test_meta_graphs_as_text_and_in_a_scope(tmp_path: Path) -> None:
    path = str(tmp_path / "graph.meta")
    with tf.Graph().as_default():
        variables()
        message = tf.train.export_meta_graph(path, as_text=True)
        assert set(message.collection_def) == {"variables", "trainable_variables", "outputs", "global_step"}
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.import_meta_graph(path, import_scope="inner")
        assert [v.name for v in tf.global_variables()] == ["inner/w:0", "inner/global_step:0"]
        session.run(tf.global_variables_initializer())
        assert session.run("inner/y:0", {"inner/x:0": [[1, 0]]}).tolist() == [[0, 1, 2]]
    with pytest.raises(OSError, match="does not exist"):
        tf.train.import_meta_graph(str(tmp_path / "none.meta"))
    (tmp_path / "bad.meta").write_bytes(b"\xff\xff nothing")
    with pytest.raises(OSError, match=r"bad\.meta"):
        tf.train.import_meta_graph(str(tmp_path / "bad.meta"))


def test_variables_as_messages() -> None:
    recorded = tf.MetaGraphDef.FromString((FOLDER / "references" / "model-7.meta").read_bytes())
    kind = messages.get("VariableDef")
    with tf.Graph().as_default():
        w, _ = variables()
        wanted = kind.FromString(recorded.collection_def["trainable_variables"].bytes_list.value[0])
        assert w.to_proto() == wanted
        again = tf.Variable.from_proto(w.to_proto())
        assert again.op is w.op and again.trainable


def test_init_from_checkpoint() -> None:
    path = str(FOLDER / "resources")
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("mine"):
            w, half = tf.get_variable("w", [2, 3]), tf.get_variable("half", [3], tf.float16, use_resource=True)
        other = tf.get_variable("other", [2])
        tf.train.init_from_checkpoint(path, {"w": w, "half": "mine/half"})
        session.run(tf.global_variables_initializer())
        assert session.run(w).tolist() == [[0, 1, 2], [3, 4, 5]] and session.run(half).tolist() == [0, 1, 2]
        session.run(w.assign(np.zeros((2, 3))))
        tf.train.init_from_checkpoint(path, {"/": "mine/"})
        session.run(w.initializer)
        assert session.run(w)[1].tolist() == [3, 4, 5]
        with pytest.raises(ValueError, match="doesn't match with shape"):
            tf.train.init_from_checkpoint(path, {"w": other})
        with pytest.raises(ValueError, match="nobody is not found"):
            tf.train.init_from_checkpoint(path, {"nobody": other})


def test_a_checkpoint_of_objects() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        w = tf.get_variable("w", [2])
        tf.train.Saver().restore(session, str(FOLDER / "objects" / "saved-1"))
        assert np.allclose(session.run(w), [0.9, 1.9])
        tf.get_variable("nobody", [2])
        with pytest.raises(tf.errors.NotFoundError, match="Key nobody"):
            tf.train.Saver().restore(session, str(FOLDER / "objects" / "saved-1"))
