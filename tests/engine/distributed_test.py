"""Devices and processes: how arrays are laid out, and two processes as one."""

import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.engine import distributed, rendezvous
from ckda_jax.engine.distributed import Cluster
from ckda_jax.structs import InputError
from tests import runs


@pytest.fixture
def cluster():
    """All devices of the tests: two."""
    return Cluster.of_all_devices()


def test_a_cluster_has_every_device_and_one_process(cluster):
    assert dict(cluster.mesh.shape) == {"data": 2, "model": 1}
    assert cluster.shard == (0, 1)
    assert cluster.is_main


def test_put_shares_rows_out_and_copies_what_has_none(cluster):
    tree = {"images": np.arange(12).reshape(1, 4, 3), "present": np.array([True])}
    placed = cluster.put(tree, axis=1)
    np.testing.assert_array_equal(placed["images"], tree["images"])
    shards = placed["images"].addressable_shards
    assert [shard.data.shape for shard in shards] == [(1, 2, 3)] * 2
    assert placed["present"].sharding.is_fully_replicated


def test_replicate_copies_to_every_device(cluster):
    placed = cluster.replicate({"a": jnp.arange(3), "none": None})
    assert placed["none"] is None
    assert [s.data.shape for s in placed["a"].addressable_shards] == [(3,)] * 2


def test_replicate_among_processes_takes_typed_keys(cluster, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    key = jax.random.key(7)
    placed = cluster.replicate({"key": key, "a": np.arange(3), "b": jnp.ones(2)})
    assert placed["key"].dtype == key.dtype
    assert jax.random.key_data(placed["key"]).tolist() == [0, 7]
    assert placed["a"].tolist() == [0, 1, 2]


def test_rows_that_devices_cannot_share_are_refused(cluster):
    cluster.check_rows(4, "a batch")
    with pytest.raises(InputError, match="a batch has 3 rows, which 2 devices"):
        cluster.check_rows(3, "a batch")


def test_initialise_reads_the_launchers_environment(monkeypatch):
    monkeypatch.setenv(rendezvous.COORDINATOR, "nowhere")
    with pytest.raises(InputError, match="CKDA_COORDINATOR=nowhere: must be HOST:PORT"):
        distributed.initialise()


@pytest.mark.slow
def test_two_processes_compute_what_one_does(finished, world, tmp_path):
    folder = tmp_path / "run"
    launch = [str(runs.ROOT / "launch" / "local.sh"), "2"]
    words = runs.words(folder, world, train__gradients_every=4)
    command = [*launch, *runs.command("train", words)]
    done = subprocess.run(
        command,
        # Compiled in earnest: compiled quickly, its collectives abort at times.
        env=runs.environment(tmp_path / "cache") | {"XLA_FLAGS": ""},
        cwd=runs.ROOT,
        text=True,
        capture_output=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if "after stage 2  " in line]
    assert [line[:3] for line in told] == ["[0]", "[0]"]
    left, right = runs.metrics(folder), runs.metrics(finished)
    assert len(left) == len(right) == 8
    # Not measured among processes, see `build.run`.
    assert not [name for row in left for name in row if "gradient_share/" in name]
    for row, other in zip(left, right, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=2e-3)
    found = runs.scores(runs.results(folder)["evaluations"])
    wanted = runs.scores(runs.results(finished)["evaluations"])
    assert list(found) == list(wanted)
    for place in found:
        assert found[place][:2] == pytest.approx(wanted[place][:2], abs=0.03), place
