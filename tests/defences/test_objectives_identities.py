"""What must be the same where two objectives meet: YOPO and PGD, Free and training, TRADES at β = 0."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_training import batches, copied, largest_difference, network, state_of, trained
from torch import nn

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
    TrainingBatch,
    running,
)
from saddlepoint.defences.objectives.ascent import climbing
from saddlepoint.defences.objectives.divergence import (
    clean_probabilities,
    divergence_from,
    gaussian_start,
)
from saddlepoint.threat import L2, Linf
from saddlepoint.training.loop import take_step
from saddlepoint.zoo import build_model

B, K, ALPHA = Linf(0.1), 4, 0.04
MADRY = AdversarialTraining(PGD(B, steps=K, step_size=ALPHA))
SPLITS = [None, "stem", "norm1", "act1", "conv", "norm2", "act2", "flat"]


def gradients(net):
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def accumulated(objective, net, batch):
    """The gradients that an objective adds, and the buffers that it leaves."""
    net = copy.deepcopy(net)
    running(objective, net, as_data((batch.images.float(), batch.labels))).accumulate(net, batch)
    return gradients(net), copied(dict(net.named_buffers()))


def entering(objective, net, batch):
    """The images that enter the network in turn, in the passes of one step."""
    seen, net = [], copy.deepcopy(net)
    net.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach().clone()))
    data = as_data((batch.images.float(), batch.labels))
    run = running(objective, net, data)
    seen.clear()  # of looking for the first layer
    run.accumulate(net, batch)
    return seen


def residual():
    """A network of the zoo, whose modules stand within others; in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model("zoo:resnet20", classes=4, shape=(2, 5, 5)).double().train()


@pytest.mark.parametrize("threat", [B, L2(0.6)], ids=str)
@pytest.mark.parametrize("mode", ["corrected_code", "paper", "as_coded"])
@pytest.mark.parametrize("split", SPLITS)
def test_yopo_with_one_inner_step_ends_where_pgd_does_whatever_the_split(split, mode, threat):
    batch, net = batches(1, inner=True)[0], network()
    yopo = YOPO(threat, m=K, n=1, step_size=ALPHA, mode=mode, first_layer=split)
    attack = PGD(threat, steps=K, step_size=ALPHA, loss="softmax-cross-entropy")
    last = AdversarialTraining(attack, mode="train").perturb(net, batch)
    assert float((entering(yopo, net, batch)[-1] - last).abs().max()) < 1e-12
    assert float((last - batch.images).abs().max()) > 0.05
    # With two inner steps the gradient behind f_0 is an old one, and the end another.
    twice = YOPO(threat, m=K // 2, n=2, step_size=ALPHA, mode=mode, first_layer=split)
    assert float((entering(twice, net, batch)[-1] - last).abs().max()) > 1e-3


@pytest.mark.parametrize("split", [None, "norm", "stage1.1", "stage2"])
def test_so_it_does_in_a_residual_network(split):
    batch, net = batches(1)[0], residual()
    attack = PGD(B, steps=K, step_size=ALPHA, loss="softmax-cross-entropy")
    last = AdversarialTraining(attack, mode="train").perturb(net, batch)
    yopo = YOPO(B, m=K, n=1, step_size=ALPHA, first_layer=split)
    assert float((entering(yopo, net, batch)[-1] - last).abs().max()) < 1e-12


@pytest.mark.parametrize("split", SPLITS)
def test_trades_yopo_with_one_inner_step_ends_where_trades_does(split):
    batch, net = batches(1)[0], network()
    trades = TRADES(B, steps=K, step_size=ALPHA)
    yopo = TRADESYOPO(B, m=K, n=1, step_size=ALPHA, first_layer=split)
    difference = yopo.perturb(net, batch) - trades.perturb(net, batch)
    assert float(difference.abs().max()) < 1e-12


def test_free_is_standard_training_at_the_carried_perturbation_which_the_same_pass_moves():
    net, given, eps = network(), batches(4), B.eps
    state = state_of(Free(B, m=1), net)
    delta = torch.zeros_like(given[0].images)
    for batch in given:
        x, n = batch.images, len(batch.images)
        twin, w = copy.deepcopy(net), (x + delta[:n]).clamp(0, 1)
        at = TrainingBatch(w.requires_grad_(), batch.labels, batch.ids, batch.seed)
        Standard().accumulate(twin, at)
        g = torch.autograd.grad(
            nn.functional.cross_entropy(copy.deepcopy(net)(w), batch.labels), w
        )[0]
        take_step(state, batch)
        assert largest_difference([gradients(net)], [gradients(twin)]) < 1e-12
        moved = (delta[:n] + eps * g.sign()).clamp(-eps, eps)
        delta[:n] = (x + moved).clamp(0, 1) - x
        assert float((state.objective.state_dict()["delta"] - delta).abs().max()) < 1e-12
    # What the last batch was too short for waits for the next one.
    assert n < len(delta)
    assert bool((delta[n:] != 0).any())


SAME = {
    "trades, beta 0": (TRADES(B, beta=0.0), Standard()),
    "trades-yopo, beta 0": (TRADESYOPO(B, beta=0.0), Standard()),
    "mixed, all clean": (Mixed(FGSM(B), clean=1 - 1e-12), Standard()),
    "mixed, none clean": (Mixed(FGSM(B), clean=1e-12), AdversarialTraining(FGSM(B))),
    "temperature 1": (HardLabels(1.0), Standard()),
    "pgd of one whole step": (
        AdversarialTraining(PGD(B, steps=1, step_size=B.eps, start="clean")),
        AdversarialTraining(FGSM(B)),
    ),
    "fgsm-rs and pgd of one step": (
        FGSMRS(B, mode="eval"),
        AdversarialTraining(PGD(B, steps=1, step_size=1.25 * B.eps)),
    ),
}


@pytest.mark.parametrize("norm", [True, False], ids=["norm", "bare"])
@pytest.mark.parametrize("name", SAME)
def test_the_parameter_gradients_are_those_of_the_simpler_objective(name, norm):
    batch, net = batches(1)[0], network(norm)
    (first, _), (second, _) = (accumulated(each, net, batch) for each in SAME[name])
    assert largest_difference([first], [second]) < 1e-10


def test_a_certain_teacher_is_the_labels():
    batch, net = batches(1)[0], network()
    sure = nn.functional.one_hot(batch.labels, 4).double()
    given = TrainingBatch(batch.images, batch.labels, batch.ids, batch.seed, soft=sure)
    (first, _), (second, _) = (
        accumulated(each, net, given) for each in (Distillation(20.0), HardLabels(20.0))
    )
    assert largest_difference([first], [second]) < 1e-12


def test_the_divergence_is_flat_at_the_image_so_the_start_is_beside_it():
    batch, net = batches(1)[0], network()
    loss = divergence_from(clean_probabilities(net, batch))
    start = gaussian_start(B, batch)
    with climbing(net, batch, B, "eval") as gradient:
        at, beside = (float(gradient(w, loss).abs().max()) for w in (batch.images, start))
    assert at < 1e-15 < 1e-5 < beside
    assert bool((start != batch.images).all())
    assert 0.8e-3 < float((start - batch.images).std()) < 1.2e-3
    # As the clean network sees them, in evaluation mode, which it is not in itself.
    with torch.no_grad():
        mean = copy.deepcopy(net).eval()(batch.images).softmax(1)
    assert torch.allclose(clean_probabilities(net, batch).exp(), mean, atol=1e-14)
    assert all(module.training for module in net.modules())


INSIDE = {
    "pgd-at": MADRY,
    "trades": TRADES(B, steps=K),
    "mart": MART(B, steps=K),
    "n-fgsm": NFGSM(B),
    "trades-yopo": TRADESYOPO(B, m=2, n=2),
}


@pytest.mark.parametrize("name", INSIDE)
def test_awp_without_a_size_or_in_its_warm_up_changes_no_bit(name):
    given = batches(4)
    plain = trained(INSIDE[name], network(), given)
    for awp in (AWP(INSIDE[name], gamma=0.0), AWP(INSIDE[name], gamma=0.1, warmup=1)):
        seen, after = trained(awp, network(), given)
        assert largest_difference(plain[0], seen) == largest_difference(plain[1], after) == 0
    after = trained(AWP(INSIDE[name], gamma=0.1, warmup=1), network(), batches(4, epoch=1))
    assert largest_difference(plain[1], after[1]) > 1e-3


@pytest.mark.parametrize("name", INSIDE)
def test_awp_steps_at_the_perturbed_weights_and_takes_the_perturbation_away(name):
    net, batch, gamma = network(), batches(1)[0], 0.05
    state = state_of(AWP(INSIDE[name], gamma=gamma), net)
    before, during = copied(dict(net.named_parameters())), {}
    state.optimiser.register_step_pre_hook(
        lambda *_: during.update(copied(dict(net.named_parameters())))
    )
    take_step(state, batch)
    for key, w in before.items():
        v = during[key] - w
        wanted = gamma * float(w.norm()) if w.ndim > 1 else 0.0
        assert float(v.norm()) == pytest.approx(wanted, rel=1e-9)
        p = net.get_parameter(key)
        # w⁺ = (w + v) − η(g(w + v) + λ(w + v)) − v; the first step has no momentum yet.
        stepped = during[key] - 0.05 * (p.grad + 1e-2 * during[key]) - v
        assert float((p.detach() - stepped).abs().max()) < 1e-14


EVERY = INSIDE | {
    "standard": Standard(0.1),
    "mixed": Mixed(FGSM(B)),
    "fgsm-rs": FGSMRS(B),
    "fgsm-rs, published": FGSMRS(B, statistics="published"),
    "trades, published": TRADES(B, steps=K, statistics="published"),
    "free": Free(B, m=2),
    "yopo": YOPO(B, m=2, n=2),
    "yopo, paper": YOPO(B, m=2, n=2, mode="paper"),
    "yopo, as coded": YOPO(B, m=2, n=2, mode="as_coded"),
    "yopo, in the middle": YOPO(B, m=2, n=2, first_layer="conv"),
    "awp, pgd-at": AWP(MADRY),
    "awp, trades": AWP(TRADES(B, steps=K)),
    "hard labels": HardLabels(20.0),
    "distillation": Distillation(20.0),
}


@pytest.mark.parametrize("name", EVERY)
def test_what_is_frozen_stays_untouched_and_every_flag_comes_back(name):
    net = network()
    net.stem.requires_grad_(False)
    net.norm1.eval().requires_grad_(False)
    flags = {key: module.training for key, module in net.named_modules()}
    before, random = copied(net.state_dict()), torch.random.get_rng_state()
    trained(EVERY[name], net, batches(2))
    after = net.state_dict()
    assert {key: module.training for key, module in net.named_modules()} == flags
    assert torch.equal(torch.random.get_rng_state(), random)
    for key, value in before.items():
        assert torch.equal(value, after[key]) == key.startswith(("stem", "norm1")), key
    for key, p in net.named_parameters():
        frozen = key.startswith(("stem", "norm1"))
        assert p.requires_grad != frozen
        assert (p.grad is None) == frozen


@pytest.mark.parametrize("name", EVERY)
def test_the_batch_comes_out_as_it_went_in(name):
    batch, net = batches(1)[0], network()
    before = copied({"x": batch.images, "y": batch.labels, "ids": batch.ids, "soft": batch.soft})
    accumulated(EVERY[name], net, batch)
    after = {"x": batch.images, "y": batch.labels, "ids": batch.ids, "soft": batch.soft}
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not batch.images.requires_grad
