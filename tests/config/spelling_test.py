"""Suggestions for misspelt words."""

from ckda_jax.config.spelling import nearest, nearest_key


def test_nearest_suggests_only_what_is_near():
    assert nearest("jont", ["ckda", "joint"]) == "; nearest: joint"
    assert nearest("xyz", ["ckda", "joint"]) == ""


def test_nearest_key_prefers_the_same_last_name():
    leaves = {"optim.lr": 0, "optim.lr_min": 0, "train.epochs": 0}
    assert nearest_key("train.lr", leaves) == "; nearest: optim.lr"
    assert nearest_key("train.epoch", leaves) == "; nearest: train.epochs"
    assert nearest_key("qqq", leaves) == "; --help lists all keys"
