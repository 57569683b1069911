"""Worker processes: whose end is noticed, and who ends with whom."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ckda_jax.data import workers
from ckda_jax.data.workers import Reader


class Elements:
    """Counts, and then never returns, or raises what it is given."""

    def __init__(self, last=None):
        self.count, self.last, self.closed = 0, last, False

    def __next__(self):
        self.count += 1
        if self.count < 3:
            return self.count
        if self.last is not None:
            raise self.last
        time.sleep(600)

    def close(self):
        """Take note."""
        self.closed = True


def test_a_reader_hands_on_elements_and_their_end():
    elements = Elements(StopIteration())
    reader = Reader(elements)
    assert list(reader) == [1, 2]
    reader.close()
    assert elements.closed


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (KeyError("image"), KeyError, "image"),
        (
            RuntimeError("Worker process was terminated unexpectedly with exit code 3"),
            ChildProcessError,
            "ended with exit code 3 ",
        ),
    ],
)
def test_a_reader_raises_what_reading_raises(raised, kind, said):
    reader = Reader(Elements(raised))
    with pytest.raises(kind, match=said):
        list(reader)
    reader.close()


class Process:
    """Stands in for a child process; real ones are in `tests/faults`."""

    def __init__(self, name):
        self.name, self.exitcode = name, None

    def kill(self):
        """End."""
        self.exitcode = -9


def test_the_end_of_a_process_is_noticed_while_reading_waits(monkeypatch):
    names = (f"{workers.NAME}-1", f"{workers.NAME}-2", "other")
    ended, other, stranger = children = [Process(name) for name in names]
    monkeypatch.setattr(multiprocessing, "active_children", lambda: children)
    elements = Elements()
    reader = Reader(elements)
    assert [next(reader), next(reader)] == [1, 2]
    threading.Timer(0.5, ended.kill).start()
    with pytest.raises(ChildProcessError, match="ended with exit code -9"):
        next(reader)
    reader.close()
    assert (other.exitcode, stranger.exitcode) == (-9, None)
    assert not elements.closed


def test_processes_that_end_before_they_are_seen_are_missed(monkeypatch):
    monkeypatch.setattr(workers, "START", 0.3)
    monkeypatch.setattr(multiprocessing, "active_children", lambda: [Process("other")])
    reader = Reader(Elements())
    assert [next(reader), next(reader)] == [1, 2]
    with pytest.raises(ChildProcessError, match="ended as it began"):
        next(reader)
    reader.close()


PARENT = """
import multiprocessing, os, signal, time
from ckda_jax.data import workers

def child(pipe):
    workers.start(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    pipe.send(os.getpid())
    time.sleep(600)

if __name__ == "__main__":
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    context.Process(target=child, args=(theirs,), daemon=True).start()
    print(ours.recv(), flush=True)
    time.sleep(600)
"""


def test_a_worker_ignores_signals_and_ends_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    # The worker holds this pipe open for as long as it lives.
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        os.kill(worker, signal.SIGCONT)  # it lives
        parent.kill()
        assert parent.stdout.read() == ""
