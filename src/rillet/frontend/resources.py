"""tf.resource_loader: files that lie beside the program that asks for them."""

from __future__ import annotations

import os
import sys

from rillet.core.export import public


def _folder_of_caller() -> str:
    return os.path.dirname(sys._getframe(2).f_code.co_filename)


@public(v1=["resource_loader.get_data_files_path"])
def get_data_files_path() -> str:
    """The folder of the calling program."""
    return _folder_of_caller()


@public(v1=["resource_loader.get_path_to_datafile"])
def get_path_to_datafile(path: str) -> str:
    """`path` beside the calling program."""
    return os.path.join(_folder_of_caller(), path)


@public(v1=["resource_loader.load_resource"])
def load_resource(path: str) -> bytes:
    """The bytes of the file at `path` beside the calling program. OSError when it cannot be read."""
    with open(os.path.join(_folder_of_caller(), path), "rb") as file:
        return file.read()


@public(v1=["resource_loader.get_root_dir_with_all_resources"])
def get_root_dir_with_all_resources() -> str:
    """The folder of the calling program."""
    return _folder_of_caller()


@public(v1=["resource_loader.readahead_file_path"])
def readahead_file_path(path: str, readahead: str = "128M") -> str:
    """`path`: files are read as they are."""
    return path
