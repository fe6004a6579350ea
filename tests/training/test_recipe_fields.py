"""What the fields of a recipe do to a step: clipping, groups, mixed labels, the plateau; and dropout in
the two phases of adversarial training, and transforms that are random without saying so.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from unittest import mock

import pytest
import torch
from small import conv, digits, same
from torch import nn
from torch.nn import functional

from saddlepoint.attacks import FGSM, PGD
from saddlepoint.data import Pairs, RandAugment, RandomErasing, ResizedCrop
from saddlepoint.defences import (
    AWP,
    FGSMRS,
    MART,
    NFGSM,
    TRADES,
    TRADESYOPO,
    AdversarialTraining,
    Distillation,
    Free,
    HardLabels,
    Mixed,
    Optimiser,
    Recipe,
    Schedule,
    Standard,
    TrainingBatch,
    Validation,
    Watch,
    undecayed,
)
from saddlepoint.errors import InputError
from saddlepoint.model import RandomLayer
from saddlepoint.objectives.passes import label_loss
from saddlepoint.threat import Linf
from saddlepoint.training import lookout, train
from saddlepoint.training.feed import Feed

B, CLIP = Linf(0.1), 2.2
CPU = torch.device("cpu")
EVERYTHING = Recipe(
    objective=Standard(0.1),
    epochs=2,
    batch_size=32,
    optimiser=Optimiser(
        "adamw", 0.02, weight_decay=0.3, betas=(0.8, 0.95), eps=1e-3, decay_on="weights",
        layer_decay=0.5, clip_norm=CLIP,
    ),
    schedule=Schedule("cosine", warmup_epochs=0.5),
    augmentation=("crop-flip", ResizedCrop(), RandAugment(), RandomErasing(0.5), "colour-jitter"),
    mixup=0.4,
    cutmix=1.0,
)  # fmt: skip


def test_the_loop_is_what_it_says_with_every_field():
    """A naive loop over the same batches: Adam, decay and clipping written out, to rounding."""
    data, net = digits(limit=100), conv(norm=True)
    naive = copy.deepcopy(net).train()
    spared = undecayed(naive)
    assert spared == {"0.bias", "1.weight", "1.bias", "5.bias"}
    means, squares, done = {}, {}, 0
    clipped = 0
    for epoch in range(2):
        for batch in Feed(data, EVERYTHING, 5, CPU).epoch(epoch):
            progress = done / 8
            warm = progress / 0.25 if progress < 0.25 else None
            factor = (
                (1 + math.cos(math.pi * (progress - 0.25) / 0.75)) / 2 if warm is None else warm
            )
            rate, done = 0.02 * max(factor, 1e-3), done + 1
            naive.zero_grad()
            target = 0.9 * batch.targets + 0.1 / 10
            loss = -(target * naive(batch.images).log_softmax(1)).sum(1).mean()
            loss.backward()
            norm = math.sqrt(sum(float((p.grad**2).sum()) for p in naive.parameters()))
            clipped += norm > CLIP
            with torch.no_grad():
                for name, p in naive.named_parameters():
                    g = p.grad * min(1.0, CLIP / norm)
                    own = rate * (1.0 if name.startswith("5") else 0.5)
                    p *= 1 - own * (0.0 if name in spared else 0.3)
                    means[name] = 0.8 * means.get(name, 0) + 0.2 * g
                    squares[name] = 0.95 * squares.get(name, 0) + 0.05 * g**2
                    m, v = means[name] / (1 - 0.8**done), squares[name] / (1 - 0.95**done)
                    p -= own * m / (v.sqrt() + 1e-3)
    assert 0 < clipped < 8
    result = train(net, data, EVERYTHING, seed=5)
    for name, value in naive.state_dict().items():
        torch.testing.assert_close(result.model.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_a_batch_is_a_function_of_seed_epoch_and_step():
    feed = Feed(digits(limit=96), EVERYTHING, 3, CPU)
    whole, later = list(feed.epoch(1)), list(feed.epoch(1, start=2))
    assert torch.equal(whole[2].images, later[0].images)
    assert torch.equal(whole[2].targets, later[0].targets)
    other = next(feed.epoch(0))
    assert not torch.equal(other.targets, whole[0].targets)


def test_labels_stay_the_greater_part_and_a_teachers_are_mixed_alike():
    data = digits(limit=64)
    soft = functional.one_hot(data.labels, 10).float()
    recipe = Recipe(batch_size=32, mixup=0.8, cutmix=1.0)
    for batch in Feed(data, recipe, 0, CPU, soft=soft).epoch(0):
        assert torch.equal(batch.labels, data.labels[batch.ids])
        own = batch.targets.gather(1, batch.labels[:, None])
        assert bool((own >= 0.5 - 1e-6).all())
        assert torch.equal(batch.soft, batch.targets)
        torch.testing.assert_close(batch.targets.sum(1), torch.ones(len(own)))


PAIRS = Pairs(torch.tensor([2, 0, 3, 1, 5, 4]), 0.7)


def batch_of(targets=None, labels=None):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(6, 1, 8, 8, generator=generator)
    labels = torch.tensor([0, 1, 2, 3, 4, 5]) if labels is None else labels
    return TrainingBatch(images, labels, torch.arange(6), seed=0, targets=targets)


def hard(labels):
    return functional.one_hot(labels, 10).float()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_mixed_labels_is_the_mixture_of_their_losses(smoothing):
    logits = torch.randn(6, 10, generator=torch.Generator().manual_seed(1))
    own = batch_of().labels
    losses = [
        functional.cross_entropy(logits, each, label_smoothing=smoothing, reduction="none")
        for each in (own, own[PAIRS.partner])
    ]
    found = label_loss(batch_of(PAIRS.mixed(hard(own))), logits, smoothing)
    torch.testing.assert_close(found, (0.7 * losses[0] + 0.3 * losses[1]).mean())


def test_a_model_with_more_outputs_than_classes_takes_mixed_labels():
    logits = torch.randn(6, 14, generator=torch.Generator().manual_seed(1))
    plain, mixed = batch_of(), batch_of(hard(batch_of().labels))
    torch.testing.assert_close(label_loss(mixed, logits), label_loss(plain, logits))


OBJECTIVES = {
    "standard": Standard(0.1),
    "adversarial-training": AdversarialTraining(PGD(B, steps=2)),
    "mixed": Mixed(FGSM(B)),
    "fgsm-rs": FGSMRS(B),
    "n-fgsm": NFGSM(B),
    "free": Free(B),
    "trades": TRADES(B, steps=2),
    "trades-yopo": TRADESYOPO(B, m=2, n=2),
    "awp": AWP(TRADES(B, steps=2)),
    "hard-labels": HardLabels(5.0),
}


def gradients(objective, batch):
    net = conv(norm=True).train()
    loss = float(objective.accumulate(net, batch).loss)
    return loss, torch.cat([p.grad.flatten() for p in net.parameters()])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_descend_by_the_mixed_labels(name):
    """Alike by one-hot targets; by mixed ones between, and not at, the two labels' gradients."""
    objective, own = OBJECTIVES[name], batch_of().labels
    loss, gradient = gradients(objective, batch_of())
    same_loss, same_gradient = gradients(objective, batch_of(hard(own)))
    assert same_loss == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(same_gradient, gradient, rtol=1e-3, atol=1e-5)
    mixed_loss, mixed = gradients(objective, batch_of(PAIRS.mixed(hard(own))))
    if name in ("free", "awp"):  # whose perturbation goes by the mixed labels too
        assert mixed_loss != pytest.approx(loss, rel=1e-4)
        return
    # The inner maximisation goes by the labels, so that the loss is linear in the targets.
    _, others = gradients(objective, batch_of(hard(own[PAIRS.partner])))
    torch.testing.assert_close(mixed, 0.7 * gradient + 0.3 * others, rtol=1e-3, atol=1e-5)


def test_distillation_learns_from_mixed_soft_labels():
    recipe = Recipe(Distillation(5.0), epochs=1, batch_size=32, mixup=0.8)
    plain = train(conv(), digits(limit=64), replace(recipe, mixup=None)).metrics[-1]["loss"]
    assert train(conv(), digits(limit=64), recipe).metrics[-1]["loss"] != plain


def test_mart_has_no_form_for_mixed_labels():
    for objective in (MART(B), AWP(MART(B))):
        with pytest.raises(InputError, match="a loss of one class for each image; leave mixup"):
            Recipe(objective, cutmix=1.0)


def test_a_plateau_cuts_the_rate_by_the_recorded_errors(tmp_path):
    accuracies = [0.5, 0.6, 0.6, 0.55, 0.7, 0.7, 0.7]
    recipe = Recipe(
        epochs=7, batch_size=32, optimiser=Optimiser(learning_rate=0.01),
        schedule=Schedule("plateau", patience=2), validation=Validation(0.25),
    )  # fmt: skip
    with mock.patch.object(lookout.Lookout, "_robust", side_effect=accuracies):
        metrics = train(conv(), digits(limit=96), recipe, out=tmp_path).metrics
    rates = [each["learning_rate"] for each in metrics]  # of the step after each epoch
    assert rates == pytest.approx([0.01, 0.01, 0.01, 1e-3, 1e-3, 1e-3, 1e-4])


def test_a_roll_back_forgets_the_errors_of_forgotten_epochs():
    recipe = Recipe(
        objective=NFGSM(B), epochs=4, batch_size=32, validation=Validation(0.25),
        schedule=Schedule("plateau", patience=1), watch=Watch("roll-back", change="noise"),
    )  # fmt: skip
    # Watched and validated by turns; the third look has collapsed, and the second epoch is the last
    # sound one.
    seen = [0.5, 0.3, 0.6, 0.4, 0.1, 0.6, 0.4, 0.6, 0.5]
    scripted = mock.patch.object(lookout.Lookout, "_robust", side_effect=seen)
    with (
        scripted,
        mock.patch.object(lookout, "_SHARE", 10.0),
        pytest.warns(UserWarning, match="rolled back"),
    ):
        metrics = train(conv(), digits(limit=96), recipe).metrics
    rates = [each["learning_rate"] for each in metrics]
    # Errors 0.7, 0.6; then, after the roll-back, 0.6 (a plateau) and 0.5 (a new best).
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01])


def test_the_inner_maximisation_is_without_dropout_and_the_descent_with_it():
    net, batch = conv(dropout=0.5).train(), batch_of()
    found = []
    for seed in (0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            objective = AdversarialTraining(PGD(B, steps=3))
            adversarials = objective.perturb(net, batch)
            found.append((adversarials, objective.loss(net, batch, adversarials)[1]))
    assert torch.equal(found[0][0], found[1][0])
    assert not torch.equal(found[0][1], found[1][1])
    assert net.training
    silent = conv(dropout=0.0).train()
    assert torch.equal(AdversarialTraining(PGD(B, steps=3)).perturb(silent, batch), found[0][0])


class Undeclared(nn.Module):
    def forward(self, x):
        return x + 0.1 * torch.randn_like(x)


class Declared(RandomLayer):
    def forward(self, x):
        return x + 0.1 * self.noise(x)


@dataclass(frozen=True)
class Noisy:
    layer: type

    def __call__(self, model):
        return nn.Sequential(self.layer(), model)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_random_transform_that_was_not_declared_is_refused(dropout, tmp_path):
    recipe = Recipe(epochs=1, batch_size=32, transforms=(Noisy(Undeclared),))
    with pytest.raises(
        InputError, match=r"after the transform Noisy, which .* is_random"
    ) as caught:
        train(conv(dropout=dropout), digits(limit=64), recipe, out=tmp_path / "out")
    assert str(caught.value).count("\n") <= 1
    assert not (tmp_path / "out" / "model.safetensors").exists()
    declared = replace(recipe, transforms=(Noisy(Declared),))
    assert train(conv(dropout=dropout), digits(limit=64), declared).metrics


def test_mixed_training_is_the_same_twice_and_learns():
    recipe = Recipe(epochs=4, batch_size=64, mixup=0.2, cutmix=1.0)
    first, again = (train(conv(), digits(), recipe, test=digits("test", 100)) for _ in range(2))
    assert same(first.model.state_dict(), again.model.state_dict())
    assert first.metrics[-1]["test_accuracy"] > 0.8
