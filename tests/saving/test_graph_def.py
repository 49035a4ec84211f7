"""GraphDef both ways: graphs of TensorFlow run here; what is exported is imported in a new process with equal results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

import rillet.v1 as tf
from tests.saving.data import FOLDER, expected

GIVEN = np.arange(8).reshape(2, 4).astype(np.float32) / 10 - np.float32(0.3)


def read(name: str) -> Any:
    return tf.GraphDef.FromString((FOLDER / name).read_bytes())


@pytest.mark.parametrize("name", ["functional", "switches"])
def test_frozen_graphs_of_tensorflow(name: str) -> None:
    wanted = expected()
    with tf.Graph().as_default() as graph, tf.Session() as session:
        out, gradient = tf.import_graph_def(read(f"{name}.pb"), return_elements=["out:0", "gradient:0"], name="")
        assert out is graph.get_tensor_by_name("out:0")
        for value in (False, True):
            found = session.run([out, gradient], {"x:0": GIVEN, "p:0": value})
            assert np.allclose(found[0], wanted[f"{name}/{value}/out"], rtol=1e-6)
            assert np.allclose(found[1], wanted[f"{name}/{value}/gradient"], rtol=1e-5)


def test_loops_of_version_1_are_refused() -> None:
    with tf.Graph().as_default(), pytest.raises(ValueError, match=r"node 'while/.*' .* cannot be converted"):
        tf.import_graph_def(read("loop_v1.pb"))


def training_graph() -> Any:
    """Variables of both kinds, a branch, a loop, gradients through them, an update."""
    x = tf.placeholder(tf.float32, [None, 4], name="x")
    random = np.random.default_rng(0)
    w = tf.get_variable("w", initializer=random.normal(size=(4, 3)).astype(np.float32))
    b = tf.get_variable("b", [3], use_resource=True, initializer=tf.constant_initializer(0.5))
    y = tf.nn.relu(tf.matmul(x, w) + b)
    c = tf.cond(tf.reduce_sum(x) > 0, lambda: tf.exp(y) * 2, lambda: y * y)
    _, result = tf.while_loop(lambda i, a: i < 5, lambda i, a: (i + 1, tf.tanh(a * b[0] + 1)), [tf.constant(0), c])
    loss = tf.reduce_mean(result, name="loss")
    for index, gradient in enumerate(tf.gradients(loss, [w, b])):
        tf.identity(gradient, name=f"gradient{index}")
    tf.train.AdamOptimizer(0.1).minimize(loss, name="train")
    tf.global_variables_initializer()


def results(session: Any) -> list[Any]:
    session.run("init")
    found = session.run(["loss:0", "gradient0:0", "gradient1:0"], {"x:0": GIVEN})
    session.run("train", {"x:0": GIVEN})
    return [*found, session.run("loss:0", {"x:0": GIVEN})]


NEW_PROCESS = """
import sys
import numpy as np
import rillet.v1 as tf
from tests.saving.test_graph_def import results
tf.import_graph_def(tf.GraphDef.FromString(open(sys.argv[1], "rb").read()), name="")
np.savez(sys.argv[2], *results(tf.Session()))
"""


def test_e09_a_graph_goes_to_a_new_process(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph, tf.Session() as session:
        training_graph()
        tf.train.write_graph(graph, str(tmp_path), "graph.pb", as_text=False)
        wanted = results(session)
    arguments = [sys.executable, "-c", NEW_PROCESS, str(tmp_path / "graph.pb"), str(tmp_path / "out.npz")]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert run.returncode == 0, run.stderr
    with np.load(tmp_path / "out.npz") as found:
        assert all(np.array_equal(found[f"arr_{index}"], value) for index, value in enumerate(wanted))


def test_text_and_back(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        training_graph()
        message = graph.as_graph_def()
        path = tf.io.write_graph(graph, str(tmp_path / "new"), "graph.pbtxt")
    assert path == str(tmp_path / "new" / "graph.pbtxt")
    assert text_format.Parse(Path(path).read_text(), tf.GraphDef()) == message
    with tf.Graph().as_default() as again:
        tf.import_graph_def(message, name="")
        exported = again.as_graph_def()
    known = [(node.name, node.op, list(node.input)) for node in message.node]
    assert [(node.name, node.op, list(node.input)) for node in exported.node] == known
    assert len(exported.library.function) == len(message.library.function) > 3


def test_loops_collect_values_in_lists() -> None:
    """TensorFlow's While has loop variables alone: what a loop collects for its gradient is a list among them."""
    with tf.Graph().as_default() as graph:
        training_graph()
        message = graph.as_graph_def()
    loops = [node for node in message.node if node.op == "StatelessWhile"]
    functions = {function.signature.name: function for function in message.library.function}
    for loop in loops:
        body = functions[loop.attr["body"].func.name].signature
        count = len(loop.attr["T"].list.type)
        assert len(loop.input) == len(body.input_arg) == len(body.output_arg) == count
        assert [argument.type for argument in body.input_arg] == list(loop.attr["T"].list.type)
    assert any(node.op == "EmptyTensorList" for node in message.node)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1.5, tf.float32), ([1, 2], tf.int64), ([[True], [False]], tf.bool), (["a", b"\xff"], tf.string),
        ([1 + 2j], tf.complex64), ([], tf.float16), (3, tf.uint8), ([1.5, 2], tf.bfloat16), ("x", tf.string),
        (np.zeros((2, 0)), tf.float64), (7, tf.half), (1 - 1j, tf.complex128), ([1, 2], tf.int8),
    ],
)  # fmt: skip
def test_constants(value: Any, dtype: Any) -> None:
    with tf.Graph().as_default() as graph:
        tf.constant(value, dtype, name="c")
        message = tf.GraphDef.FromString(graph.as_graph_def().SerializeToString())
        with tf.Session() as session:
            wanted = np.asarray(session.run("c:0"), object if dtype is tf.string else None)
    found = tf.make_ndarray(message.node[0].attr["value"].tensor)
    assert found.dtype == wanted.dtype and found.shape == wanted.shape and found.tolist() == wanted.tolist()
    again = tf.make_ndarray(tf.make_tensor_proto(wanted, dtype))
    assert again.tolist() == wanted.tolist()


def test_tensor_messages() -> None:
    few = tf.make_tensor_proto(5, tf.int32, [2, 2])
    assert tf.make_ndarray(few).tolist() == [[5, 5], [5, 5]]
    short = type(few)(dtype=1, float_val=[1, 2])
    short.tensor_shape.dim.add(size=4)
    assert tf.make_ndarray(short).tolist() == [1, 2, 2, 2]
    short.float_val.extend([3, 4, 5])
    with pytest.raises(ValueError, match="4 elements comes with 5 values"):
        tf.make_ndarray(short)


def test_maps_names_and_mistakes() -> None:
    with tf.Graph().as_default() as small:
        a = tf.placeholder(tf.float32, [2], name="a")
        tf.add(a, 1.0, name="b")
        message = small.as_graph_def(add_shapes=True)
    assert message.node[0].attr["_output_shapes"].list.shape[0].dim[0].size == 2
    with tf.Graph().as_default() as graph, tf.Session() as session:
        mine = tf.constant([1.0, 2.0])
        (b,) = tf.import_graph_def(message, {"a": mine}, ["b:0"])
        assert b.name == "import/b:0" and session.run(b).tolist() == [2, 3]
        tf.import_graph_def(message)
        assert graph.get_operation_by_name("import_1/b").inputs[0].name == "import_1/a:0"
        with pytest.raises(ValueError, match=r"not found in graph_def: \[nothing\]"):
            tf.import_graph_def(message, {"nothing:0": mine})
        with pytest.raises(ValueError, match="return_element 'c:0' not found"):
            tf.import_graph_def(message, return_elements=["c:0"])
        with pytest.raises(TypeError, match="must be a GraphDef"):
            tf.import_graph_def("a")
        message.node[1].op = "Nonsense"
        with pytest.raises(ValueError, match="not registered 'Nonsense', of node 'b/y'"):
            tf.import_graph_def(message)
        message.node[1].op = "Const"
        message.node[2].input[0] = "lost"
        with pytest.raises(ValueError, match="Node 'b': Unknown input node 'lost'"):
            tf.import_graph_def(message)
        message.node[2].input[0] = "a"
        message.node[0].attr["dtype"].type = tf.int32.as_datatype_enum
        with pytest.raises(ValueError, match="Input 0 of node b was passed int32"):
            tf.import_graph_def(message)


def frozen_graph(session: Any) -> Any:
    x = tf.placeholder(tf.float32, [None, 2], name="x")
    w = tf.get_variable("w", initializer=np.float32([[1, 2], [3, 4]]), use_resource=True)
    b = tf.get_variable("b", initializer=np.float32([1, 1]))
    y = tf.matmul(x, w) + b
    z = tf.cond(tf.reduce_sum(y) > 0, lambda: tf.matmul(y, w), lambda: y)
    _, z = tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, tf.matmul(a, w) * 0.1), [0, z])
    z = tf.identity(z + tf.nn.embedding_lookup(w, [0]), name="out")
    tf.identity(z, name="unused")
    session.run(tf.global_variables_initializer())
    return session.run(z, {x: [[1, 2]]})


def test_variables_become_constants() -> None:
    with tf.Graph().as_default() as graph, tf.Session() as session:
        wanted = frozen_graph(session)
        message = tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["out"])
        with pytest.raises(ValueError, match="nowhere is not in graph"):
            tf.graph_util.extract_sub_graph(message, ["nowhere"])
    ops = {node.op for node in message.node} | {node.op for f in message.library.function for node in f.node_def}
    assert not ops & {"VarHandleOp", "VariableV2"} and "unused" not in {node.name for node in message.node}
    trimmed = tf.graph_util.remove_training_nodes(message, protected_nodes=["out"])
    assert len(trimmed.node) < len(message.node)
    for each in (message, trimmed):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.import_graph_def(each, name="")
            assert np.array_equal(session.run("out:0", {"x:0": [[1, 2]]}), wanted)


def test_what_exists_in_this_process_alone() -> None:
    with tf.Graph().as_default() as graph:
        empty = tf.raw_ops.EmptyTensorList(element_shape=[2], max_num_elements=-1, element_dtype=tf.float32)
        del empty
        assert graph.as_graph_def().node[-1].op == "EmptyTensorList"
