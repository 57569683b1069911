"""Overrides: both spellings, every type, and clear refusals."""

import pytest

from ckda_jax.config.file import load
from ckda_jax.config.overrides import assign, overrides
from ckda_jax.structs import InputError


@pytest.fixture
def config(folder):
    """The small tree."""
    return load(f"{folder}/small.py")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("seed", "3", 3),
        ("seed", "-1", -1),
        ("optim.lr", "1", 1.0),
        ("optim.lr", "3e-4", 3e-4),
        ("optim.clip", "true", True),
        ("optim.clip", "False", False),
        ("stages", "b", ("b",)),
        ("stages", "c,b,a", ("c", "b", "a")),
        ("stages", "('a', 'b',)", ("a", "b")),
        ("stages", "", ()),
        ("train.size", "2,3", (2, 3)),
    ],
)
def test_text_takes_the_type_of_the_key(config, key, text, value):
    assign(config, key, text)
    *groups, last = key.split(".")
    tree = config[groups[0]] if groups else config
    assert tree[last] == value
    assert type(tree[last]) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("train.epochs", "1.5", "train.epochs=1.5: must be of type int, like 2"),
        ("optim.lr", "fast", "must be of type float, like 0.5"),
        ("optim.lr", "nan", "must be of type float"),
        ("optim.clip", "1", "must be true or false, like false"),
        ("train.size", "2", "must be 2 values of type int, like 8,4"),
        ("train.size", "2,x", "must be 2 values of type int, like 8,4"),
        ("lr", "1", "no such key; nearest: optim.lr"),
        ("trian.epochs", "1", "no such key; nearest: train.epochs"),
        ("optim.epoch", "1", "no such key; nearest: train.epochs"),
        ("zzz", "1", "no such key; --help lists all keys"),
        ("train", "1", "a group; its keys: --config.train.epochs"),
        ("preset", "joint", "chosen by --config FILE:PRESET"),
    ],
)
def test_wrong_key_or_value_is_refused_with_the_remedy(config, key, text, said):
    with pytest.raises(InputError) as caught:
        assign(config, key, text)
    assert said in str(caught.value)
    assert str(caught.value).startswith("--config.")


def test_both_spellings(config):
    words = ["--config.seed=1", "--config.optim.lr", "0.1", "--config.stages=a=b"]
    assert list(overrides(words, config)) == [
        ("seed", "1"),
        ("optim.lr", "0.1"),
        ("stages", "a=b"),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config.seed"], "--config.seed: no value"),
        (["--cofnig.seed=1"], "unknown argument; nearest: --config.seed"),
        (["stray"], "stray: unknown argument"),
    ],
)
def test_other_words_are_refused(config, words, said):
    with pytest.raises(InputError) as caught:
        list(overrides(words, config))
    assert said in str(caught.value)
