"""How an evaluation runs: in how much memory, on which hardware."""

import dataclasses
import os
from collections.abc import Callable, Iterator

import jax
import numpy as np

from ckda_jax.retrieval.distances import Cosine, Distances
from ckda_jax.structs import InputError

BUDGET = 512 * 2**20  # bytes
PAIR_BYTES = 4  # a distance
DEVICE_PAIR_BYTES = 24  # the same, its marks and comparisons on a device
HIT_BYTES = 64  # per right image of a query: its row, its rank and copies of them
WORKER_BYTES = 72  # per gallery image and thread: removal marks, sorted distances


def alone(scores: np.ndarray) -> np.ndarray:
    """Leave the scores of a process that ranks all queries as they are."""
    return scores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """The queries that this process ranks, and how all of them are scored together.

    Attributes:
        own: slice of the queries; None: all of them.
        longest: queries of the process that ranks most.
        join: puts the processes' arrays one after another, in the queries' order.
    """

    own: slice | None = None
    longest: int = 0
    join: Callable[[np.ndarray], np.ndarray] = alone

    def slices(self, queries: int, step: int) -> Iterator[slice]:
        """Cut this process's queries into as many slices as any other's, even empty."""
        own = self.own or slice(0, queries)
        for start in range(0, max(self.longest or queries, 1), step):
            first = min(own.start + start, own.stop)
            yield slice(first, min(first + step, own.stop))


ALL = Part()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How an evaluation runs; its result does not depend on it.

    Attributes:
        budget: bytes for the block of distances at work and for ranking it. Not
            counted: embeddings, the result, and on a device a copy of the gallery.
        device: whether to rank on JAX's device, in float32; None: where that is no CPU
            and the distances are to be made of embeddings.
        workers: threads that rank on the CPU; fewer where the budget is small.
        part: the queries that this process ranks.
    """

    budget: int = BUDGET
    device: bool | None = None
    workers: int = os.cpu_count() or 1
    part: Part = ALL

    def on_device(self, distances: Distances) -> bool:
        """Whether to rank some distances on JAX's device."""
        if self.device is not None:
            return self.device
        return isinstance(distances, Cosine) and jax.default_backend() != "cpu"

    def divide(self, gallery: int, most: int, *, on_device: bool) -> tuple[int, int]:
        """Divide the budget into queries at a time, at least 1, and threads.

        Args:
            gallery: images of the gallery.
            most: right images of a query at most.
            on_device: whether it is the device's memory.

        Raises:
            InputError: it does not hold one query.
        """
        query = HIT_BYTES * most
        query += (DEVICE_PAIR_BYTES if on_device else PAIR_BYTES) * gallery
        worker = 0 if on_device else WORKER_BYTES * gallery
        if self.budget < query + worker:
            raise InputError(
                f"a budget of {self.budget} bytes does not hold one query's"
                f" {gallery} distances; give at least {query + worker}"
            )
        half = self.budget // 2
        workers = max(1, min(self.workers, half // worker)) if worker else 1
        return (self.budget - workers * worker) // max(query, 1) or 1, workers
