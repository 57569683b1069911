"""What every test runs under: JAX on two virtual CPU devices, strict, with a cache."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest
from absl import flags

GOLDEN = Path(__file__).parent / "golden"


def pytest_configure() -> None:
    """Set what must be set before the first array exists."""
    # Grain's worker processes read absl flags, which nobody parses under pytest.
    flags.FLAGS.mark_as_parsed()
    # In the environment too, for the processes that tests start.
    platform = os.environ.setdefault("JAX_PLATFORMS", "cpu")
    jax.config.update("jax_platforms", platform)
    # Two devices show a wrong sharding; more would only share the same cores.
    jax.config.update("jax_num_cpu_devices", 2)
    # Devices that wait for each other hold a thread of XLA's pool each, which has as
    # many as the machine has cores: with two, both may wait for ever.
    os.environ.setdefault("NPROC", "8")
    # A silent broadcast between ranks has hidden too many wrong losses.
    jax.config.update("jax_numpy_rank_promotion", "raise")
    # Tests compile far more than they compute.
    jax.config.update("jax_disable_most_optimizations", True)
    _cache_compilations()


def _cache_compilations() -> None:
    """Keep compiled steps between test runs; `CKDA_TEST_CACHE=` keeps none."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = os.environ.get("CKDA_TEST_CACHE", str(Path(home) / "ckda_jax" / "tests"))
    if not folder:
        return
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and jax.default_backend() != "gpu":
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a GPU, JAX_PLATFORMS=cuda"))


@pytest.fixture
def x64():
    """Compute in float64 during one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def golden():
    """Read `tests/golden/NAME.npz`: outputs of the reference implementation.

    Returns:
        A function from the name to a dict of its arrays.
    """

    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            return dict(file)

    return read


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> dict[str, Path]:
    """Draw the four datasets; their roots. Not to be changed: other tests read them."""
    from tests import runs

    return runs.draw_world(tmp_path_factory.mktemp("drawn") / "world")


@pytest.fixture(scope="session")
def prepared_world(tmp_path_factory, world) -> dict[str, Path]:
    """Prepare the four datasets at 32 x 16, resized as the released code does."""
    from tests import runs

    return runs.prepare_world(tmp_path_factory.mktemp("prepared"), world)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, world) -> Path:
    """Take a tiny run of two stages to its end; its directory, not to be changed."""
    from tests import runs

    return runs.take(tmp_path_factory.mktemp("finished") / "run", world)
