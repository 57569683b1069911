"""The run: everything that the lifelong loop is given."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Array, Key

from ckda_jax.data.dataset import Dataset
from ckda_jax.data.pipeline import TrainingStream
from ckda_jax.engine.evaluate import Evaluator
from ckda_jax.engine.shares import Shares
from ckda_jax.engine.stage import Stage
from ckda_jax.engine.state import Snapshot
from ckda_jax.engine.step import Learner, Step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pauses:
    """How often the loop turns aside, in steps or epochs of a stage.

    Attributes:
        log_every: steps between log lines.
        checkpoint_every: steps between checkpoints.
        eval_every: epochs between evaluations; 0: only at the end.
        gradients_every: steps between measurements of the shares of the gradient; 0:
            never.
    """

    log_every: int
    checkpoint_every: int
    eval_every: int
    gradients_every: int

    def measures(self, done: int) -> bool:
        """Whether the shares of the gradient are due in a step, counted from 1."""
        return self.gradients_every > 0 and done % self.gradients_every == 0

    def logs(self, done: int, steps: int) -> bool:
        """Whether a step of a stage is logged: also before it is saved, or measured."""
        turns = (self.log_every, self.checkpoint_every, steps)
        return self.measures(done) or any(done % turn == 0 for turn in turns)

    def saves(self, done: int, steps: int) -> bool:
        """Whether a checkpoint is due after a step, which the stage's end makes up."""
        return done < steps and done % self.checkpoint_every == 0

    def evaluates(self, epoch: int, epochs: int) -> bool:
        """Whether an evaluation is due after an epoch inside a stage."""
        every = self.eval_every
        return 0 < epoch < epochs and every > 0 and epoch % every == 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Everything a run is made of; `build.py` makes it from a config.

    Attributes:
        workdir: the run directory.
        key: the run key.
        stages: what is learned, in order.
        datasets: what is evaluated, in order.
        learner: model, method and optimiser settings.
        step: the compiled training step.
        shares: the compiled measurement of each loss term's share of the gradient.
        evaluator: evaluates snapshots.
        origin: what the run starts from: stage -1, or the last stage of another run.
        learned_before: names of the datasets that the run it extends has learned.
        stream: opens a stage's batches.
        usable: rows of a stage's table to rows whose images can be used, for features
            at its end.
        carry_classifier: `never`, or `equal_count` to start a stage's slice of the
            classifier from the previous one's if it has as many identities.
        pauses: how often the loop turns aside.
        evaluate_start: also evaluate the weights the run starts from.
        evaluate_unseen: also evaluate datasets before they are learned.
        examples: how many examples to leave for the report.
        data_may_change: go on inside a stage though its images are others now.
        strict: go on from the newest checkpoint or not at all.
        skip_nonfinite: steps of a stage left out, not being finite, before it ends.
    """

    workdir: Path
    key: Key[Array, ""]
    stages: tuple[Stage, ...]
    datasets: tuple[Dataset, ...]
    learner: Learner
    step: Step
    shares: Shares
    evaluator: Evaluator
    origin: Snapshot
    learned_before: frozenset[str]
    stream: Callable[[Stage], TrainingStream]
    usable: Callable[[Stage, np.ndarray], np.ndarray]
    carry_classifier: str
    pauses: Pauses
    evaluate_start: bool
    evaluate_unseen: bool
    examples: int
    data_may_change: bool = False
    skip_nonfinite: int = 0
    strict: bool = False

    def with_pulse(self, pulse: Callable[[], None]) -> "Run":
        """Call a function before every batch that is evaluated."""
        embedder = dataclasses.replace(self.evaluator.embedder, pulse=pulse)
        evaluator = dataclasses.replace(self.evaluator, embedder=embedder)
        return dataclasses.replace(self, evaluator=evaluator)
