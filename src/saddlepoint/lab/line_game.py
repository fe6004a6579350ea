"""The game of GANs on a line, where the distribution of the data is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.lab.discrete_game import jensen_shannon
from saddlepoint.objectives import GENERATOR_LOSSES, game_value
from saddlepoint.option_values import Count, Positive

_CENTRE, _WIDTH = 1.0, 0.3  # the mixture is of N(−1, 0.3²) and N(1, 0.3²), half and half
_LATENT, _CELLS, _END, _DRAWN = 4, 60, 3.0, 50_000


@dataclass(frozen=True)
class LineRecord:
    """Where a game stands after some steps.

    Attributes:
        step: of both players.
        js: of the histogram of G and the mixture, in nats.
        on_data, on_samples: the means of D.
        away: the mean over the data of |D − 1/2|.

    >>> LineRecord(1, 0.6, 0.5, 0.5, 0.0).js
    0.6
    """

    step: int
    js: float
    on_data: float
    on_samples: float
    away: float


def mixture(n: int, generator: torch.Generator) -> Float[Tensor, "n 1"]:
    """Draw from the mixture of two Gaussians.

    >>> bool(mixture(1000, torch.Generator().manual_seed(0)).abs().mean() > 0.9)
    True
    """
    side = torch.randint(0, 2, (n, 1), generator=generator) * 2 - 1
    return side * _CENTRE + _WIDTH * torch.randn(n, 1, generator=generator)


def cell_probabilities() -> Float[Tensor, " m"]:
    """Return the mixture's probability of each of 60 cells from −3 to 3.

    >>> round(float(cell_probabilities().sum()), 6)
    1.0
    """
    edges = torch.linspace(-_END, _END, _CELLS + 1, dtype=torch.float64)
    below = sum(torch.special.ndtr((edges - centre) / _WIDTH) / 2 for centre in (-_CENTRE, _CENTRE))
    return torch.as_tensor(below).diff()


def play_on_line(
    loss: str,
    seed: int,
    *,
    steps: Count = 2000,
    batch: Count = 256,
    hidden: Count = 64,
    learning_rate: Positive = 1e-3,
    told: Count = 10,
) -> tuple[list[LineRecord], Float[Tensor, " m"]]:
    """Play the game with two perceptrons, and return where it stood `told` times, and the histogram
    of G at the end, over the cells of `cell_probabilities`.

    One step of each player in turn, by Adam with β₁ = 0.5; D's rate is three times G's, and both fall
    to zero along a line.

    >>> records, histogram = play_on_line("minimax", 0, steps=4, batch=16, hidden=8, told=2)
    >>> [each.step for each in records]
    [2, 4]
    """
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(seed)
        g, d = _perceptron(_LATENT, hidden), _perceptron(1, hidden)
    rates = {g: learning_rate, d: 3 * learning_rate}
    adams = {net: torch.optim.Adam(net.parameters(), lr, (0.5, 0.999)) for net, lr in rates.items()}
    records = []
    with torch.enable_grad():
        for step in range(steps):
            for net, adam in adams.items():
                adam.param_groups[0]["lr"] = rates[net] * (1 - step / steps)
            x, z = mixture(batch, draw), torch.randn(batch, _LATENT, generator=draw)
            with torch.no_grad():
                fakes = g(z)
            adams[d].zero_grad()
            (-game_value(d(x), d(fakes))).backward()  # type: ignore[no-untyped-call]
            adams[d].step()
            z = torch.randn(batch, _LATENT, generator=draw)
            adams[g].zero_grad()
            GENERATOR_LOSSES[loss](d(g(z))).mean().backward()  # type: ignore[no-untyped-call]
            adams[g].step()
            if (step + 1) * told // steps > step * told // steps:
                record, histogram = _look(g, d, step + 1, draw)
                records.append(record)
    return records, histogram


@torch.no_grad()
def _look(
    g: nn.Module, d: nn.Module, step: int, draw: torch.Generator
) -> tuple[LineRecord, Float[Tensor, " m"]]:
    x, z = mixture(_DRAWN, draw), torch.randn(_DRAWN, _LATENT, generator=draw)
    samples = g(z)
    # What falls outside counts to the outermost cells, which the data hardly reach.
    cells = torch.histc(samples.clamp(-_END, _END), _CELLS, -_END, _END).double() / _DRAWN
    on_data, on_samples = d(x).sigmoid(), d(samples).sigmoid()
    return (
        LineRecord(
            step,
            jensen_shannon(cell_probabilities(), cells),
            float(on_data.mean()),
            float(on_samples.mean()),
            float((on_data - 0.5).abs().mean()),
        ),
        cells,
    )


def _perceptron(inputs: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.LeakyReLU(),
        nn.Linear(hidden, hidden), nn.LeakyReLU(), nn.Linear(hidden, 1),
    )  # fmt: skip
