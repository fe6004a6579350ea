"""Saved adversarial images are audited: what is fooled, in range, within the budget, and all three."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from networks import conv_case
from PIL import Image
from small import digits, trained

from saddlepoint.attacks import PGD
from saddlepoint.cli import run
from saddlepoint.errors import InputError
from saddlepoint.evaluation import read_mask, read_saved, rejudge
from saddlepoint.threat import L2, Box, Linf, Rescaled


def spoiled(eps=0.08):
    """A network, images, labels, and adversarial images of which some are spoiled on purpose."""
    net, images, labels = conv_case(32)
    result = PGD(Linf(eps), steps=20)(net, images, labels)
    assert result.success_rate > 0.9
    return net, images, labels, result.adversarials.clone(), result


def test_an_honest_file_is_confirmed():
    net, images, labels, adversarials, result = spoiled()
    audit = rejudge(net, images, labels, adversarials, Linf(0.08))
    assert torch.equal(audit.result.success, result.success)
    assert bool(audit.in_range.all())
    assert bool(audit.within_budget.all())
    assert audit.success.value == pytest.approx(result.success_rate)
    assert audit.robust_accuracy.value == pytest.approx(result.robust_accuracy)


def test_each_fault_is_told_apart():
    net, images, labels, adversarials, result = spoiled()
    rows = (result.success & ~result.initially_wrong).nonzero().squeeze(1)[:4]
    beyond, far, unfooled, broken = rows.tolist()
    adversarials[beyond, 0, 0, 0] = 1.01
    adversarials[beyond].clamp_(max=1.01)
    adversarials[far, 0, 0, 0] = images[far, 0, 0, 0] + (
        0.1 if images[far, 0, 0, 0] < 0.5 else -0.1
    )
    adversarials[unfooled] = images[unfooled]
    adversarials[broken, 0, 0, 0] = torch.nan
    audit = rejudge(net, images, labels, adversarials, Linf(0.08))
    assert not bool(audit.in_range[beyond])
    assert bool(audit.in_range[far])
    assert not bool(audit.within_budget[far])
    assert bool(audit.fooled[far])
    assert not bool(audit.fooled[unfooled])
    assert bool(audit.within_budget[unfooled])
    assert not bool(audit.fooled[broken] | audit.in_range[broken] | audit.within_budget[broken])
    assert not bool(audit.result.success[rows].any())
    untouched = torch.ones(32, dtype=torch.bool)
    untouched[rows] = False
    assert torch.equal(audit.result.success[untouched], result.success[untouched])


def test_a_smaller_budget_and_another_norm_are_measured():
    net, images, labels, adversarials, _ = spoiled()
    assert rejudge(net, images, labels, adversarials, Linf(0.07)).success.value == 0
    audit = rejudge(net, images, labels, adversarials, L2())
    expected = (adversarials - images).double().flatten(1).norm(dim=1)
    assert torch.allclose(audit.distance, expected, rtol=1e-6)
    assert audit.success.value > 0.9
    scaled = Rescaled.pixels(Linf(0.16), (0.5,) * 3, (0.5,) * 3)
    assert rejudge(net, images, labels, adversarials, scaled).success.value > 0.9
    boxed = rejudge(net, images, labels, adversarials, Box(images - 0.05, images + 0.05))
    assert boxed.success.value == 0


def test_targets_are_what_counts():
    net, images, labels, adversarials, result = spoiled()
    targets = torch.where(result.predictions == labels, (labels + 1) % 5, result.predictions)
    right = rejudge(net, images, labels, adversarials, Linf(0.08), targets=targets)
    wrong = (targets + 1) % 5
    wrong = torch.where(wrong == labels, (wrong + 1) % 5, wrong)
    assert right.success.value > 0.9
    assert rejudge(net, images, labels, adversarials, Linf(0.08), targets=wrong).success.value == 0


def test_another_number_of_images_is_refused():
    net, images, labels, adversarials, _ = spoiled()
    with pytest.raises(InputError, match="one for each"):
        rejudge(net, images, labels, adversarials[:5], Linf(0.1))


ARRAY = np.random.default_rng(0).random((5, 3, 4, 6)).astype(np.float32)
BYTES = (ARRAY * 255).round().astype(np.uint8)


def write_pngs(folder):
    folder.mkdir()
    for i, picture in enumerate(BYTES):
        Image.fromarray(picture.transpose(1, 2, 0)).save(folder / f"{i + 7:06d}-label-1.png")


@pytest.mark.parametrize(
    ("name", "save", "tolerance"),
    [
        ("a.npz", lambda p: np.savez(p, x_adv=ARRAY, labels=np.zeros(5)), 0),
        ("a.npz", lambda p: np.savez(p, BYTES.transpose(0, 2, 3, 1)), 1 / 500),
        ("a.npy", lambda p: np.save(p, ARRAY), 0),
        ("a.pt", lambda p: torch.save(torch.from_numpy(ARRAY), p), 0),
        ("a.pth", lambda p: torch.save({"adv_complete": torch.from_numpy(ARRAY)}, p), 0),
        ("a.pt", lambda p: torch.save((torch.from_numpy(ARRAY), torch.zeros(5)), p), 0),
        ("pictures", write_pngs, 1 / 500),
    ],
)
def test_every_kind_of_file_is_read(tmp_path, name, save, tolerance):
    save(tmp_path / name)
    images, index = read_saved(tmp_path / name, (3, 4, 6))
    assert images.shape == (5, 3, 4, 6)
    assert float((images - torch.from_numpy(ARRAY)).abs().max()) <= tolerance
    assert (index is None) == (name != "pictures")
    if index is not None:
        assert index.tolist() == [7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("name", "save", "word"),
    [
        ("a.npz", lambda p: np.savez(p, foo=ARRAY), "expected one of"),
        ("a.npz", lambda p: np.savez(p, x=ARRAY[:, :2]), "expected"),
        ("a.npz", lambda p: np.savez(p, x=ARRAY * 255), "divide by 255"),
        ("a.npz", lambda p: np.savez(p, x=ARRAY.astype(int)), "8-bit or floating"),
        ("a.npz", lambda p: np.savez(p, x=ARRAY, ids=np.arange(3)), "ids"),
        ("a.npz", lambda p: p.write_bytes(b"no archive"), "damaged|pickled"),
        ("a.npy", lambda p: np.save(p, np.array([{}]), allow_pickle=True), "pickled"),
        ("a.pt", lambda p: torch.save(print, p), "pickled code"),
        ("a.pt", lambda p: torch.save("text", p), "expected a tensor"),
        ("a.txt", lambda p: p.write_text("x"), "give a .npz"),
        ("a.npz", lambda p: None, "cannot read"),
        ("folder", lambda p: p.mkdir(), "no .png"),
        ("folder", lambda p: (p.mkdir(), (p / "1.png").write_bytes(b"x")), "not an image"),
    ],
)
def test_rubbish_is_refused(tmp_path, name, save, word):
    save(tmp_path / name)
    with pytest.raises(InputError, match=word):
        read_saved(tmp_path / name, (3, 4, 6))


def test_the_command_audits_what_the_attack_command_wrote(tmp_path, capsys):
    common = ["--data", "digits", "--model", "simple-cnn", "--limit", "30"]
    status = run(
        ["attack", *common, "--attack", "pgd", "--eps", "0.3", "--out", str(tmp_path / "o")]
    )
    assert status == 0
    said = json.loads((tmp_path / "o" / "attack.json").read_text())
    capsys.readouterr()
    file = str(tmp_path / "o" / "adversarials.npz")
    assert run(["rejudge", file, *common[:4], "--eps", "0.3", "--json"]) == 0
    audit = json.loads(capsys.readouterr().out)
    assert audit["all_three"] == said["attack_success_rate"]
    assert audit["robust_accuracy"] == said["robust_accuracy"]
    assert run(["rejudge", file, *common[:4], "--eps", "0.3"]) == 0
    assert "all three" in capsys.readouterr().out
    assert run(["rejudge", str(tmp_path / "none.npz"), *common[:4]]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_images_beyond_the_data_are_refused(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 1, 8, 8), np.float32), ids=np.array([0, 99999]))
    words = ["--data", "digits", "--model", "simple-cnn"]
    assert run(["rejudge", str(tmp_path / "a.npz"), *words]) == 2
    assert "99999" in capsys.readouterr().err


def test_digits_as_a_whole():
    data, net = digits("test", 60), trained()
    images, labels = data.images(torch.arange(60)), data.labels[:60]
    result = PGD(Linf(0.2), steps=10)(net, images, labels)
    audit = rejudge(net, images, labels, result.adversarials, Linf(0.2))
    assert audit.success.value == pytest.approx(result.success_rate)


def test_budgets_may_differ_and_infinity_is_no_image():
    net, images, labels, adversarials, result = spoiled()
    each = torch.full((32,), 0.08)
    each[16:] = 0.01
    audit = rejudge(net, images, labels, adversarials, Linf(each))
    assert torch.equal(audit.result.success[:16], result.success[:16])
    assert not bool((audit.result.success & ~result.initially_wrong)[16:].any())
    adversarials[4] = torch.inf
    assert not bool(rejudge(net, images, labels, adversarials, Linf(0.08)).result.success[4])


def test_numbered_pictures_are_in_the_order_of_their_numbers(tmp_path):
    for i in (2, 10, 1):
        picture = np.full((4, 6, 3), 10 * i, np.uint8)
        Image.fromarray(picture).save(tmp_path / f"img_{i}.png")
    images, _ = read_saved(tmp_path, (3, 4, 6))
    assert (images[:, 0, 0, 0] * 25.5).round().tolist() == [1, 2, 10]


def test_the_advice_for_saved_images_and_masks_that_hold_code_is_of_images(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pt")
    for read in (read_saved, read_mask):
        with pytest.raises(
            InputError, match=r"holds pickled code.*;\nsave a plain tensor"
        ) as caught:
            read(tmp_path / "a.pt", (1, 8, 8))
        assert "state dict" not in str(caught.value)


@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("suffix", ["npy", "npz", "pt"])
def test_masks_and_images_in_wide_unsigned_integers_are_read_or_refused(kind, suffix, tmp_path):
    path, values = tmp_path / f"a.{suffix}", np.eye(8).astype(kind)
    if suffix == "pt":
        torch.save(torch.from_numpy(values), path)
    else:
        {"npy": np.save, "npz": np.savez}[suffix](path, values)
    assert read_mask(path, (1, 8, 8)).sum() == 8
    with pytest.raises(InputError, match="expected 8-bit or floating point numbers"):
        read_saved(path, (8,))
