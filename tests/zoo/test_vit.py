"""The vision transformer against timm's, its sizes, its codes of places, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from peers import vit_from_timm
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from saddlepoint.errors import InputError
from saddlepoint.zoo import (
    ZOO,
    ViT,
    ViTDesign,
    build_model,
    load_weights,
    renew_head,
    resized_tables,
    save_weights,
)
from saddlepoint.zoo.drop_path import DropPath
from saddlepoint.zoo.positions import POSITIONS, LearnedPositions, Places
from saddlepoint.zoo.stems import resized_kernel
from saddlepoint.zoo.tables import resized_grid

F64 = torch.float64


def vit(size=32, channels=3, classes=10, **options):
    design = ViTDesign(**{"depth": 2, "width": 24, "heads": 3, **options})
    return ViT(design, classes=classes, channels=channels, size=size)


@pytest.mark.parametrize("pool", ["class", "mean"])
@pytest.mark.parametrize(("size", "patch", "channels"), [((32, 32), 4, 3), ((28, 14), 7, 1)])
def test_logits_are_timms(pool, size, patch, channels):
    timm = pytest.importorskip("timm.models.vision_transformer")
    classed = pool == "class"
    theirs = timm.VisionTransformer(
        img_size=size, patch_size=patch, in_chans=channels, embed_dim=24, depth=3, num_heads=3,
        num_classes=7, class_token=classed, global_pool="token" if classed else "avg", fc_norm=False,
    )  # fmt: skip
    for each in theirs.parameters():
        nn.init.normal_(each, std=0.2)
    ours = vit(size, channels, 7, patch=patch, depth=3, pool=pool)
    ours.load_state_dict(vit_from_timm(theirs.state_dict()))
    images = torch.rand(3, channels, *size, dtype=F64)
    expected = theirs.to(F64).eval()(images)
    torch.testing.assert_close(ours.to(F64).eval()(images), expected, rtol=1e-9, atol=1e-12)


def on_meta(name, classes, size, **options):
    with torch.device("meta"):
        return ZOO[name].build(classes=classes, channels=3, size=size, **options)


def parameters(net):
    return sum(each.numel() for each in net.parameters())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("vit-ti16", 5_717_416),
        ("vit-s16", 22_050_664),
        ("vit-b16", 86_567_656),
        ("vit-b32", 88_224_232),
        ("vit-l16", 304_326_632),
        ("vit-h14", 632_045_800),
    ],
)
def test_sizes_are_those_published(name, count):
    assert parameters(on_meta(name, 1000, 224)) == count


def test_the_cost_of_b16_is_that_published():
    net = on_meta("vit-b16", 1000, 224)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 3, 224, 224, device="meta"))
    assert round(counter.get_total_flops() / 2e9, 2) == 17.56


@pytest.mark.parametrize(
    ("options", "channels", "size", "count"),
    [
        ({}, 3, 32, 459_562),
        ({"patch": 8}, 3, 32, 468_778),
        ({"width": 64, "heads": 4}, 1, 28, 205_066),
    ],
)
def test_sizes_of_ours(options, channels, size, count):
    net = build_model("vit-micro", classes=10, shape=(channels, size, size), options=options)
    assert parameters(net) == count


@pytest.mark.parametrize(("first", "second"), [(2, 4), (4, 8), (8, 16)])
def test_what_a_smaller_patch_adds_and_takes(first, second):
    """Not "no extra parameters": fewer weights of the embedding, more rows of the table."""
    small, large = (
        build_model("vit-micro", classes=10, shape=(3, 32, 32), options={"patch": p})
        for p in (first, second)
    )
    embedding = (second**2 - first**2) * 3 * 96
    rows = ((32 // first) ** 2 - (32 // second) ** 2) * 96
    assert parameters(small) - parameters(large) == rows - embedding


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("pool", ["class", "mean"])
def test_without_positions_patches_are_a_bag(positions, pool):
    net = vit(positions=positions, pool=pool).to(F64).eval()
    for each in net.parameters():
        nn.init.normal_(each, std=0.5)
    images = torch.rand(2, 3, 32, 32, dtype=F64)
    patches = images.reshape(2, 3, 8, 4, 8, 4).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    mixed = patches[:, torch.randperm(64)].reshape(2, 8, 8, 3, 4, 4)
    mixed = mixed.permute(0, 3, 1, 4, 2, 5).reshape(images.shape)
    with torch.no_grad():
        apart = float((net(mixed) - net(images)).abs().max())
    assert apart < 1e-10 if positions == "none" else apart > 1e-3


def test_relative_codes_are_the_definition():
    net = vit(size=(8, 12), positions="relative").to(F64)
    codes = net.positions
    nn.init.normal_(codes.table)
    query = torch.randn(2, 3, 7, 8, dtype=F64)
    found = codes.bias(query, (2, 3))
    for q in range(6):
        for k in range(6):
            offset = q // 3 - k // 3 + 1, q % 3 - k % 3 + 2
            expected = query[:, :, q + 1] @ codes.table[offset] / math.sqrt(8)
            torch.testing.assert_close(found[:, :, q + 1, k + 1], expected)
    assert not found[:, :, 0].any()
    assert not found[:, :, :, 0].any()


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("pool", ["class", "mean"])
def test_another_resolution_is_the_same_network_with_interpolated_tables(positions, pool):
    small = vit(32, positions=positions, pool=pool).eval()
    images = torch.rand(2, 3, 48, 64)
    large = vit((48, 64), positions=positions, pool=pool).eval()
    large.load_state_dict(resized_tables(small.state_dict(), large))
    torch.testing.assert_close(large(images), small(images), rtol=1e-5, atol=1e-6)


def test_tables_of_compiled_networks_are_interpolated_too():
    small, large = vit(32), vit(48)
    wanted = resized_tables(small.state_dict(), large)["positions.table"]
    wrapped = torch.compile(large, backend="eager")
    for state in (small.state_dict(), torch.compile(small, backend="eager").state_dict()):
        found = resized_tables(state, wrapped)
        (key,) = (each for each in found if each.endswith("positions.table"))
        assert torch.equal(found[key], wanted)


@pytest.mark.parametrize("positions", ["1d", "2d", "relative"])
def test_interpolation_at_equal_size_is_the_identity_and_keeps_constants(positions):
    small, same, large = (vit(size, positions=positions) for size in (32, 32, 56))
    state = small.state_dict()
    again = resized_tables(state, same)
    assert all(torch.equal(again[key], state[key]) for key in state)
    constant = {k: torch.full_like(v, 0.3) if "positions" in k else v for k, v in state.items()}
    for key, value in resized_tables(constant, large).items():
        if key.startswith("positions"):
            assert value.shape == large.state_dict()[key].shape
            torch.testing.assert_close(value, torch.full_like(value, 0.3))
    table = torch.randn(7, 7, 5)
    inner = nn.functional.interpolate(table.permute(2, 0, 1)[None], (7, 7), mode="bicubic")
    assert torch.equal(inner[0].permute(1, 2, 0), table)  # so the short way out changes nothing
    assert resized_grid(table, (7, 7)) is table


def test_the_row_of_the_class_token_stays_and_the_others_are_a_grid():
    codes = LearnedPositions(Places((4, 4), 6))
    table = torch.randn(10, 6)  # of 3×3 and a class token
    found = codes.refitted("table", table)
    assert torch.equal(found[0], table[0])
    grid = nn.functional.interpolate(
        table[1:].reshape(3, 3, 6).permute(2, 0, 1)[None], (4, 4), mode="bicubic"
    )[0]
    torch.testing.assert_close(found[1:].reshape(4, 4, 6), grid.permute(1, 2, 0))


@pytest.mark.parametrize("positions", ["1d", "2d", "relative"])
def test_weights_of_another_resolution_say_how_they_are_interpolated(positions, tmp_path):
    path = save_weights(vit(32, positions=positions), tmp_path / "small.safetensors")
    with pytest.raises(InputError, match=r"positions\..*resized_tables\(state, model\)") as error:
        load_weights(vit(48, positions=positions), path)
    if positions == "1d":
        assert "is (65, 24), but the model needs (145, 24)" in str(error.value)
    with pytest.raises(InputError, match="cannot be interpolated"):
        resized_tables(
            vit(32, positions=positions).state_dict(), vit(48, positions=positions, width=48)
        )


def test_a_pretraining_head_is_a_perceptron_and_fine_tuning_begins_at_zero():
    net = vit(hidden=40, classes=100).eval()
    images = torch.rand(2, 3, 32, 32)
    pooled = net.pooled(net.tokens(images))
    hidden = torch.tanh(net.head.hidden(pooled))
    torch.testing.assert_close(net(images), net.head.logits(hidden))
    assert not renew_head(net, 5)(images).any()
    drawn = renew_head(net, 5, zero=False)(images)
    assert drawn.shape == (2, 5)
    assert drawn.any()
    assert not vit(head="zero")(images).any()
    assert not vit(head="zero", hidden=40)(images).any()


@pytest.mark.parametrize("patch", [2, 4, 8])
def test_a_hybrid_has_the_features_of_a_cnn_as_patches(patch):
    net = vit(stem="hybrid", patch=patch)
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    assert net.embed(images).shape == (2, 24, 32 // patch, 32 // patch)
    nn.functional.cross_entropy(net(images), torch.tensor([0, 1])).backward()
    assert float(images.grad.abs().max()) > 0
    unused = [name for name, each in net.named_parameters() if each.grad is None]
    assert unused == []


@pytest.mark.parametrize("positions", POSITIONS)
def test_every_parameter_gets_a_gradient(positions):
    net = vit(positions=positions, dropout=0.1, drop_path=0.1)
    nn.functional.cross_entropy(net(torch.rand(4, 3, 32, 32)), torch.arange(4)).backward()
    assert [name for name, each in net.named_parameters() if each.grad is None] == []


def test_branches_are_left_out_more_often_the_deeper_they_are():
    net = vit(depth=5, drop_path=0.4)
    probabilities = [m.p for m in net.modules() if isinstance(m, DropPath)]
    assert probabilities == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    layer = DropPath(0.3)
    out = layer(torch.ones(20_000, 2, 3))
    assert set(out.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.7)}
    assert (out == out[:, :1, :1]).all()  # whole samples
    assert float(out.mean()) == pytest.approx(1, abs=5 * math.sqrt(0.3 / 0.7 / 20_000))
    net.eval()
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(net(images), net(images))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vit(30), "30×30 are no multiple of the patch 4; resize them, or take patch=3"),
        (lambda: vit()(torch.rand(1, 3, 34, 32)), "34×32 are no multiple of the patch 4; .* patch=2"),
        (lambda: vit(31), "31×31 are no multiple of the patch 4; resize them$"),
        (lambda: vit(width=25), "25 features do not divide among 3 heads"),
        (lambda: vit(width=27, positions="2d"), "positions 2d halve the width"),
        (lambda: vit(pool="max"), "unknown pool 'max'"),
        (lambda: vit(positions="3d"), "unknown positions '3d'"),
        (lambda: vit(stem="hybrd"), "unknown stem 'hybrd'; did you mean 'hybrid'"),
        (lambda: vit(patch=0), "patch is 0"),
        (lambda: vit(size=36, stem="hybrid", patch=6), "hybrid stem with patch 6"),
        (lambda: vit(drop_path=1.0), "drop_path is 1"),
        (lambda: build_model("vit-micro", classes=3, shape=(3, 32, 32), options={"hed": 2}),
         "unknown option of vit-micro 'hed'; did you mean 'head'"),
        (lambda: build_model("vit-micro", classes=3, shape=(3, 32, 32), options={"width": "wide"}),
         "width is 'wide'"),
    ],
)  # fmt: skip
def test_what_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(("patch", "side"), [(2, 4), (4, 6), (4, 8)])
def test_a_kernel_for_larger_patches_says_of_a_resized_patch_what_it_said_of_the_patch(patch, side):
    kernel = torch.randn(5, 3, patch, patch, dtype=torch.float64)
    patches = torch.randn(7, 3, patch, patch, dtype=torch.float64)
    resized = nn.functional.interpolate(patches, (side, side), mode="bilinear")
    found = nn.functional.conv2d(resized, resized_kernel(kernel, side))
    torch.testing.assert_close(found, nn.functional.conv2d(patches, kernel), rtol=1e-9, atol=1e-9)


def test_weights_of_another_patch_say_how_they_are_made_to_fit(tmp_path):
    small, large = vit(32, patch=4).eval(), vit(64, patch=8).eval()
    path = save_weights(small, tmp_path / "small.safetensors")
    told = r"embed\.conv\.weight is .*4, 4\), but .*8, 8\); .*resized_tables\(state, model\)"
    with pytest.raises(InputError, match=told):
        load_weights(large, path)
    large.load_state_dict(resized_tables(small.state_dict(), large))
    flat = torch.rand(2, 3, 8, 8)  # every patch of one colour
    images = (nn.functional.interpolate(flat, scale_factor=k) for k in (8, 4))
    torch.testing.assert_close(large(next(images)), small(next(images)), rtol=1e-4, atol=1e-5)
