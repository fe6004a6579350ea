"""What an attack is given on the command line: budget, goal, mask, and the wrappers around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saddlepoint.cli import complete, options
from saddlepoint.cli.assignments import pairs
from saddlepoint.cli.model import read_given
from saddlepoint.cli.prepare import Prepared, build_surrogate
from saddlepoint.counts import MOST
from saddlepoint.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Bool
    from torch import Tensor, nn

    from saddlepoint.attacks import Attack
    from saddlepoint.attacks.core.targets import TargetCase
    from saddlepoint.threat import Statistics


@dataclass(frozen=True, kw_only=True)
class AttackOptions:
    """All that is said of an attack besides its name."""

    eps: Annotated[
        str | None,
        typer.Option(
            help="The budget: 8/255, 0.5 … Without it a minimum-norm attack reports distances; the others"
            " need it."
        ),
    ] = None
    norm: options.Norm = "linf"
    space: options.Space = "pixels"
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="A hyper-parameter, NAME=VALUE: steps=40, step_size=2/255 …"),
    ] = None
    target: Annotated[
        int | None, typer.Option(help="Attack towards this class, a number from 0.")
    ] = None
    targets: Annotated[
        str | None,
        typer.Option(
            help="Attack towards other classes: average (one at random), best or worst (all; the"
            " easiest or the hardest counts)."
        ),
    ] = None
    mask: Annotated[
        Path | None,
        typer.Option(help="A picture, .npy or .pt: light or non-zero where a feature may change."),
    ] = None
    surrogate: Annotated[
        Path | None,
        typer.Option(
            help="Transfer: weights (a file, or a training's folder) of the model that is attacked"
            " in this one's place."
        ),
    ] = None
    surrogate_model: options.SurrogateModel = None
    restarts: Annotated[
        int,
        typer.Option(min=1, max=MOST, help="Run the attack this often, from other random draws."),
    ] = 1
    bpda: Annotated[
        list[str] | None,
        typer.Option(help="A module of the model whose backward becomes the identity; repeatable."),
    ] = None
    lattice: Annotated[
        bool,
        typer.Option(
            "--eight-bit", help="A minimum-norm attack's results as 8-bit images that fool."
        ),
    ] = False
    smallest: Annotated[
        bool,
        typer.Option(
            "--smallest", help="Search for the smallest budget at which the attack fools."
        ),
    ] = False
    wrap: Annotated[
        list[str] | None,
        typer.Option(
            help="An attack around the attack: bpda=MODULE, straight-through, smoothed, skip-gradient=0.5,"
            " transfer=WEIGHTS, restarted=5, smallest, shrinking, eight-bit; repeatable,"
            " the first one innermost, around those of the options above.",
            autocompletion=complete.of(complete.WRAPPERS),
        ),
    ] = None
    criterion: options.Criterion = "misclassified"
    eot_samples: options.EotSamples = None

    @property
    def case(self) -> TargetCase | None:
        """Which other classes are aimed at."""
        from saddlepoint.attacks.core.targets import case_of

        return case_of(self.targets)

    def checker(self, name: str) -> Callable[[Statistics, tuple[int, ...] | None], Attack]:
        """Return what refuses options that no attack of this name takes, once the normalisation and
        perhaps the images' shape are known; raises `InputError` for what can be refused at once.
        """
        from torch import nn

        from saddlepoint.attacks import wrapped

        words, made = self._words(), self._maker(name)

        def readable(weights: str) -> nn.Module:
            read_given(Path(weights))
            return nn.Identity()

        return lambda *known: wrapped(made(*known), words, readable)

    def attack(self, name: str, subject: options.Subject, prepared: Prepared) -> Attack:
        """Return the attack with its wrappers; a surrogate's fingerprint goes into the identity."""
        from saddlepoint.attacks import wrapped
        from saddlepoint.zoo import weights_fingerprint

        def lend(weights: str) -> nn.Module:
            lent = build_surrogate(
                subject, self.surrogate_model or subject.model, Path(weights), prepared
            )
            prepared.identity["surrogate"] = weights_fingerprint(lent)
            return lent

        made = self._maker(name)(prepared.statistics, prepared.data.shape)
        return wrapped(made, self._words(), lend)

    def where(self, shape: tuple[int, ...]) -> Bool[Tensor, ...] | None:
        """Return where features of images of this shape may change; None is everywhere."""
        from saddlepoint.evaluation import read_mask

        return None if self.mask is None else read_mask(self.mask, shape)

    def _words(self) -> list[str]:
        words = [
            *([f"bpda={','.join(self.bpda)}"] if self.bpda else []),
            *([f"transfer={self.surrogate}"] if self.surrogate is not None else []),
            *([f"restarted={self.restarts}"] if self.restarts > 1 else []),
            *(["smallest"] if self.smallest else []),
            *(["eight-bit"] if self.lattice else []),
            *(self.wrap or []),
        ]
        transfers = sum(word.startswith("transfer=") for word in words)
        if self.surrogate_model is not None and not transfers:
            raise InputError("--surrogate-model needs its weights; give --surrogate")
        if transfers > 1:
            raise InputError(f"there is one surrogate at most; transfer is given {transfers} times")
        return words

    def _maker(self, name: str) -> Callable[[Statistics, tuple[int, ...] | None], Attack]:
        from saddlepoint.attacks import build_attack, parse_criterion
        from saddlepoint.threat import threat_from

        fooled = parse_criterion(self.criterion)

        def make(statistics: Statistics, shape: tuple[int, ...] | None) -> Attack:
            budget = math.inf if self.eps is None else self.eps
            threat = threat_from(self.norm, budget, self.space, "image", statistics, shape)
            return replace(build_attack(name, threat, pairs(self.option)), criterion=fooled)

        return make
