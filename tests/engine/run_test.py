"""The run as the loop is given it."""

import dataclasses

import pytest

from ckda_jax.engine.run import Pauses


def test_a_run_is_changed_by_making_another(assembled):
    changed = dataclasses.replace(assembled, evaluate_unseen=False)
    assert assembled.evaluate_unseen and not changed.evaluate_unseen
    assert changed.stages is assembled.stages
    with pytest.raises(dataclasses.FrozenInstanceError):
        assembled.key = None


def test_pauses_are_the_configs(assembled):
    pauses = dataclasses.asdict(assembled.pauses)
    assert pauses == {
        "log_every": 1,
        "checkpoint_every": 1,
        "eval_every": 1,
        "gradients_every": 0,
    }


def test_shares_are_measured_every_so_many_steps_or_never():
    pauses = Pauses(log_every=1, checkpoint_every=1, eval_every=1, gradients_every=3)
    assert [done for done in range(1, 10) if pauses.measures(done)] == [3, 6, 9]
    never = dataclasses.replace(pauses, gradients_every=0)
    assert not any(never.measures(done) for done in range(1, 10))


def test_pauses_are_counted_in_steps_and_epochs():
    pauses = Pauses(log_every=4, checkpoint_every=3, eval_every=2, gradients_every=5)
    steps = range(1, 11)
    assert [done for done in steps if pauses.saves(done, 9)] == [3, 6]
    assert [done for done in steps if pauses.logs(done, 10)] == [3, 4, 5, 6, 8, 9, 10]
    assert [epoch for epoch in range(7) if pauses.evaluates(epoch, 6)] == [2, 4]
    never = dataclasses.replace(pauses, eval_every=0)
    assert not any(never.evaluates(epoch, 6) for epoch in range(7))
