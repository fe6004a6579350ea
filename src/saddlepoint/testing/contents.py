"""What a value is made of, down to the code that it runs, as a digest that other processes get too."""

from __future__ import annotations

import copyreg
import enum
import functools
import hashlib
import json
import logging
import pathlib
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saddlepoint.model.anchor import constants
from saddlepoint.model.wrapped import bare
from saddlepoint.testing.code import file_digest, installed, instructions, named_globals

_PLAIN = (
    types.NoneType, bool, int, float, complex, str, bytes, slice, range, types.EllipsisType,
    torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format, pathlib.PurePath,
    np.generic, np.dtype,
)  # fmt: skip
_BUILT_IN = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType,
             types.GetSetDescriptorType, types.MemberDescriptorType, types.ClassMethodDescriptorType,
             types.MethodWrapperType, np.ufunc)  # fmt: skip
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
# Of a module: what is read elsewhere, or is no part of what it computes in evaluation mode.
_BESIDE = frozenset(
    (*vars(nn.Module()), "_forward_hooks_always_called", "_compiled_call_impl", "_is_replica")
)
_OF_CLASSES = frozenset(
    ("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__qualname__",
     "__static_attributes__", "__firstlineno__", "__annotate__", "__annotate_func__",
     "__annotations_cache__", "__abstractmethods__", "_abc_impl", "__parameters__",
     "__orig_bases__", "__dataclass_fields__", "__dataclass_params__", "__signature__")
)  # fmt: skip


class ContentsError(TypeError):
    """A value that cannot be told from another by what it is made of.

    >>> issubclass(ContentsError, TypeError)
    True
    """


def contents(value: Any) -> str:
    """Return 16 hexadecimal digits of all that a value is made of.

    Numbers and tensors go by their value; modules by weights, buffers, hooks and attributes; functions
    and classes by their instructions, defaults and closures and by the globals that they name, so that
    an edit of a helper counts and one of a comment does not. What an installed package defines goes
    by its name and the package's version, a file that is imported as a whole by its bytes.

    Raises `ContentsError` for what holds something that cannot be read, as a lock or an open file.

    >>> contents([1, torch.zeros(2)]) == contents([1, torch.zeros(2)])
    True
    >>> contents(compile("x + 1", "", "eval")) == contents(compile("x + 2", "", "eval"))
    False
    """
    try:
        told = json.dumps(_Reader().told(value), separators=(",", ":"))
    except RecursionError as error:
        raise ContentsError(f"what a {type(value).__qualname__} holds goes too deep") from error
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class _Reader:
    """Reads a value once; where it comes back to something, it says to which in order."""

    def __init__(self) -> None:
        self._met: dict[int, tuple[int, Any]] = {}  # with the value itself: it keeps its address

    def told(self, value: Any) -> Any:
        """Return a value as nested lists of text."""
        if isinstance(value, enum.Enum):
            return [type(value).__qualname__, value.name, self.told(value.value)]
        if isinstance(value, _PLAIN):
            return [type(value).__name__, repr(value)]
        if isinstance(value, _BUILT_IN):
            return ["built-in", getattr(value, "__qualname__", value.__name__)]
        if id(value) in self._met:
            return ["met", self._met[id(value)][0]]
        self._met[id(value)] = len(self._met), value
        for kinds, read in self._readers():
            if isinstance(value, kinds):
                return [type(value).__name__, *read(value), *self._derived(value)]
        return ["object", *self._object(value)]

    def _readers(self) -> Iterator[tuple[Any, Callable[[Any], Iterator[Any]]]]:
        yield nn.Module, self._module
        yield Tensor, _tensor
        yield np.ndarray, _array
        yield torch.Generator, lambda value: _tensor(value.get_state())
        yield types.FunctionType, self._function
        yield types.CodeType, lambda value: iter(instructions(value))
        yield type, self._class
        yield types.ModuleType, self._file
        yield types.MethodType, lambda value: self._all((value.__func__, value.__self__))
        yield functools.partial, lambda v: self._all((v.func, v.args, v.keywords))
        yield (staticmethod, classmethod), lambda value: self._all((value.__func__,))
        yield property, lambda value: self._all((value.fget, value.fset))
        yield functools.cached_property, lambda value: self._all((value.func,))
        yield logging.Logger, lambda value: iter([value.name])
        yield Mapping, lambda value: self._all(each for pair in value.items() for each in pair)
        yield (list, tuple), self._all
        yield Set, self._set

    def _derived(self, value: Any) -> Iterator[Any]:
        """What a user's subclass of something known adds to it; a module tells that itself."""
        if not isinstance(value, nn.Module | type) and not installed(type(value).__module__):
            yield self.told(type(value))
            yield self.told(sorted(getattr(value, "__dict__", {}).items()))

    def _all(self, values: Any) -> Iterator[Any]:
        return (self.told(each) for each in values)

    def _set(self, values: Set[Any]) -> Iterator[Any]:
        # The order differs from process to process, so that none is counted: each is read alone.
        yield from sorted(contents(each) for each in values)

    def _module(self, value: nn.Module) -> Iterator[Any]:
        net = bare(value)
        yield self.told(type(net))
        if isinstance(net, torch.jit.ScriptModule):
            told = net._c.dump_to_str(code=True, attrs=True, params=False)
            yield re.sub(r"0x[0-9a-f]+", "", told)  # addresses differ from process to process
            yield self.told([list(net.state_dict().items()), constants(net)])
            return
        if isinstance(net, torch.fx.GraphModule):
            yield net.code
        own = vars(net)
        for part in ("_parameters", "_buffers", "_modules"):
            yield self.told(list(own.get(part, {}).items()))
        for name in _HOOKS:  # whose keys count on from hook to hook of the process
            yield self.told(list(own.get(name, {}).values()))
        graph = ("_graph", "_code", "_tracer_cls") if isinstance(net, torch.fx.GraphModule) else ()
        rest = {k: v for k, v in own.items() if k not in _BESIDE and k not in graph}
        yield self.told(sorted(rest.items()))

    def _function(self, value: types.FunctionType) -> Iterator[Any]:
        yield _named(value)
        theirs = installed(value.__module__)
        if not theirs:
            yield self.told(value.__code__)
            yield self.told(value.__defaults__)
            yield self.told(value.__kwdefaults__)
        # A package's decorator holds the user's function in its closure.
        for cell in value.__closure__ or ():
            try:
                yield self.told(cell.cell_contents)
            except ValueError:  # not filled yet
                yield "empty"
        for name, used in () if theirs else named_globals(value):
            yield [name, self.told(used)]

    def _class(self, value: type) -> Iterator[Any]:
        for each in value.__mro__:
            yield _named(each)
            if installed(each.__module__):
                continue
            own = {k: v for k, v in vars(each).items() if k not in _OF_CLASSES}
            yield self.told(sorted(own.items()))

    def _file(self, value: types.ModuleType) -> Iterator[Any]:
        yield _named(value)
        if installed(value.__name__):
            return
        digest = file_digest(value)
        if digest is None:
            raise ContentsError(f"the module {value.__name__} has no file that could be read")
        yield digest
        homes = (
            each if isinstance(each, types.ModuleType) else getattr(each, "__module__", None)
            for each in vars(value).values()
        )
        used = {
            each if isinstance(each, types.ModuleType) else sys.modules.get(str(each))
            for each in homes
        }
        others = {each.__name__: each for each in used if each is not None and each is not value}
        for name in sorted(others):
            yield self.told(others[name])

    def _object(self, value: Any) -> Iterator[Any]:
        yield self.told(type(value))
        yield self.told(_pickled(value))
        yield self.told(
            sorted(getattr(value, "__dict__", {}).items())
        )  # pickling may leave some out


def _pickled(value: Any) -> list[Any]:
    """Return what `pickle` would make a value of again; raise where it would not either."""
    try:
        known = copyreg.dispatch_table.get(type(value))
        parts = value.__reduce_ex__(4) if known is None else known(value)
    except Exception as error:  # whatever a class of somebody's says
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise ContentsError(f"what a {kind} holds cannot be read") from error
    if isinstance(parts, str):
        return [parts]
    return [list(each) if isinstance(each, Iterator) else each for each in parts]


def _named(value: Any) -> str:
    """Return the full name, with the version of its package where that says one."""
    home = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
    name = "" if isinstance(value, types.ModuleType) else value.__qualname__
    root = sys.modules.get(str(home).partition(".")[0])
    version = getattr(root, "__version__", "") if installed(home) else ""
    return f"{home} {version} {name}"


def _tensor(value: Tensor) -> Iterator[Any]:
    if value.is_quantized:
        yield str(value.qscheme())
        value = value.dequantize()
    if value.layout != torch.strided or value.is_meta:
        raise ContentsError(f"a tensor of layout {value.layout} on {value.device} cannot be read")
    plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
    raw = plain.reshape(-1).view(torch.uint8).numpy()
    yield from (str(value.dtype), list(value.shape), hashlib.sha256(raw.data).hexdigest())


def _array(value: np.ndarray[Any, Any]) -> Iterator[Any]:
    if value.dtype.hasobject:
        raise ContentsError("an array of objects cannot be read")
    digest = hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()
    yield from (str(value.dtype), list(value.shape), digest)
