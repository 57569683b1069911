"""Galleries of random vectors, for what needs no model."""

from pathlib import Path
from typing import Any

import numpy as np

from ckda_jax.retrieval.gallery.blocks import Entry
from ckda_jax.retrieval.gallery.index import Maker
from ckda_jax.retrieval.gallery.writer import Writer

MADE_BY = Maker(digest="5e1f", workdir="runs/site", stage=2)
WIDTH = 6


def entry(number: int, **changes: Any) -> Entry:
    """Make up an image: its identity and camera follow from its number."""
    facts = {
        "path": f"/images/{number}.png",
        "identity": str(number % 5),
        "camera": str(number % 3),
        "modality": "visible",
        "digest": f"{number:x}",
    }
    return Entry(**(facts | changes))


def entries(start: int, end: int) -> list[Entry]:
    """Make up some images."""
    return [entry(number) for number in range(start, end)]


def vectors(start: int, end: int, width: int = WIDTH) -> np.ndarray:
    """Draw unit vectors, `[end - start, width]`, each from its number."""
    drawn = [np.random.default_rng(n).normal(size=width) for n in range(start, end)]
    rows = np.array(drawn, np.float32).reshape(-1, width)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def writer(folder: Path, **options: Any) -> Writer:
    """Open a gallery to write it."""
    return Writer.start(folder, MADE_BY, width=WIDTH, **options)


def fill(folder: Path, *sizes: int, **options: Any) -> Writer:
    """Make a gallery by adding some images at a time, numbered from 0."""
    made, start = writer(folder, **options), 0
    for size in sizes:
        made.add(vectors(start, start + size), entries(start, start + size))
        start += size
    return made
