"""The masked autoencoder: what it sees, what it costs, and its file."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from saddlepoint.errors import InputError
from saddlepoint.model import Normalised
from saddlepoint.zoo import (
    DecoderDesign,
    MAEDecoder,
    MaskedAutoencoder,
    ViT,
    ViTDesign,
    load_mae,
    masks,
    normalised_patches,
    patchify,
    reconstruction_losses,
    save_decoder,
    save_weights,
    unpatchify,
)
from saddlepoint.zoo.mae import sincos

GRID = (4, 4)


def autoencoder(decoder=None, channels=1, **options):
    torch.manual_seed(0)
    design = ViTDesign(**{"patch": 4, "width": 24, "depth": 2, "heads": 2, **options})
    net = ViT(design, classes=3, channels=channels, size=16)
    model = Normalised(net, (0.3,) * channels, (0.5,) * channels)
    return MaskedAutoencoder(model, MAEDecoder(net, decoder or DecoderDesign(1, 16, 2))).double()


def images(n=3, channels=1):
    draw = torch.Generator().manual_seed(1)
    return torch.rand(n, channels, 16, 16, generator=draw, dtype=torch.float64)


def mask(n=3, ratio=0.75):
    return masks("random", torch.arange(n), GRID, ratio, seed=0)


DESIGNS = {
    "as it is": {},
    "no class token": {"pool": "mean"},
    "relative": {"positions": "relative"},
    "2d": {"positions": "2d"},
    "none": {"positions": "none"},
}
DECODERS = {
    "in the decoder": DecoderDesign(1, 16, 2),
    "in the encoder": DecoderDesign(1, 16, 2, mask_tokens="encoder"),
}


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize("options", DESIGNS.values(), ids=DESIGNS)
def test_no_pixel_of_a_hidden_patch_reaches_the_loss(options, decoder):
    mae, hidden = autoencoder(decoder, **options), mask()
    x = images().requires_grad_()
    clean = images().requires_grad_()
    loss = reconstruction_losses(mae(x, hidden), mae.targets(clean), hidden).sum()
    through, target = torch.autograd.grad(loss, (x, clean))
    of_input, of_target = (patchify(each, 4).abs().sum(2) for each in (through, target))
    assert bool((of_input[hidden] == 0).all())
    assert bool((of_input[~hidden] > 0).all())
    assert bool((of_target[~hidden] == 0).all())
    assert bool((of_target[hidden] > 0).all())


@pytest.mark.parametrize("options", DESIGNS.values(), ids=DESIGNS)
def test_the_encoder_is_the_vit_on_the_tokens_that_are_kept(options):
    """All patches kept, in any order, are the classifier's own; and left-out ones are not looked at."""
    net = autoencoder(**options).encoder
    x = images()
    order = torch.rand(3, 16, generator=torch.Generator().manual_seed(2)).argsort(1)
    whole = net.tokens(x)
    first = int(net.class_token is not None)
    found = net.encoded(net.embedded(x), GRID, order)
    torch.testing.assert_close(found[:, :first], whole[:, :first])
    expected = whole[:, first:].gather(1, order[:, :, None].expand(-1, -1, 24))
    torch.testing.assert_close(found[:, first:], expected)
    # The same by −∞ in the attention to what is left out.
    kept = order[:, :5].sort(1).values
    away = torch.ones(3, 16, dtype=torch.bool).scatter_(1, kept, False)
    wall = torch.zeros(3, 1, 1, 16 + first, dtype=x.dtype)
    wall[:, 0, 0, first:].masked_fill_(away, -torch.inf)
    tokens = net.embedded(x)
    if first:
        tokens = torch.cat([net.class_token.expand(3, 1, -1), tokens], 1)
    z = net.positions(tokens, GRID)
    for block in net.blocks:

        def bias(query):
            own = net.positions.bias(query, GRID)
            return wall.expand(3, 2, 16 + first, -1) if own is None else own + wall

        z = block(z, bias)  # fmt: skip
    masked = net.norm(z)[:, first:].gather(1, kept[:, :, None].expand(-1, -1, 24))
    seen = net.encoded(net.embedded(x), GRID, kept)[:, first:]
    torch.testing.assert_close(seen, masked)


def test_targets_of_constant_and_of_any_images():
    mae, hidden = autoencoder(), mask()
    flat = torch.full((3, 1, 16, 16), 0.7, dtype=torch.float64)
    assert mae.targets(flat).abs().max() < 1e-9
    x = images()
    patches = patchify(x, 4)
    variance = patches.var(2, correction=0)
    # Who predicts the mean of every patch has a loss of the mean variance …
    predicted = patches.mean(2, keepdim=True).expand_as(patches)
    raw = reconstruction_losses(predicted, patches, hidden)
    expected = torch.stack([v[h].mean() for v, h in zip(variance, hidden, strict=True)])
    torch.testing.assert_close(raw, expected)
    # … and of σ²/(σ² + 1e-6) where targets are normalised, whose mean is 0.
    normal = reconstruction_losses(torch.zeros_like(patches), normalised_patches(patches), hidden)
    expected = torch.stack(
        [(v[h] / (v[h] + 1e-6)).mean() for v, h in zip(variance, hidden, strict=True)]
    )
    torch.testing.assert_close(normal, expected)


def test_a_quarter_of_the_patches_costs_a_quarter():
    net = ViT(ViTDesign(), channels=1, size=28)
    x = torch.rand(1, 1, 28, 28)

    def count(kept):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net.encoded(net.embedded(x), (7, 7), kept)
        return counter.get_total_flops()

    quarter = count((~masks("random", torch.arange(1), (7, 7), 0.75, seed=0)).nonzero()[None, :, 1])
    assert quarter <= 0.27 * count(None)
    assert quarter >= 0.2 * count(None)


def test_a_reconstruction_leaves_what_is_visible():
    mae, x, hidden = autoencoder(channels=3), images(channels=3), mask()
    found = patchify(mae.reconstruct(x, hidden), 4)
    assert torch.equal(found[~hidden], patchify(x, 4)[~hidden])
    assert bool(((found >= 0) & (found <= 1)).all())
    assert not torch.equal(found[hidden], patchify(x, 4)[hidden])
    # Nothing of a hidden patch is in it, its mean and deviation neither.
    spoilt = torch.where(hidden[:, :, None], 1 - patchify(x, 4) ** 2, patchify(x, 4))
    again = mae.reconstruct(unpatchify(spoilt, 4, mae.decoder.grid), hidden)
    torch.testing.assert_close(patchify(again, 4)[hidden], found[hidden])
    with pytest.raises(InputError, match=r"the mask is \(2, 9\); 2 images have \(2, 16\) patches"):
        mae(x[:2], hidden[:2, :9])


def test_without_blocks_a_prediction_knows_the_place_alone():
    mae, hidden = autoencoder(DecoderDesign(0, 16, 2)), mask()
    one, other = mae(images(), hidden), mae(1 - images(), hidden)
    torch.testing.assert_close(one[hidden], other[hidden])
    loss = reconstruction_losses(one, mae.targets(images()), hidden).sum()
    loss.backward()
    assert all(not p.grad.any() for p in mae.encoder.parameters() if p.grad is not None)
    # With mask tokens in the encoder it knows the image.
    mae = autoencoder(DecoderDesign(0, 16, 2, mask_tokens="encoder"))
    one, other = mae(images(), hidden), mae(1 - images(), hidden)
    assert (one - other)[hidden].abs().min() > 0


def test_codes_of_places_are_sines_and_cosines_that_tell_places_apart():
    codes = sincos((7, 5), 16).double()
    assert torch.cdist(codes, codes).fill_diagonal_(9).min() > 0.1
    rows, columns = codes.reshape(7, 5, 2, 8).unbind(2)
    assert torch.equal(rows[:, 0], rows[:, 4])
    assert torch.equal(columns[0], columns[6])
    torch.testing.assert_close(rows.square().sum(2), torch.full((7, 5), 4.0).double())


def test_a_saved_autoencoder_is_the_same(tmp_path):
    mae, hidden = autoencoder(channels=3).float(), mask()
    save_weights(mae.model, tmp_path / "model.safetensors")
    save_decoder(mae, tmp_path)
    state = torch.get_rng_state()
    found = load_mae(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert not found.training
    x = images(channels=3).float()
    assert torch.equal(found(x, hidden), mae.eval()(x, hidden))
    assert torch.equal(found.model(x), mae.model(x))


def test_what_is_no_file_of_a_decoder_is_refused(tmp_path):
    net = ViT(channels=1, size=28)
    save_weights(net, tmp_path / "decoder.safetensors")
    with pytest.raises(InputError, match="is not the decoder of a masked autoencoder"):
        load_mae(tmp_path)


def test_what_cannot_be_an_encoder_is_refused():
    with pytest.raises(InputError, match="a hybrid stem lets hidden pixels into visible patches"):
        autoencoder(stem="hybrid")
    with pytest.raises(InputError, match="is for a ViT, and this is a Flatten"):
        MaskedAutoencoder(nn.Flatten(), autoencoder().decoder)
    with pytest.raises(InputError, match="a multiple of 4"):
        DecoderDesign(width=30)
    with pytest.raises(InputError, match=r"images of 32×32, but the decoder paints 16×16"):
        autoencoder()(torch.zeros(1, 1, 32, 32).double(), mask(1))
