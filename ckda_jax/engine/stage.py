"""The stage: what is learned at once, one dataset or all jointly, and its place."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from ckda_jax.data.dataset import Dataset
from ckda_jax.data.sampling import steps_per_epoch
from ckda_jax.structs import InputError, Records, StageInfo, concatenate_records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """What is learned between two merges.

    Attributes:
        index: 0-based position, counted on from the run this one extends.
        datasets: the datasets learned; one, or all of them in a joint run.
        records: their training images.
        labels: `[n]` int64, identity of each image as a row of the classifier.
        chain: name of the resize chain of the training images.
        first_row: first row of the stage's slice of the classifier.
        classes: identities, the length of that slice.
        capacity: rows of the classifier, over all stages.
        replayed: rows of earlier stages whose images are mixed in.
        steps_per_epoch: steps in an epoch.
        epochs: epochs of the stage.
    """

    index: int
    datasets: tuple[Dataset, ...]
    records: Records
    labels: np.ndarray
    chain: str
    first_row: int
    classes: int
    capacity: int
    steps_per_epoch: int
    epochs: int
    replayed: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"stage {self.index + 1} ({self.name})"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the datasets learned."""
        return tuple(dataset.name for dataset in self.datasets)

    @property
    def name(self) -> str:
        """Name of the stage in logs and tables."""
        return "+".join(self.names)

    @property
    def steps(self) -> int:
        """Steps of the whole stage."""
        return self.steps_per_epoch * self.epochs

    @property
    def info(self) -> StageInfo:
        """What a compiled step may know of the stage."""
        return StageInfo(
            index=jnp.int32(self.index),
            first_row=jnp.int32(self.first_row),
            classes=jnp.int32(self.classes),
            steps_per_epoch=jnp.int32(self.steps_per_epoch),
            replayed=jnp.isin(jnp.arange(self.capacity), jnp.array(self.replayed)),
        )

    def with_examples(
        self, stages: "Sequence[Stage]", examples: Int[np.ndarray, "e 2"]
    ) -> "Stage":
        """Mix images of earlier stages into this one's.

        Args:
            stages: of the run.
            examples: `(stage, row)` of each, the row one of that stage's table.

        Raises:
            InputError: an example of a stage that is not one of this run's.
        """
        known = {stage.index: stage for stage in stages}
        unknown = set(examples[:, 0].tolist()) - set(known)
        if unknown:
            raise InputError(
                f"examples of stages {sorted(unknown)} are asked for, whose images are "
                "not part of this run; use a method without examples to extend a run"
            )
        mixed = self
        for index in np.unique(examples[:, 0]).tolist():
            rows, other = examples[examples[:, 0] == index, 1], known[index]
            labels = other.labels[rows]
            mixed = dataclasses.replace(
                mixed,
                records=concatenate_records([mixed.records, other.records.take(rows)]),
                labels=np.concatenate([mixed.labels, labels]),
                replayed=(*mixed.replayed, *np.unique(labels).tolist()),
            )
        return mixed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pace:
    """How long a stage is.

    Attributes:
        rows: images of one modality in a batch.
        epochs: epochs of each stage.
        steps: steps in an epoch for each dataset of a stage, so that learning all at
            once takes as many as one after another; 0: largest modality's images //
            rows + 1.
    """

    rows: int
    epochs: int
    steps: int = 0


def plan(
    groups: Sequence[tuple[Dataset, ...]], pace: Pace, *, first_index: int = 0
) -> tuple[Stage, ...]:
    """Lay stages out one after another, each with its slice of the classifier.

    Args:
        groups: the datasets of each stage.
        pace: how long each stage is.
        first_index: position of the first stage, when a run is extended.
    """
    stages: list[Stage] = []
    for index, datasets in enumerate(groups, start=first_index):
        first_row = sum(stage.classes for stage in stages)
        stages.append(_stage(index, datasets, first_row, pace))
    capacity = sum(stage.classes for stage in stages)
    return tuple(dataclasses.replace(s, capacity=capacity) for s in stages)


def _stage(
    index: int, datasets: tuple[Dataset, ...], first_row: int, pace: Pace
) -> Stage:
    records = concatenate_records([dataset.train for dataset in datasets])
    source = np.repeat(np.arange(len(datasets)), [len(d.train) for d in datasets])
    people = np.stack([source, records.identity], axis=1)
    identities, labels = np.unique(people, axis=0, return_inverse=True)
    return Stage(
        index=index,
        datasets=datasets,
        records=records,
        labels=labels.reshape(-1) + first_row,
        chain=_shared_chain(datasets),
        first_row=first_row,
        classes=len(identities),
        capacity=len(identities),
        steps_per_epoch=pace.steps * len(datasets)
        or steps_per_epoch(records.modality, pace.rows),
        epochs=pace.epochs,
    )


def _shared_chain(datasets: tuple[Dataset, ...]) -> str:
    chains = {dataset.resize_train for dataset in datasets}
    if len(chains) > 1:
        raise InputError(
            f"one stage would resize its images in different ways ({sorted(chains)}); "
            "train jointly with config.data.resample=direct"
        )
    return chains.pop()
