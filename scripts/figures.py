"""Make the README's table and picture from one run of the demo, and the lab's figures on request.

    python scripts/figures.py              # the demo: docs/images/demo.json, demo-curve.png, README.md
    python scripts/figures.py lab          # docs/images/lab-*.png, some ten minutes
    python scripts/figures.py lab/fgsm-ray # one of them

Table and picture are drawn from `docs/images/demo.json` alone, so that they cannot disagree; the
picture carries the digest of the numbers it shows.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image, PngImagePlugin

from saddlepoint.cli import run
from saddlepoint.demo import SUITE, TITLE, run_demo
from saddlepoint.evaluation import Budget, Evaluation
from saddlepoint.evaluation.record import proportion_of
from saddlepoint.files import write, write_json
from saddlepoint.reading import read_json
from saddlepoint.reports import accuracy_curve, evaluation_rows, figure_bytes

ROOT = Path(__file__).parents[1]
NUMBERS = Path("docs/images/demo.json")
CURVE = Path("docs/images/demo-curve.png")
TABLE = re.compile(r"(<!-- demo: made by `make figures` -->\n).*?(<!-- /demo -->)", re.DOTALL)
LAB = (
    "constant-c",
    "fgsm-ray",
    "landscape",
    "lowest-bit",
    "objectives",
    "synthetic-digits",
    "transfer-confidence",
)
"""The experiments on digits whose figures docs/lab.md shows; that of MNIST needs the data."""


def evaluations(numbers: dict[str, Any]) -> dict[str, Evaluation]:
    """Return what the demo found, without the rows per image, from its JSON."""
    nothing = pa.table({})
    return {
        name: Evaluation(
            config=model["config"],
            clean=proportion_of(model["clean_accuracy"]),
            budgets=tuple(
                Budget(
                    each["eps"],
                    proportion_of(each["robust_accuracy"]),
                    proportion_of(each["attack_success_rate"]),
                    each["forwards_per_image"],
                    each["backwards_per_image"],
                    each["fooled_by"],
                    each["attacked"],
                )
                for each in model["budgets"]
            ),
            images=nothing,
            attempts=nothing,
            seconds=model["seconds"],
            notes=tuple(model["notes"]),
        )
        for name, model in numbers["models"].items()
    }


def table(numbers: dict[str, Any]) -> str:
    """Return the README's table as Markdown, and what it was measured on."""
    columns, rows = evaluation_rows(evaluations(numbers))
    lines = [columns, ["---"] * len(columns), *rows]
    where = numbers["environment"]
    return (
        "\n".join(f"| {' | '.join(line)} |" for line in lines)
        .replace(" %", "\xa0%")
        .replace(", ", ",\xa0")
        + f"\n\n{numbers['images']} test images, 95 % Wilson intervals;"
        + f" torch {where['torch']}, {where['threads']} threads.\n"
    )


def digest(numbers: dict[str, Any]) -> str:
    """Return what the picture carries: a digest of the numbers that it shows."""
    return hashlib.sha256(table(numbers).encode()).hexdigest()


def draw_demo(root: Path) -> None:
    """Write the curve and the README's table under `root` from the numbers there."""
    numbers = read_json(root / NUMBERS)
    notes = PngImagePlugin.PngInfo()
    notes.add_text("numbers", digest(numbers))
    picture = io.BytesIO()
    drawn = figure_bytes(accuracy_curve(evaluations(numbers), suite=SUITE, title=TITLE))
    Image.open(io.BytesIO(drawn)).save(picture, "PNG", pnginfo=notes, optimize=True)
    write(root / CURVE, picture.getvalue())
    readme = root / "README.md"
    text, found = TABLE.subn(
        lambda match: f"{match[1]}{table(numbers)}{match[2]}", readme.read_text(encoding="utf-8")
    )
    if found != 1:
        raise SystemExit(f"{readme} has {found} places for the table; it needs one")
    write(readme, text.encode())


def make_demo(root: Path, epochs: int, limit: int | None) -> None:
    """Run the demo and draw it."""
    with tempfile.TemporaryDirectory() as folder:
        found = run_demo(Path(folder), epochs=epochs, limit=limit).json()
    kept = ("models", "images", "environment")
    write_json(root / NUMBERS, {key: found[key] for key in kept})
    draw_demo(root)


def make_lab(root: Path, name: str) -> None:
    """Run an experiment with its defaults and keep its figure."""
    with tempfile.TemporaryDirectory() as folder:
        if run(["lab", name, "--out", folder]) != 0:
            raise SystemExit(f"lab {name} failed")
        (picture,) = Path(folder).glob("*.png")
        write(root / f"docs/images/lab-{name}.png", picture.read_bytes())


def main() -> None:
    """Make what is asked for; the demo where nothing is."""
    choices = ["demo", "redraw", "lab", *(f"lab/{name}" for name in LAB)]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="*", choices=choices, default="demo")
    parser.add_argument("--root", type=Path, default=ROOT, help="where README.md and docs/ lie")
    parser.add_argument("--epochs", type=int, default=20, help="of the demo's trainings")
    parser.add_argument("--limit", type=int, help="attack the first N images only")
    asked = parser.parse_args()
    for what in [asked.what] if isinstance(asked.what, str) else asked.what:
        if what == "demo":
            make_demo(asked.root, asked.epochs, asked.limit)
        elif what == "redraw":
            draw_demo(asked.root)
        for name in LAB:
            if what in ("lab", f"lab/{name}"):
                make_lab(asked.root, name)


if __name__ == "__main__":
    main()
