"""The desk: where a run writes things down, and where it hears that it is to end."""

import dataclasses

from ckda_jax.data.pipeline import TrainingStream
from ckda_jax.engine.checkpoint import Checkpoints, Position
from ckda_jax.engine.interruption import Interruption
from ckda_jax.engine.results import Results
from ckda_jax.engine.stage import Stage
from ckda_jax.engine.state import TrainState
from ckda_jax.engine.watchdog import Watchdog
from ckda_jax.reporting.progress import Progress
from ckda_jax.reporting.writer import Writer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Desk:
    """Checkpoints, results, log and progress of a run; its interruption and watchdog.

    The last two do nothing unless they are given, and entered as context managers.
    """

    checkpoints: Checkpoints
    results: Results
    writer: Writer
    progress: Progress
    interruption: Interruption = dataclasses.field(default_factory=Interruption)
    watchdog: Watchdog = dataclasses.field(default_factory=Watchdog)

    def save(
        self, stage: Stage, done: int, state: TrainState, stream: TrainingStream
    ) -> str:
        """Save a checkpoint inside a stage; return what to call it."""
        name = f"step {done} of {stage}"
        self.watchdog.watch(f"saving {name}")
        position = Position(stage.index, done)
        self.checkpoints.save_step(position, state, stream.get_state())
        return name

    def pulse(self) -> None:
        """Notice that an evaluation goes on, and end it if the run is to end.

        Raises:
            Interrupted: it is.
        """
        self.watchdog.watch("a batch of an evaluation")
        self.interruption.check()
