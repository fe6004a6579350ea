"""What is seen in a model, against what can be computed by hand."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.evaluation.look import (
    attention_of,
    feature_maps,
    first_filters,
    look_at,
    look_numbers,
)
from saddlepoint.evaluation.look.filters import place_similarity
from saddlepoint.model import Normalised
from saddlepoint.zoo import build_model

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def vit(**options):
    return build_model("vit-micro", classes=4, shape=(3, 16, 16), options=options).eval()


def silent(net):
    """A ViT whose queries are 0: every token looks at all alike."""
    for block in net.blocks:
        nn.init.zeros_(block.attention.qkv.weight[: net.design.width])
        nn.init.zeros_(block.attention.qkv.bias[: net.design.width])
    return net


@pytest.mark.parametrize("pool", ["class", "mean"])
def test_of_even_attention_everything_is_known(pool):
    seen = attention_of(silent(vit(pool=pool)), IMAGES)
    assert list(seen.layers) == [f"blocks.{i}.attention" for i in range(4)]
    for each in seen.maps.values():
        assert each.allclose(torch.tensor(1 / 16))
    assert seen.rollout.allclose(torch.tensor(1 / 16))
    place = torch.stack(torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij"), -1)
    expected = 4 * torch.cdist(place.view(-1, 2), place.view(-1, 2)).mean()
    for each in seen.distances.values():
        assert each.allclose(expected)
    changed = torch.zeros(3, 16, dtype=torch.bool)
    changed[:, :3] = True
    shares = seen.share_on(changed)
    assert len(shares) == (4 if pool == "class" else 0)
    assert all(share.allclose(torch.tensor(3 / 16)) for share in shares.values())


def test_divergence_is_that_of_scipy():
    net = vit()
    before, after = attention_of(net, IMAGES), attention_of(net, 1 - IMAGES)
    for name, bits in before.divergence(after).items():
        p, q = before.layers[name].double(), after.layers[name].double()
        expected = jensenshannon(p, q, base=2, axis=-1) ** 2
        torch.testing.assert_close(
            bits.double(), torch.as_tensor(expected).mean((1, 2)), atol=1e-7, rtol=1e-4
        )
    assert all(float(bits.abs().max()) == 0 for bits in before.divergence(before).values())


def test_changed_patches_are_those_of_the_input():
    after = IMAGES.clone()
    after[1, 2, 5, 9] += 0.1  # row 1, column 2 of patches of 4×4
    model = Normalised(vit(), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    changed = attention_of(model, IMAGES).changed(attention_of(model, after))
    assert changed.nonzero().tolist() == [[1, 6]]


@pytest.mark.parametrize("size", [16, 14])  # 14: maps of 7×7 are padded to 8×8
def test_a_swin_s_maps_sum_to_its_tokens_and_padding_is_left_out(size):
    images = IMAGES[:, :, :size, :size]
    net = build_model("swin-micro", classes=4, shape=(3, size, size)).eval()
    before, after = attention_of(net, images), attention_of(net, 1 - images)
    assert set(before.cuts) == set(before.layers)
    for name, each in before.maps.items():
        rows, columns = before.cuts[name].sides
        assert each.shape == (3, rows, columns)
        assert each.sum((1, 2)).allclose(torch.tensor(float(rows * columns)))
    for name, bits in before.divergence(after).items():
        # By hand: each token's row of its window, those of padding left out.
        cut = before.cuts[name]
        p, q = before.layers[name].double(), after.layers[name].double()
        each = torch.as_tensor(jensenshannon(p, q, base=2, axis=-1) ** 2).mean(2)
        places = cut.joined(each[..., None].float())
        torch.testing.assert_close(bits, places.mean((1, 2, 3)), atol=1e-6, rtol=1e-4)


def test_a_swin_of_another_size_than_built_is_cut_as_it_runs():
    net = build_model("swin-micro", classes=4, shape=(3, 32, 32)).eval()
    seen = attention_of(net, IMAGES)
    assert {cut.sides for cut in seen.cuts.values()} == {(8, 8), (4, 4), (2, 2)}


def test_looking_leaves_the_model_as_it_was_and_changes_no_logit():
    net = vit().train()
    wanted = net.eval()(IMAGES)
    net.train()
    state = {name: each.clone() for name, each in net.state_dict().items()}
    look_at(net, IMAGES, 1 - IMAGES)
    assert net.training
    assert all(torch.equal(each, state[name]) for name, each in net.state_dict().items())
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in net.modules())
    assert torch.equal(net.eval()(IMAGES), wanted)


class Twice(nn.Module):
    """Runs the network on each image and its mirror."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(torch.cat([x, x.flip(3)])).view(2, len(x), -1).mean(0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (build_model("resnet20", classes=4, shape=(3, 16, 16)), "no ViT or Swin of this package"),
        (Twice(vit()), "runs on 6 inputs for 3 images"),
        (nn.Flatten(), "no ViT or Swin of this package"),
    ],
)
def test_where_there_are_no_maps_it_says_why(model, message):
    with pytest.raises(InputError, match=message):
        attention_of(model, IMAGES)
    assert message in look_at(model, IMAGES).before.attention


def test_maps_are_what_the_blocks_return():
    net = build_model("resnet20", classes=4, shape=(3, 16, 16)).eval()
    found = feature_maps(net, IMAGES)
    assert list(found.blocks) == ["stage1.0", "stage1.1", "stage1.2"]
    expected = {}
    hook = net.stage1[1].register_forward_hook(lambda _m, _i, out: expected.update(y=out))
    net(IMAGES)
    hook.remove()
    torch.testing.assert_close(found.blocks["stage1.1"], expected["y"].detach())


@pytest.mark.parametrize(
    ("model", "blocks"),
    [
        (build_model("simple-cnn", classes=4, shape=(3, 16, 16)), [f"blocks.block{i}" for i in (1, 2, 3)]),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten()), ["0", "2"]),
        (build_model("resnet50", classes=4, shape=(3, 16, 16), options={"small": True}),
         ["stage1.0", "stage1.1", "stage1.2"]),
        (vit(), ["embed"]),
        (vit(stem="hybrid"), ["embed.stages.0.0", "embed.stages.1.0"]),
    ],
)  # fmt: skip
def test_blocks_are_found_in_every_network(model, blocks):
    assert list(feature_maps(model.eval(), IMAGES).blocks) == blocks


def test_networks_of_vectors_have_no_filters():
    net = nn.Sequential(nn.Flatten(), nn.Linear(768, 4))
    seen = look_at(net, IMAGES)
    assert (seen.filters, seen.places, seen.before.features) == (None, None, None)
    assert look_numbers(seen)["filters"] is None


def test_components_are_of_patch_embeddings_alone():
    assert first_filters(vit()).components.shape == (28, 3, 4, 4)
    assert first_filters(vit(stem="hybrid")).components is None
    assert first_filters(build_model("swin-micro", classes=4, shape=(3, 16, 16))).components is None


def test_places_have_cosines_and_the_class_token_is_left_out():
    net = vit()
    found = place_similarity(net)
    table = net.positions.table.detach()
    expected = nn.functional.cosine_similarity(table[1], table[16], dim=0)
    torch.testing.assert_close(found[0, 0, 3, 3], expected)
    assert place_similarity(vit(positions="none")) is None


def test_images_that_are_none_are_refused():
    with pytest.raises(InputError, match="a look is at images"):
        look_at(nn.Flatten(), torch.rand(2, 5))
