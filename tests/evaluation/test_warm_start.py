"""Starts from another checkpoint's worst images: they are used, and of other images refused."""

from __future__ import annotations

import pytest
import torch
from small import digits, trained

from saddlepoint.attacks import PGD
from saddlepoint.errors import InputError
from saddlepoint.evaluation import evaluate, read_warm_start
from saddlepoint.threat import Linf

DATA = digits("test", 48)
SUITE = {"pgd": PGD(Linf(0.1), steps=20, step_size=0.01)}


def run(model, out=None, data=DATA, **options):
    return evaluate(
        model, data, Linf(), eps=0.16, suite=SUITE, out=out, diagnosis=None, **options
    )  # fmt: skip


def neighbour():
    net = trained()
    with torch.no_grad():
        for number, each in enumerate(net.parameters()):
            noise = torch.randn(each.shape, generator=torch.Generator().manual_seed(number))
            each += 0.01 * each.abs().mean() * noise
    return net


def test_starts_of_a_neighbour_save_passes(tmp_path):
    run(trained(), tmp_path / "a")
    start = read_warm_start(tmp_path / "a")
    cold, warm = run(neighbour()), run(neighbour(), tmp_path / "b", warm_start=start)
    assert warm.budgets[0].backwards < 0.7 * cold.budgets[0].backwards
    assert warm.budgets[0].robust_accuracy.count <= cold.budgets[0].robust_accuracy.count + 1
    assert warm.config["warm_start"]


def test_the_starts_are_part_of_what_the_evaluation_is(tmp_path):
    run(trained(), tmp_path / "a")
    start = read_warm_start(tmp_path / "a")
    run(neighbour(), tmp_path / "b", warm_start=start)
    again = run(
        neighbour(), tmp_path / "b", warm_start=start, progress=lambda _: pytest.fail("again")
    )
    assert again.clean.total == 48
    with pytest.raises(InputError, match="warm_start"):
        run(neighbour(), tmp_path / "b")


def test_images_of_others_are_refused(tmp_path):
    run(trained(), tmp_path / "a", digits("test", 24))
    with pytest.raises(InputError, match=r"a is of other images \(.*give an evaluation of these"):
        run(trained(), warm_start=read_warm_start(tmp_path / "a"))


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_warm_start(tmp_path)
    run(trained(), tmp_path / "a")
    for path in (tmp_path / "a" / "worst").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="keeps no images to start from"):
        read_warm_start(tmp_path / "a")
