"""The run as the loop is given it."""

import dataclasses

import pytest


def test_a_run_is_changed_by_making_another(assembled):
    changed = dataclasses.replace(assembled, evaluate_unseen=False)
    assert assembled.evaluate_unseen and not changed.evaluate_unseen
    assert changed.stages is assembled.stages
    with pytest.raises(dataclasses.FrozenInstanceError):
        assembled.key = None


def test_pauses_are_the_configs(assembled):
    pauses = dataclasses.asdict(assembled.pauses)
    assert pauses == {"log_every": 1, "checkpoint_every": 1, "eval_every": 1}
