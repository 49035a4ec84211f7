"""Models in all their forms: names, summaries, calls, copies, what is said of mistakes."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.keras.models import MODELS
from tests.keras.scenarios import waves

RECORDED = json.loads((Path(__file__).parents[1] / "data/keras_training.json").read_text())
k = tf.keras
L = k.layers


def summary(model: Any) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        model.summary()
    return text.getvalue()


@pytest.mark.parametrize("name", MODELS)
def test_summary_and_names_are_keras(name: str) -> None:
    k.backend.clear_session()
    model = MODELS[name](tf, k)
    assert [weight.name for weight in model.weights] == RECORDED["weights"][name]
    assert summary(model) == RECORDED["summaries"][name]


FROM_CONFIG = [name for name in MODELS if name not in ("subclassed", "own_weights")]


@pytest.mark.parametrize("name", FROM_CONFIG)
def test_models_come_back_from_their_configuration(name: str) -> None:
    model = MODELS[name](tf, k)
    inputs = [waves(3, *tensor.shape.as_list()[1:], phase=index) for index, tensor in enumerate(model.inputs)]
    data = inputs[0] if len(inputs) == 1 else inputs
    expected = tf.nest.flatten(model(data))
    for copy in (k.models.clone_model(model), k.models.model_from_json(model.to_json())):
        assert not any(copy.layers[-1] is layer for layer in model.layers)
        copy.set_weights(model.get_weights())
        for mine, theirs in zip(tf.nest.flatten(copy(data)), expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-6)


def test_weights_in_a_file(tmp_path: Path) -> None:
    model, other = (k.Sequential([L.Dense(3, input_shape=(4,)), L.Dense(2)]) for _ in range(2))
    model.save_weights(tmp_path / "w.npz")
    other.load_weights(tmp_path / "w.npz")
    for mine, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(ValueError, match="should end in"):
        model.save_weights(tmp_path / "w.unknown")
    with pytest.raises(FileNotFoundError, match="no file"):
        model.load_weights(tmp_path / "x.npz")


def test_functions_of_tensorflow_on_tensors_of_a_model() -> None:
    x = k.Input((3,))
    scale = tf.Variable(2.0)
    y = tf.concat([tf.nn.relu(x) * scale, x[:, :1] + 1.0], axis=1)
    model = k.Model(x, tf.cond(tf.reduce_sum(y) > 0.0, lambda: y, lambda: -y))
    data = np.array([[1.0, -2.0, 3.0]], np.float32)
    np.testing.assert_allclose(model(data), [[2.0, 0.0, 6.0, 2.0]])
    scale.assign(3.0)
    np.testing.assert_allclose(model(data), [[3.0, 0.0, 9.0, 2.0]])


def test_inputs_by_name_rank_and_dtype() -> None:
    a, b = k.Input((1,), name="a"), k.Input((2,), name="b")
    model = k.Model({"a": a, "b": b}, {"sum": a + b, "b": b})
    results = model({"a": np.ones(3), "b": np.ones((3, 2), np.float64)})
    np.testing.assert_allclose(results["sum"], np.full((3, 2), 2.0))
    assert results["b"].dtype == tf.float32


def test_a_model_is_a_layer() -> None:
    inner = k.Model(inputs := k.Input((3,)), L.Dense(2, name="kept")(inputs))
    x = k.Input((3,))
    both = k.Model(x, inner(x) + inner(x * 2.0))
    assert len(both.trainable_weights) == 2
    inner.trainable = False
    assert both.trainable_weights == [] and len(both.non_trainable_weights) == 2
    part = k.Model(both.input, both.get_layer(inner.name).get_output_at(1))
    assert part(np.ones((1, 3))).shape == (1, 2)


def test_layers_of_a_graph_of_tensorflow_1() -> None:
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 3], "x")
        y = L.Dense(2, activation="relu", name="hidden")(x)
        assert y.name == "hidden/Relu:0" and y.graph is graph
        assert [v.name for v in tf.compat.v1.trainable_variables()] == ["hidden/kernel:0", "hidden/bias:0"]
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            assert session.run(y, {x: np.ones((4, 3))}).shape == (4, 2)


def test_masks_and_training_reach_the_layers_inside() -> None:
    seen: list[Any] = []

    class Look(L.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.supports_masking = True

        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            seen.append((training, mask is not None))
            return inputs

    class Mask(L.Layer):
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return tf.not_equal(inputs, 0.0)

        def call(self, inputs: Any) -> Any:
            return inputs * 1.0

    model = k.Sequential([Mask(), Look(), Look()])
    model(np.ones((2, 3)), training=True)
    assert seen[-2:] == [(True, True)] * 2
    model(np.ones((2, 3)))
    assert seen[-2:] == [(False, True)] * 2


def built() -> Any:
    return k.Sequential([L.Dense(3, input_shape=(4,), name="d")], name="m")


MISTAKES = {
    "rank": (lambda: L.Dense(3, name="d")(tf.ones(3)), ValueError, 'layer "d" is incompatible.*expected min_ndim=2, found ndim=1'),
    "size": (lambda: built()(tf.ones((2, 5))), ValueError, r"expected shape=\(None, 4\), found shape=\(2, 5\)"),
    "axis": (lambda: built().layers[0](tf.ones((2, 5))), ValueError, "expected axis -1 of input shape to have value 4"),
    "not built": (lambda: k.Sequential([L.Dense(2)]).weights, ValueError, "have not yet been created"),
    "no summary": (lambda: k.Sequential([L.Dense(2)]).summary(), ValueError, "has not yet been built"),
    "layer": (lambda: built().get_layer("z"), ValueError, r"No such layer: z. Existing layers are: \['d'\]"),
    "index": (lambda: built().get_layer(index=4), ValueError, "index 4 but model only has 1 layers"),
    "weights": (lambda: built().set_weights([np.ones(3)]), ValueError, "length 1, but the layer was expecting 2 weights"),
    "shape": (lambda: built().set_weights([np.ones((3, 2)), np.ones(3)]), ValueError, "not compatible with provided"),
    "unconnected": (lambda: L.Dense(2).input, AttributeError, "is not connected, no input to return"),
    "unbuilt": (lambda: L.Dense(2).count_params(), ValueError, "isn't built"),
    "keyword": (lambda: L.Dense(2, foo=1), TypeError, "Keyword argument not understood"),
    "no call": (lambda: k.Model()(tf.ones((1, 2))), NotImplementedError, "overridden `call"),
    "apart": (lambda: k.Model(k.Input((1,)), L.Dense(1)(k.Input((1,)))), ValueError, "Graph disconnected"),
    "two inputs": (
        lambda: k.Model([a := k.Input((1,)), b := k.Input((1,))], a + b)(tf.ones((1, 1))), ValueError, "expects 2 input",
    ),
    "same name": (lambda: k.Sequential([L.Dense(1, name="x"), L.Dense(1, name="x")]), ValueError, "unique names"),
    "no layer": (lambda: k.Sequential([3]), TypeError, "must be an instance of class Layer"),
    "no shape": (lambda: k.Input(), ValueError, "`shape` or a `tensor`"),
    "unknown size": (lambda: L.Dense(1)(k.Input((None,))), ValueError, "last dimension of the inputs to a Dense"),
    "missing": (lambda: L.Dens, AttributeError, "Did you mean tf.keras.layers.Dense"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_explained(name: str) -> None:
    action, error, words = MISTAKES[name]
    with pytest.raises(error, match=words):
        action()


def test_an_error_says_which_layer_it_comes_from() -> None:
    class Broken(L.Layer):
        def call(self, inputs: Any) -> Any:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken") as caught:
        k.Sequential([L.Dense(1), Broken(name="mine")])(np.ones((1, 2)))
    assert "layer 'mine' (type Broken)" in caught.value.__notes__[0]
    assert len(caught.value.__notes__) == 1
