"""Loops over datasets inside a tf.function, and control flow in the functions that datasets call."""

from __future__ import annotations

import pytest

import rillet as tf


@pytest.fixture
def dataset():
    return tf.data.Dataset.range(6)


def test_a_loop_over_a_captured_dataset(dataset):
    small = dataset.filter(lambda number: number != 3)

    @tf.function
    def total(limit):
        result = tf.constant(0, tf.int64)
        for number in small:
            if number > limit:
                break
            result += number
        return result

    assert [int(total(tf.constant(limit, tf.int64))) for limit in (9, 4, -1)] == [12, 7, 0]
    assert total.experimental_get_tracing_count() == 1


def test_a_dataset_as_an_argument(dataset):
    @tf.function
    def total(numbers):
        result = tf.constant(0, tf.int64)
        for index, pair in enumerate(numbers):
            result += pair["a"] * pair["b"] * tf.cast(index, tf.int64)
        return result

    assert total(dataset.map(lambda number: {"a": number, "b": number + 1})) == sum(n * (n + 1) * n for n in range(6))


def test_an_iterator_is_used_up(dataset):
    numbers = iter(dataset)

    @tf.function
    def step(iterator):
        return next(iterator) * 10

    assert [int(step(numbers)) for _ in range(3)] == [0, 10, 20]

    @tf.function
    def rest(iterator):
        result = tf.constant(0, tf.int64)
        for number in iterator:
            result += number
        return result

    assert rest(numbers) == 3 + 4 + 5
    with pytest.raises(tf.errors.OutOfRangeError):
        step(numbers)


def test_a_training_loop_inside_one_function():
    w = tf.Variable(0.0)
    data = tf.data.Dataset.from_tensor_slices(([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])).repeat(20)

    @tf.function
    def train():
        loss = tf.constant(0.0)
        for x, y in data:
            with tf.GradientTape() as tape:
                loss = (w * x - y) ** 2
            w.assign_sub(0.05 * tape.gradient(loss, w))
        return loss

    assert train() < 1e-6
    assert abs(w.numpy() - 2.0) < 1e-4


def test_functions_of_a_dataset_are_converted(dataset):
    def halve(number):
        if number % 2 == 0:
            return number // 2
        return 3 * number + 1

    assert [int(number) for number in dataset.map(halve)] == [0, 4, 1, 10, 2, 16]
    assert [int(number) for number in dataset.filter(lambda n: n > 1 and n < 4)] == [2, 3]
