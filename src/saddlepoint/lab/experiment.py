"""What an experiment is: a name, settings, a function from a bench to findings, and a figure."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from torch import Tensor, nn

from saddlepoint.lab.bench import Bench
from saddlepoint.lab.table import Table
from saddlepoint.option_values import check_fields, parse_options
from saddlepoint.progress import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Settings:
    """Settings of an experiment: each has a default, and its annotation says what it may be.

    Raises `InputError` for a value that may not be; see `saddlepoint.option_values.check_fields`.

    >>> from saddlepoint.lab import LandscapeSettings
    >>> LandscapeSettings(restarts=1)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: restarts is 1; give at least 2
    """

    def __post_init__(self) -> None:
        check_fields(self)

    def _sort(self, name: str) -> None:
        """Put the values of a setting in ascending order, each once."""
        object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))


class Findings(Protocol):
    """What an experiment found: frozen arrays that can be written as tables.

    >>> from saddlepoint.lab import LinearSettings, linear_example
    >>> found: Findings = linear_example(LinearSettings())
    >>> list(found.tables())
    ['summary', 'dimensions']
    """

    def tables(self) -> Mapping[str, Table]:
        """Return the tables by the names of their files; the first is the short one to print."""
        ...


Found = TypeVar("Found", bound=Findings)
OnModel = Callable[[nn.Module, Tensor, Tensor, Any, int], Found]


@dataclass(frozen=True, eq=False)
class PerModel(Generic[Found]):
    """The findings of the same experiment on several models; figures compare them.

    >>> PerModel({}).tables()
    {}
    """

    results: Mapping[str, Found]

    def tables(self) -> Mapping[str, Table]:
        """Return the tables of all models, one below the other, under a column `model`."""
        found = {model: each.tables() for model, each in self.results.items()}
        names = next(iter(found.values()), {})
        return {
            name: Table.joined("model", {model: tables[name] for model, tables in found.items()})
            for name in names
        }


def per_model(function: OnModel[Found]) -> Callable[[Bench, Any], PerModel[Found]]:
    """Return the run of an experiment that looks at one model at a time.

    `function` takes (model, images, labels, settings, seed).

    >>> from saddlepoint.lab import fgsm_ray
    >>> per_model(fgsm_ray).__name__
    'run'
    """

    def run(bench: Bench, settings: Any) -> PerModel[Found]:
        images, labels = bench.images, bench.labels
        return PerModel(
            {
                name: function(model, images, labels, settings, bench.seed)
                for name, model in counted(bench.models.items(), "networks")
            }
        )

    return run


@dataclass(frozen=True)
class Experiment:
    """One controlled experiment.

    Attributes:
        name: on the command line.
        what: one line.
        paper: where it was published.
        settings: what can be set.
        run: from the bench and the settings to the findings.
        draw: from the findings to the figure.
        images: how many are looked at unless the user says.

    >>> from saddlepoint.lab import EXPERIMENTS
    >>> EXPERIMENTS["landscape"].parse({"steps": "5", "eps": "8/255"}).steps
    5
    """

    name: str
    what: str
    paper: str
    settings: type[Settings]
    run: Callable[[Bench, Any], Findings]
    draw: Callable[[Any], Figure]
    images: int = 100

    @property
    def options(self) -> Mapping[str, Any]:
        """The names of the settings and their types."""
        return MappingProxyType(typing.get_type_hints(self.settings))

    def parse(self, words: Mapping[str, str]) -> Any:
        """Return the settings with those of `words` changed; several numbers are divided by commas.

        Raises `InputError` for an unknown name or a value that is none.
        """
        return self.settings(**parse_options(self.name, words, self.options, "setting"))
