"""The protocol: which images are searched for, and where, trial by trial."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ckda_jax.data.row import Row, as_records
from ckda_jax.structs import Records

LIFELONG = "lifelong"
"""Name of the protocol of the lifelong table, which every dataset has."""


class Trial(NamedTuple):
    """One search of a protocol: places in its queries and in its gallery, in order."""

    query: Int[np.ndarray, " q"]
    gallery: Int[np.ndarray, " g"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """What retrieval is measured on.

    Attributes:
        name: how it is asked for, `all-single` say.
        query: every image that a trial searches for.
        gallery: every image that a trial searches in.
        rule: name of the scoring rule, a key of `ckda_jax.retrieval.protocols.RULES`.
        trials: their scores are averaged; empty: one trial, of everything.
        pooled: whether the frames of a tracklet, which stand one after another, count
            as one item, whose embedding is their mean, brought back to unit length.
    """

    name: str
    query: Records
    gallery: Records
    rule: str
    trials: tuple[Trial, ...] = ()
    pooled: bool = False

    def each_trial(self) -> tuple[Trial, ...]:
        """Return the trials, the one of everything where none is listed."""
        sides = (len(self.items(side)) for side in (self.query, self.gallery))
        return self.trials or (Trial(*map(np.arange, sides)),)

    def items(self, records: Records) -> Records:
        """Reduce the table of the queries or the gallery to a row for each item."""
        return records.take(_starts(records)) if self.pooled else records

    def images(self, records: Records, items: slice) -> slice:
        """Find the images of consecutive items in the table of a side."""
        if not self.pooled:
            return items
        bounds = np.append(_starts(records), len(records))
        return slice(int(bounds[items.start]), int(bounds[items.stop]))

    def pool(
        self, records: Records, embeddings: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "i d"]:
        """Reduce the embeddings of such a table's images to one for each item."""
        if not self.pooled or not len(records):
            return embeddings
        sums = np.add.reduceat(embeddings, _starts(records), axis=0)
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def of_trials(
    name: str,
    root: Path,
    rule: str,
    trials: Sequence[tuple[Sequence[Row], Sequence[Row]]],
) -> Protocol:
    """Make a protocol of the queries and the gallery of each of its trials."""
    query, searched = _share(root, [rows for rows, _ in trials])
    gallery, offered = _share(root, [rows for _, rows in trials])
    # One trial has everything, in order.
    places = tuple(map(Trial, searched, offered)) if len(trials) > 1 else ()
    return Protocol(name=name, query=query, gallery=gallery, rule=rule, trials=places)


def _share(
    root: Path, lists: Sequence[Sequence[Row]]
) -> tuple[Records, list[np.ndarray]]:
    """Put the rows of several lists into one table, each once; return their places."""
    place: dict[Row, int] = {}
    places = [
        np.array([place.setdefault(row, len(place)) for row in rows], np.int64)
        for rows in lists
    ]
    return as_records(root, place), places


def _starts(records: Records) -> Int[np.ndarray, " i"]:
    """Find the first frame of each tracklet."""
    return np.flatnonzero(np.diff(records.tracklet, prepend=-1))
