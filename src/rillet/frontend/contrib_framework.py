"""tf.contrib.framework: what moved to tf later."""

from __future__ import annotations

from rillet.core.export import export
from rillet.ops.order import argsort, sort

export(sort, v1=["contrib.framework.sort"])
export(argsort, v1=["contrib.framework.argsort"])
