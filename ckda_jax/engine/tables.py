"""The tables of images of a run, in numbers: what its `data.json` holds."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckda_jax.structs import InputError

Tables = dict[str, dict[str, Any]]
"""By the name of a table, its `identities`, `images` and `digest`."""

STAGE = re.compile(r"stage \d+, .+")
"""Name of what a stage learns."""

HALF = re.compile(r"(.+ .+) (query|gallery)")
"""Name of one half of a protocol, which is never without the other."""

KINDS = {"identities": int, "images": int, "digest": str}


def read(path: Path, found: Mapping[str, Any]) -> Tables:
    """Read what the images of a run were.

    Args:
        path: of the file.
        found: what they are now; what its stages learn must be in the file. Protocols
            need not be: `eval` is asked for others.

    Raises:
        InputError: the file cannot be read, or a name or value in it is damaged.
    """
    tables = read_json(path)
    if not isinstance(tables, dict):
        raise unreadable(path, "no tables by name")
    for name in found:
        if STAGE.fullmatch(name) and name not in tables:
            raise unreadable(path, f"no table {name!r}")
    for name, table in tables.items():
        _check(path, name, table)
        half = HALF.fullmatch(name)
        if half:
            both = {f"{half[1]} query", f"{half[1]} gallery"}
            damaged = not both <= tables.keys()
        else:
            damaged = not STAGE.fullmatch(name) or (bool(found) and name not in found)
        if damaged:
            raise unreadable(path, f"unknown table {name!r}")
    return tables


def difference(before: Tables, now: Tables) -> list[str]:
    """Say how tables differ from what they were, a line for each that does."""
    return [
        f"{name}: {_difference(before[name], table)}"
        for name, table in now.items()
        if before.get(name, table) != table
    ]


def read_json(path: Path) -> Any:
    """Read a file of a run directory.

    Raises:
        InputError: it is not there or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    # A RecursionError: brackets within brackets.
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, cause: object) -> InputError:
    """Make the error of a file of a run directory that is damaged."""
    return InputError(
        f"{path}: cannot be read ({cause}); restore the file or start a new run"
    )


def _check(path: Path, name: str, table: Any) -> None:
    if not isinstance(table, dict) or table.keys() != KINDS.keys():
        raise unreadable(path, f"{name!r} must have {', '.join(KINDS)}")
    for key, kind in KINDS.items():
        if type(table[key]) is not kind:
            raise unreadable(path, f"{key} of {name!r} is not {kind.__name__}")


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    counts = [
        f"{table['identities']} identities, {table['images']} images"
        for table in (before, now)
    ]
    if counts[0] == counts[1]:
        return f"as many as before ({counts[0]}), but other files or labels"
    return " -> ".join(counts)
