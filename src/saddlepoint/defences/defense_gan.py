"""Defense-GAN: an image is replaced by the nearest one that a generator makes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.configuration import identified
from saddlepoint.counts import check_count
from saddlepoint.defences.purifier import Purified, Purifier
from saddlepoint.errors import InputError
from saddlepoint.option_values import Positive, check_value
from saddlepoint.zoo.generator import Generator, as_generator
from saddlepoint.zoo.generator_file import read_generator
from saddlepoint.zoo.inversion import invert

PUBLISHED: Mapping[str, int] = MappingProxyType({"restarts": 10, "steps": 200})
"""The paper's R and L: 2,011 passes of the generator forward for each prediction."""


@identified("saddlepoint.defences.defense_gan.defense_gan")
def defense_gan(
    model: nn.Module,
    generator: str = "",
    restarts: int = 4,
    steps: int = 50,
    step_size: float = 0.05,
    gradient: Literal["identity", "unrolled"] = "identity",
) -> Purified:
    """Return the model behind x ↦ G(z*), z* = argmin_z ‖G(z) − x‖₂² over R descents from random z.

    The starts are drawn at inference, so that it declares itself random. It is known not to defend:
    attacks that replace its backward by the identity, that differentiate through the descents, or
    that search the generator's images find what it classifies wrongly (Athalye et al. 2018,
    arXiv:1802.00420; Jalal et al. 2017, arXiv:1712.09196).

    Args:
        model: from images in [0, 1] to logits.
        generator: the folder of the training of a generator, or its file of weights.
        restarts: R; the paper has 10.
        steps: L, of Adam; the paper has 200, by momentum.
        step_size: of Adam, in the units of z.
        gradient: what an attack sees of it: "identity" (BPDA) or "unrolled", through all steps.

    Raises `InputError` for a generator that is missing, and options that make no sense.

    Reference: Samangouei, Kabkab and Chellappa 2018, arXiv:1805.06605.

    >>> defense_gan(nn.Flatten())
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: defense-gan has no generator; give generator=FOLDER of the ...
    """
    if not generator:
        raise InputError(
            "defense-gan has no generator; give generator=FOLDER of the training of one (gan-mlp …)"
        )
    return Purified(
        model, GeneratorPurifier(read_generator(generator), restarts, steps, step_size, gradient)
    )


class GeneratorPurifier(Purifier):
    """x ↦ G(z*), with z* by R descents of L steps from standard normal z; see `defense_gan`.

    >>> class Line(Generator):
    ...     def __init__(self):
    ...         super().__init__(1, channels=1, size=1, name="line")
    ...         self.body = nn.Identity()
    >>> purifier = GeneratorPurifier(Line(), restarts=2, steps=200, step_size=0.05)
    >>> f"{float(purifier(torch.full((1, 1, 1, 1), 0.8))):.2f}", purifier.passes["generator forward"]
    ('0.80', 403)
    """

    def __init__(
        self,
        generator: Generator,
        restarts: int = 4,
        steps: int = 50,
        step_size: float = 0.05,
        gradient: str = "identity",
    ) -> None:
        super().__init__(gradient)
        check_count("restarts", restarts)
        check_count("steps", steps)
        check_value("step_size", step_size, Positive)
        self.generator = as_generator(generator).eval().requires_grad_(False)
        self.restarts, self.steps, self.step_size = restarts, steps, step_size

    @property
    def passes(self) -> Mapping[str, int]:
        """R·(L + 1) + 1 of the generator forward, R·L backward."""
        return {
            "generator forward": self.restarts * (self.steps + 1) + 1,
            "generator backward": self.restarts * self.steps,
        }

    def purify(self, images: Float[Tensor, "n ..."], through: bool) -> Float[Tensor, "n ..."]:
        """Return G(z*); see `Purifier`."""
        if tuple(images.shape[1:]) != self.generator.shape:
            raise InputError(
                f"images have shape {tuple(images.shape[1:])} but the generator makes"
                f" {self.generator.shape}; train one for them"
            )
        like = images.new_empty(len(images), self.restarts, self.generator.latent)
        z = invert(
            self.generator,
            images,
            self.noise(like),
            steps=self.steps,
            step_size=self.step_size,
            through=through,
        )
        with torch.set_grad_enabled(through):
            made: Tensor = self.generator(z)
        return made

    def extra_repr(self) -> str:
        """Name the settings where the model is printed."""
        return f"restarts={self.restarts}, steps={self.steps}, {super().extra_repr()}"
