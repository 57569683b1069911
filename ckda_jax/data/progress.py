"""The progress of a command: in place on a terminal, elsewhere a line every 5 s."""

import sys
import time


class Progress:
    """Says how far something is, how fast it goes, and how long it will take.

    Args:
        doing: what is done, `drawing` say.
        things: what it is done to, `pictures` say.
    """

    def __init__(self, doing: str, things: str) -> None:
        self._doing, self._things = doing, things
        self._start = self._last = time.monotonic()
        self._before: int | None = None

    def __call__(self, done: int, total: int) -> None:
        """Take notice that `done` of `total` are done, one more than before."""
        now = time.monotonic()
        if self._before is None:
            # What an earlier command did says nothing about how fast this one is.
            self._before = done - 1
        terminal = sys.stderr.isatty()
        if now - self._last < (0.2 if terminal else 5) and done < total:
            return
        self._last = now
        rate = (done - self._before) / max(now - self._start, 1e-9)
        line = f"{self._doing}: {done} of {total} {self._things}, {rate:.0f} a second"
        if done < total:
            line += f", {(total - done) / rate:.0f} s left"
        end = "\r" if terminal and done < total else "\n"
        print(
            line.ljust(72) if terminal else line, end=end, file=sys.stderr, flush=True
        )
