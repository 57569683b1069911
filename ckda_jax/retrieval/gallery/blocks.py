"""The block: some of a gallery's vectors and a table of what they are, in two files.

Its files are written once, under a name of their own, and never changed: a reader may
map them into memory while others add to the gallery.
"""

import dataclasses
import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from jaxtyping import Float

from ckda_jax.files import write_bytes
from ckda_jax.structs import InputError

VECTORS, TABLE = ".vectors.npy", ".parquet"
"""Endings of a block's two files."""

NAME = re.compile(r"[0-9]{6,12}")
"""Names of blocks, in the order in which they were written."""

DTYPES = {"float32": "<f4", "float16": "<f2"}
"""What vectors may be kept as, by the names that users give."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What a vector of a gallery is the embedding of.

    Attributes:
        path: of the image, absolute.
        identity: who it shows, None where that is unknown.
        camera: which camera took it, None where that is unknown.
        modality: through whose prompts it was embedded.
        digest: of the image file's bytes.
    """

    path: str
    identity: str | None
    camera: str | None
    modality: str
    digest: str


COLUMNS = pa.schema([(field.name, pa.string()) for field in dataclasses.fields(Entry)])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """A block as `gallery.json` knows it.

    Attributes:
        name: of its files, without their endings.
        rows: vectors in it.
        size: bytes of each file, by its ending.
        digest: of each file's bytes, by its ending.
    """

    name: str
    rows: int
    size: dict[str, int]
    digest: dict[str, str]

    def path(self, folder: Path, ending: str) -> Path:
        """Name one of the block's files."""
        return folder / f"{self.name}{ending}"


def digest_of(content: bytes) -> str:
    """Digest the bytes of a file.

    >>> digest_of(b"")
    'cae66941d9efbd404e4d88758ea67670'
    """
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def write(
    folder: Path,
    name: str,
    vectors: Float[np.ndarray, "n d"],
    entries: Sequence[Entry],
) -> Block:
    """Write the two files of a block, each whole or not at all."""
    folder.mkdir(exist_ok=True)
    contents = {VECTORS: _npy(vectors), TABLE: _parquet(entries)}
    for ending, content in contents.items():
        write_bytes(folder / f"{name}{ending}", content)
    return Block(
        name=name,
        rows=len(entries),
        size={ending: len(content) for ending, content in contents.items()},
        digest={ending: digest_of(content) for ending, content in contents.items()},
    )


def from_json(values: Any) -> Block:
    """Make a block of what `gallery.json` says.

    Raises:
        ValueError: it says what no block is; a name, say, that leaves the folder.
    """
    block = Block(**values)
    if not NAME.fullmatch(block.name):
        raise ValueError(f"{block.name!r} is no name of a block")
    for counts in (block.size, block.digest):
        if set(counts) != {VECTORS, TABLE}:
            raise ValueError(f"block {block.name} has other files than it should")
    numbers = (block.rows, *block.size.values())
    if any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError(f"block {block.name} has sizes that are none")
    return block


def vectors(
    folder: Path, block: Block, *, width: int, dtype: str
) -> Float[np.ndarray, "n d"]:
    """Map a block's vectors into memory, after checking the file's size and header.

    Raises:
        InputError: the file is missing, cut off, or not what it should be.
    """
    path = block.path(folder, VECTORS)
    check_size(folder, block, VECTORS)
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, f"cannot be read: {_line(error)}") from error
    if found.shape != (block.rows, width) or found.dtype != np.dtype(DTYPES[dtype]):
        raise damaged(
            path,
            f"holds {found.dtype} {found.shape} in place of {dtype} "
            f"{(block.rows, width)}",
        )
    return found


def table(folder: Path, block: Block) -> pa.Table:
    """Read what the vectors of a block are, a row each with the columns of `Entry`.

    Raises:
        InputError: the file is missing, damaged, or not what it should be.
    """
    path = block.path(folder, TABLE)
    check_size(folder, block, TABLE)
    try:
        found = pyarrow.parquet.ParquetFile(path).read()
        if found.num_rows != block.rows or not found.schema.equals(COLUMNS):
            raise ValueError(f"{found.num_rows} rows of {found.schema.names}")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(path, f"cannot be read: {_line(error)}") from error
    return found


def entries(rows: pa.Table) -> list[Entry]:
    """Take the rows of a table one by one."""
    return [Entry(**row) for row in rows.to_pylist()]


def check_size(folder: Path, block: Block, ending: str) -> None:
    """Refuse a file that is missing or of another size than it was written with."""
    path = block.path(folder, ending)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error
    if size != block.size[ending]:
        raise damaged(path, f"has {size} of {block.size[ending]} bytes")


def verify(folder: Path, block: Block) -> None:
    """Refuse files whose bytes are not those that were written."""
    for ending in (VECTORS, TABLE):
        check_size(folder, block, ending)
        path = block.path(folder, ending)
        if digest_of(path.read_bytes()) != block.digest[ending]:
            raise damaged(path, "its bytes are not those that were written")


def remove(folder: Path, name: str) -> None:
    """Delete the files of a block."""
    for ending in (VECTORS, TABLE):
        (folder / f"{name}{ending}").unlink(missing_ok=True)


def damaged(path: Path, cause: str) -> InputError:
    """Make the error for a damaged file; its reader adds how to rebuild the gallery."""
    return InputError(f"{path}: {cause}")


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


def _parquet(rows: Sequence[Entry]) -> bytes:
    columns = {name: [getattr(row, name) for row in rows] for name in COLUMNS.names}
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns, schema=COLUMNS), file)
    return file.getvalue()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
