"""`rillet draw program.py:name`: runs a program and draws one of its tensors, functions or models."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rillet.cli import run
from rillet.core.export import late

_draw_by_name = late("rillet.draw.by_name", "draw_by_name")  # loaded by those who draw
_ENDINGS = (".svg", ".html", ".dot", ".txt")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "draw",
        help="draw a graph of a TensorFlow program, with values and derivatives",
        description="Runs a program and draws what one of its names stands for: a tensor of a graph, a tensor that a "
        "persistent GradientTape recorded, a tf.function, a model, or the value of a tensor.",
    )
    parser.add_argument(
        "target", metavar="program.py:name", help="a file, and a name in it (or of a tensor in its graph)"
    )
    parser.add_argument(
        "--wrt", default="", metavar="a,b", help="names to differentiate by; 'all' for all inputs and variables"
    )
    parser.add_argument(
        "--feed", action="append", default=[], metavar="name=value", help="the value of a placeholder; may be repeated"
    )
    parser.add_argument("--args", default="", help="what to call a function with: expressions in the program's names")
    parser.add_argument("--title", default="", help="a line above the picture")
    parser.add_argument("--api", choices=("auto", "v1", "v2"), default="auto", help="as for rillet run")
    parser.add_argument(
        "-o", dest="output", metavar="FILE", help="a .svg, .html, .dot or .txt file; else text is printed"
    )
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    if options.output and Path(options.output).suffix not in _ENDINGS:
        print(f"rillet: -o takes a name that ends in one of {', '.join(_ENDINGS)}", file=sys.stderr)
        return 2
    file, colon, name = options.target.rpartition(":")
    if not colon or not name:
        print("rillet: say what to draw: program.py:name", file=sys.stderr)
        return 2
    try:
        program = run.find_program(file)
    except run.CannotRun as error:
        print(f"rillet: {error}", file=sys.stderr)
        return error.status
    _run(program, options.api)
    try:
        picture = _draw_by_name(
            name, vars(sys.modules["__main__"]), options.wrt, options.feed, options.args, options.title
        )
    except (ValueError, TypeError) as error:
        print(f"rillet: {error}", file=sys.stderr)
        return 1
    if options.output:
        picture.save(options.output)
    else:
        print(picture, end="")
    return 0


def _run(program: run.Program, api: str) -> None:
    try:
        run.run(program, [], api)
    except SystemExit as ended:
        if ended.code not in (None, 0):
            raise
