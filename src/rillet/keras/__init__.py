"""tf.keras: layers, models, one trainer. A late room: importing rillet does not import it."""

from rillet.core.export import open_room as _open_room
from rillet.datasets import mnist as _mnist  # noqa: F401 - it exports tf.keras.datasets.mnist

_SHORT = ("initializers", "losses", "metrics", "optimizers")  # tf.losses is tf.keras.losses, ...
_open_room(__name__, __path__, {f"keras.{name}": name for name in _SHORT})
