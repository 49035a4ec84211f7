"""Initial values: the numbers that TensorFlow draws, names, configurations, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rillet as tf
import rillet.compat.v1 as tf1

# What each initializer gives for shape [3, 2] when the graph's seed is 42.
DRAWS: dict[str, tuple[Callable[[], Any], list[float]]] = {
    "random_uniform": (
        lambda: tf1.random_uniform_initializer(-2.0, 3.0, seed=5),
        [-1.8689467, 0.1723485, -0.66567314, 1.5521102, 2.4207339, -1.1110432],
    ),
    "random_normal": (
        lambda: tf1.random_normal_initializer(1.0, 2.0, seed=3),
        [2.604291, 2.011358, 4.6240253, 0.93621755, 3.3069808, 2.9520545],
    ),
    "truncated_normal": (
        lambda: tf1.truncated_normal_initializer(stddev=0.1, seed=1),
        [-0.1499947, -0.12420495, 0.052283145, -0.035879251, 0.09623678, -0.18627909],
    ),
    "uniform_unit_scaling": (
        lambda: tf1.uniform_unit_scaling_initializer(factor=1.5, seed=2),
        [1.4634383, -0.41378188, 1.1042497, -0.79900753, 0.89203119, -0.45295322],
    ),
    "variance_scaling": (
        lambda: tf1.variance_scaling_initializer(2.0, "fan_out", "uniform", seed=1),
        [-1.2119905, 0.48471558, 1.1011609, -0.53443563, 1.7203399, 0.4902662],
    ),
    "untruncated": (
        lambda: tf1.variance_scaling_initializer(mode="fan_avg", distribution="untruncated_normal", seed=1),
        [-0.94864976, -0.78554106, 0.33066764, -0.22692029, -0.040421106, -0.032790869],
    ),
    "glorot_uniform": (
        lambda: tf1.glorot_uniform_initializer(),
        [0.73495412, 0.91206169, -0.011722326, 0.0462569, 0.4643575, -0.095410943],
    ),
    "glorot_normal": (
        lambda: tf1.glorot_normal_initializer(seed=4),
        [-0.4058713, 0.72757024, 1.0752039, 0.98054951, -0.50261492, 0.25760043],
    ),
    "he_normal": (
        lambda: tf1.initializers.he_normal(seed=1),
        [-1.3922986, -1.1529099, 0.48530883, -0.33304262, 0.89330047, -1.7291019],
    ),
    "he_uniform": (
        lambda: tf1.initializers.he_uniform(seed=1),
        [-0.98958606, 0.39576864, 0.89909399, -0.43636489, 1.4046515, 0.40030062],
    ),
    "lecun_normal": (
        lambda: tf1.initializers.lecun_normal(seed=1),
        [-0.98450381, -0.81523043, 0.34316516, -0.2354967, 0.63165885, -1.2226597],
    ),
    "lecun_uniform": (
        lambda: tf1.initializers.lecun_uniform(seed=1),
        [-0.69974303, 0.27985072, 0.63575554, -0.30855656, 0.99323869, 0.28305531],
    ),
    "orthogonal": (
        lambda: tf1.orthogonal_initializer(seed=3),
        [0.34983969, 0.31471321, 0.79027295, -0.60493809, 0.50307173, 0.73144072],
    ),
}


@pytest.fixture
def graph() -> Iterator[tf.Graph]:
    with tf.Graph().as_default() as fresh:
        tf1.set_random_seed(42)
        yield fresh


def initialized(variable: Any) -> Any:
    with tf1.Session() as session:
        session.run(variable.initializer)
        return session.run(variable)


@pytest.mark.usefixtures("graph")
@pytest.mark.parametrize("name", DRAWS)
def test_draws(name: str) -> None:
    make, expected = DRAWS[name]
    found = initialized(tf1.get_variable("w", [3, 2], initializer=make()))
    np.testing.assert_allclose(found.ravel(), expected, rtol=2e-6, atol=1e-7)


@pytest.mark.usefixtures("graph")
@pytest.mark.parametrize("name", DRAWS)
def test_configurations(name: str) -> None:
    initializer = DRAWS[name][0]()
    again = type(initializer).from_config(initializer.get_config())
    assert again.get_config() == initializer.get_config()
    assert type(again) is type(initializer)


def test_what_a_variable_has_by_default(graph: tf.Graph) -> None:
    w = tf1.get_variable("w", [3, 2], use_resource=False)
    names = [operation.name.removeprefix("w/") for operation in graph.get_operations()]
    assert names == [
        "Initializer/random_uniform/shape", "Initializer/random_uniform/min", "Initializer/random_uniform/max",
        "Initializer/random_uniform/RandomUniform", "Initializer/random_uniform/sub", "Initializer/random_uniform/mul",
        "Initializer/random_uniform", "w", "Assign", "read",
    ]  # fmt: skip
    np.testing.assert_allclose(initialized(w).ravel(), DRAWS["glorot_uniform"][1], rtol=2e-6, atol=1e-7)
    assert initialized(tf1.get_variable("i", [2], tf.int32)).tolist() == [0, 0]
    assert initialized(tf1.get_variable("b", [2], tf.bool)).tolist() == [False, False]
    assert tf1.get_variable("d", [2], tf.float64).dtype.base_dtype is tf.float64


@pytest.mark.usefixtures("graph")
def test_a_kernel_of_a_convolution() -> None:
    initializer = tf1.glorot_uniform_initializer(seed=1)
    kernel = initialized(tf1.get_variable("k", [2, 2, 3, 4], initializer=initializer))
    expected = [-0.3239181, 0.12954569, 0.29429764, -0.14283392]
    np.testing.assert_allclose(kernel[0, 0, 0], expected, rtol=2e-6)
    assert np.abs(kernel).max() <= np.sqrt(6 / (2 * 2 * (3 + 4)))


@pytest.mark.usefixtures("graph")
def test_orthogonality() -> None:
    for index, shape in enumerate(([4, 4], [6, 3], [2, 5], [2, 3, 4])):
        values = initialized(tf1.get_variable(f"o{index}", shape, initializer=tf1.orthogonal_initializer(gain=2.0)))
        matrix = values.reshape(-1, shape[-1])
        gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
        np.testing.assert_allclose(gram, 4.0 * np.eye(len(gram)), atol=1e-5)


@pytest.mark.usefixtures("graph")
def test_constants() -> None:
    constant = tf1.constant_initializer
    assert initialized(tf1.get_variable("a", [2, 2], initializer=constant([1, 2, 3, 4]))).tolist() == [[1, 2], [3, 4]]
    assert initialized(tf1.get_variable("b", [2], initializer=constant(7.0))).tolist() == [7.0, 7.0]
    assert initialized(tf1.get_variable("z", [2], initializer=tf1.zeros_initializer())).tolist() == [0.0, 0.0]
    assert initialized(tf1.get_variable("n", [2], initializer=tf1.ones_initializer)).tolist() == [1.0, 1.0]
    identity = initialized(tf1.get_variable("e", [2, 3], initializer=tf1.initializers.identity(2.0)))
    assert identity.tolist() == [[2, 0, 0], [0, 2, 0]]
    with pytest.raises(TypeError, match="Expected Tensor's shape"):
        constant([1, 2], verify_shape=True)([3], tf.float32)
    with pytest.raises(TypeError, match="Invalid type for initial value"):
        constant(tf.constant(1.0))


def test_errors() -> None:
    with pytest.raises(ValueError, match="scale"):
        tf1.variance_scaling_initializer(scale=-1.0)
    with pytest.raises(ValueError, match="mode"):
        tf1.variance_scaling_initializer(mode="middle")
    with pytest.raises(ValueError, match="distribution"):
        tf1.variance_scaling_initializer(distribution="cauchy")
    with pytest.raises(ValueError, match="floating point"):
        tf1.random_normal_initializer(dtype=tf.int32)
    with pytest.raises(ValueError, match="at least two-dimensional"):
        tf1.orthogonal_initializer()([3])


def test_without_a_graph() -> None:
    tf.random.set_seed(1)
    uniform, normal = tf.random_uniform_initializer(-1.0, 1.0, seed=3), tf.random_normal_initializer(1.0, 2.0, seed=3)
    draws = {
        uniform: [-0.60817432, 0.87869048, 0.0645504, 0.68208265],
        normal: [-0.34316957, 4.3521008, -0.88849092, 2.215878],
        tf.random_normal_initializer(): [-0.055061013, 0.077287585, 0.019182201, -0.043982893],
    }
    for initializer, expected in draws.items():
        np.testing.assert_allclose(np.ravel(initializer([2, 2])), expected, rtol=2e-6)
    np.testing.assert_array_equal(uniform([2]), uniform([2]))  # with a seed it starts anew
    assert uniform.get_config() == {"minval": -1.0, "maxval": 1.0, "seed": 3}
    assert tf.zeros_initializer()([2], tf.int64).dtype is tf.int64
    assert tf.ones_initializer()((1, 2)).numpy().tolist() == [[1.0, 1.0]]
    assert tf.constant_initializer([1, 2])([2]).numpy().tolist() == [1, 2]
    with pytest.raises(ValueError, match="numeric or boolean"):
        tf.zeros_initializer()([2], tf.string)
    with pytest.raises(TypeError, match="Keyword argument should be one of"):
        normal([2], foo=1)
