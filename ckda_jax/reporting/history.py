"""The history of a run: `metrics.jsonl` as series over all stages."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

TERM = "loss/"
GRADIENT_SHARE = "gradient_share/"
NEGLIGIBLE = 1e-12
"""A term that stays below this does not act."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class History:
    """Logged values over the steps of all stages, laid end to end.

    Attributes:
        step: `[n]` steps since the run's start.
        stage: `[n]` 0-based stage.
        values: name to `[n]` values, NaN where not logged or not finite.
        spans: stage to its first and last step since the run's start.
        seconds: from the first logged step to the last.
    """

    step: np.ndarray
    stage: np.ndarray
    values: dict[str, np.ndarray]
    spans: dict[int, tuple[int, int]]
    seconds: float

    def named(self, prefix: str) -> dict[str, np.ndarray]:
        """Return the series whose name starts with a prefix, without it."""
        return {
            name.removeprefix(prefix): series
            for name, series in self.values.items()
            if name.startswith(prefix)
        }

    def where_logged(self, prefix: str) -> "History":
        """Keep the lines that hold a series whose name starts with a prefix."""
        known = np.zeros(len(self.step), bool)
        for series in self.named(prefix).values():
            known |= ~np.isnan(series)
        return dataclasses.replace(
            self,
            step=self.step[known],
            stage=self.stage[known],
            values={name: series[known] for name, series in self.values.items()},
        )


def collect(rows: Sequence[Mapping[str, Any]]) -> History:
    """Lay the lines of `metrics.jsonl` end to end, stage after stage."""
    rows = sorted(rows, key=lambda row: (row["stage"], row["step"]))
    spans: dict[int, tuple[int, int]] = {}
    end = 0
    for stage in dict.fromkeys(row["stage"] for row in rows):
        length = max(row["step"] for row in rows if row["stage"] == stage)
        spans[stage] = (end, end + length)
        end += length
    names = dict.fromkeys(name for row in rows for name in row)
    values = {
        name: np.array([_number(row.get(name)) for row in rows])
        for name in names
        if name not in ("stage", "step", "epoch", "time")
    }
    times = [row["time"] for row in rows if row.get("time") is not None]
    return History(
        step=np.array([spans[row["stage"]][0] + row["step"] for row in rows], int),
        stage=np.array([row["stage"] for row in rows], int),
        values=values,
        spans=spans,
        seconds=max(times) - min(times) if times else 0.0,
    )


def late_means(history: History, prefix: str = TERM) -> dict[str, dict[int, float]]:
    """Average every term over the last quarter of each stage.

    Returns:
        Term to stage to mean; NaN where the term was not logged in that quarter.
    """
    means: dict[str, dict[int, float]] = {}
    for name, series in history.named(prefix).items():
        means[name] = {}
        for stage, (first, last) in history.spans.items():
            late = (history.stage == stage) & (
                history.step >= last - (last - first) / 4
            )
            means[name][stage] = _mean(series[late])
    return means


def protecting(history: History) -> set[str]:
    """Find the terms that act in later stages and never in the first: they protect."""
    first = min(history.spans, default=0)
    found = set()
    for name, series in history.named(TERM).items():
        acts = np.nan_to_num(np.abs(series)) > NEGLIGIBLE
        if acts.any() and not acts[history.stage == first].any():
            found.add(name)
    return found


def thin(
    step: np.ndarray, series: np.ndarray, points: int = 240
) -> tuple[np.ndarray, np.ndarray]:
    """Average a long series over neighbouring points, so that a picture stays small.

    Args:
        step: `[n]` positions.
        series: `[n]` values; NaN are left out of the averages.
        points: how many to keep at most.
    """
    if len(step) <= points:
        return step, series
    parts = np.array_split(np.arange(len(step)), points)
    return (
        np.array([step[part].mean() for part in parts]),
        np.array([_mean(series[part]) for part in parts]),
    )


def _mean(values: Iterable[float]) -> float:
    known = [float(value) for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
