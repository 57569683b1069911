"""Devices and processes: how arrays are laid out, and two processes as one."""

import json
import subprocess
import sys
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from ckda_jax import build
from ckda_jax.engine import distributed, examination, lifelong, rendezvous
from ckda_jax.engine.checkpoint import Checkpoints, Position
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.layout import REPLICATED, Layout
from ckda_jax.methods.base import Method
from ckda_jax.structs import InputError
from tests import runs, tiny


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


def laid_out(fsdp: Cluster) -> tuple[Any, Any]:
    """Lay a state out; return it and where its arrays are."""
    learns = tiny.learner(Method())
    state = fsdp.lay_out(tiny.state(learns, tiny.variables(learns.model)))
    return state, jax.tree.map(lambda leaf: leaf.sharding, state)


def test_large_arrays_are_shared_out_and_stay_so_in_a_step(fsdp):
    state, before = laid_out(fsdp)
    kernel = state.params["backbone"]["blocks"]["mlp"]["fc1"]["kernel"]
    assert [s.data.shape for s in kernel.addressable_shards] == [(2, 12, 12)] * 2
    assert state.key.sharding.is_fully_replicated
    assert state.params["neck"]["scale"].sharding.is_fully_replicated

    def gathers(state, frozen, batch):
        del frozen, batch
        return jax.tree.map(lambda x: x + 1 if x.dtype == "float32" else x, state), {}

    given = tiny.frozen(Method(), {}), tiny.batch()
    everywhere = jax.jit(gathers, out_shardings=fsdp.replicated())
    gathered, _ = everywhere(state, *given)
    assert gathered.params["classifier"]["kernel"].sharding.is_fully_replicated
    kept, _ = jax.jit(fsdp.keep_layout(gathers))(gathered, *given)
    after = jax.tree.map(lambda leaf: leaf.sharding, kept)
    assert jax.tree.all(jax.tree.map(lambda a, b: a == b, before, after))


def test_what_one_device_saved_is_restored_on_two_and_back(fsdp, tmp_path):
    one = Cluster.of(jax.devices()[:1], 1, REPLICATED)
    spread, where = laid_out(fsdp)
    whole = one.lay_out(jax.device_get(spread))
    for name, saved, like in (("1", whole, spread), ("2", spread, whole)):
        checkpoints = Checkpoints(tmp_path / name)
        checkpoints.save_step(Position(0, 1), saved, {})
        found, _ = checkpoints.restore_step(Position(0, 1), like)
        checkpoints.close()
        chex.assert_trees_all_equal(jax.device_get(found), jax.device_get(saved))
        asked = jax.tree.map(lambda leaf: leaf.sharding, like)
        got = jax.tree.map(lambda leaf: leaf.sharding, found)
        assert jax.tree.all(jax.tree.map(lambda a, b: a == b, asked, got))
    assert where.params["classifier"]["kernel"].spec == P(None, "data")


@pytest.mark.slow
def test_steps_do_not_depend_on_the_devices(tmp_path):
    """Several steps of a later stage, in float64 but for the augmentation."""
    sizes = [f"--config.{k}={v}" for k, v in runs.TINY.items() if "." in k]
    meshes = ["1x1", "2x1", "4x1:fsdp", "4x2:fsdp"]
    command = ["benchmarks/invariance.py", "--config", str(runs.COMMON), *sizes]
    command += ["--float64", "--large", "64", "--steps", "3", "--meshes", *meshes]
    environment = runs.environment(tmp_path)
    environment["XLA_FLAGS"] += " --xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, *command],
        env=environment | {"PYTHONPATH": str(runs.ROOT), "JAX_PLATFORMS": "cpu"},
        cwd=runs.ROOT,
        text=True,
        capture_output=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    rows = {row["mesh"]: row for row in json.loads(done.stdout)["rows"]}
    one = rows["1x1"]
    assert len(set(one["losses"])) == 3
    for mesh in meshes[1:]:
        row = rows[mesh]
        assert row["losses"] == pytest.approx(one["losses"], rel=1e-9), mesh
        assert row["parameter_difference"]["largest"] < 1e-8, mesh
        assert row["layout_kept"], mesh
    # A batch is shared out in any case; with fsdp so is what is kept, and gathered.
    bytes_of = [rows[mesh]["argument_bytes"] for mesh in meshes]
    assert bytes_of[2] < 0.4 * bytes_of[1] and bytes_of[3] < bytes_of[2]
    assert "all-gather" in rows["4x1:fsdp"]["collectives"]


def test_rows_that_devices_cannot_share_are_refused(cluster):
    cluster.check_rows(4, "a batch")
    with pytest.raises(InputError, match="a batch has 3 rows, which 2 devices"):
        cluster.check_rows(3, "a batch")


@pytest.fixture
def fsdp():
    """Two devices that share large parameters out, and nearly all are large."""
    return Cluster.of(jax.devices(), 1, Layout(parameters="fsdp", heads=2, large=100))


def test_initialise_reads_the_launchers_environment(monkeypatch):
    monkeypatch.setenv(rendezvous.COORDINATOR, "nowhere")
    with pytest.raises(InputError, match="CKDA_COORDINATOR=nowhere: must be HOST:PORT"):
        distributed.initialise()


@pytest.mark.slow
def test_two_processes_compute_what_one_does(finished, world, tmp_path):
    folder = tmp_path / "run"
    launch = [str(runs.ROOT / "launch" / "local.sh"), "2"]
    shared = {"mesh__parameters": "fsdp", "mesh__large": 100}
    words = runs.words(folder, world, train__gradients_every=4, **shared)
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
    # Two processes ranked what each held half of; one process that holds it all agrees.
    config = runs.configuration(world)
    whole = build.assemble(config, folder, Cluster.of_all_devices(), learns=False)
    checkpoints = Checkpoints(folder / "checkpoints", writes=False)
    snapshot = lifelong.restore(checkpoints, 1, whole.origin)
    checkpoints.close()
    alone = runs.scores(list(examination.scores(whole, snapshot, lambda said: None)))
    assert len(alone) == 2
    for place in alone:
        assert found[place] == pytest.approx(alone[place], abs=1e-6), place
