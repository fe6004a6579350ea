"""An evaluation with its examination: what is looked at, what it changes, and what stays in the record."""

from __future__ import annotations

import importlib
import signal
from dataclasses import replace

import pytest
import torch
from networks import Noise
from sampled import mostly_slow
from small import conv, die, digits, finish

from saddlepoint.attacks import APGD, FGSM, Fast, Square
from saddlepoint.attacks.core.pilot import Pilot
from saddlepoint.data import TensorData
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Diagnosis, Evaluation, evaluate, journal, second_look, steps
from saddlepoint.evaluation.verdict.checks.pixel_values import PixelValues
from saddlepoint.evaluation.verdict.checks.registry import CONTROLS
from saddlepoint.threat import L0, Linf

IMAGES = 16
FEW = Diagnosis(images=8)
EPS = 0.01
"""Some of the images stand."""


def net():
    """A network that was not trained: its images have the classes that it gives them."""
    return conv(3).eval()


def data(wrong=(0, 3), model=None):
    some = digits("test", IMAGES)
    with torch.no_grad():
        labels = (model or net())(some.pixels).argmax(1)
    labels[list(wrong)] = (labels[list(wrong)] + 1) % 10
    return TensorData.of(some.pixels, labels, name="made", classes=some.classes)


def run(out=None, diagnosis=FEW, model=None, **more):
    options = {"eps": (EPS, 2 * EPS), "suite": "quick", "batch_size": 8, **more}
    model = model or net()
    return evaluate(model, data(), Linf(), out=out, diagnosis=diagnosis, **options)


def numbers(record, *without):
    return {k: v for k, v in record.json().items() if k not in ("seconds", *without)}


def same(a, b, *without):
    tables = a.images.equals(b.images) and a.attempts.equals(b.attempts)
    return tables and numbers(a, *without) == numbers(b, *without)


@pytest.fixture(scope="module")
def whole():
    torch.set_num_threads(1)
    return run()


@pytest.fixture(name="short")
def _short(monkeypatch):
    module = importlib.import_module("saddlepoint.evaluation.second_look")
    monkeypatch.setattr(module, "build_suite", module.build_suite)  # put back
    short_looks()


@pytest.fixture(name="measured")
def _measured(monkeypatch):
    """The ids that the first probe saw."""
    seen, measure = [], PixelValues.measure

    def told(self, subject):
        seen.extend(subject.ids.tolist())
        return measure(self, subject)

    monkeypatch.setattr(PixelValues, "measure", told)
    return seen


def test_the_verdict_does_not_depend_on_the_batch(whole, measured):
    assert same(run(batch_size=3), whole)
    assert measured == [1, 2, 4, 5, 6, 7, 8, 9]  # the first that are right
    assert whole.pilot.images == 8
    assert whole.pilot.triggers == ()
    assert {"noise", "one-step"} <= {each.check for each in whole.verdict.findings}


def test_nobody_who_asks_for_no_verdict_gets_one(whole):
    bare = run(diagnosis=None)
    assert (bare.verdict, bare.pilot) == (None, None)
    assert same(bare, whole, "verdict", "pilot")


def test_with_nothing_to_attack_there_is_nothing_to_examine():
    for verdict in (run(eps=0).verdict, evaluate_wrong().verdict):
        assert [each.check for each in verdict.findings] == ["answers"]
        assert verdict.judgement == "healthy"


def evaluate_wrong():
    every = Diagnosis(images=8, adaptive=True, second_look=3)
    return evaluate(net(), data(range(IMAGES)), Linf(EPS), suite="quick", diagnosis=every)


SECOND = Diagnosis(images=8, second_look=2)
LOOKING = "second look, Linf 0.02, apgd"
MOMENTS = [
    ("check zero-gradient", LOOKING),
    ("check repeatable", "1, fast", "check one-step", "check another-start", LOOKING),
]


def short_looks():
    """A second look of seconds less."""
    module = importlib.import_module("saddlepoint.evaluation.second_look")
    module.build_suite = lambda _, threat: {
        "fgsm": FGSM(threat), "apgd": APGD(threat, steps=3),
    }  # fmt: skip


def dies_in(out, moment):
    """Die when a step begins whose name begins so; what was before is saved."""
    step = steps.Steps._step

    def told(self, name, *rest):
        if name.startswith(moment):
            die()
        return step(self, name, *rest)

    short_looks()
    journal.LATEST = 0.0  # a file for each step
    steps.Steps._step = told
    looked_again(out)


def looked_again(out):
    suite = {"fast": Fast(Linf(0.1), targets=2, margins=1)}
    return run(out, SECOND, batch_size=24, suite=suite)


@pytest.mark.parametrize(
    "moments", [MOMENTS[0], pytest.param(MOMENTS[1], marks=pytest.mark.slow)], ids=len
)
@pytest.mark.usefixtures("short")
def test_killed_at_many_moments_the_record_is_that_of_one_that_was_not(tmp_path, moments):
    for moment in moments:
        assert not (tmp_path / "evaluation.json").exists()
        assert finish(dies_in, tmp_path, moment) == -signal.SIGKILL
    half = Evaluation.load(tmp_path)  # whole but for the second look
    assert half.verdict.supplements == ()
    assert list(tmp_path.glob("parts/*.safetensors"))
    done = looked_again(tmp_path)
    assert same(done, looked_again(None))
    assert same(done, half, "verdict")
    assert done.verdict.findings == half.verdict.findings
    assert [each.name for each in done.verdict.supplements] == ["second-look"]
    assert same(Evaluation.load(tmp_path), done)
    assert not (tmp_path / "parts").exists()


@pytest.mark.usefixtures("short")
def test_a_finished_record_gets_the_checks_that_it_lacks_and_stays_the_same(tmp_path):
    first = run(tmp_path, SECOND)
    again = run(tmp_path, Diagnosis(images=8, thorough=True))
    assert same(first, again, "verdict")
    assert again.seconds == first.seconds
    before = first.verdict.findings
    assert again.verdict.findings[: len(before) - 4] == before[:-4]  # the probes
    assert {each.check for each in again.verdict.findings} == {
        *(each.check for each in before), *(check.name for check in CONTROLS),
    }  # fmt: skip
    assert again.verdict.supplements == first.verdict.supplements != ()
    assert same(Evaluation.load(tmp_path), again)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "attempts.parquet", "evaluation.json", "images.parquet", "run.json", "starts", "worst",
    ]  # fmt: skip


@pytest.mark.parametrize("threat", mostly_slow([Linf(EPS), L0(2)], quick=[L0(2)]), ids=str)
def test_a_record_that_has_all_checks_is_read(tmp_path, measured, threat):
    asked = Diagnosis(images=8, thorough=True, surrogate=conv(4))

    def asked_once():
        suite = {"noise": CONTROLS[0]().attack(threat)}
        return evaluate(net(), data(), threat, suite=suite, out=tmp_path, diagnosis=asked)

    first = asked_once()
    stamp = (tmp_path / "evaluation.json").stat().st_mtime_ns
    measured.clear()
    assert same(asked_once(), first)
    assert measured == []
    assert (tmp_path / "evaluation.json").stat().st_mtime_ns == stamp


def test_another_surrogate_is_looked_at_anew(tmp_path):
    one, other = (replace(FEW, surrogate=conv(seed)) for seed in (4, 5))
    first, second = run(tmp_path, one), run(tmp_path, other)
    assert first.verdict.surrogate != second.verdict.surrogate
    assert second.verdict == run(diagnosis=other).verdict
    assert run(tmp_path).verdict == second.verdict  # none is asked for


def test_a_record_of_an_earlier_version_gets_a_verdict(tmp_path, whole):
    bare = run(tmp_path, None)
    assert "verdict" not in (tmp_path / "evaluation.json").read_text()
    given = run(tmp_path)
    assert same(bare, given, "verdict")
    assert given.verdict == whole.verdict
    assert Evaluation.load(tmp_path).verdict == given.verdict


@pytest.mark.usefixtures("short")
def test_a_larger_second_look_takes_the_place_of_the_smaller(tmp_path):
    counts = [
        len(run(tmp_path, replace(FEW, second_look=n)).verdict.supplements[0].numbers["ids"])
        for n in (2, 3, 3)
    ]
    assert counts == [2, 3, 3]
    assert len(Evaluation.load(tmp_path).verdict.supplements) == 1


def test_a_second_look_at_more_than_survived_loses_no_record(tmp_path, whole):
    for _ in range(2):
        with pytest.raises(InputError, match="1000 survivors are to be looked at and"):
            run(tmp_path, replace(FEW, second_look=1000))
        assert same(Evaluation.load(tmp_path), whole)


class Staircase(torch.nn.Module):
    """Rounds to sixteenths by a function in `forward`, which has no gradient."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net((x * 16).round() / 16)


class Rounded(torch.nn.Module):
    def forward(self, x):
        return (x * 16).round() / 16


class Backwards(torch.nn.Module):
    """A network whose gradient points the other way."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(2 * x.detach() - x)


@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_an_adaptive_evaluation_lowers_the_number_and_says_by_what(tmp_path):
    asked = Diagnosis(images=8, adaptive=True)
    masked = run(tmp_path, asked, Staircase(net()), eps=0.1)
    assert masked.verdict.judgement == "broken"
    told = next(each for each in masked.verdict.supplements if each.name == "adaptive")
    (budget,) = told.numbers["budgets"]
    before, after = (
        budget[name]["count"] for name in ("robust_accuracy_before", "robust_accuracy")
    )
    assert before == masked.budgets[0].robust_accuracy.count
    fooled = {each["remedy"]: each["fooled"] for each in told.numbers["remedies"]}
    assert fooled["straight through roundings"] > 5
    assert after == before - sum(fooled.values()) == before - len(budget["fallen"])
    assert "straight through roundings" in str(masked)
    assert Evaluation.load(tmp_path).verdict == masked.verdict


@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_other_remedies_take_the_place_of_those_before(tmp_path):
    """One of several modules by name, where all that hide the gradient are found."""
    model = torch.nn.Sequential(Rounded(), Rounded(), net()).eval()

    def tried(**asked):
        record = run(tmp_path, Diagnosis(images=8, adaptive=True, **asked), model, eps=0.5)
        (told,) = record.verdict.supplements
        return [each["remedy"] for each in told.numbers["remedies"]]

    assert tried()[0] == "BPDA on 0, 1"
    assert tried(bpda=("0",))[0] == "BPDA on 0"


def test_where_nothing_is_found_nothing_is_tried():
    (told,) = run(diagnosis=Diagnosis(images=8, adaptive=True)).verdict.supplements
    assert told.numbers["remedies"] == []
    assert told.numbers["budgets"][0]["fallen"] == []
    assert "nothing was found that has a remedy" in str(told.table)


def test_fast_searches_on_where_the_pilot_found_a_mask():
    some = {"eps": 0.15, "model": Backwards(net())}
    suite = {"fast": Fast(Linf(0.15), targets=1, margins=1, close=0)}
    told = run(suite=suite, **some)
    assert "gradient-agreement" in told.pilot.triggers
    blind = run(suite={"fast": replace(suite["fast"], pilot=Pilot())}, **some)
    assert told.budgets[0].robust_accuracy.count < blind.budgets[0].robust_accuracy.count
    # A pilot is taken where nobody asks for a verdict, so that both leave the same images.
    assert run(None, None, suite=suite, **some).images.equals(told.images)
    honest = run(suite=suite, eps=0.15)
    assert not honest.pilot.masked


def test_a_random_model_gets_its_three_numbers():
    model = torch.nn.Sequential(Noise(0.02), net()).eval()
    few = TensorData.of(*(each[:6] for each in (data(()).pixels, data(()).labels)), name="made")
    found = evaluate(
        model, few, Linf(EPS), suite="quick", diagnosis=Diagnosis(images=3), eot_samples=2
    )
    assert found.verdict.of("repeatable").judgement == "suspicious"
    assert [each.name for each in found.verdict.supplements] == ["randomised"]


class Silent(torch.nn.Module):
    """No answer for images whose first pixel is light."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return torch.where(x.flatten(1)[:, :1] > 0.5, torch.nan, self.inner(x))


def test_images_without_an_answer_are_counted_clean_and_under_attack():
    some = data(wrong=())
    pixels = some.pixels.clone()
    pixels[:3, :, 0, 0], pixels[3:, :, 0, 0] = 1.0, 0.0
    pixels[3:5, :, 0, 0] = 0.49
    model = Silent(net())
    with torch.no_grad():
        labels = net()(pixels).argmax(1)
    found = evaluate(
        model, (pixels, labels), Linf(0.02), suite={"fgsm": FGSM(Linf(0.02)), "apgd": APGD(Linf(0.02))},
        diagnosis=FEW,
    ).verdict.of("answers")  # fmt: skip
    assert found.judgement == "suspicious"
    clean, under = (
        int(word) for word in found.figure.split() if word.isdigit() and word != str(IMAGES)
    )
    assert clean == 3
    assert under <= 2


def test_a_network_that_resists_single_steps_alone_is_told_of():
    class Folded(torch.nn.Module):
        """Wrong half-way along the step that it resists."""

        def forward(self, x):
            moved = (x - 0.5).flatten(1).mean(1)
            margin = (moved.abs() - 0.06).abs() - 0.02 - 0.5 * (moved.abs() < 0.03) * moved
            return torch.stack([margin, torch.zeros_like(margin)], 1)

    images, labels = torch.full((8, 1, 4, 4), 0.5), torch.zeros(8, dtype=torch.int64)
    images = images + 0.002 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    record = evaluate(Folded(), (images, labels), Linf(0.12), suite="fast", diagnosis=FEW)
    found = record.verdict.of("single-step")
    assert record.budgets[0].robust_accuracy.count == 0
    assert found.figure.endswith("overfitted to single steps; handled")


def test_what_is_certified_and_falls_is_a_bug():
    certified = Diagnosis(images=8, certified=[1.0] * IMAGES)
    found = run(diagnosis=certified, eps=[0.3]).verdict
    assert found.judgement == "broken"
    assert found.of("certificate").judgement == "broken"
    with pytest.raises(InputError, match="1 certified budgets for"):
        run(diagnosis=Diagnosis(images=8, certified=[1.0]))


@pytest.mark.slow  # a quarter of a minute
def test_a_record_without_the_pilot_of_now_is_not_gone_on_from(tmp_path, monkeypatch):
    monkeypatch.setattr(
        Fast, "_search_on", lambda self, *state: Square(self.threat, queries=50).perturb(*state)
    )
    some = {"suite": "fast", "model": Backwards(net()), "eps": (0.05, 0.15)}
    told = run(**some)
    first = run(tmp_path, suite="fast", model=Backwards(net()), eps=(0.05,))
    # As an earlier version left it, which took no pilot.
    replace(first, pilot=None).save(tmp_path)
    assert same(run(tmp_path, **{**some, "eps": (0.05,)}), first)
    replace(first, pilot=None).save(tmp_path)
    assert same(run(tmp_path, **some), told)


@pytest.mark.parametrize("eps", [0, 0.05])
def test_a_finished_folder_of_fast_is_read(tmp_path, monkeypatch, eps):
    first = run(tmp_path, suite="fast", eps=eps)
    monkeypatch.setattr(Fast, "__call__", None)
    assert same(run(tmp_path, suite="fast", eps=eps), first)


def test_a_later_look_does_not_undo_what_a_certificate_told(tmp_path):
    certified = Diagnosis(images=8, certified=[1.0] * IMAGES)
    assert run(tmp_path, diagnosis=certified).verdict.judgement == "broken"
    again = run(tmp_path, diagnosis=Diagnosis(images=8, thorough=True)).verdict
    assert again.of("black-box") is not None
    assert again.of("certificate").judgement == "broken"


class Outside(torch.nn.Module):
    """A network behind a step that torch does not see."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(torch.from_numpy(x.detach().numpy().copy()))


@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_a_model_without_any_gradient_is_examined_and_only_then(tmp_path, monkeypatch):
    # Where no gradient is left it asks for scores, of which fewer do here.
    monkeypatch.setattr(
        Fast, "_search_on", lambda self, *state: Square(self.threat, queries=500).perturb(*state)
    )
    told = run(tmp_path, model=Outside(net()), suite="fast", eps=0.03)
    assert told.verdict.of("zero-gradient").judgement == "broken"
    assert told.budgets[0].success.value > 0, "Square finds some"
    look = second_look(Outside(net()), data(), torch.arange(1, 3), Linf(1.0), 2)
    assert look.fell == 2
    model = Outside(net())
    with pytest.raises(InputError, match="gradient-free"):
        run(model=model, diagnosis=None)
    assert not model._forward_hooks


@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_one_image_without_a_gradient_is_not_called_healthy():
    some = data(wrong=range(1, IMAGES))
    found = evaluate(Outside(net()), some, Linf(EPS), suite="quick", diagnosis=FEW).verdict
    assert found.of("zero-gradient").judgement == "undecidable"


def test_a_scripted_model_is_examined():
    scripted = torch.jit.script(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)))
    record = evaluate(scripted, digits("test", 12), Linf(0.05), suite="quick", diagnosis=FEW)
    assert record.verdict is not None
