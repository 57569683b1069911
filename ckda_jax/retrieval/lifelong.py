"""The lifelong scores: what is known, forgotten and transferred over the stages.

A table of scores `[s, n]` has a row for each stage, measured at its end, and a column
for each dataset; `learned [n]` is the 0-based stage that trains each dataset, -1 for a
dataset that is evaluated only. A score that was not measured is nan, and so is a value
that is undefined or would need it. A run that is not finished has rows for the stages
that are.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int


def seen_average(
    scores: Float[np.ndarray, "s n"], learned: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " s"]:
    """Average each stage's scores over the datasets learned so far, unweighted.

    The "average incremental" score of lifelong re-identification (Pu et al. 2021).

    >>> seen_average(np.array([[0.5, 0.1], [0.25, 0.75]]), np.array([0, 1]))
    array([0.5, 0.5])
    """
    seen = [_learned_by(learned, stage) for stage in range(len(scores))]
    return np.array([_mean(row[s]) for row, s in zip(scores, seen, strict=True)])


def forgetting(
    scores: Float[np.ndarray, "s n"], learned: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " s"]:
    """Average, over earlier datasets, how far a stage's score lies below the best one.

    At stage t: the mean over the datasets learned before t of the best score after any
    stage before t, minus the score after t (Chaudhry et al. 2018). Negative where
    nothing was forgotten; nan at the first stage.

    >>> forgetting(np.array([[0.5, 0.1], [0.25, 0.75]]), np.array([0, 1]))
    array([ nan, 0.25])
    """
    values = [np.nan] * min(1, len(scores))
    for stage in range(1, len(scores)):
        earlier = _learned_by(learned, stage - 1)
        best = np.fmax.reduce(scores[:stage, earlier], axis=0)
        values.append(_mean(best - scores[stage, earlier]))
    return np.array(values)


def backward_transfer(
    scores: Float[np.ndarray, "s n"], learned: Int[np.ndarray, " n"]
) -> float:
    """Average, over earlier datasets, the final score minus that just after learning.

    `BWT = mean_i R[T, i] - R[i, i]` (Lopez-Paz and Ranzato 2017), over the datasets
    learned before the last stage; nan when there is none.

    >>> backward_transfer(np.array([[0.5, 0.1], [0.25, 0.75]]), np.array([0, 1]))
    -0.25
    """
    earlier = np.flatnonzero(_learned_by(learned, len(scores) - 2))
    if not len(earlier):
        return float("nan")
    return _mean(scores[-1, earlier] - scores[learned[earlier], earlier])


def forward_transfer(
    scores: Float[np.ndarray, "s n"],
    learned: Int[np.ndarray, " n"],
    before: Float[np.ndarray, " n"],
) -> float:
    """Average, over later datasets, the score just before learning minus the start's.

    `FWT = mean_i R[i - 1, i] - b[i]` (Lopez-Paz and Ranzato 2017), over the datasets
    that come after the first stage; nan when there is none. The paper's `b` is a random
    start; here it is the weights that the run started from.

    >>> scores = np.array([[0.5, 0.25], [0.25, 0.75]])
    >>> forward_transfer(scores, np.array([0, 1]), np.array([0.125, 0.125]))
    0.125
    """
    later = np.flatnonzero((learned > 0) & (learned <= len(scores)))
    return _mean(scores[learned[later] - 1, later] - before[later])


def summarise(
    scores: Float[np.ndarray, "s n"],
    learned: Int[np.ndarray, " n"],
    before: Float[np.ndarray, " n"],
) -> dict[str, Any]:
    """Collect the lifelong scores of one metric as JSON values, None where undefined.

    >>> scores = np.array([[0.5, 0.25], [0.25, 0.75]])
    >>> summarise(scores, np.array([0, 1]), np.full(2, np.nan))["forward_transfer"]
    """
    return {
        "seen_average": [_or_none(x) for x in seen_average(scores, learned)],
        "forgetting": [_or_none(x) for x in forgetting(scores, learned)],
        "backward_transfer": _or_none(backward_transfer(scores, learned)),
        "forward_transfer": _or_none(forward_transfer(scores, learned, before)),
    }


def _learned_by(learned: np.ndarray, stage: int) -> np.ndarray:
    """Mark the datasets learned at a stage or before it."""
    return (learned >= 0) & (learned <= stage)


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
