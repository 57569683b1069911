"""Evaluate a checkpoint of a run on its datasets.

Prints a line of scores for each dataset, on the protocol of the lifelong table, and
writes nothing, except that a synthetic world that was deleted from the run directory is
drawn there again. With --protocol it evaluates on those protocols instead, prints their
table, and puts the scores into results.json and report.html, beside the others.
"""

import argparse
import dataclasses
import functools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from ckda_jax import build, workdir
from ckda_jax import config as config_lib
from ckda_jax.data.dataset import GALLERIES
from ckda_jax.engine import distributed, examination, lifelong, origin, results
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.files import RESULTS
from ckda_jax.reporting import html, tables
from ckda_jax.structs import InputError


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(prog="python -m ckda_jax.eval", description=__doc__)
    made.add_argument(
        "--workdir",
        required=True,
        type=Path,
        nargs="+",
        help="directory of the run; of several, one for each trial of RegDB say, the "
        "means are shown too",
    )
    made.add_argument(
        "--stage", type=int, help="1-based stage; the last finished one when absent"
    )
    made.add_argument(
        "--protocol",
        action="append",
        default=[],
        metavar="[DATASET/]NAME",
        help="published protocol, such as all-single or llcm/visible-to-infrared; "
        "again for more; all for every one",
    )
    made.add_argument(
        "--rerank",
        type=float,
        nargs="?",
        const=4.0,
        default=0.0,
        metavar="GIB",
        help="re-rank galleries by k-reciprocal neighbours, in that much memory (4); "
        "refused with an estimate where it does not suffice",
    )
    made.add_argument(
        "--galleries",
        choices=GALLERIES,
        help="how SYSU-MM01's are drawn; as the run's config says when absent",
    )
    made.add_argument(
        "--permutations", help="SYSU-MM01's rand_perm_cam.mat; in its exp/ when absent"
    )
    return made


@config_lib.main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = parser().parse_args(argv)
    if not 0 <= args.rerank < math.inf:
        raise InputError(f"--rerank {args.rerank}: no number of GiB; give one above 0")
    distributed.initialise()
    console = Console(highlight=False, quiet=not distributed.is_main())
    found = [scores(folder, args, console) for folder in args.workdir]
    if len(found) > 1:
        tables.print_tables([tables.run_table(found)], console)
    return 0


def scores(
    folder: Path, args: argparse.Namespace, console: Console
) -> list[dict[str, Any]]:
    """Evaluate a run, print its scores and, of published protocols, record them.

    Returns:
        Rows as in `results.json`.
    """
    config = adapted(config_lib.read(folder / workdir.CONFIG), args)
    cluster = build.cluster(config, learns=False)
    build.use_compile_cache(config.compile_cache)
    lineage = workdir.read_lineage(folder)
    checkpoints = Checkpoints(folder / origin.CHECKPOINTS, writes=False)
    index = checkpoints.choose(args.stage)
    run = build.assemble(config, folder, cluster, lineage, learns=False)
    workdir.check_data(folder, workdir.describe(run.stages, run.datasets))
    snapshot = lifelong.restore(checkpoints, index, run.origin)
    checkpoints.close()
    rows = []
    rerank_bytes = int(args.rerank * 2**30)
    evaluator = dataclasses.replace(run.evaluator, rerank_bytes=rerank_bytes)
    run = dataclasses.replace(run, evaluator=evaluator)
    quiet = Console(stderr=True, highlight=False, quiet=not cluster.is_main)
    warn = functools.partial(quiet.print, soft_wrap=True, markup=False)
    for row in examination.scores(run, snapshot, warn):
        console.print(examination.evaluation_line(row), soft_wrap=True)
        rows.append(row)
    if args.protocol:
        tables.print_tables([tables.protocol_table(rows)], console)
        if cluster.is_main:
            results.record(folder / RESULTS, rows)
            html.write_report(folder, images=config.report.images)
    return rows


def adapted(config: ConfigDict, args: argparse.Namespace) -> ConfigDict:
    """Put what the command line asks for into the config of a run."""
    with config.unlocked():
        config.init.weights = ""  # the checkpoint holds them all
        if args.protocol:
            config.eval.protocols = tuple(args.protocol)
        config.eval.galleries = args.galleries or config.eval.galleries
        config.eval.permutations = args.permutations or config.eval.permutations
    return config


if __name__ == "__main__":
    sys.exit(main())
