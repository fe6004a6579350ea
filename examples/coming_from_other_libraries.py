"""Coming from torchattacks, foolbox or AutoAttack: keep the calls, or keep the attacks."""

from importlib.util import find_spec

from saddlepoint.attacks import PGD, foreign
from saddlepoint.data import load_data
from saddlepoint.defences import Recipe
from saddlepoint.evaluation import AutoAttack, TorchattacksStyle
from saddlepoint.model import Normalised
from saddlepoint.threat import L2, Linf
from saddlepoint.training import train
from saddlepoint.zoo import build_model

data = load_data("digits", split="test", limit=50)
model = Normalised(build_model("zoo:simple-cnn", classes=10, shape=data.shape), data.mean, data.std)
train(model, load_data("digits", split="train", limit=800), Recipe(epochs=6))
images, labels, eps = data.pixels, data.labels, 32 / 255

# torchattacks.PGD(model, eps=…)  becomes
atk = TorchattacksStyle(PGD(Linf(eps), steps=10), model)
right = model(atk(images, labels)).argmax(1) == labels
print(f"torchattacks' call: {right.float().mean():.2f} stand")

# autoattack.AutoAttack(model, …)  becomes  (log=print: AutoAttack prints, a library should not)
adversary = AutoAttack(model, norm="Linf", eps=eps, version="quick", log=print)
right = model(adversary.run_standard_evaluation(images, labels)).argmax(1) == labels
print(f"AutoAttack's call:  {right.float().mean():.2f} stand")

# Their attacks under our judge: what leaves the budget does not count.
if find_spec("torchattacks"):
    import torchattacks

    theirs = torchattacks.PGD(model, eps=eps, alpha=eps / 4)
    judged = foreign(theirs, Linf(eps))(model, images, labels)
    print(f"torchattacks.PGD:   {judged.robust_accuracy:.2f} stand")
if find_spec("foolbox"):
    import foolbox

    judged = foreign(foolbox.attacks.DDNAttack(), L2())(model, images, labels)
    print(f"foolbox's DDN: median distance {judged.distance.median():.3f}")
