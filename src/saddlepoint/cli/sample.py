"""`saddlepoint sample`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saddlepoint.cli import complete, options
from saddlepoint.cli.console import command_line, result, table
from saddlepoint.cli.images import read_data
from saddlepoint.cli.prepare import Place, Prepared, build_surrogate, prepare
from saddlepoint.counts import MOST
from saddlepoint.errors import InputError

if TYPE_CHECKING:
    from torch import nn

_RECORD, _PAGE = "sample.json", "sample.html"


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """What tells the classes of samples."""

    classifier: Annotated[
        str | None,
        typer.Option(
            help="A classifier of the data, as for --model, that counts the classes of the samples.",
            autocompletion=complete.of(complete.MODELS),
        ),
    ] = None
    classifier_weights: Annotated[
        Path | None, typer.Option(help="Its weights: a file, or the folder of a training.")
    ] = None

    def check(self) -> None:
        """Raise `InputError` for one without the other."""
        if (self.classifier is None) != (self.classifier_weights is None):
            raise InputError(
                "a classifier is two options; give --classifier MODEL and --classifier-weights PATH"
            )

    def build(self, given: options.Subject, prepared: Prepared) -> nn.Module | None:
        """Return it, on the generator's device; None where none was named."""
        if self.classifier is None or self.classifier_weights is None:
            return None
        return build_surrogate(
            given, self.classifier, self.classifier_weights, prepared, "the classifier"
        )


@options.bundled
def sample(
    subject: options.Subject,
    out: options.Out,
    classifier: Classifier,
    count: Annotated[int, typer.Option(min=2, max=MOST, help="Samples to draw.")] = 1000,
    as_json: options.Json = False,
) -> None:
    """Draw samples of a generator, and measure them against its training and test images.

    OUT gets samples.safetensors, the sheet samples.png, the page sample.html and its numbers,
    sample.json: Parzen log-likelihood, nearest training images, and the classes of the samples.
    """
    from saddlepoint.configuration import configuration
    from saddlepoint.evaluation.generative import (
        SAMPLES_FILE,
        SHEET_FILE,
        draw_samples,
        measure_samples,
        save_samples,
    )
    from saddlepoint.files import write_json
    from saddlepoint.reading import read_json
    from saddlepoint.reports.samples import samples_document
    from saddlepoint.run_folders import claimed
    from saddlepoint.zoo import is_generator, weights_fingerprint

    if not is_generator(subject.model):
        raise InputError(f"{subject.model} makes no images; give a generator, such as gan-mlp")
    if subject.weights is None:
        raise InputError("a generator without weights makes noise; give --weights FOLDER")
    classifier.check()
    files = (_RECORD, _PAGE, SAMPLES_FILE, SHEET_FILE)
    prepared = prepare(subject, split="train", measured=False, place=Place(out, "sample", files))
    train = prepared.data
    test = read_data(subject, "test", prepared.device)
    if test.split == train.split:
        raise InputError(
            f"{train.name} has no test images apart, against which samples are measured; give data"
            " with a test split"
        )
    tells = classifier.build(subject, prepared)
    config = configuration(
        {
            "model": weights_fingerprint(prepared.model),
            "identity": prepared.identity,
            "data": {"name": train.name, "images": len(train), "fingerprint": train.fingerprint},
            "test": {"images": len(test), "fingerprint": test.fingerprint},
            "classifier": None if tells is None else weights_fingerprint(tells),
            "count": count,
            "seed": subject.seed,
        }
    )
    with claimed(out, "sample", config, files, (out / _RECORD).exists) as found:
        if found != "finished":
            samples = draw_samples(prepared.model, count, subject.seed)
            measured = measure_samples(samples, train, test, classifier=tells)
            save_samples(samples, out)
            page = samples_document(
                measured, train, name=subject.model, config=config, out=out, command=command_line()
            )
            page.save(out / _PAGE)
            write_json(out / _RECORD, {"config": config, **measured.json()})
    numbers = read_json(out / _RECORD)
    names = {"numbers": _RECORD, "page": _PAGE, "samples": SAMPLES_FILE, "sheet": SHEET_FILE}
    paths = {name: str(out / file) for name, file in names.items()}
    result({**numbers, "files": paths}, as_json, lambda: _show(numbers, paths))


def _show(numbers: Mapping[str, Any], files: Mapping[str, str]) -> None:
    parzen, nearest = numbers["parzen"], numbers["nearest"]
    print(
        f"log-likelihood {parzen['log_likelihood']:.1f} ± {parzen['standard_error']:.1f} nats"
        f" (Parzen, σ = {parzen['sigma']:g})"
    )
    print(
        f"nearest training image {nearest['median_distance']:.3f} away (median); of test images"
        f" {nearest['of_test_images']:.3f}"
    )
    if "classes" in numbers:
        total = sum(numbers["classes"].values())
        rows = [
            [name, str(count), f"{100 * count / total:.1f} %"]
            for name, count in numbers["classes"].items()
        ]
        table(["class", "samples", "share"], rows, title="classes of the samples")
    for name, path in files.items():
        print(f"{name} {path}")
