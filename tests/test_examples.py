"""Every example and every notebook runs, and what it prints makes sense."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from scripts import ROOT, script

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NOTEBOOKS = sorted((ROOT / "examples/notebooks").glob("*.ipynb"))
PER_CENT = re.compile(r"(\d+\.\d) %")


def shares(text: str, line: str) -> list[float]:
    """The percentages of the line that begins so, without the ends of their intervals."""
    (found,) = (each for each in text.splitlines() if each.startswith(line))
    return [float(each) for each in PER_CENT.findall(found)]


def sensible_evaluation(said: str) -> None:
    budgets = said.split("which attack")[0]
    (clean, small), (_, medium), (_, large) = (
        shares(budgets, name)[:2] for name in (" 8/255", "16/255", "32/255")
    )
    assert clean > small >= medium > large


def sensible_training(said: str) -> None:
    (clean, normal), (_, adversarial), _ = (
        shares(said, name) for name in ("normal", "adversarial", "both")
    )
    assert clean > 80
    assert adversarial > normal + 10


def sensible_attack(said: str) -> None:
    noise, own, pgd = (float(each) for each in re.findall(r"accuracy (\d\.\d+)", said))
    assert noise > own + 0.2
    assert abs(own - pgd) < 0.2


def sensible_study(said: str) -> None:
    assert "4 of 4 cells" in said
    assert "8 with a second seed" in said


def sensible_calls(said: str) -> None:
    assert all(float(each) < 0.5 for each in re.findall(r"(\d\.\d+) stand", said))


def sensible_black_box(said: str) -> None:
    assert "PGD needs a gradient" in said
    noise, scores = (float(each) for each in re.findall(r"\w+ (\d\.\d+)", said.split("L2")[0]))
    assert scores < noise - 0.3
    assert "within 1.5: 1 of 4" in said  # the fifth was wrong from the start


SENSE = {
    "a_study": sensible_study,
    "black_box": sensible_black_box,
    "coming_from_other_libraries": sensible_calls,
    "evaluate_my_model": sensible_evaluation,
    "my_attack": sensible_attack,
    "robust_training": sensible_training,
}


@pytest.mark.filterwarnings("ignore:several classes share")  # the forest's, which are told
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs_and_says_what_is_plausible(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    SENSE[path.stem](capsys.readouterr().out)


def test_examples_are_short_and_listed():
    page = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    assert {path.stem for path in EXAMPLES} == set(SENSE)
    for path in EXAMPLES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 40, path.name
    for path in (*EXAMPLES, *NOTEBOOKS):
        assert f"{path.name})" in page, path.name


@pytest.mark.parametrize(
    "path",
    [NOTEBOOKS[0], *(pytest.param(path, marks=pytest.mark.slow) for path in NOTEBOOKS[1:])],
    ids=lambda path: path.stem,
)
def test_the_notebook_runs_and_its_outputs_are_small(path, tmp_path):
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = script("scripts/notebooks.py").executed(path, tmp_path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [o for cell in code for o in cell.outputs if o.get("name") == "stderr"]
    kept = path.read_text(encoding="utf-8")
    assert len(kept) < 100_000
    assert str(Path.home()) not in kept
    cells = [cell for cell in json.loads(kept)["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells), "run scripts/notebooks.py"


def test_a_notebook_without_its_extra_says_which(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nbclient", None)
    with pytest.raises(SystemExit, match=r"nbclient .*\[notebooks\]"):
        script("scripts/notebooks.py").executed(NOTEBOOKS[0], tmp_path)
