"""Toy games of GANs with known answers."""

import math

import pytest
import torch
from lab_cases import bench

from saddlepoint.errors import InputError
from saddlepoint.lab import (
    EXPERIMENTS,
    ToySettings,
    best_discriminator,
    fitted_discriminator,
    jensen_shannon,
    play_on_line,
    run_gan_toy,
    value_of,
)

P, G = (0.5, 0.3, 0.2), (0.1, 0.3, 0.6)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("g", "value"), [(P, -1.3862944), (G, -1.1360931)])
def test_values_of_the_game_at_the_best_discriminator(g, value):
    p, g = tensor(P), tensor(g)
    best = best_discriminator(p, g)
    assert float(value_of(best, p, g)) == pytest.approx(value, abs=1e-6)
    assert 2 * jensen_shannon(p, g) - math.log(4) == pytest.approx(value, abs=1e-6)
    for shift in (-0.01, 0.01):  # no other answer is better
        assert float(value_of(best + shift, p, g)) < value


def test_the_least_value_is_at_the_data_s_distribution():
    torch.manual_seed(0)
    p = tensor(P)
    for _ in range(200):
        g = torch.rand(3).double()
        g = g / g.sum()
        assert float(value_of(best_discriminator(p, g), p, g)) >= -math.log(4)


@pytest.mark.parametrize("g", [P, G])
def test_a_logistic_regression_on_samples_comes_to_the_best_discriminator(g):
    drawn = torch.Generator().manual_seed(0)
    d = fitted_discriminator(P, g, 20_000, drawn)
    assert float((d - best_discriminator(tensor(P), tensor(g))).abs().max()) < 0.02


@pytest.mark.parametrize(
    ("loss", "steps"),
    [("non-saturating", 1000), pytest.param("minimax", 2000, marks=pytest.mark.slow)],
)
def test_the_game_on_a_line_ends_at_the_mixture_with_a_discriminator_that_guesses(loss, steps):
    records, cells = play_on_line(
        loss, seed=0, steps=steps, batch=128, hidden=32, learning_rate=2e-3
    )
    assert records[-1].js < min(0.05, records[0].js)
    assert records[-1].on_data == pytest.approx(0.5, abs=0.05)
    assert records[-1].on_samples == pytest.approx(0.5, abs=0.05)
    assert records[-1].away < 0.05
    assert float(cells[:30].sum()) == pytest.approx(0.5, abs=0.1)  # no mode is left out


def test_a_bench_without_training_plays_the_same_twice():
    settings = ToySettings(steps=5, seeds=1, hidden=4)
    one, other = (run_gan_toy(bench(2), settings).tables() for _ in range(2))
    assert all(str(one[name].rows) == str(other[name].rows) for name in one)


def test_settings_that_are_none_are_refused():
    for words, match in (
        ({"p": "0.5,0.6"}, "sum to 1"),
        ({"g": "0.5,0.5"}, "as many"),
    ):
        with pytest.raises(InputError, match=match):
            EXPERIMENTS["gan-toy"].parse(words)
    for words, match in (
        ({"generator": "simple-cnn"}, "makes no images"),
        ({"losses": "minmax"}, "minimax"),
        ({"discriminator": "mpl"}, "mlp"),
    ):
        with pytest.raises(InputError, match=match):
            EXPERIMENTS["gan-game"].parse(words)
