"""Reductions: sums, means, extrema, norms over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, define
from rillet.ops.families import reduction, unknown_shape


def _sum_gradient(op: Operation, dy: Any) -> Any:
    raise NotImplementedError


reduce_sum = reduction("Sum", np.sum, "numeric", None, names=["reduce_sum", "math.reduce_sum"])
