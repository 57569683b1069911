"""A table of one's own as a dataset: CSV or Parquet, a row for each image."""

import csv
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ckda_jax.data import own
from ckda_jax.data.complaint import Complain, stop, told
from ckda_jax.data.dataset import Dataset, Options
from ckda_jax.data.layout import Layout, require_images
from ckda_jax.data.own import SPLITS, Entry
from ckda_jax.data.survey import Survey
from ckda_jax.structs import InputError

SUFFIXES = (".csv", ".parquet")
REQUIRED = ("path", "identity", "modality", "split")
OPTIONAL = ("camera", "tracklet", "frame")

Cells = Mapping[str, str]
"""A row's text by column."""


def load(name: str, file: str | Path, options: Options) -> Dataset:
    """Load a table of images with the columns of `REQUIRED`, or of `OPTIONAL` too.

    Others are ignored. Paths are relative to the table's folder, which they must not
    leave. Rows of one tracklet are one item of a protocol, ordered by frame; for
    training every row is an image.

    Args:
        name: of the dataset.
        file: a `.csv` file with a first line of column names, or a `.parquet` file.
        options: what is asked of it.

    Raises:
        InputError: a file that cannot be read, a row that cannot be used, by its line
            (CSV) or row (Parquet) and value, absent images, or what `own.assemble`
            refuses.
    """
    file = Path(os.path.abspath(Path(file).expanduser()))
    entries = list_entries(file, options.modalities)
    layout = Layout(title=f"{name}, {file.name}", key=name, entries=())
    require_images(file.parent, layout, (entry.path for entry in entries))
    return own.assemble(name, file.parent, entries, options)


def survey(
    root: Path, options: Options, complain: Complain = stop, *, index_only: bool = False
) -> Survey:
    """List the images that a table names, by split.

    Args:
        root: the table.
        options: as for `load`.
        complain: told of what cannot be used; raises it unless given.
        index_only: there are no images; they are not looked for anyway.
    """
    del index_only
    entries: list[Entry] = []
    with told(complain):
        entries = list_entries(root, options.modalities, complain)
    return own.survey("table", root.parent, entries, options, complain)


def list_entries(
    file: Path, modalities: Sequence[str], complain: Complain = stop
) -> list[Entry]:
    """Read the rows of a table; whether the images are there is not looked at.

    Args:
        file: the table.
        modalities: names of the run's modalities.
        complain: told of rows that cannot be used; raises the first unless given.

    Raises:
        InputError: a file that cannot be read, a row that cannot be used.
    """
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; correct config.data.own")
    read = _read_parquet if file.suffix.lower() == ".parquet" else _read_csv
    root, known = _Root(file.parent), dict[str, str]()
    entries = []
    for where, cells in read(file):
        try:
            entry = _entry(cells, root, modalities)
            before = known.setdefault(entry.path, where)
            if before != where:
                raise InputError(
                    f"path {entry.path!r} stands in {before} already; take one out"
                )
        except InputError as error:
            complain(InputError(f"{file} {where}: {error}"))
        else:
            entries.append(entry)
    if not entries:
        raise InputError(f"{file} has no rows; list images in it")
    return entries


class _Root:
    """The folder of a table, which its paths must not leave."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.path.normpath(folder)
        self._real = os.path.realpath(folder)
        self._inside: dict[str, bool] = {}

    def relative(self, path: str) -> str:
        """Return a path relative to the folder.

        Raises:
            InputError: a path out of it, by name or by a link.
        """
        whole = os.path.normpath(os.path.join(self._folder, path))
        inner = os.path.relpath(whole, self._folder)
        leaves = "\0" in path or inner.split(os.sep)[0] in (os.pardir, os.curdir)
        if leaves or not self._stays(whole):
            raise InputError(
                f"path {path!r} leaves the table's folder {self._folder}; move the "
                "image or the table"
            )
        return inner

    def _stays(self, whole: str) -> bool:
        """Say whether links lead out; a folder is followed once, not for each image."""
        if os.path.islink(whole):
            return self._holds(os.path.realpath(whole))
        parent = os.path.dirname(whole)
        if parent not in self._inside:
            self._inside[parent] = self._holds(os.path.realpath(parent))
        return self._inside[parent]

    def _holds(self, real: str) -> bool:
        return os.path.commonpath([real, self._real]) == self._real


def _entry(cells: Cells, root: _Root, modalities: Sequence[str]) -> Entry:
    """Read one row."""
    empty = [column for column in REQUIRED if not cells[column]]
    if empty:
        raise InputError(f"{empty[0]} is empty; fill it in or take the row out")
    split, modality = cells["split"], cells["modality"]
    if split not in SPLITS:
        near = own.nearest(split, SPLITS)
        raise InputError(f"split {split!r} is none of {', '.join(SPLITS)}{near}")
    if modality not in modalities:
        near = own.nearest(modality, modalities, own.ABBREVIATED)
        raise InputError(
            f"modality {modality!r} is none of config.modalities, "
            f"{', '.join(modalities)}{near}"
        )
    return Entry(
        path=root.relative(cells["path"]),
        split=split,
        modality=modalities.index(modality),
        identity=cells["identity"],
        **{column: cells.get(column, "") for column in OPTIONAL},
    )


def _check_columns(file: Path, columns: Sequence[str]) -> None:
    """Refuse a table that lacks a column, or has one twice."""
    missing = [column for column in REQUIRED if column not in columns]
    found = ", ".join(columns) or "none"
    if missing:
        raise InputError(
            f"{file}: no column {', '.join(missing)}; its columns are {found}; needed "
            f"are {', '.join(REQUIRED)}, and {', '.join(OPTIONAL)} may be given"
        )
    twice = [c for c in (*REQUIRED, *OPTIONAL) if columns.count(c) > 1]
    if twice:
        raise InputError(f"{file}: more than one column {twice[0]}; take one out")


def _read_csv(file: Path) -> Iterator[tuple[str, Cells]]:
    """Yield the line and the cells of every row, without those of blank lines."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, strict=True)
            columns = [column.strip() for column in next(reader, [])]
            _check_columns(file, columns)
            for values in reader:
                where = f"line {reader.line_num}"
                if not values:
                    continue
                if len(values) != len(columns):
                    raise InputError(
                        f"{file} {where}: {len(values)} values for {len(columns)} "
                        "columns; put double quotes around a value with a comma in it"
                    )
                cells = (value.strip() for value in values)
                yield where, dict(zip(columns, cells, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{file} cannot be read as a CSV file ({error}); save it as CSV in UTF-8"
        ) from error


def _read_parquet(file: Path) -> Iterator[tuple[str, Cells]]:
    """Yield the number and the cells of every row, of whatever type they are."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(file) as opened:
            columns = list(opened.schema_arrow.names)
            _check_columns(file, columns)
            read = [c for c in (*REQUIRED, *OPTIONAL) if c in columns]
            found = opened.read(columns=read).to_pydict()
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{file} cannot be read as a Parquet file ({reason}); write it again"
        ) from error
    rows = zip(*(found[column] for column in read), strict=True)
    for number, values in enumerate(rows, start=1):
        yield f"row {number}", dict(zip(read, map(_text, values), strict=True))


def _text(value: Any) -> str:
    """Write a value as a CSV file would have it.

    >>> _text(None), _text(3.0), _text(b"ann "), _text(float("nan"))
    ('', '3', 'ann', '')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return str(value).strip()
