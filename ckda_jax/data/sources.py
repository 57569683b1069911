"""Images as a user names them: files, folders, patterns, and tables of images."""

import csv
import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ckda_jax.data.layout import IMAGE_SUFFIXES, name_some
from ckda_jax.structs import InputError

TABLES = (".csv", ".parquet")
"""Endings of files that are tables of images."""

COLUMNS = ("path", "identity", "camera", "modality")
"""Columns of a table that are read; all but the first may be missing."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """An image and what its user says of it.

    Attributes:
        path: of the file, absolute.
        modality: name of its modality.
        identity: who it shows, None where that is unknown.
        camera: which camera took it, None where that is unknown.
    """

    path: str
    modality: str
    identity: str | None = None
    camera: str | None = None


def read(
    words: Sequence[str | Path], modality: str | None, known: Sequence[str]
) -> list[Source]:
    """List images in the order named; what is named twice comes once.

    Args:
        words: image files; folders, whose images are taken at any depth; patterns such
            as `cam1/*.png`, where `**` stands for any folders; and tables, `.csv` or
            `.parquet`, with a column `path` (relative to the table's folder) and, if
            wanted, `identity`, `camera` and `modality`.
        modality: of all images that no table gives one.
        known: names of the modalities.

    Raises:
        InputError: nothing of a name, a table that cannot be read, files that are not
            there, an unknown modality, or an image that is named with different labels.
    """
    if modality is not None:
        _check_modality(modality, known, "--modality")
    found: dict[str, Source] = {}
    for word in words:
        for source in _read(str(word), modality, known):
            before = found.setdefault(source.path, source)
            if before != source:
                raise InputError(
                    f"{source.path} is named twice with different labels; name it once"
                )
    return list(found.values())


def _read(word: str, modality: str | None, known: Sequence[str]) -> Iterator[Source]:
    """List what one word names."""
    for path in _files(os.path.expanduser(word)):
        if path.lower().endswith(TABLES):
            yield from _table(path, modality, known)
        else:
            if modality is None:
                raise InputError(
                    f"{path}: of which modality? Give --modality, one of "
                    f"{', '.join(known)}"
                )
            yield Source(path=_absolute(path), modality=modality)


def _files(word: str) -> list[str]:
    """List the files that a word names."""
    if os.path.isfile(word):
        return [word]
    if os.path.isdir(word):
        found = list(_images_below(word))
        if not found:
            raise InputError(
                f"{word} holds no image ({', '.join(IMAGE_SUFFIXES)}); give another "
                "folder"
            )
        return found
    found = sorted(glob.glob(word, recursive=True))
    if not found:
        raise InputError(f"{word}: no such file or folder, and no file fits the name")
    folders = [path for path in found if os.path.isdir(path)]
    below = (path for folder in folders for path in _images_below(folder))
    return [*(path for path in found if path not in set(folders)), *below]


def _images_below(folder: str) -> Iterator[str]:
    """List the images of a folder and of those in it, in the order of their names.

    Hidden files and folders, like `._a.jpg`, are left out.

    Raises:
        InputError: a folder that cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise InputError(
            f"{error.filename}: {error.strerror}; make it readable, or name the others"
        ) from error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            if name.lower().endswith(IMAGE_SUFFIXES):
                yield os.path.join(parent, name)


def _table(path: str, modality: str | None, known: Sequence[str]) -> list[Source]:
    """Read a table of images."""
    folder, found = os.path.dirname(path), []
    for row in _rows(path):
        row["modality"] = row["modality"] or modality
        _check_modality(row["modality"], known, path)
        row["path"] = _absolute(os.path.join(folder, row["path"]))
        found.append(Source(**row))
    _require(path, [source.path for source in found])
    return found


def _rows(path: str) -> list[dict[str, Any]]:
    """Read the rows of a table as text; None is what is empty or has no column."""
    try:
        if path.lower().endswith(".csv"):
            table = _csv(path)
        else:
            table = pyarrow.parquet.ParquetFile(path).read()
        names = [name for name in COLUMNS if name in table.column_names]
        columns = [_texts(table.column(name)) for name in names]
    except (OSError, ValueError, KeyError, csv.Error, pa.ArrowException) as error:
        cause = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read as a table of images ({cause}); write it as CSV "
            "or Parquet with a column `path`"
        ) from error
    empty = dict.fromkeys(COLUMNS)
    rows = [
        empty | dict(zip(names, cells, strict=True))
        for cells in zip(*columns, strict=True)
    ]
    if "path" not in names or any(row["path"] is None for row in rows):
        raise InputError(
            f"{path}: the column `path` is missing or has empty cells; its columns are "
            f"{', '.join(table.column_names)}"
        )
    if not rows:
        raise InputError(f"{path} has no rows; list images in it")
    return rows


def _csv(path: str) -> pa.Table:
    """Read a CSV file as text, without the spaces around names and values."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file), [])
    options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    table = pyarrow.csv.read_csv(path, convert_options=options)
    trimmed = [[cell.strip() for cell in c.to_pylist()] for c in table.columns]
    return pa.table(trimmed, names=[name.strip() for name in table.column_names])


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    """Write a column as text; None is what is empty or not a number."""
    found = column.cast(pa.string()).to_pylist()
    if pa.types.is_floating(column.type):
        found = [None if text == "nan" else text for text in found]
    return [text or None for text in found]


def _check_modality(name: str | None, known: Sequence[str], where: str) -> None:
    if name not in known:
        cause = "no modality given" if name is None else f"unknown modality {name!r}"
        raise InputError(f"{where}: {cause}; choose one of {', '.join(known)}")


def _require(table: str, paths: Sequence[str]) -> None:
    """Refuse a table that names files which are not there."""
    absent = [path for path in paths if not os.path.isfile(path)]
    if absent:
        raise InputError(
            f"{table}: {len(absent)} of {len(paths)} images it names are absent: "
            f"{name_some(absent)}; correct the paths, which start from its folder"
        )


def _absolute(path: str) -> str:
    """Make a path absolute; refuse a name that no table can hold."""
    found = os.path.abspath(path)
    try:
        found.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{found!r}: the name is not UTF-8 text; rename the file"
        ) from None
    return found
