"""Training by masked autoencoding: what it moves, what it leaves, and that it goes on to the bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from saddlepoint.cli import run
from saddlepoint.data import load_data
from saddlepoint.defences import (
    Optimiser,
    Recipe,
    Watch,
    build_objective,
    linear_probe,
    load_recipe,
)
from saddlepoint.errors import InputError
from saddlepoint.model import Normalised
from saddlepoint.objectives import MAE, AdversarialMAE, TrainingBatch
from saddlepoint.objectives.mae import Reconstructing
from saddlepoint.threat import L2, Linf
from saddlepoint.training import FILES, train
from saddlepoint.zoo import DecoderDesign, ViT, ViTDesign, load_mae, load_weights, patchify

DATA = load_data("digits", split="train", limit=96)
SMALL = MAE(decoder=DecoderDesign(depth=1, width=16, heads=2))
RECIPE = Recipe(
    SMALL,
    epochs=3,
    batch_size=32,
    optimiser=Optimiser("adamw", 0.003, weight_decay=0.5, decay_on="weights"),
)


def encoder(seed=0, **options):
    torch.manual_seed(seed)
    design = ViTDesign(**{"patch": 2, "width": 24, "depth": 2, "heads": 2, **options})
    return Normalised(ViT(design, channels=1, size=8), (0.3,), (0.4,))


def batch(n=16, epoch=0):
    ids = torch.arange(n)
    return TrainingBatch(DATA.images(ids), DATA.labels[ids], ids, seed=5, epoch=epoch)


@pytest.mark.parametrize(
    "objective", [SMALL, MAE(decoder=replace(SMALL.decoder, mask_tokens="encoder"))]
)
def test_the_encoder_and_the_decoder_learn_and_the_head_stays(objective):
    before = {name: value.clone() for name, value in encoder().state_dict().items()}
    result = train(encoder(), DATA, replace(RECIPE, objective=objective, epochs=8), test=DATA)
    losses = [each["test_reconstruction_loss"] for each in result.metrics]
    assert losses[-1] < 0.97 * losses[0]
    moved = {
        name
        for name, value in result.model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    # No gradient, no step: a weight decay of 0.5 would have shrunk the head.
    assert {name for name in before if name not in moved} == {
        "mean", "std", "net.head.weight", "net.head.bias",
    }  # fmt: skip


def test_a_resumption_is_bit_identical_and_the_decoder_is_saved(tmp_path, monkeypatch):
    whole = train(encoder(), DATA, RECIPE, out=tmp_path / "whole")
    steps, original = 0, Reconstructing.accumulate

    def accumulate(self, model, each):
        nonlocal steps
        steps += 1
        if steps == 5:
            raise KeyboardInterrupt
        return original(self, model, each)

    with monkeypatch.context() as context:
        context.setattr(Reconstructing, "accumulate", accumulate)
        with pytest.raises(KeyboardInterrupt):
            train(encoder(), DATA, RECIPE, out=tmp_path / "cut")
    train(encoder(), DATA, RECIPE, out=tmp_path / "cut", resume=True)
    for name in ("model.safetensors", "decoder.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
        assert name in FILES
    mae = load_mae(tmp_path / "whole")
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, mae.model.state_dict()[name])
    fresh = encoder()
    assert load_weights(fresh, tmp_path / "whole" / "model.safetensors").normalisation == "file"


def test_an_average_of_the_weights_is_of_the_decoder_too(tmp_path):
    recipe = replace(RECIPE, ema=0.5)
    result = train(encoder(), DATA, recipe, out=tmp_path / "run", test=DATA)
    mae = load_mae(tmp_path / "run")
    checkpoint = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    average = load_file(checkpoint / "average.safetensors")
    last = load_file(checkpoint / "objective.safetensors")
    assert not torch.equal(average["parts.pixels.weight"], last["pixels.weight"])
    for name, value in mae.decoder.state_dict().items():
        assert torch.equal(value, average[f"parts.{name}"])
    # What is told of test images is told of both.
    begun = SMALL.begin(mae.model, DATA)
    begun.parts.load_state_dict(mae.decoder.state_dict())
    told = result.metrics[-1]["test_reconstruction_loss"]
    assert begun.measure(mae.model, DATA)["reconstruction_loss"] == pytest.approx(told, rel=1e-6)
    with pytest.raises(InputError, match=r"swa measures BatchNorm .* MAE trains no classifier"):
        replace(RECIPE, swa=0.5)


def test_masks_go_by_the_image_and_the_epoch_and_not_by_the_batch():
    model = encoder().eval()
    begun = SMALL.begin(model, DATA)

    def gradient(images):
        model.zero_grad()
        begun.accumulate(model, images)
        return model.net.embed.conv.weight.grad.clone()

    whole, first, second = gradient(batch(16)), gradient(_rows(0, 8)), gradient(_rows(8, 16))
    torch.testing.assert_close(whole, (first + second) / 2)
    assert not torch.allclose(whole, gradient(batch(16, epoch=1)))


def _rows(low, high):
    ids = torch.arange(low, high)
    return TrainingBatch(DATA.images(ids), DATA.labels[ids], ids, seed=5)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5)])
def test_the_attack_raises_the_loss_within_the_budget_on_visible_patches(threat):
    model = encoder().eval()
    clean = SMALL.begin(model, DATA)
    attacked = AdversarialMAE(decoder=SMALL.decoder, threat=threat, steps=10).begin(model, DATA)
    attacked.parts.load_state_dict(clean.parts.state_dict())
    for network in (model, clean.parts, attacked.parts):  # at birth it hardly sees the image
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.data *= 8
    mae, given = attacked._whole(model), batch()
    mask = attacked._masks(given.ids, given.seed, given.epoch)
    shown = attacked._shown(mae, given, mask)
    assert bool(threat.contains(given.images, shown).all())
    changed = (patchify(shown - given.images, 2) != 0).any(2)
    assert not changed[mask].any()
    assert changed[~mask].double().mean() > 0.9
    # A step with no length leaves the random start: all of the budget is on visible patches.
    still = AdversarialMAE(decoder=SMALL.decoder, threat=threat, steps=1, relative_step=1e-9)
    middle = given.images * 0 + 0.5  # nothing is clipped there
    start = still.begin(model, DATA)._shown(mae, replace(given, inputs=middle), mask)
    assert not (patchify(start - middle, 2) != 0).any(2)[mask].any()
    if isinstance(threat, L2):
        lengths = (start - middle).flatten(1).norm(dim=1)
        assert lengths.median() > 0.9 * 0.5
    model.zero_grad()
    low = clean.accumulate(model, given).loss
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert attacked.accumulate(model, given).loss > 1.02 * low
    assert model.training is False


def test_adversarial_pre_training_is_named_and_trains():
    objective = build_objective(
        "adversarial-mae", {"eps": 0.1, "steps": 2, "decoder": {"depth": 1}}
    )
    assert objective == AdversarialMAE(decoder=DecoderDesign(depth=1), threat=Linf(0.1), steps=2)
    result = train(encoder(), DATA, replace(RECIPE, objective=objective, epochs=1), test=DATA)
    assert result.metrics[0]["test_reconstruction_loss"] < 2


def test_a_ratio_that_keeps_nothing_is_refused_before_training():
    message = "a masking ratio of 0.99 keeps none of 16 patches; give at most 0.9375"
    with pytest.raises(InputError, match=message):
        train(encoder(), DATA, replace(RECIPE, objective=MAE(ratio=0.99)))


def test_bad_values_are_refused_in_a_line():
    for ratio in (0, 1, 1.2):
        with pytest.raises(InputError, match=r"ratio is .*; give a number in \(0, 1\)"):
            MAE(ratio=ratio)
    with pytest.raises(InputError, match="mixup and cutmix mix labels, and MAE trains no"):
        replace(RECIPE, mixup=0.2)
    with pytest.raises(
        InputError, match="watch attacks a classifier, and AdversarialMAE trains no"
    ):
        replace(RECIPE, objective=AdversarialMAE(threat=Linf(0.1)), watch=Watch())
    with pytest.raises(InputError, match="is for a ViT, and this is a Sequential"):
        train(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), DATA, RECIPE)
    with pytest.raises(InputError, match="steepest direction"):
        AdversarialMAE(threat="linf")
    for options, match in (
        ({"decoder": {"depht": 1}}, "unknown option of mae: decoder 'depht'; did you mean 'depth'"),
        ({"decoder": {"depth": -1}}, "depth is -1; give at least 0"),
        ({"decoder": {"depth": "many"}}, "mae: decoder: depth is 'many': "),
        ({"decoder": 3}, "mae: decoder is 3: "),
    ):
        with pytest.raises(InputError, match=match) as told:
            build_objective("mae", options)
        assert len(str(told.value).splitlines()) == 1


def test_a_probe_trains_its_head_alone_and_goes_on(tmp_path):
    recipe = replace(load_recipe("mae-probe"), epochs=2, batch_size=32, augmentation="none")
    before = encoder(dropout=0.3, drop_path=0.3).state_dict()
    whole = train(encoder(dropout=0.3, drop_path=0.3), DATA, recipe, out=tmp_path / "probe")
    state = whole.model.state_dict()
    for name, value in before.items():
        if "head" not in name:
            assert torch.equal(state[name.replace("net.", "net.net.", 1)], value)
    assert state["net.net.head.norm.running_mean"].abs().max() > 0
    again = train(
        encoder(dropout=0.3, drop_path=0.3), DATA, recipe, out=tmp_path / "probe", resume=True
    )
    assert torch.equal(
        again.model.state_dict()["net.net.head.linear.weight"], state["net.net.head.linear.weight"]
    )
    probe = linear_probe(encoder(dropout=0.5)).train()
    # BatchNorm without scale and shift: one linear layer alone is trained.
    assert [name for name, each in probe.named_parameters() if each.requires_grad] == [
        "net.net.head.linear.weight",
        "net.net.head.linear.bias",
    ]
    modes = {type(m).__name__: m.training for m in probe.modules()}
    assert (modes["BatchNorm1d"], modes["Dropout"]) == (True, False)
    with pytest.raises(InputError, match="takes the place of a head"):
        linear_probe(nn.Sequential(nn.Linear(2, 2)))


def test_a_folder_is_fine_tuned_probed_and_attacked(tmp_path):
    common = ["--model", "vit-micro", "--data", "digits", "--limit", "64", "--epochs", "1",
              "--set", "augmentation=none"]  # fmt: skip
    options = ["--model-option", "patch=2", "--model-option", "width=24"]
    pre = str(tmp_path / "pre")
    assert run(["train", *common, *options, "--recipe", "mae", "--out", pre]) == 0
    for recipe, more in (("mae-finetune", []), ("mae-probe", []), ("pgd-at", ["--eps", "0.1"])):
        out = str(tmp_path / recipe)
        words = ["train", *common, *more, "--recipe", recipe, "--weights", pre, "--out", out]
        assert run(words) == 0
    measured = [
        "evaluate",
        "--model",
        "vit-micro",
        "--data",
        "digits",
        "--limit",
        "8",
        "--eps",
        "0.1",
    ]
    probe = ["--weights", str(tmp_path / "mae-probe"), "--suite", "quick"]
    assert run([*measured, *probe, "--out", str(tmp_path / "measured")]) == 0


@pytest.mark.slow
def test_with_600_labels_pre_training_beats_a_start_from_scratch(mnist):
    """Both rates chosen on held-out labels, equal epochs, three seeds; the same by the lab:

    saddlepoint lab mae-labels --data mnist --train-limit 20000 --limit 2000 --epochs 5 --set ratios=0.75 \
        --set shares=0.03 --set rates=0.001,0.002 --set tuned=20
    """
    from saddlepoint.lab import Bench, LabelSettings, run_mae_labels

    tests, training = mnist
    settings = LabelSettings(ratios=(0.75,), shares=(0.03,), rates=(0.001, 0.002), tuned=20)
    found = run_mae_labels(Bench(tests, lambda: training, epochs=5), settings)
    tuned = found.of("fine-tuning", 0.03)
    assert len(tuned["none"]) == 3
    assert all(a > b for a, b in zip(tuned["0.75"], tuned["none"], strict=True)), tuned


@pytest.fixture
def mnist():
    try:
        return load_data("mnist", split="test", limit=2000), load_data(
            "mnist", split="train", limit=20_000
        )
    except InputError as error:
        pytest.skip(str(error))
