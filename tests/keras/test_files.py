"""Models and weights in files: written and read again, read from files that Keras wrote, what is said of mistakes."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.keras import file_models

h5py = pytest.importorskip("h5py")
RECORDED = Path(__file__).parents[1] / "data" / "keras_files"
VERSIONS = ("keras2", "keras3")
k = tf.keras
L = k.layers


def trained(name: str, **options: Any) -> Any:
    model = file_models.MODELS[name](k)
    x = file_models.inputs(name)
    model.compile(file_models.optimizer(k, name), "mse", metrics=["mae"], **options)
    model.fit(x, np.ones_like(model.predict(x, verbose=0)), verbose=0)
    return model


def predictions(model: Any, name: str) -> Any:
    return model.predict(file_models.inputs(name), verbose=0)


def assert_equal(found: Any, wanted: Any) -> None:
    """Equal up to the order of sums, which differs with the place of arrays in memory."""
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-7)


# ---- there and back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("name", file_models.MODELS)
def test_whole_models(name: str, ending: str, tmp_path: Path) -> None:
    model = trained(name)
    model.save(tmp_path / f"model.{ending}")
    again = k.models.load_model(tmp_path / f"model.{ending}")
    assert_equal(predictions(again, name), predictions(model, name))
    for old, new in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(new.numpy(), old.numpy())
    x, y = file_models.inputs(name), np.ones_like(predictions(model, name))
    assert_equal(again.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0))
    if (
        name == "recurrent"
    ):  # dropout draws other numbers; a bias before a BatchNormalization has a gradient of noise alone
        model.fit(x, y, verbose=0, shuffle=False)
        again.fit(x, y, verbose=0, shuffle=False)
        assert_equal(predictions(again, name), predictions(model, name))


@pytest.mark.parametrize("ending", ["h5", "weights.h5", "npz", "safetensors", "ckpt"])
@pytest.mark.parametrize("name", file_models.MODELS)
def test_weights(name: str, ending: str, tmp_path: Path) -> None:
    model = trained(name)
    model.save_weights(tmp_path / f"w.{ending}")
    again = file_models.MODELS[name](k)
    again.load_weights(tmp_path / f"w.{ending}")
    assert_equal(predictions(again, name), predictions(model, name))


def test_weights_of_an_archive(tmp_path: Path) -> None:
    model = trained("functional")
    model.save(tmp_path / "model.keras")
    again = file_models.functional(k)
    again.load_weights(tmp_path / "model.keras")
    assert_equal(predictions(again, "functional"), predictions(model, "functional"))


# ---- files of Keras -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    with np.load(RECORDED / "predictions.npz") as data:
        return {name: data[name] for name in data.files}


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer 'RMSprop'")
@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", file_models.MODELS)
def test_models_of_keras(name: str, version: str, ending: str, recorded: dict[str, Any]) -> None:
    model = k.models.load_model(RECORDED / f"{name}_{version}.{ending}")
    np.testing.assert_allclose(predictions(model, name), recorded[f"{name}_{version}"], rtol=2e-5, atol=1e-6)
    if (version, ending) == ("keras3", "keras"):
        return  # this Keras does not write the optimizer's configuration there, and itself loads another one
    assert model.optimizer.iterations.numpy() == 1
    rate = 0.1 if name == "recurrent" else 0.01
    np.testing.assert_allclose(model.optimizer.learning_rate.numpy(), rate, rtol=1e-6)
    if name != "recurrent":
        assert np.abs(model.optimizer.variables[1].numpy()).max() > 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", file_models.MODELS)
def test_weights_of_keras(name: str, version: str, recorded: dict[str, Any]) -> None:
    model = file_models.MODELS[name](k)
    model.load_weights(RECORDED / f"{name}_{version}.weights.h5")
    np.testing.assert_allclose(predictions(model, name), recorded[f"{name}_{version}"], rtol=2e-5, atol=1e-6)


# ---- parts --------------------------------------------------------------------------------------------------------------


def test_by_name_and_mismatches(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    one = k.Sequential([k.Input((4,)), L.Dense(3, name="a"), L.Dense(2, name="b")])
    one.save_weights(path)
    other = k.Sequential([k.Input((4,)), L.Dense(3, name="a"), L.Dense(5, name="c"), L.Dense(7, name="b")])
    kept = other.get_layer("b").get_weights()[0]
    with pytest.raises(ValueError, match="Layer count mismatch"):
        other.load_weights(path)
    with pytest.raises(ValueError, match="Shape mismatch in layer b"):
        other.load_weights(path, by_name=True)
    with pytest.warns(UserWarning, match="Skipping loading of weights for layer b"):
        other.load_weights(path, by_name=True, skip_mismatch=True)
    np.testing.assert_array_equal(other.get_layer("a").get_weights()[0], one.get_layer("a").get_weights()[0])
    np.testing.assert_array_equal(other.get_layer("b").get_weights()[0], kept)


def test_mismatches_in_a_tree(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    k.Sequential([k.Input((4,)), L.Dense(3), L.Dense(2)]).save_weights(path)
    other = k.Sequential([k.Input((4,)), L.Dense(3), L.Dense(7)])
    with pytest.raises(ValueError, match="has shape"):
        other.load_weights(path)
    with pytest.warns(UserWarning, match="Skipping loading of weights"):
        other.load_weights(path, skip_mismatch=True)
    with pytest.raises(ValueError, match="Not in the file: layers/batch_normalization"):
        k.Sequential([k.Input((4,)), L.Dense(3), L.BatchNormalization()]).load_weights(path)


@k.utils.register_keras_serializable("tests.files")
class Blocks(k.Model):
    """A subclassed model, with layers in attributes, a list and a dictionary, and a weight of its own."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.first = L.Dense(width)
        self.blocks = [L.Dense(width), L.Dense(width)]
        self.named = {"last": k.Sequential([L.Dense(1)])}
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    def call(self, inputs: Any) -> Any:
        x = self.first(inputs) * self.scale
        for block in self.blocks:
            x = block(x)
        return self.named["last"](x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


def test_subclassed(tmp_path: Path) -> None:
    model, x = Blocks(3), np.ones((2, 4), np.float32)
    model.compile("sgd", "mse")
    model.fit(x, np.ones((2, 1)), verbose=0)
    model.save(tmp_path / "m.keras")
    again = k.models.load_model(tmp_path / "m.keras")
    assert type(again) is Blocks
    assert_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    with pytest.raises(NotImplementedError, match="subclassed"):
        model.save(tmp_path / "m.h5")


def test_custom_objects(tmp_path: Path) -> None:
    class Double(L.Layer):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return inputs * 2.0

    def own_loss(y_true: Any, y_pred: Any) -> Any:
        return tf.reduce_mean(tf.abs(y_true - y_pred))

    model = k.Sequential([k.Input((2,)), L.Dense(1), Double()])
    model.compile("adam", own_loss)
    x = np.ones((2, 2), np.float32)
    for ending in ("h5", "keras"):
        path = tmp_path / f"m.{ending}"
        model.save(path)
        with pytest.raises(ValueError, match="Double"):
            k.models.load_model(path)
        again = k.models.load_model(path, custom_objects={"Double": Double, "own_loss": own_loss})
        assert_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
        assert_equal(again.evaluate(x, x[:, :1], verbose=0), model.evaluate(x, x[:, :1], verbose=0))
        assert not k.models.load_model(path, {"Double": Double}, compile=False).compiled


def test_checkpoint_callback(tmp_path: Path) -> None:
    model, x = file_models.functional(k), file_models.inputs("functional")
    model.compile("adam", "mse")
    path = str(tmp_path / "m_{epoch}.keras")
    model.fit(x, np.ones((3, 2)), epochs=2, verbose=0, callbacks=[k.callbacks.ModelCheckpoint(path)])
    again = k.models.load_model(tmp_path / "m_2.keras")
    assert_equal(predictions(again, "functional"), predictions(model, "functional"))
    assert (tmp_path / "m_1.keras").exists()


def test_layers_with_their_own_storing(tmp_path: Path) -> None:
    class Halved(L.Dense):  # type: ignore[misc, name-defined]
        def save_own_variables(self, store: Any) -> None:
            store["half"] = self.kernel.numpy() / 2

        def load_own_variables(self, store: Any) -> None:
            self.kernel.assign(np.asarray(store["half"]) * 2)

    make = lambda: k.Sequential([k.Input((2,)), Halved(3)])  # noqa: E731
    one, other = make(), make()
    one.save_weights(tmp_path / "m.weights.h5")
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(one.get_weights()[0], other.get_weights()[0])


def test_in_a_graph_of_tensorflow_1(tmp_path: Path) -> None:
    with tf.Graph().as_default():
        model = trained("functional")
        model.save(tmp_path / "m.h5")
        again = k.models.load_model(tmp_path / "m.h5")
        assert_equal(predictions(again, "functional"), predictions(model, "functional"))


# ---- mistakes -----------------------------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.keras"
    model = trained("sequential")
    model.save(path)
    before = path.read_bytes()

    def fail(*args: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(Exception, match="no space left"):
        model.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.keras"]


def test_what_is_said_of_mistakes(tmp_path: Path) -> None:
    model = trained("sequential")
    model.save(tmp_path / "m.keras")
    with pytest.raises(FileExistsError):
        model.save(tmp_path / "m.keras", overwrite=False)
    with pytest.raises(ValueError, match=r"saved_model\.save"):
        model.save(tmp_path / "folder")
    with pytest.raises(OSError, match="No file or directory"):
        k.models.load_model(tmp_path / "none.keras")
    (tmp_path / "bad.h5").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not an HDF5 file"):
        k.models.load_model(tmp_path / "bad.h5")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("text", "")
    with pytest.raises(ValueError, match="not a file of a model"):
        k.models.load_model(tmp_path / "other.keras")
    model.save_weights(tmp_path / "w.h5")
    with pytest.raises(ValueError, match="weights alone"):
        k.models.load_model(tmp_path / "w.h5")


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, *args: Any) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", find)
    with pytest.raises(ImportError, match=r"pip install 'rillet\[h5\]'"):
        trained("sequential").save_weights(tmp_path / "w.h5")


# ---- diagrams -----------------------------------------------------------------------------------------------------------


def test_diagrams(tmp_path: Path) -> None:
    model = file_models.functional(k)
    text = k.utils.model_to_dot(model, show_shapes=True).to_string()
    assert "shared: Dense" in text
    assert "in: (None, 4), (None, 4)|out: (None, 4)" in text
    assert text.count("->") == 5  # the shared layer is behind itself
    k.utils.plot_model(model, tmp_path / "m.dot", show_shapes=True)
    assert (tmp_path / "m.dot").read_text() == text
    with pytest.raises(NotImplementedError, match=r"m\.dot"):
        k.utils.vis_utils.plot_model(model, to_file=str(tmp_path / "m.png"))
