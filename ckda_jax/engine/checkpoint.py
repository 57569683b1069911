"""Checkpoints of a run: one for good at each stage's end, the newest few inside."""

import contextlib
import dataclasses
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from ckda_jax.engine.state import TrainState
from ckda_jax.structs import InputError, Tree

STEPS_PER_STAGE = 10_000_000
"""More steps than a stage has: `stage * STEPS_PER_STAGE + step` orders positions."""

LONGEST_CAUSE = 300
"""Characters of another library's error that are passed on."""

AFTERMATH = re.compile(
    "Event loop is closed"
    "|Encountered error while reading array index"
    # A file whose turn had not come.
    "|coroutine .* was never awaited"
)
"""How the errors begin that files still in work raise when another one failed."""

UNFINISHED = ".orbax-checkpoint-tmp"
"""In the name of what Orbax has not finished writing."""


@dataclasses.dataclass(frozen=True, order=True)
class Position:
    """A place in a run: `step` steps into 0-based `stage`."""

    stage: int
    step: int


class Checkpoints:
    """The folder `checkpoints/` of a run.

    `stages/K` holds the merged variables and the method's memory after stage K and is
    never deleted: evaluation, the next stage's teacher and later runs start from it.
    `steps/` holds the newest training states inside a stage with the position of the
    batch stream. Each checkpoint appears whole or not at all.
    """

    def __init__(self, folder: Path, *, keep: int = 2, writes: bool = True) -> None:
        """Open the folder.

        Args:
            folder: made when absent, unless it is only read.
            keep: how many states inside a stage to keep, the newest.
            writes: False to read only, which changes nothing on disk.
        """
        folder = folder.absolute()
        self._folder = folder
        self._steps = _manager(folder / "steps", writes, max_to_keep=keep)
        self._stages = _manager(
            folder / "stages", writes, handler=ocp.StandardCheckpointHandler()
        )

    def latest_position(self) -> Position | None:
        """Return the newest position inside a stage, if any."""
        latest = self._steps.latest_step()
        return None if latest is None else Position(*divmod(latest, STEPS_PER_STAGE))

    def save_step(
        self, position: Position, state: TrainState, stream: dict[str, object]
    ) -> None:
        """Save a training state and the JSON state of its batch stream."""
        with self._named_errors():
            self._steps.save(
                position.stage * STEPS_PER_STAGE + position.step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state), stream=ocp.args.JsonSave(stream)
                ),
            )

    def restore_step(
        self, position: Position, like: TrainState
    ) -> tuple[TrainState, dict[str, object]]:
        """Restore a training state, laid out like `like`, and its stream's state."""
        with self._readable():
            restored = self._steps.restore(
                position.stage * STEPS_PER_STAGE + position.step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(_abstract(like)),
                    stream=ocp.args.JsonRestore(),
                ),
            )
        return restored["state"], restored["stream"]

    def stages(self) -> list[int]:
        """List the 0-based stages that are finished."""
        return sorted(self._stages.all_steps())

    def choose(self, asked: int | None) -> int:
        """Return a finished stage, counted from 0: the one asked for, or the last.

        Args:
            asked: the stage counted from 1, or None.

        Raises:
            InputError: that stage is not finished, or none is.
        """
        finished, run = self.stages(), self._folder.parent
        if asked is not None and asked < 1:
            raise InputError(f"--stage {asked}: stages are counted from 1")
        if not finished:
            raise InputError(
                f"no stage of {run} is finished; let its run end a stage first"
            )
        if asked is not None and asked - 1 not in finished:
            names = ", ".join(str(stage + 1) for stage in finished)
            raise InputError(
                f"stage {asked} of {run} is not finished; finished: {names}"
            )
        return finished[-1] if asked is None else asked - 1

    def save_stage(self, stage: int, variables: Tree, memory: Tree) -> None:
        """Save what a stage leaves behind; saving it again is an error."""
        tree = {"variables": variables, "memory": memory}
        with self._named_errors():
            self._stages.save(stage, args=ocp.args.StandardSave(tree))

    def restore_stage(
        self, stage: int, *, variables: Tree, memory: Tree
    ) -> tuple[Tree, Tree]:
        """Restore what a stage left behind, laid out like the trees given."""
        like = _abstract({"variables": variables, "memory": memory})
        with self._readable():
            tree = self._stages.restore(stage, args=ocp.args.StandardRestore(like))
        return tree["variables"], tree["memory"]

    def restore_as_saved(self, stage: int) -> Tree:
        """Restore a stage's `{"variables", "memory"}` as NumPy arrays of any shape."""
        with self._readable():
            saved = self._stages.item_metadata(stage).tree
            like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), saved)
            return self._stages.restore(stage, args=ocp.args.StandardRestore(like))

    def close(self) -> None:
        """Finish writing."""
        self._steps.close()
        self._stages.close()

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        """Raise what is damaged or of other shapes as an error that names the folder.

        Raises:
            InputError: with the first line of what Orbax says.
        """
        try:
            with _without_aftermath():
                yield
        except Exception as error:
            # Orbax and TensorStore raise nearly everything, page-long at times.
            cause = str(error).strip().partition("\n")[0][:LONGEST_CAUSE]
            raise InputError(
                f"{self._folder}: a checkpoint cannot be restored ({cause}); restore "
                "the files and data that the run began with, or give another --workdir"
            ) from error

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Raise what a file system refuses as an OSError that names the folder."""
        try:
            with _without_aftermath():
                yield
        # TensorStore raises ValueError for what the file system refuses.
        except (OSError, ValueError) as error:
            cause = " ".join(str(error).split())
            raise OSError(
                f"{self._folder}: cannot be written ({cause}); make room or give "
                "another --workdir, then run the same command again"
            ) from error


@contextlib.contextmanager
def _without_aftermath() -> Iterator[None]:
    """Keep quiet about what goes on after an error when its event loop is closed."""
    before = sys.unraisablehook

    def quiet(unraisable: Any) -> None:
        if not AFTERMATH.match(str(unraisable.exc_value)):
            before(unraisable)

    sys.unraisablehook = quiet
    try:
        yield
    except Exception:
        warnings.filterwarnings("ignore", AFTERMATH.pattern, RuntimeWarning)
        raise
    # Not after an error, whose aftermath comes at any time.
    sys.unraisablehook = before


def _manager(
    folder: Path,
    writes: bool,
    *,
    max_to_keep: int | None = None,
    handler: ocp.StandardCheckpointHandler | None = None,
) -> ocp.CheckpointManager:
    """Open a folder of checkpoints; a writer removes what a killed run left undone."""
    if writes:
        # Not by Orbax, whose own clean-up synchronises the processes in a thread, while
        # a step may be running on the same devices.
        if jax.process_index() == 0:
            for unfinished in folder.glob(f"*{UNFINISHED}*"):
                shutil.rmtree(unfinished)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=max_to_keep, enable_async_checkpointing=False
        )
    else:
        options = ocp.CheckpointManagerOptions(
            save_interval_steps=0,
            create=False,
            read_only=True,
            enable_async_checkpointing=False,
        )
    return ocp.CheckpointManager(folder, options=options, item_handlers=handler)


def _abstract(tree: Tree) -> Tree:
    def describe(leaf: jax.Array) -> jax.ShapeDtypeStruct:
        sharding = getattr(leaf, "sharding", None)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(describe, tree)
