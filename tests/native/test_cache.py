"""The disk cache of compiled code: never wrong, never an error, bounded."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rillet.engines.native import cache
from rillet.engines.native.cache import Cache, digest

KEY = digest("a kernel")
OTHER = digest("another kernel")
PAYLOAD = bytes(range(256)) * 20


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_what_is_stored_is_found(tmp_path: Path) -> None:
    store = Cache(tmp_path / "made" / "when needed")
    assert store.load(KEY) is None
    store.store(KEY, PAYLOAD)
    store.store(OTHER, b"")
    assert store.load(KEY) == PAYLOAD
    assert store.load(OTHER) == b""
    store.store(KEY, b"new")
    assert Cache(store.folder).load(KEY) == b"new"
    assert len(entries(Path(store.folder))) == 2


def test_keys_depend_on_all_parts_and_on_where_they_end() -> None:
    assert digest("a", "b") == digest(b"a", "b")
    assert len({digest("a", "b"), digest("b", "a"), digest("ab"), digest("ab", ""), digest("", "ab")}) == 5


@pytest.mark.parametrize("place", [0, 7, 8, 39, 40, 55, 56, 100, -1])
def test_a_changed_byte_is_noticed_and_mended(tmp_path: Path, place: int) -> None:
    store = Cache(tmp_path)
    store.store(KEY, PAYLOAD)
    [path] = entries(tmp_path)
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)
    assert store.load(KEY) is None
    store.store(KEY, PAYLOAD)
    assert store.load(KEY) == PAYLOAD


@pytest.mark.parametrize("length", [0, 5, 30, 56, 57, 5000])
def test_a_file_cut_short_is_noticed(tmp_path: Path, length: int) -> None:
    store = Cache(tmp_path)
    store.store(KEY, PAYLOAD)
    [path] = entries(tmp_path)
    os.truncate(path, length)
    assert store.load(KEY) is None


def test_a_file_made_longer_is_noticed(tmp_path: Path) -> None:
    store = Cache(tmp_path)
    store.store(KEY, PAYLOAD)
    [path] = entries(tmp_path)
    with path.open("ab") as file:
        file.write(b"more")
    assert store.load(KEY) is None


def test_an_entry_under_another_name_is_not_taken_for_it(tmp_path: Path) -> None:
    store = Cache(tmp_path)
    store.store(KEY, PAYLOAD)
    [path] = entries(tmp_path)
    os.rename(path, path.with_name(OTHER.hex() + path.suffix))
    assert store.load(OTHER) is None


@pytest.mark.skipif(sys.platform == "win32", reason="files have no numbered owners")
def test_code_that_another_user_wrote_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Cache(tmp_path)
    store.store(KEY, PAYLOAD)
    if os.getuid() == 0:
        os.chown(entries(tmp_path)[0], 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert store.load(KEY) is None


def test_a_folder_that_cannot_be_written_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "under it", os.devnull):
        store = Cache(folder)
        store.store(KEY, PAYLOAD)
        assert store.load(KEY) is None
        store.prune()


def test_a_folder_in_the_place_of_an_entry_does_no_harm(tmp_path: Path) -> None:
    store = Cache(tmp_path)
    store.store(KEY, PAYLOAD)
    [path] = entries(tmp_path)
    path.unlink()
    path.mkdir()
    assert store.load(KEY) is None
    store.store(KEY, PAYLOAD)
    assert entries(tmp_path) == [path]


def test_the_settings_name_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RILLET_CACHE", str(tmp_path))
    cache.default().store(KEY, PAYLOAD)
    assert (tmp_path / "native").is_dir()


def test_without_a_home_folder_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def expanduser(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RILLET_CACHE", raising=False)
    monkeypatch.setattr(Path, "expanduser", expanduser)
    monkeypatch.chdir(tmp_path)
    store = cache.default()
    store.store(KEY, PAYLOAD)
    assert store.load(KEY) is None
    assert entries(tmp_path) == []


# ---- bounds ---------------------------------------------------------------------------------------------------------


def fill(store: Cache, count: int, size: int) -> list[bytes]:
    """Entries of growing age: the first was used longest ago."""
    keys = [digest(str(number)) for number in range(count)]
    for age, key in zip(range(count, 0, -1), keys, strict=True):
        store.store(key, bytes(size))
        used = time.time() - 100 * age
        os.utime(store._path(key), (used, used))
    return keys


def test_the_entries_longest_unused_go_first(tmp_path: Path) -> None:
    keys = fill(Cache(tmp_path), 20, 1000)
    store = Cache(tmp_path, limit_bytes=15_000)
    store.prune()
    kept = [key for key in keys if store.load(key) is not None]
    assert kept == keys[-len(kept) :]
    assert 7_500 < sum(path.stat().st_size for path in entries(tmp_path)) <= 11_250


def test_a_folder_below_the_limit_stays_as_it_is(tmp_path: Path) -> None:
    store = Cache(tmp_path, limit_bytes=50_000)
    keys = fill(store, 20, 1000)
    store.prune()
    assert all(store.load(key) is not None for key in keys)


def test_storing_keeps_the_folder_bounded(tmp_path: Path) -> None:
    limit = 100_000
    store = Cache(tmp_path, limit)
    for number in range(1000):
        store.store(digest(str(number)), bytes(1000))
    assert sum(path.stat().st_size for path in entries(tmp_path)) < 1.25 * limit


def test_the_size_is_seldom_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prunings = []
    monkeypatch.setattr(Cache, "prune", lambda self: prunings.append(self))
    store = Cache(tmp_path, limit_bytes=1_000_000)
    for number in range(300):
        store.store(digest(str(number)), bytes(1000))
    assert 1 <= len(prunings) <= 30  # 10 are expected


def test_being_used_keeps_an_entry(tmp_path: Path) -> None:
    store = Cache(tmp_path)
    store.store(KEY, PAYLOAD)
    [path] = entries(tmp_path)
    long_ago = time.time() - 1e6
    os.utime(path, (long_ago, long_ago))
    assert store.load(KEY) == PAYLOAD
    assert time.time() - path.stat().st_mtime < 100


def test_what_a_dead_process_left_goes(tmp_path: Path) -> None:
    store = Cache(tmp_path)
    store.store(KEY, PAYLOAD)
    left, fresh = tmp_path / "one.1.2.tmp", tmp_path / "two.1.2.tmp"
    for path in (left, fresh):
        path.write_bytes(b"half")
    os.utime(left, (time.time() - 1e5, time.time() - 1e5))
    store.prune()
    assert not left.exists()
    assert fresh.exists()
    assert store.load(KEY) == PAYLOAD


# ---- many processes -------------------------------------------------------------------------------------------------

WORKER = """
import sys
from rillet.engines.native.cache import Cache, digest
store = Cache(sys.argv[1], limit_bytes=40_000)
found = 0
for turn in range(200):
    number = turn * int(sys.argv[2]) % 37
    key, payload = digest(str(number)), bytes([number]) * (1000 + 50 * number)
    data = store.load(key)
    assert data in (None, payload), number
    found += data is not None
    store.store(key, payload)
print(found)
"""


def test_processes_that_write_at_once_never_read_half_an_entry(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), str(step)], stdout=subprocess.PIPE, text=True)
        for step in (5, 7, 11)
    ]
    outputs = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert all(int(output) > 0 for output in outputs)
    assert [path for path in entries(tmp_path) if path.suffix != ".bin"] == []
