"""My own attack: one class, and it is judged, counted, resumed and comparable like the others."""

from dataclasses import dataclass

from saddlepoint.attacks import PGD, Batch, FixedBudget, Tracker, UniformNoise
from saddlepoint.data import load_data
from saddlepoint.defences import Recipe
from saddlepoint.model import Normalised
from saddlepoint.option_values import Count
from saddlepoint.threat import Linf
from saddlepoint.training import train
from saddlepoint.zoo import build_model


@dataclass(frozen=True, kw_only=True)
class Nesterov(FixedBudget):
    """Signed ascent that looks ahead along its momentum (after Lin et al., arXiv:1908.06281)."""

    steps: Count = 10
    norms = ("Linf",)

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        x, momentum, step = batch.images, batch.images * 0, self.threat.eps / self.steps
        for _ in range(self.steps):
            ahead = batch.project(x + step * momentum)
            _, gradient = batch.gradient(ahead, batch.loss("cross-entropy"))
            momentum = momentum + gradient / gradient.abs().mean((1, 2, 3), keepdim=True)
            x = batch.project(x + step * momentum.sign())
            tracker.record(batch, x, batch.logits(x))
            batch, (x, momentum) = tracker.compact(batch, x, momentum)  # the fooled leave
            if not len(batch):
                return


data = load_data("digits", split="test", limit=100)
model = Normalised(build_model("zoo:simple-cnn", classes=10, shape=data.shape), data.mean, data.std)
train(model, load_data("digits", split="train", limit=800), Recipe(epochs=6))
for attack in (UniformNoise(Linf(0.1), draws=20), Nesterov(Linf(0.1)), PGD(Linf(0.1), steps=10)):
    result = attack(model, data.pixels, data.labels)
    print(f"{type(attack).__name__:<13} robust accuracy {result.robust_accuracy:.2f}")
