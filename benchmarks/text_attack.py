"""What an attack in the embedding costs per pass: PGD-20 on a BERT against a bare loop of the same
passes.

    python benchmarks/text_attack.py [--device cuda] [--repeats 7] [--batch 64] [--length 32]
        [--model bert-micro]

The bare loop makes what every attack must: the clean pass, twenty forwards and backwards to the
embeddings, step and projection of what is no padding, the last forward, and the judge's. Nothing is
fooled early (the budget is tiny), so that ours makes the same passes. Ratios are of medians over
interleaved runs, on a CPU of its own seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor
from torch.nn import functional

from saddlepoint.attacks import PGD
from saddlepoint.text import (
    BERTS,
    Bert,
    ClassificationHead,
    FromEmbedding,
    SequenceClassifier,
    Tokens,
    flagged,
)
from saddlepoint.threat import TokenL2, TokenLinf

STEPS, EPS = 20, 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--model", default="bert-micro", choices=sorted(BERTS))
    args = parser.parse_args()
    device = torch.device(args.device)
    model, tokens, labels = subject(args.model, args.batch, args.length, device)
    x = flagged(model, tokens).detach()
    threads = torch.get_num_threads()
    print(
        f"{args.model}, {args.batch} sentences of up to {args.length} tokens, {device},"
        f" {threads} threads, torch {torch.__version__}"
    )
    adapter = FromEmbedding(model)
    for threat in (TokenL2(EPS), TokenLinf(EPS)):
        attack = PGD(threat, steps=STEPS, start="clean")
        made = attack(adapter, x, labels)
        passes = float((made.forwards + made.backwards).double().mean())
        loops = {
            "bare": lambda threat=threat: bare(model, tokens, x, labels, threat),
            "ours": lambda attack=attack: attack(adapter, x, labels),
        }
        times: dict[str, list[float]] = {name: [] for name in loops}
        for repeat in range(args.repeats + 1):
            for name, loop in loops.items():
                seconds = timed(loop, device)
                if repeat:  # the first warms up
                    times[name].append(seconds)
        bare_s, ours_s = (statistics.median(times[name]) for name in ("bare", "ours"))
        print(
            f"{threat}: bare {1e3 * bare_s:.1f} ms, ours {1e3 * ours_s:.1f} ms,"
            f" ratio {ours_s / bare_s:.3f} at {passes:.1f} passes of {2 * STEPS + 3}"
        )


def subject(
    name: str, count: int, length: int, device: torch.device
) -> tuple[SequenceClassifier, Tokens, Tensor]:
    """Return a BERT, sentences of random words with a third of them padded, and what it says of them."""
    torch.manual_seed(0)
    bert = Bert(BERTS[name])
    model = SequenceClassifier(bert, ClassificationHead(bert.design.width, 2)).to(device).eval()
    ids = torch.randint(7, bert.design.vocabulary, (count, length))
    ends = torch.randint(length // 2, length + 1, (count, 1))
    ends[::3] = length
    keep = torch.arange(length) < ends
    ids[:, 0] = 2
    ids = torch.where(torch.arange(length) == ends - 1, 3, ids) * keep
    tokens = Tokens(ids, keep).to(device)
    with torch.no_grad():
        return model, tokens, model(tokens).argmax(1)


def bare(
    model: SequenceClassifier, tokens: Tokens, x: Tensor, labels: Tensor, threat: TokenL2
) -> Tensor:
    """Return the embeddings after twenty steps by hand."""
    e, free = x[..., :-1], (x[..., -1:] == 1)
    euclidean = threat.norm_name == "L2"
    with torch.no_grad():
        model.from_embedding(e, tokens.keep)  # the clean pass
    delta = torch.zeros_like(e)
    for step in range(STEPS):
        delta.requires_grad_()
        logits = model.from_embedding(e + delta, tokens.keep)
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, delta)
        with torch.no_grad():
            slope = slope * free
            decay = 1 - step / STEPS
            if euclidean:
                length = slope.flatten(1).norm(dim=1).clamp_min(1e-30)[:, None, None]
                delta = delta + EPS * decay * slope / length
                size = delta.flatten(1).norm(dim=1).clamp_min(1e-30)[:, None, None]
                delta = delta * (EPS / size).clamp_max(1.0)
            else:
                delta = (delta + 2.5 * EPS / STEPS * slope.sign()).clamp(-EPS, EPS)
    with torch.no_grad():
        for _ in range(2):  # the last iterate, and the judge's
            model.from_embedding(e + delta, tokens.keep)
    return e + delta


def timed(work: object, device: torch.device) -> float:
    """Return the seconds of a call: of the CPU, which others on the machine change least, or on CUDA
    of the clock.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start = clock()
    work()  # type: ignore[operator]
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start


if __name__ == "__main__":
    main()
