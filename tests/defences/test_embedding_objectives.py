"""Training on perturbed embeddings against loops by hand, and against standard training."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from saddlepoint.attacks import DDN, FGSM, PGD
from saddlepoint.defences import EmbeddingPGD, FreeLB, build_objective, load_recipe, threat_of
from saddlepoint.errors import InputError
from saddlepoint.objectives import Classify
from saddlepoint.objectives.contract import TrainingBatch, running
from saddlepoint.text import (
    Bert,
    BertDesign,
    ClassificationHead,
    SequenceClassifier,
    padded,
)
from saddlepoint.threat import L2, TokenL2, TokenLinf

TOKENS = padded([[2, 7, 8, 9, 3], [2, 10, 3], [2, 11, 12, 3]])
LABELS, IDS = torch.tensor([0, 1, 1]), torch.tensor([5, 0, 9])


def network(dropout=0.0, dtype=torch.float64):
    torch.manual_seed(3)
    design = BertDesign(20, 8, 2, 2, 16, 8, dropout=dropout, attention_dropout=dropout)
    net = SequenceClassifier(Bert(design), ClassificationHead(8, 2, dropout)).to(dtype)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.4)
    return net.train()


def batch(seed=4):
    return TrainingBatch(TOKENS, LABELS, IDS, seed=seed)


def gradients(objective, net, given=None):
    torch.manual_seed(11)
    net.zero_grad()
    output = running(objective, net).accumulate(net, given or batch())
    return output, {name: p.grad.clone() for name, p in net.named_parameters()}


@pytest.mark.parametrize("eps", [0.0, 0.15])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_freelb_is_the_loop_of_the_paper(eps, dropout):
    objective = FreeLB(steps=3, step_size=0.1, magnitude=0.3, eps=eps)
    net = network(dropout)
    output, found = gradients(objective, net)

    net.zero_grad()
    delta = torch.zeros(3, 5, 8, dtype=torch.float64)
    drawn = batch().keys.uniform((5, 8)).double()
    for i, length in enumerate((5, 3, 4)):
        delta[i, :length] = 0.3 * (2 * drawn[i, :length] - 1) / (length * 8) ** 0.5
    losses = []
    for _ in range(3):
        torch.manual_seed(11)
        delta = delta.detach().requires_grad_()
        logits = net.from_embedding(net.embedding(TOKENS) + delta, TOKENS.keep)
        loss = functional.cross_entropy(logits, LABELS)
        (loss / 3).backward()
        losses.append(loss.item())
        for_each = delta.grad.flatten(1)
        step = 0.1 * for_each / for_each.norm(dim=1, keepdim=True)
        moved = delta.detach() + step.reshape(delta.shape)
        if eps:
            length = moved.flatten(1).norm(dim=1)
            moved = moved * (eps / length).clamp(max=1)[:, None, None]
        delta = moved
    assert abs(float(output.loss) - sum(losses) / 3) < 1e-12
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_step_without_a_start_is_standard_training_to_the_bit(smoothing):
    net = network(dropout=0.3, dtype=torch.float32)
    one = gradients(FreeLB(label_smoothing=smoothing, steps=1, magnitude=0.0), net)
    two = gradients(Classify(label_smoothing=smoothing), net)
    assert torch.equal(one[0].loss, two[0].loss)
    for name in one[1]:
        assert torch.equal(one[1][name], two[1][name]), name


def test_embedding_pgd_without_a_budget_is_standard_training_to_the_bit():
    net = network(dropout=0.3, dtype=torch.float32)
    one = gradients(EmbeddingPGD(attack=PGD(TokenL2(0.0))), net)
    two = gradients(Classify(), net)
    for name in one[1]:
        assert torch.equal(one[1][name], two[1][name]), name


def test_embedding_pgd_descends_where_the_attack_ended_and_the_table_learns():
    net = network()
    attack = FGSM(TokenLinf(0.05))
    _, found = gradients(EmbeddingPGD(attack=attack), net)

    net.zero_grad()
    net.eval()
    x = net.embedding(TOKENS).detach().requires_grad_()
    logits = net.from_embedding(x, TOKENS.keep)
    odds = functional.cross_entropy(logits, LABELS, reduction="sum")
    (slope,) = torch.autograd.grad(odds, x)
    free = TOKENS.keep & (TOKENS.ids > 6)
    delta = 0.05 * slope.sign() * free[..., None]
    net.train()
    logits = net.from_embedding(net.embedding(TOKENS) + delta, TOKENS.keep)
    functional.cross_entropy(logits, LABELS).backward()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-6, atol=1e-9)
    assert bool(found["bert.words.weight"][7:13].any())
    assert net.training


@pytest.mark.parametrize("objective", [FreeLB(), EmbeddingPGD()], ids=lambda o: type(o).__name__)
def test_a_text_is_perturbed_alike_in_any_batch(objective):
    net = network()
    whole = gradients(objective, net)[1]
    parts = [
        gradients(
            objective, net, TrainingBatch(TOKENS.at(slice(i, i + 1)).trimmed(), LABELS[i : i + 1],
                                          IDS[i : i + 1], seed=4))[1]
        for i in range(3)
    ]  # fmt: skip
    for name, gradient in whole.items():
        mean = sum(part[name] for part in parts) / 3
        torch.testing.assert_close(gradient, mean, rtol=1e-6, atol=1e-8)


def test_recipes_and_words():
    assert threat_of(load_recipe("embedding-pgd").objective) == TokenL2(0.1)
    assert load_recipe("freelb").objective == FreeLB(steps=3, step_size=0.1, magnitude=0.05)
    made = build_objective("freelb", {"steps": 2, "eps": 0.3})
    assert (made.steps, made.eps) == (2, 0.3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FreeLB(steps=0), "steps is 0"),
        (lambda: FreeLB(eps=-1), "eps is -1"),
        (lambda: EmbeddingPGD(attack=PGD(L2(0.5))), "space embedding"),
        (lambda: EmbeddingPGD(attack=DDN(TokenL2())), "fixed-budget attack"),
    ],
)
def test_bad_settings_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
