"""The schema of `results.json`: which names it has, and of which types they are."""

from typing import Any

from ckda_jax.files import START

KINDS = {
    "format": int,
    "method": str,
    "preset": str,
    "seed": int,
    "stages": list,
    "datasets": list,
    "evaluations": list,
    "protocols": list,
    "summary": dict,
}

ROW = {
    "dataset": str,
    "protocol": str,
    "seen": bool,
    "queries": int,
    "gallery": int,
    "trials": int,
    "spread": dict,
}
"""Of an evaluation, beside its place; all else in it are scores."""

SCORES = ("mAP", "rank1", "mINP")
"""Those that every evaluation has."""


def fault(content: dict[str, Any]) -> str:
    """Say what is wrong with results; nothing where all is well."""
    for name, kind in KINDS.items():
        if type(content.get(name)) is not kind:
            return f"{name} is missing or not {kind.__name__}"
    for name in content:
        if name not in KINDS:
            return f"unknown name {name!r}"
    stages, datasets = content["stages"], content["datasets"]
    if not all(_are_names(names) for names in (datasets, *stages)):
        return "stages or datasets are no lists of names"
    for name in ("evaluations", "protocols"):
        for number, row in enumerate(content[name], start=1):
            wrong = _row_fault(row, len(stages), datasets)
            if wrong:
                return f"row {number} of {name}: {wrong}"
    return ""


def _row_fault(row: Any, stages: int, datasets: list[str]) -> str:
    if not isinstance(row, dict):
        return "no JSON object"
    stage, epoch = row.get("stage"), row.get("epoch", "")
    if type(stage) is not int or not START <= stage < stages:
        return f"there is no stage {stage!r}"
    if epoch is not None and (type(epoch) is not int or epoch < 0):
        return f"there is no epoch {epoch!r}"
    for name, kind in ROW.items():
        if name in row and type(row[name]) is not kind:
            return f"{name} is not {kind.__name__}"
    for name in ("dataset", "protocol", "seen", *SCORES):
        if name not in row:
            return f"no {name}"
    if row["dataset"] not in datasets:
        return f"there is no dataset {row['dataset']!r}"
    for name, value in row.items():
        scores = name not in ("stage", "epoch", *ROW)
        if scores and value is not None and type(value) not in (int, float):
            return f"{name} is no number"
    return ""


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(type(name) is str for name in value)
