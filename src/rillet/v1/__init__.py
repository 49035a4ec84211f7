"""TensorFlow 1.15: its names, and its defaults (graphs and sessions, reference variables, Dimensions)."""

from rillet.compat import v1 as _v1
from rillet.frontend.public import disable_v2_behavior as _disable_v2_behavior

globals().update(
    {name: value for name, value in vars(_v1).items() if not name.startswith("__") or name == "__getattr__"}
)
__version__ = _v1.__version__
_disable_v2_behavior()
