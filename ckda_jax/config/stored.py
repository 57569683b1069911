"""The configuration that a run left behind, its keys and types as they must be."""

import json
import os
import re
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ckda_jax.config.spelling import nearest_key
from ckda_jax.config.tree import flatten, from_json, plain, show
from ckda_jax.structs import InputError

KEYS = Path(__file__).with_name("keys.json")
"""Every key with its default: the tree of `configs/pretrain.py`, which has them all.

The files of `configs/` are not there where the package alone is installed.
"""

OPTIONAL = re.compile(r"preset|modalities|train\.micro_batches|(mesh|crowd)\..*")
"""Keys that runs of older versions, or of other commands, are without."""


def read(path: str | os.PathLike[str]) -> ConfigDict:
    """Read the configuration of a run whose model or data are wanted.

    Raises:
        InputError: as `from_json`; or a key is unknown, missing or of another type.
    """
    config = from_json(path)
    leaves, known = flatten(config), defaults()
    for key, value in leaves.items():
        if key not in known:
            raise _damaged(path, f"no such key {key}{nearest_key(key, known)}")
        if not alike(value, known[key]):
            raise _damaged(
                path, f"{key}: {show(value)} is not of the type of {show(known[key])!r}"
            )
    for key in known:
        if key not in leaves and not OPTIONAL.fullmatch(key):
            raise _damaged(path, f"{key} is missing")
    return config


def defaults() -> dict[str, Any]:
    """List all keys with their defaults."""
    return flatten(plain(json.loads(KEYS.read_text(encoding="utf-8"))))


def alike(value: Any, default: Any) -> bool:
    """Say whether a value may stand where a default is.

    Tuples of names may be of any length, those of numbers are as long as the default.
    """
    if isinstance(default, tuple):
        if not isinstance(value, tuple):
            return False
        numbers = bool(default) and not isinstance(default[0], str)
        example = default[0] if default else ""
        fits = not numbers or len(value) == len(default)
        return fits and all(alike(item, example) for item in value)
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is type(default)


def _damaged(path: str | os.PathLike[str], cause: str) -> InputError:
    return InputError(
        f"{os.fspath(path)}: {cause}; restore the file that the run began with"
    )
