"""The processes of a run as peers: each holds some rows of what is too large for one.

All processes must make the same calls in the same order, with arrays of the same number
of axes. Nothing is exchanged but blocks of a fixed size and a few numbers for a query;
where there is one process, nothing at all.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float, Int

BLOCK = 2**14
"""Rows of a matrix that processes exchange at a time: 48 MiB of ViT-B's embeddings."""


@dataclasses.dataclass(frozen=True)
class Peers:
    """Processes that hold contiguous parts of whatever is listed.

    Attributes:
        index: of this process.
        count: of processes.
        block: rows exchanged at a time, at most; a power of two.
    """

    index: int = 0
    count: int = 1
    block: int = BLOCK

    def part(self, length: int) -> slice:
        """Return this process's part of a list of so many."""
        share = self.longest(length)
        start = min(self.index * share, length)
        return slice(start, min(start + share, length))

    def longest(self, length: int) -> int:
        """Return how many of so many the first process has, and no other more."""
        return -(-length // self.count)

    def most(self, number: int) -> int:
        """Return the largest of the processes' numbers."""
        if self.count == 1:
            return number
        return int(multihost_utils.process_allgather(np.int32(number)).max())

    def join(self, array: np.ndarray) -> np.ndarray:
        """Put the processes' arrays one after another, bit for bit, in all of them."""
        if self.count == 1:
            return array
        lengths = multihost_utils.process_allgather(np.int32(len(array)))
        if not lengths.any():
            return array
        room = np.zeros((int(lengths.max()), *array.shape[1:]), array.dtype)
        room[: len(array)] = array
        # As bytes: JAX would make float32 of float64.
        flat = np.frombuffer(room.tobytes(), np.uint8)
        found = np.asarray(multihost_utils.process_allgather(flat))
        rooms = np.frombuffer(found.tobytes(), array.dtype).reshape(-1, *room.shape)
        return np.concatenate([r[:n] for r, n in zip(rooms, lengths, strict=True)])

    def blocks(
        self,
        own: Float[np.ndarray, "r d"],
        length: int,
        places: Int[np.ndarray, " n"],
    ) -> Iterator[tuple[slice, Float[np.ndarray, "b d"]]]:
        """Walk rows of a matrix that the processes hold together.

        Args:
            own: this process's part of the matrix.
            length: rows of the whole matrix.
            places: rows wanted, the same in all processes.

        Yields:
            A slice of `places`, and these rows.
        """
        part = self.part(length)
        # A power of two, so that few sizes are compiled.
        size = min(self.block, 1 << max(len(places) - 1, 0).bit_length())
        for start in range(0, len(places), size):
            wanted = places[start : start + size]
            mine = (wanted >= part.start) & (wanted < part.stop)
            # Zeros where another process has the row: the sum is exact.
            room = np.zeros((size, *own.shape[1:]), own.dtype)
            room[: len(wanted)][mine] = own[wanted[mine] - part.start]
            yield slice(start, start + len(wanted)), self._sum(room)[: len(wanted)]

    def take(
        self,
        own: Float[np.ndarray, "r d"],
        length: int,
        places: Int[np.ndarray, " n"],
        kept: slice | None = None,
    ) -> Float[np.ndarray, "k d"]:
        """Fetch rows of such a matrix.

        Args:
            own: this process's part of the matrix.
            length: rows of the whole matrix.
            places: rows that some process wants, the same in all of them.
            kept: which of these this process keeps; None: all.
        """
        start, stop, _ = (kept or slice(None)).indices(len(places))
        found = np.zeros((stop - start, *own.shape[1:]), own.dtype)
        for where, block in self.blocks(own, length, places):
            first, last = max(where.start, start), min(where.stop, stop)
            if first < last:
                some = block[first - where.start : last - where.start]
                found[first - start : last - start] = some
        return found

    def _sum(self, array: np.ndarray) -> np.ndarray:
        """Add up the processes' arrays, all of one shape."""
        if self.count == 1:
            return array
        apart, add = _adder(self.count)
        given = jax.make_array_from_process_local_data(apart, array[None])
        return np.asarray(add(given))


ALONE = Peers()
"""The one process of a run that has no other."""


@functools.cache
def _adder(count: int) -> Any:
    """Compile the sum over processes, on one device of each."""
    firsts = {device.process_index: device for device in reversed(jax.devices())}
    devices = np.array([firsts[process] for process in range(count)])
    mesh = Mesh(devices, ("process",), axis_types=(AxisType.Auto,))
    apart = NamedSharding(mesh, PartitionSpec("process"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    return apart, jax.jit(lambda x: x.sum(0), out_shardings=everywhere)
