"""The model and its first variables, built from a config."""

import chex
import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from ckda_jax import build
from ckda_jax.engine import pretrained
from ckda_jax.models.weights import export_backbone
from ckda_jax.structs import InputError
from tests import runs


@pytest.fixture(scope="module")
def config(world):
    """The tiny run's configuration."""
    return runs.configuration(world)


@pytest.fixture(scope="module")
def learner(config):
    """What learns, with a classifier of twelve rows."""
    return build.learner(config, 12, 6)


@pytest.fixture(scope="module")
def made(config, learner):
    """Its variables."""
    return build.variables(config, learner)


def test_model_has_the_sizes_of_the_config(config):
    model = build.model(config, 12)
    assert (model.classes, model.width, model.depth) == (12, 12, 2)
    assert model.image_size == (32, 16)
    assert model.dtype is None
    assert model.micro_batches == 1
    config = runs.configuration({}, model__dtype="bfloat16", train__micro_batches=2)
    model = build.model(config, 1)
    assert (model.dtype, model.micro_batches) == ("bfloat16", 2)


def test_a_run_of_an_older_version_has_one_micro_batch(config):
    older = ConfigDict(config.to_dict())
    del older.train.micro_batches
    assert build.micro_batches(older) == build.model(older, 1).micro_batches == 1


@pytest.mark.parametrize(("stem", "grid"), [("patch", (4, 2)), ("conv", (2, 1))])
def test_grid_is_that_of_the_stem(stem, grid):
    assert build.grid(runs.configuration({}, model__stem=stem)) == grid


def test_shapes_are_those_of_the_variables(config, learner, made):
    zeros = build.shapes(config, learner)
    chex.assert_trees_all_equal_shapes_and_dtypes(zeros, made)
    assert not any(np.any(leaf) for leaf in runs.leaves(zeros))


def test_the_seed_decides_the_variables(config, learner, made):
    chex.assert_trees_all_equal(build.variables(config, learner), made)
    other = build.variables(runs.configuration({}, seed=1), learner)
    kernel = "backbone", "patch_embed", "proj", "kernel"
    left, right = made["params"], other["params"]
    for name in kernel:
        left, right = left[name], right[name]
    assert np.abs(left - right).max() > 1e-3


def test_weights_of_a_file_fill_the_backbone(config, made, tmp_path):
    grown = jax.tree.map(lambda leaf: np.asarray(leaf) + 1, made)
    path = tmp_path / "backbone.npz"
    pretrained.write_arrays(path, export_backbone(grown, build.grid(config)))
    config = runs.configuration({}, init__weights=path)
    loaded = build.load_weights(config, made)
    blocks = grown["params"]["backbone"]["blocks"]
    chex.assert_trees_all_equal(loaded["params"]["backbone"]["blocks"], blocks)
    chex.assert_trees_all_equal(loaded["params"]["neck"], made["params"]["neck"])


def test_weights_of_another_architecture_are_refused(config, made, tmp_path):
    path = tmp_path / "backbone.npz"
    pretrained.write_arrays(path, export_backbone(made, build.grid(config)))
    wide = runs.configuration({}, init__weights=path, model__width=16)
    learner = build.learner(wide, 2, 2)
    with pytest.raises(InputError, match="the weights do not fit the model"):
        build.load_weights(wide, build.shapes(wide, learner))


def test_without_weights_the_variables_stay(config, made):
    assert build.load_weights(config, made) is made
