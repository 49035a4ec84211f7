"""RNNCell: what every recurrent cell of TensorFlow 1 is, and what the loops ask of one."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from rillet.compat.layers import ScopedLayer
from rillet.core import dtypes, nest
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.core.shapes import TensorShape
from rillet.core.static import constant_value
from rillet.core.tensor import Tensor
from rillet.frontend.scopes import NameScope
from rillet.keras import activations
from rillet.keras.layer import Layer
from rillet.keras.policy import as_policy
from rillet.ops.bias import bias_add
from rillet.ops.creation import zeros
from rillet.ops.join import concat
from rillet.ops.matmul import matmul
from rillet.ops.shape import shape as shape_of


@public(v1=["nn.rnn_cell.RNNCell", "contrib.rnn.RNNCell"])
class RNNCell(ScopedLayer, Layer):  # type: ignore[misc]
    """One step of a recurrent network: cell(inputs, state) is (output, next state).

    Subclasses have the properties `state_size` (an int, a TensorShape, or a structure of them: sizes without the batch)
    and `output_size`, and write `call(inputs, state)`, with weights made in `build` or got with tf.get_variable.
    inputs: [batch, depth]. dtype: of the weights; None: that of the first inputs.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        cell = super().__new__(cls, *args, **kwargs)
        RNNCell.__init__(cell)  # subclasses may forget to call it
        return cell

    def __init__(
        self,
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
        _reuse: Any = None,
        _scope: Any = None,
        **kwargs: Any,
    ) -> None:
        dtype = None if dtype is None else dtypes.as_dtype(dtype).name
        kwargs["autocast"] = False
        super().__init__(trainable=trainable, name=name, dtype=dtype, _reuse=_reuse, _scope=_scope, **kwargs)
        self.__dict__["_wanted_scope"] = _scope  # a name alone is made unique
        self.__dict__["_has_dtype"] = dtype is not None

    def __call__(self, inputs: Any, state: Any, scope: Any = None, *args: Any, **kwargs: Any) -> Any:
        """(output, next state). scope: of the variables, on the first call; by default one named after the cell."""
        self._settle(inputs, scope)
        return super().__call__(inputs, state, *args, **kwargs)

    def _settle(self, inputs: Any, scope: Any) -> None:
        """What the first call decides: the scope and the dtype of the variables."""
        known = self.__dict__
        if "_entered_scope" not in known:
            found = self.name if known["_reuse"] else None  # a scope made unique has nothing to reuse
            known["_wanted_scope"] = scope or known["_wanted_scope"] or found
        if not (self.built or known["_has_dtype"]):
            leaf = nest.flatten(inputs)[0]
            dtype = leaf.dtype if isinstance(leaf, Tensor) else convert_to_tensor(leaf).dtype
            if dtype.is_floating:
                self._dtype_policy = as_policy(dtype.base_dtype.name)

    @contextlib.contextmanager
    def _variable_scope(self) -> Iterator[None]:
        """The cell's scope, which takes note of variables that `call` gets itself."""
        is_first = "_entered_scope" not in self.__dict__
        with super()._variable_scope():
            if is_first:
                scope = self.__dict__["_entered_scope"]
                scope.set_custom_getter(functools.partial(self._get_noted, scope.custom_getter))
            yield

    def _get_noted(self, outer: Any, getter: Any, *args: Any, **kwargs: Any) -> Any:
        variable = getter(*args, **kwargs) if outer is None else outer(getter, *args, **kwargs)
        if not any(variable is known for known in self._own_variables):
            self._own_variables.append(variable)
        return variable

    @property
    def state_size(self) -> Any:
        """The sizes of the state, without the batch."""
        raise NotImplementedError("Abstract method")

    @property
    def output_size(self) -> Any:
        """The size of the output, without the batch."""
        raise NotImplementedError("Abstract method")

    def get_initial_state(self, inputs: Any = None, batch_size: Any = None, dtype: Any = None) -> Any:
        """Zeros for a batch like `inputs`, or for a batch size and dtype. ValueError where neither is given."""
        if inputs is not None:
            inputs = convert_to_tensor(inputs, name="inputs")
            batch_size, dtype = batch_size_of(inputs, 0), inputs.dtype
        if batch_size is None or dtype is None:
            raise ValueError(
                f"batch_size and dtype cannot be None while constructing initial state: batch_size={batch_size}, "
                f"dtype={dtype}"
            )
        return self.zero_state(batch_size, dtype)

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        """Zeros in the structure of state_size. batch_size: an int or an integer scalar."""
        with NameScope(type(self).__name__ + "ZeroState"):
            return zeros_of(self.state_size, batch_size, dtype)

    def _projected(self, inputs: Any, kernel: Any, bias: Any) -> Any:
        """inputs [batch, depth], or a list of them side by side, times `kernel`, plus `bias` where there is one."""
        joined = concat(inputs, 1) if isinstance(inputs, (list, tuple)) else inputs
        product = matmul(joined, kernel)
        return product if bias is None else bias_add(product, bias)


def depth_of(shape: Any) -> int:
    """The size of the inputs, of which a cell has to know the weights' shape. ValueError where it is unknown."""
    depth = TensorShape(shape).as_list()[-1]
    if depth is None:
        raise ValueError(f"Expected inputs.shape[-1] to be known, saw shape: {TensorShape(shape)}")
    return int(depth)


def activation_of(activation: Any, default: Any) -> Any:
    """A function from what a cell was given: None, a function or its name."""
    return activations.get(activation) if activation else default


def batch_size_of(tensor: Any, axis: int) -> Any:
    """The size of that axis: an int where it is known, else a scalar."""
    size = None if tensor.shape.rank is None else tensor.shape.as_list()[axis]
    return shape_of(tensor)[axis] if size is None else int(size)


def zeros_of(sizes: Any, batch_size: Any, dtype: Any) -> Any:
    """Zeros [batch_size, size...] for each of the structure `sizes`. dtype: one, or the same structure of them."""
    flat = nest.flatten(sizes)
    kinds = nest.flatten(dtype) if nest.is_nested(dtype) else [dtype] * len(flat)
    made = [_zeros(batch_size, size, kind) for size, kind in zip(flat, kinds, strict=True)]
    return nest.pack_sequence_as(sizes, made)


def _zeros(batch_size: Any, size: Any, dtype: Any) -> Any:
    inner = shape_of_size(size)
    known = constant_value(batch_size) if isinstance(batch_size, Tensor) else batch_size
    if known is not None:
        return zeros([int(known), *inner], dtype)
    made = zeros(concat([[batch_size], inner], 0) if inner else [batch_size], dtype)
    made.set_shape([None, *inner])
    return made


def shape_of_size(size: Any) -> list[int]:
    """A cell's size, an int or a shape, as the list of a tensor's sizes without the batch."""
    shape = TensorShape(size) if isinstance(size, (TensorShape, list, tuple)) else TensorShape([int(size)])
    known = [number for number in shape.as_list() if number is not None]
    if len(known) != shape.rank:
        raise ValueError(f"The sizes of a cell have to be known, got {shape}")
    return known


def check_is_cell(label: str, cell: Any) -> None:
    """TypeError that says what `cell`, the argument called `label`, lacks."""
    lacks = {
        "'output_size' property is missing": not hasattr(cell, "output_size"),
        "'state_size' property is missing": not hasattr(cell, "state_size"),
        "either 'zero_state' or 'get_initial_state' method is required":
            not (hasattr(cell, "zero_state") or hasattr(cell, "get_initial_state")),
        "is not callable": not callable(cell),
    }  # fmt: skip
    found = [what for what, is_so in lacks.items() if is_so]
    if found:
        raise TypeError(f"The argument {label!r} ({cell}) is not an RNNCell: {', '.join(found)}.")
