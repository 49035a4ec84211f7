"""What optimizers do to variables: one call of an update op in the form that fits the variable, and changes of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import SymbolicTensor, Tensor
from rillet.frontend.scopes import run_after
from rillet.frontend.variable import ReferenceVariable, Variable
from rillet.ops.cast import cast
from rillet.ops.shape import shape_of


def apply_update(
    op: str, variable: Any, slots: Sequence[Any], values: Sequence[Any], use_locking: bool = False, **attrs: Any
) -> Any:
    """Calls update op `op` ("ApplyAdam") in the form that fits the variable's kind; the operation (None: it ran eagerly).

    values: the op's further inputs in order; floats and tensors are cast to the variable's dtype.
    """
    is_resource = not isinstance(variable, ReferenceVariable)
    dtype = variable.dtype.base_dtype
    inputs = [variable.handle, *[slot.handle for slot in slots]]
    inputs.extend(as_dtype(value, dtype) for value in values)
    definition = REGISTRY[("Resource" if is_resource else "") + op]
    result = apply_op(definition, inputs, {"use_locking": use_locking, "T": dtype, **attrs})
    return result.op if isinstance(result, SymbolicTensor) else result


def as_dtype(value: Any, dtype: dtypes.DType) -> Any:
    """`value` in `dtype`: a number as a tensor, tensors and variables cast. Integer tensors (steps, indices) stay."""
    if isinstance(value, (Tensor, Variable)):
        known = value.dtype.base_dtype
        return value if known is dtype or known.is_integer else cast(value, dtype)
    return convert_to_tensor(value, dtype)


def without_repetition(values: Any, indices: Any) -> tuple[Any, Any]:
    """Rows named more than once summed: (values, indices) that name each row once, in the order of first naming."""
    unique = apply_op(REGISTRY["Unique"], (indices,))
    count = shape_of(unique.y)[0]
    return apply_op(REGISTRY["UnsortedSegmentSum"], (values, unique.idx, count)), unique.y


def scatter(op: str, variable: Any, indices: Any, values: Any) -> Any:
    """The operation that combines rows of a variable with values (None when it ran eagerly)."""
    if isinstance(variable, ReferenceVariable):
        return apply_op(REGISTRY[op], (variable.handle, indices, values)).op
    return apply_op(REGISTRY["Resource" + op], (variable.handle, indices, values), {"dtype": variable.dtype.base_dtype})


def decayed_rows(slot: Any, decay: Any, indices: Any, values: Any) -> Any:
    """slot * decay, with `values` added to some rows: assigns, and returns the new value."""
    decayed = slot.assign(slot.value() * decay)
    with run_after(decayed):
        if isinstance(slot, ReferenceVariable):
            return apply_op(REGISTRY["ScatterAdd"], (slot.handle, indices, values))
        added = scatter("ScatterAdd", slot, indices, values)
        with run_after(added):
            return slot.value()
