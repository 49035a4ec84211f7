"""A progress bar for the terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

WIDTH = 30
SECONDS_BETWEEN_DRAWINGS = 0.1


class ProgressBar:
    """One line on stderr that is drawn over, and cleared at the end; nothing at all where stderr is no terminal.

    with ProgressBar("lazily", total=20) as bar:
        bar.advance("loss 0.12")
    """

    def __init__(self, label: str, total: int, stream: TextIO | None = None) -> None:
        self._label = label
        self._total = total
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._done = 0
        self._drawn_at = float("-inf")

    def __enter__(self) -> ProgressBar:
        self._draw("")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def advance(self, note: str = "") -> None:
        self._done += 1
        self._draw(note)

    def _draw(self, note: str) -> None:
        now = time.monotonic()
        is_due = now - self._drawn_at >= SECONDS_BETWEEN_DRAWINGS or self._done == self._total
        if not self._shown or not is_due:
            return
        self._drawn_at = now
        filled = WIDTH * self._done // self._total
        bar = "█" * filled + "░" * (WIDTH - filled)
        self._stream.write(f"\r\x1b[K{self._label} {bar} {self._done}/{self._total} {note}")
        self._stream.flush()
