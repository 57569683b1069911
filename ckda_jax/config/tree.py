"""A configuration as a tree of values: its leaves, its JSON text, differences."""

import json
import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ckda_jax.structs import InputError


def flatten(config: ConfigDict | dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """List the leaves of a configuration by their dotted keys.

    >>> flatten({"seed": 0, "optim": {"lr": 0.1}})
    {'seed': 0, 'optim.lr': 0.1}
    """
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict | dict):
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def to_json(config: ConfigDict) -> str:
    """Write a resolved configuration as JSON text, keys sorted, tuples as lists."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def from_json(path: str | os.PathLike[str]) -> ConfigDict:
    """Read the locked configuration that `to_json` wrote, lists as tuples again.

    Raises:
        InputError: the file is missing or is not such a configuration.
    """
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}; is its folder that of a run?"
        ) from error
    # A RecursionError: brackets within brackets.
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not JSON ({error}); restore the file or start a new run"
        ) from error
    if not isinstance(tree, dict):
        raise InputError(
            f"{path}: holds {type(tree).__name__}, not a tree of keys; restore the file"
        )
    return ConfigDict(plain(tree)).lock()


def difference(
    old: ConfigDict | dict[str, Any], new: ConfigDict | dict[str, Any]
) -> list[str]:
    """Say key by key how two configurations differ; empty when they agree.

    >>> difference({"seed": 0, "optim": {"lr": 0.1}}, {"seed": 1, "optim": {"lr": 0.1}})
    ['seed: 0 -> 1']
    """
    left, right = flatten(plain(old)), flatten(plain(new))
    lines = []
    for key in sorted(left.keys() | right.keys()):
        before = show(left[key]) if key in left else "(absent)"
        after = show(right[key]) if key in right else "(absent)"
        if before != after:
            lines.append(f"{key}: {before} -> {after}")
    return lines


def show(value: Any) -> str:
    """Write a value as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(show(item) for item in value)
    return str(value)


def plain(tree: Any) -> Any:
    """Copy a tree as plain dicts whose sequences are tuples."""
    if isinstance(tree, ConfigDict | dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(plain(item) for item in tree)
    return tree
