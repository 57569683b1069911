"""What the faults of checkpoints are tried on: a run that met none."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import runs
from tests.faults.forks import Forks, forks


@pytest.fixture(scope="session")
def forked(tmp_path_factory) -> Iterator[Forks]:
    """A process that runs are forked from."""
    with forks(tmp_path_factory.mktemp("forks")) as made:
        yield made


@pytest.fixture(scope="session")
def unbroken(forked, tmp_path_factory, world) -> Path:
    """The directory of a forked run that nothing happened to; not to be changed."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert forked.run(runs.words(folder, world)) == 0, forked.err
    assert forked.err == ""
    return folder


@pytest.fixture
def inside(finished, tmp_path) -> Path:
    """A copy of the `finished` run as it was inside its second stage.

    Its checkpoints: steps 2 and 3 of stage 2, the end of stage 1, and of stage 1 the
    best state inside.
    """
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "checkpoints" / "stages" / "1")
    return folder
