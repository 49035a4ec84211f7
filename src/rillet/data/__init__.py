"""Input pipelines: tf.data."""

from rillet.core.export import open_room

open_room(__name__, __path__)
