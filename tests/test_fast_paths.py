"""The short paths of calls that are made often must not be told from the long ones, but by their time."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.core import execution
from rillet.engines.reference import ReferenceEngine

v1 = tf.compat.v1


# ---- Session.run ----------------------------------------------------------------------------------------------------


class Program:
    """A graph with x [None, 2] and y = 2 x + 1, and a session."""

    def __init__(self) -> None:
        with tf.Graph().as_default() as self.graph:
            self.x = v1.placeholder(tf.float32, [None, 2], "x")
            self.z = v1.placeholder(tf.float32, [], "z")
            self.y = tf.add(self.x * 2.0, 1.0, "y")
            self.total = tf.reduce_sum(self.y)
        self.session = v1.Session(graph=self.graph)

    def run(self, value: Any) -> Any:
        return self.session.run(self.y, {self.x: value})


@pytest.mark.smoke
def test_runs_are_alike() -> None:
    program = Program()
    array = np.array([[1, 2]], np.float32)
    for _ in range(3):
        result = program.run(array)
        assert type(result) is np.ndarray and result.dtype == np.float32 and result.tolist() == [[3.0, 5.0]]
        result[:] = 0  # it is the caller's
        total = program.session.run(program.total, {program.x: array})
        assert type(total) is np.float32 and total == 8.0
        assert program.session.run([program.total, program.y], {program.x: array})[1].tolist() == [[3.0, 5.0]]
    assert array.tolist() == [[1.0, 2.0]]


def test_what_is_fed_is_looked_at_each_time() -> None:
    program = Program()
    assert program.run(np.ones((1, 2), np.float32)).tolist() == [[3.0, 3.0]]
    assert program.run([[1, 2]]).tolist() == [[3.0, 5.0]]
    assert program.run(np.ones((3, 2), np.float32)).shape == (3, 2)
    assert program.run(np.ones((2, 2), np.int64)).dtype == np.float32
    assert program.run(np.ones((2, 2), ">f4")).tolist() == [[3.0, 3.0]] * 2
    assert program.run(np.ones((4, 2), np.float32)[::2]).shape == (2, 2)
    assert program.run(np.asfortranarray([[1, 2], [3, 4]], np.float32)).tolist() == [[3, 5], [7, 9]]
    for wrong in (np.ones((1, 3), np.float32), np.ones(2, np.float32), [[1, 2, 3]]):
        with pytest.raises(ValueError, match="Cannot feed value of shape"):
            program.run(wrong)
    with pytest.raises(TypeError, match=r"cannot be a tf\.Tensor object"):
        program.run(program.x)
    with pytest.raises(ValueError, match="could not convert"):
        program.run([["a", "b"]])
    assert program.run(tf.constant([[1.0, 2.0]])).tolist() == [[3.0, 5.0]]


def test_a_shape_that_becomes_known_later() -> None:
    program = Program()
    program.run(np.ones((3, 2), np.float32))
    program.run(np.ones((3, 2), np.float32))
    program.x.set_shape([1, 2])
    with pytest.raises(ValueError, match="Cannot feed value of shape"):
        program.run(np.ones((3, 2), np.float32))


def test_feeds_by_name_order_and_kind_of_dictionary() -> None:
    program = Program()
    session, x, z = program.session, program.x, program.z
    both = program.y + z
    one = np.ones((1, 2), np.float32)
    for _ in range(2):
        assert session.run("y:0", {"x:0": one}).tolist() == [[3.0, 3.0]]
        assert session.run(both, {x: one, z: 1.0}).tolist() == [[4.0, 4.0]]
        assert session.run(both, {z: 2.0, x: one}).tolist() == [[5.0, 5.0]]
        assert session.run(both, {z: np.float32(2.0), "x:0": one}).tolist() == [[5.0, 5.0]]
        assert session.run(both, collections.OrderedDict([(z, 3.0), (x, one)])).tolist() == [[6.0, 6.0]]
        with pytest.raises(ValueError, match="fed twice"):
            session.run(both, {x: one, "x:0": one, z: 1.0})
        with pytest.raises(TypeError, match="feed_dict must be a dictionary"):
            session.run(both, [(x, one)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="feed a value for placeholder"):
        session.run(both, {x: one})
    other = Program()
    with pytest.raises(TypeError, match="not an element of this graph"):
        session.run(program.y, {other.x: one})
    with pytest.raises(ValueError, match="not an element of this graph"):
        session.run(other.y, {x: one})


def test_a_list_of_fetches_that_changes() -> None:
    program = Program()
    fetches: list[Any] = [program.y]
    feeds = {program.x: np.ones((1, 2), np.float32)}
    assert len(program.session.run(fetches, feeds)) == 1
    fetches.append(program.total)
    assert program.session.run(fetches, feeds)[1] == 6.0
    fetches[0] = {"total": program.total, "more": (program.y, program.total)}
    assert program.session.run(fetches, feeds)[0]["more"][1] == 6.0
    assert type(program.session.run(tuple(fetches), feeds)) is tuple


def test_a_fed_tensor_that_is_fetched_is_a_copy() -> None:
    program = Program()
    array = np.ones((1, 2), np.float32)
    for _ in range(3):
        result = program.session.run(program.x, {program.x: array})
        assert result is not array
        result[:] = 5.0
    assert array.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("use_resource", [True, False])
def test_a_variable_that_is_fed_its_value_keeps_a_copy(use_resource: bool) -> None:
    with tf.Graph().as_default() as graph:
        variable = v1.get_variable("v", [2], use_resource=use_resource)
        x = v1.placeholder(tf.float32, [2])
        assign, value = variable.assign(x).op, variable.read_value()
    array = np.array([1, 2], np.float32)
    with v1.Session(graph=graph) as session:
        for _ in range(3):
            session.run(assign, {x: array})
            array += 1
            assert session.run(value).tolist() == (array - 1).tolist()
        variable.load(array, session)
        array += 1
        assert session.run(value).tolist() == (array - 1).tolist()


def test_what_changes_the_graph_is_seen() -> None:
    with tf.Graph().as_default() as graph:
        variable = v1.Variable(1.0, use_resource=True)
        update = variable.assign_add(1.0)
        value = tf.constant(3.0) * 1.0
        initializer = v1.global_variables_initializer()
    with v1.Session(graph=graph) as session:
        session.run(initializer)
        assert [session.run(value) for _ in range(3)] == [3.0] * 3
        value.op._add_control_input(update.op)
        assert [session.run(value) for _ in range(3)] == [3.0] * 3
        assert session.run(variable) == 4.0
        graph.prevent_feeding(value)
        with pytest.raises(ValueError, match="may not be fed"):
            session.run(value, {value: 1.0})


def test_what_may_no_longer_be_fed() -> None:
    program = Program()
    program.run(np.ones((1, 2), np.float32))
    program.graph.prevent_feeding(program.x)
    with pytest.raises(ValueError, match="may not be fed"):
        program.run(np.ones((1, 2), np.float32))


def test_a_closed_session() -> None:
    program = Program()
    program.run(np.ones((1, 2), np.float32))
    program.session.close()
    with pytest.raises(RuntimeError, match="closed Session"):
        program.run(np.ones((1, 2), np.float32))


# ---- tf.function ----------------------------------------------------------------------------------------------------


class Counted:
    """A tf.function that counts its traces."""

    def __init__(self, function: Any, **options: Any) -> None:
        self.traces = 0

        def body(*args: Any, **kwargs: Any) -> Any:
            self.traces += 1
            return function(*args, **kwargs)

        self.function = tf.function(body, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


@pytest.mark.smoke
def test_calls_are_alike() -> None:
    f = Counted(lambda x: x * 2.0)
    for _ in range(3):
        assert f(tf.constant([1.0, 2.0])).numpy().tolist() == [2.0, 4.0]
        assert f(np.array([1.0, 2.0], np.float32)).numpy().tolist() == [2.0, 4.0]
    assert f.traces == 1
    for _ in range(2):
        assert f(tf.constant([1.0])).numpy().tolist() == [2.0]
        assert f(tf.constant([1.0], tf.float64)).dtype is tf.float64
        assert f(tf.constant(1.0)).shape == ()
        assert f(np.float32(1.0)).numpy() == 2.0
    assert f.traces == 4


def test_python_arguments_belong_to_the_trace() -> None:
    f = Counted(lambda x, flag: (x, repr(flag))[0] if flag else -x)
    x = tf.constant(1.0)
    for _ in range(2):
        for flag in (True, 1, 1.0, "1", False, 0, None, ""):
            assert f(x, flag).numpy() == (1.0 if flag else -1.0)
    assert f.traces == 8


def test_arguments_by_name() -> None:
    f = tf.function(lambda a, b=2.0, *, c=3.0: a * 100.0 + b * 10.0 + c)
    one, two = tf.constant(1.0), tf.constant(2.0)
    for _ in range(3):
        assert f(one).numpy() == 123.0
        assert f(one, two).numpy() == 123.0
        assert f(one, c=two).numpy() == 122.0
        assert f(b=one, a=two).numpy() == 213.0
        assert f(c=one, b=one, a=two).numpy() == 211.0
        assert f(two, c=one, b=one).numpy() == 211.0


def test_one_tensor_given_twice_by_name() -> None:
    f = tf.function(lambda a, b: a - b)
    x, y = tf.constant(5.0), tf.constant(2.0)
    for _ in range(2):
        assert f(b=x, a=x).numpy() == 0.0
        assert f(b=x, a=y).numpy() == -3.0
        assert f(x, x).numpy() == 0.0
        assert f(x, y).numpy() == 3.0


@pytest.mark.parametrize(
    "structure",
    [
        lambda x: (x, x + 1.0), lambda x: [x + 1.0], lambda x: {"b": x, "a": [x, None]}, lambda x: None,
        lambda x: (x, (x, None)), lambda x: (), lambda x: x,
    ],
)  # fmt: skip
def test_the_structure_of_the_result(structure: Any) -> None:
    f = tf.function(structure)
    x = tf.constant(1.0)
    for _ in range(3):
        assert repr(f(x)) == repr(structure(x))


def test_variables_are_read_when_the_function_is_called() -> None:
    variable = tf.Variable(1.0)
    f = tf.function(lambda x: variable.assign_add(x).value())
    assert [f(tf.constant(2.0)).numpy() for _ in range(3)] == [3.0, 5.0, 7.0]
    variable.assign(0.0)
    assert f(tf.constant(2.0)).numpy() == 2.0


def test_calls_under_a_tape_between_others() -> None:
    variable = tf.Variable(3.0)
    f = tf.function(lambda x: tf.exp(x) * variable)
    for value in (np.float32(0.5), np.array(0.5, np.float32), tf.constant(0.5)):
        for _ in range(2):
            assert f(value).numpy() == pytest.approx(3 * np.exp(0.5))
            x = tf.convert_to_tensor(value)
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(x)
                y = f(x)
                z = f(value)
            assert tape.gradient(y, x).numpy() == pytest.approx(3 * np.exp(0.5))
            assert tape.gradient(z, variable).numpy() == pytest.approx(np.exp(0.5))


def test_signatures_with_unknown_sizes() -> None:
    f = Counted(lambda x: x * 2.0, input_signature=[tf.TensorSpec([None], tf.float32)])
    for _ in range(2):
        for size in (1, 2, 3):
            assert f(tf.ones([size])).shape == (size,)
            assert f(np.ones(size)).dtype is tf.float32  # cast, as the signature says
        with pytest.raises(TypeError, match="incompatible with input_signature"):
            f(tf.ones([2, 2]))
    assert f.traces == 1


def test_methods_belong_to_their_instance() -> None:
    class Scale:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

        @tf.function
        def __call__(self, x: Any) -> Any:
            return x * self.factor

        @tf.function
        def plus(self, x: Any) -> Any:
            return x + self.factor

    two, three = Scale(2.0), Scale(3.0)
    x = tf.constant(1.0)
    for _ in range(3):
        assert (two(x).numpy(), three(x).numpy()) == (2.0, 3.0)
        assert (two.plus(x).numpy(), three.plus(x).numpy()) == (3.0, 4.0)
    assert two.plus is two.plus
    for factor in range(20):
        assert Scale(float(factor)).plus(x).numpy() == factor + 1.0


def test_an_engine_chosen_later() -> None:
    f = tf.function(lambda x: x * 2.0)
    x = tf.constant([1.0, 2.0])
    before = execution.eager_context()
    compiled: list[str] = []

    class Engine(ReferenceEngine):
        def compile(self, function: Any, context: Any) -> Any:
            compiled.append(function.name)
            return super().compile(function, context)

    assert [f(x).numpy().tolist() for _ in range(2)] == [[2.0, 4.0]] * 2
    try:
        execution.set_eager_engine(Engine())
        assert [f(x).numpy().tolist() for _ in range(2)] == [[2.0, 4.0]] * 2
    finally:
        execution._Eager.context = before
    assert len(compiled) == 1
    assert f(x).numpy().tolist() == [2.0, 4.0]


def test_functions_run_eagerly() -> None:
    f = Counted(lambda x: x * 2.0)
    x = tf.constant(1.0)
    f(x)
    f(x)
    tf.config.run_functions_eagerly(True)
    try:
        f(x)
        f(x)
    finally:
        tf.config.run_functions_eagerly(False)
    f(x)
    assert f.traces == 3


# ---- eager ops ------------------------------------------------------------------------------------------------------

NUMBERS = [0.0, -0.0, 1.5, -3, 7, 1e30, float("inf"), float("nan")]
OPERATORS = ["__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__"]


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_operators_with_numbers_give_the_same_bits(name: str, dtype: Any) -> None:
    values = np.array([0.0, -0.0, 1.0, -2.5, 3e4, np.inf, np.nan], dtype)
    for number in (*NUMBERS, *reversed(NUMBERS)):
        with np.errstate(all="ignore"):
            wanted = getattr(values, name)(np.array(number, np.float64).astype(dtype))
        found = getattr(tf.constant(values), name)(number)
        assert found.numpy().dtype == dtype
        assert found.numpy().tobytes() == wanted.tobytes()
        for value, expected in zip(values, wanted, strict=True):
            alone = getattr(tf.constant(value), name)(number)
            assert alone.shape == () and type(alone.numpy()) is dtype
            assert alone.numpy() == expected or (np.isnan(alone.numpy()) and np.isnan(expected))
            assert np.signbit(alone.numpy()) == np.signbit(expected) or np.isnan(expected)


def test_operators_on_scalars_are_those_on_arrays() -> None:
    values = np.array([0.0, -0.0, 1.0, -2.5, 1e38, np.inf, np.nan], np.float32)
    for a in values:
        for b in values:
            for name in (*OPERATORS[::2], "__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__", "__pow__"):
                alone = getattr(tf.constant(a), name)(tf.constant(b))
                whole = getattr(tf.constant([a]), name)(tf.constant([b]))
                assert alone.dtype is whole.dtype
                assert np.asarray(alone.numpy()).tobytes() == whole.numpy().tobytes() or np.isnan(alone.numpy())


def test_numbers_that_do_not_fit() -> None:
    small, whole, text = tf.constant([1], tf.int8), tf.constant(3), tf.constant(["a"])
    for _ in range(2):
        assert (small + 2).numpy().tolist() == [3]
        assert (small * 100 * 2).numpy().tolist() == [-56]
        with pytest.raises(ValueError, match="300 is out of range"):
            small + 300
        with pytest.raises(tf.errors.InvalidArgumentError, match="expected to be a int32 tensor"):
            whole + 0.5
        with pytest.raises(tf.errors.InvalidArgumentError, match="expected to be a bool tensor"):
            tf.constant(True) + 1
        with pytest.raises(TypeError, match="dtype string"):
            text * 2.0
        with pytest.raises(tf.errors.InvalidArgumentError, match="Incompatible shapes"):
            tf.ones([2]) + tf.ones([3])
        with pytest.raises(tf.errors.InvalidArgumentError, match="expected to be a float tensor"):
            tf.ones([2]) + tf.ones([2], tf.float64)
        with pytest.raises(tf.errors.InvalidArgumentError, match="Integer division by zero"):
            whole // 0
        assert (tf.constant(1.0) / 0.0).numpy() == np.inf
        assert (tf.constant(1e38) * 10.0).numpy() == np.inf


def test_inputs_that_are_no_tensors() -> None:
    x, variable = tf.constant([1.0, 2.0]), tf.Variable([3.0, 4.0])
    for _ in range(2):
        assert tf.maximum(x, 1.5).numpy().tolist() == [1.5, 2.0]
        assert tf.maximum(1, x).numpy().tolist() == [1.0, 2.0]
        assert tf.maximum(x, np.array([0.0, 3.0], np.float32)).numpy().tolist() == [1.0, 3.0]
        assert tf.maximum(x, [0.0, 3.0]).numpy().tolist() == [1.0, 3.0]
        assert tf.maximum(x, variable).numpy().tolist() == [3.0, 4.0]
        assert (x + variable).numpy().tolist() == [4.0, 6.0]
        assert (variable - x).numpy().tolist() == [2.0, 2.0]
        assert tf.concat([x, variable], 0).numpy().tolist() == [1.0, 2.0, 3.0, 4.0]
        assert tf.concat([x, [5.0]], 0).numpy().tolist() == [1.0, 2.0, 5.0]
        assert tf.stack((x, x)).shape == (2, 2)
        assert [part.numpy().tolist() for part in tf.split(x, 2)] == [[1.0], [2.0]]
        assert tf.nn.moments(x, [0])[0].numpy() == 1.5
        assert tf.maximum(tf.constant(1, tf.int64), 2).dtype is tf.int64
        with pytest.raises(tf.errors.InvalidArgumentError, match="expected to be a float tensor"):
            tf.maximum(x, tf.constant([1, 2]))
        with pytest.raises(tf.errors.InvalidArgumentError, match="expected to be a float tensor"):
            tf.concat([x, tf.constant([1, 2])], 0)
        with pytest.raises(tf.errors.InvalidArgumentError, match="requested shape has 3"):
            tf.reshape(x, [3])


def test_an_update_that_fails_changes_nothing_and_says_why() -> None:
    variable = tf.Variable([1.0, 2.0])
    for _ in range(2):
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="shape"):
            variable.assign_add([1.0, 2.0, 3.0])
        with pytest.raises(ValueError, match="Shape mismatch"):
            variable.assign([1.0])
        assert variable.numpy().tolist() == [1.0, 2.0]
    array = np.array([3.0, 4.0], np.float32)
    assert variable.assign(array).numpy().tolist() == [3.0, 4.0]
    array[:] = 0.0
    assert variable.numpy().tolist() == [3.0, 4.0]
    assert variable.assign_sub([1.0, 1.0]).numpy().tolist() == [2.0, 3.0]


def test_where_tensors_were_made() -> None:
    x, variable = tf.constant(1.0), tf.Variable(2.0)
    f = tf.function(lambda x: x + 1.0)
    f(x)
    made = [x + x, x + variable, variable + x, tf.tanh(x), tf.add(x, 1.0), variable.value(), f(x), -x]
    assert {tensor.location.filename for tensor in made} == {__file__}
    assert {tensor.location.function for tensor in made} == {"test_where_tensors_were_made"}
