"""The search: a gallery opened, and the images of it most like some others."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from ckda_jax.retrieval.gallery import approximate, blocks, exact
from ckda_jax.retrieval.gallery import index as index_lib
from ckda_jax.retrieval.gallery.blocks import Entry
from ckda_jax.retrieval.gallery.index import BLOCKS, Embeds, Index
from ckda_jax.structs import InputError

BACKENDS = {"exact": exact.Searcher, "faiss": approximate.Searcher}
"""Ways to find the nearest rows, by name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """One image that a search found.

    Attributes:
        rank: its place, from 1.
        path: of the image.
        identity: who it shows, None where that is unknown.
        camera: which camera took it, None where that is unknown.
        modality: of the image.
        similarity: cosine between the embeddings.
    """

    rank: int
    path: str
    identity: str | None
    camera: str | None
    modality: str
    similarity: float


class Gallery:
    """An open gallery; what is added to the directory or removed later, it ignores.

    Vectors stay on disk, mapped into memory; the table of what they are is in memory.

    Attributes:
        folder: the directory.
        index: what it held when it was opened.
        vectors: of each block, `[n, d]`.
        tables: of each block, with the columns of `Entry`.
    """

    def __init__(self, folder: Path, index: Index) -> None:
        place = folder / BLOCKS
        self.folder, self.index = folder, index
        self.vectors: list[Float[np.ndarray, "_ d"]] = []
        self.tables: list[pa.Table] = []
        for block in index.blocks:
            self.tables.append(blocks.table(place, block))
            self.vectors.append(
                blocks.vectors(place, block, width=index.width, dtype=index.dtype)
            )
        self._starts = np.cumsum([0, *map(len, self.vectors)])
        self._searchers: dict[str, Any] = {}

    def __len__(self) -> int:
        """Count the embeddings."""
        return int(self._starts[-1])

    def __iter__(self) -> Iterator[Entry]:
        """Go through everything in the gallery, in order."""
        for table in self.tables:
            yield from blocks.entries(table)

    @property
    def knows_cameras(self) -> bool:
        """Whether the camera of any image is known."""
        columns = [table.column("camera") for table in self.tables]
        return any(column.null_count < len(column) for column in columns)

    def entry(self, row: int) -> Entry:
        """Say what a row of the gallery is."""
        block = int(np.searchsorted(self._starts, row, side="right")) - 1
        place = row - int(self._starts[block])
        return blocks.entries(self.tables[block].slice(place, 1))[0]

    def search(
        self,
        vectors: Float[np.ndarray, "q d"],
        top: int = 10,
        *,
        not_cameras: Sequence[str | None] | None = None,
        backend: str = "exact",
    ) -> list[list[Answer]]:
        """Find what is most similar to each of some embeddings, best first.

        Args:
            vectors: `[q, d]`, unit embeddings by the model that made the gallery.
            top: answers wanted for each; fewer come where there are fewer.
            not_cameras: for each query, the camera whose images are no answers to it,
                None for no such camera.
            backend: `exact` compares with everything, equally similar images in
                gallery order; `faiss` finds nearly the same in less time, after making
                an index of the whole gallery in memory at the first search.

        Raises:
            InputError: embeddings of another width, or that are not finite; an unknown
                backend, or one that is not installed.
        """
        if backend not in BACKENDS:
            raise InputError(
                f"no backend {backend!r}; choose one of {', '.join(BACKENDS)}"
            )
        if vectors.shape[1] != self.index.width:
            raise InputError(
                f"queries of width {vectors.shape[1]} do not compare with "
                f"{self.folder} of width {self.index.width}; embed them with the model "
                "that made it"
            )
        if backend not in self._searchers:
            self._searchers[backend] = BACKENDS[backend](self.vectors)
        found = []
        for camera, rows in _groups(len(vectors), not_cameras):
            kept = None if camera is None else self._without_camera(camera)
            answers = self._searchers[backend](vectors[rows], top, kept)
            found += zip(rows.tolist(), *answers, strict=True)
        found.sort(key=lambda one: one[0])
        return [self._answers(rows, scores) for _, rows, scores in found]

    def _answers(
        self, rows: Int[np.ndarray, " n"], similarities: Float[np.ndarray, " n"]
    ) -> list[Answer]:
        ranked = zip(rows.tolist(), similarities.tolist(), strict=True)
        answers = []
        for rank, (row, similarity) in enumerate(ranked, start=1):
            entry = self.entry(row)
            answers.append(
                Answer(
                    rank=rank,
                    path=entry.path,
                    identity=entry.identity,
                    camera=entry.camera,
                    modality=entry.modality,
                    similarity=similarity,
                )
            )
        return answers

    def _without_camera(self, camera: str) -> list[np.ndarray]:
        """Mark the rows of each block that another camera took, or an unknown one."""
        return [
            np.array([name != camera for name in table.column("camera").to_pylist()])
            for table in self.tables
        ]


def open_gallery(
    path: str | Path, *, model: Embeds | None = None, verify: bool = False
) -> Gallery:
    """Open a gallery to search it.

    Sizes and headers of all files are checked.

    Args:
        path: the directory.
        model: that embeds the queries, to refuse a gallery of another one.
        verify: also compare the digest of every file, which reads them all.

    Raises:
        InputError: no gallery, one that is damaged or of another model; the message
            says how to rebuild it.

    >>> import tempfile
    >>> from ckda_jax.retrieval.gallery import Entry, Maker, Writer, open_gallery
    >>> def image(path, identity):
    ...     facts = {"camera": "3", "modality": "visible", "digest": ""}
    ...     return Entry(path=path, identity=identity, **facts)
    >>> images = [image("/a.png", "7"), image("/b.png", "7"), image("/c.png", "9")]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made_by = Maker(digest="5e1f", workdir="runs/site", stage=1)
    ...     writer = Writer.start(folder, made_by, width=2)
    ...     vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    ...     writer.add(vectors, images)
    ...     gallery = open_gallery(folder, model=made_by)
    ...     (answers,) = gallery.search(np.array([[0, 1]], np.float32), top=2)
    0
    >>> [(answer.rank, answer.path, answer.similarity) for answer in answers]
    [(1, '/c.png', 1.0), (2, '/b.png', 0.800000011920929)]
    """
    folder = Path(path)
    while True:
        index = index_lib.read(folder)
        if model is not None and index.model.digest != model.digest:
            raise InputError(index_lib.other_model(folder, index, model))
        try:
            with index_lib.with_remedy(folder, index.model):
                if verify:
                    for block in index.blocks:
                        blocks.verify(folder / BLOCKS, block)
                return Gallery(folder, index)
        except InputError:
            # A writer may have replaced blocks since the index was read.
            if index_lib.read(folder) == index:
                raise


def _groups(
    count: int, cameras: Sequence[str | None] | None
) -> Iterator[tuple[str | None, Int[np.ndarray, " n"]]]:
    """Group queries by the camera whose images are no answers to them."""
    if cameras is None:
        yield None, np.arange(count)
        return
    named = np.array(cameras, dtype=object)
    for camera in dict.fromkeys(cameras):
        yield camera, np.flatnonzero(named == camera)
