"""The passes of a network run bare: forward, loss and backward, with nothing around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from training_clock import laid_out, network

from saddlepoint.data import TensorData, load_data
from saddlepoint.defences import Optimiser, TrainingBatch
from saddlepoint.defences.objectives.first_layer import FirstLayer

RATE = 1e-4  # the weights hardly move while they are timed

# What is measured bare. F is a forward pass, B_x and B_w the gradients in the input and in the
# weights; an index 0 means the first layer alone. "input" is in evaluation mode with frozen weights.
F, EVAL, INPUT, INPUT_TRAIN = "F", "F, eval, no graph", "F + B_x, eval", "F + B_x, train"
WEIGHTS, BOTH = "F + B_w, train", "F + B_x + B_w, train"
F0, INPUT0, WEIGHTS0, STEP = "F_0", "F_0 + B_x0", "F_0 + B_w0", "optimiser step"


@dataclass(frozen=True, eq=False)
class Subject:
    """A network in train mode, and a batch for it."""

    model: nn.Module
    data: TensorData
    batch: TrainingBatch

    @classmethod
    def of(
        cls, name: str, size: int, device: torch.device, *, bf16: bool = False, last: bool = False
    ) -> Subject:
        """Return a network of the zoo, and digits enlarged to 32×32×3, so that nothing is fetched."""
        digits = load_data("digits", split="train", limit=size)
        pixels = functional.interpolate(digits.images(torch.arange(len(digits))), size=(32, 32))
        pixels = pixels.expand(-1, 3, -1, -1).contiguous()
        data = TensorData.of(pixels, digits.labels, name="digits-32").to(device)
        model = network(name, data, last=last)
        ids = torch.arange(len(data), device=device)
        images = data.images(ids)
        batch = TrainingBatch(
            laid_out(images) if last else images, data.labels, ids, 0,
            torch.bfloat16 if bf16 else None,
        )  # fmt: skip
        return cls(model.train(), data, batch)


@dataclass
class Bare:
    """The passes of a network with nothing around them."""

    subject: Subject
    first: FirstLayer = field(init=False)

    def __post_init__(self) -> None:
        self.model, self.batch = self.subject.model, self.subject.batch
        self.first = FirstLayer(self.model, None, self.batch.images[:2])
        self.weights = list(self.model.parameters())
        self.optimiser = Optimiser(learning_rate=RATE).build(self.model)
        with torch.no_grad(), self.batch.autocast():
            self.p = torch.randn_like(self.first(self.model, self.batch.images))
        self.pass_over(images=False)  # gives the optimiser gradients

    def runs(self) -> dict[str, Callable[[], object]]:
        return {
            F: self.forward,
            EVAL: self.evaluate,
            INPUT: lambda: self.input_gradient(training=False),
            INPUT_TRAIN: lambda: self.input_gradient(training=True),
            WEIGHTS: lambda: self.pass_over(images=False),
            BOTH: lambda: self.pass_over(images=True),
            F0: self.first_forward,
            INPUT0: lambda: self.first_gradient(of_images=True),
            WEIGHTS0: lambda: self.first_gradient(of_images=False),
            STEP: self.optimiser.step,
        }

    def row(self, passes: tuple[str, ...]) -> Callable[[], None]:
        """Return a run of passes one after another."""
        runs = self.runs()

        def run() -> None:
            for name in passes:
                runs[name]()
            self._set(training=True, frozen=False)

        return run

    def _set(self, training: bool, frozen: bool) -> None:
        if self.model.training != training:
            self.model.train(training)
        if self.weights[0].requires_grad == frozen:
            for weight in self.weights:
                weight.requires_grad_(not frozen)

    def loss(self, x: Tensor | None = None) -> Tensor:
        with self.batch.autocast():
            logits = self.model(self.batch.images if x is None else x)
        return functional.cross_entropy(logits.float(), self.batch.labels)

    def evaluate(self) -> None:
        self._set(training=False, frozen=False)
        with torch.no_grad():
            self.loss()

    def input_gradient(self, training: bool) -> None:
        self._set(training, frozen=True)
        x = self.batch.images.detach().requires_grad_()
        torch.autograd.grad(self.loss(x), x)

    def pass_over(self, images: bool) -> None:
        self._set(training=True, frozen=False)
        for weight in self.weights:
            weight.grad = None
        self.loss(self.batch.images.detach().requires_grad_(images)).backward()

    def forward(self) -> Tensor:
        self._set(training=True, frozen=False)
        return self.loss()

    def first_forward(self) -> Tensor:
        with self.batch.autocast():
            return self.first(self.model, self.batch.images)

    def first_gradient(self, of_images: bool) -> None:
        x = self.batch.images.detach().requires_grad_(of_images)
        with self.batch.autocast():
            z = self.first(self.model, x)
        own = list(self.first.module(self.model).parameters())
        torch.autograd.grad(z, x if of_images else own, self.p)


def share_of_flops(subject: Subject, first: FirstLayer) -> float:
    images = subject.batch.images[:2]
    counts = []
    for run in (lambda: first(subject.model, images), lambda: subject.model(images)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run()
        counts.append(counter.get_total_flops())
    return counts[0] / counts[1]
