"""Locks: one for which a process waits its turn, one that is had at once or not."""

import contextlib
import dataclasses
import datetime
import errno
import functools
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from ckda_jax.structs import InputError

SETTLING = 1.0
"""Seconds after which no other process still overwrites a lock file it found stale."""


Held = Callable[[], bool]
"""Asks whether a lock is still held."""


def always() -> bool:
    """Stand in for `Held` where nothing needs to be locked."""
    return True


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who holds a lock, as its file says.

    Attributes:
        pid: number of the process.
        host: name of its machine.
        since: when it took the lock, ISO 8601.
        numbering: what its number counts in, see `_numbering`.
    """

    pid: int
    host: str
    since: str
    numbering: str = ""

    @classmethod
    def now(cls) -> "Holder":
        """Describe this process."""
        since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return cls(os.getpid(), socket.gethostname(), since, _numbering())

    @classmethod
    def read(cls, file: IO[str]) -> "Holder | None":
        """Read a lock file; None where it holds nothing that can be understood."""
        file.seek(0)
        try:
            return cls(**json.loads(file.read()))
        except (ValueError, TypeError):
            return None

    def write(self, file: IO[str]) -> None:
        """Write a lock file anew."""
        file.seek(0)
        file.truncate()
        file.write(json.dumps(dataclasses.asdict(self)) + "\n")
        file.flush()

    def is_gone(self) -> bool:
        """Say whether it is certain that the process has ended: one of this machine.

        And of this boot and this container: elsewhere another process has its number.
        """
        if (self.host, self.numbering) != (socket.gethostname(), _numbering()):
            return False
        if self.pid == os.getpid():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False


def _numbering() -> str:
    """Name the boot and the namespace in which processes here are numbered.

    Containers share a host's boot, and may share its name; their processes are numbered
    from 1 in each. Empty where the system does not tell.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
        return f"{boot.strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


@contextlib.contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[bool]:
    """Wait until no other process holds the lock of this name, and hold it.

    The system takes the lock from a process that dies, however it dies.

    Args:
        path: a file, made in a folder that is there, to be locked; removed afterwards.

    Yields:
        False where the file system knows no locks: then nothing is held.
    """
    path = Path(path)
    while True:
        with open(path, "w", encoding="utf-8") as file:
            held = _lock(file, waits=True)
            if held and not _is_there(path, file):
                continue  # whoever held it before has removed the file
            try:
                yield held
            finally:
                _remove(path, file)
            return


@contextlib.contextmanager
def exclusive(path: str | os.PathLike[str], what: str) -> Iterator[Held]:
    """Hold a lock, or refuse at once where another process holds it.

    The system takes the lock from a process that dies. Where the file system knows no
    locks, what the file says counts: it is taken from a process of this machine that
    has ended, and from none of another machine.

    Args:
        path: a file, made in a folder that is there, to be locked and to say who holds
            it; removed afterwards.
        what: is locked, for the refusal.

    Yields:
        Asks whether the lock is still held: a lock is on a file, and its folder may be
        moved away, upon which another process locks one of the same path.

    Raises:
        InputError: another process holds it.
    """
    path = Path(path)
    while True:
        with open(path, "a+", encoding="utf-8") as file:
            try:
                by_system = _lock(file, waits=False)
            except BlockingIOError:
                raise _refusal(what, Holder.read(file)) from None
            if by_system and not _is_there(path, file):
                continue  # whoever held it before has removed the file
            if by_system:
                Holder.now().write(file)
            else:
                _write_over_the_dead(path, file, what)
            try:
                yield functools.partial(_is_there, path, file)
            finally:
                _remove(path, file)
            return


def check_held(held: Held, folder: Path) -> None:
    """Refuse to write where another process may be by now.

    Raises:
        OSError: the lock of that folder is no longer held.
    """
    if not held():
        raise OSError(
            f"{folder}: no longer held by this run, as it was moved or removed, or its "
            "lock was; run the same command again where the checkpoints are"
        )


def _write_over_the_dead(path: Path, file: IO[str], what: str) -> None:
    """Take a lock that only its file's words keep.

    Two processes may find the same stale file at once and both write it; each looks
    again a moment later, and the last one to write has it.
    """
    remedy = f"; if that run has ended, remove {path}"
    found, own = Holder.read(file), Holder.now()
    if found is not None and not found.is_gone():
        raise _refusal(what, found, remedy)
    own.write(file)
    time.sleep(SETTLING)
    found = Holder.read(file)
    if found != own:
        raise _refusal(what, found, remedy)


def _refusal(what: str, holder: Holder | None, remedy: str = "") -> InputError:
    by = "another process"
    if holder is not None:
        by = f"pid {holder.pid} on {holder.host} since {holder.since}"
    return InputError(f"{what}: locked by {by}; wait until it ends, or stop it{remedy}")


def _lock(file: IO[str], *, waits: bool) -> bool:
    try:
        import fcntl  # not on every system
    except ImportError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
            raise
        return False
    return True


def _remove(path: Path, file: IO[str]) -> None:
    """Remove a lock file, but none that another process made since."""
    if _is_there(path, file):
        path.unlink(missing_ok=True)


def _is_there(path: Path, file: IO[str]) -> bool:
    """Tell whether a path still leads to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
