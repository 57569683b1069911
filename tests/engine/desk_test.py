"""The desk: what it saves and what that is called, and what a pulse does."""

import dataclasses
import os
import signal

import pytest

from ckda_jax.engine import checkpoint, lifelong
from ckda_jax.engine.checkpoint import Position
from ckda_jax.engine.interruption import Interruption
from ckda_jax.engine.watchdog import Watchdog
from ckda_jax.structs import Interrupted
from tests import runs


class Listening(Watchdog):
    """A watchdog that only remembers what it heard last."""

    def watch(self, doing):
        """Hear what is done."""
        self.heard = doing


class Asked(Interruption):
    """A run that is asked to end."""

    def asked(self):
        """Say so."""
        return True


def test_a_saved_step_is_called_by_its_place_and_saved_with_the_log(
    desk, assembled, snapshot, tmp_path, monkeypatch
):
    desk = dataclasses.replace(desk, watchdog=Listening())
    first, second = assembled.stages
    state, _ = lifelong.begin(assembled, second, snapshot, first.info)
    with assembled.stream(second) as stream:
        done = runs.record_disk(monkeypatch)
        name = desk.save(second, 3, state, stream)
    assert name == "step 3 of stage 2 (sysu)"
    assert desk.watchdog.heard == f"saving {name}"
    assert done[0] == ("sync", tmp_path / "metrics.jsonl")
    assert desk.checkpoints.latest_position() == Position(1, 3)


def test_a_pulse_is_watched_and_ends_what_is_to_end(desk):
    desk = dataclasses.replace(desk, watchdog=Listening())
    desk.pulse()
    assert desk.watchdog.heard == "a batch of an evaluation"
    with pytest.raises(Interrupted):
        dataclasses.replace(desk, interruption=Asked()).pulse()


@pytest.mark.parametrize("under_way", [None, Interrupted(15, "terminated")])
def test_a_log_that_cannot_be_closed_leaves_no_checkpoint_unfinished(
    desk, monkeypatch, capsys, under_way
):
    closed = []

    def fail():
        """Be a file system that finds only at the end that it is full."""
        raise OSError("the log cannot be written")

    monkeypatch.setattr(desk.writer, "close", fail)
    monkeypatch.setattr(desk.checkpoints, "close", lambda: closed.append(True))
    expected = pytest.raises(OSError if under_way is None else Interrupted)
    with expected as caught, desk.open():
        if under_way is not None:
            raise under_way
    assert closed == [True]
    if under_way is not None:
        assert caught.value is under_way
        assert capsys.readouterr().err == "error: the log cannot be written\n"


def test_a_signal_while_a_stage_is_saved_ends_the_run_when_it_is(
    desk, assembled, snapshot, monkeypatch
):
    desk = dataclasses.replace(desk, interruption=Interruption("command"))
    save = checkpoint.ocp.AsyncCheckpointer.save

    def signalled(*arguments, **options):
        save(*arguments, **options)
        os.kill(os.getpid(), signal.SIGTERM)  # before it is put into its place

    monkeypatch.setattr(checkpoint.ocp.AsyncCheckpointer, "save", signalled)
    with pytest.raises(Interrupted, match="command"), desk.interruption:
        desk.save_end(assembled.stages[1], snapshot)
    assert desk.checkpoints.stages() == [1]
