"""The assertion of a user's own tests: what it says, how often it errs, and when its cache measures."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import threading
import types
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from networks import Affine
from torch import nn

import saddlepoint
from saddlepoint.attacks import FGSM
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Budget, Diagnosis, Evaluation, Finding, Proportion, Verdict
from saddlepoint.testing import (
    ContentsError,
    RobustnessCache,
    assert_robust,
    contents,
    enough,
    false_passes,
    images_needed,
)
from saddlepoint.testing.assertion import complaint
from saddlepoint.threat import Linf

QUICK = {"suite": "quick", "eps": 0.05}


def images(count=100, near=40):
    """Images of two classes, `near` of which a step of 0.05 takes across the boundary of `network`."""
    state = torch.Generator().manual_seed(1)
    pixels = 0.4 + 0.2 * torch.rand(count, 1, 4, 4, generator=state)
    pixels += 0.5 - pixels.mean((1, 2, 3), keepdim=True)
    labels = torch.arange(count) % 2
    away = torch.where(torch.arange(count) < near, 0.02, 0.09)
    return (pixels + ((1 - 2 * labels) * away)[:, None, None, None]).clamp(0, 1), labels


def network():
    return half_spaces(4.0)


def half_spaces(place):
    """Two classes, apart where the mean of the image is `place` / 8; neither logit is constant."""
    weight = torch.ones(16) / 4
    return Affine(torch.stack([weight, -weight]), torch.tensor([-place / 2, place / 2]))


class Detached(nn.Module):
    """Looks robust to whoever follows the gradient, since none comes through."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net((x * 40).round() / 40)


def record(judgement, count=90, total=100, **more):
    budget = Budget(0.1, Proportion(count, total), Proportion(0, 1), 1.0, 1.0, {}, {})
    finding = Finding("noise", judgement, "9 of 40 fooled", "2 images", 40, "It falls.", "Stop.")
    empty = pa.table({})
    config = {"threat": "Linf 0.1"}
    verdict = Verdict((finding,)) if judgement else None
    return Evaluation(
        config, Proportion(95, total), (budget,), empty, empty, 1.0, (), verdict=verdict, **more
    )


def test_a_healthy_model_passes_and_its_evaluation_comes_back():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = assert_robust(network(), images(), "Linf", 0.45, **QUICK)
    assert found.budgets[0].robust_accuracy.count == 60
    assert found.verdict.judgement == "healthy"


def test_too_few_robust_images_fail_with_number_interval_and_images_needed():
    with pytest.raises(AssertionError) as caught:
        assert_robust(network(), images(), "Linf", 0.55, **QUICK)
    told = str(caught.value)
    assert told == (
        "robust accuracy at Linf 0.05 is 60.0 % [50.2, 69.1], 60 of 100 images (clean 100.0%); at"
        " least 55.0% were asked for, and the 95 % interval begins at 50.2%.\n"
        "The share itself is above: if it stayed, 381 images would show it. by='point' asks of"
        " these images alone."
    )
    assert assert_robust(network(), images(), "Linf", 0.6, by="point", **QUICK)
    with pytest.raises(AssertionError, match=r"100.0%\); at least 61.0% were asked for$"):
        assert_robust(network(), images(), "Linf", 0.61, by="point", **QUICK)
    with pytest.raises(AssertionError, match="below: more images would not help"):
        assert_robust(network(), images(), "Linf", 0.7, **QUICK)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of zero gradients, which the verdict tells
def test_a_model_that_hides_its_gradient_fails_however_robust_it_looks():
    with pytest.raises(AssertionError) as caught:
        assert_robust(Detached(network()), images(40), "Linf", 0.01, by="point", **QUICK)
    first, *checks, last = str(caught.value).splitlines()
    assert first.startswith("the verdict is broken: the robust accuracy is not to be used")
    (zero,) = [line for line in checks if line.startswith("zero-gradient (broken): no gradient")]
    assert "Look for rounding, saturation or a detached part." in zero
    assert last.startswith("robust accuracy ")
    assert last.endswith("is not compared with 1.0%")


def test_a_verdict_that_means_nothing_fails_and_a_doubt_warns(monkeypatch):
    told = complaint(record("undecidable"), 0.5)
    assert told.splitlines()[0].startswith("the verdict is undecidable: the robust accuracy is not")
    assert told.splitlines()[1] == "noise (undecidable): 9 of 40 fooled. It falls. Stop."
    assert complaint(record("suspicious"), 0.5) is None
    assert "not examined" in complaint(record(None), 0.5)
    doubt = record("suspicious")
    monkeypatch.setattr("saddlepoint.testing.assertion.evaluate", lambda *a, **o: doubt)
    with pytest.warns(UserWarning, match="the verdict is suspicious: .*\nnoise") as seen:
        assert assert_robust(network(), images(), "Linf", 0.5, eps=0.1) is doubt
    assert seen[0].filename == __file__
    with pytest.raises(AssertionError, match=r"at least 90\.0% were asked for"):
        assert_robust(network(), images(), "Linf", 0.9, eps=0.1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"at_least": 45}, "at_least is 45; give a share above 0"),
        ({"at_least": 0}, "at_least is 0; give a share above 0"),
        ({"at_least": "45%"}, "at_least is '45%'; give a share above 0"),
        ({"at_least": 1.0}, "at_least is 1, which no interval of a sample reaches"),
        ({"by": "mean"}, "by is 'mean'; give 'interval' or 'point'"),
        ({"eps": [0.1, 0.2]}, "give one budget, and an assertion for each"),
        ({"diagnosis": None}, "diagnosis is None; leave it out"),
        ({"out": "runs"}, "out is no option of a test; give cache="),
        ({"suite": "quik"}, "unknown suite 'quik'"),
    ],
)
def test_what_cannot_be_asked_is_refused(change, told):
    asked = {"at_least": 0.5, "eps": 0.05, **change}
    with pytest.raises(InputError) as caught:
        assert_robust(network(), images(), "Linf", **asked)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


# How often it errs.


@pytest.mark.parametrize("at_least", [0.2, 0.45, 0.5, 0.9])
@pytest.mark.parametrize("total", [100, 500])
def test_a_model_that_is_just_not_robust_enough_passes_as_rarely_as_stated(at_least, total):
    random = np.random.default_rng(0)
    counts = random.binomial(total, at_least, 1000)
    known = {count: enough(int(count), total, at_least) for count in np.unique(counts)}
    passed = np.mean([known[count] for count in counts])
    slack = 3 * np.sqrt(0.025 * 0.975 / 1000)
    assert passed <= 0.025 + slack
    assert passed == pytest.approx(false_passes(total, at_least), abs=slack)
    assert false_passes(total, at_least) <= 0.035
    assert false_passes(total, at_least, robust=at_least - 0.05) < 0.012


def test_the_images_needed_are_those_from_which_the_interval_is_above():
    z = 1.959963984540054

    def low(n, p):
        centre = p + z * z / (2 * n)
        return (centre - z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)

    for share, at_least in [(0.5, 0.45), (0.6, 0.55), (0.96, 0.95), (1.0, 0.99)]:
        needed = images_needed(share, at_least)
        assert low(needed, share) >= at_least > low(needed - 1, share)
    assert images_needed(0.45, 0.45) is None


@pytest.mark.parametrize("percent", range(1, 101))
def test_by_the_point_a_decimal_share_is_reached_exactly(percent):
    assert enough(percent, 100, percent / 100, by="point")
    assert not enough(percent - 1, 100, percent / 100, by="point")


# The cache.


@pytest.fixture
def cache(tmp_path):
    return RobustnessCache(tmp_path / "kept")


@pytest.fixture
def passes(monkeypatch):
    """Counts the passes of the models here, beside anything that a model is made of."""
    told = []
    original = nn.Module.__call__

    def counted(self, *args, **options):
        told.append(type(self).__name__)
        return original(self, *args, **options)

    monkeypatch.setattr(nn.Module, "__call__", counted)
    return told


def test_what_was_measured_is_read_without_a_pass(cache, passes):
    first = assert_robust(network(), images(), "Linf", 0.45, cache=cache, **QUICK)
    assert passes
    passes.clear()
    # The same content in other objects, and another question about it.
    again = assert_robust(network(), images(), "Linf", 0.6, by="point", cache=cache, **QUICK)
    assert not passes
    assert again.json() == first.json()
    assert again.verdict == first.verdict
    with pytest.raises(AssertionError, match="60 of 100"):
        assert_robust(network(), images(), "Linf", 0.7, cache=cache, **QUICK)
    assert not passes
    (key,) = cache.folder.glob("*.json")
    assert json.loads(key.read_text())["versions"]["saddlepoint"]


@pytest.mark.parametrize(
    "change",
    [
        {"model": lambda: half_spaces(4.000001)},
        {"data": lambda: images(near=39)},
        {"threat": "L2"},
        {"eps": 0.051},
        {"seed": 1},
        {"suite": {"fgsm": FGSM(Linf(0.05))}},
        {"diagnosis": Diagnosis(images=20)},
        {"eot_samples": 2},
        {"identity": "another"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_else_is_asked_is_measured(cache, passes, change):
    asked = {"model": network, "data": images, "threat": "Linf", **QUICK}
    for more in ({}, change):
        these = {**asked, **more}
        model, data = these.pop("model")(), these.pop("data")()
        passes.clear()
        cache.evaluate(model, data, **these)
        assert passes
    assert len(list(cache.folder.glob("*.json"))) == 2


def defined(source, **given):
    """A class `Net` that this source defines in a module of its own."""
    module = types.ModuleType("written_by_a_user")
    exec(source, vars(module))
    return vars(module)["Net"](**given)


NET = """
import torch
from torch import nn
LEVELS = 16
def helper(x):
    return x * 1.0
class Net(nn.Module):
    scale = 2.0
    def __init__(self, gain=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.gain = nn.Linear(16, 2), gain
        self.register_buffer("mask", torch.ones(16), persistent=False)
        self.steps = [lambda x: x + 0.0]
    @torch.no_grad()
    def unused(self, x):
        return x
    def forward(self, x):
        x = helper(self.steps[0](x)) * LEVELS / 16
        return self.gain * self.scale * self.linear(x.flatten(1) * self.mask)
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return self.gain *", "return 2 *"),
        ("x * 1.0", "x * 1.5"),
        ("LEVELS = 16", "LEVELS = 8"),
        ("scale = 2.0", "scale = 3.0"),
        ("gain=1.0", "gain=1.25"),
        ("x + 0.0", "x + 0.125"),
        ("torch.ones(16)", "torch.full((16,), 0.5)"),
        ("        return x\n", "        return -x\n"),
        ("helper(self.", "torch.abs(self."),
    ],
)
def test_an_edit_that_changes_what_a_model_does_is_seen(old, new):
    assert old in NET
    assert contents(defined(NET)) != contents(defined(NET.replace(old, new)))


def test_comments_and_places_do_not_count():
    moved = "# A comment.\n\n" + NET.replace("x = helper", "# why\n        x = helper")
    assert contents(defined(NET)) == contents(defined(moved))
    assert contents(defined(NET)) == contents(defined(NET).train())
    assert contents(defined(NET)) != contents(defined(NET, gain=2.0))


def test_an_edited_forward_is_measured_anew(cache, passes):
    cache.evaluate(defined(NET), images(20), "Linf", **QUICK)
    passes.clear()
    cache.evaluate(defined(NET), images(20), "Linf", **QUICK)
    assert not passes
    cache.evaluate(defined(NET.replace("x * 1.0", "1.0 - x")), images(20), "Linf", **QUICK)
    assert passes


def test_hooks_and_closures_count():
    def hooked(shift):
        model = network()
        model.register_forward_hook(lambda module, args, output: output + shift)
        return model

    assert contents(hooked(1.0)) == contents(hooked(1.0)) != contents(hooked(2.0))
    assert contents(hooked(1.0)) != contents(network())


def test_a_suite_in_a_file_is_what_it_holds(cache, passes, tmp_path):
    file = tmp_path / "mine.yaml"
    for steps, measured in ((5, True), (5, False), (6, True)):
        file.write_text(f"apgd: {{steps: {steps}}}\n")
        passes.clear()
        cache.evaluate(network(), images(20), "Linf", eps=0.05, suite=str(file))
        assert bool(passes) == measured


def test_a_model_that_cannot_be_read_is_measured_each_time(cache, passes):
    model = network()
    model.lock = threading.Lock()
    with pytest.raises(ContentsError, match=r"what a _thread\.lock holds cannot be read"):
        contents(model)
    for _ in range(2):
        passes.clear()
        with pytest.warns(UserWarning, match="cannot be read, so that nothing of it is kept"):
            cache.evaluate(model, images(20), "Linf", **QUICK)
        assert passes
    assert not cache.folder.exists()


def test_what_was_interrupted_goes_on_and_what_is_damaged_is_told(cache, passes):
    first = cache.evaluate(network(), images(20), "Linf", **QUICK)
    (finished,) = cache.folder.glob("*.json")
    finished.unlink()  # as if the process had ended before it was written
    assert cache.evaluate(network(), images(20), "Linf", **QUICK).json() == first.json()
    (finished.with_suffix("") / "evaluation.json").write_text("{")
    with pytest.raises(InputError, match="pytest --cache-clear"):
        cache.evaluate(network(), images(20), "Linf", **QUICK)


CONFTEST = 'pytest_plugins = ["saddlepoint.testing.plugin"]\n'
USERS = """
import torch
from saddlepoint.testing import assert_robust

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(16, 2)
        self.kinds = {"a", "b", "c", "d"}
    def forward(self, x):
        return self.linear(x.flatten(1)) if x.ndim in {2, 3, 4} else x

def test_mine(robustness_cache):
    data = (torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0)), [0, 1] * 4)
    assert_robust(Net(), data, "Linf", 0.99, eps=0.3, suite="quick", cache=robustness_cache)
"""


@pytest.mark.slow  # two processes; the page of the docs is run so too
def test_the_fixture_keeps_evaluations_from_run_to_run(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_mine.py").write_text(USERS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    kept = tmp_path / ".pytest_cache" / "d" / "saddlepoint"
    written = []
    for _ in range(2):  # processes of their own, whose sets have orders of their own
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "test_mine.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "AssertionError: robust accuracy at Linf 0.3 is" in done.stdout
        assert "assertion.py" not in done.stdout  # the line that is shown is the test's
        written.append({file.name: file.stat().st_mtime_ns for file in kept.glob("*.json")})
    assert len(written[0]) == 1
    assert written[0] == written[1]


def test_pytest_is_imported_by_the_plugin_alone():
    source = Path(saddlepoint.__file__).parent
    said = []
    for file in source.rglob("*.py"):
        text = file.read_text("utf-8")
        if "pytest" not in text:
            continue
        for node in ast.walk(ast.parse(text)):  # an example in a docstring is no import
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            said += [file for name in names if name.partition(".")[0] in ("pytest", "_pytest")]
    assert set(said) == {source / "testing" / "plugin.py"}
