import jax
import numpy as np
import pytest
from flax import struct

from ckda_jax import trees


class Pair(struct.PyTreeNode):
    left: object
    right: object


TREE = {"norm": {"scale": 1, "bias": 2}, "blocks": [3, Pair(left=4, right=None)]}


def test_leaves_are_named_through_every_kind_of_node():
    assert trees.named_leaves(TREE) == {
        "blocks/0": 3,
        "blocks/1/left": 4,
        "norm/bias": 2,
        "norm/scale": 1,
    }


def test_a_digest_is_of_every_bit_name_shape_and_type():
    tree = {"a": np.arange(6.0), "b": {"key": jax.random.key(0)}}
    same = {"b": {"key": jax.random.key(0)}, "a": np.arange(6.0).astype(">f8")}
    assert trees.digest(tree) == trees.digest(same)
    others = [
        tree | {"a": np.nextafter(np.arange(6.0), 9)},
        tree | {"a": np.arange(6.0).reshape(2, 3)},
        tree | {"a": np.arange(6.0, dtype=np.float32)},
        tree | {"b": {"key": jax.random.key(1)}},
        {"A": tree["a"], "b": tree["b"]},
    ]
    assert len({trees.digest(other) for other in [tree, *others]}) == 6


def test_map_named_sees_name_and_other_leaves():
    other = {"norm": {"scale": 10, "bias": 20}, "blocks": [30, Pair(40, None)]}
    found = trees.map_named(lambda name, *leaves: (name, sum(leaves)), TREE, other)
    assert found["norm"]["scale"] == ("norm/scale", 11)
    assert found["blocks"][1].left == ("blocks/1/left", 44)


def test_first_matching_rule_labels():
    rules = [("norm/b.*", "rest"), ("norm/.*", "slow"), ("blocks/.*", "fast")]
    labels = trees.label(TREE, rules)
    assert labels["norm"] == {"scale": "slow", "bias": "rest"}
    assert labels["blocks"] == ["fast", Pair(left="fast", right=None)]


def test_a_rule_must_match_the_whole_name():
    assert trees.matches("norm/scale", "norm/.*")
    assert not trees.matches("norm/scale", "norm")
    assert not trees.matches("my/norm/scale", "norm/.*")
    with pytest.raises(ValueError, match="no rule covers the leaf 'blocks/0'"):
        trees.label(TREE, [("norm", "slow"), ("norm/.*", "slow")])
