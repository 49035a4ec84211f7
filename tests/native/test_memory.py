"""Memory stays as it is, whatever shapes programs are given, however often they run, and however many come and go.

    python -m pytest -m slow tests/native/test_memory.py -s

is the long form; it prints what it finds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.engines.native import executable, jit
from tests.models import transformer_step

v1 = tf.compat.v1
pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads what Linux tells of a process")

Call = Callable[[int], Any]


def batch(size: int) -> np.ndarray:
    return np.full((size, 16), 0.5, np.float32)


def session() -> Call:
    """A training step in a session; its batch may have any size."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 16])
        weights = v1.Variable(batch(16))
        loss = tf.reduce_mean(tf.square(tf.nn.softmax(tf.tanh(x @ weights))))
        step = v1.train.AdamOptimizer(0.01).minimize(loss)
        started = v1.Session(graph=graph)
        started.run(v1.global_variables_initializer())
    return lambda size: started.run([loss, step], {x: batch(size)})


def function() -> Call:
    weights = tf.Variable(batch(16))

    @tf.function(input_signature=[tf.TensorSpec([None, 16], tf.float32)])
    def loss(x: Any) -> Any:
        return tf.reduce_mean(tf.square(tf.nn.softmax(tf.tanh(x @ weights))))

    return lambda size: loss(tf.constant(batch(size)))


def resident() -> int:
    """Bytes of the process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def code_mappings() -> int:
    """Pieces of memory that hold compiled code."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return sum(" r-xp " in line and line.split()[4] == "0" for line in maps)


def percentiles(seconds: list[float]) -> str:
    found = np.percentile(np.array(seconds) * 1e6, [50, 99, 99.9, 100])
    return "us a call: median {:.1f}, 99% {:.1f}, 99.9% {:.1f}, longest {:.1f}".format(*found)


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of each Function for which a program is made, from now on."""
    made: list[str] = []
    compile_ = executable.Segment._compiled_now

    def noting(self: Any, *args: Any, **options: Any) -> Any:
        made.append(self.function.name)
        return compile_(self, *args, **options)

    monkeypatch.setattr(executable.Segment, "_compiled_now", noting)
    return made


# ---- one program ------------------------------------------------------------------------------------------------------


def many_shapes_and_calls(
    make: Callable[[], Call], shapes: int, calls: int, compilations: list[str]
) -> tuple[int, int]:
    """Calls a program with so many shapes, three times each, then so often with half of them. Gives by how many bytes memory
    has grown since the shapes were known, and how many programs were compiled then."""
    call = make()
    for turn in range(3):
        for size in range(1, shapes + 1):
            call(size)
        if turn == 1:
            before = resident()
            assert len(compilations) >= shapes  # each shape has a program
            compilations.clear()
    seconds: list[float] = []
    for number in range(calls):
        start = time.perf_counter()
        call(1 + number % (shapes // 2))
        seconds.append(time.perf_counter() - start)
    print(f"\n{shapes} shapes, {calls} calls: {percentiles(seconds)}; memory grew by {resident() - before} bytes")
    return resident() - before, len(compilations)


@pytest.mark.parametrize("make", [session, function])
def test_shapes_and_calls(make: Callable[[], Call], compilations: list[str]) -> None:
    grown, compiled = many_shapes_and_calls(make, 12, 500, compilations)
    assert compiled == 0
    assert grown < 2 << 20


@pytest.mark.slow
@pytest.mark.parametrize("make", [session, function])
def test_many_shapes_and_calls(make: Callable[[], Call], compilations: list[str]) -> None:
    grown, compiled = many_shapes_and_calls(make, 100, 10_000, compilations)
    assert compiled == 0
    assert grown < 2 << 20


def test_the_programs_used_last_are_kept(monkeypatch: pytest.MonkeyPatch, compilations: list[str]) -> None:
    monkeypatch.setattr(executable, "_MOST_PROGRAMS", 4)
    call = session()
    compilations.clear()
    for size in (1, 2, 3, 4, 1, 5):  # of which 2 is dropped
        call(size)
    assert len(compilations) == 5
    for size in (1, 3, 4, 5):
        call(size)
    assert len(compilations) == 5
    call(2)
    assert len(compilations) == 6


def test_programs_that_take_much_memory_are_dropped_sooner(
    monkeypatch: pytest.MonkeyPatch, compilations: list[str]
) -> None:
    monkeypatch.setattr(executable, "_MOST_BYTES", 1 << 20)
    call = session()
    compilations.clear()
    for size in (2000, 2, 3000, 4000, 2000):
        call(size)
    assert len(compilations) == 5


# ---- programs that come and go ----------------------------------------------------------------------------------------


def come_and_go(count: int) -> None:
    """Makes so many programs, runs each, and drops it."""
    for number in range(count):
        for make in (session, function):
            call = make()
            for _ in range(3):
                call(3 + number % 5)


def dropped_programs(count: int) -> tuple[int, int, int]:
    """By how much these grow while so many programs come and go: bytes in memory, pieces of code, Python's objects."""
    come_and_go(6)
    before = resident(), code_mappings(), len(gc.get_objects())
    come_and_go(count)
    after = resident(), code_mappings(), len(gc.get_objects())
    memory, code, objects = (end - begin for begin, end in zip(before, after, strict=True))
    print(f"\n{count} programs of each kind: {memory} bytes, {code} pieces of code, {objects} objects more")
    return memory, code, objects


def test_programs_are_gone_when_they_are_dropped() -> None:
    _, code, objects = dropped_programs(5)
    assert code <= 0
    assert objects < 100  # a program has thousands
    in_use = len(jit._in_use)
    come_and_go(1)
    gc.collect()
    assert len(jit._in_use) == in_use


@pytest.mark.slow
def test_many_programs_come_and_go() -> None:
    memory, code, objects = dropped_programs(50)
    assert memory < 2 << 20
    assert code <= 0
    assert objects < 100


def test_a_dropped_function_takes_its_graph_along() -> None:
    """Nothing that lives as long as the process holds on to a function's graph, nor to those inside of it."""
    come_and_go(1)
    gc.collect()
    before = sum(isinstance(thing, tf.Graph) for thing in gc.get_objects())

    @tf.function
    def outer(x: Any) -> Any:
        inner = tf.function(lambda y: tf.nn.dropout(y, 0.5, seed=3) + tf.random.normal([4]))
        return tf.while_loop(lambda n, y: n < 3, lambda n, y: (n + 1, inner(y)), [tf.constant(0), x])[1]

    for _ in range(3):
        with tf.GradientTape() as tape:
            x = tf.ones([4])
            tape.watch(x)
            result = outer(x)
        tape.gradient(result, x)
    del outer, tape, result
    gc.collect()
    assert sum(isinstance(thing, tf.Graph) for thing in gc.get_objects()) == before


# ---- one run ----------------------------------------------------------------------------------------------------------


def training_step_of_a_transformer(**sizes: int) -> tuple[Any, Any]:
    """The plan of a step and the session that can run it, in the present graph."""
    fetches, feeds = transformer_step(**sizes, optimizer=lambda: v1.train.AdamOptimizer(0.001))  # type: ignore[arg-type]
    started = v1.Session()
    started.run(v1.global_variables_initializer())
    plan = started.plan(fetches, feeds)
    assert not plan.reference
    return plan, lambda: started.run(fetches, feeds)


def test_the_arena_is_hardly_larger_than_what_is_in_use_at_once() -> None:
    with tf.Graph().as_default():
        plan, _ = training_step_of_a_transformer(batch=2, context=16, layers=2, width=32, heads=4, vocabulary=50)
    assert plan.needed_bytes <= plan.arena_bytes <= 1.05 * plan.needed_bytes


@pytest.mark.slow
def test_a_run_takes_the_memory_that_was_planned() -> None:
    """The arena, and what is handed out; the variables are updated in place."""
    with tf.Graph().as_default():
        plan, run = training_step_of_a_transformer(batch=8, context=128, layers=4, width=256, heads=8, vocabulary=8000)
    before = resident()
    for _ in range(2):
        run()
    grown = resident() - before
    print(f"\narena {plan.arena_bytes}, in use at once {plan.needed_bytes}, memory grew by {grown} bytes")
    assert plan.arena_bytes <= 1.05 * plan.needed_bytes
    assert grown <= 1.1 * plan.arena_bytes + (16 << 20)
