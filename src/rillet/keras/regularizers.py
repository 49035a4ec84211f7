"""tf.keras.regularizers: penalties on weights or activities, as functions of a tensor."""

from __future__ import annotations

import math
from typing import Any

from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public_in
from rillet.keras.saving_registry import Family, reject_unknown
from rillet.ops.creation import eye
from rillet.ops.elementwise import abs as absolute
from rillet.ops.elementwise import square
from rillet.ops.matmul import matmul
from rillet.ops.reduce import reduce_sum
from rillet.ops.statistics import l2_normalize

_public = public_in("keras.regularizers")


def _strength(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value) or math.isinf(value):
        raise ValueError(f"Value {value} is not a valid regularization penalty number, expected an int or float value.")
    return float(value)


@_public("Regularizer")
class Regularizer:
    """regularizer(x) -> a scalar."""

    def __call__(self, x: Any) -> Any:
        return 0.0

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(f"{self} does not implement get_config()")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


@_public("L1L2")
class L1L2(Regularizer):
    """l1 * sum(|x|) + l2 * sum(x^2)."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = _strength(0.0 if l1 is None else l1)
        self.l2 = _strength(0.0 if l2 is None else l2)

    def __call__(self, x: Any) -> Any:
        x = convert_to_tensor(x)
        penalties = [self.l1 * reduce_sum(absolute(x))] if self.l1 else []
        if self.l2:
            penalties.append(self.l2 * reduce_sum(square(x)))
        return sum(penalties[1:], penalties[0]) if penalties else convert_to_tensor(0.0, x.dtype.base_dtype)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


@_public("L1", "l1")
class L1(L1L2):
    """l1 * sum(|x|)."""

    def __init__(self, l1: float = 0.01, **kwargs: Any) -> None:
        l1 = kwargs.pop("l", l1)
        reject_unknown(self, kwargs)
        super().__init__(l1=0.01 if l1 is None else l1)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


@_public("L2", "l2")
class L2(L1L2):
    """l2 * sum(x^2)."""

    def __init__(self, l2: float = 0.01, **kwargs: Any) -> None:
        l2 = kwargs.pop("l", l2)
        reject_unknown(self, kwargs)
        super().__init__(l2=0.01 if l2 is None else l2)

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


@_public("l1_l2")
def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """l1 * sum(|x|) + l2 * sum(x^2)."""
    return L1L2(l1, l2)


@_public("OrthogonalRegularizer", "orthogonal_regularizer")
class OrthogonalRegularizer(Regularizer):
    """factor * the mean |cosine| between different rows (or columns) of a matrix. ValueError for another rank or mode."""

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _strength(factor)
        if mode not in ("rows", "columns"):
            raise ValueError(
                f"Invalid value for argument `mode`. Expected one of {{'rows', 'columns'}}. Received: mode={mode}"
            )
        self.mode = mode

    def __call__(self, x: Any) -> Any:
        x = convert_to_tensor(x)
        if x.shape.rank != 2:
            raise ValueError(f"Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape={x.shape}")
        by_rows = self.mode == "rows"
        unit = l2_normalize(x, axis=1 if by_rows else 0)
        products = matmul(unit, unit, transpose_b=by_rows, transpose_a=not by_rows)
        size = x.shape[0 if by_rows else 1]
        off_diagonal = absolute(products * (1.0 - eye(size, dtype=x.dtype)))
        pairs = size * (size - 1.0) / 2.0
        return self.factor * 0.5 * reduce_sum(off_diagonal) / pairs

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


class _Regularizers(Family):
    def deserialize(self, config: Any, custom_objects: Any = None) -> Any:
        """As for other objects; "l1_l2" is L1L2 with both strengths 0.01."""
        return l1_l2() if config == "l1_l2" else super().deserialize(config, custom_objects)


REGULARIZERS = _Regularizers("keras.regularizers", "regularizer")
REGULARIZERS.export()
get, serialize, deserialize = REGULARIZERS.get, REGULARIZERS.serialize, REGULARIZERS.deserialize
