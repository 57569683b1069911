"""Examination: a model evaluated on every dataset that is due, and what is said."""

from collections.abc import Callable, Iterator
from typing import Any

from ckda_jax.data.dataset import Dataset
from ckda_jax.engine.consensus import of_main
from ckda_jax.engine.desk import Desk
from ckda_jax.engine.evaluate import Few
from ckda_jax.engine.ranking import Ranking
from ckda_jax.engine.results import START, Results
from ckda_jax.engine.run import Run
from ckda_jax.engine.state import Snapshot
from ckda_jax.files import EXAMPLES


def evaluate(
    this: Run, desk: Desk, snapshot: Snapshot, *, epoch: int | None = None
) -> None:
    """Evaluate on every dataset due, leaving out what is in the results already."""
    at = int(snapshot.stage)
    last = at == this.stages[-1].index and epoch is None
    for dataset, seen in due(this, at):
        where = {"stage": at, "epoch": epoch, "dataset": dataset.name}
        names = missing(desk.results, dataset, at, epoch)
        open_ones = [dataset.protocols[name] for name in names]
        first = next(iter(dataset.protocols))
        for ranking in this.evaluator.rankings(snapshot, dataset, open_ones):
            name = ranking.name
            row = {**where, "protocol": name, "seen": seen, **ranking.scores()}
            desk.progress.note(evaluation_line(row))
            doubt = warning_line(ranking, row)
            if doubt:
                desk.progress.note(doubt)
            if last and this.examples and name == first:
                few = Few(this.examples, this.workdir / EXAMPLES)
                this.evaluator.write_examples(snapshot, dataset, ranking, few)
            desk.results.add(row)


def is_evaluated(this: Run, desk: Desk, at: int) -> bool:
    """Whether all evaluations due after stage `at` are in the results."""
    return not any(missing(desk.results, dataset, at) for dataset, _ in due(this, at))


def missing(
    results: Results, dataset: Dataset, at: int, epoch: int | None = None
) -> list[str]:
    """List the protocols of a dataset that are not in the results.

    All processes evaluate together, so all take it from the main one, which alone read
    what an earlier run left.
    """
    where = {"stage": at, "epoch": epoch, "dataset": dataset.name}
    names = list(dataset.protocols)
    return of_main(
        lambda: [name for name in names if not results.has(**where, protocol=name)]
    )


def due(this: Run, at: int) -> Iterator[tuple[Dataset, bool]]:
    """Walk the datasets to evaluate after stage `at`, and whether they were learned."""
    learned = {name for s in this.stages if s.index <= at for name in s.names}
    later = {name for s in this.stages if s.index > at for name in s.names}
    for dataset in this.datasets:
        if dataset.name in later and not this.evaluate_unseen and at != START:
            continue
        yield dataset, dataset.name in learned | this.learned_before


def scores(
    this: Run, snapshot: Snapshot, warn: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Evaluate a finished stage on every dataset, writing nothing.

    Args:
        this: the run.
        snapshot: of the stage.
        warn: told of scores of learned datasets that are not clearly above chance.

    Yields:
        Rows as in `results.json`.
    """
    at = int(snapshot.stage)
    for dataset, seen in due(this, at):
        where = {"stage": at, "epoch": None, "dataset": dataset.name}
        protocols = dataset.protocols.values()
        for ranking in this.evaluator.rankings(snapshot, dataset, protocols):
            name = ranking.name
            row = {**where, "protocol": name, "seen": seen, **ranking.scores()}
            doubt = warning_line(ranking, row)
            if doubt:
                warn(doubt)
            yield row


def warning_line(ranking: Ranking, row: dict[str, Any]) -> str | None:
    """Say in one line that a learned dataset's scores are not clearly above chance."""
    doubt = ranking.warning(row) if row["seen"] else None
    return doubt and f"warning: {row['dataset']} {row['protocol']}: {doubt}"


def evaluation_line(row: dict[str, Any]) -> str:
    """Write an evaluation in one line, in percent."""
    when = "start" if row["stage"] == START else f"after stage {row['stage'] + 1}"
    if row["epoch"] is not None:
        when = f"stage {row['stage'] + 1} epoch {row['epoch']}"
    return (
        f"{when}  {row['dataset']} {row['protocol']}  mAP {100 * row['mAP']:.1f}  "
        f"rank-1 {100 * row['rank1']:.1f}  mINP {100 * row['mINP']:.1f}"
        f"{'' if row['seen'] else '  (not learned yet)'}"
    )
