"""The guard: attacks run inside it, and the user's module comes out as it went in."""

from __future__ import annotations

import contextlib
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
from saddlepoint.model.isolation import frozen, full_precision, own_random_state
from saddlepoint.model.randomness import RandomLayer, averaged_passes, log_mean_probability

Objective = Callable[[Tensor], Tensor]
"""From logits (m, k) to the number that each sample ascends (m,)."""
Render = Callable[[Tensor], Tensor]
"""From an attack's parameters to images, differentiably."""
Cotangents = Callable[[Tensor], Tensor]
"""From logits (m, K) to k cotangents of each sample (m, k, K)."""
# On a CPU more rows than this at once leave its caches, and one cotangent after the other is faster.
# On CUDA many at once are faster, but all of a thousand classes would take gigabytes.
_ROWS_AT_ONCE, _ROWS_ON_CUDA = 64, 1024


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
        autocast: "bf16" runs the passes in bfloat16 where torch.autocast finds it safe; not inside
            `exact`.
        compile: run the passes through torch.compile; not inside `exact`.

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
    computed: torch.dtype
    """What the model computed its last logits in."""

    def __init__(
        self,
        model: nn.Module,
        count: int,
        *,
        mode: Literal["eval", "train"] = "eval",
        samples: int = 1,
        seed: int = 0,
        autocast: Literal["bf16"] | None = None,
        compile: bool = False,
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
        self.computed = torch.float32
        self._mode, self._seed = mode, seed
        self._fast: Callable[[Tensor], Any] = (
            torch.compile(model, dynamic=True) if compile else model
        )
        self._half, self._exact = autocast == "bf16", False
        self._stack = contextlib.ExitStack()
        # A self-ensemble in evaluation mode runs several times in one call.
        self._each = averaged_passes(model) if mode == "eval" else 1
        self._layers = [m for m in model.modules() if isinstance(m, RandomLayer)]
        self._passes: Counter[int] = Counter()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(own_random_state(self.device, derive(self._seed, "model")))
            stack.enter_context(frozen(self.model, self._mode))
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

    @contextlib.contextmanager
    def exact(self) -> Iterator[None]:
        """Run the passes inside in full precision, uncompiled, as the judge needs."""
        before, self._exact = self._exact, True
        try:
            with full_precision(self.device):
                yield
        finally:
            self._exact = before

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

        Of several averaged passes it is the gradient of the mean of their own objectives.

        Args:
            images: images, or with `render` the parameters that it turns into images; the gradient
                is with respect to them.
            objective: from logits (m, k) to one number per sample (m,).
            index, keys: as for `logits`.
            render: from parameters to images.
        """
        with torch.enable_grad():
            x = images.detach().requires_grad_()
            passes = self._each_pass(x if render is None else render(x), index, keys)
            # Each pass has its own value: where saturated passes disagree, the gradient of the
            # value of their mean vanishes.
            value = torch.stack([objective(logits) for logits in passes]).mean(0)
            gradient = (
                torch.autograd.grad(value.sum(), x, allow_unused=True)[0]
                if value.requires_grad
                else None
            )
        if gradient is None:
            raise no_gradient()
        self._count(self.backwards, index, self.samples * self._each)
        return _mean(passes).detach(), self._mended(gradient, index)

    def jacobian(
        self,
        images: Float[Tensor, "m ..."],
        cotangents: Cotangents,
        index: Int64[Tensor, " m"] | None = None,
        keys: Keys | None = None,
        render: Render | None = None,
    ) -> tuple[Float[Tensor, "m K"], Float[Tensor, "m k ..."]]:
        """Return the logits and k products of each sample's cotangents with the Jacobian; one
        forward pass, k backward.

        Args:
            images, index, keys, render: as for `gradient`.
            cotangents: from the logits (m, K) to the k weightings of the logits whose gradients
                are wanted, (m, k, K).
        """
        with torch.enable_grad():
            x = images.detach().requires_grad_()
            logits = self._forward(x if render is None else render(x), index, keys)
            if not logits.requires_grad:
                raise no_gradient()
            wanted = cotangents(logits.detach()).transpose(0, 1)
            at_once = max(1, (_ROWS_ON_CUDA if x.is_cuda else _ROWS_AT_ONCE) // max(len(x), 1))
            rows = [_products(logits, x, chunk) for chunk in torch.split(wanted, at_once)]
        self._count(self.backwards, index, len(wanted) * self.samples * self._each)
        jacobian = torch.cat(rows).transpose(0, 1)
        return logits.detach(), self._mended(jacobian, index)

    def _mended(self, gradient: Tensor, index: Tensor | None) -> Tensor:
        """Return the gradient with 0 for NaN, having noted whose was broken, and whose all zero."""
        largest = gradient.flatten(1).abs().amax(1)  # ten times as fast as a norm of order inf
        rows, finite = slice(None) if index is None else index, largest.isfinite()
        self.broken[rows] |= ~finite
        self.guided[rows] |= largest != 0
        # One NaN would spoil the sample for good, and it would then pass for robust. On CUDA it is
        # cheaper to look at every entry than to wait for the answer whether there is one.
        if gradient.is_cuda or not bool(finite.all()):
            gradient = gradient.nan_to_num()
        return gradient

    def _forward(self, images: Tensor, index: Tensor | None, keys: Keys | None) -> Tensor:
        return _mean(self._each_pass(images, index, keys))

    def _each_pass(self, images: Tensor, index: Tensor | None, keys: Keys | None) -> list[Tensor]:
        return [self._one_pass(images, index, keys) for _ in range(self.samples)]

    def _one_pass(self, images: Tensor, index: Tensor | None, keys: Keys | None) -> Tensor:
        stream = 0 if keys is None else keys.stream
        self._passes[stream] += 1  # per stream: the judge's noise must not tell how long a loop was
        for number, layer in enumerate(self._layers):
            layer.start_pass(keys, layer=number, number=self._passes[stream])
        inputs = images if self._dtype is None else images.to(self._dtype)
        run = self.model if self._exact else self._fast
        half: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if self._half and not self._exact:
            half = torch.autocast(self.device.type, torch.bfloat16)
        try:
            with half:
                output = run(inputs)
        except Exception as error:  # it is the user's code: anything may come
            raise model_failed("cannot take", images, error) from error
        check_output(output, len(images))
        self._count(self.forwards, index, self._each)
        self.computed = output.dtype
        logits: Tensor = output if output.dtype == torch.float64 else output.float()
        return logits

    def _count(self, counter: Tensor, index: Tensor | None, passes: int) -> None:
        if index is None:
            counter += passes
        else:
            # A row may come several times in one pass: a gradient-free attack asks many questions.
            counter.index_add_(0, index, torch.full_like(index, passes))


def _mean(passes: list[Tensor]) -> Tensor:
    """Return the logits that stand for several passes."""
    return passes[0] if len(passes) == 1 else log_mean_probability(torch.stack(passes))


def no_gradient() -> InputError:
    """Return the error of a model through which no gradient flows.

    >>> "gradient-free" in str(no_gradient())
    True
    """
    return InputError(
        "the model's output does not depend on the image by differentiable steps;"
        " use a gradient-free attack, or remove .detach() and rounding from its forward"
    )


def _products(logits: Tensor, x: Tensor, cotangents: Tensor) -> Tensor:
    """Return the vector-Jacobian products (k, m, …) of the cotangents (k, m, K)."""
    if len(cotangents) > 1:
        try:
            return torch.autograd.grad(
                logits, x, cotangents, is_grads_batched=True, retain_graph=True
            )[0]
        except RuntimeError:  # a backward that vmap does not know: one product after the other
            pass
    each = [torch.autograd.grad(logits, x, v, retain_graph=True)[0] for v in cotangents]
    return torch.stack(each)
