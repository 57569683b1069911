"""Interruption: where a signal takes effect, and what a second one does."""

import os
import signal
import subprocess
import sys

import jax
import pytest
from jax.experimental import multihost_utils

from ckda_jax.engine.interruption import Interruption
from ckda_jax.structs import Interrupted


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")],
)
def test_with_nothing_to_save_a_signal_ends_the_run_where_it_is(number, said):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as raised, Interruption("run again") as asked:
        assert signal.getsignal(number) is not before
        asked.hold()
        asked.release()
        os.kill(os.getpid(), number)
        signal.pause()
    assert raised.value.number == number
    assert str(raised.value) == f"{said}; go on with: run again"
    assert signal.getsignal(number) is before


def test_with_something_to_save_a_signal_waits_until_it_is_asked_for():
    with Interruption("run again") as asked:
        asked.hold()
        assert not asked.asked()
        os.kill(os.getpid(), signal.SIGTERM)
        asked.release()
        asked.hold()
        assert asked.asked()
        ends = asked.ends("step 3")
        assert str(ends) == "terminated; saved step 3; go on with: run again"
        assert ends.number == signal.SIGTERM
        with pytest.raises(Interrupted):
            asked.check()


TWICE = """
import os, signal, time
from ckda_jax.engine.interruption import Interruption

with Interruption("run again") as asked:
    asked.hold()
    for _ in range(2):
        os.kill(os.getpid(), signal.{})
        time.sleep(0.2)
    print("still here")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(number):
    done = subprocess.run(
        [sys.executable, "-c", TWICE.format(number.name)],
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 128 + number
    assert done.stdout == ""
    assert done.stderr.endswith("; go on with: run again\n")


IN_A_LIBRARY = """
import hashlib, os, signal, threading
from ckda_jax.engine import interruption

interruption.REACTION = 0.2
with interruption.Interruption("run again"):
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    # Lets other threads run, but handles no signal before it returns.
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


def test_a_library_that_computes_for_long_is_not_waited_for():
    done = subprocess.run(
        [sys.executable, "-c", IN_A_LIBRARY],
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 143
    assert done.stderr == "terminated; go on with: run again\n"


@pytest.fixture
def several(monkeypatch):
    """Two processes, one of which is told at the third point; the points asked at."""
    points = []

    def reached(point):
        points.append(point)
        return point == 3

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", reached)
    return points


def test_several_processes_end_at_the_point_that_jax_finds(several):
    before = signal.getsignal(signal.SIGTERM)
    with Interruption("run again") as asked:
        assert signal.getsignal(signal.SIGTERM) is before
        asked.check()
        assert not asked.asked()
        with pytest.raises(Interrupted, match="terminated; go on with: run again"):
            asked.check()
        assert several == [1, 2, 3]
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
