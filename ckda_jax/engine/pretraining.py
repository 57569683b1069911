"""The starting backbone: how it is learned, what it leaves behind, how good it is."""

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ckda_jax.engine.pretrained import write_arrays
from ckda_jax.engine.run import Run
from ckda_jax.engine.state import Snapshot
from ckda_jax.files import write_json
from ckda_jax.models.plain import fold_modality
from ckda_jax.models.weights import export_backbone
from ckda_jax.structs import Tree

PACKAGES = ("jax", "flax", "optax", "numpy", "pillow")


def export(path: Path, variables: Tree, grid: tuple[int, int]) -> str:
    """Write the backbone of a plain model to an .npz, in half precision.

    Only what a pretrained transformer has: class token, positions (the modality
    embedding added to them) and their gains, stem, blocks and last norm.

    Args:
        path: the file.
        variables: of a `PlainModel`.
        grid: rows and columns of its patches.

    Returns:
        The file's SHA-256 digest.
    """
    state = export_backbone(fold_modality(variables), grid)
    halved = {
        name: value.astype(np.float16) if value.dtype.kind == "f" else value
        for name, value in state.items()
    }
    return write_arrays(path, halved)


def write_sidecar(path: Path, digest: str, facts: Mapping[str, Any]) -> None:
    """Write digest, origin and scores of a backbone beside its .npz."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    versions["python"] = platform.python_version()
    content = {
        "sha256": digest,
        "bytes": path.stat().st_size,
        **facts,
        "versions": versions,
    }
    write_json(path.with_suffix(".json"), content)


def score(run: Run, snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """Score a snapshot on every protocol of a run, by `dataset/protocol`."""
    return {
        f"{dataset.name}/{protocol.name}": run.evaluator.rank(
            snapshot, dataset, protocol
        ).scores()
        for dataset in run.datasets
        for protocol in dataset.protocols.values()
    }


def training_seconds(times: Sequence[float]) -> float:
    """Sum up how long a run's steps took by its log, interruptions left out.

    A gap between two lines of the log that is ten times the usual one is taken for an
    interruption and counted as the usual one.

    Args:
        times: when each line was written, in seconds.

    >>> training_seconds([100.0, 102.0, 104.0, 1104.0])
    8.0
    """
    gaps = np.diff(times)
    if len(gaps) == 0:
        return 0.0
    usual = median(gaps.tolist())
    # The first line has no line before it.
    return float(np.where(gaps > 10 * usual, usual, gaps).sum() + usual)
