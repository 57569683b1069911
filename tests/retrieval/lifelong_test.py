import json

import numpy as np
import pytest

from ckda_jax.retrieval.lifelong import (
    backward_transfer,
    forgetting,
    forward_transfer,
    seen_average,
    summarise,
)

SCORES = np.array([[0.8, 0.2, 0.1], [0.6, 0.7, 0.3], [0.5, 0.9, 0.6]])
LEARNED = np.array([0, 1, 2])
BEFORE = np.array([0.1, 0.1, 0.05])


def test_seen_average():
    expected = [0.8, 0.65, 2 / 3]
    np.testing.assert_allclose(seen_average(SCORES, LEARNED), expected)


def test_forgetting_is_the_fall_from_the_best_earlier_score():
    expected = [np.nan, 0.2, (0.3 - 0.2) / 2]
    np.testing.assert_allclose(forgetting(SCORES, LEARNED), expected)
    rebound = np.array([[0.2, 0.0], [0.9, 0.5], [0.4, 0.5]])
    learned = np.array([0, 1])
    np.testing.assert_allclose(forgetting(rebound, learned), [np.nan, -0.7, 0.25])


def test_backward_transfer():
    expected = ((0.5 - 0.8) + (0.9 - 0.7)) / 2
    assert backward_transfer(SCORES, LEARNED) == pytest.approx(expected)


def test_forward_transfer():
    expected = ((0.2 - 0.1) + (0.3 - 0.05)) / 2
    assert forward_transfer(SCORES, LEARNED, BEFORE) == pytest.approx(expected)


def test_columns_may_stand_in_any_order():
    order = [2, 0, 1]
    scores, learned, before = SCORES[:, order], LEARNED[order], BEFORE[order]
    assert summarise(scores, learned, before) == summarise(SCORES, LEARNED, BEFORE)


def test_datasets_that_are_only_evaluated_do_not_count():
    scores = np.column_stack([SCORES, [0.3, 0.2, 0.1]])
    learned, before = np.append(LEARNED, -1), np.append(BEFORE, 0.0)
    assert summarise(scores, learned, before) == summarise(SCORES, LEARNED, BEFORE)


def test_scores_of_unseen_datasets_may_be_unmeasured():
    scores = np.where(LEARNED[None, :] <= np.arange(3)[:, None], SCORES, np.nan)
    summary = summarise(scores, LEARNED, np.full(3, np.nan))
    full = summarise(SCORES, LEARNED, BEFORE)
    assert summary["forward_transfer"] is None
    for name in ("seen_average", "forgetting", "backward_transfer"):
        assert summary[name] == full[name]


def test_a_run_that_is_not_finished_has_the_scores_of_its_stages():
    none = summarise(SCORES[:0], LEARNED, BEFORE)
    assert none["seen_average"] == none["forgetting"] == []
    assert none["backward_transfer"] is none["forward_transfer"] is None
    two = summarise(SCORES[:2], LEARNED, BEFORE)
    full = summarise(SCORES, LEARNED, BEFORE)
    assert two["seen_average"] == full["seen_average"][:2]
    assert two["forgetting"] == full["forgetting"][:2]
    assert two["backward_transfer"] == pytest.approx(0.6 - 0.8)
    assert two["forward_transfer"] == full["forward_transfer"]


def test_one_stage_with_all_datasets_forgets_nothing():
    summary = summarise(SCORES[-1:], np.zeros(3, int), BEFORE)
    assert summary["seen_average"] == [pytest.approx(2 / 3)]
    assert summary["forgetting"] == [None]
    assert summary["backward_transfer"] is None
    assert summary["forward_transfer"] is None
    json.dumps(summary, allow_nan=False)
