"""Programs that are kept on disk: another process finds them, and gets what it would have compiled."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import rillet as tf
from rillet.core.execution import eager_context
from rillet.core.function import Function
from rillet.engines.native import stored
from rillet.engines.native.identity import Identity, Unidentified

_HEAD = """
    import sys
    import numpy as np
    import rillet.v1 as tf
"""
# Whether this process has compiled something is told by whether LLVM is loaded.
_TAIL = """
    print("compiled" if "llvmlite.binding" in sys.modules else "found")
"""

PROGRAMS = {
    "training": """
        tf.set_random_seed(3)
        x = tf.placeholder(tf.float32, [None, 5])
        w = tf.get_variable("w", [5, 3], initializer=tf.random_normal_initializer(seed=1))
        h = tf.nn.dropout(tf.tanh(tf.matmul(x, w)), rate=0.25, seed=2)
        loss = tf.reduce_mean(tf.square(h - 0.5))
        train = tf.train.AdamOptimizer(0.1).minimize(loss)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for step in range(4):
                print(session.run([loss, train], {x: np.ones([7, 5]) * step})[0])
            print(session.run(w).tolist())
    """,
    "loop": """
        n = tf.placeholder(tf.int32, [])
        total = tf.while_loop(lambda i, s: i < n, lambda i, s: (i + 1, s * 1.5 + tf.cast(i, tf.float32)), [0, 1.0])[1]
        with tf.Session() as session:
            print(session.run(tf.add_n([total] * 12), {n: 5}), session.run(tf.add_n([total] * 12), {n: 9}))
    """,
    "by value": """
        x, axis = tf.placeholder(tf.float32, [3, 4]), tf.placeholder(tf.int32, [])
        y = x
        for _ in range(12):
            y = tf.sin(y)
        y = tf.reduce_sum(y, axis)
        with tf.Session() as session:
            for a in (0, 1, 0):
                print(session.run(y, {x: np.arange(12.0).reshape(3, 4), axis: a}).tolist())
    """,
    "in part": """
        x = tf.placeholder(tf.float32, [6])
        y = x
        for _ in range(12):
            y = tf.sin(y) + 0.1
        z = tf.cast(tf.string_to_number(tf.as_string(tf.reduce_sum(y))), tf.float32) * y
        with tf.Session() as session:
            print(session.run(z, {x: np.arange(6.0)}).tolist())
    """,
    "called": """
        tf.enable_eager_execution()
        tf.set_random_seed(5)
        v = tf.Variable([1.0, 2.0, 3.0])

        @tf.function
        def inner(x):
            return x + tf.random.uniform([3], seed=4)

        @tf.function
        def outer(x):
            for _ in range(6):
                x = inner(inner(x)) * v
            v.assign_add(x * 1e-3)
            return x

        print(outer(tf.constant([1.0, 2.0, 3.0])).numpy().tolist(), outer(tf.zeros([3])).numpy().tolist(), v.numpy().tolist())
    """,
}


def run(body: str, folder: Path, **environment: str) -> list[str]:
    program = textwrap.dedent(_HEAD) + textwrap.dedent(body) + textwrap.dedent(_TAIL)
    settings = {**os.environ, "RILLET_CACHE": str(folder), "RILLET_VERIFY": "0", **environment}
    done = subprocess.run([sys.executable, "-c", program], env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_next_process_finds_the_program(name: str, tmp_path: Path) -> None:
    first = run(PROGRAMS[name], tmp_path)
    second = run(PROGRAMS[name], tmp_path)
    assert first[-1] == "compiled"
    assert second[-1] == "found"
    assert first[:-1] == second[:-1]


def test_damage_is_noticed_and_mended(tmp_path: Path) -> None:
    first = run(PROGRAMS["training"], tmp_path)
    for path in (tmp_path / "native").iterdir():
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert run(PROGRAMS["training"], tmp_path) == first
    assert run(PROGRAMS["training"], tmp_path)[-1] == "found"


def test_machine_code_that_is_gone_is_compiled_again(tmp_path: Path) -> None:
    first = run(PROGRAMS["loop"], tmp_path)
    largest = sorted((tmp_path / "native").iterdir(), key=lambda path: path.stat().st_size)
    for path in largest[len(largest) // 2 :]:
        path.unlink()
    assert run(PROGRAMS["loop"], tmp_path) == first


def test_passes_that_are_off_make_other_programs(tmp_path: Path) -> None:
    run(PROGRAMS["training"], tmp_path)
    assert run(PROGRAMS["training"], tmp_path, RILLET_PASSES="-fuse")[-1] == "compiled"


# ---- identity -------------------------------------------------------------------------------------------------------


def identity(function: Function, *given: object) -> bytes:
    return Identity(function, given, eager_context()).key


def traced(body: object, *shape: int) -> Function:
    concrete = tf.function(body).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    return concrete.graph.function()


def test_what_differs_has_another_identity() -> None:
    given = (tf.float32, (2, 3))
    bodies = {
        "sum": lambda x: tf.reduce_sum(x, 0),
        "other axis": lambda x: tf.reduce_sum(x, 1),
        "axes kept": lambda x: tf.reduce_sum(x, 0, keepdims=True),
        "constant": lambda x: x + 1.0,
        "other constant": lambda x: x + 2.0,
        "order": lambda x: x - tf.exp(x),
        "other order": lambda x: tf.exp(x) - x,
        "results": lambda x: (x, tf.exp(x)),
        "results turned": lambda x: (tf.exp(x), x),
    }
    keys = {identity(traced(body, 2, 3), given) for body in bodies.values()}
    assert len(keys) == len(bodies)
    function = traced(bodies["sum"], 2, 3)
    assert identity(function, given) == identity(traced(bodies["sum"], 2, 3), given)
    assert identity(function, given) != identity(function, (tf.float32, (2, 4)))
    assert identity(function, given) != identity(function, (tf.float64, (2, 3)))
    assert identity(function, np.zeros(2)) != identity(function, np.ones(2))


def test_variables_are_told_apart() -> None:
    def doubled(a: tf.Variable, b: tf.Variable) -> bytes:
        function = tf.function(lambda: a + b).get_concrete_function().graph.function()
        return identity(function, *[a.handle._array, b.handle._array][: len(function.inputs)])

    v, w = tf.Variable([1.0]), tf.Variable([2.0])
    assert doubled(v, v) == doubled(w, w) != doubled(v, w) == doubled(w, v)


def test_what_only_this_process_knows_has_none() -> None:
    function = traced(lambda x: x + 1.0, 2)
    with pytest.raises(Unidentified):
        Identity(function, (np.array([object()]),), eager_context())


def test_too_many_constants_are_not_kept() -> None:
    parts = stored.Parts(
        [], 1, [], [], [stored.Constant(0, np.zeros(2 << 20, np.float32))], [], 0, [], None, False, 0, 0
    )
    assert stored.pack(parts, Identity(traced(lambda x: x, 2), [(tf.float32, (2,))], eager_context())) is None
