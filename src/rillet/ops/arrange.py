"""Moving elements around: transpose, reverse, roll, tile, repeat."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape, unknown_shape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.errors import ShapeError
from rillet.ops.arguments import renamed
from rillet.ops.arrays import as_array, is_concrete, sizes, text
from rillet.ops.families import require_rank, same_shape
from rillet.ops.join import stack
from rillet.ops.scope import scope
from rillet.ops.shape import rank, reshape, shape_of, size_of_tensor

# ---- transpose ------------------------------------------------------------------------------------------------------


def _axes_of(perm: Any, count: int) -> tuple[int, ...]:
    """A permutation of the axes of a tensor of rank `count`. ValueError when it is none."""
    axes = sizes(perm)
    if len(axes) != count:
        raise ValueError(f"transpose expects a vector of size {count}. But input(1) is a vector of size {len(axes)}")
    for axis in axes:
        if not -count <= axis < count:
            raise ValueError(f"{axis} is out of range [0 .. {count})")
    found = tuple(axis % count for axis in axes)
    missing = set(range(count)) - set(found)
    if missing:
        raise ValueError(f"{min(missing)} is missing from {{{','.join(map(str, axes))}}}.")
    return found


def _transpose_kernel(value: Any, perm: Any) -> Any:
    value = as_array(value)
    return value.transpose(_axes_of(perm, value.ndim))


def _transpose_shape(op: Operation) -> TensorShape:
    source, perm = op.inputs[0].shape, constant_value(op.inputs[1])
    count = op.inputs[1].shape.num_elements()
    if source.rank is not None and count is not None and source.rank != count:
        raise ShapeError(
            f"Dimension must be {source.rank} but is {count} for 'transpose' (op: 'Transpose') with input shapes: "
            f"{text(source)}, {text(op.inputs[1].shape)}.",
            f"transpose expects a vector of size {source.rank}. But input(1) is a vector of size {count}",
            {0: range(source.rank)},
        )
    known = source.rank if source.rank is not None else count
    if known is None:
        return UNKNOWN
    if perm is None or source.dimensions is None:
        return source if known < 2 and source.rank is not None else unknown_shape(known)
    try:
        return TensorShape([source.dimensions[axis] for axis in _axes_of(perm, known)])
    except ValueError as error:
        outside = [axis for axis in sizes(perm) if not -known <= axis < known]
        static = f"perm dim {outside[0]} is out of range of input rank {known}" if outside else str(error)
        raise ShapeError(static, str(error)) from None


def _transpose_gradient(op: Operation, dy: Any) -> list[Any]:
    return [transpose(dy, _inverse(op.inputs[1])), None]


def _inverse(perm: Any) -> Any:
    if is_concrete(perm):
        axes = constant_value(perm)
        return np.argsort(np.where(axes < 0, axes + len(axes), axes)).astype(axes.dtype)
    return apply_op(INVERT_PERMUTATION, (perm,))


def _conjugate_gradient(op: Operation, dy: Any) -> list[Any]:
    return [apply_op(CONJUGATE_TRANSPOSE, (dy, _inverse(op.inputs[1])), name="transpose"), None]


TRANSPOSE = define(
    "Transpose", "x: T, perm: Tperm -> y: T", "T: type, Tperm: index = int32",
    reference=_transpose_kernel, shape=_transpose_shape, gradient=_transpose_gradient,
)  # fmt: skip
CONJUGATE_TRANSPOSE = define(
    "ConjugateTranspose", "x: T, perm: Tperm -> y: T", "T: type, Tperm: index = int32",
    reference=lambda value, perm: np.conj(_transpose_kernel(value, perm)),
    shape=_transpose_shape, gradient=_conjugate_gradient,
)  # fmt: skip


def _invert(permutation: Any) -> Any:
    if permutation.ndim != 1:
        raise ValueError("invert_permutation expects a 1D vector.")
    count = len(permutation)
    if np.any((permutation < 0) | (permutation >= count)):
        raise ValueError(
            f"{int(permutation[(permutation < 0) | (permutation >= count)][0])} is not between 0 and {count}"
        )
    seen = np.bincount(permutation, minlength=count)
    if (seen > 1).any():
        raise ValueError(f"{int(np.argmax(seen > 1))} is duplicated in the input.")
    return np.argsort(permutation).astype(permutation.dtype)


INVERT_PERMUTATION = define(
    "InvertPermutation", "x: T -> y: T", "T: index = int32",
    reference=_invert, shape=lambda op: require_rank(op, 0, 1), gradient=NO_GRADIENT,
)  # fmt: skip


@public("math.invert_permutation", v1=["invert_permutation"])
def invert_permutation(x: Any, name: str | None = None) -> Any:
    """The vector y with y[x[i]] = i. InvalidArgumentError when x is no permutation of range(len(x))."""
    return apply_op(INVERT_PERMUTATION, (x,), name=name)


@public(v2=["transpose"])
def transpose(a: Any, perm: Any = None, conjugate: bool = False, name: str = "transpose") -> Any:
    """`a` with its axes in the order `perm` (reversed where None), of complex conjugates if `conjugate`.

    Raises InvalidArgumentError (ValueError while building a graph) when `perm` is no permutation of the axes.
    """
    name = name or "transpose"
    if perm is not None and not conjugate:
        return apply_op(TRANSPOSE, (a, perm), name=name)
    with scope(name, a, perm) as full_name:
        if perm is None:
            a = convert_to_tensor(a, name="a")
            perm = _reversed_axes(a)
        else:
            a = convert_to_tensor(a, name="a")
        definition = CONJUGATE_TRANSPOSE if conjugate and a.dtype.is_complex else TRANSPOSE
        if not is_concrete(a):
            perm = convert_to_tensor(perm, name="perm") if isinstance(perm, (np.ndarray, list, tuple)) else perm
        return apply_op(definition, (a, perm), name=full_name)


def _reversed_axes(a: Any) -> Any:
    known = a.shape.rank
    if known is not None:
        return np.arange(known - 1, -1, -1, dtype=np.int32)
    return apply_op(REGISTRY["Range"], (apply_op(REGISTRY["Rank"], (a,)) - 1, -1, -1))


@public(v1=["transpose"])
def transpose_v1(a: Any, perm: Any = None, name: str = "transpose", conjugate: bool = False) -> Any:
    """As tf.transpose."""
    return transpose(a, perm, conjugate, name)


@public("linalg.matrix_transpose", v1=["matrix_transpose", "linalg.transpose"])
def matrix_transpose(a: Any, name: str = "matrix_transpose", conjugate: bool = False) -> Any:
    """`a` with its last two axes exchanged. ValueError for a tensor of less than two axes."""
    with scope(name, a):
        a = convert_to_tensor(a, name="a")
        known = a.shape.rank
        if known is None:
            count = rank(a)
            first = apply_op(REGISTRY["Range"], (0, count - 2, 1))
            perm = apply_op(REGISTRY["ConcatV2"], ([first, [count - 1, count - 2]], 0), name="concat")
            return transpose(a, perm, conjugate)
        if known < 2:
            raise ValueError(
                f"Argument `a` should be a (batch) matrix with rank >= 2.  Received `a` = {a} with shape: {a.shape}"
            )
        return transpose(a, [*range(known - 2), known - 1, known - 2], conjugate)


@public("linalg.adjoint")
def adjoint(matrix: Any, name: str | None = None) -> Any:
    """The conjugate transpose of the last two axes of `matrix`."""
    with scope(name or "adjoint", matrix):
        return matrix_transpose(convert_to_tensor(matrix, name="matrix"), conjugate=True)


# ---- reverse and roll -----------------------------------------------------------------------------------------------


def _reversed_places(axes: Any, count: int) -> tuple[int, ...]:
    if np.ndim(axes) != 1:
        raise ShapeError(f"'dims' must be 1-dimension, not {np.ndim(axes)}")
    result: list[int] = []
    for axis in sizes(axes):
        if not -count <= axis < count:
            raise ShapeError(f"'axis'[{len(result)}] = {axis} is out of valid range [0, {count - 1}")
        if axis % count in result:
            raise ShapeError(f"axis {axis % count} specified more than once.")
        result.append(axis % count)
    return tuple(result)


def _reverse_kernel(value: Any, axes: Any) -> Any:
    value = as_array(value)
    return np.flip(value, _reversed_places(axes, value.ndim))


def _reverse_shape(op: Operation) -> TensorShape:
    axes, shape = constant_value(op.inputs[1]), op.inputs[0].shape
    if op.inputs[1].shape.rank not in (None, 1):
        count = op.inputs[1].shape.rank
        raise ShapeError(f"Shape must be rank 1 but is rank {count}", f"'dims' must be 1-dimension, not {count}")
    if axes is not None and shape.rank is not None:
        _reversed_places(axes, shape.rank)
    return shape


def _reverse_gradient(op: Operation, dy: Any) -> list[Any]:
    return [reverse(dy, op.inputs[1]), None]


REVERSE_V2 = define(
    "ReverseV2", "tensor: T, axis: Tidx -> output: T", "T: type, Tidx: index = int32",
    reference=_reverse_kernel, shape=_reverse_shape, gradient=_reverse_gradient,
)  # fmt: skip
define(
    "Reverse", "tensor: T, dims: bool -> output: T", "T: type",
    reference=lambda value, dims: np.flip(as_array(value), tuple(np.flatnonzero(dims).tolist())),
    shape=same_shape, gradient=lambda op, dy: [apply_op(REGISTRY["Reverse"], (dy, op.inputs[1])), None],
)  # fmt: skip


@public("reverse", v1=["reverse_v2", "manip.reverse"])
def reverse(tensor: Any, axis: Any, name: str | None = None) -> Any:
    """`tensor` back to front along the axes in `axis` (a list).

    Raises InvalidArgumentError (ValueError while building a graph) for an axis that is not there, or there twice.
    """
    return apply_op(REVERSE_V2, (tensor, axis), name=name)


def _reverse_sequence_kernel(value: Any, lengths: Any, *, seq_dim: int, batch_dim: int) -> Any:
    if batch_dim == seq_dim:
        raise ValueError(f"batch_dim == seq_dim == {seq_dim}")
    size = value.shape[seq_dim]
    if np.shape(lengths) != (value.shape[batch_dim],):
        raise ValueError(
            f"Length of seq_lengths != input.dims({batch_dim}), ({np.size(lengths)} vs. {value.shape[batch_dim]})"
        )
    for index, length in enumerate(sizes(lengths)):
        if length < 0:
            raise ValueError(f"seq_lens({index}) < 0")
        if length > size:
            raise ValueError(f"seq_lens({index}) > input.dims({seq_dim})")
    moved = np.moveaxis(value, (batch_dim, seq_dim), (0, 1))
    steps = np.arange(size)
    ends = np.asarray(lengths)[:, None]
    order = np.where(steps < ends, ends - 1 - steps, steps)
    taken = np.take_along_axis(moved, order.reshape(*order.shape, *(1,) * (moved.ndim - 2)), 1)
    return np.moveaxis(taken, (0, 1), (batch_dim, seq_dim))


def _reverse_sequence_shape(op: Operation) -> TensorShape:
    shape, lengths = op.inputs[0].shape, op.inputs[1].shape
    batch, seq = op.attrs["batch_dim"], op.attrs["seq_dim"]
    if shape.dimensions is None:
        return UNKNOWN
    count = len(shape.dimensions)
    for label, axis in (("batch_dim", batch), ("seq_dim", seq)):
        if axis >= count:
            raise ShapeError(
                f"{label} must be < input rank: {axis} vs. {count}",
                f"{label} must be < input rank ( {axis} vs. {count})",
            )
    size, given = shape.dimensions[batch], lengths.dimensions[0] if lengths.dimensions else None
    if None not in (size, given) and size != given:
        raise ShapeError(
            f"Dimensions must be equal, but are {size} and {given}: one length for each batch entry.",
            f"Length of seq_lengths != input.dims({batch}), ({given} vs. {size})",
            {0: [batch], 1: [0]},
        )
    return shape


def _reverse_sequence_gradient(op: Operation, dy: Any) -> list[Any]:
    return [reverse_sequence(dy, op.inputs[1], op.attrs["seq_dim"], op.attrs["batch_dim"]), None]


REVERSE_SEQUENCE = define(
    "ReverseSequence", "input: T, seq_lengths: Tlen -> output: T",
    "seq_dim: int, batch_dim: int = 0, T: type, Tlen: index = int64",
    reference=_reverse_sequence_kernel, shape=_reverse_sequence_shape, gradient=_reverse_sequence_gradient,
)  # fmt: skip


@public(v2=["reverse_sequence"])
def reverse_sequence(
    input: Any, seq_lengths: Any, seq_axis: int | None = None, batch_axis: int | None = None, name: str | None = None
) -> Any:
    """The first seq_lengths[i] entries along `seq_axis` in reverse order, for each entry i along `batch_axis`.

    Raises InvalidArgumentError when a length is negative or larger than the axis.
    """
    attrs = {"seq_dim": int(seq_axis or 0), "batch_dim": int(batch_axis or 0)}
    return apply_op(REVERSE_SEQUENCE, (input, seq_lengths), attrs, name)


@public(v1=["reverse_sequence"])
def reverse_sequence_v1(
    input: Any,
    seq_lengths: Any,
    seq_axis: int | None = None,
    batch_axis: int | None = None,
    name: str | None = None,
    seq_dim: int | None = None,
    batch_dim: int | None = None,
) -> Any:
    """As tf.reverse_sequence; seq_dim and batch_dim are the old names of seq_axis and batch_axis."""
    seq_axis = renamed("seq_axis", seq_axis, "seq_dim", seq_dim)
    batch_axis = renamed("batch_axis", batch_axis, "batch_dim", batch_dim)
    return reverse_sequence(input, seq_lengths, seq_axis, batch_axis, name)


def _roll_kernel(value: Any, shift: Any, axis: Any) -> Any:
    shifts, axes = sizes(shift), sizes(axis)
    if value.ndim == 0:
        raise ValueError("input must be 1-D or higher")
    if len(shifts) != len(axes):
        raise ValueError("shift and axis must have the same size")
    for place in axes:
        if not -value.ndim <= place < value.ndim:
            raise ValueError(f"axis {place} is out of range")
    for places, place in zip(shifts, axes, strict=True):
        value = np.roll(value, places, place)
    return value


def _roll_gradient(op: Operation, dy: Any) -> list[Any]:
    return [roll(dy, -op.inputs[1], op.inputs[2]), None, None]


ROLL = define(
    "Roll", "input: T, shift: Tshift, axis: Taxis -> output: T", "T: type, Tshift: index, Taxis: index",
    reference=_roll_kernel, shape=same_shape,
    gradient=_roll_gradient,
)  # fmt: skip


@public("roll", v1=["manip.roll"])
def roll(input: Any, shift: Any, axis: Any, name: str | None = None) -> Any:
    """Elements moved by `shift` places along `axis`; what leaves at one end enters at the other.

    shift, axis: integers, or vectors of one length (shifts of one axis add up).
    """
    return apply_op(ROLL, (input, shift, axis), name=name)


# ---- tile and repeat ------------------------------------------------------------------------------------------------


def _tile_kernel(value: Any, multiples: Any) -> Any:
    value, times = as_array(value), sizes(multiples)
    if len(times) != value.ndim:
        raise ValueError(
            f"Expected multiples argument to be a vector of length {value.ndim} but got length {len(times)}"
        )
    for axis, count in enumerate(times):
        if count < 0:
            raise ValueError(f"Expected multiples[{axis}] >= 0, but got {count}")
    return np.tile(value, times)


def _tile_shape(op: Operation) -> TensorShape:
    source, multiples = op.inputs[0].shape, constant_value_as_shape(op.inputs[1]).dimensions
    count = op.inputs[1].shape.num_elements()
    if source.dimensions is None:
        return UNKNOWN if count is None else unknown_shape(count)
    if count is not None and count != len(source.dimensions):
        raise ShapeError(
            f"Shape must be rank {len(source.dimensions)} but is rank {count}: tile needs a multiple for each axis.",
            f"Expected multiples argument to be a vector of length {len(source.dimensions)} but got length {count}",
            {0: range(len(source.dimensions))},
        )
    if multiples is None:
        return unknown_shape(len(source.dimensions))
    pairs = zip(source.dimensions, multiples, strict=True)
    return TensorShape([None if size is None or times is None else size * times for size, times in pairs])


def _tile_gradient(op: Operation, dy: Any) -> list[Any]:
    """Each axis is cut into (multiple, size), and the multiples are added up."""
    input_shape = shape_of(op.inputs[0], op.inputs[1].dtype)
    split_shape = reshape(transpose(stack([op.inputs[1], input_shape])), [-1])
    axes = apply_op(REGISTRY["Range"], (0, size_of_tensor(split_shape), 2), name="range")
    total = apply_op(REGISTRY["Sum"], (reshape(dy, split_shape), axes), {"keep_dims": False})
    if not is_concrete(total):
        total.set_shape(op.inputs[0].shape)
    return [total, None]


TILE = define(
    "Tile", "input: T, multiples: Tmultiples -> output: T", "T: type, Tmultiples: index = int32",
    reference=_tile_kernel, shape=_tile_shape, gradient=_tile_gradient,
)  # fmt: skip


@public("tile", v1=["manip.tile"])
def tile(input: Any, multiples: Any, name: str | None = None) -> Any:
    """`input` repeated multiples[i] times along each axis i.

    Raises InvalidArgumentError (ValueError while building a graph) unless there is one multiple an axis.
    """
    return apply_op(TILE, (input, multiples), name=name)


# ---- data formats ---------------------------------------------------------------------------------------------------


def _vector_permute(value: Any, *, src_format: str, dst_format: str) -> Any:
    order = [src_format.index(letter) for letter in dst_format]
    if len(value) == len(order) - 2:  # height and width alone
        order = [
            src_format.replace("N", "").replace("C", "").index(letter) for letter in dst_format if letter not in "NC"
        ]
    if len(value) != len(order):
        raise ValueError(
            f"1D input must be of size {len(dst_format) - 2} or {len(dst_format)}, but got shape {len(value)}"
        )
    return value[order]


def _dimension_map(value: Any, *, src_format: str, dst_format: str) -> Any:
    places = np.array([dst_format.index(letter) for letter in src_format], value.dtype)
    return places[np.asarray(value) % len(places)]


_FORMATS = "T: index = int32, src_format: string = 'NHWC', dst_format: string = 'NCHW'"
define(
    "DataFormatVecPermute", "x: T -> y: T", _FORMATS,
    reference=_vector_permute, shape=same_shape, gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "DataFormatDimMap", "x: T -> y: T", _FORMATS,
    reference=_dimension_map, shape=same_shape, gradient=NO_GRADIENT,
)  # fmt: skip
