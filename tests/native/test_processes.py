"""Programs of a user, interrupted, forked, and shared by threads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.engines import compiling_always
from tests.native.test_runtime import _exit_code

v1 = tf.compat.v1


def python(script: str) -> None:
    """Runs it in a process of its own; what it asserts must hold."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, os.getcwd()]), "RILLET_COMPILE": "always"}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


INTERRUPTED = """
    import os, signal, threading, time
    import numpy as np
    import rillet as tf
    v1 = tf.compat.v1

    def interrupted(call, seconds=2.0):
        "Whether the call is stopped by Ctrl-C, and soon."
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        start = time.monotonic()
        try:
            call()
        except KeyboardInterrupt:
            return time.monotonic() - start < 0.3 + seconds
        return False
"""


def test_ctrl_c_stops_a_session() -> None:
    """An endless loop that updates a variable; afterwards the session is as good as before."""
    python(
        INTERRUPTED
        + """
    with tf.Graph().as_default() as graph:
        goes_on = v1.placeholder(tf.bool, [])
        total = v1.Variable(np.zeros(4, np.float32), use_resource=True)

        def turn(number):
            with v1.control_dependencies([v1.assign_add(total, tf.ones([4]))]):
                return number + 1

        turns = tf.while_loop(lambda number: tf.logical_or(goes_on, number < 3), turn, [tf.constant(0)])[0]
        initializer = v1.global_variables_initializer()
    session = v1.Session(graph=graph)
    session.run(initializer)
    assert session.run(turns, {goes_on: False}) == 3
    assert interrupted(lambda: session.run(turns, {goes_on: True}))
    before = session.run(total)
    assert (before == before[0]).all()
    assert session.run(turns, {goes_on: False}) == 3
    np.testing.assert_array_equal(session.run(total), before + 3)
    """
    )


def test_ctrl_c_stops_a_function_between_its_kernels() -> None:
    """A long row of matrix products."""
    python(
        INTERRUPTED
        + """
    @tf.function
    def long(x):
        for _ in range(200):
            x = tf.tanh(x @ x)
        return tf.reduce_sum(x)

    x = tf.constant(np.full((1024, 1024), 0.001, np.float32))
    long.get_concrete_function(x)
    assert interrupted(lambda: [long(x) for _ in range(100)])
    assert np.isfinite(tf.function(lambda y: tf.reduce_sum(y @ y))(x[:8, :8]).numpy())
    """
    )


def program_of(number: int) -> Any:
    """One that no other number has, run."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None])
        y = tf.reduce_sum(tf.tanh(x * float(number)) + float(number))
    with v1.Session(graph=graph) as session:
        return session.run(y, {x: np.zeros(3 + number % 50, np.float32)}) / (3 + number % 50)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_another_thread_compiles() -> None:
    """The child compiles too, though at the moment of the fork somebody else did."""
    failures: list[BaseException] = []
    stop = threading.Event()

    def compile_on() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                assert program_of(number) == number
        except BaseException as error:
            failures.append(error)

    with compiling_always(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert program_of(0) == 0
        other = threading.Thread(target=compile_on)
        other.start()
        try:
            for turn in range(8):
                time.sleep(0.013 * turn)
                child = os.fork()
                if not child:
                    code = 1
                    try:
                        code = 0 if program_of(100_000 + turn) == 100_000 + turn else 2
                    finally:
                        os._exit(code)
                assert _exit_code(child) == 0
        finally:
            stop.set()
            other.join()
    assert not failures


def test_threads_share_a_function() -> None:
    """Each calls it for shapes that are new to it, while it counts in a variable."""
    calls = tf.Variable(np.zeros(3, np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def step(x: Any) -> Any:
        calls.assign_add(tf.ones([3]))
        return tf.reduce_sum(tf.nn.softmax(x) * x, 1)

    failures: list[BaseException] = []
    runs, workers = 40, 4

    def work(seed: int) -> None:
        random = np.random.RandomState(seed)
        try:
            for _ in range(runs):
                x = random.uniform(-1, 1, (random.randint(1, 30), 4)).astype(np.float32)
                soft = np.exp(x) / np.exp(x).sum(1, keepdims=True)
                np.testing.assert_allclose(step(tf.constant(x)).numpy(), (soft * x).sum(1), rtol=1e-4, atol=1e-6)
        except BaseException as error:
            failures.append(error)

    with compiling_always():
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures, failures[0]
    np.testing.assert_array_equal(calls.numpy(), np.full(3, runs * workers))
