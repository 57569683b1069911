import pytest

from ckda_jax.parity import twins
from ckda_jax.parity.table import MISS, OK
from tests.parity import folders

TWICE = ["model_tiny.npz", "prompts.npz", "losses.npz", "train5.npz"]


@pytest.mark.parametrize("name", TWICE)
def test_both_types_were_recorded_alike(name):
    assert [row.verdict for row in twins.compare(folders.read(name))] == [OK]


def test_a_damaged_float32_value_is_a_miss():
    (row,) = twins.compare(folders.changed("losses.npz", "random/feats", 1.0))
    assert row.verdict == OK  # an input has no twin
    (row,) = twins.compare(folders.changed("losses.npz", "random/grad_scores"))
    assert (row.verdict, row.note) == (MISS, "random/grad_scores")


def test_a_file_without_twins_has_no_row():
    assert twins.compare(folders.read("metrics.npz")) == []
