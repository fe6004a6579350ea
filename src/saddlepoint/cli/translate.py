"""`saddlepoint translate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from saddlepoint.cli import options
from saddlepoint.cli.console import command_line, progress, result
from saddlepoint.cli.images import choose_device
from saddlepoint.counts import MOST
from saddlepoint.errors import InputError

_RECORD, _PAGE, _LINES = "translate.json", "translate.html", "translations.txt"
_PRINTED = 20


def translate(
    weights: Annotated[
        Path, typer.Option(help="The folder of a training by the recipe transformer.")
    ],
    text: Annotated[
        list[str] | None, typer.Option(help="What is to be translated; repeatable.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="The same from a file: a .txt with a text in every line, a .csv …"),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(help="The column of --file. [default: text, or source]", show_default=False),
    ] = None,
    beam: Annotated[
        int, typer.Option(min=1, max=1000, help="Beginnings that go on at once; 1 is greedy.")
    ] = 4,
    length_penalty: Annotated[
        float,
        typer.Option(min=0, max=50, help="α of ((5 + length)/6)^α, which scores are divided by."),
    ] = 0.6,
    extra: Annotated[
        int,
        typer.Option(min=0, max=MOST, help="Tokens by which a text may be longer than its source."),
    ] = 50,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut texts that are too long for the network.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="The first N texts alone.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder for the page translate.html with attention maps, and the numbers."
        ),
    ] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Translate texts by a Transformer, with beam search; with --out also a page that shows where each
    head of the decoder looked.
    """
    from dataclasses import replace

    from saddlepoint.configuration import configuration
    from saddlepoint.files import fingerprint, write, write_json
    from saddlepoint.reading import read_json, shown
    from saddlepoint.reports.translations import SHOWN, translation_document
    from saddlepoint.run_folders import claimed
    from saddlepoint.text import BeamSearch, load_trained_text
    from saddlepoint.text.translating import cross_attention
    from saddlepoint.text.translating import translate as translated
    from saddlepoint.zoo import weights_fingerprint

    where = choose_device(device, threads)
    trained = load_trained_text(weights)
    texts = _texts(text, file, column)[:limit]
    framing = replace(trained.framing, truncate=truncate or trained.framing.truncate)
    trained = replace(trained, model=trained.model.to(where), framing=framing)
    search = BeamSearch(beam, length_penalty, extra)
    config = configuration(
        {
            "model": weights_fingerprint(trained.model),
            "tokeniser": trained.framing.tokeniser.fingerprint,
            "texts": fingerprint({"texts": texts}),
            "beam": beam,
            "length_penalty": length_penalty,
            "extra": extra,
            "truncate": framing.truncate,
        }
    )
    if out is None:
        with progress("translating"):
            found = translated(trained, texts, search)
        _tell(found.json(), {}, as_json)
        return
    files = (_RECORD, _PAGE, _LINES)
    with claimed(out, "translate", config, files, (out / _RECORD).exists) as state:
        if state != "finished":
            with progress("translating"):
                found = translated(trained, texts, search)
            seen = [
                cross_attention(trained, source, ids)
                for source, ids in zip(found.sources[:SHOWN], found.ids, strict=False)
            ]
            page = translation_document(
                found, seen, name=shown(weights.name), config=config, out=out,
                command=command_line(),
            )  # fmt: skip
            page.save(out / _PAGE)
            write(out / _LINES, "".join(f"{each}\n" for each in found.written))
            write_json(out / _RECORD, {"config": config, **found.json()})
    names = {"numbers": _RECORD, "page": _PAGE, "translations": _LINES}
    paths = {name: str(out / each) for name, each in names.items()}
    _tell(read_json(out / _RECORD), paths, as_json)


def _texts(text: list[str] | None, file: Path | None, column: str | None) -> list[str]:
    """Return what is to be translated."""
    from saddlepoint.text import TextColumns, read_texts
    from saddlepoint.text.text_data import check_rows

    if (text is None) == (file is None):
        raise InputError("give what is to be translated, by --text or by --file")
    if file is None:
        if column is not None:
            raise InputError("--column is of --file; leave it out")
        given = list(text or ())
        check_rows([(each,) for each in given], [f"--text {i + 1}" for i in range(len(given))])
        return given
    data = read_texts(file, TextColumns(() if column is None else (column,), labelled=False))
    return [row[0] for row in data.rows]


def _tell(found: Mapping[str, Any], files: Mapping[str, str], as_json: bool) -> None:
    rows = found["translations"]

    def show() -> None:
        for row in rows[:_PRINTED]:
            print(f"{row['source']}\n  → {row['translation']}")
        if len(rows) > _PRINTED:
            print(f"… and {len(rows) - _PRINTED:,} more")
        if found["cut"]:
            print(f"{found['cut']} texts were too long, and cut")
        for name, path in files.items():
            print(f"{name} {path}")

    result({**found, **({"files": dict(files)} if files else {})}, as_json, show)
