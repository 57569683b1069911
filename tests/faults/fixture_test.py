"""Fault 29: checkpoints of earlier versions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ckda_jax import __version__
from tests import runs
from tests.faults.fixture import facts

VERSIONS = sorted((Path(__file__).parent / "runs").iterdir())


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_29_an_old_checkpoint_holds_what_it_held(version):
    wanted = json.loads((version / "facts.json").read_text())
    found = facts(version)
    assert found["digests"] == wanted["digests"]
    assert found["model"] == wanted["model"]
    np.testing.assert_allclose(found["embeddings"], wanted["embeddings"], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_29_an_old_run_goes_on(version, world, tmp_path, capsys):
    folder = shutil.copytree(version, tmp_path / "run")
    runs.take(folder, world, "--allow-data-change", "--strict")
    assert "resumed sysu at step 2 of 4" in capsys.readouterr().out
    assert (folder / "checkpoints" / "stages" / "1").is_dir()


def test_29_this_version_is_among_them():
    assert __version__ in [path.name for path in VERSIONS]
