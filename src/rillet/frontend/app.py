"""tf.app.run: the way TensorFlow 1 programs start."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from rillet.core.export import public
from rillet.frontend.flags import FLAGS

_HELP = {"-h", "-help", "--help", "-helpshort", "--helpshort", "-helpfull", "--helpfull"}


@public(v1=["app.run"])
def run(main: Callable[[list[str]], Any] | None = None, argv: Sequence[str] | None = None) -> None:
    """Reads the flags (tf.flags) and calls `main` with the rest of the command line; exits with what it returns.

    main: the function `main` of the program itself when None.
    argv: the command line, the program first; sys.argv when None. What is no flag of the program is handed to main.
    Raises SystemExit, and the errors of tf.flags.
    """
    program = sys.modules["__main__"]
    words = list(sys.argv if argv is None else argv)
    if not FLAGS.is_parsed() and _HELP.intersection(words[1:]):
        print(_help(program.__doc__, words[0]))
        sys.exit(1)
    left = FLAGS(words, known_only=True)
    function = main or getattr(program, "main", None)
    if function is None:
        raise AttributeError("tf.app.run() calls the function `main` of the program, which has none")
    sys.exit(function(left))


def _help(doc: str | None, program: str) -> str:
    introduction = (doc or f"\nUSAGE: {program} [flags]").replace("%s", program).rstrip()
    return f"{introduction}\nflags:\n{FLAGS.get_help()}"
