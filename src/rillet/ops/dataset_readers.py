"""Datasets whose elements are read from files."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np

from rillet.errors import InvalidArgumentError
from rillet.ops.dataset_values import DatasetValue, Element
from rillet.ops.files import as_path, file_errors, matching_paths
from rillet.ops.records import read_records


class _Files(DatasetValue):
    """filenames: a string or a vector of them. compression: "", "ZLIB" or "GZIP"."""

    def __init__(self, filenames: Any, compression: str = "") -> None:
        self.paths = [as_path(name) for name in np.asarray(filenames, object).reshape(-1)]
        if compression not in ("", "ZLIB", "GZIP"):
            raise ValueError(f"Unsupported compression_type: {compression}.")
        self.compression = compression

    def elements(self) -> Iterator[Element]:
        for path in self.paths:
            for record in self._records(path):
                yield (record,)

    def _records(self, path: str) -> Iterator[bytes]:
        raise NotImplementedError

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[IO[bytes]]:
        """The file's bytes, uncompressed."""
        with file_errors(path):
            file = open(path, "rb")  # noqa: SIM115 - closed below; what whoever reads does is no error of the file
        with file:
            if self.compression == "GZIP":
                with gzip.GzipFile(fileobj=file) as expanded:
                    yield expanded  # type: ignore[misc]
            elif self.compression == "ZLIB":
                yield io.BytesIO(zlib.decompress(file.read()))
            else:
                yield file


class TextLines(_Files):
    def _records(self, path: str) -> Iterator[bytes]:
        with self._opened(path) as file:
            for line in file:
                line = line.removesuffix(b"\n")
                yield line.removesuffix(b"\r")


class Records(_Files):
    """Records of TFRecord files."""

    def _records(self, path: str) -> Iterator[bytes]:
        return read_records(path, self.compression)


class FixedLengthRecords(_Files):
    """Records of `record` bytes each, between the header and the footer of each file."""

    def __init__(self, filenames: Any, header: int, record: int, footer: int, compression: str = "") -> None:
        super().__init__(filenames, compression)
        if record < 1:
            raise ValueError("record_bytes must be positive")
        self.header, self.record, self.footer = header, record, footer

    def _records(self, path: str) -> Iterator[bytes]:
        with self._opened(path) as file:
            data = file.read()
        body = memoryview(data)[self.header : len(data) - self.footer]
        if len(body) % self.record:
            raise InvalidArgumentError(
                None,
                None,
                f"Excess data in file: {path} has {len(body)} bytes between header and footer, which is no multiple of "
                f"the {self.record} bytes of a record.",
            )
        for start in range(0, len(body), self.record):
            yield bytes(body[start : start + self.record])


class CommaSeparated(_Files):
    """Rows of comma-separated values, a component for each column that is chosen.

    defaults: what an empty field becomes; an empty array where a field must not be empty.
    """

    def __init__(
        self,
        filenames: Any,
        compression: str,
        has_header: bool,
        delimiter: str,
        has_quotes: bool,
        missing: str,
        chosen: Sequence[int],
        defaults: Sequence[Any],
        kinds: Sequence[Any],
    ) -> None:
        super().__init__(filenames, compression)
        self.has_header, self.delimiter, self.missing = has_header, delimiter, missing
        self.quoting: Any = csv.QUOTE_MINIMAL if has_quotes else csv.QUOTE_NONE
        self.chosen, self.defaults, self.kinds = chosen, defaults, kinds

    def elements(self) -> Iterator[Element]:
        for path in self.paths:
            with self._opened(path) as data:
                file = io.TextIOWrapper(data, "utf-8", newline="")
                rows = csv.reader(file, delimiter=self.delimiter, quoting=self.quoting)
                if self.has_header:
                    next(rows, None)
                for number, row in enumerate(rows, 1 + self.has_header):
                    yield self._element(row, path, number)

    def _element(self, row: Sequence[str], path: str, number: int) -> Element:
        places = self.chosen or range(len(row))
        if len(places) != len(self.defaults) or (self.chosen and max(self.chosen) >= len(row)):
            expected = len(self.defaults) if not self.chosen else max(self.chosen) + 1
            raise InvalidArgumentError(
                None, None, f"Expect {expected} fields but have {len(row)} in record (line {number} of {path})"
            )
        columns = zip(places, self.defaults, self.kinds, strict=True)
        return tuple(self._field(row[place], default, kind, place) for place, default, kind in columns)

    def _field(self, text: str, default: Any, kind: Any, place: int) -> Any:
        if text in ("", self.missing):
            default = np.asarray(default)
            if not default.size:
                raise InvalidArgumentError(None, None, f"Field {place} is required but missing in record!")
            return default.reshape(-1)[0]
        if kind.hasobject:
            return text.encode()
        try:
            return kind.type(text.strip())
        except ValueError:
            raise InvalidArgumentError(
                None, None, f"Field {place} in record is not a valid {kind.name}: {text}"
            ) from None


class MatchingFiles(DatasetValue):
    """The names of the files that patterns match, sorted."""

    def __init__(self, patterns: Any) -> None:
        self.patterns = [as_path(pattern) for pattern in np.asarray(patterns, object).reshape(-1)]

    def elements(self) -> Iterator[Element]:
        names = {name for pattern in self.patterns for name in matching_paths(pattern)}
        return ((name.encode(),) for name in sorted(names))
