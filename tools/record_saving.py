"""Files of TensorFlow's own making, which the tests of saving read: python tools/record_saving.py (where TensorFlow is).

They go to tests/data/saving, with the values that belong to them in expected.npz.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf
from tests.saving.data import FOLDER, model_class, tensors

tf1 = tf.compat.v1
EXPECTED: dict[str, Any] = {}


def checkpoint_of_all_types() -> None:
    values = tensors()
    tf.raw_ops.SaveV2(
        prefix=str(FOLDER / "types"),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=[tf.constant(value) for value in values.values()],
    )


def checkpoint_of_parts() -> None:
    whole = np.arange(60, dtype=np.float32).reshape(10, 6)
    tf.raw_ops.SaveV2(
        prefix=str(FOLDER / "parts"),
        tensor_names=["whole", "whole", "other"],
        shape_and_slices=["10 6 0,4:-", "10 6 4,6:-", ""],
        tensors=[tf.constant(whole[:4]), tf.constant(whole[4:]), tf.constant([1.0])],
    )


def variables_of_a_graph(use_resource: bool) -> Any:
    tf1.disable_resource_variables()
    x = tf1.placeholder(tf.float32, [None, 2], name="x")
    w = tf1.get_variable("w", initializer=np.arange(6, dtype=np.float32).reshape(2, 3), use_resource=use_resource)
    tf1.get_variable("words", initializer=tf.constant(["x", "yy"]), use_resource=use_resource, trainable=False)
    tf1.get_variable("half", initializer=np.arange(3).astype(np.float16), use_resource=use_resource, trainable=False)
    step = tf1.train.get_or_create_global_step()
    y = tf.matmul(x, w, name="y")
    tf1.add_to_collection("outputs", y)
    return step


def saved_session(folder: str, use_resource: bool, version: int = tf1.train.SaverDef.V2) -> None:
    with tf1.Graph().as_default(), tf1.Session() as session:
        step = variables_of_a_graph(use_resource)
        session.run(tf1.global_variables_initializer())
        session.run(step.assign(7))
        (FOLDER / folder).mkdir()
        saver = tf1.train.Saver(write_version=version)
        os.chdir(FOLDER)
        saver.save(session, f"{folder}/model", global_step=step, write_meta_graph=version == tf1.train.SaverDef.V2)


class Holder(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable([1.0, 2.0], name="w")
        self.parts = [tf.Variable(1.0), {"a": tf.Variable(2)}]
        self.pair = (tf.Variable(5.0),)


def object_checkpoint() -> None:
    holder, optimizer = Holder(), tf1.train.AdamOptimizer(0.1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(holder.w**2)
    optimizer.apply_gradients([(tape.gradient(loss, holder.w), holder.w)])
    checkpoint = tf.train.Checkpoint(holder=holder, optimizer=optimizer, **{"odd.name": tf.Variable(9)})
    os.chdir(FOLDER)
    checkpoint.save("objects/saved")
    EXPECTED["objects/w"] = holder.w.numpy()
    EXPECTED["objects/m"] = optimizer.get_slot(holder.w, "m").numpy()


def frozen(name: str, functional: bool) -> None:
    (tf1.enable_control_flow_v2 if functional else tf1.disable_control_flow_v2)()
    with tf1.Graph().as_default() as graph, tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, 4], name="x")
        w = tf1.get_variable(
            "w", initializer=np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), use_resource=functional
        )
        y = tf.nn.relu(tf.matmul(x, w))
        p = tf1.placeholder_with_default(False, [], name="p")
        c = tf1.cond(p, lambda: tf.exp(y) * 2, lambda: y * y)
        c = tf1.cond(tf.reduce_sum(c) > 0, lambda: tf1.cond(p, lambda: c + 1, lambda: c - 1), lambda: c)
        if functional:
            _, c = tf.while_loop(
                lambda i, a: i < 5,
                lambda i, a: (i + 1, tf.concat([a, a[:1]], 0)),
                [tf.constant(0), c],
                shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, 3])],
            )
        out = tf.identity(c, name="out")
        tf.identity(tf.gradients(out, x)[0], name="gradient")
        session.run(tf1.global_variables_initializer())
        given = np.arange(8).reshape(2, 4).astype(np.float32) / 10 - 0.3
        for value in (False, True):
            out_value, gradient = session.run(["out:0", "gradient:0"], {"x:0": given, "p:0": value})
            EXPECTED[f"{name}/{value}/out"], EXPECTED[f"{name}/{value}/gradient"] = out_value, gradient
        message = tf1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["out", "gradient"])
        (FOLDER / f"{name}.pb").write_bytes(message.SerializeToString())


def loop_of_version_1() -> None:
    tf1.disable_control_flow_v2()
    with tf1.Graph().as_default() as graph:
        tf.while_loop(lambda i: i < 3, lambda i: i + 1, [tf.constant(0)])
        (FOLDER / "loop_v1.pb").write_bytes(graph.as_graph_def().SerializeToString())


def session_model() -> None:
    with tf1.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, 2], name="x")
        w = tf1.get_variable("w", initializer=np.float32([[1, 2], [3, 4]]), use_resource=True)
        y = tf.nn.softmax(tf.matmul(x, w), name="y")
        session.run(tf1.global_variables_initializer())
        tf1.saved_model.simple_save(session, str(FOLDER / "session_model"), {"x": x}, {"y": y})
        EXPECTED["session_model"] = session.run(y, {x: [[0.1, 0.2]]})


Model = model_class(tf)


def object_model() -> None:
    tf1.enable_control_flow_v2()
    model = Model()
    model.g(tf.constant([1.0, 2.0]))
    model.g(tf.constant(1), flag=False)
    tf.saved_model.save(model, str(FOLDER / "object_model"))
    x = tf.Variable([[1.0, 2.0]])
    with tf.GradientTape() as tape:
        y = model.f(x)
    EXPECTED["object_model/f"], EXPECTED["object_model/gradient"] = y.numpy(), tape.gradient(y, x).numpy()
    EXPECTED["object_model/f_negative"] = model.f(tf.constant([[-1.0, -2.0]])).numpy()


def records() -> None:
    values = [bytes([number]) * (number * 7 % 300) for number in range(60)]
    for compression in ("", "GZIP", "ZLIB"):
        with tf.io.TFRecordWriter(str(FOLDER / f"records{compression}"), compression) as writer:
            for value in values:
                writer.write(value)
    feature, train = {}, tf.train
    feature["numbers"] = train.Feature(int64_list=train.Int64List(value=[1, -2, 3]))
    feature["reals"] = train.Feature(float_list=train.FloatList(value=[0.5, -1.5]))
    feature["text"] = train.Feature(bytes_list=train.BytesList(value=[b"x", b"yy"]))
    message = train.Example(features=train.Features(feature=feature))
    (FOLDER / "example.pb").write_bytes(message.SerializeToString(deterministic=True))


def summary_values() -> Any:
    random = np.random.default_rng(0)
    return (random.normal(size=1000) * np.exp(random.normal(size=1000) * 9)).astype(np.float32)


def summaries() -> None:
    with tf1.Graph().as_default(), tf1.Session() as session:
        with tf.name_scope("train"):
            tf1.summary.scalar("loss", 1.5)
            tf1.summary.scalar("loss", 2.5)
            tf1.summary.scalar("a b", 3.5, family="fam")
        tf1.summary.histogram("h", summary_values())
        tf1.summary.histogram("none", np.zeros(0, np.float32))
        tf1.summary.text("t", tf.constant(["hello", "w"]))
        (FOLDER / "summary.pb").write_bytes(session.run(tf1.summary.merge_all()))


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    checkpoint_of_all_types()
    checkpoint_of_parts()
    object_checkpoint()
    object_model()
    records()
    frozen("functional", True)
    frozen("switches", False)
    loop_of_version_1()
    session_model()
    summaries()
    saved_session("references", False)
    saved_session("resources", True)
    saved_session("old", False, tf1.train.SaverDef.V1)
    for path in FOLDER.rglob("fingerprint.pb"):
        path.unlink()
    np.savez_compressed(FOLDER / "expected.npz", **EXPECTED)


if __name__ == "__main__":
    main()
