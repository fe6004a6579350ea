"""`saddlepoint attacks`, `defences`, `models`, `data`, `corruptions`, `recipes`: what there is, with
paper and cost; also what installed packages bring.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saddlepoint.cli.console import result, table, tables
from saddlepoint.cli.options import Json
from saddlepoint.errors import InputError

if TYPE_CHECKING:
    from saddlepoint.zoo import ModelInfo

_FROM = "from"


def attacks(as_json: Json = False) -> None:
    """List the attacks: norms, kind, cost and paper."""
    from saddlepoint.attacks import ATTACKS

    rows = [
        (info.name, ", ".join(info.norms), info.kind, info.cost, info.paper, info.source)
        for info in ATTACKS.listed()
    ]
    _print(("attack", "norms", "kind", "passes per image", "paper", _FROM), rows, as_json)


def defences(as_json: Json = False) -> None:
    """List the objectives, transforms and penalties of recipes: cost and paper."""
    from saddlepoint.defences import OBJECTIVES, PENALTIES, TRANSFORMS

    rows = [
        (info.name, registry.kind, info.cost, info.paper, info.source)
        for registry in (OBJECTIVES, TRANSFORMS, PENALTIES)
        for info in registry.listed()
    ]
    _print(("defence", "kind", "cost", "paper", _FROM), rows, as_json)


_ELSEWHERE = (
    ("timm:NAME", "images", "any model of timm (saddlepoint[zoo]), for instance timm:resnet18"),
    ("torchvision:NAME", "images", "any classifier of torchvision (saddlepoint[zoo])"),
    (
        "hf:FOLDER",
        "images or texts",
        "a classifier of Hugging Face from its folder (saddlepoint[hf])",
    ),
    ("FILE.py:NAME", "images", "your own: NAME returns a torch.nn.Module; the file's code is run"),
)


def models(
    root: Annotated[
        Path | None,
        typer.Option(
            help="A folder of checkpoints in RobustBench's layout, models/DATA/THREAT/NAME.pt and"
            " model_info/DATA/THREAT/NAME.json: list these, with their published numbers.",
            show_default=False,
        ),
    ] = None,
    evaluations: Annotated[
        list[Path] | None,
        typer.Option(
            help="With --root: a folder of a finished evaluation, or of several, whose numbers stand"
            " beside the published ones of the same weights; repeatable.",
            show_default=False,
        ),
    ] = None,
    costs: Annotated[
        bool,
        typer.Option(
            "--costs", help="Also the weights and the multiply-adds of each; some seconds."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """List the built-in models, of images and of texts, or with --root a folder of checkpoints; any timm
    or torchvision model can be named too.
    """
    if root is not None:
        if costs:
            raise InputError("--costs is of the built-in models; leave it out beside --root")
        _register(root, evaluations or (), as_json)
        return
    if evaluations:
        raise InputError(
            "--evaluations goes with --root FOLDER; give the folder of the checkpoints"
        )
    from saddlepoint.text import TEXT_MODELS
    from saddlepoint.zoo import ZOO

    rows = [
        (info.name if info.source else f"zoo:{info.name}", "images", info.reference, info.source)
        for info in ZOO.listed()
    ]
    rows += [(info.name, "texts", info.reference, "") for info in TEXT_MODELS.values()]
    rows += [(name, of, what, "") for name, of, what in _ELSEWHERE]
    if not costs:
        _print(("model", "of", "paper", _FROM), rows, as_json)
        return
    counted = [_cost(info) for info in ZOO.listed()]
    counted += [""] * (len(rows) - len(counted))
    columns = ("model", "of", "cost of a 3×32×32 image, 10 classes", "paper", _FROM)
    told = [(*row[:2], cost, *row[2:]) for row, cost in zip(rows, counted, strict=True)]
    _print(columns, told, as_json)


def _register(root: Path, evaluations: Sequence[Path], as_json: bool) -> None:
    from saddlepoint.evaluation import beside
    from saddlepoint.zoo import read_register

    register = read_register(root)
    found = beside(register, evaluations) if evaluations else register
    result(found.json(), as_json, lambda: tables(found.tables()))


def _cost(info: ModelInfo) -> str:
    from saddlepoint.zoo.cost import model_cost

    try:
        cost = model_cost(info, size=info.side)
        return str(cost) if info.side == 32 else f"{cost} ({info.side}×{info.side})"
    except InputError:  # of a plug-in that is for other images
        return "–"


def data(as_json: Json = False) -> None:
    """List the data sets by name, of images and of texts; folders and files can be named too."""
    from saddlepoint.data import SOURCES, DatasetInfo
    from saddlepoint.text import RULES, TEXT_SETS
    from saddlepoint.text.rules.sets import SIZES
    from saddlepoint.text.text_sets import RULE

    rows = [
        (
            info.name,
            "×".join(str(side) for side in info.shape),
            str(len(info.classes)),
            f"{info.train:,}",
            f"{info.test:,}",
            info.reference,
            "",
        )
        if isinstance(info, DatasetInfo)
        else (info.name, "–", "–", "–", "–", info.reference, info.source)
        for info in SOURCES.listed()
    ]
    sizes = f"{SIZES['train']:,}", f"{SIZES['test']:,}"
    rows += [
        (RULE + rule.name, "text", str(len(rule.classes) or "–"), *sizes, rule.what, "")
        for rule in RULES.values()
    ]
    rows += [
        (each.name, "text", str(len(each.classes) or "–"), "–", "–", each.what, "")
        for each in TEXT_SETS.values()
    ]
    _print(("data", "image", "classes", "train", "test", "source", _FROM), rows, as_json)


def corruptions(as_json: Json = False) -> None:
    """List the common corruptions and their severities."""
    from saddlepoint.data import CORRUPTIONS
    from saddlepoint.data.corruptions import FORMS, SEVERITIES

    def told(numbers: Sequence[float]) -> str:
        return ", ".join(f"{number:g}" for number in numbers)

    rows = [
        (
            each.name,
            each.kind,
            each.what,
            *("; ".join(told(each.constants(s, form)) for s in SEVERITIES) for form in FORMS),
        )
        for each in CORRUPTIONS.values()
    ]
    _print(
        ("corruption", "kind", "what", *(f"severities of {form}" for form in FORMS)), rows, as_json
    )


def recipes(as_json: Json = False) -> None:
    """List the shipped recipes; a YAML file of your own can be named too."""
    from saddlepoint.defences import recipe_names
    from saddlepoint.defences.recipe_file import recipe_text

    rows = [(name, recipe_text(name).splitlines()[0].lstrip("# ")) for name in recipe_names()]
    _print(("recipe", "what"), rows, as_json)


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]], as_json: bool) -> None:
    """Print the rows; for people the last column, of plug-ins, only where there is one."""
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    if columns[-1] == _FROM and not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    result(records, as_json, lambda: table(columns, rows))
