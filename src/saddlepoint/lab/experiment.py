"""What an experiment is: a name, settings, and a function from a bench to findings."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from jaxtyping import Float, Int64
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from saddlepoint.counts import check_count, check_sizes
from saddlepoint.errors import InputError, unknown
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.table import Table
from saddlepoint.threat import parse_eps


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
        joined: dict[str, Table] = {}
        for model, found in self.results.items():
            for name, table in found.tables().items():
                named = table.under("model", model)
                before = joined[name].rows if name in joined else ()
                joined[name] = Table(named.columns, before + named.rows)
        return joined


def per_model(function: OnModel[Found]) -> Callable[[Bench, Any], PerModel[Found]]:
    """Return the run of an experiment that looks at one model at a time.

    `function` takes (model, images, labels, settings, seed).

    >>> from saddlepoint.lab import fgsm_ray
    >>> per_model(fgsm_ray).__name__
    'run'
    """

    def run(bench: Bench, settings: Any) -> PerModel[Found]:
        images: Float[Tensor, "n ..."] = bench.images
        labels: Int64[Tensor, " n"] = bench.labels
        return PerModel(
            {
                name: function(model, images, labels, settings, bench.seed)
                for name, model in bench.models.items()
            }
        )

    return run


@dataclass(frozen=True)
class Experiment:
    """One controlled experiment.

    Attributes:
        name: on the command line; its figure is drawn by `draw` in `saddlepoint.reports.lab`, in
            the module of the same name with underscores.
        what: one line.
        paper: where it was published.
        settings: a frozen dataclass with a default for every field.
        run: from the bench and the settings to the findings.
        images: how many are looked at unless the user says.

    >>> from saddlepoint.lab import EXPERIMENTS
    >>> EXPERIMENTS["landscape"].parse({"steps": "5", "eps": "8/255"}).steps
    5
    """

    name: str
    what: str
    paper: str
    settings: type[Any]
    run: Callable[[Bench, Any], Findings]
    images: int = 100

    @property
    def options(self) -> Mapping[str, Any]:
        """The names of the settings and their types."""
        hints = typing.get_type_hints(self.settings)
        names = [field.name for field in dataclasses.fields(self.settings)]
        return MappingProxyType({name: hints[name] for name in names})

    def parse(self, words: Mapping[str, str]) -> Any:
        """Return the settings with those of `words` changed; several numbers are divided by commas.

        Raises `InputError` for an unknown name or a value that is none.
        """
        given: dict[str, Any] = {}
        for key, text in words.items():
            field = key.replace("-", "_")
            if field not in self.options:
                raise unknown(f"setting of {self.name}", key, self.options)
            given[field] = self._value(field, text)
        return self.settings(**given)

    def _value(self, field: str, text: str) -> Any:
        kind = self.options[field]
        several = typing.get_origin(kind) is tuple
        parts = [part.strip() for part in text.split(",")] if several else [text.strip()]
        values = [parse_eps(part) if "/" in part else part for part in parts]
        try:
            found = TypeAdapter(kind).validate_python(values if several else values[0])
        except ValidationError as error:
            wanted = error.errors()[0]["msg"].lower()
            raise InputError(f"{self.name}: {field} is {repr(text)[:60]}: {wanted}") from None
        check_sizes(f"{self.name}: {field}", found)
        return found


def check_counts(settings: Any, *names: str) -> None:
    """Raise `InputError` unless the named settings are at least 1.

    >>> from saddlepoint.lab import LandscapeSettings
    >>> LandscapeSettings(steps=0)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: steps is 0; give at least 1
    """
    for name in names:
        check_count(name, getattr(settings, name))


def check_positive(settings: Any, *names: str) -> None:
    """Raise `InputError` unless the named settings, numbers or tuples of them, are positive.

    >>> from saddlepoint.lab import LandscapeSettings
    >>> LandscapeSettings(eps=-1.0)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: eps is -1.0; give positive numbers, for instance 0.1
    """
    for name in names:
        value = getattr(settings, name)
        values = value if isinstance(value, tuple) else (value,)
        if not values or not all(0 < each < float("inf") for each in values):
            raise InputError(f"{name} is {value}; give positive numbers, for instance 0.1")
