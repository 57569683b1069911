"""The inspection of image files: each is read once, digested and decoded."""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePath
from typing import NamedTuple

from PIL import Image

from ckda_jax.data.decode import _named_errors, _refuse_content, _refuse_size, _to_rgb
from ckda_jax.structs import InputError

AHEAD = 64
"""Files that are handed to each thread at a time; bounds what waits to be looked at."""

ALSO = {"MPO": "JPEG"}
"""Formats that share the suffix of another one."""


class Finding(NamedTuple):
    """What an image file holds.

    Attributes:
        path: where it lies.
        digest: of its content; empty where it cannot be read.
        problem: why training could not use it, or how its name misleads; else empty.
        grey: whether it has one channel of brightness.
    """

    path: str
    digest: bytes
    problem: str = ""
    grey: bool = False


def inspect(path: str, *, decode: bool = True) -> Finding:
    """Read an image file, look for what training could not use, and digest it.

    As strict as `decode.check_images`; beyond that the suffix must tell the format.

    Args:
        path: where it lies.
        decode: look at more than whether it can be read.
    """
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "blake2b").digest()[:16]
    except OSError as error:
        return Finding(path, b"", f"cannot be read ({error.strerror}); restore it")
    if not decode:
        return Finding(path, digest)
    try:
        with _named_errors(path), Image.open(path) as image:
            mode, kind = image.mode, image.format or ""
            _refuse_size(path, image.size)
            _refuse_content(path, image)
            _to_rgb(path, image)
    except InputError as error:
        return Finding(path, digest, str(error).removeprefix(f"{path}: "))
    return Finding(path, digest, _misnamed(path, kind), mode in ("1", "L", "LA"))


def inspect_all(
    paths: Sequence[str],
    *,
    threads: int = 1,
    decode: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Finding]:
    """Inspect image files in parallel, in their order.

    Args:
        paths: where they lie.
        threads: threads that read and decode.
        decode: look at more than whether they can be read.
        progress: called with the numbers of images inspected and of all.
    """
    Image.init()
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        # What is too large is refused below; no need to warn of it as well.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        step = AHEAD * threads
        for first in range(0, len(paths), step):
            some = paths[first : first + step]
            found = pool.map(lambda path: inspect(path, decode=decode), some)
            for done, finding in enumerate(found, start=first + 1):
                if progress is not None:
                    progress(done, len(paths))
                yield finding


def _misnamed(path: str, kind: str) -> str:
    """Say so if the suffix of a file belongs to another format than its content."""
    suffix = PurePath(path).suffix.lower()
    named = Image.registered_extensions().get(suffix, kind)
    if ALSO.get(kind, kind) == named:
        return ""
    return f"is {kind} by its content but {named} by its name; rename or convert it"
