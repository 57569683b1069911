"""Measure which stem lets a small ViT learn: patch embedding or convolutions.

Trains both on the same crowd with the same batches, steps and width, and prints a
line of JSON for each: parameters, seconds, loss, retrieval scores on people held out.

Command: python benchmarks/stem.py --config configs/pretrain.py --workdir runs/stem
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict
from rich.console import Console

from ckda_jax import config as config_lib
from ckda_jax import pretrain, workdir
from ckda_jax.data import crowd
from ckda_jax.engine import pretraining
from ckda_jax.models.stem import STEMS
from ckda_jax.reporting.writer import METRICS_FILE, read_rows


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(description=__doc__)
    config_lib.add_arguments(made)
    made.add_argument("--workdir", required=True, type=Path)
    made.add_argument("--stems", nargs="+", default=list(STEMS), choices=STEMS)
    return made


def measure(config: ConfigDict, stem: str, folder: Path) -> dict[str, Any]:
    """Train one stem on the crowd of a folder and score it."""
    console = Console(stderr=True, highlight=False)
    chosen = ConfigDict(config.to_dict())
    chosen.model.stem = stem
    pretrain.draw(chosen, folder, console)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / crowd.NAME).symlink_to((folder / crowd.NAME).resolve())
        run = pretrain.assemble(chosen, Path(scratch), console)
        with workdir.held(Path(scratch)) as held:
            trained = pretrain.train(chosen, run, "", console, held)
        (scores,) = pretraining.score(run, trained).values()
        rows = read_rows(Path(scratch) / METRICS_FILE)
        seconds = pretrain.seconds(Path(scratch))
    backbone = trained.variables["params"]["backbone"]
    return {
        "stem": stem,
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(backbone)),
        "steps": rows[-1]["step"],
        "seconds": round(seconds, 1),
        "loss": {row["step"]: round(row["loss"], 3) for row in rows},
        "accuracy": round(rows[-1]["attributes/accuracy"], 3),
        "mAP": round(scores["mAP"], 4),
        "rank1": round(scores["rank1"], 4),
    }


@config_lib.main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args, config = config_lib.parse(parser(), argv)
    for stem in args.stems:
        print(json.dumps(measure(config, stem, args.workdir)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
