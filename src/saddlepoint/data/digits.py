"""The digits embedded in scikit-learn: a real data set that needs no download."""

from __future__ import annotations

import numpy as np

from saddlepoint.data.datasets import DATASETS
from saddlepoint.data.tensor_data import TensorData, joined, statistics


def digits(split: str) -> TensorData:
    """Return 8×8 grey digits in [0, 1]: 1,442 for `train`, 355 for `test`, or `all` of them.

    Every fifth image of each class is a test image: stratified, and a function of nothing else.
    Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.

    >>> import torch
    >>> len(digits("train")), len(digits("test")), digits("test").images(torch.arange(1)).max()
    (1442, 355, tensor(1.))
    """
    from sklearn.datasets import load_digits  # late: it takes a second to import

    images, labels = load_digits(return_X_y=True)
    pixels = (images.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    rank = np.empty_like(labels)  # each image's position among those of its class
    for label in np.unique(labels):
        members = labels == label
        rank[members] = np.arange(members.sum())
    held_out = rank % 5 == 4

    parts = {"train": ~held_out, "test": held_out}
    train_images = TensorData.of(pixels[~held_out], labels[~held_out], name="digits").pixels
    mean, std = statistics(train_images)
    sets = [
        TensorData.of(
            pixels[chosen],
            labels[chosen],
            name="digits",
            split=part,
            classes=DATASETS["digits"].classes,
            mean=mean,
            std=std,
        )
        for part, chosen in parts.items()
        if split in (part, "all")
    ]
    return sets[0] if len(sets) == 1 else joined(sets)
