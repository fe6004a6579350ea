"""A model without gradients: a random forest behind the contract, attacked by its answers alone."""

import torch
from sklearn.ensemble import RandomForestClassifier
from torch import nn

from saddlepoint.attacks import PGD, HopSkipJump, Square, UniformNoise
from saddlepoint.data import load_data
from saddlepoint.errors import InputError
from saddlepoint.threat import L2, Linf


class Forest(nn.Module):
    """Whatever answers can be a module: images in, scores (here log-probabilities) out."""

    def __init__(self, data):
        super().__init__()
        self.trees = RandomForestClassifier(101, random_state=0)
        self.trees.fit(data.pixels.flatten(1).numpy(), data.labels.numpy())

    def forward(self, images):
        shares = self.trees.predict_proba(images.detach().flatten(1).numpy())
        return torch.from_numpy(shares).float().add(1e-3).log()


model = Forest(load_data("digits", split="train"))
data = load_data("digits", split="test", limit=20)
try:
    PGD(Linf(0.2))(model, data.pixels, data.labels)
except InputError as error:
    print("PGD needs a gradient:", error)

noise = UniformNoise(Linf(0.2), draws=50)(model, data.pixels, data.labels)
scores = Square(Linf(0.2), queries=200)(model, data.pixels, data.labels)
print(f"robust accuracy: noise {noise.robust_accuracy:.2f}, by scores {scores.robust_accuracy:.2f}")
labels_only = HopSkipJump(L2(), steps=2)(model, data.pixels[:5], data.labels[:5])
print("L2 distances found by labels alone:", labels_only.distance, "queries", labels_only.forwards)
moved = labels_only.distance[~labels_only.initially_wrong]
print(f"of those that were right before, within 1.5: {int((moved <= 1.5).sum())} of {len(moved)}")
