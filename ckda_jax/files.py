"""Files written whole or not at all, and JSON that any reader accepts."""

import contextlib
import errno
import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CONFIG = "config.json"
"""In a run directory: its resolved config."""

DATA = "data.json"
"""In a run directory: what its images are, in numbers and digests."""

RESULTS = "results.json"
"""In a run directory: everything evaluated so far."""

EXAMPLES = "examples"
"""Folder of a run directory: what the last evaluation leaves for the report."""

RESULTS_FORMAT = 1
"""Version of `results.json`, which the engine writes and the report reads."""

START = -1
"""The stage in `results.json` of an evaluation before stage 1."""


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as JSON, whole or not at all; what is not finite becomes null."""
    write_text(path, json.dumps(finite(value), indent=1) + "\n")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all: a reader sees the old content or the new.

    Its folder must be there: one that was taken away is not made again.
    When this returns, the new content is on the disk, whatever happens to the machine.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Wait until the disk knows the names in a folder: what was put there, or renamed.

    A file that is synchronised may be nameless after a power loss without it. Some file
    systems of a network refuse, whose server keeps the names.
    """
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(number)


def write_all(file: io.FileIO, content: bytes) -> None:
    """Write to an unbuffered file, of which the system may take a part at a time.

    What cannot be written is lost: no later `close` tries again, and fails again.
    """
    while content:
        content = content[file.write(content) :]


@contextlib.contextmanager
def writes(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise what a file system refuses as an error that names a path and a remedy.

    Raises:
        OSError: with what the system said.
    """
    try:
        yield
    except OSError as error:
        raise refused(path, error.strerror or str(error)) from error


def refused(path: str | os.PathLike[str], cause: str) -> OSError:
    """Make the error of something that cannot be written."""
    return OSError(
        f"{os.fspath(path)}: cannot be written ({cause}); make room or give another "
        "--workdir, then run the same command again"
    )


def finite(value: Any) -> Any:
    """Turn a value into what strict JSON can hold.

    NumPy scalars and arrays become numbers and lists, tuples lists, paths text, and
    numbers that are not finite None.

    >>> finite({"loss": float("nan"), "rank": (1, 2.5)})
    {'loss': None, 'rank': [1, 2.5]}
    """
    if isinstance(value, Mapping):
        return {str(name): finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if hasattr(value, "tolist"):
        return finite(value.tolist())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
