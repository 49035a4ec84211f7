"""Seeds and streams: the numbers that TensorFlow 2.21 draws, run after run, in each mode. (Single ops: rows_random.)"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.core import context
from rillet.ops import philox, random_seed

tf1 = tf.compat.v1


@pytest.fixture(autouse=True)
def eagerly() -> Iterator[None]:
    """Each test starts eagerly and without a global seed."""
    before = context.eager_by_default()
    context.set_eager_by_default(True)
    tf.random.set_seed(None)
    yield
    tf.random.set_seed(None)
    context.set_eager_by_default(before)


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-6)


# ---- graphs and sessions --------------------------------------------------------------------------------------------


def test_a_seeded_graph_gives_tensorflows_numbers() -> None:
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(1)
        close(session.run(tf1.random_normal([2])), [0.3052047, 0.5671378])


def test_streams_go_on_from_run_to_run_and_begin_again_in_each_session() -> None:
    with tf.Graph().as_default():
        tf1.set_random_seed(42)
        fetches = [
            tf1.random_uniform([2]),
            tf1.random_normal([2], seed=7),
            tf1.random_uniform([2]),
            tf1.random_shuffle([1, 2, 3, 4, 5]),
        ]
        first = [[0.8354591, 0.9162973], [-0.4527416, -0.3004075], [0.1501285, 0.6399254], [4, 1, 3, 5, 2]]
        second = [[0.9527034, 0.2313790], [1.0589501, 0.6612831], [0.3665805, 0.8912455], [1, 5, 2, 3, 4]]
        fourth = [[0.1172433, 0.4611722], [1.1461607, -1.2379051], [0.0117722, 0.0252966], [4, 2, 1, 3, 5]]
        for _ in range(2):
            with tf1.Session() as session:
                for expected in (first, second):
                    for found, numbers in zip(session.run(fetches), expected, strict=True):
                        np.testing.assert_allclose(found, numbers, rtol=2e-5)
                close(session.run(fetches[2]), [0.8578867, 0.3187294])  # which moves on no other stream
        with tf1.Session() as session:
            for _ in range(2):
                session.run(fetches)
            session.run(fetches[2])
            last = session.run(fetches)
        np.testing.assert_allclose(last[0], fourth[0], rtol=2e-5)
        np.testing.assert_allclose(last[1], fourth[1], rtol=2e-5)
        np.testing.assert_array_equal(last[3], fourth[3])


def test_sessions_that_take_turns_have_streams_of_their_own() -> None:
    with tf.Graph().as_default():
        numbers = tf1.random_uniform([3], seed=5)
        with tf1.Session() as one:
            alone = [one.run(numbers) for _ in range(3)]
        with tf1.Session() as left, tf1.Session() as right:
            turns = [(left.run(numbers), right.run(numbers)) for _ in range(3)]
    for expected, pair in zip(alone, turns, strict=True):
        np.testing.assert_array_equal(pair[0], expected)
        np.testing.assert_array_equal(pair[1], expected)


def test_unseeded_numbers_differ_between_ops_runs_and_sessions() -> None:
    with tf.Graph().as_default():
        fetches = [tf1.random_uniform([4]) for _ in range(3)]
        drawn = []
        for _ in range(2):
            with tf1.Session() as session:
                drawn += [*session.run(fetches), *session.run(fetches)]
    assert len({array.tobytes() for array in drawn}) == len(drawn)


def test_seeds_are_numbered_by_the_ops_that_take_one() -> None:
    with tf.Graph().as_default() as graph:
        tf1.set_random_seed(1)
        tf1.random_normal([2], seed=9)
        tf1.random_uniform([2])
        tf.zeros([1000, 2])
        tf1.random_uniform([2])
        seeds = [
            (operation.get_attr("seed"), operation.get_attr("seed2"))
            for operation in graph.get_operations()
            if "seed2" in operation.attrs
        ]
        assert seeds == [(1, 9), (1, 0), (1, 1)]
        assert tf1.get_seed(None) == (1, 2)
        assert tf1.get_seed(4) == (1, 4)
    with tf.Graph().as_default():
        assert tf1.get_seed(None) == (None, None)
        assert tf1.get_seed(3) == (87654321, 3)


def test_control_flow_of_tensorflow_1_takes_its_seeds_from_the_graph_around_it() -> None:
    with tf.Graph().as_default():
        before = tf1.control_flow_v2_enabled()
        tf1.disable_control_flow_v2()
        try:
            tf1.set_random_seed(1)
            start = tf1.random_uniform([1])
            choice = tf1.placeholder(tf.bool, [])
            chosen = tf1.cond(choice, lambda: tf1.random_uniform([1]), lambda: tf1.random_uniform([1]))
            _, total = tf1.while_loop(
                lambda i, x: i < 2, lambda i, x: (i + 1, x + tf1.random_normal([1])), [0, tf.zeros([1])]
            )
            end = tf1.random_uniform([1])
        finally:
            if before:
                tf1.enable_control_flow_v2()
        with tf1.Session() as session:
            runs = [session.run([start, chosen, total, end], {choice: value}) for value in (True, False, True)]
    close(np.ravel(runs[0])[:3], [0.8126965, 0.0555441, 0.2550511])
    close(np.ravel(runs[1])[:3], [0.5272893, 0.4063967, -2.9882865])
    close(np.ravel(runs[2])[:3], [0.8489425, 0.8388307, 0.8054897])
    assert len({float(run[3][0]) for run in runs}) == 3


# ---- eager ----------------------------------------------------------------------------------------------------------


def test_set_seed_numbers_eager_ops_and_begins_every_stream_again() -> None:
    for _ in range(2):
        tf.random.set_seed(42)
        close(tf.random.uniform([2]), [0.6645621, 0.4410068])
        close(tf.random.normal([2], seed=7), [-0.4527416, -0.3004075])
        close(tf.random.uniform([2]), [0.6878912, 0.4844788])
        close(tf.random.normal([3], seed=7), [1.0589501, 0.6612831, 0.7283914])  # goes on, although the shape differs
        np.testing.assert_array_equal(tf.random.shuffle([1, 2, 3, 4, 5]), [5, 2, 4, 3, 1])


def test_get_seed_eagerly() -> None:
    tf.random.set_seed(5)
    assert tf1.get_seed(None) == (5, 1097127993)
    assert tf1.get_seed(None) == (5, 1539898300)
    assert tf1.get_seed(7) == (5, 7)
    with tf.Graph().as_default() as graph:
        assert graph.seed is None
        tf.random.set_seed(10)  # that of the graph
        assert tf1.get_seed(None) == (10, 0)
    assert tf1.get_seed(7) == (5, 7)
    tf.random.set_seed(None)
    assert tf1.get_seed(None) == (None, None)
    with pytest.raises(TypeError):
        tf.random.set_seed("5")


def test_eager_numbers_without_seeds_differ() -> None:
    drawn = {tf.random.uniform([4]).numpy().tobytes() for _ in range(20)}
    assert len(drawn) == 20
    assert not np.array_equal(tf.random.uniform([3], seed=1), tf.random.uniform([3], seed=1))


def test_streams_of_eager_ops_are_not_kept_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(philox, "_KEPT_STREAMS", 50)
    tf.random.set_seed(1)
    for _ in range(120):
        tf.random.uniform([1])
    assert len(random_seed._Eager.seeds._streams) <= 50


# ---- functions ------------------------------------------------------------------------------------------------------


def test_a_function_goes_on_with_its_streams_until_the_seed_is_set() -> None:
    @tf.function(autograph=False)
    def draw() -> Any:
        return tf.random.uniform([2])

    for seed in (5, 5, 6):  # the trace keeps the seed it was made with
        tf.random.set_seed(seed)
        close(draw(), [0.1828648, 0.6899896])
        close(draw(), [0.9363872, 0.6513270])


def test_every_place_that_calls_a_function_has_its_own_streams() -> None:
    @tf.function(autograph=False)
    def draw() -> Any:
        return tf.random.uniform([2])

    @tf.function(autograph=False)
    def twice() -> Any:
        return tf.stack([draw(), draw()])

    @tf.function(autograph=False)
    def deep() -> Any:
        return tf.concat([twice(), twice(), tf.random.uniform([1, 2])], 0)

    first, second = [0.1828648, 0.6899896], [0.9363872, 0.6513270]
    for _ in range(2):
        tf.random.set_seed(5)
        close(deep(), [first] * 5)
        close(twice(), [first] * 2)
        close(draw(), first)
        close(deep()[:4], [second] * 4)
        close(twice(), [second] * 2)
        close(draw(), second)


def test_functions_in_a_session_have_streams_where_they_are_called() -> None:
    with tf.Graph().as_default():
        tf1.set_random_seed(5)

        @tf.function(autograph=False)
        def draw() -> Any:
            return tf.random.uniform([2])

        fetches = [draw(), draw(), tf.random.uniform([2])]
        with tf1.Session() as session:
            close(session.run(fetches), [[0.1828648, 0.6899896]] * 3)
            close(session.run(fetches), [[0.9363872, 0.6513270]] * 3)
            third = session.run(fetches[1])
            again = session.run(fetches)
    np.testing.assert_array_equal(again[0], third)
    np.testing.assert_array_equal(again[2], third)
    assert not np.array_equal(again[1], third)


def test_branches_and_loops_of_a_function_are_seeded_each_for_itself() -> None:
    @tf.function(autograph=False)
    def draw() -> Any:
        def number() -> Any:
            return tf.random.normal([1])

        chosen = tf.cond(tf.random.uniform([]) > -1, number, number)
        later = number()
        _, total = tf.while_loop(
            lambda i, x: i < 2, lambda i, x: (i + 1, x + tf.random.normal([1])), [0, tf.zeros([1])]
        )
        return tf.concat([chosen, later, total], 0)

    tf.random.set_seed(5)
    close(draw(), [-1.7138785, -1.3768897, -1.4778103])
    close(draw(), [0.2360682, -0.1062282, -1.5978796])


# ---- programs -------------------------------------------------------------------------------------------------------


def test_dropout_uses_one_mask_for_a_run_and_its_gradient() -> None:
    with tf.Graph().as_default():
        x = tf1.placeholder(tf.float32, [1000])
        dropped = tf1.nn.dropout(x, rate=0.25)
        gradient = tf1.gradients(dropped, x)[0]
        with tf1.Session() as session:
            runs = [session.run([dropped, gradient], {x: np.ones(1000)}) for _ in range(2)]
    for values, slopes in runs:
        np.testing.assert_array_equal(values, slopes)
        assert set(np.unique(values)) == {np.float32(0), np.float32(1) / np.float32(0.75)}
        assert 650 < np.count_nonzero(values) < 850
    assert not np.array_equal(runs[0][0], runs[1][0])


def test_a_noisy_training_step_repeats_to_the_digit() -> None:
    def train() -> Any:
        tf.random.set_seed(3)
        weights = tf.Variable(tf.random.truncated_normal([4, 2], stddev=0.5))

        @tf.function(autograph=False)
        def step() -> Any:
            with tf.GradientTape() as tape:
                hidden = tf.nn.dropout(tf.matmul(tf.random.normal([8, 4]), weights), 0.5)
                loss = tf.reduce_mean(tf.square(hidden - 1.0))
            weights.assign_sub(0.1 * tape.gradient(loss, weights))
            return loss

        return [step().numpy() for _ in range(5)], weights.numpy()

    first, second = train(), train()
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert len(set(first[0])) == 5


def test_gradients_flow_to_parameters_but_not_to_shapes() -> None:
    mean, deviation = tf.Variable(2.0), tf.Variable(3.0)
    with tf.GradientTape() as tape:
        numbers = tf.random.normal([50], mean, deviation)
        total = tf.reduce_sum(numbers)
    by_mean, by_deviation = tape.gradient(total, [mean, deviation])
    close(by_mean, 50.0)
    np.testing.assert_allclose(by_deviation, np.sum((numbers.numpy() - 2) / 3), rtol=1e-4)
    with tf.Graph().as_default():
        size = tf1.placeholder(tf.float32, [])
        drawn = tf1.random_uniform([tf.cast(size, tf.int32)])
        assert tf1.gradients(drawn, size) == [None]


def test_crops_are_parts_of_the_image() -> None:
    image = tf.reshape(tf.range(60), [5, 4, 3])
    corners = set()
    for _ in range(60):
        part = tf.image.random_crop(image, [3, 2, 3]).numpy()
        row, column, _ = np.unravel_index(part[0, 0, 0], (5, 4, 3))
        np.testing.assert_array_equal(part, image[row : row + 3, column : column + 2])
        corners.add((int(row), int(column)))
    assert len(corners) == 9


# ---- generators -----------------------------------------------------------------------------------------------------


def test_a_generator_goes_on_from_a_saved_state() -> None:
    generator = tf.random.Generator.from_seed(1234)
    generator.normal([3])
    saved = generator.state.numpy()
    expected = [generator.normal([2]), generator.uniform([2], 0, 100, tf.int64)]
    other = tf.random.Generator.from_state(saved, "philox")
    copy = tf.random.Generator(copy_from=other)
    for source in (other, copy):
        np.testing.assert_array_equal(source.normal([2]), expected[0])
        np.testing.assert_array_equal(source.uniform([2], 0, 100, tf.int64), expected[1])
    generator.reset(saved)
    np.testing.assert_array_equal(generator.normal([2]), expected[0])
    generator.reset_from_seed(1234)
    np.testing.assert_array_equal(generator.state, [1234, 0, 0])
    generator.reset_from_key_counter(5, [2, 3])
    np.testing.assert_array_equal(generator.state, [2, 3, 5])
    np.testing.assert_array_equal(generator.skip(3), [2, 3, 5])
    np.testing.assert_array_equal(generator.state, [770, 3, 5])
    assert generator.key.numpy() == 5


def test_a_generator_in_functions_and_sessions() -> None:
    state = tf.Variable([4353, 2, 3], dtype=tf.int64)
    generator = tf.random.Generator.from_state(state, 1)

    @tf.function(autograph=False)
    def draw() -> Any:
        return tf.concat([generator.normal([2]), generator.uniform([2])], 0)

    close(draw(), [-1.4917018, -1.070826, 0.38923454, 0.4634812])
    close(draw(), [-0.59618336, 1.4354773, 0.21846986, 0.45103657])
    np.testing.assert_array_equal(state, [6401, 2, 3])
    with tf.Graph().as_default(), tf1.Session() as session:
        inside = tf.random.Generator.from_seed(3)
        numbers = inside.normal([2])
        session.run(inside.state.initializer)
        runs = [session.run(numbers) for _ in range(2)]
        np.testing.assert_array_equal(session.run(inside.state), [3 + 2 * 512, 0, 0])
    outside = tf.random.Generator.from_seed(3)
    np.testing.assert_array_equal(runs, [outside.normal([2]), outside.normal([2])])


def test_generators_split_into_independent_ones() -> None:
    parts = tf.random.Generator.from_seed(1).split(3)
    drawn = [part.uniform([100]).numpy() for part in parts]
    assert np.abs(np.corrcoef(drawn) - np.eye(3)).max() < 0.4
    again = [part.uniform([100]).numpy() for part in tf.random.Generator.from_seed(1).split(3)]
    np.testing.assert_array_equal(drawn, again)


def test_threads_share_a_generator() -> None:
    alone = tf.random.Generator.from_seed(1)
    expected = {alone.normal([4]).numpy().tobytes() for _ in range(80)}
    shared = tf.random.Generator.from_seed(1)
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.extend(shared.normal([4]).numpy().tobytes() for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == expected


def test_the_global_generator_is_one_until_it_is_replaced() -> None:
    before = tf.random.get_global_generator()
    assert tf.random.experimental.get_global_generator() is before
    try:
        tf.random.set_global_generator(tf.random.Generator.from_seed(4))
        np.testing.assert_array_equal(tf.random.get_global_generator().state, [4, 0, 0])
    finally:
        tf.random.set_global_generator(before)


@pytest.mark.parametrize(
    ("make", "error", "phrase"),
    [
        (lambda: tf.random.Generator(), ValueError, "either `copy_from`"),
        (lambda: tf.random.Generator.from_state([1, 2], 1), ValueError, "Shapes (2,) and [3] are incompatible"),
        (lambda: tf.random.Generator.from_seed(1, "threefry"), tf.errors.UnimplementedError, "ThreeFry"),
        (lambda: tf.random.Generator.from_seed(1, "mersenne"), ValueError, "unsupported value mersenne"),
        (lambda: tf.random.Generator.from_seed(1).uniform([2], dtype=tf.int32), ValueError, "must be both None"),
    ],
)
def test_what_is_no_generator(make: Any, error: type[Exception], phrase: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert phrase in str(caught.value)


# ---- stateless ------------------------------------------------------------------------------------------------------


def test_stateless_numbers_follow_from_the_seed_alone() -> None:
    expected = [0.5441101, 0.2073803]
    for algorithm in ("philox", "auto_select", 1, tf.random.Algorithm.PHILOX):
        close(tf.random.stateless_normal([2], [1, 2], alg=algorithm), expected)
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(77)
        numbers = tf.random.stateless_normal([2], tf1.placeholder_with_default([1, 2], [2]))
        for _ in range(2):
            close(session.run(numbers), expected)


def test_seeds_made_of_seeds() -> None:
    np.testing.assert_array_equal(tf.random.split([1, 2]), [[1105988140, 1738052849], [-335576002, 370444179]])
    np.testing.assert_array_equal(tf.random.fold_in([1, 2], 3), [1105988140, 3])
    assert tf.random.fold_in([1, 2], 2**40).dtype == tf.int64


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        ({"minval": None, "maxval": 4, "dtype": tf.int32}, "must be both None or not None"),
        ({"dtype": tf.int64}, "must be both None or not None"),
        ({"minval": 3, "maxval": 9, "dtype": tf.uint32}, "don't use unsigned integers"),
        ({"minval": 3, "maxval": 9, "dtype": tf.int8}, "got invalid value"),
        ({"alg": "xx"}, "unsupported value xx"),
        ({"alg": 4}, "unsupported value 4"),
    ],
)
def test_what_stateless_uniform_refuses(arguments: dict[str, Any], phrase: str) -> None:
    with pytest.raises(ValueError, match=r"[Aa]rgument") as caught:
        tf.random.stateless_uniform([2], [1, 2], **arguments)
    assert phrase in str(caught.value)
