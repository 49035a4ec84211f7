"""Writing at indices: scatter_nd, tensor_scatter_nd_*, and the scatter updates of variables.

All of them reduce to one function, `scatter`: a copy of an array, some of whose rows are combined with updates, in
order, so that repeated indices accumulate (or, for "update", the last one wins).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import export, public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.core.tensor import handle_data
from rillet.errors import InvalidArgumentError, ShapeError
from rillet.ops.arrays import as_array, check_indices, difference, size_of, sizes, text
from rillet.ops.creation import zeros_like
from rillet.ops.shape import shape_of
from rillet.ops.state import read_state

COMBINE: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide, "min": np.minimum, "max": np.maximum,
}  # fmt: skip


def scatter(target: Any, rows: Any, updates: Any, kind: str) -> Any:
    """A copy of `target` [n, ...] whose rows at `rows` (flat indices) are combined with `updates` [len(rows), ...]."""
    result = np.array(target, order="C")
    if rows.size == 0 or result.size == 0:
        return result
    if kind == "update":
        result[rows] = updates
        return result
    combine = COMBINE[kind]
    updates = np.broadcast_to(updates, (rows.size, *result.shape[1:]))
    if kind == "div" and result.dtype.kind in "iu":
        combine = _integer_divide
    width = size_of(result.shape[1:])
    if combine is _integer_divide or result.dtype.kind not in "iufcb":
        for row, update in zip(rows.tolist(), updates, strict=True):
            result[row] = combine(result[row], update)
    else:  # NumPy has a fast loop for flat arrays
        cells = rows if width == 1 else (rows[:, None] * width + np.arange(width)).ravel()
        combine.at(result.reshape(-1), cells, updates.astype(result.dtype, copy=False).reshape(-1))
    return result


def _integer_divide(left: Any, right: Any) -> Any:
    quotient = np.floor_divide(left, right)
    return quotient + ((quotient < 0) & (quotient * right != left))


# ---- several coordinates for each update ----------------------------------------------------------------------------


def flat_rows(indices: Any, shape: tuple[int, ...], target: str = "shape") -> Any:
    """Coordinates [..., depth] as flat indices of the first `depth` axes of an array of `shape`.

    IndexError, in TensorFlow's words, for coordinates outside.
    """
    depth = indices.shape[-1]
    limits = np.array(shape[:depth], np.int64)
    coordinates = indices.reshape(size_of(indices.shape[:-1]), depth).astype(np.int64, copy=False)
    outside = ((coordinates < 0) | (coordinates >= limits)).any(axis=1)
    if outside.any():
        first = int(np.argmax(outside))
        position = ",".join(map(str, np.unravel_index(first, indices.shape[:-1]))) if indices.ndim > 1 else ""
        where = "[" + ", ".join(map(str, coordinates[first].tolist())) + "]"
        label = f"indices[{position}]" if position else "indices"
        raise IndexError(f"{label} = {where} does not index into {target} [{','.join(map(str, shape))}]")
    steps = np.cumprod([1, *limits[:0:-1]])[::-1] if depth else np.zeros(0, np.int64)
    return coordinates @ np.asarray(steps, np.int64)


def scatter_coordinates(target: Any, indices: Any, updates: Any, kind: str) -> Any:
    """`target` with the slices at coordinates `indices` [..., depth] combined with `updates` [..., *slice]."""
    target, indices, updates = as_array(target), as_array(indices), as_array(updates)
    _check_updates(target.shape, indices.shape, updates.shape)
    depth = indices.shape[-1]
    rows = flat_rows(indices, target.shape)
    inner = target.shape[depth:]
    flat = target.reshape(size_of(target.shape[:depth]), *inner)
    return scatter(flat, rows, updates.reshape(rows.size, *inner), kind).reshape(target.shape)


def _check_updates(target: tuple[int, ...], indices: tuple[int, ...], updates: tuple[int, ...]) -> None:
    if not indices:
        raise ValueError("Indices shape must have rank at least one. Found: []")
    depth = indices[-1]
    if depth > len(target):
        raise ValueError(f"The inner dimension of indices ({depth}) must be <= the rank of the shape ({len(target)})")
    if updates != (*indices[:-1], *target[depth:]):
        raise ValueError(
            f"Inner dimensions of output shape must match inner dimensions of updates shape. "
            f"Output: {text(TensorShape(target))} updates: {text(TensorShape(updates))}"
        )


def _check_scatter_shapes(target: TensorShape, indices: TensorShape, updates: TensorShape) -> None:
    """ShapeError when updates are not one slice of the target for each coordinate, as far as that is known."""
    if indices.dimensions == ():
        raise ShapeError(
            "Shape must be at least rank 1 but is rank 0: indices hold one coordinate vector for each update.",
            "Indices shape must have rank at least one. Found: []",
        )
    if None in (target.dimensions, indices.dimensions, updates.dimensions):
        return
    assert target.dimensions is not None and indices.dimensions is not None and updates.dimensions is not None
    depth = indices.dimensions[-1]
    outer = len(indices.dimensions) - 1
    found = TensorShape(updates.dimensions[:outer])
    if not found.is_compatible_with(indices.dimensions[:-1]):
        parts = (f"Dimensions [0,{outer}) of indices[shape={text(indices)}]", f"updates[shape={text(updates)}]")
        prefix = TensorShape(indices.dimensions[:-1])
        raise ShapeError(
            f"{parts[0]} = {text(prefix)} must match dimensions [0,{outer}) of {parts[1]} = {text(found)}: "
            f"{difference(prefix, found)}",
            f"{parts[0]} must match dimensions [0,{outer}) of {parts[1]}",
            marks={1: range(min(outer, len(updates.dimensions)))},
        )
    if depth is None:
        return
    rank = len(target.dimensions)
    if not TensorShape(updates.dimensions[outer:]).is_compatible_with(target.dimensions[depth:]) or depth > rank:
        raise ShapeError(
            f"Dimensions [{depth},{rank}) of input[shape={text(target)}] must match dimensions "
            f"[{outer},{len(updates.dimensions)}) of updates[shape={text(updates)}]"
        )


def _scatter_nd_kernel(indices: Any, updates: Any, shape: Any) -> Any:
    updates, whole = as_array(updates), sizes(shape)
    if any(size < 0 for size in whole):
        raise ValueError(f"Dimension {min(whole)} must be >= 0")
    return scatter_coordinates(np.zeros(whole, updates.dtype), indices, updates, "add")


def _scatter_nd_shape(op: Operation) -> TensorShape:
    if constant_value(op.inputs[2]) is not None and (np.ravel(constant_value(op.inputs[2])) < 0).any():
        raise ShapeError(f"Dimension {int(np.min(constant_value(op.inputs[2])))} must be >= 0")
    result = constant_value_as_shape(op.inputs[2])
    _check_scatter_shapes(result, op.inputs[0].shape, op.inputs[1].shape)
    return result


def _gather_nd(params: Any, indices: Any) -> Any:
    return apply_op(REGISTRY["GatherNd"], (params, indices))


SCATTER_ND = define(
    "ScatterNd", "indices: Tindices, updates: T, shape: Tindices -> output: T",
    "T: type, Tindices: {int16, int32, int64}",
    reference=_scatter_nd_kernel, shape=_scatter_nd_shape,
    gradient=lambda op, dy: [None, _gather_nd(dy, op.inputs[0]), None],
)  # fmt: skip


@public("scatter_nd", v1=["manip.scatter_nd"])
def scatter_nd(indices: Any, updates: Any, shape: Any, name: str | None = None) -> Any:
    """A tensor of `shape`, zero but for `updates` added at coordinates `indices`.

    indices: integers [..., depth]; updates: [..., *shape[depth:]]; shape: an integer vector of the dtype of indices.
    Raises InvalidArgumentError for coordinates outside, or when the shapes don't fit.
    """
    return apply_op(SCATTER_ND, (indices, updates, shape), name=name)


def _tensor_scatter_shape(op: Operation) -> TensorShape:
    _check_scatter_shapes(op.inputs[0].shape, op.inputs[1].shape, op.inputs[2].shape)
    return op.inputs[0].shape


def _add_gradient(op: Operation, dy: Any) -> list[Any]:
    of_updates = _gather_nd(dy, op.inputs[1])
    return [_passed_on(dy), None, of_updates]


def _subtract_gradient(op: Operation, dy: Any) -> list[Any]:
    of_updates = _gather_nd(dy, op.inputs[1])
    return [_passed_on(dy), None, -of_updates]


def _update_gradient(op: Operation, dy: Any) -> list[Any]:
    indices, updates = op.inputs[1], op.inputs[2]
    of_updates = _gather_nd(dy, indices)
    return [tensor_scatter_nd_update(_passed_on(dy), indices, zeros_like(updates)), None, of_updates]


def _passed_on(dy: Any) -> Any:
    return apply_op(REGISTRY["Identity"], (dy,))


def _extremum_gradient(op: Operation, dy: Any) -> list[Any]:
    """The gradient goes to whoever holds the extremum, in equal parts where several do."""
    tensor, indices, updates = op.inputs
    result = op.outputs[0]
    tensor_holds = _as_numbers(apply_op(REGISTRY["Equal"], (tensor, result)), dy)
    updates_hold = _as_numbers(apply_op(REGISTRY["Equal"], (updates, _gather_nd(result, indices))), dy)
    holders = tensor_holds + scatter_nd(indices, updates_hold, shape_of(tensor, indices.dtype))
    of_tensor = dy * tensor_holds / holders
    return [of_tensor, None, _gather_nd(dy / holders, indices) * updates_hold]


def _as_numbers(condition: Any, like: Any) -> Any:
    return apply_op(REGISTRY["Cast"], (condition,), {"DstT": like.dtype})


def _define_tensor_scatter(op_type: str, kind: str, names: list[str], gradient: Any) -> Callable[..., Any]:
    def kernel(tensor: Any, indices: Any, updates: Any) -> Any:
        return scatter_coordinates(tensor, indices, updates, kind)

    definition = define(
        op_type, "tensor: T, indices: Tindices, updates: T -> output: T", "T: type, Tindices: {int16, int32, int64}",
        reference=kernel, shape=_tensor_scatter_shape, gradient=gradient,
    )  # fmt: skip

    def function(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Any:
        return apply_op(definition, (tensor, indices, updates), name=name)

    function.__name__ = function.__qualname__ = names[0]
    function.__doc__ = (
        f"`tensor` with the slices at coordinates `indices` [..., depth] combined ({kind}) with `updates` "
        "[..., *tensor.shape[depth:]].\n\n    Raises InvalidArgumentError for coordinates outside."
    )
    export(function, *names)
    return function


tensor_scatter_nd_update = _define_tensor_scatter(
    "TensorScatterUpdate", "update", ["tensor_scatter_nd_update"], _update_gradient
)
tensor_scatter_nd_add = _define_tensor_scatter("TensorScatterAdd", "add", ["tensor_scatter_nd_add"], _add_gradient)
tensor_scatter_nd_sub = _define_tensor_scatter("TensorScatterSub", "sub", ["tensor_scatter_nd_sub"], _subtract_gradient)
tensor_scatter_nd_max = _define_tensor_scatter("TensorScatterMax", "max", ["tensor_scatter_nd_max"], _extremum_gradient)
tensor_scatter_nd_min = _define_tensor_scatter("TensorScatterMin", "min", ["tensor_scatter_nd_min"], _extremum_gradient)
export(tensor_scatter_nd_update, v1=["tensor_scatter_update"])
export(tensor_scatter_nd_add, v1=["tensor_scatter_add"])
export(tensor_scatter_nd_sub, v1=["tensor_scatter_sub"])
export(tensor_scatter_nd_max, v1=["tensor_scatter_max"])
export(tensor_scatter_nd_min, v1=["tensor_scatter_min"])


define(
    "ScatterNdNonAliasingAdd", "input: T, indices: Tindices, updates: T -> output: T", "T: type, Tindices: index",
    reference=lambda tensor, indices, updates: scatter_coordinates(tensor, indices, updates, "add"),
    shape=_tensor_scatter_shape, gradient=_add_gradient,
)  # fmt: skip

# ---- rows, in place ---------------------------------------------------------------------------------------------------


def _define_inplace(op_type: str, kind: str) -> None:
    """Ops that TensorFlow lets overwrite their input; here they copy it, as every op does."""

    def kernel(tensor: Any, rows: Any, values: Any) -> Any:
        tensor, rows, values = as_array(tensor), np.ravel(rows), as_array(values)
        if values.shape != (rows.size, *tensor.shape[1:]):
            raise ValueError(
                f"i and x shape doesn't match at dimension 0: x {text(TensorShape(tensor.shape))}, "
                f"v {text(TensorShape(values.shape))}"
            )
        return scatter(tensor, rows % max(len(tensor), 1), values, kind)

    define(
        op_type, "x: T, i: int32, v: T -> y: T", "T: type",
        reference=kernel, shape=lambda op: op.inputs[0].shape, gradient=NO_GRADIENT, is_stateful=True,
    )  # fmt: skip


for _op_type, _kind in (("InplaceUpdate", "update"), ("InplaceAdd", "add"), ("InplaceSub", "sub")):
    _define_inplace(_op_type, _kind)

# ---- variables ------------------------------------------------------------------------------------------------------


def _scatter_rows(state: Any, indices: Any, updates: Any, kind: str) -> None:
    """Rows of a variable, along axis 0, combined with updates (a scalar serves every row)."""
    with state.lock:
        value, indices, updates = read_state(state), as_array(indices), as_array(updates)
        check_indices(indices, value.shape[0])
        wanted = (*indices.shape, *value.shape[1:])
        if updates.ndim and updates.shape != wanted:
            raise ValueError(
                f"shape of indices ({text(TensorShape(indices.shape))}) is not compatible with the shape of updates "
                f"({text(TensorShape(updates.shape))}): Must have updates.shape = indices.shape + params.shape[1:] or "
                f"updates.shape = [], got updates.shape {text(TensorShape(updates.shape))}, indices.shape "
                f"{text(TensorShape(indices.shape))}, params.shape {text(TensorShape(value.shape))}"
            )
        rows = indices.reshape(-1).astype(np.int64, copy=False)
        if updates.ndim:
            updates = updates.reshape(rows.size, *value.shape[1:])
        state.value = scatter(value, rows, updates, kind)


def _scatter_cells(state: Any, indices: Any, updates: Any, kind: str) -> None:
    """Slices of a variable at coordinates, combined with updates."""
    with state.lock:
        state.value = scatter_coordinates(read_state(state), indices, updates, kind)


Update = Callable[[Any, Any, Any, str], None]


def _kernels(update: Update, kind: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The kernels of an update: on a handle (no output), and on a reference (which is passed on)."""

    def on_handle(state: Any, indices: Any, updates: Any) -> tuple[()]:
        update(state, indices, updates, kind)
        return ()

    def on_reference(state: Any, indices: Any, updates: Any) -> Any:
        update(state, indices, updates, kind)
        return state

    return on_handle, on_reference


def _define_row_update(suffix: str, kind: str) -> None:
    on_handle, on_reference = _kernels(_scatter_rows, kind)
    define(
        f"ResourceScatter{suffix}", "resource: resource, indices: Tindices, updates: dtype ->",
        "dtype: type, Tindices: index",
        reference=on_handle, shape=lambda op: [], gradient=NO_GRADIENT, is_stateful=True,
    )  # fmt: skip
    define(
        f"Scatter{suffix}", "ref: Ref(T), indices: Tindices, updates: T -> output_ref: Ref(T)",
        "T: type, Tindices: index, use_locking: bool = False",
        reference=on_reference, shape=lambda op: op.inputs[0].shape, gradient=NO_GRADIENT, is_stateful=True,
    )  # fmt: skip


def _define_cell_update(suffix: str, kind: str) -> None:
    on_handle, on_reference = _kernels(_scatter_cells, kind)
    define(
        f"ResourceScatterNd{suffix}", "ref: resource, indices: Tindices, updates: T ->",
        "T: type, Tindices: index, use_locking: bool = True",
        reference=on_handle, shape=_cell_update_shape, gradient=NO_GRADIENT, is_stateful=True,
    )  # fmt: skip
    define(
        f"ScatterNd{suffix}", "ref: Ref(T), indices: Tindices, updates: T -> output_ref: Ref(T)",
        "T: type, Tindices: index, use_locking: bool = True",
        reference=on_reference, shape=_tensor_scatter_shape, gradient=NO_GRADIENT, is_stateful=True,
    )  # fmt: skip


def _cell_update_shape(op: Operation) -> list[TensorShape]:
    data = handle_data(op.inputs[0])
    _check_scatter_shapes(UNKNOWN if data is None else data[1], op.inputs[1].shape, op.inputs[2].shape)
    return []


for _suffix, _kind in (
    ("Update", "update"), ("Add", "add"), ("Sub", "sub"), ("Mul", "mul"), ("Div", "div"), ("Min", "min"), ("Max", "max"),
):  # fmt: skip
    _define_row_update(_suffix, _kind)
for _suffix, _kind in (("Update", "update"), ("Add", "add"), ("Sub", "sub"), ("Min", "min"), ("Max", "max")):
    _define_cell_update(_suffix, _kind)


def update_variable(
    variable: Any, suffix: str, indices: Any, updates: Any, name: str | None, attrs: dict[str, Any] | None = None
) -> Any:
    """Applies Scatter`suffix` (or ScatterNd...) to a variable of either kind, and returns what the update returns:
    the variable's reference, or (resource variables) its value afterwards, eagerly the variable itself."""
    handle = getattr(variable, "handle", variable)
    if handle.dtype.base_dtype is not dtypes.resource:
        if not handle.dtype.is_ref_dtype:
            raise InvalidArgumentError(None, None, f"Scatter{suffix} needs a variable, not {variable!r}")
        return apply_op(REGISTRY[f"Scatter{suffix}"], (handle, indices, updates), attrs, name)
    tensor = convert_to_tensor(updates, variable.dtype)
    definition = REGISTRY[f"ResourceScatter{suffix}"]
    operation = apply_op(definition, (handle, indices, tensor), None, name)
    if operation is None:
        return variable
    with operation.graph.control_dependencies([operation]):
        return variable.value()


def _row_function(kind: str) -> None:
    suffix = kind.capitalize()

    def function(ref: Any, indices: Any, updates: Any, use_locking: bool = False, name: str | None = None) -> Any:
        return update_variable(ref, suffix, indices, updates, name, {"use_locking": bool(use_locking)})

    function.__name__ = function.__qualname__ = f"scatter_{kind}"
    function.__doc__ = (
        f"Combines ({kind}) the rows `indices` of variable `ref` with `updates` [*indices.shape, *ref.shape[1:]] (or a "
        "scalar).\n\n    Returns the variable after the update. Raises InvalidArgumentError for a row that is not there."
    )
    export(function, v1=[f"scatter_{kind}"])


def _cell_function(kind: str) -> None:
    suffix = "Nd" + kind.capitalize()

    def function(ref: Any, indices: Any, updates: Any, use_locking: bool = True, name: str | None = None) -> Any:
        return update_variable(ref, suffix, indices, updates, name, {"use_locking": bool(use_locking)})

    function.__name__ = function.__qualname__ = f"scatter_nd_{kind}"
    function.__doc__ = (
        f"Combines ({kind}) the slices of variable `ref` at coordinates `indices` [..., depth] with `updates`.\n\n"
        "    Returns the variable after the update. Raises InvalidArgumentError for coordinates outside."
    )
    export(function, v1=[f"scatter_nd_{kind}"])


for _kind in ("update", "add", "sub", "mul", "div", "min", "max"):
    _row_function(_kind)
for _kind in ("update", "add", "sub"):
    _cell_function(_kind)
