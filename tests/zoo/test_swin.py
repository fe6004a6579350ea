"""The Swin transformer against timm's, its windows against naive ones, and its sizes."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peers import swin_from_timm
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from saddlepoint.errors import InputError
from saddlepoint.zoo import (
    ZOO,
    Attention,
    Swin,
    SwinDesign,
    Windows,
    attention_cost,
    build_model,
    load_weights,
    relative_index,
    resized_tables,
    save_weights,
    window_attention_cost,
)
from saddlepoint.zoo.relative_bias import RelativeBias
from saddlepoint.zoo.swin_block import PatchMerging, SwinBlock

F64 = torch.float64


def swin(size=32, **options):
    design = SwinDesign(**{"width": 12, "depths": (2, 2), "heads": (3, 6), **options})
    return Swin(design, classes=7, channels=3, size=size)


@pytest.mark.parametrize(
    ("size", "patch", "window", "depths"),
    [((32, 32), 2, 4, (2, 2, 2)), ((56, 28), 2, 7, (1, 2)), ((16, 16), 4, 7, (2, 1))],
)
def test_logits_are_timms_where_nothing_is_padded(size, patch, window, depths):
    timm = pytest.importorskip("timm.models.swin_transformer")
    heads = (3, 6, 12)[: len(depths)]
    theirs = timm.SwinTransformer(
        img_size=size, patch_size=patch, embed_dim=12, depths=depths, num_heads=heads,
        window_size=window, num_classes=7, drop_path_rate=0.0,
    )  # fmt: skip
    for each in theirs.parameters():
        nn.init.normal_(each, std=0.2)
    ours = swin(size, patch=patch, window=window, depths=depths, heads=heads)
    state = swin_from_timm(theirs.state_dict())
    own = ours.state_dict()
    ours.load_state_dict({key: value for key, value in state.items() if key in own})
    images = torch.rand(3, 3, *size, dtype=F64)
    expected = theirs.to(F64).eval()(images)
    torch.testing.assert_close(ours.to(F64).eval()(images), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "count", "giga"),
    [
        ("swin-t", 28_288_354, 4.49),
        ("swin-s", 49_606_258, None),
        ("swin-b", 87_768_224, None),
    ],
)
def test_sizes_are_those_published(name, count, giga):
    with torch.device("meta"):
        net = ZOO[name].build(classes=1000, channels=3, size=224)
    assert sum(each.numel() for each in net.parameters()) == count
    if giga:
        images = torch.zeros(1, 3, 224, 224, device="meta")
        math_path, counter = sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False)
        with math_path, counter, torch.no_grad():
            net(images)
        assert round(counter.get_total_flops() / 2e9, 2) == giga


def test_the_size_of_ours():
    net = build_model("swin-micro", classes=10, shape=(3, 32, 32))
    assert round(sum(each.numel() for each in net.parameters()) / 1e6, 2) == 1.27


def naive(block, x):
    """The attention of a block, inside every window by itself: the map is cut at 0, s, s + M …, H."""
    _, height, width, _ = x.shape
    cut = block.windows.on((height, width))
    edges = []
    for side, window, shift in zip((height, width), cut.window, cut.shift, strict=True):
        # The windows that are not shifted begin at 0, those that are at the shift.
        first = [0] if not shift else [0, shift]
        edges.append(sorted({*first, *range(shift, side, window), side}))
    out = torch.empty_like(x)
    for top, bottom in zip(edges[0], edges[0][1:], strict=False):
        for left, right in zip(edges[1], edges[1][1:], strict=False):
            tokens = x[:, top:bottom, left:right]
            bias = None
            if block.bias is not None:
                # Of offsets within the window, looked up one by one.
                m = cut.window
                places = [(i, j) for i in range(bottom - top) for j in range(right - left)]
                bias = torch.stack([
                    torch.stack([
                        block.bias.table[(a - c + m[0] - 1) * (2 * m[1] - 1) + b - d + m[1] - 1]
                        for c, d in places
                    ]) for a, b in places
                ]).permute(2, 0, 1)  # fmt: skip
            found = block.attention(tokens.flatten(1, 2), bias=bias)
            out[:, top:bottom, left:right] = found.reshape(tokens.shape)
    return out


def block_on(sides, window, *, shifted=True, relative=True):
    torch.manual_seed(0)
    block = SwinBlock(12, 3, 48, Windows(window, shifted=shifted), sides, relative=relative)
    if relative:
        nn.init.normal_(block.bias.table)
    return block.to(F64).eval()


@pytest.mark.parametrize(
    ("sides", "window"),
    [
        ((8, 8), 4), ((14, 14), 7), ((8, 12), 4), ((9, 6), 3), ((4, 4), 4), ((4, 12), 4), ((6, 6), 2),
        ((3, 5), 7), ((9, 7), 4), ((10, 11), 4), ((5, 13), 4),  # padded, or smaller than a window
    ],
)  # fmt: skip
@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("shifted", [True, False])
def test_masked_windows_are_windows_by_themselves(sides, window, relative, shifted):
    block = block_on(sides, window, shifted=shifted, relative=relative)
    x = torch.randn(2, *sides, 12, dtype=F64)
    torch.testing.assert_close(block.attended(x, None), naive(block, x), rtol=0, atol=1e-12)


def test_without_the_mask_it_is_something_else():
    block = block_on((8, 8), 4)
    x = torch.randn(2, 8, 8, 12, dtype=F64)
    before = block.attended(x, None)
    block.mask = torch.zeros_like(block.mask)
    assert bool((block.attended(x, None) - before > 1e-3).any())


@pytest.mark.parametrize("place", [(0, 0), (1, 7), (3, 3), (7, 7)])
@pytest.mark.parametrize("shifted", [True, False])
def test_a_token_changes_exactly_its_window(place, shifted):
    block = block_on((8, 8), 4, shifted=shifted)
    x = torch.randn(1, 8, 8, 12, dtype=F64)
    moved = x.clone()
    moved[0, place[0], place[1]] += 1
    changed = (block.attended(moved, None) != block.attended(x, None)).any(-1)[0]
    shift = 2 if shifted else 0
    window = [(torch.arange(8) + 4 - shift) // 4 == (p + 4 - shift) // 4 for p in place]
    assert torch.equal(changed, window[0][:, None] & window[1])


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 9), st.booleans())
def test_windows_are_put_together_as_they_were(height, width, window, shifted):
    cut = Windows(window, shifted=shifted).on((height, width))
    x = torch.rand(2, height, width, 3)
    windows = cut.windows(x)
    assert torch.equal(cut.joined(windows), x)
    mask = cut.mask()
    assert mask.shape == (windows.shape[1], 1, windows.shape[2], windows.shape[2])
    assert not mask.diagonal(dim1=-2, dim2=-1).any()  # nobody is without company
    assert torch.equal(mask, mask.transpose(-2, -1))
    assert cut.plain == (not mask.any())


def test_regions_are_nine_and_padding_another():
    cut = Windows(4, shifted=True).on((8, 8))
    assert cut.regions().tolist() == [
        [0] * 4 + [1] * 2 + [2] * 2,
        [0] * 4 + [1] * 2 + [2] * 2,
        [0] * 4 + [1] * 2 + [2] * 2,
        [0] * 4 + [1] * 2 + [2] * 2,
        [3] * 4 + [4] * 2 + [5] * 2,
        [3] * 4 + [4] * 2 + [5] * 2,
        [6] * 4 + [7] * 2 + [8] * 2,
        [6] * 4 + [7] * 2 + [8] * 2,
    ]
    padded = Windows(4).on((5, 8)).regions()
    assert (padded == 9).sum() == 3 * 8
    assert (padded[5:] == 9).all()


@pytest.mark.parametrize("size", [33, (9, 5), (30, 17)])
def test_padding_is_nothing_to_the_gradient(size):
    net = swin(size)
    sides = (size, size) if isinstance(size, int) else size
    images = torch.rand(2, 3, *sides, requires_grad=True)
    net(images).square().sum().backward()
    assert bool(images.grad.isfinite().all())
    assert all(bool(each.grad.isfinite().all()) for each in net.parameters())


@pytest.mark.parametrize(("window", "heads"), [(2, 3), (4, 2), (7, 1)])
def test_the_table_of_offsets(window, heads):
    index = relative_index((window, window))
    span = 2 * window - 1
    assert (index.diagonal() == (span * span - 1) // 2).all()
    for row in range(-window + 1, window):
        for column in range(-window + 1, window):
            offset = (row + window - 1) * span + column + window - 1
            count = (window - abs(row)) * (window - abs(column))
            assert int((index == offset).sum()) == count
    bias = RelativeBias((window, window), heads)
    assert bias.table.shape == (span * span, heads)
    found = bias((window, window))
    assert torch.equal(found[0], bias.table[:, 0][index])


def test_a_table_of_another_window_is_interpolated_and_the_loader_says_so(tmp_path):
    bias = RelativeBias((4, 4), 3)
    assert torch.equal(bias.refitted("table", bias.table), bias.table)
    nn.init.constant_(bias.table, 0.7)
    torch.testing.assert_close(bias((6, 3)), torch.full((3, 18, 18), 0.7))
    small, large = swin(window=4), swin(window=7)
    path = save_weights(small, tmp_path / "small.safetensors")
    told = (
        r"stages\.0\.blocks\.0\.bias\.table is \(49, 3\).*needs \(169, 3\).*resized_tables\(state"
    )
    with pytest.raises(InputError, match=told):
        load_weights(large, path)
    large.load_state_dict(resized_tables(small.state_dict(), large))
    grid = small.stages[0].blocks[0].bias.table.reshape(7, 7, 3).permute(2, 0, 1)[None]
    expected = nn.functional.interpolate(grid, (13, 13), mode="bicubic")[0].permute(1, 2, 0)
    torch.testing.assert_close(large.stages[0].blocks[0].bias.table.reshape(13, 13, 3), expected)


def test_images_of_another_size_are_those_of_a_network_built_for_them():
    small, large = swin(32, bias="both").eval(), swin((44, 40), bias="both").eval()
    large.load_state_dict(resized_tables(small.state_dict(), large))
    images = torch.rand(2, 3, 44, 40)
    torch.testing.assert_close(small(images), large(images), rtol=1e-5, atol=1e-6)


def test_the_windows_that_are_used_can_be_read():
    net = build_model("swin-micro", classes=10, shape=(3, 32, 32), options={"window": 8})
    used = [(cut.window, cut.shift) for cut in net.cuts.values()]
    eight = (8, 8)
    assert used == [
        (eight, (0, 0)),
        (eight, (4, 4)),
        *[(eight, (0, 0))] * 2,
        *[((4, 4), (0, 0))] * 2,
    ]
    assert "4×4 in windows of 4×4, not shifted" in repr(net)
    still = swin(shift=False)
    assert all(cut.shift == (0, 0) for cut in still.cuts.values())
    assert any(any(cut.shift) for cut in swin().cuts.values())


@pytest.mark.parametrize(
    ("bias", "tables", "codes"),
    [("relative", 4, 0), ("absolute", 0, 1), ("both", 4, 1), ("none", 0, 0)],
)
def test_kinds_of_bias(bias, tables, codes):
    net = swin(bias=bias)
    keys = list(net.state_dict())
    assert sum(key.endswith("bias.table") for key in keys) == tables
    assert sum(key == "positions.table" for key in keys) == codes
    assert net(torch.rand(1, 3, 32, 32)).shape == (1, 7)


def test_merging_is_the_four_neighbours_in_the_papers_order():
    merging = PatchMerging(5)
    x = torch.rand(2, 4, 6, 5)
    parts = x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]
    # They stand in the order of columns before rows.
    expected = merging.reduction(merging.norm(torch.cat(parts, -1)))
    torch.testing.assert_close(merging(x), expected)
    assert merging.reduction.bias is None


def flops(run):
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops() // 2


def test_costs_are_the_papers_and_what_is_counted():
    with torch.device("meta"):
        layer = Attention(96, 3)
        whole, windows = torch.zeros(1, 56 * 56, 96), torch.zeros(1, 64, 49, 96)
    assert flops(lambda: layer(whole)) == attention_cost(56, 56, 96) == 2_003_828_736
    assert flops(lambda: layer(windows)) == window_attention_cost(56, 56, 96, 7) == 145_108_992
    counted = {"all": [], "windows": []}
    with torch.device("meta"):
        layer = Attention(4, 1)
        for side in (512, 1024):
            x = torch.zeros(1, side * side, 4)
            counted["all"].append(flops(partial(layer, x)))
            counted["windows"].append(flops(partial(layer, x.reshape(1, -1, 16, 4))))
    slopes = {
        name: math.log(values[1] / values[0]) / math.log(4) for name, values in counted.items()
    }
    assert slopes["all"] == pytest.approx(2, abs=1e-4)
    assert slopes["windows"] == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: swin(heads=(3, 5)), "24 features do not divide among 5 heads"),
        (lambda: swin(depths=(2, 2, 2)), "differ in length"),
        (lambda: swin(depths=(), heads=()), "give at least one"),
        (lambda: swin(depths=2), "depths is 2"),
        (lambda: swin(shift="maybe"), 'shift is "maybe"; it is True or False'),
        (lambda: swin(window=0), "window is 0"),
        (lambda: swin(depths=(2, 0)), "depths is 0"),
        (lambda: swin(bias="relativ"), "unknown bias 'relativ'; did you mean 'relative'"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_lists_of_a_file_are_tuples():
    options = {"depths": [1, 1], "heads": [2, 4], "shift": False}
    net = build_model("swin-micro", classes=3, shape=(1, 28, 28), options=options)
    assert net.design.depths == (1, 1)
    assert net(torch.rand(2, 1, 28, 28)).shape == (2, 3)
