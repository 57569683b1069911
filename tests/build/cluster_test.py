"""The mesh that a config asks for."""

import pytest

from ckda_jax import build
from ckda_jax.engine.layout import Layout
from ckda_jax.structs import InputError
from tests import runs


def configured(**changes):
    """Resolve a config whose datasets nobody opens."""
    return runs.configuration({}, **changes)


def test_all_devices_share_the_batch_unless_said_otherwise():
    found = build.cluster(configured())
    assert dict(found.mesh.shape) == {"data": 2, "model": 1}
    assert found.layout == Layout(parameters="replicated", heads=2)


def test_devices_and_parameters_are_laid_out_as_asked():
    asked = {"mesh__model": 2, "mesh__parameters": "fsdp", "mesh__large": 100}
    found = build.cluster(configured(**asked))
    assert dict(found.mesh.shape) == {"data": 1, "model": 2}
    assert found.layout == Layout(parameters="fsdp", heads=2, large=100)


def test_a_mesh_that_the_devices_do_not_make_is_refused_where_it_learns():
    config = configured(mesh__model=4)
    with pytest.raises(InputError, match=r"config.mesh.model=4 devices .* of the 2 of"):
        build.cluster(config)
    evaluates = build.cluster(config, learns=False)
    assert dict(evaluates.mesh.shape) == {"data": 1, "model": 2}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mesh__model": 0}, "config.mesh.model=0: must be at least 1"),
        ({"mesh__parameters": "some"}, "choose one of replicated, fsdp"),
    ],
)
def test_values_that_mean_nothing_are_refused(changes, said):
    with pytest.raises(InputError, match=said):
        build.cluster(configured(**changes))


def test_a_run_of_a_version_without_a_mesh_is_evaluated_on_all_devices():
    config = configured()
    with config.unlocked():
        delattr(config, "mesh")
    found = build.cluster(config, learns=False)
    assert dict(found.mesh.shape) == {"data": 2, "model": 1}
