"""Worker processes: they end with their parent, and their own end is noticed."""

import multiprocessing
import os
import queue
import re
import signal
import threading
from collections.abc import Iterator
from multiprocessing import connection
from typing import Any, Protocol, runtime_checkable

CHECK = 0.1
"""Seconds of waiting for an element after which the processes are looked at."""

START = 60.0
"""Seconds of waiting after which processes that nobody has seen never began."""

NAME = "grain-process-prefetch"
"""How the names begin that Grain gives its worker processes."""

ENDED = re.compile(r"process was terminated unexpectedly with exit code (-?\d+)")
"""What Grain says of a worker process that is no more."""


@runtime_checkable
class Elements(Protocol):
    """An iterator of Grain's, which can be closed."""

    def __next__(self) -> Any:
        """Return the next element."""
        ...

    def close(self) -> None:
        """End what reads ahead."""
        ...


class Reader(Iterator[Any]):
    """Takes elements from an iterator over worker processes, in a thread of its own.

    A process that is killed while it writes leaves half an element in its pipe, on
    whose other half reading waits for ever. So another thread reads, and this one looks
    at the processes while it waits.

    Args:
        elements: the iterator.

    Raises:
        ChildProcessError: while iterating, a process ended of itself.
    """

    def __init__(self, elements: Elements) -> None:
        self._elements = elements
        self._wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._found: queue.SimpleQueue[tuple[Any, Exception | None]]
        self._found = queue.SimpleQueue()
        self._processes: set[Any] = set()
        self._is_broken = False
        threading.Thread(target=self._read, daemon=True).start()

    def __next__(self) -> Any:
        self._wanted.put(True)
        waited = 0.0
        while True:
            try:
                element, error = self._found.get(timeout=CHECK)
            except queue.Empty:
                waited += CHECK
                self._check(waited)
                continue
            if error is not None:
                raise _named(error)
            return element

    def close(self) -> None:
        """End the thread and the processes."""
        if self._is_broken:
            for process in self._processes:
                process.kill()
            return  # closing would wait for the half that never comes
        self._wanted.put(False)
        self._elements.close()

    def _read(self) -> None:
        while self._wanted.get():
            try:
                self._found.put((next(self._elements), None))
            except Exception as error:  # whatever it is, it is raised by __next__
                self._found.put((None, error))

    def _check(self, waited: float) -> None:
        # Which lists the living alone: one that ends before it is seen here is missing.
        children = multiprocessing.active_children()
        self._processes |= {c for c in children if c.name.startswith(NAME)}
        if not self._processes and waited > START:
            self._is_broken = True
            raise _ended(None)
        for process in self._processes:
            if process.exitcode not in (None, 0):
                self._is_broken = True
                raise _ended(process.exitcode)


def _named(error: Exception) -> Exception:
    """Turn what Grain says of a process that is no more into an error of ours."""
    found = ENDED.search(str(error))
    return _ended(int(found[1])) if found else error


def _ended(code: int | None) -> ChildProcessError:
    how = "as it began" if code is None else f"with exit code {code}"
    return ChildProcessError(
        f"a process that decodes images ended {how} (-9: killed, for want of memory "
        "perhaps); run the same command again, with fewer config.data.workers if need "
        "be"
    )


def start(index: int, count: int) -> None:
    """Let a worker process end when its parent does, and not before.

    A signal to the whole group is for the parent, which reads on until it has saved.
    And of a parent that is killed a worker would hear nothing.

    Args:
        index: of the process.
        count: of all processes.
    """
    del index, count
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(0)
