"""Preparing: a dataset decoded once, into a prepared root."""

import dataclasses
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ckda_jax import __version__
from ckda_jax.data import catalog, decode, prepared, records, regdb, shards
from ckda_jax.data.dataset import EVERY, Options
from ckda_jax.data.prepared import FORMAT, MANIFEST, Prepared
from ckda_jax.data.shards import JOURNAL, Entry
from ckda_jax.files import write_json
from ckda_jax.locks import locked
from ckda_jax.structs import MODALITIES, InputError, Records, concatenate_records

INDEX_SUFFIXES = (".txt", ".csv", ".parquet", ".tsv", ".json", ".mat")
"""Files in a dataset's root, or in a folder there, that are copied as they are."""

OWN = ("folder", "table")
"""Kinds of data of one's own, which have no names of their own here."""

ORDER = "order.json"
"""In the journal of a root that is being prepared: what is asked for."""

LOCK = ".prepare.lock"

_PACKAGES = ("pillow", "array_record", "tensorflow-datasets")

Count = Callable[[int, int], None]
"""Is told how many are done, of how many."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for; a folder serves one order, finished or not.

    Attributes:
        dataset: key of `catalog.DATASETS`, or one of `OWN`.
        root: its folder, or the table of one's own data.
        size: height and width of the images in pixels.
        resample: `direct` or `reference`, which sets the resize chains.
        modalities: names, of one's own data.
    """

    dataset: str
    root: str
    size: tuple[int, int]
    resample: str = "direct"
    modalities: tuple[str, ...] = MODALITIES

    @property
    def folder(self) -> str:
        """The folder that the images are in."""
        return str(catalog.folder_of(Path(self.root)))


def prepare(
    order: Order,
    out: str | Path,
    *,
    threads: int = 1,
    bad_images: str = "error",
    progress: Count | None = None,
) -> Prepared:
    """Decode every image that any trial and protocol of a dataset uses.

    Interrupted at any point, it goes on when it is called again: finished shards are
    kept, and the manifest that makes the folder a prepared root is written last.

    Args:
        order: what is asked for.
        out: folder to make.
        threads: threads that decode.
        bad_images: `error` refuses images that cannot be used; `skip` leaves them out
            if they are few.
        progress: called with the numbers of images done and of all.

    Raises:
        InputError: a dataset that cannot be loaded or has images that cannot be used; a
            folder that cannot be written, has no room, or holds anything else.
    """
    out = Path(os.path.abspath(Path(out).expanduser()))
    root = os.path.abspath(Path(order.root).expanduser())
    order = dataclasses.replace(order, root=root)
    tables = images(order)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with locked(out / LOCK):
            if not _claim(out, order, tables):
                made = _make(out, order, tables, threads, progress)
                _refuse(order.folder, made, bad_images)
                _finish(out, order, tables, made)
    except OSError as error:
        raise InputError(
            f"--out {out} cannot be written ({error}); give a folder of yours with room"
        ) from error
    shutil.rmtree(out / JOURNAL, ignore_errors=True)
    done = prepared.at(out)
    assert done is not None, "its manifest has been written"
    return done


def images(order: Order) -> dict[str, Records]:
    """List every image that any trial and protocol uses, by resize chain and path.

    An image has as many chains as it is used with, which are more than one where those
    of the released code are asked for.

    Raises:
        InputError: a dataset that cannot be loaded, or is a prepared one.
    """
    if prepared.above(order.root) is not None:
        raise InputError(
            f"--root {order.root} is prepared already; give the folder of the images"
        )
    used: dict[str, list[Records]] = {}
    for trial in _trials(order):
        options = Options(
            trial=trial,
            resample=order.resample,
            protocols=(EVERY,),
            modalities=order.modalities,
        )
        load = catalog.load_own if order.dataset in OWN else catalog.load
        dataset = load(order.dataset, order.root, options)
        for chain in (dataset.resize_train, decode.FEATURE_CHAIN):
            used.setdefault(chain, []).append(dataset.train)
        pools = [] if dataset.drawn_from is None else [dataset.drawn_from]
        for protocol in dataset.protocols.values():
            pools += [protocol.query, protocol.gallery]
        used.setdefault(dataset.resize_test, []).extend(pools)
    tables = {chain: _unique(found) for chain, found in sorted(used.items())}
    for path in (path for table in tables.values() for path in table.paths.tolist()):
        if not path.startswith(f"{order.folder}/"):
            raise InputError(f"{path} is not in {order.folder}; move it there")
    return tables


def _trials(order: Order) -> list[int]:
    """List the trials of a dataset: RegDB's are those whose index files are there."""
    if order.dataset != "regdb":
        return [1]
    return regdb.trials(Path(order.root)) or [1]


def _unique(tables: Sequence[Records]) -> Records:
    """Stack tables, each path once, in the order of the paths."""
    table = concatenate_records(list(tables))
    return table.take(np.unique(table.paths, return_index=True)[1])


def _claim(out: Path, order: Order, tables: Mapping[str, Records]) -> bool:
    """Say whether a folder holds what is asked for; claim one that is new.

    Raises:
        InputError: it holds anything else.
    """
    wanted = json.loads(json.dumps(_described(order, tables)))
    done, begun = out / MANIFEST, out / JOURNAL / ORDER
    if done.exists() or begun.exists():
        found = _read(done if done.exists() else begun)
        other = [
            f"{name} {found.get(name)}, not {value}"
            for name, value in wanted.items()
            if found.get(name) != value
        ]
        if other:
            raise InputError(
                f"--out {out} is prepared for something else ({'; '.join(other)}); "
                "give another folder, or delete it"
            )
        return done.exists()
    if set(os.listdir(out)) - {LOCK, JOURNAL}:
        raise InputError(f"--out {out} holds other files; give a new folder")
    begun.parent.mkdir(exist_ok=True)
    write_json(begun, {"order": wanted})
    return False


def _described(order: Order, tables: Mapping[str, Records]) -> dict[str, Any]:
    """Write down what is asked for, the names of the images included."""
    digest = hashlib.sha256()
    for chain, table in tables.items():
        for path in table.paths.tolist():
            digest.update(f"{chain} {os.path.relpath(path, order.folder)}\0".encode())
    return dataclasses.asdict(order) | {"images": digest.hexdigest()}


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))["order"])
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{file} cannot be read ({error!r}); delete its folder"
        ) from error


def _make(
    out: Path,
    order: Order,
    tables: Mapping[str, Records],
    threads: int,
    progress: Count | None,
) -> list[Entry]:
    """Make the shards that are not finished; return the entries of all."""
    planned = shards.plan(order.dataset, order.folder, tables, order.size)
    found = [shards.finished(out, shard) for shard in planned]
    total = sum(len(shard.table) for shard in planned)
    left = sum(len(s.table) for s, e in zip(planned, found, strict=True) if e is None)
    _require_room(out, left * order.size[0] * order.size[1] * 3)
    count = itertools.count(total - left + 1)

    def tick() -> None:
        if progress is not None:
            progress(next(count), total)

    with ThreadPoolExecutor(threads) as pool:
        return [
            entry or shards.make(out, shard, pool, tick)
            for shard, entry in zip(planned, found, strict=True)
        ]


def _require_room(out: Path, needed: int) -> None:
    free = shutil.disk_usage(out).free
    if free < needed:
        raise InputError(
            f"--out {out} has {free / 1e9:.1f} GB free, but {needed / 1e9:.1f} GB are "
            "to be written; make room or give another folder"
        )


def _refuse(root: str, made: Sequence[Entry], bad_images: str) -> None:
    """Refuse images that could not be decoded, or too many of them."""
    problems = {
        path: f"{root}/{path}: {problem}"
        for entry in made
        for path, problem in entry["unusable"].items()
    }
    total = sum(len(entry["images"]) + len(entry["unusable"]) for entry in made)
    if bad_images == "skip":
        decode.allow_few(problems, total, "--bad-images skip")
    else:
        decode.refuse_unusable(problems, total)


def _finish(
    out: Path, order: Order, tables: Mapping[str, Records], made: Sequence[Entry]
) -> None:
    """Write what stands beside the shards, the manifest last."""
    lengths: dict[str, list[int]] = {}
    for entry in made:
        lengths.setdefault(entry["chain"], []).append(len(entry["images"]))
    folder = out / order.dataset / records.VERSION
    records.write_metadata(folder, order.dataset, order.size, lengths)
    content = {
        "format": FORMAT,
        "order": _described(order, tables),
        "versions": {"ckda_jax": __version__} | {n: version(n) for n in _PACKAGES},
        "shards": [{k: v for k, v in e.items() if k not in _LOOSE} for e in made],
        "unusable": {p: why for e in made for p, why in e["unusable"].items()},
        "index_files": _copy_index_files(Path(order.folder), out),
        "folders": _list_folders(Path(order.folder), tables),
    }
    write_json(out / MANIFEST, content)


_LOOSE = ("stamp", "unusable")


def _copy_index_files(root: Path, out: Path) -> dict[str, str]:
    """Copy what names the images; return the digests of the copies."""
    digests = {}
    for file in sorted([*root.glob("*"), *root.glob("*/*")]):
        if file.suffix.lower() in INDEX_SUFFIXES and file.is_file():
            name = str(file.relative_to(root))
            (out / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(file, out / name)
            digests[name] = shards.digest(out / name)
    return digests


def _list_folders(root: Path, tables: Mapping[str, Records]) -> dict[str, list[str]]:
    """List the folders that images are in, whole: galleries are drawn from them."""
    paths = (path for table in tables.values() for path in table.paths.tolist())
    folders = sorted({os.path.dirname(os.path.relpath(path, root)) for path in paths})
    return {folder: sorted(os.listdir(root / folder)) for folder in folders}
