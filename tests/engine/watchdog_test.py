"""The watchdog: what it says, and that it bites only when nothing moves."""

import subprocess
import sys
import time

import pytest

from ckda_jax.engine.watchdog import EXCEEDED, Watchdog

HANGS = """
import threading
from ckda_jax.engine.watchdog import Watchdog

def stuck():
    threading.Event().wait()

with Watchdog(0.3, "python -m again"):
    pass
with Watchdog(0.3, "python -m again") as watchdog:
    watchdog.watch("step 7 of stage 1 (regdb)")
    stuck()
"""

HOLDS_THE_INTERPRETER = """
import ctypes
from ckda_jax.engine.watchdog import Watchdog

with Watchdog(0.3):
    ctypes.PyDLL(None).usleep(20_000_000)
"""


def run(source):
    """Run a program that would last for long."""
    return subprocess.run(
        [sys.executable, "-c", source], text=True, capture_output=True, timeout=120
    )


def test_what_hangs_is_ended_with_its_stack_and_one_line():
    done = run(HANGS)
    assert done.returncode == EXCEEDED
    *stacks, line = done.stderr.splitlines()
    assert any("in stuck" in frame for frame in stacks)
    assert line.startswith("error: step 7 of stage 1 (regdb) has taken 0 s and ")
    assert line.endswith("Go on with: python -m again")


def test_what_holds_the_interpreter_is_ended_too():
    done = run(HOLDS_THE_INTERPRETER)
    assert done.returncode == 1
    assert done.stderr.startswith("Timeout (0:00:00.3")


def test_what_moves_is_left_alone():
    with Watchdog(0.5) as watchdog:
        for step in range(8):
            watchdog.watch(f"step {step}")
            time.sleep(0.1)


@pytest.mark.parametrize("limit", [0.0, 1800.0])
def test_without_need_nothing_is_done(limit):
    with Watchdog(limit) as watchdog:
        watchdog.watch("a step")
