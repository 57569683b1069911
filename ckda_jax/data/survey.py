"""The survey: every image that a dataset lists, split by split, and its protocols."""

import dataclasses

import numpy as np

from ckda_jax.data.dataset import PUBLISHED, Names
from ckda_jax.data.protocol import Protocol
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
