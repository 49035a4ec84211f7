"""tf.keras.callbacks."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rillet.core.export import public
from rillet.frontend import logging
from rillet.keras import sessions
from rillet.keras.callback_list import Callback
from rillet.keras.stepping import as_number

Better = Callable[[Any, Any], Any]


def _comparison(mode: str, monitor: str, callback: str) -> tuple[Better, float]:
    """(whether a value is better than another, the worst value) for what is monitored."""
    if mode not in ("auto", "min", "max"):
        logging.warning(f"{callback} mode {mode} is unknown, fallback to auto mode.")
        mode = "auto"
    if mode == "auto":
        more_is_better = (
            monitor.endswith(("acc", "accuracy", "auc")) or "acc" in monitor or monitor.startswith("fmeasure")
        )
        mode = "max" if more_is_better else "min"
    return (np.less, np.inf) if mode == "min" else (np.greater, -np.inf)


def _monitored(logs: Any, monitor: str, what: str) -> Any:
    """The monitored value; None, with a warning, where there is none."""
    value = (logs or {}).get(monitor)
    if value is None:
        logging.warning(
            f"{what} conditioned on metric `{monitor}` which is not available. Available metrics are: {','.join(logs or {})}"
        )
    return value


@public("keras.callbacks.EarlyStopping")
class EarlyStopping(Callback):
    """Stops when what is monitored has not become better for `patience` epochs.

    min_delta: how much better is better. baseline: what has to be reached. start_from_epoch: epochs not looked at.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__()
        self.monitor, self.patience, self.verbose, self.baseline = monitor, patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.monitor_op, self._worst = _comparison(mode, monitor, "EarlyStopping")
        self.min_delta = abs(min_delta) * (1 if self.monitor_op is np.greater else -1)
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self._worst
        self.best_weights: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best, self.best_weights = self._worst, None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        current = _monitored(logs, self.monitor, "Early stopping")
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.monitor_op(current - self.min_delta, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.monitor_op(current - self.min_delta, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True
            if self.restore_best_weights and self.best_weights is not None:
                if self.verbose:
                    print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
                self.model.set_weights(self.best_weights)

    def on_train_end(self, logs: Any = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")

    def get_monitor_value(self, logs: Any) -> Any:
        return _monitored(logs, self.monitor, "Early stopping")


@public("keras.callbacks.ModelCheckpoint")
class ModelCheckpoint(Callback):
    """Saves the model, or its weights, as training goes on.

    filepath: may name {epoch} and metrics: "weights.{epoch:02d}-{val_loss:.2f}.npz".
    save_best_only: only when what is monitored has become better. save_freq: "epoch", or a number of batches.
    """

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Any = "epoch",
        options: Any = None,
        initial_value_threshold: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.filepath, self.monitor, self.verbose = os.fspath(filepath), monitor, verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.period = kwargs.pop("period", 1)
        kwargs.pop("load_weights_on_restart", None)
        if kwargs:
            raise TypeError(f"Invalid arguments: {list(kwargs)}")
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(f"Unrecognized save_freq: {save_freq}. Expected save_freq are 'epoch' or integer values")
        self.save_freq = save_freq
        self.wants_batches = save_freq != "epoch"
        self.monitor_op, worst = _comparison(mode, monitor, "ModelCheckpoint")
        self.best = worst if initial_value_threshold is None else initial_value_threshold
        self._batches = self._epoch = self._since = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches += 1
        if self.save_freq != "epoch" and self._batches % self.save_freq == 0:
            self._save(self._epoch, batch, logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._since += 1
        if self.save_freq == "epoch" and self._since >= self.period:
            self._since = 0
            self._save(epoch, None, logs)

    def _save(self, epoch: int, batch: int | None, logs: Any) -> None:
        names = {} if batch is None else {"batch": batch + 1}
        try:
            path = self.filepath.format(epoch=epoch + 1, **names, **(logs or {}))
        except KeyError as error:
            raise KeyError(
                f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}. There are: {sorted(logs or {})}'
            ) from None
        where = f"Epoch {epoch + 1}: " if batch is None else f"Epoch {epoch + 1} batch {batch + 1}: "
        if self.save_best_only:
            current = _monitored(logs, self.monitor, "Can save best model only with")
            if current is None:
                return
            if not self.monitor_op(current, self.best):
                if self.verbose:
                    print(f"\n{where}{self.monitor} did not improve from {self.best:.5f}")
                return
            if self.verbose:
                print(f"\n{where}{self.monitor} improved from {self.best:.5f} to {current:.5f}, saving model to {path}")
            self.best = current
        elif self.verbose:
            print(f"\n{where}saving model to {path}")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)


class _Rates:
    """The learning rate of a model's optimizer, as callbacks read and set it."""

    @staticmethod
    def of(model: Any) -> float:
        rate = model.optimizer.learning_rate
        return float(sessions.get_value(rate))

    @staticmethod
    def set(model: Any, value: float) -> None:
        rate = model.optimizer.learning_rate
        if hasattr(rate, "assign"):
            sessions.set_value(rate, value)
        else:
            model.optimizer.learning_rate = value


@public("keras.callbacks.LearningRateScheduler")
class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch to schedule(epoch, learning rate), or schedule(epoch).

    ValueError where the schedule returns no float.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if not hasattr(self.model.optimizer, "learning_rate"):
            raise ValueError('Optimizer must have a "lr" attribute.')
        current = _Rates.of(self.model)
        try:
            rate = self.schedule(epoch, current)
        except TypeError:  # a schedule of the epoch alone
            rate = self.schedule(epoch)
        rate = as_number(rate) if hasattr(rate, "dtype") else rate
        if not isinstance(rate, float):
            raise ValueError(f'The output of the "schedule" function should be float. Got: {rate}')
        _Rates.set(self.model, rate)
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None:
            logs["lr"] = _Rates.of(self.model)


@public("keras.callbacks.ReduceLROnPlateau")
class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by `factor` when what is monitored has not become better for `patience` epochs.

    ValueError for a factor of 1 or more.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0. Got {factor}")
        self.monitor, self.factor, self.patience, self.verbose = monitor, factor, patience, verbose
        self.min_delta, self.cooldown, self.min_lr = kwargs.pop("epsilon", min_delta), cooldown, min_lr
        self._better, self._worst = _comparison(mode, monitor, "ReduceLROnPlateau")
        self.monitor_op = self._is_better
        self.best, self.wait, self.cooldown_counter = self._worst, 0, 0

    def _is_better(self, value: float, best: float) -> Any:
        margin = -self.min_delta if self._better is np.less else self.min_delta
        return self._better(value, best + margin)

    def on_train_begin(self, logs: Any = None) -> None:
        self.best, self.wait, self.cooldown_counter = self._worst, 0, 0

    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        rate = _Rates.of(self.model)
        if logs is not None:
            logs["lr"] = rate
        current = _monitored(logs, self.monitor, "Learning rate reduction is")
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.monitor_op(current, self.best):
            self.best, self.wait = current, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and rate > np.float32(self.min_lr):
                lower = max(rate * self.factor, self.min_lr)
                _Rates.set(self.model, lower)
                if self.verbose:
                    print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {lower}.")
                self.cooldown_counter, self.wait = self.cooldown, 0


@public("keras.callbacks.CSVLogger")
class CSVLogger(Callback):
    """Writes the metrics of each epoch as a line of a CSV file. append: after what is there."""

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename, self.sep, self.append = os.fspath(filename), separator, append
        self.keys: list[str] | None = None
        self._file: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        path = Path(self.filename)
        has_header = self.append and path.exists() and path.stat().st_size > 0
        self._file = open(path, "a" if self.append else "w", newline="")  # noqa: SIM115 - it stays open while training
        self._needs_header = not has_header
        self.keys = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            validation = [
                f"val_{name}" for name in self.keys if f"val_{name}" not in logs and not name.startswith("val_")
            ]
            self.keys += validation if self.model.stop_training else []
            self._writer = csv.DictWriter(self._file, ["epoch", *self.keys], delimiter=self.sep, lineterminator="\n")
            if self._needs_header:
                self._writer.writeheader()
        row = {name: _cell(logs.get(name, "NA")) for name in self.keys}
        self._writer.writerow({"epoch": epoch, **row})
        self._file.flush()

    def on_train_end(self, logs: Any = None) -> None:
        self._file.close()


def _cell(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return '"[' + ", ".join(map(str, value.tolist())) + ']"'
    return value


@public("keras.callbacks.TerminateOnNaN")
class TerminateOnNaN(Callback):
    """Stops when the loss is no number, or infinite."""

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not np.all(np.isfinite(loss)):
            print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True


@public("keras.callbacks.LambdaCallback")
class LambdaCallback(Callback):
    """Functions as a callback: on_epoch_begin(epoch, logs), on_batch_end(batch, logs), on_train_end(logs) ..."""

    def __init__(
        self,
        on_epoch_begin: Any = None,
        on_epoch_end: Any = None,
        on_batch_begin: Any = None,
        on_batch_end: Any = None,
        on_train_begin: Any = None,
        on_train_end: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        given = {
            "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_batch_begin": on_batch_begin,
            "on_batch_end": on_batch_end, "on_train_begin": on_train_begin, "on_train_end": on_train_end, **kwargs,
        }  # fmt: skip
        self.__dict__.update({name: function for name, function in given.items() if function is not None})


@public("keras.callbacks.BackupAndRestore", "keras.callbacks.experimental.BackupAndRestore")
class BackupAndRestore(Callback):
    """Keeps the weights and the number of the epoch in a folder while training, so that a training that was cut off goes
    on with the epoch after. The optimizer's state is kept too.

    save_freq: "epoch", or a number of batches. delete_checkpoint: whether the folder's file goes away when training is over.
    Raises ValueError for an empty folder name or another save_freq.
    """

    def __init__(
        self, backup_dir: Any, save_freq: Any = "epoch", delete_checkpoint: bool = True, **kwargs: Any
    ) -> None:
        super().__init__()
        if not os.fspath(backup_dir):
            raise ValueError("Empty `backup_dir` argument passed. Please specify a non-empty value.")
        if save_freq != "epoch" and not (isinstance(save_freq, int) and save_freq > 0):
            raise ValueError(
                f"Invalid value for argument `save_freq`: {save_freq}. Expected 'epoch' or a positive integer."
            )
        for name in kwargs.keys() - {"save_before_preemption", "double_checkpoint"}:
            raise TypeError(f"BackupAndRestore() got an unexpected keyword argument {name!r}")
        self.backup_dir, self.save_freq, self.delete_checkpoint = os.fspath(backup_dir), save_freq, delete_checkpoint
        self.wants_batches = save_freq != "epoch"
        self._file = Path(self.backup_dir) / "training.npz"
        self._epoch = self._batches = 0

    def _variables(self) -> list[Any]:
        optimizer = self.model.optimizer
        if self.model.built and hasattr(optimizer, "build"):
            optimizer.build(self.model.trainable_variables)
        found = getattr(optimizer, "variables", [])
        return [*self.model.weights, *(found() if callable(found) and not isinstance(found, list) else found)]

    def on_train_begin(self, logs: Any = None) -> None:
        if not self._file.exists():
            return
        with np.load(self._file) as stored:
            arrays = [stored[name] for name in sorted(stored.files) if name != "epoch"]
            self.model.first_epoch = int(stored["epoch"])
        variables = self._variables()
        if [array.shape for array in arrays] != [tuple(variable.shape.as_list()) for variable in variables]:
            raise ValueError(f"{self._file} is the backup of another model: delete it, or choose another folder")
        sessions.set_values(list(zip(variables, arrays, strict=True)))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches += 1
        if self.save_freq != "epoch" and self._batches % self.save_freq == 0:
            self._save(self._epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._save(epoch + 1)

    def _save(self, epoch: int) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        values = sessions.get_values(self._variables())
        unfinished = self._file.with_suffix(".part")
        with open(unfinished, "wb") as file:
            np.savez(file, epoch=epoch, **{f"{index:06d}": value for index, value in enumerate(values)})
        os.replace(unfinished, self._file)

    def on_train_end(self, logs: Any = None) -> None:
        if self.delete_checkpoint:
            self._file.unlink(missing_ok=True)
