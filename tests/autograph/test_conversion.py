"""What is converted, and what tf.autograph says of it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import rillet as tf
from rillet.frontend.autograph import conversion


def absolute(x):
    if x > 0:
        return x
    return -x


def plain(x):
    return tf.matmul(x, x) + tf.reduce_sum(x) * 2.0


def calls_plain(x):
    return plain(x) + 1.0


def calls_absolute(x):
    return absolute(x) + 1.0


@pytest.mark.parametrize("function", [plain, calls_plain])
def test_functions_with_nothing_to_convert_stay(function):
    assert conversion.traced_form(function, True) is function


@pytest.mark.parametrize("function", [absolute, calls_absolute])
def test_functions_that_branch_or_call_such_are_converted(function):
    assert conversion.traced_form(function, True) is not function


def test_a_function_among_the_arguments_is_converted():
    def apply(function, x):
        return function(x)

    assert tf.function(apply)(absolute, tf.constant(-3)) == 3


def test_to_code_is_python():
    code = tf.autograph.to_code(absolute)
    assert "ag__.if_(x > 0, " in code
    compile(code, "code", "exec")


def test_to_graph_needs_source():
    with pytest.raises(ValueError, match="source"):
        tf.autograph.to_graph(eval("lambda x: x if x else 1"))


def test_do_not_convert():
    left = tf.autograph.experimental.do_not_convert(calls_absolute)
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError):
        tf.function(left)(tf.constant(1))

    @tf.function
    def caller(x):
        return left(x)

    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError):
        caller(tf.constant(1))
    assert left(-2) == 3


def test_lambdas_on_one_line_are_told_apart():
    first, second = tf.function(lambda x: x if x > 0 else -x), tf.function(lambda x: x * 2 if x > 0 else x)
    assert [first(tf.constant(-3)), second(tf.constant(-3)), second(tf.constant(3))] == [3, -3, 6]


def test_defaults_closures_and_globals_are_the_functions_own():
    scale = 2

    @tf.function
    def scaled(x, *, offset=OFFSET):
        if x > 0:
            return x * scale + offset + GLOBAL
        return x

    assert scaled(tf.constant(3)) == 106
    scale = 3
    assert scaled(tf.constant([1])[0], offset=20) == 123


OFFSET, GLOBAL = 0, 100


def test_a_method_is_traced_once_for_each_instance():
    class Counter:
        def __init__(self, limit):
            self.limit = limit

        @tf.function
        def clip(self, x):
            if x > self.limit:
                return self.limit
            return x

    low, high = Counter(2), Counter(5)
    assert [int(low.clip(tf.constant(9))), int(high.clip(tf.constant(9))), int(low.clip(tf.constant(1)))] == [2, 5, 1]


def test_library_functions_call_converted_functions():
    x = tf.constant([1.0, -2.0])

    @tf.function
    def mapped(x):
        return tf.map_fn(absolute, x) + tf.vectorized_map(lambda value: value * 2, x)

    np.testing.assert_array_equal(mapped(x), [3.0, -2.0])

    @tf.function
    def chosen(x):
        return tf.cond(x[0] > 0, lambda: absolute(x[1]), lambda: x[0])

    assert chosen(x) == 2.0


def test_generators_are_left_alone():
    def numbers():
        for index in range(3):
            if index != 1:
                yield index

    @tf.function
    def total(x):
        for number in numbers():
            x += number
        return x

    assert total(tf.constant(1)) == 3


def test_python_effects_happen_once_a_trace(capsys):
    @tf.function
    def shows(x):
        print("tracing", x.dtype.name)
        if x > 0:
            x += 1
        return x

    assert [int(shows(tf.constant(value))) for value in (1, -1, 2)] == [2, -1, 3]
    assert capsys.readouterr().out == "tracing int32\n"


def test_print_of_tensors_with_the_feature(capsys):
    def shows(x):
        print("x is", x)
        return x

    tf.function(shows, experimental_autograph_options=tf.autograph.experimental.Feature.ALL)(tf.constant(3))
    assert capsys.readouterr().out == "x is 3\n"


def over_range(n, rows):
    total = 0
    for i in range(n):
        total += i
    return total


def over_tf_range(n, rows):
    total = 0
    for i in tf.range(10, 0, -n):
        total += i
    return total


def over_rows(n, rows):
    total = tf.zeros([2], tf.int32)
    for row in rows:
        total += row
    return total


def over_enumerate(n, rows):
    total = tf.zeros([2], tf.int32)
    for i, row in enumerate(rows):
        total += row * i
    return total


def over_zip(n, rows):
    total = tf.zeros([2], tf.int32)
    for row, other in zip(rows, rows[::-1]):
        total += row * other
    return total


def builtins_of_tensors(n, rows):
    return len(rows) + int(n) * 10 + tf.cast(float(n), tf.int32) + tf.reduce_sum(sorted(rows[:, 0]))


def break_of_rows(n, rows):
    total = tf.zeros([2], tf.int32)
    for row in rows:
        if row[0] > n:
            break
        total += row
    return total


def lazy_and(n, rows):
    i = 0
    while i < len(rows) and rows[i, 0] < 100:
        i += 1
    return i


def tensor_array(n, rows):
    array = tf.TensorArray(tf.int32, 0, dynamic_size=True)
    for i in tf.range(n):
        if i % 2 == 0:
            array = array.write(array.size(), i)
    return tf.reduce_sum(array.stack()) * 10 + array.size()


EXPECTED = [
    (over_range, 3),
    (over_tf_range, 22),
    (over_rows, [9, 12]),
    (over_enumerate, [13, 16]),
    (over_zip, [19, 40]),
    (builtins_of_tensors, 45),
    (break_of_rows, [4, 6]),
    (lazy_and, 3),
    (tensor_array, 22),
]


@pytest.mark.parametrize("shape", [[3, 2], [None, 2]], ids=str)
@pytest.mark.parametrize(("function", "expected"), EXPECTED, ids=lambda value: getattr(value, "__name__", ""))
def test_loops_over_tensors(function, expected, shape):
    signature = [tf.TensorSpec([], tf.int32), tf.TensorSpec(shape, tf.int32)]
    result = tf.function(function, input_signature=signature)(3, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(result, expected)


def test_loop_options():
    @tf.function
    def doubled(x, n):
        for _ in tf.range(n):
            tf.autograph.experimental.set_loop_options(
                shape_invariants=[(x, tf.TensorShape([None]))], maximum_iterations=3
            )
            x = tf.concat([x, x], 0)
        return x

    assert doubled(tf.constant([1.0]), tf.constant(2)).shape == [4]
    assert doubled(tf.constant([1.0]), tf.constant(9)).shape == [8]


def test_state_that_tensors_decide():
    class Accumulator:
        def __init__(self):
            self.total = tf.Variable(0.0)
            self.seen = tf.Variable(False)

        @tf.function
        def add(self, values):
            if not self.seen:
                self.seen.assign(True)
            for value in values:
                if value > 0:
                    self.total.assign_add(value)
            return self.total.read_value()

    accumulator = Accumulator()
    accumulator.add(tf.constant([1.0, -2.0, 3.0]))
    assert accumulator.add(tf.constant([-1.0, 2.0])) == 6.0
    assert accumulator.seen.numpy()


class Pairs:
    """Something that a loop of a graph can go through."""

    def __init__(self, count):
        self.count = count

    def _graph_elements(self):
        return self

    def first(self):
        return {"left": tf.constant(0), "right": tf.constant(100)}

    def proceeds(self, position):
        return position["left"] < self.count

    def element(self, position):
        return position["left"], position["right"]

    def following(self, position):
        return {"left": position["left"] + 1, "right": position["right"] - 1}


def test_objects_can_say_how_a_graph_goes_through_them():
    @tf.function
    def total(n):
        result = 0
        for left, right in Pairs(n):
            result += left * right
        return result

    assert total(tf.constant(3)) == 0 * 100 + 1 * 99 + 2 * 98


def test_a_loop_is_one_operation():
    @tf.function
    def count(n):
        i = 0
        while i < n:
            i += 1
        return i

    types = [operation.type for operation in count.get_concrete_function(tf.constant(3)).graph.get_operations()]
    assert sum(kind.endswith("While") for kind in types) == 1


def test_keras_layers_are_converted():
    class Clip(tf.keras.layers.Layer):
        def call(self, x):
            if tf.reduce_sum(x) > 1:
                return x / tf.reduce_sum(x)
            return x

    layer = Clip()
    np.testing.assert_allclose(tf.function(layer)(tf.constant([1.0, 3.0])), [0.25, 0.75])


def test_a_process_that_traces_plain_functions_compiles_no_conversion():
    program = (
        "import rillet as tf\n"
        "from rillet.frontend.autograph import source\n"
        "f = tf.function(lambda x: tf.matmul(x, x))\n"
        "f(tf.ones([2, 2]))\n"
        "assert not source._TREES\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_method_of_an_object_that_nobody_keeps():
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        @tf.function
        def __call__(self, x):
            if x > 0:
                return x * self.factor
            return x

    assert Scale(3)(tf.constant(2)) == 6
    method = Scale(4).__call__
    assert [int(method(tf.constant(value))) for value in (2, -2)] == [8, -2]
