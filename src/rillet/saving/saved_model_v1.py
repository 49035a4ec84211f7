"""Saved models of graphs and sessions: the builder that writes them, and the loader."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rillet.core import context
from rillet.core.export import public
from rillet.core.static import constant_value
from rillet.errors import NotFoundError
from rillet.ops.files import as_path
from rillet.saving import checkpoints, files, messages, meta_graph, signatures
from rillet.saving.saver import Saver

_FILE, _TEXT_FILE = "saved_model.pb", "saved_model.pbtxt"


def variables_path(export_dir: str) -> str:
    return os.path.join(export_dir, "variables", "variables")


def read_saved_model(export_dir: str) -> Any:
    """The SavedModel message in a folder. OSError where there is none, or for a file that is none."""
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError

    kind = messages.get("SavedModel")
    path, text_path = os.path.join(export_dir, _FILE), os.path.join(export_dir, _TEXT_FILE)
    try:
        return kind.FromString(files.read(path))
    except NotFoundError:
        pass
    except DecodeError as error:
        raise OSError(f"Cannot parse file {path}: {error}.") from None
    try:
        return text_format.Parse(files.read(text_path).decode(), kind())
    except NotFoundError:
        raise OSError(f"SavedModel file does not exist at: {export_dir}/{{{_TEXT_FILE}|{_FILE}}}") from None
    except text_format.ParseError as error:
        raise OSError(f"Cannot parse file {text_path}: {error}.") from None


def write_saved_model(message: Any, export_dir: str, as_text: bool = False) -> str:
    """Writes a SavedModel message, whole or not at all. Returns the file's path."""
    from google.protobuf import text_format

    path = os.path.join(export_dir, _TEXT_FILE if as_text else _FILE)
    files.write(path, text_format.MessageToString(message).encode() if as_text else message.SerializeToString())
    return path


@public(
    "saved_model.contains_saved_model",
    v1=["saved_model.loader.maybe_saved_model_directory", "saved_model.maybe_saved_model_directory"],
)
def contains_saved_model(export_dir: Any) -> bool:
    """Whether there is a saved model in a folder."""
    folder = as_path(export_dir)
    return any(os.path.exists(os.path.join(folder, name)) for name in (_FILE, _TEXT_FILE))


@public(v1=["saved_model.builder.SavedModelBuilder", "saved_model.Builder"])
class SavedModelBuilder:
    """Writes a saved model to a new folder. AssertionError for a folder that has files already."""

    def __init__(self, export_dir: Any) -> None:
        self._folder = as_path(export_dir)
        if os.path.isdir(self._folder) and os.listdir(self._folder):
            raise AssertionError(
                f"Export directory {self._folder} already exists, and isn't empty. Please choose a different export directory, or "
                "delete all the contents of the specified directory."
            )
        os.makedirs(self._folder, exist_ok=True)
        self._message = messages.get("SavedModel")(saved_model_schema_version=1)
        self._has_variables = False

    def add_meta_graph_and_variables(
        self,
        sess: Any,
        tags: Iterable[str],
        signature_def_map: Mapping[str, Any] | None = None,
        assets_collection: Any = None,
        legacy_init_op: Any = None,
        clear_devices: bool = False,
        main_op: Any = None,
        strip_default_attrs: bool = False,
        saver: Any = None,
    ) -> None:
        """Adds the session's graph, and the values of its variables. To be called first, and once (AssertionError).

        tags: what the graph is for. signature_def_map: SignatureDefs by name. main_op, legacy_init_op: an operation to run
        when the model is loaded. assets_collection: string constants that name files, which are copied.
        """
        if self._has_variables:
            raise AssertionError(
                "Graph state including variables and assets has already been saved. Please invoke `add_meta_graph()` instead."
            )
        with context.use_graph(sess.graph):
            chosen = saver or Saver(allow_empty=True)
            os.makedirs(os.path.dirname(variables_path(self._folder)), exist_ok=True)
            chosen.save(sess, variables_path(self._folder), write_meta_graph=False, write_state=False)
            self._add(tags, signature_def_map, assets_collection, main_op or legacy_init_op, clear_devices, chosen)
        self._has_variables = True

    def add_meta_graph(
        self,
        tags: Iterable[str],
        signature_def_map: Mapping[str, Any] | None = None,
        assets_collection: Any = None,
        legacy_init_op: Any = None,
        clear_devices: bool = False,
        main_op: Any = None,
        strip_default_attrs: bool = False,
        saver: Any = None,
    ) -> None:
        """Adds the default graph, which uses the same variables. AssertionError before add_meta_graph_and_variables."""
        if not self._has_variables:
            raise AssertionError(
                "Graph state including variables and assets has not been saved yet. Please invoke "
                "`add_meta_graph_and_variables()` first."
            )
        chosen = saver or Saver(allow_empty=True)
        self._add(tags, signature_def_map, assets_collection, main_op or legacy_init_op, clear_devices, chosen)

    def _add(
        self, tags: Iterable[str], signature_map: Any, assets: Any, init_op: Any, clear_devices: bool, saver: Any
    ) -> None:
        graph = context.get_default_graph()
        message = meta_graph.meta_graph_message(graph, saver.saver_def, clear_devices=clear_devices)
        message.meta_info_def.tags.extend(tags)
        for name, signature in (signature_map or {}).items():
            message.signature_def[name].CopyFrom(signature)
        if init_op is not None:
            message.collection_def[signatures.MAIN_OP_KEY].node_list.value.append(init_op.name)
            output = message.signature_def[signatures.INIT_OP_SIGNATURE].outputs[signatures.INIT_OP_SIGNATURE]
            output.name = init_op.name
            output.tensor_shape.unknown_rank = True
        for tensor in assets or []:
            self._add_asset(message, tensor)
        self._message.meta_graphs.add().CopyFrom(message)

    def _add_asset(self, message: Any, tensor: Any) -> None:
        """Copies the file that a string constant names."""
        value = constant_value(tensor)
        if value is None:
            raise TypeError(f"Asset filepath tensor {tensor.name} must be a constant")
        source = as_path(np.asarray(value, object).item())
        target = os.path.join(self._folder, "assets", os.path.basename(source))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(source, target)
        asset = message.asset_file_def.add(filename=os.path.basename(source))
        asset.tensor_info.name = tensor.name

    def save(self, as_text: bool = False) -> str:
        """Writes the file. Returns its path."""
        return write_saved_model(self._message, self._folder, as_text)


@public(v1=["saved_model.simple_save"])
def simple_save(
    session: Any,
    export_dir: Any,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    legacy_init_op: Any = None,
) -> None:
    """Saves a session's graph for predictions: tensors by name in, tensors by name out."""
    with context.use_graph(session.graph):
        signature = signatures.predict_signature_def(inputs, outputs)
        builder = SavedModelBuilder(export_dir)
        builder.add_meta_graph_and_variables(
            session,
            [signatures.SERVING],
            {signatures.DEFAULT_SIGNATURE: signature},
            main_op=legacy_init_op,
            clear_devices=True,
        )
        builder.save()


# ---- loading --------------------------------------------------------------------------------------------------------


def tagged(message: Any, tags: Iterable[str], export_dir: str) -> Any:
    """The meta graph that has just these tags. RuntimeError where there is none."""
    wanted = {tags} if isinstance(tags, str) else set(tags)
    for candidate in message.meta_graphs:
        if set(candidate.meta_info_def.tags) == wanted:
            return candidate
    available = [sorted(each.meta_info_def.tags) for each in message.meta_graphs]
    raise RuntimeError(
        f"MetaGraphDef associated with tags {sorted(wanted)} could not be found in SavedModel, with available tags "
        f"'{available}' in {export_dir}. To inspect available tag-sets in the SavedModel, please use the SavedModel CLI."
    )


@public(v1=["saved_model.loader.load", "saved_model.load"])
def load_v1(
    sess: Any, tags: Iterable[str], export_dir: Any, import_scope: str | None = None, **saver_kwargs: Any
) -> Any:
    """Adds a saved model to the session's graph and restores its variables there. Returns its MetaGraphDef.

    Raises OSError where there is no model, RuntimeError where none has these tags.
    """
    folder = as_path(export_dir)
    message = tagged(read_saved_model(folder), tags, folder)
    with context.use_graph(sess.graph):
        scope = meta_graph.add_to_graph(message, import_scope)
        prefix = variables_path(folder)
        if message.HasField("saver_def") and checkpoints.exists(prefix):
            Saver.from_proto(message.saver_def, scope).restore(sess, prefix)
        _initialize(sess, message, scope, folder)
    return message


def _initialize(sess: Any, message: Any, scope: str, folder: str) -> None:
    """Runs the operation that a model wants to be run when it is loaded; it is told where the assets are."""
    within = f"{scope}/" if scope else ""
    feeds = {
        within + asset.tensor_info.name: os.path.join(folder, "assets", asset.filename)
        for asset in message.asset_file_def
    }
    for key in (signatures.MAIN_OP_KEY, signatures.LEGACY_INIT_OP_KEY):
        if key in message.collection_def:
            for name in message.collection_def[key].node_list.value:
                sess.run(sess.graph.as_graph_element(within + name), feeds)
            return
