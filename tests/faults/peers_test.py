"""Faults 5, 21 and 22: of two processes one is told to end, one dies, one is stuck."""

import re
import signal
import time
from typing import Any

import pytest

from ckda_jax.engine.checkpoint import Checkpoints, Position
from ckda_jax.engine.watchdog import EXCEEDED
from tests import runs
from tests.faults.processes import HEARTBEAT, NEVER, pair

LONG: dict[str, Any] = {
    "preset": "finetune",
    "stages": "regdb",
    "eval_every": 0,
    "eval__before": False,
    "train__steps": 10000,
    "train__checkpoint_every": 1000,
}
"""Keys of a run that is over only when it is ended."""


@pytest.mark.slow
def test_5_21_22_two_processes_end_together_lose_one_and_wait_for_one(world, tmp_path):
    """In this order, as the second goes on from the first.

    The resumed run must compute the bits of the last one, which was never broken off.
    """
    cache, folder = tmp_path / "cache", tmp_path / "run"
    words = runs.words(folder, world, **LONG)

    with pair(words, cache, tmp_path / "told") as (first, second):
        first.until("step 2/")
        second.send(signal.SIGTERM)
        assert (first.ends(), second.ends()) == (143, 143)
    told = [re.findall(r"saved (step (\d+) .*?);", p.output) for p in (first, second)]
    assert told[0] == told[1] and len(told[0]) == 1
    saved = int(told[0][0][1])
    assert "go on with: python -m ckda_jax.train --config" in first.output
    checkpoints = Checkpoints(folder / "checkpoints", writes=False)
    assert checkpoints.latest_position() == Position(0, saved)
    checkpoints.close()

    begun = time.monotonic()
    with pair(words, cache, tmp_path / "killed") as (first, second):
        first.until(f"step {saved + 3}/")
        limit = max(10, round(time.monotonic() - begun))  # no single thing takes longer
        assert f"resumed regdb at step {saved} of" in first.output
        second.send(signal.SIGKILL)
        start = time.monotonic()
        status = first.ends()
        waited = time.monotonic() - start
        assert status == 1
        assert waited < HEARTBEAT + 5
        last = first.output.splitlines()[-1]
        assert last.startswith("error: another process of the run is lost, ")
    lost = runs.metrics(folder)
    assert len(lost) >= saved + 3

    limited = runs.words(tmp_path / "whole", world, train__step_limit=limit, **LONG)
    # Stopped, it sends no heartbeats either; one that is stuck does.
    stuck = pair(limited, cache, tmp_path / "stuck", heartbeat=NEVER)
    with stuck as (first, second):
        first.until(f"step {saved + 3}/")
        second.send(signal.SIGSTOP)
        assert first.ends() == EXCEEDED
        assert "in train" in first.output  # the stacks
        said = first.output.splitlines()[-1]
        assert re.match(r"error: step \d+ of stage 1 \(regdb\) has taken \d+ s", said)
        assert "Go on with: python -m ckda_jax.train --config" in said
    whole = runs.metrics(tmp_path / "whole")
    assert whole[: saved + 3] == lost[: saved + 3]
