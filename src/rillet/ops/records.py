"""TFRecord files: records of bytes, each with its length and checksums, in a row.

`read_records` is the reader for all who need one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import IO, Any

from rillet.core.crc32c import masked_crc32c_of_each
from rillet.core.export import export, public
from rillet.errors import DataLossError, FailedPreconditionError, InvalidArgumentError
from rillet.ops.files import as_path, file_errors

_HEADER = 12  # length, checksum of the length
_FOOTER = 4
_CHUNK = 1 << 18
_MOST_WAITING = 512


class TFRecordCompressionType:
    """How a file of records is compressed as a whole."""

    NONE = 0
    ZLIB = 1
    GZIP = 2


_NAMES = {TFRecordCompressionType.NONE: "", TFRecordCompressionType.ZLIB: "ZLIB", TFRecordCompressionType.GZIP: "GZIP"}
export(TFRecordCompressionType, v1=["io.TFRecordCompressionType", "python_io.TFRecordCompressionType"])


@public("io.TFRecordOptions", v1=["python_io.TFRecordOptions"])
class TFRecordOptions:
    """compression_type: "GZIP", "ZLIB", "" or None, or a TFRecordCompressionType. compression_level: 0 to 9.

    The other arguments are accepted: they say how a compressor uses its memory. ValueError for another compression.
    """

    compression_type_map = _NAMES

    def __init__(
        self,
        compression_type: Any = None,
        flush_mode: int | None = None,
        input_buffer_size: int | None = None,
        output_buffer_size: int | None = None,
        window_bits: int | None = None,
        compression_level: int | None = None,
        compression_method: int | None = None,
        mem_level: int | None = None,
        compression_strategy: int | None = None,
    ) -> None:
        self.get_compression_type_string(compression_type)
        self.compression_type = compression_type
        self.compression_level = compression_level

    @classmethod
    def get_compression_type_string(cls, options: Any) -> str:
        """ "", "ZLIB" or "GZIP". ValueError for anything else."""
        if not options:
            return ""
        if isinstance(options, TFRecordOptions):
            return cls.get_compression_type_string(options.compression_type)
        name = _NAMES.get(options, options)
        if name not in _NAMES.values():
            raise ValueError(f'Not a valid compression_type: "{options}"')
        return str(name)


# ---- writing --------------------------------------------------------------------------------------------------------


@public("io.TFRecordWriter", v1=["python_io.TFRecordWriter"])
class TFRecordWriter:
    """Writes records to a new file. Usable in a `with` block.

    options: a TFRecordOptions or the name of a compression.
    Raises NotFoundError, PermissionDeniedError ... for a path that cannot be written.
    """

    def __init__(self, path: Any, options: Any = None) -> None:
        name = TFRecordOptions.get_compression_type_string(options)
        level = getattr(options, "compression_level", None)
        self._path = as_path(path)
        self._waiting: list[bytes] = []
        self._size = 0
        self._compressor = _compressor(name, -1 if level is None else level)
        with file_errors(self._path):
            self._file: IO[bytes] | None = open(self._path, "wb")  # noqa: SIM115 - closed by close

    def write(self, record: Any) -> None:
        """Adds one record: bytes, or a string. FailedPreconditionError when the writer is closed."""
        if self._file is None:
            raise FailedPreconditionError(None, None, "Writer is closed.")
        data = record.encode() if isinstance(record, str) else bytes(record)
        self._waiting.append(data)
        self._size += len(data)
        if len(self._waiting) >= _MOST_WAITING or self._size >= _CHUNK:
            self._write_waiting()

    def _write_waiting(self) -> None:
        if self._waiting and self._file is not None:
            data = framed(self._waiting)
            self._waiting, self._size = [], 0
            with file_errors(self._path):
                self._file.write(data if self._compressor is None else self._compressor.compress(data))

    def flush(self) -> None:
        """Hands all records to the system."""
        if self._file is None:
            raise FailedPreconditionError(None, None, "Writer is closed.")
        self._write_waiting()
        with file_errors(self._path):
            if self._compressor is not None:
                self._file.write(self._compressor.flush(zlib.Z_SYNC_FLUSH))
            self._file.flush()

    def close(self) -> None:
        """Writes what remains and closes the file. A second call does nothing."""
        if self._file is None:
            return
        self._write_waiting()
        with file_errors(self._path):
            if self._compressor is not None:
                self._file.write(self._compressor.flush())
            self._file.close()
        self._file = None

    def __enter__(self) -> TFRecordWriter:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self.close()


def _compressor(name: str, level: int) -> Any:
    return zlib.compressobj(level, zlib.DEFLATED, 31 if name == "GZIP" else 15) if name else None


def framed(records: list[bytes]) -> bytes:
    """Records with their lengths and checksums."""
    lengths = [struct.pack("<Q", len(record)) for record in records]
    parts = []
    of_lengths, of_records = masked_crc32c_of_each(lengths), masked_crc32c_of_each(records)
    for length, length_crc, record, crc in zip(lengths, of_lengths, records, of_records, strict=True):
        parts += [length, struct.pack("<I", length_crc), record, struct.pack("<I", crc)]
    return b"".join(parts)


# ---- reading --------------------------------------------------------------------------------------------------------


def read_records(path: Any, compression: str = "") -> Iterator[bytes]:
    """The records of a file, in order. They are read and checked some at a time.

    compression: "", "ZLIB" or "GZIP".
    Raises NotFoundError and its like for the path; DataLossError, behind the records before it, for one that is damaged or
    cut off; InvalidArgumentError for another compression.
    """
    path = as_path(path)
    if compression not in _NAMES.values():
        raise InvalidArgumentError(None, None, f"Unsupported compression_type: {compression}.")
    start, rest = 0, b""
    for data in _chunks(path, compression):
        rest = rest + data if rest else data
        records, used, problem = _whole_records(rest)
        yield from records
        if problem:
            raise DataLossError(None, None, f"corrupted record at {start + used}: {path}: {problem}")
        start += used
        rest = rest[used:]
    if rest:
        raise DataLossError(None, None, f"truncated record at {start}: {path} ends in the middle of a record")


def _chunks(path: str, compression: str) -> Iterator[bytes]:
    """The file's bytes, uncompressed, some at a time. Each file is closed before the next chunk is asked for no more."""
    with file_errors(path):
        file = open(path, "rb")  # noqa: SIM115
    expand = zlib.decompressobj(31 if compression == "GZIP" else 15) if compression else None
    with file:
        while True:
            with file_errors(path):
                data = file.read(_CHUNK)
            if not data:
                break
            yield data if expand is None else _expanded(expand, data, path)
    if expand is not None and not expand.eof:
        raise DataLossError(None, None, f"{path} is cut off: its compressed data does not end")


def _expanded(expand: Any, data: bytes, path: str) -> bytes:
    try:
        result: bytes = expand.decompress(data)
    except zlib.error as error:
        raise DataLossError(None, None, f"{path} is no such compressed file, or is damaged: {error}") from None
    return result


def _whole_records(data: bytes) -> tuple[list[bytes], int, str]:
    """The records that begin `data`, how many bytes they take, and what is wrong with the next one ("" for nothing)."""
    lengths, records, checksums = [], [], []
    place, size = 0, len(data)
    while place + _HEADER <= size:
        (length, length_crc) = struct.unpack_from("<QI", data, place)
        end = place + _HEADER + length + _FOOTER
        if end > size and (length < _CHUNK or masked_crc32c_of_each([data[place : place + 8]]) == [length_crc]):
            break
        lengths.append(data[place : place + 8])
        records.append(data[place + _HEADER : end - _FOOTER])
        checksums.append((length_crc, int.from_bytes(data[end - _FOOTER : end], "little")))
        place = end
    found = zip(masked_crc32c_of_each(lengths), masked_crc32c_of_each(records), strict=True)
    used = 0
    for index, (have, want) in enumerate(zip(found, checksums, strict=True)):
        if have != want:
            what = "length" if have[0] != want[0] else "data"
            return records[:index], used, f"the checksum of its {what} is wrong"
        used += _HEADER + len(records[index]) + _FOOTER
    return records, used, ""


@public(v1=["io.tf_record_iterator", "python_io.tf_record_iterator"])
def tf_record_iterator(path: Any, options: Any = None) -> Iterator[bytes]:
    """The records of a file. options: a TFRecordOptions or the name of a compression. Raises as the file is read."""
    return read_records(path, TFRecordOptions.get_compression_type_string(options))
