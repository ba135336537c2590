"""How Sphinx builds the documentation: `sphinx-build -W --keep-going docs build/docs`, where warnings are errors.

Pages are MyST Markdown. Those with a `file_format: mystnb` head are notebooks, executed at every build; an exception in
one ends the build. The reference is made from the docstrings.
"""

from __future__ import annotations

import re
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util.nodes import make_refnode

import fastconv

project = "fastconv"
author = "the authors of fastconv"
release = version = fastconv.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
nitpicky = True  # a reference to a name that doesn't exist is a warning
# But types of attributes, and extents of shapes, are words for people.
nitpick_ignore_regex = [("py:class", r"\*?\w+|\w+ to \w+|\w+( [+*] \w+)+")]
default_role = "py:obj"  # `conv2d` in a docstring is a link

html_theme = "furo"
html_title = f"fastconv {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sphinx = html_show_copyright = False
html_math_renderer = "mathml"  # which browsers show by themselves, without a network

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_render_markdown_format = "myst"  # with tables

napoleon_google_docstring = False
napoleon_use_param = False  # so are those of parameters
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # `Layer` says once what every layer has
autodoc_default_options = {"members": True}


def _find_anywhere(app: Any, env: Any, node: Any, contents: Any) -> Any:
    """Let a docstring name things as its author sees them, wherever in the package they are documented."""
    if node["refdomain"] != "py":
        return None
    name = node["reftarget"].removeprefix("fc.")
    known = env.domains["py"].objects
    found = sorted((full for full in known if full == name or full.endswith(f".{name}")), key=len)
    if not found:
        return None
    target = known[found[0]]  # the shortest: the function rather than a method of the same name
    return make_refnode(app.builder, node["refdoc"], target.docname, target.node_id, contents, found[0])


def _keep_stars(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Let the star of a shape, as in (N, *spatial, C), be a star, which reStructuredText takes for emphasis."""
    lines[:] = [line if ">>>" in line else re.sub(r"(?<=[( ])\*(?=\w+[,)])", r"\*", line) for line in lines]


def _leave_out(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the fields of named tuples: their class says what they are, and their own words only count them."""
    return (getattr(thing, "__doc__", None) or "").startswith("Alias for field number") or None


def _write_math(translator: Any, node: Any) -> None:
    tex = re.sub(r"\\[bB]ig(?![a-z])", "", node.astext()).replace(r"\dots", r"\ldots")  # which docutils doesn't know
    as_block = node.tagname == "math_block"
    formula = tex2mathml(tex, as_block=as_block)
    translator.body.append(f'<div class="formula">{formula}</div>' if as_block else formula)  # which may be scrolled
    raise SkipNode


def setup(app: Any) -> None:
    """Connect what Sphinx calls."""
    app.add_html_math_renderer("mathml", (_write_math, None), (_write_math, None))
    app.connect("autodoc-skip-member", _leave_out)
    app.connect("autodoc-process-docstring", _keep_stars, priority=400)  # before napoleon
    app.connect("missing-reference", _find_anywhere)
