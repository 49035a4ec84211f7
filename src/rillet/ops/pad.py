"""Margins: pad with zeros, with a value, with a mirror image."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape, unknown_shape
from rillet.core.static import constant_value
from rillet.errors import ShapeError, format_shape
from rillet.ops.arrays import as_array, is_concrete, text
from rillet.ops.join import stack
from rillet.ops.shape import rank, reshape, shape_of

# ---- the margins ----------------------------------------------------------------------------------------------------


def _margins(value: Any, paddings: Any) -> list[tuple[int, int]]:
    """(before, after) for each axis. ValueError unless there is one pair of numbers >= 0 for each."""
    if np.ndim(paddings) != 2 or paddings.shape[1] != 2:
        raise ValueError(f"paddings must be a matrix with 2 columns: {format_shape(np.shape(paddings))}")
    if paddings.shape[0] != value.ndim:
        raise ValueError(
            f"The first dimension of paddings must be the rank of inputs{format_shape(paddings.shape)} "
            f"{format_shape(value.shape)}"
        )
    pairs = [(int(before), int(after)) for before, after in paddings]
    for before, after in pairs:
        if before < 0 or after < 0:
            raise ValueError(f"Paddings must be non-negative: {before} {after}")
    return pairs


def _padded_shape(op: Operation) -> TensorShape:
    source, shape = op.inputs[0].shape, op.inputs[1].shape
    if shape.rank not in (None, 2) or (shape.dimensions is not None and shape.dimensions[1] not in (None, 2)):
        raise ShapeError(
            f"Shape must be rank 2 but is rank {shape.rank}: paddings is a matrix with 2 columns, not {text(shape)}.",
            f"paddings must be a matrix with 2 columns: {text(shape)}",
        )
    count = None if shape.dimensions is None else shape.dimensions[0]
    if source.rank is not None and count is not None and source.rank != count:
        raise ShapeError(
            f"Shape must be rank {count} but is rank {source.rank}: paddings has a row for each axis.",
            f"The first dimension of paddings must be the rank of inputs{text(shape)} {text(source)}",
            {0: range(source.rank)},
        )
    known = count if source.rank is None else source.rank
    if known is None:
        return UNKNOWN
    margins = constant_value(op.inputs[1])
    if margins is None or source.dimensions is None:
        return unknown_shape(known)
    pairs = zip(source.dimensions, np.asarray(margins).tolist(), strict=True)
    if (np.asarray(margins) < 0).any():
        raise ShapeError("Paddings must be non-negative")
    return TensorShape([None if size is None else size + before + after for size, (before, after) in pairs])


# ---- constant margins -----------------------------------------------------------------------------------------------


def _pad_with(value: Any, paddings: Any, fill: Any) -> Any:
    value = as_array(value)
    pairs = _margins(value, paddings)
    shape = tuple(size + before + after for size, (before, after) in zip(value.shape, pairs, strict=True))
    if value.dtype == object:
        result = np.full(shape, fill, object)
    else:
        result = np.zeros(shape, value.dtype) if not np.any(fill) else np.full(shape, fill, value.dtype)
    result[tuple(slice(before, before + size) for size, (before, _) in zip(value.shape, pairs, strict=True))] = value
    return result


def _pad_kernel(value: Any, paddings: Any) -> Any:
    value = as_array(value)
    return _pad_with(value, paddings, b"" if value.dtype == object else 0)


def _pad_gradient(op: Operation, dy: Any) -> Any:
    """The part of `dy` inside the margins."""
    value, paddings = op.inputs[0], op.inputs[1]
    if is_concrete(dy, value, paddings):
        starts = constant_value(paddings)[:, 0]
        return apply_op(REGISTRY["Slice"], (dy, starts, np.array(value.shape.as_list(), starts.dtype)))
    size = stack([rank(value), 1])
    before = reshape(apply_op(REGISTRY["Slice"], (paddings, [0, 0], size)), [-1])
    return apply_op(REGISTRY["Slice"], (dy, before, shape_of(value, paddings.dtype)))


define(
    "Pad", "input: T, paddings: Tpaddings -> output: T", "T: type, Tpaddings: index = int32",
    reference=_pad_kernel, shape=_padded_shape, gradient=lambda op, dy: [_pad_gradient(op, dy), None],
)  # fmt: skip
define(
    "PadV2", "input: T, paddings: Tpaddings, constant_values: T -> output: T", "T: type, Tpaddings: index = int32",
    reference=_pad_with, shape=_padded_shape, gradient=lambda op, dy: [_pad_gradient(op, dy), None, None],
)  # fmt: skip

# ---- mirror images --------------------------------------------------------------------------------------------------


def mirrored(size: int, before: int, after: int, mode: str) -> Any:
    """For each place of a padded axis the place it is a copy of. REFLECT leaves out the edge itself, SYMMETRIC doesn't."""
    edge = 1 if mode == "REFLECT" else 0
    if max(before, after) > size - edge:
        word, relation = ("less than", "not less than") if edge else ("no greater than", "greater than")
        raise ValueError(f"paddings must be {word} the dimension size: {before}, {after} {relation} {size}")
    inside = np.arange(size)
    return np.concatenate([inside[edge : edge + before][::-1], inside, inside[size - edge - after : size - edge][::-1]])


def _mirror_pad_kernel(value: Any, paddings: Any, *, mode: str) -> Any:
    value = as_array(value)
    for axis, (before, after) in enumerate(_margins(value, paddings)):
        if before or after:
            value = np.take(value, mirrored(value.shape[axis], before, after, mode), axis)
    return value


def _mirror_pad_grad_kernel(dy: Any, paddings: Any, *, mode: str) -> Any:
    """Margins folded back onto what they are copies of."""
    dy = as_array(dy)
    for axis, (before, after) in enumerate(_margins(dy, paddings)):
        if before or after:
            size = dy.shape[axis] - before - after
            sums = np.zeros((size, *np.delete(dy.shape, axis)), dy.dtype)
            np.add.at(sums, mirrored(size, before, after, mode), np.moveaxis(dy, axis, 0))
            dy = np.moveaxis(sums, 0, axis)
    return dy


def _unpadded_shape(op: Operation) -> TensorShape:
    source, margins = op.inputs[0].shape, constant_value(op.inputs[1])
    if source.dimensions is None or margins is None:
        return unknown_shape(source.rank)
    pairs = zip(source.dimensions, np.asarray(margins).tolist(), strict=True)
    return TensorShape([None if size is None else size - before - after for size, (before, after) in pairs])


def _mirror(op_type: str, op: Operation, dy: Any) -> list[Any]:
    return [apply_op(REGISTRY[op_type], (dy, op.inputs[1]), {"mode": op.attrs["mode"]}), None]


define(
    "MirrorPad", "input: T, paddings: Tpaddings -> output: T", "T: type, Tpaddings: index = int32, mode: string",
    reference=_mirror_pad_kernel, shape=_padded_shape, gradient=lambda op, dy: _mirror("MirrorPadGrad", op, dy),
)  # fmt: skip
define(
    "MirrorPadGrad", "input: T, paddings: Tpaddings -> output: T", "T: type, Tpaddings: index = int32, mode: string",
    reference=_mirror_pad_grad_kernel, shape=_unpadded_shape, gradient=lambda op, dy: _mirror("MirrorPad", op, dy),
)  # fmt: skip


def _pad(tensor: Any, paddings: Any, mode: str, constant_values: Any, name: str | None) -> Any:
    wanted = mode.upper()
    if wanted == "CONSTANT":
        if isinstance(constant_values, (int, float)) and constant_values == 0 and not isinstance(constant_values, bool):
            return apply_op(REGISTRY["Pad"], (tensor, paddings), name=name)
        return apply_op(REGISTRY["PadV2"], (tensor, paddings, constant_values), name=name)
    if wanted not in ("REFLECT", "SYMMETRIC"):
        raise ValueError(
            f'Value of argument `mode` expected to be one of "CONSTANT", "REFLECT", or "SYMMETRIC". Received `mode` = {wanted}'
        )
    return apply_op(REGISTRY["MirrorPad"], (tensor, paddings), {"mode": wanted}, name)


@public(v2=["pad"])
def pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0, name: str | None = None) -> Any:
    """`tensor` with paddings[i] = (before, after) elements added at the ends of each axis i.

    mode: CONSTANT fills with `constant_values`, REFLECT and SYMMETRIC mirror the inside (without or with the edge).
    Raises InvalidArgumentError when there is no pair for each axis, one is negative, or too large to be mirrored.
    """
    return _pad(tensor, paddings, mode, constant_values, name)


@public(v1=["pad"])
def pad_v1(
    tensor: Any, paddings: Any, mode: str = "CONSTANT", name: str | None = None, constant_values: Any = 0
) -> Any:
    """As tf.pad."""
    return _pad(tensor, paddings, mode, constant_values, name)
