"""The spectral-norm penalty: its value and gradient against SVD, what it follows, what it refuses."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from sampled import mostly_slow
from torch import nn
from torch.nn.utils import parametrize

from saddlepoint.configuration import configuration
from saddlepoint.defences.linear_operator import dense_operator
from saddlepoint.defences.spectral import SpectralNorm
from saddlepoint.errors import InputError


def network(seed=0):
    """Strides, groups, dilation, reflection, a transposed convolution, non-square images."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2), nn.ReLU()),
            nn.ConvTranspose2d(4, 3, 2, stride=2),
            nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect"),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(2 * 8 * 6, 5),
        ).double()


IMAGES = torch.zeros(2, 2, 8, 6, dtype=torch.float64)
SHAPES = {"0": (2, 8, 6), "2.0": (4, 4, 3), "3": (4, 4, 3), "4": (3, 8, 6), "7": (96,)}


def top(layer, shape, kind="conv"):
    """The largest singular value and its vectors, by SVD of the dense matrix."""
    left, values, right = torch.linalg.svd(dense_operator(layer, shape, kind))
    return values[0], left[:, 0], right[0]


def converged(net, **options):
    penalty = SpectralNorm(**options)
    penalty.begin(net, IMAGES)
    for _ in range(3000 if penalty.as_published else 600):
        with torch.no_grad():
            penalty(net)
    return penalty


@pytest.mark.parametrize(
    ("operator", "as_published"),
    mostly_slow(
        [("conv", False), ("reshaped", False), ("reshaped", True)], quick=[("reshaped", True)]
    ),
)
def test_value_and_gradient_are_those_of_half_the_squared_top_singular_values(
    operator, as_published
):
    net = network()
    penalty = converged(net, operator=operator, as_published=as_published)
    tops = {name: top(net.get_submodule(name), shape, operator) for name, shape in SHAPES.items()}
    expected = {name: pytest.approx(float(sigma), rel=1e-4) for name, (sigma, _, _) in tops.items()}
    assert penalty.singular_values(net) == expected

    value = penalty(net)
    torch.testing.assert_close(value, sum(s**2 for s, _, _ in tops.values()) / 2, rtol=1e-4, atol=0)
    value.backward()
    for name, (sigma, u, v) in tops.items():
        weight = net.get_submodule(name).weight
        before = weight.detach().clone()
        weight.data += 1e-6 * weight.grad  # a step along the gradient: the SVD of the moved weight
        moved = top(net.get_submodule(name), SHAPES[name], operator)[0]
        weight.data = before
        slope = float((moved**2 - sigma**2) / 2e-6)
        assert slope == pytest.approx(float(weight.grad.square().sum()), rel=1e-3)
        if name == "7":
            torch.testing.assert_close(weight.grad, sigma * torch.outer(u, v), rtol=1e-2, atol=1e-3)


def test_sigma_is_never_negative_but_as_published_it_can_be():
    net = nn.Linear(2, 2, bias=False).double()
    net.weight.data = -torch.eye(2, dtype=torch.float64)
    sound, published = SpectralNorm(start="ones"), SpectralNorm(start="ones", as_published=True)
    for penalty in (sound, published):
        penalty.begin(net, torch.zeros(1, 2))
    u, v = sound.get_buffer("u/"), sound.get_buffer("v/")
    assert (u * (net.weight.detach() @ v[0])).sum() == pytest.approx(1)
    # Its chains keep the signs of their own starts: ⟨u, W v⟩ = −1 where they agree.
    u, v = published.get_buffer("u/"), published.get_buffer("v/")
    assert (u * (net.weight.detach() @ v[0])).sum() == pytest.approx(-1)
    assert float(published(net).detach()) == pytest.approx(0.5)
    assert published.singular_values(net) == {"": pytest.approx(1)}


def test_as_published_the_chains_do_not_meet_where_the_top_singular_value_is_double():
    torch.manual_seed(0)  # the chains may meet by chance
    net = nn.Conv2d(1, 1, 2, stride=2, bias=False).double()  # 2×2 patches: four equal blocks
    found = {}
    for as_published in (False, True):
        penalty = SpectralNorm(as_published=as_published)
        penalty.begin(net, torch.zeros(1, 1, 4, 4))
        for _ in range(50):
            penalty(net)
        found[as_published] = penalty.singular_values(net)[""]
    sigma = float(torch.linalg.vector_norm(net.weight.detach()))
    assert found[False] == pytest.approx(sigma)
    assert found[True] < 0.95 * sigma


def test_ones_stay_where_they_are_orthogonal_to_the_top_vector():
    net = nn.Linear(2, 2, bias=False)
    net.weight.data = torch.tensor([[2.0, -1.0], [-1.0, 2.0]])
    found = {}
    for start in ("ones", "random"):
        penalty = SpectralNorm(start=start, operator="reshaped")
        for _ in range(20):
            penalty(net)
        found[start] = penalty.singular_values(net)[""]
    assert found == {"ones": pytest.approx(1), "random": pytest.approx(3)}


def test_beginning_leaves_model_and_random_state_alone_and_is_harmless_twice():
    net = network()
    net[1].eval()
    net[0].weight.grad = torch.ones_like(net[0].weight)
    net[0].weight.requires_grad_(False)
    flags = [m.training for m in net.modules()]
    state = copy.deepcopy(net.state_dict())
    random_state = torch.random.get_rng_state()
    penalty = SpectralNorm()
    penalty.begin(net, IMAGES)
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert [m.training for m in net.modules()] == flags
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())
    assert bool((net[0].weight.grad == 1).all())
    assert not net[0].weight.requires_grad

    penalty(net)
    vectors = {k: v.clone() for k, v in penalty.state_dict().items()}
    penalty.begin(net, IMAGES)
    assert all(torch.equal(vectors[key], value) for key, value in penalty.state_dict().items())
    penalty.begin(nn.Linear(3, 2), torch.zeros(1, 3))
    assert {k: tuple(v.shape) for k, v in penalty.state_dict().items()} == {
        "u/": (1, 2),
        "v/": (1, 3),
    }


def test_other_image_sizes_start_anew():
    net = nn.Conv2d(1, 1, 3, padding=1)
    penalty = SpectralNorm()
    for side in (4, 6):
        penalty.begin(net, torch.zeros(1, 1, side, side))
        assert penalty.get_buffer("v/").shape == (1, side, side)


def test_state_goes_into_a_fresh_copy_and_continues_to_the_bit():
    net = network()
    first = SpectralNorm()
    blank = copy.deepcopy(first)
    first.begin(net, IMAGES)
    for _ in range(3):
        first(net)
    state = {k: v.clone() for k, v in first.state_dict().items()}
    assert {"u/2/0", "v/2/0"} <= state.keys()
    blank.begin(net, IMAGES)
    blank.load_state_dict(state)
    assert [float(blank(net).detach()) for _ in range(3)] == [
        float(first(net).detach()) for _ in range(3)
    ]
    other = pickle.loads(pickle.dumps(first))
    with pytest.raises(InputError, match=r"has not seen this model.*begin\(model, images\) first"):
        other(net)


def test_in_eval_mode_the_vectors_stand_still():
    net = network()
    penalty = SpectralNorm()
    penalty.begin(net, IMAGES)
    before = penalty.state_dict()["u/0"].clone()
    penalty.eval()(net)
    assert torch.equal(penalty.state_dict()["u/0"], before)
    penalty.train()(net)
    assert not torch.equal(penalty.state_dict()["u/0"], before)


def test_a_zero_weight_has_no_penalty_and_the_vectors_recover_from_it():
    net = nn.Linear(3, 2, bias=False)
    nn.init.zeros_(net.weight)
    penalty = SpectralNorm(operator="reshaped")
    value = penalty(net)
    value.backward()
    assert value == 0
    assert bool((net.weight.grad == 0).all())
    nn.init.ones_(net.weight)
    for _ in range(5):
        value = penalty(net)
    assert float(value.detach()) == pytest.approx(3)


def test_the_weight_that_acts_is_penalised_through_its_parametrisation():
    class Doubled(nn.Module):
        def forward(self, weight):
            return 2 * weight

    net = nn.Sequential(nn.Linear(3, 2, bias=False)).double()
    penalty = SpectralNorm()
    parametrize.register_parametrization(net[0], "weight", Doubled())
    penalty.begin(net, torch.zeros(1, 3))
    for _ in range(50):
        value = penalty(net)
    value.backward()
    original = net[0].parametrizations.weight.original
    sigma = torch.linalg.matrix_norm(original.detach(), 2)
    assert float(value.detach()) == pytest.approx(float((2 * sigma) ** 2 / 2))
    torch.testing.assert_close((original.grad * original).sum(), 2 * value)  # quadratic in it


def test_settings_are_described_and_the_state_is_not():
    penalty = SpectralNorm(iterations=2)
    before = configuration(penalty)
    assert {k: v for k, v in before.items() if k != "type"} == {
        "iterations": 2,
        "operator": "conv",
        "start": "random",
        "as_published": False,
        "vectors": None,
    }
    penalty.begin(network(), IMAGES)
    assert configuration(penalty) == before


def test_refusals():
    with pytest.raises(InputError, match="iterations is 0"):
        SpectralNorm(iterations=0)
    with pytest.raises(InputError, match='operator is "conf"; it is "conv" or "reshaped"'):
        SpectralNorm(operator="conf")
    with pytest.raises(InputError, match='start is "zeros"'):
        SpectralNorm(start="zeros")
    with pytest.raises(InputError, match="has not seen this model"):
        SpectralNorm()(network())
    with pytest.raises(InputError, match="no convolution or linear layer"):
        SpectralNorm().begin(nn.ReLU(), IMAGES)
    with pytest.raises(InputError, match=r"begin\(model, images\) with one or two images"):
        SpectralNorm().begin(network())
    with pytest.raises(InputError, match=r"cannot take images of shape \(3, 4, 4\)"):
        SpectralNorm().begin(network(), torch.zeros(1, 3, 4, 4))

    class Own(nn.Conv2d):
        def forward(self, x):
            return super().forward(x.relu())

    with pytest.raises(InputError, match="SpectralNorm, layer 0: a Own has a forward of its own"):
        SpectralNorm().begin(nn.Sequential(Own(2, 2, 3)), IMAGES)
    net = network()
    penalty = SpectralNorm()
    penalty.begin(net, IMAGES)
    net[7] = nn.Linear(96, 10).double()
    with pytest.raises(InputError, match="its layers changed"):
        penalty(net)


def test_linear_layers_count_also_where_their_own_forward_is_not_called():
    net = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)  # attention uses out_proj.weight
    penalty = SpectralNorm()
    penalty.begin(net, torch.zeros(1, 3, 8))
    assert list(penalty.singular_values(net)) == ["self_attn.out_proj", "linear1", "linear2"]
