"""tf.keras.datasets.mnist: local files of both kinds, the download, and the words when there is neither."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rillet.datasets import mnist, mnist_files
from rillet.datasets.mnist_files import NPZ_ORIGIN, Arrays


def check(expected: Arrays, path: str = "mnist.npz") -> None:
    (x_train, y_train), (x_test, y_test) = mnist.load_data(path)
    for got, wanted in zip((x_train, y_train, x_test, y_test), expected, strict=True):
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, wanted)


def test_npz_in_keras_folder(home: Path, tiny: Arrays, write_npz: Callable[[Path], None]) -> None:
    write_npz(home / "mnist.npz")
    check(tiny)


def test_npz_under_another_name(home: Path, tiny: Arrays, write_npz: Callable[[Path], None]) -> None:
    write_npz(home / "other" / "digits.npz")
    check(tiny, "other/digits.npz")


def test_absolute_path(tmp_path: Path, tiny: Arrays, write_npz: Callable[[Path], None]) -> None:
    write_npz(tmp_path / "here.npz")
    check(tiny, str(tmp_path / "here.npz"))


def test_own_data_folder_comes_first(
    tmp_path: Path, home: Path, tiny: Arrays, write_npz: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RILLET_DATA", str(tmp_path / "data"))
    write_npz(tmp_path / "data" / "mnist.npz")
    home.mkdir(parents=True)
    (home / "mnist.npz").write_bytes(b"not read")
    check(tiny)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("folder", ["", "mnist"])
def test_idx_files(home: Path, tiny: Arrays, write_idx: Callable[..., None], packed: bool, folder: str) -> None:
    write_idx(home / folder, packed)
    check(tiny)


def test_download_is_kept(
    home: Path,
    tiny: Arrays,
    write_npz: Callable[[Path], None],
    network: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_npz(tmp_path / "served.npz")
    network[NPZ_ORIGIN] = (tmp_path / "served.npz").read_bytes()
    check(tiny)
    assert capsys.readouterr().out == f"Downloading data from {NPZ_ORIGIN}\n"
    assert [file.name for file in home.iterdir()] == ["mnist.npz"]
    network.clear()
    check(tiny)


def test_without_files_and_network_the_error_says_what_to_do(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RILLET_DATA", str(tmp_path / "data"))
    with pytest.raises(FileNotFoundError) as failure:
        mnist.load_data()
    message = str(failure.value)
    for place in (tmp_path / "data" / "mnist.npz", home / "mnist.npz", home / "mnist"):
        assert str(place) in message
    assert "no network" in message
    assert NPZ_ORIGIN in message
    assert "RILLET_DATA" in message
    assert "rillet.datasets.load_digits()" in message
    assert not list((tmp_path / "data").iterdir()), "no half file stays"


def test_damaged_files_are_named(home: Path, tiny: Arrays, write_idx: Callable[..., None]) -> None:
    home.mkdir(parents=True)
    np.savez(home / "mnist.npz", x_train=tiny.x_train, y_train=tiny.y_train)
    with pytest.raises(ValueError, match=r"mnist\.npz has no array x_test or y_test; it has x_train, y_train"):
        mnist.load_data()
    np.savez(home / "mnist.npz", **tiny._replace(y_test=tiny.y_test[:5])._asdict())
    with pytest.raises(ValueError, match=r"mnist\.npz has 6 images but 5 labels"):
        mnist.load_data()
    (home / "mnist.npz").unlink()
    write_idx(home, packed=False)
    labels = home / mnist_files.IDX_FILES[1]
    labels.write_bytes(labels.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"announces an array of shape \[20\] but holds 19 bytes"):
        mnist.load_data()
    labels.write_bytes(b"<html>")
    with pytest.raises(ValueError, match="is not an idx file of unsigned bytes"):
        mnist.load_data()
