"""Callback, and how many of them are called as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rillet.core.export import public
from rillet.keras.progress import Progbar
from rillet.keras.stepping import as_numbers

_MODES = ("train", "test", "predict")


@public("keras.callbacks.Callback")
class Callback:
    """What is called while a model is trained. `self.model` is the model, `self.params` has verbose, epochs and steps.

    wants_batches: whether it is to be told of batches of training, where it has a method for that.
    """

    wants_batches = True

    def __init__(self) -> None:
        self.validation_data = None
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def set_model(self, model: Any) -> None:
        self.model = model

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        """The older name of on_train_batch_begin."""

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """The older name of on_train_batch_end."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """An epoch begins; they are counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """An epoch is over. logs: the metrics, those of the validation data as val_*."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.on_batch_end(batch, logs)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """A batch of evaluate, or of the validation in fit, begins."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """A batch of evaluate is over."""

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """A batch of predict begins."""

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """A batch of predict is over. logs: "outputs"."""

    def on_train_begin(self, logs: Any = None) -> None:
        """fit begins."""

    def on_train_end(self, logs: Any = None) -> None:
        """fit is over."""

    def on_test_begin(self, logs: Any = None) -> None:
        """evaluate, or the validation in fit, begins."""

    def on_test_end(self, logs: Any = None) -> None:
        """evaluate is over."""

    def on_predict_begin(self, logs: Any = None) -> None:
        """predict begins."""

    def on_predict_end(self, logs: Any = None) -> None:
        """predict is over."""


@public("keras.callbacks.History")
class History(Callback):
    """Keeps the metrics of each epoch: `history` {name: [value, ...]}, `epoch` [number, ...]. fit returns it."""

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        self.model.history = self


@public("keras.callbacks.ProgbarLogger")
class ProgbarLogger(Callback):
    """Prints the progress bar."""

    is_lazy = True  # it takes results as they are, and asks for numbers when it draws

    def __init__(self, count_mode: str = "steps", stateful_metrics: Any = None) -> None:
        super().__init__()
        self._bar: Progbar | None = None
        self._is_fitting = False
        self._seen = 0

    def _start(self) -> None:
        self._seen = 0
        self._bar = Progbar(self.params.get("steps"), verbose=int(self.params.get("verbose", 1)))

    def on_train_begin(self, logs: Any = None) -> None:
        self._is_fitting = True

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start()
        if self.params.get("epochs", 1) > 1:
            print(f"Epoch {epoch + 1}/{self.params['epochs']}")

    def on_test_begin(self, logs: Any = None) -> None:
        if not self._is_fitting:
            self._start()

    def on_predict_begin(self, logs: Any = None) -> None:
        self._start()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._advance(batch, logs)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if not self._is_fitting:
            self._advance(batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self._advance(batch, None)

    def _advance(self, batch: int, logs: Any) -> None:
        self._seen = batch + 1
        bar = self._bar
        assert bar is not None
        if bar.verbose == 1 and bar._dynamic and bar.is_due(self._seen) and self._seen != bar.target:
            self._show(logs, finalize=False)

    def _show(self, logs: Any, finalize: bool) -> None:
        assert self._bar is not None
        values = as_numbers(logs)
        self._bar.stateful_metrics.update(values)
        if finalize and (self._bar.target is None or self._bar.target != self._seen):
            self._bar.target = self._seen
        self._bar.update(self._seen, list(values.items()), finalize=finalize)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._show(logs, finalize=True)

    def on_train_end(self, logs: Any = None) -> None:
        self._is_fitting = False

    def on_test_end(self, logs: Any = None) -> None:
        if not self._is_fitting:
            self._show(logs, finalize=True)

    def on_predict_end(self, logs: Any = None) -> None:
        self._show(None, finalize=True)


@public("keras.callbacks.CallbackList")
class CallbackList:
    """Callbacks, called in turn. Adds a History, and a progress bar where there is to be one.

    Batches are not told to callbacks that do not want to hear of them, so that nothing is computed for nobody.
    """

    def __init__(
        self,
        callbacks: Any = None,
        model: Any = None,
        add_history: bool = True,
        add_progbar: bool = False,
        *,
        with_progress: bool = False,
        **params: Any,
    ) -> None:
        if isinstance(callbacks, CallbackList):
            callbacks = callbacks.callbacks
        self.callbacks: list[Any] = (
            list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] * bool(callbacks)
        )
        params["verbose"] = 1 if params.get("verbose", 0) == "auto" else int(params.get("verbose", 0) or 0)
        own = next((callback for callback in self.callbacks if isinstance(callback, History)), None)
        if (add_progbar or with_progress) and params["verbose"] and not self._has(ProgbarLogger):
            self.callbacks.append(ProgbarLogger())
        if own is None and add_history:
            own = History()
            self.callbacks.append(own)
        self.history = own
        self.params = params
        self.model = model
        for callback in self.callbacks:
            callback.set_params(params)
            if model is not None:
                callback.set_model(model)

    def _has(self, kind: type) -> bool:
        return any(isinstance(callback, kind) for callback in self.callbacks)

    def append(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def __iter__(self) -> Any:
        return iter(self.callbacks)

    def batch_hooks(self, mode: str) -> tuple[Any, Any]:
        """(begin, end): functions to call for each batch, None where nobody listens."""
        return self._hook(mode, "begin"), self._hook(mode, "end")

    def _hook(self, mode: str, when: str) -> Callable[..., None] | None:
        name = f"on_{mode}_batch_{when}"
        names = (name, f"on_batch_{when}") if mode == "train" else (name,)
        wanted = [callback for callback in self.callbacks if any(_overrides(callback, own) for own in names)]
        if mode == "train":
            wanted = [callback for callback in wanted if getattr(callback, "wants_batches", True)]
        if not wanted:
            return None
        methods = [(getattr(callback, name), getattr(callback, "is_lazy", False)) for callback in wanted]
        if len(methods) == 1 and methods[0][1]:
            return methods[0][0]

        def call(batch: int, logs: Any = None) -> None:
            numbers: Any = None
            for method, is_lazy in methods:
                if not is_lazy and numbers is None:
                    numbers = (logs or {}) if mode == "predict" else as_numbers(logs)
                method(batch, logs if is_lazy else numbers)

        return call

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("on_"):
            raise AttributeError(name)

        def call(*args: Any) -> None:
            if name == "on_train_begin" and self.model is not None:
                self.model.history = self.history
            first, logs = (args[:1], args[1:]) if name.startswith("on_epoch") or "batch" in name else ((), args)
            given = logs[0] if logs and logs[0] is not None else {}
            for callback in self.callbacks:
                getattr(callback, name)(*first, given)

        return call


def _overrides(callback: Any, name: str) -> bool:
    """Whether `callback` does anything for this event."""
    return getattr(type(callback), name, None) is not getattr(Callback, name) or name in vars(callback)
