"""Training tokens per second of our Transformer, against `torch.nn.Transformer` of the same shape.

    python benchmarks/text.py [--width 128] [--depth 3] [--batch 64] [--length 20] [--repeats 15]

Both have the same table of embeddings for both sides and for the logits, sinusoidal codes, dropout and
label smoothing, and take a step of Adam on the same padded batch. Rounds alternate, and the time is the
median of the processor's, on the threads that torch has.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.text import (
    OverAll,
    Tokens,
    Transformer,
    TransformerDesign,
    next_tokens,
    padded,
    sinusoids,
)
from saddlepoint.text.tokens import IGNORED


class Peer(nn.Module):
    """torch's Transformer between our embeddings."""

    def __init__(self, design: TransformerDesign) -> None:
        super().__init__()
        self.d = design.width
        self.embedding = nn.Embedding(design.vocabulary, design.width)
        self.register_buffer("codes", sinusoids(torch.arange(512), design.width).float())
        self.dropout = nn.Dropout(design.dropout)
        self.net = nn.Transformer(
            design.width, design.heads, design.depth, design.depth, design.hidden, design.dropout,
            batch_first=True,
        )  # fmt: skip

    def forward(self, source: Tokens, target: Tokens) -> Tensor:
        t = target.ids.shape[1]
        later = torch.ones(t, t, dtype=torch.bool).triu(1)
        hidden = self.net(
            self.embedded(source.ids), self.embedded(target.ids), tgt_mask=later,
            src_key_padding_mask=~source.keep, tgt_key_padding_mask=~target.keep,
            memory_key_padding_mask=~source.keep,
        )  # fmt: skip
        return functional.linear(hidden, self.embedding.weight)

    def embedded(self, ids: Tensor) -> Tensor:
        return self.dropout(self.embedding(ids) * math.sqrt(self.d) + self.codes[: ids.shape[1]])


def batch(design: TransformerDesign, rows: int, length: int) -> tuple[Tokens, Tokens]:
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(length // 2, length + 1, (2, rows), generator=draw).tolist()

    def side(own: list[int]) -> Tokens:
        return padded(
            [torch.randint(7, design.vocabulary, (n,), generator=draw).tolist() for n in own]
        )

    return side(lengths[0]), side(lengths[1])


def ours(net: Transformer, source: Tokens, target: Tokens) -> Tensor:
    """As the objective `translate` does: logits of what is no padding alone."""
    labels = next_tokens(target)
    chosen = labels != IGNORED
    hidden = net.decode(target, net.encode(source), source.keep)
    return OverAll(0.1).loss(net.logits(hidden[chosen]), labels[chosen])


def theirs(net: Peer, source: Tokens, target: Tokens) -> Tensor:
    return functional.cross_entropy(
        net(source, target).flatten(0, 1), next_tokens(target).flatten(), label_smoothing=0.1,
        ignore_index=IGNORED,
    )  # fmt: skip


def stepper(net: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], float]:
    net.train()
    optimiser = torch.optim.Adam(net.parameters(), 1e-4, betas=(0.9, 0.98), eps=1e-9)

    def step() -> float:
        began = time.process_time()
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
        return time.process_time() - began

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in {"width": 128, "depth": 3, "heads": 4, "vocabulary": 4000, "batch": 64,
                        "length": 20, "repeats": 15}.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    design = TransformerDesign(
        args.vocabulary, args.width, args.depth, args.heads, 4 * args.width, dropout=0.1
    )
    source, target = batch(design, args.batch, args.length)
    tokens = int(source.keep.sum() + target.keep.sum())
    mine, peer = Transformer(design), Peer(design)
    steps = {
        "saddlepoint": stepper(mine, lambda: ours(mine, source, target)),
        "nn.Transformer": stepper(peer, lambda: theirs(peer, source, target)),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.repeats + 2):
        for name, step in steps.items():
            times[name].append(step())
    medians = {name: statistics.median(each[2:]) for name, each in times.items()}
    for name, seconds in medians.items():
        print(f"{name:15} {1000 * seconds:8.1f} ms a step {tokens / seconds:10,.0f} tokens/s")
    ratio = medians["saddlepoint"] / medians["nn.Transformer"]
    print(f"{'ratio':15} {ratio:8.3f} ({torch.get_num_threads()} threads, {tokens:,} tokens)")


if __name__ == "__main__":
    main()
