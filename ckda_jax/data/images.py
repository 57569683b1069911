"""The images of a table by row: read when asked, and what is done about bad ones."""

import contextlib
import dataclasses
import os
from collections.abc import Callable

import grain
import numpy as np
from jaxtyping import Int, Integer, UInt8

from ckda_jax.data import prepared
from ckda_jax.data.decode import MOST_REPLACED, find_unusable, read_image
from ckda_jax.structs import InputError, Records

BAD_IMAGES = ("error", "skip")
"""What may be done about an image that cannot be used: stop, or show another one."""

_UNREAD = -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loading:
    """How images are read; only `size`, `chain` and, if any is bad, `bad_images` count.

    Attributes:
        size: height and width in pixels.
        chain: name in `decode.CHAINS`.
        threads: threads that decode; 0 decodes when asked.
        workers: processes that decode, each with its own threads; 0: none.
        prefetch: batches decoded ahead, per process.
        cache_bytes: memory for decoded images, over all processes; 0: none.
        bad_images: one of `BAD_IMAGES`, for training images.
    """

    size: tuple[int, int]
    chain: str = "lanczos"
    threads: int = 4
    workers: int = 0
    prefetch: int = 4
    cache_bytes: int = 0
    bad_images: str = "error"

    def read_options(self) -> grain.ReadOptions:
        """Return the thread settings in Grain's terms."""
        ahead = max(self.prefetch, self.threads) if self.threads else 0
        return grain.ReadOptions(num_threads=self.threads, prefetch_buffer_size=ahead)


@dataclasses.dataclass(frozen=True, eq=False)
class Substitutes:
    """The rows that may be shown in place of a bad one: same identity, same modality.

    Attributes:
        labels: `[n]`, identity of each row.
        modality: `[n]`, modality of each row.

    >>> twins = Substitutes(np.array([7, 8, 7, 7]), np.zeros(4, int))
    >>> twins[2]
    array([3, 0])
    """

    labels: Integer[np.ndarray, " n"]
    modality: Integer[np.ndarray, " n"]

    def __getitem__(self, row: int) -> Int[np.ndarray, " k"]:
        """List them in table order from `row` on, and then from the start."""
        same_identity = self.labels == self.labels[row]
        rows = np.flatnonzero(same_identity & (self.modality == self.modality[row]))
        return np.roll(rows, -np.searchsorted(rows, row))[1:]

    def put(
        self, rows: Integer[np.ndarray, " r"], table: Records, threads: int = 1
    ) -> Int[np.ndarray, " r"]:
        """Put the substitutes in place of rows whose images cannot be used.

        Args:
            rows: of the table; every image is decoded.
            table: of images.
            threads: threads that decode.

        Raises:
            InputError: a bad image without a substitute.
        """
        bad = find_unusable(table.take(rows), threads=threads)
        return np.array(
            [
                self._put(row, table) if table.paths[row] in bad else row
                for row in rows.tolist()
            ],
            dtype=np.int64,
        )

    def _put(self, row: int, table: Records) -> int:
        for other in self[row].tolist():
            if not find_unusable(table.take(np.array([other]))):
                return other
        raise no_substitute(table.paths[row])


def no_substitute(path: str) -> InputError:
    """Make the error that names an image which nothing can stand in for."""
    return InputError(
        f"{path} cannot be used, nor can any other image of its identity in its "
        "modality; repair them or take the identity out"
    )


class ImageTable:
    """The images of a table by row, decoded when asked; the first rows stay in memory.

    Rows up to the budget are kept for good: batches visit all rows about equally often,
    so evicting one for another would gain nothing. Each process fills its own memory.

    Args:
        paths: of the images: files, or what stands for one in a prepared root.
        loading: size, resize chain and cache.
        substitutes: what is shown in place of images that cannot be used; None: they
            are errors.

    Raises:
        InputError: a prepared root without these images in this size and chain.
    """

    def __init__(
        self,
        paths: np.ndarray,
        loading: Loading,
        substitutes: Substitutes | None = None,
    ) -> None:
        self._paths = paths
        self._loading = loading
        self._substitutes = substitutes
        self._prepared = _open_prepared(paths.tolist(), loading)
        self.size = height, width = loading.size
        budget = loading.cache_bytes // max(loading.workers, 1)
        kept = min(budget // (height * width * 3), len(paths))
        self._images = np.empty((kept, height, width, 3), np.uint8)
        self._shown = np.full(kept, _UNREAD)

    def __getitem__(self, row: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return image `row`, or a substitute. Errors as of `show`."""
        return self.show(row)[0]

    def show(self, row: int) -> tuple[UInt8[np.ndarray, "h w 3"], int]:
        """Return image `row`, or a substitute, and the row that it really is of.

        Which substitute depends on the files alone: the first in table order after
        `row` that can be used.

        Raises:
            InputError: the image cannot be used, and no other may take its place.
        """
        kept = row < len(self._shown)
        if kept and self._shown[row] != _UNREAD:
            return self._images[row], int(self._shown[row])
        image, shown = self._find(row)
        if kept:
            # The mark comes second: another thread must not see a half-written image.
            self._images[row] = image
            self._shown[row] = shown
        return image, shown

    def __reduce__(self) -> tuple[type, tuple]:
        return ImageTable, (self._paths, self._loading, self._substitutes)

    def _find(self, row: int) -> tuple[UInt8[np.ndarray, "h w 3"], int]:
        if self._substitutes is None:
            return self._read(row), row
        for candidate in (row, *self._substitutes[row].tolist()):
            with contextlib.suppress(InputError):
                return self._read(candidate), candidate
        raise no_substitute(self._paths[row])

    def _read(self, row: int) -> UInt8[np.ndarray, "h w 3"]:
        path, loading = self._paths[row], self._loading
        root = self._prepared[row]
        if root is not None:
            return root.image(path, loading.chain)
        try:
            strict = self._substitutes is not None
            return read_image(path, loading.size, loading.chain, strict=strict)
        except InputError:
            if os.path.lexists(path):
                raise
        raise InputError(
            f"{path}: was there when the images were listed and is gone now; restore it"
        )


class Replacements:
    """Counts the images of a table that others took the place of.

    Args:
        paths: of the images.
        note: is told of each such image once, in a line that names it.
    """

    def __init__(
        self, paths: np.ndarray, note: Callable[[str], None] | None = None
    ) -> None:
        self._paths = paths
        self._note = note
        self._known: set[int] = set()

    def __len__(self) -> int:
        """Count the images replaced so far."""
        return len(self._known)

    def count(
        self, asked: Integer[np.ndarray, "*b"], shown: Integer[np.ndarray, "*b"]
    ) -> None:
        """Count the rows of a batch that were not shown themselves.

        Raises:
            InputError: more than `MOST_REPLACED` of the table.
        """
        for row, other in zip(
            asked[asked != shown].tolist(), shown[asked != shown].tolist(), strict=True
        ):
            if row in self._known:
                continue
            self._known.add(row)
            said = f"{self._paths[row]} cannot be used"
            counted = f"{len(self)} of {len(self._paths)} images so far"
            if len(self) > MOST_REPLACED * len(self._paths):
                raise InputError(
                    f"{said}: {counted}, more than {MOST_REPLACED:.0%}, which "
                    "config.data.bad_images=skip replaces; repair the dataset"
                )
            if self._note is not None:
                self._note(f"{said}; {self._paths[other]} takes its place ({counted})")


def _open_prepared(
    paths: list[str], loading: Loading
) -> "list[prepared.Prepared | None]":
    """Open the prepared root of every path, None for files, and check what it holds."""
    roots = prepared.group(paths)
    for root in dict.fromkeys(roots):
        if root is not None:
            own = [p for p, r in zip(paths, roots, strict=True) if r is root]
            root.require(own, loading.size, loading.chain)
    return roots
