"""PNG export: what is judged is what is written, inside the budget, and both numbers are told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from small import digits, trained
from torch import nn

from saddlepoint.attacks import PGD, AttackResult
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Replay, export_png, run_attack, to_eight_bits
from saddlepoint.threat import L1, L2, Linf

BALLS = [Linf(7.3 / 255), Linf(8 / 255), L2(0.3), L1(2.0), Linf(0.6 / 255)]


def pixels(path):
    picture = np.asarray(Image.open(path))
    picture = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return torch.from_numpy(picture.copy()).float() / 255


@pytest.mark.parametrize("threat", BALLS, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_rounding_stays_in_the_ball_of_an_8_bit_image(threat, channels):
    generator = torch.Generator().manual_seed(0)
    clean = torch.randint(0, 256, (64, channels, 6, 6), generator=generator).float() / 255
    noise = torch.randn(clean.shape, generator=generator)
    noise[::2] *= 10.0 ** -(7 * torch.rand(noise[::2].shape, generator=generator))  # tiny ones too
    moved = threat.project(clean, clean + noise)
    for adversarial in (moved, threat.project(clean, clean + 1e-3 * noise), clean):
        rounded = to_eight_bits(clean, adversarial, threat)
        assert bool(threat.contains(clean, rounded).all())
        levels = rounded * 255
        torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
        assert float((rounded - adversarial).abs().max()) < 1 / 255 + 1e-6


def test_what_is_on_the_lattice_already_stays():
    clean = torch.randint(0, 250, (32, 1, 4, 4)).float() / 255
    other = torch.randint(0, 256, (32, 1, 4, 4)).float() / 255
    assert torch.equal(to_eight_bits(clean, other, Linf(1.0)), other)
    # Also where something else forces the image inwards.
    tight = clean + torch.tensor([2.0, 0.4]).repeat(8).view(1, 1, 4, 4) / 255
    rounded = to_eight_bits(clean, tight, L2(float((tight - clean)[0].norm()) - 1e-4)) * 255
    torch.testing.assert_close(rounded[..., ::2], clean[..., ::2] * 255 + 2, atol=1e-3, rtol=0)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("export")
    data, attack = digits("test", 48), PGD(Linf(24 / 255), steps=8)
    images = (data.images(torch.arange(48)) * 255).round() / 255
    result = attack(trained(), images, data.labels)
    found = export_png(trained(), images, data.labels, result, attack.threat, out)
    return images, data.labels, result, found, attack.threat


def test_the_files_are_what_was_judged(exported):
    images, labels, result, found, threat = exported
    assert len(found.files) == 48
    written = torch.stack([pixels(path) for path in found.files])
    assert bool(threat.contains(images, written).all())
    right = ~result.initially_wrong
    torch.testing.assert_close(written[right], found.result.adversarials[right])
    predictions = trained()(written).argmax(1)
    assert torch.equal(predictions[right] != labels[right], found.result.success[right])
    for i, path in enumerate(found.files):
        assert path.name == f"{i:06d}-label-{labels[i]}-predicted-{predictions[i]}.png"


def test_both_numbers_are_told(exported):
    _, _, result, found, _ = exported
    right = ~result.initially_wrong
    assert found.before.count == int((result.success & right).sum())
    assert found.after.count == int((found.result.success & right).sum())
    assert found.before.total == found.after.total == int(right.sum())
    assert 0 < found.after.count <= found.before.count


def threshold(level):
    """Class 1 exactly where the pixel is above `level` levels."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    net[1].weight.data = torch.tensor([[0.0], [255.0]])
    net[1].bias.data = torch.tensor([0.0, -float(level)])
    return net


def result_for(model, clean, adversarial, threat):
    return Replay(threat, images=adversarial)(model, clean, torch.zeros(len(clean)).long())


def test_a_case_where_rounding_undoes_the_attack(tmp_path):
    clean = torch.full((2, 1, 1, 1), 100 / 255)
    adversarial = torch.tensor([100.4, 101.6]).view(2, 1, 1, 1) / 255
    model, threat = threshold(100.3), Linf(2 / 255)
    result = result_for(model, clean, adversarial, threat)
    assert result.success.tolist() == [True, True]
    found = export_png(model, clean, torch.zeros(2).long(), result, threat, tmp_path)
    assert (found.before.count, found.after.count) == (2, 1)
    assert [round(255 * float(pixels(path))) for path in found.files] == [100, 102]
    assert found.files[0].name == "000000-label-0-predicted-0.png"


def test_an_off_lattice_image_that_cannot_be_kept_in_the_ball_is_no_success(tmp_path):
    clean = torch.full((1, 1, 1, 1), 100.5 / 255)
    adversarial = clean + 0.2 / 255
    model, threat = threshold(100.6), Linf(0.25 / 255)
    result = result_for(model, clean, adversarial, threat)
    found = export_png(model, clean, torch.zeros(1).long(), result, threat, tmp_path)
    assert (found.before.count, found.after.count) == (1, 0)
    assert "outside-the-budget" in found.files[0].name


def test_run_attack_writes_pictures_and_counts_them(tmp_path):
    data, attack = digits("test", 30), PGD(Linf(24 / 255), steps=5)
    record = run_attack(trained(), data, attack, out=tmp_path, png=True, batch_size=8)
    before, after = record.eight_bit
    assert before == record.success
    assert after.total == before.total
    assert len(list((tmp_path / "png").glob("*.png"))) == 30
    assert record.json()["eight_bit_success"]["after"]["count"] == after.count
    target = run_attack(
        trained(), data, attack, target=1, out=tmp_path / "t", png=True, batch_size=8
    )
    assert len(list((tmp_path / "t/png").glob("*.png"))) == len(target.ids)


def test_only_grey_and_rgb_become_png(tmp_path):
    images = torch.rand(2, 2, 4, 4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(32, 2))
    result = PGD(Linf(0.1), steps=1)(model, images, torch.zeros(2).long())
    assert isinstance(result, AttackResult)
    with pytest.raises(InputError, match="PNG needs"):
        export_png(model, images, torch.zeros(2).long(), result, Linf(0.1), tmp_path)
