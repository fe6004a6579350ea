"""Every objective against its published algorithm, written down again: gradients, weights, state."""

from __future__ import annotations

import pytest
import torch
from objective_references import (
    ALPHA,
    BETA,
    EUCLID,
    GAMMA,
    LAM,
    LINF,
    STEPS,
    awp,
    distillation,
    fgsm_rs,
    free,
    hard_labels,
    mart,
    mart_attack,
    mart_loss,
    mixed,
    n_fgsm,
    pgd_at,
    pgd_attack,
    pgd_loss,
    standard,
    trades,
    trades_attack,
    trades_loss,
    trades_yopo,
    yopo,
)
from tiny_training import SGD, batches, largest_difference, network, seen_by, trained

from saddlepoint.attacks import FGSM, PGD
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
)

B, E = LINF.threat(), EUCLID.threat()
MADRY = PGD(B, steps=STEPS, step_size=ALPHA)
SURE = PGD(B, steps=STEPS, step_size=ALPHA, loss="softmax-cross-entropy")
K, M = {"steps": STEPS, "step_size": ALPHA}, {"m": 2, "n": 3}
CASES = {
    "label smoothing": (Standard(0.1), standard),
    "pgd-at": (AdversarialTraining(MADRY), pgd_at(LINF)),
    "pgd-at, l2": (AdversarialTraining(PGD(E, **K)), pgd_at(EUCLID)),
    "pgd-at, batch statistics": (AdversarialTraining(SURE, mode="train"), pgd_at(LINF, "train")),
    "mixed": (Mixed(FGSM(B), clean=0.3, label_smoothing=0.1), mixed),
    "fgsm-rs": (FGSMRS(B), fgsm_rs(LINF, "train", "descent")),
    "fgsm-rs, l2": (FGSMRS(E), fgsm_rs(EUCLID, "train", "descent")),
    "fgsm-rs, published": (
        FGSMRS(B, statistics="published"), fgsm_rs(LINF, "train", "published"),
    ),
    "fgsm-rs, running statistics": (FGSMRS(B, mode="eval"), fgsm_rs(LINF, "eval", "descent")),
    "n-fgsm": (NFGSM(B), n_fgsm("train", "descent")),
    "n-fgsm, published": (NFGSM(B, statistics="published"), n_fgsm("train", "published")),
    "n-fgsm, running statistics": (NFGSM(B, mode="eval"), n_fgsm("eval", "descent")),
    "free": (Free(B, m=3, label_smoothing=0.1), free),
    "yopo": (YOPO(B, **M), yopo("corrected_code", 1)),
    "yopo, l2": (YOPO(E, **M), yopo("corrected_code", 1, ball=EUCLID)),
    "yopo, as in the paper": (YOPO(B, **M, mode="paper"), yopo("paper", 1)),
    "yopo, as coded": (YOPO(B, **M, mode="as_coded"), yopo("as_coded", 1)),
    "yopo, cut behind a norm": (
        YOPO(B, **M, first_layer="norm1"), yopo("corrected_code", 2),
    ),
    "yopo, cut in the middle": (
        YOPO(B, **M, first_layer="norm2", mode="paper"), yopo("paper", 5),
    ),
    "yopo, as coded in the middle": (
        YOPO(B, **M, first_layer="norm2", mode="as_coded"), yopo("as_coded", 5),
    ),
    "trades": (TRADES(B, BETA, **K), trades(LINF, "descent")),
    "trades, l2": (TRADES(E, BETA, **K), trades(EUCLID, "descent")),
    "trades, published": (
        TRADES(B, BETA, **K, statistics="published"), trades(LINF, "published"),
    ),
    "trades-yopo": (TRADESYOPO(B, **M), trades_yopo("descent")),
    "trades-yopo, published": (
        TRADESYOPO(B, **M, statistics="published"), trades_yopo("published"),
    ),
    "trades-yopo, in the middle": (
        TRADESYOPO(B, **M, first_layer="norm2"), trades_yopo("descent", k=5),
    ),
    "mart": (MART(B, LAM, **K), mart),
    "awp, pgd-at": (AWP(AdversarialTraining(MADRY), GAMMA), awp(pgd_attack, pgd_loss)),
    "awp, trades": (
        AWP(TRADES(B, BETA, **K), GAMMA),
        awp(lambda net, batch: trades_attack(net, batch, LINF), trades_loss),
    ),
    "awp, mart": (AWP(MART(B, LAM, **K), GAMMA), awp(mart_attack, mart_loss)),
    "hard labels": (HardLabels(20.0), hard_labels),
    "distillation": (Distillation(20.0), distillation),
}  # fmt: skip


def by_hand(reference, net, given, repeats):
    optimiser = torch.optim.SGD(
        net.parameters(), SGD.learning_rate, momentum=SGD.momentum, weight_decay=SGD.weight_decay
    )
    seen, after, memory = seen_by(optimiser, net), [], {}
    for batch in given:
        for _ in range(repeats):
            optimiser.zero_grad()
            undo = reference(net, batch, memory)
            optimiser.step()
            if undo is not None:
                undo()
        after.append({k: v.clone() for k, v in {**net.state_dict(), **memory}.items()})
    return seen, after


@pytest.mark.parametrize("norm", [True, False], ids=["norm", "bare"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_weights_statistics_and_state_are_those_of_the_paper_over_five_steps(name, norm):
    objective, reference = CASES[name]
    given = batches(5, inner="l2" in name)
    repeats = getattr(objective, "repeats", 1)
    ours = trained(objective, network(norm), given, lambda state: state.objective.state_dict())
    theirs = by_hand(reference, network(norm), given, repeats)
    assert len(ours[0]) == 5 * repeats
    # At each optimiser step: weights, perturbed ones too, and gradients. After it: all that remains.
    assert largest_difference(ours[0], theirs[0]) < 1e-10
    assert largest_difference(ours[1], theirs[1]) < 1e-10
    if norm:
        assert int(ours[1][-1]["norm1.num_batches_tracked"]) > 1
