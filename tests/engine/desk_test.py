"""The desk: what it saves and what that is called, and what a pulse does."""

import dataclasses

import pytest

from ckda_jax.engine import lifelong
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
