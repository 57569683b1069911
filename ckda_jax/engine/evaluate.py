"""Evaluation: a snapshot and a protocol in; scores, rankings and prompt maps out."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ckda_jax.data.catalog import DATASETS
from ckda_jax.data.dataset import PUBLISHED, Dataset, Names
from ckda_jax.data.protocol import Protocol, Trial
from ckda_jax.engine.embed import Embedder
from ckda_jax.engine.state import Snapshot
from ckda_jax.files import write_json
from ckda_jax.retrieval import chance, metrics
from ckda_jax.retrieval.distances import Cosine, Distances
from ckda_jax.retrieval.protocols import RULES
from ckda_jax.retrieval.rerank import rerank
from ckda_jax.structs import InputError, Records, concatenate_records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking:
    """A protocol's queries and gallery with their embeddings.

    Attributes:
        protocol: the protocol.
        query: `[q, d]`, unit embeddings of the query's items.
        gallery: `[g, d]`, of the gallery's.
        rerank_bytes: memory to re-rank the galleries in; 0: they are not re-ranked.
    """

    protocol: Protocol
    query: Float[np.ndarray, "q d"]
    gallery: Float[np.ndarray, "g d"]
    rerank_bytes: int = 0

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
        found = metrics.evaluate(self.distances(trial), *self._truth(trial))
        ranks = {f"rank{r}": found.rank(r) for r in (1, 5, 10, 20)}
        sizes = {"queries": found.valid, "gallery": len(trial.gallery)}
        return {**sizes, "mAP": found.mAP, "mINP": found.mINP, **ranks}

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

    def distances(self, trial: Trial) -> Distances:
        """Compare the queries of a trial with its gallery, a block at a time."""
        sides = self.query[trial.query], self.gallery[trial.gallery]
        if self.rerank_bytes:
            return rerank(*sides, budget=self.rerank_bytes)
        return Cosine(*sides)

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


@dataclasses.dataclass(frozen=True)
class Few:
    """How many examples to leave for the report, and in which folder."""

    count: int
    folder: Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Evaluates snapshots on datasets.

    Attributes:
        embedder: runs the model.
        modality: `own`, or `swapped` to feed each image through the prompts of the
            other one of two modalities, or `DATASET:swapped`, as the released code does
            for LLCM.
        rerank_bytes: memory to re-rank galleries in; 0: they are not re-ranked.
    """

    embedder: Embedder
    modality: str = "own"
    rerank_bytes: int = 0

    def rank(self, snapshot: Snapshot, dataset: Dataset, protocol: Protocol) -> Ranking:
        """Embed a protocol's images."""
        (ranking,) = self.rankings(snapshot, dataset, [protocol])
        return ranking

    def rankings(
        self, snapshot: Snapshot, dataset: Dataset, protocols: Iterable[Protocol]
    ) -> Iterator[Ranking]:
        """Embed the images of a dataset's protocols one by one, each image once."""
        known: dict[str, np.ndarray] = {}
        for protocol in protocols:
            query, gallery = (
                protocol.pool(
                    records, self._features(snapshot, dataset, records, known)
                )
                for records in (protocol.query, protocol.gallery)
            )
            yield Ranking(
                protocol=protocol,
                query=query,
                gallery=gallery,
                rerank_bytes=self.rerank_bytes,
            )

    def _features(
        self,
        snapshot: Snapshot,
        dataset: Dataset,
        records: Records,
        known: dict[str, np.ndarray],
    ) -> Float[np.ndarray, "n d"]:
        """Embed images, each through its own modality unless that is swapped.

        Those of paths in `known` are taken from there; the others are added to it.
        """
        swapped = per_dataset(self.modality, dataset.name, "own") == "swapped"
        unknown = np.array([path not in known for path in records.paths.tolist()], bool)
        for modality in np.unique(records.modality[unknown]).tolist():
            own = records.take(unknown & (records.modality == modality))
            through = 1 - modality if swapped else modality
            found = self.embedder.table(snapshot, own, dataset.resize_test, through)
            known.update(zip(own.paths.tolist(), found, strict=True))
        return np.stack([known[path] for path in records.paths.tolist()])

    def write_examples(
        self, snapshot: Snapshot, dataset: Dataset, ranking: Ranking, few: Few
    ) -> None:
        """Write ranked lists and prompt maps of a dataset for the report.

        All processes of a run must call it, as they share the model; the main one
        writes.
        """
        maps: dict[str, Any] = self.prompt_maps(
            snapshot, dataset, ranking.protocol, few.count
        )
        if not self.embedder.cluster.is_main:
            return
        name, lists = ranking.protocol.name, ranking.lists(few.count, dataset.names)
        write_json(
            few.folder / f"{dataset.name}.json", {"protocol": name, "queries": lists}
        )
        np.savez_compressed(few.folder / f"{dataset.name}.npz", **maps)

    def prompt_maps(
        self, snapshot: Snapshot, dataset: Dataset, protocol: Protocol, count: int
    ) -> dict[str, np.ndarray]:
        """Compute how strongly each prompt changes each pixel of some images.

        They are images of the protocol, and training images of a modality that it has
        not; a modality that neither have is left out.

        Returns:
            `modality [p]`, those shown; `images [p, n, h, w, 3]` uint8; and the mean
            absolute prompt over the colour channels, `common [p, n, h, w]` and
            `specific [p, n, h, w]`, each image through its own modality.
        """
        tables = concatenate_records([protocol.query, protocol.gallery]), dataset.train
        there = [np.isin(self.embedder.learner.modality, t.modality) for t in tables]
        shown = np.flatnonzero(there[0] | there[1])
        height, width = self.embedder.size
        images = np.zeros((len(there[0]), count, height, width, 3), np.uint8)
        for m in shown.tolist():
            records = tables[0] if there[0][m] else tables[1]
            images[m] = self._few(records, m, dataset.resize_test, count)
        out = self.embedder.outputs(snapshot, images)
        prompts = {"common": out.common_prompt, "specific": out.specific_prompt}
        sizes = {
            name: np.abs(np.asarray(prompt, np.float32)).mean(-1)[shown]
            for name, prompt in prompts.items()
        }
        return {"modality": shown, "images": images[shown], **sizes}

    def _few(
        self, records: Records, modality: int, chain: str, count: int
    ) -> np.ndarray:
        rows = np.flatnonzero(records.modality == modality)
        chosen = rows[np.linspace(0, len(rows) - 1, count).astype(int)]
        return self.embedder.read(records.take(chosen), chain)


def per_dataset(value: str, name: str, default: str) -> str:
    """Read an option that may name the datasets it is for: `VALUE` or `NAME:VALUE,...`.

    >>> per_dataset("swapped", "llcm", "own"), per_dataset("llcm:swapped", "vcm", "own")
    ('swapped', 'own')
    """
    if ":" not in value:
        return value
    pairs = dict(item.split(":", 1) for item in value.split(","))
    return pairs.get(name, default)


def check_per_dataset(
    key: str, value: str, choices: tuple[str, ...], own: Iterable[str] = ()
) -> None:
    """Refuse a value of such an option: no such choice, or no such dataset.

    Args:
        key: of the option.
        value: of it.
        choices: what it may be for a dataset.
        own: names of own datasets, beside the published ones.
    """
    known = (*DATASETS, *own)
    for item in value.split(","):
        name, colon, choice = item.rpartition(":")
        if colon and name not in known:
            raise InputError(
                f"{key}={value!r}: {name!r} is no dataset; there are {', '.join(known)}"
            )
        if choice not in choices or (":" in value) != bool(colon):
            raise InputError(
                f"{key}={value!r}: {item!r} is none of {', '.join(choices)}, nor "
                f"DATASET:{choices[-1]}"
            )


def _describe(records: Records, row: int, names: Names) -> dict[str, Any]:
    return {
        "path": str(records.paths[row]),
        "identity": names.identity(int(records.identity[row])),
        "camera": names.camera(int(records.camera[row])),
        "modality": names.modality(int(records.modality[row])),
    }
