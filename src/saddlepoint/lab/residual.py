"""What the layers of plain and residual networks do: responses, and accuracy without single blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet, title_left
from saddlepoint.lab.spread import Spread
from saddlepoint.lab.table import Table
from saddlepoint.lab.vision_networks import VisionNetwork
from saddlepoint.model import Normalised
from saddlepoint.option_values import Count
from saddlepoint.progress import Course
from saddlepoint.streams import derive
from saddlepoint.training import train
from saddlepoint.zoo import (
    ResNetCifar,
    block_names,
    deepened,
    layer_responses,
    without_blocks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_IMAGES = 500  # that responses are measured on


@dataclass(frozen=True)
class ResidualSettings(Settings):
    """Settings of `run_residual`; the epochs are the bench's.

    Args:
        networks: of the zoo, of the same kind of blocks.
        seeds: trainings of each.
        deeper: layers that every plain net gets in the end, the new ones as the identity, to be trained
            on for as many epochs again.

    >>> ResidualSettings().networks
    ('plain20', 'resnet20', 'resnet56')
    """

    networks: tuple[str, ...] = ("plain20", "resnet20", "resnet56")
    seeds: Count = 3
    deeper: tuple[Count, ...] = (56,)


@dataclass(frozen=True)
class Deepened:
    """A plain net with layers that began as the identity.

    Attributes:
        network, seed, layers: which, and of how many layers it then is.
        begun, trained: the accuracy with the new layers, before and after it was trained on.
    """

    network: str
    seed: int
    layers: int
    begun: float
    trained: float


@dataclass(frozen=True, eq=False)
class Looked:
    """One trained network.

    Attributes:
        network, seed: which.
        accuracy: of the bench's images.
        responses: by layer; see `saddlepoint.zoo.layer_responses`.
        without: the accuracy without each block, by its name; NaN for a plain block that changes the
            shape, which cannot be left out.
    """

    network: str
    seed: int
    accuracy: float
    responses: Mapping[str, float]
    without: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Residual:
    """What was found, network by network and seed by seed.

    >>> one = Looked("net", 1, 0.9, {"conv": 1.0}, {"stage1.0": 0.5})
    >>> Residual((one,)).tables()["summary"].rows
    (('net', 1, 0.9, 1.0, 0.5, 0.5),)
    """

    networks: tuple[Looked, ...]
    deepened: tuple[Deepened, ...] = ()

    def of(self, name: str) -> list[Looked]:
        """Return the seeds of a network."""
        return [each for each in self.networks if each.network == name]

    @property
    def names(self) -> tuple[str, ...]:
        """The networks, in their order."""
        return tuple(dict.fromkeys(each.network for each in self.networks))

    def tables(self) -> Mapping[str, Table]:
        """Return a short table, every response, and the accuracy without every block."""
        summary = [
            (each.network, each.seed, each.accuracy, Spread.of(each.responses.values()).mean,
             Spread.of(each.without.values()).mean, min(_there(each.without), default=float("nan")))
            for each in self.networks
        ]  # fmt: skip
        return {
            "summary": Table(
                ("network", "seed", "accuracy", "mean response", "mean without a block",
                 "least without a block"), tuple(summary),
            ),
            "responses": Table(
                ("network", "seed", "layer", "response"),
                tuple((n.network, n.seed, k, v) for n in self.networks for k, v in n.responses.items()),
            ),
            "blocks": Table(
                ("network", "seed", "block", "accuracy without"),
                tuple((n.network, n.seed, k, v) for n in self.networks for k, v in n.without.items()),
            ),
            "deepened": Table(
                ("network", "seed", "layers", "accuracy at first", "trained on"),
                tuple((d.network, d.seed, d.layers, d.begun, d.trained) for d in self.deepened),
            ),
        }  # fmt: skip


def run_residual(bench: Bench, settings: ResidualSettings) -> Residual:
    """Train each network, measure how far its layers respond, leave its blocks out one at a time, and
    make plain nets deeper.

    Responses: He et al. 2016, arXiv:1512.03385, figure 7. Blocks: Veit, Wilber and Belongie 2016,
    arXiv:1605.06431: a residual network is hardly hurt, a plain one is lost. A deeper plain net that
    computes the same there always is (He et al., section 1); training does not find it.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=4)
    >>> train = load_data("digits", split="train", limit=64)
    >>> found = run_residual(Bench(test, lambda: train, epochs=1), ResidualSettings(("plain20",), 1, (26,)))
    >>> len(found.networks[0].responses), len(found.networks[0].without), found.deepened[0].layers
    (19, 9, 26)
    """
    plain = [name for name in settings.networks if name.startswith("plain")]
    several = len(settings.networks) + len(plain) * len(settings.deeper)
    course = Course(bench.progress, settings.seeds * several)
    found, deepened_nets = [], []
    for i in range(settings.seeds):
        seed = derive(bench.seed, "repetition", i)
        for name in settings.networks:
            network = VisionNetwork(name, "resnet-cifar")
            model = train(
                network.build(bench.train, seed).to(bench.device), bench.train,
                network.recipe_of(bench.epochs, bench.test.shape), seed=seed,
                progress=course.next(f"{name}, seed {i + 1}"),
            ).model  # fmt: skip
            responses = layer_responses(model, bench.images[:_IMAGES])
            without = {block: _without(model, block, bench) for block in block_names(model)}
            found.append(Looked(name, i + 1, _accuracy(model, bench), responses, without))
            for layers in settings.deeper if name in plain else ():
                told = course.next(f"{name} with {layers} layers, seed {i + 1}")
                deeper = _deeper(model, layers, bench)
                begun = _accuracy(deeper, bench)
                recipe = network.recipe_of(bench.epochs, bench.test.shape)
                deeper = train(deeper, bench.train, recipe, seed=seed, progress=told).model
                accuracy = _accuracy(deeper, bench)
                deepened_nets.append(Deepened(name, i + 1, layers, begun, accuracy))
    return Residual(tuple(found), tuple(deepened_nets))


def _deeper(model: nn.Module, layers: int, bench: Bench) -> nn.Module:
    net = model.net if isinstance(model, Normalised) else model
    assert isinstance(net, ResNetCifar)
    return (
        Normalised(deepened(net, layers), bench.train.mean, bench.train.std).to(bench.device).eval()
    )


def _accuracy(model: nn.Module, bench: Bench) -> float:
    return float((predictions(model, bench.images)[0] == bench.labels).double().mean())


def _without(model: nn.Module, block: str, bench: Bench) -> float:
    try:
        with without_blocks(model, [block]):
            return _accuracy(model, bench)
    except InputError:  # a plain block that changes the shape
        return float("nan")


def _there(values: Mapping[str, float]) -> list[float]:
    return [value for value in values.values() if value == value]


def draw_residual(found: Residual) -> Figure:
    """Draw the responses by layer, and the accuracy without each block; layers and blocks from the
    first, 0, to the last, 1, so that depths can be compared.

    >>> one = Looked("net", 1, 0.9, {"conv": 1.0, "last": 2.0}, {"a": 0.5, "b": 0.6})
    >>> len(draw_residual(Residual((one,))).axes)
    2
    """
    named = looks(found.names)
    with sheet(8.6, 3.4) as figure:
        left, right = figure.subplots(1, 2)
        for name, look in named.items():
            seeds = found.of(name)
            _line(left, [list(each.responses.values()) for each in seeds], look.line)
            drops = [[100 * value for value in each.without.values()] for each in seeds]
            _line(right, drops, look.line)
            whole = Spread.of(100 * each.accuracy for each in seeds).mean
            right.axhline(whole, color=look.colour, lw=0.8, ls=":")
        left.set_ylabel("standard deviation")
        left.set_ylim(bottom=0)
        title_left(left, "responses of the 3×3 layers")
        right.set_ylabel("accuracy (%)")
        right.set_ylim(0, 102)
        title_left(right, "without one block (dotted: with all)")
        for axes, what in ((left, "layer"), (right, "block left out")):
            axes.set_xlabel(f"{what}, first to last")
        legend_above(figure, keys_of(named))
    return figure


def _line(axes: Axes, seeds: list[list[float]], look: Mapping[str, object]) -> None:
    means = [Spread.of(each).mean for each in zip(*seeds, strict=True)]
    places = [i / max(len(means) - 1, 1) for i in range(len(means))]
    axes.plot(places, means, **{**look, "markersize": 3, "linewidth": 1.0})  # type: ignore[arg-type]
