"""The renaming: what of a dataset lies in a folder under another name or elsewhere."""

import os
from pathlib import Path

from ckda_jax.data.layout import SEARCHED, Layout, better_root, missing_entries

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z")


def renamings(folder: Path, layout: Layout) -> list[str]:
    """Say how to make a folder fit a layout, as far as its content tells.

    A neighbouring folder that fits better comes first and alone. Else every missing
    entry is looked for by its name, whatever the case, in the folder and one level
    below.
    """
    missing = missing_entries(folder, layout)
    if not missing:
        return []
    best = better_root(folder, layout)
    if best is not None:
        return [f"the dataset seems to lie in {best}: give it as --root"]
    moves = _moves(folder, missing)
    hints = [text for pattern, text in layout.hints if any(folder.glob(pattern))]
    return [*moves, *hints, *_archives(folder)]


def _moves(folder: Path, missing: list[str]) -> list[str]:
    """Match missing entries with what bears their name elsewhere."""
    there = _entries(folder)
    moves, moved = [], set()
    for entry in missing:
        parent = os.path.dirname(entry.rstrip("/"))
        if f"{parent}/" in moved:
            continue  # it comes along with its folder
        same = [name for name in there.get(_last(entry), []) if name != entry]
        if same:
            verb = (
                "rename" if os.path.dirname(same[0].rstrip("/")) == parent else "move"
            )
            moves.append(f"{verb} {same[0]} to {entry}")
            moved.add(entry)
    return moves


def _entries(folder: Path) -> dict[str, list[str]]:
    """List the entries of a folder and of its folders by their last name."""
    found: dict[str, list[str]] = {}
    folders = [""]
    for prefix in folders:
        try:
            entries = sorted(os.scandir(folder / prefix), key=lambda e: e.name)
        except OSError:
            continue
        for entry in entries:
            name = f"{prefix}{entry.name}{'/' if entry.is_dir() else ''}"
            found.setdefault(_last(name), []).append(name)
        if not prefix:
            below = [f"{entry.name}/" for entry in entries if entry.is_dir()]
            folders += below[:SEARCHED]
    return found


def _last(entry: str) -> str:
    """Fold the last name of an entry, a folder's with its slash."""
    slash = "/" if entry.endswith("/") else ""
    return os.path.basename(entry.rstrip("/")).casefold() + slash


def _archives(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    return [f"unpack {name}" for name in names if name.lower().endswith(ARCHIVES)]
