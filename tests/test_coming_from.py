"""The tables of docs/how-to/coming-from.md name every argument, with the default that the library itself has.

Ours are always checked, the others' where they are installed.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "coming-from.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="no docs here")

# What the page says that it leaves out: names that match this, of a library.
LEFT_OUT = {
    "keras": r"kwargs|name|.*_(regularizer|constraint)|activity_regularizer|clip(norm|value)|global_clipnorm|use_ema|"
    r"ema_.*|loss_scale_factor|gradient_accumulation_steps",
    "flax": r"name|parent|precision|promote_dtype|preferred_element_type|conv_general_dilated(_cls)?|axis_name|"
    r"axis_index_groups|use_fast_variance|force_float32_reductions",
}


def columns():
    """(heading, cells) of every column of every table that has the name of a class in its heading."""
    if not PAGE.is_file():
        return
    for table in re.findall(r"(?:^\|.*\|\n)+", PAGE.read_text(), re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in table.splitlines()]
        assert len({len(row) for row in rows if "---" not in row[0]}) == 1, rows[0]
        for heading, *cells in zip(*(row for row in rows if "---" not in row[0]), strict=True):
            if "`" in heading:
                yield heading.replace("`", "").strip("| "), cells


def written(cells):
    """Argument -> default as written, or None where there is none."""
    found = {}
    for text in re.findall(r"`([A-Za-z_]\w*(?:=[^`]*)?)`", " ".join(cells)):
        name, _, default = text.partition("=")
        if name == "AdamW":
            continue
        assert name not in found, f"{name} stands there twice"
        found[name] = default or None
    return found


def of_signature(thing, left_out):
    found = {}
    for name, parameter in inspect.signature(thing).parameters.items():
        default = parameter.default
        if re.fullmatch(left_out, name):
            continue
        if default is inspect.Parameter.empty or getattr(default, "__name__", None) == "init":
            found[name] = None  # required; or a function that has no name of its own
        else:
            found[name] = getattr(default, "__name__", None) or repr(default)
    return found


def of_operator(name):
    onnx = pytest.importorskip("onnx")
    schema = onnx.defs.get_schema(name)
    found = dict.fromkeys(value.name for value in schema.inputs)
    for attribute in schema.attributes.values():
        default = onnx.helper.get_attribute_value(attribute.default_value) if attribute.default_value.name else None
        if isinstance(default, float):
            default = float(f"{default:.6g}")  # a float32
        text = default.decode() if isinstance(default, bytes) else default
        found[attribute.name] = None if default is None else repr(text)
    return found


@pytest.mark.parametrize(
    ("heading", "cells"), list(columns()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_column_has_every_argument_with_its_default(heading, cells):
    library, _, name = heading.partition(" ")
    if library == "ONNX":
        expected = of_operator(name)
    else:
        module, _, name = heading.rpartition(".")
        if module != "fastconv":
            pytest.importorskip(module.partition(".")[0], exc_type=ImportError)
        left_out = LEFT_OUT.get(module.partition(".")[0], "")
        expected = of_signature(getattr(importlib.import_module(module), name), left_out)
    assert written(cells) == expected


def test_all_the_tables_are_seen():
    headings = [heading for heading, _ in columns()]
    assert sum(heading.startswith("fastconv.") for heading in headings) == 13
    assert sum(heading.startswith("ONNX") for heading in headings) == 10
