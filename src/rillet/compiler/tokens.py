"""Reading the text of programs, word by word."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*")
      | (?P<name>//[^\n]*)
      | (?P<number>-?(?:\d+(?:\.\d*)?(?:e[+-]?\d+)?|inf\b|nan\b))
      | (?P<word>[%@]?[A-Za-z0-9_][\w.]*)
      | (?P<mark>->|\S)
      | (?P<line>\n)""",
    re.VERBOSE,
)


class TextError(ValueError):
    """The text is not that of a program; the message says in which line and what is wrong."""


class Tokens:
    """The words of a text, of which one is next. Names, which stand behind //, come as one word."""

    def __init__(self, text: str) -> None:
        self._words: list[tuple[str, int]] = []
        line = 1
        for match in _TOKEN.finditer(text):
            if match.lastgroup == "line":
                line += 1
            else:
                self._words.append((match.group(), line))
        self._words.append(("", line))
        self._next = 0

    @property
    def next(self) -> str:
        """The next word; empty at the end."""
        return self._words[self._next][0]

    @property
    def after(self) -> str:
        """The word behind the next one."""
        return self._words[min(self._next + 1, len(self._words) - 1)][0]

    def take(self) -> str:
        """The next word, which is then done with."""
        word = self.next
        if not word:
            raise self.error("the text ends too early")
        self._next += 1
        return word

    def accept(self, *words: str) -> bool:
        """Takes these words if they are next."""
        if [word for word, _ in self._words[self._next : self._next + len(words)]] != list(words):
            return False
        self._next += len(words)
        return True

    def expect(self, *words: str) -> None:
        for word in words:
            if not self.accept(word):
                raise self.error(f"expected {word!r}, found {self.next!r}")

    def error(self, message: str) -> TextError:
        """An error in the line of the word that was taken last."""
        return TextError(f"line {self._words[max(self._next - 1, 0)][1]}: {message}")

    # ---- what many lines are made of ----------------------------------------------------------------------------

    def integer(self) -> int:
        word = self.take()
        if not re.fullmatch(r"-?\d+", word):
            self._next -= 1
            raise self.error(f"expected a whole number, found {word!r}")
        return int(word)

    def string(self) -> str:
        word = self.take()
        if not word.startswith('"'):
            self._next -= 1
            raise self.error(f"expected text in quotes, found {word!r}")
        return str(json.loads(word))

    def comment(self) -> str:
        """The name behind //, if there is one here."""
        return self.take()[2:].strip() if self.next.startswith("//") else ""

    def listed(self, item: Callable[[], T], opening: str = "[", closing: str = "]") -> list[T]:
        """Items between brackets, with commas between them."""
        self.expect(opening)
        result: list[T] = []
        while not self.accept(closing):
            if result:
                self.expect(",")
            result.append(item())
        return result


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def read_number(tokens: Tokens) -> bool | int | float:
    """A number, or a truth value."""
    word = tokens.take()
    if word in ("true", "false"):
        return word == "true"
    try:
        return int(word)
    except ValueError:
        pass
    try:
        return float(word)
    except ValueError:
        raise tokens.error(f"expected a number, found {word!r}") from None
