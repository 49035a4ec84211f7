"""Pictures and derivations: tf.draw, tf.draw_tensor, tf.explain. A late room: importing rillet does not import it.

The room can be called: `tf.draw(x)` is `rillet.draw.drawing.draw(x)`, whether the name was reached as a function of the
namespace or as this package.
"""

import sys as _sys
from types import ModuleType as _ModuleType

from rillet.core.export import export as _export
from rillet.core.export import open_room as _open_room
from rillet.draw.drawing import draw as _draw


class _Room(_ModuleType):
    __call__ = staticmethod(_draw)


__doc__ = f"{__doc__}\ndraw: {_draw.__doc__}"  # help(tf.draw) is help on the function
_sys.modules[__name__].__class__ = _Room
_export(_sys.modules[__name__], "draw")
_open_room(__name__, __path__)
