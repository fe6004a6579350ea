"""The numbers of a look, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from saddlepoint.evaluation.look.attended import SwinAttention, ViTAttention
from saddlepoint.evaluation.look.look import Look


def look_numbers(seen: Look) -> dict[str, Any]:
    """Return everything of a look that is a number and no picture.

    >>> import torch
    >>> from saddlepoint.evaluation.look import look_at
    >>> from saddlepoint.zoo import build_model
    >>> net = build_model("vit-micro", classes=10, shape=(3, 32, 32))
    >>> list(look_numbers(look_at(net, torch.rand(2, 3, 32, 32))))
    ['filters', 'blocks', 'predictions', 'attention']
    """
    found: dict[str, Any] = {
        "filters": None,
        "blocks": [] if seen.before.features is None else list(seen.before.features.blocks),
        "predictions": {"before": seen.before.predictions.tolist()},
        "attention": _attention(seen),
    }
    if seen.filters is not None:
        shares = seen.filters.shares
        found["filters"] = {
            "layer": seen.filters.layer,
            "shape": list(seen.filters.weights.shape),
            "component_shares": None if shares is None else shares.tolist(),
        }
    if seen.after is not None:
        found["predictions"]["after"] = seen.after.predictions.tolist()
        found["changed_images"] = seen.moved.tolist()
    return found


def _attention(seen: Look) -> dict[str, Any]:
    before, after = seen.before.attention, None if seen.after is None else seen.after.attention
    if isinstance(before, str):
        return {"none": before}
    found: dict[str, Any] = {"layers": list(before.layers)}
    if isinstance(before, ViTAttention):
        found |= {"grid": list(before.grid), "patch": before.patch}
        found["mean_distance"] = _lists(before.distances)
        if isinstance(after, ViTAttention):
            changed = before.changed(after)
            found["changed_patches"] = changed.sum(1).tolist()
            found["mean_distance_after"] = _lists(after.distances)
            found["share_on_changed"] = {
                "before": _lists(before.share_on(changed)),
                "after": _lists(after.share_on(changed)),
            }
            found["divergence"] = _lists(before.divergence(after))
    if isinstance(before, SwinAttention):
        found["windows"] = {name: str(cut) for name, cut in before.cuts.items()}
        if isinstance(after, SwinAttention):
            found["divergence"] = _lists(before.divergence(after))
    return found


def _lists(values: Mapping[str, Tensor]) -> dict[str, list[float]]:
    return {name: each.tolist() for name, each in values.items()}
