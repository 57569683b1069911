"""Streams of decoded images: training batches that can resume, and images in order."""

import contextlib
import dataclasses
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

import grain
import numpy as np
from absl import flags
from jaxtyping import UInt8

from ckda_jax.data import workers
from ckda_jax.data.images import ImageTable, Loading, Replacements, Substitutes
from ckda_jax.data.sampling import ABSENT, PairedSampler
from ckda_jax.structs import Batch, InputError, Records


class TrainingStream:
    """The training batches of one stage, as `structs.Batch` of NumPy arrays.

    An iterator whose position is one number: `get_state` is small and goes into JSON,
    and `set_state` starts at any step without reading what lies before. Use as a
    context manager, or call `close`, so that worker processes end.

    Attributes:
        replacements: counts the images that others took the place of.

    Args:
        records: the stage's training images; the sampler's rows point into it.
        sampler: which rows make each batch.
        loading: size, resize chain, threads, processes and cache.
        shard: index of this process and number of processes; each loads its
            contiguous share of the b rows of every batch.
        note: is told in a line of each image that another one takes the place of.

    Raises:
        InputError: a batch that the processes cannot share evenly; while iterating, an
            image that cannot be read, or too many of them where they are replaced.
        ChildProcessError: while iterating, a worker process ended of itself.
    """

    def __init__(
        self,
        records: Records,
        sampler: PairedSampler,
        loading: Loading,
        *,
        shard: tuple[int, int] = (0, 1),
        note: Callable[[str], None] | None = None,
    ) -> None:
        if len(records) != len(sampler.labels):
            raise ValueError(
                f"{len(records)} records, but the sampler draws from "
                f"{len(sampler.labels)}; build both from the same table"
            )
        self._loading, self._records, self._sampler = loading, records, sampler
        source = _Source(sampler=sampler, labels=sampler.labels, shard=shard)
        skips = loading.bad_images == "skip"
        substitutes = Substitutes(sampler.labels, records.modality) if skips else None
        images = ImageTable(records.paths, loading, substitutes)
        self.replacements = Replacements(records.paths, note)
        self._batches = grain.MapDataset.source(source).map(_Assemble(images))
        self._length = len(sampler)
        self._identity = f"{sampler!r} {_digest(records)}"
        self._start(0)

    def __len__(self) -> int:
        """Count the batches of the stage."""
        return self._length

    def __iter__(self) -> "TrainingStream":
        return self

    def __next__(self) -> Batch:
        with _one_line_errors():
            arrays = next(self._iterator)
        self.replacements.count(arrays["example"], arrays.pop("shown"))
        self._step += 1
        return Batch(**arrays)

    def files(self, step: int) -> list[str]:
        """List the images of the batch of a step, counted from 0, of all processes.

        Those that the sampler drew: where images may be replaced, not what took the
        place of a bad one.
        """
        rows = self._sampler[step].reshape(-1)
        return self._records.paths[rows[rows != ABSENT]].tolist()

    def get_state(self) -> dict[str, Any]:
        """Return the position: the next step, and what batches are drawn from."""
        return {"step": self._step, "drawn_from": self._identity}

    def set_state(self, state: dict[str, Any], *, of_other_data: bool = False) -> None:
        """Continue where `get_state` was called.

        Args:
            state: what it returned.
            of_other_data: accept the state of other images, labels or batch settings:
                the batches from there on are those of this stream.

        Raises:
            InputError: the state belongs to other images, labels or batch settings.
        """
        if state["drawn_from"] != self._identity and not of_other_data:
            raise InputError(
                "the training images, labels or batch settings changed since the "
                f"checkpoint: it was drawn from {state['drawn_from']}, now "
                f"{self._identity}; restore them or start in a new workdir"
            )
        self.close()
        self._start(state["step"])

    def close(self) -> None:
        """End the threads and processes that read ahead."""
        self._iterator.close()

    def __enter__(self) -> "TrainingStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, step: int) -> None:
        self._step = step
        stream = self._batches[step:].to_iter_dataset(self._loading.read_options())
        if self._loading.workers:
            self._iterator = workers.Reader(iter(_in_processes(stream, self._loading)))
        else:
            self._iterator = iter(stream)


def images_of(
    records: Records, size: tuple[int, int], chain: str, batch: int, threads: int
) -> Iterator[tuple[UInt8[np.ndarray, "batch h w 3"], int]]:
    """Read the images of a table in order, in batches of one shape.

    Args:
        records: images in the order wanted; may be empty.
        size: height and width in pixels.
        chain: name in `decode.CHAINS`.
        batch: images in a batch.
        threads: threads that decode ahead; 0 decodes when asked.

    Yields:
        uint8 images `[batch, h, w, 3]` and how many of them are real: the last batch
        is filled with zeros.

    Raises:
        InputError: an image that cannot be read.
    """
    loading = Loading(size=size, chain=chain, threads=threads)
    images = ImageTable(records.paths, loading)
    reader = _Consecutive(images=images, count=len(records), batch=batch)
    starts = grain.MapDataset.range(0, len(records), batch).map(reader)
    iterator = iter(starts.to_iter_dataset(loading.read_options()))
    try:
        while True:
            with _one_line_errors():
                element = next(iterator, None)
            if element is None:
                return
            yield element
    finally:
        iterator.close()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Source:
    """Batches as rows and labels, before any image is read."""

    sampler: PairedSampler
    labels: np.ndarray
    shard: tuple[int, int]

    def __post_init__(self) -> None:
        index, count = self.shard
        rows = self.sampler.identities * self.sampler.images
        if rows % count or not 0 <= index < count:
            raise InputError(
                f"{rows} rows of a batch cannot be shared by {count} processes; "
                "make train.identities x train.images a multiple of their number"
            )

    def __len__(self) -> int:
        return len(self.sampler)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        share, shares = self.shard
        rows = np.split(self.sampler[index], shares, axis=1)[share]
        # An absent modality carries the labels of the others: rows share the identity.
        any_row = rows.max(axis=0)
        return {
            "example": rows.astype(np.int32),
            "labels": np.where(rows == ABSENT, self.labels[any_row], self.labels[rows]),
            "present": self.sampler.present,
        }


@dataclasses.dataclass(frozen=True)
class _Assemble(grain.transforms.Map):
    """Rows to a training batch: one array for all images, filled row by row."""

    images: ImageTable

    def map(self, element: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = element["example"]
        height, width = self.images.size
        images = np.zeros((*rows.shape, height, width, 3), np.uint8)
        shown = rows.copy()
        for place in map(tuple, np.argwhere(rows != ABSENT)):
            images[place], shown[place] = self.images.show(int(rows[place]))
        labels = element["labels"].astype(np.int32)
        return {**element, "labels": labels, "images": images, "shown": shown}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Consecutive(grain.transforms.Map):
    """First row to the images from there on, with their number."""

    images: ImageTable
    count: int
    batch: int

    def map(self, element: int) -> tuple[np.ndarray, int]:
        rows = range(element, min(element + self.batch, self.count))
        filled = np.zeros((self.batch, *self.images.size, 3), np.uint8)
        for place, row in enumerate(rows):
            filled[place] = self.images[row]
        return filled, len(rows)


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    """Raise an InputError from Grain's threads and processes without their trace."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error)) from None


def _in_processes(stream: grain.IterDataset, loading: Loading) -> grain.IterDataset:
    """Let worker processes read ahead; the order of the batches stays the same."""
    if not flags.FLAGS.is_parsed():
        # Grain reads absl flags here, which only programs run by absl parse.
        flags.FLAGS.mark_as_parsed()
    # Batches pass through a pipe: shared memory is small in containers (64 MB), and
    # Grain leaves segments behind when a stream is closed early.
    by_pipe = grain.experimental.DatasetOptions(min_shm_size=sys.maxsize)
    options = grain.MultiprocessingOptions(
        num_workers=loading.workers, per_worker_buffer_size=max(loading.prefetch, 1)
    )
    return grain.experimental.WithOptionsIterDataset(stream, by_pipe).mp_prefetch(
        options, worker_init_fn=workers.start
    )


def _digest(records: Records) -> str:
    """Digest a table's files by folder and name, whatever root they lie under."""
    digest = hashlib.blake2b(digest_size=8)
    for path in records.paths:
        digest.update("/".join(PurePath(path).parts[-2:]).encode() + b"\0")
    return digest.hexdigest()
