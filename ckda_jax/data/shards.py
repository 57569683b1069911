"""The shard: some images of a root that is being prepared, made whole or not at all."""

import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ckda_jax.data import decode, records
from ckda_jax.files import write_json
from ckda_jax.structs import InputError, Records

IMAGES = 1024
"""Images in a shard: 100 MB of 256 x 128, what is lost when preparing is killed."""

JOURNAL = "unfinished"
"""Folder in a root that is being prepared: the entries of its finished shards."""

Entry = dict[str, Any]
"""A shard in the manifest: its file and digest, its images and theirs."""


class Shard(NamedTuple):
    """A shard to make.

    Attributes:
        file: its path relative to the prepared root.
        root: folder of the dataset.
        table: its rows.
        size: height and width of its images in pixels.
        chain: name in `decode.CHAINS`.
    """

    file: str
    root: str
    table: Records
    size: tuple[int, int]
    chain: str


class _Decoded(NamedTuple):
    digest: str
    image: np.ndarray | None
    problem: str


def plan(
    dataset: str, root: str, tables: Mapping[str, Records], size: tuple[int, int]
) -> list[Shard]:
    """Cut the images of a dataset into shards.

    Args:
        dataset: its name.
        root: its folder.
        tables: its images, by resize chain.
        size: height and width wanted in pixels.
    """
    shards = []
    for chain, table in tables.items():
        count = -(-len(table) // IMAGES)
        for index, rows in enumerate(np.array_split(np.arange(len(table)), count)):
            name = records.shard_name(dataset, chain, index, count)
            file = f"{dataset}/{records.VERSION}/{name}"
            shards.append(Shard(file, root, table.take(rows), size, chain))
    return shards


def finished(out: Path, shard: Shard) -> Entry | None:
    """Read the entry of a shard that was finished before; None: make it (again).

    It counts if its file is as it was written, and if the images are the files that
    were read, which their sizes and times tell.
    """
    try:
        entry = json.loads(_journal(out, shard).read_text(encoding="utf-8"))
        same = entry["stamp"] == _stamp(shard)
        return entry if same and entry["sha256"] == digest(out / shard.file) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def make(out: Path, shard: Shard, pool: Executor, tick: Callable[[], None]) -> Entry:
    """Decode the images of a shard and write it, then its entry.

    Args:
        out: the root that is being prepared.
        shard: to make.
        pool: threads that decode.
        tick: is called after every image.

    Raises:
        OSError: it cannot be written.
    """
    stamp = _stamp(shard)
    found: dict[str, _Decoded] = {}
    paths = shard.table.paths.tolist()
    decode_one = functools.partial(_decode, size=shard.size, chain=shard.chain)
    for path, decoded in zip(paths, pool.map(decode_one, paths), strict=True):
        found[os.path.relpath(path, shard.root)] = decoded
        tick()
    usable = {path: one for path, one in found.items() if one.image is not None}
    entry = {
        "file": shard.file,
        "chain": shard.chain,
        **_write(out, shard, found),
        "images": {path: one.digest for path, one in usable.items()},
        "unusable": {p: one.problem for p, one in found.items() if p not in usable},
        "stamp": stamp,
    }
    write_json(_journal(out, shard), entry)
    return entry


def digest(file: str | Path, *, sync: bool = False) -> str:
    """Digest a file; with `sync`, see to it that it is on disk.

    Raises:
        OSError: it cannot be read.
    """
    with open(file, "rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
        if sync:
            os.fsync(content.fileno())
    return found


def _decode(path: str, size: tuple[int, int], chain: str) -> _Decoded:
    try:
        image = decode.read_image(path, size, chain, strict=True)
        return _Decoded(digest(path), image, "")
    except (InputError, OSError) as error:
        return _Decoded("", None, str(error).removeprefix(f"{path}: "))


def _write(out: Path, shard: Shard, found: Mapping[str, _Decoded]) -> dict[str, Any]:
    """Write a shard under another name first: half a shard has never this one."""
    file = out / shard.file
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.tmp")
    named = Records(**{**vars(shard.table), "paths": np.array(list(found), np.str_)})
    images = enumerate(one.image for one in found.values())
    pairs = ((row, image) for row, image in images if image is not None)
    try:
        records.write_shard(unfinished, named, pairs, shard.size)
        written = {
            "bytes": unfinished.stat().st_size,
            "sha256": digest(unfinished, sync=True),
        }
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)
    return written


def _journal(out: Path, shard: Shard) -> Path:
    return out / JOURNAL / f"{Path(shard.file).name}.json"


def _stamp(shard: Shard) -> str:
    """Digest which files a shard is made of, by name, size and time of change."""
    found = hashlib.sha256(f"{shard.size}".encode())
    for path in shard.table.paths.tolist():
        stat = os.stat(path) if os.path.exists(path) else None
        said = (stat.st_size, stat.st_mtime_ns) if stat else None
        found.update(f"{path} {said}\0".encode())
    return found.hexdigest()
