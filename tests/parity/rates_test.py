import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.engine.optim import Optimiser
from ckda_jax.parity import rates
from ckda_jax.parity.stages import stages
from tests.parity import folders


@pytest.fixture(scope="module")
def params():
    state = folders.read("train5.npz").state("new0/")
    return stages(folders.sizes(), state, None, "float32").student["params"]


def test_recorded_settings_agree(params, x64):
    file = folders.read("train5.npz")
    assert folders.fine(rates.compare(file, Optimiser(), params, "float64"))
    left = [k for k in file.unread() if k.startswith(("group_", "lr", "adamw"))]
    assert left == []


def test_wrong_settings_are_misses(params, x64):
    optimiser = Optimiser(weight_decay=0.0, warmup_epochs=2)
    file = folders.read("train5.npz")
    missed = folders.missed(rates.compare(file, optimiser, params, "float64"))
    assert {"group_weight_decay", "lr50/all", "lr"} <= {*missed}
    assert "group_initial_lr" not in missed


def test_groups_by_the_recorded_names(params):
    groups = rates.group_of(params)
    assert groups["bottleneck.bias"] == "frozen"
    assert groups["base.blocks.1.norm1.weight"] == "pretrained"
    assert groups["base.rgb_net.0.weight"] == "base"


def test_moments_are_found_in_every_group():
    params = {"backbone": {"blocks": {"x": jnp.ones(2)}}, "other": jnp.ones(3)}
    transform = Optimiser().transform(params)
    _, state = transform.update(
        params, transform.init(params), params, epoch=jnp.int32(1)
    )
    found = rates.moments(state, "mu")
    assert set(found) == {"backbone/blocks/x", "other"}
    np.testing.assert_allclose(found["other"], 0.1, rtol=1e-6)
