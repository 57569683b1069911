"""The shipped configurations: each loads, with every preset, and adds no key."""

import ast
from pathlib import Path

import pytest

from ckda_jax.config import describe, difference, flatten, load

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
RUNS = [name for name in CONFIGS if name not in ("common", "pretrain")]
PRESETS = ("ckda", "reference", "finetune", "joint")


def config_of(name: str):
    """Load a shipped configuration by its name and preset."""
    stem, colon, preset = name.partition(":")
    return load(f"{ROOT}/configs/{stem}.py{colon}{preset}")


@pytest.mark.parametrize("name", CONFIGS)
def test_loads(name):
    assert config_of(name).is_locked


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_applies_and_no_key_is_added(name, preset):
    config = config_of(f"{name}:{preset}")
    assert config.preset == preset
    assert flatten(config).keys() == flatten(config_of("common")).keys()


@pytest.mark.parametrize("name", RUNS)
def test_docstring_gives_the_command(name):
    tree = ast.parse((ROOT / "configs" / f"{name}.py").read_text(encoding="utf-8"))
    command = (
        f"python -m ckda_jax.train --config configs/{name}.py --workdir runs/{name}"
    )
    assert command in (ast.get_docstring(tree) or "")


def test_every_key_has_a_comment():
    text = describe(f"{ROOT}/configs/common.py")
    keys = flatten(config_of("common")).keys() - {"preset"}
    lines = {line.split("=")[0].strip(): line for line in text.splitlines()}
    bare = [key for key in keys if len(lines[key].split(maxsplit=1)) < 2]
    assert not bare


def test_lifelong_is_the_reference_order_with_the_defaults():
    assert difference(config_of("common"), config_of("lifelong")) == [
        "init.weights:  -> data/vit_base_patch16_224.safetensors"
    ]


@pytest.mark.parametrize("name", ["regdb", "sysu", "llcm", "vcm"])
def test_one_dataset_differs_from_lifelong_in_its_stages_only(name):
    assert difference(config_of("lifelong"), config_of(name)) == [
        f"stages: regdb,sysu,llcm,vcm -> {name}"
    ]


def test_reference_preset_is_nothing_but_option_values():
    changed = difference(config_of("common:ckda"), config_of("common:reference"))
    assert [line.split(":")[0] for line in changed] == [
        "alignment.relation",
        "alignment.relation_temperature",
        "alignment.student_space",
        "carry_classifier",
        "centres.unique",
        "data.max_identities",
        "data.resample",
        "eval.modality",
        "preset",
        "prompts.compare",
        "prototypes.infrared_from",
    ]


@pytest.mark.parametrize("name", RUNS)
def test_sizes_fit_each_other(name):
    config = config_of(name)
    height, width = config.model.image_size
    assert height % config.prompts.patch_size == 0
    assert width % config.prompts.patch_size == 0
    assert config.model.width % config.model.heads == 0


@pytest.mark.parametrize("name", ["synthetic", "smoke"])
def test_drawn_runs_need_no_data(name):
    assert config_of(name).data.synthetic.enabled
