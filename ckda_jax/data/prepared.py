"""The prepared root: a dataset whose images are decoded already, read as a folder is.

Paths below it stand for the images of the folder that it was prepared from: no file is
there, but the functions of this file list and read them.
"""

import functools
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ckda_jax.data import records
from ckda_jax.structs import InputError

MANIFEST = "prepared.json"
"""In a prepared root: what it holds; where it is, preparing came to its end."""

FORMAT = 1
"""Version of the manifest."""


def above(path: str | Path) -> "Prepared | None":
    """Find the prepared root that a path lies in, or is; None where there is none.

    Raises:
        InputError: there is one, but its manifest cannot be read.
    """
    path = os.path.abspath(path)
    while True:
        found = at(path)
        parent = os.path.dirname(path)
        if found is not None or parent == path:
            return found
        path = parent


def at(root: str | Path) -> "Prepared | None":
    """Open a prepared root; None where the folder is none. Errors as of `above`."""
    manifest = os.path.join(os.path.abspath(root), MANIFEST)
    try:
        changed = os.stat(manifest).st_mtime_ns
    except OSError:
        return None
    return _open(manifest, changed)


def group(paths: Iterable[str]) -> "list[Prepared | None]":
    """Find the prepared root of every path, looking at each folder once."""
    folders: dict[str, Prepared | None] = {}
    found = []
    for path in paths:
        folder = os.path.dirname(path)
        if folder not in folders:
            folders[folder] = above(folder)
        found.append(folders[folder])
    return found


def picture(path: str | Path) -> UInt8[np.ndarray, "h w 3"] | None:
    """Read the image that a path stands for, in any chain it has; None without one."""
    prepared = above(path)
    return None if prepared is None else prepared.picture(os.fspath(path))


class Prepared:
    """The images of a prepared root.

    Args:
        root: its absolute folder.
        manifest: what `MANIFEST` holds.

    Attributes:
        root: as given.
        size: height and width of its images in pixels.
    """

    def __init__(self, root: str, manifest: Mapping[str, Any]) -> None:
        order = manifest["order"]
        self.root = root
        self.size: tuple[int, int] = tuple(order["size"])
        self._order = order
        self._shards = manifest["shards"]
        self._unusable: dict[str, str] = manifest["unusable"]
        self._names: dict[str, list[str]] = manifest["folders"]
        self._folders = {p for f in self._names for p in _with_parents(f)}
        self._places: dict[str, dict[str, tuple[int, int]]] = {}
        self._readers: dict[int, Any] = {}
        for index, shard in enumerate(self._shards):
            places = self._places.setdefault(shard["chain"], {})
            places |= {p: (index, i) for i, p in enumerate(shard["images"])}

    def __len__(self) -> int:
        """Count the images, each once for every chain."""
        return sum(map(len, self._places.values()))

    def describe(self) -> str:
        """Say in a line what it holds."""
        megabytes = sum(shard["bytes"] for shard in self._shards) / 1e6
        left_out = f", {len(self._unusable)} left out" if self._unusable else ""
        return (
            f"{len(self):,} images of {_size(self.size)}{left_out}, "
            f"{megabytes:,.0f} MB, in {self.root}"
        )

    def names(self, folder: str | Path) -> list[str]:
        """List the files of a folder as they lay where the root was prepared from."""
        return self._names.get(self._relative(folder), [])

    def folders(self, folder: str | Path) -> list[str]:
        """List the folders below a folder in which images lay."""
        parent = self._relative(folder)
        below = (f for f in self._folders if f and os.path.dirname(f) == parent)
        return sorted(map(os.path.basename, below))

    def has_folder(self, folder: str | Path) -> bool:
        """Say whether images lay somewhere below a folder."""
        return self._relative(folder) in self._folders

    def require(self, paths: Iterable[str], size: tuple[int, int], chain: str) -> None:
        """Refuse images that were not prepared as they are asked for.

        Raises:
            InputError: another size, another chain, an image that was not prepared, or
                a shard that is not as it was written; with the command to run.
        """
        places = self._places.get(chain)
        if tuple(size) != self.size or places is None:
            held = f"{_size(self.size)} by {', '.join(self._places)}"
            raise InputError(
                f"{self.root} holds images resized to {held}, but {_size(size)} by "
                f"{chain} is asked for; {self._remedy(size, chain)}"
            )
        lacking = [
            path
            for path in map(self._relative, paths)
            if path not in places and path not in self._unusable
        ]
        if lacking:
            raise InputError(
                f"{self.root}: {len(lacking)} of the images asked for were not prepared"
                f" by {chain} ({lacking[0]} first); {self._remedy(size, chain)}"
            )
        self._check_shards()

    def problem(self, path: str) -> str | None:
        """Say why an image could not be prepared; None where it could."""
        reason = self._unusable.get(self._relative(path))
        return reason and f"{path}: {reason}"

    def image(self, path: str, chain: str) -> UInt8[np.ndarray, "h w 3"]:
        """Read an image as a chain resized it.

        Raises:
            InputError: it was not prepared, or its shard is damaged or gone.
        """
        place = self._places.get(chain, {}).get(self._relative(path))
        if place is None:
            self.require([path], self.size, chain)
            raise InputError(f"{self.problem(path)}")
        shard, position = place
        try:
            return records.read_image(self._reader(shard), position, self.size)
        except RuntimeError as error:
            cause = " ".join(str(error).split())
            raise InputError(
                f"{path}: its record in {self._shards[shard]['file']} cannot be read "
                f"({cause[:120]}); delete {self.root} and prepare the dataset again"
            ) from None

    def picture(self, path: str) -> UInt8[np.ndarray, "h w 3"] | None:
        """Read an image in any chain it has; None where there is none."""
        relative = self._relative(path)
        for chain, places in self._places.items():
            if relative in places:
                return self.image(path, chain)
        return None

    def _check_shards(self) -> None:
        """Refuse shards of another size than written; what they hold is not read."""
        for shard in self._shards:
            file = Path(self.root, shard["file"])
            found = file.stat().st_size if file.is_file() else None
            if found != shard["bytes"]:
                state = "gone" if found is None else f"{found:,} bytes long"
                raise InputError(
                    f"{file} is {state}, not {shard['bytes']:,} bytes long as written;"
                    f" restore it, or delete {self.root} and prepare the dataset again"
                )

    def _reader(self, shard: int) -> Any:
        # Two threads may open the same shard at once; one of the readers is kept.
        reader = self._readers.get(shard)
        if reader is None:
            opened = records.open_shard(Path(self.root, self._shards[shard]["file"]))
            reader = self._readers.setdefault(shard, opened)
        return reader

    def _relative(self, path: str | Path) -> str:
        """Return a path below the root as the manifest writes it; "" for the root."""
        return os.fspath(path)[len(self.root) :].strip("/")

    def _remedy(self, size: tuple[int, int], chain: str) -> str:
        resample = "direct" if chain == "lanczos" else "reference"
        return (
            f"run `python -m ckda_jax.data prepare {self._order['dataset']} "
            f"--root {self._order['root']} --out OTHER --size {size[0]} {size[1]} "
            f"--resample {resample}` and point config.data.roots at OTHER"
        )


@functools.lru_cache(maxsize=16)
def _open(manifest: str, changed: int) -> Prepared:
    """Open a manifest once in a process, and again when it has changed."""
    del changed
    try:
        content = json.loads(Path(manifest).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, not {FORMAT}")
        return Prepared(os.path.dirname(manifest), content)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{manifest} is no manifest of prepared data ({error!r}); delete its "
            "folder and prepare the dataset again"
        ) from error


def _with_parents(folder: str) -> Iterable[str]:
    """Yield a folder and all above it, "" at last."""
    while folder:
        yield folder
        folder = os.path.dirname(folder)
    yield ""


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
