"""The index file: the text tables with which datasets name their images."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ckda_jax.data.complaint import Complain, stop, told
from ckda_jax.data.row import Row
from ckda_jax.structs import InputError


class Line(NamedTuple):
    """A line of an index file that is not blank, and where it stands."""

    file: Path
    number: int
    text: str

    def refuse(self, cause: str) -> InputError:
        """Make the error that names this line, a cause and its remedy."""
        return InputError(f"{self.file} line {self.number}: {self.text!r} {cause}")

    def integers(self, count: int) -> list[int]:
        """Read a line of integers separated by spaces.

        Raises:
            InputError: another number of columns, or a column that is no integer.
        """
        columns = self.text.split()
        if len(columns) != count or not all(column.isdecimal() for column in columns):
            raise self.refuse(
                f"is not a row of {count} integers; restore the file as released"
            )
        return [int(column) for column in columns]


class Labelled(NamedTuple):
    """An image of a `path label` list: its row, its label and its line."""

    row: Row
    label: int
    line: Line


def read_lines(file: Path, complain: Complain = stop) -> list[Line]:
    """Read the lines of an index file, whatever ends them, leaving out blank ones.

    Args:
        file: where it lies.
        complain: told of what cannot be used; raises it unless given.

    Raises:
        InputError: the file cannot be read as text.
    """
    with told(complain):
        return _read(file)
    return []


def _read(file: Path) -> list[Line]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{file} cannot be read as text ({error}); restore it as released"
        ) from error
    lines = enumerate(text.splitlines(), start=1)
    return [Line(file, number, line.strip()) for number, line in lines if line.strip()]


def require_lines(file: Path, complain: Complain = stop) -> list[Line]:
    """Read the lines of an index file that must not be empty.

    Raises:
        InputError: the file is empty or cannot be read as text.
    """
    with told(complain):
        lines = _read(file)
        if not lines:
            raise InputError(f"{file} is empty; restore it as released")
        return lines
    return []


def split_label(line: Line) -> tuple[str, int]:
    """Split a line `path label`.

    Raises:
        InputError: the label is missing, or no integer.

    >>> split_label(Line(Path("train.txt"), 1, "Visible/285/a_285.bmp 0"))
    ('Visible/285/a_285.bmp', 0)
    """
    path, _, label = line.text.rpartition(" ")
    if not path or not label.isdecimal():
        raise line.refuse("has no label; every line must read `path label`")
    return path.rstrip(), int(label)


def label_order(
    name: str, lists: Iterable[list[Labelled]], complain: Complain = stop
) -> dict[int, int]:
    """Map identities to labels, as index files of all modalities agree on them.

    Args:
        name: of the dataset, for the message.
        lists: what the index files name.
        complain: told of what cannot be used; raises it unless given.

    Raises:
        InputError: a line repeats an image, gives an identity a second label, or a
            label a second identity, which would pair the images of different people.
    """
    paths: set[str] = set()
    labels: dict[int, int] = {}
    identities: dict[int, int] = {}
    for image in itertools.chain.from_iterable(lists):
        with told(complain):
            _agree(name, image, paths, labels, identities)
    return labels


def _agree(
    name: str,
    image: Labelled,
    paths: set[str],
    labels: dict[int, int],
    identities: dict[int, int],
) -> None:
    """Add an image to what is known, after comparing it with that."""
    identity = image.row.identity
    if image.row.path in paths:
        raise image.line.refuse(
            "names an image that an earlier line names; take one of them out"
        )
    paths.add(image.row.path)
    known = labels.setdefault(identity, image.label)
    owner = identities.setdefault(image.label, identity)
    said = f"gives {name} identity {identity} label {image.label}, but an earlier"
    if known != image.label:
        raise image.line.refuse(f"{said} line gives it label {known}; correct one")
    if owner != identity:
        raise image.line.refuse(
            f"{said} line gives that label to identity {owner}; correct one"
        )
