"""tf.keras.layers.serialize and deserialize."""

from rillet.core.export import export
from rillet.keras.saving_registry import Family

LAYERS = Family("keras.layers", "layer")
for _function in (LAYERS.serialize, LAYERS.deserialize):
    export(_function, f"keras.layers.{_function.__name__}")
