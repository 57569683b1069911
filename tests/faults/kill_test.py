"""Faults 1 to 3: a run that is killed, wherever that is, ends as one that is not."""

import random
import signal
import subprocess
import sys

import pytest

from ckda_jax import trees
from ckda_jax.engine.checkpoint import Checkpoints
from tests import runs

LINES = (
    "start  regdb",
    "regdb  step 1/4",
    "regdb  step 2/4",
    "stage 1 epoch 1  sysu",
    "regdb  step 3/4",
    "regdb  step 4/4",
    "after stage 1  regdb",
    "sysu  step 1/4",
    "sysu  step 3/4",
    "after stage 2  regdb",
)
"""What a tiny run prints on its way."""


def digests(workdir):
    """Digest all checkpoints of a run: each array, and of states the optimiser's."""
    checkpoints = Checkpoints(workdir / "checkpoints", writes=False)
    found = {
        str(place): trees.digest(checkpoints.restore_as_saved(place.stage, place.step))
        for place in checkpoints.positions()
    }
    checkpoints.close()
    return found


def assert_unbroken(broken, unbroken):
    """Assert that a run is what an unbroken one is, bit for bit, and tidy."""
    assert digests(broken) == digests(unbroken)
    assert runs.metrics(broken) == runs.metrics(unbroken)
    assert runs.results(broken) == runs.results(unbroken)
    assert runs.listing(broken / "examples") == runs.listing(unbroken / "examples")
    assert not [path for path in runs.listing(broken) if "tmp" in path]
    assert not (broken / "checkpoints" / "damaged").exists()


@pytest.mark.slow
def test_1_a_run_killed_at_any_time_ends_as_an_unbroken_one(
    forked, unbroken, world, tmp_path
):
    for seed in range(5):
        rng = random.Random(seed)
        words = runs.words(tmp_path / str(seed), world)
        line, delay = rng.choice(LINES), rng.uniform(0, 0.2)
        ended = forked.run(words, until=line, delay=delay)
        # One that was nearly done may have ended before.
        assert ended in (-signal.SIGKILL, 0), forked.err
        assert forked.run(words) == 0, (line, delay, forked.err)
        assert forked.err == ""
        assert_unbroken(tmp_path / str(seed), unbroken)


@pytest.mark.slow
def test_2_a_run_killed_between_stages_ends_as_an_unbroken_one(
    forked, unbroken, world, tmp_path
):
    folder = tmp_path / "run"
    words = runs.words(folder, world)
    ended = forked.run(words, until="after stage 1  sysu")
    assert ended == -signal.SIGKILL
    assert (folder / "checkpoints" / "stages" / "0" / "manifest.json").exists()
    assert len(runs.metrics(folder)) == 4
    assert forked.run(words) == 0, forked.err
    assert "regdb  step" not in forked.out
    assert_unbroken(folder, unbroken)


SAVES = """
import os, signal, sys, time
from pathlib import Path
import jax
from ckda_jax.engine.checkpoint import Checkpoints, Position
from ckda_jax.engine.state import TrainState

def state(seed):
    large = jax.random.normal(jax.random.key(seed), (3000, 2000))
    return TrainState.start(
        params={"kernel": large}, batch_stats={}, opt_state=(), key=jax.random.key(5)
    )

for root in sys.argv[1:]:
    if os.fork():
        os.wait()
        continue
    checkpoints = Checkpoints(Path(root))
    checkpoints.save_step(Position(0, 1), state(1), {"step": 1})
    checkpoints.wait()
    checkpoints.save_step(Position(0, 2), state(2), {"step": 2})
    time.sleep(float(Path(root).name))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_3_a_kill_during_a_save_leaves_the_checkpoint_before_or_the_new_one(tmp_path):
    roots = [tmp_path / delay for delay in ("0", "0.05", "0.1", "0.4", "1.5")]
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SAVES, *map(str, roots)],
        cwd=runs.ROOT,
        check=True,
        timeout=120,
    )
    newest = []
    for root in roots:
        left = (root / "unfinished").exists() and runs.listing(root / "unfinished")
        checkpoints = Checkpoints(root)
        assert runs.listing(root / "unfinished") == []
        said = []
        checkpoints.recover(0, warn=said.append)
        assert said == []
        latest = checkpoints.latest_position()
        assert latest is not None
        assert left or latest.step == 2
        saved = checkpoints.restore_as_saved(0, latest.step)
        assert saved["params"]["kernel"].std() > 0.9
        newest.append(latest.step)
        # The place is free to be written again.
        checkpoints.close()
    assert newest == sorted(newest)
    assert newest[0] == 1
