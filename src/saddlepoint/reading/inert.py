"""Stand-ins for what a checkpoint holds beside its tensors, so that none of it is ever run.

A training script saves its arguments, its best accuracy and its paths with the weights. To read
those would need their classes; to leave them out, a class that does nothing is enough.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any


class Inert:
    """Takes the place of any object of a known, harmless class, and keeps nothing of it.

    >>> isinstance(Inert("cuda", 3), Inert)
    True
    """

    def __init__(self, *ignored: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        """Keep nothing."""


_OBJECTS = (
    *("argparse.Namespace", "types.SimpleNamespace", "uuid.UUID", "_codecs.encode"),
    *("datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta"),
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath")),
    *("pathlib._local.PosixPath", "pathlib._local.WindowsPath", "decimal.Decimal"),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core")
      for name in ("scalar", "_reconstruct")),
    *("numpy.dtype", "numpy.ndarray", "numpy.random.mtrand.RandomState"),
    *(f"numpy.dtypes.{name}DType" for name in (
        "Bool", "Int32", "Int64", "UInt8", "UInt32", "UInt64", "Float16", "Float32", "Float64", "Str")),
    *("omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"),
    *("omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata", "omegaconf.nodes.AnyNode"),
    "typing.Any",
)  # fmt: skip
_MAPPINGS = (
    *("pytorch_lightning.utilities.parsing.AttributeDict", "yacs.config.CfgNode"),
    *("lightning.fabric.utilities.data.AttributeDict", "easydict.EasyDict"),
    *("lightning_fabric.utilities.data.AttributeDict", "addict.addict.Dict"),
)


def stand_ins() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Return what torch may make in place of each class, by the names that a file gives them.

    >>> (Inert, "argparse.Namespace") in stand_ins()
    True
    """
    objects = [(Inert, name) for name in _OBJECTS]
    return [*objects, *((OrderedDict, name) for name in _MAPPINGS)]
