"""The same networks built of the parts of timm and torchvision, for trainings side by side."""

from __future__ import annotations

import torch
from torch import nn


def peer_vit(channels=1, size=8, patch=2):
    """timm's network of the sizes of `vit-micro`."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=size, patch_size=patch, in_chans=channels, embed_dim=96, depth=4, num_heads=3,
        num_classes=10,
    )  # fmt: skip


def peer_swin(channels=1, size=8, patch=1):
    """timm's network of the sizes of `swin-micro`."""
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(
        img_size=size, patch_size=patch, in_chans=channels, embed_dim=48, depths=(2, 2, 2),
        num_heads=(3, 6, 12), window_size=4, num_classes=10, drop_path_rate=0.0,
    )  # fmt: skip


def peer_resnet20(channels=1):
    """Torchvision's basic blocks in the stages of `resnet20` with the shortcut B."""
    from torchvision.models.resnet import BasicBlock

    def stage(inputs, width, stride):
        same = inputs == width
        down = None if same else nn.Sequential(
            nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)
        )  # fmt: skip
        return [BasicBlock(inputs, width, stride, down), *(BasicBlock(width, width) for _ in "12")]

    net = nn.Sequential(
        nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        *stage(16, 16, 1), *stage(16, 32, 2), *stage(32, 64, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    return net


VIT_NAMES = {
    "patch_embed.proj": "embed.conv", "cls_token": "class_token", "pos_embed": "positions.table",
    ".attn.qkv": ".attention.qkv", ".attn.proj": ".attention.out", ".mlp.fc1": ".mlp.expand",
    ".mlp.fc2": ".mlp.contract",
}  # fmt: skip
SWIN_NAMES = {
    "patch_embed.proj": "embed.conv", "patch_embed.norm": "embed_norm", "layers.": "stages.",
    "downsample": "merging", "attn.relative_position_bias_table": "bias.table",
    "attn.qkv": "attention.qkv", "attn.proj": "attention.out", "mlp.fc1": "mlp.expand",
    "mlp.fc2": "mlp.contract", "head.fc": "head",
}  # fmt: skip


def from_timm(state, names):
    """A state dict of timm under our names."""
    found = {}
    for key, value in state.items():
        for theirs, ours in names.items():
            key = key.replace(theirs, ours)
        found[key] = value.squeeze() if key in ("class_token", "positions.table") else value
    return found


def vit_from_timm(state):
    return from_timm(state, VIT_NAMES)


def swin_from_timm(state):
    return from_timm(state, SWIN_NAMES)


def take_weights(name, own, peer):
    """Put a peer's weights into ours: by name, of the residual network in their order."""
    theirs = peer.state_dict()
    if name == "vit-micro":
        own.load_state_dict(vit_from_timm(theirs))
    elif name == "swin-micro":
        own.load_state_dict(swin_from_timm(theirs), strict=False)  # masks are no weights of ours
    else:
        own.load_state_dict(dict(zip(own.state_dict(), theirs.values(), strict=True)))


PEERS = {
    "resnet20": (peer_resnet20, {"shortcut": "B"}, "resnet-cifar"),
    "vit-micro": (peer_vit, {"patch": 2}, "vit"),
    "swin-micro": (peer_swin, {"patch": 1}, "vit"),
}
"""By the names of ours: the peer, the options of ours, the recipe of both."""


def seeded(build, seed):
    """The network of a seed, the global random state put back."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return build()
