"""Models in files: .keras (an archive of configuration and weights), .h5 (all in one HDF5 file), or a SavedModel folder."""

from __future__ import annotations

import datetime
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rillet.core.export import V2, public
from rillet.keras import dialects, hdf5, legacy_h5, model_config, weight_tree
from rillet.keras.compile_config import compile_arguments
from rillet.keras.saving_registry import custom_object_scope
from rillet.keras.sessions import set_values
from rillet.saving import files

_ENDINGS = {"keras": (".keras",), "h5": (".h5", ".hdf5")}
_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


@public("keras.models.save_model", "keras.saving.save_model")
def save_model(
    model: Any,
    filepath: Any,
    overwrite: bool = True,
    include_optimizer: bool = True,
    save_format: str | None = None,
    **options: Any,
) -> None:
    """Writes a model to a file: what its layers are, their weights, how it is compiled, and its optimizer's state.

    filepath: ends in .keras, or in .h5 (which other programs read without Keras 3). save_format: "keras" or "h5", where the
    ending does not say. options: signatures, options, save_traces, zipped: accepted.

    Raises FileExistsError where there is such a file and overwrite is False, ValueError for another format, ImportError
    without h5py, NotImplementedError for a layer without a configuration.
    """
    path = Path(os.fspath(filepath))
    kind = _kind(path, save_format)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists, and overwrite=False")
    if not model.built:
        raise ValueError(f"the model {model.name} has no weights yet: call it, or build() it, before it is saved")
    if kind == "h5":
        with hdf5.writing(path) as file:
            legacy_h5.save_model(model, file, include_optimizer)
    else:
        files.write(str(path), _archive(model, include_optimizer))


def _kind(path: Path, save_format: str | None = None) -> str:
    wanted = {"hdf5": "h5", "h5": "h5", "keras": "keras", "keras_v3": "keras"}.get(save_format or "")
    for kind, endings in _ENDINGS.items():
        if wanted == kind or (wanted is None and save_format is None and path.name.endswith(endings)):
            return kind
    raise ValueError(
        f"a model can't be saved to {str(path)!r}: give the file a name that ends in .keras or .h5. For a SavedModel folder, "
        "use tf.saved_model.save(model, folder)."
    )


def _archive(model: Any, include_optimizer: bool) -> memoryview:
    library = hdf5.library()
    whole = dialects.portable(model_config.serialize_layer(model))
    whole["build_config"] = model.get_build_config()
    if model.compiled and include_optimizer:
        whole["compile_config"] = dialects.portable(model.get_compile_config())
    weights = io.BytesIO()
    with library.File(weights, "w") as file:
        weight_tree.save(model, file, include_optimizer)
    saved = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d@%H:%M:%S")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(_METADATA, json.dumps({"keras_version": V2["__version__"], "date_saved": saved}))
        archive.writestr(_CONFIG, json.dumps(whole))
        archive.writestr(_WEIGHTS, weights.getvalue())
    return buffer.getbuffer()


@public("keras.models.load_model", "keras.saving.load_model")
def load_model(filepath: Any, custom_objects: Any = None, compile: bool = True, **options: Any) -> Any:
    """The model in a file that save_model wrote, or Keras 2 or 3.

    custom_objects: {name: class or function} for what the file names and rillet does not have. compile: whether the model is
    compiled as it was. options: safe_mode, options: accepted; code in a file is never run.

    Raises FileNotFoundError (an OSError) where there is no such file, ValueError where it is none of a model, or names
    something unknown.
    """
    path = Path(os.fspath(filepath))
    if not path.exists():
        raise OSError(f"No file or directory found at {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder. A SavedModel is loaded with tf.saved_model.load.")
    if zipfile.is_zipfile(path):
        return _load_archive(path, custom_objects, compile)
    with hdf5.reading(path) as file, custom_object_scope(custom_objects or {}):
        return legacy_h5.load_model(file, custom_objects, compile, set_values)


def _load_archive(path: Path, custom_objects: Any, compile: bool) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if _CONFIG not in names or _WEIGHTS not in names:
            raise ValueError(f"{path} is not a file of a model: it has {names}, and no {_CONFIG} and {_WEIGHTS}.")
        config = json.loads(archive.read(_CONFIG))
        weights = io.BytesIO(archive.read(_WEIGHTS))
    with custom_object_scope(custom_objects or {}):
        model = model_config.model_from_config(config, custom_objects)
        _build(model, config.get("build_config") or {})
        described = config.get("compile_config")
        if compile and described:
            _compile(model, described, custom_objects)
        with hdf5.reading(weights) as file:
            weight_tree.load(model, file, set_values)
    return model


def _build(model: Any, config: dict[str, Any]) -> None:
    shape = config.get("input_shape") or config.get("shapes_dict")
    if not model.built and shape:
        model.build(_shapes(shape))


def _shapes(value: Any) -> Any:
    """Shapes, which JSON holds as lists, as tuples."""
    if isinstance(value, dict):
        return {key: _shapes(part) for key, part in value.items()}
    if all(part is None or isinstance(part, int) for part in value):
        return tuple(value)
    return [_shapes(part) for part in value]


def _compile(model: Any, config: dict[str, Any], custom_objects: Any) -> None:
    own: Callable[[Any], Any] = model.compile_from_config
    if type(model).compile_from_config is not _trainer_method(model):
        own(config)
        return
    model.compile(**compile_arguments(config, custom_objects))


def _trainer_method(model: Any) -> Any:
    """compile_from_config as all models have it, where no subclass wrote its own."""
    owners = [cls for cls in type(model).__mro__ if "compile_from_config" in vars(cls)]
    return vars(owners[-1])["compile_from_config"]
