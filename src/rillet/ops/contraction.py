"""Sums of products over named or numbered axes: einsum and tensordot."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, constant_in, convert_to_tensor, graph_for
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value
from rillet.core.tensor import EagerTensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.elementwise import conj
from rillet.ops.matmul import matmul
from rillet.ops.precision import wide
from rillet.ops.reduce import reduce_prod, reduce_sum
from rillet.ops.scope import scope
from rillet.ops.shape import reshape, shape

# ---- equations ------------------------------------------------------------------------------------------------------

ELLIPSIS = "..."
# A label is a letter, or the number of an axis that an ellipsis stands for, counted from the last one: -1, -2 ...
Label = str | int


@functools.lru_cache(maxsize=512)
def parse(equation: str) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """The labels of each input and of the output; an ellipsis is a label too. ValueError for what is no equation."""
    left, arrow, right = equation.partition("->")
    if not arrow:
        raise ValueError(f"Expecting exactly one '->' in einsum equation: {equation}")
    return tuple(_labels(part, equation) for part in left.split(",")), _labels(right, equation)


def _labels(text: str, equation: str) -> tuple[str, ...]:
    labels = re.findall(r"\.\.\.|[A-Za-z]", text)
    if "".join(labels) != text or labels.count(ELLIPSIS) > 1:
        raise ValueError(f"Subscripts have incorrect format: {equation}")
    return tuple(labels)


def spelled_out(labels: tuple[str, ...], rank: int) -> tuple[Label, ...]:
    """`labels` with the axes of the ellipsis, in an array of `rank` dimensions or in the output (rank then is that of
    the ellipsis and the letters)."""
    if ELLIPSIS not in labels:
        return labels
    position = labels.index(ELLIPSIS)
    count = rank - (len(labels) - 1)
    return (*labels[:position], *range(-count, 0), *labels[position + 1 :])


# ---- the kernel -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Operand:
    """What is done to one input: `strided` takes its diagonal (shape, and which strides are added), `summed` are axes that
    are summed away, then the axes are put in `order` and joined to `shape`."""

    strided: tuple[tuple[int, ...], tuple[tuple[int, ...], ...]] | None
    squeezed: tuple[int, ...]
    summed: tuple[int, ...]
    order: tuple[int, ...]
    shape: tuple[int, ...]

    def __call__(self, array: Any) -> Any:
        if self.strided is not None:
            array = _diagonal(array, *self.strided)
        if self.squeezed:
            array = array.squeeze(self.squeezed)
        if self.summed:
            array = np.add.reduce(array, self.summed, array.dtype)
        return array.transpose(self.order).reshape(self.shape)


@dataclass(frozen=True)
class _Plan:
    """How an equation is worked out on arrays of certain shapes: one batch of matrix products, or an elementwise one."""

    operands: tuple[_Operand, ...]
    is_contraction: bool
    shape: tuple[int, ...]
    order: tuple[int, ...]
    scattered: (
        tuple[tuple[int, ...], tuple[tuple[int, ...], ...]] | None
    )  # zeros of a shape, whose diagonal is the result


def _einsum_kernel(*arrays: Any, equation: Any) -> Any:
    plan = _plan(_text(equation), tuple(array.shape for array in arrays))
    values = [operand(wide(array)) for operand, array in zip(plan.operands, arrays)]
    if len(values) == 1:
        value = values[0]
    elif plan.is_contraction:
        value = np.matmul(*values)
    else:
        value = np.multiply(*values)
    value = value.reshape(plan.shape).transpose(plan.order)
    if plan.scattered is None:
        return value
    full, steps = plan.scattered
    result = np.zeros(full, value.dtype)
    _diagonal(result, value.shape, steps)[...] = value
    return result


def _diagonal(array: Any, shape: tuple[int, ...], steps: tuple[tuple[int, ...], ...]) -> Any:
    """A view of `shape` in which a step along an axis is one along several axes of the array at once."""
    strides = [sum(array.strides[axis] for axis in axes) for axes in steps]
    return np.lib.stride_tricks.as_strided(array, shape, strides)


@functools.lru_cache(maxsize=1024)
def _plan(equation: str, shapes: tuple[tuple[int, ...], ...]) -> _Plan:
    inputs, output = parse(equation)
    if len(inputs) != len(shapes) or len(shapes) > 2:
        raise ValueError(f"Expected {len(inputs)} inputs for equation {equation}, and at most 2, but got {len(shapes)}")
    spelled = [checked_labels(labels, len(shape), index) for index, (labels, shape) in enumerate(zip(inputs, shapes))]
    sizes = common_sizes(shapes, spelled)
    ellipsis_rank = -min((label for label in sizes if isinstance(label, int)), default=0)
    if ellipsis_rank and ELLIPSIS not in output:
        raise ValueError(_NO_ELLIPSIS.format(ellipsis_rank))
    wanted = spelled_out(output, len(output) - 1 + ellipsis_rank)
    kept = tuple(dict.fromkeys(wanted))
    present = [_present(labels, shape, sizes) for labels, shape in zip(spelled, shapes)]
    needed = [{*kept, *(label for other in present if other is not labels for label in other)} for labels in present]
    left = [tuple(label for label in labels if label in keep) for labels, keep in zip(present, needed)]
    groups, result = _arrangement(left, kept)
    operands = tuple(
        _operand(labels, shape, sizes, unique, remaining, joined)
        for labels, shape, unique, remaining, joined in zip(spelled, shapes, present, left, groups)
    )
    order = tuple(result.index(label) for label in kept)
    scattered = None if kept == wanted else (tuple(sizes[label] for label in wanted), _steps(wanted, kept))
    is_contraction = len(left) == 2 and any(label not in kept for label in left[0])
    return _Plan(operands, is_contraction, tuple(sizes[label] for label in result), order, scattered)


_NO_ELLIPSIS = "Output contains {} broadcasting dimension(s) but no ellipsis (...) was found in the output subscripts."


def checked_labels(labels: tuple[str, ...], rank: int, index: int) -> tuple[Label, ...]:
    explicit = len(labels) - (ELLIPSIS in labels)
    if rank != explicit and (ELLIPSIS not in labels or rank < explicit):
        raise ValueError(f"input {index} has another rank than its subscripts")
    return spelled_out(labels, rank)


def common_sizes(shapes: Sequence[tuple[int, ...]], spelled: Sequence[tuple[Label, ...]]) -> dict[Label, int]:
    """The size of each label. ValueError where two differ; those of an ellipsis are broadcast."""
    sizes: dict[Label, int] = {}
    for dimensions, labels in zip(shapes, spelled):
        for label, size in zip(labels, dimensions):
            known = sizes.setdefault(label, size)
            if known != size:
                if isinstance(label, str) or 1 not in (known, size):
                    raise ValueError(f"the sizes of {label!r} differ: {known} and {size}")
                sizes[label] = size if known == 1 else known
    return sizes


def _present(labels: tuple[Label, ...], shape: tuple[int, ...], sizes: dict[Label, int]) -> tuple[Label, ...]:
    """Each label once, without those along which broadcasting repeats the input."""
    repeated = {label for label, size in zip(labels, shape) if size != sizes[label]}
    return tuple(label for label in dict.fromkeys(labels) if label not in repeated)


Groups = tuple[tuple[Label, ...], ...]  # labels whose axes are joined to one


def _arrangement(left: Sequence[tuple[Label, ...]], kept: tuple[Label, ...]) -> tuple[list[Groups], tuple[Label, ...]]:
    """How the axes of the inputs are joined, and the labels of the product."""
    if len(left) == 1:
        return [tuple((label,) for label in left[0])], left[0]
    x, y = left
    inner = tuple(label for label in x if label not in kept)
    if not inner:
        return [tuple((label,) if label in labels else () for label in kept) for labels in left], kept
    batch = tuple(label for label in x if label in y and label in kept)
    rows = tuple(label for label in x if label not in y)
    columns = tuple(label for label in y if label not in x)
    alone = tuple((label,) for label in batch)
    return [(*alone, rows, inner), (*alone, inner, columns)], (*batch, *rows, *columns)


def _operand(
    labels: tuple[Label, ...],
    shape: tuple[int, ...],
    sizes: dict[Label, int],
    present: tuple[Label, ...],
    left: tuple[Label, ...],
    joined: Groups,
) -> _Operand:
    unique = tuple(dict.fromkeys(labels))
    strided = None
    if unique != labels:
        strided = (tuple(shape[labels.index(label)] for label in unique), _steps(labels, unique))
    squeezed = tuple(axis for axis, label in enumerate(unique) if label not in present)
    summed = tuple(axis for axis, label in enumerate(present) if label not in left)
    order = tuple(left.index(label) for group in joined for label in group)
    full = tuple(math.prod(sizes[label] for label in group) for group in joined)
    return _Operand(strided, squeezed, summed, order, full)


def _steps(labels: tuple[Label, ...], unique: tuple[Label, ...]) -> tuple[tuple[int, ...], ...]:
    """For each of `unique` the axes that it labels."""
    return tuple(tuple(axis for axis, other in enumerate(labels) if other == label) for label in unique)


# ---- static inference -----------------------------------------------------------------------------------------------


def _einsum_shape(op: Operation) -> TensorShape:
    inputs, output = parse(_text(op.attrs["equation"]))
    sizes: dict[Label, int | None] = {}
    found_at: dict[Label, tuple[int, int]] = {}
    ellipsis_known = True
    for index, (labels, tensor) in enumerate(zip(inputs, op.inputs)):
        dimensions = tensor.shape.dimensions
        if dimensions is None:
            ellipsis_known &= ELLIPSIS not in labels
            for label in labels:
                if label != ELLIPSIS:
                    sizes.setdefault(label, None)
            continue
        spelled = _static_labels(op, index, labels, len(dimensions))
        for axis, (label, size) in enumerate(zip(spelled, dimensions)):
            _merge_size(op, sizes, found_at, label, size, (index, axis))
    rank = -min((label for label in sizes if isinstance(label, int)), default=0)
    if rank and ELLIPSIS not in output:
        raise ShapeError(_NO_ELLIPSIS.format(rank), hint="'...' on the right of '->' as well")
    if ELLIPSIS in output and not ellipsis_known:
        return UNKNOWN
    return TensorShape([sizes[label] for label in spelled_out(output, len(output) - 1 + rank)])


def _text(equation: Any) -> str:
    return equation.decode() if isinstance(equation, bytes) else str(equation)


def _static_labels(op: Operation, index: int, labels: tuple[str, ...], rank: int) -> tuple[Label, ...]:
    explicit = len(labels) - (ELLIPSIS in labels)
    if rank != explicit and (ELLIPSIS not in labels or rank < explicit):
        at_least = "at least " if ELLIPSIS in labels else ""
        equation = _text(op.attrs["equation"])
        raise ShapeError(
            f"Shape must be {at_least}rank {explicit} but is rank {rank} for input {index} of equation {equation}.",
            f"Expected input {index} to have {at_least}rank {explicit} but got: {rank}",
            {index: range(rank)},
        )
    return spelled_out(labels, rank)


def _merge_size(
    op: Operation,
    sizes: dict[Label, int | None],
    found_at: dict[Label, tuple[int, int]],
    label: Label,
    size: int | None,
    place: tuple[int, int],
) -> None:
    known = sizes.setdefault(label, size)
    if size is None or known == size:
        found_at.setdefault(label, place)
        return
    broadcasts = isinstance(label, int)
    if known is None or (broadcasts and known == 1):
        if not (broadcasts and size == 1):
            sizes[label] = size
        found_at[label] = place
        return
    if broadcasts and size == 1:
        return
    shapes = ", ".join(format_shape(tensor.shape.dimensions) for tensor in op.inputs)
    mine = format_shape(op.inputs[place[0]].shape.dimensions)
    first = found_at.get(label, place)
    marks: dict[int, list[int]] = {first[0]: [first[1]]}
    marks.setdefault(place[0], []).append(place[1])
    raise ShapeError(
        f"Dimensions must be equal, but are {known} and {size} for '{op.type}' ({_text(op.attrs['equation'])}) with input "
        f"shapes: {shapes}.",
        f"Expected dimension {known} at axis {place[1]} of the input shaped {mine} but got dimension {size}",
        dict(marks),
    )


# ---- the gradient ---------------------------------------------------------------------------------------------------


def _einsum_gradient(op: Operation, dy: Any) -> list[Any]:
    inputs, output = parse(_text(op.attrs["equation"]))
    if not isinstance(dy, EagerTensor):
        for tensor in op.inputs:
            shape(
                tensor
            )  # TensorFlow asks for the shapes, needed or not; how many nodes there are decides random seeds
    gradients = []
    for index, labels in enumerate(inputs):
        others = [(inputs[i], conj(op.inputs[i])) for i in range(len(inputs)) if i != index]
        gradients.append(_input_gradient(op, index, labels, (output, dy), others))
    return gradients


def _input_gradient(
    op: Operation,
    index: int,
    labels: tuple[str, ...],
    result: tuple[tuple[str, ...], Any],
    others: list[tuple[tuple[str, ...], Any]],
) -> Any:
    """The gradient of one input: the product of dy and the other input, summed over what the input doesn't have,
    repeated along what only the input has, and put on the diagonal where the input has a label twice."""
    x = op.inputs[index]
    unique = tuple(dict.fromkeys(labels))
    available = {label for part, _ in (result, *others) for label in part}
    unrolled = ELLIPSIS in available and (ELLIPSIS not in labels or _may_broadcast(op, index))
    direct = tuple(label for label in unique if label in available and label != ELLIPSIS)
    target = (ELLIPSIS, *direct) if unrolled else tuple(label for label in unique if label in available)
    value = _einsum_op([result, *others], target)
    if unrolled:
        value = _sum_ellipsis(value, len(direct), x, labels)
        if ELLIPSIS not in labels:
            target = direct
    ordered = tuple(label for label in unique if label in target)
    lone = [label for label in unique if label not in target]
    if ordered != target:
        value = _einsum_op([(target, value)], ordered)
    if lone:
        value = _repeated_along(value, unique, lone, x, labels)
    return value if unique == labels else _einsum_op([(unique, value)], labels)


def _einsum_op(operands: Sequence[tuple[tuple[str, ...], Any]], target: tuple[str, ...]) -> Any:
    parts = ",".join("".join(labels) for labels, _ in operands)
    if len(operands) == 1 and operands[0][0] == target:
        return operands[0][1]
    return apply_op(EINSUM, ([value for _, value in operands],), {"equation": f"{parts}->{''.join(target)}"})


def _may_broadcast(op: Operation, index: int) -> bool:
    """Whether the axes under the ellipsis of an input may have been repeated."""
    inputs, _ = parse(_text(op.attrs["equation"]))
    ours = _ellipsis_shape(op.inputs[index].shape, inputs[index])
    for other, (labels, tensor) in enumerate(zip(inputs, op.inputs)):
        if other != index and ELLIPSIS in labels:
            theirs = _ellipsis_shape(tensor.shape, labels)
            if not (ours.is_fully_defined() and theirs.is_fully_defined() and ours == theirs):
                return True
    return False


def _ellipsis_shape(source: TensorShape, labels: tuple[str, ...]) -> TensorShape:
    if source.dimensions is None:
        return UNKNOWN
    start = labels.index(ELLIPSIS)
    return TensorShape(source.dimensions[start : len(source.dimensions) - (len(labels) - 1 - start)])


def _sum_ellipsis(value: Any, letters: int, x: Any, labels: tuple[str, ...]) -> Any:
    """`value`, whose ellipsis stands in front of `letters` axes, summed to the axes that the ellipsis has in `x`."""
    found = shape(value)
    front = _until(found, letters)
    if ELLIPSIS in labels:
        start = labels.index(ELLIPSIS)
        wanted = _until(shape(x)[start:], len(labels) - 1 - start)
    else:
        wanted = np.zeros(0, np.int32)
    axes = apply_op(REGISTRY["BroadcastGradientArgs"], (wanted, front))[0]
    total = reduce_sum(value, axes)
    back = found[-letters:] if letters else np.zeros(0, np.int32)
    return reshape(total, apply_op(REGISTRY["ConcatV2"], ([wanted, back], 0)))


def _until(vector: Any, left_out: int) -> Any:
    return vector[:-left_out] if left_out else vector


def _repeated_along(value: Any, unique: tuple[str, ...], lone: list[str], x: Any, labels: tuple[str, ...]) -> Any:
    """`value` with axes for the `lone` labels, of the size that they have in `x`."""
    start = unique.index(ELLIPSIS) if ELLIPSIS in unique else len(unique)
    for axis, label in enumerate(unique[:start]):
        if label in lone:
            value = apply_op(REGISTRY["ExpandDims"], (value, axis))
    for axis, label in enumerate(reversed(unique[start + 1 :]), 1):
        if label in lone:
            value = apply_op(REGISTRY["ExpandDims"], (value, -axis))
    return apply_op(REGISTRY["BroadcastTo"], (value, _sizes_of(unique, x, labels)))


def _sizes_of(unique: tuple[str, ...], x: Any, labels: tuple[str, ...]) -> Any:
    """The sizes in `x` of its labels, each taken once."""
    if unique == labels:
        return shape(x)
    if ELLIPSIS in labels and x.shape.rank is None:
        raise LookupError("The gradient of an einsum with '...' and repeated labels needs an input of known rank.")
    spelled = spelled_out(labels, x.shape.rank if ELLIPSIS in labels else len(labels))
    axes = [spelled.index(label) for label in dict.fromkeys(spelled)]
    return apply_op(REGISTRY["GatherV2"], (shape(x), np.array(axes, np.int32), 0))


EINSUM = define(
    "Einsum", "inputs: N*T -> output: T", "equation: string, N: int, T: type",
    reference=_einsum_kernel, shape=_einsum_shape, gradient=_einsum_gradient,
)  # fmt: skip


# ---- tf.einsum ------------------------------------------------------------------------------------------------------

_STRATEGIES = ("greedy", "optimal", "branch-2", "branch-all", "auto")


@public("einsum", "linalg.einsum")
def einsum(equation: str, *inputs: Any, **kwargs: Any) -> Any:
    """Sums of products over labelled axes: einsum("ij,jk->ik", a, b) is the matrix product.

    equation: the labels of each input, and, after "->", those of the output (without it: the labels that appear once, in
        alphabetical order). "..." stands for any number of axes, which are broadcast. A label that an input has twice
        takes the diagonal.
    inputs: tensors of one dtype. With more than two the pairs are multiplied in the order that keeps the intermediate
        results small. kwargs: name; optimize (accepted as TensorFlow does: "greedy", "optimal" ...).
    Raises ValueError for an ill-formed equation, InvalidArgumentError (ValueError while building a graph) where ranks or
    sizes don't fit it.
    """
    name = kwargs.pop("name", None)
    optimize = kwargs.pop("optimize", "greedy")
    if kwargs:
        unknown = ", ".join(kwargs)
        raise TypeError(f"Invalid keyword arguments for einsum: {unknown}. Valid arguments: name, optimize, greedy.")
    if isinstance(optimize, str) and optimize not in _STRATEGIES:
        raise ValueError(f"optimize must be one of {_STRATEGIES}, not {optimize!r}")
    operands, output = _resolved(equation, len(inputs))
    with scope(name or "einsum", *inputs):
        tensors = _converted(inputs)
        terms = list(zip(operands, tensors))
        while len(terms) > 2:
            first, second = _cheapest_pair(terms, output)
            right, left = terms.pop(second), terms.pop(first)
            target = _intermediate_labels(right[0] + left[0], [labels for labels, _ in terms], output)
            terms.append((target, _contract((right, left), target)))
        return _contract(terms[::-1] if len(operands) > 2 else terms, output)


def _contract(terms: Sequence[tuple[tuple[str, ...], Any]], target: tuple[str, ...]) -> Any:
    equation = ",".join("".join(labels) for labels, _ in terms) + "->" + "".join(target)
    return apply_op(EINSUM, ([value for _, value in terms],), {"equation": equation})


def _converted(inputs: Sequence[Any]) -> list[Any]:
    tensors: list[Any] = []
    for value in inputs:
        tensors.append(convert_to_tensor(value, dtype_hint=tensors[0].dtype if tensors else None))
    return tensors


@functools.lru_cache(maxsize=512)
def _resolved(equation: str, count: int) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """The labels of inputs and output of what the user wrote. ValueError where it is ill-formed."""
    text = equation.replace(" ", "")
    if not re.match(r"^[a-zA-Z,.]*(->[a-zA-Z.]*)?$", text):
        raise ValueError(f"Subscripts have incorrect format: {equation}")
    left, arrow, right = text.partition("->")
    inputs = tuple(_labels(part, equation) for part in left.split(","))
    if len(inputs) != count:
        raise ValueError(f'Got {count} inputs for equation "{text}", expecting {len(inputs)}')
    if not arrow:
        counts = Counter(label for labels in inputs for label in labels)
        letters = sorted(label for label, times in counts.items() if times == 1 and label != ELLIPSIS)
        return inputs, (*([ELLIPSIS] if ELLIPSIS in counts else []), *letters)
    output = _labels(right, equation)
    for label in output:
        if output.count(label) > 1:
            raise ValueError(f"Output subscripts contain a label appearing more than once: {text}")
        if label != ELLIPSIS and not any(label in labels for labels in inputs):
            raise ValueError(f"Output subscripts contain the label {label} not present in the input subscripts.")
    return inputs, output


def _cheapest_pair(terms: Sequence[tuple[tuple[str, ...], Any]], output: tuple[str, ...]) -> tuple[int, int]:
    """The two terms whose product takes the least memory beyond what the two take; pairs that share a label first."""
    sizes: dict[str, int] = {}
    for labels, tensor in terms:
        dimensions = tensor.shape.dimensions
        if dimensions is not None and len(dimensions) == len(labels):
            sizes.update({label: size for label, size in zip(labels, dimensions) if size is not None})

    def elements(labels: Sequence[str]) -> int:
        return int(np.prod([sizes.get(label, 1) for label in labels], dtype=object))

    def cost(pair: tuple[int, int]) -> tuple[bool, int, int, int]:
        first, second = (terms[index][0] for index in pair)
        rest = [labels for index, (labels, _) in enumerate(terms) if index not in pair]
        result = _intermediate_labels(second + first, rest, output)
        shares = bool(set(first) & set(second) - {ELLIPSIS})
        return not shares, elements(result) - elements(first) - elements(second), -pair[1], -pair[0]

    pairs = [(first, second) for second in range(len(terms)) for first in range(second)]
    return min(pairs, key=cost)


def _intermediate_labels(
    together: tuple[str, ...], rest: Sequence[tuple[str, ...]], output: tuple[str, ...]
) -> tuple[str, ...]:
    needed = {*output, *(label for labels in rest for label in labels)}
    kept = [label for label in dict.fromkeys(together) if label in needed]
    return tuple(sorted(kept, key=lambda label: (label != ELLIPSIS, together.index(label))))


# ---- tf.tensordot ---------------------------------------------------------------------------------------------------


@public("tensordot", "linalg.tensordot")
def tensordot(a: Any, b: Any, axes: Any, name: str | None = None) -> Any:
    """The sum of products of `a` and `b` over pairs of axes.

    axes: a number n (the last n axes of `a` with the first n of `b`; 0 is the outer product), or two lists of axes.
    The result has the other axes of `a`, then those of `b`.
    Raises ValueError where the numbers of axes differ, InvalidArgumentError (ValueError while building a graph) where
    their sizes do.
    """
    with scope(name or "Tensordot", a, b) as inner:
        a = convert_to_tensor(a, name="a")
        b = convert_to_tensor(b, name="b", dtype_hint=a.dtype.base_dtype)
        a_axes, b_axes = _contraction_axes(a, axes)
        a_matrix, a_free = _as_matrix(a, a_axes, inner_last=True)
        b_matrix, b_free = _as_matrix(b, b_axes, inner_last=False)
        product = matmul(a_matrix, b_matrix)
        if isinstance(a_free, list) and isinstance(b_free, list):
            if product.shape.is_fully_defined() and product.shape.as_list() == [*a_free, *b_free]:
                return product
            return apply_op(REGISTRY["Reshape"], (product, np.array([*a_free, *b_free], np.int32)), name=inner)
        graph = graph_for((a, b))
        parts = [
            constant_in(graph, np.array(part, np.int32), dtypes.int32) if isinstance(part, list) else part
            for part in (a_free, b_free)
        ]
        full = apply_op(REGISTRY["ConcatV2"], (parts, 0), name="concat")
        result = apply_op(REGISTRY["Reshape"], (product, full), name=inner)
        result.set_shape(_free_shape(a, a_axes).concatenate(_free_shape(b, b_axes)))
        return result


def _contraction_axes(a: Any, axes: Any) -> tuple[Any, Any]:
    """The axes of each operand: lists of ints where they are known, else tensors."""
    if isinstance(axes, (int, np.integer)):
        if axes < 0:
            raise ValueError(f"`axes` must be at least 0. Received: {axes}.")
        rank = a.shape.rank
        if rank is None:
            rank = apply_op(REGISTRY["Rank"], (a,))
            return apply_op(REGISTRY["Range"], (rank - int(axes), rank, 1), name="range"), list(range(axes))
        if axes > rank:
            raise ValueError(
                f"`axes` must not be larger than the number of dimensions of tensor {a}.  Received {axes}, vs tensor "
                f"dimensions {rank}."
            )
        return list(range(rank - int(axes), rank)), list(range(axes))
    if isinstance(axes, (list, tuple)):
        if len(axes) != 2:
            raise ValueError(f"`axes` must be an integer or have length 2. Received {axes}.")
        pair = tuple(_listed_axes(part) for part in axes)
    else:
        known = constant_value(convert_to_tensor(axes, dtypes.int32))
        if known is None:
            tensor = convert_to_tensor(axes, dtypes.int32)
            return tensor[0], tensor[1]
        pair = tuple(_listed_axes(part) for part in known)
    if isinstance(pair[0], list) and isinstance(pair[1], list) and len(pair[0]) != len(pair[1]):
        raise ValueError(f"Different number of contraction axes `a` and `b`, {len(pair[0])} != {len(pair[1])}.")
    return pair[0], pair[1]


def _listed_axes(part: Any) -> Any:
    known = constant_value(part) if not isinstance(part, (list, tuple)) else np.asarray(part, np.int32)
    return part if known is None else [int(axis) for axis in np.ravel(known)]


def _free_shape(tensor: Any, axes: Any) -> TensorShape:
    if tensor.shape.dimensions is None or not isinstance(axes, list):
        return UNKNOWN
    rank = len(tensor.shape.dimensions)
    taken = {axis % rank for axis in axes} if rank else set()
    return TensorShape([size for axis, size in enumerate(tensor.shape.dimensions) if axis not in taken])


def _as_matrix(tensor: Any, axes: Any, inner_last: bool) -> tuple[Any, Any]:
    """The tensor as a matrix whose columns (rows) run over `axes`, and the sizes of the others: a list, or a tensor."""
    rank = tensor.shape.rank
    if rank is None or not isinstance(axes, list):
        return _as_matrix_of_unknown_rank(tensor, axes, inner_last)
    for axis in axes:
        if not -rank <= axis < rank:
            raise ValueError(f"axis {axis} is out of bounds for a tensor of {rank} dimensions")
    axes = [axis % rank for axis in axes]
    free = [axis for axis in range(rank) if axis not in axes]
    order = [*free, *axes] if inner_last else [*axes, *free]
    if not tensor.shape.is_fully_defined():
        return _as_matrix_of_unknown_size(tensor, axes, free, order, inner_last)
    sizes = tensor.shape.as_list()
    outer, depth = (int(np.prod([sizes[axis] for axis in part], dtype=np.int64)) for part in (free, axes))
    wanted = [outer, depth] if inner_last else [depth, outer]
    if order != list(range(rank)):
        tensor = apply_op(REGISTRY["Transpose"], (tensor, np.array(order, np.int32)), name="transpose")
    if tensor.shape.as_list() != wanted:
        tensor = reshape(tensor, wanted)
    return tensor, [sizes[axis] for axis in free]


def _as_matrix_of_unknown_size(
    tensor: Any, axes: list[int], free: list[int], order: list[int], inner_last: bool
) -> tuple[Any, Any]:
    graph = graph_for((tensor,))
    contracted = constant_in(graph, np.array(axes, np.int32), dtypes.int32, "axes")
    others = constant_in(graph, np.array(free, np.int32), dtypes.int32, "free")
    matrix, free_sizes = _flattened(tensor, contracted, others, inner_last)
    sizes = [tensor.shape.dimensions[axis] for axis in free]
    return matrix, free_sizes if None in sizes else sizes


def _as_matrix_of_unknown_rank(tensor: Any, axes: Any, inner_last: bool) -> tuple[Any, Any]:
    axes = convert_to_tensor(axes, dtypes.int32, name="axes")
    sizes = shape(tensor)
    rank = apply_op(REGISTRY["Rank"], (tensor,))
    axes = apply_op(REGISTRY["SelectV2"], (apply_op(REGISTRY["GreaterEqual"], (axes, 0)), axes, axes + rank))
    every = apply_op(REGISTRY["Range"], (0, rank, 1), name="range")
    return _flattened(tensor, axes, apply_op(REGISTRY["ListDiff"], (every, axes))[0], inner_last, sizes)


def _flattened(tensor: Any, axes: Any, free: Any, inner_last: bool, sizes: Any = None) -> tuple[Any, Any]:
    sizes = shape(tensor) if sizes is None else sizes
    free_sizes = apply_op(REGISTRY["GatherV2"], (sizes, free, 0))
    inner_sizes = apply_op(REGISTRY["GatherV2"], (sizes, axes, 0))
    outer, depth = reduce_prod(free_sizes), reduce_prod(inner_sizes)
    pieces, wanted = ([free, axes], [outer, depth]) if inner_last else ([axes, free], [depth, outer])
    order = apply_op(REGISTRY["ConcatV2"], (pieces, 0), name="concat")
    target = apply_op(REGISTRY["Pack"], (wanted,), {"axis": 0}, "stack")
    moved = apply_op(REGISTRY["Transpose"], (tensor, order), name="transpose")
    return reshape(moved, target), free_sizes
