"""tf.train.CheckpointManager: keeps the latest checkpoints of a folder, and removes older ones."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.ops.files import as_path
from rillet.saving import checkpoints


@public("train.CheckpointManager")
class CheckpointManager:
    """Saves `checkpoint` to a folder, again and again.

    max_to_keep: how many recent checkpoints stay (None: all). keep_checkpoint_every_n_hours: besides, one in so many hours
    stays. checkpoint_name: of the files. step_counter, checkpoint_interval: save() does nothing until the step is so much
    larger than at the last time. init_fn: called by restore_or_initialize where there is no checkpoint.
    Raises ValueError for arguments that do not fit together.
    """

    def __init__(
        self,
        checkpoint: Any,
        directory: Any,
        max_to_keep: int | None,
        keep_checkpoint_every_n_hours: float | None = None,
        checkpoint_name: str = "ckpt",
        step_counter: Any = None,
        checkpoint_interval: int | None = None,
        init_fn: Callable[[], Any] | None = None,
        last_checkpoint_step: int | None = None,
    ) -> None:
        if max_to_keep is not None and max_to_keep <= 0:
            raise ValueError(f"Expected a positive integer or `None` for `max_to_keep`, got {max_to_keep}.")
        if step_counter is not None and checkpoint_interval is None:
            raise ValueError("`checkpoint_interval` should be passed if `step_counter` is specified.")
        self._checkpoint = checkpoint
        self._directory = as_path(directory)
        self._prefix = os.path.join(self._directory, checkpoint_name)
        self._max_to_keep = max_to_keep
        self._hours = keep_checkpoint_every_n_hours
        self._step_counter = step_counter
        self._interval = checkpoint_interval
        self._init = init_fn
        self._last_step = last_checkpoint_step
        self._recent: dict[str, float] = {}
        self._latest: str | None = None
        self._recover()

    def _recover(self) -> None:
        """What the folder already holds."""
        state = checkpoints.get_checkpoint_state(self._directory)
        now = time.time()
        self._last_preserved = now
        if state is None:
            return
        self._latest = state.model_checkpoint_path
        times = list(state.all_model_checkpoint_timestamps)
        if len(times) != len(state.all_model_checkpoint_paths):
            times = [now] * len(state.all_model_checkpoint_paths)
        self._recent = dict(zip(state.all_model_checkpoint_paths, times, strict=True))
        self._last_preserved = state.last_preserved_timestamp or now

    @property
    def directory(self) -> str:
        return self._directory

    @property
    def checkpoint(self) -> Any:
        return self._checkpoint

    @property
    def checkpoint_interval(self) -> int | None:
        return self._interval

    @property
    def latest_checkpoint(self) -> str | None:
        """The prefix of the latest checkpoint; None where there is none."""
        return self._latest

    @property
    def checkpoints(self) -> list[str]:
        """The prefixes of the checkpoints that are managed, the oldest first."""
        return list(self._recent)

    def save(self, checkpoint_number: Any = None, check_interval: bool = True, options: Any = None) -> str | None:
        """Writes a checkpoint; removes the oldest where there are too many. Returns its prefix, None where the interval has
        not passed.

        checkpoint_number: the number in its name (by default how often was saved).
        """
        if self._interval is not None and check_interval:
            step = self._step()
            if self._last_step is not None and self._last_step + self._interval > step:
                return None
        counter = self._checkpoint.save_counter
        if checkpoint_number is None:
            counter.assign_add(1)
            checkpoint_number = int(counter.numpy())
        else:
            checkpoint_number = int(convert_to_tensor(checkpoint_number).numpy())
        written = self._checkpoint.write(f"{self._prefix}-{checkpoint_number}")
        self._recent.pop(written, None)
        self._recent[written] = time.time()
        self._latest = written
        if self._interval is not None:
            self._last_step = self._step()
        self._write_state()
        removed = self._sweep()
        if removed:
            self._write_state()
            for prefix in removed:
                checkpoints.remove_checkpoint(prefix)
        return written

    def _step(self) -> int:
        return int(self._step_counter.numpy() if hasattr(self._step_counter, "numpy") else self._step_counter)

    def _sweep(self) -> list[str]:
        """Takes the oldest checkpoints out of those that are managed; returns the ones to remove."""
        removed = []
        while self._max_to_keep and len(self._recent) > self._max_to_keep:
            prefix, written = next(iter(self._recent.items()))
            del self._recent[prefix]
            if self._hours is not None and written - self._hours * 3600 >= self._last_preserved:
                self._last_preserved = written
            else:
                removed.append(prefix)
        return removed

    def _write_state(self) -> None:
        assert self._latest is not None
        state = checkpoints.state_message(
            self._directory,
            self._latest,
            list(self._recent),
            list(self._recent.values()),
            self._last_preserved,
            relative=True,
        )
        checkpoints.write_state(state, self._directory)

    def restore_or_initialize(self) -> str | None:
        """Restores the latest checkpoint and returns its prefix; where there is none, calls init_fn and returns None."""
        if self._latest is not None:
            self._checkpoint.restore(self._latest)
            if self._last_step is None and self._step_counter is not None:
                self._last_step = self._step()
            return self._latest
        if self._init is not None:
            self._init()
        return None
