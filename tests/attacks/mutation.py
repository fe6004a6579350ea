"""Plants a bug in a copy of an attack's source: the checks must notice, or they check nothing."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from saddlepoint.attacks import Attack

ROOM = "saddlepoint.attacks"


class NotFoundError(AssertionError):
    """The text that a bug replaces is not in the source exactly once."""


@dataclass(frozen=True)
class Edit:
    """One replacement in a module of the attacks."""

    module: str
    old: str
    new: str


@dataclass(frozen=True)
class Subject:
    """An attack whose source is edited.

    Attributes:
        modules: those to be loaded afresh, each after what it imports; the last has the attack.
        attack: the name of its class.
        bugs: edits by the name of the bug.
    """

    modules: Sequence[str]
    attack: str
    bugs: Mapping[str, Sequence[Edit]]

    def build(self, bug: str | None = None) -> dict[str, types.ModuleType]:
        """Return fresh copies of the modules, with the bug in them."""
        return load(self.modules, self.bugs[bug] if bug else ())

    def kind(self, loaded: Mapping[str, types.ModuleType]) -> type[Attack]:
        found: type[Attack] = getattr(loaded[self.modules[-1]], self.attack)
        return found


def edited(module: str, edits: Sequence[Edit]) -> tuple[str, str]:
    """Return the source of a module with its edits made, and where it is from."""
    spec = importlib.util.find_spec(f"{ROOM}.{module}")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    for edit in edits:
        if edit.module != module:
            continue
        count = source.count(edit.old)
        if count != 1:
            raise NotFoundError(
                f"{module}.py has {count} times, not once, the text to be replaced: {edit.old!r}."
                " The source has changed; plant the bug anew."
            )
        source = source.replace(edit.old, edit.new)
    return source, spec.origin


def load(modules: Sequence[str], edits: Sequence[Edit]) -> dict[str, types.ModuleType]:
    """Execute copies of `modules` that import each other, and leave the real ones as they are."""
    unknown = {edit.module for edit in edits} - set(modules)
    if unknown:
        raise NotFoundError(f"the bug is in {sorted(unknown)}, which the attack does not load")
    real = {f"{ROOM}.{name}": sys.modules.get(f"{ROOM}.{name}") for name in modules}
    copies: dict[str, types.ModuleType] = {}
    try:
        for name in modules:
            source, path = edited(name, edits)
            full = f"{ROOM}.{name}"
            copy = types.ModuleType(full)
            sys.modules[full] = copies[name] = copy  # dataclasses and later copies look here
            exec(compile(source, path, "exec"), copy.__dict__)
    finally:
        for full, module in real.items():
            if module is None:
                sys.modules.pop(full, None)
            else:
                sys.modules[full] = module
    return copies


_LOST = "lambda z: -z.amax(1)"  # away from the present class, wherever to
_STEP = "return batch.project(x + expand(alpha, x) * d)"
_KEPT = Edit("core.tracker", "better = margin < kept_margin\n", "better = margin < torch.inf\n")
_ALIAS = Edit("core.tracker", "self.images = images.clone()\n", "self.images = images\n")

# What holds the trackers and the kinds, in the order of their imports.
_CORE = tuple(
    f"core.{name}" for name in ("tracker", "final_search", "steps", "kinds", "run", "contract")
)

PGD = Subject(
    (*_CORE, "fixed_budget.pgd"),
    "PGD",
    {
        "sign flipped": [
            Edit(
                "fixed_budget.pgd",
                "x = ascend(active, x, gradient,",
                "x = ascend(active, x, -gradient,",
            )
        ],
        "projection missing": [Edit("core.steps", _STEP, "return x + expand(alpha, x) * d")],
        "best not kept": [_KEPT],
        "last iterate not judged": [
            Edit("fixed_budget.pgd", "        tracker.offer(active, x)\n", "\n")
        ],
        "the images are an alias of what is kept": [_ALIAS],
        "a restart overwrites a success": [
            Edit(
                "fixed_budget.pgd",
                "each_stage(batch, tracker, runs)",
                "for run in runs:\n            tracker.margin[:] = math.inf\n            run(batch)",
            )
        ],
        "targets ignored": [Edit("fixed_budget.pgd", "active.loss(self.loss)", _LOST)],
        "clipped to the wrong box": [Edit("core.steps", _STEP, _STEP + ".clamp(0.25, 0.75)")],
        "L2 step not normalised": [
            Edit(
                "core.steps",
                "d = batch.ascendable.steepest_direction(gradient, x, k, alpha)",
                "d = gradient",
            )
        ],
        "gradient of the wrong sample": [
            Edit(
                "fixed_budget.pgd",
                "active, (x, gradient) = tracker.compact(active, x, gradient)",
                "active, (x,) = tracker.compact(active, x); gradient = gradient[: len(x)]",
            )
        ],
    },
)

_ASCENT = "z = batch.project(x + expand(self.eta, x) * d)"
_GLIDE = "z = batch.project(x + _ALPHA * (z - x) + (1 - _ALPHA) * (x - self.x_before))"

APGD = Subject(
    (
        *_CORE,
        "core.losses",
        "fixed_budget.apgd_steps",
        "fixed_budget.apgd_loop",
        "fixed_budget.apgd",
    ),
    "APGD",
    {
        "sign flipped": [
            Edit("fixed_budget.apgd_steps", _ASCENT, _ASCENT.replace("x + expand", "x - expand"))
        ],
        "projection missing": [
            Edit("fixed_budget.apgd_steps", _ASCENT, "z = x + expand(self.eta, x) * d"),
            Edit(
                "fixed_budget.apgd_steps",
                _GLIDE,
                "z = x + _ALPHA * (z - x) + (1 - _ALPHA) * (x - self.x_before)",
            ),
        ],
        "best not kept": [_KEPT],
        "last iterate not judged": [
            Edit("fixed_budget.apgd", "        tracker.offer(batch, ascent.x)\n", "\n")
        ],
        "the best loss is an alias": [
            Edit(
                "fixed_budget.apgd_steps",
                "f_best=torch.where(higher, f, self.f_best)",
                "f_best=self.f_best.copy_(torch.where(higher, f, self.f_best))",
            )
        ],
        "a restart overwrites a success": [
            Edit(
                "fixed_budget.apgd",
                "active = tracker.unfinished(batch)",
                "active = batch; tracker.margin[:] = torch.inf",
            )
        ],
        "targets ignored": [
            Edit(
                "fixed_budget.apgd_loop",
                "loss = self.loss(batch, ascent.targets)",
                f"loss = {_LOST}",
            )
        ],
        "clipped to the wrong box": [
            Edit("fixed_budget.apgd_steps", _ASCENT, _ASCENT + ".clamp(0.25, 0.75)"),
            Edit("fixed_budget.apgd_steps", _GLIDE, _GLIDE + ".clamp(0.25, 0.75)"),
        ],
        "L2 step not normalised": [
            Edit(
                "fixed_budget.apgd_steps",
                "d = batch.ascendable.steepest_direction(ascent.gradient, x, 1, self.eta)",
                "d = ascent.gradient",
            )
        ],
        "gradient of the wrong sample": [
            Edit(
                "fixed_budget.apgd_loop",
                "batch, state = tracker.compact(batch, *ascent, *rule)",
                "batch, (x,) = tracker.compact(batch, ascent.x);"
                " state = (x, *(t[: len(x)] for t in (*ascent[1:], *rule)))",
            )
        ],
    },
)

_ROOM = "minimum_norm.carlini_wagner"
# Of the treatment of the range that is the default.
_IMAGE = '''"""Return w, clipped only in case of rounding."""
        '''
_SETTLE = '''def settle(self, w: Tensor, frame: Frame) -> Tensor:
        """Return w clipped."""
        '''
_CLIP = "return w.clamp(frame.low, frame.high)"

CW = Subject(
    (
        *_CORE,
        "core.confidence",
        *(f"{_ROOM}.{name}" for name in ("box", "objectives", "loop", "l2")),
    ),
    "CarliniWagnerL2",
    {
        "sign flipped": [
            Edit(
                f"{_ROOM}.loop",
                "w = box.settle(w - move, frame)",
                "w = box.settle(w + move, frame)",
            )
        ],
        "projection missing": [
            Edit(f"{_ROOM}.box", _IMAGE + _CLIP, _IMAGE + "return w"),
            Edit(f"{_ROOM}.box", _SETTLE + _CLIP, _SETTLE + "return w"),
        ],
        "best not kept": [
            Edit(
                "core.tracker",
                "torch.where(sure, nearer,",
                "torch.where(sure, torch.ones_like(sure),",
            )
        ],
        "last iterate not judged": [
            Edit(
                f"{_ROOM}.loop",
                "        tracker.record(batch, x, logits)\n",
                "        if step < how.steps - 1:\n            tracker.record(batch, x, logits)\n",
            )
        ],
        "the images are an alias of what is kept": [_ALIAS],
        "a restart overwrites a success": [
            Edit(
                f"{_ROOM}.l2",
                "        for restart in range(1, self.restarts):\n",
                "        for restart in range(1, self.restarts):\n"
                "            tracker.distance[:] = torch.inf\n",
            )
        ],
        "targets ignored": [
            Edit(
                f"{_ROOM}.loop",
                "return OBJECTIVES[how.objective](batch.criterion, logits, batch.goals)",
                "return logits.amax(1)",
            )
        ],
        "clipped to the wrong box": [
            Edit(f"{_ROOM}.box", _IMAGE + _CLIP, _IMAGE + "return w.clamp(0.25, 0.75)"),
            Edit(f"{_ROOM}.box", _SETTLE + _CLIP, _SETTLE + "return w.clamp(0.25, 0.75)"),
        ],
        "the distance has no gradient": [
            Edit(f"{_ROOM}.loop", ".sum(1), 2 * change", ".sum(1), 0 * change")
        ],
        "gradient of the wrong sample": [
            Edit(f"{_ROOM}.loop", "(t[go] for t in kept)", "(t[: int(go.sum())] for t in kept)")
        ],
    },
)

_BB = "minimum_norm.brendel_bethge"
_CHANGE = "torch.where(margin < 0, (2 - self.overshoot), self.overshoot) * -margin"

BB = Subject(
    (*_CORE, "core.outside", "geometry.trust_regions", _BB),
    "BrendelBethge",
    {
        "sign flipped": [Edit(_BB, _CHANGE, _CHANGE.replace("-margin", "margin"))],
        "the first normal has the wrong sign": [
            Edit(_BB, "                -gradient\n", "                gradient\n"),
            Edit(_BB, "- (1 - self.momentum) * gradient", "+ (1 - self.momentum) * gradient"),
        ],
        "the boundary is taken to be where the iterate is": [Edit(_BB, _CHANGE, "0 * margin")],
        "the step is measured from the iterate": [
            Edit(_BB, "                clean, x, boundary,", "                x, x, boundary,")
        ],
        "the step is the nearest in another norm": [
            Edit(_BB, "batch.bounds, batch.ball.p\n", "batch.bounds, 1.0\n")
        ],
        "the range is taken to be wider": [
            Edit(
                _BB,
                "(low, high), p = batch.clean, batch.bounds,",
                "(low, high), p = batch.clean, (batch.bounds[0] - 1, batch.bounds[1] + 1),",
            )
        ],
        "the images are an alias of what is kept": [_ALIAS],
        "targets ignored": [
            Edit(_BB, 'gradient(x, batch.loss("margin"))', f"gradient(x, {_LOST})")
        ],
        "clipped to the wrong box": [
            Edit(_BB, "x = x.clamp(low, high)", "x = x.clamp(0.25, 0.75)")
        ],
        "gradient of the wrong sample": [
            Edit(
                _BB,
                "margin = batch.margin(logits)",
                "margin, gradient = batch.margin(logits), gradient.roll(1, 0)",
            )
        ],
    },
)
