"""Saving: TensorFlow's messages, checkpoints, exported graphs and saved models."""

from rillet.core.export import open_room as _open_room

_open_room(__name__, __path__)
