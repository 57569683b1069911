"""Locks: who waits, who is refused, and what a dead process leaves behind."""

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import socket
import subprocess
import sys

import pytest

from ckda_jax import locks
from ckda_jax.locks import Holder, check_held, exclusive, locked
from ckda_jax.structs import InputError


def write(path, pid, **changes):
    """Write a lock file as a process would."""
    own = dataclasses.asdict(Holder.now())
    path.write_text(json.dumps(own | {"pid": pid, "since": "2026"} | changes))


def test_a_lock_keeps_others_out_and_leaves_nothing(tmp_path):
    path = tmp_path / ".lock"
    with locked(path) as held, open(path, "w") as other:
        assert held
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert list(path.parent.iterdir()) == []
    with pytest.raises(KeyError), locked(path):
        raise KeyError
    assert list(path.parent.iterdir()) == []


def test_a_lock_whose_file_is_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    path, flock, waited = tmp_path / ".lock", fcntl.flock, []

    def wait(file, how):
        if not waited:
            path.unlink()  # as whoever held it does
        waited.append(how)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", wait)
    with locked(path) as held:
        assert held
        assert path.exists()
    assert waited == [fcntl.LOCK_EX] * 2


def test_where_there_are_no_locks_none_is_held(tmp_path, monkeypatch):
    def refuse(file, how):
        raise OSError(code, "refused")

    monkeypatch.setattr(fcntl, "flock", refuse)
    code = errno.ENOSYS
    with locked(tmp_path / ".lock") as held:
        assert not held
    code = errno.EIO
    with pytest.raises(OSError, match="refused"), locked(tmp_path / ".lock"):
        pass


def test_an_exclusive_lock_says_who_holds_it_and_leaves_nothing(tmp_path):
    path = tmp_path / ".run.lock"
    with exclusive(path, "runs/a"):
        written = json.loads(path.read_text())
        assert (written["pid"], written["host"]) == (os.getpid(), socket.gethostname())
        said = (
            f"runs/a: locked by pid {os.getpid()} on {socket.gethostname()} since "
            f"{written['since']}; wait until it ends, or stop it"
        )
        with pytest.raises(InputError) as refused, exclusive(path, "runs/a"):
            pass
        assert str(refused.value) == said
        assert path.exists()
    assert list(path.parent.iterdir()) == []


def test_what_a_dead_process_held_is_free(tmp_path):
    path = tmp_path / ".run.lock"
    write(path, 1)  # which lives, but the system knows that it holds nothing
    with exclusive(path, "runs/a"):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_file_removed_meanwhile_is_made_anew(tmp_path, monkeypatch):
    path, flock, tried = tmp_path / ".lock", fcntl.flock, []

    def take(file, how):
        if not tried:
            path.unlink()
        tried.append(how)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", take)
    with exclusive(path, "runs/a"):
        assert path.exists()
    assert tried == [fcntl.LOCK_EX | fcntl.LOCK_NB] * 2


def test_the_lock_of_another_process_is_not_removed(tmp_path):
    """The folder is moved away, and another one locked in its place."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    with exclusive(here / ".lock", "runs/a") as held:
        assert held()
        here.rename(there)
        assert not held()
        here.mkdir()
        second = contextlib.ExitStack()
        second.enter_context(exclusive(here / ".lock", "runs/a"))
        assert not held()
        with pytest.raises(OSError, match=f"^{here}: no longer held by this run"):
            check_held(held, here)
    assert (here / ".lock").exists()
    with pytest.raises(InputError, match="locked"), exclusive(here / ".lock", "runs/a"):
        pass
    second.close()
    assert list(here.iterdir()) == []


def test_a_lock_that_is_waited_for_is_not_removed_for_another(tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    with locked(here / ".lock"):
        here.rename(tmp_path / "there")
        here.mkdir()
        (here / ".lock").touch()
    assert (here / ".lock").exists()


@pytest.fixture
def lockless(monkeypatch):
    """A file system that knows no locks."""

    def refuse(file, how):
        raise OSError(errno.EOPNOTSUPP, "refused")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(locks, "SETTLING", 0.0)


def test_without_locks_the_living_keep_theirs(tmp_path, lockless):
    path = tmp_path / ".lock"
    write(path, os.getppid())
    said = f"locked by pid {os.getppid()} .*; if that run has ended, remove .*/.lock"
    with pytest.raises(InputError, match=said), exclusive(path, "runs/a"):
        pass
    assert json.loads(path.read_text())["pid"] == os.getppid()


def test_without_locks_the_dead_lose_theirs(tmp_path, lockless):
    path = tmp_path / ".lock"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write(path, gone.pid)
    with exclusive(path, "runs/a"):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


def test_without_locks_nothing_is_taken_from_another_machine(tmp_path, lockless):
    path = tmp_path / ".lock"
    write(path, 1, host="elsewhere")
    with (
        pytest.raises(InputError, match="pid 1 on elsewhere since 2026; wait"),
        exclusive(path, "runs/a"),
    ):
        pass


def test_without_locks_nothing_is_taken_from_another_container(tmp_path, lockless):
    """Of one host name, whose processes have the same numbers."""
    path = tmp_path / ".lock"
    write(path, os.getpid(), numbering="another")
    with pytest.raises(InputError, match="locked by pid"), exclusive(path, "runs/a"):
        pass
    write(path, os.getpid())
    with exclusive(path, "runs/a"):
        assert json.loads(path.read_text())["since"] != "2026"


def test_without_locks_the_last_to_write_a_stale_file_has_it(
    tmp_path, lockless, monkeypatch
):
    path = tmp_path / ".lock"
    path.write_text("torn")
    monkeypatch.setattr(locks.time, "sleep", lambda _: write(path, os.getppid()))
    with (
        pytest.raises(InputError, match=f"locked by pid {os.getppid()}"),
        exclusive(path, "runs/a"),
    ):
        pass
    assert json.loads(path.read_text())["pid"] == os.getppid()
