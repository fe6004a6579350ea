"""`saddlepoint attack`: masks, cases of targets, surrogates."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commandline import cli_fixture, cnn_fixture, net_fixture, refused_fixture  # noqa: F401
from PIL import Image
from small import digits

DIGITS = ("--data", "digits", "--limit", 12)


@pytest.fixture(name="attack")
def attack_fixture(net, tmp_path):
    model = ("--model", net[0], "--weights", net[1])
    return ("attack", *DIGITS, *model, "--attack", "pgd", "--eps", 0.2, "--out", tmp_path / "a")


def changed(folder):
    with np.load(folder / "adversarials.npz") as saved:
        adversarials, ids = saved["adversarials"], saved["ids"]
    return (adversarials != digits("test").pixels.numpy()[ids]).any(axis=(0, 1))


@pytest.mark.parametrize("name", ["mask.png", "mask.npy"])
def test_what_a_mask_leaves_out_stays(cli, attack, tmp_path, name):
    may = np.zeros((8, 8), np.uint8)
    may[:, :4] = 255
    if name.endswith(".png"):
        Image.fromarray(may).save(tmp_path / name)
    else:
        np.save(tmp_path / name, may[None])
    assert cli(*attack, "--mask", tmp_path / name).status == 0
    moved = changed(tmp_path / "a")
    assert moved[:, :4].any()
    assert not moved[:, 4:].any()


def test_masks_that_do_not_fit_are_refused(refused, attack, tmp_path):
    np.save(tmp_path / "small.npy", np.ones((4, 4)))
    assert "(4, 4)" in refused(*attack, "--mask", tmp_path / "small.npy")
    np.save(tmp_path / "none.npy", np.zeros((8, 8)))
    assert "no feature may change" in refused(*attack, "--mask", tmp_path / "none.npy")
    np.savez(tmp_path / "two.npz", a=np.ones((8, 8)), b=np.ones((8, 8)))
    assert "2 arrays" in refused(*attack, "--mask", tmp_path / "two.npz")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert "bad.png is not an image" in refused(*attack, "--mask", tmp_path / "bad.png")
    assert "cannot read" in refused(*attack, "--mask", tmp_path / "absent.npy")
    assert "give a PNG" in refused(*attack, "--mask", tmp_path / "mask.txt")
    assert not (tmp_path / "a").exists()


def test_another_mask_is_another_run(cli, refused, attack, tmp_path):
    np.save(tmp_path / "one.npy", np.ones((8, 8)))
    np.save(tmp_path / "other.npy", np.eye(8))
    assert cli(*attack, "--mask", tmp_path / "one.npy").status == 0
    assert "mask was" in refused(*attack, "--mask", tmp_path / "other.npy")


def test_the_easiest_target_is_easier_than_a_random_one_and_that_than_the_hardest(
    cli, attack, tmp_path
):
    rates = [
        cli(*attack[:-1], tmp_path / case, "--targets", case, "--json").json["attack_success_rate"]
        for case in ("best", "average", "worst")
    ]
    best, average, worst = (rate["count"] for rate in rates)
    assert best > average > worst


def test_a_case_that_makes_no_sense_is_refused(refused, attack):
    assert "did you mean 'best'" in refused(*attack, "--targets", "bets")
    assert "exclude each other" in refused(*attack, "--targets", "best", "--target", 1)
    assert "png" in refused(*attack, "--targets", "best", "--png")


def test_a_surrogate_lends_its_gradient(cli, refused, attack, net, cnn, tmp_path):
    itself = cli(*attack, "--surrogate", net[1], "--json")
    assert itself.status == 0, itself
    assert itself.json["config"]["attack"]["type"] == "Transfer"
    assert itself.json["backwards_per_image"] == 0
    direct = cli(*attack[:-1], tmp_path / "direct", "--json").json
    rates = [each["attack_success_rate"]["count"] for each in (direct, itself.json)]
    assert rates[0] == rates[1] > 0
    untrained = ("--surrogate-model", cnn[0], "--surrogate", cnn[1])
    assert "identity.surrogate was" in refused(*attack, *untrained)
    assert cli(*attack[:-1], tmp_path / "c", *untrained).status == 0
    assert "--surrogate" in refused(*attack[:-1], tmp_path / "d", "--surrogate-model", cnn[0])


def test_arrays_that_are_no_masks_are_refused(refused, attack, tmp_path):
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    assert "holds <U1" in refused(*attack, "--mask", tmp_path / "words.npy")
    np.save(tmp_path / "nan.npy", np.full((8, 8), np.nan))
    assert "finite" in refused(*attack, "--mask", tmp_path / "nan.npy")
    np.save(tmp_path / "one.npy", np.ones((8, 8)))
    assert "rounding" in refused(*attack, "--mask", tmp_path / "one.npy", "--png")


def test_a_targeted_run_says_what_its_accuracy_is(cli, attack):
    assert "not classified as the target" in cli(*attack, "--target", 3).out


def test_ten_crops_are_put_on_a_measured_model(cli, refused, net, attack, tmp_path):
    assert cli(*attack, "--transform", "ten-crop", "--json").status == 0
    config = json.loads((tmp_path / "a" / "run.json").read_text())["config"]
    assert config["identity"]["transforms"][0]["padding"] == 4
    assert "identity.transforms was" in refused(*attack)
    assert "unknown transform 'ten-crops'; did you mean 'ten-crop'" in refused(
        *attack[:-1], tmp_path / "b", "--transform", "ten-crops"
    )


def test_a_transform_of_the_training_is_not_put_on_again(cli, refused, tmp_path):
    model = ("--data", "digits", "--model", "zoo:simple-cnn", "--limit", 64)
    trained = tmp_path / "trained"
    train = (
        "train",
        *model,
        "--recipe",
        "standard",
        "--transform",
        "ten-crop",
        "--epochs",
        1,
        "--out",
        trained,
    )
    assert cli(*train).status == 0
    call = ("evaluate", *model, "--weights", trained, "--eps", 0.1, "--suite", "quick")
    call = (*call, "--limit", 6, "--out", tmp_path / "e")
    assert "the training used ten-crop already" in refused(*call, "--transform", "ten-crop")
    assert cli(*call).status == 0
