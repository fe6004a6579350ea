"""`saddlepoint look`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saddlepoint.cli import complete, options
from saddlepoint.cli.attack_options import AttackOptions
from saddlepoint.cli.console import command_line, progress, result, table
from saddlepoint.cli.model import note_random_weights
from saddlepoint.cli.prepare import Place, Prepared, prepare
from saddlepoint.counts import MOST
from saddlepoint.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from saddlepoint.attacks import Attack
    from saddlepoint.evaluation import AttackRecord

_RECORD, _PAGE = "look.json", "look.html"
_OPTIONS = AttackOptions()


@dataclass(frozen=True, kw_only=True)
class LookSubject(options.Corruptible):
    """A model that is looked into, with a few images."""

    limit: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Look at the first N images.")
    ] = 4


@options.bundled
def look(
    subject: LookSubject,
    out: options.Out,
    given: AttackOptions,
    attack: Annotated[
        str | None,
        typer.Option(
            help="Look again after this attack: a name (see `saddlepoint attacks`), or FILE.py:NAME,"
            " which runs that file's code; with the options of `saddlepoint attack`.",
            autocompletion=complete.of(complete.ATTACKS),
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Look into one model: filters, feature maps, attention, before and after an attack.

    OUT gets the page look.html and its numbers, look.json. Attention is that of the ViT and Swin
    networks of this package.
    """
    from saddlepoint.configuration import configuration
    from saddlepoint.evaluation.look import look_at, look_numbers
    from saddlepoint.files import write_json
    from saddlepoint.reading import read_json
    from saddlepoint.reports.look import look_document
    from saddlepoint.run_folders import claimed
    from saddlepoint.zoo import weights_fingerprint

    if attack is None and given != _OPTIONS:
        raise InputError("options of an attack without one; name it with --attack")
    check = None if attack is None else given.checker(attack)
    files = (_RECORD, _PAGE)
    prepared = prepare(subject, check=check, place=Place(out, "look", files))
    note_random_weights(subject)
    data = prepared.data
    chosen = None if attack is None else given.attack(attack, subject, prepared)
    config = configuration(
        {
            "model": weights_fingerprint(prepared.model),
            "identity": prepared.identity,
            "data": {"name": data.name, "split": data.split, "fingerprint": data.fingerprint},
            "attack": None if chosen is None else _asked(chosen, given, prepared),
            "seed": subject.seed,
        }
    )
    with claimed(out, "look", config, files, (out / _RECORD).exists) as found:
        if found != "finished":
            record = None if chosen is None else _attacked(chosen, given, subject, prepared)
            images, after = _images(prepared, record)
            seen = look_at(prepared.model, images, after)
            page = look_document(
                seen, data, name=subject.model, config=config, out=out, command=command_line(),
                attack="" if record is None else record.title.rpartition(", ")[0],
            )  # fmt: skip
            page.save(out / _PAGE)
            write_json(out / _RECORD, {"config": config, **look_numbers(seen)})
    numbers = read_json(out / _RECORD)
    paths = {"numbers": str(out / _RECORD), "page": str(out / _PAGE)}
    result({**numbers, "files": paths}, as_json, lambda: _show(numbers, paths))


def _asked(attack: Attack, given: AttackOptions, prepared: Prepared) -> dict[str, Any]:
    """Return what determines the attack, before it runs."""
    from saddlepoint.files import fingerprint

    mask = given.where(prepared.data.shape)
    return {
        "attack": attack,
        "threat": str(attack.threat),
        "space": attack.threat.space,
        "target": given.target,
        "targets": given.case,
        "mask": None if mask is None else fingerprint(mask.cpu().numpy().tobytes()),
        "eot_samples": given.eot_samples,
    }


def _attacked(
    attack: Attack, given: AttackOptions, subject: LookSubject, prepared: Prepared
) -> AttackRecord:
    from saddlepoint.evaluation import run_attack

    with progress("attacking") as tick:
        return run_attack(
            prepared.model,
            prepared.data,
            attack,
            target=given.target,
            targets=given.case,
            mask=given.where(prepared.data.shape),
            seed=subject.seed,
            eot_samples=given.eot_samples,
            identity=prepared.identity,
            progress=tick,
        )


def _images(
    prepared: Prepared, record: AttackRecord | None
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"] | None]:
    """Return the images, and what the attack made of them; one that it left out is as it was."""
    import torch

    images = prepared.data.images(torch.arange(len(prepared.data))).cpu().float()
    if record is None:
        return images, None
    after = images.clone()
    after[record.ids.cpu()] = record.result.adversarials.cpu().float()
    return images, after


def _show(numbers: Mapping[str, Any], files: Mapping[str, str]) -> None:
    filters, attention = numbers["filters"], numbers["attention"]
    if filters is not None:
        print(f"filters of {filters['layer']}: {'×'.join(map(str, filters['shape']))}")
    if numbers["blocks"]:
        print(f"feature maps of {', '.join(numbers['blocks'])}")
    if "none" in attention:
        print(attention["none"])
    else:
        _show_layers(attention, numbers.get("changed_images", []))
    for name, path in files.items():
        print(f"{name} {path}")


def _show_layers(attention: Mapping[str, Any], moved: list[int]) -> None:
    distances, bits = attention.get("mean_distance"), attention.get("divergence")
    shares = attention.get("share_on_changed")
    columns, rows = ["layer"], [[each] for each in attention["layers"]]

    def add(name: str, values: Mapping[str, list[float]], which: list[int] | None = None) -> None:
        columns.append(name)
        for row in rows:
            several = values[row[0]]
            several = several if which is None else [several[i] for i in which]
            row.append(f"{sum(several) / len(several):.3g}" if several else "–")

    if distances is not None:
        add("distance (pixels)", distances)
    if bits is not None:
        add("divergence (bits)", bits, moved)
    if shares is not None and shares["before"]:
        add("share on changed patches", shares["before"], moved)
        add("after", shares["after"], moved)
    table(columns, rows, title="attention, means over images and heads")
    if bits is not None:
        print(f"{len(moved)} images were changed; divergence and shares are of those")
