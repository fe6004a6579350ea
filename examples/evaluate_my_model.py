"""How robust is my own network? Accuracy at three budgets, and what to do where it is warned of."""

import tempfile

import torch
from torch import nn

from saddlepoint.data import load_data
from saddlepoint.defences import Recipe
from saddlepoint.evaluation import evaluate
from saddlepoint.model import Normalised
from saddlepoint.training import train

# Any module that maps images in [0, 1] to logits; here one that was trained on normalised images.
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 10))
data = load_data("digits", split="train")
model = Normalised(net, data.mean, data.std)  # budgets are in pixels: normalise inside
train(model, data, Recipe(epochs=6))

test = load_data("digits", split="test", limit=100)
mine = (test.pixels, test.labels)  # tensors, NumPy arrays, a Dataset or a DataLoader
with tempfile.TemporaryDirectory() as out:  # in a folder of yours the same call goes on, or reads
    record, again = (
        evaluate(model, mine, "Linf", eps=[8 / 255, 16 / 255, 32 / 255], suite="quick", out=out)
        for _ in range(2)
    )
assert again.json() == record.json()
print(record)

for note in record.notes:  # for instance that the logits depend on the rest of the batch
    print("beware:", note)
hardest = min(record.per_class(), key=lambda each: each.robust[-1].value)
print(f"fewest stand of class {hardest.name}: taken for {hardest.becomes}")
rows = record.images.to_pandas()  # a row per image and budget
print(rows[["id", "eps", "label", "prediction", "fooled_by", "distance"]].tail(3))
