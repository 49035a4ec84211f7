"""Optionals (dtype variant): some values, or none. Branches of TensorFlow's graphs hand intermediate values on in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op
from rillet.core.opdef import NO_GRADIENT, define
from rillet.core.shapes import TensorShape
from rillet.errors import InvalidArgumentError
from rillet.ops.families import scalar_shape


class OptionalValues:
    """The value of a tensor that is an optional. `values` is None where it has none."""

    __slots__ = ("values",)

    def __init__(self, values: tuple[Any, ...] | None) -> None:
        self.values = values

    def __repr__(self) -> str:
        return f"<OptionalValues {self.values!r}>"


def _values(optional: OptionalValues, *, output_types: Sequence[Any], output_shapes: Sequence[Any]) -> tuple[Any, ...]:
    if optional.values is None:
        raise InvalidArgumentError(None, None, "The given optional does not have a value.")
    if len(optional.values) != len(output_types):
        raise ValueError(f"The given optional has {len(optional.values)} components, expected {len(output_types)}.")
    return optional.values


FROM_VALUE = define(
    "OptionalFromValue", "components: Toutput_types... -> optional: variant", "Toutput_types: list(type)",
    reference=lambda *components, Toutput_types: OptionalValues(components),
    shape=scalar_shape,
    gradient=lambda op, dy: list(_as_list(apply_op(GET_VALUE, (dy,), {
        "output_types": op.attrs["Toutput_types"], "output_shapes": tuple(tensor.shape for tensor in op.inputs),
    }))),
)  # fmt: skip
define(
    "OptionalNone", "-> optional: variant",
    reference=lambda: OptionalValues(None), shape=scalar_shape, gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "OptionalHasValue", "optional: variant -> has_value: bool",
    reference=lambda optional: np.bool_(optional.values is not None), shape=scalar_shape, gradient=NO_GRADIENT,
)  # fmt: skip
GET_VALUE = define(
    "OptionalGetValue", "optional: variant -> components: output_types...",
    "output_types: list(type), output_shapes: list(shape)",
    reference=_values,
    shape=lambda op: [TensorShape(shape) for shape in op.attrs["output_shapes"]],
    gradient=lambda op, *dys: apply_op(FROM_VALUE, (list(dys),)),
)  # fmt: skip


def _as_list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]
