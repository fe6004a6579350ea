"""The pages as a site, the README's table and picture, and how to cite."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

import saddlepoint
from saddlepoint.reading import read_json
from scripts import ROOT, script

figures = script("scripts/figures.py")


def test_the_table_and_the_picture_show_the_numbers_that_are_kept():
    numbers = read_json(ROOT / figures.NUMBERS)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert figures.table(numbers) in readme
    assert Image.open(ROOT / figures.CURVE).info["numbers"] == figures.digest(numbers)


def test_one_command_makes_the_numbers_the_table_and_the_picture(tmp_path, monkeypatch):
    (tmp_path / "docs/images").mkdir(parents=True)
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- demo: made by `make figures` -->\nold\n<!-- /demo -->\nafter\n")
    arguments = ["figures.py", "--root", str(tmp_path), "--epochs", "1", "--limit", "8"]
    monkeypatch.setattr(sys, "argv", arguments)
    figures.main()
    numbers = read_json(tmp_path / figures.NUMBERS)
    text = readme.read_text()
    assert figures.table(numbers) in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("<!-- /demo -->\nafter\n")
    assert len(re.findall(r"^\| (?:normal|adversarial) ", text, re.MULTILINE)) == 8
    assert Image.open(tmp_path / figures.CURVE).info["numbers"] == figures.digest(numbers)


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == saddlepoint.__version__
    assert {"message", "title", "authors"} <= set(citation)
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{citation["version"]}"' in pyproject
    assert f'license = "{citation["license"]}"' in pyproject


def in_toctrees() -> list[Path]:
    text = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    trees = re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL)
    names = [n for tree in trees for n in tree.splitlines() if n and not n.startswith(":")]
    return [(ROOT / "docs" / f"{name}.md").resolve() for name in names if name != "api/index"]


def test_every_page_is_in_one_toctree_once():
    pages = {*ROOT.glob("*.md"), *(ROOT / "examples").glob("*.md"), *(ROOT / "docs").rglob("*.md")}
    assert sorted(in_toctrees()) == sorted(pages - {ROOT / "docs/index.md"})


def test_the_reference_has_every_public_module():
    pytest.importorskip("sphinx")
    api = script("docs/api.py")
    files = (ROOT / "src/saddlepoint").rglob("*.py")
    parts = (path.relative_to(ROOT / "src").with_suffix("").parts for path in files)
    there = {".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts}
    public = {name for name in there if not re.search(r"\._", name)}
    assert {module for inside in api.pages().values() for module in inside} == public
    assert "PGD" in api.members("saddlepoint.attacks.fixed_budget.pgd")
    assert api.public_names()["PGD"] == "saddlepoint.attacks.fixed_budget.pgd.PGD"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("log Σ_{j≠y} e^{Z_j} − Z_y", "log Σ\\_{j≠y} e^{Z_j} − Z_y"),
        ("the x_ of *this*, 2 * eps and `a_`", "the x\\_ of *this*, 2 \\* eps and `a_`"),
        ("|Z|", "\\|Z\\|"),
    ],
)
def test_mathematics_in_docstrings_is_no_markup(written, read):
    pytest.importorskip("sphinx")
    lines = ["First line.", "", written]
    script("docs/api.py").plain(None, "data", "f", None, None, lines)
    assert lines[2] == read


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    build = "-W --keep-going -q -b html -c docs ."  # as in the Makefile
    ran = subprocess.run(
        [sys.executable, "-m", "sphinx", *build.split(), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert build in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert ran.returncode == 0, ran.stderr
    for page in in_toctrees():
        assert (tmp_path / page.relative_to(ROOT)).with_suffix(".html").exists(), page
    attacks = (tmp_path / "docs/attacks.html").read_text(encoding="utf-8")
    assert 'href="api/saddlepoint.attacks.fixed_budget.apgd' in attacks or (
        'href="api/saddlepoint.attacks.fixed_budget.html#' in attacks
    )
    pgd = (tmp_path / "docs/api/saddlepoint.attacks.fixed_budget.html").read_text(encoding="utf-8")
    assert "log Σ_{j≠y} e^{Z_j} − Z_y" in pgd
