"""The architectures of this package by name."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from torch import nn

from saddlepoint.configuration import source_of
from saddlepoint.errors import InputError
from saddlepoint.plugins import Registry
from saddlepoint.zoo.carlini import Carlini
from saddlepoint.zoo.dcgan import DCGenerator
from saddlepoint.zoo.design import changed
from saddlepoint.zoo.gan import MLPGenerator
from saddlepoint.zoo.madry_cnn import MadryCNN
from saddlepoint.zoo.maxout import Maxout
from saddlepoint.zoo.perturber import ConstantPerturber, Perturber
from saddlepoint.zoo.preact_resnet import PreActResNet
from saddlepoint.zoo.residual_block import StrideOn
from saddlepoint.zoo.resnet import RESNETS, ResNet
from saddlepoint.zoo.resnet_cifar import ResNetCifar
from saddlepoint.zoo.shapes import Size, sides
from saddlepoint.zoo.simple_cnn import SimpleCNN
from saddlepoint.zoo.swin import Swin
from saddlepoint.zoo.swin_design import SWINS
from saddlepoint.zoo.user_code import made
from saddlepoint.zoo.vit import ViT
from saddlepoint.zoo.vit_design import VITS
from saddlepoint.zoo.wide_resnet import WideResNet


class Build(Protocol):
    """How every entry of `ZOO` is built.

    >>> build: Build = ZOO["simple-cnn"].build
    >>> type(build(classes=10, channels=1, size=8)).__name__
    'SimpleCNN'
    """

    def __call__(self, *, classes: int, channels: int, size: Size) -> nn.Module:
        """Return the network; those that end in a global average pass over `size`."""
        ...


@dataclass(frozen=True)
class ModelInfo:
    """A name, how to build the network, and where it was published; `source` is the plug-in that
    brought it, `side` that of the images that its cost is told for. A `generator` makes images, of
    noise or of images, and is no classifier.

    >>> ZOO["resnet20"].reference
    'He et al., Deep Residual Learning for Image Recognition, 2016, arXiv:1512.03385'
    """

    name: str
    build: Build
    reference: str
    source: str = ""
    side: int = 32
    generator: bool = False


def _brought(name: str, found: object) -> ModelInfo:
    """Return the entry of a plug-in: a function or a class that makes a network."""
    if not callable(found) or isinstance(found, nn.Module):
        raise InputError(
            f"the model {name} is a {type(found).__name__}; give a function or a class that makes a"
            " torch.nn.Module"
        )

    def build(*, classes: int, channels: int, size: Size, **options: Any) -> nn.Module:
        return made(found, name, classes, (channels, *sides(size)), options)

    said = (inspect.getdoc(found) or "").partition("\n")[0]
    return ModelInfo(name, build, said, source_of(found) or "")


def _resnet(
    depth: int,
    *,
    classes: int,
    channels: int,
    size: Size,
    shortcut: str = "A",
    block: Literal["basic", "bottleneck"] = "basic",
    stride_on: StrideOn = "3x3",
) -> nn.Module:
    return ResNetCifar(
        depth,
        classes=classes,
        channels=channels,
        shortcut=shortcut,
        block=block,
        stride_on=stride_on,
    )


def _plain(depth: int, *, classes: int, channels: int, size: Size) -> nn.Module:
    return ResNetCifar(depth, classes=classes, channels=channels, shortcut="none")


def _large_resnet(
    depth: int,
    *,
    classes: int,
    channels: int,
    size: Size,
    shortcut: str = "B",
    small: bool = False,
    stride_on: StrideOn = "3x3",
) -> nn.Module:
    return ResNet(
        depth,
        classes=classes,
        channels=channels,
        shortcut=shortcut,
        small=small,
        stride_on=stride_on,
    )


def _preact18(*, classes: int, channels: int, size: Size) -> nn.Module:
    return PreActResNet((2, 2, 2, 2), classes=classes, channels=channels)


def _wrn(depth: int, width: int, *, classes: int, channels: int, size: Size) -> nn.Module:
    return WideResNet(depth, width, classes=classes, channels=channels)


def _carlini(
    widths: tuple[int, int], hidden: int, *, classes: int, channels: int, size: Size
) -> nn.Module:
    return Carlini(widths, hidden, classes=classes, channels=channels, size=size)


def _vit(name: str, *, classes: int, channels: int, size: Size, **options: Any) -> nn.Module:
    design = changed(name, VITS[name], options)
    return ViT(design, classes=classes, channels=channels, size=size)


def _swin(name: str, *, classes: int, channels: int, size: Size, **options: Any) -> nn.Module:
    design = changed(name, SWINS[name], options)
    return Swin(design, classes=classes, channels=channels, size=size)


def _perturber(
    *, classes: int, channels: int, size: Size, width: int = 16, blocks: int = 2
) -> nn.Module:
    return Perturber(channels, size, width=width, blocks=blocks)


def _constant_perturber(*, classes: int, channels: int, size: Size) -> nn.Module:
    return ConstantPerturber(channels, size)


def _gan_mlp(
    *,
    classes: int,
    channels: int,
    size: Size,
    latent: int = 100,
    widths: int | tuple[int, ...] = (256, 512),
) -> nn.Module:
    found = (widths,) if isinstance(widths, int) else tuple(widths)  # a record has a list
    return MLPGenerator(latent, found, channels=channels, size=size)


def _gan_dcgan(
    *, classes: int, channels: int, size: Size, latent: int = 100, maps: int = 64
) -> nn.Module:
    return DCGenerator(latent, maps, channels=channels, size=size)


def _side(name: str) -> int:
    """Return the side of the images that the paper's networks were built for; ours are for 32."""
    return 32 if name.endswith("-micro") else 224


_RESNET = "He et al., Deep Residual Learning for Image Recognition, 2016, arXiv:1512.03385"
_VIT = "Dosovitskiy et al., An Image is Worth 16x16 Words, 2021, arXiv:2010.11929"
_SWIN = (
    "Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, 2021,"
    " arXiv:2103.14030"
)
_ADVGAN = (
    "Xiao et al., Generating Adversarial Examples with Adversarial Networks, 2018, arXiv:1801.02610"
)
_UNIVERSAL = "Moosavi-Dezfooli et al., Universal Adversarial Perturbations, 2017, arXiv:1610.08401"
_GAN = "Goodfellow et al., Generative Adversarial Nets, 2014, arXiv:1406.2661"
_DCGAN = (
    "Radford et al., Unsupervised Representation Learning with Deep Convolutional Generative"
    " Adversarial Networks, 2016, arXiv:1511.06434"
)
_CARLINI = (
    "Carlini & Wagner, Towards Evaluating the Robustness of Neural Networks, 2017, arXiv:1608.04644"
)

ZOO: Registry[ModelInfo] = Registry(
    "zoo model",
    {
        info.name: info
        for info in (
            ModelInfo(
                "simple-cnn",
                SimpleCNN,
                "after LeCun et al. (LeNet-5), 1998, and Krizhevsky et al. (AlexNet), 2012",
            ),
            *(
                ModelInfo(f"resnet{depth}", partial(_resnet, depth), _RESNET)
                for depth in (20, 32, 44, 56, 110)
            ),
            ModelInfo("resnet164", partial(_resnet, 164, block="bottleneck"), _RESNET),
            *(
                ModelInfo(f"plain{depth}", partial(_plain, depth), _RESNET)
                for depth in (20, 32, 44, 56)
            ),
            *(
                ModelInfo(f"resnet{depth}", partial(_large_resnet, depth), _RESNET, side=224)
                for depth in RESNETS
            ),
            ModelInfo(
                "preactresnet18",
                _preact18,
                "He et al., Identity Mappings in Deep Residual Networks, 2016, arXiv:1603.05027",
            ),
            ModelInfo(
                "wrn34-10",
                partial(_wrn, 34, 10),
                "Zagoruyko & Komodakis, Wide Residual Networks, 2016, arXiv:1605.07146",
            ),
            ModelInfo("carlini-mnist", partial(_carlini, (32, 64), 200), _CARLINI),
            ModelInfo("carlini-cifar", partial(_carlini, (64, 128), 256), _CARLINI),
            ModelInfo(
                "madry-cnn",
                MadryCNN,
                "Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018,"
                " arXiv:1706.06083",
            ),
            ModelInfo(
                "maxout", Maxout, "Goodfellow et al., Maxout Networks, 2013, arXiv:1302.4389"
            ),
            *(ModelInfo(name, partial(_vit, name), _VIT, side=_side(name)) for name in VITS),
            *(ModelInfo(name, partial(_swin, name), _SWIN, side=_side(name)) for name in SWINS),
            ModelInfo("perturber", _perturber, _ADVGAN, generator=True),
            ModelInfo("constant-perturber", _constant_perturber, _UNIVERSAL, generator=True),
            ModelInfo("gan-mlp", _gan_mlp, _GAN, generator=True),
            ModelInfo("gan-dcgan", _gan_dcgan, _DCGAN, generator=True),
        )
    },
    _brought,
    group="saddlepoint.models",
)
"""Our own architectures, and those that installed packages bring."""
