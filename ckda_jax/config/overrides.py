"""Overrides: `--config.key=value` words, read in the type of the key they set."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from ml_collections import ConfigDict

from ckda_jax.config.spelling import nearest, nearest_key
from ckda_jax.config.tree import flatten, show
from ckda_jax.structs import InputError

PREFIX = "--config."


def overrides(extra: Sequence[str], config: ConfigDict) -> Iterator[tuple[str, str]]:
    """Read `--config.key=value` and `--config.key value` off the unknown words."""
    words = iter(extra)
    for word in words:
        name, equals, text = word.partition("=")
        if not name.startswith(PREFIX):
            known = [PREFIX + key for key in flatten(config)]
            near = nearest(name, known) if name.startswith("--") else ""
            raise InputError(
                f"{word}: unknown argument{near}; keys are set with {PREFIX}KEY=VALUE"
            )
        if not equals:
            following = next(words, None)
            if following is None:
                raise InputError(f"{word}: no value; write {word}=VALUE")
            text = following
        yield name.removeprefix(PREFIX), text


def assign(config: ConfigDict, key: str, text: str) -> None:
    """Set one key of a locked tree from text, in the type the key has."""
    leaves = flatten(config)
    if key == "preset":
        raise InputError(f"{PREFIX}preset: a preset is chosen by --config FILE:PRESET")
    if key not in leaves:
        inside = [PREFIX + leaf for leaf in leaves if leaf.startswith(key + ".")]
        if inside:
            raise InputError(f"{PREFIX}{key}: a group; its keys: {', '.join(inside)}")
        raise InputError(f"{PREFIX}{key}: no such key{nearest_key(key, leaves)}")
    value = _read(key, text, leaves[key])
    *groups, last = key.split(".")
    functools.reduce(lambda tree, name: tree[name], groups, config)[last] = value


def _read(key: str, text: str, old: Any) -> Any:
    """Convert text to the type of the value it replaces."""
    try:
        if isinstance(old, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(old, tuple):
            return _read_tuple(key, text, old)
        value = type(old)(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
        return value
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{PREFIX}{key}={text}: must be {_kind(old)}, like {show(old)}"
        ) from error


def _read_tuple(key: str, text: str, old: tuple[Any, ...]) -> tuple[Any, ...]:
    """Convert `a,b` to a tuple; one of numbers keeps its length, names may vary."""
    words = [word.strip(" '\"") for word in text.strip("() ").split(",")]
    words = [word for word in words if word]
    example = old[0] if old else ""
    if not isinstance(example, str) and len(words) != len(old):
        raise ValueError
    return tuple(_read(key, word, example) for word in words)


def _kind(value: Any) -> str:
    """Say in words what values may replace this one."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, tuple) and value and not isinstance(value[0], str):
        return f"{len(value)} values of type {type(value[0]).__name__}"
    return f"of type {type(value).__name__}"
