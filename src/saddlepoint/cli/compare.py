"""`saddlepoint compare`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saddlepoint.cli.console import command_line, result, tables
from saddlepoint.cli.options import Json

if TYPE_CHECKING:
    from saddlepoint.evaluation import ModelComparison
    from saddlepoint.evaluation.overlap import Overlap

COMPARISON = "comparison.json"


def compare(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of finished evaluations, two or more.")
    ],
    eps: Annotated[
        list[str] | None,
        typer.Option(help="A budget that all have, such as 8/255; repeatable. Without it: all."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for comparison.json and the page report.html.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare models on the same images: which is more robust, and would more images tell?

    Two or more evaluations of the same images in the same threat model are compared at every budget
    that they have in common, image by image: which images do they fail on together, and which does one
    alone resist?
    """
    from saddlepoint.evaluation import compare as run
    from saddlepoint.evaluation.evaluation_folders import read_evaluations
    from saddlepoint.evaluation.overlap import overlap_of
    from saddlepoint.files import write_json
    from saddlepoint.reports.comparison import comparison_document
    from saddlepoint.reports.page.document import PAGE
    from saddlepoint.run_folders import claimed

    evaluations = read_evaluations(folders)
    found = run(evaluations, eps=eps or None)
    asked = [each.eps for each in found.budgets if each.eps is not None and math.isfinite(each.eps)]
    overlap = overlap_of(evaluations, asked)
    told = {**found.json(), **({} if overlap is None else {"overlap": overlap.json()})}
    page = None
    if out is not None:
        config = {"models": {name: each.config for name, each in evaluations.items()}, "eps": eps}
        with claimed(out, "compare", config, (COMPARISON, PAGE)):
            write_json(out / COMPARISON, told)
            page = comparison_document(found, evaluations, overlap, command_line()).save(out / PAGE)
        told["files"] = {"record": str(out / COMPARISON), "page": str(page)}
    result(told, as_json, lambda: _show(found, overlap, page))


def _show(found: ModelComparison, overlap: Overlap | None, page: Path | None) -> None:
    tables([*found.tables(), *(() if overlap is None else overlap.tables())])
    if page is not None:
        print(f"page {page}")
