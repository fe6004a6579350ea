"""The constants of the named data sets are what their training images give."""

from __future__ import annotations

from pathlib import Path

import pytest

from saddlepoint.data import DATASETS, IMAGENET
from saddlepoint.data.parquet import read_parquet
from saddlepoint.data.tensor_data import statistics

ROOT = Path(__file__).parents[3] / "shared" / "data"


def computed(*parts):
    for root in (ROOT, Path(__file__).parents[4] / "shared" / "data"):
        if root.joinpath(*parts).is_file():
            return statistics(read_parquet([root.joinpath(*parts)])[0])
    pytest.skip(f"no {'/'.join(parts)} in shared/data beside the project")


# A part of the training images: the standard error of a mean over n images is about 0.12 / √n.
@pytest.mark.parametrize(
    ("name", "file", "tolerance"),
    [
        pytest.param("mnist", "train.parquet", 6e-5, marks=pytest.mark.slow),
        ("mnist", "test.parquet", 4e-3),
        ("cifar10", "train_5085.parquet", 4e-3),
        pytest.param("cifar10-jpeg", "train.parquet", 6e-5, marks=pytest.mark.slow),
    ],
)
def test_constants_are_those_of_the_training_images(name, file, tolerance):
    mean, std = computed(name, file)
    assert DATASETS[name].mean == pytest.approx(mean, abs=tolerance)
    assert DATASETS[name].std == pytest.approx(std, abs=tolerance)


def test_no_data_set_has_the_constants_of_another():
    known = [(info.mean, info.std) for info in DATASETS.values() if info.mean is not None]
    assert len(set(known)) == len(known)
    assert IMAGENET not in known
