"""Searches in the z of a generator, against what linear ones allow."""

import json
import math

import pytest
import torch
from torch import nn

from saddlepoint.attacks import DDN, Latent, Manifold, Transfer
from saddlepoint.errors import InputError
from saddlepoint.threat import L2, Linf
from saddlepoint.zoo import MLPGenerator, invert, read_generator, save_weights
from saddlepoint.zoo.generator import Generator

N, D = 12, 4


class Affine(Generator):
    """G(z) = 1/2 + A z; linear generators have their optima in closed form."""

    def __init__(self, matrix):
        super().__init__(matrix.shape[1], channels=1, size=(1, len(matrix)), name="affine")
        self.matrix = nn.Parameter(matrix)

    def forward(self, z):
        return (0.5 + z @ self.matrix.T).reshape(len(z), *self.shape)


def linear(dtype=torch.float64):
    """A two-class linear network, images that it has right, and their classes."""
    torch.manual_seed(2)
    w = torch.randn(N, dtype=dtype)
    net = nn.Sequential(nn.Flatten(), nn.Linear(N, 2, bias=False)).to(dtype)
    net[1].weight.data = torch.stack([w, -w])
    x = 0.5 + 0.05 * torch.randn(5, 1, 1, N, dtype=dtype)
    return net, x, net(x).argmax(1), w


def of(matrix):
    return Affine(0.3 * matrix.to(torch.float64)).double()


def test_inversion_is_least_squares_and_each_image_alone():
    torch.manual_seed(0)
    made = of(torch.randn(N, D))
    x = torch.rand(3, 1, 1, N, dtype=torch.float64)
    starts = torch.randn(3, 2, D, dtype=torch.float64)
    found = invert(made, x, starts, steps=1500, step_size=0.02)
    right = torch.linalg.lstsq(made.matrix.detach(), (x - 0.5).flatten(1).T).solution.T
    torch.testing.assert_close(found, right, atol=1e-3, rtol=0)
    alone = invert(made, x[1:2], starts[1:2], steps=30, step_size=0.02)
    together = invert(made, x, starts, steps=30, step_size=0.02)
    torch.testing.assert_close(alone[0], together[1], rtol=1e-12, atol=1e-12)
    starts[0, 0] = torch.nan  # a descent that is lost is nobody's nearest
    assert invert(made, x, starts, steps=30, step_size=0.02).isfinite().all()


def test_latent_pgd_reaches_the_optimum_of_the_subspace_in_l2():
    net, x, y, w = linear()
    matrix = torch.randn(N, D, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    attack = Latent(L2(0.02), steps=60, stop="never").with_generator(of(matrix))
    found = attack(net, x, y)
    q, _ = torch.linalg.qr(matrix)
    best = 0.02 * float((q.T @ w).norm())  # of w·δ over δ in the range of A, ‖δ‖ ≤ eps
    sign = torch.where(y == 0, -1.0, 1.0).double()
    reached = ((found.adversarials - x).flatten(1) @ w) * sign
    assert bool((reached <= best * (1 + 1e-9)).all())
    assert bool((reached >= 0.999 * best).all())


def test_latent_pgd_reaches_the_corner_of_the_ball_in_linf_where_g_is_onto():
    net, x, y, w = linear()
    attack = Latent(Linf(0.01), steps=80, stop="never").with_generator(of(torch.eye(N)))
    found = attack(net, x, y)
    sign = torch.where(y == 0, -1.0, 1.0).double()
    reached = ((found.adversarials - x).flatten(1) @ w) * sign
    best = 0.01 * float(w.abs().sum())
    assert bool((reached >= 0.98 * best).all())
    assert bool(((found.adversarials - x).abs() <= 0.01 * (1 + 1e-9)).all())


def test_latent_does_not_depend_on_the_batch():
    net, x, y, _ = linear()
    attack = Latent(Linf(0.05), steps=5, inversion_steps=10).with_generator(of(torch.randn(N, D)))
    whole = attack(net, x, y, seed=3)
    for i in range(len(x)):
        alone = attack(net, x[i : i + 1], y[i : i + 1], seed=3, ids=torch.tensor([i]))
        torch.testing.assert_close(alone.adversarials[0], whole.adversarials[i])
    other = attack(net, x, y, seed=4)
    assert not torch.equal(other.adversarials, whole.adversarials)


def test_manifold_finds_the_nearest_image_of_the_generator_across_the_boundary():
    net, _, _, w = linear()
    matrix = torch.randn(N, D, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    made = of(matrix)
    z = torch.randn(6, D, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    x = made(0.1 * z).detach()  # on the manifold: the distance is to the boundary within it
    y = net(x).argmax(1)
    found = Manifold(L2(), steps=300, inversion_steps=300).with_generator(made)(net, x, y)
    q, _ = torch.linalg.qr(matrix)
    nearest = (x.flatten(1) @ w).abs() / (q.T @ w).norm()
    assert bool(found.success.all())
    assert bool((found.distance >= nearest * (1 - 1e-6)).all())
    assert bool((found.distance <= 1.05 * nearest).all())
    free = DDN(L2())(net, x, y)
    assert bool((free.distance <= found.distance).all())  # without the manifold it is nearer


def test_a_search_of_another_network_is_offered_to_this_one():
    net, x, y, _ = linear()
    attack = Transfer(Latent(Linf(0.5), steps=10).with_generator(of(torch.eye(N))), net)
    assert bool(attack(net, x, y).success.all())


def written(folder, latent=3, size=8):
    torch.manual_seed(0)
    made = MLPGenerator(latent, size=size)
    save_weights(made, folder / "model.safetensors")
    identity = {"model": "gan-mlp", "model_options": {"latent": latent}}
    run = {"kind": "train", "config": {"identity": identity}}
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return made


def test_a_generator_comes_out_of_the_folder_of_its_training(tmp_path):
    made = written(tmp_path)
    z, state = torch.randn(2, 3), torch.get_rng_state()
    read = read_generator(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(read(z), made(z))
    assert not any(each.requires_grad for each in read.parameters())
    attack = Latent(Linf(0.3), generator=str(tmp_path), steps=2, inversion_steps=2)
    assert len(attack.fingerprint) == 16
    net, x = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), torch.rand(4, 1, 8, 8)
    y = net(x).argmax(1)
    assert math.isfinite(float(attack(net, x, y).distance.nan_to_num(posinf=0).max()))


@pytest.mark.parametrize("kind", [Latent, Manifold])
def test_what_is_no_generator_is_refused(kind, tmp_path):
    threat = Linf(0.1) if kind is Latent else L2()
    net, x = nn.Sequential(nn.Flatten(), nn.Linear(81, 2)), torch.rand(2, 1, 9, 9)
    y = net(x).argmax(1)
    with pytest.raises(InputError, match="has no generator"):
        kind(threat)(net, x, y)
    with pytest.raises(InputError, match="no file"):
        kind(threat, generator=str(tmp_path / "none"))
    save_weights(nn.Linear(2, 2), tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"has no run\.json beside it"):
        kind(threat, generator=str(tmp_path))
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="is of no generator"):
        kind(threat, generator=str(tmp_path))
    written(tmp_path)
    with pytest.raises(InputError, match="makes images of"):
        kind(threat, generator=str(tmp_path))(net, x, y)
