"""Progress on a terminal and off it, with a clock that is turned by hand."""

import io

import pytest
from rich.console import Console

from ckda_jax.reporting.progress import Pace, Progress, Tally, duration


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def make(names=("regdb", "sysu"), steps=(100, 50), terminal=False):
    clock, out = Clock(), io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=160)
    progress = Progress(names, steps, images_per_step=64, console=console, clock=clock)
    return progress, clock, out


def test_quiet_lines_say_where_the_run_stands():
    progress, clock, out = make()
    with progress:
        progress.begin(0)
        clock.now += 10
        progress.update(10, loss=3.2149)
        progress.update(11)
        clock.now += 5
        progress.update(20, loss=2.5)
    first, second = out.getvalue().splitlines()
    assert first == (
        "stage 1/2 regdb  step 10/100  loss 3.21  64 images/s  "
        "1m30s left  run 2m20s left"
    )
    assert second.endswith("loss 2.5  128 images/s  40s left  run 1m05s left")


def test_what_lies_between_stages_is_not_training_but_counts_for_the_run():
    progress, clock, out = make(("a", "b", "c"), (10, 10, 10))
    progress.begin(0)
    clock.now += 10
    progress.update(10, loss=1.0)
    clock.now += 30
    progress.begin(1)
    assert progress.images_per_second == 64
    assert progress.seconds_left(0) == (10.0, 10.0 + 10.0 + 30.0)


def test_resumed_stage_counts_from_its_step():
    progress, clock, _ = make()
    progress.begin(1, 30)
    assert progress.seconds_left(30) is None
    assert progress.images_per_second is None
    clock.now += 20
    progress.update(40, loss=1.0)
    assert progress.seconds_left(40) == (20.0, 20.0)


def test_pause_leaves_an_evaluation_out_of_the_pace():
    progress, clock, _ = make()
    progress.begin(0)
    clock.now += 10
    progress.update(10, loss=1.0)
    clock.now += 500
    progress.pause(10)
    clock.now += 10
    progress.update(20, loss=1.0)
    assert progress.images_per_second == 64


def test_terminal_shows_a_bar_and_notes():
    progress, clock, out = make(terminal=True)
    with progress:
        progress.begin(0)
        clock.now += 10
        progress.update(10, loss=3.25)
        progress.note("evaluating [sysu]")
        progress.begin(1)
        progress.update(50, loss=1.0)
    shown = out.getvalue()
    for part in ("stage 1/2 regdb", "loss 3.25", "[sysu]", "stage 2/2 sysu", "50/50"):
        assert part in shown


def test_quiet_console_shows_nothing():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, quiet=True)
    progress = Progress(["a"], [10], images_per_step=1, console=console)
    progress.begin(0)
    progress.update(5, loss=1.0)
    progress.end()
    assert out.getvalue() == ""


def test_single_stage_has_one_time_left():
    progress, clock, out = make(("joint",), (10,))
    progress.begin(0)
    clock.now += 1
    progress.update(5, loss=1.0)
    assert "run" not in out.getvalue()


def test_pace_shrugs_off_a_compilation():
    clock = Clock()
    pace = Pace(clock)
    pace.start(0)
    assert pace.seconds_per_step is None
    for step, seconds in ((10, 60.0), (20, 5.0), (30, 5.0), (40, 70.0), (50, 5.0)):
        clock.now += seconds
        pace.lap(step)
    assert pace.seconds_per_step == 0.5


def test_lap_without_a_step_is_none():
    clock = Clock()
    pace = Pace(clock)
    pace.lap(0)
    assert pace.seconds_per_step is None


def test_unequal_stages_are_refused():
    with pytest.raises(ValueError, match="1 names for 2 stages"):
        Progress(["a"], [1, 2], images_per_step=1)


@pytest.mark.parametrize(("seconds", "lines"), [(0.1, 5), (0.014, 4), (0.001, 0)])
def test_a_tally_tells_every_fifth_of_what_takes_a_while(seconds, lines):
    clock, out = Clock(), io.StringIO()
    tally = Tally("pictures drawn", Console(file=out), clock=clock)
    for done in range(1001):
        tally(done, 1000)
        clock.now += seconds
    told = out.getvalue().splitlines()
    assert len(told) == lines
    expected = [f"pictures drawn: {done} of 1,000" for done in (200, 400, 600, 800)]
    expected = [*expected, "pictures drawn: 1,000 of 1,000"]
    assert told == expected[5 - lines :]


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0s"), (-3, "0s"), (59.4, "59s"), (60, "1m00s"), (3599.6, "1h00m")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
