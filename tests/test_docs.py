"""Every command and every Python block of the README and the docs runs, in the order of the page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from saddlepoint.attacks import ATTACKS
from saddlepoint.cli import run
from saddlepoint.data import AUGMENTATIONS, OPERATIONS
from saddlepoint.defences import Schedule, recipe_names
from saddlepoint.evaluation import SUITES

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "docs/guide.md",
    "docs/anytime.md",
    "docs/which.md",
    "docs/models.md",
    "docs/look.md",
    "docs/text.md",
    "docs/mae.md",
    "docs/gan.md",
    "docs/two-players.md",
    "docs/defences.md",
    "docs/recipes.md",
    "docs/studies.md",
    "docs/attacks.md",
    "docs/portfolio.md",
    "docs/randomised.md",
    "docs/purify.md",
    "docs/corruptions.md",
    "docs/verdict.md",
    "docs/testing.md",
    "docs/report.md",
    "docs/lab.md",
    "docs/extending.md",
)
LONG = (
    "docs/guide.md",
    "docs/studies.md",
    "docs/attacks.md",
    "docs/purify.md",
    "docs/report.md",
    "docs/testing.md",
    "docs/lab.md",
    "docs/verdict.md",
    "docs/defences.md",
)
"""Pages of 15 to 40 seconds, which the slow run takes."""
NEEDED = {
    "docs/models.md": ("timm", "transformers"),
    "docs/text.md": ("tokenizers",),
}  # what is optional, by page
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:yaml|py))\n")  # the first line of a block that is a file


def blocks(page: str) -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=pytest.mark.slow) if p in LONG else p for p in PAGES]
)
def test_the_page_runs(page, tmp_path, monkeypatch, capsys):
    for library in NEEDED.get(page, ()):
        pytest.importorskip(library, reason=f"{library} is not installed")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    ran = 0
    for kind, text in blocks(page):
        if kind == "console":
            for line in text.splitlines():
                program, *arguments = shlex.split(line.removeprefix("$ "))
                assert program == "saddlepoint"
                # A page cannot know an address; a Python block above the command has found it.
                arguments = [a.replace("ADDRESS", str(names.get("address"))) for a in arguments]
                assert run(arguments) == 0, (line, capsys.readouterr().err)
                ran += 1
        elif file := FILE.match(text):
            Path(file[1]).write_text(text, encoding="utf-8")
        elif kind == "python":
            exec(compile(text, page, "exec", dont_inherit=True), names)
            ran += 1
    assert ran >= 3


@pytest.mark.parametrize(
    "page", [*PAGES, "docs/architecture.md", "docs/glossary.md", "CONTRIBUTING.md"]
)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_the_recipe_in_the_guide_is_a_recipe():
    import yaml

    from saddlepoint.defences import parse_recipe

    (text,) = [text for kind, text in blocks("docs/guide.md") if kind == "yaml"]
    recipe = parse_recipe(yaml.safe_load(text))
    assert recipe.epochs == 30
    assert recipe.ema == 0.995


def test_the_page_of_recipes_has_every_schedule_augmentation_and_operation():
    text = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    names = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    told = {name for each in names for name in re.findall(r"`([^`]+)`", each)}
    schedules = set(get_args(get_type_hints(Schedule)["name"]))
    shipped = {"resnet-cifar", "vit", "vit-finetune", "swin"}
    assert told - {"schedule.name"} == schedules | set(AUGMENTATIONS) | shipped
    assert shipped <= set(recipe_names())
    kinds = {name.partition("-")[0] for name in OPERATIONS}
    words = {"translate": "shift", "rotate": "turn"}
    assert all(words.get(kind, kind) in text for kind in kinds)


def test_the_table_of_attacks_is_what_their_classes_say():
    text = (ROOT / "docs/attacks.md").read_text(encoding="utf-8")
    rows = [
        f"| {info.name} | {', '.join(info.norms)} | {info.kind} | {info.cost} | {info.paper} |"
        for info in ATTACKS.values()
    ]
    assert "\n".join(rows) + "\n" in text


def test_every_attack_and_every_suite_has_its_place_on_the_page_that_helps_to_choose():
    text = (ROOT / "docs/which.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w-]+)`", text))
    assert named >= {*ATTACKS, *SUITES}
    (by_norm,) = re.findall(r"## By norm\n(.*?)\nKept", text, re.DOTALL)
    for row in by_norm.splitlines():
        norm, *cells = [cell.strip() for cell in row.strip("|").split("|")]
        for name in re.findall(r"`([\w-]+)`", " ".join(cells)):
            assert norm.lower() in ATTACKS[name].norms, (norm, name)
