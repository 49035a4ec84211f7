"""tf.autograph: what programs say about the conversion of Python code. (The conversion itself is not here.)"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from rillet.core.export import public


@public("autograph.experimental.Feature")
class Feature(enum.Enum):
    """Parts of the conversion, for functions that take `experimental_autograph_options`."""

    ALL = "ALL"
    AUTO_CONTROL_DEPS = "AUTO_CONTROL_DEPS"
    ASSERT_STATEMENTS = "ASSERT_STATEMENTS"
    BUILTIN_FUNCTIONS = "BUILTIN_FUNCTIONS"
    EQUALITY_OPERATORS = "EQUALITY_OPERATORS"
    LISTS = "LISTS"
    NAME_SCOPES = "NAME_SCOPES"

    @classmethod
    def all(cls) -> tuple[Feature, ...]:
        return tuple(cls)

    @classmethod
    def all_but(cls, exclude: Any) -> tuple[Feature, ...]:
        left_out = exclude if isinstance(exclude, (list, tuple, set)) else [exclude]
        return tuple(feature for feature in cls if feature not in left_out)


@public("autograph.experimental.do_not_convert")
def do_not_convert(func: Callable[..., Any] | None = None) -> Any:
    """Decorator: `func` as it is."""
    return do_not_convert if func is None else func


@public("autograph.set_verbosity")
def set_verbosity(level: int, alsologtostdout: bool = False) -> None:
    """How much is told of a conversion: nothing, at any level."""


@public("autograph.trace")
def trace(*args: Any) -> None:
    """Prints while a function is traced."""
    print(*args)
