"""Evaluation: a snapshot and a protocol in; scores, rankings and prompt maps out."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ckda_jax.data.catalog import DATASETS
from ckda_jax.data.dataset import Dataset
from ckda_jax.data.protocol import Protocol, Trial
from ckda_jax.engine.embed import Embedder
from ckda_jax.engine.state import Snapshot
from ckda_jax.files import write_json
from ckda_jax.retrieval import metrics
from ckda_jax.retrieval.protocols import RULES
from ckda_jax.structs import MODALITIES, InputError, Records, concatenate_records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking:
    """A protocol's queries and gallery with their embeddings.

    Attributes:
        protocol: the protocol.
        query: `[q, d]`, unit embeddings of the query's items.
        gallery: `[g, d]`, of the gallery's.
    """

    protocol: Protocol
    query: Float[np.ndarray, "q d"]
    gallery: Float[np.ndarray, "g d"]

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
        query = self.protocol.items(self.protocol.query).take(trial.query)
        gallery = self.protocol.items(self.protocol.gallery).take(trial.gallery)
        found = metrics.evaluate(
            self.distances(trial),
            query.identity,
            query.camera,
            gallery.identity,
            gallery.camera,
            RULES[self.protocol.rule],
        )
        ranks = {f"rank{r}": found.rank(r) for r in (1, 5, 10, 20)}
        sizes = {"queries": found.valid, "gallery": len(gallery)}
        return {**sizes, "mAP": found.mAP, "mINP": found.mINP, **ranks}

    def distances(self, trial: Trial) -> Float[np.ndarray, "q g"]:
        """Compare each query of a trial with each gallery item: minus the cosine."""
        return -(self.query[trial.query] @ self.gallery[trial.gallery].T)

    def lists(self, queries: int, length: int = 10) -> list[dict[str, Any]]:
        """Write the starts of some evenly spaced queries' rankings, of the first trial.

        Returns:
            JSON values.
        """
        trial = self.protocol.each_trial()[0]
        chosen = np.linspace(0, len(trial.query) - 1, min(queries, len(trial.query)))
        chosen = np.unique(chosen.astype(int))
        few = Trial(trial.query[chosen], trial.gallery)
        query = self.protocol.items(self.protocol.query).take(few.query)
        gallery = self.protocol.items(self.protocol.gallery).take(few.gallery)
        removed = RULES[self.protocol.rule].removal(
            query.identity, query.camera, gallery.identity, gallery.camera
        )
        lists = []
        for row, distances in enumerate(self.distances(few)):
            places = metrics.ranked(distances, removed[row], length)
            shown = [
                {
                    **_describe(gallery, place),
                    "distance": float(distances[place]),
                    "correct": bool(gallery.identity[place] == query.identity[row]),
                }
                for place in places.tolist()
            ]
            lists.append({"query": _describe(query, row), "gallery": shown})
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
        modality: `own`, or `swapped` to feed each image through the other modality's
            prompts, or `DATASET:swapped`, as the released code does for LLCM.
    """

    embedder: Embedder
    modality: str = "own"

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
            yield Ranking(protocol=protocol, query=query, gallery=gallery)

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
            through = len(MODALITIES) - 1 - modality if swapped else modality
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
        name, lists = ranking.protocol.name, ranking.lists(few.count)
        write_json(
            few.folder / f"{dataset.name}.json", {"protocol": name, "queries": lists}
        )
        np.savez_compressed(few.folder / f"{dataset.name}.npz", **maps)

    def prompt_maps(
        self, snapshot: Snapshot, dataset: Dataset, protocol: Protocol, count: int
    ) -> dict[str, np.ndarray]:
        """Compute how strongly each prompt changes each pixel of some images.

        Returns:
            `images [m, n, h, w, 3]` uint8, and the mean absolute prompt over the colour
            channels, `common [m, n, h, w]` and `specific [m, n, h, w]`, each image
            through its own modality.
        """
        records = concatenate_records([protocol.query, protocol.gallery])
        images = np.stack(
            [
                self._few(records, m, dataset.resize_test, count)
                for m in range(len(MODALITIES))
            ]
        )
        out = self.embedder.outputs(snapshot, images)
        return {
            "images": images,
            "common": np.abs(np.asarray(out.common_prompt, np.float32)).mean(-1),
            "specific": np.abs(np.asarray(out.specific_prompt, np.float32)).mean(-1),
        }

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


def check_per_dataset(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value of such an option: no such choice, or no such dataset."""
    for item in value.split(","):
        name, colon, choice = item.rpartition(":")
        if colon and name not in DATASETS:
            raise InputError(
                f"{key}={value!r}: {name!r} is no dataset; there are "
                f"{', '.join(DATASETS)}"
            )
        if choice not in choices or (":" in value) != bool(colon):
            raise InputError(
                f"{key}={value!r}: {item!r} is none of {', '.join(choices)}, nor "
                f"DATASET:{choices[-1]}"
            )


def _describe(records: Records, row: int) -> dict[str, Any]:
    return {
        "path": str(records.paths[row]),
        "identity": int(records.identity[row]),
        "camera": int(records.camera[row]),
        "modality": MODALITIES[records.modality[row]],
    }
