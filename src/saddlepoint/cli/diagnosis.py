"""The options of an examination, which several commands share, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saddlepoint.cli import options
from saddlepoint.cli.prepare import Prepared, build_surrogate
from saddlepoint.counts import MOST
from saddlepoint.errors import InputError

if TYPE_CHECKING:
    from saddlepoint.cli.options import Subject
    from saddlepoint.evaluation import Diagnosis

Thorough = Annotated[
    bool,
    typer.Option(
        "--thorough", help="Run the checks that cost hundreds of passes too (else where one finds)."
    ),
]
Adaptive = Annotated[
    bool,
    typer.Option(
        "--adaptive",
        help="Apply the remedies of what the checks found, and print the lower number beside the"
        " first.",
    ),
]
Bpda = Annotated[
    list[str] | None,
    typer.Option(
        help="A module whose backward becomes the identity in --adaptive; repeatable. [default:"
        " those found to hide the gradient]",
        show_default=False,
    ),
]
Surrogate = Annotated[
    Path | None,
    typer.Option(
        help="Weights (a file, or a training's folder) of another model of the same data, whose"
        " adversarial images are tried."
    ),
]
Audit = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST,
        help="Run the suite standard on N survivors, and say what it can find of all of them.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class DiagnosisOptions:
    """How a model is examined."""

    thorough: Thorough = False
    adaptive: Adaptive = False
    bpda: Bpda = None
    surrogate: Surrogate = None
    surrogate_model: options.SurrogateModel = None
    audit: Audit = None


def diagnosis_of(given: DiagnosisOptions, subject: Subject, prepared: Prepared) -> Diagnosis:
    """Return what the options ask for; the surrogate is built on the subject's data and device."""
    from saddlepoint.evaluation import Diagnosis

    if given.surrogate_model is not None and given.surrogate is None:
        raise InputError("--surrogate-model needs its weights; give --surrogate")
    if given.bpda and not given.adaptive:
        raise InputError("--bpda names modules for the remedies; give --adaptive too")
    surrogate = None
    if given.surrogate is not None:
        name = given.surrogate_model or subject.model
        surrogate = build_surrogate(subject, name, given.surrogate, prepared)
    return Diagnosis(
        thorough=given.thorough,
        surrogate=surrogate,
        adaptive=given.adaptive,
        bpda=tuple(given.bpda or ()),
        second_look=given.audit or 0,
    )
