"""Fault 25: checkpoints, configs, indexes and weights that were made to do harm."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorstore

from ckda_jax.engine import manifest
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.shelf import END, Position
from ckda_jax.files import write_json
from ckda_jax.structs import InputError
from tests import runs

SOURCES = ("ckda_jax", "benchmarks", "configs", "examples")

WATCHED = """
import sys

def watch(event, arguments):
    if event in ("pickle.find_class", "os.system", "os.exec", "subprocess.Popen"):
        # Not an exception, which somebody might catch.
        print("CAUGHT", event, arguments, flush=True)

sys.addaudithook(watch)
"""

OPENED = """
from pathlib import Path
from ckda_jax.build.inference import load_model
from ckda_jax.config import from_json
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.pretrained import read_arrays
from ckda_jax.retrieval.gallery import open_gallery
from ckda_jax.files import write_json
from ckda_jax.structs import InputError
import numpy as np

root = Path(sys.argv[1])
checkpoints = Checkpoints(root / "run" / "checkpoints", writes=False)
doors = {
    "model": lambda: load_model(root / "run"),
    "state": lambda: checkpoints.restore_as_saved(1, 3),
    "config": lambda: from_json(root / "payload"),
    "gallery": lambda: open_gallery(root / "gallery"),
    "pth": lambda: read_arrays(root / "payload.pth"),
    "npz": lambda: read_arrays(root / "payload.npz"),
    "safetensors": lambda: read_arrays(root / "payload.safetensors"),
}
for name, door in doors.items():
    try:
        door()
    except InputError as error:
        print("refused", name, str(error).splitlines()[0])
    else:
        print("opened", name)
"""


class Payload:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def hand_over(folder: Path, payload: bytes) -> None:
    """Put a payload in the place of every array of a checkpoint, manifest included."""
    for path in folder.rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(payload)
    content = json.loads((folder / "manifest.json").read_text())
    facts = {name: content[name] for name in ("stage", "step")}
    (folder / "manifest.json").unlink()
    manifest.write(folder, facts)


def test_25_nothing_that_is_read_is_ever_unpickled(finished, tmp_path):
    touched = tmp_path / "touched"
    payload = pickle.dumps(Payload(touched))
    run = shutil.copytree(finished, tmp_path / "run")
    for name in ("stages/1", "steps/10000003"):
        hand_over(run / "checkpoints" / name, payload)
    (tmp_path / "gallery").mkdir()
    for name in ("payload", "payload.pth", "payload.safetensors"):
        (tmp_path / name).write_bytes(payload)
    (tmp_path / "gallery" / "gallery.json").write_bytes(payload)
    objects = np.array([Payload(touched)], dtype=object)
    np.savez(tmp_path / "payload.npz", objects, allow_pickle=True)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED + OPENED, str(tmp_path)],
        env=runs.environment(tmp_path / "cache"),
        cwd=runs.ROOT,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = [line.split()[:2] for line in done.stdout.splitlines()]
    doors = ("model", "state", "config", "gallery", "pth", "npz", "safetensors")
    assert told == [["refused", door] for door in doors], done.stdout
    assert not touched.exists()


def test_25_the_hook_would_have_seen_it(tmp_path):
    payload = tmp_path / "payload"
    payload.write_bytes(pickle.dumps(Payload(tmp_path / "touched")))
    text = "import pickle; pickle.load(open(sys.argv[1], 'rb'))"
    done = subprocess.run(
        [sys.executable, "-c", WATCHED + text, str(payload)],
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert "CAUGHT pickle.find_class" in done.stdout
    assert (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", ["../../config.json", "/etc/hostname", "left/out"])
def test_25_a_manifest_leads_out_of_its_checkpoint(finished, tmp_path, name):
    run = shutil.copytree(finished, tmp_path / "run")
    folder = run / "checkpoints" / "stages" / "1"
    if name == "left/out":
        (folder / name).symlink_to(run / "config.json")
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["files"][name] = {"bytes": 1, "sha256": ""}
    write_json(path, manifest.sealed(content))
    checkpoints = Checkpoints(run / "checkpoints", writes=False)
    with pytest.raises(InputError, match="outside of the checkpoint|is a link out of"):
        checkpoints.restore_as_saved(1)
    checkpoints.close()


def test_25_a_checkpoint_that_is_a_link_to_a_folder_elsewhere_is_refused(
    finished, tmp_path
):
    run = shutil.copytree(finished, tmp_path / "run")
    data = run / "checkpoints" / "stages" / "1" / "left"
    shutil.move(data, tmp_path / "elsewhere")
    data.symlink_to(tmp_path / "elsewhere")
    checkpoints = Checkpoints(run / "checkpoints", writes=False)
    with pytest.raises(InputError, match="is a link out of the checkpoint"):
        checkpoints.restore_as_saved(1)
    checkpoints.close()


def test_25_an_array_of_2_to_the_60_numbers_is_refused_by_its_header(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    variables = {"kernel": np.zeros(3, np.float32)}
    checkpoints.save_stage(0, variables, {})
    checkpoints.wait()
    folder = tmp_path / "stages" / "0"
    store = {"driver": "ocdbt", "base": f"file://{folder / 'left'}/"}
    spec = {
        "driver": "zarr",
        "kvstore": store | {"path": "variables.kernel/"},
        "metadata": {"shape": [2**60], "chunks": [2**20], "dtype": "<f4"},
    }
    tensorstore.open(spec, create=True, delete_existing=True).result()
    manifest.write(folder, Position(0, END).facts)
    reader = Checkpoints(tmp_path, writes=False)
    with pytest.raises(InputError, match="arrays take .* GiB, and this machine has"):
        reader.restore_as_saved(0)
    checkpoints.close()
    reader.close()


UNPICKLES = re.compile(
    r"\b(import|from) +(dill|cloudpickle|joblib|shelve|marshal)\b"
    r"|pickle\.(loads?|Unpickler)\b|pickle import|allow_pickle *= *True"
    r"|\btorch\.load\((?!.*weights_only=True)"
)


def test_25_no_source_unpickles():
    for folder in SOURCES:
        for path in (runs.ROOT / folder).rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), start=1):
                assert not UNPICKLES.search(line), f"{path}:{number}: {line}"


@pytest.mark.parametrize(
    "line",
    ["pickle.load(f)", "from dill import load", "np.load(f, allow_pickle=True)"],
)
def test_25_a_source_that_did_would_be_found(line):
    assert UNPICKLES.search(line)
    assert UNPICKLES.search("torch.load(path)")
    assert not UNPICKLES.search("torch.load(path, weights_only=True)")
