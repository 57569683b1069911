"""What `--check` tells, next to counting by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax import build, check
from ckda_jax.config import load
from ckda_jax.engine.distributed import Cluster
from tests import runs


@pytest.fixture
def config(world):
    """The tiny run's configuration."""
    return runs.configuration(world)


def test_report_counts_what_is_there(config, tmp_path):
    draft = build.draft(config, tmp_path, Cluster.of_all_devices())
    made = build.try_start(config, draft)
    lines = check.report(config, draft, made, tmp_path / "run")
    regdb, sysu = (draft.datasets[place].train for place in (0, 1))
    assert lines[:2] == [
        f"stage {place + 1}  {name}: 6 identities, {(records.modality == 0).sum()} "
        f"visible, {(records.modality == 1).sum()} infrared images, 2 epochs x 2 steps"
        for place, (name, records) in enumerate((("regdb", regdb), ("sysu", sysu)))
    ]
    protocol = draft.datasets[0].protocols["lifelong"]
    assert lines[2] == (
        f"evaluated  regdb lifelong: {len(protocol.query)} queries, "
        f"{len(protocol.gallery)} gallery images"
    )
    told = [line for line in lines if line.startswith("parameters")]
    total = sum(int(line.split(": ")[1].replace(",", "")) for line in told)
    leaves = runs.leaves(made["params"])
    assert total == sum(leaf.size for leaf in leaves)
    assert f"parameters  frozen: {config.model.width}" in told
    assert not any("world" in line for line in lines)


def test_estimate_is_five_times_the_weights_and_what_blocks_keep(config):
    params = {"kernel": np.zeros((3, 4), np.float32)}
    state, activations = check.estimate(config, params)
    assert state == 5 * 12 * 4
    tokens, images, width, heads, depth = 4 * 2, 2 * 8, 12, 2, 2
    products, rest = 8 * width + heads * tokens, 4 * width + heads * tokens
    kept = depth * (width + products) + rest
    assert activations == images * tokens * kept * 4


def test_recomputing_and_half_precision_keep_less(config):
    params = {"kernel": np.zeros(1, np.float32)}
    _, whole = check.estimate(config, params)
    config.model.dtype = "bfloat16"
    assert check.estimate(config, params)[1] == whole // 2
    config.model.remat = True
    block = (8 + 2 * 2) * 12 + 2 * 2 * 8
    assert check.estimate(config, params)[1] == 2 * 8 * 8 * (2 * 12 + block) * 2


def test_devices_share_the_batch_and_with_fsdp_the_state(config):
    params = {"kernel": np.zeros(8, np.float32)}
    state, whole = check.estimate(config, params)
    assert check.estimate(config, params, 4) == (state, whole // 4)
    config.mesh.parameters = "fsdp"
    assert check.estimate(config, params, 4) == (state // 4, whole // 4)


def test_the_backward_pass_keeps_of_a_block_what_is_estimated(world):
    def kept(depth):
        """Count the bytes that a traced backward pass needs, weights left out."""
        config = runs.configuration(world, model__depth=depth)
        images = jnp.zeros((2, 8, *config.model.image_size, 3))
        learns = build.learner(config, 12, 6)
        made = build.shapes(config, learns)

        def residuals(params):
            def features(params):
                variables = made | {"params": params}
                options = {"train": True, "rngs": {"dropout": jax.random.key(0)}}
                (_, out), _ = learns.model.apply(
                    variables, images, mutable=["batch_stats"], **options
                )
                return out.feature

            return jax.vjp(features, params)[1]

        params = made["params"]
        held = jax.tree.leaves(jax.eval_shape(residuals, params))
        numbers = sum(leaf.size for leaf in held if leaf.dtype == jnp.float32)
        weights = sum(leaf.size for leaf in runs.leaves(params))
        return 4 * (numbers - weights), check.estimate(config, params)[1]

    shallow, deep = kept(2), kept(6)
    found, estimated = (b - a for a, b in zip(shallow, deep, strict=True))
    assert 1 <= found / estimated < 1.1


def test_one_micro_batch_is_held_at_a_time(config, tmp_path):
    params = {"kernel": np.zeros(1, np.float32)}
    _, whole = check.estimate(config, params)
    config.train.micro_batches = 4
    assert check.estimate(config, params)[1] == whole // 4
    draft = build.draft(config, tmp_path, Cluster.of_all_devices())
    lines = check.report(config, draft, build.try_start(config, draft), tmp_path)
    assert any("of one of 4 micro-batches" in line for line in lines)


def test_a_full_size_model_is_told_in_gigabytes(world):
    config = load(f"{runs.COMMON}")
    params = {"kernel": np.zeros(86_000_000, np.float32)}
    state, activations = check.estimate(config, params)
    assert state == 5 * 4 * 86_000_000
    # 64 images of 210 tokens; of each of 12 blocks what enters, 10 widths of 768 and 12
    # rows of scores; and the rest of one.
    assert activations == 64 * 210 * (12 * (11 * 768 + 12 * 210) + 6 * 768 + 2520) * 4
