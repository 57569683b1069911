"""Which images make a batch: the same identities in every modality, row by row."""

import dataclasses
import hashlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int, Integer

from ckda_jax.structs import MODALITIES, InputError

ABSENT = -1
"""The row drawn for a modality of which the stage has no image."""

_IDENTITY_STREAM, _IMAGE_STREAM = 0, 1


def steps_per_epoch(modality: Integer[np.ndarray, " n"], rows: int) -> int:
    """Count the batches of an epoch: images of the largest modality // rows + 1.

    Args:
        modality: modality of each training image.
        rows: images of one modality in a batch.

    >>> steps_per_epoch(np.repeat([0, 1], [80, 55]), rows=32)
    3
    """
    return int(np.bincount(modality).max()) // rows + 1


@dataclasses.dataclass(frozen=True, eq=False)
class PairedSampler:
    """Batches of P identities with K images of each in every modality, by index.

    Batch `index` is a function of `(seed, stage, index)` alone, so it makes no
    difference where a run resumes and which process loads it. Its P identities are
    distinct. They come from shuffles of all identities: each shuffle serves
    `identities there are // P` batches, so all are drawn about equally often. No image
    repeats within a batch where the identity has K of them; where it has fewer, none is
    taken again before all were taken.

    Attributes:
        labels: `[n]`, identity of each training image as a row of the classifier.
        modality: `[n]`, modality of each training image.
        identities: P, identities in a batch.
        images: K, images per identity and modality in a batch.
        modalities: names of the m modalities, in the order of the axis.
        steps: batches of the whole stage.
        seed: of the run.
        stage: 0-based position of the stage.

    Raises:
        InputError: fewer identities than P; or an identity without an image in a
            modality which others have.

    >>> labels = np.tile(np.repeat([3, 4, 5], 2), 2)
    >>> modality = np.repeat([0, 1], 6)
    >>> sampler = PairedSampler(labels, modality, identities=2, images=2, steps=10)
    >>> rows = sampler[7]
    >>> rows.shape, bool((labels[rows[0]] == labels[rows[1]]).all())
    ((2, 4), True)
    """

    labels: Integer[np.ndarray, " n"]
    modality: Integer[np.ndarray, " n"]
    _: dataclasses.KW_ONLY
    identities: int
    images: int
    modalities: tuple[str, ...] = MODALITIES
    steps: int
    seed: int = 0
    stage: int = 0
    present: np.ndarray = dataclasses.field(init=False)
    _known: np.ndarray = dataclasses.field(init=False)
    _order: np.ndarray = dataclasses.field(init=False)
    _bounds: np.ndarray = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        known, index = np.unique(self.labels, return_inverse=True)
        counts = np.zeros((len(self.modalities), len(known)), np.int64)
        np.add.at(counts, (self.modality, index), 1)
        present = counts.any(axis=1)
        self._check(known, counts[present], np.flatnonzero(present))
        group = self.modality.astype(np.int64) * len(known) + index
        set_field = object.__setattr__
        set_field(self, "present", present)
        set_field(self, "_known", known)
        set_field(self, "_order", np.argsort(group, kind="stable"))
        set_field(self, "_bounds", np.concatenate([[0], np.cumsum(counts)]))

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> Int[np.ndarray, "m b"]:
        """Draw the rows of batch `index`, `[m, b]` with b = P x K; -1 where absent."""
        if not 0 <= index < self.steps:
            raise IndexError(f"batch {index} of a stage of {self.steps} batches")
        rng = self._generator(_IMAGE_STREAM, index)
        identities = self._draw_identities(index)
        m = len(self.modalities)
        rows = np.full((m, self.identities, self.images), ABSENT)
        for modality in np.flatnonzero(self.present).tolist():
            for slot, identity in enumerate(identities.tolist()):
                rows[modality, slot] = self._draw_images(rng, modality, identity)
        return rows.reshape(m, -1)

    def __iter__(self) -> Iterator[Int[np.ndarray, "m b"]]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        digest = hashlib.blake2b(digest_size=8)
        digest.update(np.asarray(self.labels, "<i8").tobytes())
        digest.update(np.asarray(self.modality, "<i8").tobytes())
        return (
            f"PairedSampler(images={len(self.labels)}, digest={digest.hexdigest()}, "
            f"batch={len(self.modalities)}x{self.identities}x{self.images}, "
            f"steps={self.steps}, seed={self.seed}, stage={self.stage})"
        )

    def _check(
        self, known: np.ndarray, counts: np.ndarray, present: np.ndarray
    ) -> None:
        if len(known) < self.identities:
            raise InputError(
                f"{len(known)} identities cannot fill batches of {self.identities}; "
                "lower config.train.identities or add identities"
            )
        if not counts.all():
            missing, column = np.argwhere(counts == 0)[0]
            name = self.modalities[present[missing]]
            raise InputError(
                f"identity {known[column]} (classifier row) has no {name} image though "
                f"others do ({int((counts == 0).sum())} such gaps); "
                "take it out of the training split or add images"
            )

    def _generator(self, stream: int, index: int) -> np.random.Generator:
        entropy = (self.seed, self.stage, stream, index)
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))

    def _draw_identities(self, index: int) -> np.ndarray:
        per_shuffle = len(self._known) // self.identities
        shuffle, place = divmod(index, per_shuffle)
        order = self._generator(_IDENTITY_STREAM, shuffle).permutation(len(self._known))
        return order[place * self.identities :][: self.identities]

    def _draw_images(
        self, rng: np.random.Generator, modality: int, identity: int
    ) -> np.ndarray:
        group = modality * len(self._known) + identity
        pool = self._order[self._bounds[group] : self._bounds[group + 1]]
        rounds = -(-self.images // len(pool))
        order = np.concatenate([rng.permutation(pool) for _ in range(rounds)])
        return order[: self.images]
