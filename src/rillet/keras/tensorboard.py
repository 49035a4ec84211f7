"""The TensorBoard callback: metrics, weights and the graph of the training step as event files."""

from __future__ import annotations

import os
from typing import Any

from rillet.core import context
from rillet.core.export import public
from rillet.frontend.function import PolymorphicFunction
from rillet.keras import sessions
from rillet.keras.callback_list import Callback
from rillet.summary import writers


@public("keras.callbacks.TensorBoard")
class TensorBoard(Callback):
    """Writes to log_dir/train and log_dir/validation what TensorBoard shows.

    histogram_freq: every how many epochs the weights' histograms are written (0: never). write_graph: the graph of the
    training step. update_freq: "epoch", "batch", or every how many batches the metrics are written besides.
    write_images, write_steps_per_second, profile_batch, embeddings_freq, embeddings_metadata: accepted; nothing is written.

    Raises ValueError for another update_freq.
    """

    def __init__(
        self,
        log_dir: Any = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Any = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if update_freq not in ("epoch", "batch") and not isinstance(update_freq, int):
            raise ValueError(f'update_freq must be "epoch", "batch" or a number of batches. Received: {update_freq!r}')
        for name in kwargs.keys() - {"batch_size", "write_grads", "embeddings_layer_names", "embeddings_data"}:
            raise TypeError(f"TensorBoard() got an unexpected keyword argument {name!r}")
        self.log_dir, self.histogram_freq, self.write_graph = os.fspath(log_dir), histogram_freq, write_graph
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self.wants_batches = update_freq != "epoch"
        self._writers: dict[str, Any] = {}
        self._batches = 0

    def _write(self, run: str, values: dict[str, Any], step: int) -> None:
        if not values:
            return
        with context.use_graph(None), self._writer(run).as_default():
            for name, value in values.items():
                writers.scalar(name, value, step=step)

    def _writer(self, run: str) -> Any:
        if run not in self._writers:
            self._writers[run] = writers.create_file_writer(os.path.join(self.log_dir, run))
        return self._writers[run]

    def on_train_begin(self, logs: Any = None) -> None:
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches += 1
        if self.update_freq != "epoch" and self._batches % self.update_freq == 0:
            self._write("train", {f"batch_{name}": value for name, value in logs.items()}, self._batches)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        train = {f"epoch_{name}": value for name, value in logs.items() if not name.startswith("val_")}
        rate = getattr(self.model.optimizer, "learning_rate", None)
        if rate is not None and not callable(rate):
            train["epoch_learning_rate"] = sessions.get_value(rate)
        validation = {f"epoch_{name[4:]}": value for name, value in logs.items() if name.startswith("val_")}
        self._write("train", train, epoch)
        self._write("validation", validation, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        for writer in self._writers.values():
            writer.flush()

    def _write_weights(self, epoch: int) -> None:
        variables = self.model.weights
        arrays = sessions.get_values(variables)
        with context.use_graph(None), self._writer("train").as_default():
            for variable, array in zip(variables, arrays, strict=True):
                writers.histogram(variable.name.replace(":", "_") + "/histogram", array, step=epoch)

    def on_train_end(self, logs: Any = None) -> None:
        if self.write_graph:
            self._write_step()
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _write_step(self) -> None:
        function = self.model.train_function
        traces = list(function._traces.values()) if isinstance(function, PolymorphicFunction) else []
        if traces:
            with context.use_graph(None), self._writer("train").as_default():
                writers.graph(traces[0].graph)
