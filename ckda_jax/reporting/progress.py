"""The progress of a run: a live bar on a terminal, quiet single lines elsewhere."""

import collections
import statistics
import time
from collections.abc import Callable, Sequence
from typing import SupportsFloat

from rich import progress as bars
from rich.console import Console

RECENT = 5
"""Laps whose usual speed is taken as the present one."""

QUICK = 5.0
"""Seconds of a count that nobody needs to be told about."""


class Pace:
    """How fast steps go by, measured in laps between two points of synchronisation."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._laps: collections.deque[float] = collections.deque(maxlen=RECENT)
        self._step, self._since = 0, clock()

    def start(self, step: int) -> float:
        """Start a lap at a step; return the seconds since the last lap, now lost."""
        lost = self._clock() - self._since
        self._step, self._since = step, self._clock()
        return lost

    def lap(self, step: int) -> None:
        """End a lap at a step and start the next one."""
        now = self._clock()
        if step > self._step:
            self._laps.append((now - self._since) / (step - self._step))
        self._step, self._since = step, now

    @property
    def seconds_per_step(self) -> float | None:
        """The lower median of the recent laps; None before the first one.

        The median, because a lap may hold a compilation or a checkpoint.
        """
        return statistics.median_low(self._laps) if self._laps else None


class Progress:
    """Shows where a run stands; use it as a context manager.

    On a terminal a bar moves with every update. Elsewhere a line is printed for every
    update that brings a loss, which is what a log interval is.

    Args:
        names: of the stages, in learning order.
        steps: of the stages.
        images_per_step: images of all modalities that one step trains on.
        console: where to draw; `Console(quiet=True)` for all processes but the first.
        clock: gives seconds; only differences count.

    Raises:
        ValueError: `names` and `steps` differ in length.
    """

    def __init__(
        self,
        names: Sequence[str],
        steps: Sequence[int],
        *,
        images_per_step: int,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        if len(names) != len(steps):
            raise ValueError(f"{len(names)} names for {len(steps)} stages")
        self._names, self._steps = tuple(names), tuple(steps)
        self._images = images_per_step
        self._console = console or Console(highlight=False)
        self._pace = Pace(clock)
        self._between: list[float] = []
        self._stage = 0
        self._loss: float | None = None
        self._bar: bars.Progress | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def begin(self, stage: int, step: int = 0) -> None:
        """Begin a 0-based stage, or go on in it after `step` finished steps."""
        lost = self._pace.start(step)
        if stage > self._stage:
            self._between.append(lost)
        self.end()
        self._stage, self._loss = stage, None
        if self._console.is_terminal and not self._console.quiet:
            self._bar = _new_bar(self._console)
            self._bar.add_task(self._title(), total=self._steps[stage], completed=step)
            self._show(step)
            self._bar.start()

    def update(self, step: int, loss: SupportsFloat | None = None) -> None:
        """Tell how many steps of the stage are finished.

        Args:
            step: finished steps.
            loss: value of the last step, given at log intervals only: reading it waits
                for the device, so that the time between two of them is true.
        """
        if loss is not None:
            self._loss = float(loss)
            self._pace.lap(step)
        if self._bar is not None:
            self._show(step)
        elif loss is not None:
            self._print("  ".join([self._title(), *self._facts(step)]))

    def pause(self, step: int) -> None:
        """Leave the time since the last update out of the pace: an evaluation, say."""
        self._pace.start(step)

    def note(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        self._print(text)

    def end(self) -> None:
        """Take the bar down; a second call does nothing."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    @property
    def images_per_second(self) -> float | None:
        """Images trained on per second, recently; None before the second log line."""
        seconds = self._pace.seconds_per_step
        return self._images / seconds if seconds else None

    def seconds_left(self, step: int) -> tuple[float, float] | None:
        """Estimate the seconds left for the stage and for the whole run.

        The run's share counts what lay between the stages so far (merging, prototypes,
        evaluation) once for every stage to come. None before the first log line.
        """
        per_step = self._pace.seconds_per_step
        if per_step is None:
            return None
        stage = per_step * (self._steps[self._stage] - step)
        later = self._steps[self._stage + 1 :]
        between = statistics.fmean(self._between) if self._between else 0.0
        return stage, stage + per_step * sum(later) + between * len(later)

    def _title(self) -> str:
        name = self._names[self._stage]
        return f"stage {self._stage + 1}/{len(self._names)} {name}"

    def _facts(self, step: int) -> list[str]:
        """List what is known at a step as short phrases, in a fixed order."""
        facts = [f"step {step}/{self._steps[self._stage]}"]
        if self._loss is not None:
            facts.append(f"loss {self._loss:.3g}")
        if self.images_per_second is not None:
            facts.append(f"{self.images_per_second:.0f} images/s")
        left = self.seconds_left(step)
        if left is not None:
            facts.append(f"{duration(left[0])} left")
            if len(self._names) > 1:
                facts.append(f"run {duration(left[1])} left")
        return facts

    def _show(self, step: int) -> None:
        if self._bar is not None:
            facts = "  ".join(self._facts(step))
            self._bar.update(self._bar.task_ids[0], completed=step, facts=facts)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Tally:
    """Says how far a count is: a line for every fifth, once it has taken a while.

    Args:
        what: is counted, `pictures drawn` say.
        console: where to print; `Console(quiet=True)` for all processes but the first.
        clock: gives seconds; only differences count.
    """

    def __init__(
        self,
        what: str,
        console: Console,
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._what, self._console, self._clock = what, console, clock
        self._start, self._fifths = clock(), 0

    def __call__(self, done: int, total: int) -> None:
        """Take notice that `done` of `total` are done."""
        fifths = 5 * done // total
        if fifths == self._fifths:
            return
        self._fifths = fifths
        if self._clock() - self._start >= QUICK:
            text = f"{self._what}: {done:,} of {total:,}"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def duration(seconds: float | int) -> str:
    """Write a length of time in its two largest units.

    >>> duration(45), duration(190), duration(7500), duration(97200)
    ('45s', '3m10s', '2h05m', '1d03h')
    """
    whole = max(0, round(seconds))
    for unit, size, part, part_size in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part_size:02d}{part}"
    return f"{whole}s"


def _new_bar(console: Console) -> bars.Progress:
    return bars.Progress(
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(bar_width=None),
        bars.TextColumn("{task.fields[facts]}", markup=False),
        console=console,
        expand=True,
    )
