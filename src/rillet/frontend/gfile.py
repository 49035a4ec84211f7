"""tf.io.gfile and tf.gfile: files and folders of this machine, with errors of tf.errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from rillet import errors
from rillet.core.export import export, public
from rillet.ops.files import as_path, file_errors, matching_paths

_MODES = ("r", "w", "a", "r+", "w+", "a+")


@public("io.gfile.GFile", v1=["gfile.GFile", "gfile.Open", "gfile.FastGFile"])
class GFile:
    """A file, opened when it is first used. With "b" in the mode it reads bytes, otherwise text (UTF-8).

    Raises InvalidArgumentError for another mode; NotFoundError, FailedPreconditionError (a folder), PermissionDeniedError
    when the file is used.
    """

    def __init__(self, name: Any, mode: str = "r") -> None:
        self._name = name
        self._mode = mode
        plain = mode.replace("b", "")
        if plain not in _MODES:
            allowed = " or ".join(map(repr, _MODES))
            raise errors.InvalidArgumentError(None, None, f"mode is not {allowed}")
        self._reads = plain == "r" or "+" in plain
        self._writes = plain != "r"
        self._file: IO[bytes] | None = None

    @property
    def name(self) -> Any:
        return self._name

    @property
    def mode(self) -> str:
        return self._mode

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            path = as_path(self._name)
            with file_errors(path):
                self._file = open(path, self._mode.replace("b", "") + "b")  # noqa: SIM115
        return self._file

    def _for_reading(self) -> IO[bytes]:
        if not self._reads:
            raise errors.PermissionDeniedError(None, None, "File isn't open for reading")
        return self._opened()

    def _value(self, data: bytes) -> Any:
        return data if "b" in self._mode else data.decode()

    def read(self, n: int = -1) -> Any:
        """The rest of the file, or its next n bytes."""
        return self._value(self._for_reading().read(n))

    def readline(self) -> Any:
        """The next line with its "\\n"; empty at the end."""
        line = self._for_reading().readline()
        return self._value(line[:-2] + b"\n" if line.endswith(b"\r\n") else line)

    def readlines(self) -> list[Any]:
        return list(self)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def write(self, file_content: Any) -> None:
        """Writes text or bytes, whatever the mode."""
        if not self._writes:
            raise errors.PermissionDeniedError(None, None, "File isn't open for writing")
        if not isinstance(file_content, (bytes, bytearray, str)):
            raise TypeError(f"Expected binary or unicode string, got {file_content!r}")
        self._opened().write(file_content.encode() if isinstance(file_content, str) else file_content)

    def size(self) -> int:
        """The size of the file in bytes."""
        self.flush()
        return stat(self._name).length

    def seek(self, offset: int | None = None, whence: int = 0, position: int | None = None) -> None:
        """Moves to a byte, counted from the start (whence 0), from here (1) or from the end (2)."""
        if offset is None and position is None:
            raise TypeError("seek(): offset argument required")
        if whence not in (0, 1, 2):
            raise errors.InvalidArgumentError(
                None, None, f"Invalid whence argument: {whence}. Valid values are 0, 1, or 2."
            )
        where = position if offset is None else offset
        assert where is not None
        with file_errors(as_path(self._name)):
            self._opened().seek(where, whence)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._opened().tell()

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Closes the file; what was written is on disk. Using the file again opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:  # programs write GFile(name).read()
            self.close()

    def __enter__(self) -> GFile:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._writes and exc_info[0] is None:
            self._opened()
        self.close()


@dataclass(frozen=True)
class FileStatistics:
    """length: in bytes. mtime_nsec: when the file was changed, in nanoseconds since 1970."""

    length: int
    mtime_nsec: int
    is_directory: bool


@public("io.gfile.exists")
def exists(path: Any) -> bool:
    return os.path.exists(as_path(path))


@public("io.gfile.isdir")
def isdir(path: Any) -> bool:
    return os.path.isdir(as_path(path))


@public("io.gfile.stat")
def stat(path: Any) -> FileStatistics:
    """Size, time and kind of a file. NotFoundError."""
    name = as_path(path)
    with file_errors(name):
        found = os.stat(name)
    return FileStatistics(found.st_size, found.st_mtime_ns, os.path.isdir(name))


@public("io.gfile.mkdir")
def mkdir(path: Any) -> None:
    """Makes a folder in one that exists. NotFoundError where that is missing; a folder already there may stay."""
    name = as_path(path)
    with file_errors(name):
        if not os.path.isdir(name):
            os.mkdir(name)


@public("io.gfile.makedirs")
def makedirs(path: Any) -> None:
    """Makes a folder, and those it lies in."""
    name = as_path(path)
    with file_errors(name):
        if name:
            os.makedirs(name, exist_ok=True)


@public("io.gfile.remove")
def remove(path: Any) -> None:
    """Deletes a file. NotFoundError; FailedPreconditionError for a folder."""
    name = as_path(path)
    if os.path.isdir(name) and not os.path.islink(name):
        raise errors.FailedPreconditionError(None, None, f"{name}; Is a directory")
    with file_errors(name):
        os.remove(name)


@public("io.gfile.rmtree")
def rmtree(path: Any) -> None:
    """Deletes a folder with all that is in it. NotFoundError."""
    name = as_path(path)
    with file_errors(name):
        if os.path.isfile(name) or os.path.islink(name):
            os.remove(name)
        else:
            import shutil  # slow to load

            shutil.rmtree(name)


@public("io.gfile.copy")
def copy(src: Any, dst: Any, overwrite: bool = False) -> None:
    """Copies a file. AlreadyExistsError where `dst` exists and may not be overwritten."""
    source, target = as_path(src), as_path(dst)
    if not overwrite and os.path.exists(target):
        raise errors.AlreadyExistsError(None, None, "file already exists")
    with file_errors(target if os.path.exists(source) else source):
        import shutil  # slow to load

        shutil.copyfile(source, target)


@public("io.gfile.rename")
def rename(src: Any, dst: Any, overwrite: bool = False) -> None:
    """Moves a file or folder. AlreadyExistsError where `dst` exists and may not be overwritten."""
    source, target = as_path(src), as_path(dst)
    if not overwrite and os.path.exists(target):
        raise errors.AlreadyExistsError(None, None, "file already exists")
    with file_errors(source):
        os.replace(source, target)


@public("io.gfile.listdir")
def listdir(path: Any) -> list[str]:
    """The names in a folder, sorted. NotFoundError."""
    name = as_path(path)
    if not os.path.isdir(name):
        raise errors.NotFoundError(None, None, f"Could not find directory {name}")
    with file_errors(name):
        return sorted(os.listdir(name))


@public("io.gfile.glob")
def glob(pattern: Any) -> list[str]:
    """The files and folders that match a pattern, or one of several; sorted. `*`, `?` and `[...]` match no slash."""
    patterns = [pattern] if isinstance(pattern, (str, bytes, os.PathLike)) else list(pattern)
    return [path for text in patterns for path in matching_paths(as_path(text))]


@public("io.gfile.walk")
def walk(
    top: Any, topdown: bool = True, onerror: Callable[[Any], Any] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """(folder, names of folders in it, names of files in it) for `top` and every folder below."""
    folder = as_path(top)
    try:
        names = listdir(folder)
    except errors.NotFoundError as error:
        if onerror is not None:
            onerror(error)
        return
    folders = [name for name in names if os.path.isdir(os.path.join(folder, name))]
    here = (folder, folders, [name for name in names if name not in set(folders)])
    if topdown:
        yield here
    for name in folders:
        yield from walk(os.path.join(folder, name), topdown, onerror)
    if not topdown:
        yield here


@public("io.gfile.join")
def join(path: Any, *paths: Any) -> Any:
    return os.path.join(path, *paths)


@public("io.gfile.get_registered_schemes")
def get_registered_schemes() -> list[str]:
    """What a path may begin with: nothing but a plain path."""
    return [""]


# ---- TensorFlow 1's names and arguments -------------------------------------------------------------------------------


@public(v1=["gfile.Walk"])
def walk_v1(top: Any, in_order: bool = True) -> Iterator[tuple[str, list[str], list[str]]]:
    return walk(top, topdown=in_order)


@public(v1=["gfile.Copy"])
def copy_v1(oldpath: Any, newpath: Any, overwrite: bool = False) -> None:
    copy(oldpath, newpath, overwrite)


@public(v1=["gfile.Rename"])
def rename_v1(oldname: Any, newname: Any, overwrite: bool = False) -> None:
    rename(oldname, newname, overwrite)


def _one_argument(function: Callable[[Any], Any], argument: str, old_name: str) -> None:
    """Exports `function` under TensorFlow 1's name, its argument called as it was."""

    def renamed(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **{"path" if key == argument else key: value for key, value in kwargs.items()})

    renamed.__name__ = old_name
    renamed.__doc__ = function.__doc__
    export(renamed, v1=[f"gfile.{old_name}"])


_one_argument(exists, "path", "Exists")
_one_argument(isdir, "dirname", "IsDirectory")
_one_argument(listdir, "dirname", "ListDirectory")
_one_argument(makedirs, "dirname", "MakeDirs")
_one_argument(mkdir, "dirname", "MkDir")
_one_argument(remove, "filename", "Remove")
_one_argument(rmtree, "dirname", "DeleteRecursively")
_one_argument(stat, "filename", "Stat")


@public(v1=["gfile.Glob"])
def glob_v1(filename: Any) -> list[str]:
    return glob(filename)
