"""tf.TensorArray, and the lists it is made of."""

from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import rillet as tf
from rillet.core import dtypes
from rillet.core.shapes import UNKNOWN
from rillet.ops.list import TensorList
from tests.control.modes import MODES

v1 = tf.compat.v1


@pytest.mark.parametrize("mode", MODES)
def test_written_and_read(mode: Any) -> None:
    def build(x: Any) -> Any:
        array = tf.TensorArray(tf.float32, size=3, clear_after_read=False)
        array = array.write(0, x).write(2, x * 2)
        return array.read(2), array.stack(), array.gather([2, 0]), array.size()

    read, stacked, gathered, size = mode(build, [1.0, 2.0])
    np.testing.assert_array_equal(read, [2, 4])
    np.testing.assert_array_equal(stacked, [[1, 2], [0, 0], [2, 4]])
    np.testing.assert_array_equal(gathered, [[2, 4], [1, 2]])
    assert size == 3


@pytest.mark.parametrize("mode", MODES)
def test_all_at_once(mode: Any) -> None:
    def build(x: Any) -> Any:
        unstacked = tf.TensorArray(tf.float32, 0, dynamic_size=True).unstack(x)
        scattered = tf.TensorArray(tf.float32, 3).scatter([2, 0, 1], x)
        split = tf.TensorArray(tf.float32, 2, infer_shape=False).split(x, [1, 2])
        return unstacked.stack(), scattered.stack(), split.concat()

    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    unstacked, scattered, joined = mode(build, x)
    np.testing.assert_array_equal(unstacked, x)
    np.testing.assert_array_equal(scattered, x[[1, 2, 0]])
    np.testing.assert_array_equal(joined, x)


@pytest.mark.parametrize("mode", MODES)
def test_in_loops(mode: Any) -> None:
    def running_sums(x: Any) -> Any:
        count = tf.shape(x)[0]
        inputs = tf.TensorArray(tf.float32, count).unstack(x)
        outputs = tf.TensorArray(tf.float32, count)

        def body(i: Any, total: Any, outputs: Any) -> Any:
            total += inputs.read(i)
            return i + 1, total, outputs.write(i, total)

        return tf.while_loop(lambda i, *_: i < count, body, (0, tf.zeros([2]), outputs))[2].stack()

    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.testing.assert_array_equal(mode(running_sums, x), np.cumsum(x, 0))


def test_shapes_learned_in_a_loop_are_known_behind_it() -> None:
    with tf.Graph().as_default():
        array = tf.TensorArray(tf.float32, 4)
        _, array = tf.while_loop(lambda i, _: i < 4, lambda i, a: (i + 1, a.write(i, [1.0, 2.0])), (0, array))
        assert array.element_shape.as_list() == [2]
        assert array.stack().shape.as_list() == [4, 2]


def test_as_argument_and_result_of_functions() -> None:
    double = tf.function(lambda array: array.write(0, array.read(1) * 2.0))
    array = double(tf.TensorArray(tf.float32, 2, element_shape=[]).write(1, 3.0))
    np.testing.assert_array_equal(array.stack(), [6.0, 3.0])


def test_eagerly_the_same_object_changes() -> None:
    array = tf.TensorArray(tf.float32, 2)
    array.write(0, 1.0)
    array.write(1, 2.0)
    np.testing.assert_array_equal(array.stack(), [1.0, 2.0])


def test_mistakes_eagerly() -> None:
    array = tf.TensorArray(tf.float32, 2)
    out_of_range, invalid = tf.errors.OutOfRangeError, tf.errors.InvalidArgumentError
    with pytest.raises(out_of_range, match="Tried to write to index 2 but array is not resizeable and size is: 2"):
        array.write(2, 1.0)
    with pytest.raises(out_of_range, match="negative indices"):
        array.write(-1, 1.0)
    with pytest.raises(out_of_range, match="Tried to read from index 3 but array size is: 2"):
        array.read(3)
    with pytest.raises(invalid, match="TensorArray dtype is float32 but Op is trying to write dtype int32"):
        array.write(0, tf.constant(1))
    array.write(0, [1.0, 2.0])
    with pytest.raises(ValueError, match="Incompatible shape for value"):
        array.write(1, [1.0])
    array.read(0)
    with pytest.raises(invalid, match="twice because it was cleared after a previous read"):
        array.read(0)
    with pytest.raises(ValueError, match="Cannot unstack 3 tensors into a TensorArray of static size 2"):
        tf.TensorArray(tf.float32, 2).unstack([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="Size must be declared"):
        tf.TensorArray(tf.float32)


def test_mistakes_in_graphs() -> None:
    def run(function: Any) -> None:
        tf.function(function)()

    invalid = tf.errors.InvalidArgumentError
    with pytest.raises(invalid, match="Trying to modify element 2 in a list with 2 elements"):
        run(lambda: tf.TensorArray(tf.float32, 2).write(2, 1.0).stack())
    with pytest.raises(invalid, match="Trying to access element 3 in a list with 2 elements"):
        run(lambda: tf.TensorArray(tf.float32, 2).read(3))
    with pytest.raises(invalid, match="Trying to read an uninitialized tensor"):
        run(lambda: tf.TensorArray(tf.float32, 2).read(0))
    with pytest.raises(invalid, match="which only contains uninitialized tensors"):
        run(lambda: tf.TensorArray(tf.float32, 2).stack())
    with pytest.raises(ValueError, match="Inconsistent shapes: saw"):
        run(lambda: tf.TensorArray(tf.float32, 2).write(0, [1.0]).write(1, [1.0, 2.0]).stack())


def test_names_in_tensorflow_1(tensorflow_1: None) -> None:
    array = v1.TensorArray(tf.float32, size=2).write(0, [1.0, 2.0])
    assert array.stack().name == "TensorArrayStack/TensorArrayGatherV3:0"
    assert array.read(0).name == "TensorArrayReadV3:0"


# ---- lists ----------------------------------------------------------------------------------------------------------

raw = tf.raw_ops


def test_list_ops() -> None:
    values = raw.TensorListFromTensor(tensor=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], element_shape=[2])
    stack = {"element_shape": [2], "element_dtype": tf.float32}
    rest, last = raw.TensorListPopBack(input_handle=values, **stack)
    assert last.numpy().tolist() == [5, 6]
    longer = raw.TensorListPushBack(input_handle=rest, tensor=last * 2)
    np.testing.assert_array_equal(raw.TensorListStack(input_handle=longer, **stack), [[1, 2], [3, 4], [10, 12]])
    assert raw.TensorListLength(input_handle=raw.TensorListResize(input_handle=values, size=5)).numpy() == 5
    doubled = raw.AddN(inputs=[values, values])
    np.testing.assert_array_equal(raw.TensorListStack(input_handle=doubled, **stack), [[2, 4], [6, 8], [10, 12]])
    assert repr(values._array) == "<TensorList>"


def test_list_mistakes() -> None:
    empty = raw.EmptyTensorList(element_shape=[2], max_num_elements=1, element_dtype=tf.float32)
    full = raw.TensorListPushBack(input_handle=empty, tensor=[1.0, 2.0])
    invalid = tf.errors.InvalidArgumentError
    with pytest.raises(invalid, match="full list list size: 1 max_num_elements: 1"):
        raw.TensorListPushBack(input_handle=full, tensor=[1.0, 2.0])
    with pytest.raises(invalid, match=r"incompatible shape to a list. Op element shape: \[1\] list shape: \[2\]"):
        raw.TensorListPushBack(input_handle=empty, tensor=[1.0])
    with pytest.raises(invalid, match="pop from an empty list"):
        raw.TensorListPopBack(input_handle=empty, element_shape=[2], element_dtype=tf.float32)
    with pytest.raises(invalid, match="with non-fully-defined element_shape"):
        unknown = raw.TensorListReserve(element_shape=-1, num_elements=0, element_dtype=tf.float32)
        raw.TensorListStack(input_handle=unknown, element_shape=-1, element_dtype=tf.float32)


STEP = st.tuples(st.sampled_from(["set", "push", "pop", "add", "look"]), st.integers(0, 50), st.integers(0, 50))


@hypothesis.given(st.lists(STEP, max_size=60))
def test_versions_of_a_list_are_independent(steps: list[tuple[str, int, int]]) -> None:
    """Every version keeps the entries it had, in whatever order versions are made and read."""
    versions: list[tuple[TensorList, dict[int, int]]] = [
        (TensorList.of([1, 2, 3], dtypes.int32, UNKNOWN), {0: 1, 1: 2, 2: 3})
    ]
    for kind, which, number in steps:
        values, expected = versions[which % len(versions)]
        size = values.length
        if kind == "look":
            assert values.entries == expected
        elif kind == "push":
            versions.append((values.with_item(size, number), {**expected, size: number}))
        elif kind == "set" and size:
            versions.append((values.with_item(number % size, number), {**expected, number % size: number}))
        elif kind == "pop" and size:
            versions.append(
                (values.resized(size - 1), {place: item for place, item in expected.items() if place < size - 1})
            )
        elif kind == "add":
            other, others = next(pair for pair in reversed(versions) if pair[0].length == size)
            sums = {place: expected.get(place, 0) + others.get(place, 0) for place in {*expected, *others}}
            versions.append((values + other, sums))
    for values, expected in versions:
        assert values.entries == expected


def test_specs() -> None:
    spec = tf.TensorArraySpec([2], tf.float32)
    assert repr(spec) == "TensorArraySpec(TensorShape([2]), tf.float32, False, True)"
    assert spec.is_compatible_with(tf.TensorArray(tf.float32, 2, element_shape=[2]))
    assert not spec.is_compatible_with(tf.TensorArraySpec([2], tf.int32))
    assert spec.is_subtype_of(tf.TensorArraySpec([None], tf.float32))
    wider = spec.most_specific_common_supertype([tf.TensorArraySpec([3], tf.float32)])
    assert wider == tf.TensorArraySpec([None], tf.float32)
    with pytest.raises(TypeError, match="Expected value to be a TensorArray"):
        tf.TensorArraySpec.from_value(3)
