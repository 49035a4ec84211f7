"""`rillet run program.py`: a TensorFlow program as it is, with rillet in TensorFlow's place.

What the program sees is what `python program.py` would show it: arguments, `__main__`, the first folder of sys.path,
its own tracebacks and its exit status.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import BuiltinImporter, ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from rillet.compat.alias import install
from rillet.compat.api_choice import pick_api

CANNOT_OPEN = 2
_FILES_ABOVE_PROGRAM = {__file__, importlib.__file__}


class CannotRun(Exception):
    """There is no such program. `status` is the exit status that python gives for it."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Program:
    """What was found under the name that the user gave.

    argument: what the program finds in sys.argv[0].
    folder: what the program finds in sys.path[0].
    spec: of a module, a folder or an archive; a plain file has none.
    """

    source: bytes
    filename: str
    argument: str
    folder: str
    spec: ModuleSpec | None = None

    @property
    def file(self) -> Path | None:
        return Path(self.filename) if os.path.isfile(self.filename) else None


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "run",
        help="run a TensorFlow program",
        usage="rillet run [-h] [--api {auto,v1,v2}] (program | -m module | -) [argument ...]",
        description="Runs a program in which tensorflow and keras mean rillet. What follows its name is the program's.",
    )
    parser.add_argument(
        "--api",
        choices=("auto", "v1", "v2"),
        default="auto",
        help="whose names and defaults tensorflow has: TensorFlow 1's (graphs) or 2's (eager); auto reads the program",
    )
    parser.add_argument("-m", dest="module", help="run a module, as python -m does")
    parser.add_argument("program", nargs="?", help="a file, a folder or archive with __main__.py, or - for stdin")
    parser.set_defaults(execute=execute, usage_error=parser.error)


def split(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What is for `rillet run` itself, up to and with the program's name, and what is for the program."""
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word == "-m":
            return arguments[: position + 2], arguments[position + 2 :]
        if word.startswith("-m") or word == "-" or not word.startswith("-"):
            return arguments[: position + 1], arguments[position + 1 :]
        position += 2 if word == "--api" else 1
    return arguments, []


def execute(options: argparse.Namespace) -> int:
    if (options.program is None) == (options.module is None):
        options.usage_error("name a program, a module with -m, or - for stdin")
    try:
        program = _find_module(options.module) if options.module else find_program(options.program)
    except CannotRun as error:
        print(f"rillet: {error}", file=sys.stderr)
        return error.status
    run(program, options.arguments, options.api)
    return 0


def run(program: Program, arguments: Sequence[str], api: str = "auto") -> None:
    """Runs it in the module `__main__` of this process. Raises what the program raises, SystemExit among it; its
    traceback, when Python prints it, begins in the program."""
    try:
        _run(program, arguments, api)
    except BaseException as error:
        _show_from_program(error)
        raise


def _run(program: Program, arguments: Sequence[str], api: str) -> None:
    code = compile(program.source, program.filename, "exec", dont_inherit=True)
    install(pick_api(program.source, program.file) if api == "auto" else api)
    sys.argv[:] = [program.argument, *arguments]
    if not sys.flags.safe_path:
        sys.path[0] = program.folder
    main = _main_module(program)
    sys.modules["__main__"] = main
    if program.spec is not None and program.spec.parent:
        importlib.import_module(program.spec.parent)
    exec(code, main.__dict__)


def _show_from_program(error: BaseException) -> None:
    """Has Python print `error`, which ends the process, without the frames above the program's first.

    The hook that prints is the program's, if it set one; raising goes on, so that the exit status is Python's own.
    """
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename in _FILES_ABOVE_PROGRAM:
        traceback = traceback.tb_next
    shown = sys.excepthook

    def show(kind: type[BaseException], raised: BaseException, whole: TracebackType | None) -> None:
        if raised is error:
            whole = traceback
            raised.with_traceback(traceback)
        shown(kind, raised, whole)

    sys.excepthook = show


def _main_module(program: Program) -> ModuleType:
    main: Any = ModuleType("__main__")
    main.__builtins__ = sys.modules["builtins"]
    main.__file__ = program.filename
    main.__spec__ = program.spec
    main.__cached__ = program.spec.cached if program.spec else None
    main.__package__ = program.spec.parent if program.spec else None
    if program.spec is not None:
        main.__loader__ = program.spec.loader
    else:
        main.__loader__ = SourceFileLoader("__main__", program.filename) if program.file else BuiltinImporter
    return main


# ---- finding the program --------------------------------------------------------------------------------------------


def find_program(name: str) -> Program:
    """Raises CannotRun when there is no such file, or nothing to run in a folder or archive."""
    if name == "-":
        return Program(sys.stdin.buffer.read(), "<stdin>", name, "")
    path = os.path.abspath(name)
    importer = pkgutil.get_importer(path)
    if importer is not None:
        spec = importer.find_spec("__main__", None) if hasattr(importer, "find_spec") else None
        if spec is None:
            raise CannotRun(f"can't find '__main__' module in {path!r}", 1)
        return Program(_source(spec), spec.origin or path, name, path, spec)
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise CannotRun(f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}", CANNOT_OPEN) from None
    return Program(source, path, name, os.path.dirname(os.path.realpath(path)))


def _find_module(name: str) -> Program:
    """Raises CannotRun when there is no such module. Packages above it stay unimported: they may want TensorFlow."""
    folder = os.getcwd()
    places: Sequence[str] | None = sys.path if sys.flags.safe_path else [folder, *sys.path[1:]]
    spec = None
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        spec = None if places is None else PathFinder.find_spec(".".join(parts[:count]), places)
        if spec is None:
            raise CannotRun(f"No module named {name}", 1)
        places = spec.submodule_search_locations
    if places is not None:
        spec = PathFinder.find_spec(f"{name}.__main__", places)
        if spec is None:
            reason = f"{name!r} is a package and cannot be directly executed"
            raise CannotRun(f"No module named {name}.__main__; {reason}", 1)
    assert spec is not None, "a name has at least one part"
    filename = spec.origin or name
    return Program(_source(spec), filename, filename, folder, spec)


def _source(spec: ModuleSpec) -> bytes:
    get_data = getattr(spec.loader, "get_data", None)
    if get_data is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise CannotRun(f"{spec.origin or spec.name} is no Python source", 1)
    return bytes(get_data(spec.origin))
