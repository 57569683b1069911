"""The local launcher: environment, prefixes, and what happens when a process fails."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCAL = ROOT / "launch" / "local.sh"

SHOW = """
import os
names = "CKDA_COORDINATOR", "CKDA_PROCESSES", "CKDA_PROCESS"
print(*(os.environ[name] for name in names))
"""

# Process 0 listens where all were told to, process 1 finds it there.
MEET = """
import os, socket, time
host, port = os.environ["CKDA_COORDINATOR"].split(":")
if os.environ["CKDA_PROCESS"] == "0":
    with socket.create_server((host, int(port))) as server:
        peer, _ = server.accept()
        print("met", peer.recv(16).decode())
else:
    for _ in range(200):
        try:
            peer = socket.create_connection((host, int(port)))
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    peer.sendall(b"one")
"""

# Process 1 fails while process 0 and its child would go on for long.
FAIL = """
import os, subprocess, sys, time
if os.environ["CKDA_PROCESS"] == "1":
    time.sleep(0.5)
    sys.exit(7)
child = subprocess.Popen(["sleep", "300"])
print("child", child.pid)
child.wait()
"""


def launch(count: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in some processes under the launcher."""
    command = [str(LOCAL), count, sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def alive(pid: int) -> bool:
    """Say whether a process still runs; one waiting to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_each_process_knows_its_place():
    done = launch("2", SHOW)
    assert done.returncode == 0, done.stderr
    lines = sorted(line.split() for line in done.stdout.splitlines())
    assert [(line[0], line[2], line[3]) for line in lines] == [
        ("[0]", "2", "0"),
        ("[1]", "2", "1"),
    ]
    (coordinator,) = {line[1] for line in lines}
    assert coordinator.startswith("127.0.0.1:")


def test_processes_meet_over_loopback():
    done = launch("2", MEET)
    assert (done.returncode, done.stdout) == (0, "[0] met one\n"), done.stderr


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="reads /proc")
def test_a_failure_stops_the_others_and_is_the_status():
    done = launch("2", FAIL)
    assert done.returncode == 7
    child = int(done.stdout.split()[2])
    assert not alive(child)


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="reads /proc")
def test_terminating_the_launcher_stops_every_process():
    code = "import os, time; print(os.getpid()); time.sleep(300)"
    command = [str(LOCAL), "2", sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        pids = [int(launcher.stdout.readline().split()[1]) for _ in range(2)]
        launcher.send_signal(signal.SIGTERM)
        assert launcher.wait(timeout=30) == 143
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, pids))


@pytest.mark.parametrize("arguments", [[], ["2"], ["0", "true"], ["two", "true"]])
def test_wrong_usage_is_refused(arguments):
    done = subprocess.run([str(LOCAL), *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")


def test_launcher_is_executable():
    assert os.access(LOCAL, os.X_OK)
