"""What a study varies, as numbers: where its variants stand on an axis of a figure."""

from __future__ import annotations

import contextlib
import math
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Cost = Literal["weights", "multiply-adds"]
COSTS = get_args(Cost)
"""What a place may be in place of a number: counted from the network of the variant."""


def _place(value: Any) -> Any:
    if isinstance(value, str) and value not in COSTS:  # YAML reads 1e6 as text
        with contextlib.suppress(ValueError):
            return float(value)
    if isinstance(value, bool) or (isinstance(value, str) and value not in COSTS):
        raise ValueError(f"a number is expected, or one of: {', '.join(COSTS)}")
    return value


_Number = Annotated[float, Field(gt=-math.inf, lt=math.inf)]
Place = Annotated[_Number | Cost, BeforeValidator(_place)]


class AxisSpec(BaseModel):
    """Numbers that the variants of a study stand for: depths, sizes, shares of the data.

    Attributes:
        label: of the axis, with its unit.
        scale: "linear" or "log".
        lines: by the name of a line, the place of each of its variants: a number, or "weights" or
            "multiply-adds" of its network.

    >>> AxisSpec(label="layers", lines={"plain": {"plain-20": 20}}).scale
    'linear'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    scale: Literal["linear", "log"] = "linear"
    lines: Annotated[dict[str, dict[str, Place]], Field(min_length=1)]

    @model_validator(mode="after")
    def _above_zero(self) -> Self:
        for line in self.lines.values() if self.scale == "log" else ():
            for variant, place in line.items():
                if not isinstance(place, str) and place <= 0:
                    raise ValueError(
                        f"{variant} stands at {place:g} on a log axis; give more than 0"
                    )
        return self
