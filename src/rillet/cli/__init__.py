"""The command `rillet`: run a program, train on the digits in both styles, look at the installation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rillet.cli import demo, doctor, draw, run

COMMANDS = (run, demo, draw, doctor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; its number is the exit status."""
    parser = argparse.ArgumentParser(prog="rillet", description="Runs TensorFlow programs, lazy and eager.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    own, programs = _split(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(own)
    options.arguments = programs
    status: int = options.execute(options)
    return status


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """rillet's own arguments, and those of the program that it runs."""
    if arguments[:1] != ["run"]:
        return arguments, []
    own, programs = run.split(arguments[1:])
    return ["run", *own], programs
