"""`rillet draw program.py:name`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LAZY = """
import tensorflow as tf
a, b, d, f = (tf.placeholder(tf.float32, (), name=name) for name in "abdf")
product = a * b
total = product + d
g = total / f
print("ran")
"""
EAGER = """
import tensorflow as tf
c = tf.constant(2.0)
w = tf.Variable([1.0, 2.0])
with tf.GradientTape(persistent=True) as tape:
    tape.watch(c)
    f = 4 * c

@tf.function
def square(x):
    return tf.reduce_sum(x * x)
"""
FEEDS = ["--feed", "a=2", "--feed", "b=3", "--feed", "d=4", "--feed", "f=5"]


def draw(folder: Path, source: str, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(source)
    command = [sys.executable, "-m", "rillet", "draw", f"program.py:{name}", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_graph_with_values_and_derivatives(tmp_path: Path) -> None:
    shown = draw(tmp_path, LAZY, "g", "--wrt", "a,b,d,f", *FEEDS)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("ran\ng ÷  = 2  ∂g/∂g = 1\n")
    assert "∂g/∂f = −total/f² = −0.4" in shown.stdout and "∂g/∂a = 0.6" in shown.stdout


@pytest.mark.parametrize("ending", ["svg", "html", "dot", "txt"])
def test_files(ending: str, tmp_path: Path) -> None:
    shown = draw(tmp_path, LAZY, "g", "--wrt", "all", "--title", "The graph of g", "-o", f"g.{ending}")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "ran\n", "")
    assert "∂prod" in (tmp_path / f"g.{ending}").read_text(encoding="utf-8")


def test_tape_function_and_tensor(tmp_path: Path) -> None:
    assert "∂f/∂c = 4" in draw(tmp_path, EAGER, "f").stdout
    assert "∂mul/∂x = x = 2" in draw(tmp_path, EAGER, "square", "--args", "c", "--wrt", "x").stdout
    assert draw(tmp_path, EAGER, "c").stdout == "scalar: rank 0, float32\n2\n"
    assert "vector: rank 1, shape 2, float32" in draw(tmp_path, EAGER, "w").stdout


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("nothing", [], "the program has nothing called 'nothing'"),
        ("g", ["--wrt", "z"], "nothing that is drawn is called 'z'"),
        ("g", ["--feed", "a"], "--feed takes name=value"),
        ("g", ["--feed", "a=b"], "is no number"),
        ("g", ["-o", "g.png"], "-o takes a name that ends in one of .svg"),
    ],
)
def test_mistakes(target: str, options: list[str], message: str, tmp_path: Path) -> None:
    shown = draw(tmp_path, LAZY, target, *options)
    assert shown.returncode in (1, 2) and message in shown.stderr and "Traceback" not in shown.stderr
