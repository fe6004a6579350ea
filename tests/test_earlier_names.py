"""Names of the nine-defences presets from before they had that name: they work, and are not listed."""

from __future__ import annotations

import pytest
from studies.tiny import TEXT, grid

from saddlepoint.attacks import ATTACKS, attack_info, build_attack, option_types
from saddlepoint.attacks.registry import ALIASES as ATTACK_ALIASES
from saddlepoint.cli import run
from saddlepoint.configuration import configuration
from saddlepoint.defences import load_recipe, recipe_names
from saddlepoint.defences.recipe_file import ALIASES as RECIPE_ALIASES
from saddlepoint.studies import parse_study
from saddlepoint.threat import Linf

STATISTICS = ((0.3,), (0.4,))


@pytest.mark.parametrize(("earlier", "name"), ATTACK_ALIASES.items())
def test_an_earlier_name_of_an_attack_builds_it(earlier, name):
    assert earlier not in ATTACKS
    assert attack_info(earlier) is ATTACKS[name]
    assert option_types(earlier) == option_types(name)
    before, now = (build_attack(each, Linf(0.1), {"steps": 7}) for each in (earlier, name))
    assert configuration(before) == configuration(now)


@pytest.mark.parametrize(("earlier", "name"), RECIPE_ALIASES.items())
def test_an_earlier_name_of_a_recipe_loads_it(earlier, name):
    assert earlier not in recipe_names()
    assert load_recipe(earlier, STATISTICS) == load_recipe(name, STATISTICS)


def test_a_study_of_earlier_names_has_the_cells_of_one_of_present_names():
    present = TEXT.replace("name: pgd", "name: nine-defences-pgd").replace(
        "recipe: {epochs: 2, batch_size: 40}", "recipe: nine-defences"
    )
    earlier = present.replace("name: nine-defences-pgd", "name: report-pgd").replace(
        "recipe: nine-defences", "recipe: report"
    )
    assert earlier.count("report") == 3
    first, second = (grid(parse_study(text)).cells for text in (earlier, present))
    assert [cell.address for cell in first] == [cell.address for cell in second]


def test_commands_take_earlier_names_and_list_the_present_ones(tmp_path, capsys):
    common = ["--data", "digits", "--limit", "20", "--model", "zoo:simple-cnn"]
    trained = str(tmp_path / "t")
    words = ["train", *common, "--recipe", "report", "--epochs", "1", "--out", trained]
    assert run(words) == 0
    words = ["attack", *common, "--weights", trained, "--attack", "report-pgd", "--eps", "0.1"]
    assert run([*words, "--out", str(tmp_path / "a")]) == 0
    capsys.readouterr()
    for words in (["attacks"], ["recipes"]):
        assert run(words) == 0
        listed = capsys.readouterr().out
        assert "nine-defences" in listed
        assert not any(line.split()[:1] == ["report"] for line in listed.splitlines())
        assert "report-" not in listed
