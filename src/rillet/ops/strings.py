"""Strings: bytes of any length as tensor elements. None of these ops has a gradient."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, OpDef, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.errors import ShapeError, format_shape
from rillet.ops.families import all_axes, axes_tuple, broadcast_shapes, reduced_shape, same_shape
from rillet.ops.hashing import fingerprint64, murmur64, siphash


def each(function: Callable[..., Any], *arrays: Any, dtype: Any = object) -> Any:
    """`function` of the elements, broadcast; an array even at rank 0."""
    return np.asarray(np.frompyfunc(function, len(arrays), 1)(*[np.asarray(array, object) for array in arrays]), dtype)


def _string_op(
    op_type: str, kernel: Callable[..., Any], attributes: str = "", returns: str = "string", argument: str = "input"
) -> OpDef:
    return define(
        op_type, f"{argument}: string -> output: {returns}", attributes,
        reference=kernel, shape=same_shape, gradient=NO_GRADIENT,
    )  # fmt: skip


# ---- characters -----------------------------------------------------------------------------------------------------


def _length(text: bytes, unit: str) -> int:
    return len(text) if unit == "BYTE" else sum(byte & 0xC0 != 0x80 for byte in text)


LENGTH = _string_op(
    "StringLength",
    lambda text, *, unit: each(lambda t: _length(t, unit), text, dtype=np.int32),
    "unit: string = 'BYTE'",
    "int32",
)


@public(v2=["strings.length"])
def string_length(input: Any, unit: str = "BYTE", name: str | None = None) -> Any:
    """The length of each string, in bytes or (unit="UTF8_CHAR") in characters: int32, the input's shape."""
    return apply_op(LENGTH, (input,), {"unit": unit}, name)


@public(v1=["strings.length"])
def string_length_v1(input: Any, name: str | None = None, unit: str = "BYTE") -> Any:
    return string_length(input, unit, name)


def _cased(bytes_form: Callable[[bytes], bytes], text_form: Callable[[str], str]) -> Callable[..., Any]:
    def kernel(text: Any, *, encoding: str) -> Any:
        return each(lambda t: text_form(t.decode()).encode() if encoding else bytes_form(t), text)

    return kernel


LOWER = _string_op("StringLower", _cased(bytes.lower, str.lower), "encoding: string = ''")
UPPER = _string_op("StringUpper", _cased(bytes.upper, str.upper), "encoding: string = ''")
STRIP = _string_op("StringStrip", lambda text: each(lambda t: t.strip(b" \t\n\r\v\f"), text))


@public("strings.lower")
def string_lower(input: Any, encoding: str = "", name: str | None = None) -> Any:
    """Lower case: ASCII letters, or with encoding="utf-8" all letters."""
    return apply_op(LOWER, (input,), {"encoding": encoding}, name)


@public("strings.upper")
def string_upper(input: Any, encoding: str = "", name: str | None = None) -> Any:
    """Upper case: ASCII letters, or with encoding="utf-8" all letters."""
    return apply_op(UPPER, (input,), {"encoding": encoding}, name)


@public("strings.strip", v1=["string_strip"])
def string_strip(input: Any, name: str | None = None) -> Any:
    """Each string without white space at its ends."""
    return apply_op(STRIP, (input,), name=name)


def _characters(text: bytes, unit: str) -> Any:
    return text.decode("utf-8", "surrogateescape") if unit == "UTF8_CHAR" else text


def _substr(text: Any, position: Any, length: Any, *, unit: str) -> Any:
    count = iter(range(np.size(text) * 2 + 1))

    def cut(t: bytes, start: int, size: int) -> bytes:
        characters = _characters(t, unit)
        index = next(count)
        if not -len(characters) <= start <= len(characters):
            raise ValueError(
                f"pos {start} out of range for string b'{t.decode(errors='backslashreplace')}' at index {index}"
            )
        begin = start + len(characters) if start < 0 else start
        part = characters[begin : begin + max(size, 0)]
        return part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part

    return each(cut, text, position, length)


SUBSTR = define(
    "Substr", "input: string, pos: T, len: T -> output: string", "T: index, unit: string = 'BYTE'",
    reference=_substr, shape=broadcast_shapes, gradient=NO_GRADIENT,
)  # fmt: skip


@public(v2=["strings.substr"])
def substr(input: Any, pos: Any, len: Any, unit: str = "BYTE", name: str | None = None) -> Any:
    """`len` bytes (or characters) from `pos` of each string; a negative pos counts from the end."""
    return apply_op(SUBSTR, (input, pos, len), {"unit": unit}, name)


@public(v1=["substr", "strings.substr"])
def substr_v1(input: Any, pos: Any, len: Any, name: str | None = None, unit: str = "BYTE") -> Any:
    return substr(input, pos, len, unit, name)


# ---- joining ------------------------------------------------------------------------------------------------------


def _join_kernel(*texts: Any, separator: str) -> Any:
    glue = separator.encode()
    return each(lambda *parts: glue.join(parts), *texts)


def _join_shape(op: Operation) -> TensorShape:
    shape = TensorShape(())
    for tensor in op.inputs:
        if tensor.shape.rank is None:
            return UNKNOWN
        if tensor.shape.rank:
            if shape.rank and not shape.is_compatible_with(tensor.shape):
                _join_mismatch(shape, tensor.shape)
            shape = tensor.shape
    return shape


def _join_mismatch(left: TensorShape, right: TensorShape) -> None:
    from_left, from_right = list(left.dimensions or ()), list(right.dimensions or ())
    raise ShapeError(
        f"Dimension 0 in both shapes must be equal, but are {from_left[0]} and {from_right[0]}. Shapes are "
        f"{format_shape(left.dimensions)} and {format_shape(right.dimensions)}.",
        f"Input shapes do not match: {format_shape(left.dimensions)} vs. {format_shape(right.dimensions)}",
    )


JOIN = define(
    "StringJoin", "inputs: N*string -> output: string", "N: int, separator: string = ''",
    reference=_join_kernel, shape=_join_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public("strings.join", v1=["string_join"])
def string_join(inputs: Sequence[Any], separator: str = "", name: str | None = None) -> Any:
    """The strings of a list of tensors joined, element by element; scalars go with every element."""
    return apply_op(JOIN, (list(inputs),), {"separator": separator}, name)


def _reduce_join(text: Any, axes: Any, *, keep_dims: bool, separator: str) -> Any:
    array = np.asarray(text, object)
    glue = separator.encode()
    order = axes_tuple(axes, array.ndim)
    rest = [axis for axis in range(array.ndim) if axis not in order]
    moved = array.transpose([*rest, *order]).reshape(*[array.shape[axis] for axis in rest], -1)
    flat = moved.reshape(-1, moved.shape[-1]) if moved.size else np.empty((0, 0), object)
    joined = np.empty(int(np.prod([array.shape[axis] for axis in rest], dtype=int)), object)
    joined[:] = [glue.join(row) for row in flat] or b""
    shape = [1 if axis in order else size for axis, size in enumerate(array.shape)]
    return joined.reshape(shape if keep_dims else [array.shape[axis] for axis in rest])


REDUCE_JOIN = define(
    "ReduceJoin", "inputs: string, reduction_indices: int32 -> output: string", "keep_dims: bool = False, separator: string = ''",
    reference=_reduce_join, shape=reduced_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public(v2=["strings.reduce_join"])
def reduce_join(
    inputs: Any, axis: Any = None, keepdims: bool = False, separator: str = "", name: str | None = None
) -> Any:
    """The strings along `axis` (None: all, in row-major order; a list: in its order) joined into one."""
    inputs = convert_to_tensor(inputs)
    axes = all_axes(inputs) if axis is None else axis
    return apply_op(REDUCE_JOIN, (inputs, axes), {"keep_dims": bool(keepdims), "separator": separator}, name)


@public(v1=["reduce_join", "strings.reduce_join"])
def reduce_join_v1(
    inputs: Any, axis: Any = None, keep_dims: Any = None, separator: str = "", name: str | None = None,
    reduction_indices: Any = None, keepdims: Any = None,
) -> Any:  # fmt: skip
    chosen = reduction_indices if axis is None else axis
    if chosen is None:
        inputs = convert_to_tensor(inputs)
        chosen = list(reversed(range(inputs.shape.rank or 0)))
    return reduce_join(inputs, chosen, bool(keep_dims or keepdims), separator, name)


# ---- regular expressions --------------------------------------------------------------------------------------------


def _compiled(pattern: Any) -> re.Pattern[bytes]:
    text = pattern.encode() if isinstance(pattern, str) else bytes(np.asarray(pattern, object).item())
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"Invalid pattern: {text.decode(errors='backslashreplace')}, error: {error}") from None


def _replace(text: Any, pattern: Any, rewrite: Any, replace_global: bool) -> Any:
    expression = _compiled(pattern)
    target = rewrite.encode() if isinstance(rewrite, str) else np.asarray(rewrite, object).item()
    template = re.sub(rb"\\(?![0-9])", rb"\\\\", target).replace(b"\\0", b"\\g<0>")
    return each(lambda t: expression.sub(template, t, count=0 if replace_global else 1), text)


REGEX_REPLACE = define(
    "RegexReplace", "input: string, pattern: string, rewrite: string -> output: string", "replace_global: bool = True",
    reference=lambda text, pattern, rewrite, *, replace_global: _replace(text, pattern, rewrite, replace_global),
    shape=same_shape, gradient=NO_GRADIENT,
)  # fmt: skip
STATIC_REGEX_REPLACE = _string_op(
    "StaticRegexReplace",
    lambda text, *, pattern, rewrite, replace_global: _replace(text, pattern, rewrite, replace_global),
    "pattern: string, rewrite: string, replace_global: bool = True",
)
REGEX_FULL_MATCH = define(
    "RegexFullMatch", "input: string, pattern: string -> output: bool",
    reference=lambda text, pattern: _full_match(text, pattern), shape=same_shape, gradient=NO_GRADIENT,
)  # fmt: skip
STATIC_REGEX_FULL_MATCH = _string_op(
    "StaticRegexFullMatch", lambda text, *, pattern: _full_match(text, pattern), "pattern: string", "bool"
)


def _full_match(text: Any, pattern: Any) -> Any:
    expression = _compiled(pattern)
    return each(lambda t: expression.fullmatch(t) is not None, text, dtype=bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, bytes))


@public("strings.regex_replace", v1=["regex_replace"])
def regex_replace(input: Any, pattern: Any, rewrite: Any, replace_global: bool = True, name: str | None = None) -> Any:
    """Matches of `pattern` (as Python's re has them) replaced; \\1 in `rewrite` is the first group."""
    if _is_text(pattern) and _is_text(rewrite):
        attrs = {"pattern": pattern, "rewrite": rewrite, "replace_global": replace_global}
        return apply_op(STATIC_REGEX_REPLACE, (input,), attrs, name)
    return apply_op(REGEX_REPLACE, (input, pattern, rewrite), {"replace_global": replace_global}, name)


@public("strings.regex_full_match")
def regex_full_match(input: Any, pattern: Any, name: str | None = None) -> Any:
    """Whether the whole of each string matches `pattern`."""
    if _is_text(pattern):
        return apply_op(STATIC_REGEX_FULL_MATCH, (input,), {"pattern": pattern}, name)
    return apply_op(REGEX_FULL_MATCH, (input, pattern), name=name)


# ---- numbers --------------------------------------------------------------------------------------------------------


def _to_number(text: Any, *, out_type: dtypes.DType) -> Any:
    read: Callable[[bytes], Any] = int if out_type.is_integer else float

    def convert(t: bytes) -> Any:
        try:
            if b"_" in t:
                raise ValueError
            value = read(t.strip())
        except ValueError:
            raise ValueError(
                f"StringToNumberOp could not correctly convert string: {t.decode(errors='replace')}"
            ) from None
        if out_type.is_integer and not out_type.min <= value <= out_type.max:
            raise ValueError(f"StringToNumberOp could not correctly convert string: {t.decode()}")
        return value

    return each(convert, text, dtype=out_type.numpy_dtype)


TO_NUMBER = define(
    "StringToNumber", "string_tensor: string -> output: out_type", "out_type: {float32, float64, int32, int64, uint32, uint64} = float32",
    reference=_to_number, shape=same_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public(v2=["strings.to_number"])
def string_to_number(input: Any, out_type: Any = dtypes.float32, name: str | None = None) -> Any:
    """The numbers that the strings denote. InvalidArgumentError for a string that is none."""
    return apply_op(TO_NUMBER, (input,), {"out_type": dtypes.as_dtype(out_type)}, name)


@public(v1=["string_to_number", "strings.to_number"])
def string_to_number_v1(
    string_tensor: Any = None, out_type: Any = dtypes.float32, name: str | None = None, input: Any = None
) -> Any:
    return string_to_number(string_tensor if input is None else input, out_type, name)


def _as_string(value: Any, *, precision: int, scientific: bool, shortest: bool, width: int, fill: str) -> Any:
    kind = value.dtype.kind
    flags = (fill if fill in ("0", "-", " ", "+") else "") + (str(width) if width > -1 else "")

    def real(x: Any) -> str:
        letter = "e" if scientific else "g" if shortest else "f"
        body = f"%{flags}{f'.{precision}' if precision > -1 else ''}{letter}" % float(x)
        return body

    def text(x: Any) -> bytes:
        if kind == "b":
            return b"true" if x else b"false"
        if kind in "iu":
            return (f"%{flags}d" % int(x)).encode()
        if kind == "c":
            return f"({real(x.real)},{real(x.imag)})".encode()
        return real(x).encode()

    return each(text, value)


AS_STRING = define(
    "AsString", "input: T -> output: string",
    "T: type, precision: int = -1, scientific: bool = False, shortest: bool = False, width: int = -1, fill: string = ''",
    reference=_as_string, shape=same_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public("strings.as_string", v1=["as_string", "dtypes.as_string"])
def as_string(
    input: Any, precision: int = -1, scientific: bool = False, shortest: bool = False, width: int = -1, fill: str = "",
    name: str | None = None,
) -> Any:  # fmt: skip
    """Numbers and bools as text, as C's printf would print them."""
    attrs = {"precision": precision, "scientific": scientific, "shortest": shortest, "width": width, "fill": fill}
    value = convert_to_tensor(input)
    return value if value.dtype is dtypes.string else apply_op(AS_STRING, (value,), attrs, name)


# ---- formatting -----------------------------------------------------------------------------------------------------


def summary_text(value: Any, summarize: int) -> str:
    """A tensor as tf.print shows it: `summarize` elements at each end of each axis."""
    array = np.asarray(value)
    if array.ndim == 0:
        return _element_text(array[()])
    return _nested_text(array, summarize if summarize >= 0 else max(array.size, 1), 1)


def _element_text(element: Any) -> str:
    if isinstance(element, bytes):
        return '"' + element.decode(errors="backslashreplace") + '"'
    if isinstance(element, (bool, np.bool_)):
        return "1" if element else "0"
    if isinstance(element, np.complexfloating):
        return "?"
    if hasattr(element, "dtype") and element.dtype.kind not in "iu":
        return _shortest(element)
    return str(element)


def _shortest(element: Any) -> str:
    """The few digits that are always exact, if they are enough to read the number back; else the digits that always are."""
    few, enough, kind = (15, 17, np.float64) if element.dtype == np.float64 else (6, 9, np.float32)
    number = float(element)
    text = f"{number:.{few}g}"
    return text if kind(float(text)) == kind(number) or number != number else f"{number:.{enough}g}"


def _nested_text(array: Any, count: int, depth: int) -> str:
    size = array.shape[0]
    shown = list(range(size)) if size <= 2 * count else [*range(count), None, *range(size - count, size)]
    parts = []
    for index in shown:
        if index is None:
            parts.append("...")
        elif array.ndim == 1:
            parts.append(_element_text(array[index]))
        else:
            parts.append(_nested_text(array[index], count, depth + 1))
    glue = " " if array.ndim == 1 else "\n" * (array.ndim - 1) + " " * depth
    return "[" + glue.join(parts) + "]"


def _format(*values: Any, template: str, placeholder: str, summarize: int) -> Any:
    pieces = template.split(placeholder)
    text = pieces[0]
    for piece, value in zip(pieces[1:], values, strict=True):
        text += summary_text(value, summarize) + piece
    return np.asarray(text.encode(), object)


FORMAT = define(
    "StringFormat", "inputs: T... -> output: string",
    "T: list(type), template: string = '%s', placeholder: string = '%s', summarize: int = 3",
    reference=_format, shape=lambda op: TensorShape(()), gradient=NO_GRADIENT,
)  # fmt: skip


@public("strings.format")
def string_format(
    template: str, inputs: Any, placeholder: str = "{}", summarize: int = 3, name: str | None = None
) -> Any:
    """`template` with each placeholder replaced by a tensor of `inputs`. ValueError when their numbers differ."""
    values = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    if template.count(placeholder) != len(values):
        raise ValueError(
            f"The template expects {template.count(placeholder)} tensors, but the inputs only has {len(values)}. "
            "Please ensure the number of placeholders in template matches inputs length."
        )
    attrs = {"template": template, "placeholder": placeholder, "summarize": summarize}
    return apply_op(FORMAT, (values,), attrs, name)


# ---- hashes ---------------------------------------------------------------------------------------------------------

HASH = _string_op(
    "StringToHashBucket",
    lambda text, *, num_buckets: each(lambda t: murmur64(t) % num_buckets, text, dtype=np.int64),
    "num_buckets: int",
    "int64",
    "string_tensor",
)
HASH_FAST = _string_op(
    "StringToHashBucketFast",
    lambda text, *, num_buckets: each(lambda t: fingerprint64(t) % num_buckets, text, dtype=np.int64),
    "num_buckets: int",
    "int64",
)
HASH_STRONG = _string_op(
    "StringToHashBucketStrong",
    lambda text, *, num_buckets, key: each(lambda t: siphash(key, t) % num_buckets, text, dtype=np.int64),
    "num_buckets: int, key: list(int)",
    "int64",
)


@public(v2=["strings.to_hash_bucket"])
def to_hash_bucket(input: Any, num_buckets: int, name: str | None = None) -> Any:
    """A bucket in [0, num_buckets) for each string, by MurmurHash: int64. See to_hash_bucket_fast for new programs."""
    return apply_op(HASH, (input,), {"num_buckets": num_buckets}, name)


@public(v1=["string_to_hash_bucket", "strings.to_hash_bucket"])
def to_hash_bucket_v1(
    string_tensor: Any = None, num_buckets: int | None = None, name: str | None = None, input: Any = None
) -> Any:
    """As tf.strings.to_hash_bucket. ValueError without `num_buckets`."""
    if num_buckets is None:
        raise ValueError("to_hash_bucket needs num_buckets")
    return to_hash_bucket(string_tensor if input is None else input, num_buckets, name)


@public(v2=["strings.to_hash_bucket_fast"], v1=["string_to_hash_bucket_fast", "strings.to_hash_bucket_fast"])
def to_hash_bucket_fast(input: Any, num_buckets: int, name: str | None = None) -> Any:
    """A bucket in [0, num_buckets) for each string, by FarmHash: int64."""
    return apply_op(HASH_FAST, (input,), {"num_buckets": num_buckets}, name)


@public("strings.to_hash_bucket_strong", v1=["string_to_hash_bucket_strong"])
def to_hash_bucket_strong(input: Any, num_buckets: int, key: Sequence[int], name: str | None = None) -> Any:
    """A bucket for each string by keyed SipHash, which nobody without `key` (two integers) can aim at: int64."""
    if len(key) != 2:
        raise ValueError(f"Key must have 2 elements, got {list(key)}")
    return apply_op(HASH_STRONG, (input,), {"num_buckets": num_buckets, "key": tuple(key)}, name)


# ---- bytes ----------------------------------------------------------------------------------------------------------


def _encode_base64(text: Any, *, pad: bool) -> Any:
    def encode(t: bytes) -> bytes:
        coded = base64.urlsafe_b64encode(t)
        return coded if pad else coded.rstrip(b"=")

    return each(encode, text)


def _decode_base64(text: Any) -> Any:
    def decode(t: bytes) -> bytes:
        bare = t.rstrip(b"=")
        if len(bare) % 4 == 1:
            raise ValueError("Base64 string length cannot be 1 modulo 4")
        if not re.fullmatch(rb"[A-Za-z0-9_-]*", bare):
            raise ValueError("Invalid character found in base64.")
        return base64.urlsafe_b64decode(bare + b"=" * (-len(bare) % 4))

    return each(decode, text)


ENCODE_BASE64 = _string_op("EncodeBase64", _encode_base64, "pad: bool = False")
DECODE_BASE64 = _string_op("DecodeBase64", _decode_base64)


@public("io.encode_base64", v1=["encode_base64"])
def encode_base64(input: Any, pad: bool = False, name: str | None = None) -> Any:
    """Web-safe base64 of each string."""
    return apply_op(ENCODE_BASE64, (input,), {"pad": pad}, name)


@public("io.decode_base64", v1=["decode_base64"])
def decode_base64(input: Any, name: str | None = None) -> Any:
    """The strings that web-safe base64 stands for. InvalidArgumentError for what is none."""
    return apply_op(DECODE_BASE64, (input,), name=name)


def _decode_raw(text: Any, *, out_type: dtypes.DType, little_endian: bool) -> Any:
    array = np.asarray(text, object)
    dtype = out_type.numpy_dtype.newbyteorder("<" if little_endian else ">")
    sizes = {len(t) for t in array.ravel()}
    if len(sizes) > 1:
        raise ValueError(
            f"DecodeRaw requires input strings to all be the same size, but there are sizes {sorted(sizes)}"
        )
    size = sizes.pop() if sizes else 0
    if size % dtype.itemsize:
        raise ValueError(
            f"Input to DecodeRaw has length {size} that is not a multiple of {dtype.itemsize}, the size of {out_type.name}"
        )
    rows = np.frombuffer(b"".join(array.ravel().tolist()), dtype).astype(out_type.numpy_dtype)
    return rows.reshape(*array.shape, size // dtype.itemsize)


def _one_more(op: Operation) -> TensorShape:
    shape = op.inputs[0].shape
    return UNKNOWN if shape.dimensions is None else TensorShape([*shape.dimensions, None])


DECODE_RAW = define(
    "DecodeRaw", "bytes: string -> output: out_type",
    "out_type: {float16, float32, float64, int32, uint16, uint8, int16, int8, int64, complex64, complex128, bool, bfloat16}, "
    "little_endian: bool = True",
    reference=_decode_raw, shape=_one_more, gradient=NO_GRADIENT,
)  # fmt: skip


@public(v2=["io.decode_raw"])
def decode_raw(
    input_bytes: Any, out_type: Any, little_endian: bool = True, fixed_length: Any = None, name: str | None = None
) -> Any:
    """The bytes of each string as numbers, along a new last axis."""
    if fixed_length is not None:
        raise NotImplementedError("decode_raw: fixed_length is not supported")
    return apply_op(
        DECODE_RAW, (input_bytes,), {"out_type": dtypes.as_dtype(out_type), "little_endian": little_endian}, name
    )


@public(v1=["decode_raw", "io.decode_raw"])
def decode_raw_v1(
    input_bytes: Any = None,
    out_type: Any = None,
    little_endian: bool = True,
    name: str | None = None,
    bytes: Any = None,
) -> Any:
    return decode_raw(input_bytes if bytes is None else bytes, out_type, little_endian, None, name)


_CODECS = {
    "UTF-8": "utf-8",
    "UTF-16-BE": "utf-16-be",
    "UTF-32-BE": "utf-32-be",
    "US-ASCII": "ascii",
    "LATIN1": "latin-1",
}


def _transcode(text: Any, *, input_encoding: str, output_encoding: str, errors: str, replacement_char: int) -> Any:
    handler = {"strict": "strict", "replace": "replace", "ignore": "ignore"}[errors]

    def convert(t: bytes) -> bytes:
        try:
            decoded = t.decode(_CODECS.get(input_encoding, input_encoding), handler)
        except UnicodeDecodeError:
            raise ValueError(f"Invalid formatting on input string: {t!r}") from None
        return decoded.replace("\ufffd", chr(replacement_char)).encode(_CODECS[output_encoding], "replace")

    return each(convert, text)


TRANSCODE = _string_op(
    "UnicodeTranscode",
    _transcode,
    "input_encoding: string, output_encoding: string, errors: string = 'replace', replacement_char: int = 65533, "
    "replace_control_characters: bool = False",
)


@public("strings.unicode_transcode")
def unicode_transcode(
    input: Any, input_encoding: str, output_encoding: str, errors: str = "replace", replacement_char: int = 65533,
    replace_control_characters: bool = False, name: str | None = None,
) -> Any:  # fmt: skip
    """Each string from one encoding to another."""
    attrs = {
        "input_encoding": input_encoding, "output_encoding": output_encoding, "errors": errors,
        "replacement_char": replacement_char, "replace_control_characters": replace_control_characters,
    }  # fmt: skip
    return apply_op(TRANSCODE, (input,), attrs, name)
