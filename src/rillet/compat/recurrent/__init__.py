"""Recurrent networks of TensorFlow 1: cells, and loops over time. A late room."""

from rillet.core.export import open_room as _open_room

_open_room(__name__, __path__)
