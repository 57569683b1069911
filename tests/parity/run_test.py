import collections

import numpy as np
import pytest

from ckda_jax.parity import golden, run, table
from ckda_jax.parity.golden import Golden
from ckda_jax.structs import InputError
from tests.parity import folders


@pytest.mark.slow
@pytest.mark.portable
def test_everything_recorded_agrees_in_both_types():
    rows = list(run.compare(folders.RECORDED))
    assert table.lines(table.failures(rows))[1:] == []
    counted = collections.Counter((row.file, row.precision) for row in rows)
    for name in ("model_tiny.npz", "prompts.npz", "losses.npz", "train5.npz"):
        assert counted[name, "float64"] == counted[name, "float32"] > 15
    assert {row.file for row in rows} == {*golden.FILES}


def test_files_and_keys_that_nobody_reads_are_failures(tmp_path):
    arrays = dict(folders.read("posembed.npz").arrays)
    folders.write(tmp_path, "posembed.npz", {**arrays, "other": np.zeros(1)})
    (tmp_path / "notes.txt").write_text("x")
    failed = table.failures(run.compare(tmp_path))
    assert [(row.file, row.quantity) for row in failed] == [
        ("posembed.npz", "other"),
        ("notes.txt", "*"),
    ]


def test_attempt_turns_a_failure_into_a_row():
    def fail(file):
        raise TypeError("no\nsecond line")

    (row,) = run.attempt(Golden("a.npz", {}), fail)
    assert (row.verdict, row.note) == (table.UNKNOWN, "TypeError: no")


def test_attempt_lets_bad_input_through():
    def fail(file):
        raise InputError("bad")

    with pytest.raises(InputError, match="bad"):
        run.attempt(Golden("a.npz", {}), fail)


def test_a_file_that_cannot_be_computed_is_one_row(tmp_path):
    arrays = dict(folders.read("metrics.npz").arrays)
    arrays["mid/q_pids"] = arrays["mid/q_pids"][:7]
    folders.write(tmp_path, "metrics.npz", arrays)
    failed = table.failures(run.compare(tmp_path))
    assert [(row.file, row.quantity) for row in failed] == [("metrics.npz", "*")]


def test_models_need_the_file_that_states_their_sizes(tmp_path):
    folders.write(tmp_path, "ema.npz", folders.read("ema.npz").arrays)
    with pytest.raises(InputError, match="states the sizes for ema.npz"):
        list(run.compare(tmp_path))
