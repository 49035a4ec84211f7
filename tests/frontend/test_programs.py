"""Small things that real programs do, with the numbers and texts that TensorFlow gives."""

import numpy as np
import pytest

import rillet as tf


@pytest.fixture
def graph():
    with tf.Graph().as_default() as graph:
        yield graph


@pytest.mark.usefixtures("graph")
def test_the_branch_not_taken_gives_no_nan():
    x = tf.placeholder(tf.float32, [3])
    chosen = [tf.where(x > 0, function(x), x) for function in (tf.sqrt, tf.math.rsqrt, tf.math.reciprocal)]
    gradients = [tf.gradients(y, x)[0] for y in chosen]
    with tf.Session() as session:
        of_sqrt, of_rsqrt = session.run(gradients[:2], {x: [1.0, -1.0, 4.0]})
        np.testing.assert_allclose(of_sqrt, [0.5, 1.0, 0.25])
        np.testing.assert_allclose(of_rsqrt, [-0.5, 1.0, -0.0625])
        np.testing.assert_allclose(session.run(gradients[2], {x: [1.0, 0.0, 4.0]}), [-1.0, 1.0, -0.0625])


@pytest.mark.parametrize("op_type", ["SqrtGrad", "RsqrtGrad", "ReciprocalGrad", "InvGrad"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64"])
def test_a_zero_gradient_stays_zero(op_type, dtype):
    dtype = tf.as_dtype(dtype)
    y = tf.cast(tf.constant([np.nan, np.inf, 0.0, 2.0]), dtype)
    dy = tf.cast(tf.constant([0.0, 0.0, 0.0, 1.0]), dtype)
    result = getattr(tf.raw_ops, op_type)(y=y, dy=dy)
    assert result.dtype is dtype
    of_two = {"SqrtGrad": 0.25, "RsqrtGrad": -4.0}.get(op_type, -4.0)
    np.testing.assert_array_equal(np.asarray(result).astype("complex64"), [0, 0, 0, of_two])


@pytest.mark.usefixtures("graph")
def test_fetched_slices_have_named_parts():
    table = tf.placeholder(tf.float32, [3])
    with tf.Session() as session:
        slices = session.run(tf.gradients(tf.gather(table, [0, 0, 2]), table)[0], {table: [4.0, 5.0, 6.0]})
    assert slices._fields == ("values", "indices", "dense_shape")
    assert slices.indices.tolist() == [0, 0, 2] and slices.values.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.usefixtures("graph")
def test_the_devices_of_a_session():
    (device,) = tf.Session().list_devices()
    assert device.device_type == "CPU"
    assert repr(device).startswith("_DeviceAttributes(/job:localhost/replica:0/task:0/device:CPU:0, CPU, ")


@pytest.mark.usefixtures("graph")
def test_a_feed_that_is_no_dictionary():
    x = tf.placeholder(tf.float32)
    with tf.Session() as session, pytest.raises(TypeError, match=r"feed_dict must be a dictionary .* not list"):
        session.run(x, [1.0])


@pytest.mark.usefixtures("graph")
def test_an_operation_prints_its_node():
    x = tf.placeholder(tf.float32, name="x")
    half = tf.split(x, 2, name="parts")[1]
    with tf.device("/cpu:0"), tf.control_dependencies([tf.no_op(name="before")]):
        y = tf.add(x, half, name="y")
    expected = 'name: "y"\nop: "AddV2"\ninput: "x"\ninput: "parts:1"\ninput: "^before"\ndevice: "/device:CPU:0"\n'
    assert str(y.op) == expected


@pytest.mark.usefixtures("graph")
def test_tile_says_which_rank_was_expected():
    with pytest.raises(ValueError, match="Shape must be rank 2 but is rank 1"):
        tf.tile(tf.zeros([2, 3]), [2])


def test_one_suggestion_for_a_misspelt_name():
    with pytest.raises(AttributeError) as caught:
        tf.reduce_meen  # noqa: B018
    assert "Did you mean tf.reduce_mean" in str(caught.value)
    assert caught.value.obj is None


def test_formatted_eager_tensors():
    values = [tf.constant([1.0, 2.0]), tf.constant(1.5), tf.constant("a")]
    assert [f"{value}" for value in values] == ["[1. 2.]", "1.5", "b'a'"]
    assert f"{values[1]:.2f}" == "1.50"
    with pytest.raises(TypeError, match="unsupported format string"):
        format(values[0], ".2f")


def test_the_signature_of_a_trace():
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4]), tf.TensorSpec([], tf.int32, name="k")])
        def __call__(self, x, count):
            return x

        @tf.function
        def apply(self, x, times=2, *more, **named):
            return x

    model = Model()
    model(tf.ones([5, 4]), 1)
    signature = model.__call__.get_concrete_function().structured_input_signature
    traced = model.apply.get_concrete_function(tf.constant(1.0), 3, 4, q=tf.constant(5))
    with pytest.raises(TypeError, match=r"Can not cast TensorSpec\(shape=\(2,\)"):
        model(tf.ones([2]), 1)
    x, k = tf.TensorSpec([None, 4], tf.float32, "x"), tf.TensorSpec([], tf.int32, "k")
    assert signature == ((x, k), {})
    x, q = tf.TensorSpec([], tf.float32, "x"), tf.TensorSpec([], tf.int32, "q")
    assert traced.structured_input_signature == ((x, 3, 4), {"q": q})


def test_only_eager_tensors_have_numpy():
    seen = []

    @tf.function
    def look(x):
        seen.append(hasattr(x, "numpy"))
        with pytest.raises(AttributeError, match="no attribute 'numpy': x:0 is symbolic"):
            x.numpy()
        return x

    assert hasattr(look(tf.constant(1.0)), "numpy")
    assert seen == [False]
