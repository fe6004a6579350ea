"""Deeper plain nets that compute the same: layers that begin as the identity."""

from __future__ import annotations

import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.zoo.residual_block import BasicBlock, Bottleneck
from saddlepoint.zoo.resnet_cifar import ResNetCifar


@torch.no_grad()
def deepened(net: ResNetCifar, depth: int) -> ResNetCifar:
    """Return a plain net of `depth` layers with the logits of `net`, in evaluation mode, to the last
    bit: "deeper need not be worse".

    Each stage has the blocks of `net` and then blocks of Dirac convolutions, whose normalisation
    divides by 1: behind a ReLU they are the identity. In training mode they normalise by the statistics
    of the batch, as all others do. He et al. 2016, arXiv:1512.03385, section 1.

    Args:
        net: a plain net of basic blocks; it is not changed, and shares no weights with the result.
        depth: 6n + 2, not below that of `net`.

    Raises `InputError` for a net with shortcuts, and for a smaller depth.

    >>> plain, images = ResNetCifar(8, shortcut="none").eval(), torch.rand(2, 3, 8, 8)
    >>> torch.equal(deepened(plain, 20)(images), plain(images))
    True
    """
    blocks = [each for each in net.modules() if isinstance(each, BasicBlock | Bottleneck)]
    if not all(isinstance(each, BasicBlock) and each.shortcut is None for each in blocks):
        raise InputError(
            'layers are added to a plain net of basic blocks; give ResNetCifar(…, shortcut="none")'
        )
    if depth < net.depth:
        raise InputError(f"depth is {depth}, below the {net.depth} layers of the net; give more")
    classes, channels = net.logits.out_features, net.conv.in_channels
    with torch.random.fork_rng(devices=()):  # what is drawn is overwritten
        deep = ResNetCifar(depth, classes=classes, channels=channels, shortcut="none")
    deep.to(net.conv.weight).train(net.training)
    deep.load_state_dict(net.state_dict(), strict=False)
    for mine, theirs in (
        (getattr(deep, s), getattr(net, s)) for s in ("stage1", "stage2", "stage3")
    ):
        for block in mine[len(theirs) :]:
            _become_identity(block)
    return deep


def _become_identity(block: BasicBlock) -> None:
    for conv, norm in ((block.conv1, block.norm1), (block.conv2, block.norm2)):
        nn.init.dirac_(conv.weight)
        assert norm.running_var is not None
        norm.running_var.fill_(1 - norm.eps)  # √(variance + eps) is 1
