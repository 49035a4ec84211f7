"""Weights in files. The ending of a file's name says its format."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rillet.keras import hdf5, legacy_h5, weight_tree
from rillet.keras.sessions import get_values
from rillet.saving import files, safetensors
from rillet.saving.checkpoint import Checkpoint

Save = Callable[[Any, Path], None]
Load = Callable[..., None]

FORMATS: dict[str, tuple[Save, Load]] = {}  # ending -> how to write and read


def save_weights(
    model: Any, filepath: Any, overwrite: bool = True, save_format: str | None = None, **options: Any
) -> None:
    """Writes the weights of `model`: .weights.h5, .h5, .npz, .safetensors; other names are the prefix of a checkpoint.

    save_format: "h5" or "tf", where the name does not say. options: accepted.
    Raises FileExistsError where there is such a file and overwrite is False, ValueError for a model without weights,
    ImportError where the format needs a package that is missing.
    """
    path = Path(os.fspath(filepath))
    if not model.weights:
        raise ValueError("the model has no weights yet: call it, or build() it, first")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists, and overwrite=False")
    path.parent.mkdir(parents=True, exist_ok=True)
    _format(path, save_format)[0](model, path)


def load_weights(
    model: Any,
    filepath: Any,
    assign: Callable[[Sequence[Any]], None],
    skip_mismatch: bool = False,
    by_name: bool = False,
    **options: Any,
) -> Any:
    """Reads what save_weights wrote. skip_mismatch: weights of other shapes keep their values. by_name: layers are found by
    their names (.h5).

    Raises FileNotFoundError where there is no such file, ValueError where the weights don't fit. For a checkpoint, returns
    the status of tf.train.Checkpoint.read.
    """
    path = Path(os.fspath(filepath))
    if _is_checkpoint(path):
        return Checkpoint(model).read(str(path))
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if path.name.endswith((".h5", ".hdf5", ".keras")) or by_name:
        return _load_h5(model, path, assign, skip_mismatch, by_name)
    return _format(path)[1](model, path, assign, skip_mismatch)


def _format(path: Path, save_format: str | None = None) -> tuple[Save, Load]:
    if save_format in ("h5", "hdf5"):
        return FORMATS[".h5"]
    for ending, functions in FORMATS.items():
        if path.name.endswith(ending):
            return functions
    if path.name.endswith(".keras"):
        raise ValueError(f"{path.name!r} is the name of a whole model: save it with model.save, or name it .weights.h5")
    if path.suffix[1:].isalpha() and path.suffix not in _CHECKPOINT_ENDINGS and save_format != "tf":
        raise ValueError(
            f"weights can't be kept in {path.name!r}: its name should end in {' or '.join(sorted(FORMATS))}, which says the "
            "format; or have no ending, for a checkpoint of TensorFlow's"
        )
    return _save_checkpoint, _load_missing


# ---- checkpoints of TensorFlow ----------------------------------------------------------------------------------------


_CHECKPOINT_ENDINGS = (".ckpt", ".tf", ".weights", ".cpt")


def _is_checkpoint(path: Path) -> bool:
    return path.with_name(path.name + ".index").exists()


def _save_checkpoint(model: Any, path: Path) -> None:
    Checkpoint(model).write(str(path))


def _load_missing(model: Any, path: Path, *_: Any) -> None:
    raise ValueError(f"{path} is no file of weights: its name should end in {' or '.join(sorted(FORMATS))}")


# ---- HDF5 -------------------------------------------------------------------------------------------------------------


def _save_tree(model: Any, path: Path) -> None:
    with hdf5.writing(path) as file:
        weight_tree.save(model, file)


def _save_legacy(model: Any, path: Path) -> None:
    with hdf5.writing(path) as file:
        legacy_h5.save_weights(model, file)


def _load_h5(
    model: Any, path: Path, assign: Callable[[Sequence[Any]], None], skip_mismatch: bool, by_name: bool = False
) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            source: Any = io.BytesIO(archive.read("model.weights.h5"))
    else:
        source = path
    with hdf5.reading(source) as file:
        if legacy_h5.is_legacy(file):
            legacy_h5.load_weights(model, file, assign, skip_mismatch, by_name)
        elif by_name:
            raise ValueError(
                f"{path} holds weights by their place in the model: by_name needs a file of the older form, .h5"
            )
        else:
            weight_tree.load(model, file, assign, skip_mismatch)


# ---- arrays by name ---------------------------------------------------------------------------------------------------


def _save_npz(model: Any, path: Path) -> None:
    with files.replacing(str(path)) as file:
        np.savez(file, **_named_arrays(model))


def _load_npz(model: Any, path: Path, assign: Callable[[Sequence[Any]], None], skip_mismatch: bool) -> None:
    with np.load(path) as stored:
        _assign_named(model, {name: stored[name] for name in stored.files}, path, assign, skip_mismatch)


def _save_safetensors(model: Any, path: Path) -> None:
    safetensors.save(path, _named_arrays(model))


def _load_safetensors(model: Any, path: Path, assign: Callable[[Sequence[Any]], None], skip_mismatch: bool) -> None:
    _assign_named(model, safetensors.load(path), path, assign, skip_mismatch)


def _named_arrays(model: Any) -> dict[str, Any]:
    names = [f"{index:04d}:{variable.name.partition(':')[0]}" for index, variable in enumerate(model.weights)]
    return dict(zip(names, get_values(model.weights), strict=True))


def _assign_named(
    model: Any,
    stored: dict[str, Any],
    path: Path,
    assign: Callable[[Sequence[Any]], None],
    skip_mismatch: bool,
) -> None:
    """The names begin with numbers, which say the order."""
    variables, arrays = model.weights, [stored[name] for name in sorted(stored)]
    if len(arrays) != len(variables):
        raise ValueError(f"{path} holds {len(arrays)} weights, and the model has {len(variables)}")
    pairs = list(zip(variables, arrays, strict=True))
    fitting = [pair for pair in pairs if tuple(pair[0].shape.as_list()) == pair[1].shape]
    if len(fitting) != len(pairs) and not skip_mismatch:
        variable, array = next(pair for pair in pairs if tuple(pair[0].shape.as_list()) != pair[1].shape)
        raise ValueError(f"{path}: {variable.name} has shape {variable.shape}, and the file {array.shape}")
    assign(fitting)


FORMATS[".weights.h5"] = (_save_tree, _load_h5)
FORMATS[".h5"] = FORMATS[".hdf5"] = (_save_legacy, _load_h5)
FORMATS[".npz"] = (_save_npz, _load_npz)
FORMATS[".safetensors"] = (_save_safetensors, _load_safetensors)
