"""The limits of the config's values."""

import pytest

from ckda_jax.build.limits import CHOICES, PER_DATASET, REGEXES, Range, check_limits
from ckda_jax.config import flatten, load
from ckda_jax.structs import InputError
from tests import runs


@pytest.fixture
def config():
    """All keys with their defaults."""
    return load(f"{runs.COMMON}")


def refusal(config):
    """Say why the limits refuse a config; nothing where they do not."""
    try:
        check_limits(config)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "said"),
    [
        (
            Range(0, 1),
            (0, 0.5, 1),
            (-0.1, 1.1, float("nan")),
            "at least 0 and at most 1",
        ),
        (Range(0, above_low=True), (1e-9, 7), (0, -1, float("inf")), "above 0"),
        (Range(0, 1, below_high=True), (0, 0.9), (1,), "at least 0 and below 1"),
        (Range(), (-5, 5), (float("inf"), float("nan")), "finite"),
    ],
)
def test_range_holds_its_numbers_alone(allowed, inside, outside, said):
    assert all(allowed.holds(number) for number in inside)
    assert not any(allowed.holds(number) for number in outside)
    assert str(allowed) == said


@pytest.mark.parametrize("preset", ["ckda", "reference", "finetune", "joint"])
def test_every_preset_is_within_the_limits(preset):
    assert refusal(load(f"{runs.COMMON}:{preset}")) == ""


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seed", -1, "config.seed=-1: must be at least 0 and at most 4294967295"),
        ("seed", 2**32, "must be at least 0 and at most"),
        ("eval_every", -1, "config.eval_every=-1: must be at least 0"),
        ("data.trial", 0, "config.data.trial=0: must be at least 1 and at most 10"),
        ("data.max_identities", -1, "must be at least 0"),
        ("augment.flip", 1.5, "must be at least 0 and at most 1"),
        ("erasing.probability", -0.1, "must be at least 0 and at most 1"),
        ("train.epochs", 0, "config.train.epochs=0: must be at least 1"),
        ("train.steps", -1, "must be at least 0"),
        ("train.steps", 10**7, "must be fewer than 10,000,000"),
        ("train.step_limit", 1e10, "train.step_limit=10000000000.0: must be"),
        ("train.log_every", 0, "must be at least 1"),
        ("train.gradients_every", -1, "must be at least 0"),
        ("train.checkpoint_every", 0, "must be at least 1"),
        ("train.keep_checkpoints", 0, "must be at least 1"),
        ("train.identities", 1, "must be at least 2"),
        ("train.micro_batches", 0, "must be at least 1"),
        (
            "train.micro_batches",
            5,
            "=5: the 32 rows of a modality .* choose a divisor of 32",
        ),
        ("model.depth", 0, "must be at least 1"),
        ("model.image_size", (0, 128), r"=\(0, 128\): must be at least 1"),
        ("model.dropout", 1.0, "must be at least 0 and below 1"),
        ("prompts.dropout", -0.1, "must be at least 0 and below 1"),
        ("model.drop_path", 1.5, "must be at least 0 and below 1"),
        ("optim.lr", -1e-4, "must be at least 0"),
        ("augment.blur_sigma", (0.0, 3.0), "must be above 0"),
        ("augment.std", (0.2, 0.0, 0.2), "must be above 0"),
        ("alignment.temperature", 0.0, "must be above 0"),
        ("alignment.inter_weight", 1.5, "must be at least 0 and at most 1"),
        ("merge.old_weight", 1.5, "must be at least 0 and at most 1"),
        ("alignment.weight", -1.0, "must be at least 0"),
        ("eval.batch", 0, "must be at least 1"),
        ("augment.mean", (0.5, 0.5, float("nan")), "must be finite"),
        ("data.cache", -1.0, "must be at least 0"),
        ("init.allow_missing", "(", "is no regular expression"),
        (
            "model.image_size",
            (256, 120),
            "not a multiple of config.prompts.patch_size 16",
        ),
        ("model.heads", 5, "width 768 cannot be split over config.model.heads 5"),
        ("model.patch_size", 200, "is smaller than config.model.patch_size 200"),
        ("eval.modality", "llcm:other", "'llcm:other' is none of own, swapped"),
        (
            "augment.blur_sigma",
            (3.0, 0.1),
            r"=\(3.0, 0.1\): its lower end is above its upper one; swap them",
        ),
        ("optim.lr_min", 4e-4, "lr_min=0.0004 is above config.optim.lr=0.0003; lower"),
        (
            "optim.pretrained_lr_factor",
            0.001,
            "lr_min=3e-06 is above config.optim.lr x .*pretrained_lr_factor=3e-07",
        ),
        ("method", "none", "config.method='none'; choose one of ckda, finetune"),
    ],
)
def test_values_outside_are_refused(config, key, value, said):
    config.update_from_flattened_dict({key: value})
    with pytest.raises(InputError, match=said):
        check_limits(config)


@pytest.mark.parametrize(
    ("key", "value"), [("augment.blur_sigma", (0.5, 0.5)), ("optim.lr_min", 1.5e-4)]
)
def test_the_ends_of_a_range_may_be_equal(config, key, value):
    config.update_from_flattened_dict({key: value})
    assert refusal(config) == ""


@pytest.mark.parametrize("key", [*CHOICES, *PER_DATASET, *REGEXES])
def test_every_key_with_choices_is_a_key(config, key):
    assert key in flatten(config)


@pytest.mark.parametrize("key", CHOICES)
def test_every_choice_is_refused_when_misspelt(config, key):
    config.update_from_flattened_dict({key: "misspelt"})
    with pytest.raises(InputError, match=f"config.{key}='misspelt'; choose one of"):
        check_limits(config)


def test_options_may_name_own_datasets(config):
    config.eval.modality = "gate:swapped"
    assert "'gate' is no dataset; there are regdb, " in refusal(config)
    config.data.own = ("gate=data/gate",)
    assert refusal(config) == ""
    config.data.own = ("gate=data/gate", "yard")
    assert "config.data.own='yard': must be NAME=FOLDER or NAME=TABLE" in refusal(
        config
    )


def test_the_conv_stem_takes_images_smaller_than_a_patch(config):
    config.model.patch_size = 200
    assert "is smaller than config.model.patch_size 200" in refusal(config)
    config.model.stem = "conv"
    assert refusal(config) == ""
