"""Stopped or killed in the middle of any objective, a training ends, resumed, in the same bits, with all
that is carried from step to step: δ, the watch's memory, the best weights, the teacher.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from unittest import mock

import pytest
import torch
from sampled import mostly_slow
from small import conv, die, digits, finish, same

from saddlepoint.attacks import FGSM, PGD
from saddlepoint.data import RandAugment, RandomErasing, ResizedCrop
from saddlepoint.defences import (
    AWP,
    FGSMRS,
    MART,
    NFGSM,
    TRADES,
    TRADESYOPO,
    YOPO,
    AdversarialTraining,
    Distillation,
    Free,
    HardLabels,
    Mixed,
    Optimiser,
    Recipe,
    Schedule,
    Standard,
    Validation,
    Watch,
)
from saddlepoint.threat import Linf
from saddlepoint.training import Interrupted, latest_checkpoint, lookout, read_metrics, train

B, STEPS = Linf(0.1), 3  # of an epoch: 96 images in batches of 32
MADRY, SGD = AdversarialTraining(PGD(B, steps=2)), Optimiser("sgd", 0.05)


@dataclass(frozen=True)
class Collapsing(NFGSM):
    """N-FGSM that climbs in the third epoch, unless its noise was widened twice."""

    def accumulate(self, model, batch):
        output = super().accumulate(model, batch)
        if batch.epoch == 2 and self.noise < 4:
            for p in model.parameters():
                p.grad.mul_(-20)
        return output


def rolled_back(change, **options):
    objective = Collapsing(B)
    watch = Watch("roll-back", change=change, steps=1, fall=0.05, **options)
    return {"objective": objective, "epochs": 4, "watch": watch, "ema": 0.5}


RECIPES = {
    "standard": {"objective": Standard(0.1)},
    "pgd-at": {"objective": MADRY, "ema": 0.9995, "ema_at": 391},
    "pgd-at, batch statistics": {"objective": AdversarialTraining(PGD(B, steps=2), mode="train")},
    "mixed": {"objective": Mixed(FGSM(B))},
    "fgsm-rs": {"objective": FGSMRS(B, statistics="published")},
    "n-fgsm": {"objective": NFGSM(B), "augmentation": "crop-flip"},
    "free": {"objective": Free(B, m=3), "ema": 0.9},
    "free, short batches": {"objective": Free(B, m=2), "batch_size": 40},
    "yopo": {"objective": YOPO(B, m=2, n=2)},
    "yopo, paper": {"objective": YOPO(B, m=2, n=2, mode="paper")},
    "yopo, as coded": {"objective": YOPO(B, m=2, n=2, mode="as_coded")},
    "trades": {"objective": TRADES(B, steps=2), "autocast": "bf16"},
    "trades-yopo": {"objective": TRADESYOPO(B, m=2, n=2)},
    "mart": {"objective": MART(B, steps=2), "optimiser": Optimiser("adam", 0.01)},
    "awp": {"objective": AWP(MADRY)},
    "awp, warming up": {"objective": AWP(TRADES(B, steps=2), 5e-3, warmup=1), "swa": 0.4},
    "awp, sweeps": {"objective": AWP(TRADESYOPO(B, m=2, n=2)), "ema": 0.9},
    "hard labels": {"objective": HardLabels(20.0), "optimiser": Optimiser("adam", 0.01)},
    "distillation": {"objective": Distillation(20.0), "optimiser": Optimiser("adam", 0.01)},
    "best weights": {
        "objective": FGSMRS(B), "ema": 0.9, "validation": Validation(share=0.25, steps=2),
    },
    "patience": {
        "objective": Collapsing(B), "epochs": 9, "validation": Validation(0.25, patience=1, steps=1),
    },
    "plateau, every field": {
        "objective": AdversarialTraining(PGD(B, steps=2), label_smoothing=0.1), "epochs": 4,
        "optimiser": Optimiser(
            "adamw", 0.01, betas=(0.8, 0.95), eps=1e-3, decay_on="weights", layer_decay=0.5,
            clip_norm=0.5,
        ),
        "schedule": Schedule("plateau", warmup_epochs=0.5, patience=1),
        "validation": Validation(share=0.25, steps=1), "ema": 0.9, "mixup": 0.8, "cutmix": 1.0,
        "augmentation": (
            "crop-flip", ResizedCrop(), RandAugment(), RandomErasing(0.5), "colour-jitter",
        ),
    },
    "rolled back, plateau": rolled_back("noise") | {
        "schedule": Schedule("plateau", patience=1), "validation": Validation(share=0.25, steps=1),
    },
    "rolled back, rate": rolled_back("learning-rate"),
    "rolled back, noise": rolled_back("noise"),
    "stopped at a collapse": {
        "objective": Collapsing(B), "epochs": 4, "watch": Watch("stop", steps=1, fall=0.05),
    },
    "warned of a collapse": {
        "objective": Collapsing(B), "epochs": 4, "watch": Watch("warn", steps=1, fall=0.05),
        "validation": Validation(share=0.25, steps=1),
    },
}  # fmt: skip


def run(name, out, resume=False, progress=None):
    base = {"epochs": 3, "batch_size": 32, "optimiser": SGD}
    # So few images are looked at after every epoch here; the watch thinks that too dear.
    with mock.patch.object(lookout, "_SHARE", 10.0):
        return train(
            conv(dropout=0.3, norm=True), digits(limit=96), Recipe(**base | RECIPES[name]),
            out=out, resume=resume, progress=progress,
        )  # fmt: skip


def at(step, act, stage="", visit=1):
    """A progress that acts once so many steps are done, of the stage, the n-th time that they are."""
    visits = 0

    def progress(tick):
        nonlocal visits
        if tick.done == step and not tick.step and tick.what.startswith(stage):
            visits += 1
            if visits == visit:
                act()

    return progress


def killed_at(name, out, step, stage="", visit=1, resume=False):
    """Die like a process under kill -9; a watch that warns is no error there."""
    run(name, out, resume, at(step, die, stage, visit))


def stop():
    os.kill(os.getpid(), signal.SIGTERM)


def written(out):
    """All that a training leaves, but for its times and for checkpoints before the newest."""
    files = {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.suffix == ".safetensors" or path.name == "validation.json"
        if "checkpoints" not in path.parts
    }
    timed = ("seconds", "watch_seconds", "validation_seconds")
    metrics = [{k: v for k, v in each.items() if k not in timed} for each in read_metrics(out)]
    tensors, state = latest_checkpoint(out)
    return files, metrics, tensors, {k: v for k, v in state.items() if k != "seconds"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What each recipe leaves without interruption, and its result."""
    done = {}

    def get(name):
        if name not in done:
            out = tmp_path_factory.mktemp("whole")
            torch.set_num_threads(1)
            result = run(name, out)
            done[name] = written(out), result
        return done[name]

    return get


def check(name, out, whole, result):
    (files, metrics, tensors, state), expected = whole(name)
    found = written(out)
    assert found[0].keys() == files.keys()
    assert [path for path in files if files[path] != found[0][path]] == []
    assert found[1] == metrics
    assert found[2].keys() == tensors.keys()
    assert [part for part in tensors if not same(tensors[part], found[2][part])] == []
    assert found[3] == state
    assert same(result.model.state_dict(), expected.model.state_dict())
    assert (result.best is None) == (expected.best is None)
    assert result.best is None or same(result.best, expected.best)
    assert result.stopped == expected.stopped


pytestmark = pytest.mark.filterwarnings("ignore:catastrophic overfitting", "ignore:no better")


# What each remembers besides the weights: nothing, δ, sweeps, a proxy, a teacher, a roll-back.
QUICK = [
    "pgd-at",
    "free",
    "yopo",
    "awp, sweeps",
    "distillation",
    "rolled back, noise",
    "best weights",
    "plateau, every field",
]


@pytest.mark.parametrize("name", mostly_slow(RECIPES, QUICK))
def test_stopped_within_two_epochs_and_killed_in_a_third_process(tmp_path, whole, name):
    # In the middle of the first epoch, where AWP is warming up, and of the second, where it is not.
    for step in (2, STEPS + 1):
        with pytest.raises(Interrupted) as caught:
            run(name, tmp_path, resume=step > 2, progress=at(step, stop))
        assert caught.value.saved
    where = tmp_path / "teacher" if name == "distillation" else tmp_path
    carried = latest_checkpoint(where)[0]
    assert ("objective" in carried) == name.startswith("free")
    if "objective" in carried:
        assert bool((carried["objective"]["delta"] != 0).any())
    assert finish(killed_at, name, tmp_path, STEPS + 2, "", 1, True) == -signal.SIGKILL
    check(name, tmp_path, whole, run(name, tmp_path, resume=True))


@pytest.mark.parametrize(
    ("name", "step", "stage", "visit"),
    [
        ("distillation", 1, "teacher", 1),
        ("distillation", STEPS + 2, "teacher", 1),
        ("distillation", 3 * STEPS, "teacher", 1),
        ("distillation", 1, "student", 1),
        ("distillation", STEPS + 2, "student", 1),
        # The third epoch is begun three times: twice after a roll-back.
        ("rolled back, rate", 2 * STEPS + 1, "epoch", 2),
        ("rolled back, rate", 2 * STEPS + 2, "epoch", 3),
        ("rolled back, noise", 2 * STEPS + 1, "epoch", 2),
        ("rolled back, noise", 2 * STEPS + 2, "epoch", 3),
        ("best weights", 2 * STEPS + 1, "", 1),
        ("patience", 3 * STEPS, "", 1),
        ("plateau, every field", 2 * STEPS + 1, "", 1),
        ("rolled back, plateau", 2 * STEPS + 1, "epoch", 2),
        ("free, short batches", 2 * STEPS, "", 1),
    ],
)
def test_killed_where_something_is_remembered(tmp_path, whole, name, step, stage, visit):
    assert finish(killed_at, name, tmp_path, step, stage, visit) == -signal.SIGKILL
    check(name, tmp_path, whole, run(name, tmp_path, resume=True))


def test_what_is_remembered_is_there_to_be_lost(whole):
    changes = {"rate": ["learning rate × 0.5", "learning rate × 0.25", None]}
    changes["noise"] = ["noise × 1.5", "noise × 2.25"]
    for each, expected in changes.items():
        (_, metrics, _, state), result = whole(f"rolled back, {each}")
        collapses = state["held_out"]["collapses"]
        assert [collapse["epoch"] for collapse in collapses] == [3] * len(expected)
        assert [collapse.get("change") for collapse in collapses] == expected
        assert len(metrics) == (2 if each == "rate" else 4)
        assert bool(result.stopped) == (each == "rate")
    assert state["noise"] == 2.25
    for name in ("best weights", "patience", "warned of a collapse"):
        assert whole(name)[1].best is not None


@pytest.mark.parametrize("name", ["rolled back, noise", "best weights"])
def test_without_a_folder_the_same_is_remembered(whole, name):
    expected, alone = whole(name)[1], run(name, None)
    assert same(alone.model.state_dict(), expected.model.state_dict())
    assert alone.best is None or same(alone.best, expected.best)


def test_a_roll_back_remembers_of_which_epoch_the_best_weights_are(tmp_path):
    recipe = Recipe(
        Collapsing(B), epochs=3, batch_size=32, watch=Watch("stop"), validation=Validation(0.25)
    )
    # Watched and validated: 0.5 and 0.3, 0.6 and 0.4; then the collapse.
    scripted = mock.patch.object(lookout.Lookout, "_robust", side_effect=[0.5, 0.3, 0.6, 0.4, 0.1])
    with scripted, mock.patch.object(lookout, "_SHARE", 10.0):
        result = train(conv(), digits(limit=96), recipe, out=tmp_path)
    assert same(result.best, result.model.state_dict())
    remembered = latest_checkpoint(tmp_path)[1]["held_out"]["best"]
    assert remembered == {"epoch": 2, "accuracy": 0.4}
