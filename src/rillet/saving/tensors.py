"""Arrays, shapes and dtypes as messages, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.convert import to_array
from rillet.core.dtypes import DType
from rillet.core.export import public
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.saving import messages

# Which field holds single values, by type; the others of a kind share the first field that fits.
_FIELDS = {
    dtypes.float32: "float_val",
    dtypes.float64: "double_val",
    dtypes.int64: "int64_val",
    dtypes.uint32: "uint32_val",
    dtypes.uint64: "uint64_val",
    dtypes.bool_: "bool_val",
    dtypes.string: "string_val",
    dtypes.complex64: "scomplex_val",
    dtypes.complex128: "dcomplex_val",
    dtypes.float16: "half_val",
    dtypes.bfloat16: "half_val",
    **dict.fromkeys(dtypes.FLOAT8, "float8_val"),
}


def _field_of(dtype: DType) -> str:
    return _FIELDS.get(dtype, "int_val")


def data_type_label(dtype: DType) -> str:
    """What TensorFlow's messages call a type: float, int64, string."""
    return messages.data_type_name(dtype).removeprefix("DT_").lower()


# ---- shapes ---------------------------------------------------------------------------------------------------------


def shape_message(shape: Any) -> Any:
    """A TensorShapeProto. shape: a TensorShape, or what makes one."""
    message = messages.get("TensorShapeProto")()
    dimensions = TensorShape(shape).dimensions
    if dimensions is None:
        message.unknown_rank = True
    else:
        for size in dimensions:
            message.dim.add(size=-1 if size is None else size)
    return message


def shape_of(message: Any) -> TensorShape:
    """The TensorShape that a TensorShapeProto says."""
    if message.unknown_rank:
        return UNKNOWN
    return TensorShape([None if dim.size < 0 else dim.size for dim in message.dim])


def sizes(shape: TensorShape) -> tuple[int, ...]:
    """The sizes of a shape that is fully known."""
    return tuple(size for size in shape.as_list() if size is not None)


# ---- tensors --------------------------------------------------------------------------------------------------------


def tensor_message(array: Any, dtype: DType) -> Any:
    """A TensorProto of an array (for strings: of objects) that has this dtype."""
    array = np.asarray(array)
    message = messages.get("TensorProto")(dtype=dtype.as_datatype_enum, tensor_shape=shape_message(array.shape))
    if dtype is dtypes.string:
        message.string_val.extend(as_bytes(text) for text in array.ravel().tolist())
    elif array.size > 1:
        message.tensor_content = little_endian(array).tobytes()
    elif array.size:
        _set_single(message, dtype, array.ravel())
    return message


def _set_single(message: Any, dtype: DType, flat: Any) -> None:
    field = _field_of(dtype)
    if field == "float8_val":
        message.float8_val = flat.tobytes()
        return
    values = getattr(message, field)
    if field == "half_val":
        values.append(int(flat.view(np.uint16)[0]))
    elif dtype.is_complex:
        values.extend([flat[0].real.item(), flat[0].imag.item()])
    elif dtype.is_quantized:
        values.append(int(flat.view(flat.dtype[0])[0]))
    else:
        values.append(flat.tolist()[0] if dtype.size != 1 or dtype.is_bool else int(flat[0]))


def as_bytes(text: Any) -> bytes:
    return text.encode() if isinstance(text, str) else bytes(text)


def little_endian(array: Any) -> Any:
    """`array` in the byte order of TensorFlow's files."""
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))


def array_of(message: Any) -> Any:
    """The array in a TensorProto; strings as objects. ValueError for values that do not fill the shape."""
    dtype = dtypes.as_dtype(message.dtype).base_dtype
    shape = tuple(dim.size for dim in message.tensor_shape.dim)
    if not dtype.is_numpy_compatible:
        raise ValueError(f"a tensor of type {dtype.name} is no array")
    if message.tensor_content:
        flat = np.frombuffer(message.tensor_content, dtype.numpy_dtype.newbyteorder("<"))
        return flat.astype(dtype.numpy_dtype).reshape(shape)
    count = int(np.prod(shape, dtype=np.int64))
    return _filled(_listed_values(message, dtype), count, dtype).reshape(shape)


def _listed_values(message: Any, dtype: DType) -> Any:
    values = getattr(message, _field_of(dtype))
    if dtype is dtypes.string:
        array = np.empty(len(values), object)
        array[:] = list(values)
        return array
    if dtype in dtypes.FLOAT8:
        return np.frombuffer(values, dtype.numpy_dtype)
    if dtype in (dtypes.float16, dtypes.bfloat16):
        return np.array(values, np.uint16).view(dtype.numpy_dtype)
    if dtype.is_complex:
        parts = np.array(values, np.float32 if dtype is dtypes.complex64 else np.float64)
        return parts.view(dtype.numpy_dtype)
    if dtype.is_quantized:
        return np.array(values, dtype.numpy_dtype[0]).view(dtype.numpy_dtype)
    return np.array(values, np.int64 if dtype.size < 4 and not dtype.is_bool else None).astype(dtype.numpy_dtype)


def _filled(values: Any, count: int, dtype: DType) -> Any:
    """As many values as wanted: the last one stands for all that follow; none at all, zeros."""
    if len(values) > count:
        raise ValueError(f"a tensor of {count} elements comes with {len(values)} values")
    if len(values) == 0:
        return np.full(count, b"" if dtype is dtypes.string else np.zeros((), dtype.numpy_dtype), dtype.numpy_dtype)
    if len(values) == count:
        return values
    return np.concatenate([values, np.repeat(values[-1:], count - len(values))])


@public("make_tensor_proto")
def make_tensor_proto(
    values: Any, dtype: Any = None, shape: Any = None, verify_shape: bool = False, allow_broadcast: bool = False
) -> Any:
    """A TensorProto of `values`: a number, a string, an array or nested lists.

    shape: of the result; fewer values than it has elements are allowed with `allow_broadcast`, the last one is repeated.
    Raises TypeError and ValueError for values that do not fit.
    """
    array, found = to_array(values, None if dtype is None else dtypes.as_dtype(dtype))
    array = np.asarray(array)
    if shape is not None:
        wanted = tuple(int(size) for size in shape)
        if verify_shape and wanted != array.shape:
            raise TypeError(f"Expected Tensor's shape: {wanted}, but got {array.shape}.")
        count = int(np.prod(wanted, dtype=np.int64))
        if array.size > count or (array.size < count and not allow_broadcast and array.size != 1):
            raise ValueError(f"{array.size} values do not fill shape {wanted}")
        array = _filled(array.ravel(), count, found).reshape(wanted)
    return tensor_message(array, found.base_dtype)


@public("make_ndarray")
def make_ndarray(tensor: Any) -> Any:
    """The array in a TensorProto. TypeError for a type that has no arrays."""
    if not dtypes.as_dtype(tensor.dtype).is_numpy_compatible:
        raise TypeError(f"Unsupported tensor type: {messages.enumeration('DataType').Name(tensor.dtype)}.")
    return array_of(tensor)
