"""Which known architectures a file of weights is nearest to, by the shapes and names in it."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from torch import Tensor

from saddlepoint.zoo.registry import ZOO
from saddlepoint.zoo.skeleton import skeletons

_NEAR = 0.6  # of the shapes that either has; below that they have little in common
_SIDES = (32, 28, 8)  # of images: some networks of the zoo are built for one size
_COUNTER = "num_batches_tracked"

_RESNETS: Mapping[tuple[bool, tuple[int, ...]], str] = {
    (False, (2, 2, 2, 2)): "18",
    (False, (3, 4, 6, 3)): "34",
    (True, (3, 4, 6, 3)): "50",
    (True, (3, 4, 23, 3)): "101",
    (True, (3, 8, 36, 3)): "152",
}
_VITS = {192: "tiny", 384: "small", 768: "base", 1024: "large"}
_FAMILIES = (
    (r"(^|\.)blocks\.0\.0\.conv_pw\.|(^|\.)conv_stem\.", "timm:efficientnet_b0 and its family"),
    (r"(^|\.)stages\.0\.blocks\.0\.conv_dw\.", "timm:convnext_tiny and its family"),
    (r"(^|\.)features\.1\.0\.layer_scale", "torchvision:convnext_tiny and its family"),
    (r"relative_position_bias_table", "timm:swin_tiny_patch4_window7_224 and its family"),
    (r"(^|\.)encoder\.layers\.encoder_layer_0\.", "torchvision:vit_b_16 and its family"),
    (r"(^|\.)features\.denseblock1\.", "torchvision:densenet121 and its family"),
    (r"(^|\.)features\.1\.conv\.0\.0\.weight", "torchvision:mobilenet_v2"),
    (r"(^|\.)features\.0\.0\.weight", "torchvision:efficientnet_b0 and its family"),
    (r"(^|\.)Mixed_5b\.", "torchvision:inception_v3"),
    (r"(^|\.)features\.\d+\.squeeze\.", "torchvision:squeezenet1_1"),
    (r"(^|\.)classifier\.6\.weight", "torchvision:vgg16 or alexnet"),
    (r"(^|\.)block1\.layer\.0\.", "the wide networks of TRADES and RobustBench, zoo:wrn34-10"),
    (r"(^|\.)(vit|deit)\.encoder\.layer\.0\.", "transformers' ViT, timm:vit_base_patch16_224"),
)


def near_architectures(state: Mapping[str, Tensor]) -> str:
    """Return a line on the architectures that fit the tensors best, and what to do with others.

    Those of the zoo are compared by their shapes, those of timm and torchvision are known by the
    names of their tensors.

    >>> import torch
    >>> near_architectures({"layer": torch.zeros(3)})
    'bring its own code as FILE.py:CALLABLE'
    """
    names = [*dict.fromkeys((*_by_names(state), *_of_zoo(state)))][:4]
    own = "bring its own code as FILE.py:CALLABLE"
    return f"near to it: {', '.join(names)}; else {own}" if names else own


def _of_zoo(state: Mapping[str, Tensor]) -> list[str]:
    theirs = _shapes(state)
    images = next((t.shape[1] for t in state.values() if t.ndim == 4), 3)
    matrices = [t for t in state.values() if t.ndim == 2]
    classes = int(matrices[-1].shape[0]) if matrices else 10
    if not theirs or not 1 <= images <= 16 or not 2 <= classes <= 100_000:
        return []
    scores: dict[str, float] = {}
    for info in ZOO.own.values():  # no plug-in is run to tell what went wrong
        seen: list[Counter[tuple[int, ...]]] = []
        for side in _SIDES:
            ours = _shapes_of(info.name, classes, int(images), side)
            if ours is None:
                continue
            share = (ours & theirs).total() / (ours | theirs).total()
            scores[info.name] = max(share, scores.get(info.name, 0.0))
            if ours in seen:  # it is for every size
                break
            seen.append(ours)
    near = sorted((name for name in scores if scores[name] >= _NEAR), key=lambda n: -scores[n])
    return [f"zoo:{name} ({scores[name]:.0%} of the shapes)" for name in near[:2]]


@functools.lru_cache(maxsize=256)
def _shapes_of(
    name: str, classes: int, channels: int, side: int
) -> Counter[tuple[int, ...]] | None:
    """Return the shapes of a network of the zoo; None where it cannot be built so."""
    try:
        with skeletons():
            model = ZOO.own[name].build(classes=classes, channels=channels, size=side)
    except Exception:
        return None
    return _shapes(model.state_dict())


def _shapes(state: Mapping[str, Tensor]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(t.shape) for key, t in state.items() if not key.endswith(_COUNTER))


def _by_names(state: Mapping[str, Tensor]) -> Iterator[str]:
    resnet = _resnet(state)
    if resnet is not None:
        yield resnet
        return
    vit = next((key for key in state if re.search(r"(^|\.)blocks\.0\.attn\.qkv\.weight$", key)), "")
    if vit and "relative" not in "".join(state):
        size = _VITS.get(int(state[vit].shape[-1]), "base")
        yield f"timm:vit_{size}_patch16_224 or deit of that size"
        return
    family = (what for pattern, what in _FAMILIES if any(re.search(pattern, key) for key in state))
    yield from list(family)[:1]


def _resnet(state: Mapping[str, Tensor]) -> str | None:
    """Return the ResNet that the usual names of its blocks speak of."""
    blocks: dict[int, set[int]] = {}
    for key in state:
        found = re.search(r"(?:^|\.)layer([1-4])\.(\d{1,4})\.conv1\.", key)
        if found:
            blocks.setdefault(int(found[1]), set()).add(int(found[2]))
    counts = tuple(len(blocks[stage]) for stage in sorted(blocks))
    deep = any(re.search(r"layer1\.0\.conv3\.", key) for key in state)
    name = _RESNETS.get((deep, counts))
    return None if name is None else f"torchvision:resnet{name} or timm:resnet{name}"
