"""How long to train: as long as the error of held-out images falls, then again on all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor, nn

from saddlepoint.attacks import Attack
from saddlepoint.data import ImageData
from saddlepoint.defences import Recipe, Validation
from saddlepoint.lab.moved_images import moved_by
from saddlepoint.lab.outputs import logits_of
from saddlepoint.model import device_of
from saddlepoint.progress import Meter, Progress
from saddlepoint.training.feed import Feed
from saddlepoint.training.loop import take_step
from saddlepoint.training.randomness import forked_random_state
from saddlepoint.training.split import Split
from saddlepoint.training.state import State


@dataclass(frozen=True)
class EpochSearch:
    """The errors of held-out images after each epoch of a training.

    Attributes:
        clean: after the first epoch, the second …
        adversarial: likewise, of images that an attack has moved.
        by_adversarial: whether the adversarial error says how long to train, or the clean one.
        stopped: whether there was no better epoch for long enough; else the epochs ran out, and more
            might have been better.

    >>> EpochSearch((0.5, 0.2, 0.2), (0.9, 0.8, 0.7), by_adversarial=False, stopped=True).epochs
    2
    >>> EpochSearch((0.5, 0.2, 0.2), (0.9, 0.8, 0.7), by_adversarial=True, stopped=False).epochs
    3
    """

    clean: tuple[float, ...]
    adversarial: tuple[float, ...]
    by_adversarial: bool
    stopped: bool

    @property
    def decisive(self) -> tuple[float, ...]:
        """The errors that say how long to train."""
        return self.adversarial if self.by_adversarial else self.clean

    @property
    def epochs(self) -> int:
        """After how many epochs the smallest of them was reached first."""
        return 1 + self.decisive.index(min(self.decisive))


def search_epochs(
    build: Callable[[int], nn.Module],
    data: ImageData,
    recipe: Recipe,
    attack: Attack,
    *,
    by_adversarial: bool,
    share: float = 0.2,
    patience: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> EpochSearch:
    """Train a network on part of the images until the error of the rest falls no more.

    Unlike `Validation`, which looks at PGD's images, this looks at any attack's, whatever the
    objective trains for.

    Args:
        build: from a seed to a fresh network.
        data: all training images.
        recipe: how; its epochs are the most that are tried.
        attack: moves the images that are held out.
        by_adversarial: whether their error then is waited for, or that of the clean ones.
        share: of the images that are held out.
        patience: epochs without a smaller error that end the search.
        seed: of weights, orders, attacks, and of which images are held out.
        progress: told of every pass.

    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.lab import small_network
    >>> from saddlepoint.threat import Linf
    >>> data, recipe = load_data("digits", split="train", limit=100), Recipe(epochs=2, batch_size=32)
    >>> found = search_epochs(
    ...     lambda s: small_network(data, s), data, recipe, FGSM(Linf(0.2)), by_adversarial=True
    ... )
    >>> len(found.clean), found.stopped
    (2, False)
    """
    rows = Split.of(data, replace(recipe, validation=Validation(share)), seed).held_out
    x, y = data.images(rows), data.labels[rows.to(data.labels.device)].cpu()
    clean: list[float] = []
    adversarial: list[float] = []
    stopped = False
    meter = Meter(progress, recipe.epochs, "epochs")
    with meter.watching():
        for model in epoch_by_epoch(build(seed), data, recipe, share=share, seed=seed):
            labels = y.to(device_of(model))
            moved = moved_by(attack, model, x.to(labels.device), labels, seed)
            for errors, images in ((clean, x), (adversarial, moved)):
                wrong: Tensor = logits_of(model, images).argmax(1) != y
                errors.append(float(wrong.double().mean()))
            meter.add()
            decisive = adversarial if by_adversarial else clean
            stopped = len(decisive) - 1 - decisive.index(min(decisive)) >= patience
            if stopped:
                break
    return EpochSearch(tuple(clean), tuple(adversarial), by_adversarial, stopped)


def epoch_by_epoch(
    model: nn.Module, data: ImageData, recipe: Recipe, *, share: float, seed: int
) -> Iterator[nn.Module]:
    """Yield the model after each epoch of the training that `train` does with this share held out.

    >>> from saddlepoint.data import load_data
    >>> data, recipe = load_data("digits", split="train", limit=50), Recipe(epochs=2, batch_size=32)
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> [each is net for each in epoch_by_epoch(net, data, recipe, share=0.1, seed=0)]
    [True, True]
    """
    chosen = Split.of(data, replace(recipe, validation=Validation(share)), seed).trained_on
    feed = Feed(data, recipe, seed, device_of(model), chosen=chosen)
    state = State(model, recipe, len(feed), feed.first(), data)
    while state.epoch < recipe.epochs:
        model.train()
        with forked_random_state():
            for batch in feed.epoch(state.epoch):
                take_step(state, batch)
        state.finish_epoch()
        yield model
