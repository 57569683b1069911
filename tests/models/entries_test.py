import numpy as np
import pytest

from ckda_jax.models.entries import LAYOUTS, slots
from ckda_jax.structs import InputError
from tests.models import tiny


def shapes(**changes):
    return tiny.model_shapes(tiny.model(**changes))


def test_every_entry_of_the_released_state_has_one_place(golden):
    names = [slot.entry for slot in slots(shapes())]
    recorded = set(golden("model_tiny")["names"].tolist())
    counters = {name for name in recorded if name.endswith("num_batches_tracked")}
    assert len(names) == len(set(names))
    assert set(names) == recorded - counters - {"base.feat_embed"}


def test_stacked_leaves_have_an_entry_for_each_block_and_modality():
    found = {slot.entry: slot for slot in slots(shapes(depth=3))}
    block = found["base.blocks.2.attn.qkv.weight"]
    assert (block.leaf, block.index) == ("params/backbone/blocks/attn/qkv/kernel", 2)
    infrared = found["base.inf_net.1.running_var"]
    assert (infrared.leaf, infrared.index) == ("batch_stats/specific/norm/var", 1)
    assert found["base.norm.bias"].index is None


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("same", (4,), (4,)),
        ("linear", (2, 3), (3, 2)),
        ("conv", (2, 3, 4, 5), (4, 5, 3, 2)),
        ("pointwise", (2, 3, 1, 1), (3, 2)),
        ("token", (1, 1, 4), (4,)),
        ("positions", (1, 5, 4), (5, 4)),
        ("modalities", (2, 1, 4), (2, 4)),
    ],
)
def test_each_layout_turns_an_array_and_back(name, theirs, ours):
    array = np.random.default_rng(0).normal(size=theirs)
    turned = LAYOUTS[name].ours(array)
    assert turned.shape == ours
    np.testing.assert_array_equal(LAYOUTS[name].theirs(turned), array)


def test_modalities_are_numbered_the_other_way_round():
    rows = np.array([[[0.0]], [[1.0]]])
    assert LAYOUTS["modalities"].ours(rows).tolist() == [[1.0], [0.0]]


def test_a_method_s_own_modules_have_no_entry():
    tree = {"params": {"extra": {"critic": {"kernel": np.zeros(2)}}}}
    assert slots(tree) == []


def test_a_third_modality_is_not_of_the_released_format():
    with pytest.raises(InputError, match="3 modalities"):
        slots(shapes(modalities=3))


def test_another_stem_is_not_of_the_released_format():
    with pytest.raises(InputError, match="the released model has no such array"):
        slots(shapes(stem="conv"))
