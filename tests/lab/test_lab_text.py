"""What is known of the experiments about attention and norms before they run."""

from __future__ import annotations

import math

import pytest
import torch
from lab_cases import bench

from saddlepoint.errors import InputError
from saddlepoint.lab import (
    CostSettings,
    LengthSettings,
    ScaleSettings,
    attention_cost,
    attention_scale,
    norms_on_lengths,
)
from saddlepoint.lab.attention_cost import KINDS
from saddlepoint.lab.attention_scale import SCALES
from saddlepoint.lab.text_tasks import few
from saddlepoint.text import load_text


def test_products_have_the_variance_d_and_the_gradient_vanishes_without_the_scale():
    found = attention_scale(bench(2), ScaleSettings((4, 64, 1024)))
    divided, plain = found.of(SCALES[0]), found.of(SCALES[1])
    for one, other in zip(divided, plain, strict=True):
        assert one.variance == pytest.approx(1, rel=0.1)
        assert other.variance == pytest.approx(one.width, rel=0.1)
    assert divided[-1].jacobian == pytest.approx(divided[0].jacobian, rel=0.2)
    assert plain[-1].jacobian < plain[0].jacobian / 4
    assert plain[-1].largest > 0.9 > 0.3 > divided[-1].largest


def test_the_jacobian_is_that_of_the_softmax():
    x = torch.randn(6, dtype=torch.float64)
    p = x.softmax(0)
    square = p.pow(2).sum()
    expected = torch.autograd.functional.jacobian(lambda z: z.softmax(0), x).norm()
    found = (square - 2 * p.pow(3).sum() + square**2).sqrt()
    torch.testing.assert_close(found, expected)


def test_layer_normalisation_does_not_see_the_batch():
    found = norms_on_lengths(bench(2), LengthSettings(spreads=(0, 15), batches=60))
    jitter = {(each.norm, each.spread): each.jitter for each in found.jitters}
    assert jitter["layer", 0] == jitter["layer", 15] == 0
    assert jitter["batch, without padding", 15] > jitter["batch, without padding", 0] > 0
    assert jitter["batch, padding among it", 15] > 1.5 * jitter["batch, padding among it", 0]
    offset = {(each.norm, each.times): each.offset for each in found.longer}
    assert offset["batch, without padding", 8] > 2 * offset["batch, without padding", 1]
    assert offset["layer", 8] < 1e-12
    with pytest.raises(InputError, match="a spread of 16 about 16"):
        LengthSettings(spreads=(16,))


def test_the_layers_are_what_they_are_called():
    x, draw = torch.randn(40, 8), torch.Generator().manual_seed(0)
    whole = KINDS["attention"].make(8, draw)(x)
    expected = torch.nn.functional.scaled_dot_product_attention(x[None], x[None], x[None])[0]
    torch.testing.assert_close(whole, expected)
    far = torch.arange(40)[None] - torch.arange(40)[:, None]
    bias = torch.zeros(40, 40).masked_fill((far < -8) | (far > 7), -math.inf)
    expected = ((x @ x.T / 8**0.5) + bias).softmax(-1) @ x
    torch.testing.assert_close(KINDS["restricted attention"].make(8, draw)(x), expected)
    v = torch.randn(8, generator=draw.manual_seed(1))
    scores = torch.tensor([[float((v * (q + k).tanh()).sum()) for k in x] for q in x])
    found = KINDS["additive attention"].make(8, draw.manual_seed(1))(x)
    torch.testing.assert_close(found, scores.softmax(-1) @ x)


def test_the_table_has_a_row_for_each_layer():
    found = attention_cost(bench(2), CostSettings((16, 32), (16, 32), 16, 16, 1))
    rows = found.tables()["summary"].rows
    assert [row[0] for row in rows] == list(KINDS)
    assert [(row[2], row[4]) for row in rows] == [(2, 1), (2, 1), (1, 1), (1, 2), (1, 2)]
    assert [row[5] for row in rows][:2] == [32 * 32, 32 * 32 * 16]
    assert all(each.seconds > 0 for each in (*found.by_length, *found.by_width))


@pytest.mark.parametrize("count", [1, 7, 60])
def test_more_labels_than_there_are_and_uneven_ones_are_refused(count):
    texts = load_text("rules:sentiment", split="train", limit=50)
    with pytest.raises(InputError, match=f"{count} labels were asked for, as many of each of 2"):
        few(texts, count, 0)
