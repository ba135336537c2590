"""Packages that only some work needs, imported when that work begins."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingExtra(ImportError):
    """A package of an extra isn't installed."""


def require(*names: str) -> ModuleType:
    """Import the modules of these names and return the last; raise MissingExtra naming the remedy if one is missing."""
    for name in names:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            package = {"PIL": "pillow"}.get(name.partition(".")[0], name.partition(".")[0])
            extra = "tensorboard" if package == "tensorboard" else "train"
            raise MissingExtra(f"{package} isn't installed; pip install 'fastconv[{extra}]' brings it") from error
    return module
