"""tf.debugging.Assert and the assertions."""

from typing import Any

import numpy as np
import pytest

import rillet as tf

v1 = tf.compat.v1
Invalid = tf.errors.InvalidArgumentError


def _in_graph(check: Any, *arrays: Any) -> None:
    """Runs an assertion in a graph in which no value is known."""
    with tf.Graph().as_default() as graph:
        feeds = [v1.placeholder(np.asarray(array).dtype, None) for array in arrays]
        operation = check(*feeds)
    with v1.Session(graph=graph) as session:
        session.run(operation, dict(zip(feeds, arrays, strict=True)))


COMPARISONS = {
    "assert_equal": ([1, 2], [1, 2], [1, 3], "=="),
    "assert_none_equal": ([1, 2], [3, 4], [1, 3], "!="),
    "assert_less": ([1, 2], [2, 3], [1, 3], "<"),
    "assert_less_equal": ([1, 2], [1, 3], [0, 3], "<="),
    "assert_greater": ([1, 2], [0, 1], [1, 1], ">"),
    "assert_greater_equal": ([1, 2], [1, 1], [2, 1], ">="),
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(name: str) -> None:
    x, good, bad, sign = (
        np.array(value, np.int32) if isinstance(value, list) else value for value in COMPARISONS[name]
    )
    check = getattr(tf.debugging, name)
    assert check(x, good) is None
    with pytest.raises(
        Invalid, match=f"hello\nCondition x {sign} y did not hold.\nIndices of first 1 different values"
    ):
        check(x, bad, message="hello")
    _in_graph(check, x, good)
    with pytest.raises(Invalid, match=f"assertion failed: .*Condition x {sign} y did not hold element-wise"):
        _in_graph(check, x, bad)


def test_known_values_are_checked_while_the_graph_is_built() -> None:
    with (
        tf.Graph().as_default(),
        pytest.raises(Invalid, match=r"Condition x == y did not hold element-wise:\nx \(Const:0\) ="),
    ):
        tf.debugging.assert_equal(tf.constant([1, 2]), tf.constant([1, 3]))


@pytest.mark.parametrize(
    ("name", "good", "sign"),
    [
        ("assert_positive", 1.0, ">"),
        ("assert_negative", -1.0, "<"),
        ("assert_non_negative", 1.0, ">="),
        ("assert_non_positive", -1.0, "<="),
    ],
)
def test_signs(name: str, good: float, sign: str) -> None:
    check = getattr(tf.debugging, name)
    values = np.array([good, good * 2], np.float32)
    check(values)
    _in_graph(check, values)
    with pytest.raises(Invalid, match=f"Condition x {sign} 0 did not hold element-wise"):
        check(-values)
    with pytest.raises(Invalid, match=f"Condition x {sign} 0 did not hold element-wise"):
        _in_graph(check, -values)


def test_near() -> None:
    tf.debugging.assert_near(1.0, 1.0 + 1e-7)
    with pytest.raises(Invalid, match="x and y not equal to tolerance"):
        tf.debugging.assert_near([1.0, 2.0], [1.0, 3.0])
    tf.debugging.assert_near([1.0, 2.0], [1.0, 3.0], atol=2.0)


def test_ranks() -> None:
    x = tf.constant([1.0, 2.0])
    tf.debugging.assert_rank(x, 1)
    tf.debugging.assert_rank_at_least(x, 1)
    tf.debugging.assert_rank_in(x, [1, 3])
    with pytest.raises(ValueError, match=r"hey.  Tensor  must have rank 2.  Received rank 1, shape \(2,\)"):
        tf.debugging.assert_rank(x, 2, message="hey")
    with pytest.raises(ValueError, match="must have rank at least 2"):
        tf.debugging.assert_rank_at_least(x, 2)
    with pytest.raises(ValueError, match=r"must have rank in \(2, 3\)"):
        tf.debugging.assert_rank_in(x, [2, 3])
    with pytest.raises(ValueError, match="Expected scalar shape"):
        tf.debugging.assert_scalar(x)
    _in_graph(lambda x: tf.debugging.assert_rank(x, 1), x.numpy())
    with pytest.raises(Invalid, match="must have rank"):
        _in_graph(lambda x: tf.debugging.assert_rank(x, 2), x.numpy())


def test_shapes_with_symbols() -> None:
    x, y = tf.zeros([2, 3]), tf.zeros([3])
    tf.debugging.assert_shapes([(x, ("N", "D")), (y, ("D",)), (x, ("...", 3))])
    with pytest.raises(ValueError, match=r"dimension 0 must have size 2.  Received size 3"):
        tf.debugging.assert_shapes([(x, ("N", "D")), (y, ("N",))])
    with pytest.raises(ValueError, match=r"Specified explicitly.  Tensor .* dimension 1 must have size 4"):
        tf.debugging.assert_shapes([(x, ("N", 4))])

    def check(a: Any, b: Any) -> Any:
        return tf.debugging.assert_shapes([(a, ("N", "D")), (b, ("D",))])

    _in_graph(check, x.numpy(), y.numpy())
    with pytest.raises(Invalid, match="must have size"):
        _in_graph(check, x.numpy(), np.zeros(4, np.float32))


def test_types() -> None:
    x = tf.constant([1.0])
    tf.debugging.assert_type(x, tf.float32)
    with pytest.raises(TypeError, match=r"tensor must be of type tf.int32; got tf.float32"):
        tf.debugging.assert_type(x, tf.int32)
    with pytest.raises(TypeError, match='Expected "x" to be integer type'):
        tf.debugging.assert_integer(x)
    assert tf.debugging.assert_same_float_dtype([x]) is tf.float32
    with pytest.raises(ValueError, match="must be of the same type"):
        tf.debugging.assert_same_float_dtype([x, tf.constant(1)])
    with pytest.raises(TypeError, match='"proper" iterable'):
        tf.debugging.assert_proper_iterable("abc")
    assert tf.debugging.is_numeric_tensor(x)
    assert not tf.debugging.is_numeric_tensor(3)


def test_finite() -> None:
    with pytest.raises(Invalid, match="oh : Tensor had NaN values"):
        tf.debugging.assert_all_finite([1.0, np.nan], "oh")
    assert v1.verify_tensor_all_finite(t=[1.0], msg="fine").numpy() == 1.0


def test_assert_in_functions_runs_of_itself() -> None:
    @tf.function
    def root(x: Any) -> Any:
        tf.debugging.Assert(x > 0, ["not positive:", x])
        return tf.sqrt(x)

    assert root(tf.constant(4.0)).numpy() == 2.0
    with pytest.raises(Invalid, match=r"assertion failed: \[not positive:\] \[-1\]"):
        root(tf.constant(-1.0))


def test_assert_in_tensorflow_1_must_be_asked_for(tensorflow_1: None) -> None:
    x = v1.placeholder(tf.float32, [2])
    check = v1.Assert(tf.reduce_all(x > 0), ["bad", x])
    assert check.name == "Assert/AssertGuard/Merge"
    with tf.control_dependencies([check]):
        careful = x * 2
    with v1.Session() as session:
        session.run(x * 2, {x: [1.0, -1.0]})
        with pytest.raises(Invalid, match=r"assertion failed: \[bad\] \[1 -1\]"):
            session.run(careful, {x: [1.0, -1.0]})


def test_numerics_are_watched() -> None:
    tf.debugging.enable_check_numerics()
    try:
        with pytest.raises(Invalid, match='in output 0 of eagerly-executing op "Log"'):
            tf.math.log(tf.constant([1.0, 0.0]))
        with pytest.raises(Invalid, match=r'in output 0 of graph op "Sqrt"(.|\n)*made at .*test_checks.py'):
            tf.function(lambda x: tf.sqrt(x) * 2)(tf.constant([-1.0]))
        assert tf.math.log(tf.constant(1.0)).numpy() == 0.0
    finally:
        tf.debugging.disable_check_numerics()
    assert np.isneginf(tf.math.log(tf.constant(0.0)).numpy())


def test_placement_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    tf.debugging.set_log_device_placement(True)
    try:
        assert tf.debugging.get_log_device_placement()
        tf.constant([1.0]) + 1.0
    finally:
        tf.debugging.set_log_device_placement(False)
    assert "Executing op AddV2 in device /job:localhost" in capsys.readouterr().err
