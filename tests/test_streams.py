"""Philox against its published vectors; uniform and normal numbers against their laws."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from saddlepoint.errors import InputError
from saddlepoint.streams import Keys, derive, generator, philox

ONES = 0xFFFFFFFF
# Random123's known-answer vectors for philox4x32-10.
VECTORS = [
    ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([ONES] * 4, [ONES] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
@pytest.mark.parametrize("tensors", ["counter", "key", "both", "none"])
def test_published_vectors(counter, key, expected, tensors):
    if tensors in ("counter", "both"):
        counter = [torch.tensor([c]) for c in counter]
    if tensors in ("key", "both"):
        key = [torch.tensor([k]) for k in key]
    assert " ".join(f"{int(word):08x}" for word in philox(counter, key)) == expected


KEYS = Keys(0, torch.arange(500))


def test_uniform_numbers_are_uniform_and_open():
    u = KEYS.uniform((41,))
    assert stats.kstest(u.flatten().double().numpy(), "uniform").pvalue > 1e-3
    assert float(u.min()) > 0
    assert float(u.max()) < 1
    assert u.unique().numel() > 0.99 * u.numel()


def test_normal_numbers_are_normal():
    z = KEYS.normal((41,))
    assert stats.kstest(z.flatten().double().numpy(), "norm").pvalue > 1e-3
    assert abs(float(stats.kurtosis(z.flatten().numpy()))) < 0.1
    assert bool(z.isfinite().all())


@pytest.mark.parametrize("draw", ["uniform", "normal"])
def test_neighbouring_streams_are_uncorrelated(draw):
    def numbers(keys=KEYS, **where):
        return getattr(keys, draw)((50,), **where).flatten()

    streams = [
        numbers(),
        numbers(step=1),
        numbers(restart=1),
        numbers(draw=1),
        numbers(KEYS.split(1)),
        numbers(Keys(1, KEYS.ids)),
        numbers(Keys(0, KEYS.ids + 500)),
        KEYS.at(KEYS.ids.flip(0)).uniform((50,)).flatten(),
    ]
    correlation = torch.corrcoef(torch.stack(streams)).fill_diagonal_(0)
    assert float(correlation.abs().max()) < 0.03
    samples = torch.corrcoef(getattr(KEYS, draw)((500,))).fill_diagonal_(0)
    assert float(samples.abs().mean()) < 0.05


@pytest.mark.parametrize("draw", ["uniform", "normal"])
def test_a_sample_has_the_same_numbers_in_every_company(draw):
    whole = getattr(KEYS, draw)((3, 5, 5), restart=2, step=3)
    some = KEYS.at(torch.tensor([499, 0, 7]))
    assert torch.equal(getattr(some, draw)((3, 5, 5), restart=2, step=3), whole[[499, 0, 7]])


def test_seeds_are_32_bits():
    for seed in (-1, 2**32):
        with pytest.raises(InputError, match=f"seed is {seed}"):
            Keys(seed, torch.arange(1))
    assert bool(Keys(2**32 - 1, torch.tensor([-1])).uniform((4,)).isfinite().all())


def test_derived_seeds_depend_on_every_part():
    seeds = [
        derive(0),
        derive(1),
        derive(0, "a"),
        derive(0, "b"),
        derive(0, "a", 1),
        derive(0, "a", 2),
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
    state = torch.random.get_rng_state()
    assert torch.equal(
        torch.rand(3, generator=generator(0, "a")), torch.rand(3, generator=generator(0, "a"))
    )
    assert torch.equal(state, torch.random.get_rng_state())
