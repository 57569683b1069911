"""Which images are right for which query, and which the scoring rule takes out."""

import dataclasses
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from ckda_jax.retrieval.protocols import Rule


@dataclasses.dataclass(frozen=True)
class Truth:
    """The people and cameras of queries and gallery under a rule.

    Attributes:
        query_ids: `[q]` identities.
        query_cameras: `[q]` cameras.
        gallery_ids: `[g]` identities.
        gallery_cameras: `[g]` cameras.
        rule: removal and CMC.
    """

    query_ids: Int[np.ndarray, " q"]
    query_cameras: Int[np.ndarray, " q"]
    gallery_ids: Int[np.ndarray, " g"]
    gallery_cameras: Int[np.ndarray, " g"]
    rule: Rule

    @cached_property
    def identity(self) -> Int[np.ndarray, " g"]:
        """The gallery's identities, counted from 0."""
        return np.unique(self.gallery_ids, return_inverse=True)[1].reshape(-1)

    @cached_property
    def identities(self) -> int:
        """Count the gallery's identities."""
        return int(self.identity.max(initial=-1)) + 1

    @cached_property
    def most(self) -> int:
        """Count the right images of the query that has most, before removal."""
        return int((self._bounds[1] - self._bounds[0]).max(initial=0))

    def right(self, rows: slice) -> Int[np.ndarray, "b r"]:
        """List some queries' right images in gallery order, then -1 up to `most`."""
        start, stop = (bound[rows, None] for bound in self._bounds)
        place = start + np.arange(self.most)
        padded = np.append(self._order, -1)
        return padded[np.where(place < stop, place, len(self._order))]

    def removed(self, rows: slice) -> Bool[np.ndarray, "b g"]:
        """Mark what the rule takes out of some queries' rankings."""
        return self.rule.removal(
            self.query_ids[rows],
            self.query_cameras[rows],
            self.gallery_ids,
            self.gallery_cameras,
        )

    @cached_property
    def _order(self) -> np.ndarray:
        """Gallery rows by identity, in gallery order within one."""
        return np.argsort(self.gallery_ids, kind="stable")

    @cached_property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each query's identity begins and ends in that order."""
        sorted_ids = self.gallery_ids[self._order]
        start = np.searchsorted(sorted_ids, self.query_ids, side="left")
        return start, np.searchsorted(sorted_ids, self.query_ids, side="right")
