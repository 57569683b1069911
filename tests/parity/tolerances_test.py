import numpy as np
import pytest

from ckda_jax.parity.tolerances import LOSS, Tolerance

WANTED = np.array([0.0, 0.5, -4.0])
OURS = np.array([0.001, 0.51, -4.2])


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("absolute", 0.2),
        ("relative", 0.05),
        ("of largest", 0.05),
        ("from one", 0.05),
        ("norm", np.hypot(0.2, np.hypot(0.01, 0.001)) / (np.hypot(0.5, 4) + 0.01)),
    ],
)
def test_each_measure_of_the_largest_error(measure, expected):
    assert Tolerance(1.0, measure).error(OURS, WANTED) == pytest.approx(expected)


def test_relative_error_of_a_value_that_should_be_zero_counts_absolutely():
    assert Tolerance(1.0, "relative").error(np.array([1e-3]), np.zeros(1)) == 1e-3


def test_other_shapes_and_nan_are_infinitely_wrong():
    assert Tolerance(1.0).error(np.zeros(2), np.zeros((2, 1))) == np.inf
    assert Tolerance(1.0).error(np.array([np.nan]), np.zeros(1)) == np.inf
    assert Tolerance(1.0).error(np.array([np.inf]), np.array([np.inf])) == np.inf


def test_norm_at_1e_4_allows_1e_4_of_the_norm_plus_1e_6():
    tolerance = Tolerance(1e-4, "norm")
    wanted = np.array([3.0, 4.0])
    within = wanted + [1e-4 * 5 + 0.99e-6, 0]
    beyond = wanted + [1e-4 * 5 + 1.01e-6, 0]
    assert tolerance.error(within, wanted) < 1e-4 < tolerance.error(beyond, wanted)


def test_kind_chooses_by_both_types():
    assert LOSS.at("float64", np.zeros(1)).limit == 1e-12
    assert LOSS.at("float64", np.zeros(1, np.float32)).limit == 1e-5
    assert LOSS.at("float32", np.zeros(1)).limit == 1e-5


def test_text_of_a_tolerance():
    assert str(Tolerance(4e-6, "of largest")) == "4e-06 of largest"
    assert str(Tolerance(1e-12)) == "1e-12"
