"""Options of saving and restoring. There is one process with one kind of file: most have nothing to choose here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rillet.core.export import public


@public("saved_model.SaveOptions")
@dataclass
class SaveOptions:
    """extra_tags: further tags of the saved model. The others are accepted."""

    namespace_whitelist: Sequence[str] | None = None
    save_debug_info: bool = False
    function_aliases: Mapping[str, Any] | None = None
    experimental_debug_stripper: bool = False
    experimental_io_device: str | None = None
    experimental_variable_policy: Any = None
    experimental_custom_gradients: bool = True
    experimental_image_format: bool = False
    experimental_skip_saver: bool = False
    experimental_sharding_callback: Any = None
    extra_tags: Sequence[str] | None = None


@public("saved_model.LoadOptions")
@dataclass
class LoadOptions:
    """experimental_skip_checkpoint: variables are not restored. The others are accepted."""

    allow_partial_checkpoint: bool = False
    experimental_io_device: str | None = None
    experimental_skip_checkpoint: bool = False
    experimental_variable_policy: Any = None
    experimental_load_function_aliases: bool = False


@public("train.CheckpointOptions")
@dataclass
class CheckpointOptions:
    """Accepted: a checkpoint is written when it is asked for, to one file of data."""

    experimental_io_device: str | None = None
    experimental_enable_async_checkpoint: bool = False
    experimental_write_callbacks: Sequence[Any] | None = None
    enable_async: bool = False
    experimental_sharding_callback: Any = None
    experimental_skip_slot_variables: bool = False
