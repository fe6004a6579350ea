"""Layers that are random at inference, and how a model declares itself so."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.answers import unanswered
from saddlepoint.streams import Keys

_WORD = 0xFFFFFFFFFFFFFFFF


class RandomLayer(nn.Module):
    """A layer that is random at inference and draws from the keyed stream of each sample.

    Inside a guard `keys` is set before every pass, so that the noise is a function of (seed, id,
    stream, pass, layer, call), a call being the how-manieth draw of this layer in this pass: a
    layer that is used several times in a forward draws afresh each time. Outside a guard, in
    training for instance, `keys` is None and the layer uses torch's own generator.

    >>> is_random(nn.Sequential(RandomLayer()))
    True
    """

    is_random: bool = True
    """A layer whose noise is switched off may say False."""

    def __init__(self) -> None:
        super().__init__()
        self.start_pass(None)

    def start_pass(self, keys: Keys | None, *, layer: int = 0, number: int = 0) -> None:
        """Begin a pass: the guard says whose noise it is, which layer this is and which pass."""
        self.keys, self._layer, self._pass, self._call = keys, layer, number, 0

    def noise(self, like: Tensor) -> Tensor:
        """Return standard normal noise in the shape of `like`."""
        if self.keys is None:
            return torch.randn_like(like)
        call, self._call = self._call, self._call + 1
        if like.is_cuda:
            where = {"step": self._pass, "draw": self._layer, "restart": call}
            return self.keys.normal(like.shape[1:], **where).to(like)
        return _normal_on_cpu(self.keys, like.shape[1:], self._pass, call, self._layer).to(like)


def is_random(model: nn.Module) -> bool:
    """Return whether the model, or a layer of it, declares itself random at inference.

    >>> is_random(nn.Linear(1, 1))
    False
    """
    return any(getattr(module, "is_random", False) for module in model.modules())


def averaged_passes(model: nn.Module) -> int:
    """Return over how many draws of its noise one call of the model averages already.

    A module that runs what is inside it several times says so by an attribute `averaged_passes`.
    What counts is the random layer that is averaged least.

    >>> net = nn.Sequential(RandomLayer())
    >>> net.averaged_passes = 5
    >>> averaged_passes(net), averaged_passes(nn.Sequential(RandomLayer(), net))
    (5, 1)
    """

    def counts(module: nn.Module, around: int) -> Iterator[int]:
        around *= getattr(module, "averaged_passes", 1)
        if getattr(module, "is_random", False):
            yield around
        for child in module.children():
            yield from counts(child, around)

    return min(counts(model, 1), default=getattr(model, "averaged_passes", 1))


def log_mean_probability(passes: Float[Tensor, "s n k"]) -> Float[Tensor, "n k"]:
    """Return the logarithm of the mean softmax over s passes, or members, as logits.

    One logit z per image stands for the probability sigmoid(z), and comes back as one logit.

    >>> log_mean_probability(torch.tensor([[[0.0, 0.0]], [[0.0, 100.0]]])).exp()
    tensor([[0.2500, 0.7500]])
    """
    if passes.shape[2] == 1:
        yes, no = (functional.logsigmoid(z).logsumexp(0) for z in (passes, -passes))
        return yes - no
    return passes.log_softmax(2).logsumexp(0) - math.log(len(passes))


def averaged(passes: Sequence[Float[Tensor, "n k"]]) -> Float[Tensor, "n k"]:
    """Return the logits that stand for several passes; those of one pass as they are.

    >>> averaged([torch.tensor([[5.0, 1.0]])])
    tensor([[5., 1.]])
    """
    return passes[0] if len(passes) == 1 else log_mean_probability(torch.stack(list(passes)))


def same_logits(
    a: Float[Tensor, "n k"], b: Float[Tensor, "n k"], dtype: torch.dtype | None = None
) -> bool:
    """Return whether two passes over the same images agree, but for rounding.

    Some CUDA kernels add in varying order. The rounding is that of `dtype`, relative to the spread
    of the logits, and that of the logits themselves. No answer agrees with no answer (NaN with NaN)
    and with nothing else.

    >>> a = torch.tensor([[1e5, 1e5 + 1.0]])
    >>> same_logits(a, a + 1e-2), same_logits(a, a + torch.tensor([[0.0, 0.1]]))
    (True, False)
    >>> same_logits(a / 0 * 0, a / 0 * 0), same_logits(a / 0 * 0, a)
    (True, False)
    """
    coarse = 4 * torch.finfo(torch.float32 if dtype is None else dtype).eps
    finite = a.isfinite() & b.isfinite()
    x, y = (torch.where(finite, z, 0.0) for z in (a, b))
    high, low = (torch.where(finite, a, end) for end in (-torch.inf, torch.inf))
    spread = (high.amax(1) - low.amin(1)).clamp_min(0)
    allowed = max(1e-4, coarse) * spread + 4 * torch.finfo(a.dtype).eps * x.abs().amax(1)
    apart = (x - y).abs().amax(1) > allowed
    unlike = (a.isfinite() != b.isfinite()).any(1)
    none = unanswered(a)
    return not bool(((none != unanswered(b)) | (~none & (apart | unlike))).any())


def _normal_on_cpu(keys: Keys, shape: Sequence[int], *where: int) -> Float[Tensor, "n ..."]:
    """Return what `Keys.normal` does, in other numbers of the same law, 2.5 times as fast.

    NumPy's Philox4x64-10 counts in C, where 32-bit words in int64 tensors take ten rounds of a
    dozen operations over memory. Its key is (seed and stream, id) and its counter (position,
    *where), so that no two streams overlap; only its raw words are used, which are the same in
    every release of NumPy.
    """
    size = math.prod(shape)
    words = np.empty((len(keys.ids), (size + 1) // 2), np.uint64)
    philox = np.random.Philox(0)
    state = philox.state
    for row, identity in zip(words, keys.ids.tolist(), strict=True):
        state["state"]["key"][:] = keys.seed | keys.stream << 32, identity & _WORD
        state["state"]["counter"][:] = 0, *where
        philox.state = state
        row[:] = philox.random_raw(len(row))
    bits = torch.from_numpy(words.view(np.int32))
    # 23 random bits of mantissa make a number in [1, 2): less one and plus half a step, exactly.
    uniform = ((bits >> 9) & 0x7FFFFF | 0x3F800000).view(torch.float32) - (1 - 2.0**-24)
    radius, angle = uniform.chunk(2, dim=1)  # Box and Muller
    radius, angle = radius.log().mul_(-2).sqrt_(), angle * (2 * math.pi)
    pair = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)
    return pair[:, :size].reshape(len(keys.ids), *shape)
