"""The ranking: a protocol's queries and gallery with their embeddings, to be scored."""

import dataclasses
import os
from typing import Any

import numpy as np
from jaxtyping import Float

from ckda_jax.data.dataset import PUBLISHED, Names
from ckda_jax.data.protocol import Protocol, Trial
from ckda_jax.engine.peers import ALONE, Peers
from ckda_jax.engine.shared_cosine import SharedCosine
from ckda_jax.retrieval import chance, metrics
from ckda_jax.retrieval.distances import Cosine, Distances
from ckda_jax.retrieval.plan import Part, Plan
from ckda_jax.retrieval.protocols import RULES
from ckda_jax.retrieval.rerank import rerank
from ckda_jax.structs import Records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking:
    """A protocol's queries and gallery with their embeddings.

    Attributes:
        protocol: the protocol.
        query: `[q, d]`, unit embeddings of the query's items, this process's part.
        gallery: `[g, d]`, of the gallery's, likewise.
        rerank_bytes: memory to re-rank the galleries in; 0: they are not re-ranked.
        peers: the processes, all of which must ask a ranking for the same.
    """

    protocol: Protocol
    query: Float[np.ndarray, "q d"]
    gallery: Float[np.ndarray, "g d"]
    rerank_bytes: int = 0
    peers: Peers = ALONE

    @property
    def name(self) -> str:
        """What the scores are recorded under."""
        return f"{self.protocol.name}{'-reranked' if self.rerank_bytes else ''}"

    def scores(self) -> dict[str, Any]:
        """Score the ranking, as a row of `results.json`.

        The means over the trials, and, where there are several, their number and the
        standard deviations (of a sample, n - 1). `queries` are those of the first.
        """
        trials = self.protocol.each_trial()
        rows = [self._scores(trial) for trial in trials]
        sizes = {name: rows[0].pop(name) for name in ("queries", "gallery")}
        values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        means = {name: float(np.mean(found)) for name, found in values.items()}
        if len(trials) == 1:
            return {**sizes, **means}
        spread = {name: float(np.std(v, ddof=1)) for name, v in values.items()}
        return {**sizes, **means, "trials": len(trials), "spread": spread}

    def _scores(self, trial: Trial) -> dict[str, Any]:
        part = self._part(len(trial.query))
        # As many threads in all processes, as the size of the blocks depends on them.
        workers = -self.peers.most(-(os.cpu_count() or 1))
        found = metrics.evaluate(
            self.distances(trial, part.own),
            *self._truth(trial),
            plan=Plan(part=part, workers=workers),
        )
        ranks = {f"rank{r}": found.rank(r) for r in (1, 5, 10, 20)}
        sizes = {"queries": found.valid, "gallery": len(trial.gallery)}
        return {**sizes, "mAP": found.mAP, "mINP": found.mINP, **ranks}

    def _part(self, queries: int) -> Part:
        """Describe which of so many queries this process ranks."""
        peers = self.peers
        return Part(
            own=peers.part(queries), longest=peers.longest(queries), join=peers.join
        )

    def warning(self, scores: dict[str, Any]) -> str | None:
        """Say that scores are not clearly above chance, where they are not."""
        level = chance.expected(*self._truth(self.protocol.each_trial()[0])).mAP
        return chance.warning("mAP", scores["mAP"], level)

    def _truth(self, trial: Trial) -> tuple[Any, ...]:
        """Return what decides which answers are right, as `metrics.evaluate` takes it.

        Identities and cameras of the queries, then of the gallery, and the rule.
        """
        query, gallery = self._items(trial)
        columns = query.identity, query.camera, gallery.identity, gallery.camera
        return *columns, RULES[self.protocol.rule]

    def _items(self, trial: Trial) -> tuple[Records, Records]:
        protocol = self.protocol
        query = protocol.items(protocol.query).take(trial.query)
        return query, protocol.items(protocol.gallery).take(trial.gallery)

    def distances(self, trial: Trial, own: slice | None = None) -> Distances:
        """Compare the queries of a trial with its gallery, a block at a time.

        Args:
            trial: places of the queries and of the gallery.
            own: the queries that this process asks for, among several; None: all.
        """
        if self.peers.count > 1:
            return self._shared_distances(trial, own or slice(0, len(trial.query)))
        sides = self.query[trial.query], self.gallery[trial.gallery]
        if self.rerank_bytes:
            return rerank(*sides, budget=self.rerank_bytes)
        return Cosine(*sides)

    def _shared_distances(self, trial: Trial, own: slice) -> SharedCosine:
        sides = self.protocol.query, self.protocol.gallery
        queries, images = (len(self.protocol.items(side)) for side in sides)
        return SharedCosine(
            peers=self.peers,
            queries=len(trial.query),
            first=own.start,
            query=self.peers.take(self.query, queries, trial.query, own),
            gallery=self.gallery,
            length=images,
            places=trial.gallery,
        )

    def lists(
        self, queries: int, names: Names = PUBLISHED, length: int = 10
    ) -> list[dict[str, Any]]:
        """Write the starts of some evenly spaced queries' rankings, of the first trial.

        Args:
            queries: at most so many.
            names: of identities, cameras and modalities.
            length: gallery items of each.

        Returns:
            JSON values.
        """
        trial = self.protocol.each_trial()[0]
        chosen = np.linspace(0, len(trial.query) - 1, min(queries, len(trial.query)))
        chosen = np.unique(chosen.astype(int))
        few = Trial(trial.query[chosen], trial.gallery)
        query, gallery = self._items(few)
        removed = RULES[self.protocol.rule].removal(
            query.identity, query.camera, gallery.identity, gallery.camera
        )
        lists = []
        for row, distances in enumerate(self.distances(few)[:]):
            places = metrics.ranked(distances, removed[row], length)
            shown = [
                {
                    **_describe(gallery, place, names),
                    "distance": float(distances[place]),
                    "correct": bool(gallery.identity[place] == query.identity[row]),
                }
                for place in places.tolist()
            ]
            entry = _describe(query, row, names)
            lists.append({"query": entry, "gallery": shown})
        return lists


def _describe(records: Records, row: int, names: Names) -> dict[str, Any]:
    return {
        "path": str(records.paths[row]),
        "identity": names.identity(int(records.identity[row])),
        "camera": names.camera(int(records.camera[row])),
        "modality": names.modality(int(records.modality[row])),
    }
