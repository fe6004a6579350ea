"""`saddlepoint attacks`, `models`, `data`, `recipes`: what there is, with the paper."""

from __future__ import annotations

from collections.abc import Sequence

from saddlepoint.cli.console import result, table
from saddlepoint.cli.options import Json


def attacks(as_json: Json = False) -> None:
    """List the attacks: norms, kind, cost and paper."""
    from saddlepoint.attacks import ATTACKS

    rows = [
        (info.name, ", ".join(info.norms), info.kind, info.cost, info.paper)
        for info in ATTACKS.values()
    ]
    _print(("attack", "norms", "kind", "passes per image", "paper"), rows, as_json)


def models(as_json: Json = False) -> None:
    """List the built-in models; any timm or torchvision model can be named too."""
    from saddlepoint.zoo import ZOO

    rows = [(f"zoo:{info.name}", info.reference) for info in ZOO.values()]
    rows += [
        ("timm:NAME", "any model of timm (saddlepoint[zoo]), for instance timm:resnet18"),
        ("torchvision:NAME", "any classifier of torchvision (saddlepoint[zoo])"),
        ("FILE.py:CALLABLE", "your own: the callable returns a torch.nn.Module; its code is run"),
    ]
    _print(("model", "paper"), rows, as_json)


def data(as_json: Json = False) -> None:
    """List the data sets by name; folders, .npz and .parquet files can be named too."""
    from saddlepoint.data import DATASETS

    rows = [
        (
            info.name,
            "×".join(str(side) for side in info.shape),
            str(len(info.classes)),
            f"{info.train:,}",
            f"{info.test:,}",
            info.reference,
        )
        for info in DATASETS.values()
    ]
    _print(("data", "image", "classes", "train", "test", "source"), rows, as_json)


def recipes(as_json: Json = False) -> None:
    """List the shipped recipes; a YAML file of your own can be named too."""
    from saddlepoint.defences import recipe_names
    from saddlepoint.defences.recipe_file import recipe_text

    rows = [(name, recipe_text(name).splitlines()[0].lstrip("# ")) for name in recipe_names()]
    _print(("recipe", "what"), rows, as_json)


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]], as_json: bool) -> None:
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    result(records, as_json, lambda: table(columns, rows))
