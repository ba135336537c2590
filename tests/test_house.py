"""The house keeps its own rules: layers, sizes, types, symbols, one version. Sources that aren't there are skipped."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv as fc
from fastconv import _core

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = Path(fc.__file__).parent
PACKAGE = ROOT / "python" / "fastconv" if (ROOT / "python" / "fastconv").is_dir() else INSTALLED
CPP = ROOT / "cpp"
needs_sources = pytest.mark.skipif(not CPP.is_dir(), reason="no sources here")

# Who stands on whom in Python, from the roof down: a module imports from its own layer or from one below. "fastconv"
# is the package itself, which gathers the functions; what stands above it may use it as everybody does.
LAYERS = [
    {"cli", "__main__"},
    {"training", "analysis", "visualize", "checkpoint", "selftest", "benchmark"},
    {"models"},
    {"nn", "optim", "data"},
    {"fastconv"},
    {"conv", "explanation", "patches", "pool", "dense", "activation", "classification", "norm", "resample"},
    {"_arguments", "_half", "_extras", "_load", "runtime"},
    {"_core"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# And in C++, by folder. Of kernels/ no more is seen above than the table and its integer type.
FOLDERS = [
    {"bindings"},
    {"conv", "pool", "dense", "norm", "resample"},
    {"elementwise"},
    {"gemm"},
    {"core"},
    {"kernels"},
]
FOLDER_LEVEL = {name: level for level, names in enumerate(FOLDERS) for name in names}
TABLE = {"kernels/table.h", "kernels/element_table.h", "kernels/activation_kind.h", "kernels/index.h"}


def modules():
    """(name of the module, file), with `nn.conv` for python/fastconv/nn/conv.py and `fastconv` for the package."""
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "fastconv", file


def imported(name, file):
    """The package's own modules that a file imports, at its top or later."""
    known = {name for name, _ in modules()} | {"_core"}
    inside = name.split(".") if name != "fastconv" else []
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names if alias.name.partition(".")[0] == "fastconv"]
            found |= {target.removeprefix("fastconv").removeprefix(".") or "fastconv" for target in targets}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = inside[: len(inside) - node.level + (file.name == "__init__.py")]
            elif node.module.partition(".")[0] == "fastconv":
                base = []
            else:
                continue
            base = base + (node.module or "").removeprefix("" if node.level else "fastconv").strip(".").split(".")
            base = ".".join(part for part in base if part)
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                found.add(inner if inner in known else base or "fastconv")
    return found - {name}


def test_python_modules_import_from_their_own_layer_or_one_below():
    wrong = []
    for name, file in modules():
        here = LEVEL[name.partition(".")[0]]
        wrong += [f"{name} imports {other}" for other in imported(name, file) if LEVEL[other.partition(".")[0]] < here]
    assert not wrong


def test_python_modules_import_each_other_in_no_circle():
    below = {name: imported(name, file) - {"fastconv"} for name, file in modules()}
    done = {"_core"}
    while ready := {name for name, others in below.items() if name not in done and others <= done}:
        done |= ready
    assert not set(below) - done, f"a circle, or what stands on one: {sorted(set(below) - done)}"


def test_every_module_has_its_layer():
    assert {name.partition(".")[0] for name, _ in modules()} <= set(LEVEL)


def sources(*suffixes, under=CPP):
    return [file for file in sorted(under.rglob("*")) if file.suffix in suffixes]


def includes(file):
    return re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', file.read_text(), re.MULTILINE)


@needs_sources
def test_cpp_folders_include_from_themselves_or_from_below():
    wrong = []
    for file in sources(".h", ".cpp"):
        folder = file.relative_to(CPP).parts[0]
        for mark, header in includes(file):
            if mark == "<":
                continue
            assert (CPP / header).is_file(), f"{file} includes {header}, which is no path from cpp/"
            other = header.partition("/")[0]
            visible = other != "kernels" or folder == "kernels" or header in TABLE
            if not visible or (other != folder and FOLDER_LEVEL[other] <= FOLDER_LEVEL[folder]):
                wrong.append(f"{file.relative_to(ROOT)} includes {header}")
    assert not wrong


@needs_sources
def test_kernels_include_nothing_that_could_leave_code_for_others():
    allowed = re.compile(r"cstdint|cstddef|\w*intrin\.h|arm_neon\.h")
    for file in sources(".h", ".cpp", under=CPP / "kernels"):
        system = [header for mark, header in includes(file) if mark == "<"]
        assert not [header for header in system if not allowed.fullmatch(header)], file
        code = re.sub(r"//.*", "", file.read_text())
        assert not re.findall(r"std::(?!u?int\w*_t\b|size_t\b|ptrdiff_t\b)\w+", code), file


@needs_sources
def test_pybind11_stays_in_the_bindings_and_openmp_in_one_file():
    for file in sources(".h", ".cpp"):
        text, place = re.sub(r"//.*", "", file.read_text()), file.relative_to(CPP)
        assert place.parts[0] == "bindings" or not re.search("pybind11|Python[.]h|Py_", text), file
        assert place.with_suffix("") == Path("core/threads") or not re.search("omp[.]h|#pragma omp|omp_", text), file


@needs_sources
def test_no_file_grows_beyond_420_lines():
    folders = [CPP, PACKAGE, ROOT / "tests", ROOT / "bench"]
    files = [file for folder in folders for file in sources(".h", ".cpp", ".py", ".pyi", under=folder)]
    lines = {file.relative_to(ROOT): len(file.read_text().splitlines()) for file in files}
    assert not {str(file): count for file, count in lines.items() if count > 420}


def test_there_is_one_version_number():
    assert importlib.metadata.version("fastconv") == fc.__version__
    if (ROOT / "pyproject.toml").is_file():
        assert re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE) == [
            fc.__version__
        ]


def test_the_package_is_typed_and_its_stub_lists_what_the_extension_has():
    for folder in {PACKAGE, INSTALLED}:
        assert (folder / "py.typed").is_file() and (folder / "_core.pyi").is_file(), folder
    stub = ast.parse((PACKAGE / "_core.pyi").read_text())
    assert listed(stub) - {"_"} == public(_core)
    for node in stub.body:
        if isinstance(node, ast.ClassDef) and inspect.isclass(getattr(_core, node.name)):
            assert listed(node) == public(getattr(_core, node.name)), node.name


def listed(node):
    names = set()
    for one in node.body:
        if isinstance(one, ast.FunctionDef | ast.ClassDef):
            names.add(one.name)
        elif isinstance(one, ast.AnnAssign):
            names.add(one.target.id)
    return {name for name in names if not name.startswith("__")}


def public(thing):
    return {name for name in vars(thing) if not name.startswith("__") and not name.startswith("_pybind11")}


@pytest.mark.parametrize("name", sorted(fc.__all__))
def test_every_public_name_is_documented_with_all_its_arguments(name):
    thing = getattr(fc, name)
    if isinstance(thing, str):
        return
    document = inspect.getdoc(thing)
    assert document and len(document) > 20, name
    if inspect.isfunction(thing) and "the arguments of `" not in document:
        missing = [argument for argument in inspect.signature(thing).parameters if argument not in document]
        assert not missing, f"{name}: {missing}"


@needs_sources
def test_types_hold_under_strict_mypy(request):
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--strict"]
    cache = request.config.cache.mkdir("mypy") if hasattr(request.config, "cache") else os.devnull
    ended = subprocess.run([*command, "--cache-dir", str(cache)], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def kernel_objects():
    build = Path(os.environ.get("FASTCONV_BUILD_DIR", ROOT / "build"))
    return sorted(build.glob("**/kernels_*.dir/**/*.o"))


def test_kernel_objects_have_one_symbol_for_others_and_no_weak_one():
    """A weak function compiled with AVX may be the copy that the linker keeps for everybody: a SIGILL elsewhere."""
    nm, objects = shutil.which("nm"), kernel_objects()
    if not nm or not objects:
        pytest.skip("no kernel objects, or no nm, here")
    for file in objects:
        listing = subprocess.run([nm, "-C", file], capture_output=True, text=True, check=True).stdout
        if "__asan" in listing:
            continue  # the sanitizer adds symbols of its own
        symbols = [match.groups() for match in re.finditer(r"^\S*\s+(\S) (.+)$", listing, re.MULTILINE)]
        weak = [name for kind, name in symbols if kind in "WwVvu"]
        assert not weak, f"{file}: {weak}"
        isa = re.search(r"kernels_(\w+)\.dir", str(file))[1]
        external = {name for kind, name in symbols if kind.isupper() and kind != "U"}
        table = "elements" if file.name.startswith("elements") else "kernels"
        assert external == {f"fastconv::{table}_{isa}"}, f"{file}: {external}"


def test_the_oracle_never_sees_the_package():
    for helper in ("oracle", "oracle_elements", "oracle_resample", "cases", "problems", "exercise"):
        text = Path(importlib.util.find_spec(helper).origin).read_text()
        assert not re.search(r"import fastconv|from fastconv", text), helper
