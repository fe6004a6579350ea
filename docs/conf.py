"""Sphinx builds the pages of docs/, the README and the reference of every module: `make docs`.

The source folder is the repository, so that links between pages are those that also work in the
files themselves: `sphinx-build -c docs . build/docs`. `api.py` beside this file has what concerns
the reference.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

import api

import saddlepoint

project = "saddlepoint"
author = "The saddlepoint developers"
project_copyright = author
release = version = saddlepoint.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "examples/*.md"]
exclude_patterns = [".*", "**/.*", "build", "dist", "runs", "src", "tests", "benchmarks", "scripts"]

# Anchors of headings as the hosts of the files make them.
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"show-inheritance": True}
# A name in backticks is a link where the reference has it, and code where not.
default_role = "py:obj"
toc_object_entries = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

html_theme = "furo"
html_title = "saddlepoint"
html_extra_path = ["_site"]
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False


def setup(app: Sphinx) -> None:
    """Add the reference."""
    api.setup(app)
