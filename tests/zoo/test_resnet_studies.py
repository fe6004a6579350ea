"""Deeper plain nets, layer responses, blocks left out, and branches with less gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.zoo import (
    BasicBlock,
    ResNetCifar,
    block_names,
    build_model,
    deepened,
    layer_responses,
    residual_branches,
    skip_gradient,
    without_blocks,
)

IMAGES = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def warmed(network):
    """Return the network, in evaluation mode, with statistics of some images."""
    with torch.no_grad():
        network.train()(IMAGES.to(network.conv.weight))
    return network.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("depth", [20, 32, 44])
def test_a_deeper_plain_net_computes_the_same(depth, dtype):
    plain = warmed(ResNetCifar(20, shortcut="none").to(dtype))
    deep = deepened(plain, depth)
    assert len(deep.stage2) == (depth - 2) // 6
    images = IMAGES.to(dtype)
    assert torch.equal(deep(images), plain(images))
    # It is another network: its weights are its own, and learn.
    deep(images).square().sum().backward()
    assert float(deep.stage1[-1].conv1.weight.grad.abs().max()) > 0
    assert plain.conv.weight.grad is None


def test_deepening_draws_nothing_and_refuses_what_it_cannot_do():
    plain, before = ResNetCifar(20, shortcut="none"), torch.get_rng_state()
    deepened(plain, 32)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(InputError, match="depth is 14, below the 20 layers"):
        deepened(plain, 14)
    with pytest.raises(InputError, match="a plain net of basic blocks"):
        deepened(ResNetCifar(20), 32)


@pytest.mark.parametrize("batch_size", [3, 100])
def test_layer_responses_by_hand(batch_size):
    network = warmed(build_model("resnet20", classes=4, shape=(3, 12, 12)))
    found = layer_responses(network, IMAGES, batch_size=batch_size)
    with torch.no_grad():
        x = network.norm(network.conv(IMAGES))
        block = network.stage1[0]
        y = block.norm1(block.conv1(x.relu()))
        z = block.norm2(block.conv2(y.relu()))
    expected = [each.std(correction=0).item() for each in (x, y, z)]
    assert list(found.values())[:3] == pytest.approx(expected, rel=1e-5)
    assert len(found) == 19


def test_layer_responses_leave_the_model_as_it_was_and_are_of_3_by_3_alone():
    network = build_model("resnet50", classes=4, shape=(3, 12, 12), options={"small": True}).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = layer_responses(network, IMAGES)
    assert network.training
    assert network.conv.weight.requires_grad
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert list(found)[:2] == ["conv", "stage1.0.conv2"]
    assert len(found) == 17
    assert not any(part._forward_hooks for part in network.modules())
    with pytest.raises(InputError, match="no 3×3 convolution"):
        layer_responses(nn.Linear(2, 2), IMAGES)


def test_blocks_left_out_by_hand():
    network = warmed(build_model("resnet20", classes=4, shape=(3, 12, 12)))
    whole = network(IMAGES)
    x = network.relu(network.norm(network.conv(IMAGES)))
    x = network.stage1(x)
    x = network.stage2[0].shortcut(x).relu()
    x = network.stage3(network.stage2[2](x))
    by_hand = network.logits(x.mean((2, 3)))
    with without_blocks(network, ["stage2.0", "stage2.1"]):
        assert torch.allclose(network(IMAGES), by_hand, atol=1e-6)
    assert torch.equal(network(IMAGES), whole)
    assert not torch.allclose(whole, by_hand)


def test_plain_blocks_are_left_out_where_the_shape_stays():
    network = warmed(build_model("plain20", classes=4, shape=(3, 12, 12)))
    x = network.relu(network.norm(network.conv(IMAGES)))
    x = network.stage3(network.stage2(network.stage1[2](network.stage1[0](x))))
    with without_blocks(network, ["stage1.1"]):
        assert torch.allclose(network(IMAGES), network.logits(x.mean((2, 3))), atol=1e-6)
    with (
        pytest.raises(InputError, match="a plain block that changes the shape"),
        without_blocks(network, ["stage2.0"]),
    ):
        pass
    with pytest.raises(InputError, match="unknown block of the model 'stage9'"):
        without_blocks(network, ["stage9"]).__enter__()
    assert len(block_names(network)) == 9


FOREIGN = {
    "torchvision resnet18": ("torchvision.models", "resnet18", 8),
    "torchvision resnet50": ("torchvision.models", "resnet50", 16),
    "torchvision vit": ("torchvision.models", "vit_b_32", 12),
    "timm resnet18": ("timm", "resnet18", 8),
    "timm vit": ("timm", "vit_tiny_patch16_224", 12),
    "timm swin": ("timm", "swin_tiny_patch4_window7_224", 12),
}


def foreign(name):
    module, model, _ = FOREIGN[name]
    library = pytest.importorskip(module)
    return library.create_model(model) if module == "timm" else getattr(library, model)()


@pytest.mark.parametrize("name", FOREIGN)
def test_branches_of_other_libraries_are_known(name):
    network = foreign(name).eval()
    branches = residual_branches(network)
    assert len(branches) == FOREIGN[name][2]
    each = 1 if "resnet" in name else 2
    assert all(len(ends) == each for ends in branches.values())


@pytest.mark.parametrize("name", ["torchvision vit", "timm vit", "timm resnet18"])
def test_a_foreign_block_left_out_returns_what_it_is_given(name):
    network = foreign(name).eval()
    branches = residual_branches(network)
    block, before = list(branches)[1], {}
    part = network.get_submodule(block)
    handle = part.register_forward_hook(lambda _, given, got: before.update(x=given[0], y=got))
    with torch.no_grad(), without_blocks(network, [block]):
        network(torch.rand(1, 3, 224, 224) if "vit" in name else torch.rand(1, 3, 32, 32))
    handle.remove()
    assert torch.equal(before["x"], before["y"])


class Tiny(nn.Module):
    """z₂ = z₁ + f₂(z₁), z₁ = z₀ + f₁(z₀) with linear branches, after our block's own normalisations."""

    def __init__(self):
        super().__init__()
        self.first, self.second = BasicBlock(2, 2, 1), BasicBlock(2, 2, 1)

    def forward(self, x):
        return self.second(self.first(x)).flatten(1)


def jacobian(function, x):
    return torch.autograd.functional.jacobian(function, x).reshape(8, 8)


def test_the_gradient_of_a_branch_is_multiplied_by_hand():
    torch.manual_seed(1)
    net = Tiny().double().eval()
    x = torch.rand(1, 2, 2, 2, dtype=torch.float64) + 0.1

    def branch(block, z):
        return block.norm2(block.conv2(block.relu1(block.norm1(block.conv1(z)))))

    gamma, total, z = 0.3, torch.eye(8, dtype=torch.float64), x
    for block in (net.first, net.second):
        one = torch.eye(8, dtype=torch.float64)
        slope = one + gamma * jacobian(lambda u, block=block: branch(block, u), z)
        gate = (branch(block, z) + z > 0).double().flatten()
        total, z = gate[:, None] * (slope @ total), block(z)
    with skip_gradient(net, gamma):
        found = jacobian(net, x)
    assert torch.allclose(found, total, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(found, jacobian(net, x))


@pytest.mark.parametrize("name", ["resnet20", "preactresnet18", "timm resnet18", "timm vit"])
def test_values_stay_and_a_gamma_of_one_changes_nothing(name):
    here = name in ("resnet20", "preactresnet18")
    network = build_model(name, classes=4, shape=(3, 12, 12)) if here else foreign(name)
    network = network.eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)  # timm's branches begin as zero
    x = torch.rand(1, 3, 224, 224) if "vit" in name else IMAGES.clone()
    x.requires_grad_()

    def run():
        logits = network(x)
        return logits, torch.autograd.grad(logits.square().sum(), x)[0]

    logits, gradient = run()
    for gamma, same in ((1.0, True), (0.5, False)):
        with skip_gradient(network, gamma):
            again, other = run()
        assert torch.equal(again, logits)
        assert torch.equal(other, gradient) is same
    assert torch.equal(run()[1], gradient)


def test_networks_without_branches_need_names():
    plain = build_model("plain20", classes=4, shape=(3, 12, 12)).eval()
    with pytest.raises(InputError, match="no residual block that is known here"):
        residual_branches(plain)
    with pytest.raises(InputError, match=r"unknown module of the model 'stage\?.x'"):
        residual_branches(plain, ["stage?.x"])
    assert list(residual_branches(plain, ["stage1.*.norm2"])) == [
        f"stage1.{i}.norm2" for i in range(3)
    ]
    with pytest.raises(InputError, match=r"gamma is 1\.5; give a number in \(0, 1\]"):
        skip_gradient(build_model("resnet20", classes=4, shape=(3, 8, 8)), 1.5).__enter__()


def test_blocks_that_are_wrapped_one_by_one_are_blocks():
    net = warmed(build_model("resnet20", classes=4, shape=(3, 12, 12)))
    names = block_names(net)

    def gradient():
        images = IMAGES.clone().requires_grad_()
        with skip_gradient(net, 0.5):
            net(images).square().sum().backward()
        return images.grad

    wanted = gradient()
    with without_blocks(net, ["stage1.1"]):
        without = net(IMAGES)
    net.stage1[1] = nn.DataParallel(net.stage1[1])
    net.stage3[0] = nn.DataParallel(net.stage3[0])
    assert block_names(net) == names
    assert torch.equal(gradient(), wanted)
    with without_blocks(net, ["stage1.1"]):
        assert torch.equal(net(IMAGES), without)
