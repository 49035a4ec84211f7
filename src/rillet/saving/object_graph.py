"""Objects with variables as a graph: what tf.train.Checkpoint saves and restores by.

A node is an object, an edge the name of the attribute (or the place in a list, the key in a dictionary) that leads to
another. A variable has a value; an optimizer has slots, the variables that it keeps for others. An object may say itself
what it holds: `_trackable_children() -> {name: object}` and `_trackable_slots() -> [(variable, slot name, slot)]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rillet.frontend.module import Module
from rillet.frontend.variable import Variable
from rillet.saving import messages

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "VARIABLE_VALUE"


# ---- what objects hold ----------------------------------------------------------------------------------------------


def children(value: Any) -> dict[str, Any]:
    """What an object holds, by name, in the order in which it came there."""
    if isinstance(value, Variable):
        return {}
    own = getattr(type(value), "_trackable_children", None)
    if own is not None:
        found = own(value)
    elif isinstance(value, Mapping):
        found = {key: item for key, item in value.items() if isinstance(key, str)}
    elif isinstance(value, (list, tuple)):
        found = {str(place): item for place, item in enumerate(value)}
    elif _is_optimizer(value):
        found = {name: variable for (name, _), variable in value._non_slots.items()}
    else:
        found = vars(value) if hasattr(value, "__dict__") else {}
    return {name: item for name, item in found.items() if is_trackable(item)}


def is_trackable(value: Any) -> bool:
    """Whether an object may hold variables: one itself, a module, an optimizer, an object that says what it holds or has
    `variables`; or a container that such objects are in."""
    if isinstance(value, type):
        return False
    if isinstance(value, (Variable, Module)) or _is_optimizer(value):
        return True
    if hasattr(type(value), "_trackable_children") or hasattr(type(value), "variables"):
        return True
    if isinstance(value, Mapping):
        return any(isinstance(key, str) and is_trackable(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return any(is_trackable(item) for item in value)
    return False


def _is_optimizer(value: Any) -> bool:
    """Whether this is one of tf.train's optimizers, which keep their slots in dictionaries."""
    return hasattr(value, "_non_slots") and hasattr(value, "_slots")


def slots(value: Any) -> Iterator[tuple[Any, str, Any]]:
    """(variable, slot name, slot) of each variable that an optimizer keeps for another."""
    own = getattr(type(value), "_trackable_slots", None)
    if own is not None:
        yield from own(value)
    elif _is_optimizer(value):
        for name in sorted(value._slots):
            for variable, slot in value._slots[name].values():
                yield variable, name, slot


# ---- the graph ------------------------------------------------------------------------------------------------------


class ObjectGraph:
    """The objects behind `root`, nearest first, as a message, and the variables by their keys in a checkpoint."""

    def __init__(self, root: Any) -> None:
        self.message = messages.get("TrackableObjectGraph")()
        self.variables: dict[str, Any] = {}
        self.objects: list[Any] = []
        self._places: dict[int, int] = {}
        self._paths: list[str] = []
        self._add(root, "")
        place = 0
        while place < len(self.objects):
            for name, child in children(self.objects[place]).items():
                number = self._places.get(id(child))
                if number is None:
                    prefix = f"{self._paths[place]}/" if self._paths[place] else ""
                    number = self._add(child, prefix + escaped(name))
                self.message.nodes[place].children.add(node_id=number, local_name=name)
            place += 1
        self._add_slots()
        self._say_which_have_values()

    def _add(self, value: Any, path: str) -> int:
        number = len(self.objects)
        self._places[id(value)] = number
        self.objects.append(value)
        self._paths.append(path)
        node = self.message.nodes.add()
        if isinstance(value, Variable):
            self._add_value(node, value, f"{path}/.ATTRIBUTES/{VALUE}")
        return number

    def _add_value(self, node: Any, variable: Any, key: str) -> None:
        node.attributes.add(name=VALUE, full_name=str(variable.name).partition(":")[0], checkpoint_key=key)
        self.variables[key] = variable

    def _add_slots(self) -> None:
        for place, value in enumerate(list(self.objects)):
            for variable, name, slot in slots(value):
                original = self._places.get(id(variable))
                if original is None:
                    continue
                number = self._places.get(id(slot))
                if number is None:
                    path = f"{self._paths[original]}/.OPTIMIZER_SLOT/{self._paths[place]}/{escaped(name)}"
                    number = self._add(slot, path)
                self.message.nodes[place].slot_variables.add(
                    original_variable_node_id=original, slot_name=name, slot_variable_node_id=number
                )

    def _say_which_have_values(self) -> None:
        nodes = self.message.nodes
        have = [bool(node.attributes or node.slot_variables) for node in nodes]
        changed = True
        while changed:
            changed = False
            for place in range(len(nodes) - 1, -1, -1):
                if not have[place] and any(have[child.node_id] for child in nodes[place].children):
                    have[place] = changed = True
        for node, value in zip(nodes, have, strict=True):
            node.has_checkpoint_values.value = value


def escaped(name: str) -> str:
    """A name as a part of a key: "/" and "." mean something there."""
    return name.replace(".", "..").replace("/", ".S")
