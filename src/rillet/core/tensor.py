"""Tensors: concrete ones hold an array, symbolic ones name an output of an operation in a graph.

Arithmetic operators and indexing are installed by `rillet.ops.operators`; this module knows no op.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.shapes import TensorShape
from rillet.errors import Location, OperatorNotAllowedInGraphError, Site, location_of

if TYPE_CHECKING:
    from rillet.core.graph import Graph, Operation


class TensorReference:
    """A hashable stand-in for a tensor or variable, compared by identity. Made by `tensor.ref()`."""

    __slots__ = ("_wrapped",)

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def deref(self) -> Any:
        return self._wrapped

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorReference) and self._wrapped is other._wrapped

    def __hash__(self) -> int:
        return id(self._wrapped)

    def __repr__(self) -> str:
        return f"<Reference wrapping {self._wrapped!r}>"


class Equality:
    """Whether `==` on tensors compares elements (TensorFlow 2) or identity (TensorFlow 1)."""

    elementwise = True


class Tensor:
    """A multi-dimensional array of one dtype: its value is known (eager) or still to be computed (symbolic)."""

    __slots__ = ("__dict__", "__weakref__", "dtype")
    __array_priority__ = 100

    dtype: DType

    if TYPE_CHECKING:  # what rillet.ops.operators installs

        def _unary(self) -> Any: ...
        def _binary(self, other: Any) -> Any: ...

        __neg__ = __abs__ = __invert__ = _unary
        __add__ = __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = __matmul__ = _binary
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = __rmatmul__ = _binary
        __and__ = __or__ = __xor__ = __rand__ = __ror__ = __rxor__ = _binary
        __lt__ = __le__ = __gt__ = __ge__ = __getitem__ = _binary

    @property
    def shape(self) -> TensorShape:
        raise NotImplementedError

    def get_shape(self) -> TensorShape:
        return self.shape

    @property
    def ndim(self) -> int | None:
        """The rank: 0 for a scalar, 1 for a vector, 2 for a matrix ..."""
        return self.shape.rank

    def ref(self) -> TensorReference:
        return TensorReference(self)

    def experimental_ref(self) -> TensorReference:
        return TensorReference(self)

    def __copy__(self) -> Tensor:
        return self

    def __hash__(self) -> int:
        return id(self)

    def __len__(self) -> int:
        if self.shape.rank == 0:
            raise TypeError("Scalar tensor has no `len()`")
        size = self.shape.dimensions[0] if self.shape.dimensions is not None else None
        if size is None:
            raise TypeError(
                f"len is not well defined for a symbolic Tensor ({self.name}). Please call `x.shape` rather than "
                "`len(x)` for shape information."
            )
        return size

    @property
    def name(self) -> str:
        raise NotImplementedError


class EagerTensor(Tensor):
    """A tensor whose value is there. `_array` is a NumPy array or scalar that nobody may write to
    (for dtype resource and variant: the object itself). `_site` is where the user made it."""

    __slots__ = ("_array", "_site")

    def __init__(self, array: Any, dtype: DType, site: Site | None = None) -> None:
        self._array = array
        self.dtype = dtype
        self._site = site

    @property
    def shape(self) -> TensorShape:
        sizes = getattr(self._array, "shape", ())
        return TensorShape.from_dimensions(sizes) if type(sizes) is tuple else TensorShape(sizes)

    def set_shape(self, shape: Any) -> None:
        if not self.shape.is_compatible_with(shape):
            raise ValueError(f"Tensor's shape {self.shape} is not compatible with supplied shape {TensorShape(shape)}.")

    @property
    def ndim(self) -> int:
        return int(self._array.ndim)

    @property
    def location(self) -> Location | None:
        return location_of(self._site)

    @property
    def device(self) -> str:
        return "/job:localhost/replica:0/task:0/device:CPU:0"

    backing_device = device

    def numpy(self) -> Any:
        """A copy of the value as a NumPy array (a NumPy scalar, or bytes, at rank 0)."""
        array = self._array
        if isinstance(array, np.ndarray):
            return array[()] if array.ndim == 0 else array.copy()
        return array

    def _numpy(self) -> Any:
        return self._array

    def cpu(self) -> EagerTensor:
        return self

    def gpu(self, gpu_index: int = 0) -> NoReturn:
        raise RuntimeError(f"no GPU {gpu_index} here: this engine computes on the CPU")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = np.asarray(self._array)
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy is not False else array

    def __dlpack__(self, **options: Any) -> Any:
        array = np.asarray(self._array)
        writable = array if array.flags.writeable else array.copy()
        return writable.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # the CPU

    def __bool__(self) -> bool:
        if self.dtype is dtypes.string:
            return bool(self.numpy() != b"") if self.shape.rank == 0 else bool(self._array)
        return bool(self._array)

    def __int__(self) -> int:
        return int(self._array)

    def __float__(self) -> float:
        return float(self._array)

    def __complex__(self) -> complex:
        return complex(self._array)

    def __index__(self) -> int:
        if not (self.dtype.is_integer and self.shape.rank == 0):
            raise TypeError("only integer scalar tensors can be converted to a scalar index")
        return int(self._array)

    def __round__(self, digits: int | None = None) -> Any:
        return round(self.numpy(), digits)

    def __format__(self, specification: str) -> str:
        return format(self.numpy(), specification)

    def __iter__(self) -> Iterator[Any]:
        if self.shape.rank == 0:
            raise TypeError("Cannot iterate over a scalar tensor.")
        return (self[index] for index in range(len(self._array)))

    def __hash__(self) -> int:
        if Equality.elementwise:
            raise TypeError("Tensor is unhashable. Instead, use tensor.ref() as the key.")
        return id(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> EagerTensor:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return EagerTensor, (self._array, self.dtype)

    @property
    def is_tensor_like(self) -> bool:
        return True

    @property
    def op(self) -> NoReturn:
        raise AttributeError("Tensor.op is undefined when eager execution is enabled.")

    @property
    def graph(self) -> NoReturn:
        raise AttributeError("Tensor.graph is undefined when eager execution is enabled.")

    @property
    def name(self) -> NoReturn:
        raise AttributeError("Tensor.name is undefined when eager execution is enabled.")

    @property
    def value_index(self) -> NoReturn:
        raise AttributeError("Tensor.value_index is undefined when eager execution is enabled.")

    def consumers(self) -> NoReturn:
        raise NotImplementedError("Tensor.consumers is undefined when eager execution is enabled.")

    def eval(self, feed_dict: Any = None, session: Any = None) -> NoReturn:
        raise NotImplementedError(
            "eval is not supported when eager execution is enabled, is .numpy() what you're looking for?"
        )

    def _text(self, is_repr: bool) -> str:
        if not self.dtype.is_numpy_compatible:
            return "<unprintable>"
        value = self.numpy()
        if isinstance(value, np.ndarray):
            text = repr(value) if is_repr else str(value)
            return f"\n{text}" if "\n" in text else text
        return repr(value) if isinstance(value, (bytes, str)) else str(value)

    def __str__(self) -> str:
        return f"tf.Tensor({self._text(False)}, shape={self.shape}, dtype={self.dtype.name})"

    def __repr__(self) -> str:
        label = "numpy" if self.dtype.is_numpy_compatible else "value"
        return f"<tf.Tensor: shape={self.shape}, dtype={self.dtype.name}, {label}={self._text(True)}>"


class SymbolicTensor(Tensor):
    """Output `value_index` of operation `op`: an edge of the graph, named "op:index"."""

    __slots__ = ("_shape", "op", "value_index")
    # By identity, as Tensor's, but without a call of Python: dictionaries of feeds are made often.
    __hash__ = object.__hash__

    def __init__(self, op: Operation, value_index: int, dtype: DType) -> None:
        self.op = op
        self.value_index = value_index
        self.dtype = dtype
        self._shape = TensorShape(None)

    @property
    def shape(self) -> TensorShape:
        return self._shape

    def set_shape(self, shape: Any) -> None:
        """Adds what the caller knows to the static shape. ValueError when it contradicts."""
        self._shape = self._shape.merge_with(shape)

    @property
    def name(self) -> str:
        return f"{self.op.name}:{self.value_index}"

    @property
    def graph(self) -> Graph:
        graph = self.op.graph
        assert graph is not None
        return graph

    @property
    def device(self) -> str:
        return self.op.device

    @property
    def location(self) -> Location | None:
        return self.op.location

    def consumers(self) -> list[Operation]:
        """The operations that read this tensor, in the order they were made."""
        return self.graph.consumers_of(self)

    def eval(self, feed_dict: Any = None, session: Any = None) -> Any:
        """The value, computed by `session` or the default session.

        Raises ValueError where there is no session, or where it belongs to another graph.
        """
        return self.graph.evaluate(self, feed_dict, session)

    @property
    def numpy(self) -> NoReturn:
        """Absent, so that hasattr(tensor, "numpy") tells symbolic and eager tensors apart."""
        raise AttributeError(
            f"'SymbolicTensor' object has no attribute 'numpy': {self.name} is symbolic, it has no value yet. "
            "Evaluate it with session.run(...), or call the tf.function it belongs to."
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise NotImplementedError(
            f"Cannot convert a symbolic tf.Tensor ({self.name}) to a numpy array. This error may indicate that you're "
            "trying to pass a Tensor to a NumPy call, which is not supported."
        )

    def _disallow(self, task: str) -> NoReturn:
        raise OperatorNotAllowedInGraphError(
            f"{task} is not allowed: {self.name} is symbolic, its value is not known while the graph is being built. "
            "Use tf.cond / tf.while_loop / tf.map_fn, or run eagerly."
        )

    def __bool__(self) -> bool:
        self._disallow("Using a symbolic `tf.Tensor` as a Python `bool`")

    def __iter__(self) -> Iterator[Any]:
        self._disallow("Iterating over a symbolic `tf.Tensor`")

    def __int__(self) -> int:
        raise TypeError(f"int() argument must be a number, not the symbolic tensor {self.name}")

    def __float__(self) -> float:
        raise TypeError(f"float() argument must be a number, not the symbolic tensor {self.name}")

    def __index__(self) -> int:
        raise TypeError(f"the symbolic tensor {self.name} cannot be used as a Python index: its value is not known yet")

    def __deepcopy__(self, memo: dict[int, Any]) -> SymbolicTensor:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle the symbolic tensor {self.name}")

    def __str__(self) -> str:
        shape = "" if self._shape.rank is None else f", shape={self._shape}"
        device = f", device={self.device}" if self.device else ""
        return f'Tensor("{self.name}"{shape}, dtype={self.dtype.name}{device})'

    def __repr__(self) -> str:
        return f"<tf.Tensor '{self.name}' shape={self._shape} dtype={self.dtype.name}>"


def handle_data(tensor: Tensor) -> tuple[DType, TensorShape] | None:
    """The dtype and shape of the variable that a resource tensor is the handle of, where that is known."""
    if isinstance(tensor, EagerTensor):
        state = tensor._array
        return (state.dtype, state.shape) if hasattr(state, "dtype") and hasattr(state, "value") else None
    known: tuple[DType, TensorShape] | None = tensor.__dict__.get("_handle_data")
    if known is None and isinstance(tensor, SymbolicTensor) and "value" in tensor.op.attrs:
        state = tensor.op.attrs["value"]  # a concrete handle that became a constant of the graph
        known = (state.dtype, state.shape) if hasattr(state, "value") else None
    return known


def set_handle_data(tensor: Tensor, data: tuple[DType, TensorShape] | None) -> None:
    if data is not None and isinstance(tensor, SymbolicTensor):
        tensor.__dict__["_handle_data"] = data
