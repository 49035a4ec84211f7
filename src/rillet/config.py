"""Every setting that the environment can change, in one table.

A flag is read from its variable each time its `value` is asked for; code on a hot path asks once and keeps the answer.
`rillet doctor` prints the table.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


@dataclass(frozen=True)
class Flag(Generic[T]):
    """One setting.

    variable: the environment variable; unset or empty means the default.
    parse: makes the value from the variable's text; raises ValueError saying what is allowed.
    """

    name: str
    variable: str
    default: Callable[[], T]
    parse: Callable[[str], T]
    meaning: str

    @property
    def is_set(self) -> bool:
        return bool(os.environ.get(self.variable))

    @property
    def value(self) -> T:
        """Raises ValueError, naming the variable, where its text cannot be read."""
        text = os.environ.get(self.variable)
        if not text:
            return self.default()
        try:
            return self.parse(text)
        except ValueError as error:
            raise ValueError(f"environment variable {self.variable}={text!r}: {error}") from None


# ---- parsers ----------------------------------------------------------------------------------------------------

_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def _switch(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError(f"expected one of {', '.join(_WORDS)}")
    return _WORDS[text.lower()]


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}")
        return text

    return parse


def _count(minimum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise ValueError(f"expected a whole number of at least {minimum}")
        return int(text)

    return parse


def _switched_off(text: str) -> str:
    words = [word.strip() for word in text.split(",")]
    if not all(word.startswith("-") and word[1:].replace("_", "").isalpha() for word in words):
        raise ValueError("expected names of passes, each with a minus sign, as in -cse,-fuse")
    return ",".join(words)


def _folder(text: str) -> Path:
    from pathlib import Path  # slow to load

    return Path(text).expanduser()


# ---- defaults that depend on the machine ----------------------------------------------------------------------------


def _processors() -> int:
    """The processors this process may use, not all that the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cache_folder() -> Path:
    return _folder(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "rillet"


def _data_folder() -> Path:
    return _folder(os.environ.get("KERAS_HOME") or "~/.keras") / "datasets"


# ---- the table --------------------------------------------------------------------------------------------------

ENGINE = Flag(
    "engine",
    "RILLET_ENGINE",
    lambda: "native",
    _choice("native", "blockwise", "reference"),
    "the engine that runs graphs: native (compiled), blockwise (NumPy, fused, on threads) or reference (NumPy)",
)
COMPILE = Flag(
    "compile",
    "RILLET_COMPILE",
    lambda: "auto",
    _choice("auto", "always"),
    "when the native engine compiles: auto (what is large, or seen again) or always (at first sight)",
)
PASSES = Flag(
    "passes",
    "RILLET_PASSES",
    str,
    _switched_off,
    "the compiler's optional passes that are switched off, as in -cse,-fuse (docs/architecture.md lists them)",
)
VERIFY = Flag(
    "verify",
    "RILLET_VERIFY",
    lambda: False,
    _switch,
    "whether the compiler checks the program after each of its passes",
)
THREADS = Flag("threads", "RILLET_THREADS", _processors, _count(1), "how many threads may compute at once")
DEBUG = Flag(
    "debug",
    "RILLET_DEBUG",
    lambda: 0,
    _count(0),
    "how much is told on stderr: 1 operations without a compiled form, 2 programs too, 3 the program after each pass",
)
CACHE = Flag("cache", "RILLET_CACHE", _cache_folder, _folder, "the folder that keeps what was compiled")
DATA = Flag("data", "RILLET_DATA", _data_folder, _folder, "the folder that keeps data sets; the default is Keras' own")
NO_COLOR = Flag(
    "no_color",
    "RILLET_NO_COLOR",
    lambda: bool(os.environ.get("NO_COLOR")),  # https://no-color.org: set to anything
    _switch,
    "no colours on the terminal; NO_COLOR does the same",
)

FLAGS: tuple[Flag[Any], ...] = (ENGINE, COMPILE, PASSES, VERIFY, THREADS, DEBUG, CACHE, DATA, NO_COLOR)
