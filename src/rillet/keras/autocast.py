"""Weights of layers that compute in another dtype than they are kept in (mixed precision)."""

from __future__ import annotations

from typing import Any

from rillet.core import dtypes
from rillet.frontend.variable import ResourceVariable
from rillet.keras.calling import CALLS
from rillet.ops.cast import cast


class AutoCastVariable(ResourceVariable):
    """A variable that is read in the dtype that the layer being called computes in. Updates see it as it is kept."""

    def value(self) -> Any:
        kept = super().value()
        wanted = CALLS.compute_dtype
        return kept if wanted is None or wanted == kept.dtype.name else cast(kept, wanted)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        value = self.value()
        if dtype is not None and dtypes.as_dtype(dtype) is not value.dtype.base_dtype:
            return super().__tf_tensor__(dtype, name)
        return value
