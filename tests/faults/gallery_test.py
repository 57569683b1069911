"""A gallery whose writer is killed, wherever that happens, holds all it had."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from ckda_jax.retrieval.gallery import open_gallery
from tests import galleries, runs

KILLED_AT_EVERY_STEP = """
import os, shutil, signal, sys
from pathlib import Path
import numpy as np
from tests import galleries

def change(folder):
    writer = galleries.writer(folder)
    numbers = [1, 6, 7, 8]
    vectors = np.concatenate([galleries.vectors(n, n + 1) for n in numbers])
    writer.add(vectors, [galleries.entry(n, digest="new") for n in numbers])
    writer.remove(lambda entry: entry.identity == "2")

def die_before_step(last):
    steps = 0
    for name in ("replace", "unlink", "fsync"):
        def step(*arguments, real=getattr(os, name), **options):
            nonlocal steps
            steps += 1
            if steps == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)
        setattr(os, name, step)

root, last, status = Path(sys.argv[1]), 0, -1
galleries.fill(root / "0", 6)
while status:
    last += 1
    folder = shutil.copytree(root / "0", root / str(last))
    child = os.fork()
    if not child:
        die_before_step(last)
        change(folder)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
"""

ADDED_FOREVER = """
import sys
from tests import galleries
writer, start = galleries.writer(sys.argv[1]), 0
while True:
    end = start + 40
    writer.add(galleries.vectors(start, end), galleries.entries(start, end))
    start = end
    print(start, flush=True)
"""


def script(text: str, folder: Path) -> list[str]:
    """Write the command of a script of its own process."""
    return [sys.executable, "-W", "ignore", "-c", text, str(folder)]


def digests(folder: Path) -> dict[str, str]:
    """Read which version of each image a gallery holds, every file verified."""
    gallery = open_gallery(folder, verify=True)
    assert len(gallery) == sum(map(len, gallery.vectors))
    return {entry.path: entry.digest for entry in gallery}


def test_a_writer_killed_at_any_step_loses_no_more_than_its_change(tmp_path):
    subprocess.run(
        script(KILLED_AT_EVERY_STEP, tmp_path), cwd=runs.ROOT, check=True, timeout=120
    )
    folders = sorted(tmp_path.iterdir(), key=lambda folder: int(folder.name))
    states = [digests(folder) for folder in folders]
    old = {f"/images/{n}.png": f"{n:x}" for n in range(6)}
    added = old | {f"/images/{n}.png": "new" for n in (1, 6, 7, 8)}
    removed = {path: digest for path, digest in added.items() if path[8] not in "27"}
    order = [json.dumps(state, sort_keys=True) for state in (old, added, removed)]
    found = [order.index(json.dumps(state, sort_keys=True)) for state in states]
    # In the order of the steps: nothing yet, then what was added, then all of it.
    assert found == sorted(found)
    assert set(found) == {0, 1, 2}
    assert len(found) > 20
    for folder, state in zip(folders, states, strict=True):
        galleries.writer(folder).add(galleries.vectors(9, 10), galleries.entries(9, 10))
        assert digests(folder) == state | {"/images/9.png": "9"}
        left = [path.name for path in folder.rglob("*") if path.is_file()]
        assert len(left) == 3, left


def test_a_process_killed_while_it_adds_loses_at_most_the_last_block(tmp_path):
    folder = tmp_path / "gallery"
    with subprocess.Popen(
        script(ADDED_FOREVER, folder), cwd=runs.ROOT, text=True, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        told = 0
        while told < 600:
            told = int(process.stdout.readline())
        process.kill()
        rest = process.stdout.read().split()
        assert process.wait(timeout=60) == -signal.SIGKILL
    told = int(rest[-1]) if rest else told
    gallery = open_gallery(folder, verify=True)
    assert told <= len(gallery) <= told + 40
    assert list(gallery) == galleries.entries(0, len(gallery))
    np.testing.assert_array_equal(
        np.concatenate(gallery.vectors), galleries.vectors(0, len(gallery))
    )
