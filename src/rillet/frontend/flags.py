"""tf.flags: options of a program, given on its command line.

    tf.flags.DEFINE_integer("steps", 100, "how many steps to train")
    FLAGS = tf.flags.FLAGS
    FLAGS.steps          # reads the command line on first use, or when tf.app.run does

A flag is written `--name=value`, `--name value`, and for a boolean `--name` or `--noname`; one dash does as well as two.
What stands after `--`, and what is no flag, is left for the program.
"""

from __future__ import annotations

import enum
import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rillet.core.export import export

Parser = Callable[[Any], Any]


class Error(Exception):
    """What is wrong with flags."""


class CantOpenFlagFileError(Error):
    """The file named by --flagfile cannot be read."""


class DuplicateFlagError(Error):
    """Two definitions of one name."""


class IllegalFlagValueError(Error):
    """A text that its flag cannot take."""


class UnparsedFlagAccessError(Error):
    """A flag was asked for before the command line was read."""


class ValidationError(Error):
    """A validator said no."""


class UnrecognizedFlagError(Error):
    """A flag that nobody defined. `flagname` is its name, `flagvalue` what was given with it."""

    def __init__(self, flagname: str, flagvalue: str = "", suggestions: Sequence[str] | None = None) -> None:
        self.flagname = flagname
        self.flagvalue = flagvalue
        close = f". Did you mean: {', '.join(suggestions)} ?" if suggestions else ""
        super().__init__(f"Unknown command line flag '{flagname}'{close}")


# ---- parsers --------------------------------------------------------------------------------------------------------

_SAID = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _parse_boolean(text: Any) -> bool:
    if isinstance(text, str) and text.lower() in _SAID:
        return _SAID[text.lower()]
    if text in (0, 1):
        return bool(text)
    raise ValueError("Non-boolean argument to boolean flag", text)


def _parse_integer(text: Any) -> int:
    if not isinstance(text, str):
        if isinstance(text, bool) or int(text) != text:
            raise TypeError(f"Expect argument to be a string or int, found {type(text)}")
        return int(text)
    return int(text, 16) if text.lower().lstrip("+-").startswith("0x") else int(text)


def _bounded(parse: Parser, kind: str, lower_bound: Any, upper_bound: Any) -> Parser:
    def check(text: Any) -> Any:
        value = parse(text)
        if (lower_bound is not None and value < lower_bound) or (upper_bound is not None and value > upper_bound):
            raise ValueError(f"{value} is not {_range_in_words(kind, lower_bound, upper_bound)}")
        return value

    return check


def _range_in_words(kind: str, lower_bound: Any, upper_bound: Any) -> str:
    if lower_bound == 0 and upper_bound is None:
        return f"a non-negative {kind}"
    if lower_bound == 1 and upper_bound is None and kind == "integer":
        return "a positive integer"
    if lower_bound is not None and upper_bound is not None:
        return f"a {kind} in the range [{lower_bound}, {upper_bound}]"
    bound = f">= {lower_bound}" if lower_bound is not None else f"<= {upper_bound}"
    return f"a {kind} {bound}"


def _one_of(allowed: Sequence[str], case_sensitive: bool = True) -> Parser:
    spellings = {value if case_sensitive else value.lower(): value for value in allowed}

    def parse(text: Any) -> str:
        key = text if case_sensitive else str(text).lower()
        if key not in spellings:
            raise ValueError(f"value should be one of <{'|'.join(allowed)}>")
        return spellings[key]

    return parse


def _split_at_commas(text: Any) -> list[str]:
    if isinstance(text, (list, tuple)):
        return list(text)
    return [part.strip() for part in text.split(",")] if text else []


def _split_at_spaces(text: Any) -> list[str]:
    return list(text) if isinstance(text, (list, tuple)) else text.split()


# ---- flags ----------------------------------------------------------------------------------------------------------


class Flag:
    """One flag. `value` is what it has now, `default` what it has when the command line does not name it."""

    def __init__(
        self, parser: Parser, name: str, default: Any, help: str | None, kind: str, short_name: str | None = None
    ) -> None:
        self.parser = parser
        self.name = name
        self.help = help or ""
        self.short_name = short_name
        self.kind = kind
        self.boolean = kind == "boolean"
        self.multiple = kind.startswith("multiple")
        self.present = 0
        self.using_default_value = True
        self.module = os.path.abspath(sys.argv[0]) if sys.argv and sys.argv[0] else "main"
        self.validators: list[tuple[Callable[[Any], Any], str]] = []
        self.default = self.value = self._parsed_default(default)

    def _parsed_default(self, default: Any) -> Any:
        if default is None:
            return None
        if self.multiple:
            given = default if isinstance(default, (list, tuple)) else [default]
            return [self._parse(value) for value in given]
        return self._parse(default)

    def _parse(self, text: Any) -> Any:
        try:
            return self.parser(text)
        except (TypeError, ValueError) as error:
            raise IllegalFlagValueError(f"flag --{self.name}={text}: {error}") from None

    def parse(self, text: Any) -> None:
        """Takes a value from the command line. Raises IllegalFlagValueError for what it cannot be."""
        value = self._parse(text)
        if self.multiple:
            value = [*self.value, value] if self.present else [value]
        self.present += 1
        self.using_default_value = False
        self.value = value

    def validate(self) -> None:
        """Raises IllegalFlagValueError where a validator rejects the value."""
        for accepts, message in self.validators:
            try:
                accepted = accepts(self.value)
            except ValidationError as error:
                raise IllegalFlagValueError(f"flag --{self.name}={self.value}: {error}") from None
            if not accepted:
                raise IllegalFlagValueError(f"flag --{self.name}={self.value}: {message}")

    def unparse(self) -> None:
        self.value = self.default
        self.using_default_value = True
        self.present = 0

    def written(self) -> list[str]:
        """The flag as a command line has it."""
        if self.value is None:
            return []
        if self.boolean:
            return [f"--{self.name}" if self.value else f"--no{self.name}"]
        if self.multiple:
            return [f"--{self.name}={value}" for value in self.value]
        return [f"--{self.name}={self._as_text(self.value)}"]

    def _as_text(self, value: Any) -> str:
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)

    def describe(self) -> str:
        lines = [f"  --{'[no]' if self.boolean else ''}{self.name}: {self.help}"]
        if self.default is not None:
            default = str(self.default).lower() if self.boolean else self._as_text(self.default)
            lines.append(f"    (default: '{default}')")
        if self.kind not in ("boolean", "string"):
            lines.append(f"    ({self.kind})")
        return "\n".join(lines)


class FlagHolder:
    """What DEFINE_* returns: a flag that can be asked without naming it again."""

    def __init__(self, flags: FlagValues, flag: Flag) -> None:
        self._flags = flags
        self._flag = flag

    @property
    def name(self) -> str:
        return self._flag.name

    @property
    def value(self) -> Any:
        return getattr(self._flags, self._flag.name)

    @property
    def default(self) -> Any:
        return self._flag.default

    @property
    def present(self) -> bool:
        return bool(self._flag.present)


class FlagValues:
    """The flags of a program, as attributes. Calling it reads a command line.

    reads_command_line: the first attribute asked for reads sys.argv. Otherwise it is an UnparsedFlagAccessError.
    """

    def __init__(self, reads_command_line: bool = False) -> None:
        self.__dict__.update(_defined={}, _short={}, _parsed=False, _reads_command_line=reads_command_line)

    # ---- asking ----

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        flag = self._find(name)
        if not self._parsed and self._reads_command_line:
            self(sys.argv)
        if flag is None:
            raise AttributeError(name)
        if not self._parsed:
            raise UnparsedFlagAccessError(f"Trying to access flag --{name} before flags were parsed.")
        return flag.value

    def __setattr__(self, name: str, value: Any) -> None:
        flag = self._find(name)
        if flag is None:
            raise UnrecognizedFlagError(name, value, self._similar(name))
        before = flag.value
        flag.value = value
        try:
            flag.validate()
        except IllegalFlagValueError:
            flag.value = before
            raise
        flag.using_default_value = False

    def __delattr__(self, name: str) -> None:
        flag = self._find(name)
        if flag is None:
            raise AttributeError(name)
        for table in (self._defined, self._short):
            for key in [key for key, known in table.items() if known is flag]:
                del table[key]

    def _find(self, name: str) -> Flag | None:
        return self._defined.get(name) or self._short.get(name)

    def __getitem__(self, name: str) -> Flag:
        flag = self._find(name)
        if flag is None:
            raise KeyError(name)
        return flag

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._defined)

    def __len__(self) -> int:
        return len(self._defined)

    def __dir__(self) -> list[str]:
        return sorted(self._defined)

    def is_parsed(self) -> bool:
        return bool(self._parsed)

    def mark_as_parsed(self) -> None:
        self.__dict__["_parsed"] = True

    def unparse_flags(self) -> None:
        """Back to the state before the command line was read."""
        for flag in self._defined.values():
            flag.unparse()
        self.__dict__["_parsed"] = False

    def flag_values_dict(self) -> dict[str, Any]:
        return {name: flag.value for name, flag in self._defined.items()}

    def flags_into_string(self) -> str:
        """One flag a line, as --flagfile reads them."""
        return "".join(f"{line}\n" for name in sorted(self._defined) for line in self._defined[name].written())

    def append_flags_into_file(self, filename: str) -> None:
        with open(filename, "a") as file:
            file.write(self.flags_into_string())

    def get_help(self, prefix: str = "") -> str:
        """What each flag means, under the program that defines it."""
        lines: list[str] = []
        for module in sorted({flag.module for flag in self._defined.values()}):
            lines += ["", f"{module}:"]
            lines += [self._defined[name].describe() for name in sorted(self) if self._defined[name].module == module]
        return "\n".join(f"{prefix}{line}" for line in lines)

    def main_module_help(self) -> str:
        return self.get_help()

    # ---- defining ----

    def define(self, flag: Flag) -> FlagHolder:
        """Raises DuplicateFlagError for a name that is taken."""
        known = self._find(flag.name)
        if known is not None:
            raise DuplicateFlagError(
                f"The flag '{flag.name}' is defined twice. First from {known.module}, second from {flag.module}. "
                f"Description from first occurrence: {known.help}"
            )
        self._defined[flag.name] = flag
        if flag.short_name:
            self._short[flag.short_name] = flag
        return FlagHolder(self, flag)

    def set_default(self, name: str, value: Any) -> None:
        flag = self[name]
        flag.default = flag._parsed_default(value)
        if flag.using_default_value:
            flag.value = flag.default

    # ---- reading a command line ----

    def __call__(self, argv: Sequence[str], known_only: bool = False) -> list[str]:
        """Reads a command line, its first word the program. Returns what is left: that word, and what is no flag.

        known_only: flags that nobody defined are left too, with all that follows `--`.
        Raises UnrecognizedFlagError, IllegalFlagValueError, or Error for a flag without its value.
        """
        if isinstance(argv, (str, bytes)):
            raise TypeError("argv should be a tuple/list of strings, not bytes or string.")
        if not argv:
            raise ValueError("argv cannot be an empty list, and must contain the program name as the first element.")
        for flag in self._defined.values():
            flag.present = 0
        left = _CommandLine(self, list(argv[1:]), known_only).read()
        self.mark_as_parsed()
        for flag in self._defined.values():
            flag.validate()
        return [argv[0], *left]

    def _similar(self, name: str) -> list[str]:
        import difflib  # slow to load

        return difflib.get_close_matches(name, list(self._defined), n=3, cutoff=0.75)


class _CommandLine:
    """One reading of a command line."""

    def __init__(self, flags: FlagValues, waiting: list[str], known_only: bool) -> None:
        self._flags = flags
        self._waiting = waiting
        self._known_only = known_only
        self._left: list[str] = []
        self._unknown: list[tuple[str, str]] = []
        self._permitted: set[str] = set()

    def read(self) -> list[str]:
        while self._waiting:
            word = self._waiting.pop(0)
            if word == "--":
                self._left += [word, *self._waiting] if self._known_only else self._waiting
                break
            if word.startswith("-") and word != "-":
                self._read_flag(word)
            else:
                self._left.append(word)
        for name, word in self._unknown:
            if name not in self._permitted and name.removeprefix("no") not in self._permitted:
                raise UnrecognizedFlagError(name, word, self._flags._similar(name))
        return self._left

    def _read_flag(self, word: str) -> None:
        name, equals, text = word.lstrip("-").partition("=")
        name = name if name in self._flags else name.replace("-", "_")
        if name == "flagfile":
            self._waiting[:0] = _words_of_file(self._value(name, equals, text))
        elif name == "undefok":
            self._permitted.update(_split_at_commas(self._value(name, equals, text)))
        elif name in self._flags:
            flag = self._flags[name]
            flag.parse((text if equals else True) if flag.boolean else self._value(name, equals, text))
        elif self._is_negated(name):
            if equals:
                raise ValueError(f"{word} does not take an argument")
            self._flags[name.removeprefix("no")].parse(False)
        elif self._known_only:
            self._left.append(word)
        else:
            self._unknown.append((name, word))

    def _is_negated(self, name: str) -> bool:
        positive = name.removeprefix("no")
        return positive != name and positive in self._flags and self._flags[positive].boolean

    def _value(self, name: str, equals: str, text: str) -> str:
        if equals:
            return text
        if not self._waiting:
            raise Error(f"Missing value for flag --{name}")
        return self._waiting.pop(0)


def _words_of_file(filename: str) -> list[str]:
    try:
        with open(os.path.expanduser(filename)) as file:
            lines = [line.strip() for line in file]
    except OSError as error:
        raise CantOpenFlagFileError(f"ERROR:: Unable to open flagfile: {error}") from None
    return [line for line in lines if line and not line.startswith(("#", "//"))]


FLAGS = FlagValues(reads_command_line=True)


# ---- definitions ----------------------------------------------------------------------------------------------------


def _defined(
    flags: FlagValues | None, parser: Parser, name: str, default: Any, help: str | None, kind: str,
    required: bool = False, short_name: str | None = None, module_name: str | None = None,
) -> FlagHolder:  # fmt: skip
    chosen = FLAGS if flags is None else flags
    flag = Flag(parser, name, default, help, kind, short_name)
    if module_name:
        flag.module = module_name
    holder = chosen.define(flag)
    if required:
        mark_flag_as_required(name, chosen)
    return holder


_EARLIER_NAMES = {"flag_name": "name", "default_value": "default", "docstring": "help"}  # before TensorFlow 1.5


def _definition(define: Callable[..., FlagHolder]) -> Callable[..., FlagHolder]:
    """`define`, whose arguments may have their earlier names too."""

    @functools.wraps(define)
    def renaming(*args: Any, **kwargs: Any) -> FlagHolder:
        return define(*args, **{_EARLIER_NAMES.get(key, key): value for key, value in kwargs.items()})

    return renaming


@_definition
def define(parser: Any, name: str, default: Any, help: str, flag_values: Any = None, **options: Any) -> FlagHolder:
    """A flag with a parser of one's own: an object with parse(text), or a function of the text."""
    options.pop("serializer", None)
    return _defined(flag_values, getattr(parser, "parse", parser), name, default, help, "value", **options)


@_definition
def define_string(name: str, default: Any, help: str, flag_values: Any = None, **options: Any) -> FlagHolder:
    """A flag whose value is its text."""
    return _defined(flag_values, str, name, default, help, "string", **options)


@_definition
def define_boolean(name: str, default: Any, help: str, flag_values: Any = None, **options: Any) -> FlagHolder:
    """A switch: --name, --noname, or --name=true."""
    return _defined(flag_values, _parse_boolean, name, default, help, "boolean", **options)


def _number(parse: Parser, kind: str, description: str, multiple: bool) -> Callable[..., FlagHolder]:
    @_definition
    def define_number(
        name: str, default: Any, help: str, lower_bound: Any = None, upper_bound: Any = None, flag_values: Any = None,
        **options: Any,
    ) -> FlagHolder:  # fmt: skip
        bounded = lower_bound is not None or upper_bound is not None
        meaning = _range_in_words(kind, lower_bound, upper_bound) if bounded else description
        parser = _bounded(parse, kind, lower_bound, upper_bound)
        return _defined(
            flag_values, parser, name, default, help, f"multiple: {meaning}" if multiple else meaning, **options
        )

    return define_number


@_definition
def define_enum(
    name: str, default: Any, enum_values: Sequence[str], help: str, flag_values: Any = None, case_sensitive: bool = True,
    **options: Any,
) -> FlagHolder:  # fmt: skip
    """A flag that has one of the texts `enum_values`."""
    kind = f"one of {'|'.join(enum_values)}"
    return _defined(flag_values, _one_of(enum_values, case_sensitive), name, default, help, kind, **options)


@_definition
def define_multi_enum(
    name: str, default: Any, enum_values: Sequence[str], help: str, flag_values: Any = None, case_sensitive: bool = True,
    **options: Any,
) -> FlagHolder:  # fmt: skip
    """Like define_enum; the flag may stand several times, and its value is a list."""
    kind = f"multiple: one of {'|'.join(enum_values)}"
    return _defined(flag_values, _one_of(enum_values, case_sensitive), name, default, help, kind, **options)


@_definition
def define_enum_class(
    name: str, default: Any, enum_class: type[enum.Enum], help: str, flag_values: Any = None, **options: Any
) -> FlagHolder:
    """A flag whose value is a member of an Enum, given by its name."""

    def parse(text: Any) -> enum.Enum:
        if isinstance(text, enum_class):
            return text
        members = {member.name.lower(): member for member in enum_class}
        if str(text).lower() not in members:
            raise ValueError(f"value should be one of <{'|'.join(members)}>")
        return members[str(text).lower()]

    return _defined(flag_values, parse, name, default, help, f"one of {'|'.join(enum_class.__members__)}", **options)


@_definition
def define_list(name: str, default: Any, help: str, flag_values: Any = None, **options: Any) -> FlagHolder:
    """A list of texts, written with commas between them."""
    return _defined(flag_values, _split_at_commas, name, default, help, "a comma separated list", **options)


@_definition
def define_spaceseplist(
    name: str, default: Any, help: str, comma_compat: bool = False, flag_values: Any = None, **options: Any
) -> FlagHolder:
    """A list of texts, written with spaces between them; with comma_compat commas do as well."""

    def parse(text: Any) -> list[str]:
        return _split_at_spaces(text.replace(",", " ") if comma_compat and isinstance(text, str) else text)

    return _defined(flag_values, parse, name, default, help, "a whitespace separated list", **options)


@_definition
def define_multi_string(name: str, default: Any, help: str, flag_values: Any = None, **options: Any) -> FlagHolder:
    """A flag that may stand several times; its value is the list of its texts."""
    return _defined(flag_values, str, name, default, help, "multiple: repeat it for more values", **options)


def define_flag(
    flag: Flag, flag_values: FlagValues | None = None, module_name: str | None = None, required: bool = False
) -> FlagHolder:
    chosen = FLAGS if flag_values is None else flag_values
    holder = chosen.define(flag)
    if required:
        mark_flag_as_required(flag.name, chosen)
    return holder


# ---- conditions -----------------------------------------------------------------------------------------------------


def register_validator(
    flag_name: str, checker: Callable[[Any], Any], message: str = "Flag validation failed", flag_values: Any = None
) -> None:
    """`checker` is asked about the flag's value when the command line was read, and when the program sets it."""
    (FLAGS if flag_values is None else flag_values)[flag_name].validators.append((checker, message))


def validator(flag_name: str, message: str = "Flag validation failed", flag_values: Any = None) -> Any:
    """register_validator as a decorator."""

    def decorate(checker: Callable[[Any], Any]) -> Callable[[Any], Any]:
        register_validator(flag_name, checker, message, flag_values)
        return checker

    return decorate


def mark_flag_as_required(flag_name: str, flag_values: Any = None) -> None:
    """The program does not run without this flag."""
    message = f"Flag --{flag_name} must have a value other than None."
    register_validator(flag_name, lambda value: value is not None, message, flag_values)


def mark_flags_as_required(flag_names: Iterable[str], flag_values: Any = None) -> None:
    for name in flag_names:
        mark_flag_as_required(name, flag_values)


def mark_flags_as_mutual_exclusive(flag_names: Sequence[str], required: bool = False, flag_values: Any = None) -> None:
    """At most one of these flags may be given (with `required`, one must be)."""
    chosen = FLAGS if flag_values is None else flag_values
    number = "Exactly" if required else "At most"
    message = f"{number} one of ({', '.join(flag_names)}) must have a value other than None."

    def check(_: Any) -> bool:
        given = sum(chosen[name].value is not None for name in flag_names)
        return given == 1 if required else given <= 1

    register_validator(flag_names[0], check, message, chosen)


def set_default(flag_holder: FlagHolder, value: Any) -> None:
    flag_holder._flags.set_default(flag_holder.name, value)


_DEFINITIONS = {
    "DEFINE": define,
    "DEFINE_bool": define_boolean,
    "DEFINE_boolean": define_boolean,
    "DEFINE_enum": define_enum,
    "DEFINE_enum_class": define_enum_class,
    "DEFINE_flag": define_flag,
    "DEFINE_float": _number(float, "number", "a number", multiple=False),
    "DEFINE_integer": _number(_parse_integer, "integer", "an integer", multiple=False),
    "DEFINE_list": define_list,
    "DEFINE_multi_enum": define_multi_enum,
    "DEFINE_multi_float": _number(float, "number", "a number", multiple=True),
    "DEFINE_multi_integer": _number(_parse_integer, "integer", "an integer", multiple=True),
    "DEFINE_multi_string": define_multi_string,
    "DEFINE_spaceseplist": define_spaceseplist,
    "DEFINE_string": define_string,
}
_OTHERS = (
    CantOpenFlagFileError, DuplicateFlagError, Error, Flag, FlagHolder, FlagValues, IllegalFlagValueError,
    UnparsedFlagAccessError, UnrecognizedFlagError, ValidationError, mark_flag_as_required,
    mark_flags_as_mutual_exclusive, mark_flags_as_required, register_validator, set_default, validator,
)  # fmt: skip

for _name, _value in {**_DEFINITIONS, **{value.__name__: value for value in _OTHERS}, "FLAGS": FLAGS}.items():
    export(_value, v1=[f"flags.{_name}", f"app.flags.{_name}"])
