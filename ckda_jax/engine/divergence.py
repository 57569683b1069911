"""Divergence: steps that were not finite, named when metrics are fetched anyway."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array

from ckda_jax import trees
from ckda_jax.data.pipeline import TrainingStream
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.finiteness import NONE
from ckda_jax.engine.stage import Stage
from ckda_jax.engine.state import TrainState
from ckda_jax.structs import InputError

Metrics = dict[str, Array]


class Divergence:
    """Watches the metrics of a stage for steps that changed nothing, not being finite.

    Nothing is fetched for it but what is fetched to be logged, until the count of such
    steps has grown: then the metrics of every step since are looked through.

    Args:
        stage: that is learned.
        tolerated: so many such steps are noted in a line each; one more is an error.
        state: that the stage goes on from.
        stream: knows the images of every batch.
        checkpoints: of the run.
        note: is told a line.
    """

    def __init__(
        self,
        *,
        stage: Stage,
        tolerated: int,
        state: TrainState,
        stream: TrainingStream,
        checkpoints: Checkpoints,
        note: Callable[[str], None],
    ) -> None:
        self._stage, self._tolerated = stage, tolerated
        self._skipped = int(state.skipped)
        self._leaves = list(trees.named_leaves(state.params))
        self._stream, self._checkpoints, self._note = stream, checkpoints, note
        self._since: list[tuple[int, Metrics]] = []

    def add(self, step: int, metrics: Metrics) -> None:
        """Take the metrics of a step, counted from 1, as the device computes them."""
        self._since.append((step, metrics))

    def fetch(self) -> dict[str, float]:
        """Fetch the latest step's metrics, once every step since the last time is fine.

        Raises:
            InputError: more steps than are tolerated were not finite.
        """
        values = _fetched(self._since[-1][1])
        if values["skipped"] > self._skipped or not values["finite"]:
            for step, metrics in self._since:
                self._look_at(step, _fetched(metrics))
        self._since.clear()
        del values["bad_leaf"], values["finite"]
        return values

    def _look_at(self, step: int, values: dict[str, float]) -> None:
        is_left_out = values["skipped"] > self._skipped
        if values["finite"] and not is_left_out:
            return
        self._skipped += is_left_out
        loss, why = values["loss"], self._why(values)
        said = f"{self._stage.name}: the loss is {loss:.3g} at step {step} ({why})"
        if values["finite"] and self._skipped <= self._tolerated:
            self._note(
                f"warning: {said}; the step is left out "
                f"({self._skipped} of {self._tolerated} tolerated)"
            )
            return
        images = "\n  ".join(self._stream.files(step - 1))
        raise InputError(
            f"{said}; lower config.optim.lr or limit config.optim.clip_norm, in a new "
            "--workdir, or go on in this one with a higher config.train.skip_nonfinite "
            f"(now {self._tolerated}). Nothing of it is saved; {self._kept()}. "
            f"Its images:\n  {images}"
        )

    def _kept(self) -> str:
        """Say where the run goes on from."""
        position = self._checkpoints.latest_position()
        if position is not None and position.stage == self._stage.index:
            return f"step {position.step} of {self._stage} is kept"
        if self._checkpoints.stages():
            return f"the end of stage {self._stage.index} is kept"
        return "nothing of the run was"

    def _why(self, values: dict[str, float]) -> str:
        """Say what is not finite: loss terms, a gradient, statistics, the weights."""
        terms = [
            name
            for name, value in values.items()
            if name.startswith("loss/") and not math.isfinite(value)
        ]
        details = [f"not finite: {', '.join(terms)}"] if terms else []
        if values["bad_leaf"] != NONE:
            leaf = self._leaves[int(values["bad_leaf"])]
            details.append(f"first in the gradient: {leaf}")
        rest = "statistics" if values["finite"] else "the weights it gives"
        return "; ".join(details or [f"not finite: {rest}"])


def _fetched(metrics: Metrics) -> dict[str, float]:
    fetched: dict[str, Any] = jax.device_get(metrics)
    return {name: float(value) for name, value in fetched.items()}
