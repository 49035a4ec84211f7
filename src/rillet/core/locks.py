"""Locks that survive a fork: in the child, no thread that it has not got holds them."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

_locks: weakref.WeakSet[Any] = weakref.WeakSet()


def lock() -> Any:
    """A lock that a thread which holds it may take again. What it guards must be sound between any two statements, as another
    thread may be half-way through when the process forks."""
    made = threading.RLock()
    _locks.add(made)
    return made


def lock_held_while_forking() -> Any:
    """One for what is not sound half-way: a fork waits until nobody holds it."""
    made = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=made.acquire, after_in_parent=made.release, after_in_child=made.release)
    return made


def _release_others() -> None:
    for each in list(_locks):
        if not each._is_owned():  # as the threading module tells its own conditions
            each._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_others)
