"""Loading a configuration file: order, presets, isolation, and clear refusals."""

import sys

import pytest

from ckda_jax.config.file import load
from ckda_jax.structs import InputError


def test_file_changes_defaults_and_preset_changes_the_file(folder):
    config = load(f"{folder}/small.py:joint")
    assert (config.train.epochs, config.seed, config.preset) == (2, 7, "joint")
    assert load(f"{folder}/small.py").preset == "ckda"


def test_tree_is_locked_and_typed(folder):
    config = load(f"{folder}/small.py")
    with pytest.raises(AttributeError, match="epochs"):
        config.train.epoch = 3
    with pytest.raises(TypeError):
        config.train.epochs = "three"


def test_works_from_any_folder(folder, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert load(f"{folder}/small.py").train.epochs == 2


def test_every_load_is_fresh_and_leaves_nothing_behind(folder):
    before, path = set(sys.modules), list(sys.path)
    first = load(f"{folder}/small.py")
    text = (folder / "common.py").read_text().replace("seed = 0", "seed = 1")
    (folder / "common.py").write_text(text)
    assert (first.seed, load(f"{folder}/small.py").seed) == (0, 1)
    assert set(sys.modules) == before
    assert sys.path == path
    assert not (folder / "__pycache__").exists()


def test_two_folders_do_not_share_their_common(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    for file in folder.glob("*.py"):
        (other / file.name).write_text(file.read_text().replace("seed = 0", "seed = 5"))
    assert load(f"{folder}/small.py").seed == 0
    assert load(f"{other}/small.py").seed == 5


def test_a_file_may_refuse_presets(folder):
    (folder / "own.py").write_text("from small import get_config\nPRESETS = {}\n")
    assert load(f"{folder}/own.py").preset == ""
    with pytest.raises(InputError, match="no preset 'ckda'; valid: none"):
        load(f"{folder}/own.py:ckda")


def test_unknown_preset_lists_the_valid_ones(folder):
    with pytest.raises(InputError, match="'jont'; nearest: joint; valid: ckda, joint"):
        load(f"{folder}/small.py:jont")


def test_missing_file_names_the_nearest(folder):
    with pytest.raises(InputError, match=r"smal\.py: no such file; nearest: .*small"):
        load(f"{folder}/smal.py")
    with pytest.raises(InputError, match=r"smal\.py: no such file"):
        load(f"{folder}/smal.py:joint")


def test_folder_is_refused(folder):
    with pytest.raises(InputError, match="is a folder.*small.py"):
        load(str(folder))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", r"bad\.py: defines no get_config\(\)"),
        ("get_config = 3", "defines no get_config"),
        ("def get_config(:", r"bad\.py:1: SyntaxError"),
        ("import missing_module_of_nobody", r"bad\.py:1: ModuleNotFoundError"),
        ("def get_config():\n    return 1 / 0", r"bad\.py:2: ZeroDivisionError"),
        ("def get_config(arg):\n    return arg", "TypeError"),
        ("def get_config():\n    return {}", "returned dict, must be a ConfigDict"),
        (
            "import common\n"
            "def get_config(): return common.get_config()\n"
            "def ckda(config):\n    config.optim.rl = 1.0\n    return config\n"
            "PRESETS = {'ckda': ckda}",
            r"bad\.py:4: AttributeError: .*rl",
        ),
    ],
)
def test_file_that_does_not_run_is_told_in_one_line(folder, text, said):
    (folder / "bad.py").write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        load(f"{folder}/bad.py")
    assert "\n" not in str(caught.value)


def test_file_without_suffix_is_refused(folder):
    (folder / "plain").write_text("")
    with pytest.raises(InputError, match="must end in .py"):
        load(f"{folder}/plain")
