"""The desk: where a run writes things down, and where it hears that it is to end."""

import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import Iterator

import jax

from ckda_jax.data.pipeline import TrainingStream
from ckda_jax.engine import storage
from ckda_jax.engine.checkpoint import Checkpoints, Position
from ckda_jax.engine.interruption import Interruption
from ckda_jax.engine.results import Results
from ckda_jax.engine.stage import Stage
from ckda_jax.engine.state import Snapshot, TrainState
from ckda_jax.engine.watchdog import Watchdog
from ckda_jax.reporting.progress import Progress
from ckda_jax.reporting.writer import Writer

LOST = re.compile("gloo|nccl|connection|heartbeat|coordination|peer", re.IGNORECASE)
"""In what JAX says when it can no longer talk to another process."""

LONGEST_CAUSE = 200
"""Characters of JAX's error that are passed on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Desk:
    """Checkpoints, results, log and progress of a run; its interruption and watchdog.

    The last two do nothing unless they are given.
    """

    checkpoints: Checkpoints
    results: Results
    writer: Writer
    progress: Progress
    interruption: Interruption = dataclasses.field(default_factory=Interruption)
    watchdog: Watchdog = dataclasses.field(default_factory=Watchdog)

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Listen and watch until what is written is finished."""
        with self.watchdog, self.interruption, _ended_when_lost(), self._finished():
            yield

    @contextlib.contextmanager
    def _finished(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.watchdog.watch("finishing what is written")
            try:
                with storage.hides_nothing():
                    self.progress.end()
                    self.writer.close()
            finally:
                self.checkpoints.close()

    def save(
        self, stage: Stage, done: int, state: TrainState, stream: TrainingStream
    ) -> str:
        """Save a checkpoint inside a stage, and the log; return what to call it."""
        name = f"step {done} of {stage}"
        self.watchdog.watch(f"saving {name}")
        self.writer.sync()
        position = Position(stage.index, done)
        self.checkpoints.save_step(position, state, stream.get_state())
        return name

    def save_end(self, stage: Stage, left: Snapshot) -> None:
        """Save what a stage leaves behind, and wait until it is saved.

        A kill during the evaluation that follows costs no learning, nor does a signal
        that comes meanwhile.

        Raises:
            Interrupted: the run is to end, and all is saved.
        """
        self.watchdog.watch(f"saving {stage}")
        self.interruption.hold()
        self.writer.sync()
        self.checkpoints.save_stage(stage.index, left.variables, left.memory)
        self.checkpoints.wait()
        self.interruption.release()
        self.interruption.check()

    def pulse(self) -> None:
        """Notice that an evaluation goes on, and end it if the run is to end.

        Raises:
            Interrupted: it is.
        """
        self.watchdog.watch("a batch of an evaluation")
        self.interruption.check()


@contextlib.contextmanager
def _ended_when_lost() -> Iterator[None]:
    """End the process with one line, and status 1, when another one is lost.

    Here and now: JAX would wait until that one misses its heartbeats, then abort with
    pages of its own.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1 or not LOST.search(str(error)):
            raise
        cause = " ".join(str(error).split())[:LONGEST_CAUSE]
        line = (
            "error: another process of the run is lost, see its own last lines "
            f"({cause}); start all of them again, which go on from the newest "
            "checkpoint\n"
        )
        sys.stdout.flush()
        os.write(2, line.encode())
        os._exit(1)
