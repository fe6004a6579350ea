"""Folders of tiny Hugging Face classifiers, written by transformers itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
transformers.utils.logging.disable_progress_bar()

NAMES = ("cat", "dog", "bird")


def vit(folder: Path, names: tuple[str, ...] = NAMES, **options: Any) -> Any:
    """Write a ViT for images of 16×16 and its processor; return the model."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=16, patch_size=4, id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)}, **options,
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config).eval()
    with torch.no_grad():
        for weight in model.parameters():  # as initialised, all logits are nearly 0
            weight.add_(0.3 * torch.randn_like(weight))
    model.save_pretrained(folder)
    size = {"height": 16, "width": 16}
    transformers.ViTImageProcessor(size=size).save_pretrained(folder)
    return model


def resnet(folder: Path) -> Any:
    """Write a ResNet whose images are resized by the shorter side and cut; return the model."""
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=4
    )
    model = transformers.ResNetForImageClassification(config).eval()
    model.save_pretrained(folder)
    processor = transformers.ConvNextImageProcessor(
        size={"shortest_edge": 28}, crop_pct=0.875, image_mean=[0.5, 0.4, 0.3]
    )
    processor.save_pretrained(folder)
    return model


def rewrite(folder: Path, name: str = "preprocessor_config.json", **changes: Any) -> None:
    """Change a JSON file of the folder; None takes a key out."""
    path = folder / name
    value = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in value.items() if v is not None}))
