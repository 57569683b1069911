"""The log of a run: `metrics.jsonl` and TensorBoard events; a kill does no harm."""

import io
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ckda_jax.files import finite, write_all, write_text, writes
from ckda_jax.reporting.events import Events
from ckda_jax.structs import InputError

METRICS_FILE = "metrics.jsonl"
TENSORBOARD = "tensorboard"


class Writer:
    """Appends one line of scalars per logged step, to be closed at the end.

    The same values go to TensorBoard, one of its runs per stage (`tensorboard/stage1`
    and so on), so that stages lie over each other under the same tags.

    Args:
        workdir: run directory, created when absent.
        active: False writes nothing, for all processes of a run but the first.
        tensorboard: False leaves the TensorBoard events out.
        clock: gives the seconds since the epoch that every line carries as `time`.
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        *,
        active: bool = True,
        tensorboard: bool = True,
        clock: Callable[[], float] = time.time,
    ):
        self._workdir = Path(workdir)
        self._path = self._workdir / METRICS_FILE
        self._active = active
        self._tensorboard = tensorboard
        self._clock = clock
        self._events: tuple[int, Events] | None = None
        self._lines = None
        if active:
            self._workdir.mkdir(parents=True, exist_ok=True)
            drop_partial_line(self._path)
            self._lines = _append_to(self._path)

    def scalars(
        self, *, stage: int, step: int, epoch: int, values: Mapping[str, Any]
    ) -> None:
        """Log scalars of one step.

        Args:
            stage: 0-based stage.
            step: steps of the stage that are finished.
            epoch: epoch of the stage.
            values: name to number; a value that is not finite is logged as null.

        Raises:
            ValueError: the writer is closed.
            OSError: they cannot be written.
        """
        if not self._active:
            return
        if self._lines is None:
            raise ValueError("the writer is closed; make a new Writer to log further")
        numbers = {name: float(value) for name, value in values.items()}
        position = {"stage": stage, "step": step, "epoch": epoch}
        row = {**position, **numbers, "time": self._clock()}
        with writes(self._path):
            write_all(self._lines, (json.dumps(finite(row)) + "\n").encode())
        if self._tensorboard:
            with writes(self._workdir / TENSORBOARD):
                self._stage_events(stage, step).scalars(step, numbers)

    def cut_back(self, stage: int, step: int) -> None:
        """Drop what was logged after a restored position, and go on from there.

        Args:
            stage: 0-based stage of the restored state.
            step: steps of that stage that are finished; lines up to it are kept.
        """
        if not self._active:
            return
        self.close()
        kept = [
            row
            for row in read_rows(self._path)
            if (row["stage"], row["step"]) <= (stage, step)
        ]
        write_text(self._path, "".join(json.dumps(row) + "\n" for row in kept))
        self._lines = _append_to(self._path)

    def sync(self) -> None:
        """Wait until all that was logged is on the disk.

        Raises:
            OSError: it cannot be written.
        """
        if self._lines is not None:
            with writes(self._path):
                os.fsync(self._lines.fileno())
        if self._events is not None:
            with writes(self._workdir / TENSORBOARD):
                self._events[1].sync()

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None
        if self._events is not None:
            self._events[1].close()
            self._events = None

    def _stage_events(self, stage: int, step: int) -> Events:
        """Open the TensorBoard run of a stage; older events from `step` on go."""
        if self._events is None or self._events[0] != stage:
            if self._events is not None:
                self._events[1].close()
            folder = self._workdir / TENSORBOARD
            folder.mkdir(exist_ok=True)
            self._events = (stage, Events(folder / f"stage{stage + 1}", step))
        return self._events[1]


def read_rows(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read the lines of a `metrics.jsonl`, without a last line cut off by a kill.

    Returns:
        One dict per line; nothing when the file does not exist.

    Raises:
        InputError: a finished line is no JSON object, does not say of which step it is,
            or holds something else than numbers.
    """
    path = Path(path)
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            row = json.loads(line.decode())
        except (ValueError, RecursionError):
            row = None
        fault = _fault(row)
        if fault:
            raise InputError(f"{path}, line {number}: {fault}; remove that line")
        rows.append(row)
    return rows


def _fault(row: Any) -> str:
    """Say what is wrong with a line; nothing where all is well."""
    if not isinstance(row, dict):
        return "not a JSON object"
    for name in ("stage", "step"):
        if type(row.get(name)) is not int:
            return f"{name!r} is no whole number"
    for name, value in row.items():
        if value is not None and type(value) not in (int, float):
            return f"{name!r} is no number"
    return ""


def drop_partial_line(path: Path) -> None:
    """Cut a file back to its last newline, which a killed writer may have missed."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _append_to(path: Path) -> io.FileIO:
    return open(path, "ab", buffering=0)
