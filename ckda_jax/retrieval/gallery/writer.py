"""Adding to a gallery and removing from it; a crash at any moment harms nothing.

A change writes new blocks first, then `gallery.json` in one atomic step, then deletes
what that no longer names. A process killed in between leaves files that the next writer
takes away.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ckda_jax.locks import locked
from ckda_jax.retrieval.gallery import blocks
from ckda_jax.retrieval.gallery import index as index_lib
from ckda_jax.retrieval.gallery.blocks import Block, Entry
from ckda_jax.retrieval.gallery.index import BLOCKS, INDEX, Index, Maker
from ckda_jax.structs import InputError

LOCK = ".lock"

FULL = 8192
"""Vectors of a block at most where it grows by small additions."""


class Writer:
    """Changes a gallery; several writers take turns, a change at a time.

    Args:
        folder: directory of the gallery.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._paths: dict[str, frozenset[str]] = {}

    @classmethod
    def start(
        cls, folder: str | Path, model: Maker, *, width: int, dtype: str | None = None
    ) -> "Writer":
        """Make an empty gallery, or go on with one of the same model.

        Args:
            folder: the directory, made when absent.
            model: that makes the embeddings.
            width: of an embedding.
            dtype: what they are kept as; None: as in the gallery, float32 in a new one.

        Raises:
            InputError: the directory holds other things, or a gallery of another model
                or type.
        """
        writer = cls(folder)
        _check_place(writer.folder)
        writer.folder.mkdir(parents=True, exist_ok=True)
        with locked(writer.folder / LOCK):
            if not (writer.folder / INDEX).exists():
                dtype = dtype or next(iter(blocks.DTYPES))
                made = Index(model=model, width=width, dtype=dtype)
                index_lib.write(writer.folder, made)
        index = index_lib.read(writer.folder)
        if index.model.digest != model.digest:
            raise InputError(index_lib.other_model(writer.folder, index, model))
        if dtype not in (None, index.dtype):
            raise InputError(
                f"{folder} keeps its embeddings as {index.dtype}, not as {dtype}; "
                "leave the option out, or give another directory"
            )
        return writer

    def add(self, vectors: Float[np.ndarray, "n d"], entries: Sequence[Entry]) -> int:
        """Add embeddings; those of the same paths that are there already are replaced.

        When this returns, they are safely on disk.

        Args:
            vectors: `[n, d]` embeddings.
            entries: what they are; paths must be distinct.

        Returns:
            How many were replaced.

        Raises:
            InputError: embeddings that are not finite or of another width, a path
                twice, or a gallery that is damaged.
        """
        new = frozenset(entry.path for entry in entries)
        if len(new) < len(entries):
            raise InputError("the same path is added twice at once; name each once")
        if not np.isfinite(vectors).all():
            raise InputError(
                "an embedding is not finite, the model is broken; use another stage"
            )
        with self._change() as index:
            if vectors.shape != (len(entries), index.width):
                raise InputError(
                    f"embeddings of shape {vectors.shape} for {len(entries)} images do "
                    f"not fit a gallery of width {index.width}"
                )
            before = sum(block.rows for block in index.blocks)
            index = self._without(index, new, lambda entry: entry.path in new)
            replaced = before - sum(block.rows for block in index.blocks)
            if len(entries):
                index = self._append(index, vectors, list(entries))
            self._publish(index)
        return replaced

    def remove(self, gone: Callable[[Entry], bool]) -> int:
        """Remove the entries that a function picks, their vectors from disk as well.

        Returns:
            How many were removed.
        """
        with self._change() as index:
            before = sum(block.rows for block in index.blocks)
            index = self._without(index, None, gone)
            self._publish(index)
            return before - sum(block.rows for block in index.blocks)

    @contextlib.contextmanager
    def _change(self) -> Iterator[Index]:
        """Hold the gallery's lock and read its index."""
        with locked(self.folder / LOCK):
            index = index_lib.read(self.folder)
            self._sweep(index)
            yield index

    def _append(self, index: Index, vectors: np.ndarray, entries: list[Entry]) -> Index:
        """Write a block, together with what is in the last one while that is small."""
        last = index.blocks[-1:]
        vectors = np.asarray(vectors, blocks.DTYPES[index.dtype])
        if last and last[0].rows + len(entries) <= FULL:
            old, old_entries = self._read(index, last[0])
            vectors, entries = np.concatenate([old, vectors]), old_entries + entries
            index = dataclasses.replace(index, blocks=index.blocks[:-1])
        index, block = self._write(index, vectors, entries)
        return dataclasses.replace(index, blocks=(*index.blocks, block))

    def _without(
        self,
        index: Index,
        paths: frozenset[str] | None,
        gone: Callable[[Entry], bool],
    ) -> Index:
        """Write the blocks anew from which something goes.

        Args:
            index: of the gallery.
            paths: all that can go, where that is known: other blocks are not read.
            gone: picks what goes.
        """
        kept = []
        for block in index.blocks:
            if paths is not None and paths.isdisjoint(self._paths_of(index, block)):
                kept.append(block)
                continue
            vectors, entries = self._read(index, block)
            rows = [i for i, entry in enumerate(entries) if not gone(entry)]
            if len(rows) == len(entries):
                kept.append(block)
            elif rows:
                left = [entries[row] for row in rows]
                index, block = self._write(index, vectors[rows], left)
                kept.append(block)
        return dataclasses.replace(index, blocks=tuple(kept))

    def _write(
        self, index: Index, vectors: np.ndarray, entries: list[Entry]
    ) -> tuple[Index, Block]:
        """Write a block under the next name."""
        name = f"{index.next_name:06d}"
        block = blocks.write(self.folder / BLOCKS, name, vectors, entries)
        return dataclasses.replace(index, next_name=index.next_name + 1), block

    def _read(self, index: Index, block: Block) -> tuple[np.ndarray, list[Entry]]:
        """Read a block."""
        folder, width = self.folder / BLOCKS, index.width
        with index_lib.with_remedy(self.folder, index.model):
            vectors = blocks.vectors(folder, block, width=width, dtype=index.dtype)
            return vectors, blocks.entries(blocks.table(folder, block))

    def _paths_of(self, index: Index, block: Block) -> frozenset[str]:
        """Read the paths of a block, once: blocks do not change."""
        if block.name not in self._paths:
            with index_lib.with_remedy(self.folder, index.model):
                table = blocks.table(self.folder / BLOCKS, block)
            self._paths[block.name] = frozenset(table.column("path").to_pylist())
        return self._paths[block.name]

    def _publish(self, index: Index) -> None:
        """Let the gallery be what an index says."""
        index_lib.write(self.folder, index)
        self._sweep(index)

    def _sweep(self, index: Index) -> None:
        """Delete what is no longer, or was never, part of the gallery."""
        named = {block.name for block in index.blocks}
        for ending in (blocks.VECTORS, blocks.TABLE):
            for path in (self.folder / BLOCKS).glob(f"*{ending}"):
                name = path.name.removesuffix(ending)
                if blocks.NAME.fullmatch(name) and name not in named:
                    path.unlink(missing_ok=True)
        for pattern in (f".{INDEX}.*.tmp", f"{BLOCKS}/.*.tmp"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)


def _check_place(folder: Path) -> None:
    """Refuse a directory that holds other things than a gallery."""
    if folder.is_file():
        raise InputError(f"{folder} is a file; give a directory for the gallery")
    if not folder.is_dir() or (folder / INDEX).exists():
        return
    others = [path.name for path in folder.iterdir() if path.name != LOCK]
    others = [name for name in others if not name.startswith(f".{INDEX}.")]
    if others:
        raise InputError(
            f"{folder} holds no gallery but other files ({sorted(others)[0]}); give a "
            "new directory"
        )
