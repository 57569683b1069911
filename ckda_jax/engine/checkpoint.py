"""Checkpoints of a run: one for good at each stage's end, the newest and best inside.

Orbax writes and reads the arrays. Which checkpoints there are, whether they are whole
and which are kept is decided here and in `shelf`, `manifest` and `recovery`.
"""

import contextlib
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from ckda_jax.engine import manifest, storage
from ckda_jax.engine.consensus import of_main
from ckda_jax.engine.manifest import Damage
from ckda_jax.engine.recovery import BACKUP, recover
from ckda_jax.engine.shelf import END, Position, Shelf
from ckda_jax.engine.state import TrainState
from ckda_jax.locks import Held, always, check_held
from ckda_jax.structs import InputError, Tree

LEFT, STATE, STREAM = "left", "state", "stream"
"""Folders in a checkpoint: what a stage left behind; a training state, its stream's."""


class Checkpoints:
    """The folder `checkpoints/` of a run, see `Shelf`.

    `stages/K` holds the merged variables and the method's memory after stage K and is
    never deleted: evaluation, the next stage's teacher and later runs start from it.
    `steps/` holds training states inside a stage with the position of the batch
    stream. Each checkpoint appears whole or not at all, is verified before it is read,
    and is written in the background: the arrays given may be changed or donated once a
    save returns. What goes wrong there is raised by the next save, `wait` or `close`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep: int = 2,
        writes: bool = True,
        held: Held = always,
    ) -> None:
        """Open the folder; a writer removes what a killed run left unfinished.

        Args:
            folder: made when absent, unless it is only read.
            keep: how many states inside a stage to keep, the newest, beside the best
                of each stage.
            writes: False to read only, which changes nothing on disk.
            held: whether the run directory is still this run's; asked before every
                change.
        """
        self._shelf = Shelf(folder.absolute())
        self._keep, self._held = keep, held
        self._verified: set[Position | None] = set()
        self._orbax = ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(),
            # A folder that cannot be made is an error of the save, not of a thread.
            async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
        )
        self._thread = futures.ThreadPoolExecutor(1, "checkpoint")
        self._saving: futures.Future[None] | None = None
        if writes and _is_main():
            self._shelf.root.mkdir(parents=True, exist_ok=True)
            self._clear()

    def recover(
        self, first: int, *, strict: bool = False, warn: Callable[[str], None] = print
    ) -> list[int]:
        """Find what a run goes on from, past what is damaged; see `recovery.recover`.

        Returns:
            The 0-based stages that are finished.
        """

        def newest() -> tuple[int, int] | None:
            found = recover(self._shelf, first, strict=strict, warn=warn)
            return None if found is None else (found.stage, found.step)

        found = of_main(newest)
        if found is not None:
            position = Position(*found)
            self._verified |= {position, position.needs(first)}
        return self.stages()

    def positions(self) -> list[Position]:
        """List the checkpoints in the order of the run, damaged ones too."""
        self.wait()
        found = of_main(lambda: [(p.stage, p.step) for p in self._shelf.positions()])
        return [Position(*place) for place in found]

    def latest_position(self) -> Position | None:
        """Return the newest position inside a stage, if any."""
        found = [position for position in self.positions() if position.step != END]
        return found[-1] if found else None

    def save_step(
        self, position: Position, state: TrainState, stream: dict[str, object]
    ) -> None:
        """Save a training state and the JSON state of its batch stream."""
        parts = {
            STATE: ocp.args.StandardSave(state),
            STREAM: ocp.args.JsonSave(stream),
        }
        arguments = ocp.args.Composite(**parts)
        self._save(position, arguments)

    def rate(self, position: Position, score: float) -> None:
        """Note how well a state inside a stage does: the best of a stage is kept.

        Args:
            position: of its checkpoint, which must still be there.
            score: higher is better; what is not finite is never the best.
        """
        self.wait()
        if _is_main():
            with self._writes():
                self._shelf.rate(position, score)

    def restore_step(
        self, position: Position, like: TrainState
    ) -> tuple[TrainState, dict[str, object]]:
        """Restore a training state, laid out like `like`, and its stream's state."""
        self._verify(position)
        parts = {
            STATE: ocp.args.StandardRestore(_abstract(like)),
            STREAM: ocp.args.JsonRestore(),
        }
        with storage.reads(self._shelf.folder(position)):
            restored = self._orbax.restore(
                self._shelf.folder(position), args=ocp.args.Composite(**parts)
            )
        return restored[STATE], restored[STREAM]

    def stages(self) -> list[int]:
        """List the 0-based stages that are finished."""
        return [p.stage for p in self.positions() if p.step == END]

    def choose(self, asked: int | None) -> int:
        """Return a finished stage, counted from 0: the one asked for, or the last.

        Args:
            asked: the stage counted from 1, or None.

        Raises:
            InputError: that stage is not finished, or none is.
        """
        finished, run = self.stages(), self._shelf.root.parent
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
        """Save what a stage leaves behind."""
        tree = {"variables": variables, "memory": memory}
        arguments = ocp.args.Composite(**{LEFT: ocp.args.StandardSave(tree)})
        self._save(Position(stage, END), arguments)

    def restore_stage(
        self, stage: int, *, variables: Tree, memory: Tree
    ) -> tuple[Tree, Tree]:
        """Restore what a stage left behind, laid out like the trees given."""
        position = Position(stage, END)
        self._verify(position)
        like = _abstract({"variables": variables, "memory": memory})
        with storage.reads(self._shelf.folder(position)):
            restored = self._orbax.restore(
                self._shelf.folder(position),
                args=ocp.args.Composite(**{LEFT: ocp.args.StandardRestore(like)}),
            )
        return restored[LEFT]["variables"], restored[LEFT]["memory"]

    def restore_as_saved(self, stage: int, step: int = END) -> Tree:
        """Restore a checkpoint's arrays as NumPy arrays, whatever their shapes.

        Args:
            stage: 0-based.
            step: of a state inside the stage; else what the stage left behind,
                `{"variables", "memory"}`.
        """
        position = Position(stage, step)
        self._verify(position)
        part = LEFT if step == END else STATE
        folder = epath.Path(self._shelf.folder(position) / part)
        handler = ocp.StandardCheckpointHandler()
        with storage.reads(self._shelf.folder(position)):
            saved = handler.metadata(folder).tree
            storage.check_room(saved)
            like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), saved)
            return handler.restore(folder, args=ocp.args.StandardRestore(like))

    def wait(self) -> None:
        """Wait until everything is written.

        Raises:
            OSError: something could not be.
        """
        if self._saving is not None:
            futures.wait([self._saving])  # interrupted here, `close` waits again
            saving, self._saving = self._saving, None
            saving.result()

    def close(self) -> None:
        """Finish writing; what goes wrong hides no error that came before it."""
        with storage.hides_nothing():
            try:
                self.wait()
            finally:
                self._thread.shutdown()
                self._orbax.close()

    def _save(self, position: Position, arguments: ocp.args.Composite) -> None:
        """Begin to save, when the save before it is done."""
        self.wait()
        facts = position.facts | manifest.run_facts(self._shelf.root.parent)
        with self._writes():
            written = self._shelf.unfinished(position)
            self._orbax.save(written, args=arguments)
        self._saving = self._thread.submit(self._finish, written, position, facts)

    def _finish(self, written: Path, position: Position, facts: dict[str, Any]) -> None:
        """Wait for Orbax, write the manifest, and put the checkpoint into its place."""
        with storage.writes(self._shelf.root, self._clear):
            self._orbax.wait_until_finished()
        if not _is_main():
            return
        # Orbax is done when all processes have written: one can read it all.
        with self._writes():
            manifest.write(written, facts)
            self._shelf.put(written, position)
            self._shelf.prune(self._keep)

    @contextlib.contextmanager
    def _writes(self) -> Iterator[None]:
        """Change the folder, unless the run directory is another run's by now."""
        check_held(self._held, self._shelf.root.parent)
        with storage.writes(self._shelf.root, self._clear):
            yield

    def _clear(self) -> None:
        """Give the room back that something unfinished takes."""
        if _is_main() and self._held():
            self._shelf.clear()

    def _verify(self, position: Position) -> None:
        """Read every byte of a checkpoint, once, before any of it is used.

        Raises:
            InputError: it is damaged; the message names the stages that are not.
        """
        self.wait()
        if position in self._verified:
            return

        def question() -> None:
            try:
                self._shelf.verify(position)
            except Damage as damage:
                raise InputError(
                    f"{damage}; {BACKUP} ({self._whole(position)})"
                ) from damage

        of_main(question)
        self._verified.add(position)

    def _whole(self, but: Position) -> str:
        """Say which stages can be restored."""
        whole = []
        for position in self._shelf.positions():
            if position.step == END and position != but:
                with contextlib.suppress(Damage, OSError):
                    self._shelf.verify(position)
                    whole.append(str(position.stage + 1))
        if not whole:
            return "the end of no other stage is whole"
        return f"the end of these stages is whole: {', '.join(whole)}"


def _is_main() -> bool:
    return jax.process_index() == 0


def _abstract(tree: Tree) -> Tree:
    def describe(leaf: jax.Array) -> jax.ShapeDtypeStruct:
        sharding = getattr(leaf, "sharding", None)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(describe, tree)
