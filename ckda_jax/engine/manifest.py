"""The manifest of a checkpoint: what its files must be, written when they all are."""

import contextlib
import errno
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import jax

import ckda_jax
from ckda_jax.files import CONFIG, DATA, finite, sync_folder, write_text

MANIFEST = "manifest.json"
"""In the folder of a checkpoint."""

SEAL = "sha256"
"""In a manifest: the digest of all else that is in it."""

FORMAT = 1
"""Version of what a manifest holds."""

LARGEST = 16 * 2**20
"""Bytes of a manifest above which it is none: some 100,000 files."""

PACKAGES = ("jax", "jaxlib", "flax", "orbax-checkpoint", "numpy")
"""Whose versions decide a run's bits, beside this one's and Python's."""


DAMAGING = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EIO,
    errno.EBADMSG,
}
"""Errors of the system that tell of a file, and not of this moment or this user."""


class Damage(Exception):
    """A checkpoint is not what its manifest says; the message names file and reason."""


def write(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the manifest of a finished folder, whose files are read for it.

    It holds, beside the facts given, the size and SHA-256 of every file, and the
    versions and devices that the run has. All that it tells of is on the disk when this
    returns: what was read may so far have been in memory only, and gone after a power
    loss.

    Args:
        folder: of the checkpoint.
        facts: what else is to be known of it, in JSON's types.

    Raises:
        OSError: the folder is gone, or cannot be written; or it has so many files that
            the manifest would be too large.
    """
    folder.stat()
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        elif path != folder / MANIFEST:
            files[path.relative_to(folder).as_posix()] = _settle(path)
    made_by = {
        "versions": versions(),
        "devices": jax.device_count(),
        "processes": jax.process_count(),
    }
    _write(folder, {"format": FORMAT, **facts, **made_by, "files": files})


def add(folder: Path, facts: Mapping[str, Any]) -> None:
    """Put further facts into a manifest, in place of those of their names.

    Raises:
        Damage: there is none, or it cannot be understood.
    """
    _write(folder, read(folder) | dict(facts))


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Add a digest of all the rest: no bit of a manifest itself flips unnoticed."""
    rest = finite({name: content[name] for name in content if name != SEAL})
    text = json.dumps(rest, sort_keys=True)
    return {**rest, SEAL: hashlib.sha256(text.encode()).hexdigest()}


def read(folder: Path) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        Damage: there is none, or it cannot be understood.
        OSError: it cannot be read now.
    """
    path = folder / MANIFEST
    try:
        with _tells_damage(MANIFEST):
            if path.stat().st_size > LARGEST:
                raise Damage(f"{MANIFEST} is larger than {LARGEST} bytes")
            content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content != sealed(content):
            raise Damage(f"{MANIFEST} has another SHA-256")
    # A RecursionError: brackets within brackets.
    except (ValueError, RecursionError) as error:
        cause = type(error).__name__
        raise Damage(f"{MANIFEST} cannot be read ({cause})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise Damage(f"{MANIFEST} is none of format {FORMAT}")
    files = content.get("files")
    if not isinstance(files, dict) or not files:
        raise Damage(f"{MANIFEST} lists no files")
    return content


def verify(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Compare a checkpoint with its manifest, every byte of it.

    Args:
        folder: of the checkpoint.
        facts: what its manifest must say of it, which keeps a folder that was given
            another's name from being taken for it.

    Returns:
        The manifest.

    Raises:
        Damage: a file is missing or is not what it was.
        OSError: a file cannot be read now; it may be as it was.
    """
    content = read(folder)
    for name, value in facts.items():
        if content.get(name) != value:
            raise Damage(
                f"{MANIFEST} is of {name} {content.get(name)!r}, not {value!r}"
            )
    for name, told in content["files"].items():
        _verify_file(folder, name, told)
    return content


def sha256(path: Path) -> str:
    """Digest a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run_facts(workdir: Path) -> dict[str, str | None]:
    """Digest what tells a run from others: its config, and the images it reads.

    Returns:
        By name, the SHA-256 of the file in the run directory, None where it has none.
    """
    paths = {"config": workdir / CONFIG, "data": workdir / DATA}
    return {
        name: sha256(path) if path.is_file() else None for name, path in paths.items()
    }


@functools.cache
def versions() -> dict[str, str]:
    """List the versions that decide a run's bits."""
    own = {"python": platform.python_version(), "ckda_jax": ckda_jax.__version__}
    return own | {name: importlib.metadata.version(name) for name in PACKAGES}


def _write(folder: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(sealed(content), indent=1) + "\n"
    if len(text) > LARGEST:  # as `json` writes it, a character is a byte
        count = len(content["files"])
        raise OSError(f"a {MANIFEST} of {count} files is larger than {LARGEST} bytes")
    write_text(folder / MANIFEST, text)


def _settle(path: Path) -> dict[str, Any]:
    """Bring a file to the disk; return what a manifest tells of it."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}


def _verify_file(folder: Path, name: str, told: Any) -> None:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise Damage(f"{MANIFEST} names {name!r}, outside of the checkpoint")
    try:
        size, digest = int(told["bytes"]), str(told["sha256"])
    except (KeyError, TypeError, ValueError):
        raise Damage(f"{MANIFEST} says nothing of {name!r}") from None
    try:
        with _tells_damage(name):
            _compare(folder, name, size, digest)
    # ValueError: no name of a file. RuntimeError: links that lead to each other.
    except (ValueError, RuntimeError) as error:
        raise Damage(f"{name} cannot be read ({error})") from error


def _compare(folder: Path, name: str, size: int, digest: str) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Damage(f"{name} is a link out of the checkpoint")
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise Damage(f"{name} is missing")
    if found.st_size != size:
        raise Damage(f"{name} has {found.st_size} bytes, not {size}")
    if sha256(path) != digest:
        raise Damage(f"{name} has another SHA-256")


@contextlib.contextmanager
def _tells_damage(name: str) -> Iterator[None]:
    """Tell a file that is damaged from one that cannot be read at the moment.

    A server that does not answer, too many open files or a missing right say nothing
    of what is in a file, which must not be given up for it.
    """
    try:
        yield
    except FileNotFoundError:
        raise Damage(f"{name} is missing") from None
    except OSError as error:
        if error.errno not in DAMAGING:
            raise
        raise Damage(f"{name} cannot be read ({error.strerror})") from error
