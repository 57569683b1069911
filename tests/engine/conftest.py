"""The tiny finished run, assembled again."""

import shutil

import pytest

from ckda_jax import build
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.lifelong import restore
from ckda_jax.engine.run import Run
from ckda_jax.engine.state import Snapshot
from tests import runs


@pytest.fixture(scope="session")
def assembled(finished, world, tmp_path_factory) -> Run:
    """A copy of the `finished` run, which also evaluates LLCM that it never learns."""
    folder = tmp_path_factory.mktemp("assembled") / "run"
    shutil.copytree(finished, folder)
    config = runs.configuration(world, eval_only="llcm")
    return build.assemble(config, folder, Cluster.of_all_devices())


@pytest.fixture(scope="session")
def snapshot(finished, assembled) -> Snapshot:
    """The model after its last stage."""
    checkpoints = Checkpoints(finished / "checkpoints", writes=False)
    last = restore(checkpoints, 1, assembled.origin)
    checkpoints.close()
    return last
