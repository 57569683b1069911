"""The layout a dataset must have on disk, and how a wrong root is explained."""

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ckda_jax.data import prepared
from ckda_jax.structs import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
SHOWN = 12  # unexpected entries of a folder that are shown
SEARCHED = 200  # neighbouring folders that are tried as the right root


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """What must lie in a dataset's root.

    Attributes:
        title: the dataset's published name.
        key: its key in `config.data.roots`.
        entries: files and, ending in a slash, folders, relative to the root; a folder
            before what lies in it.
        lists: those of them that describe the dataset where its images are absent.
        hints: patterns of what other copies of the dataset hold instead, each with what
            to do about it.
    """

    title: str
    key: str
    entries: tuple[str, ...]
    lists: tuple[str, ...] = ()
    hints: tuple[tuple[str, str], ...] = ()

    def without_images(self) -> "Layout":
        """Leave out what is only needed to open images."""
        return dataclasses.replace(self, entries=self.lists)


def open_root(root: str | Path, layout: Layout, option: str = "") -> Path:
    """Return the absolute root of a dataset after looking for everything it must hold.

    Args:
        root: the folder.
        layout: what it must hold.
        option: what the root was given to; the dataset's key in the config if empty.

    Raises:
        InputError: anything of the layout is missing. Under a first line that names it
            and, where a neighbouring folder fits better, that folder, the message draws
            the expected tree beside what was found.
    """
    folder = Path(os.path.abspath(Path(root).expanduser()))
    missing = missing_entries(folder, layout)
    if not missing:
        return folder
    raise InputError(
        f"{_complaint(folder, layout, missing)}; {_remedy(folder, layout, option)}\n"
        f"{draw(folder, layout)}"
    )


def is_complete(folder: Path, layout: Layout) -> bool:
    """Say whether a folder holds everything of a layout."""
    return not missing_entries(folder, layout)


def draw(folder: Path, layout: Layout) -> str:
    """Draw the expected tree of a dataset beside what a folder holds."""
    rows = [(f"expected ({layout.title})", f"found in {folder}")]
    missing = set(missing_entries(folder, layout))
    for entry in layout.entries:
        indent = "  " * (1 + entry.rstrip("/").count("/"))
        name = os.path.basename(entry.rstrip("/")) + ("/" if entry[-1] == "/" else "")
        rows.append((indent + name, indent + ("-" if entry in missing else name)))
    expected = {entry.split("/")[0] for entry in layout.entries}
    others = [name for name in _listing(folder) if name.rstrip("/") not in expected]
    rows += [("", f"  {name}") for name in others[:SHOWN]]
    if len(others) > SHOWN:
        rows.append(("", f"  ... and {len(others) - SHOWN} more"))
    width = max(len(left) for left, _ in rows) + 4
    return "\n".join(f"{left:<{width}}{right}".rstrip() for left, right in rows)


def list_images(folder: Path) -> list[str]:
    """List the names of the images in a folder, sorted; empty where there is none.

    Hidden files, like `._a.jpg`, are left out.
    """
    names = sorted(name for name in _names(folder) if not name.startswith("."))
    return [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]


def list_folders(folder: Path) -> list[str]:
    """List the names of the folders in a folder, sorted; empty where there is none.

    Hidden ones are left out.
    """
    root = prepared.above(folder)
    if root is not None:
        return root.folders(folder)
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    return sorted(name for name in names if not name.startswith("."))


def require_images(root: Path, layout: Layout, paths: Iterable[str]) -> None:
    """Refuse index files that name absent images; lists folders, never opens an image.

    Args:
        root: the dataset's folder.
        layout: its layout, for the message.
        paths: image paths relative to the root.

    Raises:
        InputError: some are absent; the first three are named and all are counted.
    """
    paths = list(dict.fromkeys(paths))
    absent = absent_images(root, paths)
    if absent:
        raise InputError(
            f"{layout.title}: {len(absent)} of {len(paths)} images named by the index"
            f" files are absent from {root}: {name_some(absent)}; unpack the"
            " images again or correct the index files"
        )


def absent_images(root: Path, paths: Iterable[str]) -> list[str]:
    """List the images that are not where a path relative to the root says."""
    folders: dict[str, set[str]] = {}
    absent = []
    for path in paths:
        parent, name = os.path.split(path)
        if parent not in folders:
            folders[parent] = set(_names(root / parent))
        if name not in folders[parent]:
            absent.append(path)
    return absent


def name_some(values: Sequence[object]) -> str:
    """Name the first three of some values and count the others.

    >>> name_some([7, 8, 9, 10, 11])
    '7, 8, 9 and 2 more'
    """
    more = f" and {len(values) - 3} more" if len(values) > 3 else ""
    return ", ".join(map(str, values[:3])) + more


def missing_entries(folder: Path, layout: Layout) -> list[str]:
    """List the entries of a layout that a folder does not hold."""
    return [entry for entry in layout.entries if not _is_there(folder, entry)]


def _is_there(folder: Path, entry: str) -> bool:
    path = folder / entry
    if not entry.endswith("/"):
        return os.path.isfile(path)
    root = prepared.at(folder)
    return os.path.isdir(path) or (root is not None and root.has_folder(path))


def _names(folder: Path) -> list[str]:
    """List what lies in a folder, or lay there before it was prepared.

    Hidden files, like `.DS_Store` or `._a.jpg`, are left out.
    """
    root = prepared.above(folder)
    if root is not None:
        return root.names(folder)
    names = os.listdir(folder) if folder.is_dir() else []
    return [name for name in names if not name.startswith(".")]


def _listing(folder: Path) -> list[str]:
    """List a folder's entries, folders first and marked by a slash."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    folders = [name for name in names if os.path.isdir(folder / name)]
    files = [name for name in names if name not in set(folders)]
    return [f"{name}/" for name in folders] + files


def _complaint(folder: Path, layout: Layout, missing: list[str]) -> str:
    if not folder.exists():
        return f"{layout.title}: {folder} does not exist"
    if not folder.is_dir():
        return f"{layout.title}: {folder} is not a folder"
    return f"{layout.title}: {folder} lacks {name_some(missing)}"


def _remedy(folder: Path, layout: Layout, option: str) -> str:
    """Name the neighbouring folder that fits best, or what to do when none does."""
    option = option or f"config.data.roots.{layout.key}"
    best = better_root(folder, layout)
    if best is None:
        return f"point {option} at the dataset, or unpack what is missing"
    where = "above" if best == folder.parent else "below"
    return f"the dataset seems to lie one level {where}: set {option}={best}"


def better_root(folder: Path, layout: Layout) -> Path | None:
    """Find the neighbouring folder that fits a layout better, if there is one."""
    best, best_found = None, len(layout.entries) - len(missing_entries(folder, layout))
    below = [folder / name for name in _listing(folder)[:SEARCHED] if name[-1] == "/"]
    for candidate in [folder.parent, *below]:
        found = len(layout.entries) - len(missing_entries(candidate, layout))
        if found > max(best_found, len(layout.entries) // 2):
            best, best_found = candidate, found
    return best
