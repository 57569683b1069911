"""The survey: every image that a dataset lists, split by split, and its protocols."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from ckda_jax.data.dataset import Dataset
from ckda_jax.data.protocol import Protocol
from ckda_jax.structs import Records, concatenate_records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Survey:
    """A dataset as its index files list it, whether its images are there or not.

    Attributes:
        splits: every listed image by split, as published: also those that no run uses.
        train: the images that a run trains on.
        protocols: by name.
    """

    splits: dict[str, Records]
    train: Records
    protocols: dict[str, Protocol]


def of_dataset(dataset: Dataset) -> Survey:
    """Survey a dataset of which no more is known than what its loader returns."""
    sides = ((p.query, p.gallery) for p in dataset.protocols.values())
    test = _unique(side for pair in sides for side in pair)
    return Survey(
        splits={"train": dataset.train, **({} if test is None else {"test": test})},
        train=dataset.train,
        protocols=dataset.protocols,
    )


def _unique(tables: Iterable[Records]) -> Records | None:
    """Stack tables, each path once, in the order of first appearance."""
    tables = list(tables)
    if not tables:
        return None
    every = concatenate_records(tables)
    return every.take(np.sort(np.unique(every.paths, return_index=True)[1]))
