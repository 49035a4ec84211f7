"""What a layer expects of its inputs: rank, sizes, dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rillet.core import dtypes, nest
from rillet.core.export import public
from rillet.core.shapes import TensorShape
from rillet.core.tensor import Tensor


@public("keras.layers.InputSpec", "keras.InputSpec")
class InputSpec:
    """dtype, shape, rank (ndim, max_ndim, min_ndim) and sizes of single axes ({axis: size}) of an input; None: any.

    Raises ValueError for an axis beyond the rank.
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: Mapping[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = None if dtype is None else dtypes.as_dtype(dtype).name
        self.shape = None if shape is None else TensorShape(shape).as_list()
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim, self.min_ndim = max_ndim, min_ndim
        self.name, self.allow_last_axis_squeeze, self.optional = name, allow_last_axis_squeeze, optional
        self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        highest = self.ndim if self.ndim is not None else max_ndim
        if self.axes and highest is not None and max(self.axes) > highest - 1:
            raise ValueError(f"Axis {max(self.axes)} is greater than the maximum allowed value: {highest - 1}")

    def get_config(self) -> dict[str, Any]:
        return {
            "dtype": self.dtype, "shape": self.shape, "ndim": self.ndim,
            "max_ndim": self.max_ndim, "min_ndim": self.min_ndim, "axes": self.axes,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputSpec:
        return cls(**config)

    def __repr__(self) -> str:
        parts = [f"{key}={value}" for key, value in self.get_config().items() if value not in (None, {})]
        return f"InputSpec({', '.join(parts)})"


def check_inputs(specs: Any, inputs: Any, label: str) -> None:
    """ValueError where `inputs` is not what `specs` (an InputSpec or a list of them) say.

    label: how the layer is called in messages: 'layer "dense"'.
    """
    wanted = [specs] if isinstance(specs, InputSpec) else nest.flatten(specs)
    given = [inputs] if isinstance(inputs, Tensor) else nest.flatten(inputs)
    if len(given) != len(wanted):
        raise ValueError(
            f"{label[0].upper()}{label[1:]} expects {len(wanted)} input(s), but it received {len(given)} input tensors. "
            f"Inputs received: {given}"
        )
    for index, (spec, value) in enumerate(zip(wanted, given, strict=True)):
        shape = getattr(value, "shape", None)
        if spec is not None and shape is not None and shape.rank is not None:
            problem = _problem(spec, shape.as_list(), value.dtype)
            if problem:
                raise ValueError(f"Input {index} of {label} is incompatible with the layer: {problem}")


def _problem(spec: InputSpec, shape: list[int | None], dtype: Any) -> str:
    full = f"Full shape received: {tuple(shape)}"
    if spec.allow_last_axis_squeeze and spec.shape is not None and abs(len(shape) - len(spec.shape)) == 1:
        longer = shape if len(shape) > len(spec.shape) else spec.shape
        if longer[-1] == 1:
            return ""
    if spec.ndim is not None and len(shape) != spec.ndim and not spec.allow_last_axis_squeeze:
        return f"expected ndim={spec.ndim}, found ndim={len(shape)}. {full}"
    if spec.max_ndim is not None and len(shape) > spec.max_ndim:
        return f"expected max_ndim={spec.max_ndim}, found ndim={len(shape)}"
    if spec.min_ndim is not None and len(shape) < spec.min_ndim:
        return f"expected min_ndim={spec.min_ndim}, found ndim={len(shape)}. {full}"
    if spec.dtype is not None and dtype.name != spec.dtype:
        return f"expected dtype={spec.dtype}, found dtype={dtype.name}"
    for axis, size in spec.axes.items():
        if size is not None and shape[axis] not in (size, None):
            return f"expected axis {axis} of input shape to have value {size}, but received input with shape {tuple(shape)}"
    for wanted, size in zip(spec.shape or (), shape, strict=False):
        if wanted is not None and size is not None and wanted != size:
            return f"expected shape={tuple(spec.shape or ())}, found shape={tuple(shape)}"
    return ""
