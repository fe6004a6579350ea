"""`saddlepoint corrupt`."""

from __future__ import annotations

from typing import Annotated

import typer

from saddlepoint.cli import complete, options
from saddlepoint.cli.console import command_line, progress, result, tables
from saddlepoint.cli.model import note_random_weights
from saddlepoint.cli.prepare import Place, prepare


@options.bundled
def corrupt(
    subject: options.Measured,
    out: options.Out,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="A corruption (see `saddlepoint corruptions`), in place of all fifteen; repeatable.",
            autocompletion=complete.of(complete.CORRUPTIONS),
        ),
    ] = None,
    severity: Annotated[
        list[int] | None,
        typer.Option(help="From 1 to 5, in place of all five; repeatable."),
    ] = None,
    constants: Annotated[
        str,
        typer.Option(
            help="Of which published severities: cifar-10-c, imagenet-c; auto: the former up to 64"
            " pixels a side.",
            autocompletion=complete.of(complete.CONSTANTS),
        ),
    ] = "auto",
    batch_size: options.BatchSize = 128,
    as_json: options.Json = False,
) -> None:
    """Measure accuracy under common corruptions: fifteen, of five severities each.

    The images are corrupted as they are needed. OUT gets corruptions.json and the page report.html;
    the same command goes on where an interrupted one stopped, and one that asks for more adds to what is
    there.
    """
    from saddlepoint.data.corruptions import (
        SEVERITIES,
        check_form,
        check_severity,
        check_shape,
        corruptions_named,
    )
    from saddlepoint.evaluation import CORRUPTION_FILES, corruption_accuracy
    from saddlepoint.reports.corruptions import corruption_document
    from saddlepoint.reports.page.document import PAGE

    names = [each.name for each in corruptions_named(only or None)]
    for each in severity or ():
        check_severity(each)
    form = None if constants == "auto" else check_form(constants)

    def check(statistics: object, shape: tuple[int, ...] | None) -> None:
        if shape is not None:
            check_shape(shape)

    prepared = prepare(subject, check=check, place=Place(out, "corrupt", CORRUPTION_FILES))
    note_random_weights(subject)
    with progress("corrupting") as tick:
        record = corruption_accuracy(
            prepared.model,
            prepared.data,
            names=names,
            severities=severity or SEVERITIES,
            form=form,
            seed=subject.seed,
            batch_size=batch_size,
            out=out,
            identity=prepared.identity,
            progress=tick,
        )

    document = corruption_document(record, out, name=subject.model, command=command_line())
    files = {"record": str(out / "corruptions.json"), "page": str(document.save(out / PAGE))}

    def show() -> None:
        tables(record.tables())
        for name, path in files.items():
            print(f"{name} {path}")

    result({**record.json(), "files": files}, as_json, show)
