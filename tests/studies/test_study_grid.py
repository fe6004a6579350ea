"""Addresses: what is the same is one cell, what differs in anything is another."""

from __future__ import annotations

import pytest
from studies.tiny import CELLS, TEXT, grid, tiny

from saddlepoint.errors import InputError
from saddlepoint.studies import parse_study
from saddlepoint.studies.grid import select


def addresses(spec, kind="training"):
    return [cell.address for cell in grid(spec).cells if cell.kind == kind]


def test_a_training_that_does_not_depend_on_eps_is_one_cell_for_every_budget():
    found = grid(tiny())
    assert len(found.cells) == CELLS
    trainings = [cell for cell in found.cells if cell.kind == "training"]
    assert sum(cell.variant == "original" for cell in trainings) == 2
    assert sum(cell.variant == "adversarial" for cell in trainings) == 4
    assert [c.eps for c in trainings if c.variant == "original"] == [None, None]
    assert len(found.places) == 8
    by_address = {cell.address: cell for cell in found.cells}
    for place in found.places:
        assert by_address[place.evaluation].needs == place.training
        assert by_address[place.training].eps in (None, place.eps)


def test_variants_that_are_the_same_thing_share_their_cells():
    spec = parse_study(TEXT + "  again: [{epochs: 2}]\n")
    assert len(grid(spec).cells) == CELLS
    assert len(grid(spec).places) == 12
    assert len(select(grid(spec), "again, seed 0")) == 3


def test_the_address_does_not_depend_on_how_it_was_written():
    base = addresses(tiny())
    assert addresses(tiny(eps="eps: [0.06274509803921569, 48/255]")) == base
    assert addresses(tiny(name="name: another")) == base
    written = TEXT.replace("epochs: 2", "epochs: 2, optimiser: {name: sgd, learning_rate: 0.1}")
    assert addresses(parse_study(written)) == base


@pytest.mark.parametrize(
    "changed",
    [
        {"recipe": "recipe: {epochs: 3, batch_size: 40}"},
        {"recipe": "recipe: {epochs: 2, batch_size: 20}"},
        {"data": "data: {name: digits, train_limit: 161, test_limit: 40}"},
        {"model": "model: {name: zoo:simple-cnn, widths: [4, 9], hidden: []}"},
        {"seeds": "seeds: [5, 6]"},
        {"attacks": "normalisation: none\nattacks: {pgd: {name: pgd, steps: 3}}"},
        {"attacks": "threads: 2\nattacks: {pgd: {name: pgd, steps: 3}}"},
    ],
)
def test_whatever_changes_a_training_changes_its_address(changed):
    assert not set(addresses(tiny())) & set(addresses(tiny(**changed)))


@pytest.mark.parametrize(
    "changed",
    [
        {"attacks": "attacks: {pgd: {name: pgd, steps: 4}}"},
        {"attacks": "attacks: {pgd: {name: fgsm}}"},
        {"attacks": "attacks: {pgd: {suite: quick}}"},
        {"attacks": "eot_samples: 3\nattacks: {pgd: {name: pgd, steps: 3}}"},
        {"data": "data: {name: digits, train_limit: 160, test_limit: 41}"},
    ],
)
def test_whatever_changes_an_evaluation_alone_leaves_the_trainings(changed):
    before, after = tiny(), tiny(**changed)
    assert addresses(before) == addresses(after)
    assert not set(addresses(before, "evaluation")) & set(addresses(after, "evaluation"))


def test_the_threat_counts_in_adversarial_training_and_not_in_standard():
    spec = tiny(attacks="threat: {norm: l2}\nattacks: {pgd: {name: pgd, steps: 3}}")
    before, after = grid(tiny()), grid(spec)
    for one, other in zip(before.cells, after.cells, strict=True):
        assert (one.address == other.address) == (
            one.label.endswith("training") and one.eps is None
        )


def test_a_changed_model_file_is_another_model(tmp_path):
    file = tmp_path / "net.py"
    code = (
        "from torch import nn\n"
        "def net(classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
    )
    file.write_text(code)
    spec = tiny(model=f"model: {file}:net")
    before = addresses(spec)
    assert addresses(spec) == before
    file.write_text(code.replace("64, classes", "64, classes, bias=False"))
    assert not set(addresses(spec)) & set(before)
    moved = tmp_path / "elsewhere.py"
    file.rename(moved)
    assert addresses(tiny(model=f"model: {moved}:net")) == addresses(
        tiny(model=f"model: {moved.parent}/../{moved.parent.name}/elsewhere.py:net")
    )
    with pytest.raises(InputError, match="cannot read the model's file"):
        addresses(spec)


def test_only_selects_cells_with_the_trainings_they_need():
    cells = grid(tiny())
    assert select(cells, None) == cells.cells
    found = select(cells, "adversarial, seed 1")
    assert len(found) == 4
    found = select(cells, "original, seed 0, eps 16/255, pgd")
    assert [cell.kind for cell in found] == ["training", "evaluation"]
    assert len(select(cells, "*seed ?, training")) == 2
    with pytest.raises(
        InputError, match=r"no cell matches 'sead' \(the first is 'original, seed 0, training'\)"
    ):
        select(cells, "sead")
