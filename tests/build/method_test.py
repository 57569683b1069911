"""What a run learns by, built from a config."""

import importlib

import pytest

from ckda_jax import build
from ckda_jax.methods.base import Method
from tests import runs, tiny

# The package has the function of that name in its place.
METHOD = importlib.import_module("ckda_jax.build.method")


@pytest.fixture
def settings(monkeypatch):
    """Catch the settings that a method is made of, instead of making it."""
    caught = []

    def catch(made):
        caught.append(made)
        return Method()

    monkeypatch.setattr(METHOD, "METHODS", {"ckda": catch, "finetune": catch})

    def given(preset="ckda", **changes):
        build.method(runs.configuration({}, preset, **changes), 7)
        return caught.pop()

    return given


def test_settings_are_the_configs(settings):
    given = settings(triplet__margin=0.4, merge__old_weight=0.25)
    assert given.metric.margin == 0.4
    assert given.merge == {"old_weight": 0.25, "carry_classifier": "never"}
    assert given.identity == {"weight": 1.0}
    assert given.alignment["capacity"] == 7
    assert given.engine["relation"] == "direct"
    assert given.alignment["infrared_from_visible"] == frozenset()


def test_the_reference_differs_by_its_options_alone(settings):
    given = settings("reference")
    assert given.engine == {
        "temperature": 0.1,
        "relation": "pairwise",
        "relation_temperature": 10.0,
    }
    assert given.alignment["student_space"] == "feature"
    assert given.alignment["infrared_from_visible"] == {"regdb"}
    assert given.centres["unique"] is given.cross["unique"] is False
    assert given.prompt_consistency == {"weight": 1.0, "compare": "train"}
    assert given.merge["carry_classifier"] == "equal_count"


def test_infrared_prototypes_of_visible_images_for_all_or_for_some(settings):
    given = settings(prototypes__infrared_from="visible", stages="sysu,vcm")
    assert given.alignment["infrared_from_visible"] == {"sysu", "vcm"}
    given = settings(prototypes__infrared_from="vcm:visible", stages="sysu,vcm")
    assert given.alignment["infrared_from_visible"] == {"vcm"}


@pytest.mark.parametrize(
    ("preset", "more"),
    [
        ("ckda", {"prompt_consistency", "alignment"}),
        ("reference", {"prompt_consistency", "alignment"}),
        ("finetune", set()),
        ("joint", set()),
    ],
)
def test_a_preset_learns_by_its_losses(preset, more):
    made = build.method(runs.configuration({}, preset), tiny.CAPACITY)
    memory = tiny.memory(made, tiny.variables(tiny.model()))
    _, metrics = tiny.quick(lambda: made.loss(tiny.view(memory)))()
    found = {name for name in metrics if name.startswith("loss/")}
    parts = {"identity", "triplet", "centres", "cross"} | more
    assert found == {f"loss/{name}" for name in parts}


def test_optimiser_and_augmentation_are_the_configs():
    config = runs.configuration({}, erasing__fill="zero", augment__infrared="false")
    optimiser, augment = build.optimiser(config), build.augment(config)
    assert (optimiser.epochs, optimiser.lr, optimiser.warmup_epochs) == (2, 0.001, 0)
    assert (augment.fill, augment.infrared) == ("zero", ())
    assert augment.image_size == (32, 16)
    assert build.augment(runs.configuration({})).infrared == (1,)
