"""Does adversarial training help? The same small network, trained normally and against PGD."""

from saddlepoint.attacks import PGD
from saddlepoint.data import load_data
from saddlepoint.defences import AdversarialTraining, Orthogonal, Recipe
from saddlepoint.evaluation import evaluate
from saddlepoint.model import Normalised
from saddlepoint.threat import Linf
from saddlepoint.training import train
from saddlepoint.zoo import build_model

data = load_data("digits", split="train", limit=600)
test = load_data("digits", split="test", limit=100)
small = {"widths": [16, 32], "kernel": 3, "hidden": [64]}
inner = PGD(Linf(48 / 255), steps=2)  # what it is trained against, at a budget above the test's
against = AdversarialTraining(inner)
recipes = {
    "normal": Recipe(epochs=12),
    "adversarial": Recipe(objective=against, epochs=12),
    # Parts combine: here a penalty on the weights beside the adversarial objective.
    "both": Recipe(objective=against, penalties=((1e-2, Orthogonal()),), epochs=12),
}
for name, recipe in recipes.items():
    net = build_model("zoo:simple-cnn", classes=10, shape=data.shape, options=small)
    result = train(Normalised(net, data.mean, data.std), data, recipe)
    record = evaluate(result.model, test, Linf(), eps=[32 / 255], suite="quick")
    print(f"{name:<12} clean {record.clean}  robust {record.budgets[0].robust_accuracy}")
