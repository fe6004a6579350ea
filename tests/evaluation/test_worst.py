"""The worst image of each: it fools where the record says so, and else is the nearest to it."""

from __future__ import annotations

import pytest
import torch
from small import conv, digits, trained

from saddlepoint.attacks import FAB, FGSM, PGD
from saddlepoint.errors import InputError
from saddlepoint.evaluation import evaluate, read_worst, steps
from saddlepoint.evaluation.worst import WorstImages
from saddlepoint.threat import L2, Linf

DATA = digits("test", 40)


@torch.no_grad()
def margins(model, images, ids):
    logits = model(images)
    own = logits.gather(1, DATA.labels[ids][:, None]).squeeze(1)
    others = logits.scatter(1, DATA.labels[ids][:, None], -torch.inf).amax(1)
    return own - others


def suite(norm):
    return {
        "fgsm": FGSM(norm(0.1)),
        "fab": FAB(norm(), steps=3, targets=2),
        "pgd": PGD(norm(0.1), steps=5),
    }


@pytest.mark.parametrize(("norm", "eps"), [(Linf, (0.04, 0.1)), (L2, (0.3, 0.8))])
def test_it_fools_exactly_where_the_record_says(tmp_path, monkeypatch, norm, eps):
    monkeypatch.setattr(steps, "SIZE", 16)
    model, kept = trained(), []
    own = PGD.__call__

    def call(self, model, images, *args, **options):
        result = own(self, model, images, *args, **options)
        kept.append((type(self).__name__, self.threat.eps, options["ids"], result.adversarials))
        return result

    monkeypatch.setattr("saddlepoint.attacks.core.contract.Attack.__call__", call)
    record = evaluate(
        model, DATA, norm(), eps=eps, suite=suite(norm), out=tmp_path, batch_size=7,
        diagnosis=None,
    )  # fmt: skip
    worst = read_worst(tmp_path)
    for level, budget in enumerate(eps):
        rows = record.images.slice(level * len(DATA), len(DATA)).to_pylist()
        at = worst.at(budget)
        right = [row["id"] for row in rows if row["clean_prediction"] == row["label"]]
        assert at.ids.tolist() == right
        clean = DATA.images(at.ids)
        distance = (at.images - clean).flatten(1).norm(p=2 if norm is L2 else torch.inf, dim=1)
        assert (distance <= budget * (1 + 1e-4)).all()
        assert at.images.min() >= 0
        assert at.images.max() <= 1
        found = margins(model, at.images, at.ids)
        fooled = [bool(rows[i]["fooled_by"]) for i in right]
        assert ((found < 0) == torch.tensor(fooled)).all()
        stands = ~torch.tensor(fooled)
        of = {int(i): value for i, value in zip(at.ids[stands], found[stands], strict=True)}
        for name, where, ids, images in kept:
            if name == "FAB" or where != budget:
                continue
            for i, value in zip(ids, margins(model, images, ids), strict=True):
                assert of.get(int(i), -torch.inf) <= value + 1e-4


def test_a_budget_more_has_the_same_images_as_both_at_once(tmp_path):
    for name, order in (("once", [(0.04, 0.1)]), ("twice", [(0.04,), (0.04, 0.1)])):
        for eps in order:
            evaluate(
                trained(), DATA, Linf(), eps=eps, suite=suite(Linf), out=tmp_path / name,
                diagnosis=None,
            )  # fmt: skip
    one, two = (read_worst(tmp_path / name) for name in ("once", "twice"))
    for eps in (0.04, 0.1):
        a, b = one.at(eps), two.at(eps)
        assert torch.equal(a.ids, b.ids)
        assert torch.equal(a.images, b.images)


def test_a_random_model_and_one_that_is_always_wrong(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        noisy = torch.nn.Sequential(Noise(), *trained())
    for name in ("a", "b"):
        evaluate(
            noisy, DATA, "Linf", eps=0.1, suite="quick", out=tmp_path / name, diagnosis=None,
            eot_samples=2,
        )  # fmt: skip
    one, two = (read_worst(tmp_path / name) for name in ("a", "b"))
    assert torch.equal(one.images, two.images)
    wrong = torch.nn.Sequential(conv(), Shifted())
    nothing = DATA.labels.new_full((len(DATA),), 3)
    record = evaluate(
        wrong, (DATA.images(torch.arange(len(DATA))), nothing), "Linf", eps=[0.05, 0.1],
        suite={"fab": FAB(Linf(), steps=2)}, out=tmp_path / "none", diagnosis=None,
    )  # fmt: skip
    assert record.clean.count == 0
    assert read_worst(tmp_path / "none") is None


class Noise(torch.nn.Module):
    def forward(self, x):
        return x + 0.02 * torch.randn_like(x)


class Shifted(torch.nn.Module):
    """Never gives class 3."""

    def forward(self, x):
        return x - 1000 * torch.nn.functional.one_hot(torch.tensor(3), 10)


def test_the_worst_at_a_budget_is_the_last_at_it_or_below():
    worst = WorstImages(
        torch.tensor([1, 2, 1]), torch.tensor([0.1, 0.1, 0.2]), torch.arange(3.0)[:, None]
    )
    assert worst.at(0.1).images.squeeze(1).tolist() == [0, 1]
    assert worst.at(0.3).images.squeeze(1).tolist() == [2, 1]
    assert len(worst.at(0.05).ids) == 0


def test_a_file_of_something_else_is_named(tmp_path):
    from safetensors.torch import save_file

    (tmp_path / "worst").mkdir()
    save_file({"x": torch.zeros(1)}, tmp_path / "worst" / "00000.safetensors")
    with pytest.raises(InputError, match="holds no worst images"):
        read_worst(tmp_path)
