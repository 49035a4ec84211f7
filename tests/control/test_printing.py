"""tf.print, tf.Print, and how tensors are summarized."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.ops.printing import summarized

v1 = tf.compat.v1


@pytest.mark.parametrize(
    ("value", "limit", "expected"),
    [
        (np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), 3, "[[1 2][3...]...]"),
        (np.arange(10), 3, "[0 1 2...]"),
        (np.arange(27).reshape(3, 3, 3), 3, "[[[0 1 2]]...]"),
        (np.array([b"ab", b"c d"], object), 3, "[ab c d]"),
        (np.float32(1.5), 3, "[1.5]"),
        (np.zeros(0), 3, "[]"),
        (np.array([True, False]), 3, "[1 0]"),
        (np.arange(4), -1, "[0 1 2 3]"),
    ],
)
def test_summaries(value: Any, limit: int, expected: str) -> None:
    assert summarized(value, limit) == expected


def test_print_eagerly(capfd: pytest.CaptureFixture[str]) -> None:
    x = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    tf.print("x:", x, 1, [tf.constant(1.5), "s"], {"k": tf.constant(["a"]), "j": None})
    assert capfd.readouterr().err == "x: [[1 2]\n [3 4]] 1 [1.5, 's'] {'j': None, 'k': [\"a\"]}\n"
    tf.print(tf.range(10), summarize=2, sep="", end="|")
    tf.print(tf.constant("plain"))
    assert capfd.readouterr().err == "[0 1 ... 8 9]|plain\n"


def test_print_to_streams_and_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tf.print("a", tf.constant(1), sep="--", output_stream=sys.stdout)
    assert capsys.readouterr().out == "a--1\n"
    path = tmp_path / "out.txt"
    tf.print(tf.constant(2), output_stream=f"file://{path}")
    assert path.read_text() == "2\n"
    with pytest.raises(ValueError, match="Unsupported output stream"):
        tf.print(1, output_stream=3)
    with pytest.raises(ValueError, match=r"Unrecognized keyword arguments for tf.print: {'bad': 1}"):
        tf.print(1, bad=1)


def test_print_runs_in_functions(capfd: pytest.CaptureFixture[str]) -> None:
    @tf.function
    def loop(n: Any) -> Any:
        def body(i: Any) -> Any:
            tf.print("i =", i)
            return (i + 1,)

        return tf.while_loop(lambda i: i < n, body, (0,))[0]

    loop(tf.constant(2))
    assert capfd.readouterr().err == "i = 0\ni = 1\n"


def test_print_of_tensorflow_1(tensorflow_1: None, capsys: pytest.CaptureFixture[str]) -> None:
    x = v1.placeholder(tf.float32, [2])
    shown = v1.Print(x * 2, [x, "text"], message="x is ", first_n=2)
    (gradient,) = v1.gradients(shown, x)
    with v1.Session() as session:
        for _ in range(3):
            np.testing.assert_array_equal(session.run(shown, {x: [1.0, 2.0]}), [2.0, 4.0])
        assert capsys.readouterr().err == "x is [1 2][text]\n" * 2
        np.testing.assert_array_equal(session.run(gradient, {x: [1.0, 2.0]}), [2.0, 2.0])
