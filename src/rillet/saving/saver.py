"""tf.train.Saver: saves the variables of a graph (or eager ones) to checkpoints, and restores them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Graph
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import EagerTensor, Tensor
from rillet.errors import InvalidArgumentError, NotFoundError
from rillet.frontend.collections import GraphKeys
from rillet.frontend.control import group
from rillet.frontend.partitioned import PartitionedVariable
from rillet.frontend.variable import ReferenceVariable, Variable
from rillet.ops.files import as_path
from rillet.saving import bundle, checkpoints, messages, meta_graph
from rillet.saving.checkpoint_ops import RESTORE, SAVE
from rillet.saving.object_graph import KEY
from rillet.saving.slices import Part, Parts

_V2 = 2  # SaverDef.V2


class _Saved:
    """One variable (or part of one) in a checkpoint: its key there, and which part of the tensor it is."""

    def __init__(self, name: str, variable: Any) -> None:
        self.name = name
        self.variable = variable
        self.specification = ""
        part = getattr(variable, "save_slice", None)
        if part is not None:
            self.name = part[0] if name == variable.name.partition(":")[0] else name
            extents = zip(part[2], part[3], strict=True)
            self.specification = f"{' '.join(map(str, part[1]))} {':'.join(f'{o},{n}' for o, n in extents)}"

    def part(self, array: Any) -> Part:
        _, full, offset, size = self.variable.save_slice
        return Part(array, tuple(full), tuple(offset), tuple(size))


def _saved(var_list: Any) -> list[_Saved]:
    """What to save, sorted by name. TypeError for what is no variable, ValueError for a name that comes twice."""
    if isinstance(var_list, Mapping):
        pairs = [(str(name), variable) for name, variable in var_list.items()]
    else:
        pairs = [(_key(variable), variable) for variable in var_list]
    result = []
    for name, variable in pairs:
        for each in variable if isinstance(variable, (PartitionedVariable, list, tuple)) else [variable]:
            if not isinstance(each, (Variable, Tensor)):
                raise TypeError(f"Variable to save is not a Variable: {each}")
            result.append(_Saved(name, each))
    names = [(saved.name, saved.specification) for saved in result]
    twice = next((name for name, _ in names if names.count((name, "")) > 1), None)
    if twice is not None:
        raise ValueError(f"At least two variables have the same name: {twice}")
    return sorted(result, key=lambda saved: saved.name)


def _key(variable: Any) -> str:
    if isinstance(variable, PartitionedVariable):
        return variable.name
    if not hasattr(variable, "name"):
        raise TypeError(f"Variable to save is not a Variable: {variable}")
    return str(variable.name).partition(":")[0]


@public(v1=["train.Saver"])
class Saver:
    """Saves and restores variables.

    var_list: variables, or {name in the checkpoint: variable} (all of the graph that can be saved, when None).
    reshape: restored values may have another shape of the same size. max_to_keep: how many recent checkpoints stay (0 or
    None: all). keep_checkpoint_every_n_hours: besides, one in so many hours stays. name: scope of the saver's nodes.
    saver_def: the nodes are there already. pad_step_number: steps in file names have eight digits.
    restore_sequentially, sharded: accepted; a checkpoint has one file of data.
    Raises ValueError where there is nothing to save (unless `allow_empty`), TypeError for what is no variable.
    """

    def __init__(
        self,
        var_list: Any = None,
        reshape: bool = False,
        sharded: bool = False,
        max_to_keep: int | None = 5,
        keep_checkpoint_every_n_hours: float = 10000.0,
        name: str | None = None,
        restore_sequentially: bool = False,
        saver_def: Any = None,
        builder: Any = None,
        defer_build: bool = False,
        allow_empty: bool = False,
        write_version: int = _V2,
        pad_step_number: bool = False,
        save_relative_paths: bool = False,
        filename: str | None = None,
    ) -> None:
        if defer_build and var_list is not None and context.executing_eagerly():
            defer_build = False
        self._var_list = var_list
        self._reshape = reshape
        self._max_to_keep = max_to_keep or 0
        self._hours = keep_checkpoint_every_n_hours
        self._name = name
        self._allow_empty = allow_empty
        self._pad_step_number = pad_step_number
        self._relative = save_relative_paths
        self._filename = filename or "model"
        self._recent: list[tuple[str, float]] = []
        self._next_to_keep = time.time() + self._hours * 3600
        self._is_empty = False
        self._eager: list[_Saved] | None = None
        self._saved: list[_Saved] = []
        self.saver_def = saver_def
        if saver_def is not None:
            self._max_to_keep, self._hours = saver_def.max_to_keep, saver_def.keep_checkpoint_every_n_hours
        elif not defer_build:
            self.build()

    # ---- building ----------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Adds the saver's nodes to the graph; for a saver with defer_build=True."""
        if self.saver_def is not None or self._eager is not None:
            return
        if context.executing_eagerly() and self._var_list is None:
            raise RuntimeError(
                "When eager execution is enabled, `var_list` must specify a list or dict of variables to save"
            )
        graph = context.get_default_graph()
        wanted = self._var_list
        if wanted is None:
            found = graph.get_collection(GraphKeys.GLOBAL_VARIABLES) + graph.get_collection(GraphKeys.SAVEABLE_OBJECTS)
            wanted = list({id(variable): variable for variable in found}.values())
        saved = _saved(wanted)
        if not saved:
            self._is_empty = True
            if not self._allow_empty:
                raise ValueError("No variables to save")
            return
        if all(each.variable.graph is None for each in saved if isinstance(each.variable, Variable)):
            self._eager = saved
        else:
            self._saved = saved
            self.saver_def = self._build_in(graph, saved)

    def _build_in(self, graph: Graph, saved: Sequence[_Saved]) -> Any:
        with context.use_graph(graph), graph.name_scope(self._name or "save"), graph.control_dependencies(None):
            given = apply_op(REGISTRY["PlaceholderWithDefault"], (self._filename,), {"shape": ()}, "filename")
            path = apply_op(REGISTRY["PlaceholderWithDefault"], (given,), {"shape": ()}, "Const")
            names = [each.name for each in saved]
            slices = [each.specification for each in saved]
            operation = apply_op(SAVE, (path, names, slices, [_read(each.variable) for each in saved]))
            with graph.control_dependencies([operation]):
                written = apply_op(REGISTRY["Identity"], (path,), name="control_dependency")
            types = tuple(each.variable.dtype.base_dtype for each in saved)
            restored = apply_op(RESTORE, (path, names, slices), {"dtypes": types})
            assigned = [self._assign(each.variable, value) for each, value in zip(saved, restored, strict=True)]
            restore_all = group(*assigned, name="restore_all")
        return messages.get("SaverDef")(
            filename_tensor_name=path.name,
            save_tensor_name=written.name,
            restore_op_name=restore_all.name,
            max_to_keep=self._max_to_keep,
            keep_checkpoint_every_n_hours=self._hours,
            version=_V2,
        )

    def _assign(self, variable: Any, value: Any) -> Any:
        if self._reshape:
            value = apply_op(REGISTRY["Reshape"], (value, list(variable.shape)))
        if isinstance(variable, ReferenceVariable) or not isinstance(variable, Variable):
            source = getattr(variable, "_source", variable)
            attrs = {"validate_shape": variable.shape.is_fully_defined() and not self._reshape}
            return apply_op(REGISTRY["Assign"], (source, value), attrs).op
        value = apply_op(REGISTRY["Identity"], (value,))
        value.set_shape(variable.shape)
        return apply_op(REGISTRY["AssignVariableOp"], (variable.handle, value))

    def as_saver_def(self) -> Any:
        """The SaverDef: the names of the saver's nodes."""
        return self.saver_def

    def to_proto(self, export_scope: str | None = None) -> Any:
        """The SaverDef; None where its nodes are outside `export_scope`."""
        if export_scope is None or self.saver_def.filename_tensor_name.startswith(export_scope):
            return self.saver_def
        return None

    @staticmethod
    def from_proto(saver_def: Any, import_scope: str | None = None) -> Saver:
        """The saver whose nodes a SaverDef names."""
        return Saver(saver_def=_scoped(saver_def, import_scope))

    # ---- saving ------------------------------------------------------------------------------------------------

    def save(
        self,
        sess: Any,
        save_path: Any,
        global_step: Any = None,
        latest_filename: str | None = None,
        meta_graph_suffix: str = "meta",
        write_meta_graph: bool = True,
        write_state: bool = True,
        strip_default_attrs: bool = False,
        save_debug_info: bool = False,
    ) -> str | None:
        """Writes a checkpoint with prefix `save_path`, with "-step" behind it where `global_step` (a number, tensor or
        variable) is given. Beside it: the graph (.meta), and the file `checkpoint`, which names the latest ones.

        Returns the prefix. Raises ValueError for a folder that does not exist, TypeError for what is no session.
        """
        self._require_built()
        prefix = as_path(save_path)
        if latest_filename and os.path.dirname(latest_filename):
            raise ValueError("'latest_filename' must not contain path components")
        if global_step is not None:
            number = _step_of(sess, global_step)
            prefix = f"{prefix}-{number:08d}" if self._pad_step_number else f"{prefix}-{number}"
        folder = os.path.dirname(prefix)
        if not os.path.isdir(folder or "."):
            raise ValueError(f"Parent directory of {prefix} doesn't exist, can't save.")
        if self._is_empty:
            return None
        if self._eager is not None:
            bundle.write(prefix, _values(self._eager))
        else:
            _check_session(sess)
            given = {self.saver_def.filename_tensor_name: prefix}
            prefix = sess.run(self.saver_def.save_tensor_name, given).decode()
        if write_state:
            self._keep(prefix, meta_graph_suffix)
            state = checkpoints.state_message(folder, prefix, self.last_checkpoints, relative=self._relative)
            checkpoints.write_state(state, folder, latest_filename)
        if write_meta_graph and self._eager is None:
            with context.use_graph(sess.graph):
                self.export_meta_graph(f"{prefix}.{meta_graph_suffix}")
        return prefix

    def _keep(self, prefix: str, suffix: str) -> None:
        """Counts a new checkpoint in, and removes the oldest where there are too many."""
        self._recent = [entry for entry in self._recent if entry[0] != prefix]
        self._recent.append((prefix, time.time()))
        if not self._max_to_keep or len(self._recent) <= self._max_to_keep:
            return
        oldest, written = self._recent.pop(0)
        if written > self._next_to_keep:
            self._next_to_keep += self._hours * 3600
        else:
            checkpoints.remove_checkpoint(oldest, meta_graph_suffix=suffix)

    def export_meta_graph(
        self,
        filename: Any = None,
        collection_list: Any = None,
        as_text: bool = False,
        export_scope: str | None = None,
        clear_devices: bool = False,
        clear_extraneous_savers: bool = False,
        strip_default_attrs: bool = False,
        save_debug_info: bool = False,
    ) -> Any:
        """The graph with its collections and this saver, as a MetaGraphDef; also to a file, where `filename` is given."""
        return export_meta_graph(
            filename,
            saver_def=self.saver_def,
            collection_list=collection_list,
            as_text=as_text,
            export_scope=export_scope,
            clear_devices=clear_devices,
        )

    # ---- restoring ---------------------------------------------------------------------------------------------

    def restore(self, sess: Any, save_path: Any) -> None:
        """Gives the variables the values in a checkpoint.

        Raises ValueError for a path where there is none; NotFoundError for a variable that it lacks, InvalidArgumentError
        for one of another shape or type, DataLossError for a damaged one.
        """
        if self._is_empty:
            return
        self._require_built()
        if save_path is None:
            raise ValueError("Can't load save_path when it is None.")
        prefix = as_path(save_path)
        if not checkpoints.exists(prefix):
            raise ValueError(f"The passed save_path is not a valid checkpoint: {prefix}")
        if self._eager is not None:
            self._restore_eagerly(prefix)
            return
        _check_session(sess)
        try:
            sess.run(self.saver_def.restore_op_name, {self.saver_def.filename_tensor_name: prefix})
        except NotFoundError as error:
            if self._restored_from_objects(sess, prefix):
                return
            raise NotFoundError(
                error.node_def, error.op, _explained(error, "a Variable name or other graph key that is missing")
            ) from None
        except InvalidArgumentError as error:
            raise InvalidArgumentError(
                error.node_def, error.op, _explained(error, "a mismatch between the current graph and the graph")
            ) from None

    def _restored_from_objects(self, sess: Any, prefix: str) -> bool:
        """Restores a checkpoint of a tf.train.Checkpoint by the names that its variables had. False for another one."""
        reader = checkpoints.open_checkpoint(prefix)
        if KEY not in reader or not self._saved:
            return False
        graph = messages.get("TrackableObjectGraph").FromString(reader.tensor(KEY).item())
        keys = {each.full_name: each.checkpoint_key for node in graph.nodes for each in node.attributes}
        if any(each.name not in keys or each.specification for each in self._saved):
            return False
        for each in self._saved:
            each.variable.load(reader.tensor(keys[each.name]), sess)
        return True

    def _restore_eagerly(self, prefix: str) -> None:
        assert self._eager is not None
        reader = checkpoints.open_checkpoint(prefix)
        for each in self._eager:
            array = reader.tensor(each.name)
            if each.specification:
                array = array[each.part(None).region()]
            if self._reshape:
                array = array.reshape(each.variable.shape.as_list())
            each.variable.assign(EagerTensor(array, each.variable.dtype.base_dtype))

    def _require_built(self) -> None:
        if self.saver_def is None and self._eager is None and not self._is_empty:
            raise RuntimeError("`build()` should be called before save if defer_build==True")

    # ---- which there are ---------------------------------------------------------------------------------------

    @property
    def last_checkpoints(self) -> list[str]:
        """The prefixes of the checkpoints that stay, the oldest first."""
        return [prefix for prefix, _ in self._recent]

    def set_last_checkpoints(self, last_checkpoints: Sequence[str]) -> None:
        """Says which checkpoints there are, the oldest first."""
        self._recent = [(prefix, float("inf")) for prefix in last_checkpoints]

    def set_last_checkpoints_with_time(self, last_checkpoints_with_time: Sequence[tuple[str, float]]) -> None:
        """Says which checkpoints there are, and when each was written."""
        self._recent = list(last_checkpoints_with_time)

    def recover_last_checkpoints(self, checkpoint_paths: Sequence[str]) -> None:
        """Says which checkpoints there are, as far as their files exist."""
        found = [path for path in checkpoint_paths if checkpoints.exists(path)]
        self._recent = list(zip(found, checkpoints.get_checkpoint_mtimes(found), strict=True))


def _check_session(sess: Any) -> None:
    if not hasattr(sess, "run"):
        raise TypeError("sess must be a Session")


def _read(variable: Any) -> Any:
    return variable._as_graph_element() if isinstance(variable, Variable) else convert_to_tensor(variable)


def _values(saved: Sequence[_Saved]) -> dict[str, Any]:
    tensors: dict[str, Any] = {}
    for each in saved:
        array = each.variable.value()._array
        if each.specification:
            tensors.setdefault(each.name, Parts([])).parts.append(each.part(array))
        else:
            tensors[each.name] = array
    return tensors


def _step_of(sess: Any, global_step: Any) -> int:
    if isinstance(global_step, (int, np.integer)):
        return int(global_step)
    if getattr(global_step, "graph", None) is None:
        return int(convert_to_tensor(global_step, None if isinstance(global_step, Tensor) else dtypes.int64).numpy())
    return int(sess.run(global_step))


def _explained(error: Any, what: str) -> str:
    return f"Restoring from checkpoint failed. This is most likely due to {what} from the checkpoint. Original error:\n\n{error.message}"


def _scoped(saver_def: Any, scope: str | None) -> Any:
    result = messages.get("SaverDef").FromString(saver_def.SerializeToString())
    if scope:
        for field in ("filename_tensor_name", "save_tensor_name", "restore_op_name"):
            setattr(result, field, f"{scope.rstrip('/')}/{getattr(result, field)}")
    return result


# ---- meta graphs ----------------------------------------------------------------------------------------------------


@public(v1=["train.export_meta_graph"])
def export_meta_graph(
    filename: Any = None,
    meta_info_def: Any = None,
    graph_def: Any = None,
    saver_def: Any = None,
    collection_list: Any = None,
    as_text: bool = False,
    graph: Graph | None = None,
    export_scope: str | None = None,
    clear_devices: bool = False,
    clear_extraneous_savers: bool = False,
    strip_default_attrs: bool = False,
    save_debug_info: bool = False,
    **kwargs: Any,
) -> Any:
    """A graph (the default one) with its collections, as a MetaGraphDef; also to a file, where `filename` is given.

    as_text: the file is one of text. clear_devices: without the nodes' devices.
    Raises ValueError for an `export_scope`: parts of graphs are not exported this way.
    """
    if export_scope:
        raise ValueError(f"export_scope {export_scope!r}: only whole graphs are exported")
    message = meta_graph.meta_graph_message(
        graph or context.get_default_graph(), saver_def, collection_list, graph_def, clear_devices, meta_info_def
    )
    if filename:
        meta_graph.write_meta_graph(message, as_path(filename), as_text)
    return message


@public(v1=["train.import_meta_graph"])
def import_meta_graph(
    meta_graph_or_file: Any, clear_devices: bool = False, import_scope: str | None = None, **kwargs: Any
) -> Saver | None:
    """Adds a saved graph to the default graph, with its collections. Returns its saver; None for a graph without variables.

    meta_graph_or_file: a MetaGraphDef, or a path. input_map: see tf.import_graph_def.
    Raises OSError for a file that is none, ValueError for a graph that cannot be made.
    """
    if context.executing_eagerly():
        raise RuntimeError(
            "Exporting/importing meta graphs is not supported when eager execution is enabled. No graph exists"
        )
    message = meta_graph.read_meta_graph(meta_graph_or_file)
    scope = meta_graph.add_to_graph(message, import_scope, clear_devices, kwargs.get("input_map"))
    if message.HasField("saver_def"):
        return Saver.from_proto(message.saver_def, scope)
    if context.get_default_graph().get_collection(GraphKeys.GLOBAL_VARIABLES):
        return Saver()
    return None
