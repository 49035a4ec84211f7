"""tf.logging and tf.get_logger: what a program tells of its work, on stderr as `INFO:tensorflow:...`."""

from __future__ import annotations

import functools
import logging
import sys
import threading
from collections import Counter
from typing import Any

from rillet.core.export import export, public

DEBUG = logging.DEBUG
INFO = logging.INFO
WARN = logging.WARNING
ERROR = logging.ERROR
FATAL = logging.FATAL
for _level in ("DEBUG", "INFO", "WARN", "ERROR", "FATAL"):
    export(globals()[_level], v1=[f"logging.{_level}"])

_LOCK = threading.Lock()


class _StandardError(logging.StreamHandler[Any]):
    """Writes to what sys.stderr is when there is something to write."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, value: Any) -> None:
        raise AttributeError("this handler writes to sys.stderr")


@public("get_logger")
def get_logger() -> logging.Logger:
    """Python's logger named `tensorflow`. It writes to stderr unless the program has set handlers of its own."""
    return _logger()


@functools.cache
def _logger() -> logging.Logger:
    logger = logging.getLogger("tensorflow")
    if logger.level == logging.NOTSET:
        logger.setLevel(WARN)
    if not logger.handlers and not logging.getLogger().handlers:
        handler = _StandardError()
        handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
        logger.addHandler(handler)
        logger.propagate = False  # a handler that the program gives the root logger later would say all again
    return logger


@public(v1=["logging.set_verbosity"])
def set_verbosity(v: int | str) -> None:
    """Messages below this level are not shown."""
    _logger().setLevel(v)


@public(v1=["logging.get_verbosity"])
def get_verbosity() -> int:
    return _logger().getEffectiveLevel()


@public(v1=["logging.log"])
def log(level: int, msg: Any, *args: Any, **kwargs: Any) -> None:
    _logger().log(level, msg, *args, **kwargs)


@public(v1=["logging.debug"])
def debug(msg: Any, *args: Any, **kwargs: Any) -> None:
    _logger().debug(msg, *args, **kwargs)


@public(v1=["logging.info"])
def info(msg: Any, *args: Any, **kwargs: Any) -> None:
    _logger().info(msg, *args, **kwargs)


@public(v1=["logging.warning", "logging.warn"])
def warning(msg: Any, *args: Any, **kwargs: Any) -> None:
    _logger().warning(msg, *args, **kwargs)


@public(v1=["logging.error"])
def error(msg: Any, *args: Any, **kwargs: Any) -> None:
    _logger().error(msg, *args, **kwargs)


@public(v1=["logging.fatal"])
def fatal(msg: Any, *args: Any, **kwargs: Any) -> None:
    """Says it at the highest level. The program goes on."""
    _logger().critical(msg, *args, **kwargs)


@public(v1=["logging.vlog"])
def vlog(level: int, msg: Any, *args: Any, **kwargs: Any) -> None:
    _logger().log(level, msg, *args, **kwargs)


@public(v1=["logging.TaskLevelStatusMessage"])
def task_level_status_message(msg: Any) -> None:
    _logger().error(msg)


@public(v1=["logging.flush"])
def flush() -> None:
    for handler in _logger().handlers:
        handler.flush()


@public(v1=["logging.log_if"])
def log_if(level: int, msg: Any, condition: Any, *args: Any) -> None:
    if condition:
        _logger().log(level, msg, *args)


# Calls are counted by the line of the program that makes them.
_CALLS: Counter[tuple[Any, int]] = Counter()


def _earlier_calls() -> int:
    """How often the line that called our caller has done so before."""
    frame = sys._getframe(2)
    with _LOCK:
        key = (frame.f_code, frame.f_lineno)
        _CALLS[key] += 1
        return _CALLS[key] - 1


@public(v1=["logging.log_every_n"])
def log_every_n(level: int, msg: Any, n: int, *args: Any) -> None:
    """Says it the first time, and then every n-th time that this line of the program is reached."""
    if _earlier_calls() % n == 0:
        _logger().log(level, msg, *args)


@public(v1=["logging.log_first_n"])
def log_first_n(level: int, msg: Any, n: int, *args: Any) -> None:
    """Says it the first n times that this line of the program is reached."""
    if _earlier_calls() < n:
        _logger().log(level, msg, *args)
