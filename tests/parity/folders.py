"""Recorded files that tests copy, change and damage."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ckda_jax.engine.pretrained import write_arrays
from ckda_jax.parity.golden import Golden, geometry
from ckda_jax.parity.table import DIFFERENT, OK, Row

RECORDED = Path(__file__).parents[1] / "golden"


def read(name: str) -> Golden:
    """Read one recorded file, nothing of it read yet."""
    with np.load(RECORDED / name, allow_pickle=False) as file:
        return Golden(name, dict(file))


def changed(name: str, key: str, by: float = 1e-2) -> Golden:
    """Read a recorded file with one value of one array changed."""
    arrays = dict(read(name).arrays)
    array = np.array(arrays[key])
    array.flat[0] += by
    return Golden(name, arrays | {key: array})


def write(folder: Path, name: str, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write a recorded file into a folder."""
    write_arrays(folder / name, arrays)
    return folder


def sizes():
    """Read the sizes of the recorded model."""
    return geometry(read("model_tiny.npz"))


def fine(rows: list[Row]) -> bool:
    """Say whether there are rows and all of them agree."""
    return bool(rows) and all(row.verdict in (OK, DIFFERENT) for row in rows)


def missed(rows: list[Row]) -> list[str]:
    """List the quantities that do not agree."""
    return [row.quantity for row in rows if row.verdict not in (OK, DIFFERENT)]
