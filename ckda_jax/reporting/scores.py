"""The scores of a run: `results.json` as stage-by-dataset grids."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ckda_jax.files import RESULTS_FORMAT as FORMAT
from ckda_jax.files import START as START
from ckda_jax.structs import InputError

METRICS = {
    "mAP": "mAP",
    "rank1": "rank-1",
    "rank5": "rank-5",
    "rank10": "rank-10",
    "rank20": "rank-20",
    "mINP": "mINP",
}
"""Names of the metrics in the file, and how people write them."""

Results = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """What a model knew of every dataset after every stage.

    Attributes:
        stages: `[s]` 0-based stages, in order, -1 for the start.
        columns: `[n]` datasets, with their protocol where one has several.
        seen: `[s, n]` bool, whether the dataset had been trained on.
        values: metric name to `[s, n]` fractions, NaN where not evaluated.
    """

    stages: tuple[int, ...]
    columns: tuple[str, ...]
    seen: np.ndarray
    values: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Course:
    """How one metric of one dataset went, evaluations inside stages included.

    Attributes:
        name: the dataset, as in `Scores.columns`.
        stage: `[n]` float, stages trained, 1.5 in the middle of stage 2.
        value: `[n]` fractions.
        seen: `[n]` bool.
    """

    name: str
    stage: np.ndarray
    value: np.ndarray
    seen: np.ndarray


def check_format(results: Results, source: str = "results.json") -> None:
    """Refuse a results file of another version.

    Raises:
        InputError: `format` is not the one this version writes.
    """
    found = results.get("format")
    if found != FORMAT:
        raise InputError(
            f"{source}: format {found!r}, expected {FORMAT}; "
            "read it with the version of ckda_jax that wrote it"
        )


def grid(results: Results) -> Scores:
    """Arrange the evaluations at the stages' ends, and before stage 1, as grids.

    An evaluation that is there twice counts as it was written last.
    """
    names = column_names(results)
    chosen = {}
    for row in results.get("evaluations", []):
        if row["stage"] == START or row.get("epoch") is None:
            chosen[row["stage"], column(row)] = row
    stages = tuple(sorted({stage for stage, _ in chosen}))
    shape = (len(stages), len(names))
    seen = np.zeros(shape, bool)
    values = {metric: np.full(shape, np.nan) for metric in METRICS}
    for (stage, key), row in chosen.items():
        place = stages.index(stage), list(names).index(key)
        seen[place] = row["seen"]
        for metric in METRICS:
            values[metric][place] = number(row.get(metric))
    columns = tuple(names.values())
    return Scores(stages=stages, columns=columns, seen=seen, values=values)


def courses(results: Results, metric: str, epochs: int | None = None) -> list[Course]:
    """Follow one metric of every dataset through the stages.

    Args:
        results: of one run.
        metric: a name of `METRICS`.
        epochs: of a stage; without it evaluations inside a stage are left out.
    """
    points: dict[Any, dict[float, tuple[float, bool]]] = {}
    for row in results.get("evaluations", []):
        position = float(row["stage"] + 1)
        if row["stage"] != START and row.get("epoch") is not None:
            if not epochs:
                continue
            position = row["stage"] + row["epoch"] / epochs
        entry = number(row.get(metric)), bool(row["seen"])
        points.setdefault(column(row), {})[position] = entry
    found = []
    for key, name in column_names(results).items():
        line = sorted(points.get(key, {}).items())
        found.append(
            Course(
                name=name,
                stage=np.array([position for position, _ in line]),
                value=np.array([value for _, (value, _) in line]),
                seen=np.array([seen for _, (_, seen) in line], bool),
            )
        )
    return found


def column(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the dataset and protocol of an evaluation."""
    return str(row["dataset"]), str(row.get("protocol", ""))


def column_names(results: Results) -> dict[tuple[str, str], str]:
    """Name every (dataset, protocol), in evaluation order."""
    keys = list(dict.fromkeys(column(row) for row in results.get("evaluations", [])))
    order = list(results.get("datasets", []))
    rank = {name: place for place, name in enumerate(order)}
    keys.sort(key=lambda key: rank.get(key[0], len(order)))
    datasets = [dataset for dataset, _ in keys]
    return {
        key: key[0] if datasets.count(key[0]) == 1 else f"{key[0]} {key[1]}"
        for key in keys
    }


def stage_title(results: Results, stage: int) -> str:
    """Name a stage for a table's row.

    >>> stage_title({"stages": [["regdb"], ["sysu"]]}, 1)
    'after stage 2 (sysu)'
    >>> stage_title({"stages": [["regdb", "sysu", "llcm"]]}, 0)
    'after stage 1 (3 datasets)'
    """
    if stage == START:
        return "start"
    stages = results.get("stages", [])
    if stage >= len(stages):
        return f"after stage {stage + 1}"
    return f"after stage {stage + 1} ({stage_datasets(stages[stage])})"


def stage_datasets(datasets: Sequence[str]) -> str:
    """Name the datasets of one stage in a few words."""
    if len(datasets) > 2:
        return f"{len(datasets)} datasets"
    return " + ".join(datasets)


def summary(
    results: Results, metric: str, name: str, stage: int | None = None
) -> float:
    """Look up an average, a forgetting or a transfer; NaN when there is none.

    Args:
        results: of one run.
        metric: a name of `METRICS`.
        name: `seen_average`, `forgetting`, `backward_transfer`, `forward_transfer`.
        stage: 0-based, for what is known per stage.
    """
    value = results.get("summary", {}).get(metric, {}).get(name)
    if stage is None or not isinstance(value, list):
        return number(value)
    return number(value[stage]) if 0 <= stage < len(value) else math.nan


def number(value: Any) -> float:
    """Return a number, NaN for what JSON holds as null."""
    return math.nan if value is None or isinstance(value, list) else float(value)
