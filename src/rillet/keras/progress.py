"""The progress bar, as Keras 2 draws it; where the output is no terminal, only the line that stays."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from rillet.core.export import public


@public("keras.utils.Progbar")
class Progbar:
    """target: how many steps there are, None where nobody knows. verbose: 0 silent, 1 a bar, 2 one line at the end.

    stateful_metrics: names of values to show as they are; of others the mean is shown. interval: seconds between draws.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 30,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        self.target, self.width, self.verbose, self.interval, self.unit_name = (
            target,
            width,
            verbose,
            interval,
            unit_name,
        )
        self.stateful_metrics = set(stateful_metrics or ())
        self._dynamic = bool(getattr(sys.stdout, "isatty", lambda: False)())
        self._seen = 0
        self._values: dict[str, Any] = {}
        self._start = self._last = time.time()
        self._drawn = 0

    def add(self, n: int, values: Any = None) -> None:
        """`n` more steps are done."""
        self.update(self._seen + n, values)

    def is_due(self, current: int) -> bool:
        """Whether update would draw anything: values need not be worked out otherwise."""
        is_end = self.target is not None and current >= self.target
        return is_end or (self.verbose == 1 and self._dynamic and time.time() - self._last >= self.interval)

    def update(self, current: int, values: Any = None, finalize: bool | None = None) -> None:
        """`current` steps are done. values: (name, value) pairs of the last step."""
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        for name, value in values or ():
            if name in self.stateful_metrics:
                self._values[name] = (value, 1)
            else:
                weight = max(current - self._seen, 1)
                total, count = self._values.get(name, (0.0, 0))
                self._values[name] = (total + value * weight, count + weight)
        self._seen = current
        now = time.time()
        if self.verbose == 1 and (finalize or (self._dynamic and now - self._last >= self.interval)):
            self._draw(current, now, finalize)
            self._last = now
        elif self.verbose == 2 and finalize:
            self._write_line(current, now)

    # ---- drawing --------------------------------------------------------------------------------------------------

    def _draw(self, current: int, now: float, finalize: bool) -> None:
        spent = now - self._start
        each = spent / current if current else 0.0
        text = self._bar(current)
        if self.target is None or finalize:
            text += f" - {spent:.0f}s {_per(each)}/{self.unit_name}"
        else:
            text += f" - ETA: {_clock(each * (self.target - current))}"
        text += self._shown()
        padding = max(self._drawn - len(text), 0) * " "
        begin = "\r" if self._dynamic and self._drawn else ""
        sys.stdout.write(begin + text + padding + ("\n" if finalize else ""))
        sys.stdout.flush()
        self._drawn = 0 if finalize else len(text)

    def _bar(self, current: int) -> str:
        if self.target is None:
            return f"{current:7d}/Unknown"
        digits = len(str(self.target))
        done = int(self.width * current / self.target) if self.target else self.width
        body = "=" * max(done - 1, 0) + ("" if not done else "=" if current >= self.target else ">")
        return f"{current:{digits}d}/{self.target} [{body}{'.' * (self.width - done)}]"

    def _write_line(self, current: int, now: float) -> None:
        spent = now - self._start
        steps = f"{current}/{self.target}" if self.target is not None else f"{current}/Unknown"
        each = spent / current if current else 0.0
        speed = f" - {_per(spent)}/epoch - {_per(each)}/{self.unit_name}"
        sys.stdout.write(f"{steps} - {spent:.0f}s{self._shown()}{speed}\n")
        sys.stdout.flush()

    def _shown(self) -> str:
        text = ""
        for name, (total, count) in self._values.items():
            value = total / max(count, 1) if not isinstance(total, dict) else total
            if isinstance(value, dict):
                continue
            value = float(np.mean(value))
            text += f" - {name}: " + (f"{value:.4f}" if abs(value) > 1e-3 or value == 0 else f"{value:.4e}")
        return text


def _per(seconds: float) -> str:
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"


def _clock(seconds: float) -> str:
    if seconds > 3600:
        return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d}:{int(seconds % 60):02d}"
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}" if seconds > 60 else f"{int(seconds)}s"
