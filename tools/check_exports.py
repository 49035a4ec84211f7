"""Do rillet's files work in TensorFlow? Written by one, read by the other:

python tools/check_exports.py write FOLDER      (with rillet)
python tools/check_exports.py read FOLDER       (where TensorFlow is)
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np

GIVEN = np.arange(8).reshape(2, 4).astype(np.float32) / 10 - np.float32(0.3)


def write(folder: Path) -> None:
    """A training graph, a session, a frozen graph, objects, saved models, summaries, with what they give."""
    from tests.saving import test_checkpoint, test_graph_def, test_saved_model

    import rillet as tf

    v1 = tf.compat.v1
    expected: dict[str, Any] = {}
    v1.disable_v2_behavior()
    with tf.Graph().as_default() as graph, v1.Session() as session:
        test_graph_def.training_graph()
        tf.io.write_graph(graph, str(folder), "training.pb", as_text=False)
        results = test_graph_def.results(session)
        expected.update({f"training/{index}": value for index, value in enumerate(results)})
        v1.train.Saver().save(session, str(folder / "session"))
    with tf.Graph().as_default() as graph, v1.Session() as session:
        expected["frozen"] = test_graph_def.frozen_graph(session)
        message = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["out"])
        tf.io.write_graph(message, str(folder), "frozen.pb", as_text=False)
    test_saved_model.session_model(str(folder / "session_model"))
    v1.enable_v2_behavior()
    holder, optimizer, checkpoint = test_checkpoint.made()
    holder.w.assign([3.0, 4.0])
    test_checkpoint.step(holder, optimizer)
    checkpoint.write(str(folder / "objects"))
    expected["objects"] = holder.w.numpy()
    test_saved_model.saved(folder / "object_model")
    np.savez(folder / "expected.npz", **expected)


def read(folder: Path) -> None:
    """Runs all that in TensorFlow. AssertionError where something else comes out."""
    import tensorflow as tf

    v1 = tf.compat.v1
    expected = dict(np.load(folder / "expected.npz"))

    def check(name: str, found: Any) -> None:
        assert np.allclose(found, expected[name], rtol=1e-5, atol=1e-7), (name, found, expected[name])
        print("equal:", name)

    with tf.Graph().as_default(), v1.Session() as session:
        v1.import_graph_def(v1.GraphDef.FromString((folder / "training.pb").read_bytes()), name="")
        session.run("init")
        found = session.run(["loss:0", "gradient0:0", "gradient1:0"], {"x:0": GIVEN})
        session.run("train", {"x:0": GIVEN})
        found.append(session.run("loss:0", {"x:0": GIVEN}))
        for index, value in enumerate(found):
            check(f"training/{index}", value)
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.import_meta_graph(str(folder / "session.meta")).restore(session, str(folder / "session"))
        check("training/3", session.run("loss:0", {"x:0": GIVEN}))
    with tf.Graph().as_default(), v1.Session() as session:
        v1.import_graph_def(v1.GraphDef.FromString((folder / "frozen.pb").read_bytes()), name="")
        check("frozen", session.run("out:0", {"x:0": [[1, 2]]}))
    holder = tf.Module()
    holder.w = tf.Variable([0.0, 0.0])
    tf.train.Checkpoint(holder=holder).read(str(folder / "objects")).assert_existing_objects_matched()
    check("objects", holder.w)
    model = tf.saved_model.load(str(folder / "object_model"))
    recorded = np.load(Path(__file__).parents[1] / "tests" / "data" / "saving" / "expected.npz")
    expected.update(recorded)
    check("object_model/f", model.f(tf.constant([[1.0, 2.0]])))
    check("object_model/f_negative", model.f(tf.constant([[-1.0, -2.0]])))
    check("object_model/f", model.signatures["serving_default"](x=tf.constant([[1.0, 2.0]]))["output_0"])
    model = tf.saved_model.load(str(folder / "session_model"))
    check("session_model", model.signatures["serving_default"](x=tf.constant([[0.1, 0.2]]))["y"])


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    where.mkdir(parents=True, exist_ok=True)
    {"write": write, "read": read}[what](where)
