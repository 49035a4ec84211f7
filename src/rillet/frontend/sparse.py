"""tf.sparse: functions of sparse tensors. Those of TensorFlow 1 alone are in `sparse_v1`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes, nest
from rillet.core.dispatch import apply_op, convert_to_tensor, graph_for
from rillet.core.export import V1, public
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import Dimension, TensorShape
from rillet.core.sparse_tensor import SparseTensor, SparseTensorValue
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.core.tensor import EagerTensor, SymbolicTensor
from rillet.frontend.control import with_dependencies
from rillet.ops.arrange import transpose
from rillet.ops.cast import cast
from rillet.ops.creation import ones, ones_like, zeros, zeros_like
from rillet.ops.gather import gather, gather_nd
from rillet.ops.join import concat, stack
from rillet.ops.reduce import reduce_max
from rillet.ops.scope import scope
from rillet.ops.shape import expand_dims, reshape, shape_of, size_of_tensor
from rillet.ops.slicing import slice_

# ---- arguments ------------------------------------------------------------------------------------------------------


def as_sparse(value: Any) -> SparseTensor:
    """`value` as a SparseTensor. TypeError unless it is one, or a SparseTensorValue."""
    if isinstance(value, SparseTensorValue):
        return SparseTensor.from_value(value)
    if not isinstance(value, SparseTensor):
        raise TypeError("Input must be a SparseTensor.")
    return value


def is_sparse(value: Any) -> bool:
    return isinstance(value, SparseTensor | SparseTensorValue)


def _parts(value: SparseTensor) -> tuple[Any, Any, Any]:
    return value.indices, value.values, value.dense_shape


def _call(op_type: str, inputs: Sequence[Any], attrs: dict[str, Any] | None = None, name: str | None = None) -> Any:
    return apply_op(REGISTRY[op_type], tuple(inputs), attrs, name)


def _same(tensor: Any) -> Any:
    return _call("Identity", [tensor])


def _rank(value: SparseTensor) -> Any:
    """The rank: a number if it is known, else a tensor."""
    known = value.shape.rank
    return size_of_tensor(value.dense_shape, name="Rank") if known is None else known


def _shape_tensor(static: TensorShape, otherwise: Any) -> Any:
    """A dense shape that is known, as a constant of the graph; else the tensor `otherwise`."""
    if isinstance(otherwise, EagerTensor) or not static.is_fully_defined():
        return otherwise
    return np.array(static.as_list(), np.int64)


def _known_shape(static: TensorShape, otherwise: Any) -> Any:
    known = _shape_tensor(static, otherwise)
    return known if known is otherwise else convert_to_tensor(known, name="Const")


@public(v1=["convert_to_tensor_or_sparse_tensor"])
def convert_to_tensor_or_sparse_tensor(value: Any, dtype: Any = None, name: str | None = None) -> Any:
    """A SparseTensor or SparseTensorValue as a SparseTensor, anything else as a tensor.

    Raises RuntimeError when a SparseTensor has another dtype.
    """
    if isinstance(value, SparseTensorValue):
        value = SparseTensor.from_value(value)
    if not isinstance(value, SparseTensor):
        return convert_to_tensor(value, dtype, name)
    if dtype is not None and not dtypes.as_dtype(dtype).is_compatible_with(value.dtype):
        raise RuntimeError(
            f"Sparse dtype mismatch. Requested: {dtypes.as_dtype(dtype).name},  Actual: {value.dtype.name}"
        )
    return value


# ---- to and from dense ----------------------------------------------------------------------------------------------


@public("sparse.from_dense")
def from_dense(tensor: Any, name: str | None = None) -> SparseTensor:
    """The elements of `tensor` that are not zero (not empty, for strings), as a SparseTensor."""
    with scope(name or "dense_to_sparse", tensor):
        tensor = convert_to_tensor(tensor)
        indices = _call("Where", [_call("NotEqual", [tensor, zeros_like(tensor)])])
        return SparseTensor(indices, gather_nd(tensor, indices), shape_of(tensor, dtypes.int64))


@public("sparse.to_dense", v1=["sparse_tensor_to_dense"])
def to_dense(sp_input: Any, default_value: Any = None, validate_indices: bool = True, name: str | None = None) -> Any:
    """A dense tensor of the same dtype; `default_value` (zero, or an empty string) stands where there is no value.

    validate_indices: whether the indices must be in row-major order without repetitions.
    Raises InvalidArgumentError for indices out of the shape (or in disorder).
    """
    sp_input = as_sparse(sp_input)
    if default_value is None:
        default_value = zeros([], dtype=sp_input.dtype)
    inputs = (sp_input.indices, sp_input.dense_shape, sp_input.values, default_value)
    result = _call("SparseToDense", inputs, {"validate_indices": validate_indices}, name)
    if isinstance(result, SymbolicTensor):
        result.set_shape(sp_input.shape)
    return result


@public("sparse.to_indicator", v1=["sparse_to_indicator"])
def to_indicator(sp_input: Any, vocab_size: int, name: str | None = None) -> Any:
    """A dense bool tensor [..., vocab_size]: whether an id is among the values of its row.

    sp_input: a SparseTensor of int32 or int64 ids; its last axis is replaced.
    """
    sp_input = as_sparse(sp_input)
    with scope(name or "SparseToIndicator", *_parts(sp_input)) as full_name:
        count = shape_of(sp_input.indices)[0]
        present = SparseTensor(sp_input.indices, _call("Fill", [expand_dims(count, 0), True]), sp_input.dense_shape)
        merged = merge(sp_input, present, vocab_size, already_sorted=False)
        return to_dense(merged, False, validate_indices=False, name=full_name)


def merge(ids: SparseTensor, values: SparseTensor, size: Any, already_sorted: bool) -> SparseTensor:
    """`values`, with the ids of the same places instead of their last coordinate; the last axis has `size`."""
    numbers = ids.values if ids.values.dtype is dtypes.int64 else cast(ids.values, dtypes.int64)
    column = expand_dims(numbers, 1)
    size = cast(size, dtypes.int64)
    indices = concat([ids.indices[:, :-1], column], 1)
    shape = concat([ids.dense_shape[:-1], [size]], 0)
    result = SparseTensor(indices, values.values, shape)
    if already_sorted:
        return result
    ordered = reorder(result)
    return SparseTensor(ordered.indices, ordered.values, shape)


# ---- order and shape ------------------------------------------------------------------------------------------------


@public("sparse.reorder", v1=["sparse_reorder"])
def reorder(sp_input: Any, name: str | None = None) -> SparseTensor:
    """The same tensor with its indices in row-major order."""
    sp_input = as_sparse(sp_input)
    indices, values = _call("SparseReorder", _parts(sp_input), name=name)
    shape = _shape_tensor(sp_input.shape, sp_input.dense_shape)
    return SparseTensor(indices, values, _same(shape) if shape is sp_input.dense_shape else shape)


@public("sparse.reshape", v1=["sparse_reshape"])
def sparse_reshape(sp_input: Any, shape: Any, name: str | None = None) -> SparseTensor:
    """The same values in another dense shape of as many elements; one size may be -1.

    Raises InvalidArgumentError when the number of elements differs.
    """
    sp_input = as_sparse(sp_input)
    shape = cast(shape, dtypes.int64)
    with scope(name or "SparseReshape", *_parts(sp_input), shape) as full_name:
        indices, new_shape = _call("SparseReshape", [sp_input.indices, sp_input.dense_shape, shape], name=full_name)
        static = _reshaped(sp_input.shape, shape)
        new_shape = _known_shape(static, new_shape)
        result = SparseTensor(indices, _same(sp_input.values), new_shape)
        result.set_shape(static)
        return result


def _reshaped(source: TensorShape, shape: Any) -> TensorShape:
    """The shape asked for, its -1 filled in where the number of elements is known."""
    wanted, total = constant_value_as_shape(shape), source.num_elements()
    if wanted.dimensions is None or total is None or wanted.dimensions.count(None) != 1:
        return wanted
    rest = int(np.prod([size for size in wanted.dimensions if size is not None], dtype=np.int64))
    return wanted if not rest else TensorShape([total // rest if size is None else size for size in wanted.dimensions])


@public("sparse.transpose", v1=["sparse_transpose"])
def sparse_transpose(sp_input: Any, perm: Any = None, name: str | None = None) -> SparseTensor:
    """The axes in the order `perm`, reversed if it is None. The result's indices are in row-major order."""
    sp_input = as_sparse(sp_input)
    with scope(name or "SparseTranspose", *_parts(sp_input)):
        if perm is None:
            rank = _rank(sp_input)
            if isinstance(rank, int):
                perm = np.arange(rank - 1, -1, -1)
            else:
                perm = (rank - 1) - _call("Range", [0, rank, 1], name="range")
        indices = transpose(gather(transpose(sp_input.indices), perm))
        static = _permuted(sp_input.shape, constant_value(convert_to_tensor(perm)))
        shape = sp_input.dense_shape
        known = _shape_tensor(static, shape)
        return reorder(SparseTensor(indices, sp_input.values, gather(shape, perm) if known is shape else known))


def _permuted(shape: TensorShape, order: Any) -> TensorShape:
    if shape.dimensions is None or order is None:
        return TensorShape(None)
    return TensorShape([shape.dimensions[int(axis)] for axis in order])


@public("sparse.expand_dims")
def sparse_expand_dims(sp_input: Any, axis: Any = None, name: str | None = None) -> SparseTensor:
    """An axis of size 1 put in at place `axis` (None: -1, at the end)."""
    sp_input = as_sparse(sp_input)
    with scope(name or "expand_dims", *_parts(sp_input)):
        axis = convert_to_tensor(-1 if axis is None else axis, name="axis", dtype_hint=dtypes.int32)
        axis = _call("SelectV2", [_call("GreaterEqual", [axis, 0]), axis, axis + _rank(sp_input) + 1])
        column = zeros([shape_of(sp_input.indices)[0], 1], dtypes.int64)
        before = slice_(sp_input.indices, [0, 0], [-1, axis])
        after = slice_(sp_input.indices, [0, axis], [-1, -1])
        indices = concat([before, column, after], 1)
        shape = sp_input.dense_shape
        front, back = slice_(shape, [0], [axis]), slice_(shape, [axis], [-1])
        one = convert_to_tensor([1], dtypes.int64, "new_shape")
        return SparseTensor(indices, sp_input.values, concat([front, one, back], 0))


@public("sparse.reset_shape", v1=["sparse_reset_shape"])
def reset_shape(sp_input: Any, new_shape: Any = None) -> SparseTensor:
    """The same values in a dense shape that is `new_shape`, or as small as the indices allow.

    Raises ValueError (InvalidArgumentError, where shapes aren't known) when it is smaller or of another rank.
    """
    sp_input = as_sparse(sp_input)
    indices, values, shape = (_same(part) for part in _parts(sp_input))
    if new_shape is None:
        largest = _call("Max", [indices, 0])
        return SparseTensor(indices, values, _call("Maximum", [np.int64(0), largest + ones_like(largest)]))
    wanted = cast(convert_to_tensor(new_shape), dtypes.int64)
    Dimension(wanted.shape.with_rank(1).dimensions[0]).assert_is_compatible_with(sp_input.shape.rank)
    static = constant_value_as_shape(wanted)
    if static.is_fully_defined() and sp_input.shape.is_fully_defined():
        _check_reset(sp_input.shape, static)
        return SparseTensor(indices, values, _shape_tensor(static, wanted))
    equal = V1["debugging.assert_equal"](shape_of(shape), shape_of(wanted))
    wanted = wanted if equal is None else with_dependencies([equal], wanted)
    fits = V1["debugging.assert_less_equal"](shape, wanted)
    return SparseTensor(indices, values, wanted if fits is None else with_dependencies([fits], wanted))


def _check_reset(old: TensorShape, new: TensorShape) -> None:
    if any(after < before for before, after in zip(old.as_list(), new.as_list(), strict=True)):
        raise ValueError(
            "Requested new_shape should have dimension sizes >= sp_input.shape.  "
            f"Found new_shape ({new.as_list()}), sp_input.shape ({old.as_list()})."
        )


# ---- joining and cutting --------------------------------------------------------------------------------------------


@public(v2=["sparse.concat"])
def sparse_concat(
    axis: int, sp_inputs: Sequence[Any], expand_nonconcat_dims: bool = False, name: str | None = None
) -> SparseTensor:
    """SparseTensors joined along `axis`.

    expand_nonconcat_dims: sizes along the other axes may differ; the result has the largest. Otherwise they raise
    InvalidArgumentError.
    """
    inputs = [as_sparse(value) for value in sp_inputs]
    if len(inputs) == 1:
        return inputs[0]
    shapes = [value.dense_shape for value in inputs]
    if expand_nonconcat_dims:
        largest = reduce_max(concat([reshape(shape, [1, -1]) for shape in shapes], 0), 0)
        after = axis + 1 or None
        shapes = [
            concat([largest[:axis], shape[axis:after], largest[after:] if after is not None else largest[:0]], 0)
            for shape in shapes
        ]
    parts = ([value.indices for value in inputs], [value.values for value in inputs], shapes)
    indices, values, shape = _call("SparseConcat", parts, {"concat_dim": axis}, name)
    static = _concatenated([value.shape for value in inputs], axis)
    return SparseTensor(indices, values, _known_shape(static, shape))


def _concatenated(shapes: Sequence[TensorShape], axis: int) -> TensorShape:
    """The shape of a concatenation where it is known: sizes along other axes are the largest."""
    if not all(shape.is_fully_defined() for shape in shapes) or len({shape.rank for shape in shapes}) > 1:
        return TensorShape(None)
    columns = list(zip(*[shape.as_list() for shape in shapes], strict=True))
    sizes = [max(column) for column in columns]
    sizes[axis] = sum(columns[axis])
    return TensorShape(sizes)


@public(v2=["sparse.split"])
def sparse_split(
    sp_input: Any = None, num_split: int | None = None, axis: Any = None, name: str | None = None
) -> list[SparseTensor]:
    """`num_split` parts along `axis`; the first ones are one longer where the size doesn't divide."""
    for value, what in ((sp_input, "sp_input"), (num_split, "num_split"), (axis, "axis")):
        if value is None:
            raise ValueError(f"{what} is required")
    assert num_split is not None
    results = _call("SparseSplit", [axis, *_parts(as_sparse(sp_input))], {"num_split": num_split}, name)
    return [SparseTensor(*results[index::num_split]) for index in range(num_split)]


@public("sparse.slice", v1=["sparse_slice"])
def sparse_slice(sp_input: Any, start: Any, size: Any, name: str | None = None) -> SparseTensor:
    """What lies in the box of `size` from `start` on (as far as the tensor reaches); its places count from the box."""
    sp_input = as_sparse(sp_input)
    start, size = convert_to_tensor(start, dtypes.int64), convert_to_tensor(size, dtypes.int64)
    with scope(name or "SparseSlice", *_parts(sp_input)) as full_name:
        return SparseTensor(*_call("SparseSlice", [*_parts(sp_input), start, size], name=full_name))


@public("sparse.retain", v1=["sparse_retain"])
def retain(sp_input: Any, to_retain: Any) -> SparseTensor:
    """The values where the bool vector `to_retain` says so. ValueError when it is not as long as the values."""
    sp_input = as_sparse(sp_input)
    to_retain = convert_to_tensor(to_retain)
    count = sp_input.values.shape.with_rank(1).dimensions[0]
    Dimension(count).assert_is_compatible_with(to_retain.shape.with_rank(1).dimensions[0])
    chosen = reshape(_call("Where", [to_retain]), [-1])
    return SparseTensor(gather(sp_input.indices, chosen), gather(sp_input.values, chosen), _same(sp_input.dense_shape))


@public("sparse.mask", v1=["sparse_mask"])
def mask(a: IndexedSlices, mask_indices: Any, name: str | None = None) -> IndexedSlices:
    """IndexedSlices without the slices whose index is among `mask_indices`."""
    with scope(name or "sparse_mask", a.values, a.indices, mask_indices) as full_name:
        left, places = _call("ListDiff", [a.indices, mask_indices])
        return IndexedSlices(gather(a.values, places, name=full_name), left, a.dense_shape)


@public("sparse.fill_empty_rows", v1=["sparse_fill_empty_rows"])
def fill_empty_rows(sp_input: Any, default_value: Any, name: str | None = None) -> tuple[SparseTensor, Any]:
    """(the tensor with `default_value` at [row, 0, ...] of rows without a value, which rows those are)."""
    sp_input = as_sparse(sp_input)
    with scope(name or "SparseFillEmptyRows", *_parts(sp_input)):
        default_value = convert_to_tensor(default_value, sp_input.values.dtype)
        indices, values, is_empty, _ = _call("SparseFillEmptyRows", [*_parts(sp_input), default_value])
        return SparseTensor(indices, values, sp_input.dense_shape), is_empty


# ---- arithmetic -----------------------------------------------------------------------------------------------------


@public(v2=["sparse.add"])
def sparse_add(a: Any, b: Any, threshold: Any = 0) -> Any:
    """The sum of two SparseTensors (a SparseTensor), or of one and a dense tensor (a tensor), of the same shape.

    threshold: values of a sparse sum with a smaller magnitude are left out. Raises TypeError if both are dense.
    """
    if not is_sparse(a) and not is_sparse(b):
        raise TypeError("At least one input should be SparseTensor; do you mean to use tf.add()?")
    if not (is_sparse(a) and is_sparse(b)):
        sparse, dense = (a, b) if is_sparse(a) else (b, a)
        return _call("SparseTensorDenseAdd", [*_parts(as_sparse(sparse)), dense])
    a, b = as_sparse(a), as_sparse(b)
    threshold = convert_to_tensor(threshold, a.values.dtype.real_dtype, "threshold")
    indices, values, shape = _call("SparseAdd", [*_parts(a), *_parts(b), threshold])
    if a.shape.is_compatible_with(b.shape):
        shape = _shape_tensor(a.shape.merge_with(b.shape), shape)
    return SparseTensor(indices, values, shape)


@public("sparse.sparse_dense_matmul", v1=["sparse.matmul", "sparse_tensor_dense_matmul"])
def sparse_dense_matmul(
    sp_a: Any, b: Any, adjoint_a: bool = False, adjoint_b: bool = False, name: str | None = None
) -> Any:
    """The dense product of a sparse and a dense matrix, in either order.

    adjoint_a, adjoint_b: whether a factor is transposed (and conjugated).
    Raises InvalidArgumentError when the sizes don't fit, or for an index out of the shape.
    """
    if is_sparse(b):
        return transpose(sparse_dense_matmul(b, sp_a, not adjoint_b, not adjoint_a))
    sp_a = as_sparse(sp_a)
    with scope(name or "SparseTensorDenseMatMul", *_parts(sp_a), b):
        b = convert_to_tensor(b, name="b")
        attrs = {"adjoint_a": adjoint_a, "adjoint_b": adjoint_b}
        return _call("SparseTensorDenseMatMul", [*_parts(sp_a), b], attrs)


def _reduction_axes(sp_input: SparseTensor, axis: Any) -> Any:
    """`axis`, or if it is None all axes."""
    if axis is not None:
        return axis
    rank = _rank(sp_input)
    if isinstance(rank, int):
        return convert_to_tensor(np.arange(rank, dtype=np.int32), name="Const")
    return _call("Range", [0, rank, 1], name="range")


def reduced(kind: str, sp_input: Any, axis: Any, keepdims: Any, is_sparse: bool, name: str | None) -> Any:
    """A reduction (kind: Sum or Max) to a dense or sparse tensor."""
    sp_input = as_sparse(sp_input)
    inputs = [*_parts(sp_input), _reduction_axes(sp_input, axis)]
    attrs = {"keep_dims": bool(keepdims)}
    if is_sparse:
        return SparseTensor(*_call(f"SparseReduce{kind}Sparse", inputs, attrs, name))
    return _call(f"SparseReduce{kind}", inputs, attrs, name)


@public(v2=["sparse.reduce_sum"])
def sparse_reduce_sum(
    sp_input: Any, axis: Any = None, keepdims: Any = None, output_is_sparse: bool = False, name: str | None = None
) -> Any:
    """The sum along `axis` (a number or a list; None: all): a tensor, or for output_is_sparse a SparseTensor."""
    return reduced("Sum", sp_input, axis, keepdims, output_is_sparse, name)


@public(v2=["sparse.reduce_max"])
def sparse_reduce_max(
    sp_input: Any, axis: Any = None, keepdims: Any = None, output_is_sparse: bool = False, name: str | None = None
) -> Any:
    """The largest of the values along `axis` (zeros that aren't said don't count; 0 where there is no value)."""
    return reduced("Max", sp_input, axis, keepdims, output_is_sparse, name)


@public("sparse.softmax", v1=["sparse_softmax"])
def sparse_softmax(sp_input: Any, name: str | None = None) -> SparseTensor:
    """The softmax of the values of each row (the last axis); places without a value don't take part."""
    sp_input = as_sparse(sp_input)
    with scope(name or "SparseSoftmax", sp_input.indices, sp_input.values):
        values = _call("SparseSoftmax", _parts(sp_input))
        return SparseTensor(sp_input.indices, values, sp_input.dense_shape)


def _extremum(op_type: str, a: Any, b: Any, name: str | None) -> SparseTensor:
    a, b = as_sparse(a), as_sparse(b)
    indices, values = _call(op_type, [*_parts(a), *_parts(b)], name=name)
    return SparseTensor(indices, values, a.dense_shape)


@public("sparse.maximum", v1=["sparse_maximum"])
def sparse_maximum(sp_a: Any, sp_b: Any, name: str | None = None) -> SparseTensor:
    """The larger of two SparseTensors of one shape, at the places of both; where one has no value it is zero."""
    return _extremum("SparseSparseMaximum", sp_a, sp_b, name)


@public("sparse.minimum", v1=["sparse_minimum"])
def sparse_minimum(sp_a: Any, sp_b: Any, name: str | None = None) -> SparseTensor:
    """The smaller of two SparseTensors of one shape, at the places of both; where one has no value it is zero."""
    return _extremum("SparseSparseMinimum", sp_a, sp_b, name)


# ---- others ---------------------------------------------------------------------------------------------------------


@public("sparse.eye")
def sparse_eye(
    num_rows: Any, num_columns: Any = None, dtype: Any = dtypes.float32, name: str | None = None
) -> SparseTensor:
    """A SparseTensor [num_rows, num_columns] (square unless given) with ones on its diagonal."""
    with scope(name or "eye", num_rows, num_columns):
        num_rows = _as_size(num_rows, "num_rows")
        num_columns = num_rows if num_columns is None else _as_size(num_columns, "num_columns")
        length = _call("Minimum", [num_rows, num_columns])
        numbers = _call("Range", [np.int64(0), length, np.int64(1)], name="range")
        indices = stack([numbers, numbers], 1)
        return SparseTensor(indices, ones(length, dtype), [num_rows, num_columns])


def _as_size(value: Any, name: str) -> Any:
    if isinstance(value, SymbolicTensor | EagerTensor):
        return cast(value, dtypes.int64)
    return convert_to_tensor(value, dtypes.int64, name)


@public(v2=["sparse.map_values"])
def map_values(op: Callable[..., Any], *args: Any, **kwargs: Any) -> SparseTensor:
    """op(*args, **kwargs) on the values of the SparseTensors among the arguments, which must have the same indices.

    Raises ValueError if there is no SparseTensor, InvalidArgumentError if the indices differ.
    """
    found: list[SparseTensor] = []

    def values_of(value: Any) -> Any:
        if not isinstance(value, SparseTensor):
            return value
        found.append(value)
        return value.values

    inner_args, inner_kwargs = nest.map_structure(values_of, args), nest.map_structure(values_of, kwargs)
    if not found:
        raise ValueError("No SparseTensor in argument list of map_values")
    checks = [check for other in found[1:] for check in _same_places(found[0], other)]
    graph = graph_for(found[0]._flatten_components())
    with graph.control_dependencies(checks) if graph is not None and checks else contextlib.nullcontext():
        values = op(*inner_args, **inner_kwargs)
    return SparseTensor(found[0].indices, values, found[0].dense_shape)


def _same_places(first: SparseTensor, other: SparseTensor) -> list[Any]:
    """Assertions that two SparseTensors have the same indices and shape, where that isn't plain."""
    pairs = ((first.indices, other.indices, "indices"), (first.dense_shape, other.dense_shape, "shape"))
    assert_equal = V1["debugging.assert_equal"]
    checks = [assert_equal(a, b, message=f"Mismatched {what}!") for a, b, what in pairs if a is not b]
    return [check for check in checks if check is not None]
