"""Processes to be injured: started, watched by what they print, and signalled."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ckda_jax.engine import rendezvous
from tests import runs

PATIENCE = 1200.0
"""Seconds after which a process that does not do what is awaited fails a test."""

HEARTBEAT = 10
"""Seconds of silence after which processes count each other as dead."""

NEVER = 10_000
"""As long a silence as no test waits for."""


class Running:
    """A process of an entry point, whose output goes into a file.

    Args:
        module: the entry point.
        arguments: its command line.
        environment: its environment.
        log: the file, made anew.
    """

    def __init__(
        self,
        module: str,
        arguments: list[str],
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        self._log = log
        with open(log, "w", encoding="utf-8") as file:
            self._process = subprocess.Popen(
                runs.command(module, arguments),
                env=dict(environment),
                cwd=runs.ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def output(self) -> str:
        """Everything printed so far."""
        return self._log.read_text(encoding="utf-8")

    def until(self, text: str) -> "Running":
        """Wait until it has printed a text."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.output:
            alive = self._process.poll() is None and time.monotonic() < deadline
            assert alive, f"no {text!r} in:\n{self.output}"
            time.sleep(0.05)
        return self

    def send(self, *numbers: signal.Signals) -> "Running":
        """Send signals, one after the other."""
        for number in numbers:
            self._process.send_signal(number)
        return self

    def ends(self) -> int:
        """Wait for its end; return its status, negative if a signal did it."""
        return self._process.wait(PATIENCE)

    def end(self) -> None:
        """Take it away with all its children, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def running(
    words: list[str], cache: Path, log: Path, module: str = "train"
) -> Iterator[Running]:
    """Run an entry point; take it away at the end."""
    process = Running(module, words, runs.environment(cache), log)
    try:
        yield process
    finally:
        process.end()


@contextlib.contextmanager
def pair(
    words: list[str], cache: Path, logs: Path, *, heartbeat: int = HEARTBEAT
) -> Iterator[tuple[Running, Running]]:
    """Run a training in two processes joined over loopback; take them away at the end.

    They start without a launcher, which would end one when the other is gone, and count
    each other as dead after `heartbeat` seconds of silence.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    # Compiled in earnest: compiled quickly, their collectives abort at times.
    shared = runs.environment(cache) | {
        "XLA_FLAGS": "",
        rendezvous.COORDINATOR: address,
        rendezvous.PROCESSES: "2",
        rendezvous.HEARTBEAT: str(heartbeat),
    }
    with contextlib.ExitStack() as stack:
        both = []
        for index in range(2):
            environment = shared | {rendezvous.PROCESS: str(index)}
            log = logs.with_name(f"{logs.name}{index}.log")
            both.append(Running("train", words, environment, log))
            stack.callback(both[-1].end)
        yield both[0], both[1]
