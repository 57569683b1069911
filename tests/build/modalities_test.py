"""The names of a run's modalities, and what they do not go with."""

import pytest
from ml_collections import ConfigDict

from ckda_jax.build import check_modalities, modalities
from ckda_jax.build.modalities import check_lineage
from ckda_jax.config import load
from ckda_jax.engine.origin import Lineage
from ckda_jax.structs import InputError
from tests import runs

THREE = ("visible", "infrared", "thermal")


def config_of(names=THREE, preset="ckda", **changes):
    """Load all keys with their defaults, but for names and `changes`."""
    config = load(f"{runs.COMMON}:{preset}")
    config.modalities = names
    flat = {key.replace("__", "."): value for key, value in changes.items()}
    config.update_from_flattened_dict(flat)
    return config


def refusal(**arguments):
    with pytest.raises(InputError) as caught:
        check_modalities(config_of(**arguments))
    return str(caught.value)


def test_names_are_those_of_the_config():
    assert modalities(config_of()) == THREE
    assert modalities(load(f"{runs.COMMON}")) == ("visible", "infrared")
    assert modalities(ConfigDict()) == ("visible", "infrared")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ("visible",),
            "config.modalities=visible: must be two different names or more",
        ),
        (
            ("a", "b", "a"),
            "config.modalities=a,b,a: must be two different names or more",
        ),
        (
            ("a", "Near IR"),
            "'Near IR' is no name of a modality; use lower-case letters",
        ),
        (("a-to-b", "c"), "'a-to-b' is no name of a modality"),
    ],
)
def test_names_must_be_names(names, said):
    assert said in refusal(names=names, stages=())


def test_published_datasets_need_visible_and_infrared_first():
    swapped = ("infrared", "visible")
    said = refusal(names=swapped, stages=("gate",), eval_only=("sysu",))
    assert "config.modalities=infrared,visible: sysu needs visible at place 0" in said
    check_modalities(config_of(names=swapped, stages=("gate",)))
    check_modalities(config_of(stages=("regdb", "gate")))


def test_more_than_two_modalities_cannot_be_swapped():
    said = refusal(stages=("gate",), eval__modality="swapped")
    assert "config.eval.modality='swapped': only two modalities can be swapped" in said
    assert "gate would be evaluated with visible, infrared, thermal; set it to" in said
    # Of the reference preset, which swaps those of LLCM.
    check_modalities(config_of(preset="reference", stages=("regdb", "gate")))
    assert "llcm would be" in refusal(preset="reference", stages=("llcm",))
    check_modalities(config_of(THREE[:2], eval__modality="swapped"))


def test_infrared_prototypes_of_visible_images_need_both():
    said = refusal(
        names=("day", "night"), stages=("gate",), prototypes__infrared_from="visible"
    )
    assert "config.prototypes.infrared_from='visible' needs visible at place 0" in said
    check_modalities(config_of(prototypes__infrared_from="visible"))


def test_a_run_of_other_modalities_is_not_extended():
    def lineage(names):
        return Lineage(init_from="runs/a", first_index=1, modalities=names)

    check_lineage(config_of(), Lineage())
    check_lineage(config_of(), lineage(THREE))
    for other in (THREE[:2], ("visible", "thermal", "infrared")):
        with pytest.raises(InputError) as caught:
            check_lineage(config_of(), lineage(other))
        assert str(caught.value) == (
            "config.modalities=visible,infrared,thermal, but the model of runs/a knows "
            f"{','.join(other)}; give those names in that order"
        )
