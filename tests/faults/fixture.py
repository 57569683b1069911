"""Makes the checkpoints of this version that later versions must read.

    python -m tests.faults.fixture tests/faults/runs/VERSION

Once for a version, before it is released. What lies there already is never made anew.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ckda_jax import trees
from ckda_jax.build.inference import load_model
from ckda_jax.engine import manifest
from ckda_jax.engine.checkpoint import Checkpoints
from tests import runs

KEPT = ("stages/0", "steps/10000002")
"""Checkpoints of a tiny run: what stage 1 left behind, and step 2 of stage 2."""


def facts(run: Path) -> dict[str, Any]:
    """Compute what must come out of the checkpoints, whichever version reads them."""
    reader = Checkpoints(run / "checkpoints", writes=False)
    digests = {
        "stages/0": trees.digest(reader.restore_as_saved(0)),
        "steps/10000002": trees.digest(reader.restore_as_saved(1, 2)),
    }
    reader.close()
    model = load_model(run)
    image = np.random.default_rng(0).integers(0, 256, (64, 32, 3), np.uint8)
    vectors = [model.embed([image], name)[0].tolist() for name in model.modalities]
    return {"digests": digests, "model": model.digest, "embeddings": vectors}


def forget_paths(folder: Path) -> None:
    """Take out of a checkpoint where it was written, which Orbax notes down."""
    content = manifest.read(folder)
    for path in folder.rglob("commit_success.txt"):
        path.write_text("Checkpoint commit was successful.\n")
    names = ("stage", "step", "config", "data")
    manifest.write(folder, {name: content[name] for name in names})


def main(target: Path) -> None:
    """Train a tiny run and keep what is needed of it; no path of this machine stays."""
    with tempfile.TemporaryDirectory() as scratch:
        roots = runs.draw_world(Path(scratch) / "world")
        run = runs.take(Path(scratch) / "run", roots)
        for name in KEPT:
            folder = target / "checkpoints" / name
            shutil.copytree(run / "checkpoints" / name, folder)
            forget_paths(folder)
        config = json.loads((run / "config.json").read_text())
        config["data"]["roots"] = {name: f"data/{name}" for name in roots}
        (target / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        for name in ("data.json", "lineage.json", "results.json", "metrics.jsonl"):
            shutil.copy(run / name, target / name)
    (target / "facts.json").write_text(json.dumps(facts(target), indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
