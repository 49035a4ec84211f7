"""TensorFlow 1.15's names. (`rillet.v1` is the same, with TensorFlow 1's defaults switched on.)"""

import sys as _sys

from rillet import modules as _modules  # noqa: F401 - fills the tables
from rillet.compat import namespaces as _namespaces
from rillet.core import export as _export

_namespaces.build(_sys.modules[__name__], lambda: _export.V1)
_namespaces.link(_sys.modules[__name__], v1=_sys.modules[__name__], v2=_sys.modules["rillet"])
__version__ = _export.V1["__version__"]
