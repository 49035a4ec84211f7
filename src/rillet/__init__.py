"""rillet runs TensorFlow programs: `import rillet as tf`.

Tensors, graphs and sessions, eager execution, gradients: TensorFlow 2's names, and every TensorFlow 1 name that
TensorFlow 2 dropped. `rillet.v1` has TensorFlow 1.15's names, argument order and lazy default.
"""

import sys as _sys

from rillet import compat as _compat  # noqa: F401 - an attribute of the package before names are set on it
from rillet import modules as _modules  # noqa: F401 - fills the tables
from rillet.compat import namespaces as _namespaces
from rillet.core import export as _export

__version__ = _export.V2["__version__"]  # TensorFlow's, which programs compare; rillet's own is its package's
_namespaces.build(_sys.modules[__name__], lambda: {**_export.V1, **_export.V2})
_namespaces.link(_sys.modules[__name__], v1=None, v2=_sys.modules[__name__])
