"""Random numbers that are a function of (seed, image id, restart, step), not of the batch.

An attack must find the same perturbation for an image whether it is attacked alone, in a batch of
64 or after a restart of the program. A generator with a running state cannot do that; a
counter-based one can: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
3") maps a 128-bit counter and a 64-bit key to 128 random bits. Here the key is (seed, id) and the
counter (position in the image, step, restart, stream).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.counts import check_seed

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
Step = int | Int64[Tensor, " n"]
"""A step of a loop, or one for each sample."""


def philox(counter: Sequence[Tensor | int], key: Sequence[Tensor | int]) -> list[Tensor]:
    """Return the four 32-bit words of Philox4x32-10, as int64 tensors of the broadcast shape.

    >>> zero = torch.zeros(1, dtype=torch.int64)
    >>> [hex(int(word)) for word in philox([zero] * 4, [0, 0])]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        # int64 products wrap, but all 64 bits are right: the mask undoes the sign of the shift.
        p0, p1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _MASK) ^ c1 ^ k0,
            p1 & _MASK,
            ((p0 >> 32) & _MASK) ^ c3 ^ k1,
            p0 & _MASK,
        )
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return [torch.as_tensor(word) for word in (c0, c1, c2, c3)]


def derive(seed: int, *parts: int | str) -> int:
    """Return a 32-bit seed that depends on `seed` and on every part (an epoch, a purpose …).

    >>> derive(0, "augmentation", 3) == derive(0, "augmentation", 3) != derive(0, "augmentation", 4)
    True
    """
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.blake2s(text.encode(), digest_size=4).digest(), "big")


def generator(seed: int, *parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator seeded by `derive(seed, *parts)`.

    >>> torch.rand(1, generator=generator(0, "x")) == torch.rand(1, generator=generator(0, "x"))
    tensor([True])
    """
    return torch.Generator(device=device).manual_seed(derive(seed, *parts))


class Stream(IntEnum):
    """What the random numbers of a (seed, id) are for; each use has numbers of its own, but that the
    ninth and later targets of FAB share theirs with restarts.

    >>> int(Keys(0, torch.tensor([5])).split(Stream.JUDGE).stream)
    1
    """

    ATTACK = 0
    """An attack's starts, directions and noise; all that has no name below."""
    JUDGE = 1
    """The judge's noise: an attack must not succeed by knowing the draw."""
    TARGETS = 3
    """The random target of each image."""
    CHECK = 5
    """The points and directions that the checks of a verdict draw."""
    SELECTION = 7
    """The draws by which one of several images is chosen; see `evaluation.randomised`."""
    RESUBMISSIONS = 9
    """The fresh draws by which it is judged."""
    GRADIENTS = 11
    """The draws of two gradients that are compared; see `evaluation.gradient_agreement`."""
    MASKING = 13
    """The tokens that are hidden; see `text.masking`."""
    PAIRS = 15
    """The sentences that are put beside each other; see `text.next_sentence`."""
    RULES = 4097
    """The examples of rule-made sets; see `text.rules`."""
    RESTARTS = 16
    """Added to the number of a restart, from 1."""
    PER_TARGET = 2
    """Between one target of FAB's and the next, counted from the stream that it runs in."""


@dataclass(frozen=True)
class Keys:
    """The random stream of each sample of a batch.

    Args:
        seed: the attack's seed, 0 ≤ seed < 2³².
        ids: (n,) int64, one identity per sample, usually the index in the data set.
        stream: separates uses of the same (seed, id), for instance the attack's draws from the
            judge's.

    >>> keys = Keys(0, torch.tensor([5, 9]))
    >>> alone = Keys(0, torch.tensor([9]))
    >>> bool((keys.uniform((3, 8, 8))[1] == alone.uniform((3, 8, 8))[0]).all())
    True
    """

    seed: int
    ids: Int64[Tensor, " n"]
    stream: int = Stream.ATTACK

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def at(self, index: Tensor) -> Keys:
        """Return the streams of the samples that `index` selects."""
        return Keys(self.seed, self.ids[index], self.stream)

    def split(self, stream: int) -> Keys:
        """Return an independent stream for the same samples."""
        return Keys(self.seed, self.ids, stream)

    def uniform(
        self, shape: Sequence[int], *, restart: int = 0, step: Step = 0, draw: int = 0
    ) -> Float[Tensor, "n ..."]:
        """Return float32 numbers uniform in the open interval (0, 1), of shape (n, *shape)."""
        size = math.prod(shape)
        block = torch.arange((size + 3) // 4, device=self.ids.device)
        ids = (self.ids & _MASK)[:, None]
        which = step[:, None] & _MASK if isinstance(step, Tensor) else step
        counter: list[Tensor | int] = [block[None, :], which, restart, (self.stream << 16) + draw]
        words = torch.stack(philox(counter, [self.seed, ids]), dim=-1)
        # 23 bits and a half: every value is exact in float32 and neither 0 nor 1.
        numbers = ((words >> 9).to(torch.float32) + 0.5) * 2.0**-23
        return numbers.reshape(len(self.ids), -1)[:, :size].reshape(len(self.ids), *shape)

    def normal(
        self, shape: Sequence[int], *, restart: int = 0, step: Step = 0, draw: int = 0
    ) -> Float[Tensor, "n ..."]:
        """Return float32 standard normal numbers of shape (n, *shape), by Box and Muller's
        transform.
        """
        size = math.prod(shape)
        half = (size + 1) // 2
        u = self.uniform((2, half), restart=restart, step=step, draw=draw)
        radius = torch.sqrt(-2.0 * torch.log(u[:, 0]))
        angle = 2.0 * math.pi * u[:, 1]
        pair = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
        return pair[:, :size].reshape(len(self.ids), *shape)

    def normal_in_place(
        self, shape: Sequence[int], *, restart: int = 0, step: Step = 0, draw: int = 0
    ) -> Float[Tensor, "n ..."]:
        """Return standard normal numbers of shape (n, *shape) of which each is a function of its
        place: a longer first axis adds rows and changes none. Two draws are taken, `draw` and the
        next.

        >>> keys = Keys(0, torch.tensor([5]))
        >>> short, long = keys.normal_in_place((3, 5)), keys.normal_in_place((7, 5))
        >>> torch.equal(short, long[:, :3])
        True
        """
        u, v = (
            self.uniform(shape, restart=restart, step=step, draw=each) for each in (draw, draw + 1)
        )
        return torch.sqrt(-2.0 * torch.log(u)) * torch.cos(2.0 * math.pi * v)
