"""What an attack changed in images, as pictures on one symmetric scale: grey is no change, and the
largest change of the figure is black or white, so that nothing is cut off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor


@dataclass(frozen=True)
class ChangeScale:
    """The scale of all changes of one figure.

    Attributes:
        largest: the largest absolute change of a pixel's channel; 0 where nothing was changed.

    >>> ChangeScale(0.03125).label
    'change, ±0.0312'
    """

    largest: float

    @classmethod
    def of(cls, changes: Iterable[Tensor]) -> ChangeScale:
        """Return the scale that holds these changes.

        >>> import torch
        >>> ChangeScale.of([torch.tensor([0.1, -0.5]), torch.tensor([0.25])])
        ChangeScale(largest=0.5)
        """
        finite = [each[each.isfinite()].detach().double().abs() for each in changes]
        return cls(max((float(each.max()) for each in finite if len(each)), default=0.0))

    @property
    def label(self) -> str:
        """The scale in words, above a column of changes."""
        return f"change, ±{self.largest:.3g}" if self.largest else "no change"

    def picture(self, change: Float[Tensor, "c h w"]) -> Float[np.ndarray, "h w c"]:
        """Return a change as an image in [0, 1]: ½ where there is none, 0 and 1 at the largest.

        >>> import torch
        >>> ChangeScale(0.5).picture(torch.tensor([[[0.0, -0.5, 0.25]]])).ravel().tolist()
        [0.5, 0.0, 0.75]
        """
        relative = change.detach().cpu().double() / (2 * self.largest or 1.0) + 0.5
        return relative.nan_to_num(0.5).clamp(0, 1).permute(1, 2, 0).float().numpy()

    def draw(self, axes: Axes, change: Float[Tensor, "c h w"]) -> None:
        """Draw a change, of grey or RGB images.

        >>> import torch
        >>> axes = Figure().add_subplot()
        >>> ChangeScale(0.5).draw(axes, torch.zeros(1, 2, 2))
        >>> axes.images[0].get_array().tolist()
        [[0.5, 0.5], [0.5, 0.5]]
        """
        draw_pixels(axes, self.picture(change))
        axes.set_axis_on()  # a frame: the ends of the scale are the colours of paper and ink
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color="#888888", linewidth=0.6)

    def bar(self, figure: Figure, axes: Axes) -> None:
        """Draw the scale as a bar in `axes`: what black, grey and white mean.

        >>> figure = Figure()
        >>> ChangeScale(0.5).bar(figure, figure.add_subplot())
        >>> [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
        ['−0.5', '0', '+0.5']
        """
        end = self.largest or 1.0
        bar = figure.colorbar(ScalarMappable(Normalize(-end, end), "gray"), cax=axes)
        names = [f"−{end:.3g}", "0", f"+{end:.3g}"] if self.largest else ["", "0", ""]
        bar.set_ticks([-end, 0, end], labels=names)
        bar.ax.tick_params(labelsize=7, length=2)
        bar.ax.grid(visible=False)
        bar.set_label("change of a pixel", fontsize=7)


def as_array(image: Float[Tensor, "c h w"]) -> Float[np.ndarray, "h w c"]:
    """Return an image as matplotlib takes it, cut to [0, 1].

    >>> import torch
    >>> as_array(torch.tensor([[[0.25, 2.0]]])).tolist()
    [[[0.25], [1.0]]]
    """
    array: Float[np.ndarray, "h w c"] = (
        image.detach().cpu().float().clamp(0, 1).permute(1, 2, 0).numpy()
    )
    return array


def draw_pixels(axes: Axes, array: Float[np.ndarray, "h w c"]) -> None:
    """Draw an image with values in [0, 1], grey or RGB, without axes.

    >>> axes = Figure().add_subplot()
    >>> draw_pixels(axes, np.zeros((4, 4, 3)))
    >>> axes.images[0].get_array().shape
    (4, 4, 3)
    """
    if array.shape[2] == 1:
        axes.imshow(array[:, :, 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(array, interpolation="nearest")
    axes.set_axis_off()
