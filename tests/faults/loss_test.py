"""Fault 14: a loss that is not finite is named with its images, or tolerated."""

import re
from pathlib import Path

from ckda_jax import train
from ckda_jax.build import run as build_run
from ckda_jax.engine.checkpoint import Checkpoints, Position
from tests import runs


def test_14_a_run_that_diverges_names_the_step_and_saves_nothing_of_it(
    world, tmp_path, capsys, monkeypatch
):
    """From step 2 on, no loss is finite; one such step is tolerated."""
    monkeypatch.setattr(build_run, "compiled_step", runs.compile_quickly)
    changes = {"optim__lr": 1e30, "eval__before": False, "eval_every": 0}
    words = runs.words(tmp_path / "run", world, **changes, train__skip_nonfinite=1)
    assert train.main(words) == 2
    told = capsys.readouterr()
    assert re.search(
        r"warning: regdb: the loss is nan at step 2 \(.*\); the step is left out "
        r"\(1 of 1 tolerated\)",
        told.out,
    )
    assert told.err.startswith("error: regdb: the loss is nan at step 3 (not finite: ")
    assert "first in the gradient: " in told.err
    assert "step 2 of stage 1 (regdb) is kept. Its images:\n  " in told.err
    images = told.err.splitlines()[1:]
    assert len(images) == 2 * 4 * 2
    assert all(Path(image.strip()).is_relative_to(world["regdb"]) for image in images)
    rows = runs.metrics(tmp_path / "run")
    assert [(row["step"], row["skipped"]) for row in rows] == [(1, 0), (2, 1)]
    assert rows[1]["loss"] is None
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints", writes=False)
    assert checkpoints.latest_position() == Position(0, 2)
    assert checkpoints.stages() == []
    checkpoints.close()
