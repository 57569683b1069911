"""How the processes of a run find each other: a launcher's environment, read and tried.

What JAX itself does when a process waits in vain is to abort, or to wait on for hours;
so what can be tried beforehand is, and the waiting is bounded from outside.
"""

import dataclasses
import os
import socket
import threading
import time

import jax

from ckda_jax.structs import InputError

COORDINATOR = "CKDA_COORDINATOR"
"""`host:port` where process 0 listens; `auto`: JAX finds it, as on a TPU pod."""
PROCESSES = "CKDA_PROCESSES"
"""How many processes the run has."""
PROCESS = "CKDA_PROCESS"
"""Which of them this is, from 0."""
TIMEOUT = "CKDA_TIMEOUT"
"""Seconds to wait until all are there."""
HEARTBEAT = "CKDA_HEARTBEAT"
"""Seconds of silence after which a process counts as dead, and all others end."""

AUTO = "auto"
DEFAULT_TIMEOUT = 300

DIGITS = 6
"""Of a number of processes or seconds: with more no clock of the system can deal."""
DEFAULT_HEARTBEAT = 100
MARGIN = 60  # seconds after ours at which JAX's own timeout would abort the process
PAUSE = 0.2  # seconds between two tries to reach the coordinator


def join() -> None:
    """Join the other processes of the run, where a launcher's environment names them.

    Without `CKDA_COORDINATOR` the run has one process. Must run before JAX touches a
    device.

    Raises:
        InputError: a variable that is missing or out of range; a coordinator that
            cannot be reached; processes that did not come in time.
    """
    address = os.environ.get(COORDINATOR)
    if address is None:
        return
    timeout = _integer(TIMEOUT, 1, str(DEFAULT_TIMEOUT))
    if address == AUTO:
        _join_by_detection(timeout)
    else:
        Rendezvous.at(address, timeout).join()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rendezvous:
    """Where the processes of a run meet, and which of them this is.

    Attributes:
        host: of process 0.
        port: on which process 0 listens.
        count: of processes.
        index: of this process, from 0.
        timeout: seconds to wait until all are there.
        heartbeat: seconds of silence after which a process counts as dead.
    """

    host: str
    port: int
    count: int
    index: int
    timeout: int
    heartbeat: int = DEFAULT_HEARTBEAT

    @classmethod
    def at(cls, address: str, timeout: int) -> "Rendezvous":
        """Read this process's place among those that meet at an address.

        Raises:
            InputError: no `host:port`, or a place that is missing or out of range.
        """
        host, _, port = address.rpartition(":")
        if not _is_name(host) or not port.isdecimal() or not 0 < int(port) < 65536:
            raise InputError(
                f"{COORDINATOR}={address}: must be HOST:PORT with a port from 1 to "
                f"65535, or {AUTO}"
            )
        count = _integer(PROCESSES, 1)
        index = _integer(PROCESS, 0)
        if index >= count:
            raise InputError(
                f"{PROCESS}={index}: must be below {PROCESSES}={count}; count the "
                "processes from 0"
            )
        return cls(
            host=host,
            port=int(port),
            count=count,
            index=index,
            timeout=timeout,
            heartbeat=_heartbeat(),
        )

    @property
    def address(self) -> str:
        """The coordinator's `host:port`."""
        return f"{self.host}:{self.port}"

    def join(self) -> None:
        """Wait for all processes, no longer than the timeout.

        Raises:
            InputError: as the function `join`.
        """
        start = time.monotonic()
        if self.index == 0:
            self.check_port()
        self.reach(start + self.timeout)
        self.meet(start + self.timeout)

    def check_port(self) -> None:
        """Refuse a port on which another program of this machine listens.

        JAX would share it with that program, and wait for processes that never come.
        """
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        try:
            socket.create_server(
                ("", self.port), family=family, dualstack_ipv6=both
            ).close()
        except OSError as error:
            raise InputError(
                f"{COORDINATOR}={self.address}: process 0 cannot listen on this port "
                f"({error.strerror}); choose another one"
            ) from None

    def reach(self, deadline: float) -> None:
        """Wait until the coordinator's name is known and somebody listens there.

        Names of pods are known only after a while, and process 0 may start last.
        """
        while (why := self._unreachable()) is not None:
            if time.monotonic() > deadline:
                raise InputError(
                    f"{COORDINATOR}={self.address}: not reached within "
                    f"{TIMEOUT}={self.timeout} s ({why}); is it the host of process 0, "
                    "does that process run, and may this host connect to its port?"
                )
            time.sleep(PAUSE)

    def _unreachable(self) -> str | None:
        """Say why the coordinator cannot be reached now; process 0 needs its name."""
        host = self.host.strip("[]")
        try:
            if self.index == 0:
                socket.getaddrinfo(host, self.port)
            else:
                socket.create_connection((host, self.port), timeout=5).close()
        except OSError as error:
            return error.strerror or str(error)
        return None

    def meet(self, deadline: float) -> None:
        """Let JAX join the processes; give up at the deadline.

        JAX waits in a thread of its own, so that signals still end this process. Its
        own search for a cluster is off: under SLURM it would leave each process one
        device.
        """
        failures: list[Exception] = []

        def initialise() -> None:
            try:
                jax.distributed.initialize(
                    self.address,
                    num_processes=self.count,
                    process_id=self.index,
                    cluster_detection_method="deactivate",
                    heartbeat_timeout_seconds=self.heartbeat,
                    initialization_timeout=self.timeout + MARGIN,
                )
            except Exception as error:
                failures.append(error)

        waiting = threading.Thread(target=initialise, name="rendezvous", daemon=True)
        waiting.start()
        waiting.join(max(deadline - time.monotonic(), 0))
        if waiting.is_alive():
            raise InputError(
                f"{PROCESSES}={self.count}, but not all of them came to "
                f"{COORDINATOR}={self.address} within {TIMEOUT}={self.timeout} s; see "
                f"the logs of the others, and raise {TIMEOUT} where they start late"
            )
        if failures:
            raise InputError(
                f"{COORDINATOR}={self.address}: process {self.index} of {self.count} "
                f"could not join ({failures[0]}); see the log of process 0"
            ) from failures[0]


def _join_by_detection(timeout: int) -> None:
    """Let JAX find the other processes by itself."""
    try:
        jax.distributed.initialize(
            initialization_timeout=timeout, heartbeat_timeout_seconds=_heartbeat()
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{COORDINATOR}={AUTO}, but JAX finds no cluster here ({error}); set "
            f"{COORDINATOR}=HOST:PORT, {PROCESSES} and {PROCESS}"
        ) from error


def _heartbeat() -> int:
    return _integer(HEARTBEAT, 1, str(DEFAULT_HEARTBEAT))


def _is_name(host: str) -> bool:
    """Say whether a host may be called so; resolving other names fails in odd ways."""
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def _integer(name: str, low: int, default: str | None = None) -> int:
    """Read a variable of the environment that is an integer of at least `low`."""
    text = os.environ.get(name, default)
    if text is None:
        raise InputError(
            f"{name} is not set, but {COORDINATOR}={os.environ[COORDINATOR]} is; set "
            "it for every process, as the scripts of launch/ do"
        )
    if not text.isdecimal() or len(text) > DIGITS or int(text) < low:
        raise InputError(
            f"{name}={text}: must be an integer of at least {low} and {DIGITS} digits "
            "at most"
        )
    return int(text)
