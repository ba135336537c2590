"""Every example in a docstring of the package runs and shows what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import fastconv

MODULES = ["fastconv"] + [
    module.name
    for module in pkgutil.walk_packages(fastconv.__path__, "fastconv.")
    if module.name not in ("fastconv.__main__", "fastconv._core")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name, monkeypatch, tmp_path):
    module = importlib.import_module(name)
    if re.search("_extras|checkpoint|visualize", Path(module.__file__).read_text()):
        for extra in ("tqdm", "matplotlib", "safetensors", "PIL"):
            pytest.importorskip(extra)
    monkeypatch.chdir(tmp_path)
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert failed == 0, f"{failed} examples of {name} fail; see above"
