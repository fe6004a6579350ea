"""What the passes of a network cost, and how much of an objective's step they are.

The limit of an objective is the sum of the passes that it cannot do without: forward, loss and
backward, with nothing around them. They are run bare in a row, just before the step that they are
the limit of, so that both meet the machine in one state; each pass is timed alone as well. All that
a step has besides (noise, sign steps, projections, the guard, what is reported) counts against it.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from training_bare import (
    BOTH,
    EVAL,
    F0,
    INPUT,
    INPUT0,
    INPUT_TRAIN,
    RATE,
    STEP,
    WEIGHTS,
    WEIGHTS0,
    Bare,
    F,
    Subject,
    share_of_flops,
)
from training_clock import clock_of, host_waits, rounds_of

from saddlepoint.attacks import PGD
from saddlepoint.defences import (
    AWP,
    FGSMRS,
    MART,
    NFGSM,
    TRADES,
    TRADESYOPO,
    YOPO,
    AdversarialTraining,
    Free,
    Optimiser,
    Recipe,
    Standard,
    TrainingObjective,
)
from saddlepoint.threat import Linf
from saddlepoint.training.loop import take_step
from saddlepoint.training.randomness import forked_random_state
from saddlepoint.training.state import State

BALL = Linf(8 / 255)
K = 10  # steps of PGD, TRADES and MART, each of ε/4


@dataclass(frozen=True)
class Timed:
    """An objective and the bare passes of one batch, in their order."""

    objective: TrainingObjective
    passes: tuple[str, ...]


def objectives(ball: Linf = BALL) -> dict[str, Timed]:
    """Return every objective with its passes, in units of the ball.

    A sweep of YOPO is a full pass, whose backward goes on through f_0 to the input for the first of
    the n steps; f_0 forward and back to the input for each of the n − 1 others; and f_0 forward and
    back to its weights at the end, which the full pass leaves out. So its passes are
    F + B_x + B_w, n − 1 times F_0 + B_x0, and F_0.
    """
    alpha = float(ball.eps) / 4
    pgd = AdversarialTraining(PGD(ball, steps=K, step_size=alpha))
    climb, descent = (INPUT,) * K, (WEIGHTS, STEP)
    one_step = (INPUT_TRAIN, *descent)
    twice = (WEIGHTS, *descent)
    sweep = (BOTH, INPUT0, INPUT0, F0)
    inner_sweep = (INPUT, INPUT0, INPUT0, INPUT0)
    inner = {"steps": K, "step_size": alpha}
    return {
        "standard": Timed(Standard(), descent),
        "PGD-10": Timed(pgd, (*climb, *descent)),
        "FGSM-RS": Timed(FGSMRS(ball), one_step),
        "N-FGSM": Timed(NFGSM(ball), one_step),
        "Free-8": Timed(Free(ball, m=8), (BOTH, STEP) * 8),
        "YOPO-5-3": Timed(YOPO(ball, m=5, n=3), (*sweep * 5, STEP)),
        "TRADES": Timed(TRADES(ball, **inner), (EVAL, *climb, *twice)),
        "MART": Timed(MART(ball, **inner), (*climb, *twice)),
        "AWP, PGD-10": Timed(AWP(pgd), (*climb, *twice)),
        "TRADES-YOPO-3-4": Timed(TRADESYOPO(ball, m=3, n=4), (EVAL, *inner_sweep * 3, *twice)),
    }


def measure(subject: Subject, rounds: int) -> dict[str, Any]:
    """Return the seconds of each bare pass; of each objective its seconds, its limit, and their
    ratio. All runs are taken in turn.
    """
    device = subject.batch.images.device
    timed, bare = objectives(), Bare(subject)
    runs = {name: bare.row((name,)) for name in bare.runs()}
    steps = {name: step_of(each, subject) for name, each in timed.items()}
    for name, each in timed.items():
        runs |= {f"limit of {name}": bare.row(each.passes), name: steps[name]}
    with forked_random_state():
        found = rounds_of(runs, rounds, clock_of(device))
        waits = {name: host_waits(run, device) for name, run in steps.items()}
    seconds = {name: statistics.median(each) for name, each in found.items()}
    alone = {name: seconds[name] for name in bare.runs()}
    share = (alone[INPUT0] + alone[WEIGHTS0] - alone[F0]) / alone[BOTH]
    return {
        "first_layer": bare.first.name,
        "first_layer_share": share,
        "first_layer_share_of_flops": share_of_flops(subject, bare.first),
        "rounds": rounds,
        "batch": len(subject.batch.images),
        "passes": alone,
        "objectives": [
            {
                "objective": name,
                "seconds": seconds[name],
                "limit": seconds[f"limit of {name}"],
                "reached_by_medians": seconds[f"limit of {name}"] / seconds[name],
                "reached_by_round": _ratios(found, f"limit of {name}", name),
                "sum_of_single_passes": sum(alone[each] for each in timed[name].passes),
                "against_pgd_by_round": _ratios(found, "PGD-10", name),
                "limit_against_pgd_by_round": _ratios(found, "limit of PGD-10", f"limit of {name}"),
                "host_waits": waits[name],
                "passes": dict(Counter(timed[name].passes)),
            }
            for name in timed
        ],
    }


def _ratios(found: Mapping[str, list[float]], above: str, below: str) -> list[float]:
    return [a / b for a, b in zip(found[above], found[below], strict=True)]


def step_of(timed: Timed, subject: Subject) -> Callable[[], None]:
    recipe = Recipe(objective=timed.objective, optimiser=Optimiser(learning_rate=RATE))
    state = State(subject.model, recipe, len(subject.data), None, subject.data)

    def run() -> None:
        state.step = 0
        take_step(state, subject.batch)

    return run


def tell(found: Mapping[str, Any]) -> None:
    """Print the tables."""
    alone = found["passes"]
    full = alone[BOTH]
    print(f"{'pass':24}{'ms':>10}{'of F + B_x + B_w':>20}")
    derived = {
        "B_x": alone[INPUT_TRAIN] - alone[F],
        "B_w": alone[BOTH] - alone[INPUT_TRAIN],
        "B_x + B_w": alone[BOTH] - alone[F],
    }
    for name, seconds in {**alone, **derived}.items():
        print(f"{name:24}{1e3 * seconds:10.2f}{100 * seconds / full:19.1f}%")
    print(
        f"first layer {found['first_layer']!r}: {100 * found['first_layer_share']:.2f} % of the time"
        f" of a full pass, {100 * found['first_layer_share_of_flops']:.2f} % of its multiply-adds"
    )
    print(
        f"\n{'objective':16}{'ms a batch':>11}{'limit':>9}{'reached':>9}{'quartiles':>13}"
        f"{'of medians':>12}{'PGD-10 / it':>13}{'limits':>8}{'host waits':>12}"
    )
    for row in found["objectives"]:
        waits = "-" if row["host_waits"] is None else row["host_waits"]
        low, middle, high = _quartiles(row["reached_by_round"])
        ratio, limits = (
            _quartiles(row[key])[1]
            for key in ("against_pgd_by_round", "limit_against_pgd_by_round")
        )
        print(
            f"{row['objective']:16}{1e3 * row['seconds']:11.1f}{1e3 * row['limit']:9.1f}"
            f"{100 * middle:8.1f}%{f'{100 * low:.0f} to {100 * high:.0f}':>13}"
            f"{100 * row['reached_by_medians']:11.1f}%{ratio:13.2f}{limits:8.2f}{waits:>12}"
        )


def _quartiles(values: list[float]) -> list[float]:
    return statistics.quantiles([*values, *values], n=4, method="inclusive")
