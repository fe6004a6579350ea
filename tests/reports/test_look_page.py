"""The page of a look: what stands on it, its size, and in a real browser."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from reports.browser import CHROMIUM, Frame, assert_readable, check

from saddlepoint.cli import run
from saddlepoint.data import TensorData
from saddlepoint.evaluation.look import look_at
from saddlepoint.reports.changes import ChangeScale
from saddlepoint.reports.look import look_document
from saddlepoint.reports.look.pictures import (
    change_picture,
    filter_picture,
    map_picture,
    place_mosaic,
)
from saddlepoint.zoo import build_model


def pixels(picture):
    data = base64.b64decode(picture.source.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)))


def page(name, size=8, channels=1, attack=True, count=3, seed=0):
    keep = torch.Generator().manual_seed(seed)
    images = torch.rand(count, channels, size, size, generator=keep)
    data = TensorData.of(
        images, torch.arange(count), name="noise", split="test", classes=("a", "b", "c")
    )
    net = build_model(name, classes=3, shape=(channels, size, size)).eval()
    after = None
    if attack:
        after = images.clone()
        after[1:, :, :4, :4] = 1 - after[1:, :, :4, :4]
    return look_document(look_at(net, images, after), data, name=name, config={}).html()


@pytest.fixture(scope="module")
def pages():
    return {
        "vit": page("vit-micro"),
        "swin": page("swin-micro", 16),
        "cnn": page("resnet20"),
        "vit-clean": page("vit-micro", 16, 3, attack=False),
    }


def sections(html):
    return re.findall(r'<section id="([\w-]+)">', html)


def test_a_vit_shows_all(pages):
    assert sections(pages["vit"])[:7] == [
        "images", "filters", "features", "attention", "under-attack", "distances", "places",
    ]  # fmt: skip
    html = pages["vit"]
    assert html.count('alt="component ') == 16  # of 4×4 weights there are no more
    assert html.count(">rollout</span>") == 3 + 2  # each image, and the two that changed again
    assert "1 of 4" in html  # patches that changed
    assert "left alone by the attack" in html
    assert 'id="figure-share"' in html


def test_without_an_attack_nothing_is_said_of_one(pages):
    assert "under-attack" not in sections(pages["vit-clean"])
    assert "after" not in re.sub(
        r"<style>.*?</style>", "", pages["vit-clean"], flags=re.DOTALL
    ).replace("before and after an attack", "")


def test_a_swin_says_that_there_is_no_rollout_and_how_windows_are_cut(pages):
    assert "A rollout is not defined for Swin" in pages["swin"]
    assert "Layer 1: 8×8 in windows of 4×4, not shifted; layer 2: 8×8" in pages["swin"]
    assert "rollout</span>" not in pages["swin"]
    assert sections(pages["swin"])[-1] == "repeat"
    assert "places" not in sections(pages["swin"])


def test_a_network_without_attention_says_why_in_one_line(pages):
    (said,) = re.findall(r"<p>(No attention maps[^<]*)</p>", pages["cnn"])
    assert "there is no ViT or Swin of this package inside" in said
    assert "stage1.0, image 1 before: 8 of 16 channels" in pages["cnn"]


def test_an_attack_of_every_patch_says_that_shares_say_nothing():
    images = torch.rand(1, 1, 8, 8)
    data = TensorData.of(images, torch.tensor([0]), name="n", split="test", classes=("a", "b"))
    net = build_model("vit-micro", classes=2, shape=(1, 8, 8)).eval()
    for after, words in ((1 - images, "changed every patch"), (images, "changed no image")):
        html = look_document(look_at(net, images, after), data, name="v", config={}).html()
        assert words in html
        assert 'id="figure-share"' not in html


@pytest.mark.parametrize("name", ["vit", "swin", "cnn", "vit-clean"])
def test_thumbnails_are_small_have_words_and_fit_the_limit(pages, name):
    html = pages[name]
    assert len(html) < 1_500_000
    found = re.findall(r'<img src="data:image/(?:png|jpeg);base64,([^"]+)" alt="([^"]*)"', html)
    assert len(found) == html.count("<img ")
    assert all(alternative for _, alternative in found)
    for data, _ in found:
        assert max(Image.open(io.BytesIO(base64.b64decode(data))).size) <= 96


def test_a_page_is_the_same_from_the_same_look(pages):
    assert page("vit-micro") == pages["vit"]


def test_pictures_mean_what_they_say():
    weights = torch.tensor([[[0.0, -2.0], [2.0, 1.0]]])
    assert pixels(filter_picture(weights, "f")).tolist() == [[128, 0], [255, 191]]
    scale = ChangeScale(2.0)
    assert pixels(change_picture(weights[0] / 2, scale, "c")).tolist() == [[128, 64], [191, 159]]
    least, most = pixels(map_picture(torch.tensor([[3.0, 5.0]]), "m"))[0]
    assert least.sum() < most.sum()
    same = pixels(map_picture(torch.tensor([[3.0, 3.0]]), "m", "", (3.0, 5.0)))[0]
    assert (same == least).all()


@pytest.mark.parametrize(("side", "shown"), [(2, 2), (8, 8), (14, 6), (40, 2)])
def test_the_mosaic_of_places_is_no_larger_than_a_thumbnail(side, shown):
    cosines = torch.zeros(side, side, side, side)
    for i in range(side):
        for j in range(side):
            cosines[i, j, i, j] = 1
    found = pixels(place_mosaic(cosines, "places"))
    assert found.shape == (shown * (side + 1) - 1,) * 2 + (3,)
    assert max(found.shape) <= 96
    # The first place looks like itself at its own corner, the last one at the other.
    assert (found[0, 0] == found[-1, -1]).all()
    assert (found[0, 0] != found[0, 1]).any()


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@needs_browser
@pytest.mark.parametrize("name", ["vit", "swin", "cnn"])
def test_it_is_readable_in_wide_and_narrow_windows_in_light_and_in_dark(pages, name, tmp_path):
    assert_readable(pages[name], tmp_path, images=pages[name].count("<img "))


@needs_browser
def test_on_paper_nothing_scrolls_and_nothing_is_cut_off(pages, tmp_path):
    printed = pages["vit"].replace("@media print", "@media all")
    ((seen,), _) = check(printed, [Frame(680, "light")], tmp_path)
    assert seen["scrolling"] == 0
    assert seen["scroll"] <= seen["inside"]


def test_a_command_writes_it_and_reads_what_is_there(tmp_path, capsys, monkeypatch):
    mask = np.zeros((8, 8))
    mask[:4, :4] = 1
    np.save(tmp_path / "mask.npy", mask)
    words = ["look", "--data", "digits", "--model", "zoo:vit-micro", "--model-option", "patch=2"]
    attack = [
        "--attack",
        "fgsm",
        "--eps",
        "0.5",
        "--mask",
        str(tmp_path / "mask.npy"),
        "--limit",
        "6",
    ]
    out = tmp_path / "look"
    found = []
    for _ in range(2):
        assert run([*words, *attack, "--out", str(out), "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
        # What is there is read: nothing is attacked a second time.
        monkeypatch.delattr("saddlepoint.evaluation.run_attack", raising=False)
    first, second = found
    assert first == second
    assert {path.name for path in out.iterdir()} - {".lock"} == {
        "run.json",
        "look.json",
        "look.html",
    }
    attention = first["attention"]
    assert attention["grid"] == [4, 4]
    moved = first["changed_images"]
    assert all(attention["changed_patches"][i] <= 4 for i in moved)
    assert len(attention["share_on_changed"]["before"]["blocks.0.attention"]) == 6
    assert run(["open", str(out)]) == 0
    assert capsys.readouterr().out.strip().endswith("look.html")
    assert run([*words, "--out", str(out)]) == 2  # without the attack it is another run
    assert "attack was" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--eps", "0.1"], "name it with --attack"),
        (["--attack", "fgsm"], "eps"),
        (["--attack", "fgs", "--eps", "0.1"], "did you mean 'fgsm'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(words, message, tmp_path, capsys):
    out = tmp_path / "look"
    look = ["look", "--data", "digits", "--model", "vit-micro", "--out", str(out)]
    assert run([*look, *words]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
