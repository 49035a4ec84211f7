"""What holds while a function is traced: whether what it calls is converted too."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class _Context(threading.local):
    """active: whether functions are converted. home: the package of that function, which counts as the user's.
    features: names of the optional parts of the conversion."""

    active = False
    home: str | None = None
    features: frozenset[str] = frozenset()


CONTEXT = _Context()


@contextlib.contextmanager
def converting(active: bool, home: str | None = None, features: frozenset[str] = frozenset()) -> Iterator[None]:
    """Inside, functions that converted code calls are converted too, or nothing is."""
    before = CONTEXT.active, CONTEXT.home, CONTEXT.features
    CONTEXT.active, CONTEXT.home, CONTEXT.features = active, home, features
    try:
        yield
    finally:
        CONTEXT.active, CONTEXT.home, CONTEXT.features = before
