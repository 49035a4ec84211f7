"""What both loops over time share: sizes of a batch, lengths of its sequences, one step of them."""

from __future__ import annotations

from typing import Any

from rillet.compat.recurrent.base import zeros_of
from rillet.core import dtypes, nest
from rillet.core.dispatch import convert_to_tensor
from rillet.frontend.tensor_array import TensorArray
from rillet.ops.cast import cast
from rillet.ops.compare import greater_equal
from rillet.ops.constants import identity
from rillet.ops.select import where_v1


def lengths_of(sequence_length: Any, batch_size: Any) -> Any:
    """The lengths as an int32 vector, or None. ValueError where it is none, or not one a sequence."""
    if sequence_length is None:
        return None
    lengths = cast(convert_to_tensor(sequence_length), dtypes.int32)
    if lengths.shape.rank not in (None, 1):
        raise ValueError(f"sequence_length must be a vector of length batch_size, but saw shape: {lengths.shape}")
    count = lengths.shape.as_list()[0] if lengths.shape.rank == 1 else None
    if count is not None and isinstance(batch_size, int) and count != batch_size:
        raise ValueError(f"sequence_length must be a vector of length batch_size {batch_size}, but has {count} entries")
    return identity(lengths, name="sequence_length")


def first_state(cell: Any, initial_state: Any, batch_size: Any, dtype: Any, message: str) -> Any:
    """The initial state as tensors, or zeros. ValueError with `message` where neither state nor dtype is given."""
    if initial_state is not None:
        return nest.map_structure(
            lambda leaf: leaf if isinstance(leaf, TensorArray) else convert_to_tensor(leaf), initial_state
        )
    if not dtype:
        raise ValueError(message)
    if hasattr(cell, "get_initial_state"):
        return cell.get_initial_state(inputs=None, batch_size=batch_size, dtype=dtype)
    return cell.zero_state(batch_size, dtype)


def dtype_of_state(dtype: Any, state: Any) -> Any:
    """The dtype asked for, else that of all parts of the state. ValueError where they differ."""
    if dtype is not None:
        return dtypes.as_dtype(dtype)
    found = {leaf.dtype.base_dtype for leaf in nest.flatten(state)}
    if not found:
        raise ValueError("Unable to infer dtype from empty state.")
    if len(found) > 1:
        raise ValueError(
            "State has tensors of different inferred_dtypes. Unable to infer a single representative dtype."
        )
    return found.pop()


class Lengths:
    """Steps past the end of a sequence: the state stays, and the output is zero."""

    def __init__(self, lengths: Any, zero_output: Any) -> None:
        self.lengths = lengths
        self.zero_output = zero_output

    @classmethod
    def of(cls, lengths: Any, cell: Any, batch_size: Any, dtype: Any) -> Lengths | None:
        return None if lengths is None else cls(lengths, zeros_of(cell.output_size, batch_size, dtype))

    def step(self, cell: Any, time: Any, inputs: Any, state: Any) -> tuple[Any, Any]:
        """(output, next state) of the cell at that time."""
        output, following = cell(inputs, state)
        nest.assert_same_structure(self.zero_output, output)
        nest.assert_same_structure(state, following)
        is_over = greater_equal(time, self.lengths)
        output = nest.map_structure(lambda zero, made: chosen(is_over, zero, made), self.zero_output, output)
        return output, nest.map_structure(lambda old, new: chosen(is_over, old, new), state, following)


def chosen(condition: Any, then: Any, otherwise: Any) -> Any:
    """Row by row `then` where the vector `condition` holds. Arrays and scalars have no rows: they are `otherwise`."""
    if isinstance(then, TensorArray) or then.shape.rank == 0:
        return otherwise
    result = where_v1(condition, then, otherwise)
    result.set_shape(then.shape)
    return result
