"""Reconstructions: the interpolation against a double loop, the numbers, and the page in a browser."""

from __future__ import annotations

import json

import pytest
import torch
from reports.browser import CHROMIUM, assert_readable

from saddlepoint.cli import run
from saddlepoint.data import load_data
from saddlepoint.errors import InputError
from saddlepoint.evaluation.reconstruction import interpolated, reconstructed
from saddlepoint.zoo import load_mae


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("mae") / "pre"
    words = ["--model", "vit-micro", "--model-option", "patch=2", "--data", "digits"]
    given = [
        "--set",
        "augmentation=none",
        "--set",
        "decoder.targets=raw",
        "--limit",
        "64",
        "--epochs",
        "1",
    ]
    assert run(["train", *words, "--recipe", "mae", *given, "--out", str(out)]) == 0
    return out


def test_the_interpolation_is_a_mean_of_visible_pixels_by_distance():
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 5, 7, generator=draw)
    hidden = torch.rand(2, 1, 5, 7, generator=draw) < 0.7
    found = interpolated(x, hidden)
    for n in range(2):
        seen = (~hidden[n, 0]).nonzero().double()
        values = x[n][:, ~hidden[n, 0]].double()
        for i in range(5):
            for j in range(7):
                if not hidden[n, 0, i, j]:
                    assert torch.equal(found[n, :, i, j], x[n, :, i, j])
                    continue
                away = (seen - torch.tensor([i, j])).square().sum(1)
                expected = (values * away**-2).sum(1) / (away**-2).sum()
                torch.testing.assert_close(found[n, :, i, j].double(), expected, rtol=0, atol=1e-6)


def test_a_constant_image_is_interpolated_without_error():
    hidden = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0)) < 0.9
    flat = torch.full((4, 1, 28, 28), 0.4)
    torch.testing.assert_close(interpolated(flat, hidden), flat)


def test_errors_are_of_hidden_pixels_and_masks_of_the_image(trained):
    mae = load_mae(trained)
    many, few = (load_data("digits", split="test", limit=n) for n in (6, 3))
    whole, part = (reconstructed(mae, each, seed=3) for each in (many, few))
    assert torch.equal(whole.hidden[:3], part.hidden)
    assert whole.hidden.float().mean() == 0.75
    wrong = (whole.predicted - whole.images).square()
    assert float(wrong[~whole.hidden].max()) == 0
    torch.testing.assert_close(whole.errors[0], wrong[0][whole.hidden[0]].mean())
    with pytest.raises(InputError, match="keeps none"):
        reconstructed(mae, few, ratio=0.99)
    with pytest.raises(InputError, match="and the autoencoder is for"):
        reconstructed(mae, load_data("digits", limit=2, image_size=16))


def test_the_command_writes_a_page_once(trained, tmp_path, capsys):
    out = tmp_path / "rec"
    words = ["reconstruct", "--weights", str(trained), "--data", "digits", "--limit", "4"]
    for _ in range(2):
        capsys.readouterr()
        assert run([*words, "--out", str(out), "--json"]) == 0
        numbers = json.loads(capsys.readouterr().out)
        assert numbers["images"] == len(numbers["errors"]) == 4
    page = (out / "reconstruct.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 16
    assert "http" not in page.partition("<body")[2].partition("<footer")[0]
    assert run([*words, "--ratio", "0.5", "--out", str(out)]) == 2
    assert run([*words, "--ratio", "1.5", "--out", str(tmp_path / "other")]) == 2
    assert "the masking ratio is 1.5" in capsys.readouterr().err


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_is_readable_in_wide_and_narrow_windows(trained, tmp_path):
    out = tmp_path / "rec"
    words = ["reconstruct", "--weights", str(trained), "--data", "digits", "--limit", "3"]
    assert run([*words, "--out", str(out)]) == 0
    page = (out / "reconstruct.html").read_text(encoding="utf-8")
    assert_readable(page, tmp_path, images=12)
