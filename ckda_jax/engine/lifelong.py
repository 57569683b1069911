"""The lifelong loop: learn one stage after another, and see what is remembered."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ckda_jax import keys
from ckda_jax.data.decode import FEATURE_CHAIN
from ckda_jax.data.pipeline import TrainingStream
from ckda_jax.engine.checkpoint import Checkpoints, Position
from ckda_jax.engine.classifier import fresh_slice
from ckda_jax.engine.desk import Desk
from ckda_jax.engine.divergence import Divergence
from ckda_jax.engine.examination import evaluate, is_evaluated
from ckda_jax.engine.results import START
from ckda_jax.engine.run import Run
from ckda_jax.engine.stage import Stage
from ckda_jax.engine.state import Frozen, Snapshot, TrainState, copy
from ckda_jax.methods.base import StageEnd
from ckda_jax.structs import StageInfo, Tree


def run(this: Run, desk: Desk) -> None:
    """Learn every stage that is not yet learned, evaluating after each.

    Safe to call again after any interruption: the last finished stage is restored, a
    stage that was interrupted goes on from its newest checkpoint that is whole, missing
    evaluations are made up.

    Raises:
        InputError: no checkpoint is whole, or not the newest of a strict run.
        OSError: something could not be saved.
    """
    this = this.with_pulse(desk.pulse)
    snapshot, previous = this.origin, None
    last = recover(this, desk)
    if this.evaluate_start:
        evaluate(this, desk, snapshot)
    for stage in this.stages:
        if stage.index > last:
            snapshot = learn(this, desk, stage, snapshot, previous)
            desk.save_end(stage, snapshot)
            evaluate(this, desk, snapshot)
        elif stage.index == last or not is_evaluated(this, desk, stage.index):
            snapshot = restore(desk.checkpoints, stage.index, snapshot)
            evaluate(this, desk, snapshot)
        previous = stage.info


def recover(this: Run, desk: Desk) -> int:
    """Verify what the run goes on from; return the last finished stage, or `START`.

    Results of what is lost are dropped: it is learned, and measured, again.
    """
    desk.watchdog.watch("verifying the checkpoints")

    def warn(text: str) -> None:
        desk.progress.note(f"warning: {text}")

    first = this.stages[0].index
    finished = desk.checkpoints.recover(first, strict=this.strict, warn=warn)
    last = desk.checkpoints.latest_position()
    if last is not None and last.stage not in finished:
        stage = this.stages[last.stage - first]
        desk.results.cut_back(stage.index, last.step // stage.steps_per_epoch)
    else:
        desk.results.cut_back(max(finished, default=first - 1))
    return max(finished, default=START)


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
        desk.watchdog.watch(f"reading the images of step {done + 1} of {stage}")
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
            saves = ends or evaluates(this, stage, done)
            log(this, desk, stage, done, divergence, fetch=saves)
            if ends:
                saved = desk.save(stage, done, state, stream)
                desk.checkpoints.wait()
                raise desk.interruption.ends(saved)
            turn_aside(this, desk, stage, done, state, frozen, stream)
            desk.watchdog.watch(f"reading the images of step {done + 1} of {stage}")
    desk.watchdog.watch(f"consolidating {stage}")
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
    """Save a checkpoint, and evaluate it, where that is due before the stage's end.

    What is evaluated is saved first: a run that ends meanwhile evaluates when it goes
    on, and the best can be kept.
    """
    if not (this.pauses.saves(done, stage.steps) or evaluates(this, stage, done)):
        return
    desk.save(stage, done, state, stream)
    desk.progress.pause(done)
    desk.interruption.release()
    evaluate_epoch(this, desk, stage, done, state, frozen)
    desk.interruption.hold()


def evaluates(this: Run, stage: Stage, done: int) -> bool:
    """Whether an evaluation inside a stage is due after a step."""
    epoch, into_epoch = divmod(done, stage.steps_per_epoch)
    return into_epoch == 0 and this.pauses.evaluates(epoch, stage.epochs)


def evaluate_epoch(
    this: Run, desk: Desk, stage: Stage, done: int, state: TrainState, frozen: Frozen
) -> None:
    """Evaluate inside a stage, where an epoch ends after which that is due."""
    if not evaluates(this, stage, done):
        return
    epoch = done // stage.steps_per_epoch
    now = Snapshot(
        variables=state.variables, memory=frozen.memory, stage=frozen.stage.index
    )
    evaluate(this, desk, now, epoch=epoch)
    score = desk.results.mean(stage.index, epoch)
    desk.checkpoints.rate(Position(stage.index, done), score)
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
