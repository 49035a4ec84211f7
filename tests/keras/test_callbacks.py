"""Callbacks: when they are called, and what each of them does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.keras.scenarios import X, Y, dense

k = tf.keras
C = k.callbacks


def compiled(**kwargs: Any) -> Any:
    model = dense(k, 2)
    model.compile("sgd", "mse", metrics=["mae"], **kwargs)
    return model


def fit(model: Any, *callbacks: Any, **kwargs: Any) -> Any:
    options = {"epochs": 5, "verbose": 0, "batch_size": 5, "shuffle": False, **kwargs}
    return model.fit(X, Y, callbacks=list(callbacks), **options)


class Forced(C.Callback):
    """Makes metrics up: what they would be is another test's matter."""

    def __init__(self, **values: Any) -> None:
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs.update({name: series[epoch] for name, series in self.values.items()})


def test_what_is_called_when() -> None:
    seen: list[str] = []

    class Look(C.Callback):
        pass

    def note(name: str) -> Any:
        return lambda self, *args: seen.append(f"{name}{'' if not args or not isinstance(args[0], int) else args[0]}")

    for name in dir(C.Callback):
        if name.startswith("on_") and name not in ("on_batch_begin", "on_batch_end"):
            setattr(Look, name, note(name[3:]))
    model = compiled()
    model.fit(
        X, Y, batch_size=5, epochs=1, verbose=0, callbacks=[Look()], validation_data=(X, Y), validation_batch_size=10
    )
    batches = ["train_batch_begin0", "train_batch_end0", "train_batch_begin1", "train_batch_end1"]
    validation = ["test_begin", "test_batch_begin0", "test_batch_end0", "test_end"]
    assert seen == ["train_begin", "epoch_begin0", *batches, *validation, "epoch_end0", "train_end"]
    seen.clear()
    model.predict(X, batch_size=10, verbose=0, callbacks=[Look()])
    model.evaluate(X, Y, batch_size=10, verbose=0, callbacks=[Look()])
    prediction = ["predict_begin", "predict_batch_begin0", "predict_batch_end0", "predict_end"]
    assert seen == [*prediction, *validation]


def test_what_callbacks_are_told() -> None:
    logs: list[Any] = []
    watch = C.LambdaCallback(
        on_batch_end=lambda batch, found: logs.append(found), on_epoch_end=lambda epoch, found: logs.append(found)
    )
    model = compiled()
    history = fit(model, watch, epochs=1, validation_split=0.5)
    assert watch.params == {"verbose": 0, "epochs": 1, "steps": 1} and watch.model is model
    assert list(logs[0]) == ["loss", "mae"] and all(type(value) is float for value in logs[0].values())
    assert list(logs[1]) == ["loss", "mae", "val_loss", "val_mae"]
    assert history.history == {name: [value] for name, value in logs[1].items()}
    assert history is model.history


def test_stopping_within_an_epoch() -> None:
    def stop(batch: int, logs: Any) -> None:
        model.stop_training = batch == 0

    model = compiled()
    history = fit(model, C.LambdaCallback(on_batch_end=stop), batch_size=2)
    assert history.epoch == [0] and int(model.optimizer.iterations) == 1


STOPS = {  # options, values -> epochs run, the epoch whose weights are kept
    "patience": ({"patience": 2}, [3, 2, 2.5, 2.4, 1], 4, None),
    "none": ({}, [3, 2, 2.5, 1, 0], 3, None),
    "min_delta": ({"min_delta": 0.5}, [3, 2.7, 2.4, 1, 0], 2, None),
    "max": ({"mode": "max", "patience": 1}, [1, 2, 1.5, 3, 1], 3, None),
    "baseline": ({"baseline": 1.0, "patience": 2}, [3, 3, 3, 0.5, 0], 2, None),
    "later": ({"start_from_epoch": 3}, [1, 2, 3, 4, 5], 5, None),
    "restored": ({"patience": 2, "restore_best_weights": True}, [3, 1, 2, 2, 0], 4, 1),
}


@pytest.mark.parametrize("name", STOPS)
def test_early_stopping(name: str) -> None:
    options, values, epochs, kept = STOPS[name]
    weights: list[Any] = []
    model = compiled()
    keep = C.LambdaCallback(on_epoch_end=lambda epoch, logs: weights.append(model.get_weights()[0]))
    history = fit(model, Forced(score=values), keep, C.EarlyStopping("score", **options))
    assert len(history.epoch) == epochs
    if kept is not None:
        np.testing.assert_array_equal(model.get_weights()[0], weights[kept])


def test_early_stopping_without_its_metric(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(fit(compiled(), C.EarlyStopping("val_loss")).epoch) == 5


def test_checkpoints(tmp_path: Path) -> None:
    every = C.ModelCheckpoint(tmp_path / "all" / "{epoch:02d}-{score:.1f}.npz", save_weights_only=True)
    best = C.ModelCheckpoint(str(tmp_path / "best.npz"), "score", save_best_only=True, save_weights_only=True)
    batches = C.ModelCheckpoint(str(tmp_path / "{epoch}-{batch}.npz"), save_weights_only=True, save_freq=3)
    model, weights = compiled(), []
    keep = C.LambdaCallback(on_epoch_end=lambda epoch, logs: weights.append(model.get_weights()[0]))
    fit(model, Forced(score=[3.0, 1.0, 2.0]), keep, every, best, batches, epochs=3)
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["01-3.0.npz", "02-1.0.npz", "03-2.0.npz"]
    assert sorted(path.name for path in tmp_path.glob("?-?.npz")) == ["2-1.npz", "3-2.npz"]
    model.load_weights(tmp_path / "best.npz")
    np.testing.assert_array_equal(model.get_weights()[0], weights[1])
    with pytest.raises(KeyError, match="Failed to format"):
        fit(model, C.ModelCheckpoint("{nothing}.npz", save_weights_only=True))


@pytest.mark.parametrize(
    "schedule", [lambda epoch: 0.1 / (epoch + 1), lambda epoch, rate: 0.1 if epoch == 0 else rate * 0.5]
)
def test_learning_rate_schedules(schedule: Any) -> None:
    history = fit(compiled(), C.LearningRateScheduler(schedule), epochs=2)
    assert history.history["lr"] == pytest.approx([0.1, 0.05])
    with pytest.raises(ValueError, match="should be float"):
        fit(compiled(), C.LearningRateScheduler(lambda epoch: "fast"))


def test_reducing_the_learning_rate() -> None:
    model = compiled()
    plateau = C.ReduceLROnPlateau("score", factor=0.5, patience=1, min_lr=0.002)
    history = fit(model, Forced(score=[1.0, 1.0, 0.5, 0.5, 0.5]), plateau)
    assert history.history["lr"] == pytest.approx([0.01, 0.01, 0.005, 0.005, 0.0025])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.002)
    with pytest.raises(ValueError, match=r"factor >= 1\.0"):
        C.ReduceLROnPlateau(factor=1.0)


def test_the_learning_rate_of_a_graph_of_tensorflow_1() -> None:
    with tf.Graph().as_default():
        model = compiled()
        history = fit(model, C.LearningRateScheduler(lambda epoch: 0.0), epochs=2)
        assert history.history["lr"] == [0.0, 0.0] and history.history["loss"][0] == history.history["loss"][1]


def test_csv(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    for append in (False, True):
        history = fit(compiled(), C.CSVLogger(file, append=append), epochs=2, validation_split=0.5)
    lines = file.read_text().splitlines()
    assert lines[0] == "epoch,loss,mae,val_loss,val_mae" and len(lines) == 5
    assert lines[-1] == ",".join(
        ["1", *[str(history.history[name][1]) for name in ("loss", "mae", "val_loss", "val_mae")]]
    )


def test_not_a_number() -> None:
    model = compiled()
    history = model.fit(X * np.nan, Y, epochs=5, verbose=0, batch_size=2, callbacks=[C.TerminateOnNaN()])
    assert history.epoch == [0] and int(model.optimizer.iterations) == 1


def test_a_history_of_the_users_own() -> None:
    history = C.History()
    model = compiled()
    assert fit(model, history, epochs=1) is history
    fit(model, history, epochs=2)
    assert len(history.history["loss"]) == 3


def test_epochs_go_on_where_they_stopped() -> None:
    assert fit(compiled(), initial_epoch=3).epoch == [3, 4]


def test_validation_from_time_to_time() -> None:
    history = fit(compiled(), validation_data=(X, Y), validation_freq=2, epochs=5)
    assert len(history.history["val_loss"]) == 2
    assert len(fit(compiled(), validation_data=(X, Y), validation_freq=[1, 3, 4]).history["val_loss"]) == 3


@pytest.mark.parametrize("save_freq", ["epoch", 2])
def test_a_training_that_was_cut_off_goes_on(tmp_path: Path, save_freq: Any) -> None:
    def cut(epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    def model() -> Any:
        made = dense(k, 2)
        made.compile("adam", "mse")
        return made

    backup = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt):
        fit(
            model(),
            C.BackupAndRestore(backup, save_freq=save_freq),
            C.LambdaCallback(on_epoch_begin=cut),
            batch_size=10,
        )
    history = fit(model(), C.BackupAndRestore(backup), batch_size=10)
    assert history.epoch == [2, 3, 4] and not list(backup.iterdir())
    whole = fit(model(), batch_size=10)
    assert history.history["loss"] == pytest.approx(whole.history["loss"][2:])


def test_tensorboard(tmp_path: Path) -> None:
    board = C.TensorBoard(tmp_path, histogram_freq=2, update_freq=1)
    fit(compiled(), board, epochs=2, validation_split=0.5)
    found: dict[str, set[str]] = {"train": set(), "validation": set()}
    for run, tags in found.items():
        (file,) = (tmp_path / run).iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            tags.update(value.tag for value in event.summary.value)
    assert found["validation"] == {"epoch_loss", "epoch_mae"}
    epoch = {"epoch_loss", "epoch_mae", "epoch_learning_rate"}
    weights = {"dense/kernel_0/histogram", "dense/bias_0/histogram"}
    assert {tag.replace(tag.split("/")[0], "dense") if "/" in tag else tag for tag in found["train"]} == {
        *epoch, *weights, "batch_loss", "batch_mae",
    }  # fmt: skip
