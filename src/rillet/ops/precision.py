"""Low precision: float16 and bfloat16 are computed in float32 and rounded once, at the end.

Dispatch casts what a kernel returns to the dtype its op declares, so a kernel only widens its inputs.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

_LOW = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))


def is_low(dtype: Any) -> bool:
    """Whether NumPy dtype `dtype` is float16 or bfloat16."""
    return dtype in _LOW


def wide(value: Any) -> Any:
    """`value`, in float32 where it is float16 or bfloat16."""
    return value.astype(np.float32) if value.dtype in _LOW else value


def float_attribute(value: float) -> float:
    """A float attribute as TensorFlow stores it: rounded to float32."""
    return float(np.float32(value))
