"""Spelling: the known word nearest to a misspelt one."""

import difflib
from collections.abc import Iterable, Mapping


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggest the known word nearest to a misspelt one, if any is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; nearest: {near[0]}" if near else ""


def nearest_key(key: str, leaves: Mapping[str, object]) -> str:
    """Suggest a key: one of the same last name, else the nearest spelling."""
    last = key.rpartition(".")[2]
    same = [leaf for leaf in leaves if leaf.rpartition(".")[2] == last]
    if same:
        return nearest(key, same) or f"; nearest: {same[0]}"
    lasts = {leaf.rpartition(".")[2]: leaf for leaf in leaves}
    near = difflib.get_close_matches(key, leaves, n=1, cutoff=0.6)
    near = near or [lasts[n] for n in difflib.get_close_matches(last, lasts, n=1)]
    return f"; nearest: {near[0]}" if near else "; --help lists all keys"
