"""Masked autoencoding: hidden patches are predicted from the visible ones; no label is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saddlepoint.answers import model_failed
from saddlepoint.data import ImageData
from saddlepoint.errors import InputError, unknown
from saddlepoint.objectives.contract import Standing, StepOutput, TrainingBatch
from saddlepoint.objectives.passes import evaluating
from saddlepoint.option_values import Fraction, check_fields
from saddlepoint.progress import passed
from saddlepoint.zoo import (
    MASKINGS,
    DecoderDesign,
    MAEDecoder,
    MaskedAutoencoder,
    kept_count,
    masks,
    reconstruction_losses,
    save_decoder,
    vit_of,
)

_ROWS = 256  # test images in one pass


@dataclass(frozen=True)
class MAE:
    """The mean squared error of hidden patches, predicted by a decoder from what an encoder makes of
    the visible ones.

    The model is the encoder, a ViT or `Normalised(ViT)`; the decoder is trained beside it and saved
    with it, and fine-tuning takes the model alone. The head has no part in the loss: it gets no
    gradient, so that no optimiser, and no weight decay, moves it.

    Args:
        ratio: of the patches that are hidden; ⌊L(1 − ratio)⌋ of L stay visible.
        masking: "random", "block" or "grid"; see `saddlepoint.zoo.MASKINGS`.
        decoder: its depth and width, what it predicts, and where mask tokens come in.

    Raises `InputError` for a ratio outside (0, 1), and before training for one that keeps nothing.

    Reference: He et al. 2022, arXiv:2111.06377.

    >>> MAE(ratio=0.9).decoder.targets
    'normalised'
    >>> MAE(masking="checks")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown masking 'checks'; (known: random, block, grid)
    """

    ratio: Fraction = 0.75
    masking: str = "random"
    decoder: DecoderDesign = field(default=DecoderDesign())

    paper = "He et al. 2022, arXiv:2111.06377"
    cost = "1 full pass of the encoder on the visible patches, and one of the decoder"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.masking not in MASKINGS:
            raise unknown("masking", self.masking, MASKINGS)
        if not isinstance(self.decoder, DecoderDesign):
            raise InputError(f"mae: decoder is {self.decoder!r:.60}; give a DecoderDesign")

    def begin(self, model: nn.Module, data: ImageData | None) -> Reconstructing:
        """Return what runs, with a decoder made for the model."""
        return Reconstructing(self, model)

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Raise: there is no decoder before `begin`."""
        raise TypeError("a masked autoencoder begins with a decoder; call begin(model, data)")

    def check(self, model: nn.Module, data: ImageData) -> None:
        """Raise `InputError` unless the model is a ViT for the images, some patch stays visible, and
        what it makes of two images is finite.
        """
        encoder, shape = vit_of(model), data.shape
        height, width = encoder.design.grid((shape[1], shape[2]))
        kept_count(height * width, self.ratio)
        images = data.images(torch.arange(min(2, len(data))))
        images = images.to(next(iter(model.parameters())).device)
        with evaluating(model), torch.no_grad():
            try:
                finite = bool(encoder.tokens(images).isfinite().all())
            except Exception as error:  # such as another number of channels
                raise model_failed("cannot be trained on", images, error) from error
        if not finite:
            raise InputError("the encoder returns NaN or infinite tokens; lower the learning rate")


class Reconstructing(Standing):
    """A masked autoencoder in training: its `parts` are the decoder.

    Args:
        objective: what it was begun by.
        model: the encoder.

    >>> from saddlepoint.zoo import ViT
    >>> run = MAE(decoder=DecoderDesign(depth=1)).begin(ViT(channels=1, size=28), None)
    >>> len(run.parts.blocks)
    1
    """

    def __init__(self, objective: MAE, model: nn.Module) -> None:
        self.objective, self.model = objective, model
        self.parts = MAEDecoder(vit_of(model), objective.decoder)

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of the mean loss over the images; their masks follow from (seed, id,
        epoch).
        """
        mae, mask = self._whole(model), self._masks(batch.ids, batch.seed, batch.epoch)
        with batch.autocast():
            predicted = mae(self._shown(mae, batch, mask), mask)
        passed(len(batch.ids))
        loss = reconstruction_losses(predicted.float(), mae.targets(batch.images), mask).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return StepOutput(loss.detach())

    def measure(self, model: nn.Module, data: ImageData) -> Mapping[str, float]:
        """Return the mean loss of images under masks of seed 0, the same after every epoch."""
        mae, total = self._whole(model), 0.0
        device = next(iter(model.parameters())).device
        with evaluating(mae), torch.no_grad():
            for ids in torch.split(torch.arange(len(data)), _ROWS):
                x, mask = data.images(ids).to(device), self._masks(ids.to(device), 0, 0)
                total += float(reconstruction_losses(mae(x, mask), mae.targets(x), mask).sum())
        return {"reconstruction_loss": total / len(data)}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the decoder's tensors."""
        return dict(self.parts.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` returned."""
        self.parts.load_state_dict(state)

    def save(self, out: Path | str) -> None:
        """Write the decoder; `saddlepoint.zoo.load_mae` reads it."""
        save_decoder(self._whole(self.model), out)

    def _shown(
        self, mae: MaskedAutoencoder, batch: TrainingBatch, mask: Bool[Tensor, "n l"]
    ) -> Float[Tensor, "n c h w"]:
        """Return what the encoder gets."""
        return batch.images

    def _whole(self, model: nn.Module) -> MaskedAutoencoder:
        return MaskedAutoencoder(model, self.parts)

    def _masks(self, ids: Tensor, seed: int, epoch: int) -> Bool[Tensor, "n l"]:
        own = self.objective
        return masks(own.masking, ids, self.parts.grid, own.ratio, seed=seed, epoch=epoch)
