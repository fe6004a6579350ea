"""Purifiers: what they return, what their gradients are, that they are random and say so."""

import json

import pytest
import torch
from small import digits, trained
from torch import nn

from saddlepoint.attacks import PGD
from saddlepoint.defences import (
    GeneratorPurifier,
    MAEPurifier,
    Purified,
    Purifier,
    build_transform,
    transform_word,
)
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Diagnosis, evaluate
from saddlepoint.model import Guard, is_random
from saddlepoint.streams import Keys
from saddlepoint.threat import Linf
from saddlepoint.zoo import MAEDecoder, MaskedAutoencoder, MLPGenerator, ViT, save_weights
from saddlepoint.zoo.generator import Generator


class Affine(Generator):
    """G(z) = 1/2 + A z on images of 1×2×3."""

    def __init__(self):
        super().__init__(2, channels=1, size=(2, 3), name="affine")
        torch.manual_seed(0)
        self.matrix = nn.Parameter(0.2 * torch.randn(6, 2))

    def forward(self, z):
        return (0.5 + z @ self.matrix.T).reshape(len(z), *self.shape)


def behind(gradient, restarts=2, steps=30, **options):
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    purifier = GeneratorPurifier(Affine(), restarts, steps, gradient=gradient, **options)
    return Purified(net, purifier).double().eval()


def autoencoder(size=8):
    torch.manual_seed(0)
    net = ViT(channels=1, size=size)
    return MaskedAutoencoder(net, MAEDecoder(net))


X = 0.5 + 0.2 * torch.rand(4, 1, 2, 3, generator=torch.Generator().manual_seed(3)).double()


def keyed(model, images, ids, seed=0):
    """One pass whose draws are those of a guard."""
    with Guard(model, len(images), seed=seed) as guard:
        return guard.logits(images, None, Keys(seed, torch.as_tensor(ids)))


def test_the_nearest_image_of_a_linear_generator_is_the_projection():
    purifier = GeneratorPurifier(Affine(), 1, 800, step_size=0.02).double()
    a = purifier.generator.matrix
    q, _ = torch.linalg.qr(a)
    expected = 0.5 + (X - 0.5).flatten(1) @ q @ q.T
    torch.testing.assert_close(purifier(X).flatten(1), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("steps", [1, 5, 30])
def test_the_unrolled_gradient_is_that_of_all_steps(steps):
    model = behind("unrolled", restarts=1, steps=steps)
    with Guard(model, 4) as guard:
        layer = model.purifier

        def value(x):
            layer.start_pass(Keys(0, torch.arange(4)))  # the same draws every time
            return model(x)[:, 0].sum()

        x = X.clone().requires_grad_()
        (found,) = torch.autograd.grad(value(x), x)
        step = 1e-6
        for i in range(6):
            moved = torch.zeros_like(X).flatten(1)
            moved[:, i] = step
            moved = moved.reshape(X.shape)
            slope = (value(X + moved) - value(X - moved)) / (2 * step)
            assert float(slope) == pytest.approx(float(found.flatten(1)[:, i].sum()), abs=1e-6)
        assert guard.random


def test_the_gradient_of_bpda_is_the_classifiers_at_the_purified_image():
    model = behind("identity")
    keys = Keys(0, torch.arange(4))
    model.purifier.start_pass(keys)
    x = X.clone().requires_grad_()
    (found,) = torch.autograd.grad(model(x)[:, 1].sum(), x)
    model.purifier.start_pass(keys)
    purified = model.purifier(X).detach().requires_grad_()
    (expected,) = torch.autograd.grad(model.net(purified)[:, 1].sum(), purified)
    assert torch.equal(found, expected)
    assert not torch.allclose(purified, X, atol=1e-3)


@pytest.mark.parametrize("make", [
    lambda: (behind("identity"), X),
    lambda: (Purified(trained().double(), MAEPurifier(autoencoder().double(), 0.5), 3),
             digits("test", 4).images(torch.arange(4)).double()),
])  # fmt: skip
def test_draws_are_random_declared_and_of_each_image_alone(make):
    model, x = make()
    assert is_random(model)
    whole = keyed(model, x, range(4))
    assert torch.equal(keyed(model, x, range(4)), whole)
    assert not torch.equal(keyed(model, x, range(4), seed=1), whole)
    for i in range(4):
        torch.testing.assert_close(keyed(model, x[i : i + 1], [i])[0], whole[i])
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(keyed(model, x[order], order), whole[order])
    assert not torch.equal(model(x), model(x))  # outside a guard: torch's own


def test_masks_hide_as_many_patches_of_every_image_and_leave_the_others_as_they_were():
    purifier = MAEPurifier(autoencoder(), 0.75, "unrolled")
    x = torch.rand(50, 1, 8, 8)
    hidden = purifier.hidden(x)
    assert hidden.shape == (50, 4)
    assert bool((hidden.sum(1) == 3).all())
    assert abs(float(hidden.float().mean(0).max()) - 0.75) < 0.25
    purifier.start_pass(Keys(0, torch.arange(50)))
    hidden = purifier.hidden(x)
    purifier.start_pass(Keys(0, torch.arange(50)))
    made = purifier(x.clone().requires_grad_())
    side = hidden.reshape(50, 1, 2, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(made[~side], x[~side])
    assert made.requires_grad
    assert not torch.equal(made[side], x[side])


def test_a_purified_model_in_training_keeps_its_purifier_still():
    model = behind("identity").train()
    assert model.net.training
    assert not model.purifier.training
    assert not any(each.requires_grad for each in model.purifier.parameters())


def test_one_draw_of_logits_is_the_nets_and_several_are_their_mean():
    one, purifier = behind("identity"), behind("identity").purifier
    three = Purified(one.net, purifier, draws=3).double()
    keys = Keys(0, torch.arange(4))
    purifier.start_pass(keys)
    expected = torch.stack([one.net(purifier(X)) for _ in range(3)]).mean(0)
    purifier.start_pass(keys)
    torch.testing.assert_close(three(X), expected)


def written(folder):
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    save_weights(MLPGenerator(3, size=8), folder / "model.safetensors")
    identity = {"model": "gan-mlp", "model_options": {"latent": 3}}
    run = {"kind": "train", "config": {"identity": identity}}
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return folder


def test_the_verdict_says_that_a_purified_number_is_not_to_be_trusted(tmp_path):
    name, options = transform_word(f"defense-gan:generator={written(tmp_path)},restarts=1,steps=2")
    model = build_transform(name, options)(trained())
    assert (model.purifier.restarts, model.purifier.steps) == (1, 2)
    record = evaluate(
        model, digits("test", 12), Linf(0.05), suite="quick", diagnosis=Diagnosis(images=4)
    )
    found = {each.check: each.judgement for each in record.verdict.findings}
    assert found["purification"] == "undecidable"
    assert found["gradient-inside"] == "undecidable"
    assert record.verdict.judgement != "healthy"
    assert "docs/purify.md" in next(
        each.remedy for each in record.verdict.findings if each.check == "purification"
    )


def test_bpda_breaks_what_hides_the_gradient_alone():
    """A purifier that is the identity but for its gradient: what BPDA must undo, exactly."""

    class Rounded(GeneratorPurifier):
        def purify(self, images, through):
            return (images * 255).round() / 255

    model = Purified(trained(), Rounded(MLPGenerator(2, size=8), gradient="identity"))
    data = digits("test", 50)
    x, y = data.images(torch.arange(50)), data.labels
    plain = PGD(Linf(0.2))(trained(), x, y)
    broken = PGD(Linf(0.2))(model, x, y)
    left, without = (float((~each.success).float().mean()) for each in (broken, plain))
    assert left <= without + 0.05


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: behind("none"), "unknown gradient of a purifier 'none'"),
        (lambda: behind("identity", restarts=0), "restarts is 0"),
        (lambda: behind("identity", steps=0), "steps is 0"),
        (lambda: behind("identity", step_size=-1.0), "step_size is -1.0"),
        (lambda: GeneratorPurifier(nn.Linear(2, 6)), "makes no images"),
        (lambda: behind("identity")(torch.rand(1, 1, 3, 3).double()), "the generator makes"),
        (lambda: Purified(behind("identity"), behind("identity").purifier), "purified already"),
        (lambda: MAEPurifier(autoencoder(), 0.95), "keeps none of 4 patches"),
        (lambda: build_transform("mae-purify")(nn.Flatten()), "has no autoencoder"),
        (lambda: build_transform("defense-gan")(nn.Flatten()), "has no generator"),
        (lambda: transform_word("defense-gan:restarts"), "write defense-gan:KEY=VALUE"),
        (lambda: build_transform("defense-gan", {"restart": 1}), "did you mean 'restarts'"),
    ],
)
def test_what_cannot_purify_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_probabilities_are_averaged_where_that_is_asked_for():
    class Turns(Purifier):
        """The first call adds nothing, the second 3 to the first class's pixel."""

        passes = None
        calls = 0

        def purify(self, images, through):
            self.calls += 1
            return images + (self.calls % 2 == 0) * torch.tensor([3.0, 0.0])

    x = torch.tensor([[0.0, 1.0]])
    found = Purified(nn.Identity(), Turns("identity"), 2, "probabilities")(x)
    mean = (x.softmax(1) + (x + torch.tensor([3.0, 0.0])).softmax(1)) / 2
    torch.testing.assert_close(found.softmax(1), mean)
    logits = Purified(nn.Identity(), Turns("identity"), 2)(x)
    torch.testing.assert_close(logits, x + torch.tensor([1.5, 0.0]))
