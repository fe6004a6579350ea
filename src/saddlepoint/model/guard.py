"""The guard runs a user's model for attacks, counts its passes, and leaves it as it was."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal, Self

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.answers import model_failed
from saddlepoint.model.anchor import anchor, check_module
from saddlepoint.model.differentiate import (
    Cotangents,
    Objective,
    Render,
    gradient_of,
    is_reentrant,
    no_gradient,
    products,
)
from saddlepoint.model.fixed_batch import fixed_batch
from saddlepoint.model.generators import Generators, own_random_state
from saddlepoint.model.held import Buffers, frozen
from saddlepoint.model.isolation import differentiable, full_precision, recurrent
from saddlepoint.model.ledger import Ledger, name_of
from saddlepoint.model.one_pass import apart
from saddlepoint.model.randomness import (
    RandomLayer,
    averaged,
    averaged_passes,
    is_random,
    same_logits,
)
from saddlepoint.streams import Keys, derive


class Guard:
    """The context in which a model is attacked: frozen, its passes counted, and put back at the end.

    Args:
        model: from images in [0, 1] to logits (n, k).
        count: the number of samples of the batch, whose passes are counted.
        mode: "eval" for evaluation; "train" leaves the training flags as they are (adversarial
            training that sees batch statistics) and restores the buffers afterwards.
        samples: passes averaged by each call of `logits`, for a random model: the logits are then
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

    ledger: Ledger
    """What the passes cost, and what went wrong in them."""
    random: bool
    """Whether the model is random at inference: it declares it, or whoever runs it found out. If not,
    its buffers are put back before every pass; if so they are not, since it may draw from them."""
    changed_buffer: str
    """The name of a buffer that a pass in evaluation mode has changed; "" where none was."""
    logits_dtype: torch.dtype
    """The dtype in which the model returned its last logits."""

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
        check_module(model)
        self.model = model
        self.samples = samples
        first = anchor(model)
        self.device, self.dtype = first.device, first.dtype if first.numel() else None
        self.ledger = Ledger(count, self.device)
        self.random, self.changed_buffer = is_random(model), ""
        self.logits_dtype = torch.float32
        self._mode, self._seed = mode, seed
        self._size = fixed_batch(model) if mode == "eval" else None
        self._fast: Callable[..., Any] = torch.compile(model, dynamic=True) if compile else model
        self._bf16, self._exact = autocast == "bf16", False
        self._stack = contextlib.ExitStack()
        # A self-ensemble in evaluation mode runs several times in one call.
        self._passes_per_call = averaged_passes(model) if mode == "eval" else 1
        self._layers = [m for m in model.modules() if isinstance(m, RandomLayer)]
        self._passes: Counter[int] = Counter()
        self._recurrent = mode == "eval" and recurrent(model)
        self._reentrant = False
        self._buffers: Buffers | None = None
        self._generators = Generators()

    @property
    def forwards(self) -> Int64[Tensor, " n"]:
        """Forward passes of each sample."""
        return self.ledger.forwards

    @property
    def backwards(self) -> Int64[Tensor, " n"]:
        """Backward passes of each sample, one for each cotangent."""
        return self.ledger.backwards

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            own = own_random_state(self.device, derive(self._seed, "model"), self.model)
            self._generators = stack.enter_context(own)
            self._buffers = stack.enter_context(frozen(self.model, self._mode))
            for layer in self._layers:
                stack.callback(layer.start_pass, None)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def set_random(self, random: bool) -> None:
        """Say whether the model is to be treated as random at inference from now on."""
        self.random = random

    def drew_or_wrote(self) -> bool:
        """Return whether a pass drew a random number or wrote into a buffer, as random models do."""
        self._restore_buffers(thorough=True)
        return bool(self.changed_buffer) or self._generators.drawn()

    def passes_agree(
        self,
        images: Float[Tensor, "m ..."],
        index: Int64[Tensor, " m"] | None = None,
        passes: int = 2,
    ) -> bool:
        """Return whether so many passes over the same images give the same logits, but for rounding;
        each begins where the one before left the model.
        """
        before, self.random = self.random, True  # so that buffers are not put back between them
        try:
            first = self.logits(images, index)
            return all(
                same_logits(first, self.logits(images, index), self.dtype)
                for _ in range(passes - 1)
            )
        finally:
            self.random = before

    @contextlib.contextmanager
    def exact(self) -> Iterator[None]:
        """Run the passes within in full float32 or float64, uncompiled, as the judge needs."""
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

        Of several averaged passes (EOT) it is the gradient of the mean of their own objectives.

        Args:
            images: images, or the parameters that `render` turns into images; the gradient is theirs.
            objective: from logits (m, k) to one number per sample (m,).
            index, keys: as for `logits`.
            render: from parameters to images.
        """
        with torch.enable_grad():
            x = images.detach().requires_grad_()
            seen = x if render is None else render(x)
            passes = self._logits_per_pass(seen, index, keys)
            sound = [self.ledger.sound(each, index, seen) for each in passes]
            # EOT: the mean of the passes' values, not the value of their mean, whose gradient
            # vanishes where saturated passes disagree.
            value = torch.stack([objective(logits) for logits in sound]).mean(0)
            try:
                with differentiable(self._recurrent):
                    gradient = gradient_of(value.sum(), x, by_backward=self._reentrant)
            except Exception as error:  # it is the user's code: anything may come
                if self._reentrant or not is_reentrant(error):
                    raise model_failed("cannot be differentiated at", images, error) from error
                self._reentrant = True
                # The first try freed a part of the graph.
                return self.gradient(images, objective, index, keys, render)
        if gradient is None:
            raise no_gradient()
        self.ledger.spend(self.backwards, index, self.samples * self._passes_per_call)
        logits = sound[0] if len(sound) == 1 else self.ledger.sound(averaged(passes), index, seen)
        return logits.detach(), self.ledger.mended(gradient, index, name_of(objective))

    def jacobian(
        self,
        images: Float[Tensor, "m ..."],
        cotangents: Cotangents,
        index: Int64[Tensor, " m"] | None = None,
        keys: Keys | None = None,
        render: Render | None = None,
    ) -> tuple[Float[Tensor, "m K"], Float[Tensor, "m k ..."]]:
        """Return the logits and k products of each sample's cotangents with the Jacobian; one
        forward pass (k of a model under torch.compile), k backward.

        Of several averaged passes it is the Jacobian of the averaged logits, not the mean of their
        own as in `gradient`: cotangents are chosen by one set of logits, whose boundaries decide.

        Args:
            images, index, keys, render: as for `gradient`.
            cotangents: from the logits (m, K) to the k weightings of the logits whose gradients
                are wanted, (m, k, K).
        """
        with torch.enable_grad():
            x = images.detach().requires_grad_()

            def run() -> Tensor:
                return self._forward(x if render is None else render(x), index, keys)

            logits = run()
            wanted = cotangents(logits.detach()).transpose(0, 1)
            try:
                with differentiable(self._recurrent):
                    found = products(logits, x, wanted, run)
            except Exception as error:  # it is the user's code: anything may come
                raise model_failed("cannot be differentiated at", images, error) from error
        if found is None:
            raise no_gradient()
        self.ledger.spend(self.backwards, index, len(wanted) * self.samples * self._passes_per_call)
        return logits.detach(), self.ledger.mended(found.transpose(0, 1), index, "jacobian")

    def _forward(self, images: Tensor, index: Tensor | None, keys: Keys | None) -> Tensor:
        logits = averaged(self._logits_per_pass(images, index, keys))
        return self.ledger.sound(logits, index, images)

    def _logits_per_pass(self, x: Tensor, index: Tensor | None, keys: Keys | None) -> list[Tensor]:
        return [self._one_pass(x, index, keys) for _ in range(self.samples)]

    def _one_pass(self, images: Tensor, index: Tensor | None, keys: Keys | None) -> Tensor:
        stream = 0 if keys is None else keys.stream
        self._passes[stream] += 1  # per stream: the judge's noise must not tell how long a loop was
        if not self.random:
            self._restore_buffers()
        for number, layer in enumerate(self._layers):
            layer.start_pass(keys, layer=number, number=self._passes[stream])
        logits = self.call(images)
        self.ledger.spend(self.forwards, index, self._passes_per_call)
        return logits

    def call(self, images: Float[Tensor, "m ..."]) -> Float[Tensor, "m k"]:
        """Return the logits of one pass in the present gradient mode, uncounted; see `apart`."""
        half: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if self._bf16 and not self._exact:
            half = torch.autocast(self.device.type, torch.bfloat16)
        with half, differentiable(self._recurrent):
            run = self.model if self._exact else self._fast
            logits, self.logits_dtype = apart(run, images, self.dtype, self._size)
        return logits

    def _restore_buffers(self, *, thorough: bool = False) -> None:
        """Undo what the last pass has written into the buffers."""
        if self._buffers is None or self._mode == "train":
            return
        name = self._buffers.changed(thorough=thorough)
        if name:
            self.changed_buffer = self.changed_buffer or name
            self._buffers.put_back()
