"""Runs in processes of their own, forked from one that has imported everything.

A process that trains takes longer to import than to train a tiny run, and these tests
take many. What is forked has not touched a device yet, so that each process has
threads, devices and a compile cache as one that was started afresh.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import runs

SERVER = """
import ctypes, json, os, sys, traceback
from ckda_jax import train

def drop_rights():
    # Root may write what is read-only, by capabilities that this gives up.
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)())

for line in sys.stdin:
    words, out, err = json.loads(line)
    child = os.fork()
    if not child:
        for path, number in ((out, 1), (err, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        drop_rights()
        status = 70
        try:
            status = train.main(words)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

PATIENCE = 600
"""Seconds after which a run that does not get on fails its test."""


class Forks:
    """Runs `ckda_jax.train` in one process after the other.

    Attributes:
        out: what the last one printed.
        err: its standard error.
    """

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process, self._folder = process, folder
        self.out = self.err = ""

    def run(
        self,
        words: list[str],
        *,
        until: str = "",
        delay: float = 0.0,
        then: Callable[[int], None] = lambda pid: os.kill(pid, signal.SIGKILL),
    ) -> int:
        """Run a command to its end.

        Args:
            words: of the command line.
            until: a text that it prints, upon which something happens.
            delay: seconds between that and what happens.
            then: what happens, given the process id; else it is killed.

        Returns:
            Its exit status, minus the number of the signal that ended it.
        """
        out, err = self._folder / "out", self._folder / "err"
        for path in (out, err):
            path.write_text("")
        told, answers = self._process.stdin, self._process.stdout
        assert told is not None and answers is not None
        told.write(json.dumps([words, str(out), str(err)]) + "\n")
        told.flush()
        child = int(answers.readline())
        try:
            if until:
                self._wait_for(until, child)
                time.sleep(delay)
                then(child)
        except BaseException:
            # Else the next run's first answer would be the status of this one.
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            answers.readline()
            raise
        status = int(answers.readline())
        self.out, self.err = out.read_text(), err.read_text()
        return status

    def _wait_for(self, text: str, child: int) -> None:
        printed = self._folder / "out"
        deadline = time.monotonic() + PATIENCE
        while text not in printed.read_text():
            late = time.monotonic() > deadline
            if late or not Path(f"/proc/{child}").exists():
                errors = (self._folder / "err").read_text()
                raise AssertionError(f"no {text!r} in:\n{printed.read_text()}{errors}")
            time.sleep(0.005)


@contextlib.contextmanager
def forks(folder: Path) -> Iterator[Forks]:
    """Start the process that runs are forked from."""
    # One thread of BLAS: Python warns of forks beside threads.
    environment = runs.environment(folder / "cache") | {"OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env=environment,
        cwd=runs.ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        yield Forks(process, folder)
        assert process.stdin is not None
        process.stdin.close()
