"""Checkpoint files: TensorFlow's are read, ours are the same bytes; damaged ones are refused; killed writers do no harm."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import rillet as tf
from rillet.saving import bundle, checkpoints
from rillet.saving.slices import Part, Parts
from rillet.saving.snappy import uncompressed
from tests.saving.data import FOLDER, tensors


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tolist() == other.tolist()


def test_a_checkpoint_of_tensorflow_is_read() -> None:
    reader = bundle.Reader(str(FOLDER / "types"))
    wanted = tensors()
    assert reader.names == sorted(wanted)
    assert all(same(reader.tensor(name), np.asarray(value)) for name, value in wanted.items())


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_ours_has_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    bundle.write(str(tmp_path / "types"), tensors())
    assert (tmp_path / f"types{suffix}").read_bytes() == (FOLDER / f"types{suffix}").read_bytes()


def test_parts_of_tensors(tmp_path: Path) -> None:
    whole = np.arange(60, dtype=np.float32).reshape(10, 6)
    assert same(bundle.Reader(str(FOLDER / "parts")).tensor("whole"), whole)
    parts = [Part(whole[:4], (10, 6), (0, 0), (4, 6)), Part(whole[4:], (10, 6), (4, 0), (6, 6))]
    bundle.write(str(tmp_path / "parts"), {"whole": Parts(parts), "other": np.float32([1])})
    assert same(bundle.Reader(str(tmp_path / "parts")).tensor("whole"), whole)
    assert (tmp_path / "parts.index").read_bytes()[:40] == (FOLDER / "parts.index").read_bytes()[:40]


def test_the_first_format_is_read() -> None:
    found = dict(tf.train.list_variables(str(FOLDER / "old" / "model-7")))
    assert found == {"global_step": [], "half": [3], "w": [2, 3], "words": [2]}
    assert tf.train.load_variable(str(FOLDER / "old"), "w").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tf.train.load_variable(str(FOLDER / "old"), "words").tolist() == [b"x", b"yy"]
    assert tf.train.load_variable(str(FOLDER / "old"), "half").tolist() == [0, 1, 2]


def test_checkpoints_are_merged(tmp_path: Path) -> None:
    """What a sharded saver of TensorFlow consists of."""
    raw, final = tf.raw_ops, str(tmp_path / "all")
    shards = []
    for shard in range(2):
        prefix = raw.ShardedFilename(basename=str(tmp_path / "part"), shard=shard, num_shards=2)
        names = [f"a{shard}", "whole"]
        part = ["", f"4 {2 * shard},2"]
        raw.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=part, tensors=[[1.0 + shard], [5 + shard] * 2])
        shards.append(prefix)
    assert shards[1].numpy().endswith(b"part-00001-of-00002")
    assert tf.train.load_variable(shards[1].numpy().decode(), "whole").tolist() == [0, 0, 6, 6]
    raw.MergeV2Checkpoints(checkpoint_prefixes=shards[:1], destination_prefix=final)
    restored = raw.RestoreV2(
        prefix=final, tensor_names=["a0", "whole"], shape_and_slices=["", "4 1,2"], dtypes=[tf.float32, tf.int32]
    )
    assert [value.numpy().tolist() for value in restored] == [[1], [5, 0]]
    assert not (tmp_path / "part-00000-of-00002.index").exists()
    with pytest.raises(tf.errors.InvalidArgumentError, match="tensor_name = a0; expected dtype int32"):
        raw.RestoreV2(prefix=final, tensor_names=["a0"], shape_and_slices=[""], dtypes=[tf.int32])


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"\x0c\x08abc\x22\x03\x00", b"abcabcabcabc"),  # a literal; a copy that reads what it writes
        (b"\x08\x0cabcd\x01\x04", b"abcdabcd"),  # a short copy
        (b"\x46\xf0\x45" + bytes(range(70)), bytes(range(70))),  # a literal whose length has a byte of its own
        (b"\x05\x00z\x0f\x01\x00\x00\x00", b"zzzzz"),  # a copy from far away
    ],
)
def test_snappy(data: bytes, wanted: bytes) -> None:
    assert uncompressed(data, "file") == wanted
    with pytest.raises(tf.errors.DataLossError, match="file is damaged"):
        uncompressed(data[:-1], "file")


# ---- damage ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for path in FOLDER.glob("types.*"):
        shutil.copy(path, tmp_path)
    return tmp_path / "types"


def change(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)


def test_damaged_bytes_of_a_tensor(copy: Path) -> None:
    change(Path(f"{copy}.data-00000-of-00001"), 3)
    reader = tf.train.load_checkpoint(str(copy))
    with pytest.raises(tf.errors.DataLossError, match=r"types\.data-00000-of-00001 .*checksum of tensor adam/m"):
        reader.get_tensor("adam/m")
    assert reader.get_tensor("w003") == 3


@pytest.mark.parametrize("place", [0, 20, 400, 1150, -45, -1])
def test_a_damaged_index(copy: Path, place: int) -> None:
    change(Path(f"{copy}.index"), place)
    with pytest.raises(tf.errors.DataLossError, match=r"types\.index is damaged"):
        tf.train.load_checkpoint(str(copy))


@pytest.mark.parametrize("size", [0, 10, 100])
def test_an_index_that_is_cut_off(copy: Path, size: int) -> None:
    path = Path(f"{copy}.index")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(tf.errors.DataLossError, match=r"types\.index"):
        tf.train.load_checkpoint(str(copy))


def test_data_that_is_cut_off(copy: Path) -> None:
    path = Path(f"{copy}.data-00000-of-00001")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(tf.errors.DataLossError, match="ends before the last byte of tensor w039"):
        tf.train.load_variable(str(copy), "w039")


def test_strings_are_checked(copy: Path) -> None:
    entry = bundle.Reader(str(copy)).entry("text")
    change(Path(f"{copy}.data-00000-of-00001"), entry.offset + entry.size - 1)
    with pytest.raises(tf.errors.DataLossError, match="checksum of tensor text"):
        tf.train.load_variable(str(copy), "text")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(tf.errors.NotFoundError, match="Failed to find any matching files"):
        tf.train.load_checkpoint(str(tmp_path / "none"))
    with pytest.raises(tf.errors.NotFoundError, match="Key nobody not found"):
        tf.train.load_variable(str(FOLDER / "types"), "nobody")


# ---- writers that die -----------------------------------------------------------------------------------------------


def test_between_the_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever step is the last one: what is read is all old or all new."""
    prefix = str(tmp_path / "model")
    moves = checkpoints.files.move

    for allowed in range(4):
        bundle.write(prefix, {"a": np.float32([1]), "b": np.arange(5)})
        count = [allowed]

        def dying(source: str, path: str, count: list[int] = count) -> None:
            if count[0] == 0:
                raise KeyboardInterrupt
            count[0] -= 1
            moves(source, path)

        with monkeypatch.context() as patch:
            patch.setattr(bundle.files, "move", dying)
            try:
                bundle.write(prefix, {"a": np.float32([2]), "b": np.arange(100)})
            except KeyboardInterrupt:
                assert allowed < 3
        reader = bundle.Reader(prefix)
        found = (float(reader.tensor("a")[0]), reader.tensor("b").size)
        assert found == ((1, 5) if allowed < 2 else (2, 100))


WRITER = """
import itertools, sys
import numpy as np
from rillet.saving import bundle
print("ready", flush=True)
for number in itertools.count():
    bundle.write(sys.argv[1], {"a": np.full(3000, number), "b": np.full(number % 7 + 1, number)})
"""


def test_killed_at_any_moment(tmp_path: Path) -> None:
    prefix = str(tmp_path / "model")
    random = np.random.default_rng(0)
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", WRITER, prefix], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            while not os.path.exists(prefix + ".index"):
                time.sleep(0.001)
            time.sleep(0.02 + 0.05 * random.random())
            writer.send_signal(signal.SIGKILL)
        reader = bundle.Reader(prefix)
        number = reader.tensor("b")[0]
        assert reader.tensor("b").tolist() == [number] * (number % 7 + 1)
        assert (reader.tensor("a") == number).all()
