"""Event files: what TensorBoard shows. Records, each an Event message with its time and step."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from typing import IO, Any

from rillet.core.export import public
from rillet.ops.files import as_path, file_errors
from rillet.ops.records import framed, read_records
from rillet.saving import messages

_FILE_VERSION = "brain.Event:2"
_NUMBERS = itertools.count()


class EventFile:
    """An event file being written. It is made when the first event comes; events reach it at the latest after
    `flush_seconds`, when `max_queue` are waiting, or when the program ends."""

    def __init__(
        self, folder: Any, suffix: str = "", max_queue: int = 10, flush_seconds: float = 120, is_v2: bool = False
    ) -> None:
        self.folder = as_path(folder)
        with file_errors(self.folder):
            os.makedirs(self.folder, exist_ok=True)
        unique = f".{os.getpid()}.{next(_NUMBERS)}.v2" if is_v2 else ""
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}{unique}{suffix or ''}"
        self.path = os.path.join(self.folder, name)
        self._max_queue = max_queue
        self._flush_seconds = flush_seconds
        self._lock = threading.RLock()
        self._state = _Open()
        self._finish = weakref.finalize(self, self._state.close)

    def add(self, event: Any) -> None:
        """Adds an Event; its time is now, where it says none."""
        if not event.wall_time:
            event.wall_time = time.time()
        with self._lock:
            state = self._state
            if state.file is None:
                self._open()
            state.waiting.append(event.SerializeToString())
            if len(state.waiting) > self._max_queue or time.monotonic() - state.flushed > self._flush_seconds:
                state.flush()

    def _open(self) -> None:
        with file_errors(self.path):
            self._state.file = open(self.path, "ab")  # noqa: SIM115 - closed by close
        if self._state.file.tell() == 0:
            first = messages.get("Event")(wall_time=time.time(), file_version=_FILE_VERSION)
            self._state.waiting.append(first.SerializeToString())
        self._state.flush()

    def flush(self) -> None:
        with self._lock:
            self._state.flush()

    def close(self) -> None:
        """Writes what waits and closes the file. The next event opens it again."""
        with self._lock:
            self._state.close()


class _Open:
    """The open file and what waits to be written."""

    def __init__(self) -> None:
        self.file: IO[bytes] | None = None
        self.waiting: list[bytes] = []
        self.flushed = time.monotonic()

    def flush(self) -> None:
        if self.file is not None:
            self.file.write(framed(self.waiting))
            self.file.flush()
        self.waiting = []
        self.flushed = time.monotonic()

    def close(self) -> None:
        if self.file is not None:
            self.flush()
            self.file.close()
            self.file = None


@public(v1=["train.summary_iterator"])
def summary_iterator(path: Any) -> Iterator[Any]:
    """The Events in an event file, in order. DataLossError for a damaged one."""
    kind = messages.get("Event")
    for record in read_records(path):
        yield kind.FromString(record)
