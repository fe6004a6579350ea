"""The grid of a study: its cells, and the address of each, which is all that determines it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from saddlepoint.configuration import configuration
from saddlepoint.data import FolderData, TensorData, data_identity
from saddlepoint.defences import Recipe, threat_of
from saddlepoint.errors import InputError
from saddlepoint.evaluation import build_suite
from saddlepoint.files import fingerprint
from saddlepoint.numerics import NUMERICS
from saddlepoint.studies.build import DataFacts, model_identity, normalisation_of, training_data
from saddlepoint.studies.spec import StudySpec
from saddlepoint.threat import Statistics, format_eps


@dataclass(frozen=True, eq=False)
class Cell:
    """One training or one evaluation.

    Attributes:
        kind: which of the two.
        variant, seed: its place in the grid.
        eps: the budget; None for a training that does not depend on it.
        attack: the name of the evaluation's attack; "" for a training.
        address: the fingerprint of everything that determines the result.
        config: that everything, as JSON values.
        needs: the address of the training that an evaluation is of.

    >>> cell = Cell("training", "original", 0, None, "", {"seed": 0})
    >>> cell.label, len(cell.address)
    ('original, seed 0, training', 16)
    """

    kind: Literal["training", "evaluation"]
    variant: str
    seed: int
    eps: float | None
    attack: str
    config: dict[str, Any]
    needs: str = ""
    address: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", fingerprint(self.config))

    @property
    def label(self) -> str:
        """A line that names the cell, which `--only` is matched with."""
        return label_of(self.variant, self.seed, self.eps, self.attack)


@dataclass(frozen=True, eq=False)
class Place:
    """A point of the grid and the addresses of the cells that hold its results.

    >>> Place("original", 0, 0.1, "pgd", "a", "b").seed
    0
    """

    variant: str
    seed: int
    eps: float
    attack: str
    training: str
    evaluation: str


@dataclass(frozen=True, eq=False)
class Grid:
    """The cells of a study, each once, trainings first; and the place of every result.

    >>> Grid((), ()).cells
    ()
    """

    cells: tuple[Cell, ...]
    places: tuple[Place, ...]


def build_grid(
    spec: StudySpec, train: TensorData | FolderData, test: TensorData | FolderData
) -> Grid:
    """Return the grid; where two variants are the same thing, they share their cells.

    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: digits, eps: [0.1, 0.3], attacks: {pgd: {name: pgd}}, "
    ...     "variants: {original: []}}")
    >>> digits = load_data("digits", split="train"), load_data("digits")
    >>> [cell.label for cell in build_grid(spec, *digits).cells]
    ['original, seed 0, training', 'original, seed 0, eps 0.1, pgd', 'original, seed 0, eps 0.3, pgd']
    """
    statistics = normalisation_of(spec, DataFacts.of(train))
    trainings: dict[str, Cell] = {}
    evaluations: dict[str, Cell] = {}
    places = []
    tested = data_identity(test)
    trained_on = {v: data_identity(training_data(spec, v, train)) for v in spec.variants}
    for variant, seed, eps in itertools.product(spec.variants, spec.seeds, spec.eps):
        cell = _training(spec, variant, seed, eps, trained_on[variant], statistics)
        trained = trainings.setdefault(cell.address, cell)
        for attack in spec.attacks:
            cell = _evaluation(spec, trained, variant, eps, attack, tested, statistics)
            evaluated = evaluations.setdefault(cell.address, cell)
            places.append(Place(variant, seed, eps, attack, trained.address, evaluated.address))
    return Grid((*trainings.values(), *evaluations.values()), tuple(places))


def select(grid: Grid, pattern: str | None) -> tuple[Cell, ...]:
    """Return the cells whose label holds the pattern, and the trainings that they need.

    The pattern is text, or has `*`, `?` and `[…]` as file names have. A cell that several variants
    share has a label of each. Raises `InputError` where no cell matches.

    >>> cell = Cell("training", "original", 0, None, "", {})
    >>> len(select(Grid((cell,), ()), "seed 0"))
    1
    """
    if pattern is None:
        return grid.cells
    by_address = {cell.address: cell for cell in grid.cells}
    labels = {(cell.address, cell.label) for cell in grid.cells}
    for place in grid.places:
        for address in (place.training, place.evaluation):
            cell = by_address[address]
            labels.add((address, label_of(place.variant, cell.seed, cell.eps, cell.attack)))
    wanted = {address for address, label in labels if fnmatchcase(label, f"*{pattern}*")}
    if not wanted:
        example = f" (the first is '{grid.cells[0].label}')" if grid.cells else ""
        raise InputError(f"no cell matches '{pattern}'{example}")
    wanted |= {by_address[address].needs for address in wanted}
    return tuple(cell for cell in grid.cells if cell.address in wanted)


def label_of(variant: str, seed: int, eps: float | None, attack: str) -> str:
    """Return the line that names a cell.

    >>> label_of("original", 0, 0.1, "pgd")
    'original, seed 0, eps 0.1, pgd'
    """
    budget = "" if eps is None else f", eps {format_eps(eps)}"
    return f"{variant}, seed {seed}{budget}, {attack or 'training'}"


def _training(
    spec: StudySpec,
    variant: str,
    seed: int,
    eps: float,
    data: dict[str, Any],
    statistics: Statistics,
) -> Cell:
    recipe = spec.recipe_at(variant, eps, statistics)
    config = {
        "kind": "training",
        "numerics": dict(NUMERICS),
        "data": data,
        "model": model_identity(spec, variant),
        "normalisation": spec.normalisation,
        "recipe": configuration(recipe),
        "threats": _threats(recipe),
        "seed": seed,
        **_where(spec),
    }
    own = eps if spec.depends_on_eps(variant) else None
    return Cell("training", variant, seed, own, "", config)


def _evaluation(
    spec: StudySpec,
    training: Cell,
    variant: str,
    eps: float,
    attack: str,
    data: dict[str, Any],
    statistics: Statistics,
) -> Cell:
    values = spec.attacks[attack]
    if "suite" in values:
        threat = spec.attack({"name": "pgd"}, eps, statistics).threat
        described: Any = {
            name: configuration(a) for name, a in build_suite(values["suite"], threat).items()
        }
    else:
        built = spec.attack(values, eps, statistics)
        threat, described = built.threat, configuration(built)
    config = {
        "kind": "evaluation",
        "numerics": dict(NUMERICS),
        "training": training.address,
        "data": data,
        "attack": described,
        "threat": str(threat),
        "eot_samples": spec.eot_samples,
        "batch_size": spec.batch_size,
        "seed": training.seed,
        **_where(spec),
    }
    return Cell("evaluation", variant, training.seed, eps, attack, config, training.address)


def _where(spec: StudySpec) -> dict[str, Any]:
    """Return what of the machine results depend on in their last bits."""
    device = {} if spec.device == "cpu" else {"device": spec.device}
    return {"threads": spec.threads, **device}


def _threats(recipe: Recipe) -> str:
    threat = threat_of(recipe.objective)
    return "" if threat is None else str(threat)
