"""tf.io.gfile, tf.gfile, and the ops that read, write and find files."""

from __future__ import annotations

from pathlib import Path

import pytest

import rillet as tf
from rillet.compat import v1 as tf1

gfile = tf.io.gfile


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "x.txt").write_bytes("éa\nb\r\nc".encode())
    (tmp_path / "a" / "y.txt").write_text("w")
    return str(tmp_path)


def test_reading(folder: str) -> None:
    with gfile.GFile(f"{folder}/x.txt") as file:
        assert (file.size(), file.read(2), file.tell(), file.readline()) == (8, "é", 2, "a\n")
        file.seek(-1, 2)
        assert file.read() == "c"
    assert list(tf1.gfile.Open(f"{folder}/x.txt", "rb")) == ["éa\n".encode(), b"b\n", b"c"]
    with pytest.raises(tf.errors.PermissionDeniedError, match="File isn't open for writing"):
        gfile.GFile(f"{folder}/x.txt").write("a")


def test_writing(folder: str) -> None:
    path = f"{folder}/new.txt"
    with gfile.GFile(path, "w") as file:
        file.write("abc")
        file.write(b"def")
        with pytest.raises(tf.errors.PermissionDeniedError, match="File isn't open for reading"):
            file.read()
        with pytest.raises(TypeError, match="Expected binary or unicode string, got 3"):
            file.write(3)
    with gfile.GFile(path, "a") as file:
        file.write("ghi")
    assert Path(path).read_text() == "abcdefghi"


def test_errors(folder: str) -> None:
    missing = f"{folder}/none"
    for call in (gfile.remove, gfile.rmtree, gfile.listdir, gfile.stat, lambda path: gfile.GFile(path).read()):
        with pytest.raises(tf.errors.NotFoundError, match=missing):
            call(missing)
    with pytest.raises(tf.errors.NotFoundError):
        gfile.mkdir(f"{folder}/q/q")
    with pytest.raises(tf.errors.FailedPreconditionError, match="Is a directory"):
        gfile.remove(f"{folder}/a")
    with pytest.raises(tf.errors.AlreadyExistsError, match="file already exists"):
        gfile.copy(f"{folder}/x.txt", f"{folder}/a/y.txt")
    with pytest.raises(tf.errors.InvalidArgumentError, match="mode is not"):
        gfile.GFile(missing, "q")


def test_folders(folder: str) -> None:
    gfile.makedirs(f"{folder}/c/d")
    gfile.copy(f"{folder}/x.txt", f"{folder}/c/z.txt")
    gfile.rename(f"{folder}/c/z.txt", f"{folder}/a/y.txt", overwrite=True)
    assert gfile.listdir(folder) == ["a", "c", "x.txt"]
    assert list(gfile.walk(f"{folder}/a")) == [(f"{folder}/a", ["b"], ["y.txt"]), (f"{folder}/a/b", [], [])]
    assert [top for top, _, _ in tf1.gfile.Walk(folder, in_order=False)][-1] == folder
    assert tf1.gfile.IsDirectory(dirname=f"{folder}/c")
    tf1.gfile.DeleteRecursively(f"{folder}/c")
    assert not tf1.gfile.Exists(f"{folder}/c")
    assert tf1.gfile.Stat(f"{folder}/x.txt").length == 8


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", ["a", "x.txt"]), ("*/*", ["a/b", "a/y.txt"]), ("[xz]*", ["x.txt"]), ("[^x]*", ["a"]), ("x.?xt", ["x.txt"]),
        ("x.txt", ["x.txt"]), ("none*", []), ("{x,a}*", []), ("*/y.txt", ["a/y.txt"]), ("x\\.txt", ["x.txt"]),
    ],
)  # fmt: skip
def test_patterns(folder: str, pattern: str, found: list[str]) -> None:
    wanted = [f"{folder}/{name}" for name in found]
    assert gfile.glob(f"{folder}/{pattern}") == wanted
    assert [name.decode() for name in tf.io.matching_files(f"{folder}/{pattern}").numpy()] == wanted


def test_file_ops(folder: str) -> None:
    tf.io.write_file(f"{folder}/p/q", b"x")
    assert tf.io.read_file(f"{folder}/p/q").numpy() == b"x"
    with pytest.raises(tf.errors.NotFoundError, match="No such file or directory"):
        tf.io.read_file(f"{folder}/none")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must be scalar, but had shape: \[1\]"):
        tf.io.read_file(["a"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be scalar or vector"):
        tf.io.matching_files([["a"]])


def test_file_ops_in_a_graph(folder: str) -> None:
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        name = tf1.placeholder(tf.string)
        contents = tf1.read_file(name)
        written = tf1.write_file(name, "new")
        assert session.run(contents, {name: f"{folder}/a/y.txt"}) == b"w"
        session.run(written, {name: f"{folder}/a/y.txt"})
        assert session.run(contents, {name: f"{folder}/a/y.txt"}) == b"new"
        assert [operation.type for operation in graph.get_operations()] == [
            "Placeholder", "ReadFile", "Const", "WriteFile",
        ]  # fmt: skip
        with pytest.raises(ValueError, match="Shape must be rank 0 but is rank 1"):
            tf1.read_file(["a"])
