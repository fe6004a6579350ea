"""The passes of an objective that give the weights their gradients, and what they leave alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from saddlepoint.answers import model_failed
from saddlepoint.objectives.contract import StepOutput, TrainingBatch
from saddlepoint.progress import passed

Mode = Literal["eval", "train"]
"""The BatchNorm statistics that an inner pass sees: the running ones, or those of the batch."""
Statistics = Literal["descent", "published"]
"""Which passes move BatchNorm's running statistics: those of the descent step alone, or as many as
the reference implementation's.
"""


def forward(
    model: nn.Module, batch: TrainingBatch, images: Float[Tensor, "n ..."]
) -> Float[Tensor, "n k"]:
    """Return the logits of a pass for the weights' gradients, in float32 at least.

    Raises `InputError` where the model does.

    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> forward(nn.Linear(2, 3), batch, batch.images).shape
    torch.Size([1, 3])
    """
    try:
        with batch.autocast():
            logits: Tensor = model(images.clone())  # which the model may write into
    except torch.OutOfMemoryError:  # which is not the model's fault: the loop says what to do
        raise
    except Exception as error:  # for instance BatchNorm of one image
        raise model_failed("cannot be trained on", images, error) from error
    passed(len(images))
    return logits if logits.dtype == torch.float64 else logits.float()


def descend(
    model: nn.Module, batch: TrainingBatch, images: Tensor, label_smoothing: float = 0.0
) -> StepOutput:
    """Add the gradients of the mean cross-entropy on `images`.

    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> round(float(descend(nn.Linear(2, 1), batch, batch.images).loss), 4)
    0.0
    """
    logits = forward(model, batch, images)
    return backward(batch, label_loss(batch, logits, label_smoothing), logits)


def label_loss(
    batch: TrainingBatch, logits: Float[Tensor, "n k"], label_smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of the logits with the labels, or with the mixed targets where
    the batch has such.

    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> label_loss(batch, torch.zeros(1, 2), 0.1)
    tensor(0.6931)
    """
    targets: Tensor = batch.labels
    if batch.targets is not None:
        more = logits.shape[1] - batch.targets.shape[1]  # outputs than classes of the data
        targets = functional.pad(batch.targets, (0, more)).to(logits.dtype)
    return functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)


def backward(
    batch: TrainingBatch, loss: Float[Tensor, ""], logits: Float[Tensor, "n k"]
) -> StepOutput:
    """Add the gradients of a loss; return what is reported of it.

    >>> weight = nn.Parameter(torch.ones(1, 2))
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> backward(batch, weight.sum(), weight).loss, weight.grad
    (tensor(2.), tensor([[1., 1.]]))
    """
    loss.backward()  # type: ignore[no-untyped-call]
    return StepOutput.classified(loss, logits, batch.labels)


@contextlib.contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Keep BatchNorm's running statistics where they are while the block runs; batches are still
    normalised by their own in train mode.

    >>> net = nn.BatchNorm1d(1)
    >>> with still(net):
    ...     _ = net(torch.tensor([[0.0], [2.0]]))
    >>> net.running_mean, net.num_batches_tracked
    (tensor([0.]), tensor(0))
    """
    # Without this flag torch normalises a batch in train mode as ever, and notes nothing.
    norms = [
        m
        for m in model.modules()
        if isinstance(m, _BatchNorm) and m.training and m.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@contextlib.contextmanager
def held(network: nn.Module) -> Iterator[None]:
    """Give no weight of a network a gradient while the block runs; what passes through it has one.

    >>> net, x = nn.Linear(1, 1), torch.ones(1, 1, requires_grad=True)
    >>> with held(net):
    ...     net(x).sum().backward()
    >>> net.weight.grad is None, x.grad is None
    (True, False)
    """
    free = [each for each in network.parameters() if each.requires_grad]
    for each in free:
        each.requires_grad_(False)
    try:
        yield
    finally:
        for each in free:
            each.requires_grad_(True)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode while the block runs; each module's own flag comes back.

    >>> net = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(1).eval())
    >>> with evaluating(net):
    ...     net[0].training
    False
    >>> net[0].training, net[1].training
    (True, False)
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
