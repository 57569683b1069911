"""Evaluation: a snapshot and a protocol in; scores, rankings and prompt maps out."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ckda_jax.data.catalog import DATASETS
from ckda_jax.data.dataset import Dataset
from ckda_jax.data.protocol import Protocol
from ckda_jax.engine.embed import Embedder
from ckda_jax.engine.ranking import Ranking
from ckda_jax.engine.state import Snapshot
from ckda_jax.files import write_json
from ckda_jax.structs import InputError, Records, concatenate_records


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

    Raises:
        InputError: several processes are to re-rank.
    """

    embedder: Embedder
    modality: str = "own"
    rerank_bytes: int = 0

    def __post_init__(self) -> None:
        count = self.embedder.cluster.peers.count
        if self.rerank_bytes and count > 1:
            raise InputError(
                f"re-ranking puts a whole gallery into one process, but there are "
                f"{count}; evaluate in one process, or without re-ranking"
            )

    def rank(self, snapshot: Snapshot, dataset: Dataset, protocol: Protocol) -> Ranking:
        """Embed a protocol's images."""
        (ranking,) = self.rankings(snapshot, dataset, [protocol])
        return ranking

    def rankings(
        self, snapshot: Snapshot, dataset: Dataset, protocols: Iterable[Protocol]
    ) -> Iterator[Ranking]:
        """Embed the images of a dataset's protocols one by one, each image once.

        Among several processes each embeds and keeps its part of the items.
        """
        peers = self.embedder.cluster.peers
        known: dict[str, np.ndarray] = {}
        for protocol in protocols:
            sides = []
            for records in (protocol.query, protocol.gallery):
                items = peers.part(len(protocol.items(records)))
                images = protocol.images(records, items)
                own = records.take(np.arange(images.start, images.stop))
                features = self._features(snapshot, dataset, own, known)
                sides.append(protocol.pool(own, features))
            yield Ranking(
                protocol=protocol,
                query=sides[0],
                gallery=sides[1],
                rerank_bytes=self.rerank_bytes,
                peers=peers,
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
        # All modalities, as another process may have images of those missing here.
        for modality in self.embedder.learner.modality:
            own = records.take(unknown & (records.modality == modality))
            through = 1 - modality if swapped else modality
            found = self.embedder.table(snapshot, own, dataset.resize_test, through)
            known.update(zip(own.paths.tolist(), found, strict=True))
        found = [known[path] for path in records.paths.tolist()]
        return np.stack(found) if found else np.zeros((0, self.embedder.width), "f4")

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
        name, lists = ranking.protocol.name, ranking.lists(few.count, dataset.names)
        if not self.embedder.cluster.is_main:
            return
        few.folder.mkdir(exist_ok=True)
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
