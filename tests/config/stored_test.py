"""The configuration that a run left behind: what one changed character does."""

import json
from pathlib import Path

import pytest

from ckda_jax.config import stored
from ckda_jax.config.file import load
from ckda_jax.config.tree import flatten, to_json
from ckda_jax.structs import InputError

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def text():
    """The configuration of a run as `train` writes it."""
    return to_json(load(str(CONFIGS / "smoke.py")))


def test_the_list_of_keys_is_that_of_the_configs():
    # To write it anew: to_json of the configuration of configs/pretrain.py.
    assert stored.KEYS.read_text() == to_json(load(str(CONFIGS / "pretrain.py")))
    assert flatten(load(str(CONFIGS / "common.py"))).keys() <= stored.defaults().keys()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda p: p.stem)
def test_every_config_is_read(path, tmp_path):
    config = load(str(path))
    (tmp_path / "config.json").write_text(to_json(config))
    assert flatten(stored.read(tmp_path / "config.json")) == flatten(config)


def test_what_older_runs_lack_may_be_missing(text, tmp_path):
    tree = json.loads(text)
    del tree["mesh"], tree["modalities"], tree["train"]["micro_batches"]
    (tmp_path / "config.json").write_text(json.dumps(tree))
    assert "mesh" not in stored.read(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"heads"', '"headr"', "no such key model.headr; nearest: model.heads"),
        ('"mesh"', '"mesi"', "no such key mesi"),
        ('"modalities"', '"modalitier"', "no such key modalitier"),
        ('"heads": ', '"heads": 0.', "model.heads: 0.* is not of the type of '"),
        ('"remat": false', '"remat": 0', "model.remat: 0 is not of the type of"),
        ('"method": "ckda"', '"method": null', "method: None is not of the type"),
        ('"lifelong"', "1", "eval.protocols: 1 is not of the type of 'lifelong'"),
    ],
)
def test_a_damaged_key_or_value_is_refused(text, tmp_path, old, new, said):
    path = tmp_path / "config.json"
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=f"^{path}: {said}.*; restore the file"):
        stored.read(path)


@pytest.mark.parametrize("content", ["{}", '{"model": 1}', "[" * 100_000])
def test_what_is_no_configuration_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match="config.json: "):
        stored.read(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("value", "default", "fits"),
    [
        (1, 0.5, True),
        (True, 1, False),
        (1, True, False),
        ((1, 2), (3, 4), True),
        ((1,), (3, 4), False),
        (("a",), (), True),
        ((1,), (), False),
        ("a", ("a",), False),
        ((), ("a", "b"), True),
    ],
)
def test_values_alike(value, default, fits):
    assert stored.alike(value, default) is fits
