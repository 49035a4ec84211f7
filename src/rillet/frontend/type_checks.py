"""tf.is_tensor."""

from __future__ import annotations

from typing import Any

from rillet.core.export import public
from rillet.core.tensor import Tensor


@public("is_tensor", v1=["contrib.framework.is_tensor"])
def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor, a variable, or something made of tensors (sparse, ragged, slices)."""
    return isinstance(x, Tensor) or hasattr(x, "_source") or hasattr(x, "_flatten_components")
