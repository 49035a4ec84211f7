"""What a traceback of an error in traced code shows: the user's lines. (tf.debugging.disable_traceback_filtering shows all.)"""

from __future__ import annotations

from types import TracebackType

from rillet.core.export import public
from rillet.errors import PACKAGE


class Filtering:
    """Whether rillet's own frames between the user's are left out."""

    enabled = True


@public("debugging.enable_traceback_filtering")
def enable_traceback_filtering() -> None:
    """Tracebacks show the user's lines alone, where there are any. That is the default."""
    Filtering.enabled = True


@public("debugging.disable_traceback_filtering")
def disable_traceback_filtering() -> None:
    """Tracebacks show rillet's own lines too."""
    Filtering.enabled = False


@public("debugging.is_traceback_filtering_enabled")
def is_traceback_filtering_enabled() -> bool:
    return Filtering.enabled


def filtered(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback without rillet's own frames; as it is, where it has no others."""
    if not Filtering.enabled:
        return traceback
    entries = []
    current = traceback
    while current is not None:
        if not current.tb_frame.f_code.co_filename.startswith(PACKAGE):
            entries.append(current)
        current = current.tb_next
    result: TracebackType | None = None
    for entry in reversed(entries):
        result = TracebackType(result, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return result or traceback
