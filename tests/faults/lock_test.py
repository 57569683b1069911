"""Fault 13: of two runs in one directory the second is refused, unless one is dead."""

import contextlib
import os
import shutil
import signal

import pytest

from ckda_jax import train, workdir
from ckda_jax.reporting.writer import TENSORBOARD
from tests import runs


@pytest.mark.slow
def test_13_a_second_run_is_refused_until_the_first_is_dead(
    forked, world, tmp_path, capsys
):
    folder = tmp_path / "run"
    words = runs.words(folder, world)
    seen = {}

    def try_another(pid):
        os.kill(pid, signal.SIGSTOP)
        before = runs.listing(folder)
        seen["status"] = train.main(words)
        seen["pid"], seen["unchanged"] = pid, runs.listing(folder) == before
        os.kill(pid, signal.SIGKILL)

    ended = forked.run(words, until="start  regdb", then=try_another)
    assert ended == -signal.SIGKILL
    assert (seen["status"], seen["unchanged"]) == (2, True)
    said = capsys.readouterr().err
    first = f"error: --workdir {folder}: locked by pid {seen['pid']} on "
    assert said.startswith(first)
    assert said.count("\n") == 1

    assert (folder / workdir.LOCK).exists()
    with workdir.held(folder):
        pass
    assert not (folder / workdir.LOCK).exists()


@pytest.mark.slow
def test_13_a_run_whose_directory_was_moved_leaves_the_next_one_alone(
    forked, finished, inside, world
):
    """It is moved away during a stage, and another run has begun in its place."""
    shutil.rmtree(inside / "checkpoints" / "steps" / "10000003")
    seen = {}

    def take_over(pid):
        os.kill(pid, signal.SIGSTOP)
        inside.rename(inside.with_name("moved"))
        shutil.copytree(finished, inside)
        seen["lock"] = stack.enter_context(workdir.held(inside))
        seen["before"] = contents(inside)
        os.kill(pid, signal.SIGCONT)

    with contextlib.ExitStack() as stack:
        # Nothing is written between a step and the stage's end: there is no race.
        words = runs.words(inside, world, train__checkpoint_every=1000)
        ended = forked.run(words, until="sysu  step 3/4", then=take_over)
        assert contents(inside) == seen["before"]
        assert seen["lock"]()
    assert ended == 1
    assert forked.err.startswith(f"error: {inside}: no longer held by this run")
    assert forked.err.count("\n") == 1


def contents(folder):
    """Read all files below a folder but those of TensorBoard, which are never read."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and TENSORBOARD not in path.parts
    }
