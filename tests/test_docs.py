"""Every example in a docstring of the package runs and shows what it says, and so does the Python in the documents.

Pages that are notebooks run where the docs are built.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import fastconv

ROOT = Path(__file__).resolve().parents[1]
PAGES = [page for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))) if page.is_file()]

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


def python_in(page):
    """The blocks of Python in a page that isn't a notebook."""
    text = page.read_text()
    return (
        [] if "file_format: mystnb" in text else re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    )


@pytest.mark.parametrize("page", [page for page in PAGES if python_in(page)], ids=lambda page: page.name)
def test_the_python_in_a_document_runs(page, monkeypatch, tmp_path):
    for extra in ("tqdm", "safetensors"):
        pytest.importorskip(extra)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in python_in(page):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.skipif(not PAGES, reason="no documents here")
def test_documents_with_python_are_found():
    assert {"README.md", "training.md"} <= {page.name for page in PAGES if python_in(page)}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])  # the build of the docs checks the others
def test_links_to_files_lead_somewhere(name):
    if not (ROOT / name).is_file():
        pytest.skip("no documents here")
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", (ROOT / name).read_text())
    assert links and not [link for link in links if not (ROOT / link).exists()]
