"""What an objective costs, counted by hooks: passes through the first layer and through the rest,
weights that get gradients, and how often BatchNorm's running statistics move.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
import torch
from tiny_training import batches, network

from saddlepoint.attacks import FGSM, PGD
from saddlepoint.data import as_data
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
    Standard,
    TwoPhases,
    running,
)
from saddlepoint.threat import Linf

B, K, M, N = Linf(0.1), 5, 2, 3
MADRY = AdversarialTraining(PGD(B, steps=K))


@dataclass(frozen=True)
class Cost:
    """Passes in a step: forward and back, through the first layer (the stem) and through the rest (the
    head); backward passes that reach weights, of each; and moves of the running statistics.
    """

    stem: tuple[int, int]
    head: tuple[int, int]
    weights: tuple[int, int]
    moves: int


def passes(inner, full, moves=None, blind=0):
    """So many for the input alone, so many with weights in one backward pass, so many forward alone."""
    both = (blind + inner + full, inner + full)
    return Cost(both, both, (1, 1), full if moves is None else moves)


COSTS = {
    "standard": (Standard(), passes(0, 1)),
    "hard labels": (HardLabels(), passes(0, 1)),
    "distillation": (Distillation(), passes(0, 1)),
    "pgd-at": (MADRY, passes(K, 1)),
    "pgd-at, batch statistics": (AdversarialTraining(PGD(B, steps=K), mode="train"), passes(K, 1)),
    "fgsm-at": (AdversarialTraining(FGSM(B)), passes(1, 1)),
    "mixed": (Mixed(FGSM(B)), passes(1, 2)),
    "fgsm-rs": (FGSMRS(B), passes(1, 1)),
    "fgsm-rs, published": (FGSMRS(B, statistics="published"), passes(1, 1, moves=2)),
    "fgsm-rs, running statistics": (FGSMRS(B, mode="eval"), passes(1, 1)),
    "n-fgsm": (NFGSM(B), passes(1, 1)),
    "n-fgsm, published": (NFGSM(B, statistics="published"), passes(1, 1, moves=2)),
    "free": (Free(B), passes(0, 1)),  # of each of its m optimiser steps
    "trades": (TRADES(B, steps=K), passes(K, 2, blind=1)),
    "trades, published": (
        TRADES(B, steps=K, statistics="published"), passes(K, 3, blind=1),
    ),
    "mart": (MART(B, steps=K), passes(K, 2)),
    "awp, pgd-at": (AWP(MADRY), passes(K + 1, 1)),
    "awp, trades": (AWP(TRADES(B, steps=K)), passes(K + 2, 2, blind=1)),
    "awp, mart": (AWP(MART(B, steps=K)), passes(K + 2, 2)),
    "awp, warming up": (AWP(MADRY, warmup=1), passes(K, 1)),
    # m full passes whose backward ends at the first layer's output, n more through it for each, and
    # its weights once a sweep: the first inner step goes back through the full pass.
    "yopo": (
        YOPO(B, m=M, n=N), Cost((M + M * N, M * N + M), (M, M), (M, M), M),
    ),
    "yopo, paper": (
        YOPO(B, m=M, n=N, mode="paper"), Cost((1 + M * N, M * N + M), (M + 1, M + 1), (M, M), M),
    ),
    "yopo, as coded": (
        YOPO(B, m=M, n=N, mode="as_coded"),
        Cost((2 * M + M * N + 1, 2 * M + M * N), (M + 1, M), (2 * M, M), M + 1),
    ),
    "trades-yopo": (
        TRADESYOPO(B, m=M, n=N),
        Cost((1 + M * N + 2, M * N + 2), (1 + M + 2, M + 2), (1, 1), 2),
    ),
    "trades-yopo, published": (
        TRADESYOPO(B, m=M, n=N, statistics="published"),
        Cost((1 + M * N + 3, M * N + 3), (1 + M + 3, M + 3), (1, 1), 3),
    ),
}  # fmt: skip


class Counted:
    """A network whose passes are counted from now on."""

    def __init__(self, net):
        self.net, self.count = net, Counter()
        for name in ("stem", "norm1", "head"):
            net.get_submodule(name).register_forward_hook(self._forward(name))
        for name in ("stem", "head"):
            weight = net.get_submodule(name).weight
            weight.register_post_accumulate_grad_hook(self._note("weights", name))

    def _note(self, what, name):
        def note(*_):
            self.count[what, name] += 1

        return note

    def _forward(self, name):
        def note(module, args, output):
            self.count["forward", name] += 1
            if output.requires_grad:
                output.register_hook(self._note("back", name))

        return note

    def cost(self, moves):
        c = self.count
        return Cost(
            *((c["forward", each], c["back", each]) for each in ("stem", "head")),
            (c["weights", "stem"], c["weights", "head"]),
            moves,
        )


def ready(objective, norm=True):
    net, batch = network(norm), batches(1)[0]
    run = running(objective, net, as_data((batch.images.float(), batch.labels)))
    return net, batch, run


@pytest.mark.parametrize("name", COSTS)
def test_the_passes_of_a_step(name):
    objective, expected = COSTS[name]
    net, batch, run = ready(objective)
    before = int(net.norm1.num_batches_tracked), int(net.norm2.num_batches_tracked)
    counted = Counted(net)
    run.accumulate(net, batch)
    moves = int(net.norm1.num_batches_tracked) - before[0]
    assert counted.cost(moves) == expected
    assert int(net.norm2.num_batches_tracked) - before[1] == moves


@pytest.mark.parametrize("name", [n for n, (o, _) in COSTS.items() if isinstance(o, TwoPhases)])
def test_the_inner_maximisation_asks_for_no_gradient_of_a_weight(name):
    net, batch, run = ready(COSTS[name][0])
    counted = Counted(net)
    perturb = getattr(run, "perturb", None) or COSTS[name][0].perturb
    perturb(net, batch)
    assert counted.count["back", "head"] > 0
    assert counted.count["weights", "stem"] == counted.count["weights", "head"] == 0
    assert all(p.grad is None for p in net.parameters())


def test_free_takes_m_steps_of_one_full_pass_on_each_batch():
    objective = Free(B, m=3)
    assert objective.repeats == 3
    net, batch, run = ready(objective)
    counted = Counted(net)
    for _ in range(objective.repeats):
        run.accumulate(net, batch)
    assert counted.count["forward", "stem"] == counted.count["back", "head"] == 3


@pytest.mark.parametrize("mode", ["corrected_code", "paper", "as_coded"])
def test_yopos_inner_sweeps_never_touch_the_rest_of_the_network(mode):
    calls = {}
    for n in (1, 4):
        net, batch, run = ready(YOPO(B, m=M, n=n, mode=mode))
        counted = Counted(net)
        run.accumulate(net, batch)
        calls[n] = {key: value for key, value in counted.count.items() if key[1] != "stem"}
        stem = counted.count["forward", "stem"]
        assert stem >= M * n
    assert calls[1] == calls[4]


def test_behind_a_norm_the_sweeps_move_no_running_statistics():
    for first_layer in ("stem", "norm1", "norm2"):
        net, batch, run = ready(YOPO(B, m=M, n=N, first_layer=first_layer))
        before = [int(each.num_batches_tracked) for each in (net.norm1, net.norm2)]
        run.accumulate(net, batch)
        after = [int(each.num_batches_tracked) for each in (net.norm1, net.norm2)]
        assert [b - a for a, b in zip(before, after, strict=True)] == [M, M]


@pytest.mark.parametrize("objective", [FGSMRS, NFGSM])
def test_statistics_that_no_pass_could_move_are_refused(objective):
    with pytest.raises(ValueError, match="leave mode at"):
        objective(B, mode="eval", statistics="published")


@pytest.mark.parametrize("name", COSTS)
def test_it_runs_without_batchnorm_and_the_costs_are_the_same(name):
    objective, expected = COSTS[name]
    net, batch, run = ready(objective, norm=False)
    counted = Counted(net)
    output = run.accumulate(net, batch)
    assert counted.cost(expected.moves) == expected
    assert bool(torch.isfinite(output.loss))
