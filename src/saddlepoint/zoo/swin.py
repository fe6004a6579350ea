"""The Swin transformer: attention in windows that are shifted from block to block, on a pyramid."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.zoo.drop_path import rising
from saddlepoint.zoo.initialise import transformer_normal
from saddlepoint.zoo.positions import LearnedPositions, Places
from saddlepoint.zoo.shapes import Size, check_counts, sides
from saddlepoint.zoo.stems import PatchStem
from saddlepoint.zoo.swin_block import EPS, PatchMerging, SwinBlock
from saddlepoint.zoo.swin_design import SWINS, SwinDesign
from saddlepoint.zoo.tables import Grid
from saddlepoint.zoo.transformer_block import Regulariser
from saddlepoint.zoo.windows import Cut


class SwinStage(nn.Module):
    """Blocks on one map, behind a merging of patches but for the first stage.

    >>> import torch
    >>> stage = SwinStage(None, [nn.Identity(), nn.Identity()])
    >>> stage(torch.rand(1, 4, 4, 8)).shape
    torch.Size([1, 4, 4, 8])
    """

    def __init__(self, merging: PatchMerging | None, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.merging = merging
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n h2 w2 c2"]:
        """Return the map after the stage."""
        if self.merging is not None:
            x = self.merging(x)
        for block in self.blocks:
            x = block(x)
        return x


class Swin(nn.Module):
    """Swin: patches, stages of blocks in windows, the mean of the last map, normalised, logits.

    Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, 2021,
    arXiv:2103.14030. A patch of the last of four stages covers 32×32 pixels. Images of any size:
    they are padded with zeros to whole patches, and maps to whole windows, whose padding no token
    of an image looks at. The stages' maps are a pyramid; detection and segmentation on it are not
    done here. `cuts` says which windows and shifts are used.

    Raises `InputError` for heads that do not divide a stage's width.

    >>> import torch
    >>> net = Swin(SwinDesign(), classes=10, channels=3, size=32)
    >>> net(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    >>> print(*net.cuts.values(), sep="\\n")
    16×16 in windows of 4×4, not shifted
    16×16 in windows of 4×4, shifted by 2×2
    8×8 in windows of 4×4, not shifted
    8×8 in windows of 4×4, shifted by 2×2
    4×4 in windows of 4×4, not shifted
    4×4 in windows of 4×4, not shifted
    """

    def __init__(
        self,
        design: SwinDesign = SWINS["swin-micro"],
        *,
        classes: int = 10,
        channels: int = 3,
        size: Size = 32,
    ) -> None:
        super().__init__()
        check_counts(classes, channels)
        self.design = design
        height, width = sides(size)
        grid = -(-height // design.patch), -(-width // design.patch)
        self.embed = PatchStem(channels, design.width, design.patch)
        self.embed_norm = nn.LayerNorm(design.width, EPS)
        places = Places(grid, design.width, classed=False)
        self.positions = LearnedPositions(places) if design.absolute else None
        self.dropout = nn.Dropout(design.dropout)
        self.stages = nn.Sequential(*_stages(design, grid))
        self.norm = nn.LayerNorm(design.widths[-1], EPS)
        self.head = nn.Linear(design.widths[-1], classes)
        transformer_normal(self)

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return what a decay of the learning rate counts as a layer, from the image on."""
        first: list[nn.Module] = [self.embed, self.embed_norm]
        groups = [first if self.positions is None else [self.positions, *first]]
        for stage in self.stages:
            assert isinstance(stage, SwinStage)
            merged = [] if stage.merging is None else [stage.merging]
            groups += [[*merged, stage.blocks[0]], *([each] for each in stage.blocks[1:])]
        return [*groups, [self.norm, self.head]]

    @property
    def cuts(self) -> dict[str, Cut]:
        """How each block, by name, cuts a map of the size that the network was built for."""
        blocks = ((name, part) for name, part in self.named_modules())
        return {name: part.cut for name, part in blocks if isinstance(part, SwinBlock)}

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        logits: Tensor = self.head(self.norm(self.stages(self.embedded(images))).mean((1, 2)))
        return logits

    def embedded(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h2 w2 c2"]:
        """Return the map of the patches."""
        patch = self.design.patch
        down, right = (-side % patch for side in images.shape[2:])
        if down or right:
            images = functional.pad(images, (0, right, 0, down))
        x: Tensor = self.embed_norm(self.embed(images).permute(0, 2, 3, 1))
        if self.positions is not None:
            grid = (x.shape[1], x.shape[2])
            x = self.positions(x.flatten(1, 2), grid).reshape(x.shape)
        dropped: Tensor = self.dropout(x)
        return dropped


def _stages(design: SwinDesign, grid: Grid) -> list[SwinStage]:
    drop_path = iter(rising(design.drop_path, sum(design.depths)))
    stages: list[SwinStage] = []
    for d, depth, heads in zip(design.widths, design.depths, design.heads, strict=True):
        if stages:
            grid = -(-grid[0] // 2), -(-grid[1] // 2)
        blocks: list[nn.Module] = [
            SwinBlock(
                d,
                heads,
                int(d * design.mlp_ratio),
                design.windows(block),
                grid,
                Regulariser(design.dropout, next(drop_path)),
                relative=design.relative,
            )
            for block in range(depth)
        ]
        stages.append(SwinStage(PatchMerging(d // 2) if stages else None, blocks))
    return stages
