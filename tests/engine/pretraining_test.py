import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.engine import pretraining
from ckda_jax.engine.pretrained import digest, load_backbone
from ckda_jax.models.plain import PlainModel, fold_modality
from ckda_jax.models.reid import ReIDModel
from ckda_jax.models.vit import ViT
from ckda_jax.trees import named_leaves

SIZE = {"image_size": (16, 8), "patch_size": 8, "stride": 8, "width": 12, "depth": 2}
GRID = (2, 1)


@pytest.fixture(scope="module")
def variables():
    plain = PlainModel(5, ViT(modalities=1, heads=3, **SIZE))
    return jax.jit(plain.init)(jax.random.key(0), jnp.zeros((1, 1, 16, 8, 3)))


def test_export_is_what_a_full_model_starts_from(variables, tmp_path):
    path = tmp_path / "backbone.npz"
    assert pretraining.export(path, variables, GRID) == digest(path)
    full = ReIDModel(7, prompt_patch_size=8, heads=3, **SIZE)
    template = jax.jit(full.init)(jax.random.key(1), jnp.zeros((2, 1, 16, 8, 3)))
    loaded = named_leaves(load_backbone(str(path), template, grid=GRID))
    wanted = named_leaves(fold_modality(variables))
    for name, value in named_leaves(template).items():
        if name.startswith("params/backbone/") and "mod_embed" not in name:
            chex.assert_trees_all_close(loaded[name], wanted[name], atol=1e-3)
            assert loaded[name].dtype == np.float32
        else:
            chex.assert_trees_all_equal(loaded[name], value)


def test_export_holds_the_backbone_alone_in_half_precision(variables, tmp_path):
    path = tmp_path / "backbone.npz"
    pretraining.export(path, variables, GRID)
    with np.load(path) as file:
        kinds = {name: file[name].dtype for name in file.files}
    assert kinds.pop("grid") == np.int32
    assert set(kinds.values()) == {np.dtype(np.float16)}
    assert all(name.startswith("backbone/") for name in kinds)
    assert "backbone/mod_embed" not in kinds


def test_sidecar_states_digest_and_facts(tmp_path):
    path = tmp_path / "backbone.npz"
    path.write_bytes(b"12345")
    pretraining.write_sidecar(path, "abc", {"steps": 3})
    content = json.loads(path.with_suffix(".json").read_text())
    assert content["sha256"] == "abc"
    assert content["bytes"] == 5
    assert content["steps"] == 3
    assert content["versions"]["jax"] == jax.__version__


def test_training_seconds_leave_interruptions_out():
    times = [100.0, 102.0, 104.0, 1104.0, 1107.0]
    # Gaps of 2, 2, 1000 and 3 seconds: the usual one, 2.5, also for before the first.
    assert pretraining.training_seconds(times) == 2 + 2 + 2.5 + 3 + 2.5
    assert pretraining.training_seconds([]) == 0
