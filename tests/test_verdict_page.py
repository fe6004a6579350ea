"""The page of the verdict says what the checks say, and the chances that scipy has."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from scipy.stats import binom

from saddlepoint.evaluation.comparison import holm
from saddlepoint.evaluation.verdict.checks.noise import Noise
from saddlepoint.evaluation.verdict.checks.registry import BY_PRODUCTS, CONTROLS, PROBES
from saddlepoint.evaluation.verdict.examination import LEVEL

PAGE = Path(__file__).parents[1] / "docs/verdict.md"


def between(name: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    (found,) = re.findall(rf"<!-- {name}[^>]*-->(.*?)<!-- /{name} -->", text, re.DOTALL)
    return str(found).strip()


@pytest.mark.parametrize(
    ("name", "kinds"), [("probes", PROBES), ("controls", CONTROLS), ("by-products", BY_PRODUCTS)]
)
def test_the_tables_of_checks_are_what_their_classes_say(name, kinds):
    head = "| check | asks | images | threshold | what it means | what to do |\n|---|---|--:|---|---|---|"
    rows = [
        f"| `{kind.name}` | {sys.modules[kind.__module__].__doc__.splitlines()[0]} | {kind.most} |"
        f" {kind.threshold} | {kind.means} | {kind.remedy} |"
        for kind in kinds
    ]
    assert between(name) == "\n".join([head, *rows])


def test_the_page_of_the_verdict_names_what_triggers_a_longer_search():
    triggers = [f"`{kind.name}`" for kind in PROBES if kind.triggers]
    expected = f"{', '.join(triggers[:-1])} and {triggers[-1]}"
    assert between("triggers") == expected


def test_the_chances_of_a_control_are_those_of_the_binomial():
    lines = [
        "| it fools | suspicious, of 64 | broken, of 64 | suspicious, of 32 | broken, of 32 |",
        "|--:|--:|--:|--:|--:|",
    ]
    for share in (0.01, 0.05, 0.1, 0.2):
        cells = [f"{share:.0%}"]
        for survivors in (64, 32):
            counts = {least_broken(survivors, controls) for controls in range(4, 9)}
            (needed,) = counts  # Holm's factor changes nothing between four and eight
            chances = (binom.sf(least - 1, survivors, share) for least in (2, needed))
            cells += ["< 0.1%" if chance < 0.001 else f"{chance:.1%}" for chance in chances]
        lines.append("| " + " | ".join(cell.replace("%", " %") for cell in cells) + " |")
    assert between("power") == "\n".join(lines)


def least_broken(survivors: int, controls: int) -> int:
    """The fewest images at which a control is broken while the others find nothing."""
    for fooled in range(survivors + 1):
        p = Noise().judge({"fooled": torch.arange(survivors) < fooled}).p
        if holm([p, *[1.0] * (controls - 1)])[0] < LEVEL:
            return fooled
    raise AssertionError(survivors)
