"""Interruption: the wish that a run ends, and where it may."""

import contextlib
import os
import select
import signal
import threading
from types import FrameType, TracebackType
from typing import IO

import jax
from jax.experimental import multihost_utils

from ckda_jax.structs import Interrupted

NAMES = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted"}
"""The signals that ask a run to end, and what the run then is."""

REACTION = 5.0
"""Seconds in which code that has nothing to save must notice a signal by itself."""


class Interruption:
    """Turns SIGTERM and SIGINT (Ctrl-C) into an orderly end; a context manager.

    While there are steps to save (`hold`), the first signal waits until `asked` is
    called after a step. Before, between stages and while evaluating (`release`) it
    raises `Interrupted` wherever the program is; a program that is inside a library,
    compiling say, is ended after `REACTION` seconds. A second signal ends the process
    at once, whatever it does: checkpoints appear whole or not at all.

    Of several processes, any one may be told: JAX passes it on, and all of them end
    after the same step or the same batch of an evaluation. JAX listens to SIGTERM
    itself then, and only once they agreed does a second one count.

    Args:
        resume: the command that goes on with the run, for the last line.
    """

    def __init__(self, resume: str = "") -> None:
        self._resume = resume
        self._number: int | None = None
        self._holds = False
        self._points = 0
        self._told = 0
        self._noticed = False
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    def hold(self) -> None:
        """From now on there is something to save: wait until `asked` is called."""
        self._holds = True

    def release(self) -> None:
        """From now on there is nothing to save, and no need to wait."""
        self._holds = False

    def asked(self) -> bool:
        """Whether to end here, after a step or a batch; all processes agree on it."""
        if jax.process_count() == 1:
            return self._number is not None
        self._points += 1
        if not multihost_utils.reached_preemption_sync_point(self._points):
            return False
        self._number = self._number or signal.SIGTERM
        self._told = max(self._told, 1)
        self._handle(signal.SIGTERM)  # which was JAX's until here
        return True

    def check(self) -> None:
        """End here, between two batches of an evaluation, if asked to.

        Raises:
            Interrupted: it is.
        """
        if self.asked():
            raise self.ends()

    def ends(self, saved: str = "") -> Interrupted:
        """Make the exception that ends the run, once it is asked to.

        Args:
            saved: what was saved just now.
        """
        number = self._number or signal.SIGTERM
        done = f"{NAMES[signal.Signals(number)]}{saved and '; saved ' + saved}"
        return Interrupted(number, f"{done}; go on with: {self._resume}")

    def _listen(self) -> None:
        """Catch the signals, and read them in a thread, which no library holds up."""
        reads, writes = os.pipe()
        os.set_blocking(writes, False)
        before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
        thread = threading.Thread(target=self._read, args=(reads,), daemon=True)
        thread.start()
        self._exits.callback(thread.join)
        self._exits.callback(os.close, writes)
        self._exits.callback(signal.set_wakeup_fd, before)
        self._handle(signal.SIGINT)
        if jax.process_count() == 1:
            self._handle(signal.SIGTERM)

    def _handle(self, number: signal.Signals) -> None:
        before = signal.signal(number, self._notice)
        if before is not None:
            self._exits.callback(signal.signal, number, before)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        """Take a signal where the main thread is, which may be much later."""
        del frame
        self._number, self._noticed = number, True
        if jax.process_count() == 1 and not self._holds:
            raise self.ends()

    def _read(self, reads: int) -> None:
        """Take signals the moment they come, until the other end is closed."""
        with os.fdopen(reads, "rb", buffering=0) as pipe:
            while sent := pipe.read(1):
                if sent[0] not in NAMES:
                    continue
                self._told += 1
                if self._told > 1:
                    self._leave(sent[0])
                if jax.process_count() > 1:
                    os.kill(os.getpid(), signal.SIGTERM)  # to JAX, which tells all
                elif not self._holds and not self._is_noticed(pipe):
                    self._leave(sent[0])

    def _is_noticed(self, pipe: IO[bytes]) -> bool:
        """Give the main thread time to react, unless there is more to read."""
        more, _, _ = select.select([pipe], [], [], REACTION)
        return bool(more) or self._noticed

    def _leave(self, number: int) -> None:
        """End the process here and now."""
        self._number = number
        os.write(2, f"{self.ends()}\n".encode())
        os._exit(128 + number)
