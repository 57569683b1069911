"""Logged steps become series over the run."""

import math

import numpy as np

from ckda_jax.reporting import history


def rows():
    steps = [(0, 2), (0, 4), (1, 4), (1, 8), (1, 2), (1, 6)]
    return [
        {
            "stage": stage,
            "step": step,
            "epoch": 1,
            "time": 10.0 * stage + step,
            "loss": 1.0,
            "loss/identity": step / 2,
            "loss/alignment": 0.5 * stage,
        }
        for stage, step in steps
    ]


def test_stages_are_laid_end_to_end_in_order():
    found = history.collect(rows())
    assert found.step.tolist() == [2, 4, 6, 8, 10, 12]
    assert found.stage.tolist() == [0, 0, 1, 1, 1, 1]
    assert found.spans == {0: (0, 4), 1: (4, 12)}
    assert found.seconds == 16.0
    assert found.values["loss/identity"].tolist() == [1, 2, 1, 2, 3, 4]
    assert list(found.named("loss/")) == ["identity", "alignment"]


def test_gaps_and_nulls_are_nan():
    lines = rows()
    lines[0]["loss"] = None
    del lines[1]["loss"]
    lines[2]["lr"] = 0.5
    found = history.collect(lines)
    np.testing.assert_array_equal(found.values["loss"][:3], [np.nan, np.nan, 1.0])
    assert np.isnan(found.values["lr"]).sum() == 5


def test_lines_without_a_series_can_be_left_out():
    lines = rows()
    lines[0]["gradient_share/identity"] = 0.25
    lines[3]["gradient_share/alignment"] = 0.5
    found = history.collect(lines).where_logged(history.GRADIENT_SHARE)
    assert found.step.tolist() == [2, 12] and found.stage.tolist() == [0, 1]
    assert found.values["loss/identity"].tolist() == [1, 4]
    assert found.spans == {0: (0, 4), 1: (4, 12)}
    assert history.collect(rows()).where_logged("other/").step.tolist() == []


def test_empty_log():
    found = history.collect([])
    assert len(found.step) == 0 and found.spans == {} and found.seconds == 0.0
    assert history.late_means(found) == {} and history.protecting(found) == set()


def test_late_means_are_those_of_the_last_quarter():
    means = history.late_means(history.collect(rows()))
    # Stage 2 ends at step 12 and its last quarter starts at 10: values 3 and 4.
    assert means["identity"] == {0: 2.0, 1: 3.5}
    assert means["alignment"] == {0: 0.0, 1: 0.5}


def test_late_mean_of_what_was_not_logged_is_nan():
    lines = rows()
    for line in lines[:2]:
        del line["loss/alignment"]
    means = history.late_means(history.collect(lines))
    assert math.isnan(means["alignment"][0]) and means["alignment"][1] == 0.5


def test_protecting_terms_are_those_that_start_to_act_later():
    assert history.protecting(history.collect(rows())) == {"alignment"}


def test_thin_averages_neighbours():
    step, series = np.arange(8), np.array([0, 2, 4, 6, np.nan, 10, 12, 14])
    few, means = history.thin(step, series, points=4)
    assert few.tolist() == [0.5, 2.5, 4.5, 6.5]
    assert means.tolist() == [1, 5, 10, 13]
    assert history.thin(step, series, points=8)[1] is series
