"""tf.train.Checkpoint: saves the variables that objects hold, and restores them by their place in the objects."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.export import public
from rillet.core.tensor import EagerTensor
from rillet.errors import NotFoundError
from rillet.frontend.module import Module, tell_restores
from rillet.frontend.scopes import init_scope
from rillet.frontend.session import get_default_session
from rillet.frontend.variable import Variable
from rillet.ops.files import as_path
from rillet.saving import bundle, checkpoints, messages
from rillet.saving.object_graph import KEY, ObjectGraph, children, is_trackable, slots

_COUNTER = "save_counter"


@public("train.Checkpoint")
class Checkpoint:
    """Objects that are saved and restored together: Checkpoint(model=model, optimizer=optimizer).

    root: an object whose own attributes are saved as if they were this one's. The keyword arguments: modules, variables,
    optimizers, lists and dictionaries of them; ValueError for other objects.
    """

    _root: Any

    def __init__(self, root: Any = None, **kwargs: Any) -> None:
        self.__dict__["_root"] = root
        for name, value in sorted(kwargs.items()):
            if not is_trackable(value) and not isinstance(value, (list, dict, tuple)):
                raise ValueError(
                    f"`Checkpoint` was expecting {name} to be a trackable object (an object derived from `Trackable`), got "
                    f"{value}. Variables, modules, optimizers, and lists and dictionaries of them can be saved."
                )
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value
        tell_restores(self)

    def _trackable_children(self) -> dict[str, Any]:
        own = {name: value for name, value in vars(self).items() if name not in ("_root", "_pending_restores")}
        return {**children(self._root), **own} if self._root is not None else own

    @property
    def save_counter(self) -> Any:
        """How often save() was called: a variable, which is saved too."""
        self._require_counter()
        return self.__dict__[_COUNTER]

    def _require_counter(self) -> None:
        if _COUNTER not in self.__dict__:
            with init_scope():
                counter = Variable(np.int64(0), name=_COUNTER, trainable=False, dtype=dtypes.int64)
            session = get_default_session()
            if counter.graph is not None and session is not None:
                session.run(counter.initializer)
            setattr(self, _COUNTER, counter)

    # ---- saving ------------------------------------------------------------------------------------------------

    def write(self, file_prefix: Any, options: Any = None, session: Any = None) -> str:
        """Writes a checkpoint with exactly this prefix, which is returned."""
        prefix = as_path(file_prefix)
        graph = ObjectGraph(self)
        tensors = _values(graph.variables, session)
        tensors[KEY] = np.array(graph.message.SerializeToString(), object)
        bundle.write(prefix, tensors)
        return prefix

    def save(self, file_prefix: Any, session: Any = None, options: Any = None) -> str:
        """Writes a checkpoint with prefix "file_prefix-number", counting up, and says in the folder's `checkpoint` file that
        it is the latest. Returns the prefix."""
        prefix = as_path(file_prefix)
        session = session or get_default_session()
        counter = self.save_counter
        if counter.graph is None:
            counter.assign_add(1)
            number = int(counter.numpy())
        else:
            number = int(_assigned(counter, session.run(counter) + 1, session))
        written = self.write(f"{prefix}-{number}", session=session)
        folder = os.path.dirname(written)
        checkpoints.write_state(checkpoints.state_message(folder, written, [written], relative=True), folder)
        return written

    # ---- restoring ---------------------------------------------------------------------------------------------

    def read(self, save_path: Any, options: Any = None) -> Any:
        """Gives the variables the values in a checkpoint made by `write`. See `restore`."""
        return _restored(self, as_path(save_path))

    def restore(self, save_path: Any, options: Any = None) -> Any:
        """Gives the variables the values in a checkpoint; those that do not exist yet get theirs when they are made.

        save_path: a prefix, or None for a status that restores nothing. A checkpoint of a tf.train.Saver is matched by the
        variables' names.
        Returns a status: assert_consumed() and its kin say whether everything was found.
        Raises NotFoundError where there is no checkpoint, DataLossError for a damaged one, ValueError for a variable of
        another shape.
        """
        if save_path is None:
            return _NothingRestored(self)
        status = _restored(self, _prefix_in(as_path(save_path)))
        self._require_counter()
        return status


def _prefix_in(path: str) -> str:
    """The prefix itself; in the folder of a saved model, that of its variables."""
    inner = os.path.join(path, "variables", "variables")
    return inner if os.path.isdir(path) and checkpoints.exists(inner) else path


def _values(variables: dict[str, Any], session: Any) -> dict[str, Any]:
    in_graph = [variable for variable in variables.values() if variable.graph is not None]
    if not in_graph:
        return {key: variable.value()._array for key, variable in variables.items()}
    session = session or get_default_session()
    if session is None:
        raise RuntimeError("variables of a graph are saved by a session: pass one, or make one the default")
    values = iter(session.run(in_graph))
    return {
        key: variable.value()._array if variable.graph is None else next(values) for key, variable in variables.items()
    }


def _assigned(variable: Any, value: Any, session: Any) -> Any:
    """Gives a variable a value. In a graph, by way of its initializer."""
    if variable.graph is None:
        variable.assign(EagerTensor(np.asarray(value), variable.dtype.base_dtype))
    else:
        variable.load(value, session)
    return value


def _restored(root: Any, prefix: str) -> Any:
    try:
        reader = checkpoints.open_checkpoint(prefix)
    except NotFoundError as error:
        raise NotFoundError(
            None,
            None,
            f"Error when restoring from checkpoint or SavedModel at {prefix}: {error.message}\nPlease double-check that "
            "the path is correct. You may be missing the checkpoint suffix (e.g. the '-1' in 'path/to/ckpt-1').",
        ) from None
    if KEY not in reader:
        return _RestoredByName(root, reader)
    message = messages.get("TrackableObjectGraph").FromString(reader.tensor(KEY).item())
    return CheckpointLoadStatus(root, reader, message)


# ---- what was restored ----------------------------------------------------------------------------------------------


class _Status:
    """What all results of restoring have in common."""

    def __init__(self, root: Any) -> None:
        self._root = root

    def _variables(self) -> list[Any]:
        return list(ObjectGraph(self._root).variables.values())

    def expect_partial(self) -> Any:
        """Says that it is fine if not everything is restored."""
        return self

    def assert_nontrivial_match(self) -> Any:
        return self

    def assert_existing_objects_matched(self) -> Any:
        return self

    def assert_consumed(self) -> Any:
        return self

    def run_restore_ops(self, session: Any = None) -> None:
        """In a graph: gives the variables their values in `session` or the default session."""

    def initialize_or_restore(self, session: Any = None) -> None:
        """In a graph: as run_restore_ops; what the checkpoint lacks is initialised."""
        self.run_restore_ops(session)


class _NothingRestored(_Status):
    """There was no checkpoint."""

    def assert_consumed(self) -> Any:
        raise AssertionError("No checkpoint specified (save_path=None); nothing is being restored.")

    assert_existing_objects_matched = assert_nontrivial_match = assert_consumed

    def initialize_or_restore(self, session: Any = None) -> None:
        session = session or get_default_session()
        for variable in self._variables():
            if variable.graph is not None:
                session.run(variable.initializer)


class CheckpointLoadStatus(_Status):
    """How far a checkpoint was restored."""

    def __init__(self, root: Any, reader: Any, message: Any) -> None:
        super().__init__(root)
        self._reader = reader
        self._nodes = message.nodes
        self._objects: dict[int, Any] = {}  # what each node stands for
        self._numbers: dict[int, int] = {}
        self._done: set[int] = set()
        self._in_graph: dict[int, tuple[Any, Any]] = {}
        self._match(0, root)

    def _match(self, number: int, value: Any) -> None:
        """`value` is what node `number` was; so is what it holds."""
        pending = [(number, value)]
        while pending:
            number, value = pending.pop()
            known = self._objects.get(number)
            if known is not value:
                self._objects[number] = value
                self._numbers[id(value)] = number
                self._restore_value(number, value)
            elif number in self._done:
                continue
            if not isinstance(value, Variable):
                pending.extend(self._held(number, value))
        for number, value in list(self._objects.items()):
            self._match_slots(number, value)

    def _held(self, number: int, value: Any) -> Iterator[tuple[int, Any]]:
        found = children(value)
        missing = False
        for reference in self._nodes[number].children:
            child = found.get(reference.local_name)
            missing = missing or child is None
            if child is not None and self._objects.get(reference.node_id) is not child:
                yield reference.node_id, child
        if missing or self._nodes[number].slot_variables:
            self._wait_for(value)
        elif hasattr(value, "__dict__") and self in value.__dict__.get("_pending_restores", ()):
            value.__dict__["_pending_restores"].remove(self)

    def _wait_for(self, value: Any) -> None:
        """The object is not complete: it tells this one when it gets more."""
        if isinstance(value, (Module, Checkpoint)) or hasattr(value, "_slots"):
            waiting = value.__dict__.setdefault("_pending_restores", [])
            if self not in waiting:
                waiting.append(self)

    def revisit(self, value: Any) -> None:
        """An object that was not complete has got something."""
        number = self._numbers.get(id(value))
        if number is not None:
            self._match(number, value)

    def _match_slots(self, number: int, value: Any) -> None:
        references = self._nodes[number].slot_variables
        if not references:
            return
        found = {(id(variable), name): slot for variable, name, slot in slots(value)}
        for reference in references:
            original = self._objects.get(reference.original_variable_node_id)
            slot = found.get((id(original), reference.slot_name))
            if slot is not None and self._objects.get(reference.slot_variable_node_id) is not slot:
                self._objects[reference.slot_variable_node_id] = slot
                self._numbers[id(slot)] = reference.slot_variable_node_id
                self._restore_value(reference.slot_variable_node_id, slot)

    def _restore_value(self, number: int, value: Any) -> None:
        attributes = self._nodes[number].attributes
        if not attributes:
            return
        if not isinstance(value, Variable):
            restore = getattr(type(value), "_restore_from_tensors", None)
            if restore is not None:
                restore(value, {each.name: self._reader.tensor(each.checkpoint_key) for each in attributes})
            return
        array = self._reader.tensor(attributes[0].checkpoint_key)
        if not value.shape.is_compatible_with(array.shape):
            raise ValueError(
                f"Received incompatible tensor with shape {array.shape} when attempting to restore variable with shape "
                f"{value.shape} and name {value.name}."
            )
        if value.graph is None:
            _assigned(value, array, None)
        else:
            self._in_graph[number] = (value, array)

    # ---- assertions --------------------------------------------------------------------------------------------

    def _path(self, number: int) -> str:
        for parent, node in enumerate(self._nodes):
            for reference in node.children:
                if reference.node_id == number and parent != number:
                    return f"{self._path(parent)}.{reference.local_name}"
        return "(root)"

    def assert_consumed(self) -> Any:
        """AssertionError unless every value in the checkpoint, and every variable of the objects, was matched."""
        self._match(0, self._root)
        for number, node in enumerate(self._nodes):
            if node.attributes and number not in self._objects:
                raise AssertionError(f"Unresolved object in checkpoint {self._path(number)}: {node}")
        return self._assert_bound(self._variables())

    def assert_existing_objects_matched(self) -> Any:
        """AssertionError unless every variable of the objects was matched. (The checkpoint may hold more.)"""
        self._match(0, self._root)
        return self._assert_bound(self._variables())

    def _assert_bound(self, variables: list[Any]) -> Any:
        bound = {id(value) for value in self._objects.values()}
        counter = self._root.__dict__.get(_COUNTER)
        missing = [variable for variable in variables if id(variable) not in bound and variable is not counter]
        if missing:
            raise AssertionError(
                f"Found {len(missing)} Python objects that were not bound to checkpointed values, likely due to changes in the "
                f"Python program. Showing {min(10, len(missing))} of {len(missing)} unmatched objects: {missing[:10]}"
            )
        return self

    def assert_nontrivial_match(self) -> Any:
        """AssertionError where nothing but the root was matched."""
        if not any(isinstance(value, Variable) for value in self._objects.values()):
            raise AssertionError(
                "Nothing except the root object matched a checkpointed value. Typically this means that the checkpoint does not "
                "match the Python program."
            )
        return self

    def run_restore_ops(self, session: Any = None) -> None:
        self._match(0, self._root)
        for variable, array in self._in_graph.values():
            _assigned(variable, array, session)

    def initialize_or_restore(self, session: Any = None) -> None:
        self.run_restore_ops(session)
        restored = {id(variable) for variable, _ in self._in_graph.values()}
        missing = [v.initializer for v in self._variables() if v.graph is not None and id(v) not in restored]
        if missing:
            (session or get_default_session()).run(missing)


class _RestoredByName(_Status):
    """A checkpoint of a tf.train.Saver: variables were matched by their names."""

    def __init__(self, root: Any, reader: Any) -> None:
        super().__init__(root)
        self._reader = reader
        for variable in self._variables():
            if variable.graph is None:
                self._restore(variable, None)

    def _restore(self, variable: Any, session: Any) -> None:
        name = str(variable.name).partition(":")[0]
        if name in self._reader:
            _assigned(variable, self._reader.tensor(name), session)

    def assert_existing_objects_matched(self) -> Any:
        for variable in self._variables():
            name = str(variable.name).partition(":")[0]
            if name not in self._reader and name != _COUNTER:
                raise AssertionError(f"Object not found in checkpoint: {variable}")
        return self

    def assert_consumed(self) -> Any:
        names = {str(variable.name).partition(":")[0] for variable in self._variables()}
        unused = [name for name in self._reader.names if name not in names]
        if unused:
            raise AssertionError(f"Some objects in the checkpoint were not matched: {unused}")
        return self.assert_existing_objects_matched()

    def run_restore_ops(self, session: Any = None) -> None:
        for variable in self._variables():
            self._restore(variable, session)
