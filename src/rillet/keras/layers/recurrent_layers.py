"""SimpleRNN, LSTM and GRU: RNN with a cell of that kind."""

from __future__ import annotations

import inspect
from typing import Any

from rillet.core.export import public
from rillet.keras.layers.recurrent import RNN
from rillet.keras.layers.recurrent_cells import GRUCell, LSTMCell, SimpleRNNCell
from rillet.keras.naming import to_snake_case
from rillet.keras.saving_registry import serialize_keras_object

_RNN_OPTIONS = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll", "time_major")


class _WithCell(RNN):
    """An RNN whose arguments are its cell's and its own."""

    _cell_class: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        names = list(inspect.signature(type(self)).parameters)
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        own = {name: given.pop(name) for name in _RNN_OPTIONS if name in given}
        given.pop("use_cudnn", None)
        activity_regularizer = given.pop("activity_regularizer", None)
        cell_names = (*inspect.signature(self._cell_class).parameters, "implementation")
        cell_options = {name: given.pop(name) for name in cell_names if name in given and name != "kwargs"}
        shared = {name: given[name] for name in ("dtype", "trainable") if name in given}
        cell = self._cell_class(**cell_options, **shared, name=to_snake_case(self._cell_class.__name__))
        super().__init__(cell, activity_regularizer=activity_regularizer, **own, **given)

    def __getattr__(self, name: str) -> Any:
        """The options and weights of the cell are the layer's too."""
        cell = self.__dict__.get("cell")
        if cell is None or name.startswith("_") or not hasattr(cell, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(cell, name)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("cell")
        cell = self.cell.get_config()
        config.update({name: cell[name] for name in self.cell._config_names})
        config["activity_regularizer"] = serialize_keras_object(self.activity_regularizer)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return cls(**config)


def _with_cell(cell: Any) -> Any:
    """Gives a layer class the signature that its cell's and RNN's make together."""

    def decorate(cls: Any) -> Any:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        cell_parameters = [
            one for name, one in inspect.signature(cell).parameters.items() if name not in ("kwargs", "seed")
        ]
        order = [one for one in cell_parameters if one.name != "reset_after"]
        place = next(index for index, one in enumerate(order) if one.name == "kernel_constraint")
        order.insert(place, inspect.Parameter("activity_regularizer", kind, default=None))
        own = _RNN_OPTIONS if cell is not LSTMCell else (*_RNN_OPTIONS[:4], "time_major", "unroll")
        order += [inspect.Parameter(name, kind, default=False) for name in own]
        order += [one for one in cell_parameters if one.name == "reset_after"]
        rest = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
        cls.__signature__ = inspect.Signature([*order, rest])
        cls._cell_class = cell
        cls.__doc__ = f"{cls.__doc__}\n\n{cell.__name__}: {cell.__doc__}"
        return cls

    return decorate


@public("keras.layers.SimpleRNN")
@_with_cell(SimpleRNNCell)
class SimpleRNN(_WithCell):
    """A fully connected recurrent layer, [batch, time, d] -> [batch, units] (or [batch, time, units])."""


@public("keras.layers.LSTM")
@_with_cell(LSTMCell)
class LSTM(_WithCell):
    """A long short-term memory layer, [batch, time, d] -> [batch, units] (or [batch, time, units])."""


@public("keras.layers.GRU")
@_with_cell(GRUCell)
class GRU(_WithCell):
    """A layer of gated recurrent units, [batch, time, d] -> [batch, units] (or [batch, time, units])."""


@public(v1=["keras.layers.CuDNNLSTM"])
class CuDNNLSTM(LSTM):
    """LSTM, under the name that its version for GPUs had."""


@public(v1=["keras.layers.CuDNNGRU"])
class CuDNNGRU(GRU):
    """GRU, under the name that its version for GPUs had."""
