"""Summaries: values written to event files while a program runs, for TensorBoard to show."""

from rillet.core.export import open_room as _open_room

_open_room(__name__, __path__)
