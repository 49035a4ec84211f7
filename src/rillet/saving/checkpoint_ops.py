"""The ops through which graphs save and restore: TensorFlow's Savers consist of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core.dtypes import DType
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value
from rillet.errors import InvalidArgumentError
from rillet.ops.families import scalar_shape
from rillet.ops.files import as_path
from rillet.saving import bundle
from rillet.saving.checkpoints import open_checkpoint
from rillet.saving.slices import Part, Parts


def _texts(array: Any) -> list[str]:
    return [text.decode() if isinstance(text, bytes) else str(text) for text in np.asarray(array, object).ravel()]


def _path(value: Any) -> str:
    return as_path(np.asarray(value, object).item())


def part_of(specification: str, array: Any = None) -> Part:
    """The part of a tensor that a text says: "4 3 0,2:-" is the first 2 of 4 rows, all of 3 columns."""
    *sizes, extents = specification.split(" ")
    full = tuple(int(size) for size in sizes)
    starts, lengths = [], []
    for extent, whole in zip(extents.split(":"), full, strict=True):
        start, _, length = ("0", "", str(whole)) if extent == "-" else extent.partition(",")
        starts.append(int(start))
        lengths.append(int(length))
    return Part(array, full, tuple(starts), tuple(lengths))


def _save(prefix: Any, names: Any, specifications: Any, *arrays: Any, dtypes: Sequence[DType]) -> tuple[()]:
    tensors: dict[str, Any] = {}
    for name, specification, array in zip(_texts(names), _texts(specifications), arrays, strict=True):
        if specification:
            tensors.setdefault(name, Parts([])).parts.append(part_of(specification, array))
        else:
            tensors[name] = array
    bundle.write(_path(prefix), tensors)
    return ()


def _restore(prefix: Any, names: Any, specifications: Any, *, dtypes: Sequence[DType]) -> tuple[Any, ...]:
    reader = open_checkpoint(_path(prefix))
    results = []
    for name, specification, dtype in zip(_texts(names), _texts(specifications), dtypes, strict=True):
        entry = reader.entry(name)
        if entry.dtype is not dtype:
            raise InvalidArgumentError(
                None,
                None,
                f"tensor_name = {name}; expected dtype {dtype.name} does not equal original dtype {entry.dtype.name}",
            )
        array = reader.tensor(name)
        results.append(array[part_of(specification).region()] if specification else array)
    return tuple(results)


def _restored_shapes(operation: Operation) -> list[TensorShape]:
    specifications = constant_value(operation.inputs[2])
    if specifications is None:
        return [UNKNOWN for _ in operation.outputs]
    texts = _texts(specifications)
    return [TensorShape(part_of(text).size) if text else UNKNOWN for text in texts]


SAVE = define(
    "SaveV2", "prefix: string, tensor_names: string, shape_and_slices: string, tensors: dtypes... ->", "dtypes: list(type)",
    reference=_save, shape=lambda op: [], gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
RESTORE = define(
    "RestoreV2", "prefix: string, tensor_names: string, shape_and_slices: string -> tensors: dtypes...",
    "dtypes: list(type)",
    reference=_restore, shape=_restored_shapes, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def _merge(prefixes: Any, destination: Any, *, delete_old_dirs: bool, allow_missing_files: bool) -> tuple[()]:
    """The tensors of several checkpoints in one, which takes their place."""
    sources = [text for text in _texts(prefixes) if not allow_missing_files or os.path.exists(bundle.index_path(text))]
    target = _path(destination)
    tensors: dict[str, Any] = {}
    for source in sources:
        reader = bundle.Reader(source)
        tensors.update({name: reader.tensor(name) for name in reader.names})
    bundle.write(target, tensors)
    for source in sources:
        if os.path.abspath(source) != os.path.abspath(target):
            bundle.remove(source)
    if delete_old_dirs:
        for folder in {os.path.dirname(source) for source in sources} - {os.path.dirname(target)}:
            if os.path.isdir(folder) and not os.listdir(folder):
                os.rmdir(folder)
    return ()


define(
    "MergeV2Checkpoints", "checkpoint_prefixes: string, destination_prefix: string ->",
    "delete_old_dirs: bool = True, allow_missing_files: bool = False",
    reference=_merge, shape=lambda op: [], gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
define(
    "ShardedFilename", "basename: string, shard: int32, num_shards: int32 -> filename: string",
    reference=lambda name, shard, shards: f"{_path(name)}-{int(shard):05d}-of-{int(shards):05d}".encode(),
    shape=scalar_shape, gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "DisableCopyOnRead", "resource: resource ->",
    reference=lambda state: (), shape=lambda op: [], gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
