"""A run that is killed again and again ends as one that is not."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests import runs


def run_until(line: str, end: signal.Signals, words: list[str], cache: Path) -> int:
    """Start a run, send a signal when it prints a line with this text.

    Returns:
        The exit status of the process, minus the signal's number where that ended it.
    """
    with subprocess.Popen(
        runs.command("train", words),
        env=runs.environment(cache),
        cwd=runs.ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        told = []
        for printed in process.stdout:
            told.append(printed)
            if line in printed:
                process.send_signal(end)
                break
        else:
            raise AssertionError(f"no line with {line!r} in:\n{''.join(told)}")
        process.stdout.read()
        return process.wait(timeout=120)


@pytest.mark.slow
def test_a_run_killed_anywhere_ends_as_an_unbroken_one(world, tmp_path):
    cache = tmp_path / "cache"
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = runs.run_process("train", runs.words(whole, world), cache)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    words = runs.words(broken, world)

    inside = run_until("regdb  step 3/4", signal.SIGKILL, words, cache)
    assert inside == -signal.SIGKILL
    assert not (broken / "checkpoints" / "stages" / "0").exists()
    assert any((broken / "checkpoints" / "steps").iterdir())

    evaluating = run_until("after stage 1  regdb", signal.SIGKILL, words, cache)
    assert evaluating == -signal.SIGKILL
    assert (broken / "checkpoints" / "stages" / "0").exists()
    assert len(runs.results(broken)["evaluations"]) < 6

    between = run_until("after stage 1  sysu", signal.SIGKILL, words, cache)
    assert between == -signal.SIGKILL
    assert len(runs.metrics(broken)) == 4

    assert run_until("sysu  step 3/4", signal.SIGTERM, words, cache) == 143
    assert not (broken / "report.html").exists()

    done = runs.run_process("train", words, cache)
    assert done.returncode == 0, done.stderr
    assert "resumed sysu at step" in done.stdout
    runs.assert_same_run(broken, whole, stages=2)
    assert runs.listing(broken / "examples") == runs.listing(whole / "examples")
    assert not [path for path in runs.listing(broken) if "tmp" in path]
