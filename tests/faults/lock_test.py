"""Fault 13: of two runs in one directory the second is refused, unless one is dead."""

import os
import signal

import pytest

from ckda_jax import train, workdir
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
