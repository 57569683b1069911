"""The lifelong loop, its turns one by one; whole runs are in `tests/train_test.py`."""

import dataclasses
import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.engine import lifelong
from ckda_jax.engine.checkpoint import Position
from ckda_jax.engine.divergence import Divergence
from ckda_jax.engine.run import Pauses
from tests import runs


def start(assembled, snapshot, index):
    """Begin a stage of the assembled run."""
    stage = assembled.stages[index]
    previous = assembled.stages[index - 1].info if index else None
    return lifelong.begin(assembled, stage, snapshot, previous)


def every(log_every, **others):
    """Make the pauses of a run that neither evaluates nor measures on its way."""
    pauses = {"checkpoint_every": 1, "eval_every": 0, "gradients_every": 0}
    return Pauses(log_every=log_every, **(pauses | others))


def test_the_first_stage_has_no_teacher(assembled):
    state, frozen = start(assembled, assembled.origin, 0)
    assert frozen.teacher is None
    assert int(state.step) == 0
    assert int(frozen.stage.index) == 0


def test_a_later_stage_has_the_previous_model_for_teacher(assembled, snapshot):
    state, frozen = start(assembled, snapshot, 1)
    chex.assert_trees_all_equal(frozen.teacher, snapshot.variables)
    kept, was = dict(state.params), dict(snapshot.variables["params"])
    kernel, old = kept.pop("classifier")["kernel"], was.pop("classifier")["kernel"]
    chex.assert_trees_all_equal(kept, was)
    chex.assert_trees_all_equal(state.batch_stats, snapshot.variables["batch_stats"])
    np.testing.assert_array_equal(kernel[:, :6], old[:, :6])
    assert np.abs(kernel[:, 6:] - old[:, 6:]).min(axis=0).all()
    moments = [x for x in runs.leaves(state.opt_state) if x.ndim]
    assert not any(np.any(moment) for moment in moments)


def test_the_teacher_and_the_run_key_outlive_the_state(assembled, snapshot):
    state, frozen = start(assembled, snapshot, 1)
    jax.tree.map(lambda leaf: leaf.delete(), state)
    chex.assert_trees_all_equal(frozen.teacher, snapshot.variables)
    assert jax.random.key_data(assembled.key).shape == (2,)


def test_the_classifier_is_carried_only_where_asked(assembled, snapshot):
    run = dataclasses.replace(assembled, carry_classifier="equal_count")
    kernel = start(run, snapshot, 1)[0].params["classifier"]["kernel"]
    np.testing.assert_array_equal(kernel[:, 6:], kernel[:, :6])
    kernel = start(assembled, snapshot, 1)[0].params["classifier"]["kernel"]
    assert np.abs(kernel[:, 6:] - kernel[:, :6]).max() > 1e-4


def test_a_stage_starts_alike_whatever_the_classifiers_size(assembled, snapshot):
    stage = assembled.stages[1]
    alone = dataclasses.replace(stage, first_row=0, capacity=6)
    kernel = snapshot.variables["params"]["classifier"]["kernel"]
    small = jax.tree.map(lambda leaf: leaf, snapshot)
    small.variables["params"]["classifier"] = {"kernel": kernel[:, :6]}
    state, _ = lifelong.begin(assembled, alone, small, None)
    whole, _ = start(assembled, snapshot, 1)
    np.testing.assert_array_equal(
        state.params["classifier"]["kernel"],
        whole.params["classifier"]["kernel"][:, 6:],
    )


class Fetched(Divergence):
    """Stands in for what watches the metrics: the loss is the step."""

    def __init__(self):
        self.step = 0

    def fetch(self):
        """Return a step's metrics."""
        return {"loss": float(self.step), "lr": 0.5}


def log(run, desk, steps, **options):
    """Take some steps that only log."""
    divergence = Fetched()
    for done in range(1, steps + 1):
        divergence.step = done
        lifelong.log(run, desk, run.stages[0], done, divergence, **options)


def test_log_fetches_what_is_due_and_the_last_step(assembled, desk, tmp_path):
    run = dataclasses.replace(assembled, pauses=every(3, checkpoint_every=9))
    log(run, desk, 4)
    rows = runs.metrics(tmp_path)
    assert [(row["step"], row["epoch"], row["loss"]) for row in rows] == [
        (3, 2, 3.0),
        (4, 2, 4.0),
    ]


def test_what_was_measured_is_logged_where_no_log_line_is_due(
    assembled, desk, tmp_path
):
    pauses = every(3, checkpoint_every=9, gradients_every=2)
    run = dataclasses.replace(assembled, pauses=pauses)
    log(run, desk, 4)
    assert [row["step"] for row in runs.metrics(tmp_path)] == [2, 3, 4]


def test_what_is_fetched_because_the_run_ends_is_not_logged(assembled, desk, tmp_path):
    run = dataclasses.replace(assembled, pauses=every(3, checkpoint_every=9))
    log(run, desk, 2, fetch=True)
    assert runs.metrics(tmp_path) == []


def test_a_loader_that_hangs_is_named(assembled, snapshot, desk, monkeypatch):
    watched, awaited = [], []
    monkeypatch.setattr(desk.watchdog, "watch", watched.append)

    class Stream:
        """A stage's batches, which note what is watched when one is asked for."""

        def __init__(self, stage):
            self._batches = assembled.stream(stage)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._batches.close()

        def __iter__(self):
            return self

        def __next__(self):
            awaited.append(watched[-1])
            return next(self._batches)

    run = dataclasses.replace(
        assembled,
        pauses=every(9, checkpoint_every=9),
        step=lambda state, frozen, rows: (state, {}),
        stream=Stream,
    )
    monkeypatch.setattr(lifelong, "Divergence", lambda **_: Fetched())
    monkeypatch.setattr(Fetched, "add", lambda *_: None)
    state, frozen = start(run, snapshot, 1)
    lifelong.train(run, desk, run.stages[1], state, frozen)
    steps = [f"reading the images of step {step} of stage 2 (sysu)" for step in "12345"]
    assert awaited == steps
    assert watched[-1] == "consolidating stage 2 (sysu)"


def test_the_loop_turns_aside_where_due_but_not_at_the_stages_end(
    assembled, snapshot, desk, monkeypatch
):
    evaluated = []
    monkeypatch.setattr(
        lifelong, "evaluate", lambda *_, epoch: evaluated.append((done, epoch))
    )
    pauses = every(1, checkpoint_every=3, eval_every=1)
    run = dataclasses.replace(assembled, pauses=pauses)
    state, frozen = start(run, snapshot, 1)
    with run.stream(run.stages[1]) as stream:
        for done in range(1, 5):
            lifelong.turn_aside(run, desk, run.stages[1], done, state, frozen, stream)
    assert evaluated == [(2, 1)]
    assert desk.checkpoints.latest_position() == Position(1, 3)


def test_what_is_evaluated_inside_a_stage_is_saved_and_rated(
    assembled, snapshot, desk, tmp_path
):
    pauses = every(1, checkpoint_every=9, eval_every=1)
    run = dataclasses.replace(assembled, pauses=pauses)
    state, frozen = start(run, snapshot, 1)
    with run.stream(run.stages[1]) as stream:
        for done in range(1, 5):
            lifelong.turn_aside(run, desk, run.stages[1], done, state, frozen, stream)
    assert desk.checkpoints.positions() == [Position(1, 2)]
    manifest = tmp_path / "checkpoints" / "steps" / "10000002" / "manifest.json"
    rows = [row for row in desk.results.content["evaluations"] if row["epoch"] == 1]
    seen = [row["mAP"] for row in rows if row["seen"] and row["stage"] == 1]
    assert len(seen) == 2
    assert json.loads(manifest.read_text())["score"] == sum(seen) / 2


def test_a_stage_is_evaluated_when_all_that_is_due_is_in_the_results(assembled, desk):
    assert not lifelong.is_evaluated(assembled, desk, 1)  # on LLCM
    run = dataclasses.replace(assembled, datasets=assembled.datasets[:2])
    assert lifelong.is_evaluated(run, desk, 1)


def test_resume_goes_to_the_newest_state_of_the_same_stage(assembled, snapshot, desk):
    state, _ = start(assembled, snapshot, 1)
    first, second = assembled.stages
    later = state.replace(step=jnp.int32(3))
    with assembled.stream(second) as stream:
        next(stream)
        wanted = next(stream)
        stream.set_state({**stream.get_state(), "step": 1})
        desk.checkpoints.save_step(Position(1, 3), later, stream.get_state())
    with assembled.stream(second) as stream:
        found, done = lifelong.resume(assembled, desk, second, state, stream)
        assert (int(found.step), done) == (3, 3)
        np.testing.assert_array_equal(next(stream).example, wanted.example)
    with assembled.stream(first) as stream:
        found, done = lifelong.resume(assembled, desk, first, state, stream)
        assert (int(found.step), done) == (0, 0)


@pytest.fixture
def broken_off(finished, tmp_path):
    """A function that copies the finished run without its last stage's end."""

    def copy_until(step, name):
        folder = tmp_path / name
        shutil.copytree(finished, folder)
        shutil.rmtree(folder / "checkpoints" / "stages" / "1")
        shutil.rmtree(folder / "examples")
        content = runs.results(folder)
        content["evaluations"] = content["evaluations"][:-2]
        (folder / "results.json").write_text(json.dumps(content))
        for path in (folder / "checkpoints" / "steps").iterdir():
            if int(path.name) > 10000000 + step:
                shutil.rmtree(path)
        return folder

    return copy_until


def test_a_run_goes_on_inside_a_stage_and_ends_as_an_unbroken_one(
    finished, world, broken_off
):
    folder = broken_off(2, "run")
    runs.take(folder, world)
    runs.assert_same_run(folder, finished, stages=2)
    assert len(list((folder / "examples").iterdir())) == 4


def test_shares_change_nothing_else_and_are_the_same_after_a_resume(
    finished, world, broken_off
):
    once, again = broken_off(2, "once"), broken_off(3, "again")
    for folder in (once, again):
        runs.take(folder, world, train__gradients_every=2, train__log_every=3)
    rows = runs.metrics(once)
    shares = [{n for n in row if n.startswith("gradient_share/")} for row in rows]
    # Only the last of the eight steps was both taken here and due to be measured.
    assert [len(names) for names in shares] == [0] * 7 + [6]
    total = sum(rows[-1][name] for name in shares[-1])
    assert total == pytest.approx(1, rel=1e-5)
    assert rows[-1]["gradient_share/alignment"] > 0
    runs.assert_same_run(again, once, stages=2)

    for row, names in zip(rows, shares, strict=True):
        for name in names:
            del row[name]
    assert rows == runs.metrics(finished)
    runs.assert_same_checkpoints(once, finished, stages=2)
    assert runs.results(once) == runs.results(finished)
