"""Reading checkpoints by path: tf.train.load_checkpoint, list_variables, load_variable; and the file `checkpoint` of a
folder, which names the latest ones.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rillet.core.export import public
from rillet.errors import NotFoundError
from rillet.ops.files import as_path
from rillet.saving import bundle, files, messages, old_checkpoint

# ---- tensors in a checkpoint ----------------------------------------------------------------------------------------


def open_checkpoint(prefix: str) -> Any:
    """A reader of the checkpoint at `prefix`, of whichever format. NotFoundError where there is none, DataLossError for a
    damaged one."""
    if not os.path.exists(bundle.index_path(prefix)) and old_checkpoint.paths(prefix):
        return old_checkpoint.OldReader(prefix)
    return bundle.Reader(prefix)


class CheckpointReader:
    """What tf.train.load_checkpoint returns."""

    def __init__(self, prefix: str) -> None:
        self._reader = open_checkpoint(prefix)

    def has_tensor(self, name: Any) -> bool:
        return _text(name) in self._reader

    def get_tensor(self, name: Any) -> Any:
        """The array called `name`. NotFoundError where there is none, DataLossError for a damaged one."""
        array = self._reader.tensor(_text(name))
        return array if array.ndim else array[()]

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        return {name: self._reader.entry(name).shape.as_list() for name in self._reader.names}

    def get_variable_to_dtype_map(self) -> dict[str, Any]:
        return {name: self._reader.entry(name).dtype for name in self._reader.names}

    def debug_string(self) -> bytes:
        """A line for each tensor: name, type, shape."""
        names = messages.enumeration("DataType")
        lines = []
        for name in self._reader.names:
            entry = self._reader.entry(name)
            kind = names.Name(entry.dtype.as_datatype_enum).removeprefix("DT_").lower()
            lines.append(f"{name} ({kind}) [{','.join(map(str, entry.shape.as_list()))}]\n")
        return "".join(lines).encode()


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


@public(v1=["train.NewCheckpointReader"])
def NewCheckpointReader(filepattern: Any) -> CheckpointReader:
    """A reader of the checkpoint with this prefix. Raises NotFoundError, DataLossError."""
    return CheckpointReader(as_path(filepattern))


@public("train.load_checkpoint")
def load_checkpoint(ckpt_dir_or_file: Any) -> CheckpointReader:
    """A reader of the checkpoint with this prefix, or of the latest one in a folder.

    Raises ValueError for a folder without checkpoints, NotFoundError, DataLossError.
    """
    path = as_path(ckpt_dir_or_file)
    prefix = latest_checkpoint(path) if os.path.isdir(path) else path
    if prefix is None:
        raise ValueError(f"Couldn't find 'checkpoint' file or checkpoints in given directory {path}")
    return CheckpointReader(prefix)


@public("train.load_variable")
def load_variable(ckpt_dir_or_file: Any, name: str) -> Any:
    """The array called `name` (also "name:0") in a checkpoint."""
    return load_checkpoint(ckpt_dir_or_file).get_tensor(name.removesuffix(":0"))


@public("train.list_variables")
def list_variables(ckpt_dir_or_file: Any) -> list[tuple[str, list[int]]]:
    """(name, shape) of everything in a checkpoint, sorted by name."""
    return sorted(load_checkpoint(ckpt_dir_or_file).get_variable_to_shape_map().items())


# ---- the latest checkpoints of a folder -----------------------------------------------------------------------------


def _state_path(folder: str, latest_filename: str | None) -> str:
    return os.path.join(folder, latest_filename or "checkpoint")


@public("train.get_checkpoint_state")
def get_checkpoint_state(checkpoint_dir: Any, latest_filename: str | None = None) -> Any:
    """What a folder's `checkpoint` file says (a CheckpointState), its paths made whole; None where there is none."""
    from google.protobuf import text_format

    folder = as_path(checkpoint_dir)
    path = _state_path(folder, latest_filename)
    try:
        text = files.read(path).decode()
        state = text_format.Parse(text, messages.get("CheckpointState")())
    except (NotFoundError, text_format.ParseError, UnicodeDecodeError):
        return None
    if not state.model_checkpoint_path:
        raise ValueError(f"Invalid checkpoint state loaded from {folder}")
    state.model_checkpoint_path = os.path.join(folder, state.model_checkpoint_path)
    paths = [os.path.join(folder, each) for each in state.all_model_checkpoint_paths]
    state.all_model_checkpoint_paths[:] = paths
    return state


@public("train.latest_checkpoint")
def latest_checkpoint(checkpoint_dir: Any, latest_filename: str | None = None) -> str | None:
    """The prefix of the latest checkpoint in a folder; None where there is none."""
    state = get_checkpoint_state(checkpoint_dir, latest_filename)
    if state is None or not state.model_checkpoint_path:
        return None
    path = str(state.model_checkpoint_path)
    return path if exists(path) else None


def exists(prefix: str) -> bool:
    return os.path.exists(bundle.index_path(prefix)) or bool(old_checkpoint.paths(prefix))


@public(v1=["train.checkpoint_exists"])
def checkpoint_exists(checkpoint_prefix: Any) -> bool:
    """Whether there is a checkpoint with this prefix."""
    return exists(as_path(checkpoint_prefix))


@public(v1=["train.get_checkpoint_mtimes"])
def get_checkpoint_mtimes(checkpoint_prefixes: Sequence[Any]) -> list[float]:
    """When each of the checkpoints that exist was written, in seconds."""
    times = []
    for prefix in map(as_path, checkpoint_prefixes):
        for path in (bundle.index_path(prefix), prefix):
            if os.path.exists(path):
                times.append(os.path.getmtime(path))
                break
    return times


@public(v1=["train.remove_checkpoint"])
def remove_checkpoint(
    checkpoint_prefix: Any, checkpoint_format_version: Any = None, meta_graph_suffix: str = "meta"
) -> None:
    """Removes the files of a checkpoint and its graph."""
    prefix = as_path(checkpoint_prefix)
    bundle.remove(prefix)
    for path in [f"{prefix}.{meta_graph_suffix}", *old_checkpoint.paths(prefix)]:
        if os.path.exists(path):
            os.remove(path)


def state_message(
    save_dir: str,
    latest: str,
    all_paths: Sequence[str] | None,
    times: Sequence[float] | None = None,
    last_preserved: float | None = None,
    relative: bool = False,
) -> Any:
    """A CheckpointState. Paths are relative to the folder if that is given by a relative path, or if asked for."""
    paths = list(all_paths or [])
    if not paths or paths[-1] != latest:
        paths.append(latest)
        times = None if times is None else [*times, time.time()]
    if not os.path.isabs(save_dir) or relative:
        paths = [_relative(path, save_dir) for path in paths]
        latest = _relative(latest, save_dir)
    state = messages.get("CheckpointState")(model_checkpoint_path=latest, all_model_checkpoint_paths=paths)
    if times is not None:
        state.all_model_checkpoint_timestamps.extend(times)
    if last_preserved is not None:
        state.last_preserved_timestamp = last_preserved
    return state


def _relative(path: str, folder: str) -> str:
    return path if os.path.isabs(path) != os.path.isabs(folder) else os.path.relpath(path, folder or ".")


def write_state(state: Any, save_dir: str, latest_filename: str | None = None) -> None:
    """Writes a folder's `checkpoint` file, whole or not at all."""
    from google.protobuf import text_format

    files.write(_state_path(save_dir, latest_filename), text_format.MessageToString(state).encode())


@public(v1=["train.generate_checkpoint_state_proto"])
def generate_checkpoint_state_proto(
    save_dir: Any,
    model_checkpoint_path: Any,
    all_model_checkpoint_paths: Any = None,
    all_model_checkpoint_timestamps: Any = None,
    last_preserved_timestamp: Any = None,
) -> Any:
    """A CheckpointState that names these checkpoints."""
    return state_message(
        as_path(save_dir),
        as_path(model_checkpoint_path),
        all_model_checkpoint_paths,
        all_model_checkpoint_timestamps,
        last_preserved_timestamp,
    )


@public(v1=["train.update_checkpoint_state"])
def update_checkpoint_state(
    save_dir: Any,
    model_checkpoint_path: Any,
    all_model_checkpoint_paths: Any = None,
    latest_filename: str | None = None,
    all_model_checkpoint_timestamps: Any = None,
    last_preserved_timestamp: Any = None,
) -> None:
    """Writes a folder's `checkpoint` file."""
    folder = as_path(save_dir)
    message = generate_checkpoint_state_proto(
        folder,
        model_checkpoint_path,
        all_model_checkpoint_paths,
        all_model_checkpoint_timestamps,
        last_preserved_timestamp,
    )
    write_state(message, folder, latest_filename)


@public("train.checkpoints_iterator")
def checkpoints_iterator(
    checkpoint_dir: Any,
    min_interval_secs: float = 0,
    timeout: float | None = None,
    timeout_fn: Any = None,
) -> Iterator[str]:
    """Each new checkpoint of a folder, as it appears.

    min_interval_secs: at least so long between two. timeout: how long to wait for one (None: for ever); then timeout_fn()
    says whether to stop.
    """
    last = None
    while True:
        started = time.time()
        found = _next_checkpoint(as_path(checkpoint_dir), last, timeout)
        if found is None:
            if timeout_fn is None or timeout_fn():
                return
            continue
        last = found
        yield found
        time.sleep(max(0.0, min_interval_secs - (time.time() - started)))


def _next_checkpoint(folder: str, last: str | None, timeout: float | None) -> str | None:
    deadline = None if timeout is None else time.time() + timeout
    while True:
        found = latest_checkpoint(folder)
        if found is not None and found != last:
            return found
        if deadline is not None and time.time() >= deadline:
            return None
        time.sleep(1 if deadline is None else min(1.0, max(0.0, deadline - time.time())))
