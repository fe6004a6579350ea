"""Network architectures by name, and their weights."""

from __future__ import annotations

from saddlepoint.zoo.attention import Attention
from saddlepoint.zoo.attention_change import (
    attention_divergence,
    attention_on,
    changed_patches,
)
from saddlepoint.zoo.attention_maps import (
    attention_distance,
    class_rollout,
    enlarged,
    filter_components,
    position_similarity,
    rollout,
)
from saddlepoint.zoo.attention_record import record_attention
from saddlepoint.zoo.branches import (
    block_names,
    residual_branches,
    skip_gradient,
    without_blocks,
)
from saddlepoint.zoo.build import (
    build_model,
    check_spec,
    class_names,
    default_normalisation,
    default_preprocessing,
    is_generator,
    is_whole,
    model_source,
    pretrained_classes,
    weights_inside,
)
from saddlepoint.zoo.dcgan import DCDiscriminator, DCGenerator
from saddlepoint.zoo.decoding import Cache, causal_bias, padding_bias
from saddlepoint.zoo.dirac import deepened
from saddlepoint.zoo.discriminators import (
    DISCRIMINATORS,
    BuildDiscriminator,
    discriminator_named,
)
from saddlepoint.zoo.gan import MaxoutDiscriminator, MLPDiscriminator, MLPGenerator
from saddlepoint.zoo.generator import Generator, as_generator, check_latent
from saddlepoint.zoo.generator_file import read_generator
from saddlepoint.zoo.huggingface import HuggingFaceFolder, read_huggingface
from saddlepoint.zoo.inversion import invert
from saddlepoint.zoo.mae import (
    DecoderDesign,
    MAEDecoder,
    MaskedAutoencoder,
    normalised_patches,
    reconstruction_losses,
    vit_of,
)
from saddlepoint.zoo.mae_weights import load_mae, save_decoder
from saddlepoint.zoo.masking import (
    MASKINGS,
    kept_count,
    masks,
    patchify,
    shuffle,
    unpatchify,
    unshuffle,
)
from saddlepoint.zoo.matching import Matched, match
from saddlepoint.zoo.perturber import ConstantPerturber, Perturber
from saddlepoint.zoo.perturber_file import PerturberFile, TrainedFor, as_perturber, read_perturber
from saddlepoint.zoo.preact_block import PreActBlock
from saddlepoint.zoo.preact_resnet import PreActResNet
from saddlepoint.zoo.register import Entry, Published, Register, read_register
from saddlepoint.zoo.registry import ZOO, Build, ModelInfo
from saddlepoint.zoo.residual_block import BLOCKS, BasicBlock, Bottleneck
from saddlepoint.zoo.resnet import RESNETS, ResNet
from saddlepoint.zoo.resnet_cifar import ResNetCifar
from saddlepoint.zoo.responses import layer_responses
from saddlepoint.zoo.shapes import Size
from saddlepoint.zoo.shortcuts import SHORTCUTS, PadShortcut, ProjectionShortcut
from saddlepoint.zoo.simple_cnn import ConvBlock, SimpleCNN
from saddlepoint.zoo.state_file import WeightsFile, read_state, read_weights
from saddlepoint.zoo.swin import Swin
from saddlepoint.zoo.swin_design import SwinDesign
from saddlepoint.zoo.tables import relative_index, resized_tables
from saddlepoint.zoo.vit import ViT, renew_head
from saddlepoint.zoo.vit_design import ViTDesign
from saddlepoint.zoo.weights import (
    LoadReport,
    load_matched,
    load_weights,
    outputs_in,
    save_weights,
    weights_fingerprint,
)
from saddlepoint.zoo.wide_resnet import WideResNet
from saddlepoint.zoo.windows import Cut, Windows, attention_cost, window_attention_cost

__all__ = [
    "BLOCKS",
    "DISCRIMINATORS",
    "MASKINGS",
    "RESNETS",
    "SHORTCUTS",
    "ZOO",
    "Attention",
    "BasicBlock",
    "Bottleneck",
    "Build",
    "BuildDiscriminator",
    "Cache",
    "ConstantPerturber",
    "ConvBlock",
    "Cut",
    "DCDiscriminator",
    "DCGenerator",
    "DecoderDesign",
    "Entry",
    "Generator",
    "HuggingFaceFolder",
    "LoadReport",
    "MAEDecoder",
    "MLPDiscriminator",
    "MLPGenerator",
    "MaskedAutoencoder",
    "Matched",
    "MaxoutDiscriminator",
    "ModelInfo",
    "PadShortcut",
    "Perturber",
    "PerturberFile",
    "PreActBlock",
    "PreActResNet",
    "ProjectionShortcut",
    "Published",
    "Register",
    "ResNet",
    "ResNetCifar",
    "SimpleCNN",
    "Size",
    "Swin",
    "SwinDesign",
    "TrainedFor",
    "ViT",
    "ViTDesign",
    "WeightsFile",
    "WideResNet",
    "Windows",
    "as_generator",
    "as_perturber",
    "attention_cost",
    "attention_distance",
    "attention_divergence",
    "attention_on",
    "block_names",
    "build_model",
    "causal_bias",
    "changed_patches",
    "check_latent",
    "check_spec",
    "class_names",
    "class_rollout",
    "deepened",
    "default_normalisation",
    "default_preprocessing",
    "discriminator_named",
    "enlarged",
    "filter_components",
    "invert",
    "is_generator",
    "is_whole",
    "kept_count",
    "layer_responses",
    "load_mae",
    "load_matched",
    "load_weights",
    "masks",
    "match",
    "model_source",
    "normalised_patches",
    "outputs_in",
    "padding_bias",
    "patchify",
    "position_similarity",
    "pretrained_classes",
    "read_generator",
    "read_huggingface",
    "read_perturber",
    "read_register",
    "read_state",
    "read_weights",
    "reconstruction_losses",
    "record_attention",
    "relative_index",
    "renew_head",
    "residual_branches",
    "resized_tables",
    "rollout",
    "save_decoder",
    "save_weights",
    "shuffle",
    "skip_gradient",
    "unpatchify",
    "unshuffle",
    "vit_of",
    "weights_fingerprint",
    "weights_inside",
    "window_attention_cost",
    "without_blocks",
]
