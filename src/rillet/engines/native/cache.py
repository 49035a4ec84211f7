"""What was compiled, kept on disk: one checked file an entry, safe for many processes at once.

A cache never fails: what cannot be read, or is not exactly what was written, is absent; what cannot be written is not
kept. Files are replaced whole, so a reader sees an old entry or a new one and never half of either.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time

from rillet import config

_MAGIC = b"rillet\x00\x01"
_KEY_BYTES = 32
_CHECK_BYTES = 16
_HEADER_BYTES = len(_MAGIC) + _KEY_BYTES + _CHECK_BYTES
_SUFFIX = ".bin"
_TEMPORARY = ".tmp"

_LIMIT_BYTES = 512 << 20
_REFRESH_SECONDS = 6 * 3600  # an entry's time of use is this rough, so that a read seldom writes
_ABANDONED_SECONDS = 3600  # a temporary file this old belongs to a process that died


def digest(*parts: str | bytes) -> bytes:
    """A key: 32 bytes that depend on every part and on where one ends and the next begins."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little"))
        whole.update(data)
    return whole.digest()


def _check(key: bytes, payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_CHECK_BYTES, key=key).digest()


class Cache:
    """Bytes by key in a folder, which is made when the first entry is stored.

    limit_bytes: about how much the folder may hold; the entries that were not used for longest go first.
    """

    def __init__(self, folder: str | os.PathLike[str], limit_bytes: int = _LIMIT_BYTES) -> None:
        self.folder = os.fspath(folder)
        self.limit_bytes = limit_bytes

    def load(self, key: bytes) -> bytes | None:
        """The entry's bytes, or None: never stored, pruned, damaged, or not this user's."""
        path = self._path(key)
        try:
            with open(path, "rb") as file:
                facts = os.fstat(file.fileno())
                if not _is_trusted(facts):
                    return None
                data = file.read()
        except OSError:
            return None
        payload = data[_HEADER_BYTES:]
        if data[:_HEADER_BYTES] != _MAGIC + key + _check(key, payload):
            return None
        if time.time() - facts.st_mtime > _REFRESH_SECONDS:
            with contextlib.suppress(OSError):  # a folder that is only readable still serves
                os.utime(path)
        return payload

    def store(self, key: bytes, payload: bytes) -> None:
        """Keeps the entry, replacing whatever stands in its place."""
        data = _MAGIC + key + _check(key, payload) + payload
        path = self._path(key)
        # Unique among threads and processes; of machines that share a folder, O_EXCL lets one win.
        temporary = f"{path}.{os.getpid()}.{time.monotonic_ns()}{_TEMPORARY}"
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            try:
                with open(temporary, "xb") as file:
                    file.write(data)
                os.replace(temporary, path)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                return
        except OSError:
            return
        if self._is_due(key, len(data)):
            self.prune()

    def _path(self, key: bytes) -> str:
        return os.path.join(self.folder, key.hex() + _SUFFIX)

    def _is_due(self, key: bytes, size: int) -> bool:
        """Whether to look at the folder's size now: on average once for each 1/32 of the limit written, by anyone.

        Keys are as good as random, so they decide; no count has to be kept between processes.
        """
        return int.from_bytes(key[:4], "little") * self.limit_bytes < (size << 32) * 32

    def prune(self) -> None:
        """Brings the folder under 3/4 of the limit if it is over the limit; removes what dead processes left."""
        entries: list[tuple[float, int, str]] = []
        now = time.time()
        try:
            with os.scandir(self.folder) as listing:
                for entry in listing:
                    with contextlib.suppress(OSError):  # another process may be pruning too
                        facts = entry.stat(follow_symlinks=False)
                        if entry.name.endswith(_SUFFIX):
                            entries.append((facts.st_mtime, facts.st_size, entry.path))
                        elif entry.name.endswith(_TEMPORARY) and now - facts.st_mtime > _ABANDONED_SECONDS:
                            os.unlink(entry.path)
        except OSError:
            return
        total = sum(size for _, size, _ in entries)
        if total <= self.limit_bytes:
            return
        for _, size, path in sorted(entries):
            if total <= self.limit_bytes * 3 // 4:
                return
            with contextlib.suppress(OSError):
                os.unlink(path)
            total -= size


def _is_trusted(facts: os.stat_result) -> bool:
    """Entries are run as code: only what this user or the system's administrator wrote counts."""
    return sys.platform == "win32" or facts.st_uid in (os.getuid(), 0)


def default() -> Cache:
    """The cache in the folder that the settings name; one that keeps nothing where there is no such folder."""
    try:
        folder = os.fspath(config.CACHE.value)
    except RuntimeError:  # there is no home folder
        folder = os.devnull
    return Cache(os.path.join(folder, "native"))
