"""Data sets as tensors in [0, 1]: embedded digits, MNIST, CIFAR, folders, `.npz` and Parquet."""

from __future__ import annotations

from saddlepoint.data.as_data import DataLike, as_data
from saddlepoint.data.augmentation import (
    AUGMENTATIONS,
    OPERATIONS,
    Augmentation,
    ColourJitter,
    Crop,
    CropFlip,
    Pairs,
    RandAugment,
    RandomErasing,
    ResizedCrop,
    Unchanged,
    build_augmentation,
    crop,
    crop_flip,
    mix,
    one_after_the_other,
)
from saddlepoint.data.base import Data, ImageBatches, ImageData, data_identity
from saddlepoint.data.batches import LabelledBatch, batches, epoch_order
from saddlepoint.data.brought import SOURCES, DataSource
from saddlepoint.data.class_map import ClassMap, named_outputs, read_class_map
from saddlepoint.data.corruptions import CORRUPTIONS, CorruptedData, Corruption, corrupted
from saddlepoint.data.datasets import DATASETS, IMAGENET, DatasetInfo
from saddlepoint.data.folder import FolderData
from saddlepoint.data.load import RESIDENT_BYTES, default_root, load_data
from saddlepoint.data.tensor_data import TensorData, joined, statistics

__all__ = [
    "AUGMENTATIONS",
    "CORRUPTIONS",
    "DATASETS",
    "IMAGENET",
    "OPERATIONS",
    "RESIDENT_BYTES",
    "SOURCES",
    "Augmentation",
    "ClassMap",
    "ColourJitter",
    "CorruptedData",
    "Corruption",
    "Crop",
    "CropFlip",
    "Data",
    "DataLike",
    "DataSource",
    "DatasetInfo",
    "FolderData",
    "ImageBatches",
    "ImageData",
    "LabelledBatch",
    "Pairs",
    "RandAugment",
    "RandomErasing",
    "ResizedCrop",
    "TensorData",
    "Unchanged",
    "as_data",
    "batches",
    "build_augmentation",
    "corrupted",
    "crop",
    "crop_flip",
    "data_identity",
    "default_root",
    "epoch_order",
    "joined",
    "load_data",
    "mix",
    "named_outputs",
    "one_after_the_other",
    "read_class_map",
    "statistics",
]
