"""The counts: how many identities, images and tracklets, and how large a search is."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ckda_jax.data.dataset import PUBLISHED, Names
from ckda_jax.data.protocol import Protocol, Trial
from ckda_jax.data.survey import Survey
from ckda_jax.data.tracks import SHORTEST
from ckda_jax.structs import Records

TRAINED = "trained on"
"""Stands among the splits: the images that a run trains on, where these are others."""

# As in `ckda_jax.retrieval.protocols`.
Removal = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class Camera(NamedTuple):
    """What one camera filmed; None: not counted."""

    identities: int | None = None
    images: int | None = None
    tracklets: int | None = None


class Counts(NamedTuple):
    """The images of one modality in a split; None: not counted.

    Attributes:
        identities: people.
        images: images, or frames of tracklets.
        cameras: by number.
        tracklets: those of whatever length; 0 where the dataset has none.
        long_tracklets: those that are long enough to be used.
    """

    identities: int | None
    images: int | None
    cameras: dict[int, Camera]
    tracklets: int | None = 0
    long_tracklets: int | None = 0


class Size(NamedTuple):
    """How large the search of a protocol is, in images or pooled tracklets.

    Attributes:
        queries: of one trial.
        gallery: of one trial.
        trials: draws, whose scores are averaged.
        valid: queries that a right image is left for once the rule has taken its own
            out of the gallery; in the worst trial.
        affected: queries that the rule takes anything from, in the worst trial.
    """

    queries: int | None
    gallery: int | None
    trials: int | None
    valid: int | None
    affected: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """A dataset in numbers.

    Attributes:
        splits: counts by split and name of the modality.
        protocols: sizes by name.
    """

    splits: dict[str, dict[str, Counts]]
    protocols: dict[str, Size]


def describe(survey: Survey, removals: dict[str, Removal]) -> Description:
    """Count what a survey lists.

    Args:
        survey: of a dataset.
        removals: by the name of the scoring rule that removes.
    """
    names = survey.names
    splits = {name: count(table, names) for name, table in survey.splits.items()}
    trained = count(survey.train, names)
    if trained != splits.get("train"):
        # What is drawn of a tracklet says nothing about its length.
        splits[TRAINED] = {
            name: counts._replace(long_tracklets=None)
            for name, counts in trained.items()
        }
    return Description(
        splits=splits,
        protocols={
            name: measure(protocol, removals[protocol.rule])
            for name, protocol in survey.protocols.items()
        },
    )


def count(records: Records, names: Names = PUBLISHED) -> dict[str, Counts]:
    """Count a table of images by name of the modality."""
    return {
        names.modality(modality): _count(records.take(records.modality == modality))
        for modality in np.unique(records.modality).tolist()
    }


def measure(protocol: Protocol, removal: Removal) -> Size:
    """Measure the search of a protocol, under what its rule removes."""
    sides = protocol.items(protocol.query), protocol.items(protocol.gallery)
    trials = protocol.each_trial()
    found = [_answers(*sides, trial, removal) for trial in trials]
    return Size(
        queries=len(trials[0].query),
        gallery=len(trials[0].gallery),
        trials=len(trials),
        valid=min(valid for valid, _ in found),
        affected=max(affected for _, affected in found),
    )


def differences(found: Description, published: Description) -> list[str]:
    """Name every count that differs from a published one, in a line.

    >>> one = Description(splits={}, protocols={"all": Size(9, 4, 1, 9, 0)})
    >>> two = Description(splits={}, protocols={"all": Size(9, 5, 1, None, 0)})
    >>> differences(one, two)
    ['protocol all: 4 gallery, published 5']
    """
    if TRAINED not in found.splits:
        rest = {k: v for k, v in published.splits.items() if k != TRAINED}
        published = dataclasses.replace(published, splits=rest)
    mine, theirs = _flat(found), _flat(published)
    filmed = {(place.where, place.what) for place in theirs if place.camera}
    others = [p for p in mine if p.camera and (p.where, p.what) in filmed]
    theirs |= dict.fromkeys((place for place in others if place not in theirs), 0)
    return [
        f"{place}: {mine.get(place, 0):,} {place.what}, published {value:,}"
        for place, value in theirs.items()
        if mine.get(place, 0) != value
    ]


def total(description: Description) -> int:
    """Count the images of all splits."""
    return sum(
        counts.images or 0
        for split, modalities in description.splits.items()
        for counts in modalities.values()
        if split != TRAINED
    )


class _Place(NamedTuple):
    """Where a number stands in a description; camera 0: of all cameras."""

    where: str
    camera: int
    what: str

    def __str__(self) -> str:
        return self.where + (f", camera {self.camera}" if self.camera else "")


def _count(records: Records) -> Counts:
    groups, lengths = _tracklets(records)
    return Counts(
        identities=len(np.unique(records.identity)),
        images=len(records),
        cameras={
            camera: Camera(
                identities=len(np.unique(records.identity[records.camera == camera])),
                images=int((records.camera == camera).sum()),
                tracklets=int((groups == camera).sum()),
            )
            for camera in np.unique(records.camera).tolist()
        },
        tracklets=len(lengths),
        long_tracklets=int((lengths >= SHORTEST).sum()),
    )


def _tracklets(records: Records) -> tuple[np.ndarray, np.ndarray]:
    """Return the camera and the number of frames of every tracklet."""
    tracked = records.take(records.tracklet >= 0)
    columns = [tracked.camera, tracked.identity, tracked.tracklet]
    groups, lengths = np.unique(np.stack(columns), axis=1, return_counts=True)
    return groups[0], lengths


def _answers(
    query: Records, gallery: Records, trial: Trial, removal: Removal
) -> tuple[int, int]:
    """Count the queries of a trial with an answer, and those with something removed.

    Identities and cameras are all that a rule looks at: one query stands for all of
    the same person and camera, and one gallery image too.
    """
    searched, counts = _people(query, trial.query)
    offered, _ = _people(gallery, trial.gallery)
    removed = removal(searched[0], searched[1], offered[0], offered[1])
    right = (searched[0][:, None] == offered[0][None, :]) & ~removed
    return int(counts[right.any(axis=1)].sum()), int(counts[removed.any(axis=1)].sum())


def _people(records: Records, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of identity and camera in some rows, and how often each is."""
    pairs = np.stack([records.identity[rows], records.camera[rows]])
    return np.unique(pairs, axis=1, return_counts=True)


def _flat(description: Description) -> dict[_Place, int]:
    """Write out a description: a number for each place and thing that is counted."""
    flat: dict[_Place, int | None] = {}
    for split, modalities in description.splits.items():
        for modality, counts in modalities.items():
            where = f"{split}, {modality}"
            for what in ("identities", "images", "tracklets", "long_tracklets"):
                name = what.replace("_", " ")
                flat[_Place(where, 0, name)] = getattr(counts, what)
            for camera, filmed in counts.cameras.items():
                for what, value in filmed._asdict().items():
                    flat[_Place(where, camera, what)] = value
    for name, size in description.protocols.items():
        for what, value in size._asdict().items():
            flat[_Place(f"protocol {name}", 0, what)] = value
    return {place: value for place, value in flat.items() if value is not None}
