"""Results become grids and courses."""

import numpy as np
import pytest

from ckda_jax.reporting import scores
from ckda_jax.structs import InputError
from tests.reporting.fake_run import evaluation, results


def test_grid_has_a_row_per_stage_end_and_a_column_per_dataset():
    grid = scores.grid(results())
    assert grid.stages == (-1, 0, 1, 2, 3)
    assert grid.columns == ("regdb", "sysu", "llcm", "vcm")
    np.testing.assert_array_equal(grid.seen[1:], np.tril(np.ones((4, 4), bool)))
    assert not grid.seen[0].any()
    # The evaluation inside stage 2 is no row and does not replace its end.
    at_end = results()["evaluations"][2 * 4]
    assert grid.values["mAP"][2, 0] == at_end["mAP"]
    assert grid.values["rank1"][2, 0] == at_end["rank1"]


def test_missing_cells_are_nan_and_the_last_writing_counts():
    rows = [evaluation(0, 1, 0.1), evaluation(1, 0, 0.3), evaluation(0, 1, 0.2)]
    rows[1]["mINP"] = None
    grid = scores.grid({"datasets": ["regdb", "sysu"], "evaluations": rows})
    np.testing.assert_array_equal(grid.values["mAP"], [[np.nan, 0.2], [0.3, np.nan]])
    assert np.isnan(grid.values["mINP"][1, 0])


def test_datasets_with_several_protocols_get_a_column_each():
    rows = [evaluation(0, 0, 0.1), evaluation(0, 1, 0.2)]
    rows.append({**rows[0], "protocol": "thermal-visible", "mAP": 0.5})
    grid = scores.grid({"datasets": ["regdb", "sysu"], "evaluations": rows})
    assert grid.columns == ("regdb visible-thermal", "regdb thermal-visible", "sysu")
    assert grid.values["mAP"].tolist() == [[0.1, 0.5, 0.2]]


def test_courses_place_evaluations_inside_stages():
    run = results()
    course = scores.courses(run, "mAP", epochs=10)[0]
    assert course.name == "regdb"
    assert course.stage.tolist() == [0, 1, 1.5, 2, 3, 4]
    assert course.seen.tolist() == [False, True, True, True, True, True]
    assert scores.courses(run, "mAP")[0].stage.tolist() == [0, 1, 2, 3, 4]


def test_nothing_evaluated_is_an_empty_grid():
    grid = scores.grid({})
    assert grid.stages == () and grid.columns == ()
    assert scores.courses({}, "mAP") == []


def test_summary_looks_up_lists_numbers_and_gaps():
    run = {
        "summary": {
            "mAP": {"seen_average": [0.5, 0.25], "forgetting": None},
            "mINP": {"backward_transfer": -0.125},
        }
    }
    assert scores.summary(run, "mAP", "seen_average", 1) == 0.25
    assert scores.summary(run, "mINP", "backward_transfer") == -0.125
    for missing in (
        scores.summary(run, "mAP", "seen_average", 2),
        scores.summary(run, "mAP", "seen_average", -1),
        scores.summary(run, "mAP", "forgetting", 1),
        scores.summary(run, "rank1", "forward_transfer"),
        scores.summary({}, "mAP", "seen_average", 0),
    ):
        assert np.isnan(missing)


def test_stage_titles():
    run = {"stages": [["regdb", "sysu"]]}
    assert scores.stage_title(run, -1) == "start"
    assert scores.stage_title(run, 0) == "after stage 1 (regdb + sysu)"
    assert scores.stage_title(run, 4) == "after stage 5"


def test_other_formats_are_refused():
    scores.check_format({"format": 1})
    with pytest.raises(InputError, match="format 2, expected 1"):
        scores.check_format({"format": 2})
