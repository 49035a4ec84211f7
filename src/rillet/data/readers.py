"""Datasets of what files hold."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.data.dataset import Dataset
from rillet.frontend.function import TensorSpec
from rillet.ops import dataset as ops
from rillet.ops.files import as_path, matching_paths
from rillet.ops.records import TFRecordWriter as _Writer

_STRING = TensorSpec((), dtypes.string)
_BUFFER = 256 << 10


def _names(filenames: Any) -> Any:
    """File names, or the only element of a dataset of them."""
    if isinstance(filenames, Dataset):
        return filenames
    if isinstance(filenames, (list, tuple)):
        filenames = [as_path(name) if not hasattr(name, "dtype") else name for name in filenames]
    elif not hasattr(filenames, "dtype"):
        filenames = as_path(filenames)
    tensor = convert_to_tensor(filenames, dtypes.string, name="filenames")
    if tensor.dtype is not dtypes.string:
        raise TypeError("The `filenames` argument must contain `tf.string` elements.")
    return tensor


class _Reader(Dataset):
    """A dataset that is made by calling its class."""

    def _read(self, definition: Any, filenames: Any, inputs: tuple[Any, ...]) -> None:
        names = _names(filenames)
        if isinstance(names, Dataset):
            made = names.flat_map(lambda name: Dataset._of(definition, (name, *inputs), _STRING))
        else:
            made = Dataset._of(definition, (names, *inputs), _STRING)
        super().__init__(made._variant_tensor, _STRING)


def _text(value: Any) -> Any:
    return convert_to_tensor(value or "", dtypes.string, name="compression_type")


def _size(value: Any) -> Any:
    return convert_to_tensor(_BUFFER if value is None else value, dtypes.int64, name="buffer_size")


@public("data.TextLineDataset")
class TextLineDataset(_Reader):
    """The lines of text files, without their ends.

    filenames: a string, several, or a dataset of them. compression_type: "", "ZLIB" or "GZIP".
    Going through it raises NotFoundError for a file that is not there.
    """

    def __init__(
        self, filenames: Any, compression_type: Any = None, buffer_size: Any = None, num_parallel_reads: Any = None,
        name: str | None = None,
    ) -> None:  # fmt: skip
        self._read(ops.TEXT_LINE, filenames, (_text(compression_type), _size(buffer_size)))


@public("data.TFRecordDataset")
class TFRecordDataset(_Reader):
    """The records of TFRecord files. See TextLineDataset; DataLossError for a damaged file."""

    def __init__(
        self, filenames: Any, compression_type: Any = None, buffer_size: Any = None, num_parallel_reads: Any = None,
        name: str | None = None,
    ) -> None:  # fmt: skip
        self._read(ops.RECORD, filenames, (_text(compression_type), _size(buffer_size)))


@public("data.FixedLengthRecordDataset")
class FixedLengthRecordDataset(_Reader):
    """The records of binary files, record_bytes each, between a header and a footer."""

    def __init__(
        self, filenames: Any, record_bytes: Any, header_bytes: Any = None, footer_bytes: Any = None,
        buffer_size: Any = None, compression_type: Any = None, num_parallel_reads: Any = None, name: str | None = None,
    ) -> None:  # fmt: skip
        sizes = [convert_to_tensor(size or 0, dtypes.int64) for size in (header_bytes, record_bytes, footer_bytes)]
        self._read(ops.FIXED_LENGTH_RECORD, filenames, (*sizes, _size(buffer_size), _text(compression_type)))


@public("data.experimental.CsvDataset")
class CsvDataset(Dataset):
    """The rows of CSV files: a tuple with a component for each column.

    record_defaults: for each column its dtype, or a value that stands for empty fields. select_cols: numbers of columns.
    """

    def __init__(
        self, filenames: Any, record_defaults: Sequence[Any], compression_type: Any = None, buffer_size: Any = None,
        header: bool = False, field_delim: str = ",", use_quote_delim: bool = True, na_value: str = "",
        select_cols: Any = None, exclude_cols: Any = None,
    ) -> None:  # fmt: skip
        if select_cols is not None and exclude_cols is not None:
            raise ValueError("Either select_cols or exclude_cols should be provided, but not both.")
        defaults = [_default(each) for each in record_defaults]
        spec = tuple(TensorSpec((), default.dtype) for default in defaults)
        chosen = [] if select_cols is None else list(select_cols)
        inputs = (
            _names(filenames), _text(compression_type), _size(buffer_size), convert_to_tensor(header, dtypes.bool),
            convert_to_tensor(field_delim, dtypes.string), convert_to_tensor(use_quote_delim, dtypes.bool),
            convert_to_tensor(na_value, dtypes.string), convert_to_tensor(np.array(chosen, np.int64)), defaults,
        )  # fmt: skip
        made = Dataset._of(ops.COMMA_SEPARATED, inputs, spec)
        super().__init__(made._variant_tensor, spec)


def _default(value: Any) -> Any:
    if isinstance(value, (dtypes.DType, type)):
        kind = dtypes.as_dtype(value)
        return convert_to_tensor(np.empty(0, kind.numpy_dtype), kind)
    tensor = convert_to_tensor(value)
    return tensor if tensor.shape.rank == 1 else convert_to_tensor([tensor.numpy()], tensor.dtype)


@public("data.experimental.TFRecordWriter")
class TFRecordWriter:
    """Writes a dataset of strings to a TFRecord file."""

    def __init__(self, filename: Any, compression_type: Any = None) -> None:
        self._filename, self._compression = filename, compression_type

    def write(self, dataset: Any) -> None:
        """TypeError if the elements are no strings."""
        if not isinstance(dataset, Dataset) or dataset.element_spec != _STRING:
            raise TypeError("Invalid `dataset`: its elements must be scalar strings.")
        with _Writer(self._filename, self._compression) as writer:
            for record in dataset.as_numpy_iterator():
                writer.write(record)


@public("data.experimental.make_csv_dataset")
def make_csv_dataset(
    file_pattern: Any, batch_size: int, column_names: Sequence[str] | None = None, column_defaults: Any = None,
    label_name: str | None = None, select_columns: Any = None, field_delim: str = ",", use_quote_delim: bool = True,
    na_value: str = "", header: bool = True, num_epochs: int | None = None, shuffle: bool = True,
    shuffle_buffer_size: int = 10000, shuffle_seed: int | None = None, prefetch_buffer_size: Any = None,
    num_parallel_reads: Any = None, sloppy: bool = False, num_rows_for_inference: int | None = 100,
    compression_type: Any = None, ignore_errors: bool = False, encoding: str = "utf-8",
) -> Dataset:  # fmt: skip
    """Batches of the rows of CSV files: dicts of columns, with the label apart if label_name is given.

    What is not said of the columns is found out from the first rows: int32, int64, float32, float64 or string.
    ValueError if no file matches or a name is no column's.
    """
    patterns = [file_pattern] if isinstance(file_pattern, (str, bytes)) else list(file_pattern)
    paths = sorted(path for pattern in patterns for path in matching_paths(as_path(pattern)))
    if not paths:
        raise ValueError(f"No files match `file_pattern` {file_pattern}.")
    rows = _first_rows(paths[0], field_delim, use_quote_delim, num_rows_for_inference, encoding)
    names = list(column_names) if column_names is not None else rows[0]
    sample = rows[1:] if header else rows
    if label_name is not None and label_name not in names:
        raise ValueError("`label_name` provided must be one of the columns.")
    chosen = list(range(len(names)))
    if select_columns is not None:
        chosen = sorted(names.index(each) if isinstance(each, str) else each for each in select_columns)
    defaults = column_defaults
    if defaults is None:
        defaults = [_guessed([row[place] for row in sample if place < len(row)], na_value) for place in chosen]
    data = CsvDataset(paths, defaults, compression_type, None, header, field_delim, use_quote_delim, na_value, chosen)
    keys = [names[place] for place in chosen]

    def as_features(*columns: Any) -> Any:
        features = dict(zip(keys, columns, strict=True))
        return features if label_name is None else (features, features.pop(label_name))

    made: Dataset = data.ignore_errors() if ignore_errors else data
    if shuffle:
        made = made.shuffle(shuffle_buffer_size, shuffle_seed)
    if num_epochs != 1:
        made = made.repeat(num_epochs)
    return made.batch(batch_size, drop_remainder=num_epochs is None).map(as_features).prefetch(prefetch_buffer_size)


def _first_rows(path: str, delimiter: str, quotes: bool, count: int | None, encoding: str) -> list[list[str]]:
    with open(path, newline="", encoding=encoding) as file:
        rows = csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE)
        return [row for row, _ in zip(rows, range((count or 100) + 1), strict=False)]


def _guessed(texts: Sequence[str], missing: str) -> Any:
    """A default of the narrowest dtype that all these fit."""
    known = [text for text in texts if text not in ("", missing)]
    for kind in (np.int32, np.int64, np.float32, np.float64):
        if all(_fits(text, kind) for text in known):
            return convert_to_tensor(np.zeros(1, kind))
    return convert_to_tensor([b""], dtypes.string)


def _fits(text: str, kind: Any) -> bool:
    try:
        number = (int if np.issubdtype(kind, np.integer) else float)(text)
        return kind is np.float64 or not np.isinf(kind(number)) or "inf" in text.lower()
    except (ValueError, OverflowError):
        return False
