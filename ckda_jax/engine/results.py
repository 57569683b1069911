"""The results of a run: what was evaluated so far, in a file at any moment."""

import contextlib
import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ckda_jax.engine import schema
from ckda_jax.engine.consensus import of_main
from ckda_jax.engine.manifest import SEAL, sealed
from ckda_jax.files import RESULTS_FORMAT as FORMAT
from ckda_jax.files import START as START
from ckda_jax.files import write_json
from ckda_jax.locks import Held, always, check_held, locked
from ckda_jax.retrieval import lifelong
from ckda_jax.structs import InputError

SUMMARISED = schema.SCORES

END = sys.maxsize
"""After all stages, and after all epochs of one."""


@dataclasses.dataclass
class Results:
    """Everything evaluated in a run; `add` writes the file anew, whole or not at all.

    Attributes:
        path: the file.
        content: its content, see `FORMAT`.
        writes: whether this process writes it.
        held: whether the run directory is still this run's.
    """

    path: Path
    content: dict[str, Any]
    writes: bool = True
    held: Held = always

    @classmethod
    def open(
        cls,
        path: Path,
        start: dict[str, Any],
        *,
        writes: bool,
        held: Held = always,
    ) -> "Results":
        """Read the file of a run that goes on, or start with some content.

        Of several processes the main one reads: another may see an older file.

        Raises:
            InputError: the file is damaged.
        """
        opened = cls(path, start, writes, held)
        of_main(opened._read)
        return opened

    def _read(self) -> None:
        if self.path.exists():
            self.content = read(self.path)

    def has(self, **where: Any) -> bool:
        """Whether there is an evaluation with these values (stage, dataset, ...)."""
        return any(
            all(row[name] == value for name, value in where.items())
            for row in self.content["evaluations"]
        )

    def mean(self, stage: int, epoch: int | None, metric: str = "mAP") -> float:
        """Average a metric of an evaluation over the seen datasets.

        A dataset counts with its first protocol. Not a number where one is none, or
        where nothing was evaluated.
        """
        found: dict[str, float] = {}
        for row in self.content["evaluations"]:
            if row["stage"] == stage and row["epoch"] == epoch and row["seen"]:
                value = math.nan if row[metric] is None else row[metric]
                found.setdefault(row["dataset"], value)
        return sum(found.values()) / len(found) if found else math.nan

    def add(self, row: dict[str, Any]) -> None:
        """Record an evaluation."""
        self.content["evaluations"].append(row)
        self._write()

    def cut_back(self, stage: int, epoch: int | None = None) -> None:
        """Drop what was evaluated after a restored position: that model is lost.

        Args:
            stage: 0-based stage of the restored state, or the one before the first.
            epoch: epochs of that stage that are finished; None for its end.
        """
        last = _place(stage, epoch)
        content = self.content
        rows = [*content["evaluations"], *content["protocols"]]
        if any(_place(row["stage"], row["epoch"]) > last for row in rows):
            content["evaluations"] = _until(last, content["evaluations"])
            self._write(last)

    def _write(self, last: tuple[int, int] = (END, END)) -> None:
        """Write the file, with what `record` has put into it meanwhile.

        Args:
            last: place after which that is dropped.

        Raises:
            OSError: the run directory is another run's by now.
        """
        self.content["summary"] = {
            metric: summarise(self.content, metric) for metric in SUMMARISED
        }
        if not self.writes:
            return
        check_held(self.held, self.path.parent)
        with writing(self.path):
            if self.path.exists():
                recorded = read(self.path)["protocols"]
                self.content["protocols"] = _until(last, recorded)
            write_json(self.path, sealed(self.content))


def read(path: Path) -> dict[str, Any]:
    """Read the content of a results file.

    Raises:
        InputError: there is none, or it is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    # A RecursionError: brackets within brackets.
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); restore it, or give the --workdir of "
            "another run"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(
            f"{path}: holds no results of format {FORMAT}; give the --workdir of "
            "another run"
        )
    # Results of older versions have no seal.
    broken = SEAL in content and content != sealed(content)
    content.pop(SEAL, None)
    fault = schema.fault(content) or ("it has another SHA-256" if broken else "")
    if fault:
        raise InputError(
            f"{path}: damaged, {fault}; restore it from a backup, or delete it and run "
            "the train command again, which evaluates what it can"
        )
    return content


def record(path: Path, rows: list[dict[str, Any]]) -> None:
    """Put evaluations on further protocols into a results file, whoever writes it.

    They replace earlier ones of the same stage, dataset and protocol.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    with writing(path):
        content = read(path)
        kept = {_where(row): row for row in (*content["protocols"], *rows)}
        content["protocols"] = list(kept.values())
        write_json(path, sealed(content))


def _place(stage: int, epoch: int | None) -> tuple[int, int]:
    """Order evaluations: those inside of a stage come before that at its end."""
    return stage, END if epoch is None else epoch


def _until(last: tuple[int, int], rows: list[dict[str, Any]]) -> list[Any]:
    return [row for row in rows if _place(row["stage"], row["epoch"]) <= last]


def _where(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("stage", "dataset", "protocol"))


def writing(path: Path) -> contextlib.AbstractContextManager[bool]:
    """Keep every other process from writing a results file."""
    return locked(path.with_name(f".{path.name}.lock"))


def empty(
    *, method: str, preset: str, seed: int, stages: list[list[str]], datasets: list[str]
) -> dict[str, Any]:
    """Start the content of a results file.

    Args:
        method: name of the method.
        preset: name of the preset.
        seed: of the run.
        stages: names of the datasets each stage learns.
        datasets: names of all datasets, in evaluation order.
    """
    return {
        "format": FORMAT,
        "method": method,
        "preset": preset,
        "seed": seed,
        "stages": stages,
        "datasets": datasets,
        "evaluations": [],
        "protocols": [],
        "summary": {},
    }


def summarise(content: dict[str, Any], metric: str) -> dict[str, Any]:
    """Compute averages, forgetting and transfer of a metric at the stages' ends.

    A dataset counts with its first protocol.
    """
    stages, datasets = content["stages"], content["datasets"]
    table = np.full((len(stages) + 1, len(datasets)), np.nan)
    for row in reversed(content["evaluations"]):
        if row["epoch"] is None:
            table[row["stage"], datasets.index(row["dataset"])] = row[metric]
    learned = [
        next((i for i, names in enumerate(stages) if name in names), -1)
        for name in datasets
    ]
    ends = [row["stage"] for row in content["evaluations"] if row["epoch"] is None]
    done = 1 + max(ends, default=START)
    return lifelong.summarise(table[:done], np.array(learned), table[START])
