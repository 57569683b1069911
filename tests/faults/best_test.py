"""Fault 15: scores that are no numbers."""

import math

from ckda_jax.engine import lifelong
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.ranking import Ranking
from ckda_jax.engine.shelf import END, Position
from tests import runs

SCORES = {1: 0.1, 2: 0.5, 3: math.nan, 4: 0.3, 5: math.inf, 6: 0.4}
"""What a stub makes of mAP after each epoch."""


def test_15_a_score_that_is_no_number_is_never_the_best(world, tmp_path, monkeypatch):
    place: dict[str, int | None] = {}
    real_evaluate, real_scores = lifelong.evaluate, Ranking.scores

    def evaluate(this, desk, snapshot, *, epoch=None):
        place["epoch"] = epoch
        real_evaluate(this, desk, snapshot, epoch=epoch)

    def scores(ranking):
        return real_scores(ranking) | {"mAP": SCORES.get(place["epoch"] or 0, 0.0)}

    monkeypatch.setattr(lifelong, "evaluate", evaluate)
    monkeypatch.setattr(Ranking, "scores", scores)
    keys = {"train__epochs": 7, "train__steps": 1, "train__keep_checkpoints": 1}
    folder = runs.take(tmp_path / "run", world, stages="regdb", **keys)
    checkpoints = Checkpoints(folder / "checkpoints", writes=False)
    kept = checkpoints.positions()
    # Epoch 2 was best, step 6 is the newest; the end of the stage always stays.
    assert kept == [Position(0, 2), Position(0, 6), Position(0, END)]
    assert checkpoints.restore_as_saved(0, 2)["step"] == 2
    checkpoints.close()
