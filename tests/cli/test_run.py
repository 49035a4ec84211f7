"""`rillet run` shows a program what python shows it. The oracle is python itself, on the same program."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from rillet.cli.run import split

PYTHON = [sys.executable]
RILLET = [sys.executable, "-m", "rillet", "run"]

SHOW = """
import sys
print(__name__, sys.argv, sys.path[0], __file__, __package__, __spec__ and __spec__.name, type(__loader__))
print(sys.modules["__main__"].__dict__ is globals())
"""
FAIL = SHOW + "def deeper():\n    return 1 / 0\ndeeper()\n"


def execute(command: list[str], folder: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, timeout=120)


def without_launcher(stderr: str) -> str:
    """What differs by design: python's own name before its messages, the frames of runpy, and the stack's depth."""
    stderr = re.sub(r"repeated \d+ more times", "repeated", stderr)
    stderr = re.sub(r'  File "<frozen runpy>".*\n', "", stderr)
    return re.sub(rf"^({re.escape(sys.executable)}|{re.escape(os.path.realpath(sys.executable))}|rillet): ", "", stderr)


def check_same(arguments: list[str], folder: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    expected = execute(PYTHON + arguments, folder, stdin)
    got = execute(RILLET + arguments, folder, stdin)
    assert got.stdout == expected.stdout
    assert without_launcher(got.stderr) == without_launcher(expected.stderr)
    assert got.returncode == expected.returncode
    return got


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    return tmp_path


PROGRAMS = {
    "arguments": SHOW,
    "traceback": FAIL,
    "chained": "try:\n    {}['a']\nexcept KeyError as error:\n    raise RuntimeError('lost') from error",
    "while handling": "try:\n    {}['a']\nexcept KeyError:\n    1 / 0",
    "group": "raise ExceptionGroup('both', [ValueError(1), TypeError(2)])",
    "exit": "import sys; print('a'); sys.exit(3)",
    "exit with words": "import sys; sys.exit('no more')",
    "exit by hand": "raise SystemExit",
    "hook": "import sys\nsys.excepthook = lambda kind, error, trace: print('hook', error, trace.tb_lineno)\n1 / 0",
    "syntax": "x = = 1",
    "warning": "import warnings\nwarnings.warn('look here')\nx = '\\d'",
    "future": "from __future__ import annotations\ndef f(x: Undefined): return x\nprint(f.__annotations__)",
    "no inherited future": "def f(x: int): return x\nprint(f.__annotations__)",
    "recursion": "def f(): f()\nf()",
    "at exit": "import atexit\natexit.register(print, 'bye')\nraise ValueError('words')",
    "thread": "import threading\nthreading.Timer(0.2, print, ['late']).start()\nraise ValueError('words')",
    "pickle": "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))) is A)",
    "own source": "import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f))",
    "module beside": "import beside\nprint(beside.x)",
    "stdin": "print(input())",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_python_runs_it(folder: Path, name: str) -> None:
    (folder / "sub" / "program.py").write_text(PROGRAMS[name])
    (folder / "sub" / "beside.py").write_text("x = 5")
    check_same(["sub/program.py", "one", "-m", "--api", "v1", "-h"], folder, stdin="a line\n")


def test_encoding_of_the_source(folder: Path) -> None:
    (folder / "program.py").write_bytes("# coding: latin-1\nprint(ascii('é'))".encode("latin-1"))
    assert check_same(["program.py"], folder).stdout == "'\\xe9'\n"


def test_link_absolute_path_and_missing_file(folder: Path) -> None:
    (folder / "sub" / "program.py").write_text(FAIL)
    (folder / "link.py").symlink_to("sub/program.py")
    check_same(["link.py"], folder)
    check_same([str(folder / "sub" / "program.py")], folder)
    assert check_same(["missing.py"], folder).returncode == 2


def test_stdin(folder: Path) -> None:
    check_same(["-", "one", "-"], folder, stdin=FAIL)


def test_module(folder: Path) -> None:
    (folder / "sub" / "__init__.py").write_text("print('package of', __name__)")
    (folder / "sub" / "program.py").write_text("from . import other\n" + FAIL)
    (folder / "sub" / "other.py").write_text("print(__name__)")
    check_same(["-m", "sub.program", "one", "-x"], folder)
    (folder / "alone.py").write_text(FAIL)
    check_same(["-malone", "one"], folder)


def test_package(folder: Path) -> None:
    (folder / "sub" / "__init__.py").write_text("")
    check_same(["-m", "sub"], folder)  # cannot be executed
    (folder / "sub" / "__main__.py").write_text(FAIL)
    check_same(["-m", "sub", "one"], folder)


def test_missing_module(folder: Path) -> None:
    check_same(["-m", "nowhere"], folder)
    assert execute([*RILLET, "-m", "sub.nowhere"], folder).stderr == "rillet: No module named sub.nowhere\n"


def test_folder_and_archive(folder: Path) -> None:
    check_same(["sub"], folder)  # has no __main__
    (folder / "sub" / "__main__.py").write_text(FAIL)
    check_same(["sub", "one"], folder)
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", FAIL)
    check_same(["archive.zip", "one"], folder)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_interrupt(folder: Path) -> None:
    (folder / "program.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)")
    ends = []
    for command in (PYTHON, RILLET):
        process = subprocess.Popen(
            [*command, "program.py"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)  # so that the program is past its print
        process.send_signal(signal.SIGINT)
        ends.append((process.communicate(timeout=60)[1], process.returncode))
    assert ends[0] == ends[1]


def test_usage(folder: Path) -> None:
    for arguments in ([], ["--api", "v1"], ["--api", "v3", "program.py"]):
        result = execute(RILLET + arguments, folder)
        assert result.returncode == 2
        assert "usage: rillet run" in result.stderr
    assert "(program | -m module | -)" in execute([*RILLET, "-h"], folder).stdout


@pytest.mark.parametrize(
    ("line", "own"),
    [
        ("program.py -m x --api v1", 1),
        ("--api v1 program.py --api v2", 3),
        ("--api=v1 program.py", 2),
        ("-m module -m other", 2),
        ("-mmodule argument", 1),
        ("--api v2 - -", 3),
        ("-h", 1),
        ("", 0),
    ],
)
def test_split(line: str, own: int) -> None:
    arguments = line.split()
    assert split(arguments) == (arguments[:own], arguments[own:])


WHICH = """
import sys
import tensorflow as tf
print(tf.__name__, sys.modules["tensorflow"].__name__)
"""


@pytest.mark.parametrize(
    ("options", "line", "module"),
    [
        ([], "", "rillet"),
        ([], "tf.placeholder", "rillet.v1"),
        (["--api", "v2"], "tf.placeholder", "rillet"),
        (["--api=v1"], "", "rillet.v1"),
    ],
)
def test_tensorflow_is_rillet(folder: Path, options: list[str], line: str, module: str) -> None:
    (folder / "program.py").write_text(WHICH + line)
    result = execute([*RILLET, *options, "program.py"], folder)
    assert (result.stdout, result.stderr, result.returncode) == (f"{module} {module}\n", "", 0)


PACKAGE_THAT_IMPORTS_TENSORFLOW = {
    "sub/__init__.py": "import tensorflow as tf",
    "sub/program.py": "import tensorflow as tf\nimport sub\nprint(sub.tf.__name__)\ntf.placeholder",
}


def test_the_package_above_a_module_has_tensorflow(folder: Path) -> None:
    for name, text in PACKAGE_THAT_IMPORTS_TENSORFLOW.items():
        (folder / name).write_text(text)
    assert execute([*RILLET, "-m", "sub.program"], folder).stdout == "rillet.v1\n"


LAZY = """
import tensorflow as tf

x = tf.placeholder(tf.float32, None, name="x")
square = x**2
with tf.Session() as session:
    print(session.run(square, feed_dict={x: [2, 3, 5]}))
"""
EAGER = """
import tensorflow as tf

tf.enable_eager_execution()
c = tf.constant(2.0)
with tf.GradientTape() as tape:
    tape.watch(c)
    f = 4 * c
print(tape.gradient(f, c))
"""
LAZY_PRINTS = "[ 4.  9. 25.]\n"
EAGER_PRINTS = "tf.Tensor(4.0, shape=(), dtype=float32)\n"


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        (LAZY, LAZY_PRINTS),
        (EAGER, EAGER_PRINTS),
        pytest.param(LAZY + EAGER, LAZY_PRINTS + EAGER_PRINTS, marks=pytest.mark.smoke),
        (EAGER + LAZY, EAGER_PRINTS + LAZY_PRINTS),
    ],
    ids=["lazy", "eager", "lazy then eager", "eager then lazy"],
)
@pytest.mark.parametrize("api", ["auto", "v1", "v2"])
def test_both_styles_in_one_process(folder: Path, program: str, printed: str, api: str) -> None:
    (folder / "program.py").write_text(program)
    result = execute([*RILLET, "--api", api, "program.py"], folder)
    assert (result.stdout, result.stderr, result.returncode) == (printed, "", 0)
