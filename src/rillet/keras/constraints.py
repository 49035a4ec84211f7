"""tf.keras.constraints: what weights are made to satisfy after each update."""

from __future__ import annotations

from typing import Any

from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public_in
from rillet.keras.policy import epsilon
from rillet.keras.saving_registry import Family
from rillet.ops.cast import cast
from rillet.ops.clip import clip_by_value
from rillet.ops.compare import greater_equal
from rillet.ops.elementwise import sqrt, square
from rillet.ops.reduce import reduce_sum

_public = public_in("keras.constraints")


@_public("Constraint")
class Constraint:
    """constraint(w) -> the weights that satisfy it."""

    def __call__(self, w: Any) -> Any:
        return w

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


def _norm(w: Any, axis: Any) -> Any:
    return sqrt(reduce_sum(square(w), axis=axis, keepdims=True))


@_public("MaxNorm", "max_norm")
class MaxNorm(Constraint):
    """The norm along `axis` is at most max_value."""

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        w = convert_to_tensor(w)
        norms = _norm(w, self.axis)
        desired = clip_by_value(norms, 0.0, float(self.max_value))
        return w * (desired / (epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


@_public("NonNeg", "non_neg")
class NonNeg(Constraint):
    """No weight is negative."""

    def __call__(self, w: Any) -> Any:
        w = convert_to_tensor(w)
        return w * cast(greater_equal(w, 0.0), w.dtype)


@_public("UnitNorm", "unit_norm")
class UnitNorm(Constraint):
    """The norm along `axis` is 1."""

    def __init__(self, axis: Any = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        w = convert_to_tensor(w)
        return w / (epsilon() + _norm(w, self.axis))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


@_public("MinMaxNorm", "min_max_norm")
class MinMaxNorm(Constraint):
    """The norm along `axis` is moved by `rate` of the way into [min_value, max_value]."""

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        w = convert_to_tensor(w)
        norms = _norm(w, self.axis)
        inside = clip_by_value(norms, float(self.min_value), float(self.max_value))
        desired = self.rate * inside + (1 - self.rate) * norms
        return w * (desired / (epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        return {"min_value": self.min_value, "max_value": self.max_value, "rate": self.rate, "axis": self.axis}


CONSTRAINTS = Family("keras.constraints", "constraint")
CONSTRAINTS.export()
get, serialize, deserialize = CONSTRAINTS.get, CONSTRAINTS.serialize, CONSTRAINTS.deserialize
