"""Components by FILE.py:NAME: built, identified by what the file holds, refused for what they lack."""

from __future__ import annotations

import json

import pytest
import torch
from cli.commandline import cli_fixture, refused_fixture  # noqa: F401
from networks import Affine
from plugins import pages

from saddlepoint.attacks import UniformNoise, attack_info, build_attack, parse_criterion
from saddlepoint.configuration import configuration
from saddlepoint.data import TensorData, load_data
from saddlepoint.defences import Recipe, attack_from, parse_recipe, transforms_of
from saddlepoint.errors import InputError
from saddlepoint.evaluation import evaluate
from saddlepoint.studies import build_grid, parse_study
from saddlepoint.studies.build import check_code, with_absolute_files
from saddlepoint.threat import L2, Linf


@pytest.fixture(name="here")
def here_fixture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pages.write(tmp_path)
    return tmp_path


ATTACK = """
from dataclasses import dataclass
from saddlepoint.attacks import FixedBudget, MinimumNorm, PGD
from saddlepoint.option_values import Count
from saddlepoint.threat import ThreatModel

class Nothing(FixedBudget):
    pass

class Argument(FixedBudget):
    def perturb(self, batch): ...

class Field(FixedBudget):
    steps: Count = 3
    def perturb(self, batch, tracker): ...

class Plain:
    def perturb(self, batch, tracker): ...

def bare(threat): ...

def threatless(*, steps: int = 3) -> PGD: ...

def short(threat: ThreatModel, *, steps: Count = 3) -> PGD:
    return PGD(threat, steps=steps, restarts=2)

number = 3
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nothing", r"mine.py:Nothing lacks perturb\(batch, tracker\)"),
        (
            "Argument",
            r"mine.py:Argument: perturb takes \(batch\); it is called with \(batch, tracker\)",
        ),
        ("Field", "has the field steps, but is no dataclass; write @dataclass"),
        ("Plain", "is no attack: give a subclass of FixedBudget or MinimumNorm"),
        ("bare", "is no attack: give a subclass"),
        ("number", "is no attack: give a subclass"),
        ("threatless", "takes no threat"),
        ("shorter", "has no 'shorter'; did you mean 'short'"),
    ],
)
def test_an_attack_that_lacks_the_contract_says_what_it_lacks(tmp_path, name, message):
    (tmp_path / "mine.py").write_text(ATTACK)
    with pytest.raises(InputError, match=message) as caught:
        build_attack(f"{tmp_path}/mine.py:{name}", Linf(0.1))
    assert "\n" not in str(caught.value)


def test_a_function_names_one_of_ours_with_other_options(tmp_path):
    (tmp_path / "mine.py").write_text(ATTACK)
    spec = f"{tmp_path}/mine.py:short"
    assert build_attack(spec, L2(0.5), {"steps": "7"}).steps == 7
    assert attack_info(spec).kind == "fixed budget"
    # What it returns is ours, and is told by its own fields.
    assert "plugin" not in configuration(build_attack(spec, L2(0.5)))
    with pytest.raises(InputError, match="did you mean 'steps'"):
        build_attack(spec, L2(0.5), {"step": 7})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 +", "cannot be run: SyntaxError"),
        ("x = 1\ny = x / 0\n", r"cannot be run: ZeroDivisionError: division by zero \(line 2\)"),
        ("import sys; sys.exit(3)", "cannot be run: SystemExit: 3"),
        ("import no_such_package", "cannot be run: ModuleNotFoundError"),
        ("\0", "cannot be run: "),
    ],
)
def test_a_file_that_cannot_be_run(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    for build in (lambda spec: build_attack(spec, Linf(0.1)), parse_criterion):
        with pytest.raises(InputError, match=message) as caught:
            build(f"{tmp_path}/mine.py:X")
        assert str(caught.value).count("\n") <= 1


def test_what_a_plugin_finds_is_judged(here):
    """The corners of the ball are where a linear model is farthest from its class."""
    images = torch.full((4, 3), 0.5)
    attack = build_attack("signs.py:RandomSigns", Linf(0.1), {"draws": "40"})
    net = Affine(torch.tensor([1.0, -1.0, 1.0]), bias=-0.25)  # margin 0.25, 0.3 can be moved
    labels = torch.zeros(4, dtype=torch.int64)
    found = attack(net, images, labels)
    assert found.success.all()
    assert not UniformNoise(Linf(0.08))(net, images, labels).success.any()
    one = attack(net, images[2:3], labels[2:3], ids=torch.tensor([2]))
    assert torch.equal(one.adversarials[0], found.adversarials[2])


def test_a_file_is_known_by_what_it_holds_and_not_by_its_place(here, tmp_path):
    first = configuration(build_attack("signs.py:RandomSigns", Linf(0.1)))
    assert first["plugin"].startswith("signs.py ")
    (here / "elsewhere").mkdir()
    pages.write(here / "elsewhere")
    assert configuration(build_attack("elsewhere/signs.py:RandomSigns", Linf(0.1))) == first
    (here / "signs.py").write_text((here / "signs.py").read_text() + "\n# changed\n")
    second = configuration(build_attack("signs.py:RandomSigns", Linf(0.1)))
    assert second == {**first, "plugin": second["plugin"]} != first


def test_results_of_another_version_of_a_file_are_not_taken(here):
    data, labels = torch.full((2, 1, 2, 2), 0.5), torch.zeros(2, dtype=torch.int64)
    net = Affine(torch.tensor([2.0, -1.0, 1.0, 1.0]))

    def run():
        suite = {"signs": build_attack("signs.py:RandomSigns", Linf(0.1))}
        return evaluate(net, _data(data, labels), Linf(0.1), suite=suite, out=here / "out")

    run()
    record = json.loads((here / "out" / "evaluation.json").read_text())
    assert "signs.py " in json.dumps(record)
    run()  # is read
    (here / "signs.py").write_text((here / "signs.py").read_text() + "\n# changed\n")
    with pytest.raises(InputError, match=r"attacks.signs.plugin was signs.py \w+, is now signs.py"):
        run()


def _data(images, labels):
    return TensorData.of(images, labels, name="grey", classes=("a", "b"))


LEAKY = {"name": "mine.py:leaky"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": {"name": "signs.py:RandomSigns"}}, r"lacks accumulate\(model, batch\)"),
        ({"objective": {"name": "mine.py:leaky"}}, "is a function; give a class"),
        ({"objective": {"name": "mine.py:HalfAndHalf"}}, "HalfAndHalf has no attack; give one"),
        ({"objective": {"name": "mine.py:HalfAndHalf", "attack": 3}}, "attack is 3; give an attack"),
        ({"penalties": [{"name": "signs.py:RandomSigns", "weight": 1}]}, "penalty|lacks|takes"),
        ({"penalties": [{"name": "signs.py:Count", "weight": 1}]}, "signs.py:Count is no function"),
        ({"transforms": ["mine.py:HalfAndHalf"]}, "transform mine.py:HalfAndHalf is no function of"),
        ({"transforms": [{**LEAKY, "slop": 1}]}, "unknown option of .*'slop'; did you mean 'slope'"),
        ({"transforms": [{**LEAKY, "slope": "a"}]}, "slope is 'a': input should be a valid number"),
        ({"transforms": ["other.py:leaky"]}, "no file other.py"),
    ],
)  # fmt: skip
def test_defences_of_a_file_that_are_refused(here, values, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_recipe(values)
    assert str(caught.value).count("\n") <= 1


def test_a_record_runs_no_code(here):
    recipe = parse_recipe({"transforms": [{"name": "mine.py:leaky", "slope": 0.3}]})
    run = configuration({"recipe": recipe})
    with pytest.raises(InputError, match="which has no name here; name its file"):
        transforms_of(run)
    (again,) = transforms_of(run, ["mine.py:leaky"])
    net = again(torch.nn.Sequential(torch.nn.ReLU()))
    assert net[0].negative_slope == 0.3
    (here / "mine.py").write_text((here / "mine.py").read_text() + "\n# changed\n")
    with pytest.raises(InputError, match="which has no name here"):
        transforms_of(run, ["mine.py:leaky"])
    assert transforms_of(configuration({"recipe": Recipe()}), ["mine.py:leaky"]) == ()


def test_a_criterion_of_a_file(here):
    attack = attack_from(
        {"name": "ddn", "norm": "l2", "eps": 1, "criterion": "beyond.py:Beyond"}, None
    )
    assert configuration(attack.criterion)["plugin"].startswith("beyond.py ")
    with pytest.raises(InputError, match="unknown criterion 'misclasified'; did you mean"):
        attack_from({"name": "pgd", "eps": 1, "criterion": "misclasified"}, None)
    logits = torch.tensor([[0.0, 0.5], [0.0, 2.0]])
    margin = parse_criterion("beyond.py:Beyond").margin(logits, torch.tensor([0, 0]))
    assert (margin < 0).tolist() == [False, True]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def margin(self, logits, labels): ...", r"lacks log_odds\(logits, labels\), cross_entropy"),
        ("margin = log_odds = cross_entropy = lambda self, logits: 0", r"margin takes \(logits\)"),
        ("def __init__(self, k): ...\n    margin = log_odds = cross_entropy = lambda s, a, b: 0",
         "cannot be made without arguments"),
    ],
)  # fmt: skip
def test_a_criterion_that_is_refused(tmp_path, body, message):
    (tmp_path / "c.py").write_text(f"class C:\n    {body}\n")
    with pytest.raises(InputError, match=message):
        parse_criterion(f"{tmp_path}/c.py:C")


STUDY = """
name: mine
data: digits
eps: [0.1]
attacks: {signs: {name: "signs.py:RandomSigns", draws: 3}}
variants: {plain: [], leaky: [{transforms: ["mine.py:leaky"]}]}
"""


def test_a_study_names_files_and_its_addresses_hold_what_they_hold(here, monkeypatch):
    data = load_data("digits", split="train", limit=20), load_data("digits", limit=20)
    spec = parse_study(STUDY)

    def cells():
        return {cell.label: cell for cell in build_grid(spec, *data).cells}

    before = cells()
    trained = {"config": before["leaky, seed 0, training"].config}
    check_code(spec, "leaky", trained)
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    with pytest.raises(InputError, match="cannot read mine"):
        check_code(spec, "leaky", trained)
    monkeypatch.chdir(here)
    whole = with_absolute_files(spec)
    monkeypatch.chdir(here / "elsewhere")
    assert {c.address for c in build_grid(whole, *data).cells} == {
        c.address for c in before.values()
    }
    check_code(whole, "leaky", trained)
    monkeypatch.chdir(here)
    (here / "mine.py").write_text((here / "mine.py").read_text() + "\nraise SystemExit\n")
    with pytest.raises(
        InputError, match=r"the file of .*mine.py:leaky has changed"
    ):  # and is not run
        check_code(whole, "leaky", trained)
    (here / "mine.py").write_text(pages.files()["mine.py"] + "\n# changed\n")
    after = cells()
    changed = {label for label in before if before[label].address != after[label].address}
    assert changed == {label for label in before if label.startswith("leaky")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def data(split): return 3", "returned int; return"),
        ("def data(split): raise OSError('gone')", "failed: OSError: gone"),
        (
            "def data():\n    import torch\n    return torch.full((2, 1, 2, 2), 9.0), torch.zeros(2).long()",
            "9",
        ),
        ("data = 3", "is 3; give a function of split"),
    ],
)
def test_data_of_a_file_that_is_refused(here, refused, text, message):
    (here / "d.py").write_text(text)
    words = ["--model", "zoo:simple-cnn", "--eps", "0.1", "--suite", "quick", "--out", "out"]
    assert message in refused("evaluate", "--data", "d.py:data", *words)
    assert not (here / "out").exists()


def test_data_of_a_file_has_the_statistics_of_its_training_images(here):
    own = load_data("noisy.py:noisy_digits", split="train")
    test = load_data("noisy.py:noisy_digits", split="test", limit=5, image_size=4)
    assert (test.mean, test.std, test.classes) == (own.mean, own.std, own.classes)
    assert (len(test), test.shape, test.split) == (5, (1, 4, 4), "test")
    assert len(load_data("noisy.py:noisy_digits", split="all")) == 1797
