"""Train a model on a sequence of datasets, one after another.

Running the same command again goes on where it stopped. The run directory then holds
the resolved config, the log, results, checkpoints and report.html.
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console

from ckda_jax import build, check, workdir
from ckda_jax import config as config_lib
from ckda_jax.engine import distributed, lifelong, origin
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.desk import Desk
from ckda_jax.engine.interruption import Interruption
from ckda_jax.engine.run import Run
from ckda_jax.engine.watchdog import Watchdog
from ckda_jax.locks import Held, check_held
from ckda_jax.reporting import html, tables
from ckda_jax.reporting.progress import Progress
from ckda_jax.reporting.writer import Writer


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(prog="python -m ckda_jax.train", description=__doc__)
    config_lib.add_arguments(made)
    made.add_argument(
        "--workdir", required=True, type=Path, help="run directory, made when absent"
    )
    made.add_argument(
        "--init-from",
        type=Path,
        metavar="WORKDIR",
        help="extend a finished run: its model, memory and teacher start this one",
    )
    made.add_argument(
        "--allow-data-change",
        action="store_true",
        help="go on though the images or lists are others than the run began with, and "
        "write down in data_changes.json what changed",
    )
    made.add_argument(
        "--strict",
        action="store_true",
        help="refuse to go on where the newest checkpoint is damaged, instead of from "
        "an older one",
    )
    made.add_argument(
        "--check",
        action="store_true",
        help="validate data, weights and config, print what would happen, and stop",
    )
    return made


@config_lib.main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args, config = config_lib.parse(parser(), argv)
    build.require_lifelong(config)
    distributed.initialise()
    build.use_compile_cache(config.compile_cache)
    before = None if args.init_from is None else workdir.read_origin(args.init_from)
    lineage = origin.Lineage() if before is None else before.lineage
    workdir.check(args.workdir, config, lineage)
    cluster = build.cluster(config)
    if args.check:
        with tempfile.TemporaryDirectory() as scratch:
            draft = build.draft(config, Path(scratch), cluster, lineage)
            data = workdir.describe(draft.stages, draft.datasets)
            _check_data(args, data)
            made = build.try_start(config, draft, before)
            lines = check.report(
                config, draft, made, args.workdir, extended=lineage.init_from
            )
        check.print_report(lines, Console(highlight=False, quiet=not cluster.is_main))
        return 0
    with workdir.held(args.workdir) as held:
        workdir.check(args.workdir, config, lineage)  # others may have been here since
        with workdir.untouched_if_refused(args.workdir):
            run = build.assemble(config, args.workdir, cluster, lineage)
            data = workdir.describe(run.stages, run.datasets)
            changes = _check_data(args, data)
            run = run if before is None else build.extend(run, before)
            run = dataclasses.replace(
                run, data_may_change=args.allow_data_change, strict=args.strict
            )
        if cluster.is_main:
            workdir.record_changes(args.workdir, changes)
            workdir.claim(args.workdir, config, lineage, data)
        train(config, run, before, config_lib.command(parser(), argv), held)
    return 0


def _check_data(args: argparse.Namespace, data: workdir.Tables) -> list[str]:
    """Return how the data differ from those the run began with, if that is allowed."""
    if args.allow_data_change:
        return workdir.data_changes(args.workdir, data)
    workdir.check_data(args.workdir, data)
    return []


def train(
    config: ConfigDict,
    run: Run,
    before: origin.Origin | None,
    command: str,
    held: Held,
) -> None:
    """Take a run to its end and report it; the same command goes on with it.

    Raises:
        OSError: something cannot be written, or the run directory is no longer held.
    """
    is_main = run.evaluator.embedder.cluster.is_main
    console = Console(highlight=False, quiet=not is_main)
    results = build.results(config, run, before, held)
    progress = Progress(
        [stage.name for stage in run.stages],
        [stage.steps for stage in run.stages],
        images_per_step=build.images_per_step(config),
        console=console,
    )
    checkpoints = Checkpoints(
        run.workdir / origin.CHECKPOINTS,
        keep=config.train.keep_checkpoints,
        held=held,
    )
    writer = Writer(run.workdir, active=is_main)
    desk = Desk(
        checkpoints=checkpoints,
        results=results,
        writer=writer,
        progress=progress,
        interruption=Interruption(command),
        watchdog=Watchdog(config.train.step_limit, command),
    )
    with desk.open():
        lifelong.run(run, desk)
    if is_main:
        check_held(held, run.workdir)
        report = html.write_report(run.workdir, images=config.report.images)
        tables.print_results(results.content, console)
        console.print(f"report: {report}")


if __name__ == "__main__":
    sys.exit(main())
