"""Element types: TensorFlow's `DType`, one object for each type, compared by identity.

A module-level name is the type itself (`float32`, `string`, ...). `as_dtype` accepts whatever names a type: a `DType`,
a name, a Python type, a NumPy type or dtype, or a number of TensorFlow's `DataType` enum.
"""

import builtins
from collections.abc import Callable
from typing import Any, Final

import ml_dtypes
import numpy as np

REF_OFFSET: Final = 100
"""A reference type's enum number is that of the type it refers to plus this."""

# ml_dtypes' know NumPy's own types too.
_float_limits: Callable[[np.dtype[Any]], Any] = ml_dtypes.finfo
_integer_limits: Callable[[np.dtype[Any]], Any] = ml_dtypes.iinfo

_BY_ENUM: dict[int, "DType"] = {}
_EXTREMES: dict[tuple[str, str], Any] = {}
_LOOKUP: dict[Any, "DType"] = {}
FROM_NUMPY: dict[np.dtype[Any], "DType"] = {}
"""From a NumPy dtype (native byte order, not S or U) to the `DType` that holds its values."""


class DType:
    """The type of a tensor's elements.

    `DType(enum_number)` gives the one object of that number: TypeError if there is none.
    """

    __slots__ = (
        "__weakref__",
        "_as_ref",
        "as_datatype_enum",
        "as_numpy_dtype",
        "base_dtype",
        "is_bool",
        "is_complex",
        "is_floating",
        "is_integer",
        "is_numeric",
        "is_numpy_compatible",
        "is_quantized",
        "is_ref_dtype",
        "is_unsigned",
        "name",
        "numpy_dtype",
        "size",
    )

    name: str
    as_datatype_enum: int
    as_numpy_dtype: Any
    numpy_dtype: np.dtype[Any]
    base_dtype: "DType"
    is_floating: builtins.bool
    is_integer: builtins.bool
    is_unsigned: builtins.bool
    is_complex: builtins.bool
    is_bool: builtins.bool
    is_quantized: builtins.bool
    is_numeric: builtins.bool
    is_numpy_compatible: builtins.bool
    is_ref_dtype: builtins.bool
    size: int
    _as_ref: "DType"

    def __new__(cls, type_enum: int) -> "DType":
        number = int(type_enum)
        if number not in _BY_ENUM:
            raise TypeError(f"{number} does not correspond to a valid tensorflow::DataType")
        return _BY_ENUM[number]

    @property
    def _is_ref_dtype(self) -> builtins.bool:
        return self.is_ref_dtype

    @property
    def real_dtype(self) -> "DType":
        """The type of the real part: float32 for complex64, float64 for complex128, itself for all others."""
        if self.base_dtype is complex64:
            return float32
        if self.base_dtype is complex128:
            return float64
        return self

    @property
    def min(self) -> Any:
        """The smallest finite value. TypeError where there is no order or no NumPy form."""
        return self._extreme("minimum", "min")

    @property
    def max(self) -> Any:
        """The largest finite value. TypeError where there is no order or no NumPy form."""
        return self._extreme("maximum", "max")

    def _extreme(self, word: str, attribute: str) -> Any:
        known = _EXTREMES.get((self.name, attribute))
        if known is None:
            known = _EXTREMES[self.name, attribute] = self._find_extreme(word, attribute)
        return known

    def _find_extreme(self, word: str, attribute: str) -> Any:
        problem = f"Cannot find {word} value of {self}"
        if not self.is_numpy_compatible:
            raise TypeError(f"{problem}.")
        if self.is_quantized:
            raise TypeError(f"{problem} with quantized type {self.base_dtype}.")
        if self.is_floating:
            return getattr(_float_limits(self.numpy_dtype), attribute)
        if self.is_integer:
            return int(getattr(_integer_limits(self.numpy_dtype), attribute))
        raise TypeError(f"{problem} with type {self.base_dtype}.")

    @property
    def limits(self) -> tuple[Any, Any]:
        """The range of an image's intensities in this type: (0, 1) for floats, (0, max) for integers.

        ValueError for types in which images are not kept.
        """
        if self.base_dtype in (float32, float64):
            return 0, 1
        if self.base_dtype is bool_:
            return 0, True
        if self.base_dtype in INTEGER:
            return 0, self.max
        raise ValueError(f"{self} does not have defined limits.")

    def is_compatible_with(self, other: Any) -> builtins.bool:
        """Whether a value of type `other` may be used where this type is wanted (a reference may stand for its base).

        TypeError if `other` names no type.
        """
        other = as_dtype(other)
        return self is other or self is other.base_dtype

    def __eq__(self, other: object) -> builtins.bool:
        if self is other:
            return True
        if other is None or isinstance(other, DType):
            return False
        return _find(other) is self

    def __ne__(self, other: object) -> builtins.bool:
        return not self == other

    def __hash__(self) -> int:
        return self.as_datatype_enum

    def __int__(self) -> int:
        return self.as_datatype_enum

    def __repr__(self) -> str:
        return f"tf.{self.name}"

    def __str__(self) -> str:
        return f"<dtype: '{self.name}'>"

    def __reduce__(self) -> tuple[Callable[[Any], "DType"], tuple[str]]:
        return as_dtype, (self.name,)


def _construct(name: str, number: int, numpy_type: Any, kind: str) -> DType:
    dtype = object.__new__(DType)
    dtype.name = name
    dtype.as_datatype_enum = number
    dtype.as_numpy_dtype = numpy_type
    dtype.numpy_dtype = np.dtype(numpy_type)
    dtype.base_dtype = dtype
    dtype.is_floating = kind in ("floating", "narrow floating")
    dtype.is_integer = kind in ("signed", "unsigned", "narrow signed", "narrow unsigned")
    dtype.is_unsigned = kind in ("unsigned", "narrow unsigned")
    dtype.is_complex = kind == "complex"
    dtype.is_bool = kind == "bool"
    dtype.is_quantized = kind == "quantized"
    # TensorFlow's "numeric" leaves out the types of 8 bits and less that exist for storage only.
    dtype.is_numeric = kind in ("floating", "signed", "unsigned", "complex", "quantized")
    dtype.is_numpy_compatible = kind != "handle"
    dtype.is_ref_dtype = False
    dtype.size = 0 if numpy_type is object else dtype.numpy_dtype.itemsize
    dtype._as_ref = dtype
    _BY_ENUM[number] = dtype
    _LOOKUP[name] = _LOOKUP[number] = dtype
    return dtype


def _define(name: str, number: int, numpy_type: Any, kind: str) -> DType:
    """The type, with its reference type (TensorFlow 1's type of a variable's output) beside it."""
    dtype = _construct(name, number, numpy_type, kind)
    reference = _construct(f"{name}_ref", number + REF_OFFSET, numpy_type, kind)
    reference.base_dtype = dtype
    reference.is_ref_dtype = True
    dtype._as_ref = reference
    if numpy_type is not object:
        FROM_NUMPY[dtype.numpy_dtype] = dtype
    return dtype


def _quantized(name: str, number: int, storage: Any) -> DType:
    # TensorFlow tells a quantized array from a plain one by a record with one field, named for the type.
    return _define(name, number, np.dtype([(name, storage)]), "quantized")


float32 = _define("float32", 1, np.float32, "floating")
float64 = _define("float64", 2, np.float64, "floating")
int32 = _define("int32", 3, np.int32, "signed")
uint8 = _define("uint8", 4, np.uint8, "unsigned")
int16 = _define("int16", 5, np.int16, "signed")
int8 = _define("int8", 6, np.int8, "signed")
string = _define("string", 7, object, "string")
complex64 = _define("complex64", 8, np.complex64, "complex")
int64 = _define("int64", 9, np.int64, "signed")
bool_ = _define("bool", 10, np.bool_, "bool")
qint8 = _quantized("qint8", 11, np.int8)
quint8 = _quantized("quint8", 12, np.uint8)
qint32 = _quantized("qint32", 13, np.int32)
bfloat16 = _define("bfloat16", 14, ml_dtypes.bfloat16, "floating")
qint16 = _quantized("qint16", 15, np.int16)
quint16 = _quantized("quint16", 16, np.uint16)
uint16 = _define("uint16", 17, np.uint16, "unsigned")
complex128 = _define("complex128", 18, np.complex128, "complex")
float16 = _define("float16", 19, np.float16, "floating")
resource = _define("resource", 20, object, "handle")
variant = _define("variant", 21, object, "handle")
uint32 = _define("uint32", 22, np.uint32, "unsigned")
uint64 = _define("uint64", 23, np.uint64, "unsigned")
float8_e5m2 = _define("float8_e5m2", 24, ml_dtypes.float8_e5m2, "narrow floating")
float8_e4m3fn = _define("float8_e4m3fn", 25, ml_dtypes.float8_e4m3fn, "narrow floating")
float8_e4m3fnuz = _define("float8_e4m3fnuz", 26, ml_dtypes.float8_e4m3fnuz, "narrow floating")
float8_e4m3b11fnuz = _define("float8_e4m3b11fnuz", 27, ml_dtypes.float8_e4m3b11fnuz, "narrow floating")
float8_e5m2fnuz = _define("float8_e5m2fnuz", 28, ml_dtypes.float8_e5m2fnuz, "narrow floating")
int4 = _define("int4", 29, ml_dtypes.int4, "narrow signed")
uint4 = _define("uint4", 30, ml_dtypes.uint4, "narrow unsigned")
int2 = _define("int2", 31, ml_dtypes.int2, "narrow signed")
uint2 = _define("uint2", 32, ml_dtypes.uint2, "narrow unsigned")
float4_e2m1fn = _define("float4_e2m1fn", 33, ml_dtypes.float4_e2m1fn, "narrow floating")

half = float16
double = float64
# TensorFlow's name. In this module Python's own type is builtins.bool.
bool = bool_

FLOATING = (float16, bfloat16, float32, float64)
FLOAT8 = (float8_e5m2, float8_e4m3fn, float8_e4m3fnuz, float8_e4m3b11fnuz, float8_e5m2fnuz)
SIGNED_INTEGER = (int8, int16, int32, int64)
UNSIGNED_INTEGER = (uint8, uint16, uint32, uint64)
INTEGER = SIGNED_INTEGER + UNSIGNED_INTEGER
COMPLEX = (complex64, complex128)
REAL_NUMBER = FLOATING + INTEGER
NUMERIC = REAL_NUMBER + COMPLEX
FLOATING_OR_COMPLEX = FLOATING + COMPLEX
INDEX = (int32, int64)
ALL = tuple(dtype for dtype in _BY_ENUM.values() if not dtype.is_ref_dtype)


def _complete_lookup() -> None:
    FROM_NUMPY[np.dtype(object)] = string
    _LOOKUP.update({alias: _LOOKUP[name] for alias, name in _ALIASES.items()})
    _LOOKUP.update({f"{alias}_ref": _LOOKUP[name]._as_ref for alias, name in _ALIASES.items()})
    _LOOKUP.update(_PYTHON_TYPES)
    _LOOKUP.update(FROM_NUMPY)
    # NumPy has several scalar classes for one dtype (longlong and int64): each of them names the type.
    numpy_types = [np.dtype(code) for code in np.typecodes["All"]]
    _LOOKUP.update({native.type: FROM_NUMPY[native] for native in numpy_types if native in FROM_NUMPY})
    _LOOKUP.update({native.type: dtype for native, dtype in FROM_NUMPY.items() if not dtype.is_quantized})
    _LOOKUP.update({np.str_: string, np.bytes_: string})


_ALIASES = {"half": "float16", "float": "float32", "double": "float64"}
_PYTHON_TYPES = {
    float: float32,
    int: int32,
    builtins.bool: bool_,
    complex: complex128,
    str: string,
    bytes: string,
    object: string,
}
_complete_lookup()


def _find(value: Any) -> DType | None:
    """The type that `value` names, or None."""
    try:
        found = _LOOKUP.get(value)
    except TypeError:  # not hashable
        found = None
    if found is not None:
        return found
    native = value if isinstance(value, np.dtype) else getattr(value, "dtype", None)
    return _find_numpy(native) if isinstance(native, np.dtype) else None


def _find_numpy(native: np.dtype[Any]) -> DType | None:
    if native.kind in "SU":
        return string
    return FROM_NUMPY.get(native.newbyteorder("="))


def as_dtype(value: Any) -> DType:
    """The type that `value` names.

    `value`: a `DType`, a name ('float32', 'half', 'float32_ref'), a Python type (float, int, bool, complex, str, bytes,
    object), a NumPy scalar type, dtype or array, or a number of TensorFlow's `DataType` enum.
    Raises TypeError for anything else.
    """
    if type(value) is DType:
        return value
    found = _find(value)
    if found is None:
        raise TypeError(f"Cannot convert the argument `type_value`: {value!r} to a TensorFlow DType.")
    return found


def from_numpy(native: np.dtype[Any]) -> DType:
    """The type of the elements of an array of dtype `native`; strings (kinds S and U) and objects are `string`.

    Raises TypeError for a dtype that no tensor can have (datetime64, records, longdouble).
    """
    found = FROM_NUMPY.get(native)
    return found if found is not None else as_dtype(native)
