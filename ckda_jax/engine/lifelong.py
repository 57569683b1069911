"""The lifelong loop: learn one stage after another, and see what is remembered."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ckda_jax import keys
from ckda_jax.data.dataset import Dataset
from ckda_jax.data.decode import FEATURE_CHAIN
from ckda_jax.data.pipeline import TrainingStream
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.classifier import fresh_slice
from ckda_jax.engine.desk import Desk
from ckda_jax.engine.divergence import Divergence
from ckda_jax.engine.evaluate import Few
from ckda_jax.engine.ranking import Ranking
from ckda_jax.engine.results import START
from ckda_jax.engine.run import Run
from ckda_jax.engine.stage import Stage
from ckda_jax.engine.state import Frozen, Snapshot, TrainState, copy
from ckda_jax.files import EXAMPLES
from ckda_jax.methods.base import StageEnd
from ckda_jax.structs import Interrupted, StageInfo, Tree


def run(this: Run, desk: Desk) -> None:
    """Learn every stage that is not yet learned, evaluating after each.

    Safe to call again after any interruption: finished stages are restored, a stage
    that was interrupted goes on from its newest checkpoint, missing evaluations are
    made up.
    """
    this = this.with_pulse(desk.pulse)
    snapshot, previous = this.origin, None
    if this.evaluate_start:
        evaluate(this, desk, snapshot)
    for stage in this.stages:
        if stage.index in desk.checkpoints.stages():
            snapshot = restore(desk.checkpoints, stage.index, snapshot)
        else:
            snapshot = learn(this, desk, stage, snapshot, previous)
            desk.watchdog.watch(f"saving {stage}")
            desk.checkpoints.save_stage(
                stage.index, snapshot.variables, snapshot.memory
            )
        evaluate(this, desk, snapshot)
        previous = stage.info


def restore(checkpoints: Checkpoints, stage: int, like: Snapshot) -> Snapshot:
    """Restore what a finished stage left behind."""
    variables, memory = checkpoints.restore_stage(
        stage, variables=like.variables, memory=like.memory
    )
    index = jnp.full_like(like.stage, stage)
    return Snapshot(variables=variables, memory=memory, stage=index)


def learn(
    this: Run,
    desk: Desk,
    stage: Stage,
    before: Snapshot,
    previous: StageInfo | None,
) -> Snapshot:
    """Learn one stage, merge with the teacher and consolidate the memory."""
    desk.watchdog.watch(f"setting up {stage}")
    examples = this.learner.method.examples(before.memory)
    mixed = stage.with_examples(this.stages, examples)
    state, frozen = begin(this, mixed, before, previous)
    state = train(this, desk, mixed, state, frozen)
    end = stage_end(this, stage, state.variables, frozen.memory, previous)
    method, cluster = this.learner.method, this.evaluator.embedder.cluster
    merged = method.merge(state.variables, frozen.teacher, end)
    variables = cluster.lay_out(merged)
    end = stage_end(this, stage, variables, frozen.memory, previous)
    memory = cluster.lay_out(method.consolidate(frozen.memory, end))
    index = jnp.full_like(before.stage, stage.index)
    return Snapshot(variables=variables, memory=memory, stage=index)


def begin(
    this: Run, stage: Stage, before: Snapshot, previous: StageInfo | None
) -> tuple[TrainState, Frozen]:
    """Set a stage up: teacher, memory, fresh slice of the classifier and optimiser."""
    cluster = this.evaluator.embedder.cluster
    key = keys.at_stage(this.key, stage.index)
    info = cluster.replicate(stage.info)
    teacher = before.variables if stage.index > 0 else None
    memory, variables = this.learner.method.begin(
        before.memory, before.variables, info, keys.stream(key, "begin")
    )
    params = fresh_slice(
        variables["params"],
        info,
        previous if this.carry_classifier == "equal_count" else None,
        keys.stream(key, "classifier"),
    )
    opt_state = this.learner.optimiser.transform(params).init(params)
    state = TrainState.start(
        params=params,
        batch_stats=variables["batch_stats"],
        opt_state=opt_state,
        key=this.key,
    )
    # A copy: the step consumes its state, which must not be the teacher or the run key.
    state, memory = copy(cluster.lay_out(state)), cluster.lay_out(memory)
    return state, Frozen(teacher=teacher, memory=memory, stage=info)


def train(
    this: Run, desk: Desk, stage: Stage, state: TrainState, frozen: Frozen
) -> TrainState:
    """Take all steps of a stage, or those after its newest checkpoint."""
    cluster = this.evaluator.embedder.cluster
    place = stage.index - this.stages[0].index
    with this.stream(stage) as stream:
        state, done = resume(this, desk, stage, state, stream)
        evaluate_epoch(this, desk, stage, done, state, frozen)
        divergence = Divergence(
            stage=stage,
            tolerated=this.skip_nonfinite,
            state=state,
            stream=stream,
            checkpoints=desk.checkpoints,
            note=desk.progress.note,
        )
        desk.progress.begin(place, done)
        for batch in stream:
            done, rows = done + 1, cluster.put(batch, axis=1)
            desk.watchdog.watch(f"step {done} of {stage}")
            # Before the step, which consumes the state; and waited for, as two programs
            # at once would mix up what processes send each other.
            measured = this.pauses.measures(done)
            shares = this.shares(state, frozen, rows) if measured else {}
            jax.block_until_ready(shares)
            state, metrics = this.step(state, frozen, rows)
            divergence.add(done, metrics | shares)
            desk.interruption.hold()
            ends = desk.interruption.asked()
            log(this, desk, stage, done, divergence, fetch=ends)
            if ends:
                saved = desk.save(stage, done, state, stream)
                raise desk.interruption.ends(saved)
            turn_aside(this, desk, stage, done, state, frozen, stream)
    desk.interruption.release()
    desk.progress.end()
    return state


def resume(
    this: Run, desk: Desk, stage: Stage, state: TrainState, stream: TrainingStream
) -> tuple[TrainState, int]:
    """Go to the newest checkpoint inside this stage, if there is one."""
    position = desk.checkpoints.latest_position()
    if position is None or position.stage != stage.index:
        desk.writer.cut_back(stage.index, 0)
        return state, 0
    state, stream_state = desk.checkpoints.restore_step(position, state)
    stream.set_state(stream_state, of_other_data=this.data_may_change)
    desk.writer.cut_back(position.stage, position.step)
    desk.progress.note(f"resumed {stage.name} at step {position.step} of {stage.steps}")
    return state, position.step


def log(
    this: Run,
    desk: Desk,
    stage: Stage,
    done: int,
    divergence: Divergence,
    *,
    fetch: bool = False,
) -> None:
    """Tell how far the stage is; fetch metrics from the device when they are due.

    So they are before a save out of turn (`fetch`): what diverged is never saved.

    Raises:
        InputError: too many steps were not finite.
    """
    logs = this.pauses.logs(done, stage.steps)
    if not logs and not fetch:
        desk.progress.update(done)
        return
    values = divergence.fetch()
    desk.progress.update(done, loss=values["loss"])
    speed = desk.progress.images_per_second
    if speed is not None:
        values["images_per_second"] = speed
    if logs:  # else the log would tell when the run was interrupted
        epoch = (done - 1) // stage.steps_per_epoch + 1
        desk.writer.scalars(stage=stage.index, step=done, epoch=epoch, values=values)


def turn_aside(
    this: Run,
    desk: Desk,
    stage: Stage,
    done: int,
    state: TrainState,
    frozen: Frozen,
    stream: TrainingStream,
) -> None:
    """Save a checkpoint or evaluate, where one is due before the stage's end.

    Raises:
        Interrupted: the run is asked to end while it evaluates; the step is saved.
    """
    saves = this.pauses.saves(done, stage.steps)
    if saves:
        desk.save(stage, done, state, stream)
        desk.progress.pause(done)
    try:
        desk.interruption.release()
        evaluate_epoch(this, desk, stage, done, state, frozen)
        desk.interruption.hold()
    except Interrupted:
        if saves:
            raise
        saved = desk.save(stage, done, state, stream)
        raise desk.interruption.ends(saved) from None


def evaluate_epoch(
    this: Run, desk: Desk, stage: Stage, done: int, state: TrainState, frozen: Frozen
) -> None:
    """Evaluate inside a stage, where an epoch ends after which that is due."""
    epoch, into_epoch = divmod(done, stage.steps_per_epoch)
    if into_epoch or not this.pauses.evaluates(epoch, stage.epochs):
        return
    now = Snapshot(
        variables=state.variables, memory=frozen.memory, stage=frozen.stage.index
    )
    evaluate(this, desk, now, epoch=epoch)
    desk.progress.pause(done)


def stage_end(
    this: Run,
    stage: Stage,
    variables: Tree,
    memory: Tree,
    previous: StageInfo | None,
) -> StageEnd:
    """Gather what a method may read at a stage's end."""
    embedder = this.evaluator.embedder
    index = embedder.cluster.replicate(jnp.int32(stage.index))
    snapshot = Snapshot(variables=variables, memory=memory, stage=index)
    labels = stage.labels - stage.first_row

    def sums(rows: np.ndarray, modality: int, count: int) -> Array:
        records = stage.records.take(this.usable(stage, rows))
        return embedder.sums(
            snapshot, records, FEATURE_CHAIN, modality, labels[rows], count
        )

    return StageEnd(
        variables=variables,
        stage=stage.info,
        previous=previous,
        datasets=stage.names,
        labels=labels,
        modality=stage.records.modality,
        sums=sums,
        key=keys.stream(keys.at_stage(this.key, stage.index), "end"),
    )


def evaluate(
    this: Run, desk: Desk, snapshot: Snapshot, *, epoch: int | None = None
) -> None:
    """Evaluate on every dataset due, leaving out what is in the results already."""
    at = int(snapshot.stage)
    last = at == this.stages[-1].index and epoch is None
    for dataset, seen in due(this, at):
        where = {"stage": at, "epoch": epoch, "dataset": dataset.name}
        open_ones = [
            protocol
            for protocol in dataset.protocols.values()
            if not desk.results.has(**where, protocol=protocol.name)
        ]
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
