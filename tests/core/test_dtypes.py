"""Element types: numbers, names, conversions and properties, as TensorFlow has them."""

import copy
import operator
import pickle
import re

import ml_dtypes
import numpy as np
import pytest

from rillet.core import dtypes
from rillet.core.dtypes import DType, as_dtype, from_numpy


def label(value):
    """A test id without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


ENUM = {
    "float32": 1,
    "float64": 2,
    "int32": 3,
    "uint8": 4,
    "int16": 5,
    "int8": 6,
    "string": 7,
    "complex64": 8,
    "int64": 9,
    "bool": 10,
    "qint8": 11,
    "quint8": 12,
    "qint32": 13,
    "bfloat16": 14,
    "qint16": 15,
    "quint16": 16,
    "uint16": 17,
    "complex128": 18,
    "float16": 19,
    "resource": 20,
    "variant": 21,
    "uint32": 22,
    "uint64": 23,
    "float8_e5m2": 24,
    "float8_e4m3fn": 25,
    "float8_e4m3fnuz": 26,
    "float8_e4m3b11fnuz": 27,
    "float8_e5m2fnuz": 28,
    "int4": 29,
    "uint4": 30,
    "int2": 31,
    "uint2": 32,
    "float4_e2m1fn": 33,
}
PREDICATES = ["is_floating", "is_integer", "is_unsigned", "is_complex", "is_bool", "is_quantized", "is_numeric"]


class Unrelated:
    pass


def test_every_type_has_tensorflows_number_and_is_a_module_level_name():
    assert {dtype.name: dtype.as_datatype_enum for dtype in dtypes.ALL} == ENUM
    for name in ENUM:
        assert getattr(dtypes, name) is as_dtype(name)
    assert dtypes.half is dtypes.float16
    assert dtypes.double is dtypes.float64
    assert dtypes.bool is dtypes.bool_


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_there_is_one_object_for_each_type(dtype):
    for each in (dtype, dtype._as_ref):
        assert as_dtype(each) is each
        assert as_dtype(each.name) is each
        assert as_dtype(each.as_datatype_enum) is each
        assert DType(each.as_datatype_enum) is each
        assert pickle.loads(pickle.dumps(each)) is each
        assert copy.deepcopy(each) is each


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_a_reference_type_is_its_base_type_but_for_name_and_number(dtype):
    reference = dtype._as_ref
    assert reference.name == f"{dtype.name}_ref"
    assert reference.as_datatype_enum == dtype.as_datatype_enum + 100
    assert reference.base_dtype is dtype
    assert reference.is_ref_dtype
    assert reference._is_ref_dtype
    assert not dtype.is_ref_dtype
    assert dtype.base_dtype is dtype
    assert reference != dtype
    assert dtype.is_compatible_with(reference)
    assert not reference.is_compatible_with(dtype)
    assert reference.is_compatible_with(reference)
    for predicate in [*PREDICATES, "size", "numpy_dtype", "is_numpy_compatible"]:
        assert getattr(reference, predicate) == getattr(dtype, predicate)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float, "float32"),
        (int, "int32"),
        (bool, "bool"),
        (complex, "complex128"),
        (str, "string"),
        (bytes, "string"),
        (object, "string"),
        ("half", "float16"),
        ("float", "float32"),
        ("double", "float64"),
        ("half_ref", "float16_ref"),
        ("float32_ref", "float32_ref"),
        (np.float16, "float16"),
        (np.longlong, "int64"),
        (np.intc, "int32"),
        (np.bool_, "bool"),
        (np.str_, "string"),
        (np.bytes_, "string"),
        (np.object_, "string"),
        (ml_dtypes.bfloat16, "bfloat16"),
        (ml_dtypes.int4, "int4"),
        (np.dtype("f8"), "float64"),
        (np.dtype(">f4"), "float32"),
        (np.dtype("S3"), "string"),
        (np.dtype("U3"), "string"),
        (np.dtype("O"), "string"),
        (np.dtype(ml_dtypes.float8_e5m2), "float8_e5m2"),
        (np.dtype([("qint8", np.int8)]), "qint8"),
        (np.array(1.0), "float64"),
        (np.array(["a"]), "string"),
        (3, "int32"),
        (np.int32(1), "float32"),
        (101, "float32_ref"),
    ],
    ids=label,
)
def test_as_dtype(value, expected):
    assert as_dtype(value).name == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        "no such type",
        "f4",
        "int",
        "Float32",
        0,
        100,
        999,
        3.5,
        [1],
        Unrelated,
        list,
        type(None),
        np.floating,
        np.generic,
        np.longdouble,
        np.datetime64,
        np.dtype("m8[s]"),
        np.dtype([("a", "f4")]),
        ml_dtypes.float8_e3m4,
    ],
    ids=label,
)
def test_what_names_no_type_is_refused_and_unequal(value):
    with pytest.raises(TypeError) as caught:
        as_dtype(value)
    assert str(caught.value) == f"Cannot convert the argument `type_value`: {value!r} to a TensorFlow DType."
    assert operator.eq(dtypes.float32, value) is False
    assert operator.ne(dtypes.float32, value) is True


def test_dtype_of_a_number_that_is_none():
    with pytest.raises(TypeError, match="0 does not correspond to a valid tensorflow::DataType"):
        DType(0)
    with pytest.raises(ValueError, match="invalid literal"):
        DType("x")


def test_equality_with_whatever_names_the_type():
    for value in ["float32", np.float32, np.dtype("f4"), float, 1, dtypes.float32]:
        assert operator.eq(dtypes.float32, value) is True
        assert operator.ne(dtypes.float32, value) is False
    for value in ["float64", np.int32, 2, dtypes.float64, Unrelated()]:
        assert dtypes.float32 != value


def test_printing_and_numbers():
    assert repr(dtypes.float32) == "tf.float32"
    assert str(dtypes.float32) == "<dtype: 'float32'>"
    assert f"{dtypes.bool}" == "<dtype: 'bool'>"
    assert repr(dtypes.float32._as_ref) == "tf.float32_ref"
    assert int(dtypes.complex64) == hash(dtypes.complex64) == 8


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_from_numpy_inverts_numpy_dtype(dtype):
    if dtype.is_numpy_compatible:
        assert from_numpy(dtype.numpy_dtype) is dtype
        assert from_numpy(np.zeros(1, dtype.as_numpy_dtype).dtype) is dtype
    else:
        assert dtype.numpy_dtype is np.dtype(object)


def test_from_numpy_of_strings_and_of_what_no_tensor_holds():
    assert from_numpy(np.array(["a"]).dtype) is dtypes.string
    assert from_numpy(np.array([b"a"]).dtype) is dtypes.string
    assert from_numpy(np.dtype(">i4")) is dtypes.int32
    with pytest.raises(TypeError, match="Cannot convert"):
        from_numpy(np.dtype("M8[s]"))


def test_numpy_types():
    assert dtypes.float32.as_numpy_dtype is np.float32
    assert dtypes.bool.as_numpy_dtype is np.bool_
    assert dtypes.string.as_numpy_dtype is object
    assert dtypes.bfloat16.as_numpy_dtype is ml_dtypes.bfloat16
    assert dtypes.qint8.as_numpy_dtype == np.dtype([("qint8", "i1")])


@pytest.mark.parametrize(
    ("predicate", "names"),
    [
        ("is_floating", "float16 bfloat16 float32 float64 float8_e5m2 float8_e4m3fn float8_e4m3fnuz "
         "float8_e4m3b11fnuz float8_e5m2fnuz float4_e2m1fn"),
        ("is_integer", "int8 int16 int32 int64 uint8 uint16 uint32 uint64 int4 uint4 int2 uint2"),
        ("is_unsigned", "uint8 uint16 uint32 uint64 uint4 uint2"),
        ("is_complex", "complex64 complex128"),
        ("is_bool", "bool"),
        ("is_quantized", "qint8 quint8 qint16 quint16 qint32"),
        ("is_numeric", "float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
         "complex64 complex128 qint8 quint8 qint16 quint16 qint32"),
    ],
)  # fmt: skip
def test_predicates(predicate, names):
    assert {dtype.name for dtype in dtypes.ALL if getattr(dtype, predicate)} == set(names.split())


def test_sizes():
    by_size = {0: [], 1: [], 2: [], 4: [], 8: [], 16: []}
    for dtype in dtypes.ALL:
        by_size[dtype.size].append(dtype.name)
    assert by_size[0] == ["string", "resource", "variant"]
    assert by_size[2] == ["int16", "bfloat16", "qint16", "quint16", "uint16", "float16"]
    assert by_size[4] == ["float32", "int32", "qint32", "uint32"]
    assert by_size[8] == ["float64", "complex64", "int64", "uint64"]
    assert by_size[16] == ["complex128"]


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (dtypes.int8, -128, 127),
        (dtypes.uint64, 0, 18446744073709551615),
        (dtypes.int4, -8, 7),
        (dtypes.uint2, 0, 3),
        (dtypes.float16, -65504, 65504),
        (dtypes.float32, -3.4028234663852886e38, 3.4028234663852886e38),
        (dtypes.bfloat16, -3.3895313892515355e38, 3.3895313892515355e38),
        (dtypes.float8_e5m2, -57344, 57344),
        (dtypes.float8_e4m3fn, -448, 448),
        (dtypes.float4_e2m1fn, -6, 6),
    ],
    ids=str,
)
def test_extremes(dtype, low, high):
    assert type(low)(dtype.min) == low
    assert type(high)(dtype.max) == high
    assert type(dtype.min) is (int if dtype.is_integer else dtype.as_numpy_dtype)


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (dtypes.bool, "Cannot find minimum value of <dtype: 'bool'> with type <dtype: 'bool'>."),
        (dtypes.complex64, "Cannot find minimum value of <dtype: 'complex64'> with type <dtype: 'complex64'>."),
        (dtypes.string._as_ref, "Cannot find minimum value of <dtype: 'string_ref'> with type <dtype: 'string'>."),
        (dtypes.qint8, "Cannot find minimum value of <dtype: 'qint8'> with quantized type <dtype: 'qint8'>."),
        (dtypes.resource, "Cannot find minimum value of <dtype: 'resource'>."),
    ],
    ids=str,
)
def test_types_without_extremes(dtype, message):
    with pytest.raises(TypeError) as caught:
        _ = dtype.min
    assert str(caught.value) == message
    with pytest.raises(TypeError, match="maximum"):
        _ = dtype.max


def test_limits():
    assert dtypes.float32.limits == dtypes.float64.limits == (0, 1)
    assert dtypes.uint8.limits == (0, 255)
    assert dtypes.int32.limits == dtypes.int32._as_ref.limits == (0, 2147483647)
    assert dtypes.bool.limits == (0, True)
    for dtype in (dtypes.float16, dtypes.bfloat16, dtypes.int4, dtypes.complex64, dtypes.string, dtypes.resource):
        with pytest.raises(ValueError, match="does not have defined limits"):
            _ = dtype.limits


def test_real_dtype():
    assert dtypes.complex64.real_dtype is dtypes.float32
    assert dtypes.complex128._as_ref.real_dtype is dtypes.float64
    assert dtypes.int32.real_dtype is dtypes.int32
    assert dtypes.float32._as_ref.real_dtype is dtypes.float32._as_ref


def test_is_compatible_with_takes_names_and_refuses_others():
    assert dtypes.float32.is_compatible_with("float32")
    assert not dtypes.float32.is_compatible_with(np.float64)
    with pytest.raises(TypeError, match="Cannot convert"):
        dtypes.float32.is_compatible_with(None)


def test_groups_agree_with_the_predicates():
    assert all(dtype.is_floating for dtype in dtypes.FLOATING + dtypes.FLOAT8)
    assert all(dtype.is_integer and not dtype.is_unsigned for dtype in dtypes.SIGNED_INTEGER)
    assert all(dtype.is_unsigned for dtype in dtypes.UNSIGNED_INTEGER)
    assert all(dtype.is_complex for dtype in dtypes.COMPLEX)
    assert set(dtypes.NUMERIC) == {dtype for dtype in dtypes.ALL if dtype.is_numeric and not dtype.is_quantized}
    assert set(dtypes.REAL_NUMBER) == set(dtypes.NUMERIC) - set(dtypes.COMPLEX)
    assert dtypes.FLOATING_OR_COMPLEX == dtypes.FLOATING + dtypes.COMPLEX
    assert (dtypes.int32, dtypes.int64) == dtypes.INDEX
