"""Faults 4 and 6: a run that is asked to end does so after a saved step, or at once."""

import os
import signal

import pytest

from ckda_jax.engine.checkpoint import Checkpoints, Position
from tests import runs

RARELY = "--config.train.checkpoint_every=1000"
"""Nothing is saved then but what is saved because the run is to end."""


def sender(*numbers):
    """Send signals to a process, which is held up until all are there."""

    def send(pid):
        for number in (signal.SIGSTOP, *numbers, signal.SIGCONT):
            os.kill(pid, number)

    return send


def newest(workdir):
    """Look up the newest position inside a stage."""
    checkpoints = Checkpoints(workdir / "checkpoints", writes=False)
    found = checkpoints.latest_position()
    checkpoints.close()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")],
)
def test_4_a_run_that_is_asked_to_end_saves_and_goes_on_to_the_same_bits(
    forked, unbroken, world, tmp_path, number, said
):
    folder = tmp_path / "run"
    words = runs.words(folder, world)
    ended = forked.run([*words, RARELY], until="sysu  step 1/4", then=sender(number))
    assert ended == 128 + number, forked.err
    *others, last = forked.err.splitlines()
    assert others == []
    place = newest(folder)
    assert place is not None and place.stage == 1
    assert last.startswith(
        f"{said}; saved step {place.step} of stage 2 (sysu); go on with: python -m "
        f"ckda_jax.train --config {runs.COMMON}:ckda --workdir {folder} "
    )
    assert forked.run(words) == 0, forked.err
    assert f"resumed sysu at step {place.step} of 4" in forked.out
    runs.assert_same_run(folder, unbroken, stages=2)


@pytest.mark.slow
def test_4_an_evaluation_is_ended_where_it_is(forked, unbroken, world, tmp_path):
    folder = tmp_path / "run"
    words = runs.words(folder, world)
    ended = forked.run(words, until="after stage 1  regdb", then=sender(signal.SIGTERM))
    assert ended == 143
    assert forked.err.startswith("terminated; go on with: python -m ckda_jax.train ")
    assert not (folder / "checkpoints" / "steps" / "10000001").exists()
    assert forked.run(words) == 0, forked.err
    runs.assert_same_run(folder, unbroken, stages=2)


@pytest.mark.slow
def test_6_a_second_signal_ends_a_run_at_once(forked, unbroken, world, tmp_path):
    folder = tmp_path / "run"
    words = runs.words(folder, world)
    both = sender(signal.SIGTERM, signal.SIGINT)
    ended = forked.run(words, until="sysu  step 2/4", then=both)
    assert ended in (130, 143)
    assert "saved step" not in forked.err
    place = newest(folder)
    assert place is not None and Position(1, 1) <= place
    assert forked.run(words) == 0, forked.err
    runs.assert_same_run(folder, unbroken, stages=2)
