"""What the study runner costs beside its cells' own time. Run: python benchmarks/study_runner.py

Two numbers: the share of time that a worker waits between two cells, and the time of a cell (store,
lock, checkpoints, hashes) over the time of the bare training or attack in one process.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from saddlepoint.evaluation import run_attack
from saddlepoint.studies import DataFacts, LocalEngine, load, parse_study, run_study
from saddlepoint.studies.build import normalisation_of, study_data, study_model
from saddlepoint.training import train

STUDY = """
name: overhead
data: {name: digits}
seeds: SEEDS
eps: [32/255]
attacks: {pgd: {name: pgd, steps: 20}}
recipe: {epochs: EPOCHS, batch_size: 50}
variants: {original: []}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=10)
    words = parser.parse_args()
    torch.set_num_threads(1)
    text = STUDY.replace("SEEDS", str(words.seeds)).replace("EPOCHS", str(words.epochs))
    spec = parse_study(text)
    with tempfile.TemporaryDirectory() as folder, LocalEngine(1) as engine:
        began = time.perf_counter()
        warm = parse_study(
            text.replace("overhead", "warm").replace(f"seeds: {words.seeds}", "seeds: 1")
        )
        run_study(warm, Path(folder) / "warm", engine=engine)
        start = time.perf_counter() - began
        began = time.perf_counter()
        run_study(spec, Path(folder) / "study", engine=engine)
        wall = time.perf_counter() - began
        own = sum(load(Path(folder) / "study").df()["seconds"])
        own += sum(load(Path(folder) / "study", "trainings").df()["seconds"])
    bare = sum(_bare(spec, seed) for seed in spec.seeds)
    print(f"start of the worker and its first cells: {start:.1f} s (once)")
    print(f"{2 * words.seeds} cells: wall {wall:.2f} s, their own time {own:.2f} s")
    print(f"runner overhead: {100 * (wall - own) / own:.1f} % of the cells' own time")
    print(f"cell over bare training and attack: {own / bare:.3f} x")


def _bare(spec, seed) -> float:
    data, test = (study_data(spec.data, split, None) for split in ("train", "test"))
    facts = DataFacts.of(data)
    statistics_ = normalisation_of(spec, facts)
    times = []
    for _ in range(2):
        model = study_model(spec, facts, seed)
        began = time.perf_counter()
        train(model, data, spec.recipe_at("original", spec.eps[0], statistics_), seed=seed)
        attack = spec.attack(spec.attacks["pgd"], spec.eps[0], statistics_)
        run_attack(model, test, attack, seed=seed, batch_size=spec.batch_size)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    main()
