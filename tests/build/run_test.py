"""The run, built from a config."""

import chex
import jax
import numpy as np
import pytest

from ckda_jax import build
from ckda_jax.engine import origin
from ckda_jax.engine.distributed import Cluster
from ckda_jax.structs import InputError
from tests import runs


@pytest.fixture(scope="module")
def cluster():
    """All devices."""
    return Cluster.of_all_devices()


@pytest.fixture(scope="module")
def run(world, tmp_path_factory, cluster):
    """The tiny run, assembled."""
    folder = tmp_path_factory.mktemp("assembled")
    return build.assemble(runs.configuration(world), folder, cluster)


def test_a_run_has_what_the_config_says(run):
    assert [stage.name for stage in run.stages] == ["regdb", "sysu"]
    assert [dataset.name for dataset in run.datasets] == ["regdb", "sysu"]
    assert run.pauses.eval_every == 1
    assert run.learner.model.classes == 12
    assert int(run.origin.stage) == -1
    assert run.evaluate_start and run.evaluate_unseen
    assert run.learned_before == frozenset()


def test_a_draft_is_the_run_without_its_variables(run, world, tmp_path, cluster):
    config = runs.configuration(world)
    draft = build.draft(config, tmp_path, cluster)
    assert [stage.steps for stage in draft.stages] == [4, 4]
    made = build.try_start(config, draft)
    chex.assert_trees_all_equal_shapes_and_dtypes(made, run.origin.variables)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train__images": 1, "train__identities": 3}, "3 rows, which 2 devices"),
        ({"train__micro_batches": 8}, "micro_batches\\) has 1 rows, which 2 devices"),
        ({"eval__batch": 33}, "config.eval.batch has 33 rows, which 2 devices"),
        ({"model__image_size": "16,8"}, "too small for the blur"),
        ({"init__weights": "nowhere.npz"}, "there is no such file"),
        ({"train__epochs": 0}, "must be at least 1"),
        ({"stages": "nowhere"}, "names 'nowhere'"),
    ],
)
def test_the_cheapest_checks_come_before_the_data(tmp_path, cluster, changes, said):
    config = runs.configuration({"regdb": tmp_path / "gone"}, **changes)
    with pytest.raises(InputError, match=said):
        build.draft(config, tmp_path, cluster)


def test_an_extension_starts_from_what_was_left_behind(finished, world, cluster):
    before = origin.read(finished)
    config = runs.configuration(world, stages="llcm", init__weights="gone.npz")
    run = build.assemble(config, finished, cluster, before.lineage)
    run = build.extend(run, before)
    assert [stage.index for stage in run.stages] == [2]
    assert run.learned_before == {"regdb", "sysu"}
    assert not run.evaluate_start
    assert int(run.origin.stage) == 1
    blocks = before.variables["params"]["backbone"]["blocks"]
    chex.assert_trees_all_equal(
        run.origin.variables["params"]["backbone"]["blocks"], blocks
    )
    classifier = run.origin.variables["params"]["classifier"]["kernel"]
    assert classifier.shape == (12, 6)


def test_a_draft_of_an_extension_fits_it_too(finished, world, tmp_path, cluster):
    before = origin.read(finished)
    config = runs.configuration(world, stages="llcm")
    draft = build.draft(config, tmp_path, cluster, before.lineage)
    made = build.try_start(config, draft, before)
    norm = made["batch_stats"]["neck"]
    chex.assert_trees_all_equal(norm, before.variables["batch_stats"]["neck"])
    wide = runs.configuration(world, stages="llcm", model__width=16)
    draft = build.draft(wide, tmp_path, cluster, before.lineage)
    with pytest.raises(InputError, match="use that run's config.model"):
        build.try_start(wide, draft, before)


def test_results_of_an_extension_go_on_with_the_old_ones(run, finished, world):
    config = runs.configuration(world)
    fresh = build.results(config, run, None)
    assert fresh.content["stages"] == [["regdb"], ["sysu"]]
    assert fresh.content["evaluations"] == []
    before = origin.read(finished)
    longer = build.results(config, run, before).content
    assert longer["stages"] == [["regdb"], ["sysu"]] * 2
    assert longer["datasets"] == ["regdb", "sysu"]
    assert longer["evaluations"] == before.results["evaluations"]


def test_the_step_and_the_evaluation_want_rows_for_every_device(run, world, cluster):
    config = runs.configuration(world, train__identities=3, train__images=1)
    with pytest.raises(InputError, match="2 devices cannot share equally"):
        build.compiled_step(config, run.learner, cluster)
    config = runs.configuration(world, eval__batch=31)
    with pytest.raises(InputError, match="config.eval.batch has 31 rows"):
        build.evaluator(config, run.learner, cluster)


def test_variables_are_on_every_device(run):
    leaf = run.origin.variables["params"]["neck"]["scale"]
    assert leaf.sharding.is_fully_replicated
    assert len(leaf.sharding.device_set) == jax.device_count() == 2
    assert np.asarray(leaf).shape == (12,)
