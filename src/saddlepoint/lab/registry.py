"""The experiments by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from saddlepoint.lab.accuracy_against_eps import (
    BudgetSettings,
    accuracy_against_eps,
    draw_accuracy_against_eps,
)
from saddlepoint.lab.adversarial_logistic import (
    LogisticSettings,
    draw_adversarial_logistic,
    run_logistic,
)
from saddlepoint.lab.advgan import AdvGANSettings, draw_advgan, run_advgan
from saddlepoint.lab.alignment import AlignmentSettings, alignment, draw_alignment
from saddlepoint.lab.architectures import (
    ArchitectureSettings,
    draw_architectures,
    run_architectures,
)
from saddlepoint.lab.attention_cost import CostSettings, attention_cost, draw_attention_cost
from saddlepoint.lab.attention_figure import draw_attention
from saddlepoint.lab.attention_scale import ScaleSettings, attention_scale, draw_attention_scale
from saddlepoint.lab.attention_under_attack import AttentionSettings, run_attention
from saddlepoint.lab.capacity import CapacitySettings, run_capacity
from saddlepoint.lab.capacity_figure import draw_capacity
from saddlepoint.lab.constant_c import ConstantSettings, constant_c, draw_constant_c
from saddlepoint.lab.controls import ControlSettings, draw_controls, run_controls
from saddlepoint.lab.distillation import DistillationSettings, run_distillation
from saddlepoint.lab.distillation_figure import draw_distillation
from saddlepoint.lab.distillation_jsma import JsmaSettings, run_jsma
from saddlepoint.lab.distillation_jsma_figure import draw_jsma
from saddlepoint.lab.distillation_transfer import (
    DistillationTransferSettings,
    draw_distillation_transfer,
    run_distillation_transfer,
)
from saddlepoint.lab.embedding_robustness import (
    EmbeddingSettings,
    draw_embedding_robustness,
    embedding_robustness,
)
from saddlepoint.lab.experiment import Experiment, per_model
from saddlepoint.lab.few_shot import FewShotSettings, run_few_shot
from saddlepoint.lab.few_shot_figure import draw_few_shot
from saddlepoint.lab.fgsm_ray import RaySettings, draw_fgsm_ray, fgsm_ray
from saddlepoint.lab.gan_game import GameSettings, run_gan_game
from saddlepoint.lab.gan_game_figure import draw_gan_game
from saddlepoint.lab.gan_toy import ToySettings, run_gan_toy
from saddlepoint.lab.gan_toy_figure import draw_gan_toy
from saddlepoint.lab.l2_overestimate import (
    OverestimateSettings,
    draw_l2_overestimate,
    run_l2_overestimate,
)
from saddlepoint.lab.landscape import LandscapeSettings, draw_landscape, landscape
from saddlepoint.lab.linear_example import LinearSettings, draw_linear_example, run_linear
from saddlepoint.lab.lowest_bit import BitSettings, draw_lowest_bit, lowest_bit
from saddlepoint.lab.mae_decoder import DecoderSettings, run_mae_decoder
from saddlepoint.lab.mae_figure import (
    draw_mae_decoder,
    draw_mae_interpolation,
    draw_mae_labels,
    draw_mae_robust,
)
from saddlepoint.lab.mae_interpolation import InterpolationSettings, run_mae_interpolation
from saddlepoint.lab.mae_labels import LabelSettings, run_mae_labels
from saddlepoint.lab.mae_robust import RobustSettings, run_mae_robust
from saddlepoint.lab.norms_on_lengths import LengthSettings, draw_norms_on_lengths, norms_on_lengths
from saddlepoint.lab.objectives import ObjectiveSettings, compare_objectives, draw_objectives
from saddlepoint.lab.purify import PurifySettings, run_purify
from saddlepoint.lab.purify_figure import draw_purify
from saddlepoint.lab.regularisation import RegularisationSettings, run_regularisation
from saddlepoint.lab.regularisation_figure import draw_regularisation
from saddlepoint.lab.residual import ResidualSettings, draw_residual, run_residual
from saddlepoint.lab.segments import SegmentSettings, draw_segments, segments
from saddlepoint.lab.synthetic_digits import (
    SyntheticSettings,
    draw_synthetic_digits,
    synthetic_digits,
)
from saddlepoint.lab.text_experiments import TEXT_EXPERIMENTS
from saddlepoint.lab.transfer_confidence import (
    TransferSettings,
    draw_transfer_confidence,
    run_transfer,
)
from saddlepoint.lab.transfer_table import (
    TransferTableSettings,
    draw_transfer_table,
    run_transfer_table,
)

_GOODFELLOW = "Goodfellow et al. 2015, arXiv:1412.6572"
_MADRY = "Madry et al. 2018, arXiv:1706.06083"
_CARLINI = "Carlini and Wagner 2017, arXiv:1608.04644"
_HE = "He et al. 2016, arXiv:1512.03385"
_DOSOVITSKIY = "Dosovitskiy et al. 2021, arXiv:2010.11929"
_LIU = "Liu et al. 2021, arXiv:2103.14030"
_VASWANI = "Vaswani et al. 2017, arXiv:1706.03762"
_MAE = "He et al. 2022, arXiv:2111.06377"
_XIAO = "Xiao et al. 2018, arXiv:1801.02610"
_ATHALYE = "Athalye et al. 2018, arXiv:1802.00420"
_GAN = "Goodfellow et al. 2014, arXiv:1406.2661"
_PAPERNOT = "Papernot et al. 2016, arXiv:1511.04508"

EXPERIMENTS: Mapping[str, Experiment] = MappingProxyType(
    {
        each.name: each
        for each in (
            Experiment(
                "linear-example", "ten changes of 0.5 take a linear classifier from 5 % to 88 %",
                _GOODFELLOW, LinearSettings, run_linear, draw_linear_example,
            ),
            Experiment(
                "fgsm-ray", "the logits along the ray of FGSM, from −eps to eps",
                _GOODFELLOW, RaySettings, per_model(fgsm_ray), draw_fgsm_ray, images=3,
            ),
            Experiment(
                "adversarial-logistic", "adversarial logistic regression against L1 weight decay",
                _GOODFELLOW, LogisticSettings, run_logistic, draw_adversarial_logistic, images=10_000,
            ),
            Experiment(
                "controls", "noise, an RBF network, ensembles, hidden layers: what helps and what not",
                _GOODFELLOW, ControlSettings, run_controls, draw_controls, images=1000,
            ),
            Experiment(
                "regularisation", "adversarial training of maxout networks against noise, L1, hidden steps",
                _GOODFELLOW, RegularisationSettings, run_regularisation, draw_regularisation, images=2000,
            ),
            Experiment(
                "landscape", "the losses that PGD reaches from many starts, and how its maxima differ",
                _MADRY, LandscapeSettings, per_model(landscape), draw_landscape, images=5,
            ),
            Experiment(
                "segments", "the loss along the segments between two maxima",
                _MADRY, SegmentSettings, per_model(segments), draw_segments, images=5,
            ),
            Experiment(
                "alignment", "the product of perturbation and gradient against eps",
                _MADRY, AlignmentSettings, per_model(alignment), draw_alignment, images=200,
            ),
            Experiment(
                "accuracy-against-eps", "accuracy against eps: PGD in Linf and in L2, in both norms",
                _MADRY, BudgetSettings, per_model(accuracy_against_eps),
                draw_accuracy_against_eps, images=200,
            ),
            Experiment(
                "capacity", "what width does to accuracy, losses and gradients, under three trainings",
                _MADRY, CapacitySettings, run_capacity, draw_capacity, images=500,
            ),
            Experiment(
                "transfer-table", "what images of a network do to a copy and to other networks",
                _MADRY, TransferTableSettings, run_transfer_table, draw_transfer_table, images=200,
            ),
            Experiment(
                "l2-overestimate", "L2 distances by gradients and by decisions, after Linf training",
                _MADRY, OverestimateSettings, run_l2_overestimate, draw_l2_overestimate, images=40,
            ),
            Experiment(
                "objectives", "C&W's seven objectives with three treatments of the valid range",
                _CARLINI, ObjectiveSettings, per_model(compare_objectives), draw_objectives, images=4,
            ),
            Experiment(
                "constant-c", "C&W's L2 attack with the same c for every image, against c",
                _CARLINI, ConstantSettings, per_model(constant_c), draw_constant_c, images=100,
            ),
            Experiment(
                "synthetic-digits", "from a black and a white image to every class, in three norms",
                _CARLINI, SyntheticSettings, per_model(synthetic_digits), draw_synthetic_digits, images=1,
            ),
            Experiment(
                "lowest-bit", "how many of the lowest bits of 8-bit pixels must change to fool",
                _CARLINI, BitSettings, per_model(lowest_bit), draw_lowest_bit, images=200,
            ),
            Experiment(
                "transfer-confidence", "transfer between halves of the data against C&W's κ",
                _CARLINI, TransferSettings, run_transfer, draw_transfer_confidence, images=100,
            ),
            Experiment(
                "distillation", "what defensive distillation stops at each temperature, and why",
                _PAPERNOT, DistillationSettings, run_distillation, draw_distillation, images=1000,
            ),
            Experiment(
                "distillation-transfer", "transfer to distilled networks against C&W's κ",
                _CARLINI, DistillationTransferSettings, run_distillation_transfer,
                draw_distillation_transfer, images=100,
            ),
            Experiment(
                "distillation-jsma", "why JSMA gives up: printed logits, a toy, distilled networks",
                _CARLINI, JsmaSettings, run_jsma, draw_jsma, images=100,
            ),
            Experiment(
                "residual", "layers of plain and residual networks: responses, and blocks left out",
                _HE, ResidualSettings, run_residual, draw_residual, images=1000,
            ),
            Experiment(
                "architectures", "convolutions, attention, shifted windows at equal clean accuracy",
                _LIU, ArchitectureSettings, run_architectures, draw_architectures, images=1000,
            ),
            Experiment(
                "attention-under-attack", "how far attention moves under PGD and under noise, and where to",
                _DOSOVITSKIY, AttentionSettings, run_attention, draw_attention, images=200,
            ),
            Experiment(
                "few-shot", "n images of each new class: ridge regression on features, and new heads",
                _DOSOVITSKIY, FewShotSettings, run_few_shot, draw_few_shot, images=1000,
            ),
            Experiment(
                "attention-scale", "why attention divides by √d: variance, gradients, weights",
                _VASWANI, ScaleSettings, attention_scale, draw_attention_scale, images=1,
            ),
            Experiment(
                "norms-on-lengths", "batch and layer normalisation of sentences of various lengths",
                "Ba et al. 2016, arXiv:1607.06450", LengthSettings, norms_on_lengths,
                draw_norms_on_lengths, images=1,
            ),
            Experiment(
                "embedding-robustness", "training on perturbed embeddings: accuracy clean and within budgets",
                "Zhu et al. 2020, arXiv:1909.11764", EmbeddingSettings, embedding_robustness,
                draw_embedding_robustness, images=1,
            ),
            Experiment(
                "attention-cost", "seconds of attention, recurrence, convolution against n and d",
                _VASWANI, CostSettings, attention_cost, draw_attention_cost, images=1,
            ),
            *TEXT_EXPERIMENTS,
            Experiment(
                "mae-labels", "masked autoencoding by ratio, then few labels: fine-tuning and probe",
                _MAE, LabelSettings, run_mae_labels, draw_mae_labels, images=10_000,
            ),
            Experiment(
                "mae-decoder", "depth of the decoder, mask tokens in the encoder, masks, targets",
                _MAE, DecoderSettings, run_mae_decoder, draw_mae_decoder, images=10_000,
            ),
            Experiment(
                "mae-robust", "adversarial training from scratch, after MAE, after adversarial MAE",
                _MAE, RobustSettings, run_mae_robust, draw_mae_robust, images=1000,
            ),
            Experiment(
                "mae-interpolation", "what a masked autoencoder knows more than a blend of neighbours",
                _MAE, InterpolationSettings, run_mae_interpolation, draw_mae_interpolation, images=1000,
            ),
            Experiment(
                "advgan", "perturbers trained against a network, against PGD: accuracy, time, passes",
                _XIAO, AdvGANSettings, run_advgan, draw_advgan, images=500,
            ),
            Experiment(
                "purify", "Defense-GAN and a masked autoencoder under the attacks made for them",
                _ATHALYE, PurifySettings, run_purify, draw_purify, images=50,
            ),
            Experiment(
                "gan-toy", "the game of GANs on toys: does it end where the theory says?",
                _GAN, ToySettings, run_gan_toy, draw_gan_toy, images=1,
            ),
            Experiment(
                "gan-game", "the game of GANs on images: D by epoch, classes, neighbours, likelihood",
                _GAN, GameSettings, run_gan_game, draw_gan_game, images=10_000,
            ),
        )
    }
)  # fmt: skip
