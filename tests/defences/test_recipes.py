"""Recipes by name and from YAML; what is wrong in one is named with what was expected."""

from __future__ import annotations

import json
import math

import pytest

from saddlepoint.attacks import PGD
from saddlepoint.configuration import configuration
from saddlepoint.data import Crop, CropFlip, RandAugment, RandomErasing
from saddlepoint.defences import (
    AdversarialTraining,
    Optimiser,
    Recipe,
    Schedule,
    Standard,
    attack_from,
    load_recipe,
    parse_recipe,
    recipe_names,
    resolve_recipe,
)
from saddlepoint.defences.recipe_file import recipe_text
from saddlepoint.errors import InputError
from saddlepoint.threat import Linf, Rescaled, threat_from

STATISTICS = ((0.3,), (0.4,))


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads_and_can_be_described(name):
    recipe = load_recipe(name, STATISTICS)
    assert json.loads(json.dumps(configuration(recipe), allow_nan=False)) == configuration(recipe)
    assert recipe_text(name).startswith("# ")
    assert isinstance(recipe.objective, AdversarialTraining) == (
        "adversarial" in name or name == "pgd-at"
    )


def test_the_nine_defences_recipes_have_the_reports_settings():
    plain, adversarial = (
        load_recipe(name, STATISTICS) for name in ("nine-defences", "nine-defences-adversarial")
    )
    assert plain.optimiser == Optimiser("sgd", 0.001, 0.0, False, 0.0)
    assert (plain.epochs, plain.batch_size, plain.augmentation) == (10, 100, "none")
    attack = adversarial.objective.attack
    assert (attack.steps, attack.step_size, attack.start, attack.keep) == (
        4, pytest.approx(2 / 255), "gaussian", "last",
    )  # fmt: skip
    assert attack.threat == Rescaled(Linf(8 / 255, -math.inf, math.inf), *STATISTICS)


def test_the_recipes_of_vision_networks_have_their_papers_settings():
    resnet, vit, tuned, swin = (
        load_recipe(name) for name in ("resnet-cifar", "vit", "vit-finetune", "swin")
    )
    assert resnet.optimiser == Optimiser("sgd", 0.1, 0.9, False, 1e-4)
    assert resnet.schedule == Schedule("multi-step", milestones=(0.5, 0.75))
    assert resnet.epochs * 50_000 // 128 == pytest.approx(64_000, rel=2e-3)
    for each in (vit, swin):
        assert (each.optimiser.name, each.optimiser.weight_decay) == ("adamw", 0.05)
        assert (each.optimiser.decay_on, each.optimiser.clip_norm) == ("weights", 1.0)
        assert each.schedule.share(each.epochs) * each.epochs == 5
    assert (vit.optimiser.learning_rate, vit.mixup, vit.cutmix) == (1e-3, 0.2, None)
    assert swin.optimiser.learning_rate == 1e-3 * swin.batch_size / 1024
    assert (swin.mixup, swin.cutmix) == (0.8, 1.0)
    assert swin.augmentation == (CropFlip(), RandAugment(2, 9.0), RandomErasing(0.25))
    assert (tuned.optimiser.weight_decay, tuned.optimiser.clip_norm) == (0.0, 1.0)


def test_augmentations_are_filled_in_and_read_back():
    given = {"augmentation": ["crop", {"name": "random-erasing", "area": ["1/10", 0.2]}]}
    whole = resolve_recipe({"augmentation": ["crop", {"name": "random-erasing", "fill": "black"}]})
    assert whole["augmentation"][0] == {"name": "crop", "padding": 4}
    assert whole["augmentation"][1]["probability"] == 0.25
    assert parse_recipe(json.loads(json.dumps(whole))).augmentation == (
        Crop(), RandomErasing(fill="black"),
    )  # fmt: skip
    with pytest.raises(InputError, match="random-erasing: area is"):
        parse_recipe(given)
    assert resolve_recipe({"augmentation": "crop"})["augmentation"] == "crop"


def test_a_normalised_budget_needs_the_statistics():
    with pytest.raises(InputError, match="normalised space needs the mean and standard deviation"):
        load_recipe("nine-defences-adversarial")


def test_a_whole_file_is_read(tmp_path):
    path = tmp_path / "ünï.yaml"
    path.write_text(
        "objective:\n"
        "  name: adversarial-training\n"
        "  mode: train\n"
        "  attack: {name: pgd, norm: l2, eps: 1/2, steps: 3}\n"
        "epochs: 3\n"
        "optimiser: {name: adam, learning_rate: 0.01}\n"
        "schedule: {name: multi-step, milestones: [0.3, 0.6]}\n"
        "augmentation: crop\nema: 0.9\nautocast: bf16\n",
        encoding="utf-8",
    )
    recipe = load_recipe(str(path))
    inner = attack_from({"name": "pgd", "norm": "l2", "eps": 0.5, "steps": 3}, None)
    assert recipe == Recipe(
        objective=AdversarialTraining(inner, mode="train"),
        epochs=3,
        optimiser=Optimiser("adam", 0.01),
        schedule=Schedule("multi-step", milestones=(0.3, 0.6)),
        augmentation="crop",
        ema=0.9,
        autocast="bf16",
    )  # fmt: skip


def test_left_out_fields_are_those_of_the_class():
    assert parse_recipe({}) == Recipe()


PGD_ = {"name": "pgd", "eps": "8/255"}
AT = {"name": "adversarial-training"}


def adversarial(**options):
    return {"objective": {**AT, "attack": {**PGD_, **options}}}


def smoothed(value):
    return {"objective": {"name": "standard", "label_smoothing": value}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "unknown field 'epoch'; did you mean 'epochs'"),
        ({"epochs": "many"}, "epochs is 'many': input should be a valid integer"),
        ({"epochs": 2.5}, "epochs is 2.5: input should be a valid integer"),
        ({"epochs": 0}, "epochs is 0; give at least 1"),
        ({"batch_size": -4}, "batch_size is -4; give at least 1"),
        ({"batch_size": None}, "batch_size is None: input should be a valid integer"),
        ({"optimiser": "sgd"}, "optimiser is 'sgd'"),
        ({"optimiser": {"name": "adagrad"}}, r"optimiser.name is 'adagrad': input should be 'sgd'"),
        ({"optimiser": {"learning_rate": -1}}, "learning_rate is -1.0; give a positive number"),
        ({"optimiser": {"learning_rate": math.nan}}, "learning_rate is nan; give a positive number"),
        ({"optimiser": {"momentum": 1}}, r"momentum is 1.0; give a number in \[0, 1\)"),
        ({"optimiser": {"weight_decay": -1}}, "weight_decay is -1.0; give a number of at least 0"),
        ({"schedule": {"name": "cosin"}}, "schedule.name is 'cosin': input should be 'constant'"),
        ({"schedule": {"warmup": 1}}, "warmup is 1.0; give a number in"),
        ({"schedule": {"milestones": ["x"]}}, r"milestones.0 is 'x': input should be a valid number"),
        ({"augmentation": "flip"}, "unknown augmentation 'flip'; did you mean 'crop-flip'"),
        ({"ema": 1.5}, "ema is 1.5; give a decay between 0 and 1"),
        ({"autocast": "fp16"}, "autocast is 'fp16': input should be 'bf16'"),
        ({"objective": {"name": "tradez"}}, "unknown objective 'tradez'"),
        ({"objective": {}}, "an objective has no name; give one of standard"),
        (smoothed(1), r"label_smoothing is 1.0; give a number in \[0, 1\)"),
        ({"objective": {"name": "standard", "attack": {}}}, "unknown option of standard 'attack'"),
        ({"objective": AT}, "adversarial-training has no attack; give one"),
        ({"objective": {**AT, "attack": {}}}, "the attack has no name"),
        ({"objective": {**AT, "attack": {"name": "pgd"}}}, "pgd has no eps"),
        (adversarial(eps="8/0"), "eps is '8/0'"),
        (adversarial(step=1), "did you mean 'steps'"),
        (adversarial(steps="two"), "steps is 'two'"),
        (adversarial(norm="linff"), "did you mean 'linf'"),
        (adversarial(space="pixel"), "did you mean 'pixels'"),
        (adversarial(range="clip"), "for the normalised space"),
        (adversarial(name="pgdd"), "did you mean 'pgd'"),
        ({"objective": {**AT, "mode": "test", "attack": PGD_}}, "mode is 'test': input should be 'eval'"),
        ([1, 2], "is a list; give a mapping"),
        ("text", "is a str; give a mapping"),
        (None, "is a NoneType; give a mapping"),
        ({1: 2}, "recipe"),
    ],
)  # fmt: skip
def test_an_error_names_the_field_and_what_is_expected(values, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_recipe(values)
    assert str(caught.value).count("\n") <= 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epochs: [1", "line 1 is not valid YAML"),
        (b"a: 1\n b: 2", "line 2 is not valid YAML"),
        (b"\xff\xfe\x00\x01", "not text in UTF-8"),
        (b"\x00\x01\x02", "not valid YAML"),
        (b"when: 2024-13-45", "not valid YAML"),
        (b"[" * 5000, "not valid YAML"),
        (b"!!python/object/apply:os.system [touch /tmp/x]", "not valid YAML"),
        (b"", "is a NoneType; give a mapping"),
        (b"- 1", "is a list; give a mapping"),
    ],
)
def test_files_that_are_no_recipes_are_refused(tmp_path, content, message):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_recipe(str(path))
    assert str(path) in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_missing_files_folders_and_unknown_names(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the recipe no\.yaml: No such file"):
        load_recipe("no.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        load_recipe(str(tmp_path / "folder.yaml"))
    with pytest.raises(InputError, match="unknown recipe 'modren'; did you mean 'modern'"):
        load_recipe("modren")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("linf", "8/255", "pixels", "image", None), "Linf 8/255"),
        (("l2", 0.5, "pixels", "image", None), "L2 0.5"),
        (("linf", "8/255", "normalised", "clip", STATISTICS), "Linf 8/255 (normalised space)"),
    ],
)
def test_threat_models_by_words(arguments, text):
    assert str(threat_from(*arguments)) == text


def test_objectives_refuse_what_they_cannot_do():
    with pytest.raises(InputError, match='mode is "test"'):
        AdversarialTraining(PGD(Linf(0.1)), mode="test")
    with pytest.raises(InputError, match="label_smoothing is -1"):
        Standard(-1)
