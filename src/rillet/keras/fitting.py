"""The loops of training: fit, evaluate, predict, and single batches."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import nest
from rillet.core.tensor import EagerTensor
from rillet.keras.callback_list import CallbackList
from rillet.keras.inputs import (
    Steps,
    Structure,
    add_class_weight,
    as_data,
    is_arrays,
    make_source,
    pack_x_y_sample_weight,
    split,
)
from rillet.keras.stepping import as_numbers

_OUT_OF_DATA = (
    "Your input ran out of data; interrupting training. Make sure that your dataset or generator can generate at least "
    "`steps_per_epoch * epochs` batches. You may need to use the repeat() function when building your dataset."
)


class Fitting:
    """What Trainer has of loops."""

    stop_training: bool
    first_epoch: int
    steps_per_execution: int
    history: Any
    _step_of_kind: Callable[..., Any]
    _assert_compiled: Callable[[], None]
    reset_metrics: Callable[[], None]
    metrics_names: list[str]

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: Any = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
    ) -> Any:
        """Trains the model.

        x, y: arrays (or lists and dictionaries of them); or x alone: a generator, Sequence, dataset or other iterable of
            batches (x, y) or (x, y, sample_weight).
        shuffle: whether examples come in a new order each epoch (np.random decides); "batch" keeps batches together.
        validation_split: the last part of the arrays is not trained on, but evaluated after each epoch.
        verbose: 0 silent, 1 a progress bar, 2 a line an epoch, "auto" 1.

        Returns the History: `.history` has the metrics of each epoch. RuntimeError before compile.
        """
        self._assert_compiled()
        if validation_split and validation_data is None:
            if not is_arrays(x):
                raise ValueError("`validation_split` is only supported for Tensors or NumPy arrays")
            data = (as_data(x), as_data(y), as_data(sample_weight))
            (x, y, sample_weight), validation_data = split(data, validation_split)
        source = make_source(x, y, sample_weight, batch_size, shuffle, class_weight, steps_per_epoch)
        steps = Steps(source, steps_per_epoch)
        hooks = CallbackList(
            callbacks,
            self,
            verbose="auto" if verbose == "auto" else verbose,
            epochs=epochs,
            steps=steps.steps,
            with_progress=True,
        )
        evaluation = self._validation_of(validation_data, validation_batch_size or batch_size, validation_steps)
        step = self._step_of_kind("train")
        self.stop_training, self.first_epoch = False, initial_epoch
        hooks.on_train_begin()
        logs: dict[str, Any] = {}
        for epoch in range(self.first_epoch, epochs):  # a callback may have set another
            self.reset_metrics()
            hooks.on_epoch_begin(epoch)
            count, results = self._run_epoch(step, steps, hooks, "train")
            if steps_per_epoch is not None and count < steps_per_epoch:
                warnings.warn(_OUT_OF_DATA, stacklevel=2)
                self.stop_training = True
            if not count:
                raise ValueError(
                    "Unexpected result of `train_function` (Empty Logs): the data gave no batch to train on"
                )
            logs = as_numbers(results)
            if evaluation is not None and _is_due(epoch, validation_freq):
                logs.update({f"val_{name}": value for name, value in evaluation(hooks).items()})
            source.end_epoch()
            hooks.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        hooks.on_train_end(logs)
        return self.history

    def _run_epoch(self, step: Any, steps: Any, hooks: Any, mode: str) -> tuple[int, Any]:
        """Runs the batches of an epoch through `step`. Returns how many there were, and the last results."""
        begin, end = hooks.batch_hooks(mode)
        results: Any = None
        count = 0
        if begin is None and end is None:
            for structure, arrays in steps.epoch():
                results = step(structure, arrays)
                count += 1
            return count, results
        batches = steps.epoch()
        width = self.steps_per_execution
        while True:
            group = list(itertools.islice(batches, width))
            if not group:
                return count, results
            if begin is not None:
                begin(count)
            for structure, arrays in group:
                results = step(structure, arrays)
            count += len(group)
            if end is not None:
                end(count - 1, results)
            if self.stop_training:
                return count, results

    def _validation_of(self, data: Any, batch_size: int | None, limit: int | None) -> Any:
        """A function that evaluates the model on the validation data; None where there are none."""
        if data is None:
            return None
        if is_arrays(data):
            x, y, weight = (*data, None) if len(data) == 2 else data
            source = make_source(x, y, weight, batch_size)
        else:
            source = make_source(data)
        steps = Steps(source, limit)

        def evaluate(hooks: Any) -> dict[str, Any]:
            self.reset_metrics()
            hooks.on_test_begin()
            _, results = self._run_epoch(self._step_of_kind("test"), steps, hooks, "test")
            logs = as_numbers(results)
            hooks.on_test_end(logs)
            return logs

        return evaluate

    # ---- evaluate and predict ---------------------------------------------------------------------------------------

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The loss and metrics on data: a number, a list in the order of `metrics_names`, or a dictionary.

        Takes data as fit does. RuntimeError before compile, TypeError for another keyword.
        """
        if kwargs:
            raise TypeError(f"Invalid keyword arguments: {list(kwargs)}")
        self._assert_compiled()
        batches = Steps(make_source(x, y, sample_weight, batch_size, steps=steps), steps)
        hooks = CallbackList(callbacks, self, verbose=verbose, epochs=1, steps=batches.steps, with_progress=True)
        self.reset_metrics()
        hooks.on_test_begin()
        _, results = self._run_epoch(self._step_of_kind("test"), batches, hooks, "test")
        logs = as_numbers(results)
        hooks.on_test_end(logs)
        return logs if return_dict else self._results_listed(logs)

    def _results_listed(self, logs: dict[str, Any]) -> Any:
        """Results in the order of `metrics_names`; a single one alone."""
        names = [name for name in self.metrics_names if name in logs]
        values = [logs[name] for name in [*names, *[name for name in logs if name not in names]]]
        return values[0] if len(values) == 1 else values

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
    ) -> Any:
        """The outputs for data, as arrays. Takes x as fit does; labels and weights in batches are left out."""
        batches = Steps(make_source(x, batch_size=batch_size, steps=steps), steps)
        hooks = CallbackList(callbacks, self, verbose=verbose, epochs=1, steps=batches.steps, with_progress=True)
        begin, end = hooks.batch_hooks("predict")
        step = self._step_of_kind("predict")
        found: list[Any] = []
        hooks.on_predict_begin()
        for index, (structure, arrays) in enumerate(batches.epoch()):
            if begin is not None:
                begin(index)
            found.append(step(structure, arrays))
            if end is not None:
                end(index, {"outputs": found[-1]})
        hooks.on_predict_end()
        if not found:
            raise ValueError(
                "Unexpected result of `predict_function` (Empty batch_outputs): there was no batch to predict"
            )
        if len(found) == 1:
            return nest.map_structure(_as_owned_array, found[0])
        return nest.map_structure(lambda *parts: np.concatenate([_as_array(part) for part in parts]), *found)

    # ---- single batches -----------------------------------------------------------------------------------------------

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        reset_metrics: bool = True,
        return_dict: bool = False,
    ) -> Any:
        """One step of training. Returns the loss and metrics as evaluate does."""
        self._assert_compiled()
        data = add_class_weight((as_data(x), as_data(y), as_data(sample_weight)), class_weight)
        return self._on_batch("train", data, reset_metrics, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, reset_metrics: bool = True, return_dict: bool = False
    ) -> Any:
        """The loss and metrics on one batch, as evaluate gives them."""
        self._assert_compiled()
        return self._on_batch("test", (as_data(x), as_data(y), as_data(sample_weight)), reset_metrics, return_dict)

    def _on_batch(self, kind: str, data: Any, reset_metrics: bool, return_dict: bool) -> Any:
        step = self._step_of_kind(kind)
        data = pack_x_y_sample_weight(*data)
        if reset_metrics:
            self.reset_metrics()
        logs = as_numbers(step(Structure.of(data), Structure.leaves(data)))
        return logs if return_dict else self._results_listed(logs)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as arrays."""
        data = pack_x_y_sample_weight(as_data(x))
        return nest.map_structure(
            _as_owned_array, self._step_of_kind("predict")(Structure.of(data), Structure.leaves(data))
        )

    # ---- the older names ----------------------------------------------------------------------------------------------

    def fit_generator(self, generator: Any, *args: Any, **kwargs: Any) -> Any:
        """fit, as it was called for generators; the second argument is steps_per_epoch."""
        if args:
            kwargs["steps_per_epoch"] = args[0]
            kwargs.update(zip(("epochs", "verbose", "callbacks", "validation_data"), args[1:], strict=False))
        return self.fit(generator, **kwargs)

    def evaluate_generator(self, generator: Any, steps: int | None = None, **kwargs: Any) -> Any:
        return self.evaluate(generator, steps=steps, **{"verbose": 0, **kwargs})

    def predict_generator(self, generator: Any, steps: int | None = None, **kwargs: Any) -> Any:
        return self.predict(generator, steps=steps, **{"verbose": 0, **kwargs})


def _is_due(epoch: int, frequency: Any) -> bool:
    """Whether validation is wanted after this epoch: every `frequency`-th, or those listed (from 1)."""
    return (epoch + 1) % frequency == 0 if isinstance(frequency, int) else (epoch + 1) in frequency


def _as_array(value: Any) -> Any:
    return value._array if isinstance(value, EagerTensor) else np.asarray(value)


def _as_owned_array(value: Any) -> Any:
    """An array that nobody else holds."""
    return value.numpy() if isinstance(value, EagerTensor) else np.array(value)
