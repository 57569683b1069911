"""Faults 4 and 6: a run that is asked to end does so after a saved step, or at once."""

import os
import signal

import pytest

from ckda_jax.engine.checkpoint import Checkpoints
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
def test_4_6_a_run_that_is_asked_to_end_goes_on_to_the_same_bits(
    forked, unbroken, world, tmp_path
):
    """Between two steps, by two signals at once, and while it evaluates."""
    folder = tmp_path / "run"
    words = runs.words(folder, world)
    rarely, terminate = [*words, RARELY], sender(signal.SIGTERM)
    assert forked.run(rarely, until="sysu  step 1/4", then=terminate) == 143
    place = newest(folder)
    assert place is not None and place.stage == 1
    assert forked.err.startswith(
        f"terminated; saved step {place.step} of stage 2 (sysu); go on with: python -m "
        f"ckda_jax.train --config {runs.COMMON}:ckda --workdir {folder} "
    )
    assert forked.err.count("\n") == 1

    both = sender(signal.SIGTERM, signal.SIGINT)
    again = f"sysu  step {place.step + 1}/4"
    assert forked.run(rarely, until=again, then=both) in (130, 143)
    assert f"resumed sysu at step {place.step} of 4" in forked.out
    # The first signal alone would have saved the step at hand.
    assert "saved" not in forked.err
    assert newest(folder) == place

    told = "after stage 2  regdb"
    assert forked.run(words, until=told, then=terminate) == 143
    assert forked.err.startswith("terminated; go on with: python -m ckda_jax.train ")
    assert not (folder / "report.html").exists()
    assert forked.run(words) == 0, forked.err
    assert "sysu  step" not in forked.out
    runs.assert_same_run(folder, unbroken, stages=2)
