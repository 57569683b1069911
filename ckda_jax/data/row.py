"""The row: one image, as a loader finds it; rows make tables."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ckda_jax.structs import Records


class Row(NamedTuple):
    """One image, as a loader finds it."""

    path: str
    identity: int
    modality: int
    camera: int
    tracklet: int = -1


def as_records(root: Path, rows: Iterable[Row]) -> Records:
    """Turn rows whose paths are relative to the root into a table of absolute paths."""
    rows = list(rows)
    return Records(
        paths=np.array([f"{root}/{row.path}" for row in rows], dtype=np.str_),
        identity=np.array([row.identity for row in rows], dtype=np.int64),
        modality=np.array([row.modality for row in rows], dtype=np.int8),
        camera=np.array([row.camera for row in rows], dtype=np.int32),
        tracklet=np.array([row.tracklet for row in rows], dtype=np.int32),
    )
