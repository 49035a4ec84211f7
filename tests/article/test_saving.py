"""The article on what is kept and taken elsewhere: rows E09, and F09 to F12 of what it describes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import rillet as tf

v1 = tf.compat.v1


def in_a_new_process(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_e09_an_exported_graph_gives_equal_results_elsewhere(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        w = v1.get_variable("w", initializer=np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.25]], np.float32))
        tf.nn.softmax(x @ w, name="y")
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            expected = session.run("y:0", {"x:0": [[1.0, 2.0, 3.0]]})
            frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["y"])
    (tmp_path / "frozen.pb").write_bytes(frozen.SerializeToString())
    printed = in_a_new_process(f"""
        import rillet as tf
        definition = tf.compat.v1.GraphDef()
        definition.ParseFromString(open({str(tmp_path / "frozen.pb")!r}, "rb").read())
        with tf.Graph().as_default():
            y, = tf.import_graph_def(definition, return_elements=["y:0"], name="")
            with tf.compat.v1.Session() as session:
                print(session.run(y, {{"x:0": [[1.0, 2.0, 3.0]]}}).tolist())
    """)
    np.testing.assert_allclose(np.array(eval(printed)), expected, rtol=1e-6)


def test_f09_lazily_a_session_is_saved_as_a_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "session")
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [], name="x")
        weight = v1.get_variable("weight", initializer=3.0)
        tf.multiply(weight, x, name="product")
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            session.run(weight.assign(5.0))
            v1.train.Saver().save(session, path)
    printed = in_a_new_process(f"""
        import rillet as tf
        with tf.compat.v1.Session(graph=tf.Graph()) as session:
            with session.graph.as_default():
                tf.compat.v1.train.import_meta_graph({path + ".meta"!r}).restore(session, {path!r})
            print(session.run("product:0", {{"x:0": 2.0}}))
    """)
    assert float(printed) == 10.0


def test_f10_eagerly_a_checkpoint_navigates_to_the_values(tmp_path: Path) -> None:
    saved = tf.train.Checkpoint(v=tf.Variable([1.0, 2.0]), inner=tf.train.Checkpoint(w=tf.Variable(7)))
    path = saved.save(str(tmp_path / "c"))
    other = tf.train.Checkpoint(v=tf.Variable([0.0, 0.0]))
    status = other.restore(path)
    assert other.v.numpy().tolist() == [1.0, 2.0]
    other.inner = tf.train.Checkpoint(w=tf.Variable(0))  # what comes later gets its value when it comes
    assert int(other.inner.w) == 7
    status.assert_existing_objects_matched()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["sin", "exp", "square", "tanh", "negative", "sigmoid"]), min_size=1, max_size=5))
def test_f12_both_modes_give_the_same(names: list[str]) -> None:
    def composed(x: tf.Tensor) -> tf.Tensor:
        for name in names:
            x = getattr(tf.math, name)(0.5 * x)
        return x

    value = np.array([0.3, -0.7], np.float64)
    x = tf.constant(value)
    with tf.GradientTape() as tape:
        tape.watch(x)
        eager = composed(x)
    slope = tape.gradient(eager, x)
    with tf.Graph().as_default():
        fed = v1.placeholder(tf.float64, [2])
        lazy = composed(fed)
        with v1.Session() as session:
            results = session.run([lazy, v1.gradients(lazy, fed)[0]], {fed: value})
    np.testing.assert_allclose(results[0], eager.numpy(), rtol=1e-12)
    np.testing.assert_allclose(results[1], slope.numpy(), rtol=1e-12)
