"""The tiny finished run, assembled again."""

import dataclasses

import pytest

from ckda_jax import build
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.lifelong import restore
from ckda_jax.engine.run import Run
from ckda_jax.engine.state import Snapshot
from tests import runs


@pytest.fixture(scope="session")
def assembled(finished, world) -> Run:
    """The run of `finished`, which also evaluates LLCM that it never learns."""
    config = runs.configuration(world, eval_only="llcm")
    run = build.assemble(config, finished, Cluster.of_all_devices())
    return dataclasses.replace(run, workdir=finished)


@pytest.fixture(scope="session")
def snapshot(finished, assembled) -> Snapshot:
    """The model after its last stage."""
    checkpoints = Checkpoints(finished / "checkpoints", writes=False)
    last = restore(checkpoints, 1, assembled.origin)
    checkpoints.close()
    return last
