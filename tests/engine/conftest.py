"""The tiny finished run, assembled again."""

import shutil

import pytest
from rich.console import Console

from ckda_jax import build
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.desk import Desk
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.lifelong import restore
from ckda_jax.engine.results import Results
from ckda_jax.engine.run import Run
from ckda_jax.engine.state import Snapshot
from ckda_jax.reporting.progress import Progress
from ckda_jax.reporting.writer import Writer
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


@pytest.fixture
def desk(tmp_path, assembled):
    """A desk whose files are in a folder of their own."""
    content = runs.results(assembled.workdir)
    content["datasets"].append("llcm")
    made = Desk(
        checkpoints=Checkpoints(tmp_path / "checkpoints"),
        results=Results(tmp_path / "results.json", content),
        writer=Writer(tmp_path, tensorboard=False),
        progress=Progress(
            ["regdb", "sysu"], [4, 4], images_per_step=16, console=Console(quiet=True)
        ),
    )
    yield made
    made.writer.close()
    made.checkpoints.close()
