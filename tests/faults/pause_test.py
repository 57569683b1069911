"""Fault 30: a process that is held up as a whole, and clocks that are set."""

import os
import signal
import subprocess
import sys
import time

from rich.console import Console

from ckda_jax.reporting.progress import Progress

MOVES = """
import itertools, time
hours = itertools.count(step=3600)
time.time = lambda: 1e9 + next(hours)  # a wall clock that is set again and again

from rich.console import Console
from ckda_jax.engine.watchdog import Watchdog
from ckda_jax.reporting.progress import Progress

progress = Progress(["regdb"], [8], images_per_step=8, console=Console(quiet=True))
progress.begin(0)
for step in range(1, 8):
    time.sleep(0.01)
    progress.update(step, loss=1.0)
stage, run = progress.seconds_left(7)
assert 0 < stage < 600, stage

with Watchdog(10.0) as watchdog:
    print("watched", flush=True)
    until = time.monotonic() + 4
    while time.monotonic() < until:
        watchdog.watch("a step")
        time.sleep(0.05)
"""


def test_30_a_pause_below_the_limit_is_no_hang():
    """The watchdog bites after 10 s; the process is held up for 3, its clock is set."""
    with subprocess.Popen(
        [sys.executable, "-c", MOVES], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "watched\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(process.pid, signal.SIGCONT)
        assert process.wait(60) == 0


def test_30_a_pause_does_not_spoil_what_is_left():
    """The time is that of a clock which stands still for nobody."""
    now = [0.0]
    progress = Progress(
        ["regdb"],
        [100],
        images_per_step=8,
        console=Console(quiet=True),
        clock=lambda: now[0],
    )
    progress.begin(0)
    for step in range(1, 7):
        now[0] += 2.0 if step != 4 else 3600.0
        progress.update(step, loss=1.0)
    assert progress.seconds_left(6) == (188.0, 188.0)
    assert progress.images_per_second == 4.0
