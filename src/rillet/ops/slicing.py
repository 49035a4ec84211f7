"""Slices: tf.slice, tf.strided_slice with all its masks, and assignment to slices of variables.

A strided slice's arguments hold one entry for each item of the index: `x[1:3, None, ..., 0]` has four. `index_plan`
reads the masks and says what each item means; the kernel and the static inference both work from that plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.core.tensor import SymbolicTensor
from rillet.errors import ShapeError
from rillet.ops.arrays import as_array, is_concrete, sizes, text
from rillet.ops.creation import ones_like_v1
from rillet.ops.join import concat, stack
from rillet.ops.shape import rank, reshape, shape_of
from rillet.ops.state import read_state

# ---- slice ----------------------------------------------------------------------------------------------------------


def _slice_kernel(value: Any, begin: Any, size: Any) -> Any:
    starts, lengths, value = sizes(begin), sizes(size), as_array(value)
    if len(starts) != value.ndim or len(lengths) != value.ndim:
        raise ValueError(
            f"Expected begin and size arguments to be 1-D tensors of size {value.ndim}, but got shapes "
            f"{text(TensorShape(np.shape(begin)))} and {text(TensorShape(np.shape(size)))} instead."
        )
    index = []
    for axis, (start, length, limit) in enumerate(zip(starts, lengths, value.shape, strict=True)):
        if not 0 <= start <= limit:
            raise ValueError(f"Expected begin[{axis}] in [0, {limit}], but got {start}")
        if length == -1:
            length = limit - start
        if not 0 <= length <= limit - start:
            raise ValueError(f"Expected size[{axis}] in [0, {limit - start}], but got {length}")
        index.append(slice(start, start + length))
    return value[tuple(index)]


def _slice_shape(op: Operation) -> TensorShape:
    source, begin, size = op.inputs[0].shape, constant_value(op.inputs[1]), constant_value(op.inputs[2])
    ranks = [tensor.shape.num_elements() for tensor in op.inputs[1:]]
    known = next((count for count in (source.rank, *ranks) if count is not None), None)
    if known is None:
        return UNKNOWN
    if any(count not in (None, known) for count in (source.rank, *ranks)):
        raise ShapeError(
            f"Shape must be rank {known} but begin and size have {ranks[0]} and {ranks[1]} entries: one for each axis.",
            f"Expected begin and size arguments to be 1-D tensors of size {source.rank}, but got shapes "
            f"{text(op.inputs[1].shape)} and {text(op.inputs[2].shape)} instead.",
        )
    if size is None:
        return constant_value_as_shape(op.inputs[2])
    result: list[int | None] = []
    for axis, length in enumerate(sizes(size)):
        limit = None if source.dimensions is None else source.dimensions[axis]
        if length == -1:
            start = None if begin is None else sizes(begin)[axis]
            length = None if None in (start, limit) else max(limit - start, 0)  # type: ignore[operator, assignment]
        result.append(length)
    return TensorShape([None if length is not None and length < 0 else length for length in result])


def _slice_gradient(op: Operation, dy: Any) -> list[Any]:
    """`dy` with zeros around it."""
    value, begin = op.inputs[0], op.inputs[1]
    if is_concrete(dy, value):
        starts = sizes(constant_value(begin))
        lengths = zip(starts, value.shape.as_list(), dy.shape.as_list(), strict=True)
        paddings = [(start, whole - part - start) for start, whole, part in lengths]
        return [apply_op(REGISTRY["Pad"], (dy, np.array(paddings, np.int64).reshape(-1, 2))), None, None]
    count, result_shape = rank(value), shape_of(op.outputs[0])
    column = stack([count, 1])
    before = reshape(begin, column)
    input_shape = shape_of(value)
    if begin.dtype is not input_shape.dtype:
        input_shape, result_shape = _as(input_shape, begin.dtype), _as(result_shape, begin.dtype)
    after = reshape(input_shape - result_shape - begin, column)
    return [apply_op(REGISTRY["Pad"], (dy, concat([before, after], 1))), None, None]


def _as(tensor: Any, dtype: Any) -> Any:
    return apply_op(REGISTRY["Cast"], (tensor,), {"DstT": dtype})


def _slice_as_shape(op: Operation) -> TensorShape | None:
    """Part of a shape vector."""
    begin, size = constant_value(op.inputs[1]), constant_value(op.inputs[2])
    if op.inputs[0].shape.rank != 1 or begin is None or size is None:
        return None
    whole, start, length = constant_value_as_shape(op.inputs[0]), sizes(begin)[0], sizes(size)[0]
    if whole.dimensions is None:
        return None
    return TensorShape(whole.dimensions[start : None if length == -1 else start + length])


SLICE = define(
    "Slice", "input: T, begin: Index, size: Index -> output: T", "T: type, Index: index",
    reference=_slice_kernel, shape=_slice_shape, shape_value=_slice_as_shape, gradient=_slice_gradient,
)  # fmt: skip


@public("slice")
def slice_(input_: Any, begin: Any, size: Any, name: str | None = None) -> Any:
    """The part of `input_` that starts at `begin` (one entry an axis, from 0) and has `size` (-1: all that is left).

    Raises InvalidArgumentError when the part reaches beyond the tensor.
    """
    return apply_op(SLICE, (input_, begin, size), name=name)


slice_.__name__ = slice_.__qualname__ = "slice"

# ---- what the entries of a strided slice mean -----------------------------------------------------------------------


class Masks(NamedTuple):
    """Bit i speaks of entry i of begin, end and strides."""

    begin_mask: int = 0
    end_mask: int = 0
    ellipsis_mask: int = 0
    new_axis_mask: int = 0
    shrink_axis_mask: int = 0


MASK_ATTRIBUTES = ", ".join(f"{name}: int = 0" for name in Masks._fields)


class _Item(NamedTuple):
    """One dimension of the index: "new" (an axis of size 1), "all" (a whole axis), "range" or "pick" of an axis.
    `entry` is where begin, end and stride stand; `axis` counts the axes of the sliced tensor."""

    kind: str
    entry: int
    axis: int


def index_plan(entries: int, tensor_rank: int, masks: Masks) -> list[_Item]:
    """The meaning of `entries` index entries for a tensor of `tensor_rank` axes. ShapeError when there are too many."""
    if masks.ellipsis_mask & (masks.ellipsis_mask - 1):
        raise ShapeError("Multiple ellipses in slice spec not allowed")
    named = [
        entry
        for entry in range(entries)
        if not masks.ellipsis_mask >> entry & 1 and not masks.new_axis_mask >> entry & 1
    ]
    if len(named) > tensor_rank:
        if tensor_rank == 0:
            raise ShapeError("Attempting to slice scalar input.")
        raise ShapeError(
            f"Index out of range using input dim {tensor_rank}; input has only {tensor_rank} dims",
            marks={0: range(tensor_rank)},
        )
    rest = tensor_rank - len(named)
    plan: list[_Item] = []
    axis = 0
    for entry in range(entries):
        if masks.ellipsis_mask >> entry & 1:
            plan.extend(_Item("all", entry, axis + extra) for extra in range(rest))
            axis += rest
            rest = 0
        elif masks.new_axis_mask >> entry & 1:
            plan.append(_Item("new", entry, -1))
        else:
            plan.append(_Item("pick" if masks.shrink_axis_mask >> entry & 1 else "range", entry, axis))
            axis += 1
    if masks.ellipsis_mask == 0:
        plan.extend(_Item("all", -1, axis + extra) for extra in range(rest))
    return plan


def _bounds(item: _Item, begin: Sequence[Any], end: Sequence[Any], strides: Sequence[Any], masks: Masks) -> slice:
    """A range as Python writes it."""
    entry = item.entry
    start = None if masks.begin_mask >> entry & 1 else begin[entry]
    stop = None if masks.end_mask >> entry & 1 else end[entry]
    if strides[entry] == 0:
        raise ShapeError(f"strides[{entry}] must be non-zero")
    return slice(start, stop, strides[entry])


def _check_pick(item: _Item, index: int, stride: int, size: int | None) -> None:
    if stride < 0:
        raise ShapeError("only stride 1 allowed on non-range indexing.")
    if size is not None and not -size <= index < size:
        from_front = index + size if index < 0 else index
        raise ShapeError(f"slice index {from_front} of dimension {item.axis} out of bounds.", marks={0: [item.axis]})


def numpy_index(shape: tuple[int, ...], begin: Any, end: Any, strides: Any, masks: Masks) -> tuple[Any, ...]:
    """The NumPy index that means the same for an array of `shape`. ShapeError when it is not valid."""
    starts, stops, steps = sizes(begin), sizes(end), sizes(strides)
    if not len(starts) == len(stops) == len(steps):
        raise ShapeError(
            f"Expected begin, end, and strides to be 1D equal size tensors, but got shapes [{len(starts)}], [{len(stops)}], "
            f"and [{len(steps)}] instead."
        )
    index: list[Any] = []
    for item in index_plan(len(starts), len(shape), masks):
        if item.kind == "new":
            index.append(None)
        elif item.kind == "all":
            index.append(slice(None))
        elif item.kind == "pick":
            start = 0 if masks.begin_mask >> item.entry & 1 else starts[item.entry]
            _check_pick(item, start, steps[item.entry], shape[item.axis])
            index.append(start)
        else:
            index.append(_bounds(item, starts, stops, steps, masks))
    return tuple(index)


# ---- strided slice --------------------------------------------------------------------------------------------------


Kernel = Callable[..., Any]


def _with_masks(kernel: Kernel) -> Kernel:
    """A kernel that takes the five mask attributes, from one whose last parameter is a Masks."""

    def masked(
        *arrays: Any, begin_mask: int, end_mask: int, ellipsis_mask: int, new_axis_mask: int, shrink_axis_mask: int
    ) -> Any:
        return kernel(*arrays, Masks(begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask))

    return masked


def _strided_slice_kernel(value: Any, begin: Any, end: Any, strides: Any, masks: Masks) -> Any:
    value = as_array(value)
    return value[numpy_index(value.shape, begin, end, strides, masks)]


def masks_of(op: Operation) -> Masks:
    return Masks(*(op.attrs[name] for name in Masks._fields))


def _known_entries(tensor: Any, count: int) -> list[int | None]:
    """Begin, end or strides as far as they are known."""
    value = constant_value(tensor)
    if value is not None:
        return list(sizes(value))
    partly = constant_value_as_shape(tensor).dimensions
    return list(partly) if partly is not None else [None] * count


def _sliced_shape(op: Operation) -> TensorShape:
    """The shape of a slice of `op.inputs[0]`; begin, end and strides are the next three inputs."""
    return sliced_shape(op.inputs[0].shape, op.inputs[1:4], masks_of(op))


def sliced_shape(source: TensorShape, bounds: Sequence[Any], masks: Masks) -> TensorShape:
    """The static shape of a strided slice, as far as the source and its bounds are known."""
    counts = [size for tensor in bounds if (size := tensor.shape.num_elements()) is not None]
    if len(set(counts)) > 1:
        shapes = [text(tensor.shape) for tensor in bounds]
        raise ShapeError(
            f"Dimension 0 in both shapes must be equal, but are {counts[0]} and {next(c for c in counts if c != counts[0])}",
            f"Expected begin, end, and strides to be 1D equal size tensors, but got shapes {shapes[0]}, {shapes[1]}, and "
            f"{shapes[2]} instead.",
        )
    count = counts[0] if counts else None
    if count is None or source.dimensions is None:
        return UNKNOWN
    begin, end, strides = (_known_entries(tensor, count) for tensor in bounds)
    result: list[int | None] = []
    for item in index_plan(count, len(source.dimensions), masks):
        if item.kind == "new":
            result.append(1)
        elif item.kind == "all":
            result.append(source.dimensions[item.axis])
        elif item.kind == "pick":
            start = 0 if masks.begin_mask >> item.entry & 1 else begin[item.entry]
            if start is not None:
                _check_pick(item, start, strides[item.entry] or 1, source.dimensions[item.axis])
        else:
            result.append(
                _range_length(_bounds(item, begin, end, strides, masks), source.dimensions[item.axis], item, masks)
            )
    return TensorShape(result)


def _range_length(bounds: slice, size: int | None, item: _Item, masks: Masks) -> int | None:
    """The number of elements in a range of an axis, where it can be told."""
    starts, stops = masks.begin_mask >> item.entry & 1, masks.end_mask >> item.entry & 1
    if bounds.step is None or (bounds.start is None and not starts) or (bounds.stop is None and not stops):
        return None
    if size is not None:
        return len(range(*bounds.indices(size)))
    if bounds.start is not None and bounds.stop is not None and bounds.start >= 0 and bounds.stop >= 0:
        empty = bounds.stop <= bounds.start if bounds.step > 0 else bounds.stop >= bounds.start
        return 0 if empty else None
    return None


def _strided_slice_value(op: Operation) -> Any:
    """The value of a slice of a partly known shape vector, where the part is known: tf.shape(x)[1]."""
    if op.inputs[0].shape.rank != 1 or not op.inputs[0].dtype.is_integer:
        return None
    part = _known_part(op)
    if part is None or (isinstance(part, list) and None in part):
        return None
    return np.array(part, op.inputs[0].dtype.numpy_dtype)


def _known_part(op: Operation) -> Any:
    """The slice of a partly known shape vector: a size, a list with None for unknown sizes; None if nothing is known."""
    bounds = [constant_value(tensor) for tensor in op.inputs[1:4]]
    if any(bound is None for bound in bounds):
        return None
    whole = constant_value_as_shape(op.inputs[0]).dimensions
    if whole is None:
        return None
    try:
        index = numpy_index((len(whole),), bounds[0], bounds[1], bounds[2], masks_of(op))
    except ShapeError:
        return None
    if len(index) != 1 or index[0] is None:
        return None
    return list(whole[index[0]]) if isinstance(index[0], slice) else whole[index[0]]


def _strided_slice_as_shape(op: Operation) -> TensorShape | None:
    part = _known_part(op) if op.inputs[0].shape.rank == 1 else None
    return TensorShape(part) if isinstance(part, list) else None


def _strided_slice_gradient(op: Operation, dy: Any) -> list[Any]:
    bounds = op.inputs[1:4]
    attrs = masks_of(op)._asdict()
    if is_concrete(dy, *op.inputs):
        whole = np.array(op.inputs[0].shape.as_list(), bounds[0].dtype.numpy_dtype)
        return [apply_op(STRIDED_SLICE_GRAD, (whole, *bounds, dy), attrs), None, None, None]
    # what is constant becomes a constant of the gradient's own, so that it stays known inside loops and functions
    parts = [shape_of(op.inputs[0], bounds[0].dtype), *bounds]
    known = [_written_out(part) for part in parts]
    chosen = [part if value is None else value for part, value in zip(parts, known, strict=True)]
    return [apply_op(STRIDED_SLICE_GRAD, (*chosen, dy), attrs), None, None, None]


def _written_out(tensor: Any) -> Any:
    """The value of a constant, or of constants packed together; None for what is computed, even from constants."""
    sources = tensor.op.inputs if tensor.op.type == "Pack" else [tensor]
    return constant_value(tensor) if all(source.op.type == "Const" for source in sources) else None


STRIDED_SLICE = define(
    "StridedSlice", "input: T, begin: Index, end: Index, strides: Index -> output: T",
    f"T: type, Index: {{int16, int32, int64}}, {MASK_ATTRIBUTES}",
    reference=_with_masks(_strided_slice_kernel),
    shape=_sliced_shape,
    fold=_strided_slice_value,
    shape_value=_strided_slice_as_shape,
    gradient=_strided_slice_gradient,
)  # fmt: skip


def _strided_slice_grad_kernel(shape: Any, begin: Any, end: Any, strides: Any, dy: Any, masks: Masks) -> Any:
    dy, whole = as_array(dy), sizes(shape)
    result = np.zeros(whole, dy.dtype)
    result[numpy_index(whole, begin, end, strides, masks)] = dy
    return result


STRIDED_SLICE_GRAD = define(
    "StridedSliceGrad", "shape: Index, begin: Index, end: Index, strides: Index, dy: T -> output: T",
    f"T: type, Index: index, {MASK_ATTRIBUTES}",
    reference=_with_masks(_strided_slice_grad_kernel),
    shape=lambda op: constant_value_as_shape(op.inputs[0]),
    gradient=lambda op, dy: [None] * 4 + [apply_op(STRIDED_SLICE, (dy, *op.inputs[1:4]), masks_of(op)._asdict())],
)  # fmt: skip


def _update_kernel(value: Any, begin: Any, end: Any, strides: Any, update: Any, masks: Masks) -> Any:
    result = np.array(as_array(value))
    index = numpy_index(result.shape, begin, end, strides, masks)
    if np.shape(update) != result[index].shape and np.shape(update) != ():
        _check_assigned(result[index].shape, np.shape(update))
    result[index] = update
    return result


def _check_assigned(target: tuple[int, ...], given: tuple[int, ...]) -> None:
    """A value of another shape may be assigned only where it broadcasts."""
    try:
        fits = np.broadcast_shapes(target, given) == target
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"Cannot broadcast input shape {text(TensorShape(given))} into final shape {text(TensorShape(target))}"
        )


def _update_gradient(op: Operation, dy: Any) -> list[Any]:
    attrs = masks_of(op)._asdict()
    bounds, update = op.inputs[1:4], op.inputs[4]
    nothing = apply_op(REGISTRY["ZerosLike"], (update,))
    kept = apply_op(TENSOR_UPDATE, (dy, *bounds, nothing), attrs)
    taken = apply_op(STRIDED_SLICE, (dy, *bounds), attrs)
    if not update.shape.is_fully_defined() or update.shape != taken.shape:
        axes = apply_op(REGISTRY["BroadcastGradientArgs"], (shape_of(update), shape_of(taken))).r0
        taken = reshape(apply_op(REGISTRY["Sum"], (taken, axes), {"keep_dims": False}), shape_of(update))
    return [kept, None, None, None, taken]


TENSOR_UPDATE = define(
    "TensorStridedSliceUpdate", "input: T, begin: Index, end: Index, strides: Index, value: T -> output: T",
    f"T: type, Index: index, {MASK_ATTRIBUTES}",
    reference=_with_masks(_update_kernel),
    shape=lambda op: op.inputs[0].shape,
    gradient=_update_gradient,
)  # fmt: skip


# ---- assignment to a part of a variable -----------------------------------------------------------------------------


def _assign_to_reference(state: Any, begin: Any, end: Any, strides: Any, value: Any, masks: Masks) -> Any:
    with state.lock:
        state.value = _update_kernel(read_state(state), begin, end, strides, value, masks)
    return state


def _assign_to_resource(*state_and_inputs: Any) -> tuple[()]:
    _assign_to_reference(*state_and_inputs)
    return ()


ASSIGN_RESOURCE = define(
    "ResourceStridedSliceAssign", "ref: resource, begin: Index, end: Index, strides: Index, value: T ->",
    f"T: type, Index: index, {MASK_ATTRIBUTES}",
    reference=_with_masks(_assign_to_resource), shape=lambda op: [], gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
ASSIGN_REFERENCE = define(
    "StridedSliceAssign", "ref: Ref(T), begin: Index, end: Index, strides: Index, value: T -> output_ref: Ref(T)",
    f"T: type, Index: index, {MASK_ATTRIBUTES}",
    reference=_with_masks(_assign_to_reference), shape=lambda op: op.inputs[0].shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def _assigner(variable: Any, bounds: Sequence[Any], masks: dict[str, int], name: str) -> Callable[..., Any]:
    """The `assign` of a slice of a variable."""

    def assign(value: Any, name: str | None = None) -> Any:
        """Sets this part of the variable to `value`. Returns the variable as it is afterwards."""
        if variable is None:
            raise ValueError("Sliced assignment is only supported for variables")
        label = name or default_name
        handle = variable.handle
        if handle.dtype is not dtypes.resource:
            return apply_op(ASSIGN_REFERENCE, (handle, *bounds, value), masks, label)
        tensor = convert_to_tensor(value, variable.dtype)
        operation = apply_op(ASSIGN_RESOURCE, (handle, *bounds, tensor), masks, label)
        if operation is None:
            return variable
        with operation.graph.control_dependencies([operation]):
            return variable.value()

    default_name = name
    return assign


# ---- tf.strided_slice -----------------------------------------------------------------------------------------------


@public("strided_slice")
def strided_slice(
    input_: Any,
    begin: Any,
    end: Any,
    strides: Any = None,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
    var: Any = None,
    name: str | None = None,
) -> Any:
    """A slice of `input_` from `begin` to `end` in steps of `strides` (1 where None): `input_[b0:e0:s0, b1:e1:s1, ...]`.

    Bit i of a mask speaks of entry i: begin_mask and end_mask ignore the bound, ellipsis_mask stands for as many whole
    axes as fit, new_axis_mask inserts an axis of size 1, shrink_axis_mask takes the one element at `begin`.
    var: the variable that `input_` is the value of; the result's `assign(value)` then sets that part of it.
    """
    if strides is None:
        strides = ones_like_v1(begin)
    masks = dict(
        zip(Masks._fields, (begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask), strict=True)
    )
    result = apply_op(STRIDED_SLICE, (input_, begin, end, strides), masks, name)
    if var is not None:
        make_assignable(result, var, (begin, end, strides), masks)
    return result


def make_assignable(result: Any, variable: Any, bounds: Sequence[Any], masks: dict[str, int]) -> None:
    label = result.op.name + "/_assign" if isinstance(result, SymbolicTensor) else "strided_slice"
    result.assign = _assigner(variable, bounds, masks, label)
