"""Blocks of rows: what is read, compared and ranked at a time."""

from collections.abc import Iterator
from typing import NoReturn

import numpy as np

from ckda_jax.structs import InputError


def slices(length: int, step: int) -> Iterator[slice]:
    """Cut a length into slices of at most a step.

    >>> list(slices(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def check_widths(query: np.ndarray, gallery: np.ndarray) -> None:
    """Refuse queries and a gallery whose embeddings differ in width."""
    if query.shape[1] != gallery.shape[1]:
        raise InputError(
            f"queries of width {query.shape[1]} do not compare with a gallery of width"
            f" {gallery.shape[1]}; embed both with the same model"
        )


def finite(embeddings: np.ndarray, name: str) -> np.ndarray:
    """Read embeddings as float32 and refuse what does not compare."""
    found = np.asarray(embeddings, np.float32)
    if not np.isfinite(found).all():
        refuse(name)
    return found


def refuse(name: str) -> NoReturn:
    """Refuse embeddings that do not compare."""
    raise InputError(
        f"a {name} embedding is not finite or far too long; the embeddings are broken:"
        " embed again"
    )
