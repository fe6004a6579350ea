"""Writing a sentence token after token: the best token each time, or several beginnings at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.option_values import Count, Interval, Natural, check_fields
from saddlepoint.text.tokens import BOS, CLS, EOS, MASK, PAD, SEP, Tokens
from saddlepoint.text.transformer import Transformer

_NEVER = [PAD, CLS, SEP, MASK, BOS]  # are written


@dataclass(frozen=True, eq=False)
class Written:
    """Sentences that were written.

    Attributes:
        ids: the tokens of each, without [EOS].
        scores: what they were chosen by; of `Greedy` the logarithm of the probability.

    >>> len(Written([[7, 8]], torch.zeros(1)).ids)
    1
    """

    ids: list[list[int]]
    scores: Float[Tensor, " n"]


@dataclass(frozen=True)
class Greedy:
    """The most probable token each time, until it is [EOS].

    Args:
        extra: tokens, [EOS] among them, by which a sentence may be longer than its source.

    >>> from saddlepoint.text.tokens import padded
    >>> from saddlepoint.text.transformer import TransformerDesign
    >>> net = Transformer(TransformerDesign(20, 16, 1, 2, 32)).eval()
    >>> written = Greedy(extra=2).write(net, padded([[7, 8, 6]]))
    >>> len(written.ids[0]) <= 4
    True
    """

    extra: Natural = 50

    def __post_init__(self) -> None:
        check_fields(self)

    @torch.no_grad()
    def write(self, model: Transformer, source: Tokens) -> Written:
        """Return a sentence for each of `source`; the model is to be in evaluation mode."""
        limits = _limits(model, source, self.extra)
        memory, cache = model.encode(source), model.new_cache()
        last = torch.full((len(source),), BOS, device=source.ids.device)
        scores, going = torch.zeros(len(source), dtype=memory.dtype, device=last.device), last > 0
        rows: list[list[int]] = [[] for _ in range(len(source))]
        for t in range(int(limits.max())):
            hidden = model.decode(_column(last), memory, source.keep, cache)
            logs, last = _logs(model, hidden, limits <= t + 1).max(-1)
            scores = torch.where(going, scores + logs, scores)
            going = going & (last != EOS)
            for i in going.nonzero().flatten().tolist():
                rows[i].append(int(last[i]))
            if not bool(going.any()):
                break
        return Written(rows, scores)


@dataclass(frozen=True)
class BeamSearch:
    """The `width` best beginnings go on at once; the best end by log P(Y)/((5 + |Y|)/6)^α wins.

    Wu et al. 2016, arXiv:1609.08144, without their penalty for what was not translated. |Y| counts
    [EOS]. Of the 2·width best continuations those that end are finished, and `width` of the others
    go on. A sentence at its limit must end. The search stops when no beginning can win any more.

    Args:
        width: beginnings.
        alpha: of the length; 0 compares probabilities.
        extra: tokens, [EOS] among them, by which a sentence may be longer than its source.

    >>> from saddlepoint.text.tokens import padded
    >>> from saddlepoint.text.transformer import TransformerDesign
    >>> net = Transformer(TransformerDesign(20, 16, 1, 2, 32)).eval()
    >>> BeamSearch(width=2).write(net, padded([[7, 8, 6], [9, 6]])).scores.shape
    torch.Size([2])
    """

    width: Count = 4
    alpha: Annotated[float, Interval("[0, 50]")] = 0.6
    extra: Natural = 50

    def __post_init__(self) -> None:
        check_fields(self)

    @torch.no_grad()
    def write(self, model: Transformer, source: Tokens) -> Written:
        """Return a sentence for each of `source`; the model is to be in evaluation mode."""
        n, k, device = len(source), self.width, source.ids.device
        limits = _limits(model, source, self.extra)
        each = torch.arange(n, device=device).repeat_interleave(k)
        memory, keep, cache = model.encode(source)[each], source.keep[each], model.new_cache()
        # Of the k beginnings, all [BOS], one alone may go on.
        live = torch.full((n, k), -math.inf, dtype=memory.dtype, device=device)
        live[:, 0] = 0
        ids = torch.full((n, k, 1), BOS, device=device)
        best = [list[int]() for _ in range(n)]
        scores = torch.full((n,), -math.inf, dtype=memory.dtype, device=device)
        for t in range(int(limits.max())):
            hidden = model.decode(_column(ids[:, :, -1].flatten()), memory, keep, cache)
            logs = _logs(model, hidden, (limits <= t + 1)[each]).reshape(n, k, -1)
            total, place = (live[:, :, None] + logs).flatten(1).topk(min(2 * k, k * logs.shape[2]))
            beam, token = place // logs.shape[2], place % logs.shape[2]

            ended = (total / self.penalty(t + 1)).masked_fill(token != EOS, -math.inf)
            found, which = ended.max(1)
            for i in (found > scores).nonzero().flatten().tolist():
                scores[i] = found[i]
                best[i] = ids[i, beam[i, which[i]], 1:].tolist()

            live, order = total.masked_fill(token == EOS, -math.inf).topk(k)
            beam, token = beam.gather(1, order), token.gather(1, order)
            rows = beam + k * torch.arange(n, device=device)[:, None]
            cache.follow(rows.flatten())
            ids = torch.cat([ids.flatten(0, 1)[rows], token[:, :, None]], 2)
            # Whatever is added only lowers a probability; the longest sentence divides it by most.
            most = torch.tensor([self.penalty(limit) for limit in limits.tolist()]).to(live)
            if bool((live[:, 0] / most <= scores).all()):
                break
        return Written(best, scores)

    def penalty(self, length: int) -> float:
        """Return ((5 + |Y|)/6)^α.

        >>> BeamSearch(alpha=1.0).penalty(7)
        2.0
        """
        return float(((5 + length) / 6) ** self.alpha)


def _limits(model: Transformer, source: Tokens, extra: int) -> Int64[Tensor, " n"]:
    longest = model.positions.longest
    limits = source.lengths + extra
    return limits if longest is None else limits.clamp_max(longest)


def _column(ids: Int64[Tensor, " n"]) -> Tokens:
    return Tokens(ids[:, None], torch.ones_like(ids[:, None], dtype=torch.bool))


def _logs(
    model: Transformer, hidden: Float[Tensor, "n 1 d"], must_end: Bool[Tensor, " n"]
) -> Float[Tensor, "n v"]:
    """Return log P of the next token, −∞ of those that may not come."""
    logs = model.logits(hidden[:, -1]).log_softmax(-1)
    logs[:, _NEVER] = -math.inf
    end = logs[:, EOS].clone()
    logs = logs.masked_fill(must_end[:, None], -math.inf)
    logs[:, EOS] = end
    return logs
