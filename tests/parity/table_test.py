import numpy as np

from ckda_jax.parity import table
from ckda_jax.parity.tolerances import LOSS, Tolerance

WHERE = ("losses.npz", "random/id", "float64")


def test_compared_within_and_beyond_the_tolerance():
    one = np.ones(1)
    row = table.compared(WHERE, one + 5e-3, one, Tolerance(1e-2))
    assert (row.verdict, round(row.error or 0, 6)) == (table.OK, 0.005)
    assert table.compared(WHERE, one + 2e-2, one, Tolerance(1e-2)).verdict == table.MISS


def test_a_kind_gives_the_tolerance_for_the_recorded_type():
    row = table.compared(WHERE, np.ones(1), np.ones(1), LOSS)
    assert row.tolerance == Tolerance(1e-12)


def test_family_names_its_worst_member():
    zero = np.zeros(2)
    pairs = {"a": (zero + 1e-3, zero), "b": (zero + 1e-1, zero), "c": (zero, zero)}
    row = table.family(WHERE, pairs, Tolerance(1e-2))
    assert (row.note, row.verdict) == ("b", table.MISS)


def test_family_without_members_is_not_compared():
    assert table.family(WHERE, {}, Tolerance(1.0)).verdict == table.UNKNOWN


def test_failures_are_misses_and_what_was_not_compared():
    rows = [
        table.compared(WHERE, np.zeros(1), np.zeros(1), Tolerance(0.0)),
        table.compared(WHERE, np.ones(1), np.zeros(1), Tolerance(0.0)),
        table.different("sampler.npz", "*", "reason"),
        table.unknown("other.npz", "*", "reason"),
    ]
    assert table.failures(rows) == [rows[1], rows[3]]
    assert table.summary(rows) == "1 ok, 1 different on purpose, 1 MISS, 1 NOT COMPARED"


def test_lines_are_aligned():
    rows = [
        table.compared(WHERE, np.ones(1), np.zeros(1), Tolerance(1e-5, "relative")),
        table.different("sampler.npz", "*", "why"),
    ]
    heading, first, second = table.lines(rows)
    assert heading.index("verdict") == first.index("MISS")
    assert "1.0e+00" in first and "1e-05 relative" in first
    assert second.endswith("different on purpose  why")
