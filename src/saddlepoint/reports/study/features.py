"""Figures 13 and on: what the convolutional blocks of a trained variant put out for one image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.model import Guard
from saddlepoint.reports.figures import drawable
from saddlepoint.reports.study.cells import class_name, example_cell
from saddlepoint.reports.study.pictures import draw_image
from saddlepoint.reports.style import style
from saddlepoint.studies.results import StudyResults
from saddlepoint.zoo.simple_cnn import ConvBlock

_CHANNELS = 8
_BLOCKS = 4
_INCHES = 0.9  # the width of a map
_GAP = 0.08  # between maps, as a share of it


def feature_maps(results: StudyResults, variant: str) -> Figure:
    """Return one image of the study, clean and adversarial, and what each convolutional block of
    the trained variant makes of both: the first 8 channels, all on one scale.

    The blocks are the `ConvBlock`s of the model, else its `nn.Conv2d` layers; of more than four,
    four are shown, the first and the last among them. The model is the one of the first seed and
    the largest budget that are finished. Raises `InputError` where the variant has no finished
    cell, or the store no model or images of it.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> figure = feature_maps(toy_results(), "original")
    >>> figure.axes[0].get_title()
    'clean: zero'
    """
    seed, eps, attack = example_cell(results, variant)
    model = results.model(variant, seed, eps)
    examples = results.examples(variant, seed, eps, attack)
    number = _same_image(results, examples)
    pair = torch.stack([examples["images"][number], examples["adversarials"][number]]).float().cpu()
    if not drawable(pair.shape[1:]):
        raise InputError(
            f"only grey and RGB images can be drawn, not shape {tuple(pair.shape[1:])}"
        )
    maps = block_outputs(model, pair)
    predicted = tuple(class_name(results, int(examples[k][number])) for k in ("before", "after"))
    return _drawn(pair, predicted, maps)


def block_outputs(
    model: nn.Module, images: Float[Tensor, "n c h w"]
) -> dict[str, Float[Tensor, "n d a b"]]:
    """Return the outputs of the convolutional blocks for each image, by the name of the block.

    One image at a time and with one seed, so that a random model draws the same noise for each; of
    a model that runs several passes, this is the first. The model is left as it was.

    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())
    >>> {name: tuple(m.shape) for name, m in block_outputs(network, torch.rand(2, 1, 8, 8)).items()}
    {'0': (2, 4, 6, 6)}
    """
    blocks = _blocks(model)
    found: dict[str, list[Tensor]] = {name: [] for name in blocks}

    def keep(name: str, number: int) -> object:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            if len(found[name]) == number:  # the first pass of this image
                # A copy: the next layer may be an in-place one.
                found[name].append(output[0].detach().to("cpu", torch.float32, copy=True))

        return hook

    for number, image in enumerate(images):
        handles = [
            block.register_forward_hook(keep(name, number))  # type: ignore[arg-type]
            for name, block in blocks.items()
        ]
        try:
            with Guard(model, 1) as guard:
                guard.logits(image[None].to(guard.device))
        finally:
            for handle in handles:
                handle.remove()
    maps = {name: torch.stack(each) for name, each in found.items() if len(each) == len(images)}
    if not maps:
        raise InputError("the model runs none of its convolutional layers; no feature maps to draw")
    return maps


def _blocks(model: nn.Module) -> dict[str, nn.Module]:
    for kind in (ConvBlock, nn.Conv2d):
        blocks = {
            name: module for name, module in model.named_modules() if isinstance(module, kind)
        }
        if blocks:
            names = list(blocks)
            last = len(names) - 1
            count = min(_BLOCKS, len(names))
            chosen = sorted({round(i * last / max(count - 1, 1)) for i in range(count)})
            return {names[i]: blocks[names[i]] for i in chosen}
    raise InputError("the model has no convolutional layer; there are no feature maps to draw")


def _same_image(results: StudyResults, examples: dict[str, Tensor]) -> int:
    """Which example is the one that the reference is shown with, so that variants compare."""
    try:
        seed, eps, attack = example_cell(results, results.reference)
        first = int(results.examples(results.reference, seed, eps, attack)["ids"][0])
    except InputError:  # the reference is not finished
        return 0
    ids = examples["ids"].tolist()
    return ids.index(first) if first in ids else 0


def _drawn(pair: Tensor, predicted: Sequence[str], maps: dict[str, Tensor]) -> Figure:
    # One scale for every map: the full range of what is shown, nothing cut off.
    shown = {name: each[:, :_CHANNELS] for name, each in maps.items()}
    finite = torch.cat([each[each.isfinite()] for each in shown.values()])
    low = min(0.0, float(finite.min())) if len(finite) else 0.0
    high = max(low + 1e-6, float(finite.max())) if len(finite) else 1.0
    tall = max(each.shape[2] / each.shape[3] for each in shown.values())
    rows, columns = 2 * len(shown), max(each.shape[1] for each in shown.values())
    across, down = columns * (1 + _GAP) - _GAP, rows * (tall + _GAP) - _GAP  # in maps
    maps_wide, high_all = across * _INCHES, down * _INCHES
    left = 1.6 + 0.6  # the images, then the names of the blocks
    wide = left + maps_wide + 0.3
    with style():
        figure = Figure(figsize=(wide, high_all))
        for i, state in enumerate(("clean", "adversarial")):
            half = (0, 0.5 * (1 - i), 1.6 / wide, 0.46)
            draw_image(figure.add_axes(half), pair[i], f"{state}: {predicted[i]}")
        # One pair of axes for all maps, each in a cell of its own: quicker than one pair for each.
        axes = figure.add_axes((left / wide, 0, maps_wide / wide, 1))
        for b, (name, both) in enumerate(shown.items()):
            for i in range(2):
                top = (2 * b + i) * (tall + _GAP)
                for c, each in enumerate(both[i]):
                    image = axes.imshow(
                        each.numpy(), vmin=low, vmax=high, cmap="viridis", interpolation="nearest",
                        extent=(c * (1 + _GAP), c * (1 + _GAP) + 1, top + tall, top),
                    )  # fmt: skip
                axes.text(
                    -0.08, top + tall / 2, f"{_short(name)}\n{('clean', 'adv.')[i]}",
                    fontsize=7, rotation=90, ha="right", va="center", multialignment="center",
                )  # fmt: skip
        axes.set_xlim(0, across)
        axes.set_ylim(down, 0)
        axes.set_axis_off()
        bar = figure.add_axes(((wide - 0.15) / wide, 0, 0.15 / wide, 1))
        figure.colorbar(image, cax=bar)
        bar.grid(visible=False)
        bar.set_ylabel("output of the block")
    return figure


def _short(name: str) -> str:
    return name.rsplit(".", 1)[-1] or "conv"
