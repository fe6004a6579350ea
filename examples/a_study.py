"""A study: variants × seeds × budgets from one text; what is finished is never computed again."""

import sys

from saddlepoint.studies import LocalEngine, load, parse_study, run_study

STUDY = """
name: width-and-defence
data: {name: digits, train_limit: 400, test_limit: 60}
model: {name: zoo:simple-cnn, widths: [8], kernel: 3, hidden: [32]}
seeds: 1
eps: [32/255]
attacks: {pgd: {name: pgd, steps: 5}}
recipe: {epochs: 5, batch_size: 50, optimiser: {name: adam, learning_rate: 0.01}}
parts:
  adversarial: {objective: {name: adversarial-training, attack: {name: pgd, steps: 2}}}
variants:
  original: []
  adversarial: [adversarial]
"""

if __name__ == "__main__":  # workers are processes of their own, and import this file
    folder = sys.argv[1] if len(sys.argv) > 1 else "runs/a-study"
    with LocalEngine(workers=1) as engine:  # or one of yours, for other machines
        state = run_study(parse_study(STUDY), folder, engine=engine)
        print(f"{state.finished} of {state.total} cells are finished")
        # Another budget or seed: only its cells are computed.
        more = run_study(parse_study(STUDY.replace("seeds: 1", "seeds: 2")), folder, engine=engine)
        print(f"{more.finished} with a second seed")
    table = load(folder)  # a row per variant, seed, eps and attack; DuckDB
    print(table.aggregate("variant, round(avg(robust_accuracy), 3) AS robust", "variant"))
    print("tables, tests and figures:  saddlepoint study report", folder)
