"""The survey: every image that a dataset lists, split by split, and its protocols."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ckda_jax.data.dataset import PUBLISHED, Names
from ckda_jax.data.protocol import Protocol
from ckda_jax.data.row import Row, as_records
from ckda_jax.structs import Records, concatenate_records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Survey:
    """A dataset as its index files list it, whether its images are there or not.

    Attributes:
        splits: every listed image by split, as published: also those that no run uses.
        train: the images that a run trains on.
        protocols: by name.
        names: what identities, cameras and modalities are called.
    """

    splits: dict[str, Records]
    train: Records
    protocols: dict[str, Protocol]
    names: Names = PUBLISHED

    def stack(self) -> tuple[Records, np.ndarray]:
        """Put the splits into one table; also return the split `[n]` of each row."""
        lengths = [len(table) for table in self.splits.values()]
        table = concatenate_records(list(self.splits.values()))
        return table, np.repeat(np.array(list(self.splits)), lengths)


def of_splits(
    root: Path,
    train: Mapping[int, Iterable[Row]],
    test: Mapping[int, Iterable[Row]],
    protocols: dict[str, Protocol],
) -> Survey:
    """Survey a dataset that lists its images by split and modality, and learns all.

    Args:
        root: the dataset's folder.
        train: training images of each modality.
        test: test images of each modality.
        protocols: by name.
    """
    learned, tested = (
        as_records(root, itertools.chain(*split.values())) for split in (train, test)
    )
    splits = {"train": learned, "test": tested}
    return Survey(splits=splits, train=learned, protocols=protocols)
