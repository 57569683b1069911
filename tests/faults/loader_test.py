"""Faults 19 and 20: processes that decode images, one killed, their number changed."""

import multiprocessing
import shutil
import threading
import time

import pytest

from ckda_jax import train
from ckda_jax.build import run as build_run
from ckda_jax.data import workers
from tests import runs


def kill_a_worker(log):
    """Kill a process that decodes images, once the run has logged a further step."""
    logged = len(runs.metrics(log))
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        children = multiprocessing.active_children()
        found = [child for child in children if child.name.startswith(workers.NAME)]
        if found and len(runs.metrics(log)) > logged:
            found[0].kill()
            return
        time.sleep(0.01)


@pytest.mark.slow
def test_19_20_a_run_ends_with_its_loader_and_goes_on_with_another(
    finished, world, tmp_path, capsys, monkeypatch
):
    """A worker is killed; what was begun without goes on with two to the same bits."""
    monkeypatch.setattr(build_run, "compiled_step", runs.compile_quickly)
    folder = tmp_path / "run"
    words = runs.words(
        folder,
        world,
        train__checkpoint_every=1000,
        train__steps=1000,
        stages="regdb",
        eval_every=0,
        eval__before=False,
    )
    killer = threading.Thread(target=kill_a_worker, args=(folder,))
    folder.mkdir()
    killer.start()
    assert train.main([*words, "--config.data.workers=1"]) == 1
    killer.join()
    said = capsys.readouterr().err
    assert "a process that decodes images ended with exit code -9" in said
    assert said.count("\n") == 1

    again = tmp_path / "again"
    shutil.copytree(finished, again)
    shutil.rmtree(again / "checkpoints" / "stages" / "1")
    shutil.rmtree(again / "checkpoints" / "steps" / "10000003")
    runs.take(again, world, data__workers=2)
    assert "resumed sysu at step 2 of 4" in capsys.readouterr().out
    runs.assert_same_run(again, finished, stages=2)
