"""`saddlepoint reconstruct`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from saddlepoint.cli import complete, options
from saddlepoint.cli.console import command_line, result
from saddlepoint.cli.images import check_images, choose_device, read_data
from saddlepoint.counts import MOST

_RECORD, _PAGE = "reconstruct.json", "reconstruct.html"


@dataclass(frozen=True, kw_only=True)
class Masked(options.DataOptions):
    """A masked autoencoder, and the images that it is given a part of."""

    weights: Annotated[Path, typer.Option(help="The folder of a training by the objective mae.")]
    ratio: Annotated[float, typer.Option(help="The share of the patches that are hidden.")] = 0.75
    masking: Annotated[
        str,
        typer.Option(help="random, block or grid.", autocompletion=complete.of(complete.MASKINGS)),
    ] = "random"
    split: options.Split = "test"
    seed: options.Seed = 0
    limit: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Reconstruct the first N images.")
    ] = 16


@options.bundled
def reconstruct(given: Masked, out: options.Out, as_json: options.Json = False) -> None:
    """Hide patches of images and let a masked autoencoder rebuild them.

    OUT gets the page reconstruct.html, with originals, visible patches, reconstructions, and what an
    interpolation of visible pixels makes of the same patches; and the errors, reconstruct.json.
    """
    from saddlepoint.configuration import configuration
    from saddlepoint.evaluation.reconstruction import reconstructed
    from saddlepoint.files import write_json
    from saddlepoint.reading import read_json, shown
    from saddlepoint.reports.reconstruction import reconstruction_document
    from saddlepoint.run_folders import claimed
    from saddlepoint.zoo import load_mae, weights_fingerprint

    device = choose_device(given.device, given.threads)
    check_images(given, given.split)
    mae = load_mae(given.weights).to(device)
    data = read_data(given, given.split, device)
    config = configuration(
        {
            "model": weights_fingerprint(mae),
            "data": {"name": data.name, "split": data.split, "fingerprint": data.fingerprint},
            "ratio": given.ratio,
            "masking": given.masking,
            "seed": given.seed,
        }
    )
    files = (_RECORD, _PAGE)
    with claimed(out, "reconstruct", config, files, (out / _RECORD).exists) as state:
        if state != "finished":
            found = reconstructed(
                mae, data, ratio=given.ratio, masking=given.masking, seed=given.seed
            )
            page = reconstruction_document(
                found, data, name=shown(given.weights.name), config=config, out=out,
                command=command_line(),
            )  # fmt: skip
            page.save(out / _PAGE)
            write_json(out / _RECORD, {"config": config, **found.numbers()})
    numbers = read_json(out / _RECORD)
    paths = {"numbers": str(out / _RECORD), "page": str(out / _PAGE)}
    result({**numbers, "files": paths}, as_json, lambda: _show(numbers, paths))


def _show(numbers: Mapping[str, Any], files: Mapping[str, str]) -> None:
    print(f"mean squared error over the hidden pixels of {numbers['images']} images")
    print(f"reconstruction {numbers['error']:.4g}")
    print(f"interpolation {numbers['interpolation_error']:.4g}")
    for name, path in files.items():
        print(f"{name} {path}")
