"""The shelf: a run's checkpoints as folders, each there whole or not there."""

import contextlib
import dataclasses
import math
import os
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckda_jax.engine import manifest
from ckda_jax.engine.manifest import MANIFEST, Damage
from ckda_jax.files import sync_folder

STEPS_PER_STAGE = 10_000_000
"""More steps than a stage has: `stage * STEPS_PER_STAGE + step` orders positions."""

END = STEPS_PER_STAGE
"""Stands for the step of a position at a stage's end, after all of its steps."""

STAGES, STEPS = "stages", "steps"
UNFINISHED, DAMAGED = "unfinished", "damaged"

NUMBER = re.compile("0|[1-9][0-9]{0,17}")
"""Names of folders that may be checkpoints."""

OWN_FILE = "_CHECKPOINT_METADATA"
"""Of Orbax, in each checkpoint: where it is, a checkpoint is or was."""


@dataclasses.dataclass(frozen=True, order=True)
class Position:
    """A place in a run: `step` steps into 0-based `stage`, or `END` for its end."""

    stage: int
    step: int

    def __str__(self) -> str:
        where = "the end" if self.step == END else f"step {self.step}"
        return f"{where} of stage {self.stage + 1}"

    def needs(self, first: int) -> "Position | None":
        """Return where a run that began with stage `first` finds the teacher."""
        if self.step == END or self.stage == first:
            return None
        return Position(self.stage - 1, END)

    @property
    def facts(self) -> dict[str, Any]:
        """What a manifest says of a checkpoint here; the step is None at the end."""
        return {"stage": self.stage, "step": None if self.step == END else self.step}


@dataclasses.dataclass(frozen=True)
class Shelf:
    """The folder `checkpoints/` of a run.

    `stages/K` is what stage K left behind, `steps/N` a state inside a stage. A
    checkpoint is written below `unfinished/` and put into its place by a renaming when
    its manifest is there: what has none was damaged afterwards. Removing one begins
    with the renaming back, so that a kill leaves no half of it. `damaged/` holds what
    was set aside, for repair.

    Attributes:
        root: the folder.
    """

    root: Path

    def folder(self, position: Position) -> Path:
        """Name the folder of a checkpoint."""
        if position.step == END:
            return self.root / STAGES / str(position.stage)
        number = position.stage * STEPS_PER_STAGE + position.step
        return self.root / STEPS / str(number)

    def positions(self) -> list[Position]:
        """List the checkpoints in the order of the run, damaged ones too."""
        folders = [folder for folder in self._numbered() if _is_checkpoint(folder)]
        return sorted(self._position(folder) for folder in folders)

    def junk(self) -> list[Path]:
        """List the folders that are named like checkpoints and are none."""
        return [folder for folder in self._numbered() if not _is_checkpoint(folder)]

    def verify(self, position: Position) -> dict[str, Any]:
        """Compare a checkpoint with its manifest, which is returned.

        Raises:
            Damage: it is not what it was; the message begins with the file's path.
            OSError: it cannot be read now.
        """
        folder = self.folder(position)
        try:
            return manifest.verify(folder, position.facts)
        except Damage as damage:
            raise Damage(f"{folder}/{damage}") from damage
        except OSError as error:
            raise OSError(
                f"{error.filename or folder}: cannot be read ({error.strerror}); it "
                "may be whole: see to that, then run the same command again"
            ) from error

    def unfinished(self, position: Position) -> Path:
        """Name the folder in which a checkpoint is to be written, below one that is."""
        folder = self.folder(position)
        path = self.root / UNFINISHED / f"{folder.parent.name}-{folder.name}"
        path.parent.mkdir(exist_ok=True)
        return path

    def put(self, written: Path, position: Position) -> None:
        """Move a written folder to its place; what lies there is set aside.

        The disk knows the place when this returns: an older checkpoint may go.
        """
        target = self.folder(position)
        if target.exists():
            self.set_aside(position)
        target.parent.mkdir(exist_ok=True)
        os.rename(written, target)
        for folder in (target.parent, self.root, self.root.parent):
            sync_folder(folder)

    def rate(self, position: Position, score: float) -> None:
        """Put a score into the manifest of a checkpoint."""
        self.folder(position).stat()  # what is gone is the system's error, no damage
        manifest.add(self.folder(position), {"score": score})

    def set_aside(self, position: Position) -> None:
        """Move a checkpoint to `damaged/`, over what was set aside of that name."""
        folder = self.folder(position)
        aside = self.root / DAMAGED / f"{folder.parent.name}-{folder.name}"
        aside.parent.mkdir(exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(folder, aside)

    def prune(self, keep: int) -> None:
        """Remove the states inside stages that are neither new nor best."""
        steps = [position for position in self.positions() if position.step != END]
        scores = {position: self._score(position) for position in steps}
        for position in superfluous(scores, keep):
            gone = self.unfinished(position)
            os.rename(self.folder(position), gone)
            shutil.rmtree(gone)

    def clear(self) -> None:
        """Remove what is unfinished, also while threads of a failed save write on.

        That is all below `unfinished/`, and manifests that were being written anew.

        Raises:
            OSError: something is there again and again.
        """
        for folder in self._numbered():
            for draft in folder.glob(f".{MANIFEST}.*.tmp"):
                draft.unlink(missing_ok=True)
        unfinished = self.root / UNFINISHED
        for _ in range(100):
            shutil.rmtree(unfinished, ignore_errors=True)
            if not unfinished.exists():
                return
            time.sleep(0.02)
        raise OSError(
            f"{unfinished}: cannot be removed; end what still uses it, then run the "
            "same command again"
        )

    def _numbered(self) -> list[Path]:
        """List the folders named by a number.

        Raises:
            OSError: they cannot be listed, which is not to say that there are none.
        """
        found = []
        for kind in (STAGES, STEPS):
            with contextlib.suppress(FileNotFoundError):
                with os.scandir(self.root / kind) as entries:
                    found += [
                        self.root / kind / entry.name
                        for entry in entries
                        if NUMBER.fullmatch(entry.name) and entry.is_dir()
                    ]
        return sorted(found)

    def _position(self, folder: Path) -> Position:
        number = int(folder.name)
        if folder.parent.name == STAGES:
            return Position(number, END)
        return Position(*divmod(number, STEPS_PER_STAGE))

    def _score(self, position: Position) -> float | None:
        try:
            score = manifest.read(self.folder(position)).get("score")
        except Damage:
            return None
        return score if isinstance(score, float) else None


def superfluous(scores: Mapping[Position, float | None], keep: int) -> list[Position]:
    """List the states inside stages that need not be kept.

    Those stay that are among the `keep` newest, and of each stage the one with the
    highest score, the earliest of equals. What is not finite is no score.

    >>> states = {Position(0, 1): 0.5, Position(0, 2): None, Position(0, 3): 0.1}
    >>> superfluous(states, 1)
    [Position(stage=0, step=2)]
    """
    order = sorted(scores)
    kept = set(order[-keep:])
    best: dict[int, tuple[float, Position]] = {}
    for position in order:
        score = scores[position]
        if score is None or not math.isfinite(score):
            continue
        if position.stage not in best or score > best[position.stage][0]:
            best[position.stage] = (score, position)
    kept.update(position for _, position in best.values())
    return [position for position in order if position not in kept]


def _is_checkpoint(folder: Path) -> bool:
    try:
        return not {MANIFEST, OWN_FILE}.isdisjoint(os.listdir(folder))
    except FileNotFoundError:
        return False  # pruned meanwhile, by the run whose checkpoints another reads
