"""tf.test.TestCase: what it accepts, and what it says when it does not."""

from __future__ import annotations

import random
import unittest
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.compat import v1 as tf1


@pytest.fixture
def case() -> Any:
    made = tf.test.TestCase("evaluate")
    made.setUp()
    yield made
    made.tearDown()


def test_accepted(case: Any) -> None:
    case.assertAllClose([[1.0], [2.0]], [np.array([1.0]), np.array([2.0])])
    case.assertAllClose([tf.constant([1.0]), tf.constant([1.0, 2.0])], [[1.0], [1.0, 2.0]])
    case.assertAllClose({"a": tf.constant([1.0, np.nan])}, {"a": np.array([1.0, np.nan])})
    case.assertAllClose(tf.Variable([1.0, np.inf]), [1.0, np.inf])
    case.assertAllEqual([b"a"], ["a"])
    case.assertAllEqual([np.nan], [np.nan])
    case.assertAllCloseAccordingToType(np.float16([1]), np.float16([1.0009]))
    case.assertShapeEqual(np.zeros([2]), tf.zeros([2]))
    case.assertAllInRange([1, 2], 1, 2)
    case.assertDictEqual({"a": tf.constant([1])}, {"a": [1]})


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda c: c.assertAllClose([1.0, 2.0], [1.0, 2.1]), "Not equal to tolerance rtol=1e-06, atol=1e-06"),
        (lambda c: c.assertAllClose({"a": [1.0, (2.0,)]}, {"a": [1.0, (2.5,)]}), r"a\[a\]\[1\] is different from b"),
        (lambda c: c.assertAllClose([1, 2], [1, 2, 3]), r"Shape mismatch: expected \(2,\), got \(3,\)"),
        (lambda c: c.assertAllClose({"a": 1}, {"b": 1}), "mismatched keys"),
        (lambda c: c.assertAllEqual([1, 2], [1, 3]), "Arrays are not equal"),
        (lambda c: c.assertNotAllClose([1.0], [1.0]), "The two values are close at all elements"),
        (lambda c: c.assertNotAllEqual([1.0], [1.0]), "The two values are equal at all elements"),
        (lambda c: c.assertNear(1.0, 2.0, 0.1), "1.000000 != 2.000000"),
        (lambda c: c.assertArrayNear([1.0], [2.0], 0.1), "1.000000 != 2.000000"),
        (lambda c: c.assertAllInRange([1, 5], 2, 4), r"2 of the 2 element\(s\) are outside the range \[2, 4\]"),
        (lambda c: c.assertAllInRange(np.array([np.nan]), 0, 2), r"1 of the 1 element\(s\)"),
        (lambda c: c.assertAllInSet([1, 5], {1}), r"1 unique element\(s\) are not in the set"),
        (lambda c: c.assertAllGreater([1, 5], 2), "not greater than 2"),
        (lambda c: c.assertShapeEqual(np.zeros([2]), tf.zeros([3])), "Arrays are not equal"),
        (lambda c: c.assertDTypeEqual(np.zeros(2), np.float32), "float64"),
        (lambda c: c.assertStartsWith("abc", "b"), "'abc' does not start with 'b'"),
        (lambda c: c.assertLen([1], 2), "has length of 1, expected 2"),
    ],
)  # fmt: skip
def test_rejected(case: Any, check: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(case)


def test_errors_expected(case: Any) -> None:
    with case.assertRaisesOpError("xyz"):
        raise tf.errors.InvalidArgumentError(None, None, "xyz")
    with pytest.raises(AssertionError, match="xyz"), case.assertRaisesOpError("abc"):
        raise tf.errors.InvalidArgumentError(None, None, "xyz")
    with pytest.raises(AssertionError, match="OpError not raised"), case.assertRaisesOpError("abc"):
        pass
    with case.assertRaisesWithPredicateMatch(ValueError, lambda error: "q" in str(error)):
        raise ValueError("q")


def test_sessions(case: Any) -> None:
    with tf.Graph().as_default():
        with case.session() as session:
            assert tf1.get_default_session() is session
            assert case.evaluate({"a": tf.constant(3)}) == {"a": 3}
        with case.test_session() as first:
            value = tf.constant([1.0, 2.0])
            with case.cached_session() as second:
                assert first is second
            case.assertAllClose(value, [1.0, 2.0])
            with pytest.raises(AssertionError, match="Not equal to tolerance"):
                case.assertAllClose(value, [1.0, 2.1])


def test_sessions_are_no_use_eagerly(case: Any) -> None:
    with case.session() as session, pytest.raises(AttributeError, match="while eager execution is enabled"):
        session.run(1)
    assert case.evaluate(tf.constant(2)) == 2


def test_seeds() -> None:
    case = tf.test.TestCase("evaluate")
    case.setUp()
    numbers = [random.random(), np.random.rand(), float(tf.random.uniform([]))]
    np.testing.assert_allclose(numbers, [0.3499765785632496, 0.18463433217903202, 0.5836375], rtol=1e-7)


def test_as_unittest() -> None:
    class Example(tf.test.TestCase):  # type: ignore[name-defined, misc]
        def test_good(self) -> None:
            self.assertAllEqual(tf.constant([1, 2]), [1, 2])

        def test_bad(self) -> None:
            self.assertAllEqual(tf.constant([1, 2]), [1, 3])

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Example).run(result)
    bad = [(name.id().rpartition(".")[2]) for name, _ in result.failures]
    assert bad == ["test_bad"]
    assert not result.errors
    assert [(test.id().rpartition(".")[2], why) for test, why in result.skipped] == [("test_session", "Not a test.")]


def test_checked_thread(case: Any) -> None:
    def fail() -> None:
        raise ValueError("inside")

    thread = case.checkedThread(fail)
    thread.start()
    with pytest.raises(AssertionError, match="inside"):
        thread.join()


def test_mock() -> None:
    replaced = tf1.test.mock.Mock(return_value=3)
    assert replaced(1) == 3
    replaced.assert_called_once_with(1)
