"""Evaluate a checkpoint of a run on its datasets.

Prints a line of scores for each dataset and protocol of the run. Writes nothing, except
that a synthetic world that was deleted from the run directory is drawn there again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ckda_jax import build, workdir
from ckda_jax import config as config_lib
from ckda_jax.engine import distributed, lifelong, origin
from ckda_jax.engine.checkpoint import Checkpoints


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(prog="python -m ckda_jax.eval", description=__doc__)
    made.add_argument(
        "--workdir", required=True, type=Path, help="directory of the run"
    )
    made.add_argument(
        "--stage", type=int, help="1-based stage; the last finished one when absent"
    )
    return made


@config_lib.main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = parser().parse_args(argv)
    config = config_lib.from_json(args.workdir / workdir.CONFIG)
    with config.unlocked():
        config.init.weights = ""  # the checkpoint holds them all
    distributed.initialise()
    build.use_compile_cache(config.compile_cache)
    lineage = workdir.read_lineage(args.workdir)
    cluster = distributed.Cluster.of_all_devices()
    checkpoints = Checkpoints(args.workdir / origin.CHECKPOINTS, writes=False)
    index = checkpoints.choose(args.stage)
    run = build.assemble(config, args.workdir, cluster, lineage)
    workdir.check_data(args.workdir, workdir.describe(run.stages, run.datasets))
    snapshot = lifelong.restore(checkpoints, index, run.origin)
    checkpoints.close()
    console = Console(highlight=False, quiet=not cluster.is_main)
    for row in lifelong.scores(run, snapshot):
        console.print(lifelong.evaluation_line(row), soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
