"""The reference in docs/ has an entry for every public name, and none for a name that doesn't exist."""

from __future__ import annotations

import importlib
import inspect
import re
from abc import ABCMeta
from pathlib import Path

import pytest

import fastconv as fc
from fastconv import cli

PAGES = Path(__file__).resolve().parents[1] / "docs" / "reference"
PACKAGES = [
    "fastconv",
    "fastconv.nn",
    "fastconv.nn.initialize",
    "fastconv.models",
    "fastconv.optim",
    "fastconv.training",
    "fastconv.checkpoint",
    "fastconv.data",
    "fastconv.analysis",
    "fastconv.visualize",
]
NO_ENTRY = {"__version__", "add_arguments", "main"}  # the latter two are how a command is added to the command line

pytestmark = pytest.mark.skipif(not PAGES.is_dir(), reason="no docs here")


def entries():
    """(package, kind, name) of everything that a page documents."""
    for page in sorted(PAGES.glob("*.md")):
        package = None
        for kind, name in re.findall(r"^\.\. ([\w:]+):: (\S+)$", page.read_text(), re.MULTILINE):
            if kind in ("py:module", "currentmodule"):
                package = name
            else:
                yield package, kind, name


def public(package):
    module = importlib.import_module(package)
    if hasattr(module, "__all__"):
        return {name for name in module.__all__ if not inspect.ismodule(getattr(module, name))} - NO_ENTRY
    return {
        name
        for name, thing in vars(module).items()
        if inspect.isfunction(thing) and thing.__module__ == package and not name.startswith("_")
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_one_entry_in_the_reference(package):
    found = [name for where, _, name in entries() if where == package]
    assert sorted(found) == sorted(public(package))


def test_all_packages_with_public_names_are_in_the_reference():
    assert {package for package, _, _ in entries()} == set(PACKAGES)
    others = {"fastconv.cli", "fastconv.benchmark", "fastconv.selftest"}  # commands, on the page of the command line
    inner = {"fastconv.conv", "fastconv.pool", "fastconv.norm", "fastconv.resample"}  # their names are fastconv's
    for folder in Path(fc.__file__).parent.glob("*/__init__.py"):
        assert f"fastconv.{folder.parent.name}" in {*PACKAGES, *others, *inner}, folder


def test_an_entry_is_of_the_kind_that_its_name_is():
    for package, kind, name in entries():
        thing = getattr(importlib.import_module(package), name)
        expected = (
            "autofunction"
            if inspect.isfunction(thing)
            else "autoclass"
            if type(thing) in (type, ABCMeta)
            else "py:data"
        )
        assert kind == expected, f"{package}.{name}"


def test_every_command_is_on_the_page_of_the_command_line(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    commands = re.findall(r"^    (\w+) ", capsys.readouterr().out.partition("COMMAND\n")[2], re.MULTILINE)
    assert len(commands) >= 8
    page = (PAGES / "command-line.md").read_text()
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == commands
    assert [name for name in commands if f'show_help("{name}"' in page] == commands
