"""Faults 11 and 12: a disk that is full, and a run directory that is taken away."""

import os
import shutil
import signal

import pytest

from ckda_jax import train
from ckda_jax.build import run as build_run
from tests import runs


def test_11_a_full_disk_ends_the_run_with_one_line_and_all_that_was_saved(
    inside, finished, world, monkeypatch, capsys
):
    monkeypatch.setattr(build_run, "compiled_step", runs.compile_quickly)
    shutil.rmtree(inside / "checkpoints" / "steps" / "10000003")
    before = {path: path.read_bytes() for path in checkpoint_files(inside)}
    with runs.small_files_only(limit=20_000):
        assert train.main(runs.words(inside, world)) == 1
    error = capsys.readouterr().err
    where = f"error: {inside}/checkpoints: cannot be written (File too large); make "
    assert error.startswith(where)
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in checkpoint_files(inside)} == before
    assert not (inside / "checkpoints" / "unfinished").exists()
    # What made room runs the same command again.
    assert train.main(runs.words(inside, world)) == 0
    runs.assert_same_run(inside, finished, stages=2)


def checkpoint_files(run):
    """List all files of a run's checkpoints."""
    return [path for path in (run / "checkpoints").rglob("*") if path.is_file()]


@pytest.fixture
def stopped(forked, inside, world):
    """A function that stops a run after a step, does something, and lets it go on."""
    shutil.rmtree(inside / "checkpoints" / "steps" / "10000003")
    words = runs.words(inside, world)

    def run(act, until="resumed sysu at step 2"):
        def pause(pid):
            os.kill(pid, signal.SIGSTOP)
            act(inside)
            os.kill(pid, signal.SIGCONT)

        status = forked.run(words, until=until, then=pause)
        return status, forked.err

    return run


@pytest.mark.parametrize("then", ["resumed sysu at step 2", "after stage 2  regdb"])
def test_12_a_run_directory_that_is_taken_away_is_an_error_and_not_made_again(
    stopped, inside, then
):
    """Before the next checkpoint, and while it evaluates."""
    status, error = stopped(shutil.rmtree, then)
    assert status == 1
    assert error.startswith("error: ") and str(inside) in error
    assert error.count("\n") == 1
    left = [path.name for path in inside.glob("*")]
    assert left in ([], ["tensorboard"])  # which that library makes for a new stage


def test_12_a_run_directory_that_becomes_read_only_is_an_error_at_the_next_save(
    stopped, inside, forked, world
):
    def seal(run, mode=0o555):
        for path in [run / "checkpoints", *(run / "checkpoints").rglob("*")]:
            if path.is_dir():
                path.chmod(mode)

    status, error = stopped(seal)
    assert status == 1
    assert error.startswith(f"error: {inside}/checkpoints: cannot be written (")
    assert "Permission denied" in error
    assert error.count("\n") == 1
    seal(inside, 0o755)
    assert forked.run(runs.words(inside, world)) == 0, forked.err
