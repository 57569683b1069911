"""Two runs in one directory: the second is refused; what a dead one held is free."""

import signal

import pytest

from ckda_jax import train, workdir
from tests import runs
from tests.faults.processes import running


@pytest.mark.slow
def test_a_second_run_is_refused_until_the_first_is_dead(world, tmp_path, capsys):
    """Fault 13."""
    folder = tmp_path / "run"
    words = runs.words(folder, world, stages="regdb", train__steps=10000)
    with running(words, tmp_path / "cache", tmp_path / "log") as first:
        first.until("start  regdb").send(signal.SIGSTOP)
        before = runs.listing(folder)
        assert train.main(words) == 2
        said = capsys.readouterr().err
        assert said.startswith(
            f"error: --workdir {folder}: locked by pid {first.pid} on "
        )
        assert said.count("\n") == 1
        assert runs.listing(folder) == before
        first.send(signal.SIGKILL).ends()
    assert (folder / workdir.LOCK).exists()
    with workdir.held(folder):
        pass
    assert not (folder / workdir.LOCK).exists()
