"""The watchdog: ends a process in which one thing takes too long."""

import faulthandler
import os
import sys
import threading
import time
from types import TracebackType

EXCEEDED = 124
"""Exit status of a process that the watchdog ended, as that of `timeout`."""


class Watchdog:
    """Dumps every thread's stack and ends the process where nothing moves any more.

    A peer that hangs lets JAX wait for ever, inside a library and without a signal: so
    it is a thread that watches. The time is that of a clock which nobody sets. Should
    a library keep the interpreter itself from running, Python's `faulthandler` ends the
    process after the same time, with status 1 and the stacks alone.

    Args:
        limit: seconds that the reading of a batch, one step, save or batch of an
            evaluation may take; 0: any.
        resume: the command that goes on with the run, for the last line.
    """

    def __init__(self, limit: float = 0.0, resume: str = "") -> None:
        self._limit, self._resume = limit, resume
        self._watched = ("starting", time.monotonic())
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Watchdog":
        if self._limit:
            self.watch("starting")
            self._thread = threading.Thread(target=self._look, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def watch(self, doing: str) -> None:
        """Start to measure what is done now, `step 7 of stage 1` say."""
        self._watched = (doing, time.monotonic())

    def _look(self) -> None:
        pause = min(self._limit / 10, 10.0)
        while True:
            _end_without_us_after(self._limit + pause)
            if self._ended.wait(pause):
                break
            doing, since = self._watched
            taken = time.monotonic() - since
            if taken > self._limit:
                self._end(doing, taken)
        faulthandler.cancel_dump_traceback_later()

    def _end(self, doing: str, taken: float) -> None:
        faulthandler.dump_traceback(sys.__stderr__ or 2, all_threads=True)
        line = (
            f"error: {doing} has taken {taken:.0f} s and config.train.step_limit is "
            f"{self._limit:.10g}; another process, a disk or a device may hang (above: "
            f"what every thread does). Go on with: {self._resume}\n"
        )
        os.write(2, line.encode())
        os._exit(EXCEEDED)


def _end_without_us_after(seconds: float) -> None:
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or 2)
