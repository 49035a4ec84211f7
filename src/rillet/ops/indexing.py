"""`x[...]` on tensors and variables: what an index means, and boolean masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, constant_in, convert_to_tensor, graph_for
from rillet.core.export import export, public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import Dimension, TensorShape
from rillet.core.static import constant_value
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor
from rillet.errors import user_site
from rillet.ops import operators
from rillet.ops.arrays import is_concrete
from rillet.ops.cast import cast
from rillet.ops.gather import gather
from rillet.ops.join import concat, stack
from rillet.ops.scope import scope
from rillet.ops.select import where
from rillet.ops.shape import reshape, shape_of, squeeze
from rillet.ops.slicing import STRIDED_SLICE, Masks, make_assignable

_BASIC = frozenset((int, slice, type(Ellipsis), type(None)))
_PLAIN = frozenset((int, type(None)))


def _is_basic(key: Any) -> bool:
    """Whether NumPy reads the index as we do: ints, slices of ints, ... and None."""
    items = key if type(key) is tuple else (key,)
    for item in items:
        kind = type(item)
        if kind is slice:
            if type(item.start) not in _PLAIN or type(item.stop) not in _PLAIN or type(item.step) not in _PLAIN:
                return False
        elif kind not in _BASIC:
            return False
    return True


def _at_once(value: Any, key: Any) -> EagerTensor | None:
    """`value[key]` where NumPy may be asked: a concrete value that nobody records, a basic index within bounds."""
    if type(value) is EagerTensor and type(value._array) is np.ndarray and context.state().quick and _is_basic(key):
        try:
            return EagerTensor(value._array[key], value.dtype, user_site())
        except (IndexError, ValueError):
            return None  # it fails again as an op, in TensorFlow's words
    return None


def getitem(self: Any, key: Any) -> Any:
    """`self[key]`: ints, slices, `...`, None (a new axis), scalar integer tensors, or a boolean mask."""
    found = _at_once(self, key)
    return sliced(self, key, None) if found is None else found


def variable_getitem(variable: Any, key: Any) -> Any:
    """`variable[key]`: the slice of its value, whose `assign(value)` changes that part of the variable."""
    value = variable.value()
    found = _at_once(value, key)
    if found is None:
        return sliced(value, key, variable)

    def assign(new_value: Any, name: str | None = None) -> Any:
        return sliced(value, key, variable).assign(new_value, name)

    found.__dict__["assign"] = assign
    return found


_BAD_INDEX = (
    "Only integers, slices (`:`), ellipsis (`...`), tf.newaxis (`None`) and scalar tf.int32/tf.int64 tensors are valid "
    "indices"
)


def _check_index(item: Any) -> None:
    if isinstance(item, (int, np.integer, Dimension)) and not isinstance(item, bool):
        return
    if isinstance(item, np.ndarray) and item.ndim == 0 and item.dtype in (np.int32, np.int64):
        return
    if hasattr(item, "dtype") and hasattr(item, "shape") and not isinstance(item, (np.ndarray, np.generic)):
        if item.dtype.base_dtype in (dtypes.int16, dtypes.int32, dtypes.int64) and item.shape.rank in (0, None):
            return
    elif hasattr(item, "__index__") and not isinstance(item, (bool, np.ndarray)):
        return
    raise TypeError(f"{_BAD_INDEX}, got {item!r}")


def _is_mask(key: Any) -> bool:
    if isinstance(key, (bool, np.bool_)):
        return True
    dtype = getattr(key, "dtype", None)
    if dtype is None:
        return False
    return bool(dtype == np.bool_) if isinstance(dtype, np.dtype) else bool(dtype == dtypes.bool)


def sliced(value: Any, key: Any, variable: Any) -> Any:
    """`value[key]`; `variable` is what `value` was read from, where its part shall be assignable."""
    if _is_mask(key):
        return boolean_mask(value, key)
    items = list(key) if isinstance(key, (tuple, list)) else [key]
    if is_concrete(value, items):
        items = [_as_ints(item) for item in items]
    begin, end, strides, masks = _read_index(items)
    with scope("strided_slice", value, begin, end, strides) as name:
        if name is None or begin:
            bounds = _packed(begin, end, strides, name)
        else:
            bounds = tuple(
                convert_to_tensor(np.zeros((0,), np.int32), name=label) for label in ("begin", "end", "strides")
            )
        result = apply_op(STRIDED_SLICE, (value, *bounds), masks._asdict(), name)
    if variable is not None:
        make_assignable(result, variable, bounds, masks._asdict())
    return result


def _as_ints(item: Any) -> Any:
    """An item of an index with concrete tensors replaced by their numbers."""
    if isinstance(item, slice):
        return slice(_as_ints(item.start), _as_ints(item.stop), _as_ints(item.step))
    if isinstance(item, EagerTensor):
        _check_index(item)
        return int(item._array)
    return item


def _read_index(items: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any], Masks]:
    begin: list[Any] = []
    end: list[Any] = []
    strides: list[Any] = []
    masks = dict.fromkeys(Masks._fields, 0)
    for entry, item in enumerate(items):
        bit = 1 << entry
        if isinstance(item, slice):
            first, last, step = _read_range(item)
            masks["begin_mask"] |= bit * (item.start is None)
            masks["end_mask"] |= bit * (item.stop is None)
        elif item is Ellipsis:
            first, last, step = 0, 0, 1
            masks["ellipsis_mask"] |= bit
        elif item is None:
            first, last, step = 0, 0, 1
            masks["new_axis_mask"] |= bit
        else:
            _check_index(item)
            first, last, step = _read_pick(item)
            masks["shrink_axis_mask"] |= bit
        begin.append(first)
        end.append(last)
        strides.append(step)
    return begin, end, strides, Masks(**masks)


def _read_pick(item: Any) -> tuple[Any, Any, Any]:
    if isinstance(item, Tensor) or hasattr(item, "__tf_tensor__"):
        step: Any = 1
        following = item + 1
        if item.dtype.base_dtype is dtypes.int64:
            step = convert_to_tensor(1, dtypes.int64) if is_concrete(item) else _outer_constant(item, 1)
        return item, following, step
    index = int(item.__index__())
    return index, index + 1, 1


def _read_range(item: slice) -> tuple[Any, Any, Any]:
    bounds = (item.start, item.stop, item.step)
    for bound in bounds:
        if bound is not None:
            _check_index(bound)
    tensor = next((bound for bound in bounds if isinstance(bound, Tensor) or hasattr(bound, "__tf_tensor__")), None)
    defaults: list[Any] = [0, 0, 1]
    for place, bound in enumerate(bounds):
        if bound is not None:
            defaults[place] = bound if hasattr(bound, "dtype") and not isinstance(bound, np.generic) else int(bound)
        elif tensor is not None:
            defaults[place] = _outer_constant(tensor, defaults[place])
    return tuple(defaults)


def _outer_constant(tensor: Any, number: int) -> Any:
    """A bound that the index leaves out, in the dtype of the tensor that is another bound."""
    dtype = tensor.dtype.base_dtype
    return constant_in(graph_for((tensor,)), dtype.as_numpy_dtype(number), dtype, "Const")


def _packed(begin: list[Any], end: list[Any], strides: list[Any], name: str | None) -> tuple[Any, ...]:
    """The three lists as vectors of one dtype."""
    if not any(isinstance(item, Tensor) or hasattr(item, "dtype") for items in (begin, end, strides) for item in items):
        if name is None:
            return tuple(np.array(items, np.int32) for items in (begin, end, strides))
        return tuple(convert_to_tensor(np.array(items, np.int32), name="stack") for items in (begin, end, strides))
    vectors = [stack(items) for items in (begin, end, strides)]
    if any(vector.dtype.base_dtype is dtypes.int64 for vector in vectors):
        vectors = [
            vector if vector.dtype.base_dtype is dtypes.int64 else cast(vector, dtypes.int64) for vector in vectors
        ]
    return tuple(vectors)


# ---- boolean masks --------------------------------------------------------------------------------------------------


@public(v2=["boolean_mask"])
def boolean_mask(tensor: Any, mask: Any, axis: Any = None, name: str = "boolean_mask") -> Any:
    """The slices of `tensor` where `mask` is True.

    mask: booleans; its shape is that of `tensor` from `axis` (default 0) on, as far as the mask has axes.
    Raises ValueError for a scalar mask, or one whose shape differs.
    """
    return _boolean_mask(tensor, mask, name, axis)


@public(v1=["boolean_mask"])
def boolean_mask_v1(tensor: Any, mask: Any, name: str = "boolean_mask", axis: Any = None) -> Any:
    """As tf.boolean_mask."""
    return _boolean_mask(tensor, mask, name, axis)


def _boolean_mask(tensor: Any, mask: Any, name: str, axis: Any) -> Any:
    with scope(name or "boolean_mask", tensor, mask):
        tensor = convert_to_tensor(tensor, name="tensor")
        mask = convert_to_tensor(mask, name="mask")
        mask_rank = mask.shape.rank
        if mask_rank == 0:
            raise ValueError("mask cannot be scalar.")
        if mask_rank is None:
            raise ValueError(
                "Number of mask dimensions must be specified, even if some dimensions are None.  "
                "E.g. shape=[None] is ok, but shape=None is not."
            )
        known_axis = 0 if axis is None else constant_value(axis)
        start = 0 if known_axis is None else int(known_axis)
        masked = tensor.shape[start : start + mask_rank] if tensor.shape.rank is not None else TensorShape(None)
        if start >= 0 and not masked.is_compatible_with(mask.shape):
            raise ValueError(f"Shapes {masked} and {mask.shape} are incompatible")
        if start < 0 and tensor.shape.rank is not None:
            start += tensor.shape.rank
        return _apply_mask(tensor, mask, start, mask_rank)


def _apply_mask(tensor: Any, mask: Any, start: int, mask_rank: int) -> Any:
    """The masked axes flattened into one, and the places where the mask holds picked from it."""
    if is_concrete(tensor, mask):
        sizes, flags = tensor.shape.dimensions, np.asarray(mask._array)
        flat = reshape(tensor, [*sizes[:start], flags.size, *sizes[start + mask_rank :]])
        return gather(flat, np.flatnonzero(flags), axis=start)
    end = start + mask_rank
    count = apply_op(REGISTRY["Prod"], (shape_of(tensor)[start:end], [0]), {"keep_dims": False})
    flat_shape = concat([shape_of(tensor)[:start], [count], shape_of(tensor)[end:]], 0)
    flat = reshape(tensor, flat_shape)
    first = mask.shape.num_elements()
    if isinstance(flat, SymbolicTensor) and tensor.shape.rank is not None:
        sizes = tensor.shape.dimensions
        masked = TensorShape(sizes[start:end]).num_elements()
        flat.set_shape([*sizes[:start], first if masked is None else masked, *sizes[end:]])
    places = squeeze(where(reshape(mask, [-1])), axis=[1])
    return gather(flat, places, axis=start)


export(None, "newaxis")
operators.install_operator("__getitem__", getitem)
