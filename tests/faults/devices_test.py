"""Fault 23: a run goes on with another number of devices than saved its checkpoints."""

import json
import shutil

import jax
import numpy as np
import pytest

from tests import runs

ROUNDING = 1e-5
"""How much of a loss the order of float32 sums may change; found: 4e-7."""


def saved_on(run, name):
    """Read how many devices saved a checkpoint."""
    path = run / "checkpoints" / name / "manifest.json"
    return json.loads(path.read_text())["devices"]


def assert_close(run, whole):
    """Assert that a run logged what another one did, but for rounding."""
    rows, wanted = runs.metrics(run), runs.metrics(whole)
    places = [[(row["stage"], row["step"]) for row in log] for log in (rows, wanted)]
    assert places[0] == places[1]
    losses = [[row["loss"] for row in log] for log in (rows, wanted)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=ROUNDING)
    assert losses[0] != losses[1]  # else it was learned on as many devices


@pytest.mark.slow
def test_23_a_run_goes_on_with_fewer_devices_and_with_more(
    forked, inside, finished, world, capsys
):
    """From step 2 with one device, from step 3 with two again."""
    assert jax.device_count() == 2
    checkpoints = inside / "checkpoints"
    shutil.rmtree(checkpoints / "steps" / "10000003")
    assert saved_on(inside, "steps/10000002") == 2
    assert forked.run(runs.words(inside, world)) == 0, forked.err
    assert "resumed sysu at step 2 of 4" in forked.out
    assert saved_on(inside, "steps/10000003") == saved_on(inside, "stages/1") == 1
    assert_close(inside, finished)

    shutil.rmtree(checkpoints / "stages" / "1")
    runs.take(inside, world)
    assert "resumed sysu at step 3 of 4" in capsys.readouterr().out
    assert saved_on(inside, "stages/1") == 2
    assert_close(inside, finished)
    left, right = (runs.checkpoint(run, 1) for run in (inside, finished))
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(left[name], right[name], atol=1e-3, err_msg=name)
