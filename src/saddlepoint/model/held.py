"""What a guard holds still in a model: flags, parameters, gradients and buffers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def frozen(model: nn.Module, mode: Literal["eval", "train"]) -> Iterator[Buffers]:
    """Freeze the parameters, set the mode, and put everything back on the way out.

    Flags are restored module by module: `model.train()` alone would thaw a BatchNorm that the user
    had frozen. What was made in inference mode, which no graph may use, is replaced by copies
    meanwhile.

    >>> net = nn.Linear(1, 1)
    >>> with frozen(net, "eval"):
    ...     net.training, net.weight.requires_grad
    (False, False)
    >>> net.training, net.weight.requires_grad
    (True, True)
    """
    flags = [(m, m.training) for m in model.modules() if hasattr(m, "training")]
    parameters = [(p, p.requires_grad, p.grad) for p in model.parameters() if not p.is_inference()]
    lent: list[tuple[nn.Module, str, Tensor]] = []
    buffers, own_way_back = None, False
    try:
        if mode == "eval":
            own_way_back = _evaluate(model, [m for m, training in flags if training])
        for parameter, _, _ in parameters:
            parameter.requires_grad_(False)
        _lend(model, lent)
        buffers = Buffers(model)
        yield buffers
    finally:
        if buffers is not None:
            buffers.put_back()
        for module, name, tensor in lent:
            setattr(module, name, tensor)
        if own_way_back:
            model.train()
        for module, training in flags:
            module.training = training
        for parameter, requires_grad, grad in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad


def _evaluate(model: nn.Module, training: list[nn.Module]) -> bool:
    """Set evaluation mode; say whether the model's own `train` has to undo what it did."""
    if not training:
        return False
    whole = training[0] is model
    try:
        model.eval()
    except Exception:  # an exported program has no modes, but flags like any other
        whole = False
    for module in training:
        module.training = False
    return whole and any(
        (type(m).train, type(m).eval) != (nn.Module.train, nn.Module.eval) for m in model.modules()
    )


def _lend(model: nn.Module, lent: list[tuple[nn.Module, str, Tensor]]) -> None:
    """Replace inference tensors by copies, and note in `lent` what was where."""
    copies: dict[int, Tensor] = {}
    for module in model.modules():
        for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is None or not tensor.is_inference():
                continue
            if id(tensor) not in copies:  # what is shared stays shared
                parameter = isinstance(tensor, nn.Parameter)
                copy = tensor.clone()
                copies[id(tensor)] = nn.Parameter(copy, requires_grad=False) if parameter else copy
            lent.append((module, name, tensor))
            setattr(module, name, copies[id(tensor)])  # an LSTM keeps a list, and hears of it so


class Buffers:
    """The buffers of a model as they were: written to, replaced, added or taken away, they come
    back.

    A module that assigned to a buffer gets its other attributes back too: what it remembers of the
    buffer, a length or a flag, would no longer be true.

    >>> net = nn.BatchNorm1d(1)
    >>> buffers = Buffers(net)
    >>> buffers.changed()
    ''
    >>> _ = net(torch.ones(2, 1))
    >>> buffers.changed()
    'num_batches_tracked'
    >>> buffers.put_back()
    >>> net.running_mean
    tensor([0.])
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        # A script module hands its tables out as copies, and lets nobody assign to a buffer.
        self._tables = [
            _Table(module)
            for module in model.modules()
            if not isinstance(module, torch.jit.ScriptModule)
        ]
        self._before = {
            name: (buffer, buffer.clone())
            for name, buffer in model.named_buffers()
            if buffer.layout == torch.strided and not _repeats(buffer)
        }
        self._values = list(self._before.values())
        self._versions, self._silent = self._count(), False
        self._dicts = [table.module._buffers for table in self._tables]
        self._names = [(names, name) for names in self._dicts for name in names]
        self._assigned = self._lookup()

    def _lookup(self) -> tuple[list[int], list[int]]:
        """Return how many buffers each module has, and which they are."""
        return [len(names) for names in self._dicts], [id(d.get(n)) for d, n in self._names]

    def _count(self) -> list[int]:
        return [buffer._version for buffer, _ in self._values]

    def changed(self, *, thorough: bool = False) -> str:
        """Return the name of a buffer that was written to or assigned; "" where none was.

        Costs microseconds, by torch's counters of writes. Some writes are not counted (BatchNorm's,
        and those through `.data`): a `thorough` look compares the values, and once it has found
        one, so does every look after it.
        """
        for table in self._tables if thorough or self._lookup() != self._assigned else ():
            if table.changed():
                names = {id(m): name for name, m in self._model.named_modules()}
                return ".".join(filter(None, (names.get(id(table.module), ""), table.changed())))
        counts = zip(self._values, self._count(), self._versions, strict=True)
        written = next((buffer for (buffer, _), now, then in counts if now != then), None)
        if written is None and (thorough or self._silent):
            written = next((b for b, value in self._values if not _same(b, value)), None)
            self._silent = self._silent or written is not None
        if written is None:
            return ""
        return next((n for n, b in self._model.named_buffers() if b is written), "unnamed")

    def written(self) -> dict[str, Tensor]:
        """Return copies of those that are not what they were, by their names."""
        return {
            name: buffer.clone()
            for name, buffer in self._model.named_buffers()
            if name in self._before and not _same(buffer, self._before[name][1])
        }

    def write(self, values: Mapping[str, Tensor]) -> None:
        """Write values into the buffers of these names.

        >>> net = nn.BatchNorm1d(1)
        >>> Buffers(net).write({"running_mean": torch.ones(1)})
        >>> net.running_mean
        tensor([1.])
        """
        for name, value in values.items():
            buffer = self._model.get_buffer(name)
            buffer.data = value.to(buffer.device, copy=True)

    @torch.no_grad()
    def put_back(self) -> None:
        """Make every buffer, and the module's record of it, what it was."""
        for table in self._tables:
            if table.changed():
                table.put_back()
        for buffer, value in self._values:
            if not _alike(buffer, value):
                buffer.data = value.clone()
            # On CUDA the comparison would make the host wait.
            elif buffer.is_cuda or not torch.equal(buffer, value):
                buffer.data.copy_(value)  # a graph of the user's that holds it saw this very value
        self._versions = self._count()


class _Table:
    """The names of one module: its buffers, parameters and other attributes."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._tables: tuple[dict[str, Any], ...] = (module._buffers, module._parameters)
        self._before = tuple(dict(table) for table in self._tables)
        self._passing = set(module._non_persistent_buffers_set)
        self._attributes = dict(vars(module))

    def changed(self) -> str:
        """Return the name of a buffer or parameter that was assigned; "" where none was."""
        for table, before in zip(self._tables, self._before, strict=True):
            for name, tensor in table.items():
                if name not in before or before[name] is not tensor:
                    return name
            if len(table) != len(before):
                return next(name for name in before if name not in table)
        return ""

    def put_back(self) -> None:
        state: dict[str, Any] = vars(self.module)
        state.clear()
        state.update(self._attributes)
        for table, before in zip(self._tables, self._before, strict=True):
            table.clear()
            table.update(before)
        names = self.module._non_persistent_buffers_set
        names.clear()
        names.update(self._passing)


def _repeats(buffer: Tensor) -> bool:
    """Whether an entry stands in several places (`expand`): torch writes to none of them."""
    return any(
        stride == 0 and size > 1 for size, stride in zip(buffer.shape, buffer.stride(), strict=True)
    )


def _alike(a: Tensor, b: Tensor) -> bool:
    return (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)


def _same(a: Tensor, b: Tensor) -> bool:
    if not _alike(a, b) or torch.equal(a, b):
        return _alike(a, b)
    return a.is_floating_point() and bool(((a == b) | (a.isnan() & b.isnan())).all())
