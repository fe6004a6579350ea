"""Groups of parameters: layers, what weight decay spares, and the step that follows from them."""

from __future__ import annotations

import copy

import pytest
import torch
from small import conv
from torch import nn

from saddlepoint.defences import Optimiser, Recipe, layers_of, undecayed
from saddlepoint.errors import InputError
from saddlepoint.model import Normalised
from saddlepoint.training.state import State
from saddlepoint.zoo import build_model


class Tokens(nn.Module):
    """Like a vision transformer: own parameters, an embedding, blocks, a norm and a head."""

    no_decay = frozenset({"prototypes"})

    def __init__(self):
        super().__init__()
        self.class_token = nn.Parameter(torch.ones(1, 1, 4))
        self.pos_embed = nn.Parameter(torch.ones(1, 5, 4))
        self.prototypes = nn.Parameter(torch.ones(3, 4))
        self.embed = nn.Conv2d(1, 4, 2)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.norm = nn.LayerNorm([5, 4])
        self.head = nn.Linear(4, 2)


class Grouped(Tokens):
    def layer_groups(self):
        first = [self.embed, self.class_token, self.pos_embed, self.prototypes]
        return [first, *self.blocks, [self.norm, self.head]]


def names(model):
    found = {id(p): name for name, p in model.named_parameters()}
    return [sorted({found[id(p)] for p in layer}) for layer in layers_of(model)]


def test_layers_are_the_children_in_their_order_and_the_entries_of_lists():
    found = names(Tokens())
    assert found[0] == ["class_token", "embed.bias", "embed.weight", "pos_embed", "prototypes"]
    assert [layer[0] for layer in found[1:]] == [
        "blocks.0.bias", "blocks.1.bias", "blocks.2.bias", "norm.bias", "head.bias",
    ]  # fmt: skip


def test_a_normalisation_belongs_to_the_layer_before_it():
    assert names(conv(norm=True)) == [
        ["0.bias", "0.weight", "1.bias", "1.weight"], ["5.bias", "5.weight"],
    ]  # fmt: skip


def test_what_wraps_a_network_is_looked_through_and_a_network_may_say_its_layers():
    wrapped = Normalised(Grouped(), (0.5,), (0.5,))
    found = names(nn.Sequential(wrapped))
    assert len(found) == 5
    assert {name.rpartition("norm.")[2] for name in found[-1] if "norm." in name} == {
        "bias", "weight",
    }  # fmt: skip
    assert len(names(nn.Sequential(Grouped(), nn.Linear(2, 2)))) == 6


def test_layers_that_leave_a_parameter_out_are_refused():
    class Short(Tokens):
        def layer_groups(self):
            return [[self.embed], [self.head]]

    with pytest.raises(InputError, match=r"Short\.layer_groups leaves class_token out"):
        layers_of(Short())


@pytest.mark.parametrize("name", ["zoo:simple-cnn", "zoo:resnet20", "zoo:preactresnet18"])
def test_every_parameter_is_in_one_layer(name):
    model = build_model(name, classes=10, shape=(3, 32, 32))
    found = [id(p) for layer in layers_of(model) for p in layer]
    assert sorted(found) == sorted(id(p) for p in model.parameters())


def test_layers_and_what_is_spared_of_timms_transformers():
    timm = pytest.importorskip("timm", reason="timm is not installed")
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=10, img_size=32, depth=4)
    found = names(vit)
    assert len(found) == 6  # embedding, four blocks and the norm with the last, head
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight"} <= set(found[0])
    spared = undecayed(vit)
    assert vit.no_weight_decay() - {"dist_token", "reg_token"} <= spared
    assert {"norm.weight", "blocks.0.attn.qkv.bias"} <= spared
    assert not {"patch_embed.proj.weight", "head.weight", "blocks.0.mlp.fc1.weight"} & spared
    swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=10)
    tables = {n for n, _ in swin.named_parameters() if n.endswith("relative_position_bias_table")}
    assert len(tables) == 12
    assert tables <= undecayed(swin)


def test_what_weight_decay_spares():
    assert undecayed(Tokens()) == {
        "class_token", "pos_embed", "prototypes", "embed.bias", "norm.weight", "norm.bias",
        "head.bias", *(f"blocks.{i}.bias" for i in range(3)),
    }  # fmt: skip
    inside = undecayed(nn.Sequential(Tokens(), nn.BatchNorm1d(3)))
    assert {"0.prototypes", "0.norm.weight", "1.weight"} <= inside

    class Wrong(nn.Linear):
        no_decay = ("wieght",)

    with pytest.raises(InputError, match=r"Wrong\.no_decay names 'wieght'"):
        undecayed(Wrong(2, 2))


def test_weight_decay_alone_moves_the_weights_and_nothing_else():
    net = Tokens()
    before = copy.deepcopy(net.state_dict())
    optimiser = Optimiser("adamw", 0.1, weight_decay=0.5, decay_on="weights").build(net)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    spared = undecayed(net)
    for name, value in net.named_parameters():
        share = 1.0 if name in spared else 1 - 0.1 * 0.5
        torch.testing.assert_close(value.detach(), share * before[name])


def test_rates_fall_by_the_layer_decay_towards_the_image():
    state = State(Grouped(), Recipe(optimiser=Optimiser("sgd", 0.4, layer_decay=0.5)), images=100)
    before = copy.deepcopy(state.model.state_dict())
    scales = [group["scale"] for group in state.optimiser.param_groups]
    assert scales == [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    for group in state.optimiser.param_groups:
        group["lr"], group["momentum"], group["weight_decay"] = 0.4 * group["scale"], 0, 0
        group["nesterov"] = False
    for parameter in state.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    state.optimiser.step()
    moved = {n: float((before[n] - p.detach()).mean()) for n, p in state.model.named_parameters()}
    for name, share in {"pos_embed": 1 / 16, "blocks.1.weight": 1 / 4, "head.bias": 1}.items():
        assert moved[name] == pytest.approx(0.4 * share, rel=1e-5)


def test_alike_parameters_are_one_group_in_the_order_that_checkpoints_number_them():
    net = conv()
    (group,) = Optimiser().build(net).param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in net.parameters()]


def test_betas_and_eps_reach_adam():
    for name in ("adam", "adamw"):
        (group,) = Optimiser(name, betas=(0.8, 0.95), eps=1e-6).build(conv()).param_groups
        assert (group["betas"], group["eps"]) == ((0.8, 0.95), 1e-6)


@pytest.mark.parametrize(
    ("name", "options", "spared"),
    [
        ("vit-micro", {}, ["class_token", "positions.table"]),
        ("vit-micro", {"positions": "2d"}, ["positions.rows", "positions.columns"]),
        ("vit-micro", {"positions": "relative"}, ["positions.table"]),
        ("swin-micro", {"bias": "both"}, ["positions.table", "stages.0.blocks.0.bias.table"]),
    ],
)
def test_tables_and_tokens_of_our_transformers_do_not_decay(name, options, spared):
    net = build_model(name, classes=10, shape=(3, 32, 32), options=options)
    found = undecayed(net)
    assert set(spared) <= found
    weights = {n for n, p in net.named_parameters() if n not in found}
    assert weights
    assert all(n.endswith("weight") for n in weights)


def test_layers_of_our_transformers_are_the_embedding_the_blocks_and_the_head():
    vit = build_model("vit-micro", classes=10, shape=(3, 32, 32))
    bare = build_model("vit-micro", classes=10, shape=(3, 32, 32), options={"positions": "none"})
    swin = build_model("swin-micro", classes=10, shape=(3, 32, 32), options={"bias": "both"})
    assert [len(layers_of(net)) for net in (vit, bare, swin)] == [6, 6, 8]
    first = {id(p) for p in layers_of(vit)[0]}
    assert {id(vit.class_token), id(vit.positions.table), id(vit.embed.conv.weight)} <= first
