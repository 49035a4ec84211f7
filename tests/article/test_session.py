"""Sessions and placeholders (rows C01 to C07)."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import rillet as tf


def test_c01_without_a_session_nothing_runs() -> None:
    with tf.Graph().as_default():
        tensor = tf.placeholder(tf.float32, []) + 1
        with pytest.raises(
            ValueError, match=r"Cannot evaluate tensor using `eval\(\)`: No default session is registered"
        ):
            tensor.eval()


def test_c01_sessions_nest_and_close() -> None:
    with tf.Graph().as_default():
        one = tf.constant(1.0) + tf.placeholder_with_default(1.0, [])
        with tf.Session() as outer:
            assert tf.get_default_session() is outer
            with tf.Session() as inner:
                assert tf.get_default_session() is inner
                assert one.eval() == 2.0
            assert tf.get_default_session() is outer
        assert tf.get_default_session() is None
        with pytest.raises(RuntimeError, match="Attempted to use a closed Session"):
            outer.run(one)
        interactive = tf.InteractiveSession()
        assert one.eval() == 2.0
        interactive.close()
        assert tf.get_default_session() is None


def test_c02_each_session_has_its_own_variables() -> None:
    with tf.Graph().as_default():
        variable = tf.Variable(1.0, name="weight")
        increment = variable.assign_add(1.0)
        first, second = tf.Session(), tf.Session()
        with pytest.raises(tf.errors.FailedPreconditionError, match="weight"):
            first.run(variable)
        for session in (first, second):
            session.run(tf.global_variables_initializer())
        first.run(increment)
        assert (first.run(variable), second.run(variable)) == (2.0, 1.0)


def test_c03_a_placeholder_is_an_empty_shell() -> None:
    with tf.Graph().as_default():
        shell = tf.placeholder(tf.float32, name="placeholder_1")
        with tf.Session() as session:
            message = "You must feed a value for placeholder tensor 'placeholder_1' with dtype float"
            with pytest.raises(tf.errors.InvalidArgumentError, match=message):
                session.run(shell * 2)


def test_c04_feeding() -> None:
    with tf.Graph().as_default():
        p = tf.placeholder(tf.float32, [None, 3], name="p")
        doubled = tf.multiply(p, 2.0, name="doubled")
        result = doubled + 1
        with tf.Session() as session:
            expected = [[3.0, 5.0, 7.0]]
            for key, value in ((p, [[1, 2, 3]]), ("p:0", [[1.0, 2.0, 3.0]]), (p, np.array([[1, 2, 3]], np.int64))):
                np.testing.assert_array_equal(session.run(result, {key: value}), expected)
            with pytest.raises(
                ValueError, match=r"Cannot feed value of shape \(2, 5\) for Tensor p:0, which has shape \(None, 3\)"
            ):
                session.run(result, {p: np.zeros((2, 5))})
            np.testing.assert_array_equal(session.run(result, {doubled: [[0, 0, 0]]}), [[1, 1, 1]])
            with pytest.raises(TypeError):
                session.run(result, {p: doubled})


def test_c05_a_shapeless_placeholder_takes_any_shape() -> None:
    with tf.Graph().as_default():
        p = tf.placeholder(tf.float32, None)
        square = p**2
        with tf.Session() as session:
            np.testing.assert_array_equal(session.run(square, {p: [2, 3, 5]}), [4, 9, 25])
            np.testing.assert_array_equal(session.run(square, {p: [[1, 2], [3, 4]]}), [[1, 4], [9, 16]])


def test_c06_operators_on_symbolic_tensors() -> None:
    with tf.Graph().as_default():
        p = tf.placeholder(tf.float32, None, name="placeholder_1")
        power = p**2
        assert power.op.name == "pow"
        assert [tensor.name for tensor in power.op.inputs] == ["placeholder_1:0", "pow/y:0"]
        i = tf.placeholder(tf.int32, None)
        flag = tf.placeholder(tf.bool, None)
        results = [
            p + 1, 1 + p, p - 1, 1 - p, p * 2, 2 * p, p / 2, 2 / p, p // 2, 7 // p, p % 2, 7 % p, p**2, 2**p, -p, abs(p),
            p < 1, p <= 1, p > 1, p >= 1, i & 3, i | 8, i ^ 1, ~i, flag & True, flag | False, ~flag, flag ^ True,
        ]  # fmt: skip
        x, n = np.float32(3.0), np.int32(5)
        expected = [
            4, 4, 2, -2, 6, 6, 1.5, 2 / 3, 1, 2, 1, 1, 9, 8, -3, 3,
            False, False, True, True, 1, 13, 4, -6, True, True, False, False,
        ]  # fmt: skip
        with tf.Session() as session:
            np.testing.assert_allclose(session.run(results, {p: x, i: n, flag: True}), expected, rtol=1e-6)
            m = tf.placeholder(tf.float32, [2, 2])
            np.testing.assert_array_equal(session.run(m @ m, {m: [[1, 2], [3, 4]]}), [[7, 10], [15, 22]])
            np.testing.assert_array_equal(
                session.run(np.eye(2, dtype=np.float32) @ m, {m: [[1, 2], [3, 4]]}), [[1, 2], [3, 4]]
            )


Pair = namedtuple("Pair", "left right")


def test_c07_fetches_come_back_as_numpy_in_their_structure(capsys: pytest.CaptureFixture[str]) -> None:
    with tf.Graph().as_default():
        p = tf.placeholder(tf.float32, None, name="p")
        square = tf.square(p, name="square")
        nothing = tf.no_op()
        with tf.Session() as session:
            feeds = {p: [2, 3, 5]}
            result = session.run(square, feeds)
            assert type(result) is np.ndarray and result.dtype == np.float32
            print(result)
            assert capsys.readouterr().out == "[ 4.  9. 25.]\n"
            result[0] = 0  # the caller owns it
            nested = session.run(
                {
                    "list": [square, p],
                    "tuple": (square,),
                    "pair": Pair(square, nothing),
                    "name": "square:0",
                    "op": square.op,
                },
                feeds,
            )
            assert isinstance(nested["list"], list) and isinstance(nested["tuple"], tuple)
            assert isinstance(nested["pair"], Pair) and nested["pair"].right is None and nested["op"] is None
            np.testing.assert_array_equal(nested["name"], [4, 9, 25])
            ordered = session.run(OrderedDict([("b", square), ("a", p)]), feeds)
            assert isinstance(ordered, OrderedDict) and list(ordered) == ["b", "a"]
            with pytest.raises(TypeError, match="Fetch argument None has invalid type"):
                session.run(None)
