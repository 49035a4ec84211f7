"""String rows."""

from __future__ import annotations

import functools
import tempfile
from typing import Any

from tests.ops.harness import Bad, Row
from tests.ops.inputs import Input, anything, boolean, index, texts, values

ONLY = ("string",)
WORDS = ["tensor", "", " Flow ", "a,b,,c", "grün", "日本", "42"]
NUMERALS = ["1", "-2", "+30", " 4 "]


def string_row(name: str, call: object, *inputs: Input, **common: object) -> Row:
    """A row of a function of strings: not differentiable."""
    return Row(name, call, list(inputs), common.pop("dtypes", ONLY), wrt=(), **common)  # type: ignore[arg-type]


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    """A folder that is removed with the interpreter."""
    return tempfile.TemporaryDirectory()


def written(tf: Any, text: Any) -> Any:
    """A file written and read again, and the names of the files beside it."""
    folder = _directory().name
    with tf.control_dependencies([] if (wrote := tf.io.write_file(f"{folder}/a/one.txt", text)) is None else [wrote]):
        return [
            tf.io.read_file(f"{folder}/a/one.txt"),
            tf.strings.regex_replace(tf.io.matching_files(f"{folder}/*/o?e.txt"), ".*/", ""),
            tf.io.matching_files([f"{folder}/a/*.csv", f"{folder}/b/*"]),
        ]


ROWS = [
    string_row(
        "strings.length",
        lambda tf, s: [tf.strings.length(s), tf.strings.length(s, unit="UTF8_CHAR")],
        texts(WORDS),
        variants={"scalar": [texts("été")], "matrix": [texts([["a", "bc"]])]},
        smoke=True,
    ),
    string_row("strings.lower", lambda tf, s: [tf.strings.lower(s), tf.strings.upper(s)], texts(["aBc", "ÀÉ", ""])),
    string_row(
        "strings.lower[utf-8]",
        lambda tf, s: [tf.strings.lower(s, encoding="utf-8"), tf.strings.upper(s, encoding="utf-8")],
        texts(["aBc", "ÀÉ", "ß"]),
    ),
    string_row("strings.strip", lambda tf, s: tf.strings.strip(s), texts([*WORDS, "\t x\n"])),
    string_row(
        "strings.join",
        lambda tf, s, t: [tf.strings.join([s, t]), tf.strings.join([s, t, "!"], separator="-")],
        texts(["a", "b"]),
        texts(["x", ""]),
        variants={"broadcast": [None, texts("y")]},
        smoke=True,
        errors=[
            Bad(
                lambda tf, s, t: tf.strings.join([s, t]),
                [["a", "b"], ["a", "b", "c"]],
                ("InvalidArgumentError", "Input shapes do not match: [2] vs. [3]"),
                ("ValueError", "Dimension 0 in both shapes must be equal"),
            )
        ],
    ),
    string_row("operators.string", lambda tf, s, t: [s + t, tf.add(s, "x")], texts(["a", "b"]), texts(["x", ""])),
    string_row(
        "strings.reduce_join",
        lambda tf, s: [
            tf.strings.reduce_join(s),
            tf.strings.reduce_join(s, axis=0),
            tf.strings.reduce_join(s, axis=1, keepdims=True, separator=","),
        ],
        texts([["a", "b"], ["c", "d"]]),
        unknown_shapes=False,
    ),
    string_row(
        "compat.v1.reduce_join",
        lambda tf, s: tf.compat.v1.reduce_join(s, axis=[1, 0], separator="+"),
        texts([["a", "b"], ["c", "d"]]),
    ),
    string_row(
        "strings.unsorted_segment_join",
        lambda tf, s: tf.strings.unsorted_segment_join(s, [1, 0, 1], num_segments=3, separator=":"),
        texts(["a", "b", "c"]),
    ),
    string_row(
        "compat.v1.string_split", lambda tf, s: tf.compat.v1.string_split(s, delimiter=", "), texts(["a,b c", "", "d"])
    ),
    string_row(
        "compat.v1.strings.split",
        lambda tf, s: tf.compat.v1.strings.split(s, sep=",", result_type="SparseTensor"),
        texts(["a,b", "d"]),
        unknown_shapes=False,
    ),
    string_row(
        "raw_ops.StringSplit",
        lambda tf, s: [
            *tf.raw_ops.StringSplit(input=s, delimiter=", "),
            *tf.raw_ops.StringSplit(input=s, delimiter=",", skip_empty=False),
            *tf.raw_ops.StringSplit(input=s, delimiter=""),
        ],
        texts(["a,b c", "", ",d,,e"]),
    ),
    string_row(
        "raw_ops.StringSplitV2",
        lambda tf, s: [
            *tf.raw_ops.StringSplitV2(input=s, sep=""),
            *tf.raw_ops.StringSplitV2(input=s, sep=","),
            *tf.raw_ops.StringSplitV2(input=s, sep="::", maxsplit=1),
        ],
        texts(["a,b  c", "", " x::y::z,", "::"]),
    ),
    string_row(
        "compat.v1.strings.split[white space]",
        lambda tf, s: tf.compat.v1.strings.split(s, maxsplit=1),
        texts(["a b c", "", "d e"]),
        unknown_shapes=False,
    ),
    string_row("strings.split", lambda tf, s: tf.strings.split(s), texts("a bc  d"), unknown_shapes=False),
    string_row(
        "strings.unsorted_segment_join[empty segment]",
        lambda tf, s, i: tf.strings.unsorted_segment_join(s, i, 4, separator=":"),
        texts(["a", "b", "", "d"]),
        index(3, 4),
    ),
    string_row(
        "strings.substr",
        lambda tf, s: [tf.strings.substr(s, 1, 3), tf.strings.substr(s, -2, 2)],
        texts(["tensor", "flow"]),
        variants={"scalar": [texts("stream")]},
        errors=[
            Bad(
                lambda tf, s: tf.strings.substr(s, 5, 1),
                [["ab"]],
                ("InvalidArgumentError", "pos 5 out of range for string b'ab' at index 0"),
                ("InvalidArgumentError", "pos 5 out of range for string b'ab' at index 0"),
            )
        ],
    ),
    string_row(
        "strings.substr[utf-8]", lambda tf, s: tf.strings.substr(s, 1, 2, unit="UTF8_CHAR"), texts(["日本語", "grün"])
    ),
    string_row(
        "strings.substr[tensors]",
        lambda tf, s, p, n: tf.strings.substr(s, p, n),
        texts(["tensor", "stream"]),
        values([1, 2], "int32"),
        values([2, 9], "int32"),
    ),
    string_row(
        "strings.regex_replace",
        lambda tf, s: [
            tf.strings.regex_replace(s, "[aeiou]", "_"),
            tf.strings.regex_replace(s, "(t)(e)", "\\2\\1", replace_global=False),
            tf.strings.regex_replace(s, "^\\s+|\\s+$", ""),
        ],
        texts(["tensor te", " a ", ""]),
    ),
    string_row(
        "strings.regex_full_match",
        lambda tf, s: [tf.strings.regex_full_match(s, "[a-z]+"), tf.strings.regex_full_match(s, "t.*")],
        texts(["tensor", "T1", ""]),
        errors=[
            Bad(
                lambda tf, s: tf.strings.regex_full_match(s, "("),
                [["a"]],
                ("InvalidArgumentError", "Invalid pattern"),
                ("InvalidArgumentError", "Invalid pattern"),
            )
        ],
    ),
    string_row(
        "raw_ops.RegexReplace",
        lambda tf, s, p: [
            tf.raw_ops.RegexReplace(input=s, pattern=p, rewrite="#"),
            tf.raw_ops.RegexFullMatch(input=s, pattern=p),
        ],
        texts(["a1b22", "77"]),
        texts("[0-9]+"),
    ),
    string_row(
        "raw_ops.StaticRegexReplace",
        lambda tf, s: [
            tf.raw_ops.StaticRegexReplace(input=s, pattern="[0-9]+", rewrite="#"),
            tf.raw_ops.StaticRegexFullMatch(input=s, pattern="[0-9]+"),
        ],
        texts(["a1b22", "77"]),
    ),
    *(
        string_row(
            f"strings.to_number[{name}]", lambda tf, s, name=name: tf.strings.to_number(s, name), texts(numerals)
        )
        for name, numerals in (
            ("float32", [*NUMERALS, "2.5e3", "inf", "-.5"]),
            ("float64", [*NUMERALS, "1e-300"]),
            ("int32", NUMERALS),
            ("int64", [*NUMERALS, "9000000000"]),
        )
    ),
    string_row(
        "strings.to_number[bad]",
        lambda tf, s: tf.strings.to_number(s),
        texts(["1"]),
        errors=[
            Bad(
                lambda tf, s: tf.strings.to_number(s),
                [["1", "x"]],
                ("InvalidArgumentError", "StringToNumberOp could not correctly convert string: x"),
                ("InvalidArgumentError", "StringToNumberOp could not correctly convert string: x"),
            )
        ],
    ),
    string_row(
        "strings.as_string",
        lambda tf, x: tf.strings.as_string(x),
        anything(2, 3),
        dtypes=("int32", "int64", "float32", "float64", "bool", "uint8", "int8", "complex64"),
        smoke=True,
    ),
    string_row(
        "strings.as_string[format]",
        lambda tf, x: [
            tf.strings.as_string(x, precision=2),
            tf.strings.as_string(x, scientific=True),
            tf.strings.as_string(x, shortest=True),
            tf.strings.as_string(x, width=10),
            tf.strings.as_string(x, precision=1, width=8, fill="0"),
        ],
        anything(3),
        dtypes=("float32", "float64"),
    ),
    string_row(
        "strings.as_string[integers]",
        lambda tf, x: [tf.strings.as_string(x, width=5), tf.strings.as_string(x, width=4, fill="0")],
        anything(3),
        dtypes=("int32", "int64"),
    ),
    string_row(
        "strings.format",
        lambda tf, x: [tf.strings.format("x is {}", x), tf.strings.format("{} and {}", [x, x])],
        anything(2),
        dtypes=("int32", "float32"),
    ),
    string_row(
        "strings.format[long]",
        lambda tf, x: tf.strings.format("{}", x, summarize=2),
        values(list(range(24))),
        variants={"matrix": [values([[1, 2, 3], [4, 5, 6]])], "scalar": [values(3)]},
        dtypes=("int32",),
    ),
    string_row(
        "strings.format[strings]",
        lambda tf, s: tf.strings.format("<{}>", s),
        texts(["a", "b"]),
        variants={"scalar": [texts("c")]},
    ),
    string_row(
        "strings.to_hash_bucket_fast",
        lambda tf, s: [tf.strings.to_hash_bucket_fast(s, 1000), tf.strings.to_hash_bucket_fast(s, 2**40)],
        texts([*WORDS, "a longer text of more than thirty-two bytes, to reach the loop", "x" * 70, "y" * 130]),
    ),
    string_row("strings.to_hash_bucket", lambda tf, s: tf.strings.to_hash_bucket(s, 997), texts([*WORDS, "x" * 70])),
    string_row(
        "strings.to_hash_bucket_strong",
        lambda tf, s: tf.strings.to_hash_bucket_strong(s, 2**40, [11, 22]),
        texts([*WORDS, "x" * 70]),
    ),
    string_row(
        "io.encode_base64",
        lambda tf, s: [
            tf.io.encode_base64(s),
            tf.io.encode_base64(s, pad=True),
            tf.io.decode_base64(tf.io.encode_base64(s)),
        ],
        texts([b"a", b"\x00\xff\xfe", b"", b"abcd"]),
    ),
    string_row(
        "io.decode_base64",
        lambda tf, s: tf.io.decode_base64(s),
        texts([b"YQ", b"AP_-"]),
        errors=[
            Bad(
                lambda tf, s: tf.io.decode_base64(s),
                [["?"]],
                ("InvalidArgumentError", "Base64 string length cannot be 1 modulo 4"),
                ("InvalidArgumentError", "Base64 string length cannot be 1 modulo 4"),
            )
        ],
    ),
    string_row(
        "io.decode_raw",
        lambda tf, s: [
            tf.io.decode_raw(s, tf.uint8),
            tf.io.decode_raw(s, tf.int16),
            tf.io.decode_raw(s, tf.float32, little_endian=False),
        ],
        texts([b"\x00\x01\x02\x03", b"\xff\xfe\x3f\x80"]),
    ),
    string_row(
        "strings.unicode_transcode",
        lambda tf, s: [
            tf.strings.unicode_transcode(s, "UTF-8", "UTF-16-BE"),
            tf.strings.unicode_transcode(s, "UTF-8", "UTF-8"),
        ],
        texts(["grün", "日本"]),
    ),
    string_row(
        "string equality",
        lambda tf, s, t: [tf.equal(s, t), tf.not_equal(s, t)],
        texts(["a", "b"]),
        texts(["a", "c"]),
        variants={"scalar": [None, texts("b")]},
    ),
    string_row(
        "string array",
        lambda tf, s, i, m: [
            tf.gather(s, i),
            tf.boolean_mask(s, m),
            tf.concat([s, s], 0),
            tf.reverse(s, [0]),
            tf.fill([2], "x"),
            tf.size(s),
        ],
        texts(["a", "b", "c"]),
        index(3, 2),
        boolean(3, dtype="bool"),
        unknown_shapes=False,
    ),
    string_row(
        "strings.edit_distance",
        lambda tf, x: tf.edit_distance(tf.sparse.from_dense(x), tf.sparse.from_dense(x + 1)),
        values([[1, 2, 3]], "int64"),
        dtypes=("int64",),
        unknown_shapes=False,
    ),
    string_row(
        "io.write_file",
        written,
        texts("two\nlines"),
        variants={"empty": [texts("")], "unicode": [texts("grün")]},
        errors=[
            Bad(
                lambda tf, s: tf.io.read_file(tf.strings.join([_directory().name, "/", s])),
                ["missing"],
                ("NotFoundError", "No such file or directory"),
                ("NotFoundError", "No such file or directory"),
            )
        ],
    ),
]
