"""The guard: attacks run inside it, and the user's module comes out as it went in."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Literal, Self

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from saddlepoint.checks import check_output, model_failed
from saddlepoint.errors import InputError
from saddlepoint.keyed import Keys, derive
from saddlepoint.model.randomness import RandomLayer, averaged_passes, log_mean_probability

Objective = Callable[[Tensor], Tensor]
"""From logits (m, k) to the number that each sample ascends (m,)."""
Render = Callable[[Tensor], Tensor]
"""From an attack's parameters to images, differentiably."""


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the model's first parameter or buffer (CPU where it has none).

    >>> device_of(nn.Linear(1, 1))
    device(type='cpu')
    """
    return _anchor(model).device


def _anchor(model: nn.Module) -> Tensor:
    for value in (*model.parameters(), *model.buffers()):
        if value.is_floating_point():
            return value
    return torch.empty(0)


class Guard:
    """The context in which a model is attacked; see the module's text.

    Args:
        model: from images in [0, 1] to logits (n, k).
        count: the number of samples of the batch, whose passes are counted.
        mode: "eval" for evaluation; "train" leaves the training flags as they are (adversarial
            training that sees batch statistics) and restores the buffers afterwards.
        samples: passes averaged by each call of `logits`; for a random model the logits are then
            the logarithm of the mean softmax.
        seed: of the forked generator that a foreign random model draws from.

    >>> net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 3))
    >>> with Guard(net, count=2) as guard:
    ...     logits, gradient = guard.gradient(torch.zeros(2, 4), lambda z: z[:, 0])
    ...     guard.forwards, net[2].weight.requires_grad, net.training
    (tensor([1, 1]), False, False)
    >>> net[2].weight.requires_grad, net.training
    (True, True)
    """

    forwards: Int64[Tensor, " n"]
    backwards: Int64[Tensor, " n"]
    broken: Bool[Tensor, " n"]
    """Samples with a gradient entry that was NaN or infinite."""
    guided: Bool[Tensor, " n"]
    """Samples that had a gradient other than zero at least once."""

    def __init__(
        self,
        model: nn.Module,
        count: int,
        *,
        mode: Literal["eval", "train"] = "eval",
        samples: int = 1,
        seed: int = 0,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"the model is a {type(model).__name__}; give a torch.nn.Module")
        self.model = model
        self.samples = samples
        anchor = _anchor(model)
        self.device, self._dtype = anchor.device, anchor.dtype if anchor.numel() else None
        with torch.inference_mode(False):
            self.forwards = torch.zeros(count, dtype=torch.int64, device=self.device)
            self.backwards = torch.zeros(count, dtype=torch.int64, device=self.device)
            self.broken = torch.zeros(count, dtype=torch.bool, device=self.device)
            self.guided = torch.zeros(count, dtype=torch.bool, device=self.device)
        self._mode, self._seed = mode, seed
        self._stack = contextlib.ExitStack()
        # A self-ensemble in evaluation mode runs several times in one call.
        self._each = averaged_passes(model) if mode == "eval" else 1
        self._layers = [m for m in model.modules() if isinstance(m, RandomLayer)]
        self._passes: Counter[int] = Counter()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_own_random_state(self.device, derive(self._seed, "model")))
            stack.enter_context(_frozen(self.model, self._mode))
            stack.callback(self._release_streams)
            stack.enter_context(torch.inference_mode(False))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _release_streams(self) -> None:
        for layer in self._layers:
            layer.start_pass(None)

    def logits(
        self,
        images: Float[Tensor, "m ..."],
        index: Int64[Tensor, " m"] | None = None,
        keys: Keys | None = None,
    ) -> Float[Tensor, "m k"]:
        """Return the logits without a graph, in float32 at least; one forward pass per sample.

        Args:
            images: the batch, or the part of it that `index` names.
            index: the rows of the whole batch that these samples are, for the counts; None is all.
            keys: the streams of the samples, for random layers.
        """
        with torch.no_grad():
            return self._forward(images, index, keys)

    def gradient(
        self,
        images: Float[Tensor, "m ..."],
        objective: Objective,
        index: Int64[Tensor, " m"] | None = None,
        keys: Keys | None = None,
        render: Render | None = None,
    ) -> tuple[Float[Tensor, "m k"], Float[Tensor, "m ..."]]:
        """Return the logits and the gradient of each sample's objective; a pass each way.

        Args:
            images: images, or with `render` the parameters that it turns into images; the gradient
                is with respect to them.
            objective: from logits (m, k) to one number per sample (m,).
            index, keys: as for `logits`.
            render: from parameters to images.
        """
        with torch.enable_grad():
            x = images.detach().requires_grad_()
            logits = self._forward(x if render is None else render(x), index, keys)
            value = objective(logits)
            gradient = (
                torch.autograd.grad(value.sum(), x, allow_unused=True)[0]
                if value.requires_grad
                else None
            )
        if gradient is None:
            raise InputError(
                "the model's output does not depend on the image by differentiable steps;"
                " use a gradient-free attack, or remove .detach() and rounding from its forward"
            )
        self._count(self.backwards, index, self.samples * self._each)
        largest = torch.linalg.vector_norm(gradient.flatten(1), ord=math.inf, dim=1)
        rows, finite = slice(None) if index is None else index, largest.isfinite()
        self.broken[rows] |= ~finite
        self.guided[rows] |= largest != 0
        # One NaN would spoil the sample for good, and it would then pass for robust. On CUDA it is
        # cheaper to look at every entry than to wait for the answer whether there is one.
        if gradient.is_cuda or not bool(finite.all()):
            gradient = gradient.nan_to_num()
        return logits.detach(), gradient

    def _forward(self, images: Tensor, index: Tensor | None, keys: Keys | None) -> Tensor:
        if self.samples == 1:
            return self._one_pass(images, index, keys)
        passes = [self._one_pass(images, index, keys) for _ in range(self.samples)]
        return log_mean_probability(torch.stack(passes))

    def _one_pass(self, images: Tensor, index: Tensor | None, keys: Keys | None) -> Tensor:
        stream = 0 if keys is None else keys.stream
        self._passes[stream] += 1  # per stream: the judge's noise must not tell how long a loop was
        for number, layer in enumerate(self._layers):
            layer.start_pass(keys, layer=number, number=self._passes[stream])
        inputs = images if self._dtype is None else images.to(self._dtype)
        try:
            output = self.model(inputs)
        except Exception as error:  # it is the user's code: anything may come
            raise model_failed("cannot take", images, error) from error
        check_output(output, len(images))
        self._count(self.forwards, index, self._each)
        logits: Tensor = output if output.dtype == torch.float64 else output.float()
        return logits

    def _count(self, counter: Tensor, index: Tensor | None, passes: int) -> None:
        if index is None:
            counter += passes
        else:
            counter[index] += passes


@contextlib.contextmanager
def _own_random_state(device: torch.device, seed: int) -> Iterator[None]:
    """Fork the global generators that the model can reach, and seed the fork."""
    cuda = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


@contextlib.contextmanager
def _frozen(model: nn.Module, mode: Literal["eval", "train"]) -> Iterator[None]:
    """Freeze the parameters, set the mode, and put everything back on the way out.

    Flags are restored module by module: `model.train()` would thaw a BatchNorm that the user had
    frozen.
    """
    flags = [(module, module.training) for module in model.modules()]
    parameters = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    buffers = [(b, b.clone()) for b in model.buffers()] if mode == "train" else []
    try:
        if mode == "eval":
            model.eval()
        for parameter, _, _ in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in flags:
            module.training = training
        for parameter, requires_grad, grad in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Turn autocast and TensorFloat-32 off, as the judge needs, and put both back.

    >>> with full_precision(torch.device("cpu")):
    ...     torch.is_autocast_enabled("cpu")
    False
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            stack.enter_context(_ieee(torch.backends.cuda.matmul))
            stack.enter_context(_ieee(getattr(torch.backends.cudnn, "conv", torch.backends.cudnn)))
        yield


@contextlib.contextmanager
def _ieee(backend: Any) -> Iterator[None]:
    # Newer releases have `fp32_precision` and object to a mixture with the older `allow_tf32`.
    name, exact = (
        ("fp32_precision", "ieee") if hasattr(backend, "fp32_precision") else ("allow_tf32", False)
    )
    before = getattr(backend, name)
    setattr(backend, name, exact)
    try:
        yield
    finally:
        setattr(backend, name, before)
