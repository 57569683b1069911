"""The origin of a run that extends another one."""

import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.engine import origin
from ckda_jax.engine.origin import Lineage, Origin
from ckda_jax.structs import InputError
from tests import runs


def left_behind(**changes):
    """Make what a run of four identities left behind."""
    given = {
        "workdir": changes.pop("workdir", None) or runs.ROOT,
        "stage": 1,
        "variables": {
            "params": {
                "neck": {"scale": np.arange(3.0)},
                "classifier": {"kernel": np.ones((3, 8))},
            }
        },
        "memory": {
            "alignment": {
                "prototypes": np.ones((2, 4, 3)),
                "mask": np.ones((2, 4), bool),
            }
        },
        "results": {"stages": [["a"], ["b", "c"]]},
    }
    return Origin(**(given | changes))


def new_run(identities=6, classes=5):
    """Make the variables and the memory of a run that is to go on."""
    variables = {
        "params": {
            "neck": {"scale": jnp.zeros(3)},
            "classifier": {"kernel": jnp.full((3, classes), 7.0)},
        }
    }
    memory = {
        "alignment": {
            "prototypes": jnp.zeros((2, identities, 3)),
            "mask": jnp.zeros((2, identities), bool),
        }
    }
    return variables, memory


def test_lineage_says_what_a_run_goes_on_from():
    assert left_behind().lineage == Lineage(
        init_from=str(runs.ROOT),
        first_index=2,
        learned=("a", "b", "c"),
        identities=4,
        modalities=("visible", "infrared"),
    )
    assert left_behind(memory={"other": None}).lineage.identities == 0


def test_snapshot_takes_all_but_the_classifier_and_pads_the_memory():
    snapshot = left_behind().snapshot(*new_run())
    params = snapshot.variables["params"]
    np.testing.assert_array_equal(params["neck"]["scale"], np.arange(3.0))
    np.testing.assert_array_equal(params["classifier"]["kernel"], np.full((3, 5), 7.0))
    memory = snapshot.memory["alignment"]
    assert memory["mask"].tolist() == [[True] * 4 + [False] * 2] * 2
    np.testing.assert_array_equal(memory["prototypes"][:, :4], np.ones((2, 4, 3)))
    assert not memory["prototypes"][:, 4:].any()
    assert snapshot.stage == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"memory": {}}, "the memory of .* 2 entries differ, alignment/mask"),
        (
            {"memory": left_behind().memory | {"ewc": np.ones(2)}},
            "1 entries differ, ewc",
        ),
        (
            {"variables": {"params": {"neck": {"scale": np.ones(4)}}}},
            "the model of .*; use that run's model and method",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes, said):
    with pytest.raises(InputError, match=said):
        left_behind(**changes).snapshot(*new_run())


def test_other_shapes_are_refused():
    old = left_behind()
    old.variables["params"]["neck"]["scale"] = np.ones(4)
    with pytest.raises(
        InputError, match=r"params/neck/scale is \(4,\) there and \(3,\)"
    ):
        old.snapshot(*new_run())
    with pytest.raises(InputError, match="alignment/mask is .* here"):
        left_behind().snapshot(*new_run(identities=2))


def test_read_finds_what_the_last_stage_left_behind(finished):
    before = runs.listing(finished)
    found = origin.read(finished)
    assert found.stage == 1
    assert found.results == runs.results(finished)
    saved = runs.checkpoint(finished, 1)
    scale = saved["variables/params/neck/scale"]
    np.testing.assert_array_equal(found.variables["params"]["neck"]["scale"], scale)
    assert found.lineage.learned == ("regdb", "sysu")
    assert found.lineage.identities == 6
    assert runs.listing(finished) == before


def test_what_was_left_behind_fits_a_run_of_its_kind(finished):
    found = origin.read(finished)
    zeros = jax.tree.map(jnp.zeros_like, (found.variables, found.memory))
    snapshot = found.snapshot(*zeros)
    kept = {**found.variables["params"]}
    made = {**snapshot.variables["params"]}
    assert not made.pop("classifier")["kernel"].any()
    kept.pop("classifier")
    chex.assert_trees_all_equal(made, kept)
    chex.assert_trees_all_equal(snapshot.memory, found.memory)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no run to start from"):
        origin.read(tmp_path)
    assert runs.listing(tmp_path) == []


def test_a_run_whose_last_stage_is_not_finished_is_refused(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    shutil.rmtree(run / "checkpoints" / "stages" / "1")
    with pytest.raises(InputError, match="stage 2, its last one, is not finished"):
        origin.read(run)
    shutil.rmtree(run / "checkpoints" / "stages" / "0")
    before = runs.listing(run)
    with pytest.raises(InputError, match="is not finished; let that run end first"):
        origin.read(run)
    assert runs.listing(run) == before


def test_a_run_without_results_is_refused(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "results.json").unlink()
    with pytest.raises(InputError, match="results.json: cannot be read"):
        origin.read(run)
